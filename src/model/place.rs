//! Places outside, and the people there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Chats outside that conversations are held in; each is the channel of its conversations.
pub const PLATFORMS: [&str; 2] = ["slack", "discord"];

/// Where something is said in a chat outside. As text `slack:<team>/<channel>`, with `/<thread>` for a thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Which chat: one of [`PLATFORMS`].
    pub platform: String,
    /// The workspace or server.
    pub team: String,
    pub channel: String,
    /// The thread in the channel; none is the channel itself.
    pub thread: Option<String>,
}

impl Place {
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (platform, rest) = text.split_once(':')?;
        let mut parts = rest.split('/').map(str::to_owned);
        let place =
            Self { platform: platform.to_owned(), team: parts.next()?, channel: parts.next()?, thread: parts.next() };
        let is_whole = parts.next().is_none()
            && ![&place.platform, &place.team, &place.channel].iter().any(|part| part.is_empty());
        is_whole.then_some(place)
    }

    /// The channel as text: what goes there goes in one order.
    pub fn lane(&self) -> String {
        format!("{}:{}/{}", self.platform, self.team, self.channel)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { platform, team, channel, thread } = self;
        write!(f, "{platform}:{team}/{channel}")?;
        thread.as_ref().map_or(Ok(()), |thread| write!(f, "/{thread}"))
    }
}

/// Somebody in a chat outside, as that chat vouches for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Account {
    pub platform: String,
    pub team: String,
    /// The chat's own id of them. Names prove nothing.
    pub id: String,
    /// What people read.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_it_was_written() {
        for text in ["slack:T1/C1", "slack:T1/C1/1700.5", "discord:1/2"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Place::parse("slack:T1/C1/1700.5").unwrap().lane(), "slack:T1/C1");
        for wrong in ["", "slack", "slack:T1", "slack:T1/", "slack:/C1", "slack:T1/C1/2/3"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
