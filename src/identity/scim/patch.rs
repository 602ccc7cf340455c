//! How a PATCH changes a resource; pure. Lenient where directories differ, strict where they would lose something.

use serde_json::{Map, Value};

use super::filter::{Comparison, Operator, comparisons};
use super::{ENTERPRISE, GROUP, USER, wrong};
use crate::model::Result;

/// What only we write: named by its path it is refused, among other values it is passed over.
const OURS: [&str; 4] = ["id", "meta", "groups", "schemas"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// Where an operation goes.
#[derive(Debug, PartialEq)]
struct Place<'p> {
    /// An attribute, or the name of an extension.
    attribute: &'p str,
    chosen: Option<Vec<Comparison>>,
    sub: Option<&'p str>,
}

fn invalid_path(path: &str) -> crate::model::Error {
    wrong("invalidPath", format!("{path:?} is no path of an attribute"))
}

fn strip<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let head = path.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &path[prefix.len()..])
}

fn place(path: &str) -> Result<Place<'_>> {
    let whole = path.trim();
    if let Some(rest) = strip(whole, ENTERPRISE) {
        let sub = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            // `manager.value` stays one name and is taken apart where it is written.
            Some(sub) if !sub.is_empty() => Some(sub),
            _ => return Err(invalid_path(path)),
        };
        return Ok(Place { attribute: ENTERPRISE, chosen: None, sub });
    }
    let own = [USER, GROUP].into_iter().find_map(|schema| strip(whole, schema)?.strip_prefix(':'));
    let whole = own.unwrap_or(whole);
    if whole.starts_with("urn:") {
        // Another extension: its name ends at the last colon.
        let (attribute, sub) = whole.rsplit_once(':').ok_or_else(|| invalid_path(path))?;
        return Ok(Place { attribute, chosen: None, sub: Some(sub) });
    }
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_$".contains(letter))
    };
    let (attribute, chosen, sub) = match whole.split_once('[') {
        None => {
            let (attribute, sub) = whole.split_once('.').map_or((whole, None), |(head, sub)| (head, Some(sub)));
            (attribute, None, sub)
        }
        Some((attribute, rest)) => {
            let (filter, rest) = rest.rsplit_once(']').ok_or_else(|| invalid_path(path))?;
            let sub = match rest.strip_prefix('.') {
                None if rest.is_empty() => None,
                Some(sub) => Some(sub),
                None => return Err(invalid_path(path)),
            };
            (attribute, Some(comparisons(filter)?), sub)
        }
    };
    if !is_name(attribute) || sub.is_some_and(|sub| !is_name(sub)) {
        return Err(invalid_path(path));
    }
    Ok(Place { attribute, chosen, sub })
}

/// The name under which an object keeps an attribute: names do not mind case.
fn name_in(object: &Map<String, Value>, name: &str) -> String {
    let known = object.keys().find(|known| known.eq_ignore_ascii_case(name));
    known.cloned().unwrap_or_else(|| name.to_owned())
}

/// Changes a resource by all operations of a PATCH.
pub(super) fn apply(document: &mut Value, operations: &[Value]) -> Result<()> {
    for operation in operations {
        let verb = match operation["op"].as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("add") => Verb::Add,
            Some("replace") => Verb::Replace,
            Some("remove") => Verb::Remove,
            _ => return Err(wrong("invalidSyntax", "op is add, replace or remove")),
        };
        let value = operation.get("value");
        match (operation.get("path").and_then(Value::as_str), verb) {
            (None, Verb::Remove) => return Err(wrong("noTarget", "remove needs a path")),
            (None, _) => {
                let fields = value.and_then(Value::as_object);
                let fields = fields.ok_or_else(|| wrong("invalidValue", "without a path, value is an object"))?;
                for (path, value) in fields {
                    // Some directories repeat what only we write.
                    if !OURS.iter().any(|own| own.eq_ignore_ascii_case(path)) {
                        change(document, verb, path, Some(value))?;
                    }
                }
            }
            (Some(path), _) => {
                if OURS.iter().any(|own| own.eq_ignore_ascii_case(path)) {
                    return Err(wrong("mutability", format!("{path} cannot be changed")));
                }
                change(document, verb, path, value)?;
            }
        }
    }
    Ok(())
}

fn change(document: &mut Value, verb: Verb, path: &str, value: Option<&Value>) -> Result<()> {
    let Place { attribute, chosen, sub } = place(path)?;
    if verb != Verb::Remove && value.is_none() {
        return Err(wrong("invalidValue", format!("{path} needs a value")));
    }
    let whole = document.as_object_mut().ok_or_else(|| wrong("invalidSyntax", "the resource is no object"))?;
    let name = name_in(whole, attribute);
    match (chosen, sub) {
        (Some(chosen), sub) => change_chosen(whole, &name, &chosen, sub, verb, value, path),
        (None, Some(sub)) => {
            change_sub(whole, &name, sub, verb, value);
            Ok(())
        }
        (None, None) => {
            change_whole(whole, &name, verb, value);
            Ok(())
        }
    }
}

