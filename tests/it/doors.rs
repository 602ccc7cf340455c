//! Who gets in, and what every door has in common.

use std::sync::Arc;

use parlour::model::principal::Role;
use reqwest::Method;
use serde_json::json;

use crate::support::server::{Server, on_both_databases};

on_both_databases!(
    a_sign_in_link_opens_one_session,
    signing_out_closes_sockets,
    sessions_and_keys_end,
    a_cookie_counts_only_for_our_own_pages,
    every_door_is_described_and_closed,
    health_is_open_to_everybody,
    the_frames_are_described,
);

async fn a_sign_in_link_opens_one_session(server: Arc<Server>) {
    let link = server.sign_in_link().await;
    let answer = server.anybody().get(&link).await;
    assert_eq!((answer.status.as_u16(), answer.headers["location"].to_str().unwrap()), (303, "/"));
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    for part in ["parlour=plr_s_", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=604800"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    // Once.
    assert_eq!(server.anybody().get(&link).await.error(401), "UNAUTHORIZED");
    let page = server.anybody().with("accept", "text/html").get(&link).await;
    assert_eq!((page.status.as_u16(), page.headers["location"].to_str().unwrap()), (303, "/?link=used"));
    // Within the hour.
    let late = server.sign_in_link().await;
    server.clock.advance(61 * 60 * 1000);
    assert_eq!(server.anybody().get(&late).await.error(401), "UNAUTHORIZED");
    // No other kind of token opens a session.
    assert_eq!(server.anybody().get("/auth/local?token=plr_k_x").await.error(401), "UNAUTHORIZED");
    assert_eq!(server.anybody().get("/auth/local").await.error(401), "UNAUTHORIZED");

    let browser = server.browser().await;
    let session = browser.get("/api/session").await.expect(200);
    assert_eq!(session["user"]["roles"], json!(["admin", "user"]));
    assert_eq!(session["kind"], "login");
    let key = server.program(Role::Readonly).await.get("/api/session").await.expect(200);
    assert_eq!((key["kind"].as_str(), key["expires_at"].is_null()), (Some("api_key"), true));
}

async fn signing_out_closes_sockets(server: Arc<Server>) {
    let browser = server.browser().await;
    let other = server.browser().await;
    let (mut socket, mut stays) = (browser.socket().await, other.socket().await);
    assert_eq!(browser.post("/auth/logout", &json!({})).await.expect(200), json!({ "success": true }));
    assert_eq!(socket.until("bye").await["reconnect"], false);
    assert_eq!(socket.closed().await, Some(4410));
    assert_eq!(browser.get("/api/session").await.error(401), "UNAUTHORIZED");
    stays.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    assert_eq!(stays.next().await["type"], "pong", "another session stays");
    // A session can be ended by its id, too, by its own user only.
    let id = other.get("/api/session").await.expect(200)["session_id"].as_str().unwrap().to_owned();
    let stranger = server.program(Role::User).await;
    assert_eq!(stranger.delete(&format!("/api/session/{id}")).await.error(404), "NOT_FOUND");
    other.delete(&format!("/api/session/{id}")).await.expect(200);
    assert_eq!(stays.closed().await, Some(4410));
}

async fn sessions_and_keys_end(server: Arc<Server>) {
    let browser = server.browser().await;
    let hours = |hours: i64| hours * 60 * 60 * 1000;
    for _ in 0..20 {
        server.clock.advance(hours(7));
        assert_eq!(browser.get("/auth/validate").await.expect(200)["valid"], true, "use keeps it alive");
    }
    server.clock.advance(hours(9));
    assert_eq!(browser.get("/auth/validate").await.error(401), "UNAUTHORIZED", "idle for too long");
    let browser = server.browser().await;
    for _ in 0..23 {
        server.clock.advance(hours(7));
        browser.get("/auth/validate").await.expect(200);
    }
    server.clock.advance(hours(8));
    assert_eq!(browser.get("/auth/validate").await.error(401), "UNAUTHORIZED", "a week is the end");
    // A key that was looked up a moment ago is not looked up again, and ends in time all the same.
    let program = server.program_until(server.clock.now() + 2000).await;
    for _ in 0..2 {
        program.get("/api/session").await.expect(200);
        server.clock.advance(999);
    }
    program.get("/api/session").await.expect(200);
    server.clock.advance(2);
    assert_eq!(program.get("/api/session").await.error(401), "UNAUTHORIZED", "its time is over");
}

async fn a_cookie_counts_only_for_our_own_pages(server: Arc<Server>) {
    let browser = server.browser().await;
    let body = json!({ "bot_id": "hello" });
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", &format!("{}.evil.example", server.url)] {
        let foreign = browser.with("origin", origin);
        assert_eq!(foreign.post("/api/session/create", &body).await.error(403), "CROSS_ORIGIN", "{origin}");
        assert_eq!(foreign.raw_socket(Some("parlour.v1")).await.err(), Some(403), "{origin}");
    }
    let bare = browser.without("origin");
    assert_eq!(bare.post("/api/session/create", &body).await.error(403), "CROSS_ORIGIN");
    assert_eq!(bare.raw_socket(Some("parlour.v1")).await.err(), Some(403));
    let same_origin = bare.with("sec-fetch-site", "same-origin");
    same_origin.post("/api/session/create", &body).await.expect(201);
    assert_eq!(same_origin.raw_socket(Some("parlour.v1")).await.err(), Some(403), "a socket needs the Origin itself");
    assert_eq!(server.anybody().raw_socket(None).await.err(), Some(401));
    // A key is sent on purpose: where its page comes from does not matter.
    let program = server.program(Role::User).await.with("origin", "https://elsewhere.example");
    program.post("/api/session/create", &body).await.expect(201);
    assert!(program.raw_socket(None).await.is_ok());
}

