//! The directory that is kept here.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Directory, Standing, Who};
use crate::model::id::new_id;
use crate::model::person::{Group, Member, Page, Person, Profile, ProfileChange};
use crate::model::{Error, Result};
use crate::store::Store;
use crate::store::audit::Deed;
use crate::store::group::{unknown, unknown_user};

pub(in crate::identity) struct Local {
    store: Arc<Store>,
}

impl Local {
    pub(in crate::identity) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

/// What is known here, in the form of every directory.
pub(in crate::identity) fn shown(person: Person) -> Profile {
    Profile {
        id: person.id,
        username: person.username,
        email: person.email,
        first_name: person.first_name,
        last_name: person.last_name,
        created_at: Some(person.created_at),
    }
}

#[async_trait]
impl Directory for Local {
    async fn profile(&self, person: &Person) -> Result<Profile> {
        Ok(shown(person.clone()))
    }

    async fn change_profile(&self, person: &Person, change: &ProfileChange, deed: Deed) -> Result<Profile> {
        if person.is_pushed {
            let message = "your profile is kept by the directory that pushes it here; change it there";
            return Err(Error::conflict("MANAGED_BY_DIRECTORY", message));
        }
        if !self.store.change_profile(&person.id, change.clone(), deed).await? {
            return Err(unknown_user(&person.id));
        }
        self.store.person(&person.id).await?.map(shown).ok_or_else(|| unknown_user(&person.id))
    }

    async fn groups(&self, of: Option<&Person>, cursor: Option<&str>, limit: i64) -> Result<Page<Group>> {
        self.store.groups(of.map(|person| person.id.as_str()), cursor, limit).await
    }

    async fn create_group(&self, name: &str, deed: Deed) -> Result<Group> {
        let id = new_id();
        let deed = Deed { target: Some(id.clone()), ..deed };
        self.store.create_group(id.clone(), name.to_owned(), deed).await?;
        self.group(&id).await
    }

    async fn group(&self, id: &str) -> Result<Group> {
        self.store.group(id).await?.ok_or_else(|| unknown(id))
    }

    async fn members(&self, group: &str, cursor: Option<&str>, limit: i64) -> Result<Page<Member>> {
        self.store.group_members(group, cursor, limit).await
    }

    async fn set_member(&self, group: &str, who: &Who, joins: bool, deed: Deed) -> Result<bool> {
        let user = match who {
            Who::Person(person) => &person.id,
            Who::Id(id) => id,
        };
        self.store.change_membership(group, user, joins, deed).await
    }

    async fn standing(&self, person: &Person) -> Result<Standing> {
        // Memberships here count in any case; the directory has nothing to add.
        Ok(Standing::Known { id: person.id.clone(), groups: Vec::new() })
    }

    async fn probe(&self) -> Result<()> {
        self.store.ping().await
    }
}
