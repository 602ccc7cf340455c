//! Signing in: how long it lasts, and the company's directory that people sign in with.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer};

use super::{ensure_longer_than_nothing, is_confidential};
use crate::model::principal::Role;
use crate::model::secret::Secret;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub idle: SignedDuration,
    pub absolute: SignedDuration,
}

impl Session {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure_longer_than_nothing("session.idle", self.idle)?;
        ensure_longer_than_nothing("session.absolute", self.absolute)
    }
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

impl Oidc {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
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

/// A role's name, or an empty text for none.
pub(super) fn role_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Role>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let known = Role::parse(&text).map(Some);
    known.ok_or_else(|| serde::de::Error::custom(format!("there is no role {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides};
    use super::*;

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
}
