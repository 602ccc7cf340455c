//! What can be run right now: all bots as one version, swapped at once.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use super::builtin;
use crate::identity::permission::{Object, Verb, decide};
use crate::intent::Index;
use crate::manifest::flow::Document;
use crate::manifest::{self, Fault, Level, LoadedBot as Read};
use crate::model::bot::Bot;
use crate::model::command::Command;
use crate::model::message::Message;
use crate::model::name::fold;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::template::reply::Compiled;

/// A bot that can be talked to.
pub struct LoadedBot {
    pub bot: Arc<Bot>,
    read: Option<Read>,
    by_name: HashMap<String, Arc<Command>>,
}

impl LoadedBot {
    fn new(bot: Arc<Bot>, read: Option<Read>) -> Arc<Self> {
        let by_name = bot.commands.iter().map(|command| (fold(&command.name), command.clone())).collect();
        Arc::new(Self { bot, read, by_name })
    }

    pub fn command(&self, name: &str) -> Option<Arc<Command>> {
        self.by_name.get(&fold(name)).cloned()
    }

    /// A command's reply as it was compiled.
    pub(super) fn reply(&self, command: &str) -> Result<&Compiled> {
        let reply = self.read.as_ref().and_then(|read| read.reply(command)).map(Arc::as_ref);
        reply.ok_or_else(|| Error::internal("render a reply", "the command has no template"))
    }

    /// The document behind a command with steps.
    pub(super) fn document(&self, command: &str) -> Result<&Arc<Document>> {
        let document = self.read.as_ref().and_then(|read| read.document(command));
        document.ok_or_else(|| Error::internal("run a command", "the command has no steps"))
    }

    /// Renders a command's reply.
    pub(super) fn render(&self, command: &str, context: &Value) -> Result<Message> {
        let rendered = self.reply(command)?.render(context);
        rendered.map_err(|fault| Error::new(Kind::Invalid, "TEMPLATE_FAILED", fault.to_string()))
    }
}

/// How a bot does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BotStatus {
    Online,
    /// Its newest files cannot be used: the last good version serves, if there was one.
    Degraded {
        detail: String,
        serving: bool,
    },
}

impl BotStatus {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Degraded { .. } => "degraded",
        }
    }

    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Online => None,
            Self::Degraded { detail, .. } => Some(detail),
        }
    }
}

/// One version of everything that can be run.
pub struct Snapshot {
    bots: BTreeMap<String, Arc<LoadedBot>>,
    statuses: BTreeMap<String, BotStatus>,
    pub faults: Vec<Fault>,
    pub index: Index,
}

impl Snapshot {
    fn new(
        bots: BTreeMap<String, Arc<LoadedBot>>,
        statuses: BTreeMap<String, BotStatus>,
        faults: Vec<Fault>,
    ) -> Arc<Self> {
        let all: Vec<Arc<Bot>> = bots.values().map(|loaded| loaded.bot.clone()).collect();
        Arc::new(Self { index: Index::build(&all), bots, statuses, faults })
    }

    pub fn bot(&self, name: &str) -> Option<&Arc<LoadedBot>> {
        self.bots.get(name).or_else(|| self.bots.values().find(|loaded| fold(&loaded.bot.name) == fold(name)))
    }

    /// Every bot's state, by name, those without a usable version too.
    pub fn statuses(&self) -> impl Iterator<Item = (&str, &BotStatus)> {
        self.statuses.iter().map(|(name, status)| (name.as_str(), status))
    }

    /// The bots a principal may know of; the built-in one is everywhere and is not listed.
    pub fn visible_bots(&self, principal: &Principal) -> Vec<(Arc<LoadedBot>, BotStatus)> {
        self.bots
            .values()
            .filter(|loaded| loaded.bot.name != builtin::BOT)
            .filter(|loaded| decide(principal, Verb::View, Object::Bot(&loaded.bot)).allowed)
            .map(|loaded| (loaded.clone(), self.statuses.get(&loaded.bot.name).cloned().unwrap_or(BotStatus::Online)))
            .collect()
    }

    /// The commands a principal may run, of one bot or of all, in the order they were written.
    pub fn visible_commands(&self, principal: &Principal, bot: Option<&str>) -> Vec<(Arc<LoadedBot>, Arc<Command>)> {
        let wanted = |loaded: &&Arc<LoadedBot>| bot.is_none_or(|name| loaded.bot.name == name);
        let allowed = |loaded: &Arc<LoadedBot>, command: &Command| {
            decide(principal, Verb::Invoke, Object::Command { bot: &loaded.bot, command, arguments: None }).allowed
        };
        self.bots
            .values()
            .filter(wanted)
            .flat_map(|loaded| loaded.bot.commands.iter().map(move |command| (loaded.clone(), command.clone())))
            .filter(|(loaded, command)| allowed(loaded, command))
            .collect()
    }

    /// Every bot's command of that name.
    pub fn commands_named(&self, name: &str) -> Vec<(Arc<LoadedBot>, Arc<Command>)> {
        let name = fold(name);
        let of = |loaded: &Arc<LoadedBot>| loaded.by_name.get(&name).map(|command| (loaded.clone(), command.clone()));
        self.bots.values().filter_map(of).collect()
    }
}

/// The bots of this installation.
pub struct Registry {
    folders: Vec<PathBuf>,
    current: RwLock<Arc<Snapshot>>,
}

impl Registry {
    /// Reads the folders for the first time.
    pub fn open(folders: Vec<PathBuf>) -> Arc<Self> {
        let empty = Snapshot::new(BTreeMap::new(), BTreeMap::new(), Vec::new());
        let registry = Self { folders, current: RwLock::new(empty) };
        registry.reload();
        Arc::new(registry)
    }

    /// The version that is current now; whoever holds it keeps it to the end.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the folders again and swaps everything at once. A bot with a fault keeps its last good version. Blocks on
    /// files: call it where blocking is allowed.
    pub fn reload(&self) -> Arc<Snapshot> {
        let before = self.snapshot();
        let builtin = Arc::new(builtin::bot());
        let mut read = manifest::load(&self.folders);
        read.lint_between(std::slice::from_ref(&builtin));
        let mut bots: BTreeMap<String, Arc<LoadedBot>> = BTreeMap::new();
        let mut statuses = BTreeMap::new();
        for loaded in &read.bots {
            let bot = loaded.bot.clone();
            statuses.insert(bot.name.clone(), BotStatus::Online);
            bots.insert(bot.name.clone(), LoadedBot::new(bot, Some(loaded.clone())));
        }
        for outcome in read.outcomes.iter().filter(|outcome| !outcome.loaded) {
            let last = before.bots.get(&outcome.bot).filter(|_| !bots.contains_key(&outcome.bot)).cloned();
            bots.extend(last.map(|last| (outcome.bot.clone(), last)));
            let serving = bots.contains_key(&outcome.bot);
            let error = outcome.faults.iter().find(|fault| fault.level == Level::Error);
            let detail = error.map(ToString::to_string).unwrap_or_default();
            statuses.insert(outcome.bot.clone(), BotStatus::Degraded { detail, serving });
        }
        let faults: Vec<Fault> =
            read.faults().map(|(folder, fault)| Fault { file: folder.join(&fault.file), ..fault.clone() }).collect();
        bots.insert(builtin.name.clone(), LoadedBot::new(builtin, None));
        for fault in &faults {
            tracing::warn!("{fault}");
        }
        tracing::info!(bots = statuses.len(), faults = faults.len(), "bots loaded");
        let snapshot = Snapshot::new(bots, statuses, faults);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = snapshot.clone();
        snapshot
    }
}
