//! One thing a bot can do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approval::{Approve, Confirm};
use super::bot::Access;
use super::conversation::Millis;
use super::parameter::Parameter;

/// How strongly a command acts on the world; decides the defaults for confirmation and approval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    #[default]
    Read,
    Change,
    Destroy,
}

/// Something a person might say, and what it must be understood as; run when the bot is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    pub say: String,
    /// Parameter values that must come out, exactly as text; empty means any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expect: BTreeMap<String, String>,
}

/// A command of a bot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Command {
    /// The bot it belongs to.
    pub bot: String,
    pub name: String,
    pub description: String,
    /// The intents as written: literal words with `{param}`, `(a|b)`, `[optional]`, or `/regex/i`.
    pub intents: Vec<String>,
    pub parameters: Vec<Parameter>,
    /// Parameter name -> where its value comes from (`user.name`, `channel.id`, …).
    pub mapped_parameters: BTreeMap<String, String>,
    pub examples: Vec<Example>,
    /// Narrower than the bot's when set.
    pub access: Access,
    pub effect: Effect,
    /// When who asks is asked once more.
    #[serde(default)]
    pub confirm: Confirm,
    /// Who else must agree; none: nobody.
    #[serde(default)]
    pub approve: Option<Approve>,
    /// Whether it runs as soon as it has its values; otherwise a conversation shows them first and asks.
    pub auto_submit: bool,
    /// Higher wins where the ranking would otherwise be a tie.
    pub priority: i32,
    pub body: Body,
    /// Name in the template -> a value from the closed list (`now.iso_week`, `installation.uptime`, …).
    pub data: BTreeMap<String, String>,
}

impl Command {
    /// Named values as they may be shown.
    pub fn shown<'v>(&self, name: &str, value: &'v str) -> &'v str {
        self.parameter(name).map_or(value, |parameter| parameter.shown(value))
    }

    pub fn has_hidden(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.hidden)
    }

    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        let folded = super::name::fold(name);
        self.parameters.iter().find(|p| super::name::fold(&p.name) == folded)
    }
}

/// What stands behind a command. A reply is a workflow of one pure step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    Reply(Reply),
    /// Done by a process elsewhere that serves the bot.
    Remote(Remote),
    /// Steps: a document of its own, or in the bot's folder.
    Flow(Steps),
    /// One of the commands every installation has.
    Builtin(Builtin),
}

impl Default for Body {
    fn default() -> Self {
        Self::Reply(Reply::default())
    }
}

/// The document behind a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// SHA-256 of its canonical JSON, hex.
    pub hash: String,
    /// Inputs that are names of credentials: input name -> credential. What is in one is opened where a step uses it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

/// How a command is left to a process elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// A run that has not ended after this long has failed, in milliseconds.
    pub timeout: Millis,
}

impl Default for Remote {
    fn default() -> Self {
        Self { timeout: 5 * 60 * 1000 }
    }
}

/// The commands that come with the house; their names are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builtin {
    Help,
    List,
    Describe,
    Why,
    History,
    Keys,
    KeyCreate,
    KeyRevoke,
}

impl Builtin {
    /// Whether it is about API keys, which only people make.
    pub fn is_about_keys(self) -> bool {
        matches!(self, Self::Keys | Self::KeyCreate | Self::KeyRevoke)
    }
}

/// A message whose strings are handlebars templates. Texts read from `replies/*.hbs` are already in place, and so are
/// the partials they use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    /// The message object as written, every string in it a template: `text` and optionally `title`, `tone`, `fields`,
    /// `table`, `code`, `list`, … A reply written as one string is `{"text": "…"}`.
    pub message: Value,
    /// Partial name -> template source, for `{{> name}}`.
    #[serde(default)]
    pub partials: BTreeMap<String, String>,
}
