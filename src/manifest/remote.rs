//! A command that is done by a process elsewhere.

use jiff::SignedDuration;

use super::sheet::{NOTHING_LATER, Sheet};
use super::yaml::{Kind, Node};
use crate::model::command::Remote;

/// The shortest and the longest time that a run may take.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// Reads `remote: {}` or `remote: {timeout: 5m}`.
pub(super) fn read(sheet: &mut Sheet, node: &Node) -> Remote {
    let mut remote = Remote::default();
    // `remote:` with nothing behind it says as much as `remote: {}`.
    if matches!(node.kind, Kind::Empty) {
        return remote;
    }
    sheet.entries(node, "\"remote\"", &["timeout"], NOTHING_LATER);
    let Some(node) = node.get("timeout") else { return remote };
    let Some(text) = sheet.text(node, "\"timeout\"") else { return remote };
    match text.trim().parse::<SignedDuration>() {
        Ok(timeout) if (SHORTEST..=LONGEST).contains(&timeout) => {
            remote.timeout = i64::try_from(timeout.as_millis()).unwrap_or(remote.timeout);
        }
        _ => sheet.error(node.at, format!("\"timeout\" is a time from 1s to 24h such as 5m, not \"{text}\"")),
    }
    remote
}
