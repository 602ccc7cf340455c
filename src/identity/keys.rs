//! API keys: made, listed, revoked. A key can do no more than who made it, then and later.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::permission::{Object, Verb, authorize};
use super::token::{self, TokenKind};
use super::{Caller, CredentialKind, Identity, refused};
use crate::config::Rate;
use crate::model::conversation::Millis;
use crate::model::grant::{Grants, Reach};
use crate::model::id::new_id;
use crate::model::name::is_bot_name;
use crate::model::principal::{Principal, PrincipalKind, Role};
use crate::model::{Error, Result};
use crate::store::Store;
use crate::store::api_key::{ApiKey, OwnedKey};
use crate::store::audit::{Action, Deed, Doer};

/// Scopes of one key.
const MOST_SCOPES: usize = 50;

/// A key that somebody wants.
#[derive(Clone, Debug)]
pub struct KeyWish {
    pub name: String,
    pub role: Role,
    pub groups: Vec<String>,
    /// The bots whose commands a process with this key may do.
    pub serves: Vec<String>,
    pub expires_at: Option<Millis>,
    /// Limits of its own instead of those of the settings.
    pub rates: Vec<Rate>,
    /// All that it is for; empty: whatever its role may.
    pub scopes: Vec<Reach>,
}

impl KeyWish {
    /// A key with nothing but a name and a role.
    pub fn plain(name: String, role: Role) -> Self {
        let (groups, serves, rates, scopes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { name, role, groups, serves, expires_at: None, rates, scopes }
    }
}

/// The caller that a key stands for now: its rights are those of the key, as far as its owner still has them.
pub(super) fn accept(OwnedKey { key, owner }: &OwnedKey, grants: &Grants, now: Millis) -> Result<Caller> {
    if key.revoked_at.is_some() || key.expires_at.is_some_and(|at| at <= now) {
        return Err(refused());
    }
    let mut principal = key.principal(grants);
    if key.owner.is_some() {
        let owner = owner.as_ref().ok_or_else(refused)?;
        principal.roles.retain(|role| covers(&owner.roles, *role));
        let is_admin = owner.roles.contains(&Role::Admin);
        principal.groups.retain(|group| is_admin || owner.groups.contains(group));
        // Only administrators hand that out.
        principal.serves.retain(|_| is_admin);
        principal.rights.owner = Some(Arc::new(owner.clone()));
    }
    let rates = key.rates.as_deref().unwrap_or_default().split(',').filter_map(|rate| rate.parse().ok());
    Ok(Caller {
        principal: Arc::new(principal),
        credential_id: key.id.clone(),
        kind: CredentialKind::ApiKey,
        created_at: key.created_at,
        expires_at: key.expires_at,
        rates: rates.collect(),
    })
}

/// Whether who has these roles may give that one to a key: their own, and to look where they may act.
pub(super) fn covers(roles: &[Role], role: Role) -> bool {
    roles.contains(&Role::Admin)
        || roles.contains(&role)
        || (role == Role::Readonly && roles.iter().any(|own| matches!(own, Role::User | Role::Executor)))
}

fn checked(wish: KeyWish, now: Millis) -> Result<ApiKey> {
    let KeyWish { name, role, groups, serves, expires_at, rates, scopes } = wish;
    let wrong = |field: &str, message: String| Err(Error::invalid(message).details(json!({ "field": field })));
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 {
        return wrong("name", "a key's name has 1 to 100 characters".to_owned());
    }
    if expires_at.is_some_and(|at| at <= now) {
        return wrong("expires_at", "the key would have expired already".to_owned());
    }
    if let Some(group) = groups.iter().find(|group| group.is_empty() || group.contains(',')) {
        return wrong("groups", format!("{group:?} is no name of a group"));
    }
    if let Some(bot) = serves.iter().find(|name| !is_bot_name(name)) {
        return wrong("serves", format!("'{bot}' cannot name a bot"));
    }
    if !serves.is_empty() && role == Role::Readonly {
        return wrong("serves", "a key that serves a bot acts; role readonly may only look".to_owned());
    }
    if scopes.len() > MOST_SCOPES {
        return wrong("scopes", format!("a key has at most {MOST_SCOPES} scopes"));
    }
    if let Some(message) = scopes.iter().find_map(|scope| scope.check().err()) {
        return wrong("scopes", message);
    }
    let rates: Vec<String> = rates.iter().map(Rate::to_string).collect();
    Ok(ApiKey {
        id: new_id(),
        name: name.to_owned(),
        roles: vec![role],
        groups,
        serves,
        created_at: now,
        expires_at,
        last_used_at: None,
        revoked_at: None,
        owner: None,
        rates: (!rates.is_empty()).then(|| rates.join(",")),
        scopes,
    })
}

/// What the audit log keeps of a key.
fn described(key: &ApiKey) -> Value {
    let roles: Vec<&str> = key.roles.iter().map(|role| role.as_str()).collect();
    let scopes: Vec<String> = key.scopes.iter().map(Reach::to_string).collect();
    json!({
        "scopes": scopes, "name": key.name, "roles": roles, "groups": key.groups, "serves": key.serves, "owner": key.owner,
        "expires_at": key.expires_at.map(crate::clock::rfc3339), "rate_limits": key.rates,
    })
}

pub(super) fn unknown(id: &str) -> Error {
    Error::not_found("there is no such key").details(json!({ "key_id": id }))
}

impl Identity {
    /// Makes a key of the installation's own, as the command line does; the token is shown this once.
    pub async fn create_key(
        &self,
        name: &str,
        role: Role,
        groups: Vec<String>,
        serves: Vec<String>,
        expires_at: Option<Millis>,
    ) -> Result<(String, ApiKey)> {
        let (rates, scopes) = (Vec::new(), Vec::new());
        self.make_key(KeyWish { name: name.to_owned(), role, groups, serves, expires_at, rates, scopes }).await
    }

