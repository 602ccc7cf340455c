//! Steps of runs: claimed under a lease, given back, and when something is due.

use super::Store;
use super::query::{Failure, Query, Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use crate::model::Result;
use crate::model::conversation::Millis;

/// A step that has begun. Values are JSON as text.
#[derive(Clone, Debug)]
pub struct StepRow {
    pub path: String,
    pub status: String,
    pub effect: String,
    pub tries: i64,
    pub round: i64,
    pub fence: i64,
    pub intent: Option<i64>,
    pub ready_at: Option<Millis>,
    pub deadline: Option<Millis>,
    pub timeout: Option<Millis>,
    pub topic: Option<String>,
    pub input: String,
    pub data: String,
    pub output: String,
    pub error: String,
    pub signal: String,
    pub position: i64,
    pub started_at: Option<Millis>,
    pub finished_at: Option<Millis>,
}

pub(super) const COLUMNS: &str = "path, status, effect, tries, round, fence, intent, ready_at, deadline, timeout, topic, \
                                  input, data, output, error, signal, position, started_at, finished_at";

pub(super) fn step(row: &Row) -> Result<StepRow, Failure> {
    Ok(StepRow {
        path: row.get(0)?,
        status: row.get(1)?,
        effect: row.get(2)?,
        tries: row.get(3)?,
        round: row.get(4)?,
        fence: row.get(5)?,
        intent: row.get(6)?,
        ready_at: row.get(7)?,
        deadline: row.get(8)?,
        timeout: row.get(9)?,
        topic: row.get(10)?,
        input: row.get(11)?,
        data: row.get(12)?,
        output: row.get(13)?,
        error: row.get(14)?,
        signal: row.get(15)?,
        position: row.get(16)?,
        started_at: row.get(17)?,
        finished_at: row.get(18)?,
    })
}

/// Which claim of which step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    pub execution: String,
    pub path: String,
    pub fence: i64,
}

impl Claim {
    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        query.bind(&self.execution).bind(&self.path).bind(self.fence)
    }
}

/// A step that a worker has now.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub claim: Claim,
    pub effect: String,
    pub round: i64,
    pub timeout: Option<Millis>,
    pub input: String,
    /// Whether its intent is noted already; otherwise `begin_effect` does that.
    pub begun: bool,
    /// Of its run, JSON.
    pub cause: String,
    pub metadata: String,
}

/// How long a step belongs to which worker.
#[derive(Clone, Debug)]
pub struct Lease {
    pub worker: String,
    pub until: Millis,
}

/// What becomes of whoever has a step whose row is written.
#[derive(Clone, Debug)]
pub enum Hold {
    /// Nothing.
    Keep,
    /// They have it no longer.
    Fence,
    /// Nobody had it, and now a worker has; the row is already what a claimed one is.
    Lease(Lease),
}

impl StepRow {
    /// Makes the row of a step that is ready that of a claimed one. What may be called again has its intent at once: for
    /// what may happen once only, `begin_effect` notes it, so that it is not in doubt as long as it is merely claimed.
    pub fn take(&mut self, now: Millis) {
        self.status = "running".to_owned();
        self.fence += 1;
        self.intent = (self.effect != "once").then_some(self.fence);
        self.deadline = self.timeout.map(|timeout| now.saturating_add(timeout).saturating_add(GRACE));
    }
}

/// How much longer than its timeout a step may run before it is taken from its worker.
pub const GRACE: Millis = 5000;

