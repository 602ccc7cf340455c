//! Leases: who has a delivery, and until when.

use super::{COLUMNS, Delivery, Fence, delivery, execution_update};
use crate::bus::{Frame, Matter};
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::model::execution::ExecutionStatus;
use crate::store::Store;
use crate::store::query::{Query, composed, query};
use crate::store::transaction::{Transaction, Work, failed};

struct Claim {
    bot: String,
    commands: Option<Vec<String>>,
    most: i64,
    now: Millis,
    lease_until: Millis,
}

impl Work for Claim {
    type Output = Vec<Delivery>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Delivery>> {
        let commands = self.commands.as_deref().unwrap_or_default();
        let wanted = match &self.commands {
            None => String::new(),
            Some(commands) => {
                let numbers: Vec<String> = (0..commands.len()).map(|at| format!("${}", at + 5)).collect();
                format!(" AND command IN ({})", numbers.join(", "))
            }
        };
        let text = format!(
            "UPDATE deliveries SET state = 'leased', attempt = attempt + 1, lease_until = $4 \
             WHERE state = 'waiting' AND id IN (SELECT id FROM deliveries WHERE state = 'waiting' AND bot = $1 \
             AND ready_at <= $2 AND expires_at > $2{wanted} ORDER BY created_at, id LIMIT $3) RETURNING {COLUMNS}"
        );
        let claim = composed(text).bind(&self.bot).bind(self.now).bind(self.most).bind(self.lease_until);
        let claim = commands.iter().fold(claim, Query::bind);
        let mut claimed = Vec::new();
        for row in transaction.write_returning(claim).await? {
            let created: Millis = row.get(12).map_err(failed)?;
            claimed.push((created, delivery(&row).map_err(failed)?));
        }
        // Oldest first: RETURNING knows no order.
        claimed.sort_by(|(at, a), (other, b)| (at, &a.id).cmp(&(other, &b.id)));
        let claimed: Vec<Delivery> = claimed.into_iter().map(|(_, delivery)| delivery).collect();
        for delivery in &claimed {
            let begin =
                query("UPDATE executions SET status = 'running', started_at = $2 WHERE id = $1 AND status = 'pending'");
            if transaction.write(begin.bind(&delivery.execution).bind(self.now)).await? == 1 {
                let update = execution_update(&delivery.execution, ExecutionStatus::Running, None, self.now)?;
                transaction.append(&[update], None).await?;
            }
        }
        Ok(claimed)
    }
}

pub(super) struct Extend {
    pub(super) fence: Fence,
    pub(super) lease_until: Millis,
}

impl Work for Extend {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let extend =
            query("UPDATE deliveries SET lease_until = $3 WHERE id = $1 AND attempt = $2 AND state = 'leased'");
        if transaction.write(self.fence.bind(extend).bind(self.lease_until)).await? == 1 {
            return Ok(());
        }
        Err(transaction.refusal(&self.fence).await?)
    }
}

struct Release {
    fence: Fence,
    ready_at: Millis,
    is_loss: bool,
    /// Only when the lease has lapsed by then.
    lapsed_at: Option<Millis>,
}

impl Work for Release {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let release = query(
            "UPDATE deliveries SET state = 'waiting', lease_until = NULL, ready_at = $3, losses = losses + $4 \
             WHERE id = $1 AND attempt = $2 AND state = 'leased' AND lease_until <= $5",
        );
        let release = self.fence.bind(release).bind(self.ready_at).bind(i64::from(self.is_loss));
        let is_free = transaction.write(release.bind(self.lapsed_at.unwrap_or(i64::MAX))).await? == 1;
        if is_free {
            transaction.announce(Frame::Look(Matter::Deliveries));
        }
        Ok(is_free)
    }
}

/// Gives back whatever is leased.
struct FreeLeases {
    now: Millis,
}

impl Work for FreeLeases {
    type Output = u64;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<u64> {
        let free =
            query("UPDATE deliveries SET state = 'waiting', lease_until = NULL, ready_at = $1 WHERE state = 'leased'");
        transaction.write(free.bind(self.now)).await
    }
}

impl Store {
    /// Gives up to `most` waiting deliveries of a bot, oldest first, to one of its processes until `lease_until`, only of
    /// those commands when some are named.
    pub async fn claim_deliveries(
        &self,
        bot: &str,
        commands: Option<Vec<String>>,
        most: usize,
        now: Millis,
        lease_until: Millis,
    ) -> Result<Vec<Delivery>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.write(Claim { bot: bot.to_owned(), commands, most, now, lease_until }).await
    }

    /// Keeps a lease. Refused as `LEASE_LOST`, `RUN_CANCELLED` or `RUN_ENDED` when the attempt has it no more.
    pub async fn extend_lease(&self, fence: Fence, lease_until: Millis) -> Result<()> {
        self.write(Extend { fence, lease_until }).await
    }

    /// Gives a delivery back, to be claimed again from `ready_at` on; `is_loss` counts against it. `false` when that
    /// attempt did not have it any more.
    pub async fn release_delivery(&self, fence: Fence, ready_at: Millis, is_loss: bool) -> Result<bool> {
        self.write(Release { fence, ready_at, is_loss, lapsed_at: None }).await
    }

    /// Takes a delivery back whose lease has lapsed; `false` when it was extended or done meanwhile.
    pub async fn take_back_lapsed(&self, fence: Fence, now: Millis) -> Result<bool> {
        self.write(Release { fence, ready_at: now, is_loss: true, lapsed_at: Some(now) }).await
    }

    /// Gives back what processes had when a server that was alone with its database ended: their sockets ended with it.
    /// No fault of theirs, so it counts against nothing. Answers how many there were.
    pub async fn free_leases(&self, now: Millis) -> Result<u64> {
        self.write(FreeLeases { now }).await
    }
}
