//! Commands that are done by processes elsewhere.
//!
//! A run is stored together with a delivery. A process that serves the bot claims it, has it for as long as it keeps the
//! lease, and reports what the run says; a process that is lost loses its deliveries to the next one, up to a limit.
//! Everything it reports is checked against the attempt it was given.
//!
//! `process` is one of them as seen from here, `report` what it says, `deadline` what happens when it says nothing,
//! `cancel` how a run is stopped. What a run says last always has the delivery's id: it ends whatever was streamed of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::Engine;
use super::answer::{Answer, Speaker, named, register};
use super::data;
use super::invoke::{Invoked, Place, Prepared};
use super::runner::{approved, new_execution, record_run};
use crate::clock::rfc3339;
use crate::model::command::Remote as Body;
use crate::model::conversation::Millis;
use crate::model::event::Stream;
use crate::model::execution::ExecutionStatus;
use crate::model::id::new_id;
use crate::model::message::{Message, Part, Tone, escape_markdown};
use crate::model::principal::Principal;
use crate::model::{Error, Result};
use crate::store::delivery::{AnswerPlace, Delivery, Ending, NewDelivery, Posting, execution_update};
use crate::store::execution::NewExecution;

mod cancel;
mod deadline;
mod message;
mod process;
mod report;

pub use deadline::keep_deadlines;
pub use process::{Order, Process, Seat, Service, Withdrawal};
pub use report::Outcome;

/// How long a process has a delivery without a word.
pub const LEASE: Millis = 30 * 1000;

/// How often a delivery may be lost before its run has failed.
const MOST_LOSSES: i64 = 5;

/// The processes that serve bots here, and what wakes who waits for work or for a deadline.
#[derive(Default)]
pub(super) struct Remote {
    seats: Mutex<BTreeMap<u64, Arc<Seat>>>,
    next_seat: std::sync::atomic::AtomicU64,
    deadlines: Notify,
}

impl Remote {
    fn seats(&self) -> Vec<Arc<Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// There is work that was not there before: of one bot, or of any.
    fn wake(&self, bot: Option<&str>) {
        self.seats().iter().filter(|seat| bot.is_none_or(|bot| seat.serves(bot))).for_each(|seat| seat.wake());
        self.deadlines.notify_one();
    }
}

/// Stores a run with its delivery, and with what was said; the answer comes later.
pub(super) async fn start(
    engine: &Engine,
    principal: &Principal,
    prepared: &Prepared,
    place: Place,
    body: Body,
) -> Result<Invoked> {
    let now = engine.clock().now();
    let run = new_execution(principal, prepared, &place, now)?;
    let answer_place = match &place {
        Place::Poll { .. } | Place::Approved { .. } => None,
        Place::Conversation { turn, .. } => Some(AnswerPlace {
            conversation: turn.conversation.clone(),
            owner: turn.owner.clone(),
            reply_to: turn.answered().unwrap_or_default().to_owned(),
        }),
    };
    let delivery = NewDelivery {
        id: new_id(),
        bot: run.bot.clone(),
        command: run.command.clone(),
        event: event(principal, prepared, &run).to_string(),
        place: answer_place,
        created_at: now,
        expires_at: now.saturating_add(body.timeout),
    };
    let run = NewExecution { delivery: Some(delivery), ..run };
    let bot = run.bot.clone();
    let invoked = match place {
        Place::Poll { idempotency_key, body_hash } => {
            let update = execution_update(&run.id, ExecutionStatus::Pending, None, now)?;
            let run = NewExecution { idempotency_key, body_hash, ..run };
            engine.store().start_execution(run, vec![update]).await.map(Invoked::Polled)?
        }
        Place::Approved { .. } => {
            let update = execution_update(&run.id, ExecutionStatus::Pending, None, now)?;
            approved(engine, run, update).await?
        }
        Place::Conversation { mut turn, waiting, .. } => {
            record_run(&mut turn, run, waiting.is_some())?;
            engine.store().commit_turn(*turn).await.map(Invoked::Said)?
        }
    };
    engine.remote.wake(Some(&bot));
    Ok(invoked)
}

