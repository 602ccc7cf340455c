//! Zitadel: people by its user service (v2), groups by its group service or, where it has none, by its SCIM doors.
//!
//! Which of these an installation has depends on its age, so it is asked, never assumed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::exchange::{Answer, Ask, Exchange, nonsense, segment};
use super::resource::text;
use super::scim::{Scim, holds};
use super::{Directory, Standing, Who, offset, stranger};
use crate::config::{self, DirectoryMatch};
use crate::model::person::{Change, Group, Member, Page, Person, Profile, ProfileChange};
use crate::model::{Error, Kind, Result};
use crate::store::Store;
use crate::store::audit::Deed;
use crate::store::group::{unknown, unknown_user};

/// How many entries are asked for at once.
const STRIDE: usize = 100;

/// How often, and after how long, something is read again that was changed just now: what it answers follows what it has
/// stored with a delay.
const LOOKS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(250);

/// By which doors it keeps groups.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Groups {
    Service,
    Scim,
    None,
}

pub(in crate::identity) struct Zitadel {
    exchange: Exchange,
    scim: Scim,
    store: Arc<Store>,
    organization: String,
    groups: Mutex<Option<Groups>>,
}

fn time(value: &Value, field: &str) -> Option<i64> {
    Some(text(value, field)?.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

fn profile(answer: &Value) -> Result<Profile> {
    let user = answer.get("user").ok_or_else(|| nonsense("there is no user in it"))?;
    let owned = |pointer| text(user, pointer).map(str::to_owned);
    Ok(Profile {
        id: owned("/userId").ok_or_else(|| nonsense("a user has no id"))?,
        username: owned("/preferredLoginName").or_else(|| owned("/username")),
        email: owned("/human/email/email"),
        first_name: owned("/human/profile/givenName"),
        last_name: owned("/human/profile/familyName"),
        created_at: time(user, "/details/creationDate").or_else(|| time(answer, "/details/creationDate")),
    })
}

fn group(value: &Value) -> Option<Group> {
    Some(Group {
        id: text(value, "/id")?.to_owned(),
        name: text(value, "/name")?.to_owned(),
        members: None,
        created_at: time(value, "/creationDate"),
    })
}

fn member(value: &Value) -> Option<Member> {
    let owned = |pointer| text(value, pointer).map(str::to_owned);
    Some(Member {
        id: owned("/user/id")?,
        username: owned("/user/preferredLoginName"),
        name: owned("/user/displayName"),
        email: None,
    })
}

/// The entries of a list, and how many there are in all: a number, or one in a text.
fn listed<'b>(body: &'b Value, field: &str) -> (&'b [Value], usize) {
    let entries = body.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let total = body.pointer("/pagination/totalResult");
    let total = total.and_then(|total| total.as_u64().or_else(|| total.as_str()?.parse().ok())).unwrap_or(0);
    (entries, usize::try_from(total).unwrap_or(usize::MAX))
}

impl Zitadel {
    pub(in crate::identity) fn new(settings: &config::Directory, store: Arc<Store>) -> Result<Self> {
        let base = format!("{}/scim/v2/{}", settings.url, segment(&settings.organization));
        // Its users have one id at all doors, and it is the subject of a sign-in.
        let settings = &config::Directory { matching: DirectoryMatch::Subject, ..settings.clone() };
        Ok(Self {
            exchange: Exchange::new(&settings.url, &settings.token, "application/json")?,
            scim: Scim::at(&base, settings, store.clone())?,
            store,
            organization: settings.organization.clone(),
            groups: Mutex::default(),
        })
    }

    /// Zitadel's id of somebody who signed in there.
    fn id_of(person: &Person) -> Result<&str> {
        person.subject.as_deref().ok_or_else(stranger)
    }

    async fn user(&self, id: &str) -> Result<Option<Value>> {
        let answer = self.exchange.send(Ask::get(format!("/v2/users/{}", segment(id)))).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        answer.accepted().map(Some)
    }

    async fn call(&self, procedure: &str, body: &Value) -> Result<Answer> {
        self.exchange.send(Ask::with(Method::POST, format!("/zitadel.group.v2.GroupService/{procedure}"), body)).await
    }

    /// By which doors it keeps groups; asked once, and again after a probe.
    async fn way(&self) -> Result<Groups> {
        let known = *self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known {
            return Ok(known);
        }
        let body = json!({ "pagination": { "limit": 1 } });
        let service = self.call("ListGroups", &body).await?;
        let found = if service.is_success() {
            Groups::Service
        } else if !service.is_unsupported() {
            return Err(service.refusal());
        } else if self.organization.is_empty() {
            Groups::None
        } else {
            let types = format!("/scim/v2/{}/ResourceTypes/Group", segment(&self.organization));
            let scim = self.exchange.send(Ask::get(types)).await?;
            if scim.is_success() { Groups::Scim } else { Groups::None }
        };
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(found)
    }

    fn without_groups() -> Error {
        let message = "this Zitadel keeps no groups: it has neither the group service nor SCIM groups \
                       (setting directory.organization)";
        Error::new(Kind::Upstream, "DIRECTORY_HAS_NO_GROUPS", message)
    }

    /// Members of groups, by a filter: `groupIds` or `userIds`.
    async fn memberships(&self, by: &str, id: &str, skip: usize, limit: usize) -> Result<Value> {
        let mut filter = serde_json::Map::new();
        filter.insert(by.to_owned(), json!({ "ids": [id] }));
        let body = json!({ "filters": [filter], "pagination": { "offset": skip, "limit": limit, "asc": true } });
        self.call("ListGroupUsers", &body).await?.accepted()
    }

    /// The groups of a user, all of them.
    async fn groups_of(&self, user: &str) -> Result<Vec<Group>> {
        let mut ids: Vec<String> = Vec::new();
        let mut skip = 0;
        loop {
            let body = self.memberships("userIds", user, skip, STRIDE).await?;
            let (entries, total) = listed(&body, "groupUsers");
            skip += entries.len();
            ids.extend(entries.iter().filter_map(|entry| text(entry, "/groupId").map(str::to_owned)));
            if entries.is_empty() || skip >= total {
                break;
            }
        }
        let mut groups = Vec::with_capacity(ids.len());
        for some in ids.chunks(STRIDE) {
            let body = json!({ "filters": [{ "groupIds": { "ids": some } }], "pagination": { "limit": STRIDE } });
            let body = self.call("ListGroups", &body).await?.accepted()?;
            groups.extend(listed(&body, "groups").0.iter().filter_map(group));
        }
        Ok(groups)
    }

    async fn is_member(&self, group: &str, user: &str) -> Result<bool> {
        let mut skip = 0;
        loop {
            let body = self.memberships("userIds", user, skip, STRIDE).await?;
            let (entries, total) = listed(&body, "groupUsers");
            skip += entries.len();
            if entries.iter().any(|entry| text(entry, "/groupId") == Some(group)) {
                return Ok(true);
            }
            if entries.is_empty() || skip >= total {
                return Ok(false);
            }
        }
    }
}

/// What UpdateUser takes, and what its older sister takes: the same without the wrapping, and names only together.
fn update(change: &ProfileChange, before: &Profile) -> Result<Value> {
    let mut human = json!({});
    if !(change.first_name.is_keep() && change.last_name.is_keep()) {
        let name = |field, change: &Change, before: Option<&str>| {
            let must = || {
                let message = format!("{field} cannot be empty at this directory");
                Error::invalid(message).details(json!({ "field": field }))
            };
            change.applied(before).ok_or_else(must)
        };
        let given = name("first_name", &change.first_name, before.first_name.as_deref())?;
        let family = name("last_name", &change.last_name, before.last_name.as_deref())?;
        human["profile"] = json!({ "givenName": given, "familyName": family });
    }
    match &change.email {
        Change::Keep => {}
        Change::Set(address) => human["email"] = json!({ "email": address, "sendCode": {} }),
        Change::Clear => {
            let message = "email cannot be empty at this directory";
            return Err(Error::invalid(message).details(json!({ "field": "email" })));
        }
    }
    Ok(human)
}

#[async_trait]
impl Directory for Zitadel {
    async fn profile(&self, person: &Person) -> Result<Profile> {
        profile(&self.user(Self::id_of(person)?).await?.ok_or_else(stranger)?)
    }

    async fn change_profile(&self, person: &Person, change: &ProfileChange, deed: Deed) -> Result<Profile> {
        let id = Self::id_of(person)?;
        let before = profile(&self.user(id).await?.ok_or_else(stranger)?)?;
        let human = update(change, &before)?;
        let path = format!("/v2/users/{}", segment(id));
        let answer = self.exchange.send(Ask::with(Method::PATCH, path, &json!({ "human": human }))).await?;
        let answer = if answer.is_unsupported() {
            // The user is there, so it is the door that is missing: an older Zitadel.
            let path = format!("/v2/users/human/{}", segment(id));
            self.exchange.send(Ask::with(Method::PUT, path, &human)).await?
        } else {
            answer
        };
        answer.accepted()?;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let read = profile(&self.user(id).await?.ok_or_else(stranger)?)?;
            if holds(&read, change) {
                self.store.record(deed).await?;
                return Ok(read);
            }
        }
        Err(nonsense("it says that the profile was changed, and it was not"))
    }

    async fn groups(&self, of: Option<&Person>, cursor: Option<&str>, limit: i64) -> Result<Page<Group>> {
        match (self.way().await?, of) {
            (Groups::None, _) => Err(Self::without_groups()),
            (Groups::Scim, of) => self.scim.groups(of, cursor, limit).await,
            (Groups::Service, Some(person)) => super::page(self.groups_of(Self::id_of(person)?).await?, cursor, limit),
            (Groups::Service, None) => {
                let skip = offset(cursor)?;
                let mut body = json!({ "pagination": { "offset": skip, "limit": limit, "asc": true } });
                if !self.organization.is_empty() {
                    body["filters"] = json!([{ "organizationId": { "id": self.organization } }]);
                }
                let body = self.call("ListGroups", &body).await?.accepted()?;
                let (entries, total) = listed(&body, "groups");
                let end = skip + entries.len();
                let next = (!entries.is_empty() && end < total).then(|| end.to_string());
                Ok(Page { items: entries.iter().filter_map(group).collect(), next })
            }
        }
    }

    async fn create_group(&self, name: &str, deed: Deed) -> Result<Group> {
        match self.way().await? {
            Groups::None => Err(Self::without_groups()),
            Groups::Scim => self.scim.create_group(name, deed).await,
            Groups::Service => {
                if self.organization.is_empty() {
                    let message = "a group needs an organization (setting directory.organization)";
                    return Err(Error::new(Kind::Upstream, "DIRECTORY_ERROR", message));
                }
                let body = json!({ "organizationId": self.organization, "name": name });
                let answer = self.call("CreateGroup", &body).await?;
                if answer.status == 409 {
                    return Err(Error::conflict("GROUP_EXISTS", format!("there is a group '{name}' already"))
                        .details(json!({ "field": "name" })));
                }
                let made = answer.accepted()?;
                let id = text(&made, "/id").ok_or_else(|| nonsense("a group has no id"))?.to_owned();
                let mut found = Err(unknown(&id));
                for look in 0..LOOKS {
                    if look > 0 {
                        tokio::time::sleep(PAUSE).await;
                    }
                    found = self.group(&id).await;
                    if !matches!(&found, Err(error) if error.kind == Kind::NotFound) {
                        break;
                    }
                }
                let group = found?;
                self.store.record(Deed { target: Some(id), ..deed }).await?;
                Ok(group)
            }
        }
    }

    async fn group(&self, id: &str) -> Result<Group> {
        match self.way().await? {
            Groups::None => Err(unknown(id)),
            Groups::Scim => self.scim.group(id).await,
            Groups::Service => {
                let answer = self.call("GetGroup", &json!({ "id": id })).await?;
                if answer.status == 404 {
                    return Err(unknown(id));
                }
                let body = answer.accepted()?;
                body.get("group").and_then(group).ok_or_else(|| nonsense("a group has no name"))
            }
        }
    }

    async fn members(&self, group: &str, cursor: Option<&str>, limit: i64) -> Result<Page<Member>> {
        match self.way().await? {
            Groups::None => Err(Self::without_groups()),
            Groups::Scim => self.scim.members(group, cursor, limit).await,
            Groups::Service => {
                let skip = offset(cursor)?;
                let count = usize::try_from(limit).unwrap_or(STRIDE);
                let body = self.memberships("groupIds", group, skip, count).await?;
                let (entries, total) = listed(&body, "groupUsers");
                let end = skip + entries.len();
                let next = (!entries.is_empty() && end < total).then(|| end.to_string());
                Ok(Page { items: entries.iter().filter_map(member).collect(), next })
            }
        }
    }

    async fn set_member(&self, group: &str, who: &Who, joins: bool, deed: Deed) -> Result<bool> {
        let user = match who {
            Who::Person(person) => Self::id_of(person).map_err(|_| unknown_user(&person.id))?,
            Who::Id(id) => id,
        };
        match self.way().await? {
            Groups::None => return Err(Self::without_groups()),
            Groups::Scim => return self.scim.set_member_by_id(group, user, joins, deed).await,
            Groups::Service => {}
        }
        if joins && self.user(user).await?.is_none() {
            return Err(unknown_user(user));
        }
        if self.is_member(group, user).await? == joins {
            return Ok(false);
        }
        let procedure = if joins { "AddUsersToGroup" } else { "RemoveUsersFromGroup" };
        self.call(procedure, &json!({ "id": group, "userIds": [user] })).await?.accepted()?;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            if self.is_member(group, user).await? == joins {
                self.store.record(deed).await?;
                return Ok(true);
            }
        }
        Err(nonsense("it says that the group was changed, and it was not"))
    }

    async fn standing(&self, person: &Person) -> Result<Standing> {
        let Some(id) = person.subject.clone() else { return Ok(Standing::Unknown) };
        let Some(answer) = self.user(&id).await? else {
            return Ok(if person.directory_id.is_some() { Standing::Gone } else { Standing::Unknown });
        };
        let state = text(&answer, "/user/state").unwrap_or_default();
        if matches!(state, "USER_STATE_INACTIVE" | "USER_STATE_DELETED" | "USER_STATE_LOCKED") {
            return Ok(Standing::Gone);
        }
        let groups = match self.way().await? {
            Groups::None => Vec::new(),
            Groups::Scim => match self.scim.standing(person).await? {
                Standing::Known { groups, .. } => groups,
                Standing::Unknown | Standing::Gone => Vec::new(),
            },
            Groups::Service => self.groups_of(&id).await?.into_iter().map(|group| group.name).collect(),
        };
        Ok(Standing::Known { id, groups })
    }

    async fn probe(&self) -> Result<()> {
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.way().await.map(|_| ())
    }
}
