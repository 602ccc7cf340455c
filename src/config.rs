//! Floor 1: the settings. `config.default.toml` is the default: the documented file is what is compiled in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use ipnet::IpNet;
use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::place::Address;
use crate::model::principal::Role;
use crate::model::secret::Secret;

mod discord;
mod people;
mod rate_limits;
mod slack;

pub use discord::Discord;
pub use people::{Directory, DirectoryKind, DirectoryMatch, Scim, ScimLink};
pub use rate_limits::{Rate, RateLimits};
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
    pub vault: Vault,
    /// Folders with connectors.
    pub connector_dirs: Vec<PathBuf>,
    /// By type.
    pub connectors: BTreeMap<String, ConnectorSettings>,
    pub webhooks: Webhooks,
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
    /// How long before that it reminds, once; zero for never.
    pub reminder: SignedDuration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// How long what is over is kept: actions that cannot be taken any more, deliveries that have ended.
    pub ended: SignedDuration,
}

/// The company's directory that people sign in with; none while `issuer` is empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// Exactly as the directory writes it.
    pub issuer: String,
    pub client_id: String,
    /// Empty for a public client.
    pub client_secret: Secret,
    pub scopes: Vec<String>,
    /// A JSON pointer into the claims.
    pub roles_claim: String,
    /// What a value of the roles claim means here; empty means that the values are our roles' names.
    pub role_map: BTreeMap<String, Role>,
    /// A JSON pointer into the claims; empty for no groups.
    pub groups_claim: String,
    /// Of whoever the claim gives none.
    #[serde(deserialize_with = "role_or_none")]
    pub default_role: Option<Role>,
}

/// A role's name, or an empty text for none.
fn role_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Role>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let known = Role::parse(&text).map(Some);
    known.ok_or_else(|| serde::de::Error::custom(format!("there is no role {text:?}")))
}

/// Chats outside, whichever they are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outside {
    /// Of whoever has not linked their account; none: they are asked to.
    #[serde(deserialize_with = "role_or_none")]
    pub guest_role: Option<Role>,
    /// Destinations by the name of their group.
    pub groups: BTreeMap<String, Vec<String>>,
}

impl Outside {
    fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.guest_role != Some(Role::Admin), "outside.guest_role: a guest cannot be an administrator");
        for (name, destinations) in &self.groups {
            for destination in destinations {
                match Address::parse(destination) {
                    Ok(Address::Here | Address::Group(_)) => {
                        anyhow::bail!("outside.groups.{name}: \"{destination}\" cannot be a member of a group")
                    }
                    Ok(Address::User(_) | Address::Place(_)) => {}
                    Err(why) => anyhow::bail!("outside.groups.{name}: {why}"),
                }
            }
        }
        Ok(())
    }
}

/// Pages of other origins that may use the HTTP doors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins as browsers write them, or `*` alone for every page.
    pub allowed_origins: Vec<String>,
    /// Whether those pages may also use the cookie, as our own do.
    pub credentials: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// What opens `/metrics` beside an administrator's credential; empty: nothing else does.
    pub token: String,
}

/// Programs that come with tokens of other issuers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Services {
    pub issuers: Vec<Issuer>,
}

/// An issuer whose tokens enrolled programs may bring.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Exactly as it names itself.
    pub issuer: String,
    /// What its tokens for this server say in `aud`.
    pub audience: String,
    /// By which algorithms they may be signed; asymmetric ones only.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    /// The claims that may name the client; the first that is there counts.
    #[serde(default = "client_id_claims", deserialize_with = "one_or_many")]
    pub client_id_claim: Vec<String>,
}

/// Signatures that prove something: with a key of the issuer's own.
const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

fn algorithms() -> Vec<String> {
    ["RS256", "PS256", "ES256", "EdDSA"].map(str::to_owned).to_vec()
}

