//! Webhooks, and what is on its way to them. A delivery is written in the transaction of what it tells of.

use serde_json::json;

use super::Store;
use super::audit::Deed;
use super::query::{Failure, Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use super::vault::Sealed;
use crate::bus::Frame;
use crate::model::conversation::Millis;
use crate::model::webhook::WebhookState;
use crate::model::{Error, Kind, Result};

mod tell;

pub use tell::payload;

/// Somebody's address that is told what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub id: String,
    pub owner: String,
    pub name: String,
    pub url: String,
    /// Topics, or patterns of them.
    pub events: Vec<String>,
    /// Whether it hears of everybody's runs or of its owner's.
    pub hears_all: bool,
    /// How often at most, and after how many milliseconds the first time; none: the usual schedule.
    pub retry: Option<(i64, Millis)>,
    pub state: WebhookState,
    /// Why it is disabled.
    pub reason: Option<String>,
    pub failing_since: Option<Millis>,
    /// Until when the secret before counts too.
    pub overlap_until: Option<Millis>,
    pub created_at: Millis,
    pub updated_at: Millis,
}

/// What is sealed of a webhook is sealed for this owner.
pub fn sealed_owner(id: &str) -> String {
    format!("webhook:{id}")
}

/// Something on its way to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookDelivery {
    pub id: String,
    pub webhook: String,
    /// The same for every attempt and every replay.
    pub message: String,
    pub event: String,
    /// JSON, as it is sent.
    pub payload: String,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    pub attempt: i64,
    pub ready_at: Millis,
    pub status: Option<i64>,
    pub error: Option<String>,
    /// Milliseconds of the last attempt.
    pub took: Option<i64>,
    pub created_at: Millis,
    pub ended_at: Option<Millis>,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    pub delivery: String,
    pub webhook: String,
    pub attempt: i64,
    pub status: Option<i64>,
    pub error: Option<String>,
    pub took: i64,
    pub at: Millis,
    pub next: Next,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    /// Tried again then.
    Again(Millis),
    GivenUp,
}

const HOOK: &str = "id, owner, name, url, events, hears_all, max_attempts, backoff, state, reason, failing_since, \
                    overlap_until, created_at, updated_at";

fn hook(row: &Row) -> Result<Webhook, Failure> {
    let (events, state): (String, String) = (row.get(4)?, row.get(8)?);
    let retry: (Option<i64>, Option<i64>) = (row.get(6)?, row.get(7)?);
    Ok(Webhook {
        id: row.get(0)?,
        owner: row.get(1)?,
        name: row.get(2)?,
        url: row.get(3)?,
        events: events.split(',').filter(|event| !event.is_empty()).map(str::to_owned).collect(),
        hears_all: row.get::<i64>(5)? != 0,
        retry: retry.0.zip(retry.1),
        state: WebhookState::parse(&state).unwrap_or(WebhookState::Disabled),
        reason: row.get(9)?,
        failing_since: row.get(10)?,
        overlap_until: row.get(11)?,
        created_at: row.get(12)?,
        updated_at: row.get(13)?,
    })
}

const DELIVERY: &str =
    "id, webhook, message, event, payload, state, attempt, ready_at, status, error, took, created_at, ended_at";

fn delivery(row: &Row) -> Result<HookDelivery, Failure> {
    Ok(HookDelivery {
        id: row.get(0)?,
        webhook: row.get(1)?,
        message: row.get(2)?,
        event: row.get(3)?,
        payload: row.get(4)?,
        state: row.get(5)?,
        attempt: row.get(6)?,
        ready_at: row.get(7)?,
        status: row.get(8)?,
        error: row.get(9)?,
        took: row.get(10)?,
        created_at: row.get(11)?,
        ended_at: row.get(12)?,
    })
}

struct Put {
    webhook: Webhook,
    is_new: bool,
    sealed: Vec<Sealed>,
    deed: Deed,
}

impl Work for Put {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let it = &self.webhook;
        let text = if self.is_new {
            "INSERT INTO webhooks (name, url, events, hears_all, max_attempts, backoff, state, reason, failing_since, \
             overlap_until, updated_at, id, owner, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
        } else {
            "UPDATE webhooks SET name = $1, url = $2, events = $3, hears_all = $4, max_attempts = $5, backoff = $6, \
             state = $7, reason = $8, failing_since = $9, overlap_until = $10, updated_at = $11 \
             WHERE id = $12 AND owner = $13 AND created_at = $14"
        };
        let put = query(text)
            .bind(&it.name)
            .bind(&it.url)
            .bind(format!(",{},", it.events.join(",")))
            .bind(i64::from(it.hears_all))
            .bind(it.retry.map(|(attempts, _)| attempts))
            .bind(it.retry.map(|(_, backoff)| backoff))
            .bind(it.state.as_str())
            .bind(it.reason.clone())
            .bind(it.failing_since)
            .bind(it.overlap_until)
            .bind(it.updated_at)
            .bind(&it.id)
            .bind(&it.owner)
            .bind(it.created_at);
        if transaction.write(put).await? == 0 {
            return Err(unknown(&it.id));
        }
        for sealed in &self.sealed {
            transaction.put_sealed(sealed).await?;
        }
        // What waited while it was switched off leaves now.
        if it.state == WebhookState::Active {
            transaction.announce(Frame::Telling);
        }
        transaction.record(&self.deed).await
    }
}

