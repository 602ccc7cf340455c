//! All bots of some directories.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bot;
use super::command::Places;
use super::fault::{Fault, Level};
use super::flow::Document;
use super::yaml::Place;
use crate::intent;
use crate::model::bot::Bot;
use crate::model::name::fold;
use crate::template::reply::Compiled;

/// A bot without a fault, ready to serve.
#[derive(Clone, Debug)]
pub struct LoadedBot {
    pub bot: Arc<Bot>,
    /// The compiled replies, by folded command name.
    pub(super) replies: BTreeMap<String, Arc<Compiled>>,
    /// The documents of commands with steps, by folded command name.
    pub(super) documents: BTreeMap<String, Arc<Document>>,
    /// Per command, where it is written.
    pub(super) places: Arc<[Places]>,
}

impl LoadedBot {
    /// The compiled reply of a command.
    pub fn reply(&self, command: &str) -> Option<&Arc<Compiled>> {
        self.replies.get(&fold(command))
    }

    /// The document of a command with steps.
    pub fn document(&self, command: &str) -> Option<&Arc<Document>> {
        self.documents.get(&fold(command))
    }

    /// Where a lint of this bot is reported, and how gravely.
    pub(super) fn place(&self, lint: &intent::Lint) -> ((u32, u32), Level) {
        let command = self.bot.commands.iter().position(|command| command.name == lint.command);
        let place = command.and_then(|at| self.places.get(at)).map_or((1, 1), |places| {
            let found = match lint.subject {
                intent::Subject::Command => None,
                intent::Subject::Intent(at) => places.intents.get(at),
                intent::Subject::Example(at) => places.examples.get(at),
            };
            *found.unwrap_or(&places.name)
        });
        let level = match lint.level {
            intent::Level::Error => Level::Error,
            intent::Level::Warning => Level::Warning,
        };
        (place, level)
    }
}

/// What became of one folder.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The name of the folder, which is the name of the bot.
    pub bot: String,
    /// The directory it is in, as it was given.
    pub dir: PathBuf,
    /// Whether it is among the loaded bots. When not, whoever has a good version of it keeps that.
    pub loaded: bool,
    pub faults: Vec<Fault>,
}

/// The bots of some directories, and what is wrong with the others.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub bots: Vec<LoadedBot>,
    pub outcomes: Vec<Outcome>,
    /// Directories that could not be read.
    pub unread: Vec<Fault>,
}

impl Loaded {
    /// Every fault, with the directory it was found in.
    pub fn faults(&self) -> impl Iterator<Item = (&Path, &Fault)> {
        let unread = self.unread.iter().map(|fault| (Path::new(""), fault));
        unread.chain(
            self.outcomes.iter().flat_map(|outcome| outcome.faults.iter().map(|fault| (outcome.dir.as_path(), fault))),
        )
    }

    /// Looks for intents that two bots claim, and for actions that run what another bot does not have; `besides` are the
    /// bots that every installation has, whose words nobody else may claim. A bot with an error is taken out: all or
    /// nothing.
    pub fn lint_between(&mut self, besides: &[Arc<Bot>]) {
        let bots: Vec<Arc<Bot>> =
            self.bots.iter().map(|loaded| loaded.bot.clone()).chain(besides.iter().cloned()).collect();
        self.check_references(&bots);
        for lint in intent::lint_between(&bots) {
            let Some(bot) = self.bots.iter().find(|loaded| loaded.bot.name == lint.bot) else { continue };
            let Some(outcome) = self.outcomes.iter_mut().find(|outcome| outcome.bot == lint.bot) else { continue };
            let ((line, column), level) = bot.place(&lint);
            let file = Path::new(&lint.bot).join(bot::FILE);
            outcome.faults.push(Fault { file, line, column, level, message: lint.message, suggestion: None });
            outcome.loaded &= level != Level::Error;
        }
        let outcomes = &self.outcomes;
        self.bots.retain(|bot| outcomes.iter().any(|outcome| outcome.bot == bot.bot.name && outcome.loaded));
    }

    /// Looks for actions that run a command of another bot which is not there or takes something else.
    fn check_references(&mut self, bots: &[Arc<Bot>]) {
        let mut faults = Vec::new();
        for loaded in &self.bots {
            let name = &loaded.bot.name;
            for reference in loaded.places.iter().flat_map(|places| &places.references).filter(|to| !to.is_to(name)) {
                let report = |at: Place, message, suggestion| faults.push((name.clone(), at, message, suggestion));
                match bots.iter().find(|bot| reference.is_to(&bot.name)) {
                    Some(bot) => reference.check(bot, report),
                    // Of a bot that has a fault itself nothing can be said; its last good version may be serving.
                    None if self.outcomes.iter().any(|outcome| reference.is_to(&outcome.bot)) => {}
                    None => reference.report_unknown_bot(bots, report),
                }
            }
        }
        for (bot, (line, column), message, suggestion) in faults {
            let Some(outcome) = self.outcomes.iter_mut().find(|outcome| outcome.bot == bot) else { continue };
            let file = Path::new(&bot).join(bot::FILE);
            outcome.faults.push(Fault { file, line, column, level: Level::Error, message, suggestion });
            outcome.loaded = false;
        }
    }
}

/// Loads all bots of one directory.
pub fn load_dir(dir: &Path) -> Loaded {
    load(&[dir.to_owned()])
}

/// Loads all bots of several directories. A name that is taken by an earlier directory is a fault of the later folder.
pub fn load(dirs: &[PathBuf]) -> Loaded {
    load_as(dirs, false)
}

/// Like [`load`]; with `rehearse`, every reply is rendered with sample values as well.
pub(super) fn load_as(dirs: &[PathBuf], rehearse: bool) -> Loaded {
    let mut loaded = Loaded::default();
    let mut homes: BTreeMap<String, PathBuf> = BTreeMap::new();
    for dir in dirs {
        let names = match bot_folders(dir) {
            Ok(names) => names,
            Err(error) => {
                loaded.unread.push(whole(dir, format!("the directory of bots cannot be read: {error}")));
                continue;
            }
        };
        for name in names {
            let (bot, mut faults) = bot::read(dir, &name, rehearse);
            let first = homes.get(&name);
            if let Some(first) = first {
                let message = format!("there is a bot \"{name}\" in {} already", first.display());
                faults.insert(0, whole(&Path::new(&name).join(bot::FILE), message));
            } else {
                homes.insert(name.clone(), dir.clone());
                loaded.bots.extend(bot);
            }
            let is_loaded = !faults.iter().any(|fault| fault.level == Level::Error);
            loaded.outcomes.push(Outcome { bot: name, dir: dir.clone(), loaded: is_loaded, faults });
        }
    }
    loaded
}

fn whole(file: &Path, message: String) -> Fault {
    Fault { file: file.to_owned(), line: 1, column: 1, level: Level::Error, message, suggestion: None }
}

/// The names of the folders in `dir`, sorted; hidden ones are not bots.
pub(super) fn bot_folders(dir: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