    /// The same with everything a key can have.
    pub async fn make_key(&self, wish: KeyWish) -> Result<(String, ApiKey)> {
        let key = checked(wish, self.clock.now())?;
        let doer = Doer { name: Some("command line".to_owned()), ..Doer::default() };
        self.keep(key, doer).await
    }

    /// Makes a key for the caller, within what they may do themselves; the token is shown this once.
    pub async fn issue_key(&self, caller: &Caller, wish: KeyWish, doer: Doer) -> Result<(String, ApiKey)> {
        let object = Object::NewKey {
            kind: caller.kind,
            role: wish.role,
            groups: &wish.groups,
            special: !wish.rates.is_empty() || !wish.serves.is_empty(),
        };
        authorize(&caller.principal, Verb::Manage, object)?;
        let mut key = checked(wish, self.clock.now())?;
        key.owner = match caller.kind {
            CredentialKind::Login => Some(caller.principal.id.clone()),
            // What a key makes belongs to whom the key belongs to.
            CredentialKind::ApiKey => {
                self.store.api_key_by_id(&caller.credential_id).await?.and_then(|made_by| made_by.key.owner)
            }
            CredentialKind::Service => None,
        };
        self.keep(key, doer).await
    }

    /// Makes the key that the caller asked for in a conversation, where they got an address that opens once.
    pub async fn take_offer(&self, caller: &Caller, offer: &str, doer: Doer) -> Result<(String, ApiKey)> {
        let Some(wish) = self.offered(caller, offer, true).await? else { return Err(no_offer()) };
        self.issue_key(caller, wish, doer).await
    }

    /// The name of the key that an address of the caller's stands for.
    pub async fn offered_name(&self, caller: &Caller, offer: &str) -> Result<String> {
        self.offered(caller, offer, false).await?.map(|wish| wish.name).ok_or_else(no_offer)
    }

    async fn offered(&self, caller: &Caller, offer: &str, take: bool) -> Result<Option<KeyWish>> {
        if caller.kind != CredentialKind::Login || token::kind(offer) != Some(TokenKind::KeyOffer) {
            return Ok(None);
        }
        let (hash, now) = (token::hash(offer), self.clock.now());
        let Some(wish) = self.store.key_offer(hash, &caller.principal.id, now, take).await? else { return Ok(None) };
        let unreadable = |error| Error::internal("read a wish for a key", error);
        let Wish { name, role, expires_at } = serde_json::from_str(&wish).map_err(unreadable)?;
        Ok(Some(KeyWish { expires_at, ..KeyWish::plain(name, role) }))
    }

    async fn keep(&self, key: ApiKey, doer: Doer) -> Result<(String, ApiKey)> {
        let token = token::make(TokenKind::ApiKey)?;
        let deed = Deed {
            at: key.created_at,
            action: Action::KeyCreate,
            doer,
            target: Some(key.id.clone()),
            details: described(&key),
        };
        self.store.insert_api_key(key.clone(), token::hash(&token), deed).await?;
        Ok((token, key))
    }

    /// Keys that count or have expired, newest first: all of them for an administrator, else one's own. `before` is the
    /// id of the last one known.
    pub async fn keys(&self, principal: &Principal, before: Option<&str>, limit: i64) -> Result<Vec<ApiKey>> {
        let owner = (!principal.is_admin()).then_some(principal.id.as_str());
        self.store.api_keys(owner, before, limit).await
    }

    /// What the user, service or key of this id may do now; `None` when there is none that counts.
    pub async fn principal(&self, id: &str) -> Result<Option<Principal>> {
        principal_now(&self.store, id, self.clock.now()).await
    }

    /// Every key of the installation that was not revoked, newest first.
    pub async fn all_keys(&self) -> Result<Vec<ApiKey>> {
        self.store.api_keys(None, None, i64::MAX).await
    }

    /// Revokes a key for good. Its sockets are closed by who watches the audit log.
    pub async fn revoke_key(&self, principal: &Principal, id: &str, doer: Doer) -> Result<()> {
        let revoked = revoke(&self.store, principal, id, doer, self.clock.now()).await;
        self.forget_key(id);
        revoked
    }

