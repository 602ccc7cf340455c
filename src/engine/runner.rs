//! Runs what was prepared. A reply is pure, so its run is planned, rendered and committed in one go; what is left to a
//! process elsewhere is stored for it.

use std::collections::BTreeMap;

use super::answer::{Speaker, answer};
use super::invoke::{Invoked, Place, Prepared, Source, Wanting};
use super::record::written;
use super::registry::LoadedBot;
use super::{Engine, builtin, data, remote};
use crate::model::command::{Body, Command};
use crate::model::conversation::Millis;
use crate::model::event::NewEvent;
use crate::model::execution::ExecutionStatus;
use crate::model::id::new_id;
use crate::model::message::{Message, Tone, escape_markdown};
use crate::model::principal::Principal;
use crate::model::{Error, Result};
use crate::store::delivery::execution_update;
use crate::store::execution::{Elsewhere, Invocation, NewExecution, RunChange};
use crate::store::turn::Turn;

/// Runs a prepared command and commits the run, its answer, its events and, in a conversation, what was said.
pub(super) async fn run(engine: &Engine, principal: &Principal, prepared: Prepared, place: Place) -> Result<Invoked> {
    let started = engine.clock().now();
    let outcome = match &prepared.command.body {
        Body::Reply(_) => match prepared.bot.reply(&prepared.command.name)?.fixed() {
            Some(message) => Ok(message.clone()),
            None => {
                let context = Box::pin(data::context(engine, principal, &prepared)).await?;
                prepared.bot.render(&prepared.command.name, &context)
            }
        },
        Body::Remote(body) => return Box::pin(remote::start(engine, principal, &prepared, place, *body)).await,
        Body::Flow(_) => {
            let document = prepared.bot.document(&prepared.command.name)?.clone();
            return Box::pin(engine.begin_command(principal, &prepared, place, &document)).await;
        }
        // Put aside, as everything that not every message needs: the future of a message is made for each.
        Body::Builtin(body) => Box::pin(builtin::run(engine, principal, &prepared, *body)).await,
    };
    let finished = engine.clock().now();
    let (status, message, fault) = match outcome {
        Ok(message) => (ExecutionStatus::Completed, message, None),
        Err(error) => {
            tracing::warn!(bot = prepared.bot.bot.name, command = prepared.command.name, %error, "command failed");
            let text =
                format!("**{}** failed: {}", escape_markdown(&prepared.command.name), escape_markdown(&error.message));
            (ExecutionStatus::Failed, Message::text(text).tone(Tone::Error), Some(error.message))
        }
    };

    let execution = NewExecution {
        status,
        responses: serde_json::to_string(&[&message]).map_err(|error| Error::internal("write the answer", error))?,
        error: fault,
        started_at: Some(started),
        finished_at: Some(finished),
        elsewhere: (!message.to.is_empty()).then(|| {
            let (bot, command) = (prepared.bot.bot.name.clone(), prepared.command.name.clone());
            Box::new(Elsewhere { bot, command, message: message.clone() })
        }),
        ..new_execution(principal, &prepared, &place, started)?
    };
    match place {
        Place::Poll { idempotency_key, body_hash } => {
            let update = execution_update(&execution.id, status, Some("reply"), finished)?;
            let execution = NewExecution { idempotency_key, body_hash, ..execution };
            engine.store().start_execution(execution, vec![update]).await.map(Invoked::Polled)
        }
        Place::Approved { .. } => {
            let update = execution_update(&execution.id, status, Some("reply"), finished)?;
            approved(engine, execution, update).await
        }
        Place::Conversation { mut turn, waiting, .. } => {
            let id = execution.id.clone();
            record_run(&mut turn, execution, waiting.is_some())?;
            let bot = Speaker { id: &prepared.bot.bot.name, name: &prepared.bot.bot.display_name };
            if message.is_for_here() {
                answer(&mut turn, message, (bot, &principal.id), Some((&id, &prepared.command.name)), finished)?;
            }
            engine.store().commit_turn(*turn).await.map(Invoked::Said)
        }
    }
}

/// Stores how a run that was approved came on; whoever polls it knows its ids.
pub(super) async fn approved(engine: &Engine, run: NewExecution, update: NewEvent) -> Result<Invoked> {
    let invocation = Invocation { id: run.id.clone(), request_id: run.request_id.clone() };
    engine.store().advance_approved(RunChange::from(run), vec![update]).await?;
    Ok(Invoked::Polled(invocation))
}

/// Puts a run into its turn: a new one, or one that has waited and goes on.
pub(super) fn record_run(turn: &mut Turn, run: NewExecution, has_waited: bool) -> Result<()> {
    if !has_waited {
        // What is finished now needs no stream of its own: its answer stands in the conversation.
        turn.execution = Some(run);
        return Ok(());
    }
    // Somebody may poll since it was asked for.
    let step = run.status.is_final().then_some("reply");
    turn.follows.push(execution_update(&run.id, run.status, step, turn.at)?);
    turn.beside().runs.push(RunChange::from(run));
    Ok(())
}

/// The record of a run that has yet to begin; of one that has waited, under its id.
pub(super) fn new_execution(
    principal: &Principal,
    prepared: &Prepared,
    place: &Place,
    at: Millis,
) -> Result<NewExecution> {
    let Prepared { bot, command, source, arguments, mapped, .. } = prepared;
    let execution = planned(principal, (bot, command), source, (arguments, mapped), at)?;
    Ok(match place {
        Place::Poll { .. } => execution,
        Place::Approved { execution: id } => NewExecution { id: id.clone(), ..execution },
        Place::Conversation { waiting, .. } => {
            let id = waiting.clone().unwrap_or(execution.id);
            NewExecution { id, origin: "chat", ..execution }
        }
    })
}

impl Wanting {
    /// The execution that waits for what is asked.
    pub fn execution(&self, principal: &Principal, at: Millis) -> Result<NewExecution> {
        let Self { bot, command, source, arguments, .. } = self;
        let execution = planned(principal, (bot, command), source, (arguments, &BTreeMap::new()), at)?;
        Ok(NewExecution { status: ExecutionStatus::AwaitingInput, origin: "chat", ..execution })
    }
}

fn planned(
    principal: &Principal,
    (bot, command): (&LoadedBot, &Command),
    source: &Source,
    (arguments, mapped): (&BTreeMap<String, String>, &BTreeMap<String, String>),
    at: Millis,
) -> Result<NewExecution> {
    Ok(NewExecution {
        id: new_id(),
        request_id: new_id(),
        bot: bot.bot.name.clone(),
        bot_version: bot.bot.version.clone(),
        command: command.name.clone(),
        status: ExecutionStatus::Pending,
        principal: principal.id.clone(),
        principal_name: principal.name.clone(),
        origin: "command",
        conversation: source.conversation.clone(),
        request: written(command, source, arguments, mapped)?,
        responses: "[]".to_owned(),
        error: None,
        idempotency_key: None,
        body_hash: None,
        created_at: at,
        started_at: None,
        finished_at: None,
        delivery: None,
        approval: None,
        elsewhere: None,
        run: None,
    })
}
