//! What is wrong in a manifest, and where.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The bot is not loaded.
    Error,
    /// The bot is loaded; somebody should have a look.
    Warning,
}

/// A fault in a bot's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Relative to the directory of bots.
    pub file: PathBuf,
    /// Line and column, counted from 1 in characters.
    pub line: u32,
    pub column: u32,
    pub level: Level,
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Fault {
    /// The message with its suggestion, without the place.
    pub fn text(&self) -> String {
        match &self.suggestion {
            Some(suggestion) => format!("{}, did you mean \"{suggestion}\"?", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.level == Level::Warning { "warning: " } else { "" };
        write!(f, "{}:{}:{} {level}{}", self.file.display(), self.line, self.column, self.text())
    }
}

impl std::error::Error for Fault {}