    /// Revokes a key without asking whether anybody may: for the command line.
    pub async fn end_key(&self, id: &str, doer: Doer) -> Result<()> {
        let ended = end(&self.store, id, doer, self.clock.now()).await;
        self.forget_key(id);
        ended
    }
}

/// What the user, service or key of this id may do at that moment; `None` when there is none that counts.
pub async fn principal_now(store: &Store, id: &str, now: Millis) -> Result<Option<Principal>> {
    if let Some(user) = store.user(id).await? {
        return Ok(Some(user));
    }
    if let Some(service) = store.service(id).await? {
        return Ok(service.revoked_at.is_none().then(|| store.service_principal(&service)));
    }
    let key = store.api_key_by_id(id).await?;
    let caller = key.and_then(|key| accept(&key, store.grants(), now).ok());
    Ok(caller.map(|caller| Principal::clone(&caller.principal)))
}

/// Revokes a key for good, where nothing is remembered of keys.
pub async fn revoke(store: &Store, principal: &Principal, id: &str, doer: Doer, now: Millis) -> Result<()> {
    let OwnedKey { key, .. } = store.api_key_by_id(id).await?.ok_or_else(|| unknown(id))?;
    authorize(principal, Verb::Manage, Object::Key { id, owner: key.owner.as_deref() })?;
    end(store, id, doer, now).await
}

async fn end(store: &Store, id: &str, doer: Doer, at: Millis) -> Result<()> {
    let deed = Deed { at, action: Action::KeyRevoke, doer, target: Some(id.to_owned()), details: Value::Null };
    if store.revoke_api_key(id, deed).await? { Ok(()) } else { Err(unknown(id)) }
}

/// What is kept of a key that somebody asked for in a conversation.
#[derive(Serialize, Deserialize)]
struct Wish {
    name: String,
    role: Role,
    expires_at: Option<Millis>,
}

fn no_offer() -> Error {
    Error::not_found("this link was used already, has expired or is not yours; say `key create` again")
}

/// How long the address at which a key is taken stays open.
const OFFER_LIFE: Millis = 15 * 60 * 1000;

/// Keeps a wish for a key; answers the token of the address at which its owner, signed in, takes the key. Nothing secret
/// is made before.
pub async fn offer(store: &Store, principal: &Principal, wish: KeyWish, now: Millis) -> Result<String> {
    let kind = match principal.kind {
        PrincipalKind::User => CredentialKind::Login,
        PrincipalKind::Key | PrincipalKind::Service | PrincipalKind::Guest => CredentialKind::ApiKey,
    };
    let object = Object::NewKey { kind, role: wish.role, groups: &wish.groups, special: false };
    authorize(principal, Verb::Manage, object)?;
    let ApiKey { name, expires_at, .. } = checked(wish.clone(), now)?;
    let kept = serde_json::to_string(&Wish { name, role: wish.role, expires_at });
    let kept = kept.map_err(|error| Error::internal("write a wish for a key", error))?;
    let token = token::make(TokenKind::KeyOffer)?;
    store.offer_key(token::hash(&token), &principal.id, kept, now + OFFER_LIFE).await?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::principal::Owner;

    #[test]
    fn a_key_never_does_more_than_its_owner_does_now() {
        use Role::{Admin, Executor, Readonly, User};
        let key = |roles: &[Role], groups: &[&str]| {
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            let wish = KeyWish {
                name: "k".into(),
                role: User,
                groups,
                serves: vec![],
                expires_at: Some(2000),
                rates: vec![],
                scopes: vec![],
            };
            ApiKey { roles: roles.to_vec(), owner: Some("u".into()), ..checked(wish, 1000).unwrap() }
        };
        let owner = |roles: &[Role], groups: &[&str]| {
            Some(Owner {
                id: "u".into(),
                roles: roles.to_vec(),
                groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            })
        };
        for (has, owner, roles, groups) in [
            (key(&[Admin], &["sre"]), owner(&[Admin], &[]), vec![Admin], vec!["sre"]),
            (key(&[Admin], &["sre"]), owner(&[User], &["dev"]), vec![], vec![]),
            (key(&[User], &["sre", "dev"]), owner(&[User], &["dev"]), vec![User], vec!["dev"]),
            (key(&[Readonly], &[]), owner(&[User], &[]), vec![Readonly], vec![]),
            (key(&[Executor], &[]), owner(&[User], &[]), vec![], vec![]),
            (key(&[User], &[]), owner(&[], &[]), vec![], vec![]),
        ] {
            let caller = accept(&OwnedKey { key: has, owner }, &Grants::default(), 1999).unwrap();
            assert_eq!(
                (&caller.principal.roles, &caller.principal.groups),
                (&roles, &groups.iter().map(|g| (*g).to_owned()).collect())
            );
        }
        let gone = OwnedKey { key: key(&[User], &[]), owner: None };
        assert!(accept(&gone, &Grants::default(), 1999).is_err(), "its owner is gone");
        assert!(
            accept(&OwnedKey { key: key(&[User], &[]), owner: owner(&[User], &[]) }, &Grants::default(), 2000).is_err()
        );
    }
}
