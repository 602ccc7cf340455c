//! Who is there in a conversation.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::server::{Client, Server, Socket, on_both_databases};

on_both_databases!(people_come_look_away_and_go, presence_is_for_who_may_look);

/// A socket that reads a conversation and wants to know who is there; what it was told first.
async fn watcher(client: &Client, stream: &str) -> (Socket, Vec<Value>) {
    let mut socket = client.socket().await;
    socket.send(&json!({ "type": "subscribe", "id": "s", "stream": stream, "want": ["presence"] })).await;
    socket.until("subscribed").await;
    let mut there = Vec::new();
    loop {
        let frame = socket.next().await;
        match frame["type"].as_str().unwrap() {
            "presence" => there.push(frame),
            "caught_up" => return (socket, there),
            other => panic!("unexpected {other}"),
        }
    }
}

async fn who(client: &Client) -> String {
    client.get("/api/session").await.expect(200)["user_id"].as_str().unwrap().to_owned()
}

/// Waits until everything the socket sent has been done.
async fn done(socket: &mut Socket, session: &str) {
    socket.send(&json!({ "type": "history", "session_id": session, "limit": 1 })).await;
    socket.until("history").await;
}

async fn people_come_look_away_and_go(server: Arc<Server>) {
    let (ann, admin) = (server.program(Role::User).await, server.browser().await);
    let ann_id = who(&ann).await;
    let session = ann.open("hello").await;
    let stream = format!("conv:{session}");
    let state = |user: &str, state: &str| json!({ "type": "presence", "stream": stream, "session_id": session, "user_id": user, "state": state });

    let (mut watching, there) = watcher(&admin, &stream).await;
    assert_eq!(there, [state("local-admin", "online")], "oneself, and nobody else yet");
    // A socket alone is not being there; reading is.
    let mut laptop = ann.socket().await;
    done(&mut laptop, &session).await;
    laptop.subscribe(&stream, 0).await;
    assert_eq!(watching.next().await, state(&ann_id, "online"));
    laptop.send(&json!({ "type": "presence", "state": "away" })).await;
    assert_eq!(watching.next().await, state(&ann_id, "away"));
    // Who comes now hears of both.
    let (phone, mut there) = watcher(&ann, &stream).await;
    there.sort_by_key(|frame| frame["user_id"] != "local-admin");
    assert_eq!(there, [state("local-admin", "online"), state(&ann_id, "online")]);
    assert_eq!(watching.next().await, state(&ann_id, "online"), "the phone is looking");
    // Away on one device, online on the other: no change. Nor when the same socket subscribes again.
    laptop.send(&json!({ "type": "presence", "state": "online" })).await;
    laptop.send(&json!({ "type": "presence", "state": "away" })).await;
    laptop.subscribe(&stream, 0).await;
    done(&mut laptop, &session).await;
    drop(phone);
    assert_eq!(watching.next().await, state(&ann_id, "away"));
    laptop.send(&json!({ "type": "unsubscribe", "stream": stream })).await;
    assert_eq!(watching.next().await, state(&ann_id, "offline"));
    laptop.subscribe(&stream, 0).await;
    assert_eq!(watching.next().await, state(&ann_id, "away"), "away holds for the whole socket");
    drop(laptop);
    assert_eq!(watching.next().await, state(&ann_id, "offline"));
    // It passed by: the log knows nothing of it.
    assert_eq!(ann.get(&format!("/api/session/{session}/events")).await.expect(200)["head"], 0);
}

async fn presence_is_for_who_may_look(server: Arc<Server>) {
    let (ann, bob) = (server.program(Role::User).await, server.program(Role::User).await);
    let session = ann.open("hello").await;
    let stream = format!("conv:{session}");
    let (mut watching, _) = watcher(&ann, &stream).await;
    let mut stranger = bob.socket().await;
    let wish = json!({ "type": "subscribe", "id": "s", "stream": stream, "want": ["presence"] });
    stranger.send(&wish).await;
    assert_eq!(stranger.next().await["error"]["code"], "NOT_FOUND");
    // Refused, so not there; and who did not ask is not told of who is.
    let mut indifferent = ann.socket().await;
    indifferent.subscribe(&stream, 0).await;
    let admin = server.browser().await;
    let (guest, _) = watcher(&admin, &stream).await;
    assert_eq!(watching.next().await["user_id"], "local-admin");
    drop(guest);
    assert_eq!(watching.next().await["state"], "offline");
    indifferent.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    assert_eq!(indifferent.next().await["type"], "pong");
    stranger.send(&json!({ "type": "presence", "state": "asleep" })).await;
    assert_eq!(stranger.next().await["error"]["code"], "INVALID_FRAME");
}
