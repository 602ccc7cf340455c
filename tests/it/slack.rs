//! Slack, with a workspace that the tests start: what people do there, and what they see.

use hmac::{Hmac, KeyInit as _, Mac as _};
use parlour::clock::Clock;
use parlour::config::Config;
use parlour::model::event::Stream;
use parlour::model::principal::Role;
use parlour::model::secret::Secret;
use serde_json::{Value, json};

use crate::support::server::{Client, Kind, Server, with_both_databases};
use crate::support::slack::{
    ANN, BEA, BOT, GENERAL, Mode, Network, SIGNING_SECRET, Screen, TEAM, Workspace, control, free_port,
};

/// Settings of a server whose Slack is at that address.
pub(crate) fn settings(config: &mut Config, url: &str) {
    config.ws.frames_per_second = 0;
    config.rate_limits.enabled = false;
    config.slack.api_url = format!("{url}/api");
    config.slack.bot_token = Secret::new("xoxb-test");
    config.slack.app_token = Secret::new("xapp-test");
    config.slack.signing_secret = Secret::new(SIGNING_SECRET);
    config.slack.file_hosts = vec!["127.0.0.1".to_owned()];
}

pub(crate) async fn is_connected(screen: &mut Screen) {
    screen.until(|frame| frame["t"] == "socket_status" && frame["connected"] == true).await;
}

/// A server and its workspace, connected by a socket.
async fn connected(kind: Kind) -> (Server, Workspace, Screen) {
    let workspace = Workspace::start(free_port(), &Mode::Socket);
    let mut screen = workspace.screen().await;
    let server = Server::start_with(kind, |config| settings(config, &workspace.url)).await;
    is_connected(&mut screen).await;
    (server, workspace, screen)
}

/// The same where guests may do what users may, with a network between the two, by the clock on the wall.
async fn behind_a_network(kind: Kind) -> (Server, Workspace, Screen, Network) {
    let workspace = Workspace::start(free_port(), &Mode::Socket);
    let (mut screen, network) = (workspace.screen().await, Network::before(&workspace).await);
    let server = Server::start_by(Clock::system(), kind, |config| {
        settings(config, &network.url);
        config.outside.guest_role = Some(Role::User);
    })
    .await;
    is_connected(&mut screen).await;
    (server, workspace, screen, network)
}

/// The path of the link in something that was whispered.
pub(crate) fn link(message: &Value) -> String {
    let text = message.to_string();
    let from = text.split("/link/").nth(1).unwrap_or_else(|| panic!("no link in {text}"));
    let token: String = from.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
    format!("/link/{token}")
}

/// Makes somebody of the workspace the user of a browser.
pub(crate) async fn linked(server: &Server, workspace: &Workspace, screen: &mut Screen, user: &str) -> Client {
    let browser = server.browser().await;
    workspace.say(user, GENERAL, None, "<@U0BOT> help").await;
    let path = link(&screen.told("/link/").await);
    assert!(browser.post(&path, &json!({})).await.status.is_success());
    screen.told("now acts as").await;
    browser
}

