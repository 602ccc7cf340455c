//! What something from Discord means. Pure, and forgiving: a field that is missing takes away what needs it and nothing
//! else.

use serde_json::{Value, json};

use super::PLATFORM;
use super::commands::GENERIC;
use crate::chat::outside::{Deed, Inbound, SharedFile, Via};
use crate::config;
use crate::engine::invoke::OutsideChannel;
use crate::model::place::{Account, Place};
use crate::render::discord::{Control, control};

/// Accounts are the same in all servers.
const ACCOUNTS: &str = "discord";
/// The server of direct messages.
pub(super) const DIRECT: &str = "@me";
/// What a reference to an interaction begins with; its id and its token follow.
pub(super) const INTERACTION: &str = "i.";

/// Kinds of messages that people write themselves: plain ones and replies.
const OWN_WORDS: [i64; 2] = [0, 19];

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Reads what was kept: `{"kind", "body", "own", "in_thread"}`.
pub(super) fn read(payload: &Value, settings: &config::Discord) -> Option<Inbound> {
    let body = &payload["body"];
    match payload["kind"].as_str()? {
        "message" => message(payload, settings),
        "edit" => {
            let edited = text(body, "/edited_timestamp").is_some();
            let said = body["content"].as_str().filter(|_| edited)?;
            let own = text(payload, "/own").unwrap_or_default();
            let text = plain(&without_mention(said, own).0);
            by_author(body, settings, Deed::Edit { text: after_prefix(&text, settings).unwrap_or(text.clone()) })
        }
        "delete" => by_author(body, settings, Deed::Unsay),
        "interaction" => interaction(body, settings),
        _ => None,
    }
}

fn by_author(body: &Value, settings: &config::Discord, deed: Deed) -> Option<Inbound> {
    let is_bot = body["author"]["bot"] == true || body.get("webhook_id").is_some_and(|id| !id.is_null());
    if is_bot {
        return None;
    }
    inbound(body, &body["author"], text(body, "/id").map(str::to_owned), settings, deed)
}

fn message(payload: &Value, settings: &config::Discord) -> Option<Inbound> {
    let body = &payload["body"];
    if !OWN_WORDS.contains(&body["type"].as_i64().unwrap_or(0)) {
        return None;
    }
    let own = text(payload, "/own").unwrap_or_default();
    let (said, mentioned) = without_mention(text(body, "/content").unwrap_or_default(), own);
    let said = plain(&said);
    let after_prefix = after_prefix(&said, settings);
    let answers = !own.is_empty() && text(body, "/referenced_message/author/id") == Some(own);
    let is_direct = text(body, "/guild_id").is_none();
    let addressed = is_direct || mentioned || answers || after_prefix.is_some();
    // In a channel many people talk; a thread in which somebody talks with us is a conversation.
    if !addressed && payload["in_thread"] != true {
        return None;
    }
    by_author(body, settings, Deed::Say { text: after_prefix.unwrap_or(said), addressed, files: files(body) })
}

/// What was attached to a message.
fn files(body: &Value) -> Vec<SharedFile> {
    let attachments = body["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let read = |attachment: &Value| {
        let id = text(attachment, "/id")?.to_owned();
        let name = text(attachment, "/filename").unwrap_or("file").to_owned();
        let url = text(attachment, "/url").map(str::to_owned);
        Some(SharedFile { id, name, size: attachment["size"].as_u64().unwrap_or(0), url })
    };
    attachments.iter().filter_map(read).collect()
}

fn after_prefix(said: &str, settings: &config::Discord) -> Option<String> {
    let prefix = Some(settings.prefix.as_str()).filter(|prefix| !prefix.is_empty())?;
    said.trim_start().strip_prefix(prefix).map(str::to_owned)
}

