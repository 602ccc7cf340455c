//! Floor 1½, pure: the language `flow/v1`, in which playbooks and workflows are written.
//!
//! [`Flow`] is a document as it was understood; `manifest::flow` reads it from YAML or JSON, `engine::plan` says what
//! comes next in a run of it. Its typed `${{ … }}` are those of `crate::expression`, [`text`] the `{{ … }}` in what people
//! read. No expression reaches a file, the network, the environment or the clock but `now()`, and each is bounded.

mod ast;
mod duration;
mod retry;
pub mod text;

pub use ast::{
    Ask, Call, Case, Concurrency, Conflict, Defaults, Dialect, Flow, ForEach, Input, InputType, LoopError, OnError,
    Poll, Probe, RunBody, Step, Verb, Wait, While,
};
pub use duration::{parse as parse_duration, write as write_duration};
pub use retry::{Backoff, Jitter, Retry};

pub use crate::model::effect::Effect;

/// The form of document that this version reads.
pub const API_VERSION: &str = "flow/v1";

/// The JSON Schema of a document.
pub const SCHEMA: &str = include_str!("flow-v1.json");
