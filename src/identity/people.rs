//! People and groups, whichever directory keeps them: what a caller may see and change, and that what the directory says
//! about somebody's groups counts here.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::directory::{Directory, Local, Scim, Standing, Who, Zitadel};
use super::permission::{Object, Verb, authorize};
use super::{Caller, CredentialKind, Health, Identity};
use crate::clock::Clock;
use crate::config::{self, DirectoryKind};
use crate::model::conversation::Millis;
use crate::model::person::{Group, Known, Member, Page, PeopleFilter, Person, Profile, ProfileChange};
use crate::model::{Error, Kind, Result};
use crate::store::Store;
use crate::store::audit::{Action, Deed, Doer};
use crate::store::group::unknown_user;

/// How many people are asked about at once.
const ROUND: i64 = 200;

/// How often a directory is asked whether it is there.
const PROBE: Millis = 60 * 1000;

/// Somebody about themselves.
#[derive(Clone, Debug)]
pub struct Me {
    pub person: Person,
    /// As their directory has it.
    pub profile: Profile,
    /// Which directory that is.
    pub directory: DirectoryKind,
}

/// Whom a group gains or loses, as it was written.
#[derive(Clone, Debug)]
pub enum Named {
    /// The id here, or at the directory.
    Id(String),
    Username(String),
}

/// What the directory said about everybody that it was asked about.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Sessions and keys that ended: of people it knows no more.
    pub ended: Vec<String>,
    pub groups_changed: bool,
}

/// What the directory said about one.
enum Answered {
    Stays { changed: bool },
    Gone(Vec<String>),
}

/// Asks whichever directory the settings name. Who signed in with a link is kept here in any case.
pub struct People {
    store: Arc<Store>,
    identity: Arc<Identity>,
    clock: Clock,
    kind: DirectoryKind,
    local: Local,
    remote: Option<Box<dyn Directory>>,
    refresh: Millis,
    health: Mutex<Health>,
    probed_at: Mutex<Option<Millis>>,
}

impl People {
    pub fn new(
        settings: &config::Directory,
        store: Arc<Store>,
        identity: Arc<Identity>,
        clock: Clock,
    ) -> Result<Arc<Self>> {
        let remote: Option<Box<dyn Directory>> = match settings.kind {
            DirectoryKind::Local => None,
            DirectoryKind::Scim => Some(Box::new(Scim::new(settings, store.clone())?)),
            DirectoryKind::Zitadel => Some(Box::new(Zitadel::new(settings, store.clone())?)),
        };
        Ok(Arc::new(Self {
            local: Local::new(store.clone()),
            kind: settings.kind,
            refresh: i64::try_from(settings.refresh.as_millis()).unwrap_or(Millis::MAX / 4),
            store,
            identity,
            clock,
            remote,
            health: Mutex::default(),
            probed_at: Mutex::default(),
        }))
    }

    /// The directory that keeps groups.
    fn directory(&self) -> &dyn Directory {
        self.remote.as_deref().unwrap_or(&self.local)
    }

    /// The directory that keeps this person.
    fn directory_of(&self, person: &Person) -> (&dyn Directory, DirectoryKind) {
        match &self.remote {
            Some(remote) if person.issuer.is_some() => (remote.as_ref(), self.kind),
            _ => (&self.local, DirectoryKind::Local),
        }
    }

