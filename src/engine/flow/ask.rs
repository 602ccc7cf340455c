//! Answers to what a run asked: who may give them, and how many it takes.

use serde_json::{Value, json};

use super::bring::Nudge;
use super::control::unknown;
use crate::clock::rfc3339;
use crate::engine::Engine;
use crate::engine::plan::{Journal, Row, StepStatus};
use crate::identity::permission::{Object, Verb, decide};
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::run::Run;
use crate::store::turn::Turn;

/// An answer to a step that asks.
#[derive(Clone, Debug)]
pub struct Answer {
    pub execution: String,
    /// The path of the step; none means the only one that asks.
    pub path: Option<String>,
    pub answer: Value,
}

impl Engine {
    /// Answers what a run asked. `turn` is what was done in its conversation. Answers whether that was enough.
    pub async fn answer_run(
        &self,
        principal: &Principal,
        answer: Answer,
        turn: Option<Turn>,
    ) -> Result<(bool, Option<crate::store::log::Receipt>)> {
        let run = self.store().run(&answer.execution).await?.ok_or_else(|| unknown(&answer.execution))?;
        let object = Object::Execution { starter: &run.principal, bot: &run.bot, command: &run.command };
        let sees = decide(principal, Verb::View, object).allowed;
        let at = rfc3339(self.clock().now());
        let (who, wanted) = (principal.clone(), answer.clone());
        let brought = self
            .bring(&answer.execution, move |_, run, journal| {
                let asked = find(journal, &wanted)?;
                let decided = vote(run, &asked, &who, sees, &wanted.answer, &at)?;
                let mut nudge = Nudge { turn: turn.clone(), always: true, ..Nudge::default() };
                if let Some(row) = journal.rows.get_mut(&asked.path) {
                    row.data = decided.data;
                    row.signal = decided.signal;
                }
                nudge.effects.touched.push(asked.path);
                Ok(nudge)
            })
            .await?;
        let over = || Error::conflict("ASK_OVER", "this was answered already, or the run has ended");
        let brought = brought.ok_or_else(over)?;
        let path = answer.path.as_deref().unwrap_or_default();
        let enough = brought.journal.rows.get(path).is_none_or(|row| row.status.is_final());
        Ok((enough, brought.receipt))
    }
}

/// The step that an answer is for.
fn find(journal: &Journal, answer: &Answer) -> Result<Row> {
    let over = || Error::conflict("ASK_OVER", "this was answered already, or the run has ended");
    let waits =
        |row: &&Row| row.status == StepStatus::Waiting && row.data["approvers"].is_object() && row.signal.is_null();
    let mut asked =
        journal.rows.values().filter(waits).filter(|row| answer.path.as_ref().is_none_or(|path| row.path == *path));
    let first = asked.next().ok_or_else(over)?;
    if asked.next().is_some() {
        return Err(Error::conflict("ASK_AMBIGUOUS", "the run asks several things; name the step"));
    }
    Ok(first.clone())
}

struct Decided {
    data: Value,
    signal: Value,
}

/// Counts an answer; the signal is null until there are enough.
fn vote(run: &Run, row: &Row, who: &Principal, sees: bool, answer: &Value, at: &str) -> Result<Decided> {
    let approvers = &row.data["approvers"];
    let texts = |key: &str| -> Vec<String> {
        approvers[key].as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let (roles, groups) = (texts("roles"), texts("groups"));
    let is_named = roles.iter().any(|role| who.roles.iter().any(|own| own.as_str() == role))
        || groups.iter().any(|group| who.groups.contains(group));
    let is_open = roles.is_empty() && groups.is_empty();
    if !is_named && !sees {
        return Err(unknown(&run.execution));
    }
    let refused = |why: &str| Error::new(Kind::Forbidden, "NOT_AN_APPROVER", why.to_owned());
    if !is_named && !is_open {
        return Err(refused(&format!("this is answered by {}", [roles, groups].concat().join(", "))));
    }
    if approvers["not_requester"] == json!(true) && who.id == run.principal {
        return Err(refused("this is answered by somebody else than who started the run"));
    }
    let form = &row.data["form"];
    let given_up = answer["cancelled"] == json!(true);
    let answer = if given_up { json!({ "decision": "reject" }) } else { typed(form, answer) };
    if !given_up {
        let check = if form.is_null() {
            json!({ "type": "object", "required": ["decision"], "properties": { "decision": { "enum": ["approve", "reject"] } } })
        } else {
            form.clone()
        };
        let validator =
            jsonschema::validator_for(&check).map_err(|error| Error::internal("check an answer", error.to_string()))?;
        if let Err(error) = validator.validate(&answer) {
            let errors =
                json!([{ "field": error.instance_path().to_string(), "code": "schema", "message": error.to_string() }]);
            return Err(
                Error::new(Kind::Invalid, "VALIDATION_ERROR", error.to_string()).details(json!({ "errors": errors }))
            );
        }
    }
    let mut data = row.data.clone();
    let mut votes = data["votes"].as_array().cloned().unwrap_or_default();
    if votes.iter().any(|vote| vote["by"] == json!(who.id)) {
        return Err(Error::conflict("ALREADY_ANSWERED", "you have answered this already"));
    }
    votes.push(json!({ "by": who.id, "name": who.name, "at": at, "answer": answer }));
    let same = votes.iter().filter(|vote| vote["answer"]["decision"] == answer["decision"]).count();
    let quorum = approvers["quorum"].as_u64().and_then(|quorum| usize::try_from(quorum).ok()).unwrap_or(1);
    let is_no = given_up || matches!(answer["decision"].as_str(), Some("reject" | "no" | "deny" | "decline"));
    // One no is enough: what several have to agree on is not agreed on.
    let signal = if is_no || same >= quorum {
        let mut signal = answer;
        if let Value::Object(members) = &mut signal {
            members.insert("by".to_owned(), json!(who.name));
            members.insert("at".to_owned(), json!(at));
        }
        signal
    } else {
        Value::Null
    };
    data["votes"] = Value::Array(votes);
    Ok(Decided { data, signal })
}

/// The texts of a form as values of the types that its schema names.
fn typed(form: &Value, answer: &Value) -> Value {
    let Some(members) = answer.as_object() else { return answer.clone() };
    let value = |(name, value): (&String, &Value)| {
        let kind = form["properties"][name.as_str()]["type"].as_str().unwrap_or_default();
        let value = match (kind, value.as_str()) {
            ("integer" | "number" | "boolean", Some(text)) => {
                serde_json::from_str(text.trim()).unwrap_or_else(|_| value.clone())
            }
            _ => value.clone(),
        };
        (name.clone(), value)
    };
    members.iter().map(value).collect()
}
