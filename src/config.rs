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
    pub ws: Ws,
    pub files: Files,
    pub dialogs: Dialogs,
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

/// Limits of the web socket; a limit of 0 is none.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ws {
    pub frames_per_second: u32,
    pub frames_burst: u32,
    pub subscriptions: usize,
    pub sockets_per_user: usize,
    pub refused_per_second: u32,
    pub refused_burst: u32,
    pub spare_loopback: bool,
    pub stalled_after: SignedDuration,
    /// Origins as browsers write them: scheme, host and a port that is not the scheme's own.
    pub allowed_origins: Vec<String>,
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

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialogs {
    /// How long a command waits for what it asked for.
    pub expires: SignedDuration,
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
        let durations = [
            ("session.idle", self.session.idle),
            ("session.absolute", self.session.absolute),
            ("dialogs.expires", self.dialogs.expires),
        ];
        for (name, value) in durations {
            anyhow::ensure!(value > SignedDuration::ZERO, "{name} must be longer than nothing");
        }
        self.ws.validate()?;
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

impl Ws {
    fn validate(&self) -> anyhow::Result<()> {
        for (name, rate, burst) in [
            ("frames", self.frames_per_second, self.frames_burst),
            ("refused", self.refused_per_second, self.refused_burst),
        ] {
            anyhow::ensure!(
                rate == 0 || burst > 0,
                "ws.{name}_burst must be at least 1 while ws.{name}_per_second counts"
            );
        }
        anyhow::ensure!(self.stalled_after > SignedDuration::ZERO, "ws.stalled_after must be longer than nothing");
        for written in &self.allowed_origins {
            let origin = origin(written);
            anyhow::ensure!(
                origin.as_deref() == Some(written),
                "ws.allowed_origins: {written:?} is no origin; write it as browsers do, such as {:?}",
                origin.as_deref().unwrap_or("https://chat.example.com")
            );
        }
        Ok(())
    }
}

/// The origin of an address as browsers write it: in lower case, without the scheme's own port. `None` for what has none.
pub fn origin(address: &str) -> Option<String> {
    let origin = url::Url::parse(address).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// The environment also holds variables that begin like ours but are not settings (of tests, of build tools): only what
/// names a section or key of the default counts, and a wrong key inside a section is still an error.
fn is_setting(key: &str) -> bool {
    let first = key.split("__").next().unwrap_or_default();
    ["listen", "public_url", "data", "database", "bots", "log", "session", "ws", "files", "dialogs"]
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
            ("[ws]\nframes_per_second = -1", "ws.frames_per_second"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::load(Some(&file), &Overrides::default()).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("parlour.toml"), "{error}");
        }
    }

    #[test]
    fn limits_that_cannot_be_meant_are_refused() {
        let ws = Config::load(None, &Overrides::default()).unwrap().ws;
        let wrong = |change: fn(&mut Ws)| {
            let mut ws = ws.clone();
            change(&mut ws);
            ws.validate().unwrap_err().to_string()
        };
        assert!(wrong(|ws| ws.frames_burst = 0).contains("ws.frames_burst"));
        assert!(wrong(|ws| ws.stalled_after = SignedDuration::ZERO).contains("ws.stalled_after"));
        for origin in ["*", "null", "chat.example.com", "https://chat.example.com/", "https://Chat.example.com"] {
            let mut ws = ws.clone();
            ws.allowed_origins = vec![origin.to_owned()];
            assert!(ws.validate().unwrap_err().to_string().contains("https://chat.example.com"), "{origin}");
        }
        let mut off = ws.clone();
        (off.frames_per_second, off.frames_burst) = (0, 0);
        off.allowed_origins = vec!["http://localhost:5173".to_owned()];
        assert!(off.validate().is_ok());
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for (address, expected) in [
            ("https://Parlour.Example.com:443/chat/", Some("https://parlour.example.com")),
            ("http://[::1]:7710", Some("http://[::1]:7710")),
            ("file:///tmp", None),
        ] {
            assert_eq!(origin(address).as_deref(), expected);
        }
    }
}
