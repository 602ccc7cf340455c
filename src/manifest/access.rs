//! Who may see and use a bot or a command.

use std::collections::BTreeMap;

use super::sheet::{NOTHING_LATER, Sheet};
use super::yaml::{Entry, Node};
use crate::model::bot::Access;
use crate::model::parameter::Parameter;
use crate::model::principal::Role;
use crate::template::nearest;

const LONGEST: usize = 100;

/// Reads `access`. `parameters` are the command's, or `None` for a bot, which has no arguments to look at.
pub(super) fn read(sheet: &mut Sheet, node: &Node, parameters: Option<&[Parameter]>) -> Access {
    let mut access = Access::default();
    if sheet.entries(node, "\"access\"", &["roles", "groups", "when"], NOTHING_LATER).is_none() {
        return access;
    }
    if let Some(node) = node.get("roles") {
        let names = Role::ALL.map(Role::as_str);
        for item in sheet.one_or_many(node) {
            access.roles.extend(sheet.one_of(item, "role", &names).and_then(Role::parse));
        }
    }
    if let Some(node) = node.get("groups") {
        for item in sheet.one_or_many(node) {
            access.groups.extend(sheet.line(item, "a group", LONGEST).map(str::to_owned));
        }
    }
    if let Some(entry) = node.entry("when") {
        match parameters {
            Some(parameters) => access.when = read_when(sheet, &entry.value, parameters),
            None => sheet.error(entry.key_at, "\"when\" belongs to the access of a command: a bot has no parameters"),
        }
    }
    access
}

fn read_when(sheet: &mut Sheet, node: &Node, parameters: &[Parameter]) -> BTreeMap<String, Vec<String>> {
    let mut when = BTreeMap::new();
    for Entry { key, key_at, value } in sheet.map(node, "\"when\"").unwrap_or_default() {
        let Some(parameter) = parameters.iter().find(|parameter| parameter.name == *key) else {
            let known = parameters.iter().map(|parameter| parameter.name.as_str());
            sheet.error_near(*key_at, format!("there is no parameter \"{key}\""), nearest(key, known));
            continue;
        };
        let mut values = Vec::new();
        for item in sheet.one_or_many(value) {
            let Some(text) = sheet.text(item, "a value") else { continue };
            match parameter.kind.accept(text) {
                Ok(kept) => values.push(kept),
                Err(expected) => sheet.error(item.at, format!("\"{text}\" is not {expected} of \"{key}\"")),
            }
        }
        when.insert(key.clone(), values);
    }
    when
}
