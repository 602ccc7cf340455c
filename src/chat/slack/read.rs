//! What something from Slack means. Pure, and forgiving: a field that is missing takes away what needs it and nothing
//! else.

use serde_json::{Value, json};

use super::PLATFORM;
use super::entities::{plain, without_mention};
use crate::chat::outside::{Deed, Inbound, SharedFile, Via};
use crate::config;
use crate::engine::invoke::OutsideChannel;
use crate::model::place::{Account, Place};
use crate::render;

/// Reads what was kept: `{"sort", "body"}`.
pub(super) fn read(payload: &Value, settings: &config::Slack) -> Option<Inbound> {
    let body = &payload["body"];
    match payload["sort"].as_str()? {
        "event" => event(body, settings),
        "interaction" => interaction(body),
        "command" => command(body, settings),
        _ => None,
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Who did something where, as far as it can be told.
struct Scene<'v> {
    team: &'v str,
    channel: &'v str,
    channel_name: Option<&'v str>,
    user: &'v str,
    user_name: Option<&'v str>,
    thread: Option<&'v str>,
    ts: Option<&'v str>,
}

impl Scene<'_> {
    fn is_direct(&self) -> bool {
        self.channel.starts_with('D')
    }

    fn inbound(&self, settings: Option<&config::Slack>, deed: Deed) -> Inbound {
        let Self { team, channel, user, ts, thread, .. } = *self;
        let place = Place {
            platform: PLATFORM.to_owned(),
            team: team.to_owned(),
            channel: channel.to_owned(),
            thread: thread.map(str::to_owned),
        };
        let name = |name: Option<&str>, id: &str| name.unwrap_or(id).to_owned();
        let channel = OutsideChannel {
            id: channel.to_owned(),
            name: name(self.channel_name, channel),
            kind: if self.is_direct() { "user" } else { "channel" }.to_owned(),
        };
        let mut detail = json!({
            "team": { "id": team },
            "channel": { "id": channel.id, "name": channel.name, "type": channel.kind },
            "user": { "id": user, "name": name(self.user_name, user) },
        });
        if let Some(thread) = thread {
            detail["thread_ts"] = json!(thread);
        }
        if let Some(ts) = ts {
            detail["message"] = json!({ "ts": ts });
        }
        let account = Account {
            platform: PLATFORM.to_owned(),
            team: team.to_owned(),
            id: user.to_owned(),
            name: name(self.user_name, user),
        };
        let bot = settings.and_then(|settings| settings.bot_of(&channel.id));
        let reference = ts.map(str::to_owned);
        Inbound { via: Via { account, place, reference, channel, team_name: None, detail }, bot, deed }
    }
}

/// Kinds of messages that people write themselves.
const OWN_WORDS: [&str; 4] = ["", "file_share", "thread_broadcast", "me_message"];

fn event(body: &Value, settings: &config::Slack) -> Option<Inbound> {
    let event = &body["event"];
    let team = text(body, "/team_id").or(text(event, "/team"))?;
    let own = text(body, "/authorizations/0/user_id").unwrap_or_default();
    let kind = text(event, "/type")?;
    if !matches!(kind, "message" | "app_mention") {
        return None;
    }
    let subtype = text(event, "/subtype").unwrap_or_default();
    // In a changed message the message itself, in one that was taken back what it was.
    let message = match subtype {
        "message_changed" => &event["message"],
        "message_deleted" => &event["previous_message"],
        _ => event,
    };
    let user = text(message, "/user")?;
    let is_bot = message.get("bot_id").is_some_and(|id| !id.is_null()) || user == own || user == "USLACKBOT";
    if is_bot {
        return None;
    }
    let channel = text(event, "/channel")?;
    let ts = text(message, "/ts");
    let is_direct = text(event, "/channel_type") == Some("im") || channel.starts_with('D');
    let thread = text(message, "/thread_ts").or(ts.filter(|_| !is_direct));
    let scene = Scene { team, channel, channel_name: None, user, user_name: None, thread, ts };
    let said = text(message, "/text").unwrap_or_default();
    let (said, mentioned) = without_mention(said, own);
    let deed = match subtype {
        "message_changed" => {
            // Slack changes messages by itself, to show what a link leads to.
            let before = without_mention(text(event, "/previous_message/text").unwrap_or_default(), own).0;
            if before == said {
                return None;
            }
            Deed::Edit { text: plain(&said) }
        }
        "message_deleted" => Deed::Unsay,
        kind if !OWN_WORDS.contains(&kind) => return None,
        _ => {
            let said = plain(&said);
            let prefix = Some(settings.prefix.as_str()).filter(|prefix| !prefix.is_empty());
            let after_prefix = prefix.and_then(|prefix| said.trim_start().strip_prefix(prefix)).map(str::to_owned);
            let addressed = is_direct || mentioned || kind == "app_mention" || after_prefix.is_some();
            Deed::Say { text: after_prefix.unwrap_or(said), addressed, files: files(event) }
        }
    };
    Some(scene.inbound(Some(settings), deed))
}

