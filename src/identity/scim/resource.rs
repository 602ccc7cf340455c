//! What a pushed resource says, and how it is shown again; pure.

use serde_json::{Map, Value, json};

use super::{ENTERPRISE, GROUP, USER, wrong};
use crate::clock::rfc3339;
use crate::model::{Error, Result};
use crate::store::scim::{GroupPush, PushedGroup, PushedUser, UserPush};

/// The longest text of a name, and the most of a whole resource, in bytes.
const LONGEST: usize = 200;
const MOST: usize = 64 * 1024;

/// The attributes of a user that are kept, as the standard writes them. A password never is.
const KEPT: [&str; 20] = [
    "userName",
    "externalId",
    "name",
    "displayName",
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "active",
    "emails",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "roles",
    "x509Certificates",
];

/// Attributes with many values.
const MANY: [&str; 8] =
    ["emails", "phoneNumbers", "ims", "photos", "addresses", "entitlements", "roles", "x509Certificates"];

fn invalid(field: &str, message: impl Into<String>) -> Error {
    let message = message.into();
    Error::invalid(format!("{field}: {message}")).details(json!({ "scimType": "invalidValue", "field": field }))
}

/// The fields of a resource under the names of the standard; what is not kept is left out, and so is what is null.
fn kept(body: &Value) -> Result<Map<String, Value>> {
    let fields = body.as_object().ok_or_else(|| wrong("invalidSyntax", "a resource is an object"))?;
    let mut kept = Map::new();
    for (name, value) in fields {
        if value.is_null() {
            continue;
        }
        if let Some(known) = KEPT.into_iter().find(|known| known.eq_ignore_ascii_case(name)) {
            kept.insert(known.to_owned(), value.clone());
        } else if name.eq_ignore_ascii_case(ENTERPRISE) {
            kept.insert(ENTERPRISE.to_owned(), value.clone());
        } else if name.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("urn:")) && value.is_object() {
            kept.insert(name.clone(), value.clone());
        }
    }
    Ok(kept)
}

fn line(value: &Value, field: &str) -> Result<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => {
            let text = text.trim();
            if text.chars().count() > LONGEST || text.chars().any(char::is_control) {
                return Err(invalid(field, format!("is one line of at most {LONGEST} characters")));
            }
            Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
        }
        _ => Err(invalid(field, "is a text")),
    }
}

/// A truth value; some directories write it as a text.
fn truth(value: &Value, field: &str) -> Result<bool> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(invalid(field, "is true or false")),
    }
}

/// What a user's resource says, with the document to keep.
pub(super) fn user(body: &Value) -> Result<UserPush> {
    let mut kept = kept(body)?;
    let get = |kept: &Map<String, Value>, field: &str| kept.get(field).cloned().unwrap_or(Value::Null);
    let user_name = line(&get(&kept, "userName"), "userName")?.ok_or_else(|| invalid("userName", "is missing"))?;
    let external_id = line(&get(&kept, "externalId"), "externalId")?;
    let active = kept.get("active").map_or(Ok(true), |value| truth(value, "active"))?;
    kept.insert("userName".to_owned(), json!(user_name));
    kept.insert("active".to_owned(), json!(active));
    for field in MANY {
        let Some(value) = kept.get_mut(field) else { continue };
        let items = value.as_array_mut().ok_or_else(|| invalid(field, "is a list"))?;
        if !items.iter().all(Value::is_object) {
            return Err(invalid(field, "is a list of objects"));
        }
        // Only one of them counts as the first.
        let mut is_last = true;
        for item in items.iter_mut().rev().filter(|item| item["primary"] == true || item["primary"] == "True") {
            item["primary"] = json!(std::mem::take(&mut is_last));
        }
    }
    let name = get(&kept, "name");
    if !(name.is_null() || name.is_object()) {
        return Err(invalid("name", "is an object"));
    }
    let first_name = line(&name["givenName"], "name.givenName")?;
    let last_name = line(&name["familyName"], "name.familyName")?;
    let emails = get(&kept, "emails");
    let emails = emails.as_array().map(Vec::as_slice).unwrap_or_default();
    let email = emails.iter().find(|email| email["primary"] == true).or(emails.first());
    let email = email.map_or(Ok(None), |email| line(&email["value"], "emails.value"))?;
    let parts: Vec<&str> = [&first_name, &last_name].into_iter().flatten().map(String::as_str).collect();
    let together = Some(parts.join(" ")).filter(|name| !name.is_empty());
    let shown =
        [line(&get(&kept, "displayName"), "displayName")?, line(&name["formatted"], "name.formatted")?, together];
    let shown = shown.into_iter().flatten().next().unwrap_or_else(|| user_name.clone());
    let document = Value::from(kept).to_string();
    if document.len() > MOST {
        return Err(
            Error::invalid(format!("a resource has at most {MOST} bytes")).details(json!({ "scimType": "tooMany" }))
        );
    }
    Ok(UserPush { user_name, external_id, active, document, name: shown, email, first_name, last_name })
}