impl Transaction<'_> {
    /// Writes a row as it is from now on.
    pub(super) async fn put_step(&mut self, execution: &str, row: &StepRow, hold: &Hold, at: Millis) -> Result<()> {
        let lease = match hold {
            Hold::Lease(lease) => Some(lease),
            Hold::Keep | Hold::Fence => None,
        };
        let put = query(
            "INSERT INTO steps (execution, path, status, effect, tries, round, fence, intent, ready_at, deadline, \
             timeout, topic, input, data, output, error, signal, position, started_at, finished_at, lease_owner, lease_until) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $22, $23) \
             ON CONFLICT (execution, path) DO UPDATE SET status = excluded.status, effect = excluded.effect, \
             tries = excluded.tries, round = excluded.round, fence = steps.fence + $21, \
             intent = CASE excluded.status WHEN 'cancelled' THEN coalesce(excluded.intent, steps.intent) \
             ELSE excluded.intent END, \
             lease_owner = excluded.lease_owner, lease_until = excluded.lease_until, ready_at = excluded.ready_at, deadline = excluded.deadline, \
             timeout = excluded.timeout, topic = excluded.topic, input = excluded.input, data = excluded.data, \
             output = excluded.output, error = excluded.error, signal = excluded.signal, \
             position = excluded.position, started_at = excluded.started_at, finished_at = excluded.finished_at",
        )
        .bind(execution)
        .bind(&row.path)
        .bind(&row.status)
        .bind(&row.effect)
        .bind(row.tries)
        .bind(row.round)
        .bind(row.fence)
        .bind(row.intent)
        .bind(row.ready_at)
        .bind(row.deadline)
        .bind(row.timeout)
        .bind(&row.topic)
        .bind(&row.input)
        .bind(&row.data)
        .bind(&row.output)
        .bind(&row.error)
        .bind(&row.signal)
        .bind(row.position)
        .bind(row.started_at)
        .bind(row.finished_at)
        .bind(i64::from(!matches!(hold, Hold::Keep)))
        .bind(lease.map(|lease| lease.worker.clone()))
        .bind(lease.map(|lease| lease.until));
        self.write(put).await?;
        match lease {
            Some(lease) => {
                let claim = Claim { execution: execution.to_owned(), path: row.path.clone(), fence: row.fence };
                self.begin_attempt(&claim, &lease.worker, at).await
            }
            None => Ok(()),
        }
    }

    async fn begin_attempt(&mut self, claim: &Claim, worker: &str, at: Millis) -> Result<()> {
        let attempt =
            query("INSERT INTO step_attempts (execution, path, fence, worker, started_at) VALUES ($1, $2, $3, $4, $5)");
        self.write(claim.bind(attempt).bind(worker).bind(at)).await?;
        Ok(())
    }

    /// Notes what came of a claim that still has its step; `false` when it has not.
    pub(super) async fn end_held_attempt(&mut self, claim: &Claim, outcome: &str, at: Millis) -> Result<bool> {
        let end = query(
            "UPDATE step_attempts SET outcome = $4, ended_at = $5 WHERE execution = $1 AND path = $2 AND fence = $3 \
             AND EXISTS (SELECT 1 FROM steps WHERE execution = $1 AND path = $2 AND fence = $3 AND status = 'running')",
        );
        Ok(self.write(claim.bind(end).bind(outcome).bind(at)).await? == 1)
    }

    /// Notes what came of a claim.
    pub(super) async fn end_attempt(&mut self, claim: &Claim, outcome: &str, at: Millis) -> Result<()> {
        let end = query(
            "UPDATE step_attempts SET outcome = $4, ended_at = $5 WHERE execution = $1 AND path = $2 AND fence = $3",
        );
        self.write(claim.bind(end).bind(outcome).bind(at)).await?;
        Ok(())
    }

    /// Brings something to a step that waits; `false` when it does not wait any more.
    pub(super) async fn signal(&mut self, execution: &str, path: &str, value: &str) -> Result<bool> {
        let signal = query(
            "UPDATE steps SET signal = $3, ready_at = 0 WHERE execution = $1 AND path = $2 AND status = 'waiting' \
             AND signal = 'null'",
        );
        Ok(self.write(signal.bind(execution).bind(path).bind(value)).await? == 1)
    }
}

struct Take {
    worker: String,
    most: i64,
    now: Millis,
    lease_until: Millis,
}

