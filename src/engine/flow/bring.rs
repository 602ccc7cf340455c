//! The one way in which a run comes further: read it, plan, commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::card;
use super::next::{Known, Next, Offered, take_next};
use super::rows;
use super::start::Beginning;
use crate::clock::rfc3339;
use crate::engine::Engine;
use crate::engine::answer::raw;
use crate::engine::plan::{self, Ended, Fault, Journal, Outcomes, Row, StepStatus, Wish, advance, outline};
use crate::flow::Flow;
use crate::model::conversation::Millis;
use crate::model::event::{NewEvent, Stream};
use crate::model::execution::ExecutionStatus;
use crate::model::id::new_id;
use crate::model::message::Message;
use crate::model::offer::Deed;
use crate::model::principal::Principal;
use crate::model::{Error, Result};
use crate::store::action::Registered;
use crate::store::delivery::AnswerPlace;
use crate::store::execution::NewExecution;
use crate::store::log::Receipt;
use crate::store::run::{RUN_CHANGED, Run, RunCommit, RunState, Signal};
use crate::store::step::{Claim, Hold, Lease, StepRow};
use crate::store::turn::Turn;
use crate::store::workflow::NewDefinition;

/// How often it is planned again because somebody else was faster.
const TRIES: u32 = 25;

/// What is done to a run before it is planned.
#[derive(Default)]
pub(super) struct Nudge {
    pub(super) outcomes: Outcomes,
    /// The claims that the outcomes are of.
    pub(super) attempts: Vec<(Claim, &'static str)>,
    pub(super) effects: plan::Effects,
    /// What was done in its conversation.
    pub(super) turn: Option<Turn>,
    /// Another document to go on with.
    pub(super) definition: Option<(NewDefinition, Arc<Flow>)>,
    /// Ends it here and now, whatever its steps say.
    pub(super) ended: Option<Ended>,
    /// Goes on with a run that has ended.
    pub(super) reopens: bool,
    pub(super) admits: Option<(String, i64)>,
    /// Plans nothing yet: it is looked at again once this is committed.
    pub(super) later: bool,
    /// Commits even when nothing came of it.
    pub(super) always: bool,
    /// Who asks goes on with a step that may begin at once, if there is one: its lease lasts until then.
    pub(super) goes_on: Option<Millis>,
}

/// A run after it came further.
pub(super) struct Brought {
    pub(super) journal: Journal,
    pub(super) receipt: Option<Receipt>,
    /// Whether anything came of it.
    pub(super) changed: bool,
    /// The step to go on with, for who wanted one.
    pub(super) next: Option<Next>,
}

/// What a run is, as far as what comes of it needs to know.
pub(super) struct About<'a> {
    pub(super) execution: &'a str,
    pub(super) title: &'a str,
    pub(super) bot: &'a str,
    pub(super) command: &'a str,
    /// Id of who started it.
    pub(super) principal: &'a str,
    pub(super) place: Option<&'a AnswerPlace>,
    pub(super) parent: Option<(&'a str, &'a str)>,
    pub(super) depth: i64,
    /// Who starts it, while it is not stored.
    pub(super) actor: Option<&'a Principal>,
    /// Whether it has spoken in its conversation before.
    pub(super) is_new: bool,
}

/// What is to be committed of a plan.
pub(super) struct Products {
    pub(super) rows: Vec<(StepRow, Hold)>,
    pub(super) events: Vec<NewEvent>,
    pub(super) messages: Vec<Message>,
    /// What is said in the conversation.
    pub(super) posts: Vec<Message>,
    pub(super) children: Vec<NewExecution>,
    pub(super) signals: Vec<Signal>,
    pub(super) state: RunState,
    pub(super) status: ExecutionStatus,
    pub(super) error: Option<String>,
}

impl Engine {
    /// Brings a run further, again and again until nobody else was faster.
    pub(super) async fn bring<F>(&self, execution: &str, nudge: F) -> Result<Option<Brought>>
    where
        F: Fn(&Arc<Flow>, &Run, &mut Journal) -> Result<Nudge> + Send + Sync,
    {
        self.bring_known(execution, None, nudge).await
    }

