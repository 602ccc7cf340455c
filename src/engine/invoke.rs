//! The one way in: a command request, from whichever door, becomes a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::arguments::{Checked, Fault, check, refusal};
use super::flow::{Launch, Launched};
use super::record::Record;
use super::registry::{LoadedBot, Snapshot};
use super::{Engine, approval, runner};
use crate::identity::permission::{Object, Verb, authorize, unknown_bot};
use crate::model::command::Command;
use crate::model::message::Message;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::execution::Invocation;
use crate::store::log::Receipt;
use crate::store::turn::Turn;

/// A wish to run a command.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name; compared without case, `-` and `_`.
    pub command: String,
    /// The bot it must belong to; `None` takes the one bot that has such a command.
    pub bot: Option<String>,
    /// Parameter names and values as given.
    pub arguments: Vec<(String, String)>,
    /// What numbered groups of a regular expression caught.
    pub matches: Vec<String>,
    /// Whence it comes, for the record and for mapped parameters.
    pub source: Source,
}

/// Whence a request comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The request as it is kept: the body of the door, or what was said.
    pub record: Record,
    pub team_id: Option<String>,
    pub team_name: Option<String>,
    /// Values for mapped parameters that the caller brings along.
    pub mapped: BTreeMap<String, String>,
    pub conversation: Option<String>,
    /// The channel's kind: `web`, `api`, `slack`, …
    pub channel: String,
    /// The channel itself, when it is one of a chat outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideChannel>,
}

/// A channel of a chat outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideChannel {
    pub id: String,
    pub name: String,
    /// `channel` or `user`, as the automation API has it.
    pub kind: String,
}

/// A request that may run: everything checked, nothing done.
pub struct Prepared {
    pub bot: Arc<LoadedBot>,
    pub command: Arc<Command>,
    /// Every declared parameter that has a value, defaults filled in.
    pub arguments: BTreeMap<String, String>,
    /// Those of them that the caller gave.
    pub given: BTreeMap<String, String>,
    pub mapped: BTreeMap<String, String>,
    pub matches: Vec<String>,
    pub source: Source,
    pub snapshot: Arc<Snapshot>,
}

/// A request that cannot run before its sender was asked: values are missing or wrong, or the sender has yet to agree.
pub struct Wanting {
    pub bot: Arc<LoadedBot>,
    pub command: Arc<Command>,
    /// The values that were given and are right.
    pub arguments: BTreeMap<String, String>,
    /// Empty when everything is known and only has to be agreed to.
    pub faults: Vec<Fault>,
    pub matches: Vec<String>,
    pub source: Source,
}

/// What a request is good for.
pub enum Considered {
    Ready(Box<Prepared>),
    Wanting(Box<Wanting>),
}

/// Where the answer goes, and what is committed together with it.
pub enum Place {
    /// A caller that polls.
    Poll { idempotency_key: Option<String>, body_hash: Option<String> },
    /// A conversation: the turn of what was said there takes the run and its answer in.
    Conversation {
        turn: Box<Turn>,
        /// The execution that has waited for this request; none starts a new one.
        waiting: Option<String>,
        /// Whether the sender has seen all values and agreed.
        agreed: bool,
    },
    /// A caller that polls a run which was approved by now.
    Approved { execution: String },
}

/// What an invocation came to.
pub enum Invoked {
    Polled(Invocation),
    Said(Receipt),
    /// Nothing yet: the sender has to be asked. The turn comes back as it was.
    Wants(Box<Wanting>, Box<Turn>),
}

impl Engine {
    /// The command that a request means, when the caller may run it.
    pub fn command(&self, principal: &Principal, request: &Request) -> Result<Arc<Command>> {
        let (bot, command) = find(&self.registry().snapshot(), principal, request)?;
        authorize(principal, Verb::Invoke, Object::Command { bot: &bot.bot, command: &command, arguments: None })?;
        Ok(command)
    }

