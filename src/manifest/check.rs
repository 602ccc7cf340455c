//! `parlour check`: everything that can be known about bots before anybody talks to them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::connector::{built_in, load_connectors};
use super::fault::{Fault, Level};
use super::load::load_as;
use crate::model::bot::Bot;

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// Annotations as GitHub Actions reads them.
    Github,
}

impl Format {
    pub const NAMES: [&str; 3] = ["text", "json", "github"];

    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            "github" => Some(Self::Github),
            _ => None,
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Every fault; the files are relative to where the check was started.
    pub faults: Vec<Fault>,
    /// How much was found to be in order.
    pub bots: usize,
    pub commands: usize,
    pub intents: usize,
    pub examples: usize,
    pub connectors: usize,
    pub actions: usize,
    /// Tests of bots that were run.
    pub tests: usize,
}

/// Loads the bots of `dirs`, runs their examples through the matcher and renders every reply with sample values. Then
/// looks for intents that two bots claim; `besides` are the bots that every installation has.
pub fn check(dirs: &[PathBuf], besides: &[Arc<Bot>]) -> Report {
    let mut loaded = load_as(dirs, true);
    loaded.lint_between(besides);
    let mut report = Report { bots: loaded.bots.len(), ..Report::default() };
    for command in loaded.bots.iter().flat_map(|loaded| &loaded.bot.commands) {
        report.commands += 1;
        report.intents += command.intents.len();
        report.examples += command.examples.len();
    }
    report.faults =
        loaded.faults().map(|(dir, fault)| Fault { file: join(dir, &fault.file), ..fault.clone() }).collect();
    report
}

fn join(dir: &Path, file: &Path) -> PathBuf {
    dir.strip_prefix(".").unwrap_or(dir).join(file)
}

impl Report {
    /// Reads the connectors that are built in, and those of `folders`.
    pub fn add_connectors(&mut self, folders: &[PathBuf]) {
        for loaded in [built_in(), load_connectors(folders)] {
            self.connectors += loaded.connectors.len();
            self.actions += loaded.connectors.values().map(|connector| connector.actions.len()).sum::<usize>();
            self.faults.extend(loaded.faults);
        }
    }

    /// Adds what is wrong in folders of bots, each fault with its folder.
    pub fn add_faults(&mut self, faults: Vec<(PathBuf, Fault)>) {
        self.faults.extend(faults.into_iter().map(|(dir, fault)| Fault { file: join(&dir, &fault.file), ..fault }));
    }

    /// Whether every bot can be loaded.
    pub fn is_ok(&self) -> bool {
        self.faults.iter().all(|fault| fault.level != Level::Error)
    }

    /// The report as text to print, with a line end at the end.
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Json => format!("{}\n", self.json()),
            Format::Github => self.github(),
        }
    }

    fn count(&self, level: Level) -> usize {
        self.faults.iter().filter(|fault| fault.level == level).count()
    }

    fn text(&self) -> String {
        let mut out = self.faults.iter().fold(String::new(), |mut out, fault| {
            let _ = writeln!(out, "{fault}");
            out
        });
        let (errors, warnings) = (self.count(Level::Error), self.count(Level::Warning));
        let _ = writeln!(
            out,
            "{}, {}, {}, {}, {}, {}{}: {}",
            number(self.bots, "bot"),
            number(self.commands, "command"),
            number(self.intents, "intent"),
            number(self.examples, "example"),
            number(self.connectors, "connector"),
            number(self.actions, "action"),
            if self.tests == 0 { String::new() } else { format!(", {}", number(self.tests, "test")) },
            match (errors, warnings) {
                (0, 0) => "all good".to_owned(),
                (0, warnings) => number(warnings, "warning"),
                (errors, 0) => number(errors, "fault"),
                (errors, warnings) => format!("{}, {}", number(errors, "fault"), number(warnings, "warning")),
            }
        );
        out
    }

    fn json(&self) -> Value {
        json!({
            "ok": self.is_ok(),
            "bots": self.bots,
            "commands": self.commands,
            "intents": self.intents,
            "examples": self.examples,
            "connectors": self.connectors,
            "actions": self.actions,
            "tests": self.tests,
            "faults": self.faults,
        })
    }

    fn github(&self) -> String {
        self.faults.iter().fold(String::new(), |mut out, fault| {
            let kind = match fault.level {
                Level::Error => "error",
                Level::Warning => "warning",
            };
            let file = property(&fault.file.to_string_lossy());
            let (line, column) = (fault.line, fault.column);
            let _ = writeln!(out, "::{kind} file={file},line={line},col={column}::{}", data(&fault.text()));
            out
        })
    }
}

fn number(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Escapes the text of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
