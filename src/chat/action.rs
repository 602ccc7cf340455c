//! What is done right at a message: a button pressed, a value chosen, a form sent.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Hub;
use super::asking::{Going, state};
use super::dialog::{Next, Stage, words};
use super::hub::{Act, Scene};
use super::outside::Via;
use crate::clock::rfc3339;
use crate::engine::answer::raw;
use crate::engine::approval::Wish;
use crate::engine::arguments::{Fault, refusal};
use crate::engine::flow::Answer;
use crate::engine::invoke::Request;
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::action::Action;
use crate::model::event::{NewEvent, Stream};
use crate::model::execution::ExecutionStatus;
use crate::model::id::{new_id, sha256_hex};
use crate::model::message::{Message, Sender, SenderKind};
use crate::model::offer::{Deed, Step};
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::action::{Registered, Taken, unknown, used};
use crate::store::audit::Doer;
use crate::store::log::Receipt;
use crate::store::turn::{DIALOG_CHANGED, Turn};

/// What somebody does at a message.
#[derive(Debug)]
pub struct Choice {
    pub conversation: String,
    pub message_id: String,
    pub action_id: String,
    /// Null for a button, a text for a select or a date, an object of field names and values for a form.
    pub value: Value,
    /// The sender's own id for it.
    pub client_id: Option<String>,
}

impl Choice {
    fn hash(&self) -> String {
        sha256_hex(json!([self.message_id, self.action_id, self.value]).to_string().as_bytes())
    }
}

impl Hub {
    /// Takes an action: stores that it was taken together with what follows from it.
    pub async fn take(&self, principal: &Principal, choice: Choice) -> Result<Receipt> {
        self.take_via(principal, choice, None).await
    }

    /// The same for what may come from outside.
    pub async fn take_via(&self, principal: &Principal, choice: Choice, via: Option<&Via>) -> Result<Receipt> {
        self.act(principal, &choice.conversation, Act::Take(&choice), via).await
    }

    /// One try of [`Hub::take`].
    pub(super) async fn choose(&self, scene: &Scene<'_>, choice: &Choice) -> Result<Receipt> {
        let hash = choice.hash();
        let refusal = match Box::pin(self.carry_out(scene, choice, &hash)).await {
            Err(error) if error.code != DIALOG_CHANGED => error,
            outcome => return outcome,
        };
        // What was taken under this id may be what refuses it now.
        let Some(client_id) = &choice.client_id else { return Err(refusal) };
        let stream = Stream::conversation(&scene.conversation.id);
        self.store().recall(stream, &scene.principal.id, client_id, &hash).await?.ok_or(refusal)
    }

    async fn carry_out(&self, scene: &Scene<'_>, choice: &Choice, hash: &str) -> Result<Receipt> {
        let (conversation, hash) = (&scene.conversation.id, hash.to_owned());
        let action = self.store().action(conversation, &choice.message_id, &choice.action_id).await?;
        let action = action.ok_or_else(unknown)?;
        let object = Object::Action { conversation: scene.conversation, to: &action.principal };
        authorize(scene.principal, Verb::Chat, object)?;
        if action.used_at.is_some() {
            return Err(used());
        }
        if action.expires_at.is_some_and(|expires_at| expires_at <= scene.at) {
            return Err(Error::conflict("ACTION_EXPIRED", "this could be chosen for a while only, and that is over"));
        }
        match &action.deed {
            Deed::Run { .. } | Deed::Form { .. } => self.run_action(scene, choice, &action, hash).await,
            Deed::Decide { execution, verdict } => {
                let text = match &choice.value {
                    Value::Null => None,
                    _ => fields(&choice.value)?.into_values().next(),
                };
                let shown = text.as_ref().map(|text| json!({ "word": text }));
                let said = event(scene, choice, &action, shown)?;
                let by = scene.principal;
                let doer = Doer { principal: Some(by.id.clone()), name: Some(by.name.clone()), ..Doer::default() };
                let (execution, verdict) = (execution.clone(), *verdict);
                let wish = Wish { execution, verdict, text, said: Some((said, hash)), doer };
                let receipt = Box::pin(self.engine.decide(scene.principal, wish)).await?;
                receipt.ok_or_else(|| Error::internal("take an action", "nothing was said"))
            }
            Deed::Answer { .. } | Deed::Control { .. } => Box::pin(self.act_on_run(scene, choice, &action, hash)).await,
            Deed::Dialog { execution, step } => {
                // Read anew: what is known of the dialog may be older than the action.
                let dialog = self.read_dialog(conversation).await?.filter(|dialog| dialog.execution == *execution);
                let dialog = dialog.ok_or_else(used)?;
                let scene = Scene { dialog: Some(&dialog), ..*scene };
                let Some(going) = self.going(&scene, &dialog, state(&dialog)?) else {
                    let turn = turn(&scene, choice, &action, None, hash)?;
                    return self.abandon(&scene, &dialog, turn).await;
                };
                self.step(&scene, choice, &action, going, *step, hash).await
            }
        }
    }

