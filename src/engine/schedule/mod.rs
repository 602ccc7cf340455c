//! Runs that begin by themselves: somebody says when, and each begins in their name, with the rights they have by then.
//!
//! `rule` says when. A time is one run on any number of servers: its run is started under an idempotency key made of the
//! schedule and the time, and only then the schedule moves on. Whoever dies between the two, or is as fast as another one,
//! starts the same run again, which is none.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Engine;
use super::flow::{Launch, Source};
use crate::clock::rfc3339;
use crate::identity::acting::Kept;
use crate::identity::permission::{Object, Verb, authorize, decide};
use crate::model::conversation::Millis;
use crate::model::id::{new_id, sha256_hex};
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::audit::{Action, Deed, Doer};
use crate::store::schedule::{Last, Schedule, Ticked, unknown};
use crate::tasks::Tasks;

mod rule;

pub use rule::{Missed, Overlap, Rule, SHORTEST};

/// The most that one owner may have.
const MOST: usize = 100;

/// Schedules that are looked at together.
const BATCH: i64 = 50;

/// How long to wait after the database did not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// Another server may have made a schedule that is due earlier than those known here.
const LOOK: Duration = Duration::from_secs(5);

/// A schedule as somebody writes it. On a change, what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct ScheduleWish {
    pub name: Option<String>,
    pub source: Option<Source>,
    pub inputs: Option<Map<String, Value>>,
    pub rule: Option<Rule>,
    pub missed: Option<Missed>,
    pub overlap: Option<Overlap>,
    pub active: Option<bool>,
}

fn wrong(field: &str, message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "VALIDATION_ERROR", message).details(json!({ "field": field }))
}

/// A schedule is to people what its runs are.
fn object(schedule: &Schedule) -> Object<'_> {
    Object::Execution { starter: &schedule.owner, bot: &schedule.kind, command: &schedule.title }
}

fn source_of(schedule: &Schedule) -> Source {
    match schedule.kind.as_str() {
        "playbook" => Source::Playbook(schedule.source.clone()),
        _ => Source::Workflow(schedule.source.clone()),
    }
}