    /// Checks a request without running it. Missing or wrong values are an error that names them all.
    pub fn prepare(&self, principal: &Principal, request: Request) -> Result<Prepared> {
        match self.consider(principal, request)? {
            Considered::Ready(prepared) => Ok(*prepared),
            Considered::Wanting(wanting) => Err(refusal(&wanting.command, &wanting.faults)),
        }
    }

    /// Checks a request: whether it can run, or what it still wants. Errors are what no answer could mend.
    pub fn consider(&self, principal: &Principal, request: Request) -> Result<Considered> {
        let snapshot = self.registry().snapshot();
        let (bot, command) = find(&snapshot, principal, &request)?;
        let bot_id = bot.bot.name.clone();
        // Before the parameters, so that nobody learns the rules of a command that is not for them.
        authorize(principal, Verb::Invoke, Object::Command { bot: &bot.bot, command: &command, arguments: None })?;
        let Checked { arguments, given, faults } = check(&command, &request.arguments);
        if faults.iter().any(|fault| !fault.can_be_asked()) {
            return Err(refusal(&command, &faults));
        }
        let Request { matches, source, .. } = request;
        let mapped = mapped(&command, principal, &source, &bot_id)?;
        if !faults.is_empty() {
            let wanting = Wanting { bot, command, arguments: given, faults, matches, source };
            return Ok(Considered::Wanting(Box::new(wanting)));
        }
        let object = Object::Command { bot: &bot.bot, command: &command, arguments: Some(&arguments) };
        authorize(principal, Verb::Invoke, object)?;
        let prepared = Prepared { bot, command, arguments, given, mapped, matches, source, snapshot };
        Ok(Considered::Ready(Box::new(prepared)))
    }

    /// Runs a request: checks it, plans it, and stores the run with its answers. A command whose whole body is a pure
    /// reply is finished in the transaction that also holds what was said. In a conversation a request that lacks
    /// something is handed back, to be asked for.
    pub async fn invoke(&self, principal: &Principal, request: Request, place: Place) -> Result<Invoked> {
        let place = match place {
            Place::Poll { .. } | Place::Approved { .. } => {
                return self.proceed(principal, self.prepare(principal, request)?, place).await;
            }
            conversation @ Place::Conversation { .. } => conversation,
        };
        let wanting = match (self.consider(principal, request)?, &place) {
            (Considered::Ready(prepared), Place::Conversation { agreed: false, .. })
                if !prepared.command.auto_submit =>
            {
                prepared.unsettled()
            }
            (Considered::Ready(prepared), _) => return self.proceed(principal, *prepared, place).await,
            (Considered::Wanting(wanting), _) => *wanting,
        };
        match place {
            Place::Conversation { turn, .. } => Ok(Invoked::Wants(Box::new(wanting), turn)),
            Place::Poll { .. } | Place::Approved { .. } => Err(refusal(&wanting.command, &wanting.faults)),
        }
    }

    /// Runs what was prepared and approved.
    pub(super) async fn run_prepared(
        &self,
        principal: &Principal,
        prepared: Prepared,
        place: Place,
    ) -> Result<Invoked> {
        runner::run(self, principal, prepared, place).await
    }

    /// Runs what may run, or lets it wait for a word first.
    async fn proceed(&self, principal: &Principal, prepared: Prepared, place: Place) -> Result<Invoked> {
        match approval::wanted(&prepared, &place) {
            Some(state) => Box::pin(approval::ask(self, principal, &prepared, place, state)).await,
            None => runner::run(self, principal, prepared, place).await,
        }
    }
}

impl Engine {
    /// Starts a run of a playbook or workflow. The same idempotency key and request give the first one.
    pub async fn launch(&self, principal: &Principal, launch: Launch) -> Result<Launched> {
        Box::pin(self.begin_launch(principal, launch)).await
    }
}

impl Prepared {
    /// The same before its sender has agreed to it.
    pub fn unsettled(self) -> Wanting {
        let Self { bot, command, given, matches, source, .. } = self;
        Wanting { bot, command, arguments: given, faults: Vec::new(), matches, source }
    }
}

