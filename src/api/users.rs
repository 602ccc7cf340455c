//! The caller's own profile, as their directory has it; and everybody, for administrators.

use axum::Json as Answer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::by::By;
use super::error::ApiResult;
use super::extract::{Json, Query};
use super::session::within;
use crate::clock::rfc3339;
use crate::identity::people::Me;
use crate::identity::{Caller, CredentialKind};
use crate::model::person::{Change, Known, PeopleFilter, ProfileChange};
use crate::model::{Error, Result};

/// The longest name and the longest address, in characters.
const LONGEST_NAME: usize = 100;
const LONGEST_EMAIL: usize = 254;

/// Somebody about themselves.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserView {
    id: String,
    /// `user`, `api_key` or `service`; the latter two answer for themselves.
    kind: &'static str,
    username: Option<String>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    /// What others read.
    name: String,
    roles: Vec<&'static str>,
    /// The groups that count here.
    groups: Vec<String>,
    /// RFC 3339.
    created_at: String,
    /// Which directory keeps the profile: `local`, `scim` or `zitadel`; null for who is no user.
    directory: Option<&'static str>,
}

fn view(me: Me) -> UserView {
    let Me { person, profile, directory } = me;
    UserView {
        kind: "user",
        // Who has no name to sign in by is named by the id.
        username: profile.username.or(person.username).or_else(|| Some(person.id.clone())),
        email: profile.email,
        first_name: profile.first_name,
        last_name: profile.last_name,
        name: person.name,
        roles: person.roles.iter().map(|role| role.as_str()).collect(),
        groups: person.groups,
        created_at: rfc3339(profile.created_at.unwrap_or(person.created_at)),
        directory: Some(directory.as_str()),
        id: person.id,
    }
}

/// Who the caller is, as their directory has it. An API key answers for itself.
#[utoipa::path(get, path = "/api/users/me", tag = "users",
    responses((status = 200, body = UserView), (status = 401), (status = 502, description = "The directory refuses"), (status = 503, description = "The directory does not answer")))]
pub(super) async fn me(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<UserView>> {
    if caller.kind != CredentialKind::Login {
        let principal = &caller.principal;
        return Ok(Answer(UserView {
            id: principal.id.clone(),
            kind: if caller.kind == CredentialKind::Service { "service" } else { "api_key" },
            username: Some(principal.name.clone()),
            email: None,
            first_name: None,
            last_name: None,
            name: principal.name.clone(),
            roles: principal.roles.iter().map(|role| role.as_str()).collect(),
            groups: principal.groups.clone(),
            created_at: rfc3339(caller.created_at),
            directory: None,
        }));
    }
    Ok(Answer(view(api.people.me(&caller).await?)))
}

/// What of the profile to change; a field that is not named stays, null empties it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the description of a body whose faults are all told at once")]
pub(super) struct UpdateUser {
    /// At most 254 characters.
    #[schema(nullable)]
    email: Option<String>,
    /// At most 100 characters.
    #[schema(nullable)]
    first_name: Option<String>,
    /// At most 100 characters.
    #[schema(nullable)]
    last_name: Option<String>,
}

/// Whether mail could be sent there; nobody but the mail server knows more.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_plain = |part: &str| part.chars().all(|one| !one.is_whitespace() && !one.is_control() && one != '@');
    let is_domain = !domain.is_empty() && domain.split('.').all(|label| !label.is_empty());
    !local.is_empty() && is_domain && is_plain(local) && is_plain(domain) && text.chars().count() <= LONGEST_EMAIL
}

/// One field of the body, or what is wrong with it.
fn change(field: &str, value: &Value) -> Result<Change, String> {
    let text = match value {
        Value::Null => return Ok(Change::Clear),
        Value::String(text) => text.trim(),
        _ => return Err(format!("{field} is a text, or null to empty it")),
    };
    if field == "email" {
        return if is_address(text) {
            Ok(Change::Set(text.to_owned()))
        } else {
            Err(format!("email is an address such as ann@example.com, of at most {LONGEST_EMAIL} characters"))
        };
    }
    if text.is_empty() {
        return Ok(Change::Clear);
    }
    if text.chars().count() > LONGEST_NAME || text.chars().any(char::is_control) {
        return Err(format!("{field} is one line of at most {LONGEST_NAME} characters"));
    }
    Ok(Change::Set(text.to_owned()))
}

/// The whole body; every fault of it is told at once.
fn changes(body: &Map<String, Value>) -> Result<ProfileChange> {
    let mut changes = ProfileChange::default();
    let mut faults = Map::new();
    for (field, value) in body {
        let place = match field.as_str() {
            "email" => &mut changes.email,
            "first_name" => &mut changes.first_name,
            "last_name" => &mut changes.last_name,
            _ => {
                faults.insert(field.clone(), json!("is no field of a profile that can be changed"));
                continue;
            }
        };
        match change(field, value) {
            Ok(change) => *place = change,
            Err(fault) => {
                faults.insert(field.clone(), json!(fault));
            }
        }
    }
    if !faults.is_empty() {
        let names: Vec<&str> = faults.keys().map(String::as_str).collect();
        let message = format!("the profile cannot be changed so; look at {}", names.join(", "));
        return Err(Error::invalid(message).details(json!({ "fields": faults })));
    }
    if changes == ProfileChange::default() {
        return Err(Error::invalid("name what to change: email, first_name or last_name"));
    }
    Ok(changes)
}

