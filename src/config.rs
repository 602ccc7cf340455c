//! Floor 1: the settings. `config.default.toml` is the default: the documented file is what is compiled in.

use std::path::PathBuf;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

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
    pub log: Log,
    pub session: Session,
    pub files: Files,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub idle: SignedDuration,
    pub absolute: SignedDuration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Of one file, in bytes.
    pub max_size: u64,
    /// Of one principal, in bytes.
    pub quota: u64,
    pub unused_for: SignedDuration,
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
        for (name, value) in [("idle", self.session.idle), ("absolute", self.session.absolute)] {
            anyhow::ensure!(value > SignedDuration::ZERO, "session.{name} must be longer than nothing");
        }
        anyhow::ensure!(self.files.max_size > 0, "files.max_size must be more than nothing");
        anyhow::ensure!(self.files.unused_for > SignedDuration::ZERO, "files.unused_for must be longer than nothing");
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

/// The environment also holds variables that begin like ours but are not settings (of tests, of build tools): only what
/// names a section or key of the default counts, and a wrong key inside a section is still an error.
fn is_setting(key: &str) -> bool {
    let first = key.split("__").next().unwrap_or_default();
    ["listen", "public_url", "data", "database", "bots", "log", "session", "files"]
        .iter()
        .any(|known| first.eq_ignore_ascii_case(known))
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
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::load(Some(&file), &Overrides::default()).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("parlour.toml"), "{error}");
        }
    }
}
