//! Where people and groups are kept, and who may push them here.

use jiff::SignedDuration;
use serde::Deserialize;

use super::is_confidential;
use crate::model::secret::Secret;

/// Which directory keeps profiles and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DirectoryKind {
    Local,
    Scim,
    Zitadel,
}

impl DirectoryKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Scim => "scim",
            Self::Zitadel => "zitadel",
        }
    }
}

/// By what somebody who signed in is found at a SCIM server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DirectoryMatch {
    Subject,
    Username,
    Email,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    pub kind: DirectoryKind,
    /// Without a trailing slash.
    pub url: String,
    pub token: Secret,
    /// Zitadel's organization.
    pub organization: String,
    #[serde(rename = "match")]
    pub matching: DirectoryMatch,
    pub refresh: SignedDuration,
}

impl Directory {
    pub(super) fn validate(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.refresh > SignedDuration::ZERO, "directory.refresh must be longer than nothing");
        if self.kind == DirectoryKind::Local {
            return Ok(());
        }
        while self.url.ends_with('/') {
            self.url.pop();
        }
        anyhow::ensure!(!self.url.is_empty(), "directory.url is missing (directory.kind is {})", self.kind.as_str());
        anyhow::ensure!(
            is_confidential(&self.url),
            "directory.url must begin with https:// (http:// only for this machine)"
        );
        anyhow::ensure!(
            !self.token.is_empty(),
            "directory.token is missing (directory.kind is {})",
            self.kind.as_str()
        );
        Ok(())
    }
}

/// How a pushed user and a sign-in are found to be one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScimLink {
    ExternalId,
    UserName,
    Email,
    Off,
}

/// What a directory pushes here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scim {
    /// What opens the doors beside an administrator's key; empty: nothing else does.
    pub token: Secret,
    pub link: ScimLink,
    /// Whether only pushed users may sign in.
    pub required: bool,
}

impl Scim {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.token.is_empty() || self.token.expose().len() >= 16,
            "scim.token must have at least 16 characters"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides};

    #[test]
    fn a_directory_that_cannot_be_asked_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("parlour.toml");
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Config::load(Some(&file), &Overrides::default()).map_err(|error| error.to_string())
        };
        for (text, part) in [
            ("[directory]\nkind = \"ldap\"", "directory.kind"),
            ("[directory]\nkind = \"scim\"\ntoken = \"t\"", "directory.url is missing"),
            ("[directory]\nkind = \"scim\"\nurl = \"http://id.example.com\"\ntoken = \"t\"", "https://"),
            ("[directory]\nkind = \"zitadel\"\nurl = \"https://id.example.com\"", "directory.token is missing"),
            ("[directory]\nrefresh = \"0s\"", "directory.refresh"),
            ("[scim]\ntoken = \"short\"", "scim.token"),
            ("[scim]\nlink = \"phone\"", "scim.link"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let good = load("[directory]\nkind = \"scim\"\nurl = \"http://127.0.0.1:1/v2/\"\ntoken = \"hunter2\"").unwrap();
        assert_eq!(good.directory.url, "http://127.0.0.1:1/v2");
        assert!(!format!("{good:?}").contains("hunter2"));
    }
}