/// Changes the caller's profile at their directory, and answers what it has now.
#[utoipa::path(put, path = "/api/users/me", tag = "users", request_body = UpdateUser,
    responses((status = 200, body = UserView), (status = 400), (status = 401), (status = 404, description = "The directory does not know you"), (status = 409, description = "Kept by the directory that pushes it here"), (status = 502, description = "The directory refuses"), (status = 503, description = "The directory does not answer")))]
pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    body: Json<Map<String, Value>>,
) -> ApiResult<Answer<UserView>> {
    let changes = changes(&body.value)?;
    Ok(Answer(view(api.people.change_me(&caller, &changes, doer).await?)))
}

/// Somebody as administrators see them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KnownUser {
    /// What grants name as `user:ID`.
    id: String,
    name: String,
    username: Option<String>,
    email: Option<String>,
    roles: Vec<&'static str>,
    groups: Vec<String>,
    /// The issuer they sign in with; null when they came by a link.
    issuer: Option<String>,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339, to a minute; null when they never signed in.
    last_seen_at: Option<String>,
    /// RFC 3339; since when the directory lets them in no more.
    disabled_at: Option<String>,
    /// Login sessions that are open.
    sessions: i64,
    /// API keys of theirs that count.
    keys: i64,
}

impl KnownUser {
    fn of(known: Known) -> Self {
        Self {
            id: known.id,
            name: known.name,
            username: known.username,
            email: known.email,
            roles: known.roles.iter().map(|role| role.as_str()).collect(),
            groups: known.groups,
            issuer: known.issuer,
            created_at: rfc3339(known.created_at),
            last_seen_at: known.last_seen_at.map(rfc3339),
            disabled_at: known.disabled_at.map(rfc3339),
            sessions: known.sessions,
            keys: known.keys,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserList {
    users: Vec<KnownUser>,
    /// Give it as `before` to read on; null at the end.
    next: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct UsersQuery {
    /// A part of an id, a name, a username or an address.
    #[serde(default)]
    q: String,
    /// How many at most, 1 to 200.
    #[serde(default = "hundred")]
    limit: i64,
    /// The `next` of the page before.
    before: Option<String>,
}

fn hundred() -> i64 {
    100
}

/// Everybody who ever signed in or was pushed here, newest first; those who may come in no more, too. For administrators.
#[utoipa::path(get, path = "/api/users", tag = "users", params(UsersQuery), responses((status = 200, body = UserList), (status = 400), (status = 401), (status = 403)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<UsersQuery>,
) -> ApiResult<Answer<UserList>> {
    let limit = within("limit", query.limit, 1, 200)?;
    let filter = PeopleFilter { search: query.q, before: query.before, limit: limit + 1 };
    let mut users = api.people.everybody(&caller, &filter).await?;
    let more = users.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        users.pop();
    }
    let next = users.last().filter(|_| more).map(|user| user.id.clone());
    Ok(Answer(UserList { users: users.into_iter().map(KnownUser::of).collect(), next }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignedOut {
    success: bool,
    /// How many login sessions ended.
    sessions: usize,
}

/// Signs somebody out everywhere and closes their sockets: oneself, or anybody for an administrator. Keys go on counting.
#[utoipa::path(delete, path = "/api/users/{id}/sessions", tag = "users", params(("id" = String, Path, description = "`me`, or the id of a user")),
    responses((status = 200, body = SignedOut), (status = 401), (status = 404)))]
pub(super) async fn sign_out(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
) -> ApiResult<Answer<SignedOut>> {
    let id = if id == "me" { caller.principal.id.clone() } else { id };
    let ended = api.people.sign_out(&caller, &id, doer).await?;
    api.send_away(&ended);
    Ok(Answer(SignedOut { success: true, sessions: ended.len() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_profile_is_told_at_once() {
        let read = |body: Value| changes(body.as_object().unwrap());
        let good = read(json!({ "email": " ann@example.com ", "first_name": "", "last_name": null })).unwrap();
        assert_eq!(good.email, Change::Set("ann@example.com".to_owned()));
        assert_eq!((good.first_name, good.last_name), (Change::Clear, Change::Clear));
        let error = read(json!({ "email": "ann", "role": "admin", "first_name": 7, "last_name": "a\nb" })).unwrap_err();
        let fields: Vec<_> = error.details["fields"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["email", "role", "first_name", "last_name"]);
        assert!(read(json!({})).is_err());
        for wrong in ["", "@", "a@", "@b", "a b@c", "a@b..c", "a@@b", "a\u{7}@b"] {
            assert!(!is_address(wrong), "{wrong:?}");
        }
        for right in ["a@b", "ann+x@mail.example.com", "ü@ü.example"] {
            assert!(is_address(right), "{right}");
        }
    }
}