fn client_id_claims() -> Vec<String> {
    ["azp", "appid", "client_id"].map(str::to_owned).to_vec()
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

impl Services {
    fn validate(&self) -> anyhow::Result<()> {
        for Issuer { issuer, audience, algorithms, client_id_claim } in &self.issuers {
            anyhow::ensure!(
                is_confidential(issuer),
                "services.issuers: issuer {issuer:?} must begin with https:// (http:// only for this machine)"
            );
            anyhow::ensure!(!audience.is_empty(), "services.issuers: the audience of {issuer} is missing");
            anyhow::ensure!(
                !client_id_claim.is_empty(),
                "services.issuers: client_id_claim of {issuer} names no claim"
            );
            anyhow::ensure!(!algorithms.is_empty(), "services.issuers: algorithms of {issuer} are missing");
            for algorithm in algorithms {
                anyhow::ensure!(
                    ALGORITHMS.contains(&algorithm.as_str()),
                    "services.issuers: {algorithm:?} of {issuer} is none of {}",
                    ALGORITHMS.join(", ")
                );
            }
            anyhow::ensure!(
                self.issuers.iter().filter(|other| other.issuer == *issuer).count() == 1,
                "services.issuers: {issuer} is there twice"
            );
        }
        Ok(())
    }
}

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
        let durations = [
            ("session.idle", self.session.idle),
            ("session.absolute", self.session.absolute),
            ("dialogs.expires", self.dialogs.expires),
            ("retention.ended", self.retention.ended),
            ("flows.lease", self.flows.lease),
        ];
        for (name, value) in durations {
            anyhow::ensure!(value > SignedDuration::ZERO, "{name} must be longer than nothing");
        }
        anyhow::ensure!(
            self.dialogs.reminder >= SignedDuration::ZERO,
            "dialogs.reminder must not be less than nothing"
        );
        self.ws.validate()?;
        self.oidc.validate()?;
        self.slack.validate()?;
        self.discord.validate()?;
        self.outside.validate()?;
        self.directory.validate()?;
        self.scim.validate()?;
        self.cors.validate()?;
        self.services.validate()?;
        anyhow::ensure!(
            self.metrics.token.is_empty() || self.metrics.token.len() >= 16,
            "metrics.token must have at least 16 characters"
        );
        let durations = [
            ("fetch.timeout", self.fetch.timeout),
            ("webhooks.timeout", self.webhooks.timeout),
            ("webhooks.disable_after", self.webhooks.disable_after),
            ("webhooks.keep", self.webhooks.keep),
        ];
        for (name, value) in durations {
            anyhow::ensure!(value > SignedDuration::ZERO, "{name} must be longer than nothing");
        }
        for (kind, settings) in &mut self.connectors {
            while settings.base_url.ends_with('/') {
                settings.base_url.pop();
            }
            let url = url::Url::parse(&settings.base_url);
            anyhow::ensure!(
                url.is_ok_and(|url| matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.query().is_none()),
                "connectors.{kind}.base_url must begin with http:// or https://"
            );
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
        validate_origins("ws", &self.allowed_origins)
    }
}

impl Oidc {
    fn validate(&self) -> anyhow::Result<()> {
        if self.issuer.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(
            is_confidential(&self.issuer),
            "oidc.issuer must begin with https:// (http:// only for this machine)"
        );
        anyhow::ensure!(!self.client_id.is_empty(), "oidc.client_id is missing");
        for (name, pointer) in [("roles_claim", &self.roles_claim), ("groups_claim", &self.groups_claim)] {
            anyhow::ensure!(
                pointer.is_empty() || pointer.starts_with('/'),
                "oidc.{name} is a JSON pointer and begins with a slash, such as \"/roles\""
            );
        }
        Ok(())
    }
}

/// Whether nobody on the way can read what goes to this address: https, or this machine itself.
pub fn is_confidential(address: &str) -> bool {
    let Ok(url) = url::Url::parse(address) else { return false };
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

/// The same for the address of a socket: wss, or ws to this machine itself.
pub fn is_confidential_socket(address: &str) -> bool {
    match address.split_once("://") {
        Some(("wss", rest)) => is_confidential(&format!("https://{rest}")),
        Some(("ws", rest)) => is_confidential(&format!("http://{rest}")),
        _ => false,
    }
}

impl Cors {
    fn validate(&self) -> anyhow::Result<()> {
        if self.allowed_origins == ["*"] {
            anyhow::ensure!(
                !self.credentials,
                "cors.credentials needs origins by name in cors.allowed_origins, not \"*\""
            );
            return Ok(());
        }
        validate_origins("cors", &self.allowed_origins)
    }
}

fn validate_origins(section: &str, origins: &[String]) -> anyhow::Result<()> {
    for written in origins {
        let origin = origin(written);
        anyhow::ensure!(
            origin.as_deref() == Some(written),
            "{section}.allowed_origins: {written:?} is no origin; write it as browsers do, such as {:?}",
            origin.as_deref().unwrap_or("https://chat.example.com")
        );
    }
    Ok(())
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
    fn a_directory_is_asked_only_where_nobody_listens() {
        let oidc = Config::load(None, &Overrides::default()).unwrap().oidc;
        assert!(oidc.issuer.is_empty() && oidc.default_role.is_none() && oidc.validate().is_ok());
        let with = |issuer: &str| Oidc { issuer: issuer.to_owned(), client_id: "parlour".to_owned(), ..oidc.clone() };
        for good in ["https://id.example.com/realm", "http://localhost:1", "http://127.0.0.1:1/x", "http://[::1]:1"] {
            assert!(with(good).validate().is_ok(), "{good}");
        }
        for wrong in ["http://id.example.com", "http://localhost.example.com", "ftp://localhost", "id.example.com"] {
            assert!(with(wrong).validate().is_err(), "{wrong}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("parlour.toml");
        let text = "[oidc]\nclient_secret = \"s\"\nrole_map = { ops-admins = \"admin\" }\ndefault_role = \"readonly\"";
        std::fs::write(&file, text).unwrap();
        let written = Config::load(Some(&file), &Overrides::default()).unwrap().oidc;
        assert_eq!((written.role_map["ops-admins"], written.default_role), (Role::Admin, Some(Role::Readonly)));
        assert!(format!("{written:?}").contains("client_secret: [secret]"));
        let mut without = with("https://id.example.com");
        without.client_id.clear();
        assert!(without.validate().unwrap_err().to_string().contains("oidc.client_id"));
        let wrong = Oidc { roles_claim: "roles".to_owned(), ..with("https://id.example.com") };
        assert!(wrong.validate().unwrap_err().to_string().contains("oidc.roles_claim"));
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
