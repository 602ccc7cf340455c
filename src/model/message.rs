//! What is said: text that always stands alone, plus rich parts.

use serde::{Deserialize, Serialize};

use super::action::{Action, Form};
use super::file::File;
use super::offer::Offer;
use super::place::HERE;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    Info,
    Success,
    Warning,
    Error,
    Question,
}

/// One rich part below the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Part {
    Markdown {
        text: String,
    },
    Fields {
        fields: Vec<Field>,
    },
    Table {
        columns: Vec<String>,
        rows: Vec<Vec<String>>,
    },
    Code {
        lang: String,
        text: String,
    },
    List {
        items: Vec<String>,
    },
    Quote {
        text: String,
    },
    Image {
        url: String,
        alt: String,
    },
    Context {
        texts: Vec<String>,
    },
    /// Markdown behind a title that opens it.
    Collapsible {
        title: String,
        text: String,
    },
    /// How far something has come: `step` of `total`.
    Progress {
        label: String,
        step: u32,
        total: u32,
        state: ProgressState,
    },
    Divider,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProgressState {
    #[default]
    Running,
    Done,
    Failed,
}

impl Part {
    /// Everything in it that is read.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Markdown { text } | Self::Code { text, .. } | Self::Quote { text } => vec![text],
            Self::Fields { fields } => fields.iter().flat_map(|field| [&*field.name, &*field.value]).collect(),
            Self::Table { columns, rows } => columns.iter().chain(rows.iter().flatten()).map(String::as_str).collect(),
            Self::List { items: texts } | Self::Context { texts } => texts.iter().map(String::as_str).collect(),
            Self::Image { alt, .. } => vec![alt],
            Self::Collapsible { title, text } => vec![title, text],
            Self::Progress { label, .. } => vec![label],
            Self::Divider => Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Field {
    pub name: String,
    pub value: String,
    /// Whether it may stand beside another field.
    #[serde(default)]
    pub short: bool,
}

/// A message as every renderer reads it. `text` is Markdown and is enough on its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Message {
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tone: Option<Tone>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Things the reader could say next; choosing one says exactly that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Form>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// What its author offers to do; they become `actions` when it is said in a conversation. Who follows a run by
    /// polling reads them as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(ignore)]
    pub offers: Vec<Offer>,
    /// Whether only whoever it answers sees it, where others read along; it never becomes public later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
    /// Makes it the same message as an earlier one of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// Where it goes, each an [`Address`](super::place::Address) as text; empty: where its command was said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
}

/// The name a bot gives a message, so that saying it again rewrites it where it stands. It counts within one conversation
/// and one bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Key {
    pub id: String,
    /// How long after it was said or rewritten last it is still rewritten, in milliseconds; without it, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
    #[serde(default)]
    pub post: PostMode,
}

/// What happens where a message of that name may stand already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PostMode {
    /// It is rewritten within its time to live; else the message is said anew.
    #[default]
    Ttl,
    /// It is left as it is, and the message said anew.
    Always,
    /// It is rewritten, or nothing is said at all.
    UpdateOnly,
}

impl Message {
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = Some(tone);
        self
    }

    pub fn suggest(mut self, suggestions: Vec<String>) -> Self {
        self.suggestions = suggestions;
        self
    }

    pub fn offer(mut self, offer: Offer) -> Self {
        self.offers.push(offer);
        self
    }

    pub fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Whether it is said where its command was said.
    pub fn is_for_here(&self) -> bool {
        self.to.is_empty() || self.to.iter().any(|address| address == HERE)
    }

    /// Whether the text alone says everything (then old readers get it as `text/plain`).
    pub fn is_plain(&self) -> bool {
        self.title.is_none() && self.parts.is_empty() && self.form.is_none() && self.offers.is_empty()
    }
}

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Sender {
    pub kind: SenderKind,
    pub id: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SenderKind {
    User,
    Bot,
}

/// A message at its place in a conversation: the payload of a `message` event.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Post {
    pub session_id: String,
    pub message_id: String,
    /// The sender's own id for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    pub sender: Sender,
    /// What was said: plain text of a person, Markdown of a bot.
    pub content: String,
    /// `text` or `markdown`.
    pub format: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The run that said it, and its command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tone: Option<Tone>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Form>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// Whether only whoever it answers sees it, where others read along.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
    /// RFC 3339.
    pub ts: String,
    /// When its text was replaced last; `content` is the text that counts now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<String>,
    /// The places of the events that replaced it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<i64>,
    /// When it was taken back; its text is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
}

impl Post {
    /// What it says, without who, where and when.
    pub fn message(&self) -> Message {
        Message {
            text: self.content.clone(),
            title: self.title.clone(),
            tone: self.tone,
            parts: self.parts.clone(),
            suggestions: self.suggestions.clone(),
            actions: self.actions.clone(),
            form: self.form.clone(),
            files: self.files.clone(),
            ephemeral: self.ephemeral,
            offers: Vec::new(),
            key: None,
            to: Vec::new(),
        }
    }
}

/// Characters that Markdown may read as markup.
const MARKUP: &str = r"\`*_{}[]()#+!|<>~&";

/// `text` with every character that Markdown reads as markup escaped: for names and values that people typed.
pub fn escape_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if MARKUP.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Takes the escapes of [`escape_markdown`] off again: for readers of plain text.
pub fn unescape_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let escaped = rest.next_if(|next| c == '\\' && next.is_ascii_punctuation());
        out.push(escaped.unwrap_or(c));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_come_off_again() {
        for text in ["a_b *c* [d](e) <f> & \\ #g", "plain", "", r"\\_"] {
            assert_eq!(unescape_markdown(&escape_markdown(text)), text);
        }
    }
}