    /// The same for a run that need not be read, unless it has come further since.
    pub(super) async fn bring_known<F>(
        &self,
        execution: &str,
        mut known: Option<Known>,
        nudge: F,
    ) -> Result<Option<Brought>>
    where
        F: Fn(&Arc<Flow>, &Run, &mut Journal) -> Result<Nudge> + Send + Sync,
    {
        let _held = self.flows.lock(execution).await;
        let mut tries = 0;
        loop {
            let known = match known.take() {
                Some(known) => known,
                None => {
                    let Some(run) = self.store().run(execution).await? else { return Ok(None) };
                    let journal = rows::journal(&run, self.store().steps(execution).await?)?;
                    Known { run, journal }
                }
            };
            let outcome = Box::pin(self.try_to_bring(known, &nudge)).await;
            tries += 1;
            match outcome {
                Err(error) if error.code == RUN_CHANGED && tries < TRIES => {}
                outcome => return outcome,
            }
        }
    }

    async fn try_to_bring<F>(&self, known: Known, nudge: &F) -> Result<Option<Brought>>
    where
        F: Fn(&Arc<Flow>, &Run, &mut Journal) -> Result<Nudge> + Send + Sync,
    {
        let now = self.clock().now();
        let Known { run, mut journal } = known;
        let mut flow = self.pinned(&run.definition).await?;
        let wish = journal.wish;
        let nudge = nudge(&flow, &run, &mut journal)?;
        if !run.is_open && !nudge.reopens {
            return Ok(None);
        }
        let definition = nudge.definition.map(|(definition, other)| {
            flow = other;
            definition
        });
        let offered = nudge.goes_on.map(|_| Offered::of(&journal)).unwrap_or_default();
        let mut effects = nudge.effects;
        match nudge.ended {
            Some(ended) => effects.ended = Some(ended),
            None if nudge.later => {}
            None => {
                let more = advance(&flow, &mut journal, nudge.outcomes, now);
                effects.touched.extend(more.touched);
                effects.fenced.extend(more.fenced);
                effects.sayings.extend(more.sayings);
                effects.questions.extend(more.questions);
                effects.children.extend(more.children);
                effects.emitted.extend(more.emitted);
                effects.logged.extend(more.logged);
                effects.unresolved.extend(more.unresolved);
                effects.next = more.next;
                effects.ended = more.ended;
            }
        }
        let changed = !effects.touched.is_empty() || effects.ended.is_some() || journal.wish != wish || nudge.always;
        if !changed && nudge.turn.is_none() && nudge.attempts.is_empty() {
            return Ok(Some(Brought { journal, receipt: None, changed: false, next: None }));
        }
        let about = About {
            execution: &run.execution,
            title: &run.title,
            bot: &run.bot,
            command: &run.command,
            principal: &run.principal,
            place: run.place.as_ref(),
            parent: run.parent.as_ref().map(|(parent, path)| (parent.as_str(), path.as_str())),
            depth: run.depth,
            actor: None,
            is_new: false,
        };
        let mut products = self.products(&about, &flow, &mut journal, &effects, run.deadline, now).await?;
        if nudge.later {
            products.state.deadline = Some(now);
        }
        let fenced = effects.fenced.clone();
        let ended = effects.ended.is_some();
        let mut turn = nudge.turn;
        if let Some(place) = &run.place
            && !products.posts.is_empty()
        {
            let turn = turn.get_or_insert_with(|| empty_turn(place, now));
            for message in &products.posts {
                self.post_of_run(turn, &about, message.clone(), now)?;
            }
        }
        let is_plain = super::due::is_plain(products.rows.iter().map(|(row, _)| row), &products.state, now)
            && products.signals.is_empty()
            && products.children.is_empty()
            && !nudge.always
            && !(ended && run.concurrency_key.is_some());
        let goes_on = nudge.goes_on.filter(|_| definition.is_none() && journal.wish == Wish::Run && !ended);
        let next = goes_on.and_then(|until| {
            let lease = Lease { worker: self.flows.worker.clone(), until };
            take_next(&mut products.rows, &mut journal, &offered, lease, now)
        });
        let waits = products.rows.iter().any(|(row, _)| row.status == StepStatus::Ready.as_str());
        let held = nudge.attempts.first().map(|(claim, _)| claim.clone());
        let commit = RunCommit {
            execution: run.execution.clone(),
            revision: run.revision,
            attempts: nudge.attempts,
            rows: products.rows,
            state: products.state,
            definition,
            changes_execution: ended || run.started_at.is_none() || run.status != products.status,
            status: products.status,
            error: products.error,
            finished_at: ended.then_some(now),
            events: products.events,
            messages: products.messages,
            turn: turn.map(Box::new),
            children: products.children,
            signals: products.signals,
            admits: nudge.admits,
            at: now,
        };
        let (status, deadline) = (commit.status, commit.state.deadline);
        crate::crash_point::reached("run.committing");
        let receipt = self.store().commit_run(commit).await?;
        crate::crash_point::reached("run.committed");
        if !fenced.is_empty() {
            self.flows.abort(&run.execution, |path| fenced.contains(path));
        }
        if ended {
            self.flows.actions.end(&run.execution);
        }
        if waits || !is_plain || ended || next.is_none() {
            self.flows.stir(is_plain);
        }
        let next = next.map(|row| {
            let claim = Claim { execution: run.execution.clone(), path: row.path.clone(), fence: row.fence };
            if let Some(held) = &held {
                // While the run is held: whoever takes the step away finds its work.
                self.flows.move_on(held, &claim);
            }
            let started_at = run.started_at.or(Some(now));
            journal.started_at = started_at.unwrap_or(journal.started_at);
            Next::new(claim, row, Run { revision: run.revision + 1, status, started_at, deadline, ..run })
        });
        Ok(Some(Brought { journal, receipt, changed: true, next }))
    }

