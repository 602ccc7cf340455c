//! Floor 1, pure: the intent language and the matcher. No input, no output, no clock.
//!
//! [`Pattern::parse`] reads one intent and says what is wrong with it, where. [`Index::build`] puts the intents of all
//! bots into one immutable index; [`Index::resolve`] finds the one command a text means, [`Index::explain`] says why,
//! [`Index::suggest`] what may have been meant, [`Index::complete`] how a text may go on. [`lint_bot`] and [`lint_all`]
//! find intents that cannot do what their author expects.
//!
//! # The intent language
//!
//! | written | matches |
//! |---|---|
//! | `deploy` | the word, in any case, with or without `?`, `!`, `.` behind it |
//! | `{service}` | one token (a quoted text is one) of the parameter's type |
//! | `{count:integer}` | one token of that type; also `choice(a,b)` and every type a parameter may have |
//! | `{text:rest}` | all that follows, at least one token |
//! | `{env=staging}` | one token or nothing, which gives the default |
//! | `(start\|boot up)` | one of these words or groups of words |
//! | `[please]` | these words and slots, or nothing |
//! | `/INC-\d{4}/i` | a text in which the regular expression is found |
//! | `^deploy (\w+)$` | a text that is, as a whole and in any case, this regular expression |
//!
//! Behind the words a text may name parameters of the command: `deploy web env=prod --force`.
//!
//! # The ranking
//!
//! The bot of the conversation before all others; then the tokens from left to right, a word before a named value, a
//! choice, a typed slot, an untyped slot and the rest; a command's own name after all patterns, and a regular
//! expression after that; then the command's priority. What is still equal in different bots is [`Resolution::Ambiguous`].
//! A full match of any bot comes before a near miss.

mod align;
mod complete;
mod cover;
mod explain;
mod expression;
mod fit;
mod index;
mod lint;
mod parse;
mod pattern;
mod resolve;
mod search;
mod suggest;
mod text;
mod tree;
mod typing;

#[cfg(test)]
mod tests;

pub use complete::{Completion, CompletionSlot, CompletionToken, TokenKind};
pub use explain::{Considered, Criterion, Explanation};
pub use fit::{Match, SlotFault};
pub use index::Index;
pub use lint::{Level, Lint, Subject, lint_all, lint_between, lint_bot};
pub use pattern::{Class, Fault, MAX_BYTES, MAX_SHAPES, Pattern};
pub use resolve::{Near, Resolution};
pub use suggest::{Suggestion, THRESHOLD};
pub use text::{MAX_CHARACTERS, normalise};

/// The bot of the commands that every installation has. Where its words are said exactly, it is meant.
pub const RESERVED_BOT: &str = crate::model::conversation::HOUSE_BOT;

/// Where a text was said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// The bot that the conversation is with; its commands rank above all others.
    pub bot: Option<&'a str>,
}
