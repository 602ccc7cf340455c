//! Who something acts for that was begun earlier and goes on by itself: with the rights they have by then.

use serde::{Deserialize, Serialize};

use super::keys;
use crate::model::conversation::Millis;
use crate::model::principal::{Principal, PrincipalKind, Rights, Role};
use crate::model::{Error, Kind, Result};
use crate::store::Store;

/// A principal as whoever acts for them keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    pub id: String,
    kind: PrincipalKind,
    pub name: String,
    roles: Vec<Role>,
    groups: Vec<String>,
}

impl Kept {
    pub fn of(principal: &Principal) -> Self {
        Self {
            id: principal.id.clone(),
            kind: principal.kind,
            name: principal.name.clone(),
            roles: principal.roles.clone(),
            groups: principal.groups.clone(),
        }
    }

    /// The principal as they are now. Whose account or key does not count any more, nothing acts for.
    pub async fn now(&self, store: &Store, now: Millis) -> Result<Principal> {
        let gone = || Error::new(Kind::Forbidden, "FORBIDDEN", format!("{} may do nothing here any more", self.name));
        match self.kind {
            PrincipalKind::User => store.user(&self.id).await?.ok_or_else(gone),
            PrincipalKind::Key => {
                let key = store.api_key_by_id(&self.id).await?.ok_or_else(gone)?;
                let caller = keys::accept(&key, store.grants(), now).map_err(|_| gone())?;
                Ok(Principal::clone(&caller.principal))
            }
            // Their directory says what they may each time they come; until then it is what it said last.
            PrincipalKind::Service | PrincipalKind::Guest => Ok(Principal {
                id: self.id.clone(),
                kind: self.kind,
                name: self.name.clone(),
                roles: self.roles.clone(),
                groups: self.groups.clone(),
                serves: Vec::new(),
                rights: Rights { grants: store.grants().clone(), ..Rights::default() },
            }),
        }
    }
}