    /// What is to be written down of what was planned.
    pub(super) async fn products(
        &self,
        about: &About<'_>,
        flow: &Flow,
        journal: &mut Journal,
        effects: &plan::Effects,
        deadline: Option<Millis>,
        at: Millis,
    ) -> Result<Products> {
        let mut children = Vec::new();
        for child in &effects.children {
            match Box::pin(self.begin_child(about, journal, child, at)).await {
                Ok(execution) => children.push(execution),
                // The step learns it as the end of a run that never was.
                Err(error) => {
                    let fault = json!({ "status": "failed", "error": { "code": error.code.to_lowercase(), "message": error.message } });
                    if let Some(row) = journal.rows.get_mut(&child.path).filter(|row| !row.status.is_final()) {
                        row.signal = fault;
                        row.ready_at = Some(at);
                    }
                }
            }
        }
        let mut signals = Vec::new();
        for emitted in &effects.emitted {
            for (execution, path, data) in self.store().waiting_for(&emitted.topic).await? {
                let data: Value = serde_json::from_str(&data).unwrap_or_default();
                let key = &data["key"];
                if key.is_null() || *key == emitted.data["key"] || *key == emitted.data {
                    let value = json!({ "topic": emitted.topic, "data": emitted.data }).to_string();
                    signals.push(Signal { execution, path, value });
                }
            }
        }
        for (path, level, message) in &effects.logged {
            match level.as_str() {
                "error" => tracing::error!(execution = about.execution, step = path, "{message}"),
                "warn" => tracing::warn!(execution = about.execution, step = path, "{message}"),
                "debug" => tracing::debug!(execution = about.execution, step = path, "{message}"),
                _ => tracing::info!(execution = about.execution, step = path, "{message}"),
            }
        }
        let (status, output, error) = match &effects.ended {
            Some(ended) => (ended.status, Some(ended.output.clone()), ended.error.clone()),
            None => match journal.wish {
                Wish::Pause => (ExecutionStatus::Paused, None, None),
                Wish::Queue => (ExecutionStatus::Pending, None, None),
                Wish::Run | Wish::Cancel => (ExecutionStatus::Running, None, None),
            },
        };
        if let (Some(ended), Some((parent, path))) = (&effects.ended, about.parent) {
            let error = ended.error.as_ref().map(Fault::value);
            let value = json!({ "status": ended.status.as_str(), "output": ended.output, "error": error }).to_string();
            signals.push(Signal { execution: parent.to_owned(), path: path.to_owned(), value });
        }
        // What no document says about a call, its connector does.
        for path in &effects.touched {
            if let Some(row) = journal.rows.get_mut(path).filter(|row| row.data["declared"] == json!(false)) {
                let of = |key: &str| row.input[key].as_str().unwrap_or_default().to_owned();
                let effect = self.flows.actions.effect(&of("connector"), &of("action"), &row.input["with"]);
                row.effect = effect.unwrap_or(row.effect);
                row.data["declared"] = json!(true);
            }
        }
        let rows = effects
            .touched
            .iter()
            .filter_map(|path| journal.rows.get(path))
            .map(|row| {
                let hold = if effects.fenced.contains(&row.path) { Hold::Fence } else { Hold::Keep };
                Ok((rows::row(row)?, hold))
            })
            .collect::<Result<Vec<_>>>()?;
        let (posts, last) = card::posts(about, flow, journal, effects, status)?;
        let mut messages: Vec<Message> = effects.sayings.iter().map(|saying| saying.message.clone()).collect();
        messages.extend(last);
        let json = |error: serde_json::Error| Error::internal("write a run", error);
        Ok(Products {
            events: updates(about, flow, journal, effects, status, at)?,
            rows,
            messages,
            posts,
            children,
            signals,
            state: RunState {
                vars: Value::Object(journal.vars.clone()).to_string(),
                output: output.map(|output| output.to_string()),
                error: error.as_ref().map(serde_json::to_string).transpose().map_err(json)?,
                halted: journal.halted.as_ref().map(serde_json::to_string).transpose().map_err(json)?,
                wish: journal.wish.as_str(),
                is_open: effects.ended.is_none(),
                // What ended a run early is over once it has.
                deadline: deadline.filter(|_| effects.ended.is_none() && journal.halted.is_none()),
            },
            status,
            error: error.map(|fault| fault.message),
        })
    }
}

