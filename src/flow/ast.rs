//! A document as it was understood.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::retry::Retry;
use crate::model::conversation::Millis;
use crate::model::effect::Effect;

/// In which form a document was written; it decides small things that authors of that form count on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    #[default]
    Flow,
    /// A playbook of the toolbox.
    Playbook,
    /// A workflow of the integration layer.
    Workflow,
}

/// A playbook or a workflow.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// Its stable name, such as `gateway/module_upgrade`.
    pub name: String,
    /// What people read.
    pub title: String,
    pub version: String,
    pub description: String,
    pub labels: BTreeMap<String, String>,
    pub dialect: Dialect,
    pub inputs: Vec<Input>,
    /// As written; what starts runs by itself reads them.
    pub triggers: Vec<Value>,
    pub concurrency: Option<Concurrency>,
    pub timeout: Option<Millis>,
    pub defaults: Defaults,
    pub steps: Vec<Step>,
    pub on_error: Vec<Step>,
    pub finally: Vec<Step>,
    pub outputs: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub name: String,
    pub kind: InputType,
    pub required: bool,
    pub default: Option<Value>,
    pub description: String,
    /// What its value must be, as JSON Schema; null when its type says all.
    pub schema: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputType {
    String,
    Integer,
    Float,
    Boolean,
    File,
    /// The name of a credential; its values are opened only where it is used.
    Credential,
    Secret,
    List,
    Dict,
}

impl InputType {
    pub const NAMES: [&str; 9] =
        ["string", "integer", "float", "boolean", "file", "credential", "secret", "list", "dict"];

    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "integer" => Self::Integer,
            "float" => Self::Float,
            "boolean" => Self::Boolean,
            "file" => Self::File,
            "credential" => Self::Credential,
            "secret" => Self::Secret,
            "list" => Self::List,
            "dict" => Self::Dict,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::File => "file",
            Self::Credential => "credential",
            Self::Secret => "secret",
            Self::List => "list",
            Self::Dict => "dict",
        }
    }
}

/// How many runs may be under way at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// An expression; runs of one value count together. None counts all runs of the document.
    pub key: Option<String>,
    pub limit: i64,
    pub on_conflict: Conflict,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflict {
    /// The new run waits.
    #[default]
    Queue,
    /// The oldest run is cancelled.
    CancelRunning,
    /// The new run is refused.
    Reject,
}

impl Conflict {
    /// The word it is written with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::CancelRunning => "cancel_running",
            Self::Reject => "reject",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    pub timeout: Option<Millis>,
    pub retry: Option<Retry>,
    pub effect: Option<Effect>,
}

/// One step: one verb and what is said about it.
#[derive(Clone, Debug)]
pub struct Step {
    pub id: String,
    /// What people read; empty: its id.
    pub name: String,
    /// An expression; false skips the step.
    pub condition: Option<String>,
    pub timeout: Option<Millis>,
    pub retry: Option<Retry>,
    pub effect: Option<Effect>,
    /// What it hands on instead of its result; sees `result`.
    pub output: Option<Value>,
    pub on_error: OnError,
    /// Runs when the step has ended, however.
    pub finally: Vec<Step>,
    /// What takes it back.
    pub undo: Option<Call>,
    /// How to find out whether it happened when nobody knows.
    pub probe: Option<Probe>,
    pub for_each: Option<ForEach>,
    pub repeat: Option<While>,
    pub verb: Verb,
}

#[derive(Clone, Debug, Default)]
pub enum OnError {
    /// The failure is that of the steps around it.
    #[default]
    Abort,
    Continue,
    /// What was done is undone, newest first; then as `Abort`.
    Rollback,
    /// These deal with it, and the run goes on.
    Steps(Vec<Step>),
}

