//! Users and groups that a directory pushes here (SCIM 2.0, RFC 7643 and 7644).
//!
//! `resource`, `patch` and `filter` are pure: what a resource says, how a PATCH changes it, what a filter looks for.
//! [`Provisioning`] keeps it, and ends what somebody came in with who is switched off or deleted.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Identity;
use crate::clock::Clock;
use crate::config;
use crate::model::id::new_id;
use crate::model::{Error, Result};
use crate::store::Store;
use crate::store::audit::{Action, Deed, Doer};
use crate::store::scim::{Adoption, GroupPush, Pushed, PushedGroup, PushedUser, UserPush};

mod filter;
mod patch;
pub mod resource;

pub use filter::{Kind, parse as parse_filter};

/// How often a PATCH is tried while others change the same.
const TRIES: usize = 4;

/// The schemas that are spoken here.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A request that breaks a rule, with the word of the standard for it.
fn wrong(scim_type: &'static str, message: impl Into<String>) -> Error {
    Error::invalid(message).details(json!({ "scimType": scim_type }))
}

/// Keeps what the directory pushes.
pub struct Provisioning {
    store: Arc<Store>,
    identity: Arc<Identity>,
    clock: Clock,
    adoption: Option<Adoption>,
}

/// What came of a change: the user as they are now, and the sessions and keys that ended.
pub struct Kept {
    pub user: PushedUser,
    pub ended: Vec<String>,
}

impl Provisioning {
    pub fn new(
        scim: &config::Scim,
        oidc: &config::Oidc,
        store: Arc<Store>,
        identity: Arc<Identity>,
        clock: Clock,
    ) -> Arc<Self> {
        let adoption = Adoption { issuer: oidc.issuer.clone(), link: scim.link };
        let adoption = (!oidc.issuer.is_empty()).then_some(adoption);
        Arc::new(Self { store, identity, clock, adoption })
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    fn deed(&self, action: Action, doer: Doer, target: &str, details: Value) -> Deed {
        Deed { at: self.clock.now(), action, doer, target: Some(target.to_owned()), details }
    }

    fn user_deed(&self, action: Action, doer: Doer, id: &str, push: &UserPush) -> Deed {
        let details = json!({
            "user_name": push.user_name, "external_id": push.external_id, "active": push.active,
        });
        self.deed(action, doer, id, details)
    }

    async fn kept(&self, pushed: Pushed) -> Result<Kept> {
        // Rights may have changed in any direction.
        self.identity.forget_keys();
        Ok(Kept { user: self.store.scim_user(&pushed.id).await?, ended: pushed.ended })
    }

    pub async fn create_user(&self, body: &Value, doer: Doer) -> Result<Kept> {
        let push = resource::user(body)?;
        let id = new_id();
        let deed = self.user_deed(Action::UserProvision, doer, &id, &push);
        let pushed = self.store.create_scim_user(id, push, self.adoption.clone(), deed).await?;
        self.kept(pushed).await
    }

    pub async fn replace_user(&self, id: &str, body: &Value, version: Option<i64>, doer: Doer) -> Result<Kept> {
        let push = resource::user(body)?;
        let deed = self.user_deed(Action::UserChange, doer, id, &push);
        let pushed = self.store.replace_scim_user(id, push, version, deed).await?;
        self.kept(pushed).await
    }

    pub async fn patch_user(&self, id: &str, body: &Value, version: Option<i64>, doer: Doer) -> Result<Kept> {
        let operations = operations(body)?;
        for _ in 0..TRIES {
            let before = self.store.scim_user(id).await?;
            let mut document =
                serde_json::from_str(&before.document).map_err(|error| Error::internal("read a pushed user", error))?;
            patch::apply(&mut document, operations)?;
            let push = resource::user(&document)?;
            let deed = self.user_deed(Action::UserChange, doer.clone(), id, &push);
            let wanted = version.unwrap_or(before.version);
            match self.store.replace_scim_user(id, push, Some(wanted), deed).await {
                Err(error) if error.code == "PRECONDITION_FAILED" && version.is_none() => {}
                outcome => return self.kept(outcome?).await,
            }
        }
        Err(Error::unavailable("others keep changing this user; try again"))
    }

    /// Answers the sessions and keys that ended.
    pub async fn delete_user(&self, id: &str, version: Option<i64>, doer: Doer) -> Result<Vec<String>> {
        let deed = self.deed(Action::UserDelete, doer, id, Value::Null);
        let pushed = self.store.delete_scim_user(id, self.adoption.clone(), version, deed).await?;
        self.identity.forget_keys();
        Ok(pushed.ended)
    }

    fn group_deed(&self, action: Action, doer: Doer, id: &str, push: &GroupPush) -> Deed {
        self.deed(action, doer, id, json!({ "name": push.name, "members": push.members.len() }))
    }

    async fn kept_group(&self, id: &str) -> Result<PushedGroup> {
        self.identity.forget_keys();
        self.store.scim_group(id).await
    }

    pub async fn create_group(&self, body: &Value, doer: Doer) -> Result<PushedGroup> {
        let push = resource::group(body)?;
        let id = new_id();
        let deed = self.group_deed(Action::GroupCreate, doer, &id, &push);
        self.store.create_scim_group(id.clone(), push, deed).await?;
        self.kept_group(&id).await
    }

    pub async fn replace_group(&self, id: &str, body: &Value, version: Option<i64>, doer: Doer) -> Result<PushedGroup> {
        let push = resource::group(body)?;
        let deed = self.group_deed(Action::GroupChange, doer, id, &push);
        self.store.replace_scim_group(id, push, version, deed).await?;
        self.kept_group(id).await
    }

    pub async fn patch_group(&self, id: &str, body: &Value, version: Option<i64>, doer: Doer) -> Result<PushedGroup> {
        let operations = operations(body)?;
        for _ in 0..TRIES {
            let before = self.store.scim_group(id).await?;
            let mut document = resource::group_document(&before);
            patch::apply(&mut document, operations)?;
            let push = resource::group(&document)?;
            let deed = self.group_deed(Action::GroupChange, doer.clone(), id, &push);
            let wanted = version.unwrap_or(before.version);
            match self.store.replace_scim_group(id, push, Some(wanted), deed).await {
                Err(error) if error.code == "PRECONDITION_FAILED" && version.is_none() => {}
                outcome => {
                    outcome?;
                    return self.kept_group(id).await;
                }
            }
        }
        Err(Error::unavailable("others keep changing this group; try again"))
    }

    pub async fn delete_group(&self, id: &str, version: Option<i64>, doer: Doer) -> Result<()> {
        let deed = self.deed(Action::GroupDelete, doer, id, Value::Null);
        self.store.delete_scim_group(id, version, deed).await?;
        self.identity.forget_keys();
        Ok(())
    }
}

/// The operations of a PATCH.
fn operations(body: &Value) -> Result<&[Value]> {
    let is_patch = body["schemas"].as_array().is_some_and(|schemas| schemas.iter().any(|schema| schema == PATCH));
    if !is_patch {
        return Err(wrong("invalidSyntax", format!("schemas must name {PATCH}")));
    }
    // Some write it in lower case.
    let operations = body.get("Operations").or_else(|| body.get("operations")).and_then(Value::as_array);
    match operations {
        Some(operations) if !operations.is_empty() => Ok(operations),
        _ => Err(wrong("invalidSyntax", "Operations is a list of at least one operation")),
    }
}
