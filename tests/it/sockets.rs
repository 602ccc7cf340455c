//! The web socket: the same log, live.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::json;

use crate::support::server::{Server, on_both_databases};

on_both_databases!(
    a_message_is_acknowledged_and_answered,
    two_tabs_and_a_reader_see_one_order,
    a_reader_resumes_where_it_was,
    the_same_id_is_one_message,
    plain_clients_need_three_fields,
    bad_input_gets_an_error_and_harms_nobody,
    streams_are_for_those_they_belong_to,
    a_socket_ends_with_its_session,
    a_socket_goes_on_with_another_token,
    what_has_arrived_is_told_to_who_wants_it,
);

async fn a_message_is_acknowledged_and_answered(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    let mut socket = browser.socket().await;
    assert!(socket.subscribe(&format!("conv:{session}"), 0).await.is_empty());
    let content = "type this in chat to invoke the command parameter_name_1=World";
    socket.send(&json!({ "type": "message", "id": "c1", "session_id": session, "content": content })).await;
    let (mut ack, mut messages) = (None, Vec::new());
    while ack.is_none() || messages.len() < 2 {
        let frame = socket.next().await;
        match frame["type"].as_str().unwrap() {
            "ack" => ack = Some(frame),
            "message" => messages.push(frame),
            other => panic!("unexpected {other}"),
        }
    }
    let ack = ack.unwrap();
    assert_eq!(
        (ack["id"].as_str(), ack["seq"].as_i64(), ack["duplicate"].as_bool()),
        (Some("c1"), Some(1), Some(false))
    );
    assert_eq!(messages[0]["client_id"], "c1");
    assert_eq!(messages[0]["message_id"], ack["message_id"]);
    assert_eq!(messages[1]["content"], "Hello World");
    assert_eq!(messages[1]["sender"], json!({ "kind": "bot", "id": "hello", "name": "Hello" }));
    socket.send(&json!({ "type": "ping", "timestamp": 1_707_000_000_000_i64 })).await;
    assert_eq!(socket.next().await, json!({ "type": "pong", "timestamp": 1_707_000_000_000_i64 }));
    // A run that was started elsewhere can be watched too.
    let body = json!({ "command": "greet", "parameters": [{ "name": "who", "value": "Ann" }] });
    let invocation = browser.post("/command?invoke=true", &body).await.expect(200);
    let stream = format!("exec:{}", invocation["invocation"]["id"].as_str().unwrap());
    let updates = socket.subscribe(&stream, 0).await;
    assert_eq!(updates[0]["data"]["status"], "completed");
}

async fn two_tabs_and_a_reader_see_one_order(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    let stream = format!("conv:{session}");
    let tab = async |name: &'static str| {
        let mut socket = browser.socket().await;
        // The other tab may have begun already.
        let mut seen = socket.subscribe(&stream, 0).await;
        for n in 0..20 {
            let id = format!("{name}-{n}");
            socket
                .send(&json!({ "type": "message", "id": id, "session_id": session, "content": format!("greet {id}") }))
                .await;
        }
        let mut acks = Vec::new();
        while seen.len() < 80 || acks.len() < 20 {
            let frame = socket.next().await;
            match frame["type"].as_str().unwrap() {
                "message" => seen.push(frame),
                "ack" => acks.push(frame["id"].as_str().unwrap().to_owned()),
                other => panic!("unexpected {other}"),
            }
        }
        assert_eq!(
            acks,
            (0..20).map(|n| format!("{name}-{n}")).collect::<Vec<_>>(),
            "one's own in the order they were sent"
        );
        seen
    };
    let (left, right) = futures_util::join!(tab("left"), tab("right"));
    let read = browser.get(&format!("/api/session/{session}/events?limit=100")).await.expect(200);
    assert_eq!(left, right);
    assert_eq!(&left, read["events"].as_array().unwrap());
    assert!(left.iter().enumerate().all(|(n, frame)| frame["seq"].as_u64() == Some(n as u64 + 1)));
    // The conversation list hears of conversations opened elsewhere.
    let mut socket = browser.socket().await;
    let events = socket.subscribe("user:local-admin", 0).await;
    assert_eq!(events[0]["session_id"], session);
    let other = browser.open("ops").await;
    let update = socket.until("session_update").await;
    assert_eq!((update["session_id"].as_str(), update["data"]["bot_id"].as_str()), (Some(other.as_str()), Some("ops")));
}