/// What a group's resource says.
pub(super) fn group(body: &Value) -> Result<GroupPush> {
    let fields = body.as_object().ok_or_else(|| wrong("invalidSyntax", "a resource is an object"))?;
    let get = |name: &str| {
        let known = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map_or(&Value::Null, |(_, value)| value)
    };
    let name = line(get("displayName"), "displayName")?.ok_or_else(|| invalid("displayName", "is missing"))?;
    let external_id = line(get("externalId"), "externalId")?;
    let items = match get("members") {
        Value::Null => &[][..],
        Value::Array(items) => items,
        _ => return Err(invalid("members", "is a list")),
    };
    let mut members = Vec::with_capacity(items.len());
    for item in items {
        if item["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("group")) {
            return Err(invalid("members", "groups within groups are not kept here"));
        }
        members.push(line(&item["value"], "members.value")?.ok_or_else(|| invalid("members.value", "is missing"))?);
    }
    members.sort_unstable();
    members.dedup();
    Ok(GroupPush { name, external_id, members })
}

/// A group as a PATCH finds it.
pub(super) fn group_document(group: &PushedGroup) -> Value {
    let members: Vec<Value> = group.members.iter().map(|(id, name)| json!({ "value": id, "display": name })).collect();
    let mut document = json!({ "displayName": group.name, "members": members });
    if let Some(external) = &group.external_id {
        document["externalId"] = json!(external);
    }
    document
}

/// The version of a resource as HTTP writes it.
pub fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// The version in an `If-Match`; `None` for `*`.
pub fn version(etag: &str) -> Result<Option<i64>> {
    let etag = etag.trim();
    if etag == "*" {
        return Ok(None);
    }
    let number = etag.trim_start_matches("W/").trim_matches('"').parse();
    // Whatever else it is, no resource has it.
    Ok(Some(number.unwrap_or(-1)))
}

fn meta(kind: &str, base: &str, id: &str, version: i64, created: i64, updated: i64) -> Value {
    json!({
        "resourceType": kind, "created": rfc3339(created), "lastModified": rfc3339(updated),
        "location": format!("{base}/{kind}s/{id}"), "version": etag(version),
    })
}

/// A user as it is shown; `base` is the address of the SCIM doors.
pub fn show_user(user: &PushedUser, base: &str) -> Result<Value> {
    let document: Map<String, Value> =
        serde_json::from_str(&user.document).map_err(|error| Error::internal("read a pushed user", error))?;
    let extensions = document.keys().filter(|name| name.starts_with("urn:"));
    let schemas: Vec<&str> = std::iter::once(USER).chain(extensions.map(String::as_str)).collect();
    let mut shown = json!({ "schemas": schemas, "id": user.id });
    let groups: Vec<Value> = user
        .groups
        .iter()
        .map(|(id, name)| {
            json!({ "value": id, "display": name, "$ref": format!("{base}/Groups/{id}"), "type": "direct" })
        })
        .collect();
    if let Some(fields) = shown.as_object_mut() {
        fields.extend(document);
        if !groups.is_empty() {
            fields.insert("groups".to_owned(), groups.into());
        }
        let meta = meta("User", base, &user.id, user.version, user.created_at, user.updated_at);
        fields.insert("meta".to_owned(), meta);
    }
    Ok(shown)
}

