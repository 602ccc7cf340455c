//! What is wrong with a template, and where.

use std::fmt;

/// A fault in a template: found when it is compiled or, for what only data can tell, when it is rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The partial it is in; `None` means the template itself.
    pub partial: Option<String>,
    /// Line and column in that source, counted from 1 in characters; 0 when the place is not known.
    pub line: u32,
    pub column: u32,
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Fault {
    /// A fault at a byte offset of `source`.
    pub(super) fn at(source: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = position(source, offset);
        Self { partial: None, line, column, message: message.into(), suggestion: None }
    }

    pub(super) fn suggest(mut self, suggestion: Option<&str>) -> Self {
        self.suggestion = suggestion.map(str::to_owned);
        self
    }

    pub(super) fn within(mut self, partial: &str) -> Self {
        self.partial = Some(partial.to_owned());
        self
    }

    /// The byte offset of the fault in `source`, the text it was found in.
    pub fn offset_in(&self, source: &str) -> usize {
        offset(source, self.line as usize, self.column as usize)
    }

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
        if let Some(partial) = &self.partial {
            write!(f, "in partial \"{partial}\" ")?;
        }
        if self.line > 0 {
            write!(f, "at {}:{}: ", self.line, self.column)?;
        }
        f.write_str(&self.text())
    }
}

impl std::error::Error for Fault {}

/// Line and column of a byte offset, counted from 1 in characters.
pub(super) fn position(source: &str, offset: usize) -> (u32, u32) {
    let before = &source[..offset.min(source.len())];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// The byte offset of a line and column counted from 1 in characters.
pub(super) fn offset(source: &str, line: usize, column: usize) -> usize {
    let line_start = match line {
        0 | 1 => 0,
        _ => source.match_indices('\n').nth(line - 2).map_or(source.len(), |(at, _)| at + 1),
    };
    source[line_start..].char_indices().nth(column.saturating_sub(1)).map_or(source.len(), |(at, _)| line_start + at)
}
