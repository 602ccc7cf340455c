//! Discord, with one of our own that the tests start: what people do there, and what they see.

use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};
use parlour::config::Config;
use parlour::crash_point::OUTSIDE;
use parlour::model::principal::Role;
use parlour::model::secret::Secret;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::discord::{ANN, APPLICATION, BEA, BOT, Discord, GENERAL, THREAD, TOKEN, Trouble};
use crate::support::process::Process;
use crate::support::server::{Client, Kind, Server, with_both_databases};

/// Where Ann's direct messages are.
pub(crate) const DIRECT: &str = "81001";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Settings of a server whose Discord is that one; guests may do what users may.
pub(crate) fn settings(config: &mut Config, discord: &Discord) {
    config.ws.frames_per_second = 0;
    config.rate_limits.enabled = false;
    config.outside.guest_role = Some(Role::User);
    config.discord.api_url = format!("{}/api/v10", discord.url);
    config.discord.bot_token = Secret::new(TOKEN);
    config.discord.public_key = hex(key().verifying_key().as_bytes());
    config.discord.file_hosts = vec!["127.0.0.1".to_owned()];
}

pub(crate) async fn connected(kind: Kind) -> (Server, Discord) {
    let discord = Discord::start().await;
    let server = Server::start_with(kind, |config| settings(config, &discord)).await;
    discord.connected(1, 0).await;
    (server, discord)
}

async fn people_talk_with_bots(kind: Kind) {
    let (server, discord) = connected(kind).await;
    // What people say to each other is nobody's business, nor is it kept.
    discord.say(BEA, GENERAL, "greet nobody");
    let asked = discord.say(ANN, GENERAL, &format!("<@{BOT}> greet \"*Bea* <@1002> @everyone\""));
    let answer = discord.told(GENERAL, "Hello").await;
    let shown = answer.to_string();
    assert!(shown.contains("\\\\*Bea\\\\* @1002 @\u{200b}everyone"), "no markup, no mention: {shown}");
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
    // Work that collided is tried again, by a clock that only we move.
    discord
        .until("Hal", |discord| {
            server.clock.advance(500);
            discord.answers(DIRECT).iter().any(|message| message.to_string().contains("Hal")).then_some(())
        })
        .await;
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
    server.clock.advance(2_000);
    discord.told(DIRECT, "✓ Once: yes").await;
    discord.press(ANN, &shown, "Once: yes", None).await;
    discord.whispered("chosen already").await;

    // A form is filled in.
    discord.say(ANN, DIRECT, "book a room");
    let card = discord.told(DIRECT, "Fill in").await;
    let modal = discord.press(ANN, &card, "Fill in", None).await;
    let wrong = discord.fill(ANN, DIRECT, &modal, &[("room", "cellar"), ("people", "many")]).await;
    assert_eq!(wrong["data"]["flags"], 64, "what is wrong is said to who filled it in: {wrong}");
    let good = [("room", "garden"), ("people", "4"), ("day", "2026-12-01"), ("contact", "ann@example.com")];
    let taken = discord.fill(ANN, DIRECT, &modal, &good).await;
    assert_eq!(taken["type"], 6, "{taken}");
    server.clock.advance(2_000);
    discord.told(DIRECT, "The **garden** is yours").await;

    // A message that is said again is changed where it stands.
    server.clock.advance(2_000);
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
    discord.slash(BEA, GENERAL, "hello", "nonesuch", &json!([])).await;
    discord.whispered("nonesuch").await;
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

/// Our Discord is one that other clients take for it too.
#[tokio::test]
async fn discord_js_takes_it_for_discord() {
    let discord = Discord::start().await;
    let script = Path::new("tests/peers/discord.mjs");
    assert!(script.with_file_name("node_modules").exists(), "`make test` installs what the tests speak to");
    let mut node = tokio::process::Command::new("node");
    node.arg(script).args([&discord.url, TOKEN, GENERAL]).stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let node = node.spawn().expect("node starts");
    discord.told(GENERAL, "from discord.js").await;
    let options = json!([{ "name": "who", "type": 3, "value": "Nia" }]);
    let put_off = discord.slash(ANN, GENERAL, "hello", "greet", &options).await;
    assert_eq!(put_off["type"], 5);
    let output = node.wait_with_output().await.expect("it ends");
    let told = String::from_utf8_lossy(&output.stdout);
    for part in [&format!("ready {BOT} {APPLICATION}"), "asked hello greet Nia"] {
        assert!(told.contains(part), "{told}");
    }
    discord.told(GENERAL, "\"hello\"").await;
    discord.assert_honest();
}

/// A process of its own, whose Discord is that one and which may die at a named place.
fn process(data: &Path, database: Option<&str>, discord: &Discord, point: &str) -> Option<Process> {
    let api = format!("{}/api/v10", discord.url);
    let environment = [
        ("PARLOUR_DISCORD__API_URL", api.as_str()),
        ("PARLOUR_DISCORD__BOT_TOKEN", TOKEN),
        ("PARLOUR_DISCORD__SLASH_COMMANDS", "false"),
        ("PARLOUR_OUTSIDE__GUEST_ROLE", "user"),
        ("PARLOUR_CRASH_POINT", point),
    ];
    Process::start_with(data, database, &environment)
}

async fn dies_at(points: &[&str], data: &Path, database: Option<&str>) {
    let discord = Discord::start().await;
    for (number, point) in points.iter().enumerate() {
        let connections = |discord: &Discord| discord.counts().0 + discord.counts().1;
        let before = connections(&discord);
        // What the last round left half done may take it to that place before it has said its address.
        let dying = process(data, database, &discord, &format!("{point}:1"));
        if dying.is_some() {
            discord.until("a connection", |discord| (connections(discord) > before).then_some(())).await;
        }
        discord.say(ANN, DIRECT, &format!("greet first{number}"));
        if let Some(mut dying) = dying {
            assert!(!dying.ended().success(), "{point} ends the process");
        }
        // Said while nobody is there.
        discord.say(ANN, DIRECT, &format!("greet second{number}"));
        let mut living = process(data, database, &discord, "").expect("the program says its address");
        discord.told(DIRECT, &format!("first{number}")).await;
        discord.told(DIRECT, &format!("second{number}")).await;
        living.kill();
    }
    let answers = discord.answers(DIRECT);
    assert_eq!(answers.len(), points.len() * 2, "each is answered, and once: {answers:#?}");
    discord.assert_honest();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_survives_every_crash_point() {
    let folder = tempfile::tempdir().unwrap();
    dies_at(&OUTSIDE, folder.path(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_survives_crash_points() {
    let folder = tempfile::tempdir().unwrap();
    let database = crate::support::postgres::Database::create().await;
    // Two of them: each waits for the lease of what the dead server was at.
    dies_at(&["inbox.acted", "outbox.delivered"], folder.path(), Some(&database.url)).await;
}

with_both_databases!(
    people_talk_with_bots,
    buttons_forms_and_changes,
    slash_commands_come_from_the_bots,
    nothing_is_lost_while_a_connection_is_away,
    requests_count_with_a_signature,
);
