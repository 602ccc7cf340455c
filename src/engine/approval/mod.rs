//! Runs that wait for a word: their requester's (a confirmation), then that of others (an approval).
//!
//! [`ask`] stores such a run instead of running it, in the transaction of what asked for it. Each word is one transaction
//! (`decide`), and so is the telling of those who may approve (`tell`). What was approved begins in a transaction of its
//! own that only one can win (`begin`); [`watch`] goes on with whatever a crash left between them, and ends what nobody
//! answered. `card` is how it looks.
//!
//! A word is about one command of one version of a bot with these arguments for this requester: a SHA-256 over them is kept
//! and held against what is there at every step. When it differs, the request is void.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Engine;
use super::invoke::{Invoked, Place, Prepared, Request, Source};
use super::runner::{new_execution, record_run};
use crate::model::approval::{Approve, Confirm, State};
use crate::model::bot::Bot;
use crate::model::command::{Command, Effect};
use crate::model::conversation::Millis;
use crate::model::id::{new_id, sha256_hex};
use crate::model::principal::Principal;
use crate::model::{Error, Result};
use crate::store::approval::{Approval, Card, NewApproval};
use crate::store::delivery::execution_update;
use crate::store::execution::NewExecution;

mod begin;
mod card;
mod decide;
mod tell;
mod watch;

pub use decide::Wish;
pub use watch::watch;

/// How long who asked is waited for.
const CONFIRM_TTL: Millis = 15 * 60 * 1000;

/// A request as it is kept until it may run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    pub arguments: BTreeMap<String, String>,
    pub matches: Vec<String>,
    pub source: Source,
    /// The arguments as everybody may see them.
    pub shown: Vec<(String, String)>,
    pub effect: Effect,
    pub display_name: String,
    /// What who asked has to type.
    pub target: Option<String>,
}

impl Kept {
    fn request(self, approval: &Approval) -> Request {
        Request {
            command: approval.command.clone(),
            bot: Some(approval.bot.clone()),
            arguments: self.arguments.into_iter().collect(),
            matches: self.matches,
            source: self.source,
        }
    }
}

impl Approval {
    pub fn kept(&self) -> Result<Kept> {
        serde_json::from_str(&self.request).map_err(|error| Error::internal("read an approval", error))
    }

    pub fn approve(&self) -> Result<Option<Approve>> {
        let read = |rule: &String| serde_json::from_str(rule);
        self.rule.as_ref().map(read).transpose().map_err(|error| Error::internal("read an approval", error))
    }
}

/// What a command waits for before it runs with these values; none: nothing.
pub(super) fn wanted(prepared: &Prepared, place: &Place) -> Option<State> {
    // The word was given, and `begin` has held it against what is to run now.
    let was_given = match place {
        Place::Approved { .. } => true,
        Place::Conversation { turn, .. } => turn.beside.as_ref().is_some_and(|beside| beside.started.is_some()),
        Place::Poll { .. } => false,
    };
    if was_given {
        return None;
    }
    let asks = match prepared.command.confirm {
        Confirm::Never => false,
        Confirm::Change => prepared.arguments.len() > prepared.given.len(),
        Confirm::Always | Confirm::Typed => true,
    };
    if asks {
        return Some(State::Confirm);
    }
    prepared.command.approve.is_some().then_some(State::Approve)
}

/// SHA-256 over what a word is about.
fn digest(bot: &Bot, command: &Command, arguments: &BTreeMap<String, String>, requester: &str) -> String {
    let whole = json!([bot.name, command.name, bot.version, arguments, requester]);
    sha256_hex(whole.to_string().as_bytes())
}

fn lasts_until(state: State, approve: Option<&Approve>, now: Millis) -> Millis {
    let ttl = match (state, approve) {
        (State::Approve, Some(approve)) => approve.ttl,
        _ => CONFIRM_TTL,
    };
    now.saturating_add(ttl)
}

