//! The built-in commands about API keys. A key's secret is never said: it is shown once, on a page that opens for its
//! owner only.

use std::collections::BTreeMap;

use super::Engine;
use super::builtin::command;
use crate::clock::rfc3339;
use crate::identity::keys::{self, KeyWish};
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::command::{Builtin, Command};
use crate::model::message::{Message, Part, Tone, escape_markdown};
use crate::model::offer::Offer;
use crate::model::parameter::{Parameter, ParameterType};
use crate::model::principal::{Principal, Role};
use crate::model::{Error, Result};
use crate::store::api_key::ApiKey;
use crate::store::audit::Doer;

/// Keys that are listed.
const LINES: i64 = 40;

pub(super) fn create() -> Command {
    let intents = ["key create {name}", "key create {name} as {role}"];
    let mut command = command(Builtin::KeyCreate, "key-create", "Makes an API key", &intents, Some("name"));
    let parameter = |name: &str, description: &str, kind: ParameterType, default: Option<&str>| Parameter {
        name: name.to_owned(),
        description: description.to_owned(),
        kind,
        required: false,
        default: default.map(str::to_owned),
        ..Parameter::default()
    };
    let choices = Role::ALL.map(|role| role.as_str().to_owned()).to_vec();
    let role = ParameterType::Choice { choices };
    command.parameters.push(parameter("role", "What it may do, at most what you may", role, Some("user")));
    command.parameters.push(parameter("expires", "The day on which it ends", ParameterType::Date, None));
    command
}

pub(super) fn revoke() -> Command {
    command(Builtin::KeyRevoke, "key-revoke", "Ends an API key for good", &["key revoke {id}"], Some("id"))
}

/// The caller's own keys.
pub(super) async fn list(engine: &Engine, principal: &Principal) -> Result<Message> {
    let keys = engine.store().api_keys(Some(&principal.id), None, LINES).await?;
    let more = "`key create NAME` makes one · `key revoke ID` ends one".to_owned();
    let message = match keys.is_empty() {
        true => Message::text("You have no API keys."),
        false => {
            let columns = ["Name", "Role", "Used", "Expires", "Id"].map(str::to_owned).to_vec();
            Message::text("Your API keys:").part(Part::Table { columns, rows: keys.iter().map(row).collect() })
        }
    };
    Ok(message.part(Part::Context { texts: vec![more] }))
}

fn row(key: &ApiKey) -> Vec<String> {
    let roles: Vec<&str> = key.roles.iter().map(|role| role.as_str()).collect();
    let time = |at: Option<i64>| at.map_or_else(|| "never".to_owned(), rfc3339);
    let cells = [&key.name, &roles.join(","), &time(key.last_used_at), &time(key.expires_at), &key.id];
    cells.map(|text| escape_markdown(text)).to_vec()
}

/// Offers a key: the address at which its owner takes it.
pub(super) async fn offer(
    engine: &Engine,
    principal: &Principal,
    arguments: &BTreeMap<String, String>,
) -> Result<Message> {
    let argument = |name: &str| arguments.get(name).map(String::as_str);
    let name = argument("name").unwrap_or_default().to_owned();
    let role = argument("role").and_then(Role::parse).unwrap_or(Role::User);
    let expires_at = argument("expires").map(day).transpose()?;
    let wish = KeyWish { expires_at, ..KeyWish::plain(name.clone(), role) };
    let token = keys::offer(engine.store(), principal, wish, engine.clock().now()).await?;
    let text = format!(
        "The key **{}** is made when you open the page. It is shown there once, and the page opens once, within a \
         quarter of an hour, for you only.",
        escape_markdown(&name)
    );
    let address = engine.address_of(&format!("/keys/take?offer={token}"));
    Ok(Message::text(text).offer(Offer::link("Make the key", address)))
}

/// The beginning of a day, UTC.
fn day(text: &str) -> Result<i64> {
    let day: Result<jiff::civil::Date, _> = text.parse();
    let begins = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
    begins
        .map(|begins| begins.timestamp().as_millisecond())
        .map_err(|_| Error::invalid("expires is a day such as 2027-01-31"))
}

/// Ends a key, by its id or the beginning of it.
pub(super) async fn end(engine: &Engine, principal: &Principal, id: &str) -> Result<Message> {
    let own = engine.store().api_keys(Some(&principal.id), None, i64::MAX).await?;
    let meant: Vec<&ApiKey> = own.iter().filter(|key| key.id.starts_with(id) && id.len() >= 4).collect();
    let [key] = meant.as_slice() else {
        let text = match meant.is_empty() {
            true => "You have no such key; `key` lists those you have.",
            false => "More than one of your keys begins like that; say more of its id.",
        };
        return Ok(Message::text(text).tone(Tone::Warning).suggest(vec!["key".to_owned()]));
    };
    authorize(principal, Verb::Manage, Object::Key { id: &key.id, owner: key.owner.as_deref() })?;
    let doer = Doer { principal: Some(principal.id.clone()), name: Some(principal.name.clone()), ..Doer::default() };
    keys::revoke(engine.store(), principal, &key.id, doer, engine.clock().now()).await?;
    let text = format!("The key **{}** is revoked; it counts no more within a second.", escape_markdown(&key.name));
    Ok(Message::text(text).tone(Tone::Success))
}
