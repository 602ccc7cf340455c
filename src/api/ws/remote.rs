//! A socket that is a process of a bot: what it is told, and what it reports.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::bot_message::BotMessage;
use super::frame::{self, RunStatus};
use super::request::Asker;
use crate::engine::remote::{LEASE, Order, Outcome, Process, Seat, Service};
use crate::model::message::Message;
use crate::model::{Error, Kind, Result};

/// What a process says, as a text or as a message.
pub(super) struct Words {
    pub(super) content: Option<String>,
    pub(super) message: Option<BotMessage>,
}

impl Words {
    fn message(self) -> Result<Option<Message>> {
        match (self.content, self.message) {
            (Some(_), Some(_)) => {
                Err(Error::invalid("give content or message, not both").details(json!({ "field": "message" })))
            }
            (content, None) => Ok(content.map(Message::text)),
            (None, Some(message)) => message.message().map(Some),
        }
    }
}

/// What a process reports of a delivery.
pub(super) struct Report {
    delivery: String,
    attempt: Option<i64>,
    what: What,
}

pub(super) enum What {
    Done { status: RunStatus, words: Words, error: Option<String> },
    Nack { retry_after_ms: Option<i64> },
    Extend,
    Chunk { offset: usize, delta: String },
    Say { words: Words },
}

impl Report {
    pub(super) fn of(delivery: String, attempt: Option<i64>, what: What) -> Self {
        Self { delivery, attempt, what }
    }
}

/// The next order to the process; never, when the socket is none.
pub(super) async fn next_order(process: Option<&mut Process>) -> Order {
    match process {
        Some(process) => process.next().await,
        None => std::future::pending().await,
    }
}

#[derive(Serialize)]
struct Deliver<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    delivery_id: &'a str,
    attempt: i64,
    lease_ms: i64,
    event: Option<Box<RawValue>>,
}

/// An order as a frame.
pub(super) fn order(order: Order) -> String {
    match order {
        Order::Deliver(delivery) => {
            // It was JSON when it was stored and is passed on as it is.
            let event: Option<Box<RawValue>> = serde_json::from_str(&delivery.event).ok();
            let (delivery_id, attempt) = (&delivery.id, delivery.attempt);
            frame::text(&Deliver { kind: "deliver", delivery_id, attempt, lease_ms: LEASE, event })
        }
        Order::Withdraw { delivery, why } => {
            frame::text(&json!({ "type": "cancelled", "delivery_id": delivery, "reason": why.as_str() }))
        }
    }
}

impl Asker {
    /// Makes the socket a process of a bot's, and says what it is seated for.
    pub(super) fn register(
        self,
        id: Option<&str>,
        service: Service,
        is_taken: bool,
        plain: bool,
    ) -> Result<(Process, String)> {
        if plain {
            return Err(Error::invalid("a process of a bot speaks the subprotocol parlour.v1"));
        }
        if is_taken {
            return Err(Error::conflict("ALREADY_REGISTERED", "this socket serves a bot already; open another one"));
        }
        let process = self.api.engine.serve(&self.caller.principal, service, &self.api.tasks)?;
        let seat = &process.seat;
        let answer = frame::text(&json!({
            "type": "registered", "id": id, "bot_id": seat.bot, "commands": seat.commands,
            "max_in_flight": seat.max_in_flight, "lease_ms": LEASE,
        }));
        Ok((process, answer))
    }

    /// Does what a report says. Acknowledged when the frame has an id.
    pub(super) async fn report(
        self,
        id: Option<String>,
        seat: Option<Arc<Seat>>,
        report: Report,
    ) -> Result<Option<String>> {
        let unregistered = || Error::new(Kind::Forbidden, "NOT_REGISTERED", "register this socket for a bot first");
        let seat = seat.ok_or_else(unregistered)?;
        let engine = &self.api.engine;
        let Report { delivery, attempt, what } = report;
        let target = (delivery.as_str(), attempt);
        let mut ack = Map::new();
        match what {
            What::Done { status, words, error } => {
                let (outcome, word) = match status {
                    RunStatus::Completed => (Outcome::Completed, "completed"),
                    RunStatus::Failed => (Outcome::Failed, "failed"),
                };
                engine.finish_run(&seat, target, outcome, words.message()?, error).await?;
                ack.insert("status".into(), json!(word));
            }
            What::Nack { retry_after_ms } => engine.give_back(&seat, target, retry_after_ms).await?,
            What::Extend => {
                engine.extend_lease(&seat, &delivery, attempt).await?;
                ack.insert("lease_ms".into(), json!(LEASE));
            }
            What::Chunk { offset, delta } => engine.stream_reply(&seat, target, offset, &delta).await?,
            What::Say { words } => {
                let key = id.as_deref().unwrap_or_default();
                let message = words.message()?.unwrap_or_default();
                let (duplicate, message_id) = engine.say_of_run(&seat, target, key, message).await?;
                ack.insert("message_id".into(), json!(message_id));
                ack.insert("duplicate".into(), json!(duplicate));
            }
        }
        Ok(id.map(|id| {
            let mut frame = Map::new();
            frame.insert("type".into(), json!("ack"));
            frame.insert("id".into(), json!(id));
            frame.insert("delivery_id".into(), json!(delivery));
            frame.append(&mut ack);
            frame::text(&Value::Object(frame))
        }))
    }
}
