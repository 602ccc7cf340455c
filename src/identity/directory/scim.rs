//! A directory that speaks SCIM 2.0, as much of it as it says it does: filters, PATCH and versions are used where they
//! work, and done without where they do not.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::exchange::{Answer, Ask, Exchange, nonsense, segment};
use super::resource::{self, text};
use super::{Directory, Standing, Who, page, stranger};
use crate::config::{self, DirectoryMatch};
use crate::model::person::{Change, Group, Member, Page, Person, Profile, ProfileChange};
use crate::model::{Error, Result};
use crate::store::Store;
use crate::store::audit::Deed;
use crate::store::group::{unknown, unknown_user};

/// How many resources are asked for at once, and how many are looked through in all.
const STRIDE: usize = 100;
const MOST: usize = 20_000;

/// How often a change is tried while others change the same.
const TRIES: usize = 4;

/// What it says it can do; what it is silent about is tried.
#[derive(Clone, Copy)]
struct Abilities {
    patch: bool,
    filter: bool,
}

pub(in crate::identity) struct Scim {
    exchange: Exchange,
    store: Arc<Store>,
    matching: DirectoryMatch,
    abilities: Mutex<Option<Abilities>>,
}

/// A resource with the version to change it by.
struct Found {
    resource: Value,
    etag: Option<String>,
}

fn id_of(resource: &Value) -> Result<&str> {
    text(resource, "/id").ok_or_else(|| nonsense("a resource has no id"))
}

/// Whether a resource has this value; user names do not mind case.
fn has(resource: &Value, attribute: &str, value: &str) -> bool {
    match attribute {
        "emails.value" => resource.get("emails").and_then(Value::as_array).is_some_and(|emails| {
            emails.iter().any(|email| text(email, "/value").is_some_and(|one| one.eq_ignore_ascii_case(value)))
        }),
        "userName" => text(resource, "/userName").is_some_and(|name| name.to_lowercase() == value.to_lowercase()),
        other => resource.get(other).and_then(Value::as_str) == Some(value),
    }
}

impl Scim {
    pub(in crate::identity) fn new(settings: &config::Directory, store: Arc<Store>) -> Result<Self> {
        Self::at(&settings.url, settings, store)
    }

    /// The same at another base than the one of the settings.
    pub(super) fn at(base: &str, settings: &config::Directory, store: Arc<Store>) -> Result<Self> {
        let exchange = Exchange::new(base, &settings.token, "application/scim+json")?;
        Ok(Self { exchange, store, matching: settings.matching, abilities: Mutex::default() })
    }

    async fn abilities(&self) -> Result<Abilities> {
        let known = *self.abilities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known {
            return Ok(known);
        }
        let answer = self.exchange.send(Ask::get("/ServiceProviderConfig")).await?;
        let body = match answer {
            Answer { body, status, .. } if (200..300).contains(&status) => body,
            answer if answer.is_unsupported() => Value::Null,
            answer => return Err(answer.refusal()),
        };
        let can = |pointer| body.pointer(pointer).and_then(Value::as_bool).unwrap_or(true);
        let found = Abilities { patch: can("/patch/supported"), filter: can("/filter/supported") };
        *self.abilities.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(found)
    }

