//! The settings of Slack.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::is_confidential;
use crate::model::secret::Secret;

/// A Slack app; none while `bot_token` is empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    pub api_url: String,
    /// Opens a socket through which Slack sends; without it Slack sends requests.
    pub app_token: Secret,
    pub bot_token: Secret,
    /// What requests are signed with; without it none is believed.
    pub signing_secret: Secret,
    /// Begins a message in a channel that is for the bots without a mention; empty: none does.
    pub prefix: String,
    /// Channels, by their ids, and the bot that answers there.
    pub bots: BTreeMap<String, String>,
    /// The hosts that files are fetched from and brought to.
    pub file_hosts: Vec<String>,
}

impl Slack {
    /// The bot that a channel is bound to.
    pub fn bot_of(&self, id: &str) -> Option<String> {
        self.bots.get(id).cloned()
    }

    pub(super) fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            is_confidential(&self.api_url),
            "slack.api_url must begin with https:// (http:// only for this machine)"
        );
        let needs_bot = !self.app_token.is_empty() || !self.signing_secret.is_empty();
        anyhow::ensure!(!needs_bot || !self.bot_token.is_empty(), "slack.bot_token is missing");
        anyhow::ensure!(
            !self.prefix.contains(char::is_whitespace),
            "slack.prefix must not hold a space, such as \"!\""
        );
        Ok(())
    }
}
