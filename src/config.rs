//! Floor 1: the settings. `config.default.toml` is the default: the documented file is what is compiled in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use ipnet::IpNet;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

mod address;
mod automation;
mod chats;
mod discord;
mod people;
mod rate_limits;
mod server;
mod services;
mod shipped;
mod sign_in;
mod slack;

pub use address::{is_confidential, is_confidential_socket, origin};
pub use automation::{Artifacts, Browser, ConnectorSettings, Fetch, Flows, Vault, Webhooks};
pub use chats::{Dialogs, Files, Outside, Retention};
pub use discord::Discord;
pub use people::{Directory, DirectoryKind, DirectoryMatch, Scim, ScimLink};
pub use rate_limits::{Rate, RateLimits};
pub use server::{Cors, Log, LogFormat, Metrics, Ws};
pub use services::{Issuer, Services};
pub use sign_in::{Oidc, Session};
pub use slack::Slack;

/// The documented default settings.
pub const DEFAULT: &str = include_str!("config.default.toml");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `address:port`; port 0 takes a free one.
    pub listen: String,
    /// Without a trailing slash; empty means the address listened on.
    pub public_url: String,
    pub data: PathBuf,
    /// A PostgreSQL URL or a SQLite path; empty means `parlour.db` in `data`.
    pub database: String,
    pub bots: Vec<PathBuf>,
    /// Folders with playbooks.
    pub playbooks: Vec<PathBuf>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub log: Log,
    pub session: Session,
    pub ws: Ws,
    pub files: Files,
    pub dialogs: Dialogs,
    pub retention: Retention,
    pub flows: Flows,
    pub oidc: Oidc,
    pub outside: Outside,
    pub slack: Slack,
    pub discord: Discord,
    pub directory: Directory,
    pub scim: Scim,
    pub rate_limits: RateLimits,
    pub cors: Cors,
    pub metrics: Metrics,
    pub services: Services,
    pub fetch: Fetch,
    pub browser: Browser,
    pub artifacts: Artifacts,
    pub vault: Vault,
    /// Folders with connectors.
    pub connector_dirs: Vec<PathBuf>,
    /// By type.
    pub connectors: BTreeMap<String, ConnectorSettings>,
    pub webhooks: Webhooks,
}

/// What the command line says; only what was given overrides.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Overrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bots: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub playbooks: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connector_dirs: Vec<PathBuf>,
}

impl Config {
    /// The default, then the file, then the environment, then the command line. Errors name the key and its source.
    pub fn load(file: Option<&std::path::Path>, overrides: &Overrides) -> anyhow::Result<Self> {
        let mut figment = Figment::from(Toml::string(DEFAULT));
        if let Some(file) = file {
            anyhow::ensure!(file.is_file(), "there is no settings file {}", file.display());
            figment = figment.merge(Toml::file_exact(file));
        }
        let config: Self = figment
            .merge(Env::prefixed("PARLOUR_").filter(|key| is_setting(key.as_str())).split("__"))
            .merge(Serialized::defaults(overrides))
            .extract()
            .map_err(|error| anyhow::anyhow!("{}", describe(&error)))?;
        config.validated()
    }

    fn validated(mut self) -> anyhow::Result<Self> {
        while self.public_url.ends_with('/') {
            self.public_url.pop();
        }
        anyhow::ensure!(
            self.public_url.is_empty()
                || self.public_url.starts_with("http://")
                || self.public_url.starts_with("https://"),
            "public_url must begin with http:// or https://"
        );
        self.session.validate()?;
        self.ws.validate()?;
        self.files.validate()?;
        self.dialogs.validate()?;
        self.retention.validate()?;
        self.flows.validate()?;
        self.oidc.validate()?;
        self.outside.validate()?;
        self.slack.validate()?;
        self.discord.validate()?;
        self.directory.validate()?;
        self.scim.validate()?;
        self.cors.validate()?;
        self.metrics.validate()?;
        self.services.validate()?;
        self.fetch.validate()?;
        self.browser.validate()?;
        self.artifacts.validate()?;
        self.webhooks.validate()?;
        for (kind, settings) in &mut self.connectors {
            settings.validate(kind)?;
        }
        Ok(self)
    }

    /// The database to open.
    pub fn database_target(&self) -> String {
        if self.database.is_empty() {
            self.data.join("parlour.db").to_string_lossy().into_owned()
        } else {
            self.database.clone()
        }
    }
}

/// A length of time that `name` sets must be more than none.
fn ensure_longer_than_nothing(name: &str, value: SignedDuration) -> anyhow::Result<()> {
    anyhow::ensure!(value > SignedDuration::ZERO, "{name} must be longer than nothing");
    Ok(())
}

/// The environment also holds variables that begin like ours but are not settings (of tests, of build tools): only what
/// names a section or key of the default counts, and a wrong key inside a section is still an error.
fn is_setting(key: &str) -> bool {
    let first = key.split("__").next().unwrap_or_default();
    const KNOWN: &[&str] = &[
        "listen",
        "public_url",
        "data",
        "database",
        "bots",
        "playbooks",
        "flows",
        "trusted_proxies",
        "log",
        "session",
        "ws",
        "files",
        "dialogs",
        "retention",
        "oidc",
        "outside",
        "slack",
        "discord",
        "directory",
        "scim",
        "rate_limits",
        "cors",
        "metrics",
        "services",
        "fetch",
        "browser",
        "artifacts",
        "vault",
        "connector_dirs",
        "connectors",
        "webhooks",
    ];
    KNOWN.iter().any(|known| first.eq_ignore_ascii_case(known))
}

fn describe(error: &figment::Error) -> String {
    let mut lines = error.clone().into_iter().map(|one| {
        let place = one.metadata.as_ref().map(|metadata| match &metadata.source {
            Some(source) => format!(" in {source}"),
            None => format!(" in {}", metadata.name),
        });
        let key = if one.path.is_empty() { String::new() } else { format!(" for {}", one.path.join(".")) };
        format!("{}{key}{}", one.kind, place.unwrap_or_default())
    });
    let first = lines.next().unwrap_or_default();
    lines.fold(first, |text, line| format!("{text}\n{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_is_the_default_and_the_command_line_wins() {
        let config = Config::load(None, &Overrides::default()).unwrap();
        assert_eq!((config.listen.as_str(), config.session.idle), ("127.0.0.1:7710", SignedDuration::from_hours(8)));
        assert_eq!(config.database_target(), "data/parlour.db");
        let overrides = Overrides { listen: Some("127.0.0.1:0".into()), ..Overrides::default() };
        assert_eq!(Config::load(None, &overrides).unwrap().listen, "127.0.0.1:0");
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("parlour.toml");
        for (text, part) in [
            ("lisen = \"x\"", "lisen"),
            ("[log]\nformat = \"xml\"", "log.format"),
            ("[session]\nidle = \"soon\"", "session.idle"),
            ("[ws]\nframes_per_second = -1", "ws.frames_per_second"),
            ("[oidc]\ndefault_role = \"root\"", "oidc.default_role"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::load(Some(&file), &Overrides::default()).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("parlour.toml"), "{error}");
        }
    }
}
