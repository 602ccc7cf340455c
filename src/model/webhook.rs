//! What other programs are told, and by which names.

use super::execution::ExecutionStatus;

/// Something that happens to a run. A session is a run by another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    WorkflowStarted,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowCancelled,
    SessionStarted,
    SessionCompleted,
    SessionFailed,
}

impl Topic {
    pub const ALL: [Self; 7] = [
        Self::WorkflowStarted,
        Self::WorkflowCompleted,
        Self::WorkflowFailed,
        Self::WorkflowCancelled,
        Self::SessionStarted,
        Self::SessionCompleted,
        Self::SessionFailed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorkflowStarted => "workflow.started",
            Self::WorkflowCompleted => "workflow.completed",
            Self::WorkflowFailed => "workflow.failed",
            Self::WorkflowCancelled => "workflow.cancelled",
            Self::SessionStarted => "session.started",
            Self::SessionCompleted => "session.completed",
            Self::SessionFailed => "session.failed",
        }
    }

    /// What a run that comes to a status is told as.
    pub fn of(status: ExecutionStatus) -> &'static [Self] {
        match status {
            ExecutionStatus::Pending => &[Self::WorkflowStarted, Self::SessionStarted],
            ExecutionStatus::AwaitingInput
            | ExecutionStatus::AwaitingConfirmation
            | ExecutionStatus::AwaitingApproval
            | ExecutionStatus::Running
            | ExecutionStatus::Paused => &[],
            ExecutionStatus::Completed => &[Self::WorkflowCompleted, Self::SessionCompleted],
            ExecutionStatus::Failed | ExecutionStatus::Expired => &[Self::WorkflowFailed, Self::SessionFailed],
            ExecutionStatus::Cancelled => &[Self::WorkflowCancelled],
        }
    }
}

/// Every name that a webhook may listen to: topics, families of them, and everything.
pub fn event_names() -> Vec<&'static str> {
    Topic::ALL.iter().map(|topic| topic.as_str()).chain(["workflow.*", "session.*", "*"]).collect()
}

/// Whether anything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookState {
    Active,
    /// By its owner: what happens meanwhile is not told.
    Paused,
    /// By this server, because its deliveries failed or the receiver wanted no more.
    Disabled,
}

impl WebhookState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Paused, Self::Disabled].into_iter().find(|state| state.as_str() == text)
    }
}