    /// Does without something that was promised and does not work.
    fn lose(&self, what: impl FnOnce(&mut Abilities)) {
        if let Some(known) = self.abilities.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            what(known);
        }
    }

    /// Reads one resource; `None` when it is not there.
    async fn read(&self, kind: &str, id: &str) -> Result<Option<Found>> {
        let answer = self.exchange.send(Ask::get(format!("/{kind}/{}", segment(id)))).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let etag = answer.etag.clone();
        let resource = answer.accepted()?;
        id_of(&resource)?;
        let etag = etag.or_else(|| text(&resource, "/meta/version").map(str::to_owned));
        Ok(Some(Found { resource, etag }))
    }

    /// A page of resources from the one after `skip`, and how many there are in all.
    async fn list(&self, kind: &str, query: &str, skip: usize, count: usize) -> Result<Answer> {
        let path = format!("/{kind}?startIndex={}&count={count}{query}", skip + 1);
        self.exchange.send(Ask::get(path)).await
    }

    /// All resources that fit, looked at here as well: some servers do not know filters, some take no notice of them.
    async fn all(&self, kind: &str, filter: Option<String>, fits: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let can_filter = self.abilities().await?.filter;
        let mut query = filter.filter(|_| can_filter).map(|filter| format!("&filter={}", segment(&filter)));
        let (mut found, mut seen) = (Vec::new(), 0);
        loop {
            let answer = self.list(kind, query.as_deref().unwrap_or_default(), seen, STRIDE).await?;
            if query.is_some() && matches!(answer.status, 400 | 403 | 405 | 501) {
                query = None;
                (seen, found) = (0, Vec::new());
                continue;
            }
            let body = answer.accepted()?;
            let resources = body.get("Resources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            seen += resources.len();
            found.extend(resources.iter().filter(|one| fits(one)).cloned());
            let total = body.get("totalResults").and_then(Value::as_u64).unwrap_or(0);
            if resources.is_empty() || seen as u64 >= total {
                return Ok(found);
            }
            if seen >= MOST {
                return Err(nonsense("it has too many resources to look through, and takes no filter"));
            }
        }
    }

    /// The one user with this value; several are a fault of the directory that nobody may guess away.
    async fn user_by(&self, attribute: &'static str, value: &str) -> Result<Option<Value>> {
        let filter = format!("{attribute} eq {}", resource::quoted(value));
        let mut users = self.all("Users", Some(filter), |user| has(user, attribute, value)).await?;
        if users.len() > 1 {
            return Err(nonsense("several of its users fit one person"));
        }
        Ok(users.pop())
    }

    /// The user that somebody is there.
    async fn user(&self, person: &Person) -> Result<Option<Found>> {
        if let Some(id) = &person.directory_id
            && let Some(found) = self.read("Users", id).await?
        {
            return Ok(Some(found));
        }
        let found = match (self.matching, &person.subject) {
            (DirectoryMatch::Subject, Some(subject)) => {
                if let Some(found) = self.read("Users", subject).await? {
                    return Ok(Some(found));
                }
                match self.user_by("externalId", subject).await? {
                    None => self.user_by("userName", subject).await?,
                    found => found,
                }
            }
            (DirectoryMatch::Username, _) => match &person.username {
                Some(username) => self.user_by("userName", username).await?,
                None => None,
            },
            // An address that nobody has checked is anybody's.
            (DirectoryMatch::Email, _) => match person.email.as_ref().filter(|_| person.email_verified) {
                Some(email) => self.user_by("emails.value", email).await?,
                None => None,
            },
            (DirectoryMatch::Subject, None) => None,
        };
        // Read by its id: lists may leave out parts, and only this shows the version.
        match found {
            Some(user) => self.read("Users", id_of(&user)?).await,
            None => Ok(None),
        }
    }

    /// Changes a resource by PATCH, or by PUT of the whole where there is no PATCH.
    async fn write(&self, kind: &str, found: &Found, operations: &[Value], whole: &Value) -> Result<Answer> {
        let path = format!("/{kind}/{}", segment(id_of(&found.resource)?));
        let if_match = found.etag.as_deref();
        if self.abilities().await?.patch {
            let body = json!({ "schemas": [resource::PATCH], "Operations": operations });
            let answer = self.exchange.send(Ask { if_match, ..Ask::with(Method::PATCH, &path, &body) }).await?;
            if !answer.is_unsupported() {
                return Ok(answer);
            }
            self.lose(|abilities| abilities.patch = false);
        }
        self.exchange.send(Ask { if_match, ..Ask::with(Method::PUT, path, whole) }).await
    }

    async fn group_found(&self, id: &str) -> Result<Found> {
        self.read("Groups", id).await?.ok_or_else(|| unknown(id))
    }

    /// The groups somebody is in.
    async fn groups_of(&self, user: &Value) -> Result<Vec<Group>> {
        let own = user.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named: Option<Vec<Group>> = own
            .iter()
            .map(|group| {
                let (id, name) = (text(group, "/value")?.to_owned(), text(group, "/display")?.to_owned());
                Some(Group { id, name, members: None, created_at: None })
            })
            .collect();
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            return Ok(named);
        }
        // Not every directory writes them at its users.
        let id = id_of(user)?;
        let filter = format!("members.value eq {}", resource::quoted(id));
        let is_in = |group: &Value| resource::member_ids(group).is_none_or(|members| members.contains(&id));
        let mut groups = Vec::new();
        for group in self.all("Groups", Some(filter), is_in).await? {
            // Some leave members out of lists.
            let group = match resource::member_ids(&group) {
                Some(_) => group,
                None => match self.read("Groups", id_of(&group)?).await? {
                    Some(found) if resource::member_ids(&found.resource).is_some_and(|ids| ids.contains(&id)) => {
                        found.resource
                    }
                    _ => continue,
                },
            };
            groups.extend(resource::group(&group));
        }
        Ok(groups)
    }

    /// The id at the directory of who is to be in a group.
    async fn id_at(&self, who: &Who) -> Result<String> {
        match who {
            Who::Id(id) => {
                let found = self.read("Users", id).await?.ok_or_else(|| unknown_user(id))?;
                Ok(id_of(&found.resource)?.to_owned())
            }
            Who::Person(person) => {
                let found = self.user(person).await?.ok_or_else(|| unknown_user(&person.id))?;
                Ok(id_of(&found.resource)?.to_owned())
            }
        }
    }

    /// The same as [`Directory::set_member`], for who is known by the id there.
    pub(super) async fn set_member_by_id(&self, group: &str, user: &str, joins: bool, deed: Deed) -> Result<bool> {
        for _ in 0..TRIES {
            let found = self.group_found(group).await?;
            let is_in = resource::member_ids(&found.resource).is_some_and(|members| members.contains(&user));
            if is_in == joins {
                return Ok(false);
            }
            let operation = if joins {
                json!({ "op": "add", "path": "members", "value": [{ "value": user }] })
            } else {
                json!({ "op": "remove", "path": format!("members[value eq {}]", resource::quoted(user)) })
            };
            let whole = resource::with_member(&found.resource, user, joins);
            let answer = self.write("Groups", &found, &[operation], &whole).await?;
            if answer.status == 412 {
                continue;
            }
            answer.accepted()?;
            let read = self.group_found(group).await?;
            if resource::member_ids(&read.resource).is_some_and(|members| members.contains(&user)) != joins {
                return Err(nonsense("it says that the group was changed, and it was not"));
            }
            self.store.record(deed).await?;
            return Ok(true);
        }
        Err(Error::conflict("DIRECTORY_BUSY", "others keep changing this group; try again"))
    }
}

