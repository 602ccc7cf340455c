//! What a process of a bot says: a message in the words of the wire.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::actions::values;
use crate::model::action::{Action, Choice, Life, Style};
use crate::model::message::{Key, Message, Part, PostMode, Tone};
use crate::model::offer::{Deed, Offer};
use crate::model::{Error, Result};

/// What a process says.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BotMessage {
    /// Markdown that stands alone.
    #[serde(default)]
    text: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    tone: Option<Tone>,
    #[serde(default)]
    parts: Vec<Part>,
    /// Things the reader could say next.
    #[serde(default)]
    suggestions: Vec<String>,
    /// What can be done at it by whoever the run answers.
    #[serde(default)]
    actions: Vec<BotAction>,
    /// The bot's own name for it in this conversation: what is said under the name of an earlier message takes its place.
    #[serde(default)]
    id: Option<String>,
    /// How long after it was said or rewritten last it is still rewritten, in milliseconds; without it, always.
    #[serde(default)]
    ttl_ms: Option<i64>,
    #[serde(default)]
    post: PostMode,
    /// Where it goes, such as `here`, `slack:#ops`, `group:oncall`, `user:<id>`; empty: where the command was said.
    #[serde(default)]
    destinations: Vec<String>,
    /// Whether only whoever it answers sees it, where others read along; then without `destinations`.
    #[serde(default)]
    ephemeral: bool,
}

/// One thing to do at a message of a process.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum BotAction {
    /// Runs a command.
    Button {
        label: String,
        command: String,
        /// Without it the process's own bot. The same in the actions below.
        #[serde(default)]
        bot: Option<String>,
        #[serde(default)]
        #[schema(value_type = Object)]
        parameters: Map<String, Value>,
        #[serde(default)]
        style: Style,
        /// What is asked before it counts.
        #[serde(default)]
        confirm: Option<String>,
        /// Whether taking it uses it up, together with the other single-use actions of the message.
        #[serde(default)]
        single_use: bool,
        /// How long it can be taken, in milliseconds; without it, as long as the message is there.
        #[serde(default)]
        ttl_ms: Option<i64>,
    },
    /// Asks for all values of a command in a form, and runs it then.
    Form {
        label: String,
        command: String,
        #[serde(default)]
        bot: Option<String>,
        /// What stands in the form when it is shown.
        #[serde(default)]
        #[schema(value_type = Object)]
        parameters: Map<String, Value>,
        #[serde(default)]
        style: Style,
        #[serde(default)]
        confirm: Option<String>,
        #[serde(default)]
        single_use: bool,
        #[serde(default)]
        ttl_ms: Option<i64>,
    },
    /// Runs a command with one of the options.
    Select {
        label: String,
        options: Vec<Choice>,
        /// The parameter that takes what is chosen.
        parameter: String,
        command: String,
        #[serde(default)]
        bot: Option<String>,
        #[serde(default)]
        #[schema(value_type = Object)]
        parameters: Map<String, Value>,
        #[serde(default)]
        single_use: bool,
        #[serde(default)]
        ttl_ms: Option<i64>,
    },
    /// Runs a command with a day, `2026-11-23`.
    Date {
        label: String,
        /// The first and the last day that may be picked.
        #[serde(default)]
        min: Option<String>,
        #[serde(default)]
        max: Option<String>,
        /// The parameter that takes the day.
        parameter: String,
        command: String,
        #[serde(default)]
        bot: Option<String>,
        #[serde(default)]
        #[schema(value_type = Object)]
        parameters: Map<String, Value>,
        #[serde(default)]
        single_use: bool,
        #[serde(default)]
        ttl_ms: Option<i64>,
    },
    /// Leads elsewhere.
    Link { label: String, url: String },
}

impl BotMessage {
    /// The message; what its values must keep to is checked where it is said.
    pub(super) fn message(self) -> Result<Message> {
        let Self { text, title, tone, parts, suggestions, actions, id, ttl_ms, post, destinations: to, ephemeral } =
            self;
        if ephemeral && !to.is_empty() {
            let error = Error::invalid("an ephemeral message is for whoever asked and goes nowhere else");
            return Err(error.details(json!({ "field": "message.destinations" })));
        }
        if id.is_none() && (ttl_ms.is_some() || post != PostMode::default()) {
            let error = Error::invalid("ttl_ms and post are about a message with an id");
            return Err(error.details(json!({ "field": "message.id" })));
        }
        let offers = actions.into_iter().map(BotAction::offer).collect::<Result<_>>()?;
        let key = id.map(|id| Key { id, ttl_ms, post });
        Ok(Message { text, title, tone, parts, suggestions, offers, key, to, ephemeral, ..Message::default() })
    }
}

impl BotAction {
    fn offer(self) -> Result<Offer> {
        let (id, life) = (String::new(), Life::default());
        let given = |parameters| Ok::<_, Error>(values(parameters)?.into_iter().collect());
        let run = |bot, command, parameters, takes| {
            Ok::<_, Error>(Deed::Run { bot, command, parameters: given(parameters)?, parameter_name: takes })
        };
        let (action, deed, single_use, ttl) = match self {
            Self::Link { label, url } => return Ok(Offer::link(label, url)),
            Self::Button { label, command, bot, parameters, style, confirm, single_use, ttl_ms } => {
                let deed = run(bot, command, parameters, None)?;
                (Action::Button { id, label, style, confirm, life }, deed, single_use, ttl_ms)
            }
            Self::Form { label, command, bot, parameters, style, confirm, single_use, ttl_ms } => {
                let deed = Deed::Form { bot, command, parameters: given(parameters)? };
                (Action::Button { id, label, style, confirm, life }, deed, single_use, ttl_ms)
            }
            Self::Select { label, options, parameter, command, bot, parameters, single_use, ttl_ms } => {
                let deed = run(bot, command, parameters, Some(parameter))?;
                (Action::Select { id, label, options, life }, deed, single_use, ttl_ms)
            }
            Self::Date { label, min, max, parameter, command, bot, parameters, single_use, ttl_ms } => {
                let deed = run(bot, command, parameters, Some(parameter))?;
                (Action::Date { id, label, min, max, life }, deed, single_use, ttl_ms)
            }
        };
        Ok(Offer { action, deed: Some(deed), single_use, ttl })
    }
}
