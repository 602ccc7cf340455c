//! The settings of Discord.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::is_confidential;
use crate::model::secret::Secret;

/// A Discord app; none while `bot_token` is empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discord {
    pub api_url: String,
    pub bot_token: Secret,
    /// The app's id; without it Discord is asked for it.
    pub application_id: String,
    /// What interactions that come as requests are signed with, 32 bytes in hex; without it none is believed.
    pub public_key: String,
    /// Whether a connection to the gateway is held.
    pub gateway: bool,
    /// Whether the app may read what does not mention it.
    pub message_content: bool,
    /// Whether the commands are offered as slash commands.
    pub slash_commands: bool,
    /// Begins a message in a channel that is for the bots without a mention; empty: none does.
    pub prefix: String,
    /// Channels, by id, and the bot that answers there.
    pub bots: BTreeMap<String, String>,
    /// The hosts that files are fetched from.
    pub file_hosts: Vec<String>,
}

impl Discord {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            is_confidential(&self.api_url),
            "discord.api_url must begin with https:// (http:// only for this machine)"
        );
        anyhow::ensure!(
            self.public_key.is_empty() || !self.bot_token.is_empty(),
            "discord.bot_token is missing, but discord.public_key is set"
        );
        let is_hex = self.public_key.bytes().all(|b| b.is_ascii_hexdigit());
        anyhow::ensure!(
            self.public_key.is_empty() || (self.public_key.len() == 64 && is_hex),
            "discord.public_key must be 64 hex digits, as the app's page shows it"
        );
        let is_id = self.application_id.bytes().all(|b| b.is_ascii_digit());
        anyhow::ensure!(is_id, "discord.application_id must be digits");
        anyhow::ensure!(
            !self.prefix.contains(char::is_whitespace),
            "discord.prefix must not hold a space, such as \"!\""
        );
        Ok(())
    }
}