    async fn run_action(
        &self,
        scene: &Scene<'_>,
        choice: &Choice,
        action: &Registered,
        hash: String,
    ) -> Result<Receipt> {
        let (bot, command, parameters, parameter_name) = match action.deed.clone() {
            Deed::Run { bot, command, parameters, parameter_name } => (bot, command, parameters, parameter_name),
            Deed::Form { bot, command, parameters } => (bot, command, parameters, None),
            Deed::Dialog { .. } | Deed::Decide { .. } | Deed::Answer { .. } | Deed::Control { .. } => {
                return Err(Error::internal("take an action", "it runs nothing"));
            }
        };
        let mut request = Request {
            command,
            bot,
            arguments: Vec::new(),
            matches: Vec::new(),
            source: scene.source(action.look.label()),
        };
        let field = parameter_name.clone().unwrap_or_else(|| "value".to_owned());
        let given = check_value(&action.look, &choice.value).map_err(|(code, message)| {
            let errors = json!([{ "field": format!("parameters.{field}"), "code": code, "message": message }]);
            Error::new(Kind::Invalid, "VALIDATION_FAILED", message).details(json!({ "errors": errors }))
        })?;
        let command = self.engine.command(scene.principal, &request)?;
        let mut arguments = parameters;
        if let (Some(name), Some(value)) = (parameter_name, given) {
            arguments.insert(name, value.to_owned());
        }
        request.arguments = arguments.into_iter().collect();
        let shown = given.map(|value| json!(command.shown(&field, value)));
        let turn = turn(scene, choice, action, shown, hash)?;
        match action.deed {
            Deed::Form { .. } => self.open_form(scene, request, turn).await,
            _ => self.start(scene, request, turn).await,
        }
    }

    /// Answers what a run asked, or does something to it: what was done here and what it came to are one transaction.
    async fn act_on_run(
        &self,
        scene: &Scene<'_>,
        choice: &Choice,
        action: &Registered,
        hash: String,
    ) -> Result<Receipt> {
        let principal = scene.principal;
        let receipt = match &action.deed {
            Deed::Answer { execution, path, answer } => {
                let answer = if answer.is_null() { json!(fields(&choice.value)?) } else { answer.clone() };
                let shown = choice.value.is_object().then(|| answer.clone());
                let turn = turn(scene, choice, action, shown, hash)?;
                let answer = Answer { execution: execution.clone(), path: Some(path.clone()), answer };
                self.engine.answer_run(principal, answer, Some(turn)).await?.1
            }
            Deed::Control { execution, verb } => {
                let turn = turn(scene, choice, action, None, hash)?;
                self.engine.control_run(principal, execution, (*verb).into(), Some(turn)).await?.receipt
            }
            Deed::Run { .. } | Deed::Form { .. } | Deed::Dialog { .. } | Deed::Decide { .. } => None,
        };
        receipt.ok_or_else(|| Error::internal("take an action", "nothing was done"))
    }

    async fn step(
        &self,
        scene: &Scene<'_>,
        choice: &Choice,
        action: &Registered,
        going: Going,
        step: Step,
        hash: String,
    ) -> Result<Receipt> {
        match (step, going.state.stage) {
            (Step::Submit, Stage::Form) => {
                let values = fields(&choice.value)?;
                let submitted = going.state.submit(&going.command, &values);
                let state = submitted.map_err(|faults| refusal(&going.command, &faults))?;
                let mut shown = state.shown(&going.command);
                shown.retain(|name, _| going.state.asked.contains(name));
                let turn = turn(scene, choice, action, Some(json!(shown)), hash)?;
                self.finish(scene, &going, state, turn).await
            }
            (Step::Submit, Stage::Summary) => {
                let turn = turn(scene, choice, action, None, hash)?;
                self.finish(scene, &going, going.state.clone(), turn).await
            }
            (Step::Edit, Stage::Summary) => {
                let turn = turn(scene, choice, action, None, hash)?;
                let next = Next::Ask(going.state.edit(&going.command), None);
                self.go_on(scene, going, next, turn).await
            }
            (Step::Cancel, _) => {
                let turn = turn(scene, choice, action, None, hash)?;
                let message = Message::text(format!("Cancelled: {} does not run.", words::name(&going.command)));
                self.conclude(scene, &going, turn, ExecutionStatus::Cancelled, message).await
            }
            // It was asked in another way before.
            (Step::Submit, Stage::Questions) | (Step::Edit, Stage::Form | Stage::Questions) => Err(used()),
        }
    }
}