/// What was shared with a message. Of what was deleted, and of what the workspace may not see any more, only a trace is
/// left.
fn files(event: &Value) -> Vec<SharedFile> {
    let files = event["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let there = files.iter().filter(|file| !matches!(file["mode"].as_str(), Some("tombstone" | "hidden_by_limit")));
    let read = |file: &Value| {
        let id = text(file, "/id")?.to_owned();
        let name = text(file, "/name").or(text(file, "/title")).unwrap_or("file").to_owned();
        // Of files from other workspaces an event says no more than that they exist.
        let is_whole = text(file, "/file_access") != Some("check_file_info");
        let url = text(file, "/url_private_download").or(text(file, "/url_private")).filter(|_| is_whole);
        Some(SharedFile { id, name, size: file["size"].as_u64().unwrap_or(0), url: url.map(str::to_owned) })
    };
    there.filter_map(read).collect()
}

fn interaction(body: &Value) -> Option<Inbound> {
    let team = text(body, "/team/id").or(text(body, "/user/team_id"))?;
    let user = text(body, "/user/id")?;
    let user_name = text(body, "/user/name").or(text(body, "/user/username"));
    match text(body, "/type")? {
        "block_actions" => {
            let taken = body.pointer("/actions/0")?;
            let action = render::action_id(text(taken, "/action_id")?)?.to_owned();
            let chosen = text(taken, "/selected_option/value").or(text(taken, "/selected_date"));
            let value = chosen.map_or(Value::Null, |chosen| json!(chosen));
            let channel = text(body, "/channel/id").or(text(body, "/container/channel_id"))?;
            let thread = text(body, "/message/thread_ts").or(text(body, "/container/thread_ts"));
            let channel_name = text(body, "/channel/name");
            let scene = Scene { team, channel, channel_name, user, user_name, thread, ts: None };
            let trigger = text(body, "/trigger_id").map(str::to_owned);
            Some(scene.inbound(None, Deed::Take { action, value, trigger }))
        }
        "view_submission" => {
            let place = Place::parse(text(body, "/view/private_metadata")?)?;
            let action = text(body, "/view/callback_id")?.to_owned();
            let state = body.pointer("/view/state/values").cloned().unwrap_or_default();
            let (channel, thread) = (place.channel.as_str(), place.thread.as_deref());
            let scene = Scene { team, channel, channel_name: None, user, user_name, thread, ts: None };
            Some(scene.inbound(None, Deed::Submit { action, state }))
        }
        _ => None,
    }
}

fn command(body: &Value, settings: &config::Slack) -> Option<Inbound> {
    let scene = Scene {
        team: text(body, "/team_id")?,
        channel: text(body, "/channel_id")?,
        channel_name: text(body, "/channel_name"),
        user: text(body, "/user_id")?,
        user_name: text(body, "/user_name"),
        thread: None,
        ts: None,
    };
    let said = plain(text(body, "/text").unwrap_or_default());
    Some(scene.inbound(Some(settings), Deed::Say { text: said, addressed: true, files: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> config::Slack {
        config::Config::load(None, &config::Overrides::default()).unwrap().slack
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is made where it is said")]
    fn said(event: Value) -> Option<(String, bool, String)> {
        let body = json!({ "team_id": "T1", "authorizations": [{ "user_id": "U0" }], "event": event });
        let inbound = read(&json!({ "sort": "event", "body": body }), &settings())?;
        match inbound.deed {
            Deed::Say { text, addressed, .. } => Some((text, addressed, inbound.via.place.to_string())),
            other => Some((format!("{other:?}"), false, inbound.via.place.to_string())),
        }
    }

    #[test]
    fn who_is_meant_and_where_the_answer_goes() {
        let message = |extra: Value| {
            let mut event = json!({ "type": "message", "channel": "C1", "user": "U1", "ts": "1.2", "text": "hi" });
            event.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            said(event)
        };
        let told = |text: &str, addressed, place: &str| Some((text.to_owned(), addressed, place.to_owned()));
        for (extra, expected) in [
            (json!({}), told("hi", false, "slack:T1/C1/1.2")),
            (json!({ "text": "<@U0> hi &amp; bye" }), told("hi & bye", true, "slack:T1/C1/1.2")),
            (json!({ "type": "app_mention", "text": "<@U0> hi" }), told("hi", true, "slack:T1/C1/1.2")),
            (json!({ "text": "!hi" }), told("hi", true, "slack:T1/C1/1.2")),
            (json!({ "thread_ts": "1.0" }), told("hi", false, "slack:T1/C1/1.0")),
            (json!({ "channel": "D1", "channel_type": "im" }), told("hi", true, "slack:T1/D1")),
            (json!({ "channel": "D1", "thread_ts": "1.0" }), told("hi", true, "slack:T1/D1/1.0")),
            (json!({ "subtype": "file_share" }), told("hi", false, "slack:T1/C1/1.2")),
            (json!({ "subtype": "channel_join" }), None),
            (json!({ "bot_id": "B1" }), None),
            (json!({ "user": "U0" }), None),
            (json!({ "user": null }), None),
            (json!({ "type": "reaction_added" }), None),
        ] {
            assert_eq!(message(extra.clone()), expected, "{extra}");
        }
    }

    #[test]
    fn a_change_counts_when_the_words_changed() {
        let change = |before: &str, after: &str| {
            said(json!({
                "type": "message", "subtype": "message_changed", "channel": "C1",
                "message": { "user": "U1", "ts": "1.2", "text": after },
                "previous_message": { "user": "U1", "ts": "1.2", "text": before },
            }))
        };
        assert_eq!(change("a", "a"), None, "Slack showed what a link leads to");
        assert!(change("a", "b").unwrap().0.starts_with("Edit"));
        let gone = json!({
            "type": "message", "subtype": "message_deleted", "channel": "C1", "deleted_ts": "1.2",
            "previous_message": { "user": "U1", "ts": "1.2", "text": "a" },
        });
        assert_eq!(said(gone).unwrap().0, "Unsay");
    }

    #[test]
    fn what_is_missing_takes_away_only_itself() {
        let body = json!({ "type": "block_actions", "user": { "id": "U1", "team_id": "T1" },
            "channel": { "id": "C1" }, "actions": [{ "action_id": "a_1" }] });
        let inbound = read(&json!({ "sort": "interaction", "body": body }), &settings()).unwrap();
        assert_eq!(inbound.via.account.name, "U1");
        assert!(matches!(inbound.deed, Deed::Take { trigger: None, value: Value::Null, .. }));
        for body in [json!({}), json!({ "type": "block_actions" }), json!("x"), Value::Null] {
            for sort in ["event", "interaction", "command", "?"] {
                assert!(read(&json!({ "sort": sort, "body": body }), &settings()).is_none());
            }
        }
    }
}