/// What anybody hears about a webhook that is not there or not for them.
pub fn unknown(id: &str) -> Error {
    Error::new(Kind::NotFound, "WEBHOOK_NOT_FOUND", format!("there is no webhook '{id}'"))
        .details(json!({ "webhook": id }))
}

struct Delete {
    id: String,
    deed: Deed,
}

impl Work for Delete {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let delete = query("DELETE FROM webhooks WHERE id = $1").bind(&self.id);
        let is_there = transaction.write(delete).await? == 1;
        if is_there {
            transaction.write(query("DELETE FROM webhook_deliveries WHERE webhook = $1").bind(&self.id)).await?;
            transaction.remove_sealed(&sealed_owner(&self.id)).await?;
            transaction.record(&self.deed).await?;
        }
        Ok(is_there)
    }
}

struct Enqueue(Vec<HookDelivery>);

impl Work for Enqueue {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        for it in &self.0 {
            let insert = query(
                "INSERT INTO webhook_deliveries (id, webhook, message, event, payload, state, attempt, ready_at, created_at) \
                 VALUES ($1, $2, $3, $4, $5, 'waiting', 0, $6, $7)",
            );
            let insert = insert
                .bind(&it.id)
                .bind(&it.webhook)
                .bind(&it.message)
                .bind(&it.event)
                .bind(&it.payload)
                .bind(it.ready_at)
                .bind(it.created_at);
            transaction.write(insert).await?;
        }
        transaction.announce(Frame::Telling);
        Ok(())
    }
}

struct Claim {
    now: Millis,
    until: Millis,
    most: i64,
}

impl Work for Claim {
    type Output = Vec<HookDelivery>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<HookDelivery>> {
        let lock = if transaction.is_remote() { " FOR UPDATE SKIP LOCKED" } else { "" };
        let find = composed(format!(
            "SELECT {DELIVERY} FROM webhook_deliveries WHERE state = 'waiting' AND ready_at <= $1 AND webhook IN \
             (SELECT id FROM webhooks WHERE state = 'active') ORDER BY ready_at, id LIMIT $2{lock}"
        ));
        let rows = transaction.all(find.bind(self.now).bind(self.most)).await?;
        let mut claimed = Vec::new();
        for row in &rows {
            let mut it = delivery(row).map_err(failed)?;
            it.attempt += 1;
            let claim = query("UPDATE webhook_deliveries SET attempt = $1, ready_at = $2 WHERE id = $3");
            transaction.write(claim.bind(it.attempt).bind(self.until).bind(&it.id)).await?;
            claimed.push(it);
        }
        Ok(claimed)
    }
}

struct Settle {
    attempted: Attempted,
    /// A webhook that has only failed since before this moment is switched off.
    failing_before: Millis,
    /// It says that it wants no more.
    gone: bool,
}

impl Work for Settle {
    /// Whether the webhook was switched off.
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let it = &self.attempted;
        let (state, ready_at, ended_at) = match it.next {
            Next::Delivered => ("delivered", it.at, Some(it.at)),
            Next::Again(at) => ("waiting", at, None),
            Next::GivenUp => ("failed", it.at, Some(it.at)),
        };
        // Another attempt may have begun when the lease was over: what it finds counts.
        let settle = query(
            "UPDATE webhook_deliveries SET state = $1, ready_at = $2, status = $3, error = $4, took = $5, ended_at = $6 \
             WHERE id = $7 AND attempt = $8 AND state = 'waiting'",
        );
        let settle = settle
            .bind(state)
            .bind(ready_at)
            .bind(it.status)
            .bind(it.error.clone())
            .bind(it.took)
            .bind(ended_at)
            .bind(&it.delivery)
            .bind(it.attempt);
        transaction.write(settle).await?;
        if it.next == Next::Delivered {
            let well = query("UPDATE webhooks SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL");
            transaction.write(well.bind(&it.webhook)).await?;
            return Ok(false);
        }
        let failing = query("UPDATE webhooks SET failing_since = coalesce(failing_since, $1) WHERE id = $2");
        transaction.write(failing.bind(it.at).bind(&it.webhook)).await?;
        let reason =
            if self.gone { "the receiver answered 410: it is gone" } else { "every delivery has failed for too long" };
        let disable = query(
            "UPDATE webhooks SET state = 'disabled', reason = $1, updated_at = $2 WHERE id = $3 AND state = 'active' \
             AND (cast($4 AS BIGINT) = 1 OR failing_since <= $5)",
        );
        let disable =
            disable.bind(reason).bind(it.at).bind(&it.webhook).bind(i64::from(self.gone)).bind(self.failing_before);
        Ok(transaction.write(disable).await? == 1)
    }
}