async fn people_become_somebody(kind: Kind) {
    let (server, workspace, mut screen) = connected(kind).await;
    // What people say to each other is nobody's business.
    workspace.say(ANN, GENERAL, None, "lunch anyone?").await;
    let ts = workspace.say(ANN, GENERAL, None, "<@U0BOT> greet Bea").await;
    let asked = screen.told("/link/").await;
    assert_eq!(
        (asked["ephemeral_to"].as_str(), asked["thread_ts"].as_str()),
        (Some(ANN), Some(ts.as_str())),
        "{asked}"
    );
    let path = link(&asked);
    // Nobody in particular is asked to sign in, a program is nobody to link, and foreign pages press no buttons.
    assert_eq!(server.anybody().get(&path).await.status.as_u16(), 401);
    assert_eq!(server.anybody().post(&path, &json!({})).await.error(401), "UNAUTHORIZED");
    let program = server.program(Role::User).await;
    assert_eq!(program.post(&path, &json!({})).await.error(403), "FORBIDDEN");
    let browser = server.browser().await;
    let foreign = browser.with("origin", "https://evil.example");
    assert_eq!(foreign.post(&path, &json!({})).await.error(403), "CROSS_ORIGIN");
    let page = browser.get(&path).await;
    for part in ["<strong>ann</strong>", ANN, TEAM, "<strong>Admin</strong>"] {
        assert!(page.text.contains(part), "{part} in {}", page.text);
    }
    assert!(browser.post(&path, &json!({})).await.status.is_success());
    assert_eq!(browser.post(&path, &json!({})).await.error(404), "LINK_OVER", "once");
    screen.told("now acts as").await;
    let links = browser.get("/api/links").await.expect(200);
    assert_eq!(links["accounts"][0]["name"], "ann", "{links}");
    assert_eq!(program.get("/api/links").await.expect(200)["accounts"], json!([]));
    // Now the same words count, and the answer stands in their thread.
    let ts = workspace.say(ANN, GENERAL, None, "<@U0BOT> greet Bea").await;
    assert_eq!(screen.told("Hello Bea").await["thread_ts"], json!(ts));
    // A link is good for ten minutes.
    workspace.say(BEA, GENERAL, None, "!greet Ann").await;
    let asked = screen.told("/link/").await;
    assert_eq!(asked["ephemeral_to"], BEA);
    server.clock.advance(10 * 60 * 1000);
    assert_eq!(browser.get(&link(&asked)).await.status.as_u16(), 410);
    // Given back, it is nobody's again; only its own user can.
    let door = format!("/api/links/slack/{TEAM}/{ANN}");
    assert_eq!(program.delete(&door).await.error(404), "NOT_FOUND");
    assert_eq!(browser.delete(&door).await.status.as_u16(), 204);
    workspace.say(ANN, GENERAL, None, "<@U0BOT> greet Bea").await;
    assert_eq!(screen.told("/link/").await["ephemeral_to"], ANN);
    let log = browser.get("/api/admin/audit").await.expect(200).to_string();
    for part in ["account.link", "account.unlink", &format!("slack:{TEAM}/{ANN}")] {
        assert!(log.contains(part), "{part} in {log}");
    }
    assert!(!log.contains("plr_a_"));
    server.finish().await;
}

async fn people_talk_with_bots(kind: Kind) {
    let (server, workspace, mut screen) = connected(kind).await;
    let browser = linked(&server, &workspace, &mut screen, ANN).await;
    // In a thread, which then needs no mention, but only from who began it.
    let thread = workspace.say(ANN, GENERAL, None, "hey <@U0BOT|parlour> greet &lt;Bea&gt;").await;
    screen.told("I do not know what to do").await;
    workspace.say(ANN, GENERAL, Some(&thread), "greet &lt;Bea&gt;").await;
    screen.told("Hello &lt;Bea&gt;").await;
    workspace.say(BEA, GENERAL, Some(&thread), "greet nobody").await;
    let said = workspace.say(ANN, GENERAL, Some(&thread), "greet Cid").await;
    assert_eq!(screen.told("Hello Cid").await["thread_ts"], json!(thread));
    // In a direct message without any ceremony, and with a slash command.
    workspace.say(ANN, ANN, None, "greet Dan").await;
    assert!(screen.told("Hello Dan").await["thread_ts"].is_null());
    workspace.slash(ANN, GENERAL, "greet Eve").await;
    let answer = screen.told("Hello Eve").await;
    assert!(answer["thread_ts"].is_null() && answer["channel"] == GENERAL, "{answer}");
    // Their conversations are theirs in the web too, in one order for both.
    let list = browser.get("/api/session/list").await.expect(200);
    let sessions = list["sessions"].as_array().unwrap();
    let session = sessions.iter().find(|session| session.to_string().contains("Hello Cid")).expect("the thread");
    let id = session["session_id"].as_str().unwrap();
    let answer = browser.say(id, "greet Fay").await;
    assert_eq!(answer["content"], "Hello Fay, good to see you!");
    let mirrored = screen.told("greet Fay").await;
    assert!(mirrored.to_string().contains("Admin") && mirrored["thread_ts"] == json!(thread), "{mirrored}");
    assert_eq!(screen.told("Hello Fay").await["thread_ts"], json!(thread));
    // What is edited and taken back there is so here.
    let head = || async {
        browser.get(&format!("/api/session/{id}/events?after=0&limit=500")).await.expect(200)["head"].as_i64().unwrap()
    };
    let next = |after: i64| {
        let (browser, id) = (browser.clone(), id.to_owned());
        async move {
            browser.get(&format!("/api/session/{id}/events?after={after}&wait=20")).await.expect(200)["events"][0]
                .clone()
        }
    };
    let before = head().await;
    screen.edit(ANN, GENERAL, &said, "greet Cyd").await;
    let edited = next(before).await;
    assert_eq!(
        (edited["type"].as_str(), edited["content"].as_str()),
        (Some("message_update"), Some("greet Cyd")),
        "{edited}"
    );
    let before = head().await;
    screen.delete(ANN, GENERAL, &said).await;
    assert_eq!(next(before).await["type"], "message_delete");
    let all = workspace.messages(GENERAL).await;
    let told =
        |part: &str| all.iter().filter(|message| message["user"] == BOT && message.to_string().contains(part)).count();
    assert_eq!(
        (told("nobody"), told("Hello Cid"), told("*Admin*: greet")),
        (0, 1, 1),
        "each once, and not for others: {all:#?}"
    );
    server.finish().await;
}

