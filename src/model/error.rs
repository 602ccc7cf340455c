//! One error for the whole house.
//!
//! The caller's message and the log's are two things: [`Error::message`] and [`Error::details`] go to whoever asked,
//! [`Error::source`](std::error::Error::source) only ever to the log. Status codes live in `api`.

use std::fmt;

use serde_json::Value;

use super::conversation::Millis;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is; each door maps it to its own codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be understood or breaks a rule.
    Invalid,
    /// No credential, or one that does not count.
    Unauthenticated,
    /// A known caller who may not.
    Forbidden,
    /// No such thing, or none this caller may know of.
    NotFound,
    /// It contradicts what is already there.
    Conflict,
    /// Larger than a limit.
    TooLarge,
    /// Too many at once or too often.
    RateLimited,
    /// Not now; trying again may help.
    Unavailable,
    /// Another server, which had to be asked, refuses or answers nonsense.
    Upstream,
    /// Our fault.
    Internal,
}

#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    /// A stable word for programs, such as `VALIDATION_FAILED`.
    pub code: &'static str,
    /// One sentence for the caller.
    pub message: String,
    /// More for the caller, `Null` when there is nothing to add.
    pub details: Box<Value>,
    /// After how long it makes sense to try again, where that is known.
    pub retry_after: Option<Millis>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), details: Box::new(Value::Null), retry_after: None, source: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "INVALID_REQUEST", message)
    }

    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(Kind::Unauthenticated, "UNAUTHORIZED", message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, "FORBIDDEN", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, "NOT_FOUND", message)
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, code, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, "UNAVAILABLE", message)
    }

    /// A failure of ours: the caller reads one neutral sentence, the log gets `context` and `source`.
    pub fn internal(context: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            kind: Kind::Internal,
            code: "SERVER_ERROR",
            message: format!("failed to {context}"),
            details: Box::new(Value::Null),
            retry_after: None,
            source: Some(source.into()),
        }
    }

    pub fn details(mut self, details: Value) -> Self {
        *self.details = details;
        self
    }

    pub fn retry_after(mut self, millis: Millis) -> Self {
        self.retry_after = Some(millis);
        self
    }

    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