/// The whole of an attribute.
fn change_whole(whole: &mut Map<String, Value>, name: &str, verb: Verb, value: Option<&Value>) {
    match (verb, value, whole.get_mut(name)) {
        // Some directories say which values to remove.
        (Verb::Remove, Some(Value::Array(gone)), Some(Value::Array(items))) => {
            let is_gone = |item: &Value| {
                gone.iter().any(|one| one == item || (one["value"].is_string() && one["value"] == item["value"]))
            };
            items.retain(|item| !is_gone(item));
        }
        (Verb::Remove, _, _) => {
            whole.shift_remove(name);
        }
        (Verb::Add, Some(added), Some(Value::Array(items))) => {
            let added = added.as_array().map_or(std::slice::from_ref(added), Vec::as_slice);
            for one in added {
                let same = |item: &Value| item == one || (one["value"].is_string() && one["value"] == item["value"]);
                match items.iter_mut().find(|item| same(item)) {
                    Some(item) => merge(item, one),
                    None => items.push(one.clone()),
                }
            }
        }
        (_, Some(new @ Value::Object(_)), Some(known @ Value::Object(_))) => merge(known, new),
        (_, Some(new), _) => {
            whole.insert(name.to_owned(), new.clone());
        }
        (_, None, _) => {}
    }
}

/// One object's fields over another's.
fn merge(known: &mut Value, new: &Value) {
    match (known.as_object_mut(), new.as_object()) {
        (Some(known), Some(new)) => {
            for (field, value) in new {
                let name = name_in(known, field);
                known.insert(name, value.clone());
            }
        }
        _ => *known = new.clone(),
    }
}

fn set(object: &mut Map<String, Value>, sub: &str, verb: Verb, value: Option<&Value>) {
    // Only extensions have a further level: `manager.value`.
    if let Some((outer, inner)) = sub.split_once('.') {
        let name = name_in(object, outer);
        let place = object.entry(name).or_insert_with(|| Map::new().into());
        if let Some(place) = place.as_object_mut() {
            set(place, inner, verb, value);
        }
        return;
    }
    let name = name_in(object, sub);
    match (verb, value) {
        (Verb::Remove, _) | (_, None) => {
            object.shift_remove(&name);
        }
        (_, Some(value)) => {
            object.insert(name, value.clone());
        }
    }
}

/// A part of an attribute; of one with many values, of each.
fn change_sub(whole: &mut Map<String, Value>, name: &str, sub: &str, verb: Verb, value: Option<&Value>) {
    match whole.get_mut(name) {
        Some(Value::Object(object)) => set(object, sub, verb, value),
        Some(Value::Array(items)) => {
            items.iter_mut().filter_map(Value::as_object_mut).for_each(|item| set(item, sub, verb, value));
        }
        _ if verb == Verb::Remove => {}
        _ => {
            let mut object = Map::new();
            set(&mut object, sub, verb, value);
            whole.insert(name.to_owned(), object.into());
        }
    }
}