struct Forget {
    before: Millis,
}

impl Work for Forget {
    type Output = u64;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<u64> {
        transaction.write(query("DELETE FROM webhook_deliveries WHERE ended_at < $1").bind(self.before)).await
    }
}

impl Store {
    pub async fn insert_webhook(&self, webhook: Webhook, sealed: Vec<Sealed>, deed: Deed) -> Result<()> {
        Box::pin(self.write(Put { webhook, is_new: true, sealed, deed })).await?;
        self.look_for_webhooks().await
    }

    pub async fn update_webhook(&self, webhook: Webhook, sealed: Vec<Sealed>, deed: Deed) -> Result<()> {
        Box::pin(self.write(Put { webhook, is_new: false, sealed, deed })).await?;
        self.look_for_webhooks().await
    }

    /// Removes a webhook with what was on its way; `false` when it is not there.
    pub async fn delete_webhook(&self, id: &str, deed: Deed) -> Result<bool> {
        self.write(Delete { id: id.to_owned(), deed }).await
    }

    /// Finds out whether anybody listens; every server does so when webhooks have changed.
    pub async fn look_for_webhooks(&self) -> Result<()> {
        let mut reader = self.reader().await?;
        let find = query("SELECT 1 FROM webhooks WHERE state = 'active' LIMIT 1");
        let heard = find.optional(&mut reader.connection()).await.map_err(failed)?.is_some();
        self.bus().set_heard(heard);
        Ok(())
    }

    /// All webhooks, by name.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("SELECT {HOOK} FROM webhooks ORDER BY name, id LIMIT 1000"));
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| hook(row).map_err(failed)).collect()
    }

    pub async fn webhook(&self, id: &str) -> Result<Option<Webhook>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("SELECT {HOOK} FROM webhooks WHERE id = $1")).bind(id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| hook(&row).map_err(failed)).transpose()
    }

    /// Deliveries of a webhook, newest first; `before` is the id of the last one known.
    pub async fn hook_deliveries(&self, webhook: &str, before: Option<&str>, limit: i64) -> Result<Vec<HookDelivery>> {
        let mut reader = self.reader().await?;
        let find = composed(format!(
            "SELECT {DELIVERY} FROM webhook_deliveries WHERE webhook = $1 AND (cast($2 AS TEXT) IS NULL OR id < $2) \
             ORDER BY id DESC LIMIT $3"
        ));
        let rows = find.bind(webhook).bind(before).bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| delivery(row).map_err(failed)).collect()
    }

    pub async fn hook_delivery(&self, id: &str) -> Result<Option<HookDelivery>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("SELECT {DELIVERY} FROM webhook_deliveries WHERE id = $1")).bind(id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| delivery(&row).map_err(failed)).transpose()
    }

    /// Deliveries of a webhook that were given up and begun in a span of time, oldest first.
    pub async fn failed_hook_deliveries(
        &self,
        webhook: &str,
        since: Millis,
        until: Millis,
    ) -> Result<Vec<HookDelivery>> {
        let mut reader = self.reader().await?;
        let find = composed(format!(
            "SELECT {DELIVERY} FROM webhook_deliveries WHERE webhook = $1 AND state = 'failed' AND created_at >= $2 \
             AND created_at < $3 ORDER BY id LIMIT 1000"
        ));
        let rows = find.bind(webhook).bind(since).bind(until).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| delivery(row).map_err(failed)).collect()
    }

    /// Puts deliveries on their way that no event caused: tests and replays.
    pub async fn enqueue_hook_deliveries(&self, deliveries: Vec<HookDelivery>) -> Result<()> {
        self.write(Enqueue(deliveries)).await
    }

    /// Takes what is due, for one attempt each that may last until `until`.
    pub async fn claim_hook_deliveries(&self, now: Millis, until: Millis, most: i64) -> Result<Vec<HookDelivery>> {
        self.write(Claim { now, until, most }).await
    }

    /// Notes what became of an attempt; answers whether the webhook was switched off by it.
    pub async fn settle_hook_delivery(&self, attempted: Attempted, failing_before: Millis, gone: bool) -> Result<bool> {
        let off = self.write(Settle { attempted, failing_before, gone }).await?;
        if off {
            self.look_for_webhooks().await?;
        }
        Ok(off)
    }

    /// When the next delivery is due.
    pub async fn next_hook_delivery(&self) -> Result<Option<Millis>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT min(ready_at) FROM webhook_deliveries WHERE state = 'waiting' AND webhook IN \
             (SELECT id FROM webhooks WHERE state = 'active')",
        );
        let row = find.one(&mut reader.connection()).await.map_err(failed)?;
        row.get(0).map_err(failed)
    }

    /// Forgets deliveries that ended before this moment.
    pub async fn forget_hook_deliveries(&self, before: Millis) -> Result<u64> {
        self.write(Forget { before }).await
    }
}
