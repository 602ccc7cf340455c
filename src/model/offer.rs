//! The author's side of an action: how it looks together with what taking it does.
//!
//! A [`Message`](super::message::Message) carries its offers beside what readers see. They become
//! [`Action`]s with ids in the transaction that puts the message into a conversation; until then the ids are empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::action::{Action, Life, Style};
use super::approval::Verdict;
use super::conversation::Millis;

/// One thing to do at a message, as its author means it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// How it looks. Its id and its life are filled in when the message is said.
    pub action: Action,
    /// What taking it does; none for a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deed: Option<Deed>,
    /// Whether taking it uses it up, together with the other single-use offers of the message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_use: bool,
    /// How long it can be taken, in milliseconds; none means as long as the message is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Millis>,
}

/// What taking an action does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Runs a command in the name of whoever takes it.
    Run {
        /// None means the bot that says the message.
        bot: Option<String>,
        command: String,
        /// Parameter names and values.
        parameters: BTreeMap<String, String>,
        /// The parameter that takes the value of a select or a date.
        parameter_name: Option<String>,
    },
    /// Asks for the values of a command in a form, also for those it can do without, and runs it then.
    Form {
        /// None means the bot that says the message.
        bot: Option<String>,
        command: String,
        /// What stands in the form when it is shown.
        parameters: BTreeMap<String, String>,
    },
    /// Goes on with the dialog of an execution.
    Dialog { execution: String, step: Step },
    /// Says something to a run that waits for a word.
    Decide { execution: String, verdict: Verdict },
    /// Answers what a step of a run asked. A form's values come with it.
    Answer { execution: String, path: String, answer: serde_json::Value },
    /// Pauses a run, lets it go on, or stops it.
    Control { execution: String, verb: RunVerb },
}

/// What can be done to a run with an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunVerb {
    Pause,
    Resume,
    Cancel,
    /// What may have happened did.
    Happened,
    /// It did not: it is tried again.
    Retry,
    Skip,
    Fail,
}

/// What can be done to a dialog with an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Sends the values of its form, or agrees to its summary.
    Submit,
    Edit,
    Cancel,
}

impl Offer {
    /// An offer that does something and stays.
    pub fn new(action: Action, deed: Deed) -> Self {
        Self { action, deed: Some(deed), single_use: false, ttl: None }
    }

    pub fn button(label: impl Into<String>, style: Style, deed: Deed) -> Self {
        let (id, label, life) = (String::new(), label.into(), Life::default());
        Self::new(Action::Button { id, label, style, confirm: None, life }, deed)
    }

    pub fn link(label: impl Into<String>, url: impl Into<String>) -> Self {
        let action = Action::Link { label: label.into(), url: url.into() };
        Self { action, deed: None, single_use: false, ttl: None }
    }

    pub fn once(mut self) -> Self {
        self.single_use = true;
        self
    }

    pub fn lasting(mut self, ttl: Millis) -> Self {
        self.ttl = Some(ttl);
        self
    }
}