/// A call of a connector.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub connector: String,
    pub action: String,
    /// The credential it is made with, a template.
    pub connection: Option<String>,
    /// Its input; every text in it may hold expressions.
    pub with: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub call: Call,
    /// An expression that sees `result`: true when it happened.
    pub ok: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForEach {
    /// An expression for a list.
    pub items: String,
    pub name: String,
    pub concurrency: i64,
    pub on_error: LoopError,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoopError {
    /// Every item is tried, then the loop fails.
    Collect,
    /// The first failure ends the loop.
    #[default]
    FailFast,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct While {
    pub condition: String,
    pub max: i64,
}

#[derive(Clone, Debug)]
pub enum Verb {
    Use(Call),
    Switch(Vec<Case>),
    Parallel {
        fail_fast: bool,
        branches: Vec<(String, Vec<Step>)>,
    },
    Run(RunBody),
    Ask(Box<Ask>),
    Wait(Wait),
    Script {
        source: String,
    },
    Set(Map<String, Value>),
    /// A message: `message` or `text`, and whatever parts it has.
    Say(Map<String, Value>),
    Log {
        level: String,
        message: String,
    },
    Fail {
        code: String,
        message: String,
    },
    Cancel {
        reason: String,
    },
    Emit {
        topic: String,
        data: Value,
    },
    /// Undoes what was done below that step.
    Compensate(String),
    Steps(Vec<Step>),
}

impl Verb {
    /// The key it is written with.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Use(_) => "use",
            Self::Switch(_) => "switch",
            Self::Parallel { .. } => "parallel",
            Self::Run(_) => "run",
            Self::Ask(_) => "ask",
            Self::Wait(_) => "wait",
            Self::Script { .. } => "script",
            Self::Set(_) => "set",
            Self::Say(_) => "say",
            Self::Log { .. } => "log",
            Self::Fail { .. } => "fail",
            Self::Cancel { .. } => "cancel",
            Self::Emit { .. } => "emit",
            Self::Compensate(_) => "compensate",
            Self::Steps(_) => "steps",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Case {
    /// None: what is left.
    pub when: Option<String>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RunBody {
    /// The path of a playbook or the name of a workflow, a template.
    pub workflow: String,
    pub version: Option<String>,
    pub with: Map<String, Value>,
    pub wait: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub message: String,
    /// Ids or names of users who are asked beside the conversation.
    pub users: Vec<String>,
    /// A JSON Schema of an object; null asks yes or no.
    pub form: Value,
    /// Who may answer.
    pub roles: Vec<String>,
    pub groups: Vec<String>,
    pub quorum: i64,
    pub not_requester: bool,
    pub timeout: Option<Millis>,
    /// The answer when nobody gave one; none fails the step.
    pub on_timeout: Option<Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    For(Millis),
    /// How long, a template that gives a duration or milliseconds.
    Length(String),
    /// Until a moment: RFC 3339 or milliseconds, an expression.
    Until(String),
    Event {
        topic: String,
        key: Option<String>,
        timeout: Option<Millis>,
    },
    Poll(Box<Poll>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Poll {
    pub call: Call,
    pub every: Millis,
    /// An expression that sees `result`.
    pub until: String,
    pub timeout: Option<Millis>,
}

impl Step {
    /// The lists of steps below it, with what their ids are prefixed by in a path.
    pub fn children(&self) -> Vec<&[Step]> {
        let mut lists: Vec<&[Step]> = match &self.verb {
            Verb::Switch(cases) => cases.iter().map(|case| case.steps.as_slice()).collect(),
            Verb::Parallel { branches, .. } => branches.iter().map(|(_, steps)| steps.as_slice()).collect(),
            Verb::Steps(steps) => vec![steps],
            _ => Vec::new(),
        };
        if let OnError::Steps(steps) = &self.on_error {
            lists.push(steps);
        }
        lists.push(&self.finally);
        lists
    }

    /// What people read.
    pub fn title(&self) -> &str {
        if self.name.is_empty() { &self.id } else { &self.name }
    }

    /// Whether it is more than one thing: steps, branches, a loop.
    pub fn is_container(&self) -> bool {
        self.for_each.is_some()
            || self.repeat.is_some()
            || matches!(self.verb, Verb::Switch(_) | Verb::Parallel { .. } | Verb::Steps(_))
    }
}