async fn forms_and_buttons(kind: Kind) {
    let (server, workspace, mut screen) = connected(kind).await;
    linked(&server, &workspace, &mut screen, ANN).await;
    // A form opens by its button, says what is wrong at its fields, and is gone when it was sent.
    let thread = workspace.say(ANN, GENERAL, None, "<@U0BOT> book a room").await;
    let asked = screen.told("Fill in").await;
    let ts = asked["ts"].as_str().unwrap().to_owned();
    workspace.act(ANN, GENERAL, &ts, &control(&asked, "Fill in")).await;
    let view = screen.until(|frame| frame["t"] == "view" && frame["stack"][0]["type"] == "modal").await;
    let fields: Vec<&str> = view["stack"][0]["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["block_id"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["room", "day", "people", "contact"], "{view}");
    let option = |value: &str| json!({ "value": { "type": "static_select", "selected_option": { "value": value } } });
    let text = |value: &str| json!({ "value": { "type": "plain_text_input", "value": value } });
    let mut values = json!({
        "room": option("garden"), "people": text("4"), "contact": text("nobody"),
        "day": { "value": { "type": "datepicker", "selected_date": "2026-12-01" } },
    });
    screen.submit(ANN, &values).await;
    let faults = screen.until(|frame| frame["t"] == "view_errors").await;
    assert_eq!(faults["errors"].as_object().unwrap().keys().collect::<Vec<_>>(), ["contact"], "{faults}");
    values["contact"] = text("ann@example.com");
    screen.submit(ANN, &values).await;
    let booked = screen.told("is yours on").await;
    assert_eq!(booked["thread_ts"], json!(thread));
    server.clock.advance(1000);
    let rewritten = workspace.messages(GENERAL).await.into_iter().find(|message| message["ts"] == json!(ts)).unwrap();
    if rewritten.to_string().contains("Fill in") {
        let changed = screen.until(|frame| frame["t"] == "message_update" && frame["message"]["ts"] == json!(ts)).await;
        assert!(!changed.to_string().contains("Fill in"), "{changed}");
    }
    // The same in words, one question after the other.
    let thread = workspace.say(ANN, GENERAL, None, "<@U0BOT> book a room").await;
    screen.told("Fill in").await;
    for (answer, question) in
        [("garden", "Which day"), ("2026-12-01", "How many"), ("4", "written to"), ("ann@example.com", "is yours on")]
    {
        workspace.say(ANN, GENERAL, Some(&thread), answer).await;
        screen.told(question).await;
        server.clock.advance(1000);
    }
    // A choice among several is taken once, by who was asked.
    workspace.say(ANN, GENERAL, None, "<@U0BOT> show buttons").await;
    let offered = screen.told("Once: yes").await;
    let ts = offered["ts"].as_str().unwrap().to_owned();
    let once = control(&offered, "Once: yes");
    workspace.act(BEA, GENERAL, &ts, &once).await;
    assert_eq!(screen.told("/link/").await["ephemeral_to"], BEA);
    workspace.act(ANN, GENERAL, &ts, &once).await;
    screen.told("yes, once").await;
    server.clock.advance(1000);
    workspace.act(ANN, GENERAL, &ts, &control(&offered, "Once: no")).await;
    let refused = screen.told("chosen already").await;
    assert_eq!(refused["ephemeral_to"], ANN);
    // A card is rewritten where it stands.
    workspace.say(ANN, GENERAL, None, "<@U0BOT> rollout build").await;
    let card = screen.told("Test it").await;
    workspace.act(ANN, GENERAL, card["ts"].as_str().unwrap(), &control(&card, "Test it")).await;
    server.clock.advance(2000);
    let changed = screen.changed("Ship it").await;
    assert_eq!(changed["ts"], card["ts"]);
    // Two bots answer to the same words: buttons ask which, and a slip of the pen is mended by one.
    workspace.say(ANN, GENERAL, None, "<@U0BOT> show a table").await;
    let which = screen.told("Which one").await;
    workspace.act(ANN, GENERAL, which["ts"].as_str().unwrap(), &control(&which, "@store show a table")).await;
    server.clock.advance(1000);
    screen.told("one table from the store").await;
    workspace.say(ANN, GENERAL, None, "<@U0BOT> stauts").await;
    let meant = screen.told("Did you mean").await;
    workspace.act(ANN, GENERAL, meant["ts"].as_str().unwrap(), &control(&meant, "status")).await;
    server.clock.advance(1000);
    screen.told("Up for").await;
    server.finish().await;
}

/// A bot that sends its reply elsewhere.
const CRIER: &str = r##"
apiVersion: bot/v1
name: crier
display_name: Crier
description: Tells others
commands:
  - name: cry
    description: Tells a channel, a group and the caller's own chat
    intents: ["cry {word}"]
    parameters: {word: {description: What}}
    mapped_parameters: {me: user.id}
    examples: [cry wolf]
    reply: {text: "Cry: **{{parameters.word}}**", to: ["slack:#general", "group:all", "user:{{mapped.me}}", "slack:#nowhere"]}
"##;

async fn replies_go_where_they_are_sent(kind: Kind) {
    let workspace = Workspace::start(free_port(), &Mode::Socket);
    let mut screen = workspace.screen().await;
    let server = Server::start_with(kind, |config| {
        settings(config, &workspace.url);
        let folder = config.bots[0].join("crier");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("bot.yaml"), CRIER).unwrap();
        config.outside.groups.insert("all".to_owned(), vec!["slack:C01GEN".to_owned()]);
    })
    .await;
    is_connected(&mut screen).await;
    let browser = linked(&server, &workspace, &mut screen, ANN).await;
    let session = browser.open("crier").await;
    browser.post(&format!("/api/session/{session}/messages"), &json!({ "content": "cry wolf" })).await.expect(201);
    let mut places = Vec::new();
    for _ in 0..3 {
        places.push(screen.told("wolf").await["channel"].as_str().unwrap().to_owned());
    }
    places.sort();
    assert_eq!(places.iter().filter(|place| *place == GENERAL).count(), 2, "the channel, and the group's: {places:?}");
    assert!(places.iter().any(|place| place.starts_with('D')), "and to themselves: {places:?}");
    // What has nowhere to go is not lost: administrators see it, and may try again.
    let door = "/api/admin/outbox/dead-letters";
    let dead = loop {
        let dead = browser.get(door).await.expect(200)["dead_letters"].clone();
        if dead[0].is_object() {
            break dead[0].clone();
        }
    };
    assert_eq!(
        (dead["place"].as_str(), dead["error"].as_str()),
        (Some("slack:*/#nowhere"), Some("Slack answered channel_not_found"))
    );
    assert_eq!(server.program(Role::User).await.get(door).await.error(403), "FORBIDDEN");
    let metrics = browser.get("/metrics").await.text;
    assert!(metrics.contains("parlour_outbox{state=\"dead\"} 1"), "{metrics}");
    let retry = format!("{door}/{}/retry", dead["id"].as_str().unwrap());
    assert_eq!(browser.post(&retry, &json!({})).await.status.as_u16(), 202);
    assert_eq!(browser.post(&format!("{door}/nothing/retry"), &json!({})).await.error(404), "NOT_FOUND");
    server.finish().await;
}

