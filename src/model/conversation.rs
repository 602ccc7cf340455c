//! A bot talked with at a place. REST calls it a bot session.

use serde::{Deserialize, Serialize};

/// Unix time in milliseconds; the form in which time is stored everywhere.
pub type Millis = i64;

/// The bot of the house itself. A conversation with it is one with all bots.
pub const HOUSE_BOT: &str = "parlour";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationStatus {
    Active,
    Closed,
}

impl ConversationStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Closed => "closed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    pub id: String,
    /// The bot it is bound to; its commands win over the others'. With [`HOUSE_BOT`] none's do.
    pub bot: String,
    /// Principal id of whoever opened it.
    pub owner: String,
    /// `web`, `api`, `slack`, `discord`.
    pub channel: String,
    pub status: ConversationStatus,
    pub created_at: Millis,
    pub closed_at: Option<Millis>,
}
