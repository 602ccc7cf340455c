//! A whole message whose strings are templates.
//!
//! A reply is written as the message it becomes: `text`, and where wanted `title`, `tone`, `suggestions` and the parts in
//! the order they shall stand. All strings are compiled together, once; a render makes a [`Message`].
//!
//! `text`, fields, table cells, list items, quotes, context and what is folded away are Markdown, values in them are
//! escaped. The title, code, image address and description, labels, suggestions and everything about actions are plain
//! text. A part that comes out empty is left out, and so is a list item, a suggestion, or an action without a label.

mod action;
mod compile;
mod render;
mod words;

use std::fmt;

use serde_json::Value;

use self::action::ActionText;
pub use self::action::{Given, Reference};
use self::compile::Compiler;
use super::{Budget, Context, Fault, Names, Partials, Template};
use crate::model::command::{Body, Command, Reply};
use crate::model::message::{Message, PostMode, ProgressState, Tone};

/// The keys of a reply that make a part.
pub const PARTS: [&str; 11] =
    ["markdown", "fields", "table", "code", "list", "quote", "image", "context", "collapsible", "progress", "divider"];

/// The other keys of a reply.
pub const KEYS: [&str; 11] =
    ["text", "title", "tone", "suggestions", "parts", "actions", "id", "ttl", "post", "to", "ephemeral"];

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
    message: MessageText,
    references: Vec<Reference>,
    /// The message itself, when no value has a part in it.
    fixed: Option<Message>,
}

#[derive(Debug)]
struct MessageText {
    text: Slot,
    title: Option<Slot>,
    tone: Option<Word<Tone>>,
    parts: Vec<PartText>,
    suggestions: Texts,
    actions: Vec<ActionText>,
    key: Option<KeyText>,
    to: Texts,
    ephemeral: bool,
}

impl MessageText {
    /// Whether there is nothing but a text and suggestions, without tags.
    fn is_fixed(&self) -> bool {
        // Each by name: what is added to a reply has to be thought of here.
        let Self { text, title, tone, parts, suggestions, actions, key, to, ephemeral: _ } = self;
        let are_written = [suggestions, to].into_iter().all(|texts| match texts {
            Texts::Each(slots) => slots.iter().all(|slot| slot.template.fixed().is_some()),
            Texts::Json(_) => false,
        });
        let is_plain = title.is_none() && parts.is_empty() && actions.is_empty() && key.is_none();
        is_plain && are_written && !matches!(tone, Some(Word::Chosen(_))) && text.template.fixed().is_some()
    }
}

/// One of a few words, written or chosen by the values.
#[derive(Debug)]
enum Word<T> {
    Fixed(T),
    Chosen(Slot),
}

#[derive(Debug)]
struct KeyText {
    id: Slot,
    ttl: Option<Slot>,
    post: Option<Word<PostMode>>,
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
    Collapsible { title: Slot, text: Slot },
    Progress { label: Slot, step: Slot, total: Slot, state: Option<Word<ProgressState>> },
    Divider,
}

impl Compiled {
    /// Compiles the reply of `command`; `None` when its body is something else.
    pub fn of(command: &Command) -> Option<Result<Self, Vec<ReplyFault>>> {
        match &command.body {
            Body::Reply(reply) => Some(Self::new(reply, Names::of(command))),
            Body::Remote(_) | Body::Flow(_) | Body::Builtin(_) => None,
        }
    }

    /// Compiles `reply` against the names it may use; every fault is reported.
    pub fn new(reply: &Reply, names: Names) -> Result<Self, Vec<ReplyFault>> {
        let partials = Partials::compile(&reply.partials).map_err(|faults| {
            faults.into_iter().map(|fault| ReplyFault { path: Vec::new(), key: false, fault }).collect::<Vec<_>>()
        })?;
        let mut compiler = Compiler::new(&names, &partials);
        let message = compiler.reply(&reply.message);
        let Compiler { faults, references, .. } = compiler;
        match message {
            Some(message) if faults.is_empty() => {
                let is_fixed = message.is_fixed();
                let compiled = Self { message, references, names, partials, fixed: None };
                // What is wrong even so is told by every render.
                let fixed = if is_fixed { compiled.render(&Value::Null).ok() } else { None };
                Ok(Self { fixed, ..compiled })
            }
            _ => Err(faults),
        }
    }

    /// The message, when every render makes the same: then nobody need gather values.
    pub fn fixed(&self) -> Option<&Message> {
        self.fixed.as_ref()
    }

    /// The commands that its actions run, which must be there.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Renders the message. `values` is an object with the [roots](super::ROOTS).
    pub fn render(&self, values: &Value) -> Result<Message, ReplyFault> {
        self.render_within(values, Budget::default())
    }

    /// Like [`render`](Self::render), within another budget.
    pub fn render_within(&self, values: &Value, budget: Budget) -> Result<Message, ReplyFault> {
        let context = Context::new(values.clone(), &self.names);
        render::Renderer { context: &context, partials: &self.partials, budget }.message(&self.message)
    }
}

#[cfg(test)]
mod tests;
