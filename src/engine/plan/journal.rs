//! What has happened in a run: one row for each step that has begun.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::flow::Effect;
use crate::model::conversation::Millis;

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepStatus {
    /// It has begun before and was taken back.
    Pending,
    /// Work that a worker may take.
    Ready,
    /// A worker has it.
    Running,
    /// Steps below it are under way.
    Active,
    /// Time, an event, a person or another run will bring it further.
    Waiting,
    /// It may have happened; nobody knows.
    Uncertain,
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
}

impl StepStatus {
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Ready,
        Self::Running,
        Self::Active,
        Self::Waiting,
        Self::Uncertain,
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Uncertain => "uncertain",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// The word of the doors.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Ready | Self::Running | Self::Active => "running",
            Self::Succeeded => "completed",
            other => other.as_str(),
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled)
    }
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    pub code: String,
    pub message: String,
    /// The path of the step it went wrong in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
    /// Trying again may help.
    #[serde(default, skip_serializing)]
    pub retryable: bool,
    /// After how long it makes sense to try again.
    #[serde(default, skip_serializing)]
    pub retry_after: Option<Millis>,
    /// Nobody knows whether it happened.
    #[serde(default, skip_serializing)]
    pub uncertain: bool,
}

/// The code of what halted a run that was cancelled and is being undone.
pub const UNDOING: &str = "undoing";

impl Fault {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), ..Self::default() }
    }

    /// As expressions and doors see it.
    pub fn value(&self) -> Value {
        json!({ "code": self.code, "message": self.message, "step": self.step, "details": self.details })
    }
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub path: String,
    pub status: StepStatus,
    pub effect: Effect,
    /// How often it was tried and failed since it was begun.
    pub tries: i64,
    /// How often it was begun again from scratch.
    pub round: i64,
    /// Who has it: every claim and every end of one counts it up.
    pub fence: i64,
    /// The fence under which its effect may have begun.
    pub intent: Option<i64>,
    /// When it may go on.
    pub ready_at: Option<Millis>,
    /// When it has failed if it has not ended.
    pub deadline: Option<Millis>,
    /// How long one try may take.
    pub timeout: Option<Millis>,
    /// What a worker is to do; null for what needs none.
    pub input: Value,
    /// What it has to remember about itself.
    pub data: Value,
    pub output: Value,
    pub error: Option<Fault>,
    /// What somebody else brought: an answer, an event, the end of another run.
    pub signal: Value,
    /// Rows are numbered in the order in which they began.
    pub position: i64,
    pub started_at: Option<Millis>,
    pub finished_at: Option<Millis>,
}

impl Row {
    pub fn new(path: impl Into<String>, status: StepStatus, position: i64, at: Millis) -> Self {
        Self {
            path: path.into(),
            status,
            effect: Effect::Pure,
            tries: 0,
            round: 0,
            fence: 0,
            intent: None,
            ready_at: None,
            deadline: None,
            timeout: None,
            input: Value::Null,
            data: Value::Null,
            output: Value::Null,
            error: None,
            signal: Value::Null,
            position,
            started_at: Some(at),
            finished_at: status.is_final().then_some(at),
        }
    }

    /// What the other side recognises a call by, however often it is made.
    pub fn idempotency_key(&self, execution: &str) -> String {
        let seed = format!("{execution}\n{}\n{}", self.path, self.round);
        let mut key = crate::model::id::sha256_hex(seed.as_bytes());
        key.truncate(40);
        key
    }
}

/// What somebody wants of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    #[default]
    Run,
    Pause,
    /// It waits until another run of its kind has ended.
    Queue,
    Cancel,
}

impl Wish {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Pause => "pause",
            Self::Queue => "queue",
            Self::Cancel => "cancel",
        }
    }

    pub fn parse(text: &str) -> Self {
        match text {
            "pause" => Self::Pause,
            "queue" => Self::Queue,
            "cancel" => Self::Cancel,
            _ => Self::Run,
        }
    }
}

/// A run as it stands.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    pub execution: String,
    pub inputs: Value,
    pub vars: Map<String, Value>,
    /// Who started it: id, name.
    pub user: Value,
    /// What started it.
    pub trigger: Value,
    /// What whoever started it wrote on it.
    pub metadata: Value,
    pub started_at: Millis,
    pub wish: Wish,
    /// Pauses after each step.
    pub debug: bool,
    /// Why it ended before its steps did.
    pub halted: Option<Fault>,
    pub rows: BTreeMap<String, Row>,
}

impl Journal {
    pub fn next_position(&self) -> i64 {
        self.rows.values().map(|row| row.position).max().unwrap_or(0) + 1
    }
}

/// Whether `path` is `of` or below it.
pub fn is_below(path: &str, of: &str) -> bool {
    of.is_empty() || path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', '~']))
}
