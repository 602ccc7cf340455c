//! API keys over the API: within their maker's rights, shown once, gone at once.

use std::sync::Arc;

use parlour::identity::keys::KeyWish;
use parlour::model::principal::Role;
use serde_json::json;

use crate::support::log::Log;
use crate::support::server::{Client, Kind, Server, on_both_databases};

on_both_databases!(
    keys_are_made_listed_and_revoked,
    a_key_makes_no_key_and_belongs_to_somebody,
    a_key_that_was_revoked_elsewhere_loses_its_sockets,
    a_wrong_wish_is_told,
    a_key_is_asked_for_in_a_conversation,
);

fn with_key(server: &Server, token: &str) -> Client {
    server.anybody().with("x-api-key", token)
}

async fn keys_are_made_listed_and_revoked(server: Arc<Server>) {
    let admin = server.browser().await;
    let wish = json!({ "name": "ci", "role": "executor", "groups": ["sre"], "expires_at": "2026-12-31T00:00:00Z",
        "rate_limits": ["60/min", "1000/h"] });
    let answer = admin.post("/api/keys", &wish).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let made = answer.expect(201);
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert!(token.starts_with("plr_k_"));
    let program = with_key(&server, token);
    let me = program.get("/api/session").await.expect(200);
    assert_eq!(
        (&me["user_id"], &me["user"]["roles"], &me["user"]["groups"]),
        (&json!(id), &json!(["executor"]), &json!(["sre"]))
    );
    let list = admin.get("/api/keys").await;
    assert!(!list.text.contains(token), "once");
    let listed = &list.expect(200)["keys"][0];
    assert_eq!(listed["owner"], admin.get("/api/session").await.expect(200)["user_id"]);
    assert_eq!(
        (&listed["rate_limits"], &listed["expires_at"]),
        (&json!(["60/min", "1000/h"]), &json!("2026-12-31T00:00:00.000Z"))
    );
    let first_use = listed["last_used_at"].clone();
    assert!(first_use.is_string());
    server.clock.advance(4 * 60_000);
    program.get("/api/session").await.expect(200);
    assert_eq!(admin.get("/api/keys").await.expect(200)["keys"][0]["last_used_at"], first_use, "not at every use");
    server.clock.advance(60_000);
    program.get("/api/session").await.expect(200);
    assert_ne!(admin.get("/api/keys").await.expect(200)["keys"][0]["last_used_at"], first_use);

    let mut socket = program.socket().await;
    let path = format!("/api/keys/{id}");
    assert_eq!(server.program(Role::User).await.delete(&path).await.error(404), "NOT_FOUND");
    assert_eq!(admin.delete(&path).await.expect(200), json!({ "success": true, "key_id": id }));
    assert_eq!(socket.closed().await, Some(4410));
    assert_eq!(program.get("/api/session").await.error(401), "UNAUTHORIZED");
    assert_eq!(admin.delete(&path).await.error(404), "NOT_FOUND");
    let left = admin.get("/api/keys").await.expect(200);
    assert!(left["keys"].as_array().unwrap().iter().all(|key| key["id"] != id));
    // Page by page, each once.
    for n in 0..5 {
        admin.post("/api/keys", &json!({ "name": format!("k{n}"), "role": "user" })).await.expect(201);
    }
    let first = admin.get("/api/keys?limit=3").await.expect(200);
    let second = admin.get(&format!("/api/keys?limit=3&before={}", first["next"].as_str().unwrap())).await.expect(200);
    let names: Vec<_> =
        [&first, &second].iter().flat_map(|page| page["keys"].as_array().unwrap()).map(|k| &k["name"]).collect();
    assert_eq!(names, ["k4", "k3", "k2", "k1", "k0", "user"]);
    assert!(second["next"].is_null());
}