    /// Notes how the directory does by how it answered: a refusal is an answer.
    fn noted<T>(&self, outcome: Result<T>) -> Result<T> {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Err(error) if error.code == "DIRECTORY_UNAVAILABLE" => {
                let source = std::error::Error::source(error).map(ToString::to_string);
                health.failed = Some(source.unwrap_or_else(|| error.to_string()));
            }
            _ => *health = Health { answered_at: Some(self.clock.now()), failed: None },
        }
        drop(health);
        outcome
    }

    pub fn kind(&self) -> DirectoryKind {
        self.kind
    }

    /// How the remote directory did when it was last asked; `None` while groups and profiles are kept here.
    pub fn health(&self) -> Option<Health> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.remote.as_ref().map(|_| health)
    }

    async fn person(&self, caller: &Caller) -> Result<Person> {
        if caller.kind != CredentialKind::Login {
            let message = "only users have a profile; a key or service answers for itself at GET /api/users/me";
            return Err(Error::new(Kind::Invalid, "NO_PROFILE", message));
        }
        self.store.person(&caller.principal.id).await?.ok_or_else(super::refused)
    }

    /// The caller about themselves.
    pub async fn me(&self, caller: &Caller) -> Result<Me> {
        let person = self.person(caller).await?;
        let (directory, kind) = self.directory_of(&person);
        match self.noted(directory.profile(&person).await) {
            Ok(profile) => Ok(Me { person, profile, directory: kind }),
            // Who only signs in there is shown as they signed in.
            Err(error) if error.code == "NOT_IN_DIRECTORY" => {
                let profile = self.local.profile(&person).await?;
                Ok(Me { person, profile, directory: DirectoryKind::Local })
            }
            Err(error) => Err(error),
        }
    }

    /// Changes the caller's profile at their directory; what was read back there is answered.
    pub async fn change_me(&self, caller: &Caller, change: &ProfileChange, doer: Doer) -> Result<Me> {
        let person = self.person(caller).await?;
        let (directory, kind) = self.directory_of(&person);
        let changed: Vec<&str> =
            [("email", &change.email), ("first_name", &change.first_name), ("last_name", &change.last_name)]
                .into_iter()
                .filter_map(|(field, change)| (!change.is_keep()).then_some(field))
                .collect();
        let details = json!({ "fields": changed, "directory": kind.as_str() });
        let deed = self.deed(Action::ProfileChange, doer, Some(person.id.clone()), details);
        let profile = self.noted(directory.change_profile(&person, change, deed).await)?;
        let person = self.store.person(&person.id).await?.unwrap_or(person);
        Ok(Me { person, profile, directory: kind })
    }

    /// Everybody known here, for administrators.
    pub async fn everybody(&self, caller: &Caller, filter: &PeopleFilter) -> Result<Vec<Known>> {
        authorize(&caller.principal, Verb::Manage, Object::Installation)?;
        self.identity.known_people(filter).await
    }

    /// Ends every login session of somebody: of oneself, or of anybody for an administrator. Answers which ended.
    pub async fn sign_out(&self, caller: &Caller, user: &str, doer: Doer) -> Result<Vec<String>> {
        let is_self = caller.kind == CredentialKind::Login && caller.principal.id == user;
        if !is_self && authorize(&caller.principal, Verb::Manage, Object::Installation).is_err() {
            return Err(super::no_user(user));
        }
        self.identity.sign_out_everywhere(user, doer).await
    }

    fn deed(&self, action: Action, doer: Doer, target: Option<String>, details: Value) -> Deed {
        Deed { at: self.clock.now(), action, doer, target, details }
    }

    /// The groups the caller may see: all for an administrator, else those they are in.
    pub async fn groups(&self, caller: &Caller, cursor: Option<&str>, limit: i64) -> Result<Page<Group>> {
        if caller.principal.is_admin() {
            return self.noted(self.directory().groups(None, cursor, limit).await);
        }
        if caller.kind != CredentialKind::Login {
            return self.groups_of_key(&caller.principal.groups, cursor, limit).await;
        }
        let person = self.person(caller).await?;
        if self.remote.is_some() && person.issuer.is_none() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        self.noted(self.directory().groups(Some(&person), cursor, limit).await)
    }

    /// The directory's groups whose names a key was given.
    async fn groups_of_key(&self, names: &[String], cursor: Option<&str>, limit: i64) -> Result<Page<Group>> {
        if names.is_empty() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let mut page = self.noted(self.directory().groups(None, cursor, limit).await)?;
        page.items.retain(|group| names.contains(&group.name));
        Ok(page)
    }

    /// Makes a group, for administrators.
    pub async fn create_group(&self, caller: &Caller, name: &str, doer: Doer) -> Result<Group> {
        authorize(&caller.principal, Verb::Manage, Object::Installation)?;
        let name = name.trim();
        let is_plain = !name.is_empty() && name.chars().count() <= 100 && !name.chars().any(char::is_control);
        // Keys and manifests write several of them with commas.
        if !is_plain || name.contains(',') {
            let message = "a group's name has 1 to 100 characters and no comma";
            return Err(Error::invalid(message).details(json!({ "field": "name" })));
        }
        let deed = self.deed(Action::GroupCreate, doer, None, json!({ "name": name, "directory": self.kind.as_str() }));
        self.noted(self.directory().create_group(name, deed).await)
    }

    /// Who is in a group that the caller may see.
    pub async fn members(
        &self,
        caller: &Caller,
        group: &str,
        cursor: Option<&str>,
        limit: i64,
    ) -> Result<(Group, Page<Member>)> {
        let found = self.visible(caller, Verb::View, group).await?;
        let members = self.noted(self.directory().members(group, cursor, limit).await)?;
        Ok((found, members))
    }

    async fn visible(&self, caller: &Caller, verb: Verb, id: &str) -> Result<Group> {
        let found = self.noted(self.directory().group(id).await)?;
        authorize(&caller.principal, verb, Object::Group { id, name: &found.name })?;
        Ok(found)
    }

    /// Puts somebody into a group, or takes them out; `false` when that was so before. It counts at once.
    pub async fn set_member(
        &self,
        caller: &Caller,
        group: &str,
        named: Named,
        joins: bool,
        doer: Doer,
    ) -> Result<bool> {
        let found = self.visible(caller, Verb::Manage, group).await?;
        let who = match named {
            Named::Id(id) => match self.store.person(&id).await? {
                Some(person) => Who::Person(Box::new(person)),
                None => Who::Id(id),
            },
            Named::Username(name) => {
                let person = self.store.person_by_username(&name).await?;
                let missing = || Error::not_found("there is no user of that name").details(json!({ "username": name }));
                Who::Person(Box::new(person.ok_or_else(missing)?))
            }
        };
        let user = match &who {
            Who::Person(person) if self.remote.is_some() && person.issuer.is_none() => {
                return Err(unknown_user(&person.id));
            }
            Who::Person(person) => person.id.clone(),
            Who::Id(id) => id.clone(),
        };
        let action = if joins { Action::MemberAdd } else { Action::MemberRemove };
        let details = json!({ "group": found.name, "user": user, "directory": self.kind.as_str() });
        let deed = self.deed(action, doer, Some(group.to_owned()), details);
        let changed = self.noted(self.directory().set_member(group, &who, joins, deed).await)?;
        if changed {
            if let Some(person) = who.person()
                && let Err(error) = self.ask_about(person).await
            {
                tracing::warn!(%error, "what the directory says about somebody's groups will count later");
            }
            self.identity.forget_keys();
        }
        Ok(changed)
    }

    /// Asks the directory about somebody, and lets that count.
    async fn ask_about(&self, person: &Person) -> Result<Answered> {
        let Some(remote) = self.remote.as_ref().filter(|_| person.issuer.is_some()) else {
            return Ok(Answered::Stays { changed: false });
        };
        let now = self.clock.now();
        let (id, groups) = match self.noted(remote.standing(person).await)? {
            Standing::Gone => {
                let doer = Doer { name: Some("directory".to_owned()), ..Doer::default() };
                let deed = self.deed(Action::UserDeactivate, doer, Some(person.id.clone()), Value::Null);
                let ended = self.store.end_user(&person.id, deed).await?;
                self.identity.forget_keys();
                return Ok(Answered::Gone(ended));
            }
            Standing::Known { id, groups } => (Some(id), groups),
            Standing::Unknown => (None, Vec::new()),
        };
        let changed = self.store.note_standing(&person.id, id, groups, now).await?;
        if changed {
            self.identity.forget_keys();
        }
        Ok(Answered::Stays { changed })
    }

    /// Asks about who has just signed in; answers what ended when the directory knows them no more. When the directory does not answer, what it said last goes on counting.
    pub async fn welcome(&self, id: &str) -> Result<Option<Vec<String>>> {
        if self.remote.is_none() {
            return Ok(None);
        }
        let Some(person) = self.store.person(id).await? else { return Ok(None) };
        match self.ask_about(&person).await {
            Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Upstream) => {
                tracing::warn!(%error, "the directory could not be asked about somebody who signed in");
                Ok(None)
            }
            Ok(Answered::Gone(ended)) => Ok(Some(ended)),
            Ok(Answered::Stays { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks about everybody who is here and was not asked about for a while, and whether the directory is there at all.
    pub async fn ask_again(&self) -> Result<Heard> {
        let mut heard = Heard::default();
        let Some(remote) = &self.remote else { return Ok(heard) };
        let now = self.clock.now();
        let is_due = {
            let mut at = self.probed_at.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = at.is_none_or(|at| now - at >= PROBE);
            if is_due {
                *at = Some(now);
            }
            is_due
        };
        if is_due {
            self.noted(remote.probe().await)?;
        }
        for person in self.store.people_to_ask_about(now - self.refresh, now, ROUND).await? {
            match self.ask_about(&person).await {
                Ok(Answered::Gone(ended)) => heard.ended.extend(ended),
                Ok(Answered::Stays { changed }) => heard.groups_changed |= changed,
                Err(error) if error.kind == Kind::Unavailable => return Err(error),
                // One whom it cannot tell about does not keep the others waiting.
                Err(error) => {
                    tracing::warn!(%error, user = person.id, "the directory could not be asked about somebody");
                    self.store.put_off(&person.id, now).await?;
                }
            }
        }
        Ok(heard)
    }
}
