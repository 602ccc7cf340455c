//! Bot sessions over REST: open, say, read, list, close.

use std::sync::Arc;

use futures_util::StreamExt as _;
use parlour::model::principal::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Server, on_both_databases};

on_both_databases!(
    a_conversation_is_one_gapless_log,
    the_same_key_and_content_is_one_message,
    answers_help_when_nothing_fits,
    events_are_read_from_a_moment_on,
    events_stream_and_resume,
    foreign_sessions_do_not_exist,
    lists_page_and_closed_sessions_leave_them,
    the_built_in_commands_explain,
);

async fn a_conversation_is_one_gapless_log(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let path = format!("/api/session/{session}/messages");
    let events = format!("/api/session/{session}/events");
    // Ten writers at once, while a reader follows.
    let writers = futures_util::future::join_all((0..10).map(|n| {
        let (program, path) = (program.clone(), path.clone());
        async move {
            for m in 0..5 {
                let content = format!("type this in chat to invoke the command parameter_name_1={n}-{m}");
                program.post(&path, &json!({ "content": content })).await.expect(201);
            }
        }
    }));
    let reader = async {
        let (mut after, mut seen) = (0, Vec::new());
        while seen.len() < 100 {
            let page = program.get(&format!("{events}?after={after}&limit=7&wait=10")).await.expect(200);
            after = page["next_after"].as_i64().unwrap();
            seen.extend(page["events"].as_array().unwrap().iter().cloned());
        }
        seen
    };
    let (_, seen) = futures_util::join!(writers, reader);
    let seqs: Vec<i64> = seen.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=100).collect::<Vec<_>>(), "gapless, in order, each once");
    let replies = seen.iter().filter(|event| event["sender"]["kind"] == "bot");
    for reply in replies {
        let said = seen.iter().find(|event| event["message_id"] == reply["reply_to"]).expect("it answers a message");
        let value = said["content"].as_str().unwrap().rsplit('=').next().unwrap().to_owned();
        assert_eq!(reply["content"], format!("Hello {value}"));
        assert_eq!(
            reply["seq"].as_i64(),
            said["seq"].as_i64().map(|seq| seq + 1),
            "an answer stands behind its message"
        );
    }
    // Read backwards, the same log.
    let page = program.get(&format!("{events}?before=51&limit=10")).await.expect(200);
    let back: Vec<_> = page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!((back, page["has_more"].as_bool()), ((41..=50).collect(), Some(true)));
    assert_eq!(program.get(&format!("{events}?limit=0")).await.error(400), "INVALID_REQUEST");
    assert_eq!(program.get(&format!("{events}?after=1&before=2")).await.error(400), "INVALID_REQUEST");
}

async fn the_same_key_and_content_is_one_message(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let path = format!("/api/session/{session}/messages");
    let keyed = program.with("idempotency-key", "m-1");
    let hello = json!({ "content": "greet Ann" });
    let answers = futures_util::future::join_all((0..6).map(|_| keyed.post(&path, &hello))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 5, "{statuses:?}");
    let bodies: Vec<Value> = answers.iter().map(|answer| answer.json()).collect();
    assert!(bodies.iter().all(|body| body["seq"] == 1 && body["message_id"] == bodies[0]["message_id"]));
    assert_eq!(keyed.post(&path, &json!({ "content": "greet Bob" })).await.error(409), "IDEMPOTENCY_CONFLICT");
    let page = program.get(&format!("/api/session/{session}/events")).await.expect(200);
    assert_eq!(page["head"], 2, "one message, one answer");
    // The same id in another conversation is another message.
    let other = program.open("hello").await;
    assert_eq!(keyed.post(&format!("/api/session/{other}/messages"), &hello).await.status.as_u16(), 201);
}