async fn nothing_is_said_twice_when_answers_get_lost(kind: Kind) {
    let (server, workspace, mut screen, network) = behind_a_network(kind).await;
    network.lose_each_answer_once();
    for name in ["Ann", "Bea", "Cid"] {
        workspace.say(ANN, ANN, None, &format!("greet {name}")).await;
        screen.told(&format!("Hello {name}")).await;
    }
    workspace.say(ANN, ANN, None, "rollout build").await;
    let card = screen.told("Test it").await;
    workspace
        .act(ANN, card["channel"].as_str().unwrap(), card["ts"].as_str().unwrap(), &control(&card, "Test it"))
        .await;
    screen.changed("Ship it").await;
    workspace.say(ANN, ANN, None, "greet End").await;
    screen.told("Hello End").await;
    // Whatever goes to one channel goes in its order: all before is settled when that stands there.
    let all = workspace.messages(card["channel"].as_str().unwrap()).await;
    let ours: Vec<&Value> = all.iter().filter(|message| message["user"] == BOT).collect();
    let order = ["Hello Ann", "Hello Bea", "Hello Cid", "Rollout", "Hello End"];
    assert_eq!(ours.len(), order.len(), "{ours:?}");
    for (message, part) in ours.iter().zip(order) {
        assert!(message.to_string().contains(part), "{part} in {message}");
    }
    let metrics = server.program(Role::Admin).await.get("/api/admin/system/metrics").await.expect(200);
    assert_eq!(metrics["outside"]["maybe_twice"], 0, "{metrics}");
    server.finish().await;
}

