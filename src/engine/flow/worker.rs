//! Who does the work: a bounded number of steps at a time, each under a lease, and one task that sleeps until something is
//! due.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::bring::{Brought, Nudge};
use super::next::{Known, Next};
use crate::connector::Call;
use crate::engine::Engine;
use crate::engine::plan::{Fault, Outcomes, Row, StepStatus, Wish};
use crate::model::conversation::Millis;
use crate::model::{Kind, Result};
use crate::store::run::{LATE_RESULT, NO_ROOM};
use crate::store::step::{Claim, Claimed, GRACE};
use crate::tasks::Tasks;

/// How long to wait after the database did not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// Steps of one run that a worker does in a row; then it is the turn of whoever waits.
const IN_A_ROW: u32 = 16;

/// What other servers leave behind is looked for this often.
const LOOK: Duration = Duration::from_secs(1);

/// Works on runs for as long as the server runs. Nothing waits here for a run that sleeps.
pub fn keep_flows(engine: &Arc<Engine>, tasks: &Tasks) {
    let (engine, stop, tasks) = (engine.clone(), tasks.stop_token().clone(), tasks.clone());
    tasks.clone().spawn("runs", async move {
        let mut beat = tokio::time::interval(beat(engine.flows.limits.lease));
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Asked for before the look, so that no change falls between.
            let changed = engine.flows.wake.notified();
            let next = engine.look(&tasks).await;
            let sleep = async {
                match next {
                    Ok(Some(at)) => engine.clock().sleep_until(at).await,
                    Ok(None) => std::future::pending().await,
                    Err(error) => {
                        tracing::warn!(%error, "failed to look after runs");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            };
            let elsewhere = async {
                // On PostgreSQL another server may have died with something that is due.
                match engine.store().is_shared() {
                    true => tokio::time::sleep(LOOK).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed => {}
                () = sleep => {}
                () = elsewhere => {}
                _ = beat.tick() => {
                    engine.keep_leases().await;
                    // Whoever committed something may have gone before they said so.
                    engine.flows.due.stir();
                }
            }
        }
    });
}

fn beat(lease: Millis) -> Duration {
    Duration::from_millis(u64::try_from(lease / 3).unwrap_or(10_000).max(100))
}

impl Engine {
    /// Does what is due, takes as much work as there is room for, and answers when the next thing is due.
    async fn look(self: &Arc<Self>, tasks: &Tasks) -> Result<Option<Millis>> {
        let now = self.clock().now();
        if !self.store().is_shared() && self.flows.due.is_nothing(now) {
            // Nothing can be due, so only work is looked for.
            self.take_work(tasks, now).await?;
            return Ok(self.flows.due.next());
        }
        self.flows.due.looked();
        if let Err(error) = self.do_due(now).await {
            self.flows.due.stir();
            return Err(error);
        }
        self.take_work(tasks, now).await?;
        let next = self.store().next_step_deadline(now).await;
        match &next {
            Ok(next) => self.flows.due.is_next(*next),
            Err(_) => self.flows.due.stir(),
        }
        next
    }

    async fn do_due(self: &Arc<Self>, now: Millis) -> Result<()> {
        loop {
            let due = self.store().due_steps(now).await?;
            if due.is_empty() {
                break;
            }
            let mut any = false;
            for (claim, begun) in due.lapsed {
                tracing::warn!(execution = claim.execution, step = claim.path, "the worker of a step is gone");
                let fault =
                    Fault { uncertain: begun, retryable: true, ..Fault::new("worker_lost", "the worker was lost") };
                any |= self.settle(&claim, Err(fault), "worker_lost", None, None).await?.is_kept();
            }
            for (claim, begun) in due.overdue {
                let fault = Fault { uncertain: begun, retryable: true, ..Fault::new("timeout", "it took too long") };
                any |= self.settle(&claim, Err(fault), "timeout", None, None).await?.is_kept();
            }
            for execution in due.runs {
                any |= self.wake_run(&execution, now).await?;
            }
            for execution in due.queued {
                any |= self.admit(&execution).await?;
            }
            if !any {
                break;
            }
        }
        Ok(())
    }

    async fn take_work(self: &Arc<Self>, tasks: &Tasks, now: Millis) -> Result<()> {
        let flows = &self.flows;
        let busy = flows.running.lock().unwrap_or_else(PoisonError::into_inner).len();
        let room = flows.limits.workers.saturating_sub(busy);
        if room == 0 || tasks.is_stopping() {
            return Ok(());
        }
        let lease_until = now.saturating_add(flows.limits.lease);
        let claimed = self.store().claim_steps(&flows.worker, room, now, lease_until).await?;
        if !claimed.is_empty() {
            crate::crash_point::reached("step.claimed");
        }
        for step in claimed {
            flows.due.is_at_the_latest(self.over(&step, lease_until));
            let claim = step.claim.clone();
            let work = tasks.track(work_on(self.clone(), tasks.clone(), step));
            let (started, go) = tokio::sync::oneshot::channel::<()>();
            #[expect(
                clippy::disallowed_methods,
                reason = "counted among the tasks by `track`; a step may be aborted alone"
            )]
            let handle = tokio::spawn({
                async move {
                    // Not before it stands among those that run, or its end would find nothing to take out.
                    if go.await.is_ok() {
                        work.await;
                    }
                }
            });
            flows.running.lock().unwrap_or_else(PoisonError::into_inner).insert(claim, handle.abort_handle());
            let _ = started.send(());
        }
        Ok(())
    }

    async fn keep_leases(&self) {
        // Only of what is being done: a claim whose commit was never heard of lapses.
        let mut claims: Vec<Claim> =
            self.flows.running.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        if claims.is_empty() {
            return;
        }
        // In one order everywhere, so that two servers do not wait for each other.
        claims.sort();
        let until = self.clock().now().saturating_add(self.flows.limits.lease);
        if let Err(error) = self.store().extend_steps(claims, until).await {
            tracing::warn!(%error, "failed to keep the leases of steps");
        }
    }

    /// Does one step, from the intent to the result; answers the one to go on with.
    async fn work(&self, step: Claimed, mut known: Option<Known>, goes_on: bool) -> Option<(Claimed, Known)> {
        let claim = step.claim.clone();
        let begun = match step.begun {
            true => Ok(true),
            false => self.store().begin_effect(claim.clone()).await,
        };
        match begun {
            Ok(true) => {}
            // Paused or over, or the database is gone: it goes back, or its lease lapses.
            Ok(false) | Err(_) => {
                if let Err(error) = self.store().give_back_step(claim, self.clock().now()).await {
                    tracing::debug!(%error, "a step could not be given back");
                }
                return None;
            }
        }
        crate::crash_point::reached("step.intended");
        let outcome = Box::pin(self.perform(&step)).await;
        crate::crash_point::reached("step.performed");
        let word = if outcome.is_ok() { "succeeded" } else { "failed" };
        loop {
            let lease = goes_on.then(|| self.clock().now().saturating_add(self.flows.limits.lease));
            match self.settle(&claim, outcome.clone(), word, known.take(), lease).await {
                Err(error) if error.kind == Kind::Unavailable => tokio::time::sleep(AGAIN).await,
                Err(error) => {
                    tracing::error!(%error, execution = claim.execution, step = claim.path, "a result could not be kept");
                    return None;
                }
                Ok(Settled::Late) => return None,
                Ok(Settled::Kept(brought)) => {
                    let Brought { next, journal, .. } = *brought;
                    let Next { step, run } = next?;
                    self.flows.due.is_at_the_latest(self.over(&step, lease.unwrap_or_default()));
                    crate::crash_point::reached("step.claimed");
                    return Some((step, Known { run, journal }));
                }
            }
        }
    }

    /// When somebody has to look after a step that is being done.
    fn over(&self, step: &Claimed, lease_until: Millis) -> Millis {
        let timeout = step.timeout.unwrap_or_default().saturating_add(GRACE);
        self.clock().now().saturating_add(timeout).min(lease_until)
    }

    async fn perform(&self, step: &Claimed) -> Result<Value, Fault> {
        let input: Value = serde_json::from_str(&step.input)
            .map_err(|error| Fault::new("internal_error", format!("the input of the step cannot be read: {error}")))?;
        let millis = step.timeout.unwrap_or(5 * 60 * 1000);
        let timeout = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        if let Some(source) = input["script"].as_str() {
            return self.flows.scripts.run(source, &input["scope"], timeout).await;
        }
        let actor =
            self.actor(&step.cause).await.map_err(|error| Fault::new(error.code.to_lowercase(), error.message))?;
        // A playbook of the toolbox names the credential of all its steps when it is started.
        let metadata: Value = serde_json::from_str(&step.metadata).unwrap_or_default();
        let connection = input["connection"].as_str().or(metadata["credential_name"].as_str());
        let key = Row { round: step.round, ..Row::new(&*step.claim.path, StepStatus::Running, 0, 0) }
            .idempotency_key(&step.claim.execution);
        let call = Call {
            connector: input["connector"].as_str().unwrap_or_default(),
            action: input["action"].as_str().unwrap_or_default(),
            input: input["with"].clone(),
            credential: connection,
            principal: &actor,
            idempotency_key: &key,
            timeout,
        };
        if let Some(browsers) = self.flows.actions.browsers_for(call.connector) {
            return self.flows.actions.browse(browsers, self.store(), &step.claim, &call).await;
        }
        match tokio::time::timeout(timeout, self.flows.actions.call(call)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let message = format!("it took longer than {}", crate::flow::write_duration(millis));
                Err(Fault { uncertain: true, retryable: true, ..Fault::new("timeout", message) })
            }
        }
    }

    /// Brings a result into its run. `goes_on`: until when a step that follows is the caller's.
    async fn settle(
        &self,
        claim: &Claim,
        outcome: Result<Value, Fault>,
        word: &'static str,
        known: Option<Known>,
        goes_on: Option<Millis>,
    ) -> Result<Settled> {
        let of = claim.clone();
        let settled = self
            .bring_known(&claim.execution, known, move |_, _, journal| {
                let is_held = journal
                    .rows
                    .get(&of.path)
                    .is_some_and(|row| row.status == StepStatus::Running && row.fence == of.fence);
                let attempts = vec![(of.clone(), word)];
                // Refused at the commit, too: this only spares the plan.
                let outcomes =
                    if is_held { Outcomes::from([(of.path.clone(), outcome.clone())]) } else { Outcomes::new() };
                Ok(Nudge { outcomes, attempts, goes_on, ..Nudge::default() })
            })
            .await;
        match settled {
            Ok(Some(brought)) => Ok(Settled::Kept(Box::new(brought))),
            Err(error) if error.code != LATE_RESULT => Err(error),
            Ok(None) | Err(_) => {
                self.store().note_late_result(claim.clone(), self.clock().now()).await?;
                Ok(Settled::Late)
            }
        }
    }

    /// Looks at a run in which something is over.
    async fn wake_run(&self, execution: &str, now: Millis) -> Result<bool> {
        let brought = self
            .bring(execution, move |_, run, journal| {
                let mut nudge = Nudge::default();
                if run.deadline.is_some_and(|deadline| deadline <= now) && journal.halted.is_none() && run.is_open {
                    crate::engine::plan::cancel_below(journal, "", now, &mut nudge.effects);
                    journal.halted = Some(Fault::new("timeout", "the run was not done in time"));
                    journal.wish = Wish::Run;
                    nudge.always = true;
                }
                Ok(nudge)
            })
            .await?;
        Ok(brought.is_some_and(|brought| brought.changed))
    }

    /// Lets a run begin that waited for another one to end.
    async fn admit(&self, execution: &str) -> Result<bool> {
        let admitted = self
            .bring(execution, |flow, run, journal| {
                let limit = flow.concurrency.as_ref().map_or(1, |concurrency| concurrency.limit);
                let admits = run.concurrency_key.clone().map(|key| (key, limit));
                if journal.wish == Wish::Queue {
                    journal.wish = Wish::Run;
                }
                Ok(Nudge { admits, ..Nudge::default() })
            })
            .await;
        match admitted {
            Err(error) if error.code == NO_ROOM => Ok(false),
            outcome => Ok(outcome?.is_some_and(|brought| brought.changed)),
        }
    }
}

/// What became of a result.
enum Settled {
    Kept(Box<Brought>),
    /// Somebody else has the step by now.
    Late,
}

impl Settled {
    fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }
}

/// Does a step, and then those of its run that follow at once: each is claimed in the commit of the result before it, which
/// saves the way through the queue.
async fn work_on(engine: Arc<Engine>, tasks: Tasks, first: Claimed) {
    let mut done = Done { engine: engine.clone(), claim: first.claim.clone() };
    let mut next = Some((first, None));
    for left in (0..IN_A_ROW).rev() {
        let Some((step, known)) = next else { return };
        let goes_on = left > 0 && !tasks.is_stopping();
        next = engine.work(step, known, goes_on).await.map(|(step, known)| (step, Some(known)));
        if let Some((step, _)) = &next {
            done.claim = step.claim.clone();
        }
    }
}

/// Makes room for the next step when one has ended, however it ended.
struct Done {
    engine: Arc<Engine>,
    claim: Claim,
}

impl Drop for Done {
    fn drop(&mut self) {
        let flows = &self.engine.flows;
        flows.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.claim);
        flows.wake.notify_one();
    }
}
