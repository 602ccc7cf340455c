//! Discord, with one of our own that the tests start: what people do there, and what they see.

use ed25519_dalek::{Signer as _, SigningKey};
use parlour::config::Config;
use parlour::model::principal::Role;
use parlour::model::secret::Secret;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::discord::{ANN, APPLICATION, BEA, BOT, Discord, GENERAL, THREAD, TOKEN, Trouble};
use crate::support::server::{Client, Kind, Server};

/// Where Ann's direct messages are.
const DIRECT: &str = "81001";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Settings of a server whose Discord is that one; guests may do what users may.
fn settings(config: &mut Config, discord: &Discord) {
    config.ws.frames_per_second = 0;
    config.rate_limits.enabled = false;
    config.outside.guest_role = Some(Role::User);
    config.discord.api_url = format!("{}/api/v10", discord.url);
    config.discord.bot_token = Secret::new(TOKEN);
    config.discord.public_key = hex(key().verifying_key().as_bytes());
}

async fn connected(kind: Kind) -> (Server, Discord) {
    let discord = Discord::start().await;
    let server = Server::start_with(kind, |config| settings(config, &discord)).await;
    discord.connected(1, 0).await;
    (server, discord)
}

async fn people_talk_with_bots(kind: Kind) {
    let (server, discord) = connected(kind).await;
    // What people say to each other is nobody's business, nor is it kept.
    discord.say(BEA, GENERAL, "greet nobody");
    let asked = discord.say(ANN, GENERAL, &format!("<@{BOT}> greet *Bea* <@1002> @everyone"));
    let answer = discord.told(GENERAL, "Hello").await;
    let shown = answer.to_string();
    assert!(shown.contains(r"\\*Bea\\* @1002 @​everyone"), "no markup, no mention: {shown}");
    assert_eq!(answer["message_reference"]["message_id"], json!(asked), "it answers what was asked");
    // What comes twice is done once; the prefix and a reply to the bot address it too.
    discord.repeat(GENERAL, &asked);
    discord.say(ANN, GENERAL, "!greet Cid");
    discord.told(GENERAL, "Cid").await;
    let referenced = json!({ "type": 19, "referenced_message": { "id": answer["id"], "author": { "id": BOT } } });
    discord.say_with(ANN, GENERAL, "greet Dan", &referenced);
    discord.told(GENERAL, "Dan").await;
    assert_eq!(discord.answers(GENERAL).len(), 3, "{:#?}", discord.answers(GENERAL));
    // A thread is a conversation: what follows there needs no mention, of whom it is with.
    discord.say(ANN, THREAD, "greet too early");
    discord.say(ANN, THREAD, &format!("greet Eve <@{BOT}>"));
    discord.told(THREAD, "Eve").await;
    discord.say(BEA, THREAD, "greet somebody else");
    discord.say(ANN, THREAD, "greet Fay");
    discord.told(THREAD, "Fay").await;
    assert_eq!(discord.answers(THREAD).len(), 2);
    // Direct messages are for us; their words may be changed there.
    let said = discord.say(ANN, DIRECT, "greet Gus");
    discord.told(DIRECT, "Gus").await;
    discord.edit(DIRECT, &said, "greet Gunther");
    discord.say(ANN, DIRECT, "greet Hal");
    discord.told(DIRECT, "Hal").await;
    let admin = server.program(Role::Admin).await;
    let kept = admin.get("/api/admin/executions?limit=50").await;
    assert!(!kept.text.contains("somebody else"), "{}", kept.text);
    discord.assert_honest();
    server.finish().await;
}