async fn every_door_is_described_and_closed(server: Arc<Server>) {
    let document = server.anybody().get("/api/v1/openapi").await.expect(200);
    let mut doors = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            doors += 1;
            assert!(operation["summary"].is_string(), "{method} {path} has a sentence");
            let open = operation["security"].as_array().is_some_and(|all| all.iter().any(|one| one == &json!({})));
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let path = path.replace("{id}", "x").replace("{request_id}", "x");
            let request = server.anybody().request(method.clone(), &path).json(&json!({}));
            let status = request.send().await.unwrap().status().as_u16();
            if open {
                assert_ne!(status, 404, "{method} {path} is mounted");
            } else {
                assert_eq!(status, 401, "{method} {path} refuses anybody");
            }
        }
    }
    assert!(doors >= 20, "{doors} doors");
    // What is not described does not exist, and wrong methods are told.
    assert_eq!(server.anybody().get("/api/nothing").await.error(404), "NOT_FOUND");
    assert_eq!(server.anybody().delete("/health").await.error(405), "METHOD_NOT_ALLOWED");
    let socket = server.anybody().get("/ws/asyncapi.json").await.expect(200);
    assert_eq!(
        (socket["asyncapi"].as_str(), &document["info"]["version"]),
        (Some("3.0.0"), &socket["info"]["version"])
    );
    assert_eq!(socket["servers"]["this"]["host"], server.url.strip_prefix("http://").unwrap());
    assert!(document["info"]["description"].as_str().unwrap().contains("(/ws/asyncapi.json)"), "linked");
    let swagger = server.anybody().get("/swagger/").await;
    assert!(swagger.status.is_success() && swagger.text.contains("swagger-ui"));
}

async fn health_is_open_to_everybody(server: Arc<Server>) {
    let health = server.anybody().get("/health").await.expect(200);
    assert_eq!((health["status"].as_str(), health["timestamp"].is_string()), (Some("healthy"), true));
    assert_eq!(server.anybody().get("/livez").await.text, "ok");
    assert_eq!(server.anybody().get("/readyz").await.text, "ok");
    let admin = server.browser().await;
    let report = admin.get("/api/admin/bots").await.expect(200);
    let faults = report["faults"].as_array().unwrap();
    assert!(
        faults.len() == 1 && faults[0]["level"] == "warning",
        "two bots of the fixtures share an intent: {faults:?}"
    );
    assert!(report["bots"].as_array().unwrap().iter().all(|bot| bot["status"] == "online"), "{report}");
    assert_eq!(server.program(Role::User).await.get("/api/admin/bots").await.error(403), "FORBIDDEN");
}

/// Every frame that any test receives is held against the schema; this one sees that it would say so.
async fn the_frames_are_described(server: Arc<Server>) {
    let answer = server.anybody().get("/ws/schema").await;
    assert_eq!(answer.headers["content-type"], "application/schema+json");
    let document = answer.expect(200);
    let whole = jsonschema::validator_for(&document).unwrap();
    assert!(whole.is_valid(&json!({ "type": "message", "session_id": "s", "content": "x" })), "a client's");
    let frames = server.anybody().frames().await;
    let pong = json!({ "type": "pong", "timestamp": 1 });
    assert!(whole.is_valid(&pong) && frames.is_valid(&pong), "the server's");
    for wrong in [
        json!({ "type": "pong" }),
        json!({ "type": "pong", "timestamp": 1, "more": 1 }),
        json!({ "type": "dance" }),
        json!({ "type": "message", "stream": "conv:s", "seq": 1, "content": "x" }),
        json!({ "type": "ack", "id": null, "session_id": "s", "message_id": "m", "seq": 1, "duplicate": false, "read_seq": 1 }),
    ] {
        assert!(!frames.is_valid(&wrong), "{wrong}");
    }
    // What a session really holds, all kinds of events of it.
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let message = program.say(&session, "greet Ann").await["reply_to"].as_str().unwrap().to_owned();
    program.say(&session, "describe my-command-name").await;
    let path = format!("/api/session/{session}/messages/{message}");
    let changed = |mut event: serde_json::Value| {
        event["unknown"] = json!(1);
        event
    };
    program.patch(&path, &json!({ "content": "greet Bob" })).await.expect(200);
    program.delete(&path).await.expect(200);
    program.delete(&format!("/api/session/{session}")).await.expect(200);
    let page = program.get(&format!("/api/session/{session}/events")).await.expect(200);
    let events = page["events"].as_array().unwrap();
    assert_eq!(events.len(), 7);
    for event in events {
        assert!(frames.is_valid(event), "{event}");
        assert!(!frames.is_valid(&changed(event.clone())), "a field that nobody described: {event}");
    }
}

/// Doors are only mounted together with their description: no plain `.route(` in the doors' floor.
#[test]
fn no_door_is_mounted_without_its_description() {
    let mut files = vec![std::path::PathBuf::from("src/api")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            for way in [".route(", ".nest(", ".route_service(", ".nest_service("] {
                assert!(!text.contains(way), "{} mounts a door by {way}", path.display());
            }
        }
    }
}

#[test]
fn what_is_printed_may_be_read_in_part() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    for (printed, first) in [("openapi", "{"), ("frames", "{")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
        let mut program = command.arg(printed).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(16, program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), first);
        // Nobody reads on.
        let ended = program.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), "", "{printed}");
        assert!(ended.status.success(), "{printed}: {:?}", ended.status);
    }
}
