//! SCIM resources as a client reads and changes them; pure.

use serde_json::{Map, Value, json};

use crate::model::person::{Change, Group, Profile, ProfileChange};

pub(super) const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
pub(super) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

fn time(resource: &Value) -> Option<i64> {
    let created = text(resource, "/meta/created")?;
    Some(created.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

/// The address that counts: the primary one, or else the first.
fn email(resource: &Value) -> Option<&str> {
    let emails = resource.get("emails")?.as_array()?;
    let primary = emails.iter().find(|email| email["primary"] == true);
    text(primary.or(emails.first())?, "/value")
}

pub(super) fn profile(resource: &Value) -> Profile {
    let owned = |pointer| text(resource, pointer).map(str::to_owned);
    Profile {
        id: owned("/id").unwrap_or_default(),
        username: owned("/userName"),
        email: email(resource).map(str::to_owned),
        first_name: owned("/name/givenName"),
        last_name: owned("/name/familyName"),
        created_at: time(resource),
    }
}

pub(super) fn group(resource: &Value) -> Option<Group> {
    let members = resource.get("members").and_then(Value::as_array);
    Some(Group {
        id: text(resource, "/id")?.to_owned(),
        name: text(resource, "/displayName")?.to_owned(),
        members: members.and_then(|members| i64::try_from(members.len()).ok()),
        created_at: time(resource),
    })
}

/// The ids of a group's members; `None` when the resource does not say.
pub(super) fn member_ids(resource: &Value) -> Option<Vec<&str>> {
    let members = resource.get("members")?.as_array()?;
    Some(members.iter().filter_map(|member| text(member, "/value")).collect())
}

/// The addresses with another one that counts; the others stay.
fn with_email(resource: &Value, change: &Change) -> Option<Vec<Value>> {
    let mut emails = resource.get("emails").and_then(Value::as_array).cloned().unwrap_or_default();
    let counts = emails.iter().position(|email| email["primary"] == true).unwrap_or(0);
    match change {
        Change::Keep => return None,
        Change::Set(address) => match emails.get_mut(counts) {
            Some(Value::Object(email)) => {
                email.insert("value".to_owned(), json!(address));
                email.shift_remove("display");
            }
            _ => emails.push(json!({ "value": address, "primary": true })),
        },
        Change::Clear if counts < emails.len() => {
            emails.remove(counts);
        }
        Change::Clear => {}
    }
    Some(emails)
}

const NAMES: [&str; 2] = ["givenName", "familyName"];

/// The operations of a PATCH that make the change.
pub(super) fn operations(resource: &Value, change: &ProfileChange) -> Vec<Value> {
    let mut operations = Vec::new();
    for (part, change) in NAMES.into_iter().zip([&change.first_name, &change.last_name]) {
        let path = format!("name.{part}");
        match change {
            Change::Keep => {}
            Change::Set(value) => operations.push(json!({ "op": "replace", "path": path, "value": value })),
            Change::Clear => operations.push(json!({ "op": "remove", "path": path })),
        }
    }
    match with_email(resource, &change.email) {
        Some(emails) if emails.is_empty() => operations.push(json!({ "op": "remove", "path": "emails" })),
        Some(emails) => operations.push(json!({ "op": "replace", "path": "emails", "value": emails })),
        None => {}
    }
    operations
}

/// The whole resource with the change, for a PUT.
pub(super) fn changed(resource: &Value, change: &ProfileChange) -> Value {
    let mut whole = without_meta(resource);
    if let Some(emails) = with_email(resource, &change.email) {
        whole.insert("emails".to_owned(), Value::from(emails));
    }
    let mut name = resource.get("name").and_then(Value::as_object).cloned().unwrap_or_default();
    for (part, change) in NAMES.into_iter().zip([&change.first_name, &change.last_name]) {
        match change {
            Change::Keep => {}
            Change::Set(value) => {
                name.insert(part.to_owned(), json!(value));
                // What was put together from the parts is no longer so.
                name.shift_remove("formatted");
            }
            Change::Clear => {
                name.shift_remove(part);
                name.shift_remove("formatted");
            }
        }
    }
    if !name.is_empty() {
        whole.insert("name".to_owned(), name.into());
    }
    whole.into()
}

/// The whole group with or without a member, for a PUT.
pub(super) fn with_member(resource: &Value, user: &str, joins: bool) -> Value {
    let mut whole = without_meta(resource);
    let mut members = resource.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
    members.retain(|member| text(member, "/value") != Some(user));
    if joins {
        members.push(json!({ "value": user }));
    }
    whole.insert("members".to_owned(), members.into());
    whole.into()
}

/// A resource without what only its keeper writes.
fn without_meta(resource: &Value) -> Map<String, Value> {
    let mut whole = resource.as_object().cloned().unwrap_or_default();
    for kept in ["meta", "groups", "password"] {
        whole.shift_remove(kept);
    }
    whole
}

/// A text within a filter.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Value {
        json!({
            "schemas": ["x"], "id": "1", "userName": "ann", "meta": { "created": "2026-01-02T03:04:05Z" },
            "name": { "givenName": "Ann", "familyName": "Lee", "formatted": "Ann Lee" }, "nickName": "A",
            "emails": [{ "value": "home@x" }, { "value": "work@x", "primary": true, "type": "work" }],
        })
    }

    #[test]
    fn a_profile_is_read_and_changed_without_losing_the_rest() {
        let read = profile(&ann());
        assert_eq!((read.email.as_deref(), read.first_name.as_deref()), (Some("work@x"), Some("Ann")));
        assert_eq!(read.created_at, Some(1_767_323_045_000));
        let change =
            ProfileChange { email: Change::Set("new@x".into()), first_name: Change::Clear, last_name: Change::Keep };
        let emails = json!([{ "value": "home@x" }, { "value": "new@x", "primary": true, "type": "work" }]);
        assert_eq!(
            operations(&ann(), &change),
            [
                json!({ "op": "remove", "path": "name.givenName" }),
                json!({ "op": "replace", "path": "emails", "value": emails }),
            ]
        );
        let whole = changed(&ann(), &change);
        assert_eq!((&whole["emails"], &whole["name"]), (&emails, &json!({ "familyName": "Lee" })));
        assert_eq!((&whole["nickName"], whole.get("meta")), (&json!("A"), None));
        let bare = json!({ "id": "2" });
        let change = ProfileChange { email: Change::Set("a@x".into()), ..ProfileChange::default() };
        assert_eq!(changed(&bare, &change)["emails"], json!([{ "value": "a@x", "primary": true }]));
        let gone = ProfileChange { email: Change::Clear, ..ProfileChange::default() };
        assert_eq!(operations(&bare, &gone), [json!({ "op": "remove", "path": "emails" })]);
        assert_eq!(quoted("a\"b\\"), r#""a\"b\\""#);
    }

    #[test]
    fn a_member_joins_once_and_leaves() {
        let sre =
            json!({ "id": "g", "displayName": "sre", "meta": {}, "members": [{ "value": "1", "display": "Ann" }] });
        let joined = with_member(&sre, "2", true);
        assert_eq!(member_ids(&joined), Some(vec!["1", "2"]));
        assert_eq!(member_ids(&with_member(&joined, "2", true)), Some(vec!["1", "2"]));
        assert_eq!(member_ids(&with_member(&joined, "1", false)), Some(vec!["2"]));
        assert_eq!(member_ids(&json!({ "id": "g" })), None);
    }
}
