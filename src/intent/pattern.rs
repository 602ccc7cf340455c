//! What one intent says: the shapes of a word pattern, or a regular expression.

use std::fmt;
use std::ops::Range;

use crate::model::command::Command;
use crate::model::parameter::{Parameter, ParameterType};

use super::expression::Expression;
use super::{parse, text};

/// The longest intent, in bytes.
pub const MAX_BYTES: usize = 512;

/// So many word orders may come out of the alternatives and optional words of one intent.
pub const MAX_SHAPES: usize = 64;

/// Why an intent was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The bytes of the intent that are at fault.
    pub at: Range<usize>,
    pub message: String,
    /// What to write in place of those bytes, when there is a good guess.
    pub suggestion: Option<String>,
}

impl Fault {
    pub(super) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), suggestion: None }
    }

    pub(super) fn suggest(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.suggestion {
            Some(suggestion) => write!(f, "{}; did you mean \"{suggestion}\"?", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Fault {}

/// One intent, read and checked.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub(super) form: Form,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    Words(Words),
    Expression(Expression),
}

impl Pattern {
    /// Reads the intent `text` of a command with these parameters.
    pub fn parse(text: &str, parameters: &[Parameter]) -> Result<Self, Fault> {
        let pattern = Self::read(text, parameters)?;
        if let Form::Expression(expression) = &pattern.form {
            expression.validate(text, parameters)?;
        }
        Ok(pattern)
    }

    /// Like [`Pattern::parse`], but leaves a regular expression uncompiled: for intents that were parsed before.
    pub(super) fn read(text: &str, parameters: &[Parameter]) -> Result<Self, Fault> {
        if text.trim().is_empty() {
            return Err(Fault::new(0..text.len(), "the intent is empty"));
        }
        if text.len() > MAX_BYTES {
            let why = format!("the intent is {} bytes long; {MAX_BYTES} is the most", text.len());
            return Err(Fault::new(0..text.len(), why));
        }
        let form = match Expression::recognise(text)? {
            Some(expression) => Form::Expression(expression),
            None => Form::Words(parse::words(text, parameters)?),
        };
        Ok(Self { form })
    }
}

/// A word pattern with its alternatives and optional words written out.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub(super) slots: Vec<Slot>,
    /// Every order of words and slots that the intent stands for; the fullest first.
    pub(super) shapes: Vec<Vec<Element>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Word {
        folded: String,
        written: String,
    },
    /// An index into [`Words::slots`].
    Slot(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// An index into the command's parameters.
    pub(super) parameter: usize,
    pub(super) kind: SlotKind,
    /// The value when the slot is left out.
    pub(super) default: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum SlotKind {
    /// One token of the parameter's own type.
    Declared,
    /// One token of the type written in the slot.
    Written(ParameterType),
    /// Everything up to the end.
    Rest,
}

impl Slot {
    /// The type a token must have, if the slot takes one token.
    pub(super) fn token_type<'a>(&'a self, command: &'a Command) -> Option<&'a ParameterType> {
        match &self.kind {
            SlotKind::Declared => Some(&command.parameters[self.parameter].kind),
            SlotKind::Written(kind) => Some(kind),
            SlotKind::Rest => None,
        }
    }

    pub(super) fn class(&self, command: &Command) -> Class {
        self.token_type(command).map_or(Class::Rest, Class::of)
    }
}

/// How exactly one token of a text was matched; the order is the order of the ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A word of the intent.
    Literal,
    /// A named value at the end, `name=value`.
    Pair,
    /// A slot with a closed list of values.
    Choice,
    /// A slot of a type that not every text has.
    Typed,
    /// A slot for any one token.
    Untyped,
    /// A slot for all that follows.
    Rest,
    /// The command's name, typed as such.
    Name,
    /// A regular expression.
    Expression,
}

impl Class {
    pub(super) fn of(kind: &ParameterType) -> Self {
        match kind {
            ParameterType::Choice { .. } => Self::Choice,
            ParameterType::String
            | ParameterType::Text
            | ParameterType::List
            | ParameterType::Credential
            | ParameterType::File => Self::Untyped,
            ParameterType::Integer
            | ParameterType::Number
            | ParameterType::Boolean
            | ParameterType::Date
            | ParameterType::Datetime
            | ParameterType::Duration
            | ParameterType::Email
            | ParameterType::Url
            | ParameterType::User
            | ParameterType::Channel
            | ParameterType::Json => Self::Typed,
        }
    }
}

/// The part of `value` that has the type `kind`: all of it, or all but the punctuation that ends a sentence.
pub(super) fn accepted<'v>(kind: &ParameterType, value: &'v str) -> Option<&'v str> {
    if fits(kind, value) {
        return Some(value);
    }
    let bare = text::trim_punctuation(value);
    (bare.len() < value.len() && fits(kind, bare)).then_some(bare)
}

fn fits(kind: &ParameterType, value: &str) -> bool {
    match kind {
        ParameterType::Choice { choices } => {
            let value = value.trim();
            let lower = (!value.is_ascii()).then(|| value.to_lowercase());
            choices.iter().any(|choice| match &lower {
                Some(lower) => choice.to_lowercase() == *lower,
                None => {
                    choice.eq_ignore_ascii_case(value)
                        || (!choice.is_ascii() && choice.to_lowercase() == value.to_lowercase())
                }
            })
        }
        other => Class::of(other) == Class::Untyped || other.accept(value).is_ok(),
    }
}