/// The value that an action takes, or why it cannot be: a code and words.
fn check_value<'v>(look: &Action, value: &'v Value) -> Result<Option<&'v str>, (&'static str, String)> {
    let text = || value.as_str().ok_or(("required", "a value has to be chosen".to_owned()));
    match look {
        Action::Button { .. } | Action::Link { .. } if value.is_null() => Ok(None),
        Action::Button { .. } | Action::Link { .. } => Err(("type", "a button takes no value".to_owned())),
        Action::Select { options, .. } => {
            let value = text()?;
            let is_option = options.iter().any(|option| option.value == value);
            if is_option { Ok(Some(value)) } else { Err(("choice", "that is none of the options".to_owned())) }
        }
        Action::Date { min, max, .. } => {
            let value = text()?;
            let day = |text: &str| text.parse::<jiff::civil::Date>().ok();
            let Some(picked) = day(value) else {
                return Err(("type", "expected a date such as 2026-11-23".to_owned()));
            };
            let (first, last) = (min.as_deref().and_then(day), max.as_deref().and_then(day));
            if first.is_some_and(|first| picked < first) || last.is_some_and(|last| picked > last) {
                let bound = |text: &Option<String>| text.clone().unwrap_or_else(|| "…".to_owned());
                return Err(("range", format!("a day from {} to {}", bound(min), bound(max))));
            }
            Ok(Some(value))
        }
    }
}

/// The values of a form as text.
fn fields(value: &Value) -> Result<BTreeMap<String, String>> {
    let fault = |name: &str, message: &str| {
        let fault = Fault { parameter: name.to_owned(), code: "type", message: message.to_owned(), value: None };
        let errors = json!([{ "field": format!("parameters.{name}"), "code": fault.code, "message": fault.message }]);
        Error::new(Kind::Invalid, "VALIDATION_FAILED", message).details(json!({ "errors": errors }))
    };
    let Some(members) = value.as_object() else {
        return Err(fault("value", "a form takes an object of field names and values"));
    };
    let text = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => return Some(Err(fault(name, "a field takes text"))),
        };
        Some(Ok((name.clone(), text)))
    };
    members.iter().filter_map(text).collect()
}

/// The event that tells that an action was taken.
fn event(scene: &Scene<'_>, choice: &Choice, action: &Registered, value: Option<Value>) -> Result<NewEvent> {
    let id = new_id();
    let principal = scene.principal;
    let sender = Sender { kind: SenderKind::User, id: principal.id.clone(), name: principal.name.clone() };
    let mut payload = json!({
        "session_id": choice.conversation, "event_id": id, "message_id": choice.message_id,
        "action_id": choice.action_id, "label": action.look.label(), "sender": sender, "ts": rfc3339(scene.at),
    });
    if let Some(value) = value {
        payload["value"] = value;
    }
    if let Some(client_id) = &choice.client_id {
        payload["client_id"] = json!(client_id);
    }
    Ok(NewEvent {
        stream: Stream::conversation(&choice.conversation),
        id,
        kind: "action",
        principal: Some(principal.id.clone()),
        client_id: choice.client_id.clone(),
        payload: raw(&payload)?,
        created_at: scene.at,
    })
}

/// A turn that begins with an action: the event of it, and that it is used up.
fn turn(
    scene: &Scene<'_>,
    choice: &Choice,
    action: &Registered,
    value: Option<Value>,
    body_hash: String,
) -> Result<Turn> {
    let principal = scene.principal;
    let mut turn = scene.turn(event(scene, choice, action, value)?, body_hash);
    turn.beside().taken = Some(Taken {
        id: action.id.clone(),
        message: action.message.clone(),
        single_use: action.single_use,
        by: principal.name.clone(),
        event_id: new_id(),
    });
    Ok(turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::action::{Choice as Offered, Life};

    #[test]
    fn each_action_takes_its_own_kind_of_value() {
        let (id, label, life) = (String::new(), String::new(), Life::default());
        let option = |value: &str| Offered { value: value.into(), label: value.to_uppercase() };
        let options = vec![option("a"), option("b")];
        let select = Action::Select { id: id.clone(), label: label.clone(), options, life: life.clone() };
        let (min, max) = (Some("2026-02-01".to_owned()), Some("2026-03-01".to_owned()));
        let date = Action::Date { id, label, min, max, life };
        let link = Action::Link { label: String::new(), url: String::new() };
        let cases = [
            (&select, json!("a"), Ok(Some("a"))),
            (&select, json!("A"), Err("choice")),
            (&select, Value::Null, Err("required")),
            (&date, json!("2026-02-28"), Ok(Some("2026-02-28"))),
            (&date, json!("2026-02-29"), Err("type")),
            (&date, json!("2026-01-31"), Err("range")),
            (&date, json!("2026-03-02"), Err("range")),
            (&date, json!({}), Err("required")),
            (&link, Value::Null, Ok(None)),
            (&link, json!("x"), Err("type")),
        ];
        for (look, value, expected) in cases {
            assert_eq!(check_value(look, &value).map_err(|(code, _)| code), expected, "{look:?} {value}");
        }
    }

    #[test]
    fn a_form_takes_text_numbers_and_booleans() {
        let values = fields(&json!({ "a": "x", "b": 2, "c": true, "d": null })).unwrap();
        assert_eq!(json!(values), json!({ "a": "x", "b": "2", "c": "true" }));
        for wrong in [json!("x"), Value::Null, json!({ "a": ["x"] })] {
            assert_eq!(fields(&wrong).unwrap_err().code, "VALIDATION_FAILED", "{wrong}");
        }
    }
}