fn inbound(
    body: &Value,
    user: &Value,
    reference: Option<String>,
    settings: &config::Discord,
    deed: Deed,
) -> Option<Inbound> {
    let (user_id, channel) = (text(user, "/id")?, text(body, "/channel_id")?);
    let name = text(body, "/member/nick").or(text(user, "/global_name")).or(text(user, "/username"));
    let name = name.unwrap_or(user_id).to_owned();
    let team = text(body, "/guild_id").unwrap_or(DIRECT);
    let kind = if team == DIRECT { "user" } else { "channel" };
    let channel_name = text(body, "/channel/name").unwrap_or(channel);
    let detail = json!({
        "team": { "id": team },
        "channel": { "id": channel, "name": channel_name, "type": kind },
        "user": { "id": user_id, "name": name },
    });
    let place =
        Place { platform: PLATFORM.to_owned(), team: team.to_owned(), channel: channel.to_owned(), thread: None };
    let account = Account { platform: PLATFORM.to_owned(), team: ACCOUNTS.to_owned(), id: user_id.to_owned(), name };
    let outside = OutsideChannel { id: channel.to_owned(), name: channel_name.to_owned(), kind: kind.to_owned() };
    let bot = settings.bots.get(channel).cloned();
    Some(Inbound { via: Via { account, place, reference, channel: outside, team_name: None, detail }, bot, deed })
}

/// Who caused an interaction; in a server it comes with their membership.
pub(super) fn user(body: &Value) -> &Value {
    body.pointer("/member/user").unwrap_or(&body["user"])
}

/// The account of whoever caused an interaction.
pub(super) fn account(body: &Value, settings: &config::Discord) -> Option<Account> {
    inbound(body, user(body), None, settings, Deed::Unsay).map(|inbound| inbound.via.account)
}

fn interaction(body: &Value, settings: &config::Discord) -> Option<Inbound> {
    let data = &body["data"];
    let mut reference = None;
    let deed = match body["type"].as_i64()? {
        2 => {
            reference = Some(format!("{INTERACTION}{}.{}", text(body, "/id")?, text(body, "/token")?));
            command(data)?
        }
        3 => {
            let action = match control(text(data, "/custom_id")?)? {
                Control::Take(action) => action.to_owned(),
                Control::Ask(_) | Control::Day(_) | Control::Dismiss => return None,
            };
            let value = text(data, "/values/0").map_or(Value::Null, |chosen| json!(chosen));
            Deed::Take { action, value, trigger: None }
        }
        5 => match control(text(data, "/custom_id")?)? {
            Control::Day(action) => {
                let day = crate::render::discord::submitted_day(data)?;
                Deed::Take { action: action.to_owned(), value: json!(day), trigger: None }
            }
            Control::Take(action) => Deed::Submit { action: action.to_owned(), state: data.clone() },
            Control::Ask(_) | Control::Dismiss => return None,
        },
        _ => return None,
    };
    inbound(body, user(body), reference, settings, deed)
}

/// A slash command: the bot's name, the command under it, and the values of its options.
fn command(data: &Value) -> Option<Deed> {
    let bot = text(data, "/name")?.to_owned();
    let sub = data.pointer("/options/0")?;
    let name = text(sub, "/name")?;
    let options = sub["options"].as_array().map(Vec::as_slice).unwrap_or_default();
    let value = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if name == GENERIC && options.iter().all(|option| option["name"] == "text") {
        let said = options.first().map(|option| value(&option["value"])).unwrap_or_default();
        return Some(Deed::Say { text: format!("@{bot} {said}"), addressed: true, files: Vec::new() });
    }
    let parameters =
        options.iter().filter_map(|option| Some((text(option, "/name")?.to_owned(), value(&option["value"]))));
    Some(Deed::Run { parameters: parameters.collect(), command: name.to_owned(), bot })
}

/// The text without the mention of the bot, and whether it was mentioned.
fn without_mention(said: &str, own: &str) -> (String, bool) {
    if own.is_empty() {
        return (said.to_owned(), false);
    }
    let out = said.replace(&format!("<@{own}>"), " ").replace(&format!("<@!{own}>"), " ");
    let mentioned = out != said;
    (if mentioned { out.trim().to_owned() } else { out }, mentioned)
}