async fn answers_help_when_nothing_fits(server: Arc<Server>) {
    let program = server.program_in(Role::User, &["support"]).await;
    let session = program.open("shop").await;
    let reply = program.say(&session, "deplyo web to prod").await;
    assert_eq!(reply["suggestions"], json!(["deploy web to prod"]), "{reply}");
    let reply = program.say(&session, "deploy web to mars").await;
    assert_eq!(reply["content"], "That does not fit environment: one of staging, prod.\n\nenvironment");
    assert_eq!(program.say(&session, "cancel").await["content"], "Cancelled: **deploy** does not run.");
    let reply = program.say(&session, "deploy").await;
    assert_eq!((reply["content"].as_str(), reply["tone"].as_str()), (Some("Which service"), Some("question")));
    assert_eq!(program.say(&session, "cancel").await["content"], "Cancelled: **deploy** does not run.");
    assert_eq!(program.say(&session, "DEPLOY web to PROD").await["content"], "web goes to prod");
    assert_eq!(program.say(&session, "ship web environment=prod").await["content"], "web goes to prod");
    assert_eq!(program.say(&session, "release web").await["tone"], "warning", "a forbidden command says so");
    // Two bots answer to it; the bot of the conversation goes first, elsewhere it is asked.
    assert_eq!(program.say(&session, "show a table").await["title"], "Stock");
    let hello = program.open("hello").await;
    let reply = program.say(&hello, "show a table").await;
    assert_eq!(reply["suggestions"], json!(["@shop show a table", "@store show a table"]));
    assert_eq!(program.say(&hello, "@store show a table").await["content"], "one table from the store");
    // What people type stays text.
    let reply = program.say(&hello, "greet **x**<script>").await;
    assert!(!reply["content"].as_str().unwrap().contains("**x**"), "{reply}");
    let path = format!("/api/session/{hello}/messages");
    assert_eq!(program.post(&path, &json!({ "content": "  " })).await.error(400), "INVALID_REQUEST");
    assert_eq!(program.post(&path, &json!({ "content": "x".repeat(33_000) })).await.error(413), "MESSAGE_TOO_LARGE");
}

async fn events_are_read_from_a_moment_on(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let mut moments = Vec::new();
    for name in ["Ann", "Bob", "Cid"] {
        moments.push(program.say(&session, &format!("greet {name}")).await["ts"].as_str().unwrap().to_owned());
        server.clock.advance(86_400_000);
    }
    let first = async |at: &str| {
        let page = program.get(&format!("/api/session/{session}/events?at={at}&limit=1")).await.expect(200);
        (page["events"][0]["seq"].as_i64(), page["next_after"].as_i64().unwrap(), page["limited"].as_bool().unwrap())
    };
    assert_eq!(first("2000-01-01T00:00:00Z").await, (Some(1), 1, true), "from the beginning");
    for (moment, seq) in moments.iter().zip([1, 3, 5]) {
        assert_eq!(first(moment).await, (Some(seq), seq, true));
        let (day, time) = moment.trim_end_matches('Z').split_once('T').unwrap();
        let hour: u32 = time[..2].parse().unwrap();
        // The clock of these tests stands in the afternoon.
        let elsewhere = format!("{day}T{:02}{}%2B02:00", hour + 2, &time[2..]);
        assert_eq!(first(&elsewhere).await, (Some(seq), seq, true), "the same moment elsewhere");
    }
    assert_eq!(first("2999-01-01T00:00:00Z").await, (None, 6, false), "nothing yet");
    let events = format!("/api/session/{session}/events");
    for bad in ["at=yesterday", "at=2026-01-31", "at=2026-01-31T00:00:00Z&after=1"] {
        assert_eq!(program.get(&format!("{events}?{bad}")).await.error(400), "INVALID_REQUEST", "{bad}");
    }
}

async fn events_stream_and_resume(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let events = format!("/api/session/{session}/events");
    let read = async |after: &str, count: usize| {
        let request = program.request(Method::GET, &events).header("accept", "text/event-stream");
        let answer = request.header("last-event-id", after).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-cache");
        let mut stream = answer.bytes_stream();
        let mut text = String::new();
        while text.matches("\ndata:").count() < count || !text.ends_with("\n\n") {
            text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
        }
        text.strip_prefix("retry: 2000\n\n").expect("first of all, when to come back").to_owned()
    };
    program.say(&session, "greet Ann").await;
    let text = read("0", 2).await;
    assert!(text.starts_with("id: 1\ndata: {\"type\":\"message\""), "{text}");
    // A reader that comes back gets what it missed and what follows.
    let (text, _) = futures_util::join!(read("1", 3), program.say(&session, "greet Bob"));
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["2", "3", "4"]);
    let bad = program.with("accept", "text/event-stream").with("last-event-id", "x");
    assert_eq!(bad.get(&events).await.error(400), "INVALID_REQUEST");
    // The stream ends with the login of who reads it.
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    let request = browser.request(Method::GET, &format!("/api/session/{session}/events"));
    let mut stream = request.header("accept", "text/event-stream").send().await.unwrap().bytes_stream();
    let mut text = String::new();
    while !text.contains("retry:") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    browser.post("/auth/logout", &json!({})).await.expect(200);
    assert!(stream.next().await.is_none(), "nothing follows");
}

