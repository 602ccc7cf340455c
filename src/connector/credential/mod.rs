//! Credentials: checked against the connector they are for, sealed, used by who may use them.

mod fields;
mod open;

pub(super) use open::unsent;

use serde_json::{Value, json};

use super::Connectors;
use crate::identity::permission::{Object, Verb, authorize, decide, unknown_resource};
use crate::model::conversation::Millis;
use crate::model::grant::ResourceKind;
use crate::model::id::new_id;
use crate::model::principal::{Principal, Role};
use crate::model::{Error, Result};
use crate::store::audit::{Action, Deed, Doer};
use crate::store::credential::{Credential, sealed_owner};
use crate::store::credential_token::TokenChange;
use crate::store::vault::KEY_RETIRED;

/// The field that a credential's secrets are sealed in.
const DATA: &str = "data";

/// How often something is sealed anew whose key was changed meanwhile.
const TRIES: usize = 5;

/// The longest name and description, in characters.
const LONGEST_NAME: usize = 100;
const LONGEST_DESCRIPTION: usize = 500;

/// A credential as somebody writes it. On a change, what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct CredentialWish {
    pub name: Option<String>,
    pub description: Option<String>,
    /// One of the connector's ways to sign in.
    pub kind: Option<String>,
    /// The connector's type.
    pub provider: Option<String>,
    /// A JSON object with the connector's fields.
    pub data: Option<Value>,
    /// `hosts` in it are those the credential is bound to.
    pub metadata: Option<Value>,
    pub expires_at: Option<Option<Millis>>,
}

fn wrong(field: &str, message: impl Into<String>) -> Error {
    Error::new(crate::model::Kind::Invalid, "VALIDATION_ERROR", message).details(json!({ "field": field }))
}

pub(in crate::connector) fn object(credential: &Credential) -> Object<'_> {
    Object::Resource { kind: ResourceKind::Credential, name: &credential.name, owner: Some(&credential.owner) }
}

/// Whether somebody makes things of their own.
pub(super) fn may_make(principal: &Principal) -> Result<()> {
    if principal.is_admin() || principal.has_role(Role::User) {
        return Ok(());
    }
    Err(Error::forbidden("Access denied: needs role user"))
}

impl Connectors {
    /// Keeps a new credential for whoever makes it.
    pub async fn create_credential(
        &self,
        principal: &Principal,
        wish: CredentialWish,
        doer: Doer,
    ) -> Result<Credential> {
        may_make(principal)?;
        let now = self.clock.now();
        let blank = Credential {
            id: new_id(),
            owner: principal.keeper().to_owned(),
            name: String::new(),
            description: String::new(),
            kind: String::new(),
            provider: String::new(),
            fields: "{}".to_owned(),
            hosts: Vec::new(),
            metadata: "{}".to_owned(),
            version: 0,
            created_at: now,
            updated_at: now,
            last_used_at: None,
            expires_at: None,
        };
        for (field, is_missing) in [
            ("name", wish.name.is_none()),
            ("type", wish.kind.is_none()),
            ("provider", wish.provider.is_none()),
            ("data", wish.data.is_none()),
        ] {
            if is_missing {
                return Err(wrong(field, format!("\"{field}\" is missing")));
            }
        }
        self.put_credential(blank, wish, None, doer).await
    }

    /// Changes a credential; what is not written stays.
    pub async fn update_credential(
        &self,
        principal: &Principal,
        id: &str,
        wish: CredentialWish,
        doer: Doer,
    ) -> Result<Credential> {
        let before = self.credential(principal, id).await?;
        authorize(principal, Verb::Manage, object(&before))?;
        let version = before.version;
        self.put_credential(before, wish, Some(version), doer).await
    }

