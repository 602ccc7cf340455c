//! What a command waits for: the word of who asks, and the approval of others.

use jiff::SignedDuration;

use super::sheet::{NOTHING_LATER, Sheet};
use super::yaml::{Kind, Node, Plain};
use crate::model::approval::{Approve, Confirm};
use crate::model::command::Effect;
use crate::model::principal::Role;

/// The shortest and the longest time that an approval is waited for.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
const LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The most persons that must approve.
const MOST: usize = 20;

/// The longest name of a group.
const LONGEST_GROUP: usize = 100;

/// Reads `confirm` and `approve` of a command. What is not written follows from its effect: what destroys is confirmed and
/// approved.
pub(super) fn read(sheet: &mut Sheet, command: &Node, effect: Effect) -> (Confirm, Option<Approve>) {
    let confirm = match command.get("confirm") {
        Some(node) => match sheet.one_of(node, "confirm", &["never", "change", "always", "typed"]) {
            Some("change") => Confirm::Change,
            Some("always") => Confirm::Always,
            Some("typed") => Confirm::Typed,
            _ => Confirm::Never,
        },
        None => match effect {
            // The matcher neither guesses nor corrects, so that there is nothing to ask about.
            Effect::Read | Effect::Change => Confirm::Never,
            Effect::Destroy => Confirm::Always,
        },
    };
    let approve = match command.get("approve") {
        Some(node) if matches!(node.kind, Kind::Scalar { plain: Plain::Flag(false), .. }) => None,
        Some(node) => Some(read_approve(sheet, node)),
        None => (effect == Effect::Destroy).then(Approve::default),
    };
    (confirm, approve)
}

fn read_approve(sheet: &mut Sheet, node: &Node) -> Approve {
    let mut approve = Approve { roles: Vec::new(), ..Approve::default() };
    let known = ["count", "from", "not_requester", "ttl", "reason"];
    if sheet.entries(node, "\"approve\" (or false)", &known, NOTHING_LATER).is_none() {
        return approve;
    }
    if let Some(count) = node.get("count") {
        match sheet.number::<usize>(count, "\"count\"") {
            Some(wanted) if (1..=MOST).contains(&wanted) => approve.count = wanted,
            Some(_) => sheet.error(count.at, format!("\"count\" is how many persons approve, 1 to {MOST}")),
            None => {}
        }
    }
    if let Some(from) = node.get("from") {
        read_from(sheet, from, &mut approve);
    }
    if approve.groups.is_empty() && approve.roles.is_empty() {
        approve.roles.push(Role::Admin);
    }
    for (key, flag) in [("not_requester", &mut approve.not_requester), ("reason", &mut approve.reason)] {
        if let Some(node) = node.get(key) {
            *flag = sheet.flag(node, &format!("\"{key}\"")).unwrap_or_default();
        }
    }
    if let Some(node) = node.get("ttl")
        && let Some(text) = sheet.text(node, "\"ttl\"")
    {
        match text.trim().parse::<SignedDuration>() {
            Ok(ttl) if (SHORTEST..=LONGEST).contains(&ttl) => {
                approve.ttl = i64::try_from(ttl.as_millis()).unwrap_or(Approve::TTL);
            }
            _ => sheet.error(node.at, format!("\"ttl\" is a time from 1m to 720h such as 30m, not \"{text}\"")),
        }
    }
    approve
}

fn read_from(sheet: &mut Sheet, from: &Node, approve: &mut Approve) {
    if sheet.entries(from, "\"from\"", &["groups", "roles"], NOTHING_LATER).is_none() {
        return;
    }
    if let Some(node) = from.get("groups") {
        for item in sheet.one_or_many(node) {
            approve.groups.extend(sheet.line(item, "a group", LONGEST_GROUP).map(str::to_owned));
        }
    }
    if let Some(node) = from.get("roles") {
        for item in sheet.one_or_many(node) {
            approve.roles.extend(sheet.one_of(item, "role", &Role::ALL.map(Role::as_str)).and_then(Role::parse));
        }
    }
}
