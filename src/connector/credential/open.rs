//! What a call names as its credential, opened for it and written down.

use serde_json::{Value, json};

use super::fields::auth_named;
use crate::connector::binding::{Binding, Opened};
use crate::connector::instance::object as instance_object;
use crate::connector::{Call, Connectors, Failure};
use crate::identity::permission::{Verb, authorize};
use crate::manifest::connector::Connector;
use crate::model::principal::Principal;
use crate::model::{Error, Kind};
use crate::store::audit::{Action, Deed, Doer};
use crate::store::credential::Credential;

/// A failure of ours as a call's failure: nothing was sent.
pub(in crate::connector) fn unsent(error: &Error) -> Failure {
    let retryable = matches!(error.kind, Kind::Unavailable | Kind::Internal);
    Failure { retryable, ..Failure::refused(&error.code.to_ascii_lowercase(), error.message.clone()) }
}

/// What a credential is opened for, as it is written down.
struct Use<'a> {
    principal: &'a Principal,
    action: &'a str,
    key: &'a str,
}

impl Connectors {
    /// Finds an instance or a credential, checks that it may be used, opens it.
    pub(in crate::connector) async fn binding(
        &self,
        connector: &Connector,
        reference: &str,
        call: &Call<'_>,
    ) -> Result<Binding, Failure> {
        let fault = |error: Error| unsent(&error);
        let instance = self.find_instance(call.principal, reference).await.map_err(fault)?;
        let (config, credential) = match instance {
            Some(instance) => {
                if instance.kind != connector.kind {
                    let message =
                        format!("'{reference}' is an instance of {}, not of {}", instance.kind, connector.kind);
                    return Err(Failure::refused("wrong_connector", message));
                }
                authorize(call.principal, Verb::Invoke, instance_object(&instance)).map_err(fault)?;
                let config: Value = serde_json::from_str(&instance.config).unwrap_or_else(|_| json!({}));
                let credential = match &instance.credential {
                    Some(id) => Some(self.credential(call.principal, id).await.map_err(fault)?),
                    None => None,
                };
                (config, credential)
            }
            None => (json!({}), Some(self.credential(call.principal, reference).await.map_err(fault)?)),
        };
        let Some(credential) = credential else { return Ok(Binding { config, credential: None }) };
        authorize(call.principal, Verb::Invoke, super::object(&credential)).map_err(fault)?;
        let use_of = Use { principal: call.principal, action: call.action, key: call.idempotency_key };
        let opened = self.open_for(connector, &credential, &use_of).await?;
        Ok(Binding { config, credential: Some(opened) })
    }

    /// Opens a credential for whoever signs in for it.
    pub(in crate::connector) async fn open_to_sign_in(
        &self,
        connector: &Connector,
        credential: &Credential,
        principal: &Principal,
    ) -> crate::model::Result<Opened> {
        let use_of = Use { principal, action: "sign_in", key: "" };
        let opened = self.open_for(connector, credential, &use_of).await;
        opened.map_err(|failure| Error::new(Kind::Invalid, "SIGN_IN_REFUSED", failure.message))
    }

    async fn open_for(
        &self,
        connector: &Connector,
        credential: &Credential,
        use_of: &Use<'_>,
    ) -> Result<Opened, Failure> {
        if credential.provider != connector.kind {
            let message =
                format!("credential '{}' is for {}, not for {}", credential.name, credential.provider, connector.kind);
            return Err(Failure::refused("wrong_credential", message));
        }
        let now = self.clock.now();
        if credential.expires_at.is_some_and(|at| at <= now) {
            let message = format!("credential '{}' has expired", credential.name);
            return Err(Failure::refused("credential_expired", message));
        }
        let principal = use_of.principal;
        let deed = Deed {
            at: now,
            action: Action::CredentialOpen,
            doer: Doer { principal: Some(principal.id.clone()), name: Some(principal.name.clone()), ..Doer::default() },
            target: Some(credential.id.clone()),
            details: json!({
                "name": credential.name, "connector": connector.kind, "action": use_of.action, "key": use_of.key
            }),
        };
        // Written down before it is opened, so that no opening is missing.
        self.store.use_credential(&credential.id, deed).await.map_err(|error| unsent(&error))?;
        let data = self.opened(&credential.id).await.map_err(|error| unsent(&error))?;
        let lost = || Failure::refused("credential_lost", format!("credential '{}' holds nothing", credential.name));
        let mut fields = data.ok_or_else(lost)?;
        let auth = auth_named(connector, &credential.kind, &fields).ok_or_else(|| {
            let message = format!("{} knows no credential of type {} any more", connector.name, credential.kind);
            Failure::refused("wrong_credential", message)
        })?;
        if let Value::Object(fields) = &mut fields {
            for field in &auth.fields {
                if let Some(default) = &field.default
                    && !fields.contains_key(&field.name)
                {
                    fields.insert(field.name.clone(), default.clone());
                }
            }
        }
        Ok(Opened {
            id: credential.id.clone(),
            name: credential.name.clone(),
            version: credential.version,
            auth: auth.id.clone(),
            fields,
            hosts: credential.hosts.clone(),
            is_own: credential.owner == principal.keeper(),
        })
    }
}