async fn a_key_makes_no_key_and_belongs_to_somebody(server: Arc<Server>) {
    let user = server.program(Role::User).await;
    assert_eq!(user.post("/api/keys", &json!({ "name": "k", "role": "user" })).await.error(403), "FORBIDDEN");
    assert_eq!(user.get("/api/keys").await.expect(200)["keys"], json!([]), "not even itself");
    let admin = server.program(Role::Admin).await;
    let made = admin.post("/api/keys", &json!({ "name": "k", "role": "user" })).await.expect(201);
    assert!(made["owner"].is_null(), "what the installation's key makes is the installation's");
    // A key may end itself.
    let itself = with_key(&server, made["token"].as_str().unwrap());
    itself.delete(&format!("/api/keys/{}", made["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(itself.get("/api/session").await.status, 401);
}

/// By another server or on the command line: nobody tells this server's sockets but the log.
async fn a_key_that_was_revoked_elsewhere_loses_its_sockets(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let id = program.get("/api/session").await.expect(200)["user_id"].as_str().unwrap().to_owned();
    let (mut socket, mut other) = (program.socket().await, server.program(Role::User).await.socket().await);
    server.identity().end_key(&id, parlour::store::audit::Doer::default()).await.unwrap();
    assert_eq!(socket.closed().await, Some(4410));
    other.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    assert_eq!(other.next().await["type"], "pong");
}

async fn a_wrong_wish_is_told(server: Arc<Server>) {
    let admin = server.browser().await;
    for (field, wrong) in [
        ("name", json!({ "name": " ", "role": "user" })),
        ("role", json!({ "name": "k", "role": "root" })),
        ("expires_at", json!({ "name": "k", "role": "user", "expires_at": "tomorrow" })),
        ("expires_at", json!({ "name": "k", "role": "user", "expires_at": "2020-01-01T00:00:00Z" })),
        ("groups", json!({ "name": "k", "role": "user", "groups": ["a,b"] })),
        ("serves", json!({ "name": "k", "role": "user", "serves": ["No Bot"] })),
        ("rate_limits", json!({ "name": "k", "role": "user", "rate_limits": ["fast"] })),
    ] {
        let refused = admin.post("/api/keys", &wrong).await.expect(400);
        assert_eq!(refused["error"]["details"]["field"], field, "{refused}");
    }
    assert_eq!(admin.get("/api/keys").await.expect(200)["keys"], json!([]));
}

/// The key itself is on a page that opens once, for who asked; nothing of the conversation holds it.
async fn a_key_is_asked_for_in_a_conversation(server: Arc<Server>) {
    let (browser, stranger) = (server.browser().await, server.program(Role::Admin).await);
    let session = browser.open("hello").await;
    let offered = browser.say(&session, "key create laptop as readonly").await;
    let url = offered["actions"][0]["url"].as_str().unwrap().to_owned();
    let offer = url.split_once("offer=").unwrap().1.to_owned();
    assert!(url.starts_with(&format!("{}/keys/take?offer=plr_o_", server.url)), "{url}");
    let form = format!("offer={offer}");
    let take = |client: Client| {
        let form = form.clone();
        async move { client.post_text("/keys/take", "application/x-www-form-urlencoded", form).await }
    };
    assert_eq!(stranger.get(&url).await.error(404), "NOT_FOUND");
    assert_eq!(take(stranger.clone()).await.error(404), "NOT_FOUND");
    assert_eq!(take(browser.without("origin")).await.error(403), "CROSS_ORIGIN");
    for _ in 0..2 {
        let page = browser.get(&url).await;
        assert!(page.text.contains("<form") && page.text.contains("<b>laptop</b>"), "{}", page.text);
    }
    let page = take(browser.clone()).await;
    assert_eq!((page.status.as_u16(), page.headers["cache-control"].to_str().unwrap()), (200, "no-store"));
    let key = page.text.split("<code>").find(|part| part.starts_with("plr_k_")).unwrap().split('<').next().unwrap();
    let program = with_key(&server, key);
    assert_eq!(program.get("/api/session").await.expect(200)["user"]["roles"], json!(["readonly"]));
    assert_eq!(take(browser.clone()).await.error(404), "NOT_FOUND", "once");
    let listed = browser.say(&session, "key").await;
    let id = listed["parts"][0]["rows"][0][4].as_str().unwrap().replace('\\', "");
    let log = browser.get(&format!("/api/session/{session}/events")).await.text;
    assert!(!log.contains(key) && log.contains(&id));
    let late = browser.say(&session, "key create late").await["actions"][0]["url"].as_str().unwrap().to_owned();
    server.clock.advance(15 * 60_000);
    assert_eq!(browser.get(&late).await.error(404), "NOT_FOUND");
    // Keys make no keys: to them there is no such command.
    let talk = stranger.open("hello").await;
    assert!(!stranger.say(&talk, "help key").await.to_string().contains("key create"));
    let refused = stranger.say(&talk, "key create more").await;
    assert!(refused["content"].as_str().unwrap().contains("by people"), "{refused}");

    assert_eq!(browser.say(&session, &format!("key revoke {id}")).await["tone"], "success");
    let gone = async { while program.get("/api/session").await.status == 200 {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.expect("it is revoked");
    assert_eq!(browser.say(&session, &format!("key revoke {id}")).await["tone"], "warning");
}

/// Its own door takes a key in the address; whichever door is asked so, no line of the log holds it.
#[tokio::test]
async fn a_key_in_an_address_stands_in_no_log() {
    let server = Server::start(Kind::Sqlite).await;
    let log = Log::start();
    let wish = KeyWish::plain("k".to_owned(), Role::User);
    let key = server.identity().make_key(wish).await.unwrap().0;
    for path in ["/ws/executions", "/ws", "/api/session", "/nowhere"] {
        let answer = server.anybody().get(&format!("{path}?api_key={key}")).await;
        assert!(!answer.text.contains(&key), "{path}: {}", answer.text);
    }
    assert_eq!(server.anybody().get(&format!("/api/session?api_key={key}")).await.error(401), "UNAUTHORIZED");
    log.must_not_hold(&[&key]);
    server.finish().await;
}