async fn slack_is_told_before_anything_is_done(kind: Kind) {
    let (server, workspace, mut screen, network) = behind_a_network(kind).await;
    // Who it is cannot be found out as long as this call is held, so nothing is done; Slack is told all the same.
    let go = network.hold("users.info");
    workspace.say(ANN, ANN, None, "greet Bea").await;
    let log = workspace.log().await;
    assert!(log.iter().any(|entry| entry["kind"] == "ack"), "{log:?}");
    network.until_called("users.info", ANN, 1).await;
    assert_eq!(server.store().recent_executions(None, 10).await.unwrap().len(), 0);
    go.notify_one();
    screen.told("Hello Bea").await;
    // Too many calls: nothing more is tried before Slack wants it, and then it is said.
    network.limit("chat.postMessage", 2, 1);
    workspace.say(ANN, ANN, None, "greet Cid").await;
    screen.told("Hello Cid").await;
    assert_eq!(network.calls("chat.postMessage", "Cid"), 3);
    // A token that counts no more may be mended.
    network.refuse("chat.postMessage", Some("token_revoked"));
    workspace.say(ANN, ANN, None, "greet Dan").await;
    network.until_called("chat.postMessage", "Dan", 1).await;
    network.refuse("chat.postMessage", None);
    screen.told("Hello Dan").await;
    server.finish().await;
}

/// Signs as Slack does.
pub(crate) fn signature(secret: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{timestamp}:{body}").as_bytes());
    format!("v0={}", parlour::model::id::hex(&mac.finalize().into_bytes()))
}

fn direct_message(event_id: &str, ts: &str, text: &str) -> String {
    json!({
        "type": "event_callback", "team_id": TEAM, "event_id": event_id, "authorizations": [{ "user_id": BOT }],
        "event": { "type": "message", "channel": "D1", "channel_type": "im", "user": ANN, "ts": ts, "text": text },
    })
    .to_string()
}

pub(crate) async fn post_signed(
    server: &Server,
    door: &str,
    kind: &str,
    signed: (i64, &str),
    body: &str,
) -> (u16, String) {
    let client = server.anybody().with("x-slack-request-timestamp", &signed.0.to_string());
    let client = if signed.1.is_empty() { client } else { client.with("x-slack-signature", signed.1) };
    let answer = client.post_text(door, kind, body.to_owned()).await;
    (answer.status.as_u16(), answer.text)
}

