//! Service principals: programs that another issuer vouches for, enrolled here by their client id.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Caller, CredentialKind, Identity, SEEN_STEP, refused, token};
use crate::model::conversation::Millis;
use crate::model::grant::Reach;
use crate::model::id::new_id;
use crate::model::principal::Role;
use crate::model::{Error, Result};
use crate::store::audit::{Action, Deed, Doer};
use crate::store::service::{Service, unknown};

/// A service principal that somebody wants.
#[derive(Clone, Debug)]
pub struct ServiceWish {
    /// What people read.
    pub name: String,
    /// The issuer whose tokens it brings; none: the only one of the settings.
    pub issuer: Option<String>,
    /// What it is known by there.
    pub client_id: String,
    pub role: Role,
    pub groups: Vec<String>,
    pub scopes: Vec<Reach>,
}

impl Identity {
    /// Who brings this token of another issuer, if that is somebody who was enrolled.
    pub(super) async fn service(&self, text: &str) -> Result<Caller> {
        let (now, hash) = (self.clock.now(), token::hash(text));
        if let Some(caller) = self.remembered_key(&hash, now) {
            return Ok(caller);
        }
        let client = self.issuers.verify(text).await?;
        let Some(service) = self.store.service_of(&client.issuer, &client.client_id).await? else {
            tracing::warn!(issuer = client.issuer, client_id = client.client_id, "a service came that is not enrolled");
            return Err(refused());
        };
        if service.last_used_at.is_none_or(|at| now - at >= SEEN_STEP) {
            self.store.touch_service(&service.id, now).await?;
        }
        let caller = self.accept_service(&service, client.expires_at);
        self.remember_key(hash, now, &caller);
        Ok(caller)
    }

    fn accept_service(&self, service: &Service, expires_at: Millis) -> Caller {
        Caller {
            principal: Arc::new(self.store.service_principal(service)),
            credential_id: service.id.clone(),
            kind: CredentialKind::Service,
            created_at: service.created_at,
            expires_at: Some(expires_at),
            rates: Vec::new(),
        }
    }

    /// Looks again at the service behind a long connection, which lasts as long as the token it was opened with.
    pub(super) async fn renew_service(&self, caller: &Caller, now: Millis) -> Result<Caller> {
        let expires_at = caller.expires_at.filter(|at| now < *at).ok_or_else(refused)?;
        let service = self.store.service(&caller.credential_id).await?;
        let service = service.filter(|service| service.revoked_at.is_none()).ok_or_else(refused)?;
        Ok(self.accept_service(&service, expires_at))
    }

    /// Enrols a client of another issuer.
    pub async fn enrol_service(&self, wish: ServiceWish, doer: Doer) -> Result<Service> {
        let now = self.clock.now();
        let service = self.checked_service(wish, now)?;
        let roles: Vec<&str> = service.roles.iter().map(|role| role.as_str()).collect();
        let scopes: Vec<String> = service.scopes.iter().map(Reach::to_string).collect();
        let deed = Deed {
            at: now,
            action: Action::ServiceCreate,
            doer,
            target: Some(service.id.clone()),
            details: json!({
                "name": service.name, "issuer": service.issuer, "client_id": service.client_id, "roles": roles,
                "groups": service.groups, "scopes": scopes,
            }),
        };
        if self.store.enrol_service(service.clone(), deed).await? {
            return Ok(service);
        }
        Err(Error::conflict("SERVICE_EXISTS", "this client of this issuer is enrolled already; revoke it first"))
    }

    fn checked_service(&self, wish: ServiceWish, now: Millis) -> Result<Service> {
        let ServiceWish { name, issuer, client_id, role, groups, scopes } = wish;
        let wrong = |field: &str, message: String| Error::invalid(message).details(json!({ "field": field }));
        let issuer = match issuer.or_else(|| self.issuers.only().map(str::to_owned)) {
            Some(issuer) if self.issuers.knows(&issuer) => issuer,
            Some(issuer) => {
                let message = format!("{issuer:?} is none of the issuers in the settings (services.issuers)");
                return Err(wrong("issuer", message));
            }
            None => {
                let message = "name the issuer: the settings (services.issuers) have none, or several".to_owned();
                return Err(wrong("issuer", message));
            }
        };
        for (field, text) in [("name", &name), ("client_id", &client_id)] {
            if text.trim().is_empty() || text.chars().count() > 200 {
                return Err(wrong(field, format!("{field} has 1 to 200 characters")));
            }
        }
        if let Some(group) = groups.iter().find(|group| group.is_empty()) {
            return Err(wrong("groups", format!("{group:?} is no name of a group")));
        }
        if let Some(message) = scopes.iter().find_map(|scope| scope.check().err()) {
            return Err(wrong("scopes", message));
        }
        Ok(Service {
            id: new_id(),
            name: name.trim().to_owned(),
            issuer,
            client_id,
            roles: vec![role],
            groups,
            scopes,
            created_at: now,
            last_used_at: None,
            revoked_at: None,
        })
    }

    /// Ends a service principal for good. Its sockets are closed by who watches the audit log.
    pub async fn revoke_service(&self, id: &str, doer: Doer) -> Result<()> {
        let (at, target) = (self.clock.now(), Some(id.to_owned()));
        let deed = Deed { at, action: Action::ServiceRevoke, doer, target, details: Value::Null };
        let revoked = self.store.revoke_service(id, deed).await?;
        self.forget_key(id);
        if revoked { Ok(()) } else { Err(unknown(id)) }
    }

    /// The service principals that count.
    pub async fn services(&self) -> Result<Vec<Service>> {
        self.store.services().await
    }
}