async fn a_reader_resumes_where_it_was(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    for n in 0..60 {
        browser.say(&session, &format!("greet {n}")).await;
    }
    let stream = format!("conv:{session}");
    let seqs =
        |events: &[serde_json::Value]| events.iter().map(|event| event["seq"].as_i64().unwrap()).collect::<Vec<_>>();
    let mut socket = browser.socket().await;
    assert_eq!(seqs(&socket.subscribe(&stream, 36).await), (37..=120).collect::<Vec<_>>());
    assert!(socket.subscribe(&stream, 120).await.is_empty());
    // More was missed than asked for: the newest, and a mark that says so.
    socket.send(&json!({ "type": "subscribe", "id": "s", "stream": stream, "after": 0, "limit": 10 })).await;
    let subscribed = socket.until("subscribed").await;
    assert_eq!(
        (subscribed["limited"].as_bool(), subscribed["first_seq"].as_i64(), subscribed["head"].as_i64()),
        (Some(true), Some(111), Some(120))
    );
    // A place that this log never had: start afresh.
    for wish in [json!({ "after": 500 }), json!({ "after": 3, "epoch": "other" })] {
        let mut frame = json!({ "type": "subscribe", "id": "s", "stream": stream });
        frame.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
        socket.send(&frame).await;
        let subscribed = socket.until("subscribed").await;
        assert_eq!((subscribed["recovered"].as_bool(), subscribed["first_seq"].as_i64()), (Some(false), Some(1)));
    }
}

async fn the_same_id_is_one_message(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    let frame = json!({ "type": "message", "id": "c1", "session_id": session, "content": "greet Ann" });
    let mut first = browser.socket().await;
    first.send(&frame).await;
    let ack = first.until("ack").await;
    // Another socket of the same person resends what it never saw acknowledged.
    let mut second = browser.socket().await;
    second.send(&frame).await;
    let again = second.until("ack").await;
    assert_eq!((again["seq"].clone(), again["duplicate"].as_bool()), (ack["seq"].clone(), Some(true)));
    second.send(&json!({ "type": "message", "id": "c1", "session_id": session, "content": "greet Bob" })).await;
    assert_eq!(second.until("error").await["error"]["code"], "IDEMPOTENCY_CONFLICT");
    let page = browser.get(&format!("/api/session/{session}/events")).await.expect(200);
    assert_eq!(page["head"], 2);
}

async fn plain_clients_need_three_fields(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let mut socket = program.raw_socket(None).await.expect("the socket opens");
    socket.send(&json!({ "type": "message", "content": "greet Ann", "session_id": session })).await;
    let reply = socket.until("message").await;
    assert_eq!((reply["sender"].as_str(), reply["session_id"].as_str()), (Some("bot"), Some(session.as_str())));
    assert!(reply["content"].as_str().unwrap().contains("Ann"));
    socket.send(&json!({ "type": "message", "content": "greet Bob", "session_id": session })).await;
    assert!(socket.until("message").await["content"].as_str().unwrap().contains("Bob"));
}

async fn bad_input_gets_an_error_and_harms_nobody(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    let mut healthy = browser.socket().await;
    healthy.subscribe(&format!("conv:{session}"), 0).await;
    let mut socket = browser.socket().await;
    for (text, code) in [
        ("{\"type\":\"dance\",\"id\":\"x\"}", "UNKNOWN_TYPE"),
        ("{\"type\":\"message\",", "INVALID_JSON"),
        ("", "INVALID_JSON"),
        ("{\"type\":\"message\",\"id\":\"x\"}", "INVALID_FRAME"),
        ("{\"type\":\"message\",\"session_id\":\"nobody\",\"content\":\"x\"}", "NOT_FOUND"),
        ("{\"type\":\"subscribe\",\"stream\":\"room:1\"}", "INVALID_REQUEST"),
        ("{\"type\":\"subscribe\",\"stream\":\"conv:nobody\"}", "NOT_FOUND"),
    ] {
        socket.send_text(text).await;
        let error = socket.until("error").await;
        assert_eq!(error["error"]["code"], code, "{text}");
    }
    let odd = json!({ "type": "message", "id": "a b", "session_id": session, "content": "greet Ann" });
    socket.send(&odd).await;
    assert_eq!(socket.until("error").await["error"]["code"], "INVALID_REQUEST");
    let large = json!({ "type": "message", "session_id": session, "content": "x".repeat(40_000) });
    socket.send(&large).await;
    assert_eq!(socket.until("error").await["error"]["code"], "MESSAGE_TOO_LARGE");
    // Ten megabytes in one frame: refused before they are read.
    let mut huge = browser.socket().await;
    let _ = huge.try_send_text(&"x".repeat(10 * 1024 * 1024)).await;
    assert!(matches!(huge.closed().await, Some(1009) | None));
    // Who keeps sending nonsense is sent away.
    for _ in 0..20 {
        socket.send_text("nonsense").await;
    }
    assert_eq!(socket.closed().await, Some(4400));
    healthy.send(&json!({ "type": "message", "id": "ok", "session_id": session, "content": "greet Ann" })).await;
    assert_eq!(healthy.until("ack").await["seq"], 1, "nobody else was affected");
}