fn new_approval(
    principal: &Principal,
    prepared: &Prepared,
    run: &NewExecution,
    (state, reply_to): (State, Option<&str>),
    at: Millis,
) -> Result<Approval> {
    let Prepared { bot, command, arguments, matches, source, .. } = prepared;
    let first = command.parameters.first().and_then(|parameter| arguments.get(&parameter.name));
    let target = first.filter(|value| !value.is_empty()).unwrap_or(&command.name).clone();
    let kept = Kept {
        arguments: arguments.clone(),
        matches: matches.clone(),
        source: source.clone(),
        shown: arguments.iter().map(|(name, value)| (name.clone(), command.shown(name, value).to_owned())).collect(),
        effect: command.effect,
        display_name: bot.bot.display_name.clone(),
        target: (command.confirm == Confirm::Typed).then_some(target),
    };
    let unwritten = |error: serde_json::Error| Error::internal("write an approval", error);
    Ok(Approval {
        execution: run.id.clone(),
        principal: principal.id.clone(),
        principal_name: principal.name.clone(),
        person: principal.person().unwrap_or(&principal.id).to_owned(),
        bot: bot.bot.name.clone(),
        command: command.name.clone(),
        bot_version: bot.bot.version.clone(),
        digest: digest(&bot.bot, command, arguments, &principal.id),
        request: serde_json::to_string(&kept).map_err(unwritten)?,
        rule: command.approve.as_ref().map(serde_json::to_string).transpose().map_err(unwritten)?,
        state,
        token: new_id(),
        notified: false,
        conversation: source.conversation.clone(),
        reply_to: reply_to.map(str::to_owned),
        created_at: at,
        expires_at: lasts_until(state, command.approve.as_ref(), at),
    })
}

/// Stores a run that waits for a word, together with what asked for it.
pub(super) async fn ask(
    engine: &Engine,
    principal: &Principal,
    prepared: &Prepared,
    place: Place,
    state: State,
) -> Result<Invoked> {
    let at = engine.clock().now();
    let status = state.status().unwrap_or(crate::model::execution::ExecutionStatus::AwaitingApproval);
    let run = NewExecution { status, ..new_execution(principal, prepared, &place, at)? };
    let id = run.id.clone();
    let invoked = match place {
        Place::Poll { idempotency_key, body_hash } => {
            let approval = new_approval(principal, prepared, &run, (state, None), at)?;
            let update = execution_update(&id, status, None, at)?;
            let approval = Some(Box::new(NewApproval { approval, card: None }));
            let run = NewExecution { idempotency_key, body_hash, approval, ..run };
            engine.store().start_execution(run, vec![update]).await.map(Invoked::Polled)?
        }
        Place::Conversation { mut turn, waiting, .. } => {
            let approval = new_approval(principal, prepared, &run, (state, turn.answered()), at)?;
            let (conversation, owner, message) = (turn.conversation.clone(), turn.owner.clone(), new_id());
            let card = Card { conversation, owner, message, approver: false };
            let drawn = card::draw(&approval, &[], &card, at)?;
            let event = card::event(&approval, &card, drawn.message, turn.answered(), at)?;
            turn.follows.push(event);
            turn.beside().actions.extend(drawn.actions);
            let approval = Some(Box::new(NewApproval { approval, card: Some(card) }));
            record_run(&mut turn, NewExecution { approval, ..run }, waiting.is_some())?;
            engine.store().commit_turn(*turn).await.map(Invoked::Said)?
        }
        Place::Approved { .. } => return Err(Error::internal("ask for a word", "it was given already")),
    };
    crate::crash_point::reached("approval.asked");
    engine.go_on_with(&id).await;
    Ok(invoked)
}

impl Engine {
    /// Goes on with an approval that was just changed. What fails is tried again by who looks after them.
    pub(super) async fn go_on_with(&self, execution: &str) {
        let gone_on = async {
            match self.store().approval(execution).await? {
                Some(approval) => self.follow_up(&approval).await,
                None => Ok(()),
            }
        };
        if let Err(error) = gone_on.await {
            tracing::warn!(execution, %error, "an approval is gone on with later");
        }
        self.approvals.notify_one();
    }

    /// Does what follows from how an approval stands.
    async fn follow_up(&self, approval: &Approval) -> Result<()> {
        match approval.state {
            State::Approve if !approval.notified => self.tell_approvers(approval).await,
            State::Approved => Box::pin(self.begin_approved(approval)).await,
            _ => Ok(()),
        }
    }
}
