//! What a reader can do right at a message: press, choose, pick a date, fill in a form, follow a link.
//!
//! What an action does is kept by the server under its opaque id; nothing of it travels with the message.

use serde::{Deserialize, Serialize};

/// One thing to do at a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Action {
    /// Pressed without a value.
    Button {
        id: String,
        label: String,
        #[serde(default, skip_serializing_if = "Style::is_plain")]
        style: Style,
        /// What is asked before it counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm: Option<String>,
        #[serde(flatten)]
        life: Life,
    },
    /// Takes the value of one of its options.
    Select {
        id: String,
        label: String,
        options: Vec<Choice>,
        #[serde(flatten)]
        life: Life,
    },
    /// Takes a day, `2026-11-23`.
    Date {
        id: String,
        label: String,
        /// The first and the last day that may be picked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<String>,
        #[serde(flatten)]
        life: Life,
    },
    /// Leads elsewhere; the server does not hear of it.
    Link { label: String, url: String },
}

impl Action {
    /// The id under which the server knows it; a link has none.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Button { id, .. } | Self::Select { id, .. } | Self::Date { id, .. } => Some(id),
            Self::Link { .. } => None,
        }
    }

    /// Gives it the id; a link takes none.
    pub fn set_id(&mut self, new: String) {
        match self {
            Self::Button { id, .. } | Self::Select { id, .. } | Self::Date { id, .. } => *id = new,
            Self::Link { .. } => {}
        }
    }

    pub fn label(&self) -> &str {
        match self {
            Self::Button { label, .. }
            | Self::Select { label, .. }
            | Self::Date { label, .. }
            | Self::Link { label, .. } => label,
        }
    }

    pub fn life(&self) -> Option<&Life> {
        match self {
            Self::Button { life, .. } | Self::Select { life, .. } | Self::Date { life, .. } => Some(life),
            Self::Link { .. } => None,
        }
    }

    pub fn life_mut(&mut self) -> Option<&mut Life> {
        match self {
            Self::Button { life, .. } | Self::Select { life, .. } | Self::Date { life, .. } => Some(life),
            Self::Link { .. } => None,
        }
    }
}

/// Until when an action can be taken, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Life {
    /// RFC 3339; absent when it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Set when it can be taken no more because it, or another choice of its message, was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
}

/// Who took which choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Used {
    /// Name of the person.
    pub by: String,
    /// RFC 3339.
    pub at: String,
    /// Whether it was this one that was taken.
    pub chosen: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    #[default]
    Plain,
    Primary,
    Danger,
}

impl Style {
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Choice {
    pub value: String,
    pub label: String,
}

/// A form in a message. Its id is an action's: it takes an object of field names and values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Form {
    pub id: String,
    /// The action that gives the form up; it takes no value.
    pub cancel_id: String,
    /// What is written on the button that sends it.
    pub submit: String,
    pub fields: Vec<FormField>,
    pub state: FormState,
    /// RFC 3339.
    pub expires_at: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormState {
    Open,
    Submitted,
    Cancelled,
    Expired,
}

/// One field of a form: a parameter as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FormField {
    pub name: String,
    /// What is asked; plain text.
    pub label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The parameter's type: `string`, `text`, `choice`, `boolean`, `date`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub required: bool,
    /// What stands in it when it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// A regular expression that the whole value must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// What is wrong with the value that was given before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether what is typed is neither shown nor kept in the conversation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}
