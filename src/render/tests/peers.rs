//! What we make, held against the types that Slack's and Discord's own packages publish.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::building::{PLACE, every_field, everything, far_too_large, form};
use crate::model::action::FormState;
use crate::render::{discord, slack};

#[test]
fn both_chats_types_take_what_we_make() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/payloads.mjs");
    assert!(script.with_file_name("node_modules").exists(), "`make test` installs what the tests speak to");
    let (small, large) = (everything(), far_too_large());
    let whole = form(every_field(), FormState::Open);
    let mut few = whole.clone();
    few.fields.truncate(5);
    let of_slack = [slack::message(&small, &PLACE).messages, slack::message(&large, &PLACE).messages].concat();
    let of_discord = [discord::message(&small, &PLACE).messages, discord::message(&large, &PLACE).messages].concat();
    let payloads = json!({
        "slack": of_slack,
        "views": [slack::view(&whole, "Book a room", "{}")],
        "discord": of_discord,
        "modals": [discord::modal(&few, "Book a room")],
    });
    let mut node = Command::new("node");
    let mut node = node.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
    let input = payloads.to_string();
    node.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    let output = node.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains(" payloads, 0 faults"), "{told}");
}