/// A turn in which the house says something by itself.
pub(super) fn empty_turn(place: &AnswerPlace, at: Millis) -> Turn {
    Turn {
        conversation: place.conversation.clone(),
        owner: place.owner.clone(),
        said: None,
        body_hash: String::new(),
        files: Vec::new(),
        at,
        dialog: None,
        execution: None,
        follows: Vec::new(),
        beside: None,
        outside: None,
    }
}

/// What the readers of a run hear: one update for each step that changed, or one of the run alone.
fn updates(
    about: &About<'_>,
    flow: &Flow,
    journal: &Journal,
    effects: &plan::Effects,
    status: ExecutionStatus,
    at: Millis,
) -> Result<Vec<NewEvent>> {
    let lines = outline(flow, journal);
    let index = lines.iter().take_while(|line| line.status().is_final()).count();
    let names: BTreeMap<&str, &str> = lines.iter().map(|line| (line.path.as_str(), line.step.title())).collect();
    let mut datas = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for path in effects.touched.iter().filter(|path| seen.insert(path.as_str())) {
        let Some(row) = journal.rows.get(path) else { continue };
        let mut data = base(about, status, index, lines.len());
        data["step_result"] = step_result(row, names.get(path.as_str()).copied().unwrap_or(path));
        datas.push(data);
    }
    if datas.is_empty() || effects.ended.is_some() || about.is_new {
        let mut data = base(about, status, index, lines.len());
        if let Some(fault) = effects.ended.as_ref().and_then(|ended| ended.error.as_ref()) {
            data["error"] = json!(fault.message);
        }
        if about.is_new {
            datas.insert(0, data);
        } else {
            datas.push(data);
        }
    }
    let mut events = Vec::with_capacity(datas.len() * 2);
    for data in datas {
        let event = |stream, payload: Value| -> Result<NewEvent> {
            Ok(NewEvent {
                stream,
                id: new_id(),
                kind: "execution_update",
                principal: None,
                client_id: None,
                payload: raw(&payload)?,
                created_at: at,
            })
        };
        events.push(event(Stream::execution(about.execution), json!({ "data": data }))?);
        let whose = json!({ "starter": about.principal, "bot": about.bot, "command": about.command });
        events.push(event(Stream::runs(), json!({ "whose": whose, "data": data }))?);
    }
    Ok(events)
}