async fn foreign_sessions_do_not_exist(server: Arc<Server>) {
    let (ann, bob) = (server.program(Role::User).await, server.program(Role::User).await);
    let session = ann.open("hello").await;
    for id in [session.as_str(), "no-such-session"] {
        let say = bob.post(&format!("/api/session/{id}/messages"), &json!({ "content": "greet me" })).await;
        assert_eq!(say.error(404), "NOT_FOUND");
        assert_eq!(bob.get(&format!("/api/session/{id}/events")).await.error(404), "NOT_FOUND");
        assert_eq!(bob.delete(&format!("/api/session/{id}")).await.error(404), "NOT_FOUND");
    }
    assert_eq!(ann.get(&format!("/api/session/{session}/events")).await.expect(200)["head"], 0);
    // A bot that is not for somebody is not there for them.
    assert_eq!(ann.post("/api/session/create", &json!({ "bot_id": "shop" })).await.error(404), "NOT_FOUND");
    assert_eq!(ann.get("/api/bots/shop").await.error(404), "NOT_FOUND");
    let reader = server.program(Role::Readonly).await;
    assert_eq!(reader.post("/api/session/create", &json!({ "bot_id": "hello" })).await.error(403), "FORBIDDEN");
    let bots = ann.get("/api/bots").await.expect(200);
    let names: Vec<_> = bots.as_array().unwrap().iter().map(|bot| bot["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["away", "board", "desk", "gallery", "hello", "ops", "runner", "store", "twin", "vault"]);
}

async fn lists_page_and_closed_sessions_leave_them(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let mut opened = Vec::new();
    for _ in 0..5 {
        opened.push(program.open("hello").await);
        server.clock.advance(1000);
    }
    program.say(&opened[0], "greet Ann").await;
    let list = async |query: &str| program.get(&format!("/api/session/list{query}")).await.expect(200);
    let ids = |page: &Value| -> Vec<String> {
        page["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|session| session["session_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let page = list("?limit=3").await;
    assert_eq!(ids(&page), [&opened[0], &opened[4], &opened[3]].map(String::clone));
    assert!(page["sessions"][0]["last_message"]["text"].as_str().unwrap().contains("Ann"));
    let rest = list(&format!("?limit=3&before={}", page["next"].as_str().unwrap())).await;
    assert_eq!(ids(&rest), [&opened[2], &opened[1]].map(String::clone));
    assert!(rest["next"].is_null());

    let gone = program.delete(&format!("/api/session/{}", opened[0])).await.expect(200);
    assert_eq!(gone, json!({ "success": true, "session_id": opened[0] }));
    assert!(!ids(&list("").await).contains(&opened[0]));
    let say = program.post(&format!("/api/session/{}/messages", opened[0]), &json!({ "content": "greet Ann" })).await;
    assert_eq!(say.error(409), "SESSION_CLOSED");
    let page = program.get(&format!("/api/session/{}/events", opened[0])).await.expect(200);
    assert_eq!(page["events"][2]["data"]["status"], "closed", "what was said stays readable");
    assert_eq!(program.get("/api/session/list?before=x").await.error(400), "INVALID_REQUEST");
}

async fn the_built_in_commands_explain(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let help = program.say(&session, "help").await;
    assert_eq!(help["sender"]["name"], "Parlour");
    assert!(help.to_string().contains("type this in chat to invoke the command"));
    assert!(!help.to_string().contains("deploy"), "only what one may use");
    assert!(program.say(&session, "help uptime").await.to_string().contains("Since when"));
    let list = program.say(&session, "list").await.to_string();
    assert!(list.contains("Ops") && !list.contains("Shop"), "{list}");
    let describe = program.say(&session, "describe my-command-name").await;
    assert_eq!(describe["title"], "MyCommandName · Hello");
    assert!(describe["parts"][1]["rows"][0].to_string().contains("yes"), "{describe}");
    program.say(&session, "greet Ann").await;
    let why = program.say(&session, "why").await.to_string();
    assert!(why.contains("greet Ann") && why.contains("You may run it"), "{why}");
    let history = program.say(&session, "history").await;
    assert_eq!(history["parts"][0]["rows"][1][1], "greet", "{history}");
    assert!(program.say(&session, "@ops status").await["parts"][0]["fields"].to_string().contains("SQL"));
}