/// A group as it is shown.
pub fn show_group(group: &PushedGroup, base: &str) -> Value {
    let members: Vec<Value> = group
        .members
        .iter()
        .map(|(id, name)| json!({ "value": id, "display": name, "$ref": format!("{base}/Users/{id}"), "type": "User" }))
        .collect();
    let mut shown = json!({ "schemas": [GROUP], "id": group.id, "displayName": group.name });
    if let Some(external) = &group.external_id {
        shown["externalId"] = json!(external);
    }
    shown["members"] = members.into();
    shown["meta"] = meta("Group", base, &group.id, group.version, group.created_at, group.updated_at);
    shown
}

/// Leaves in a shown resource what was asked for: by `attributes` only these, or else all but `excluded`. Its id and its
/// schemas are always there.
pub fn select(shown: &mut Value, attributes: Option<&str>, excluded: Option<&str>) {
    let Some(fields) = shown.as_object_mut() else { return };
    // A part of an attribute stands for the whole of it.
    let names = |list: &str, name: &str| {
        list.split(',').map(str::trim).any(|wanted| {
            let is_part = wanted.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
            is_part && wanted[name.len()..].chars().next().is_none_or(|next| next == '.' || next == ':')
        })
    };
    fields.retain(|name, _| {
        let always = name == "id" || name == "schemas";
        let wanted = match (attributes, excluded) {
            (Some(list), _) => names(list, name),
            (None, Some(list)) => !list.split(',').any(|gone| gone.trim().eq_ignore_ascii_case(name)),
            (None, None) => true,
        };
        always || wanted
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_leniently_and_kept_by_the_standard() {
        let push = user(&json!({
            "schemas": [USER], "USERNAME": " ann ", "active": "False", "password": "hunter2", "id": "7", "groups": [],
            "name": { "givenName": "Ann", "familyName": "Lee" }, "nonsense": 1, "title": null,
            "emails": [{ "value": "a@x", "primary": true }, { "value": "b@x", "primary": true }],
            ENTERPRISE: { "department": "ops" },
        }))
        .unwrap();
        assert_eq!((push.user_name.as_str(), push.active, push.name.as_str()), ("ann", false, "Ann Lee"));
        assert_eq!(push.email.as_deref(), Some("b@x"), "the last one that is said to be the first");
        let document: Value = serde_json::from_str(&push.document).unwrap();
        let names: Vec<&String> = document.as_object().unwrap().keys().collect();
        assert_eq!(names, ["userName", "active", "name", "emails", ENTERPRISE]);
        assert!(!push.document.contains("hunter2"));
        for (body, field) in [
            (json!({}), "userName"),
            (json!({ "userName": "" }), "userName"),
            (json!({ "userName": 7 }), "userName"),
            (json!({ "userName": "a", "active": 1 }), "active"),
            (json!({ "userName": "a", "emails": "a@x" }), "emails"),
            (json!({ "userName": "a", "emails": ["a@x"] }), "emails"),
            (json!({ "userName": "a", "name": "Ann" }), "name"),
            (json!({ "userName": "a\nb" }), "userName"),
        ] {
            let error = user(&body).unwrap_err();
            assert_eq!((&error.details["field"], &error.details["scimType"]), (&json!(field), &json!("invalidValue")));
        }
        assert!(group(&json!({ "displayName": "g", "members": [{ "value": "1", "type": "Group" }] })).is_err());
        let twice =
            group(&json!({ "displayname": "g", "members": [{ "value": "2" }, { "value": "1" }, { "value": "2" }] }));
        assert_eq!(twice.unwrap().members, ["1", "2"]);
    }

    #[test]
    fn what_was_asked_for_is_shown() {
        let whole = json!({ "schemas": [], "id": "1", "userName": "a", "name": {}, "meta": {} });
        let shown = |attributes, excluded| {
            let mut shown = whole.clone();
            select(&mut shown, attributes, excluded);
            shown.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(Some("username, name.givenName"), None), "schemas id userName name");
        assert_eq!(shown(None, Some("Name,id")), "schemas id userName meta");
        assert_eq!(shown(Some("user"), None), "schemas id");
        assert_eq!((version("W/\"3\"").unwrap(), version("*").unwrap()), (Some(3), None));
        assert_eq!(version("abc").unwrap(), Some(-1));
    }
}
