//! How much a client may do, and what becomes of one that does more. The database makes no difference here.

use futures_util::{SinkExt as _, StreamExt as _};
use jiff::SignedDuration;
use parlour::model::principal::Role;
use reqwest::Method;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::server::{Answer, Client, Kind, Server, Socket};

async fn ping(socket: &mut Socket) -> serde_json::Value {
    socket.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    socket.next().await
}

/// Asks for a socket and reads the refusal.
async fn refusal(client: &Client) -> Answer {
    let handshake = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    handshake.into_iter().fold(client.clone(), |client, (name, value)| client.with(name, value)).get("/ws").await
}

#[tokio::test]
async fn frames_that_come_too_fast_are_refused_and_in_the_end_their_client() {
    let server = Server::start_with(Kind::Sqlite, |_| {}).await;
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let mut socket = program.raw_socket(Some("parlour.v1")).await.unwrap();
    let hello = socket.next().await;
    assert_eq!((&hello["pace"], &hello["max_subscriptions"]), (&json!({ "per_second": 20, "burst": 40 }), &json!(256)));
    // Nonsense counts like everything else.
    socket.send_text("nonsense").await;
    assert_eq!(socket.next().await["error"]["code"], "INVALID_JSON");
    for _ in 1..40 {
        assert_eq!(ping(&mut socket).await["type"], "pong");
    }
    let message = json!({ "type": "message", "id": "m", "session_id": session, "content": "greet Ann" });
    socket.send(&message).await;
    let refused = socket.next().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!("m"), &json!("RATE_LIMITED")));
    assert_eq!(refused["retry_after_ms"], 50);
    server.clock.advance(49);
    assert_eq!(ping(&mut socket).await["retry_after_ms"], 1);
    server.clock.advance(1);
    socket.send(&message).await;
    let ack = socket.until("ack").await;
    assert_eq!((&ack["seq"], &ack["duplicate"]), (&json!(1), &json!(false)), "it was not executed before");
    // Another socket has a pace of its own.
    assert_eq!(ping(&mut program.socket().await).await["type"], "pong");
    for _ in 3..5 {
        assert_eq!(ping(&mut socket).await["error"]["code"], "RATE_LIMITED");
    }
    let bye = ping(&mut socket).await;
    assert_eq!((&bye["type"], &bye["code"], &bye["reconnect"]), (&json!("bye"), &json!(4429), &json!(true)));
    assert_eq!(bye["retry_after_ms"], 2000);
    assert_eq!(socket.closed().await, Some(4429));
    server.finish().await;
}

#[tokio::test]
async fn sockets_of_one_user_are_counted() {
    let server = Server::start_with(Kind::Sqlite, |config| config.ws.sockets_per_user = 2).await;
    let (program, admin) = (server.program(Role::User).await, server.browser().await);
    let session = program.open("hello").await;
    let stream = format!("conv:{session}");
    let (mut first, second) = (program.socket().await, program.socket().await);
    let full = refusal(&program).await;
    assert_eq!(full.headers["retry-after"], "5");
    assert_eq!(full.error(429), "TOO_MANY_SOCKETS");
    // Others are not concerned, and a place that was left is free again.
    let mut watching = admin.socket().await;
    watching.send(&json!({ "type": "subscribe", "stream": stream, "want": ["presence"] })).await;
    watching.until("caught_up").await;
    first.subscribe(&stream, 0).await;
    assert_eq!(watching.until("presence").await["state"], "online");
    drop(first);
    assert_eq!(watching.until("presence").await["state"], "offline");
    let third = program.socket().await;
    assert_eq!(refusal(&program).await.error(429), "TOO_MANY_SOCKETS");
    drop((second, third));
    server.finish().await;
}

#[tokio::test]
async fn streams_of_one_socket_are_counted() {
    let server = Server::start_with(Kind::Sqlite, |config| config.ws.subscriptions = 2).await;
    let program = server.program(Role::User).await;
    let mut socket = program.socket().await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(format!("conv:{}", program.open("hello").await));
    }
    socket.subscribe(&streams[0], 0).await;
    socket.subscribe(&streams[1], 0).await;
    let third = json!({ "type": "subscribe", "id": "s3", "stream": streams[2] });
    socket.send(&third).await;
    let error = socket.next().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!("s3"), &json!("TOO_MANY_SUBSCRIPTIONS")));
    socket.subscribe(&streams[0], 0).await;
    socket.send(&json!({ "type": "unsubscribe", "stream": streams[1] })).await;
    socket.subscribe(&streams[2], 0).await;
    server.finish().await;
}