    async fn put_credential(
        &self,
        mut credential: Credential,
        wish: CredentialWish,
        before: Option<i64>,
        doer: Doer,
    ) -> Result<Credential> {
        let now = self.clock.now();
        if let Some(name) = wish.name {
            credential.name = line("name", &name, LONGEST_NAME)?;
        }
        if let Some(description) = wish.description {
            if description.chars().count() > LONGEST_DESCRIPTION {
                return Err(wrong(
                    "description",
                    format!("a description has at most {LONGEST_DESCRIPTION} characters"),
                ));
            }
            credential.description = description;
        }
        if let Some(expires_at) = wish.expires_at {
            if expires_at.is_some_and(|at| at <= now) {
                return Err(wrong("expires_at", "that time is over"));
            }
            credential.expires_at = expires_at;
        }
        if let Some(metadata) = &wish.metadata {
            if !metadata.is_object() || metadata.to_string().len() > 16 * 1024 {
                return Err(wrong("metadata", "metadata is a map of at most 16 KiB"));
            }
            credential.metadata = metadata.to_string();
        }
        let is_other = wish.kind.as_ref().is_some_and(|kind| *kind != credential.kind)
            || wish.provider.as_ref().is_some_and(|provider| *provider != credential.provider);
        if is_other && wish.data.is_none() {
            return Err(wrong("data", "another type or provider needs its \"data\""));
        }
        credential.kind = wish.kind.unwrap_or(credential.kind);
        credential.provider = wish.provider.unwrap_or(credential.provider);
        // The hosts follow from metadata and data together, so both are looked at when either changes.
        let has_new_data = wish.data.is_some();
        let data = match wish.data {
            Some(data) => Some(data),
            None if wish.metadata.is_some() => self.opened(&credential.id).await?,
            None => None,
        };
        let parts = data.map(|data| self.parts(&credential, data)).transpose()?;
        if let Some(parts) = &parts {
            credential.fields = Value::Object(parts.public.clone()).to_string();
            credential.hosts.clone_from(&parts.hosts);
        }
        // A token that was got with other data is void.
        let token = match &parts {
            Some(parts) if has_new_data && parts.needs_sign_in => TokenChange::Need,
            Some(_) if has_new_data => TokenChange::Drop,
            _ => TokenChange::Keep,
        };
        credential.version += 1;
        credential.updated_at = now;
        let deed = Deed {
            at: now,
            action: if before.is_some() { Action::CredentialChange } else { Action::CredentialCreate },
            doer,
            target: Some(credential.id.clone()),
            details: json!({ "name": credential.name, "type": credential.kind, "provider": credential.provider }),
        };
        for _ in 0..TRIES {
            let sealed = match &parts {
                Some(parts) => Some(self.vault.seal(&sealed_owner(&credential.id), DATA, &parts.sealable()?).await?),
                None => None,
            };
            let (row, deed) = (credential.clone(), deed.clone());
            let kept = match (before, sealed) {
                (None, Some(sealed)) => self.store.insert_credential(row, sealed, token, deed).await,
                (Some(version), sealed) => self.store.update_credential(row, version, sealed, token, deed).await,
                (None, None) => return Err(wrong("data", "\"data\" is missing")),
            };
            match kept {
                Ok(()) => return Ok(credential),
                Err(error) if error.code == KEY_RETIRED => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::unavailable("the vault is being changed; try again"))
    }

    /// The credentials that somebody may know of, by name.
    pub async fn credentials(&self, principal: &Principal) -> Result<Vec<Credential>> {
        let mut all = self.store.credentials(None).await?;
        // Databases do not agree on the order of letters.
        all.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(all.into_iter().filter(|one| decide(principal, Verb::View, object(one)).allowed).collect())
    }

    /// A credential by its id, or else by its name.
    pub async fn credential(&self, principal: &Principal, reference: &str) -> Result<Credential> {
        let seen = |one: &Credential| decide(principal, Verb::View, object(one)).allowed;
        if let Some(found) = self.store.credential(reference).await?.filter(seen) {
            return Ok(found);
        }
        let mut named: Vec<Credential> =
            self.store.credentials_named(reference).await?.into_iter().filter(seen).collect();
        if let Some(own) = named.iter().position(|one| one.owner == principal.keeper()) {
            return Ok(named.swap_remove(own));
        }
        match named.len() {
            0 => Err(unknown_resource(ResourceKind::Credential, reference)),
            1 => Ok(named.swap_remove(0)),
            _ => {
                let message = format!("several credentials are named '{reference}'; give the id of one");
                Err(Error::conflict("CREDENTIAL_AMBIGUOUS", message))
            }
        }
    }

    pub async fn delete_credential(&self, principal: &Principal, reference: &str, doer: Doer) -> Result<Credential> {
        let credential = self.credential(principal, reference).await?;
        authorize(principal, Verb::Manage, object(&credential))?;
        let deed = Deed {
            at: self.clock.now(),
            action: Action::CredentialDelete,
            doer,
            target: Some(credential.id.clone()),
            details: json!({ "name": credential.name, "provider": credential.provider }),
        };
        match self.store.delete_credential(&credential.id, deed).await? {
            true => Ok(credential),
            false => Err(unknown_resource(ResourceKind::Credential, reference)),
        }
    }

    /// Every credential with all that is secret in it, for an export.
    pub async fn export(&self) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        for credential in self.store.credentials(None).await? {
            let data = self.opened(&credential.id).await?.unwrap_or_default();
            let metadata: Value = serde_json::from_str(&credential.metadata).unwrap_or_default();
            all.push(json!({
                "name": credential.name, "description": credential.description, "type": credential.kind,
                "provider": credential.provider, "data": data, "metadata": metadata, "expires_at": credential.expires_at,
            }));
        }
        Ok(all)
    }

    /// What is sealed of a credential.
    async fn opened(&self, id: &str) -> Result<Option<Value>> {
        let opened = self.vault.open_value(&sealed_owner(id), DATA).await?;
        opened
            .map(|bytes| serde_json::from_slice(&bytes).map_err(|error| Error::internal("read a credential", error)))
            .transpose()
    }
}

/// One line of text that somebody reads.
pub(super) fn line(field: &str, text: &str, longest: usize) -> Result<String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
        return Err(wrong(field, format!("\"{field}\" is one line of 1 to {longest} characters")));
    }
    Ok(text.to_owned())
}