fn base(about: &About<'_>, status: ExecutionStatus, index: usize, total: usize) -> Value {
    json!({
        "execution_id": about.execution, "status": status.as_str(), "current_step_index": index, "total_steps": total,
    })
}

fn step_result(row: &Row, name: &str) -> Value {
    let mut result = json!({
        "step_id": row.path, "step_name": name, "status": row.status.shown(),
        "started_at": row.started_at.map(rfc3339),
    });
    if let Some(at) = row.finished_at {
        result["completed_at"] = json!(rfc3339(at));
    }
    if let Some(fault) = &row.error {
        result["error"] = json!(fault.message);
    }
    result
}

impl Engine {
    /// Adds something that a run says to a turn of its conversation.
    pub(super) fn post_of_run(
        &self,
        turn: &mut Turn,
        about: &About<'_>,
        mut message: Message,
        at: Millis,
    ) -> Result<()> {
        let form = message.form.clone().and_then(|form| message.offers.pop().map(|offer| (form, offer)));
        let snapshot = self.registry().snapshot();
        let name = snapshot.bot(about.bot).map_or_else(|| about.bot.to_owned(), |bot| bot.bot.display_name.clone());
        let speaker = crate::engine::answer::Speaker { id: about.bot, name: &name };
        let to = about.place.map_or(about.principal, |place| place.owner.as_str()).to_owned();
        let reply_to = match &turn.said {
            Some(said) if about.is_new => Some(said.id.clone()),
            _ => about.place.map(|place| place.reply_to.clone()),
        };
        let run = Some((about.execution, about.command));
        let id = crate::engine::answer::answer_to(turn, message, (speaker, &to), run, reply_to.as_deref(), at)?;
        if let Some((form, offer)) = form
            && let Some(deed) = offer.deed
        {
            let given_up = match &deed {
                Deed::Answer { execution, path, .. } => {
                    let (execution, path) = (execution.clone(), path.clone());
                    Deed::Answer { execution, path, answer: json!({ "cancelled": true }) }
                }
                other => other.clone(),
            };
            let conversation = turn.conversation.clone();
            for (id_of, deed) in [(form.id, deed), (form.cancel_id, given_up)] {
                turn.beside().actions.push(Registered {
                    id: id_of,
                    conversation: conversation.clone(),
                    message: id.clone(),
                    principal: to.clone(),
                    look: offer.action.clone(),
                    deed,
                    single_use: true,
                    expires_at: offer.ttl.map(|ttl| at + ttl),
                    used_at: None,
                });
            }
        }
        Ok(())
    }

    /// A run that has just been planned for the first time.
    pub(super) async fn planned_run(&self, beginning: &Beginning<'_>, at: Millis) -> Result<(Products, Journal)> {
        let mut journal = beginning.journal(at);
        let effects = advance(&beginning.flow, &mut journal, Outcomes::new(), at);
        let products = self
            .products(&beginning.about(), &beginning.flow, &mut journal, &effects, beginning.deadline(at), at)
            .await?;
        Ok((products, journal))
    }
}
