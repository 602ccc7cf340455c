//! A whole message whose strings are templates.
//!
//! A reply is written as the message it becomes: `text`, and where wanted `title`, `tone`, `suggestions` and the parts in
//! the order they shall stand. All strings are compiled together, once; a render makes a [`Message`].
//!
//! `text`, fields, table cells, list items, quotes and context are Markdown, values in them are escaped. The title, code,
//! image address and description, and suggestions are plain text. A part that comes out empty is left out, and so is a
//! list item or a suggestion.

mod compile;
mod render;

use std::fmt;

use serde_json::Value;

use self::compile::Compiler;
use super::{Budget, Context, Fault, Names, Partials, Template};
use crate::model::command::{Body, Command, Reply};
use crate::model::message::{Message, Tone};

/// The keys of a reply that make a part.
pub const PARTS: [&str; 9] = ["markdown", "fields", "table", "code", "list", "quote", "image", "context", "divider"];

/// The other keys of a reply.
pub const KEYS: [&str; 5] = ["text", "title", "tone", "suggestions", "parts"];

/// One step on the way to a string in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// A fault in one of a reply's strings, or in its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyFault {
    /// Where in the reply.
    pub path: Vec<Step>,
    /// Whether the last key itself is at fault, and not what it holds.
    pub key: bool,
    /// What is wrong; its line is 0 when it is about the shape and not about a place in the string.
    pub fault: Fault,
}

impl fmt::Display for ReplyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reply")?;
        for step in &self.path {
            match step {
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        write!(f, ": {}", self.fault)
    }
}

impl std::error::Error for ReplyFault {}

/// A reply, ready to be rendered any number of times.
#[derive(Debug)]
pub struct Compiled {
    names: Names,
    partials: Partials,
    text: Template,
    title: Option<Template>,
    tone: Option<ToneText>,
    parts: Vec<PartText>,
    suggestions: Texts,
}

#[derive(Debug)]
enum ToneText {
    Fixed(Tone),
    Chosen(Template),
}

/// A string and where it stands, for what is found wrong with it when it is rendered.
#[derive(Debug)]
struct Slot {
    path: Vec<Step>,
    template: Template,
}

/// Several strings, written one by one or as one template that renders to a JSON list.
#[derive(Debug)]
enum Texts {
    Each(Vec<Slot>),
    Json(Slot),
}

#[derive(Debug)]
enum FieldTexts {
    Each(Vec<(Slot, Slot, bool)>),
    Json(Slot),
}

#[derive(Debug)]
enum RowTexts {
    Each(Vec<Vec<Slot>>),
    Json(Slot),
}

#[derive(Debug)]
enum PartText {
    Markdown(Slot),
    Fields(FieldTexts),
    Table { columns: Vec<Slot>, rows: RowTexts },
    Code { lang: String, text: Slot },
    List(Texts),
    Quote(Slot),
    Image { url: Slot, alt: Option<Slot> },
    Context(Texts),
    Divider,
}

impl Compiled {
    /// Compiles the reply of `command`; `None` when its body is something else.
    pub fn of(command: &Command) -> Option<Result<Self, Vec<ReplyFault>>> {
        match &command.body {
            Body::Reply(reply) => Some(Self::new(reply, Names::of(command))),
            Body::Remote(_) | Body::Builtin(_) => None,
        }
    }

    /// Compiles `reply` against the names it may use; every fault is reported.
    pub fn new(reply: &Reply, names: Names) -> Result<Self, Vec<ReplyFault>> {
        let partials = Partials::compile(&reply.partials).map_err(|faults| {
            faults.into_iter().map(|fault| ReplyFault { path: Vec::new(), key: false, fault }).collect::<Vec<_>>()
        })?;
        let mut compiler = Compiler::new(&names, &partials);
        match compiler.reply(&reply.message) {
            Some(parsed) if compiler.faults.is_empty() => Ok(Self {
                text: parsed.text,
                title: parsed.title,
                tone: parsed.tone,
                parts: parsed.parts,
                suggestions: parsed.suggestions,
                names,
                partials,
            }),
            _ => Err(compiler.faults),
        }
    }

    /// Renders the message. `values` is an object with the [roots](super::ROOTS).
    pub fn render(&self, values: &Value) -> Result<Message, ReplyFault> {
        self.render_within(values, Budget::default())
    }

    /// Like [`render`](Self::render), within another budget.
    pub fn render_within(&self, values: &Value, budget: Budget) -> Result<Message, ReplyFault> {
        let context = Context::new(values.clone(), &self.names);
        render::Renderer { context: &context, partials: &self.partials, budget }.message(self)
    }
}

fn tone(word: &str) -> Option<Tone> {
    Some(match word {
        "info" => Tone::Info,
        "success" => Tone::Success,
        "warning" => Tone::Warning,
        "error" => Tone::Error,
        "question" => Tone::Question,
        _ => return None,
    })
}

const TONES: [&str; 5] = ["info", "success", "warning", "error", "question"];

#[cfg(test)]
mod tests;