#[tokio::test]
async fn only_what_slack_signed_starts_anything() {
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let start = |secret: &'static str| {
        let nobody = nobody.clone();
        Server::start_with(Kind::Sqlite, move |config| {
            settings(config, &nobody);
            config.slack.app_token = Secret::default();
            config.slack.signing_secret = Secret::new(secret);
            config.outside.guest_role = Some(Role::User);
        })
    };
    let server = start(SIGNING_SECRET).await;
    let now = server.clock.now() / 1000;
    let body = direct_message("Ev1", "1.1", "greet Bea");
    let good = signature(SIGNING_SECRET, now, &body);
    let stale = now - 5 * 60 - 1;
    for (name, timestamp, signed, sent) in [
        ("missing", now, String::new(), body.clone()),
        ("stale", stale, signature(SIGNING_SECRET, stale, &body), body.clone()),
        ("altered by one space", now, good.clone(), body.replacen("{\"type\":", "{ \"type\":", 1)),
        ("with another time", now + 1, good.clone(), body.clone()),
        ("with another secret", now, signature("another", now, &body), body.clone()),
    ] {
        for door in ["/slack/events", "/slack/interactions", "/slack/commands"] {
            let (status, text) = post_signed(&server, door, JSON, (timestamp, &signed), &sent).await;
            assert_eq!(status, 401, "{name} at {door}: {text}");
        }
    }
    let owner = format!("guest:slack:{TEAM}/{ANN}");
    let inbox = parlour::bus::Inbox::new();
    let subscription = server.store().bus().subscribe(&Stream::user(&owner), &inbox, 1);
    assert_eq!(server.store().inbox_counts().await.unwrap(), (0, 0), "nothing was kept");
    // As Slack sends it, and again as it was: the second is refused. Sent anew by Slack it is known.
    assert_eq!(post_signed(&server, "/slack/events", JSON, (now, &good), &body).await, (200, String::new()));
    assert_eq!(post_signed(&server, "/slack/events", JSON, (now, &good), &body).await.0, 401, "replayed");
    let again = signature(SIGNING_SECRET, now + 3, &body);
    assert_eq!(post_signed(&server, "/slack/events", JSON, (now + 3, &again), &body).await.0, 200, "retried");
    // A mention comes twice, under two ids.
    let twin = direct_message("Ev2", "1.1", "greet Bea");
    let signed = signature(SIGNING_SECRET, now, &twin);
    assert_eq!(post_signed(&server, "/slack/events", JSON, (now, &signed), &twin).await.0, 200);
    let challenge = json!({ "type": "url_verification", "challenge": "c-1" }).to_string();
    let signed = signature(SIGNING_SECRET, now, &challenge);
    let answer = post_signed(&server, "/slack/events", JSON, (now, &signed), &challenge).await;
    assert_eq!(answer, (200, json!({ "challenge": "c-1" }).to_string()));
    let command = format!("command=%2Fparlour&text=greet+Cid&team_id={TEAM}&channel_id=C1&user_id={ANN}&trigger_id=t1");
    for seconds in [0, 1] {
        let signed = signature(SIGNING_SECRET, now + seconds, &command);
        assert_eq!(post_signed(&server, "/slack/commands", FORM, (now + seconds, &signed), &command).await.0, 200);
    }
    // Two conversations, one answer in each.
    let mut opened = 0;
    while opened < 2 {
        inbox.grown().await;
        opened = server.store().head(&Stream::user(&owner)).await.unwrap();
    }
    drop(subscription);
    let admin = server.program(Role::Admin).await;
    let mut said = Vec::new();
    for listed in server.store().conversations(&owner, None, 10).await.unwrap() {
        let id = listed.conversation.id;
        let page = admin.get(&format!("/api/session/{id}/events?after=1&wait=20")).await.expect(200);
        said.extend(
            page["events"].as_array().unwrap().iter().map(|event| event["content"].as_str().unwrap().to_owned()),
        );
    }
    said.sort();
    assert_eq!(said, ["Hello Bea, good to see you!", "Hello Cid, good to see you!"]);
    assert_eq!(server.store().recent_executions(None, 10).await.unwrap().len(), 2);
    server.finish().await;
    // Without a secret nobody is believed.
    let open = start("").await;
    let signed = signature("", now, &body);
    assert_eq!(post_signed(&open, "/slack/events", JSON, (now, &signed), &body).await.0, 401, "no secret configured");
    assert_eq!(open.store().inbox_counts().await.unwrap(), (0, 0));
    open.finish().await;
}

#[tokio::test]
async fn a_workspace_may_send_requests_instead() {
    let port = free_port();
    let server = Server::start_by(Clock::system(), Kind::Sqlite, |config| {
        settings(config, &format!("http://127.0.0.1:{port}"));
        config.slack.app_token = Secret::default();
        config.outside.guest_role = Some(Role::User);
    })
    .await;
    let workspace = Workspace::start(port, &Mode::Requests(&format!("{}/slack/events", server.url)));
    let mut screen = workspace.screen().await;
    workspace.say(ANN, GENERAL, None, "<@U0BOT> day").await;
    let asked = screen.told("Fill in").await;
    workspace.act(ANN, GENERAL, asked["ts"].as_str().unwrap(), &control(&asked, "Fill in")).await;
    screen.until(|frame| frame["t"] == "view" && frame["stack"][0]["type"] == "modal").await;
    let day = |day: Value| json!({ "day": { "value": { "type": "datepicker", "selected_date": day } } });
    screen.submit(ANN, &day(Value::Null)).await;
    assert!(screen.until(|frame| frame["t"] == "view_errors").await["errors"]["day"].is_string());
    screen.submit(ANN, &day(json!("2026-11-23"))).await;
    screen.told("Monday").await;
    workspace.slash(BEA, GENERAL, "greet Ann").await;
    screen.told("Hello Ann").await;
    server.finish().await;
}

with_both_databases!(
    people_become_somebody,
    people_talk_with_bots,
    forms_and_buttons,
    replies_go_where_they_are_sent,
    nothing_is_said_twice_when_answers_get_lost,
    slack_is_told_before_anything_is_done,
);