/// Whether a profile holds what it was changed to.
pub(super) fn holds(profile: &Profile, change: &ProfileChange) -> bool {
    let holds = |now: &Option<String>, change: &Change| match change {
        Change::Keep => true,
        Change::Set(value) => now.as_ref() == Some(value),
        Change::Clear => now.is_none(),
    };
    // Removing the address that counts may leave another one to count.
    holds(&profile.first_name, &change.first_name)
        && holds(&profile.last_name, &change.last_name)
        && (change.email == Change::Clear || holds(&profile.email, &change.email))
}

#[async_trait]
impl Directory for Scim {
    async fn profile(&self, person: &Person) -> Result<Profile> {
        let found = self.user(person).await?.ok_or_else(stranger)?;
        Ok(resource::profile(&found.resource))
    }

    async fn change_profile(&self, person: &Person, change: &ProfileChange, deed: Deed) -> Result<Profile> {
        for _ in 0..TRIES {
            let found = self.user(person).await?.ok_or_else(stranger)?;
            let operations = resource::operations(&found.resource, change);
            let whole = resource::changed(&found.resource, change);
            let answer = self.write("Users", &found, &operations, &whole).await?;
            if answer.status == 412 {
                continue;
            }
            answer.accepted()?;
            let read = self.read("Users", id_of(&found.resource)?).await?.ok_or_else(stranger)?;
            let profile = resource::profile(&read.resource);
            if !holds(&profile, change) {
                return Err(nonsense("it says that the profile was changed, and it was not"));
            }
            self.store.record(deed).await?;
            return Ok(profile);
        }
        Err(Error::conflict("DIRECTORY_BUSY", "others keep changing this profile; try again"))
    }