async fn streams_are_for_those_they_belong_to(server: Arc<Server>) {
    let (ann, bob) = (server.program(Role::User).await, server.program(Role::User).await);
    let session = ann.open("hello").await;
    ann.say(&session, "greet Ann").await;
    let run = server.store().recent_executions(None, 1).await.unwrap().remove(0);
    let mut socket = bob.socket().await;
    for stream in [format!("conv:{session}"), format!("exec:{}", run.id), format!("user:{}", run.principal)] {
        socket.send(&json!({ "type": "subscribe", "id": "s", "stream": stream })).await;
        assert_eq!(socket.until("error").await["error"]["code"], "NOT_FOUND", "{stream}");
    }
    socket.send(&json!({ "type": "message", "session_id": session, "content": "greet Bob" })).await;
    assert_eq!(socket.until("error").await["error"]["code"], "NOT_FOUND");
}

async fn a_socket_ends_with_its_session(server: Arc<Server>) {
    let hours = |hours: i64| hours * 60 * 60 * 1000;
    let browser = server.browser().await;
    let mut socket = browser.socket().await;
    server.clock.advance(hours(7));
    browser.get("/auth/validate").await.expect(200);
    server.clock.advance(hours(2));
    // Used by another door meanwhile: looked up again, not taken from memory.
    socket.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    assert_eq!(socket.next().await["type"], "pong");
    server.clock.advance(hours(9));
    let session = "x".repeat(20);
    socket.send(&json!({ "type": "message", "id": "m", "session_id": session, "content": "greet Ann" })).await;
    let bye = socket.next().await;
    assert_eq!(
        (bye["type"].as_str(), bye["code"].as_i64(), bye["reconnect"].as_bool()),
        (Some("bye"), Some(4440), Some(true))
    );
    assert_eq!(socket.closed().await, Some(4440), "before the frame was looked at");
}

async fn a_socket_goes_on_with_another_token(server: Arc<Server>) {
    let (first, second) = (server.browser().await, server.browser().await);
    let mut socket = first.socket().await;
    socket.send(&json!({ "type": "auth", "id": "a1", "token": "plr_s_nonsense" })).await;
    let refused = socket.next().await;
    assert_eq!((refused["id"].as_str(), refused["error"]["code"].as_str()), (Some("a1"), Some("UNAUTHORIZED")));
    server.clock.advance(60_000);
    socket.send(&json!({ "type": "auth", "id": "a2", "token": second.token() })).await;
    let validity = second.get("/auth/validate").await.expect(200);
    let expected = json!({ "type": "authenticated", "id": "a2", "expires_at": validity["expires_at"] });
    assert_eq!(socket.next().await, expected);
    // The first login ends without it, the second does not.
    first.post("/auth/logout", &json!({})).await.expect(200);
    socket.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    assert_eq!(socket.next().await["type"], "pong");
    second.post("/auth/logout", &json!({})).await.expect(200);
    assert_eq!(socket.closed().await, Some(4410));
    // Somebody else's token ends it.
    let (third, fourth) = (server.browser().await, server.program(Role::User).await);
    let mut socket = fourth.socket().await;
    socket.send(&json!({ "type": "auth", "token": third.token() })).await;
    let bye = socket.until("bye").await;
    assert_eq!((bye["code"].as_i64(), bye["reconnect"].as_bool()), (Some(4403), Some(false)));
    assert_eq!(socket.closed().await, Some(4403));
}

async fn what_has_arrived_is_told_to_who_wants_it(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let me = program.get("/api/session").await.expect(200)["user_id"].clone();
    let session = program.open("hello").await;
    let stream = format!("conv:{session}");
    program.say(&session, "greet Ann").await;
    let (mut phone, mut laptop) = (program.socket().await, program.socket().await);
    laptop.send(&json!({ "type": "subscribe", "stream": stream, "after": 2, "want": ["delivered"] })).await;
    laptop.until("caught_up").await;
    phone.send(&json!({ "type": "received", "stream": stream, "seq": 1 })).await;
    assert_eq!(phone.next().await["error"]["code"], "INVALID_REQUEST", "it does not read it");
    phone.subscribe(&stream, 0).await;
    // What was not sent cannot have arrived; the same again is no news.
    for seq in [1, 0, 1, 1000] {
        phone.send(&json!({ "type": "received", "stream": stream, "seq": seq })).await;
        phone.send(&json!({ "type": "history", "session_id": session, "limit": 1 })).await;
        assert_eq!(phone.next().await["type"], "history", "no answer, and no wish to hear of it");
    }
    let mut heard = laptop.next().await;
    if heard["seq"] == 1 {
        heard = laptop.next().await;
    }
    assert_eq!(heard, json!({ "type": "delivered", "stream": stream, "user_id": me, "seq": 2 }));
    laptop.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    assert_eq!(laptop.next().await["type"], "pong", "nothing else");
}
