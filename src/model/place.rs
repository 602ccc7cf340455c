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

/// The address of where a command was said.
pub const HERE: &str = "here";

/// Stands for the team of a channel that is only known by its name.
pub const ANY_TEAM: &str = "*";

/// Where a message is sent: `here`, `slack:#ops`, `slack:C0123`, `slack:T1/C1/<thread>`, `discord:<channel id>`,
/// `group:<name>` of the settings, `user:<id>` for the chat a person used to link last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Here,
    Group(String),
    User(String),
    Place(Place),
}

impl Address {
    /// Reads an address; the error says what is wrong, as a part of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == HERE {
            return Ok(Self::Here);
        }
        let wrong = || {
            format!("\"{text}\" is no destination, such as here, slack:#ops, discord:123, group:oncall or user:<id>")
        };
        let (kind, rest) = text.split_once(':').filter(|(_, rest)| !rest.is_empty()).ok_or_else(wrong)?;
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        match kind {
            "group" => Ok(Self::Group(rest.to_owned())),
            "user" => Ok(Self::User(rest.to_owned())),
            platform if PLATFORMS.contains(&platform) => match Place::parse(text) {
                Some(place) => Ok(Self::Place(place)),
                None if rest.contains('/') => Err(wrong()),
                None => {
                    let (platform, team, channel) = (platform.to_owned(), ANY_TEAM.to_owned(), rest.to_owned());
                    Ok(Self::Place(Place { platform, team, channel, thread: None }))
                }
            },
            _ => Err(wrong()),
        }
    }

    /// The place as the outbox keeps it; none for where the command was said. Groups and users are places of their own
    /// until they are looked up.
    pub fn place(self) -> Option<Place> {
        let of = |platform: &str, channel| Place {
            platform: platform.to_owned(),
            team: ANY_TEAM.to_owned(),
            channel,
            thread: None,
        };
        match self {
            Self::Here => None,
            Self::Group(name) => Some(of("group", name)),
            Self::User(id) => Some(of("user", id)),
            Self::Place(place) => Some(place),
        }
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

impl Account {
    /// The principal id of somebody with this account who is nobody here.
    pub fn guest_id(&self) -> String {
        format!("guest:{}:{}/{}", self.platform, self.team, self.id)
    }

    /// Reads what [`guest_id`](Self::guest_id) wrote; the name is not in it.
    pub fn of_guest(principal: &str) -> Option<Self> {
        let (platform, rest) = principal.strip_prefix("guest:")?.split_once(':')?;
        let (team, id) = rest.split_once('/')?;
        Some(Self { platform: platform.to_owned(), team: team.to_owned(), id: id.to_owned(), name: String::new() })
    }
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

    #[test]
    fn an_address_is_a_place_or_leads_to_some() {
        let place = |text: &str| Address::parse(text).unwrap().place().map(|place| place.to_string());
        for (text, expected) in [
            ("here", None),
            ("slack:#ops", Some("slack:*/#ops")),
            ("slack:C1", Some("slack:*/C1")),
            (" slack:T1/C1/1.2 ", Some("slack:T1/C1/1.2")),
            ("discord:123", Some("discord:*/123")),
            ("group:oncall", Some("group:*/oncall")),
            ("user:u-1", Some("user:*/u-1")),
        ] {
            assert_eq!(place(text).as_deref(), expected, "{text}");
            assert!(expected.is_none_or(|text| Place::parse(text).is_some()), "it can be kept");
        }
        for wrong in ["", "ops", "#ops", "slack:", "irc:#ops", "slack:a b", "slack:T1/", "slack:/C1"] {
            assert!(Address::parse(wrong).unwrap_err().contains("no destination"), "{wrong}");
        }
    }
}
