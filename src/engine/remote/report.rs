//! What a process reports of a delivery: pieces of the reply, messages before the end, the end.

use std::sync::Arc;

use serde_json::json;

use super::super::Engine;
use super::process::Seat;
use super::{LEASE, broken_off, refused, stream};
use crate::bus::{MOST_REPLY_BYTES, NotGrown};
use crate::model::conversation::Millis;
use crate::model::execution::ExecutionStatus;
use crate::model::id::sha256_hex;
use crate::model::message::{Message, Tone, escape_markdown};
use crate::model::{Error, Kind, Result};
use crate::store::delivery::{Delivery, Fence, lost};

/// The shortest and the longest time after which a process wants to be asked again, in milliseconds.
const SOONEST_RETRY: Millis = 100;
const LATEST_RETRY: Millis = 60 * 60 * 1000;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    Failed,
}

fn fence(delivery: &Delivery) -> Fence {
    Fence { delivery: delivery.id.clone(), attempt: delivery.attempt }
}

impl Engine {
    /// Passes a piece of the reply on to who reads the conversation now. `offset` counts Unicode scalar values.
    pub async fn stream_reply(
        &self,
        seat: &Seat,
        (id, attempt): (&str, Option<i64>),
        offset: usize,
        delta: &str,
    ) -> Result<()> {
        let delivery = self.held(seat, id, attempt).await?;
        self.bus().grow_reply(&stream(&delivery), id, offset, delta).map_err(|why| match why {
            NotGrown::Unknown => lost(id),
            NotGrown::Offset(expected) => {
                let message = format!("the next piece begins at {expected}, not at {offset}");
                Error::conflict("CHUNK_OFFSET", message).details(json!({ "delivery_id": id, "expected": expected }))
            }
            NotGrown::TooLarge => {
                let message = format!("a reply has at most {MOST_REPLY_BYTES} bytes");
                Error::new(Kind::TooLarge, "REPLY_TOO_LARGE", message).details(json!({ "delivery_id": id }))
            }
        })?;
        // Who goes on writing is there.
        if seat.is_half_over(id, self.clock().now()) {
            self.extend_lease(seat, id, attempt).await?;
        }
        Ok(())
    }

    /// Keeps a lease for another while.
    pub async fn extend_lease(&self, seat: &Seat, id: &str, attempt: Option<i64>) -> Result<()> {
        let delivery = self.held(seat, id, attempt).await?;
        let lease_until = self.clock().now() + LEASE;
        let extended = self.store().extend_lease(fence(&delivery), lease_until).await;
        self.keep(seat, &delivery, lease_until, extended)
    }

    /// Says something before the end, once for each key whatever the number of attempts; answers whether it had been
    /// said before, and the id of the message that says it: an earlier one of the same name, or none when it was dropped.
    pub async fn say_of_run(
        &self,
        seat: &Seat,
        (id, attempt): (&str, Option<i64>),
        key: &str,
        message: Message,
    ) -> Result<(bool, Option<String>)> {
        let delivery = self.held(seat, id, attempt).await?;
        self.check_message(&delivery.bot, &message)?;
        if message.text.trim().is_empty() && message.parts.is_empty() {
            return Err(refused("INVALID_REQUEST", "a message needs some content", "message"));
        }
        let now = self.clock().now();
        let posting = self.posting(&delivery, said_id(id, key), &message, now).await?;
        let lease_until = now + LEASE;
        let said = self.store().say_of_delivery(&delivery, key, (message, posting), now, lease_until).await;
        let said = self.keep(seat, &delivery, lease_until, said)?;
        Ok((said.duplicate, said.message))
    }