impl Work for Take {
    type Output = Vec<Claimed>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Claimed>> {
        // Here nobody pauses or cancels a run while this is written, so what may be called again has its intent at once. With
        // several writers the run's row has to be held for that; and what may happen once only is not in doubt as long
        // as it is merely claimed.
        let apart = transaction.is_remote();
        // What two servers want at the same time is passed over by one of them instead of waited for.
        let lock = if transaction.is_remote() { " FOR UPDATE OF s SKIP LOCKED" } else { "" };
        let find = composed(format!(
            "SELECT s.execution, s.path, r.cause, r.metadata FROM steps s JOIN runs r ON r.execution = s.execution \
             WHERE s.status = 'ready' AND s.ready_at <= $1 AND r.wish = 'run' \
             ORDER BY s.ready_at, s.execution, s.position LIMIT $2{lock}"
        ));
        let mut claimed = Vec::new();
        for row in transaction.all(find.bind(self.now).bind(self.most)).await? {
            let (execution, path): (String, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
            let (cause, metadata): (String, String) = (row.get(2).map_err(failed)?, row.get(3).map_err(failed)?);
            let claim = query(
                "UPDATE steps SET status = 'running', fence = fence + 1, \
                 intent = CASE WHEN effect = 'once' OR $6 = 1 THEN NULL ELSE fence + 1 END, lease_owner = $3, \
                 lease_until = $4, deadline = $5 + timeout + $7 \
                 WHERE execution = $1 AND path = $2 AND status = 'ready' \
                 RETURNING fence, effect, round, timeout, input, intent",
            );
            let claim = claim.bind(&execution).bind(&path).bind(&self.worker).bind(self.lease_until).bind(self.now);
            let claim = claim.bind(i64::from(apart)).bind(GRACE);
            for row in transaction.write_returning(claim).await? {
                let read = || -> Result<Claimed, Failure> {
                    Ok(Claimed {
                        claim: Claim { execution: execution.clone(), path: path.clone(), fence: row.get(0)? },
                        effect: row.get(1)?,
                        round: row.get(2)?,
                        timeout: row.get(3)?,
                        input: row.get(4)?,
                        begun: row.get::<Option<i64>>(5)?.is_some(),
                        cause: cause.clone(),
                        metadata: metadata.clone(),
                    })
                };
                claimed.push(read().map_err(failed)?);
            }
        }
        for Claimed { claim, .. } in &claimed {
            transaction.begin_attempt(claim, &self.worker, self.now).await?;
        }
        Ok(claimed)
    }
}

struct Begin {
    claim: Claim,
}

impl Work for Begin {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        // The run's row is written so that a pause or a cancellation comes before or after, never at the same time.
        let gate = query("UPDATE runs SET is_open = is_open WHERE execution = $1 AND wish = 'run' AND is_open = 1");
        if transaction.write(gate.bind(&self.claim.execution)).await? == 0 {
            return Ok(false);
        }
        let intent = query(
            "UPDATE steps SET intent = fence WHERE execution = $1 AND path = $2 AND fence = $3 AND status = 'running'",
        );
        Ok(transaction.write(self.claim.bind(intent)).await? == 1)
    }
}

struct GiveBack {
    claim: Claim,
    at: Millis,
}

impl Work for GiveBack {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let back = query(
            "UPDATE steps SET status = 'ready', lease_owner = NULL, lease_until = NULL, deadline = NULL \
             WHERE execution = $1 AND path = $2 AND fence = $3 AND status = 'running' AND intent IS NULL",
        );
        if transaction.write(self.claim.bind(back)).await? == 1 {
            transaction.end_attempt(&self.claim, "given_back", self.at).await?;
        }
        Ok(())
    }
}

struct Late {
    claim: Claim,
    at: Millis,
}

impl Work for Late {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        transaction.end_attempt(&self.claim, "late_result", self.at).await
    }
}

struct Extend {
    claims: Vec<Claim>,
    lease_until: Millis,
}

impl Work for Extend {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        for claim in &self.claims {
            let extend = query(
                "UPDATE steps SET lease_until = $4 WHERE execution = $1 AND path = $2 AND fence = $3 \
                 AND status = 'running'",
            );
            transaction.write(claim.bind(extend).bind(self.lease_until)).await?;
        }
        Ok(())
    }
}

/// Something about runs that is to be done now.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// Claims whose worker has not been heard of in time, and whether the effect may have begun.
    pub lapsed: Vec<(Claim, bool)>,
    /// Running steps that had to end by now.
    pub overdue: Vec<(Claim, bool)>,
    /// Runs in which a wait is over, or the whole time.
    pub runs: Vec<String>,
    /// Runs that may begin now that another one has ended.
    pub queued: Vec<String>,
}

impl Due {
    pub fn is_empty(&self) -> bool {
        self.lapsed.is_empty() && self.overdue.is_empty() && self.runs.is_empty() && self.queued.is_empty()
    }
}

struct Lapse {
    now: Millis,
}

impl Work for Lapse {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let lapse = query("UPDATE steps SET lease_until = $1 WHERE status = 'running' AND lease_until > $1");
        transaction.write(lapse.bind(self.now)).await?;
        Ok(())
    }
}

impl Store {
    /// Ends every lease: of a database that nobody else uses, at its start.
    pub async fn lapse_steps(&self, now: Millis) -> Result<()> {
        self.write(Lapse { now }).await
    }

