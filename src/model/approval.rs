//! What a command waits for before it runs: the agreement of who asked, the approval of others.

use serde::{Deserialize, Serialize};

use super::conversation::Millis;
use super::execution::ExecutionStatus;
use super::principal::Role;

/// When who asked is asked once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    #[default]
    Never,
    /// When a default stands for a value that nobody gave.
    Change,
    Always,
    /// Always, and the target's name has to be typed.
    Typed,
}

/// Who must approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approve {
    /// How many different persons.
    pub count: usize,
    /// Members of any of these …
    pub groups: Vec<String>,
    /// … or who has any of these roles.
    pub roles: Vec<Role>,
    /// Whether whoever asked is none of them.
    pub not_requester: bool,
    /// How long it is waited for, in milliseconds.
    pub ttl: Millis,
    /// Whether they have to say why.
    pub reason: bool,
}

impl Approve {
    /// How long is waited when nothing else is written.
    pub const TTL: Millis = 30 * 60 * 1000;
}

impl Default for Approve {
    /// What a command that destroys needs when nothing else is written: one administrator.
    fn default() -> Self {
        let (groups, roles) = (Vec::new(), vec![Role::Admin]);
        Self { count: 1, groups, roles, not_requester: false, ttl: Self::TTL, reason: false }
    }
}

/// What somebody says to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Who asked agrees.
    Confirm,
    /// Who asked gives it up.
    Cancel,
    Approve,
    Deny,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Who asked has to agree.
    Confirm,
    /// Others have to approve.
    Approve,
    /// Everybody has; the run has yet to begin.
    Approved,
    Started,
    Denied,
    Cancelled,
    Expired,
    /// What it was about has changed.
    Void,
}

impl State {
    pub const ALL: [Self; 8] = [
        Self::Confirm,
        Self::Approve,
        Self::Approved,
        Self::Started,
        Self::Denied,
        Self::Cancelled,
        Self::Expired,
        Self::Void,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Approve => "approve",
            Self::Approved => "approved",
            Self::Started => "started",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether a word is waited for.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Confirm | Self::Approve)
    }

    /// What becomes of the run; none when that is up to the run itself.
    pub fn status(self) -> Option<ExecutionStatus> {
        match self {
            Self::Confirm => Some(ExecutionStatus::AwaitingConfirmation),
            Self::Approve | Self::Approved => Some(ExecutionStatus::AwaitingApproval),
            Self::Started => None,
            Self::Denied | Self::Cancelled => Some(ExecutionStatus::Cancelled),
            Self::Expired => Some(ExecutionStatus::Expired),
            Self::Void => Some(ExecutionStatus::Failed),
        }
    }
}
