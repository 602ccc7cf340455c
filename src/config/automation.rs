//! Runs, and what they reach outside: connectors, the vault, webhooks.

use std::path::PathBuf;

use ipnet::IpNet;
use jiff::SignedDuration;
use serde::Deserialize;

use super::ensure_longer_than_nothing;
use crate::model::secret::Secret;

/// How runs of playbooks and workflows are worked on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flows {
    /// Steps that are worked on at the same time.
    pub workers: usize,
    /// How long a step belongs to a worker without a word of it.
    pub lease: SignedDuration,
    /// Of one script, in bytes.
    pub script_memory: u64,
    /// The program that runs scripts; empty means this one.
    pub script_program: PathBuf,
}

impl Flows {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure_longer_than_nothing("flows.lease", self.lease)
    }
}

/// Requests to the outside, by connectors and webhooks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// Networks that may be reached besides the public internet.
    pub allow_private: Vec<IpNet>,
    pub timeout: SignedDuration,
    /// Of one answer, in bytes.
    pub max_response: u64,
}

impl Fetch {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure_longer_than_nothing("fetch.timeout", self.timeout)
    }
}

/// What runs leave to be looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifacts {
    /// Of one artifact, in bytes.
    pub max_size: u64,
    /// Of one run.
    pub most: u32,
    pub kept_for: SignedDuration,
}

impl Artifacts {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure_longer_than_nothing("artifacts.kept_for", self.kept_for)
    }
}

/// Browsers that steps drive.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Browser {
    /// Chromium; empty means the one that is found in `PATH`.
    pub program: PathBuf,
    /// Whether pages run in Chromium's sandbox.
    pub sandbox: bool,
    /// Browsers at the same time.
    pub most: usize,
    /// After how long without a step a browser ends.
    pub idle: SignedDuration,
    /// Of the scripts of one page, in bytes.
    pub memory: u64,
    /// Of the page, in pixels.
    pub width: u32,
    pub height: u32,
}

impl Browser {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.most > 0, "browser.most must be at least 1");
        anyhow::ensure!(
            (1..=4096).contains(&self.width) && (1..=4096).contains(&self.height),
            "browser.width and browser.height must be from 1 to 4096"
        );
        ensure_longer_than_nothing("browser.idle", self.idle)
    }
}

/// The key that seals credentials.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// 32 bytes in base64; empty: the key is in `key_file`.
    pub key: Secret,
    /// Empty means `vault.key` in `data`.
    pub key_file: PathBuf,
    /// Keys that were in use before; only needed until `parlour vault rotate` is through.
    pub former_keys: Vec<Secret>,
}

/// What an installation changes about a connector.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorSettings {
    /// Instead of the manifest's, without a trailing slash.
    pub base_url: String,
}

impl ConnectorSettings {
    /// `kind` is the connector's type.
    pub(super) fn validate(&mut self, kind: &str) -> anyhow::Result<()> {
        while self.base_url.ends_with('/') {
            self.base_url.pop();
        }
        let url = url::Url::parse(&self.base_url);
        anyhow::ensure!(
            url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()),
            "connectors.{kind}.base_url must begin with http:// or https://"
        );
        Ok(())
    }
}

/// Telling other programs what happened.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// How long one delivery may take.
    pub timeout: SignedDuration,
    /// A webhook whose deliveries have only failed for so long is switched off.
    pub disable_after: SignedDuration,
    /// How long delivered and given up deliveries are kept.
    pub keep: SignedDuration,
}

impl Webhooks {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure_longer_than_nothing("webhooks.timeout", self.timeout)?;
        ensure_longer_than_nothing("webhooks.disable_after", self.disable_after)?;
        ensure_longer_than_nothing("webhooks.keep", self.keep)
    }
}
