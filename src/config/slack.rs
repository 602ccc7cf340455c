//! The settings of Slack.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::is_confidential;
use crate::model::secret::Secret;

/// A Slack app; none while `bot_token` and `client_id` are empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    pub api_url: String,
    /// Opens a socket through which Slack sends; without it Slack sends requests.
    pub app_token: Secret,
    pub bot_token: Secret,
    /// What requests are signed with; without it none is believed.
    pub signing_secret: Secret,
    /// With both of these the app can be installed in several workspaces.
    pub client_id: String,
    pub client_secret: Secret,
    /// Where somebody is sent to install it.
    pub authorize_url: String,
    /// Begins a message in a channel that is for the bots without a mention; empty: none does.
    pub prefix: String,
    /// Channels, by their ids, and the bot that answers there.
    pub bots: BTreeMap<String, String>,
    /// The hosts that files are fetched from and brought to.
    pub file_hosts: Vec<String>,
}

impl Slack {
    /// Whether there is an app at all: of one workspace, or one that can be installed.
    pub fn is_set_up(&self) -> bool {
        !self.bot_token.is_empty() || !self.client_id.is_empty()
    }

    /// The bot that a channel is bound to.
    pub fn bot_of(&self, id: &str) -> Option<String> {
        self.bots.get(id).cloned()
    }

    pub(super) fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            is_confidential(&self.api_url),
            "slack.api_url must begin with https:// (http:// only for this machine)"
        );
        anyhow::ensure!(
            is_confidential(&self.authorize_url),
            "slack.authorize_url must begin with https:// (http:// only for this machine)"
        );
        anyhow::ensure!(
            self.client_id.is_empty() == self.client_secret.is_empty(),
            "slack.client_id and slack.client_secret go together"
        );
        let needs_bot = !self.app_token.is_empty() || !self.signing_secret.is_empty();
        anyhow::ensure!(!needs_bot || self.is_set_up(), "slack.bot_token is missing (or slack.client_id)");
        anyhow::ensure!(
            !self.prefix.contains(char::is_whitespace),
            "slack.prefix must not hold a space, such as \"!\""
        );
        Ok(())
    }
}
