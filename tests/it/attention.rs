//! Read marks, conversations that grow elsewhere, typing, and reading back.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::server::{Client, Server, Socket, on_both_databases};

on_both_databases!(
    a_mark_rises_and_every_device_hears_of_it,
    marks_are_for_ones_own_conversations,
    growth_is_heard_without_a_subscription,
    typing_passes_by_to_who_wants_it,
    history_reads_back,
);

async fn listed(client: &Client, session: &str) -> Value {
    let page = client.get("/api/session/list").await.expect(200);
    let found = page["sessions"].as_array().unwrap().iter().find(|row| row["session_id"] == session);
    found.expect("the session is listed").clone()
}

/// Sends a ping and answers what came before its pong.
async fn before_pong(socket: &mut Socket) -> Vec<Value> {
    socket.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    let mut frames = Vec::new();
    loop {
        let frame = socket.next().await;
        if frame["type"] == "pong" {
            return frames;
        }
        frames.push(frame);
    }
}

async fn a_mark_rises_and_every_device_hears_of_it(server: Arc<Server>) {
    let browser = server.browser().await;
    let created = browser.post("/api/session/create", &json!({ "bot_id": "hello" })).await.expect(201);
    assert_eq!(created["read_seq"], 0);
    let session = created["session_id"].as_str().unwrap();
    for n in 0..3 {
        browser.say(session, &format!("greet {n}")).await;
    }
    let row = listed(&browser, session).await;
    assert_eq!((row["head_seq"].as_i64(), row["read_seq"].as_i64()), (Some(6), Some(0)));

    let (mut here, mut there) = (browser.socket().await, browser.socket().await);
    there.subscribe("user:local-admin", 0).await;
    here.send(&json!({ "type": "read", "id": "r1", "session_id": session, "read_seq": 4 })).await;
    assert_eq!(here.next().await, json!({ "type": "ack", "id": "r1", "session_id": session, "read_seq": 4 }));
    let stream = "user:local-admin";
    let heard =
        json!({ "type": "read", "stream": stream, "session_id": session, "user_id": "local-admin", "read_seq": 4 });
    assert_eq!(there.next().await, heard);
    assert_eq!(listed(&browser, session).await["read_seq"], 4);
    // It never falls, and what is not there yet cannot be read.
    let path = format!("/api/session/{session}/read");
    let mark = async |read_seq: i64| browser.post(&path, &json!({ "read_seq": read_seq })).await.expect(200);
    assert_eq!(mark(2).await, json!({ "session_id": session, "read_seq": 4 }));
    assert_eq!(mark(1000).await["read_seq"], 6);
    assert_eq!(there.next().await["read_seq"], 6, "a mark that did not rise is not told");
    assert_eq!(mark(6).await["read_seq"], 6);
    // Without an id there is nothing to acknowledge.
    here.send(&json!({ "type": "read", "session_id": session, "read_seq": 6 })).await;
    here.send(&json!({ "type": "history", "id": "h", "session_id": session, "limit": 1 })).await;
    assert_eq!(here.next().await["type"], "history");
}

async fn marks_are_for_ones_own_conversations(server: Arc<Server>) {
    let (ann, bob) = (server.program(Role::User).await, server.program(Role::User).await);
    let session = ann.open("hello").await;
    let path = format!("/api/session/{session}/read");
    assert_eq!(bob.post(&path, &json!({ "read_seq": 1 })).await.error(404), "NOT_FOUND");
    assert_eq!(ann.post(&path, &json!({ "read_seq": -1 })).await.error(400), "INVALID_REQUEST");
    assert_eq!(ann.post(&path, &json!({ "read_seq": 5 })).await.expect(200)["read_seq"], 0, "nothing is there yet");
    let mut socket = bob.socket().await;
    for frame in [
        json!({ "type": "read", "id": "x", "session_id": session, "read_seq": 1 }),
        json!({ "type": "history", "id": "x", "session_id": session }),
    ] {
        socket.send(&frame).await;
        let error = socket.until("error").await;
        assert_eq!((error["id"].as_str(), error["error"]["code"].as_str()), (Some("x"), Some("NOT_FOUND")));
    }
    socket.send(&json!({ "type": "typing", "session_id": session })).await;
    assert_eq!(socket.until("error").await["error"]["code"], "NOT_FOUND");
    socket.send(&json!({ "type": "read", "id": "a b", "session_id": session, "read_seq": 1 })).await;
    assert_eq!(socket.until("error").await["error"]["code"], "INVALID_REQUEST");
}