    async fn groups(&self, of: Option<&Person>, cursor: Option<&str>, limit: i64) -> Result<Page<Group>> {
        if let Some(person) = of {
            let user = self.user(person).await?;
            let groups = match &user {
                Some(found) => self.groups_of(&found.resource).await?,
                None => Vec::new(),
            };
            return page(groups, cursor, limit);
        }
        let skip = super::offset(cursor)?;
        let count = usize::try_from(limit).unwrap_or(STRIDE);
        let body = self.list("Groups", "&excludedAttributes=members", skip, count).await?.accepted()?;
        let resources = body.get("Resources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let total = body.get("totalResults").and_then(Value::as_u64).unwrap_or(0);
        // A server gives fewer than asked for where it has a limit of its own.
        let end = skip + resources.len();
        let next = (!resources.is_empty() && (end as u64) < total).then(|| end.to_string());
        Ok(Page { items: resources.iter().filter_map(resource::group).collect(), next })
    }

    async fn create_group(&self, name: &str, deed: Deed) -> Result<Group> {
        let taken = || {
            Error::conflict("GROUP_EXISTS", format!("there is a group '{name}' already"))
                .details(json!({ "field": "name" }))
        };
        let filter = format!("displayName eq {}", resource::quoted(name));
        let same = |group: &Value| text(group, "/displayName").is_some_and(|one| one.eq_ignore_ascii_case(name));
        // Not every directory minds two groups of one name; who reads `access` would.
        if !self.all("Groups", Some(filter), same).await?.is_empty() {
            return Err(taken());
        }
        let body = json!({ "schemas": [resource::GROUP], "displayName": name });
        let answer = self.exchange.send(Ask::with(Method::POST, "/Groups", &body)).await?;
        if answer.status == 409 {
            return Err(taken());
        }
        let made = answer.accepted()?;
        let id = id_of(&made)?.to_owned();
        let group = self.group(&id).await?;
        self.store.record(Deed { target: Some(id), ..deed }).await?;
        Ok(group)
    }

    async fn group(&self, id: &str) -> Result<Group> {
        let found = self.group_found(id).await?;
        resource::group(&found.resource).ok_or_else(|| nonsense("a group has no name"))
    }

    async fn members(&self, group: &str, cursor: Option<&str>, limit: i64) -> Result<Page<Member>> {
        let found = self.group_found(group).await?;
        let members = found.resource.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
        let members = members.iter().filter_map(|member| {
            let name = text(member, "/display").map(str::to_owned);
            Some(Member { id: text(member, "/value")?.to_owned(), username: None, name, email: None })
        });
        let mut page = page(members.collect(), cursor, limit)?;
        for member in &mut page.items {
            // A group of groups has members that are no users.
            let Some(Found { resource: user, .. }) = self.read("Users", &member.id).await? else { continue };
            let profile = resource::profile(&user);
            let full = [profile.first_name, profile.last_name].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let shown = text(&user, "/displayName").map(str::to_owned).or(member.name.take());
            member.name = shown.or(Some(full).filter(|name| !name.is_empty()));
            (member.username, member.email) = (profile.username, profile.email);
        }
        Ok(page)
    }

    async fn set_member(&self, group: &str, who: &Who, joins: bool, deed: Deed) -> Result<bool> {
        let user = self.id_at(who).await?;
        self.set_member_by_id(group, &user, joins, deed).await
    }

    async fn standing(&self, person: &Person) -> Result<Standing> {
        let Some(found) = self.user(person).await? else {
            return Ok(if person.directory_id.is_some() { Standing::Gone } else { Standing::Unknown });
        };
        let user = &found.resource;
        if user.get("active") == Some(&Value::Bool(false)) {
            return Ok(Standing::Gone);
        }
        let groups = self.groups_of(user).await?.into_iter().map(|group| group.name).collect();
        Ok(Standing::Known { id: id_of(user)?.to_owned(), groups })
    }

    async fn probe(&self) -> Result<()> {
        // Asked anew: what it can do may have changed with a new version of it.
        *self.abilities.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.abilities().await.map(|_| ())
    }
}