/// What a process is told about a run.
fn event(principal: &Principal, prepared: &Prepared, run: &NewExecution) -> Value {
    let source = &prepared.source;
    let record = Value::from(source.record.clone());
    json!({
        "execution_id": run.id,
        "bot_id": run.bot,
        "command": run.command,
        "parameters": data::parameters(prepared),
        "mapped_parameters": prepared.mapped,
        "matches": prepared.matches,
        "raw_message": record.get("raw_message"),
        "user": { "id": principal.id, "name": principal.name, "roles": principal.roles, "groups": principal.groups },
        "conversation": source.conversation,
        "channel": source.channel,
        "source": record.get("source"),
        "created_at": rfc3339(run.created_at),
    })
}

impl Engine {
    /// Something a run says in its conversation, if it has one. What it offers is for who started the run.
    async fn posting(&self, delivery: &Delivery, id: String, message: &Message, at: Millis) -> Result<Option<Posting>> {
        let Some(place) = delivery.place.as_ref().filter(|_| message.is_for_here()) else { return Ok(None) };
        let name = self.display_name(&delivery.bot);
        let speaker = Speaker { id: &delivery.bot, name: &name };
        let mut message = message.clone();
        let named = message.key.take().map(|key| named(id.clone(), &delivery.bot, key, &message)).transpose()?;
        let offers = std::mem::take(&mut message.offers);
        let mut actions = Vec::new();
        if !offers.is_empty() {
            let run = self.store().execution(&delivery.execution).await?;
            let run = run.ok_or_else(|| Error::internal("offer actions", "the run is not there"))?;
            let target = (delivery.bot.as_str(), run.principal.as_str());
            let (shown, registered) = register(offers, &place.conversation, &id, target, at)?;
            message.actions.extend(shown);
            actions = registered;
        }
        let answer = Answer { conversation: &place.conversation, reply_to: Some(&place.reply_to), message };
        let event = answer.event_of(id, speaker, Some((&delivery.execution, &delivery.command)), at)?;
        Ok(Some(Posting { place: place.clone(), event, named, actions }))
    }

    fn display_name(&self, bot: &str) -> String {
        let snapshot = self.registry().snapshot();
        snapshot.bot(bot).map_or_else(|| bot.to_owned(), |loaded| loaded.bot.display_name.clone())
    }

    /// The end of a delivery's run; its last message has the delivery's id.
    async fn ending(
        &self,
        delivery: &Delivery,
        status: ExecutionStatus,
        message: Message,
        error: Option<String>,
    ) -> Result<Ending> {
        let at = self.clock().now();
        Ok(Ending {
            execution: delivery.execution.clone(),
            status,
            error,
            posting: self.posting(delivery, delivery.id.clone(), &message, at).await?,
            update: execution_update(&delivery.execution, status, Some("reply"), at)?,
            message,
            at,
        })
    }
}

/// The stream a delivery's reply is written in: its conversation's, or the run's own when whoever started it polls.
fn stream(delivery: &Delivery) -> Stream {
    match &delivery.place {
        Some(place) => Stream::conversation(&place.conversation),
        None => Stream::execution(&delivery.execution),
    }
}

/// `**name** …`, and below it what the run had said of its answer until then.
fn broken_off(command: &str, what: &str, tone: Tone, so_far: &str) -> Message {
    let message = Message::text(format!("**{}** {what}", escape_markdown(command))).tone(tone);
    match so_far.trim() {
        "" => message,
        _ => message.part(Part::Markdown { text: so_far.to_owned() }),
    }
}

/// The refusal of something that a process said.
fn refused(code: &'static str, message: impl Into<String>, field: &str) -> Error {
    Error::new(crate::model::Kind::Invalid, code, message).details(json!({ "field": field }))
}