async fn growth_is_heard_without_a_subscription(server: Arc<Server>) {
    let (ann, bob) = (server.program(Role::User).await, server.program(Role::User).await);
    let session = ann.open("hello").await;
    let me = ann.get("/api/session").await.expect(200)["user_id"].as_str().unwrap().to_owned();
    let mut socket = ann.socket().await;
    socket.subscribe(&format!("user:{me}"), 0).await;
    let reply = ann.say(&session, "greet Ann").await;
    let activity = socket.next().await;
    assert_eq!(
        activity,
        json!({ "type": "activity", "stream": format!("user:{me}"), "session_id": session, "head_seq": 2, "ts": reply["ts"] })
    );
    // What nobody could answer grows it too; others' conversations are not heard of.
    let foreign = bob.open("hello").await;
    bob.say(&foreign, "greet Bob").await;
    ann.say(&session, "no such thing at all").await;
    assert_eq!(socket.next().await["head_seq"], 4);
    // An administrator who speaks there wakes its owner's devices, not their own.
    let admin = server.browser().await;
    let mut other = admin.socket().await;
    other.subscribe("user:local-admin", 0).await;
    admin.say(&session, "greet Admin").await;
    assert_eq!(socket.next().await["head_seq"], 6);
    assert!(before_pong(&mut other).await.is_empty());
    // The same message again is no growth.
    let path = format!("/api/session/{session}/messages");
    let keyed = ann.with("idempotency-key", "k");
    keyed.post(&path, &json!({ "content": "greet Ann" })).await.expect(201);
    assert_eq!(socket.next().await["head_seq"], 8);
    keyed.post(&path, &json!({ "content": "greet Ann" })).await.expect(200);
    assert!(before_pong(&mut socket).await.is_empty());
}

async fn typing_passes_by_to_who_wants_it(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    let stream = format!("conv:{session}");
    let (mut writer, mut reader, mut other) = (browser.socket().await, browser.socket().await, browser.socket().await);
    other.subscribe(&stream, 0).await;
    reader.send(&json!({ "type": "subscribe", "id": "s", "stream": stream, "want": ["typing", "weather"] })).await;
    reader.until("caught_up").await;
    let typing = json!({ "type": "typing", "session_id": session });
    for _ in 0..5 {
        writer.send(&typing).await;
    }
    assert!(before_pong(&mut writer).await.is_empty(), "there is no answer");
    let heard = reader.next().await;
    let sender = json!({ "kind": "user", "id": "local-admin", "name": "Admin" });
    assert_eq!(
        heard,
        json!({ "type": "typing", "stream": stream, "session_id": session, "sender": sender, "active": true, "ttl_ms": 6000 })
    );
    server.clock.advance(1_999);
    writer.send(&typing).await;
    // Answered in its order, behind the typing.
    writer.send(&json!({ "type": "history", "session_id": session })).await;
    writer.until("history").await;
    assert!(before_pong(&mut reader).await.is_empty(), "once in two seconds");
    server.clock.advance(1);
    writer.send(&typing).await;
    assert_eq!(reader.next().await["type"], "typing");
    // It leaves no trace in the log, and who comes later does not hear of it.
    assert!(before_pong(&mut other).await.is_empty(), "only who wants it");
    let mut late = browser.socket().await;
    late.send(&json!({ "type": "subscribe", "stream": stream, "want": ["typing"] })).await;
    assert_eq!(late.until("caught_up").await["seq"], 0);
    assert!(before_pong(&mut late).await.is_empty());
}

async fn history_reads_back(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    for n in 0..30 {
        browser.say(&session, &format!("greet {n}")).await;
    }
    let all = browser.get(&format!("/api/session/{session}/events?limit=100")).await.expect(200);
    let all = all["events"].as_array().unwrap();
    let mut socket = browser.socket().await;
    let (mut before, mut read) = (Value::Null, Vec::new());
    loop {
        socket
            .send(&json!({ "type": "history", "id": "h", "session_id": session, "before": before, "limit": 25 }))
            .await;
        let page = socket.next().await;
        assert_eq!((page["type"].as_str(), page["id"].as_str()), (Some("history"), Some("h")));
        assert_eq!(page["session_id"], session);
        let events = page["events"].as_array().unwrap().clone();
        before = events[0]["seq"].clone();
        read.splice(0..0, events);
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(&read, all, "the same frames as by any other door");
    // A page is bounded in bytes, too, and says that there is more.
    let long = "x".repeat(30_000);
    for _ in 0..12 {
        browser.say(&session, &format!("greet {long}")).await;
    }
    socket.send(&json!({ "type": "history", "session_id": session, "limit": 500 })).await;
    let page = socket.next().await;
    let events = page["events"].as_array().unwrap();
    assert!(page["has_more"] == true && page.to_string().len() < 300 * 1024 && events.len() > 3, "{}", events.len());
    assert_eq!(events.last().unwrap()["seq"], 84, "the newest");
    socket.send(&json!({ "type": "history", "id": "h", "session_id": session, "before": 1 })).await;
    let page = socket.next().await;
    assert_eq!((page["events"].as_array().unwrap().len(), page["has_more"].as_bool()), (0, Some(false)));
}
