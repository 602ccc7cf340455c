//! Floor 1: what a message becomes in each chat.
//!
//! [`markup`] reads a bot's Markdown once; each renderer writes it in its chat's own terms and keeps that chat's limits:
//! [`slack`] as blocks, [`discord`] as embeds and components, [`plain`] as text for terminals and old readers. What is
//! too long is split, then cut with a way to the whole; nothing fails for being long.
//!
//! Everything is escaped here. Markdown knows no mentions, so no text becomes one, and the only links are those that an
//! author wrote as links: a bare address stays the text it is.

mod choice;
pub mod discord;
mod discord_form;
mod discord_text;
mod fit;
pub mod markup;
mod mrkdwn;
pub mod plain;
pub mod slack;
mod slack_form;

pub use choice::{action_id, choice_key, chosen};

use serde_json::Value;

/// One line of plain text in at most `max` characters, for names and descriptions.
pub fn plain_line(text: &str, max: usize) -> String {
    fit::cut(&fit::one_line(&plain::clean(text)), max)
}

/// What a renderer knows beside the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The installation's own address, without a slash at its end. It completes paths in links and pictures; without
    /// it those become text.
    pub public_url: Option<&'a str>,
    /// Where the whole message can be read, for what has to be cut.
    pub full_url: Option<&'a str>,
}

impl Place<'_> {
    /// The whole address behind a link or a picture, when it is one that may be followed.
    fn address(&self, url: &str) -> Option<String> {
        let url = url.trim();
        if url.len() > LONGEST_ADDRESS || url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return None;
        }
        let whole = match url.strip_prefix('/') {
            Some(path) if !path.starts_with(['/', '\\']) => format!("{}{url}", self.public_url?),
            _ => url.to_owned(),
        };
        let parsed = url::Url::parse(&whole).ok()?;
        let address = matches!(parsed.scheme(), "http" | "https" | "mailto").then(|| parsed.to_string())?;
        (address.len() <= LONGEST_ADDRESS).then_some(address)
    }

    /// Like [`address`](Self::address), for buttons that lead elsewhere.
    fn web_address(&self, url: &str) -> Option<String> {
        self.address(url).filter(|url| url.starts_with("http"))
    }

    /// The address of a picture that a chat can fetch and show. One that it cannot get at would cost the whole message,
    /// so pictures of this machine are no pictures there, nor are drawings in SVG, nor what this server shows to some only.
    fn picture(&self, url: &str) -> Option<String> {
        if url.trim().starts_with("/api/") {
            return None;
        }
        let parsed = url::Url::parse(&self.web_address(url)?).ok()?;
        let is_here = match parsed.host()? {
            url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            url::Host::Ipv4(ip) => ip.is_loopback() || ip.is_unspecified(),
            url::Host::Ipv6(ip) => ip.is_loopback() || ip.is_unspecified(),
        };
        let is_drawing = parsed.path().to_ascii_lowercase().ends_with(".svg");
        (!is_here && !is_drawing).then(|| parsed.to_string())
    }
}

/// A message as one chat takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendering {
    /// One or, where it does not fit, several messages; the last one carries what can be done.
    pub messages: Vec<Value>,
    /// The whole as text, when something had to be cut and there is no address to read it at: to be sent as a file.
    pub attachment: Option<String>,
    /// Whether anything was cut.
    pub is_cut: bool,
}

/// A longer address is no link; chats take no more.
const LONGEST_ADDRESS: usize = 2_000;
/// Messages that one message becomes at most.
const MOST_MESSAGES: usize = 3;
/// What stands where something was cut.
const FULL_OUTPUT: &str = "… full output";

#[cfg(test)]
mod tests;
