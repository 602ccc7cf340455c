//! One manifest file while it is understood: its faults, and the ways to read a node that report them.

use std::path::{Path, PathBuf};

use super::fault::{Fault, Level};
use super::yaml::{Entry, Kind, Node, Place, Plain};
use crate::template::nearest;

/// Keys that this version knows of but does not act on.
pub(super) const NOTHING_LATER: &[&str] = &[];

/// So many faults of one bot are reported; more would not help anybody.
const MOST_FAULTS: usize = 200;

pub(super) struct Sheet {
    pub(super) file: PathBuf,
    pub(super) source: String,
    pub(super) faults: Vec<Fault>,
}

impl Sheet {
    pub(super) fn error(&mut self, at: Place, message: impl Into<String>) {
        self.report(at, Level::Error, message.into(), None);
    }

    pub(super) fn error_near(&mut self, at: Place, message: impl Into<String>, suggestion: Option<&str>) {
        self.report(at, Level::Error, message.into(), suggestion.map(str::to_owned));
    }

    pub(super) fn report(&mut self, at: Place, level: Level, message: String, suggestion: Option<String>) {
        let file = self.file.clone();
        self.report_in(&file, at, level, message, suggestion);
    }

    /// Reports a fault in another file of the same bot.
    pub(super) fn report_in(
        &mut self,
        file: &Path,
        at: Place,
        level: Level,
        message: String,
        suggestion: Option<String>,
    ) {
        let fault = Fault { file: file.to_owned(), line: at.0, column: at.1, level, message, suggestion };
        if self.faults.len() < MOST_FAULTS && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.faults.iter().any(|fault| fault.level == Level::Error)
    }

    /// The entries of a map, its keys checked: `known` are read, `later` belong to another version.
    pub(super) fn entries<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        known: &[&str],
        later: &[&str],
    ) -> Option<&'n [Entry]> {
        let entries = self.map(node, what)?;
        for entry in entries {
            let key = entry.key.as_str();
            if later.contains(&key) {
                self.error(entry.key_at, format!("\"{key}\" is not supported by this version"));
            } else if !known.contains(&key) {
                self.error_near(entry.key_at, format!("unknown key \"{key}\""), nearest(key, known.iter().copied()));
            }
        }
        Some(entries)
    }

    /// The entries of a map whose keys are names.
    pub(super) fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => {
                self.error(node.at, format!("{what} is a map of keys and values"));
                None
            }
        }
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            _ => {
                self.error(node.at, format!("{what} is a list"));
                &[]
            }
        }
    }

    /// A list, or one item written without it.
    pub(super) fn one_or_many<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(node),
        }
    }

    /// Any scalar as it is written.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Empty => {
                self.error(node.at, format!("{what} is empty"));
                None
            }
            _ => {
                self.error(node.at, format!("{what} is a text"));
                None
            }
        }
    }

    /// One line of text with something in it.
    pub(super) fn line<'n>(&mut self, node: &'n Node, what: &str, longest: usize) -> Option<&'n str> {
        let text = self.text(node, what)?.trim();
        if text.is_empty() {
            self.error(node.at, format!("{what} is empty"));
        } else if text.contains('\n') {
            self.error(node.at, format!("{what} is one line"));
        } else if text.chars().count() > longest {
            self.error(node.at, format!("{what} is longer than {longest} characters"));
        } else {
            return Some(text);
        }
        None
    }

    pub(super) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.kind {
            Kind::Scalar { plain: Plain::Flag(flag), .. } => Some(*flag),
            _ => {
                self.error(node.at, format!("{what} is true or false"));
                None
            }
        }
    }

    pub(super) fn number<N: std::str::FromStr>(&mut self, node: &Node, what: &str) -> Option<N> {
        let number = match &node.kind {
            Kind::Scalar { text, plain: Plain::Number } => text.parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.error(node.at, format!("{what} is a whole number"));
        }
        number
    }

    /// One word of a closed list.
    pub(super) fn one_of<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<&'n str> {
        let word = self.text(node, what)?;
        if known.contains(&word) {
            return Some(word);
        }
        self.error_near(node.at, format!("unknown {what} \"{word}\""), nearest(word, known.iter().copied()));
        None
    }
}