/// Looks after schedules for as long as the server runs.
pub fn keep_schedules(engine: &Arc<Engine>, tasks: &Tasks) {
    let (engine, stop) = (engine.clone(), tasks.stop_token().clone());
    tasks.spawn("schedules", async move {
        loop {
            // Asked for before the look, so that no change falls between.
            let changed = engine.schedules.notified();
            let next = engine.look_after_schedules().await;
            let sleep = async {
                match next {
                    Ok(Some(at)) => engine.clock().sleep_until(at).await,
                    Ok(None) => std::future::pending().await,
                    Err(error) => {
                        tracing::warn!(%error, "failed to look after schedules");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            };
            let elsewhere = async {
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
            }
        }
    });
}

impl Engine {
    /// The schedules that the caller may know of, by name.
    pub async fn list_schedules(&self, principal: &Principal) -> Result<Vec<Schedule>> {
        let mut schedules = self.store().schedules().await?;
        schedules.retain(|schedule| decide(principal, Verb::View, object(schedule)).allowed);
        Ok(schedules)
    }

    pub async fn schedule(&self, principal: &Principal, id: &str) -> Result<Schedule> {
        let schedule = self.store().schedule(id).await?.ok_or_else(|| unknown(id))?;
        authorize(principal, Verb::View, object(&schedule)).map_err(|_| unknown(id))?;
        Ok(schedule)
    }

    /// Makes a schedule of what the caller may run; its runs act for them.
    pub async fn create_schedule(&self, principal: &Principal, wish: ScheduleWish, doer: Doer) -> Result<Schedule> {
        let own = self.store().schedules().await?.into_iter().filter(|one| one.owner == principal.id).count();
        if own >= MOST {
            let message = format!("{MOST} schedules are the most that you may have");
            return Err(Error::conflict("TOO_MANY_SCHEDULES", message));
        }
        let now = self.clock().now();
        let Some(source) = wish.source.clone() else {
            return Err(wrong("playbook_path", "name what is to be run: \"playbook_path\" or \"workflow_id\""));
        };
        let Some(rule) = wish.rule.clone() else {
            return Err(wrong("cron", "say when it is to be run: \"cron\", \"every\" or \"at\""));
        };
        let blank = Schedule {
            id: new_id(),
            name: String::new(),
            kind: String::new(),
            source: String::new(),
            title: String::new(),
            inputs: "{}".to_owned(),
            rule: written(&rule)?,
            missed: Missed::RunOnce.as_str().to_owned(),
            overlap: Overlap::Allow.as_str().to_owned(),
            owner: principal.id.clone(),
            owner_name: principal.name.clone(),
            cause: written(&Kept::of(principal))?,
            is_active: true,
            reason: None,
            next_at: None,
            last: Last::default(),
            created_at: now,
            updated_at: now,
        };
        let wish = ScheduleWish { source: Some(source), inputs: Some(wish.inputs.unwrap_or_default()), ..wish };
        let schedule = self.filled(principal, blank, wish).await?;
        let deed = self.deed_about(&schedule, Action::ScheduleCreate, doer);
        self.store().insert_schedule(schedule.clone(), deed).await?;
        self.schedules.notify_one();
        Ok(schedule)
    }

    /// Changes a schedule; what is left out stays.
    pub async fn change_schedule(
        &self,
        principal: &Principal,
        id: &str,
        wish: ScheduleWish,
        doer: Doer,
    ) -> Result<Schedule> {
        let before = self.schedule(principal, id).await?;
        authorize(principal, Verb::Manage, object(&before))?;
        if principal.id != before.owner && (wish.source.is_some() || wish.inputs.is_some()) {
            // It acts for its owner, so nobody else says what it does.
            return Err(Error::forbidden("only who made a schedule may change what it runs"));
        }
        let mut schedule = self.filled(principal, before, wish).await?;
        schedule.updated_at = self.clock().now();
        let deed = self.deed_about(&schedule, Action::ScheduleChange, doer);
        self.store().update_schedule(schedule.clone(), deed).await?;
        self.schedules.notify_one();
        Ok(schedule)
    }

    /// Deletes a schedule; its runs stay.
    pub async fn delete_schedule(&self, principal: &Principal, id: &str, doer: Doer) -> Result<()> {
        let schedule = self.schedule(principal, id).await?;
        authorize(principal, Verb::Manage, object(&schedule))?;
        let deed = self.deed_about(&schedule, Action::ScheduleDelete, doer);
        if self.store().delete_schedule(id, deed).await? { Ok(()) } else { Err(unknown(id)) }
    }

    /// Puts what is wished into a schedule and checks it as a start would.
    async fn filled(&self, principal: &Principal, mut schedule: Schedule, wish: ScheduleWish) -> Result<Schedule> {
        if wish.source.is_some() || wish.inputs.is_some() {
            let source = wish.source.unwrap_or_else(|| source_of(&schedule));
            let inputs = match wish.inputs {
                Some(inputs) => inputs,
                None => read(&schedule.inputs)?,
            };
            schedule.title = self.check_launch(principal, &source, &inputs).await?;
            (schedule.kind, schedule.source) = match source {
                Source::Playbook(path) => ("playbook".to_owned(), path),
                Source::Workflow(id) => ("workflow".to_owned(), id),
            };
            schedule.inputs = Value::Object(inputs).to_string();
        }
        match wish.name {
            Some(name) => {
                let name = name.trim();
                if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
                    return Err(wrong("name", "\"name\" is one line of 1 to 100 characters"));
                }
                name.clone_into(&mut schedule.name);
            }
            None if schedule.name.is_empty() => schedule.name.clone_from(&schedule.title),
            None => {}
        }
        if let Some(missed) = wish.missed {
            missed.as_str().clone_into(&mut schedule.missed);
        }
        if let Some(overlap) = wish.overlap {
            overlap.as_str().clone_into(&mut schedule.overlap);
        }
        let was_active = schedule.is_active;
        if let Some(active) = wish.active {
            schedule.is_active = active;
            schedule.reason = None;
        }
        let begins = schedule.next_at.is_none() || wish.rule.is_some() || (schedule.is_active && !was_active);
        if let Some(rule) = wish.rule {
            schedule.rule = written(&rule)?;
        }
        if begins && schedule.is_active {
            // What passed while it was switched off was not missed.
            let rule: Rule = read(&schedule.rule)?;
            schedule.next_at = rule.next_after(schedule.created_at, self.clock().now());
            if schedule.next_at.is_none() {
                let field = if matches!(rule, Rule::Once(_)) { "at" } else { "cron" };
                return Err(wrong(field, "that time never comes again"));
            }
        }
        Ok(schedule)
    }

    fn deed_about(&self, schedule: &Schedule, action: Action, doer: Doer) -> Deed {
        let details = json!({ "name": schedule.name, "runs": format!("{}:{}", schedule.kind, schedule.source) });
        Deed { at: self.clock().now(), action, doer, target: Some(schedule.id.clone()), details }
    }

    /// Starts what is due and answers when the next schedule is.
    async fn look_after_schedules(&self) -> Result<Option<Millis>> {
        loop {
            let due = self.store().due_schedules(self.clock().now(), BATCH).await?;
            if due.is_empty() {
                return self.store().next_schedule().await;
            }
            for schedule in due {
                self.tick(&schedule).await?;
            }
        }
    }

    async fn tick(&self, schedule: &Schedule) -> Result<()> {
        let Some(due) = schedule.next_at else { return Ok(()) };
        let now = self.clock().now();
        let rule: Rule = read(&schedule.rule)?;
        let missed = Missed::parse(&schedule.missed).unwrap_or(Missed::RunOnce);
        let step = rule.step(schedule.created_at, due, now, missed);
        let started = match step.run {
            Some(at) => self.start_scheduled(schedule, at, now).await,
            None => Err(Error::conflict("MISSED", "no server was there at the time")),
        };
        crate::crash_point::reached("schedule.started");
        let (outcome, off) = match started {
            Ok(execution) => (Ok(execution), None),
            // Tried again: the time is not over as long as nothing is known of it.
            Err(error) if error.kind == Kind::Unavailable => return Err(error),
            Err(error) => {
                let (message, gone) = (error.message.clone(), error.code == NOBODY);
                tracing::warn!(schedule = schedule.id, name = schedule.name, %error, "a schedule started no run");
                (Err(message.clone()), gone.then_some(message))
            }
        };
        let ticked = Ticked { id: schedule.id.clone(), due, next: step.next, at: now, outcome, off };
        self.store().tick_schedule(ticked).await?;
        Ok(())
    }

    async fn start_scheduled(&self, schedule: &Schedule, at: Millis, now: Millis) -> Result<String> {
        let kept: Kept = read(&schedule.cause)?;
        let principal = kept.now(self.store(), now).await.map_err(|error| match error.kind {
            Kind::Forbidden => Error::new(Kind::Forbidden, NOBODY, error.message),
            _ => error,
        })?;
        let before = match &schedule.last.execution {
            Some(execution) => self.store().run(execution).await?.filter(|run| run.is_open),
            None => None,
        };
        match (before, Overlap::parse(&schedule.overlap)) {
            (Some(run), Some(Overlap::Skip)) => {
                return Err(Error::conflict("OVERLAP", format!("run {} was still under way", run.execution)));
            }
            (Some(run), Some(Overlap::CancelRunning)) => {
                self.cancel_run(&run.execution, "the next run of its schedule began").await?;
            }
            _ => {}
        }
        let key = format!("schedule {} {at}", schedule.id);
        let trigger =
            json!({ "type": "schedule", "schedule": schedule.id, "name": schedule.name, "due_at": rfc3339(at) });
        let launch = Launch {
            source: source_of(schedule),
            inputs: read(&schedule.inputs)?,
            metadata: Value::Null,
            trigger,
            debug: false,
            body_hash: Some(sha256_hex(key.as_bytes())),
            idempotency_key: Some(key),
        };
        Ok(self.launch(&principal, launch).await?.execution)
    }
}

/// The code of what no run can begin for: its owner may do nothing any more.
const NOBODY: &str = "OWNER_GONE";

fn written<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal("write a schedule", error))
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::internal("read a schedule", error))
}