/// Those values of an attribute that fit.
fn change_chosen(
    whole: &mut Map<String, Value>,
    name: &str,
    chosen: &[Comparison],
    sub: Option<&str>,
    verb: Verb,
    value: Option<&Value>,
    path: &str,
) -> Result<()> {
    let place = whole.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    let Some(items) = place.as_array_mut() else {
        return Err(wrong("invalidPath", format!("{path:?} chooses among values, and there is only one")));
    };
    let fits = |item: &Value| chosen.iter().all(|one| one.holds(item));
    match (verb, sub) {
        // What is not there need not be removed.
        (Verb::Remove, None) => items.retain(|item| !fits(item)),
        (Verb::Remove, Some(sub)) => {
            let found = items.iter_mut().filter(|item| fits(item)).filter_map(Value::as_object_mut);
            found.for_each(|item| set(item, sub, verb, None));
        }
        (_, sub) => {
            let mut is_found = false;
            for item in items.iter_mut().filter(|item| fits(item)) {
                is_found = true;
                match (sub, item.as_object_mut(), value) {
                    (Some(sub), Some(item), value) => set(item, sub, verb, value),
                    (None, _, Some(value)) => merge(item, value),
                    _ => {}
                }
            }
            if !is_found {
                if verb == Verb::Replace {
                    return Err(wrong("noTarget", format!("{path:?} chooses nothing")));
                }
                // `emails[type eq "work"].value` of somebody who has none: it is made as it is described.
                let mut item = Map::new();
                for Comparison { attribute, operator, value } in chosen {
                    if *operator == Operator::Equal {
                        item.insert(attribute.clone(), value.clone());
                    }
                }
                let mut item = Value::from(item);
                match (sub, item.as_object_mut(), value) {
                    (Some(sub), Some(item), value) => set(item, sub, verb, value),
                    (None, _, Some(value)) => merge(&mut item, value),
                    _ => {}
                }
                items.push(item);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "they are made where they are applied")]
    fn patched(document: &Value, operations: Value) -> Result<Value> {
        let mut document = document.clone();
        apply(&mut document, operations.as_array().unwrap())?;
        Ok(document)
    }

    #[test]
    fn operations_as_directories_write_them() {
        let ann = json!({
            "userName": "ann", "active": true, "name": { "givenName": "Ann" },
            "emails": [{ "type": "work", "value": "a@x", "primary": true }],
            ENTERPRISE: { "department": "ops" },
        });
        for (operations, pointer, expected) in [
            (json!([{ "op": "Replace", "path": "active", "value": "False" }]), "/active", json!("False")),
            (json!([{ "op": "replace", "value": { "active": false, "id": "7" } }]), "/active", json!(false)),
            (
                json!([{ "op": "add", "path": "name.familyName", "value": "Lee" }]),
                "/name",
                json!({ "givenName": "Ann", "familyName": "Lee" }),
            ),
            (json!([{ "op": "replace", "value": { "name.givenName": "Anna" } }]), "/name/givenName", json!("Anna")),
            (
                json!([{ "op": "replace", "path": "NAME", "value": { "familyName": "Lee" } }]),
                "/name/givenName",
                json!("Ann"),
            ),
            (
                json!([{ "op": "replace", "path": "emails[type eq \"work\"].value", "value": "b@x" }]),
                "/emails/0/value",
                json!("b@x"),
            ),
            (
                json!([{ "op": "add", "path": "emails[type eq \"home\"].value", "value": "h@x" }]),
                "/emails/1",
                json!({ "type": "home", "value": "h@x" }),
            ),
            (
                json!([{ "op": "add", "path": "emails", "value": [{ "value": "a@x", "display": "A" }] }]),
                "/emails",
                json!([{ "type": "work", "value": "a@x", "primary": true, "display": "A" }]),
            ),
            (json!([{ "op": "remove", "path": "emails[value eq \"a@x\"]" }]), "/emails", json!([])),
            (json!([{ "op": "remove", "path": "emails" }]), "/emails", Value::Null),
            (
                json!([{ "op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "web" }]),
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/department",
                json!("web"),
            ),
            (
                json!([{ "op": "add", "path": format!("{ENTERPRISE}:manager.value"), "value": "7" }]),
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager",
                json!({ "value": "7" }),
            ),
            (
                json!([{ "op": "replace", "path": format!("{USER}:name.givenName"), "value": "B" }]),
                "/name/givenName",
                json!("B"),
            ),
        ] {
            let after = patched(&ann, operations.clone()).unwrap();
            assert_eq!(after.pointer(pointer).unwrap_or(&Value::Null), &expected, "{operations}");
        }
        for (operations, word) in [
            (json!([{ "op": "move", "path": "active" }]), "invalidSyntax"),
            (json!([{ "op": "remove" }]), "noTarget"),
            (json!([{ "op": "replace", "path": "emails[type eq \"home\"].value", "value": "x" }]), "noTarget"),
            (json!([{ "op": "replace", "path": "id", "value": "x" }]), "mutability"),
            (json!([{ "op": "replace", "path": "active" }]), "invalidValue"),
            (json!([{ "op": "replace", "value": "x" }]), "invalidValue"),
            (json!([{ "op": "add", "path": "emails[type]", "value": "x" }]), "invalidFilter"),
            (json!([{ "op": "add", "path": "a b", "value": "x" }]), "invalidPath"),
            (json!([{ "op": "add", "path": "emails[type eq \"x\"", "value": "x" }]), "invalidPath"),
            (json!([{ "op": "add", "path": "name[a eq 1].b", "value": "x" }]), "invalidPath"),
        ] {
            let error = patched(&ann, operations.clone()).unwrap_err();
            assert_eq!(error.details["scimType"], word, "{operations}");
        }
    }

    #[test]
    fn members_join_once_and_leave_in_every_way() {
        let sre = json!({ "displayName": "sre", "members": [{ "value": "1" }, { "value": "2" }] });
        let members = |operations| {
            let after = patched(&sre, operations).unwrap();
            let items = after["members"].as_array().cloned().unwrap_or_default();
            items.iter().map(|item| item["value"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let add =
            json!([{ "op": "add", "path": "members", "value": [{ "value": "2", "display": "B" }, { "value": "3" }] }]);
        assert_eq!(members(add), ["1", "2", "3"]);
        assert_eq!(members(json!([{ "op": "Add", "path": "members", "value": { "value": "4" } }])), ["1", "2", "4"]);
        assert_eq!(members(json!([{ "op": "remove", "path": "members[value eq \"1\"]" }])), ["2"]);
        assert_eq!(members(json!([{ "op": "remove", "path": "members", "value": [{ "value": "2" }] }])), ["1"]);
        assert_eq!(members(json!([{ "op": "replace", "path": "members", "value": [{ "value": "9" }] }])), ["9"]);
        assert!(members(json!([{ "op": "remove", "path": "members" }])).is_empty());
    }
}