/// A message as it was meant: `<@1>` is `@1`, `<#1>` is `#1`, `<:wave:1>` is `:wave:`, `<https://…>` its address.
fn plain(said: &str) -> String {
    let mut out = String::with_capacity(said.len());
    let mut rest = said;
    while let Some(at) = rest.find('<') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let entity = after.find('>').map(|end| &after[1..end]).and_then(|inner| Some((inner, word(inner)?)));
        match entity {
            Some((inner, word)) => {
                out.push_str(&word);
                rest = &after[inner.len() + 2..];
            }
            None => {
                out.push('<');
                rest = &after[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn word(entity: &str) -> Option<String> {
    let is_id = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(id) = entity.strip_prefix('@') {
        let id = id.trim_start_matches(['!', '&']);
        return is_id(id).then(|| format!("@{id}"));
    }
    if let Some(id) = entity.strip_prefix('#') {
        return is_id(id).then(|| format!("#{id}"));
    }
    if entity.starts_with("https://") || entity.starts_with("http://") {
        return (!entity.contains(char::is_whitespace)).then(|| entity.to_owned());
    }
    let emoji = entity.trim_start_matches('a').strip_prefix(':')?;
    let (name, id) = emoji.split_once(':')?;
    is_id(id).then(|| format!(":{name}:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> config::Discord {
        config::Config::load(None, &config::Overrides::default()).unwrap().discord
    }

    #[test]
    fn who_is_meant_and_where() {
        let message = |extra: Value, in_thread: bool| {
            let mut body = json!({ "id": "5", "type": 0, "channel_id": "1", "guild_id": "9", "content": "hi",
                "author": { "id": "2", "username": "ann", "global_name": "Ann" } });
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let kept = json!({ "kind": "message", "own": "7", "in_thread": in_thread, "body": body });
            let inbound = read(&kept, &settings())?;
            let Deed::Say { text, addressed, .. } = inbound.deed else { panic!("said") };
            Some((text, addressed, inbound.via.place.to_string()))
        };
        let told = |text: &str, addressed, place: &str| Some((text.to_owned(), addressed, place.to_owned()));
        for (extra, in_thread, expected) in [
            (json!({}), false, None),
            (json!({}), true, told("hi", false, "discord:9/1")),
            (json!({ "content": "<@7> hi" }), false, told("hi", true, "discord:9/1")),
            (json!({ "content": "hi <@!7>" }), false, told("hi", true, "discord:9/1")),
            (json!({ "content": "!hi <@3> <#4> <:a:5> <b>" }), false, told("hi @3 #4 :a: <b>", true, "discord:9/1")),
            (json!({ "guild_id": null }), false, told("hi", true, "discord:@me/1")),
            (
                json!({ "type": 19, "referenced_message": { "author": { "id": "7" } } }),
                false,
                told("hi", true, "discord:9/1"),
            ),
            (json!({ "author": { "id": "2", "bot": true }, "content": "!hi" }), false, None),
            (json!({ "webhook_id": "1", "content": "!hi" }), false, None),
            (json!({ "type": 7, "content": "!hi" }), false, None),
            (json!({ "author": null, "content": "!hi" }), false, None),
        ] {
            assert_eq!(message(extra.clone(), in_thread), expected, "{extra}");
        }
    }

    #[test]
    fn slash_commands_name_their_command_or_say_something() {
        let run = |options: Value| {
            let body = json!({ "type": 2, "id": "5", "token": "t", "channel_id": "1", "guild_id": "9",
                "member": { "user": { "id": "2", "username": "ann" } },
                "data": { "name": "ops", "options": options } });
            read(&json!({ "kind": "interaction", "body": body }), &settings())
        };
        let deploy = run(
            json!([{ "name": "deploy", "options": [{ "name": "service", "value": "web" }, { "name": "count", "value": 3 }] }]),
        );
        let inbound = deploy.unwrap();
        assert_eq!(inbound.via.reference.as_deref(), Some("i.5.t"));
        let Deed::Run { bot, command, parameters } = inbound.deed else { panic!("a command") };
        assert_eq!((bot.as_str(), command.as_str()), ("ops", "deploy"));
        assert_eq!(parameters, [("service".to_owned(), "web".to_owned()), ("count".to_owned(), "3".to_owned())]);
        let said = run(json!([{ "name": GENERIC, "options": [{ "name": "text", "value": "deploy web" }] }])).unwrap();
        assert!(matches!(said.deed, Deed::Say { text, addressed: true, .. } if text == "@ops deploy web"));
        assert!(run(json!([])).is_none() && run(Value::Null).is_none());
    }
}