    /// Ends a run. Without a message its reply is what was streamed.
    pub async fn finish_run(
        &self,
        seat: &Seat,
        (id, attempt): (&str, Option<i64>),
        outcome: Outcome,
        message: Option<Message>,
        error: Option<String>,
    ) -> Result<()> {
        let delivery = self.held(seat, id, attempt).await?;
        message.as_ref().map_or(Ok(()), |message| self.check_message(&delivery.bot, message))?;
        let held = self.bus().hold_reply(&stream(&delivery), id);
        let so_far = held.as_ref().map_or("", |held| held.content.as_str());
        let (status, message, error) = match outcome {
            Outcome::Completed => {
                let message = message.unwrap_or_default();
                (ExecutionStatus::Completed, completed(&delivery, message, so_far), None)
            }
            Outcome::Failed => {
                let error = error.filter(|error| !error.trim().is_empty());
                let error = error.unwrap_or_else(|| "the bot gave no reason".to_owned());
                let what = format!("failed: {}", escape_markdown(&error));
                let told = message.unwrap_or_else(|| broken_off(&delivery.command, &what, Tone::Error, so_far));
                (ExecutionStatus::Failed, told, Some(error))
            }
        };
        let ending = self.ending(&delivery, status, message, error).await?;
        let finished = self.store().finish_delivery(fence(&delivery), ending).await;
        drop(held);
        if finished.is_ok() {
            self.bus().end_reply(&stream(&delivery), id);
        }
        if finished.as_ref().err().is_none_or(is_final) {
            seat.forget(&fence(&delivery));
        }
        finished
    }

    /// Gives a delivery back undone, to be given out again after a while.
    pub async fn give_back(
        &self,
        seat: &Seat,
        (id, attempt): (&str, Option<i64>),
        retry_after: Option<Millis>,
    ) -> Result<()> {
        let delivery = self.held(seat, id, attempt).await?;
        let retry_after = retry_after.unwrap_or(1000).clamp(SOONEST_RETRY, LATEST_RETRY);
        let ready_at = self.clock().now().saturating_add(retry_after);
        let released = self.store().release_delivery(fence(&delivery), ready_at, false).await?;
        seat.forget(&fence(&delivery));
        self.remote.deadlines.notify_one();
        if released { Ok(()) } else { Err(self.store().why_not_held(id, &seat.bot).await?) }
    }

    /// The delivery that a process reports of, when it has it in that attempt.
    async fn held(&self, seat: &Seat, id: &str, attempt: Option<i64>) -> Result<Arc<Delivery>> {
        match seat.find(id) {
            Some(delivery) if attempt.is_none_or(|attempt| attempt == delivery.attempt) => Ok(delivery),
            Some(_) => Err(lost(id)),
            None => Err(self.store().why_not_held(id, &seat.bot).await?),
        }
    }

    /// Notes what a write said about a lease: kept, or lost.
    fn keep<T>(&self, seat: &Seat, delivery: &Delivery, lease_until: Millis, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Ok(_) => seat.extended(&delivery.id, lease_until),
            Err(error) if is_final(error) => {
                seat.forget(&fence(delivery));
            }
            Err(_) => {}
        }
        outcome
    }
}

/// Whether a refusal means that the process has the delivery no more.
fn is_final(error: &Error) -> bool {
    matches!(error.code, "LEASE_LOST" | "RUN_CANCELLED" | "RUN_ENDED" | "DELIVERY_UNKNOWN")
}

/// What a run says last: its message, else what was streamed, else that it is done.
fn completed(delivery: &Delivery, mut message: Message, so_far: &str) -> Message {
    if message.text.trim().is_empty() && !so_far.trim().is_empty() {
        so_far.clone_into(&mut message.text);
    }
    if message.text.trim().is_empty() && message.parts.is_empty() {
        message.text = format!("**{}** is done.", escape_markdown(&delivery.command));
    }
    message
}

/// The id of something said before the end: the same for every attempt.
fn said_id(delivery: &str, key: &str) -> String {
    let digest = sha256_hex(format!("{delivery}/{key}").as_bytes());
    format!("m_{}", digest.get(..32).unwrap_or(&digest))
}