async fn buttons_forms_and_changes(kind: Kind) {
    let (server, discord) = connected(kind).await;
    discord.say(ANN, DIRECT, "show buttons");
    let shown = discord.told(DIRECT, "Danger").await;
    // A dangerous button asks before it counts, for the eyes of who pressed it.
    let question = discord.press(ANN, &shown, "Danger", None).await;
    assert_eq!((&question["type"], &question["data"]["flags"]), (&json!(4), &json!(64)), "{question}");
    let mut asked = question["data"].clone();
    asked["channel_id"] = json!(DIRECT);
    let done = discord.press(ANN, &asked, "Danger", None).await;
    assert_eq!(done["type"], 7, "the question is done with: {done}");
    discord.told(DIRECT, "the dangerous button").await;
    assert_eq!(discord.press(ANN, &asked, "Cancel", None).await["data"]["content"], "Cancelled.");
    // Of those that count once, the message says so where it stands.
    assert_eq!(discord.press(ANN, &shown, "Once: yes", None).await["type"], 6);
    discord.told(DIRECT, "✓ Once: yes").await;
    discord.press(ANN, &shown, "Once: yes", None).await;
    discord.whispered("taken").await;

    // A form is filled in.
    discord.say(ANN, DIRECT, "book a room");
    let card = discord.told(DIRECT, "Fill in").await;
    let modal = discord.press(ANN, &card, "Fill in", None).await;
    let wrong = discord.fill(ANN, DIRECT, &modal, &[("room", "cellar"), ("people", "many")]).await;
    assert_eq!(wrong["data"]["flags"], 64, "what is wrong is said to who filled it in: {wrong}");
    let good = [("room", "garden"), ("people", "4"), ("day", "2026-12-01"), ("contact", "ann@example.com")];
    let taken = discord.fill(ANN, DIRECT, &modal, &good).await;
    assert_eq!(taken["type"], 6, "{taken}");
    discord.told(DIRECT, "The **garden** is yours").await;

    // A message that is said again is changed where it stands.
    discord.say(ANN, DIRECT, "tone info");
    let card = discord.told(DIRECT, "sounds like").await;
    server.clock.advance(2_000);
    discord.press(ANN, &card, "Another tone", Some("error")).await;
    server.clock.advance(2_000);
    let changed = discord.told(DIRECT, "**error**").await;
    assert_eq!(changed["id"], card["id"]);
    assert_eq!(changed["embeds"][0]["color"], 0xd8_3c3e);
    discord.assert_honest();
    server.finish().await;
}

async fn slash_commands_come_from_the_bots(kind: Kind) {
    let (server, discord) = connected(kind).await;
    let tree = discord.commands().await;
    let bot = |name: &str| {
        let found = tree.as_array().unwrap().iter().find(|command| command["name"] == name);
        found.unwrap_or_else(|| panic!("{name} in {tree}")).clone()
    };
    let hello = bot("hello");
    let greet = hello["options"].as_array().unwrap().iter().find(|option| option["name"] == "greet").unwrap();
    assert_eq!(greet["options"][0]["required"], true);
    assert_eq!(greet["options"][1]["choices"][2]["value"], "festive");
    assert_eq!(discord.puts(), 1);
    // The reply that was put off becomes the answer.
    let put_off = discord.slash(ANN, GENERAL, "hello", "greet", &json!([{ "name": "who", "value": "Ida" }])).await;
    assert_eq!(put_off, json!({ "type": 5 }));
    let answer = discord.told(GENERAL, "Ida").await;
    assert!(answer["nonce"].is_null() && answer["flags"] == 0, "{answer}");
    assert_eq!(discord.answers(GENERAL).len(), 1);
    // Anything can be said, and is completed while it is typed.
    let completions = discord.type_on(ANN, "hello", "run", "text", "gre").await;
    assert!(completions.iter().any(|text| text.starts_with("greet")), "{completions:?}");
    discord.slash(ANN, GENERAL, "hello", "run", &json!([{ "name": "text", "value": "greet Joe" }])).await;
    discord.told(GENERAL, "Joe").await;
    // What cannot be done is said to who asked, and nothing is left thinking.
    let wrong = json!([{ "name": "who", "value": "x".repeat(100) }]);
    discord.slash(BEA, GENERAL, "hello", "greet", &wrong).await;
    discord
        .until("an end of thinking", |discord| {
            let thinks = |message: &Value| message["flags"].as_u64().unwrap_or(0) & 128 != 0;
            (!discord.answers(GENERAL).iter().any(thinks)).then_some(())
        })
        .await;
    // The same commands are not offered again.
    let server = server.restart().await;
    discord.connected(1, 1).await;
    discord.slash(ANN, GENERAL, "hello", "greet", &json!([{ "name": "who", "value": "Kim" }])).await;
    discord.told(GENERAL, "Kim").await;
    assert_eq!(discord.puts(), 1);
    discord.assert_honest();
    server.finish().await;
}