    /// Gives a worker up to `most` steps that are ready, oldest first, until `lease_until`.
    pub async fn claim_steps(
        &self,
        worker: &str,
        most: usize,
        now: Millis,
        lease_until: Millis,
    ) -> Result<Vec<Claimed>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.write(Take { worker: worker.to_owned(), most, now, lease_until }).await
    }

    /// Notes that the effect of a step begins now. `false`: it must not, since the run is paused or over, or the step is
    /// somebody else's.
    pub async fn begin_effect(&self, claim: Claim) -> Result<bool> {
        self.write(Begin { claim }).await
    }

    /// Gives back a step whose effect has not begun.
    pub async fn give_back_step(&self, claim: Claim, at: Millis) -> Result<()> {
        self.write(GiveBack { claim, at }).await
    }

    /// Notes that a result came too late to count.
    pub async fn note_late_result(&self, claim: Claim, at: Millis) -> Result<()> {
        self.write(Late { claim, at }).await
    }

    /// Keeps the leases of claims, as far as they still count.
    pub async fn extend_steps(&self, claims: Vec<Claim>, lease_until: Millis) -> Result<()> {
        self.write(Extend { claims, lease_until }).await
    }

    /// What is due; of each kind a bounded number.
    pub async fn due_steps(&self, now: Millis) -> Result<Due> {
        let mut reader = self.reader().await?;
        let mut connection = reader.connection();
        let claims = |rows: Vec<Row>| -> Result<Vec<(Claim, bool)>> {
            let read = |row: &Row| -> Result<(Claim, bool), Failure> {
                let claim = Claim { execution: row.get(0)?, path: row.get(1)?, fence: row.get(2)? };
                Ok((claim, row.get::<Option<i64>>(3)?.is_some()))
            };
            rows.iter().map(read).collect::<Result<_, Failure>>().map_err(failed)
        };
        let lapsed = query(
            "SELECT execution, path, fence, intent FROM steps WHERE status = 'running' AND lease_until <= $1 LIMIT 100",
        );
        let lapsed = claims(lapsed.bind(now).all(&mut connection).await.map_err(failed)?)?;
        let overdue = query(
            "SELECT execution, path, fence, intent FROM steps WHERE deadline <= $1 AND status = 'running' LIMIT 100",
        );
        let overdue = claims(overdue.bind(now).all(&mut connection).await.map_err(failed)?)?;
        let runs = query(
            "SELECT s.execution FROM steps s JOIN runs r ON r.execution = s.execution \
             WHERE s.status = 'waiting' AND s.ready_at <= $1 AND r.wish = 'run' \
             UNION SELECT s.execution FROM steps s JOIN runs r ON r.execution = s.execution \
             WHERE s.deadline <= $1 AND s.status IN ('waiting', 'active') AND r.wish = 'run' \
             UNION SELECT execution FROM runs WHERE is_open = 1 AND deadline <= $1 LIMIT 100",
        );
        let runs = runs.bind(now).all(&mut connection).await.map_err(failed)?;
        // One of each key at a time.
        let queued = query(
            "SELECT min(q.execution) FROM runs q WHERE q.is_open = 1 AND q.wish = 'queue' AND \
             (SELECT count(*) FROM runs o WHERE o.concurrency_key = q.concurrency_key AND o.is_open = 1 \
             AND o.wish <> 'queue') < q.concurrency_limit GROUP BY q.concurrency_key LIMIT 100",
        );
        let queued = queued.all(&mut connection).await.map_err(failed)?;
        let ids = |rows: Vec<Row>| {
            rows.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, Failure>>().map_err(failed)
        };
        Ok(Due { lapsed, overdue, runs: ids(runs)?, queued: ids(queued)? })
    }

    /// When something is due next: a step may be taken, a wait ends, a lease lapses, a time is over.
    pub async fn next_step_deadline(&self, now: Millis) -> Result<Option<Millis>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT min(at) FROM (\
             SELECT min(s.ready_at) AS at FROM steps s JOIN runs r ON r.execution = s.execution \
             WHERE s.status IN ('ready', 'waiting') AND s.ready_at > $1 AND r.wish = 'run' \
             UNION ALL SELECT min(s.deadline) FROM steps s JOIN runs r ON r.execution = s.execution \
             WHERE s.deadline > $1 AND s.status IN ('waiting', 'active', 'running') AND r.wish = 'run' \
             UNION ALL SELECT min(lease_until) FROM steps WHERE status = 'running' \
             UNION ALL SELECT min(deadline) FROM runs WHERE is_open = 1 AND deadline > $1) AS next",
        );
        let row = find.bind(now).one(&mut reader.connection()).await.map_err(failed)?;
        row.get(0).map_err(failed)
    }

    /// The steps that wait for an event of a topic: execution, path, and what they remember, JSON.
    pub async fn waiting_for(&self, topic: &str) -> Result<Vec<(String, String, String)>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT execution, path, data FROM steps WHERE topic = $1 AND status = 'waiting' AND signal = 'null' LIMIT 1000",
        );
        let rows = find.bind(topic).all(&mut reader.connection()).await.map_err(failed)?;
        let read = |row: &Row| -> Result<_, Failure> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
        rows.iter().map(read).collect::<Result<_, Failure>>().map_err(failed)
    }
}