#[tokio::test]
async fn an_address_is_refused_only_so_often() {
    let server = Server::start_with(Kind::Sqlite, |_| {}).await;
    let (anybody, program, browser) = (server.anybody(), server.program(Role::User).await, server.browser().await);
    let foreign = browser.with("origin", "https://evil.example");
    for _ in 0..5 {
        assert_eq!(refusal(&anybody).await.error(401), "UNAUTHORIZED");
        assert_eq!(refusal(&foreign).await.error(403), "CROSS_ORIGIN");
    }
    let limited = refusal(&anybody).await;
    assert_eq!(limited.headers["retry-after"], "1");
    assert_eq!(limited.error(429), "RATE_LIMITED");
    assert_eq!(refusal(&foreign).await.error(429), "RATE_LIMITED");
    program.socket().await;
    server.clock.advance(334);
    assert_eq!(refusal(&anybody).await.error(401), "UNAUTHORIZED");
    assert_eq!(refusal(&anybody).await.error(429), "RATE_LIMITED");
    server.finish().await;
}

#[tokio::test]
async fn every_limit_can_be_switched_off() {
    let server = Server::start_with(Kind::Sqlite, |config| {
        let ws = &mut config.ws;
        (ws.frames_per_second, ws.frames_burst, ws.sockets_per_user, ws.subscriptions) = (0, 0, 0, 0);
        ws.spare_loopback = true;
    })
    .await;
    let program = server.program(Role::User).await;
    for _ in 0..30 {
        assert_eq!(refusal(&server.anybody()).await.error(401), "UNAUTHORIZED", "this machine is spared");
    }
    let mut sockets = Vec::new();
    for _ in 0..25 {
        sockets.push(program.raw_socket(Some("parlour.v1")).await.unwrap());
    }
    let hello = sockets[0].next().await;
    assert!(hello["pace"].is_null() && hello["max_subscriptions"].is_null(), "{hello}");
    for _ in 0..100 {
        assert_eq!(ping(&mut sockets[0]).await["type"], "pong");
    }
    drop(sockets);
    server.finish().await;
}

#[tokio::test]
async fn pages_and_protocols_are_those_allowed() {
    let page = "https://intranet.example.com";
    let server = Server::start_with(Kind::Sqlite, |config| config.ws.allowed_origins = vec![page.to_owned()]).await;
    let browser = server.browser().await;
    assert!(browser.with("origin", page).raw_socket(Some("parlour.v1")).await.is_ok());
    for origin in
        ["http://intranet.example.com", "https://intranet.example.com:8443", "https://INTRANET.example.com", "null"]
    {
        assert_eq!(browser.with("origin", origin).raw_socket(Some("parlour.v1")).await.err(), Some(403), "{origin}");
    }
    // It may open a socket, nothing else.
    let answer = browser.with("origin", page).post("/api/session/create", &json!({ "bot_id": "hello" })).await;
    assert_eq!(answer.error(403), "CROSS_ORIGIN");
    let program = server.program(Role::User).await;
    assert_eq!(program.raw_socket(Some("parlour.v9")).await.err(), Some(426));
    assert!(program.raw_socket(Some("parlour.v9, parlour.v1")).await.is_ok());
    assert_eq!(program.request(Method::GET, "/ws").send().await.unwrap().status(), 400, "no web socket at all");
    server.finish().await;
}

/// A client that reads nothing is sent away, what it has not taken is not kept for it, and nobody else notices.
#[tokio::test]
async fn who_takes_nothing_is_sent_away() {
    let server = Server::start_with(Kind::Sqlite, |config| {
        config.ws.stalled_after = SignedDuration::from_millis(300);
    })
    .await;
    let (program, admin) = (server.program(Role::User).await, server.browser().await);
    let session = program.open("hello").await;
    let stream = format!("conv:{session}");
    let long = "x".repeat(30_000);
    for _ in 0..20 {
        program.say(&session, &format!("greet {long}")).await;
    }
    let mut watching = admin.socket().await;
    watching.send(&json!({ "type": "subscribe", "stream": stream, "after": 40, "want": ["presence"] })).await;
    watching.until("caught_up").await;
    let mut stuck = program.narrow_socket().await;
    let again = 39;
    for _ in 0..again {
        stuck
            .send(Message::text(json!({ "type": "subscribe", "stream": stream, "after": 0 }).to_string()))
            .await
            .unwrap();
    }
    assert_eq!(watching.until("presence").await["state"], "online");
    // Others go on as ever.
    program.say(&session, "greet Ann").await;
    assert_eq!(watching.until("message").await["seq"], 41);
    assert_eq!(watching.until("presence").await["state"], "offline");
    let mut taken = 0;
    while let Some(Ok(message)) = stuck.next().await {
        taken += message.len();
    }
    let asked = again * 40 * long.len();
    assert!(taken > long.len() && taken < asked / 4, "{taken} of {asked} bytes were under way");
    server.finish().await;
}