async fn nothing_is_lost_while_a_connection_is_away(kind: Kind) {
    let (server, discord) = connected(kind).await;
    discord.say(ANN, DIRECT, "greet one");
    discord.told(DIRECT, "one").await;
    // Cut without a word, and what is said meanwhile comes when it goes on.
    discord.cut();
    discord.say(ANN, DIRECT, "greet two");
    discord.told(DIRECT, "two").await;
    assert_eq!(discord.counts(), (1, 1), "the session went on");
    // Discord asks for another connection; a session that it forgot begins anew.
    discord.tell(&json!({ "op": 7, "d": null }));
    discord.connected(1, 2).await;
    discord.forget_sessions();
    discord.connected(2, 2).await;
    discord.say(ANN, DIRECT, "greet three");
    discord.told(DIRECT, "three").await;
    // Also over a restart.
    let server = server.restart().await;
    discord.connected(2, 3).await;
    discord.say(ANN, DIRECT, "greet four");
    discord.told(DIRECT, "four").await;
    // What Discord does not take now is said later, and what may have arrived is not said twice.
    discord.trouble(Method::POST, "/messages", Trouble::Limited(0.2));
    discord.trouble(Method::POST, "/messages", Trouble::Lost);
    discord.say(ANN, DIRECT, "greet five");
    discord
        .until("five", |discord| {
            server.clock.advance(500);
            discord.answers(DIRECT).iter().any(|message| message.to_string().contains("five")).then_some(())
        })
        .await;
    discord.say(ANN, DIRECT, "greet six");
    discord
        .until("six", |discord| {
            server.clock.advance(500);
            discord.answers(DIRECT).iter().any(|message| message.to_string().contains("six")).then_some(())
        })
        .await;
    assert_eq!(discord.answers(DIRECT).len(), 6, "{:#?}", discord.answers(DIRECT));
    discord.assert_honest();
    server.finish().await;
}

/// Sends a request as Discord does.
async fn send(client: &Client, body: &str, timestamp: &str, signature: &str) -> (u16, Value) {
    let client = client.with("x-signature-timestamp", timestamp).with("x-signature-ed25519", signature);
    let answer = client.post_text("/discord/interactions", "application/json", body.to_owned()).await;
    (answer.status.as_u16(), serde_json::from_str(&answer.text).unwrap_or_default())
}

async fn requests_count_with_a_signature(kind: Kind) {
    let (server, discord) = connected(kind).await;
    let anybody = server.anybody();
    let time = (server.clock.now() / 1000).to_string();
    let sign = |body: &str| hex(&key().sign(format!("{time}{body}").as_bytes()).to_bytes());
    let ping = json!({ "type": 1, "id": "1", "application_id": APPLICATION }).to_string();
    assert_eq!(send(&anybody, &ping, &time, &sign(&ping)).await, (200, json!({ "type": 1 })));
    let other = hex(&SigningKey::from_bytes(&[8; 32]).sign(format!("{time}{ping}").as_bytes()).to_bytes());
    for signature in ["", "00", &other, &sign("{}")] {
        assert_eq!(send(&anybody, &ping, &time, signature).await.0, 401, "{signature}");
    }
    let old = (server.clock.now() / 1000 - 301).to_string();
    let late = hex(&key().sign(format!("{old}{ping}").as_bytes()).to_bytes());
    assert_eq!(send(&anybody, &ping, &old, &late).await.0, 401);
    assert_eq!(send(&anybody, "{", &time, &sign("{")).await.0, 400, "signed, but no JSON");
    // A command that comes this way is done once, however often it comes.
    let data =
        json!({ "name": "hello", "options": [{ "name": "greet", "options": [{ "name": "who", "value": "Lea" }] }] });
    let command = discord.interaction(ANN, GENERAL, 2, &data).to_string();
    for _ in 0..2 {
        assert_eq!(send(&anybody, &command, &time, &sign(&command)).await, (200, json!({ "type": 5 })));
    }
    discord.told(GENERAL, "Lea").await;
    discord.say(ANN, GENERAL, "!greet Mia");
    discord.told(GENERAL, "Mia").await;
    assert_eq!(discord.answers(GENERAL).len(), 2, "{:#?}", discord.answers(GENERAL));
    server.finish().await;
    // Without a key none is believed.
    let server = Server::start_with(kind, |config| {
        settings(config, &discord);
        config.discord.public_key.clear();
    })
    .await;
    assert_eq!(send(&server.anybody(), &ping, &time, &sign(&ping)).await.0, 401);
    server.finish().await;
}

/// Runs each on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() { super::$name(super::Kind::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() { super::$name(super::Kind::Postgres).await; })*
        }
    };
}
on_both!(
    people_talk_with_bots,
    buttons_forms_and_changes,
    slash_commands_come_from_the_bots,
    nothing_is_lost_while_a_connection_is_away,
    requests_count_with_a_signature,
);
