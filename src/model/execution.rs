//! One run of a workflow. A command's invocation is an execution whose origin is a command.

use serde::{Deserialize, Serialize};

/// Where a run stands. The automation API calls it `phase` and writes it in capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionStatus {
    Pending,
    /// It waits for values that a person was asked for.
    AwaitingInput,
    /// It waits for who asked to agree.
    AwaitingConfirmation,
    /// It waits for others to approve.
    AwaitingApproval,
    Running,
    /// It goes on when somebody says so.
    Paused,
    Completed,
    Failed,
    Cancelled,
    /// Nobody answered in time.
    Expired,
}

impl ExecutionStatus {
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::AwaitingInput,
        Self::AwaitingConfirmation,
        Self::AwaitingApproval,
        Self::Running,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::AwaitingInput => "awaiting_input",
            Self::AwaitingConfirmation => "awaiting_confirmation",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// The word of the automation API.
    pub fn phase(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::AwaitingInput => "AWAITING_INPUT",
            Self::AwaitingConfirmation => "AWAITING_CONFIRMATION",
            Self::AwaitingApproval => "AWAITING_APPROVAL",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Completed => "SUCCESS",
            Self::Failed => "FAILURE",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Expired)
    }
}
