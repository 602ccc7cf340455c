//! What running something again would do to the world outside.

use serde::{Deserialize, Serialize};

/// Decides what may be done after a crash or a lost answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It only looks.
    Pure,
    /// Doing it again changes nothing more.
    Idempotent,
    /// Sent again under the same key, the other side does it once.
    Keyed,
    /// Each time it is sent it happens.
    Once,
}

impl Effect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Idempotent => "idempotent",
            Self::Keyed => "keyed",
            Self::Once => "once",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pure, Self::Idempotent, Self::Keyed, Self::Once].into_iter().find(|effect| effect.as_str() == text)
    }

    /// Whether it may be sent again when it is not known what became of the first time.
    pub fn may_repeat(self) -> bool {
        self != Self::Once
    }
}