fn find(snapshot: &Arc<Snapshot>, principal: &Principal, request: &Request) -> Result<(Arc<LoadedBot>, Arc<Command>)> {
    if let Some(name) = &request.bot {
        let bot = snapshot.bot(name).ok_or_else(|| unknown_bot(name))?;
        authorize(principal, Verb::View, Object::Bot(&bot.bot))?;
        let command = bot.command(&request.command);
        return command
            .map(|command| (bot.clone(), command))
            .ok_or_else(|| no_such_command(snapshot, principal, request));
    }
    let mut found = snapshot
        .commands_named(&request.command)
        .into_iter()
        .filter(|(bot, _)| crate::identity::permission::decide(principal, Verb::View, Object::Bot(&bot.bot)).allowed);
    let Some(first) = found.next() else { return Err(no_such_command(snapshot, principal, request)) };
    let others: Vec<_> = found.collect();
    if others.is_empty() {
        return Ok(first);
    }
    let candidates: Vec<Value> = std::iter::once(&first)
        .chain(&others)
        .map(|(bot, command)| json!({ "bot": bot.bot.name, "command": command.name }))
        .collect();
    Err(Error::conflict(
        "AMBIGUOUS_COMMAND",
        format!("more than one bot has a command '{}'; name one in automation.name", request.command),
    )
    .details(json!({ "candidates": candidates })))
}

fn no_such_command(snapshot: &Snapshot, principal: &Principal, request: &Request) -> Error {
    let known = snapshot.visible_commands(principal, request.bot.as_deref());
    let names: Vec<&str> = known.iter().map(|(_, command)| command.name.as_str()).take(50).collect();
    Error::not_found(format!(
        "No command handler with name '{}': Known command handlers are '{}'",
        request.command,
        names.join(",")
    ))
    .details(json!({ "command": request.command }))
}

/// Fills mapped parameters from who asks and where. What the door brought along wins only for what the house does not
/// know itself: nobody can pass for another user, and nothing said in a conversation for something said elsewhere.
fn mapped(command: &Command, principal: &Principal, source: &Source, bot: &str) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let here = source.conversation.as_deref();
    for (name, wanted) in &command.mapped_parameters {
        let known = match wanted.as_str() {
            "user.id" => Some(principal.id.as_str()),
            "user.name" => Some(principal.name.as_str()),
            "channel.id" if let Some(outside) = &source.outside => Some(outside.id.as_str()),
            "channel.name" if let Some(outside) = &source.outside => Some(outside.name.as_str()),
            "channel.type" if let Some(outside) = &source.outside => Some(outside.kind.as_str()),
            "conversation.id" | "channel.id" => here,
            "channel.name" => here.map(|_| bot),
            "channel.type" => here.map(|_| source.channel.as_str()),
            "team.id" => source.team_id.as_deref(),
            "team.name" => source.team_name.as_deref(),
            _ => None,
        };
        let brought = || source.mapped.get(name).map(String::as_str);
        // A program without a conversation stands in a channel all the same: its own door to this bot.
        let door = || match wanted.as_str() {
            "channel.id" | "channel.type" => Some(source.channel.as_str()),
            "channel.name" => Some(bot),
            _ => None,
        };
        let value = known.or_else(brought).or_else(door).map(str::to_owned);
        let value = value.ok_or_else(|| {
            Error::new(Kind::Invalid, "VALIDATION_FAILED", format!("Cannot resolve mapped parameter '{name}'")).details(json!({
                "errors": [{ "field": format!("mapped_parameters.{name}"), "code": "required", "message": format!("Cannot resolve mapped parameter '{name}'") }]
            }))
        })?;
        values.insert(name.clone(), value);
    }
    Ok(values)
}

impl Engine {
    /// What a conversation reads about a request that was refused.
    pub fn explain(&self, error: &Error, bot: &str, command: &str) -> Message {
        let command = self.registry().snapshot().bot(bot).and_then(|loaded| loaded.command(command));
        super::answer::explain(error, command.as_deref())
    }
}
