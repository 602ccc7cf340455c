//! Every request of the reference document of General Bots, with a cookie and with a bearer token.

use parlour::model::principal::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::directory::Directory;
use crate::support::server::{Client, Kind, Server};

/// The headers that tell the limits, and what they must be for this caller.
fn assert_limits(answer: &crate::support::server::Answer, limit: &str) {
    assert_eq!(answer.headers["x-ratelimit-limit"], limit);
    for name in ["x-ratelimit-remaining", "x-ratelimit-reset"] {
        let number: i64 = answer.headers[name].to_str().unwrap().parse().unwrap();
        assert!(number > 0, "{name}");
    }
}

/// What somebody who is signed in may ask for, by whichever credential.
async fn as_somebody(server: &Server, me: &Client, foreign: &Client) {
    // Session validation, current session.
    let validity = me.get("/auth/validate").await.expect(200);
    let session = me.get("/api/session").await.expect(200);
    assert_eq!(validity["valid"], true);
    assert_eq!(validity["user_id"], session["user_id"]);
    assert_eq!(validity["expires_at"], session["expires_at"]);
    assert!(session["session_id"].is_string() && session["created_at"].is_string() && session["bot_id"].is_null());

    // The profile.
    let profile = me.get("/api/users/me").await.expect(200);
    assert_eq!((&profile["id"], &profile["username"]), (&session["user_id"], &json!("ann")));
    assert!(profile["email"].is_string() && profile["created_at"].is_string());
    let wish = json!({ "email": "ann@new.example.com", "first_name": "Ann", "last_name": "Lee" });
    let changed = me.put("/api/users/me", &wish).await.expect(200);
    assert_eq!(me.get("/api/users/me").await.expect(200), changed);
    assert_eq!(changed["email"], wish["email"]);
    assert_eq!(me.put("/api/users/me", &json!({ "email": "none" })).await.error(400), "INVALID_REQUEST");

    // Bots, a bot session, a conversation over the web socket.
    let bots = me.get("/api/bots").await.expect(200);
    let hello = bots.as_array().unwrap().iter().find(|bot| bot["id"] == "hello").expect("it is listed");
    for field in ["display_name", "description", "status"] {
        assert!(hello[field].is_string(), "{field}: {hello}");
    }
    assert!(bots.as_array().unwrap().iter().all(|bot| bot["id"] != "vault"), "not theirs");
    let made = me.post("/api/session/create", &json!({ "bot_id": "hello" })).await.expect(201);
    assert_eq!((&made["bot_id"], &made["active"]), (&json!("hello"), &json!(true)));
    let id = made["session_id"].as_str().unwrap();
    assert_eq!(me.post("/api/session/create", &json!({ "bot_id": "nothing" })).await.error(404), "NOT_FOUND");
    assert_eq!(me.post("/api/session/create", &json!({ "bot_id": "vault" })).await.error(404), "NOT_FOUND");
    let mut socket = me.raw_socket(None).await.expect("the socket opens");
    socket.send(&json!({ "type": "message", "content": "greet Ann", "session_id": id })).await;
    let reply = socket.until("message").await;
    assert_eq!((&reply["sender"], &reply["session_id"]), (&json!("bot"), &json!(id)));

    // Ending it: who owns it, nobody else.
    let path = format!("/api/session/{id}");
    assert_eq!(foreign.delete(&path).await.error(404), "NOT_FOUND");
    assert_eq!(me.delete(&path).await.expect(200)["success"], true);
    assert_eq!(me.delete("/api/session/nothing").await.error(404), "NOT_FOUND");

    // Groups, as far as they are theirs; what is for administrators is not.
    assert_eq!(me.get("/api/groups/list").await.expect(200)["groups"][0]["name"], "staff");
    for path in ["/api/admin/system/status", "/api/admin/system/metrics"] {
        assert_eq!(me.get(path).await.error(403), "FORBIDDEN", "{path}");
    }
    assert_eq!(me.post("/api/groups/create", &json!({ "name": "mine" })).await.error(403), "FORBIDDEN");
    assert_limits(&me.post("/api/session/create", &json!({ "bot_id": "nothing" })).await, "1000");
    let _ = server;
}

async fn walk(kind: Kind) {
    let directory = Directory::start().await;
    let server = Server::start_with(kind, |config| {
        directory.settings(config);
        config.rate_limits.enabled = true;
        config.cors.allowed_origins = vec!["https://app.example.com".to_owned()];
    })
    .await;
    let vault = "apiVersion: bot/v1\nname: vault\ndescription: Of the few\naccess: {groups: [few]}\ncommands:\n  - name: open\n    \
                 description: Opens\n    intent: \"open it\"\n    examples: [open it]\n    reply: open\n";
    std::fs::create_dir_all(server.bots.join("vault")).unwrap();
    std::fs::write(server.bots.join("vault/bot.yaml"), vault).unwrap();
    server.reload().await;

    // Health, and what everybody hears without a credential.
    let health = server.anybody().get("/health").await.expect(200);
    assert!(health["status"].is_string() && health["timestamp"].is_string());
    let refused = server.anybody().get("/api/bots").await;
    assert_limits(&refused, "60");
    let error = refused.expect(401)["error"].clone();
    assert_eq!(error["code"], "UNAUTHORIZED");
    assert!(error["message"].is_string() && error.get("details").is_some());
    for (method, path) in [
        (Method::POST, "/auth/logout"),
        (Method::GET, "/auth/validate"),
        (Method::GET, "/api/session"),
        (Method::POST, "/api/session/create"),
        (Method::DELETE, "/api/session/x"),
        (Method::GET, "/api/users/me"),
        (Method::PUT, "/api/users/me"),
        (Method::GET, "/api/admin/system/status"),
        (Method::GET, "/api/admin/system/metrics"),
        (Method::POST, "/api/groups/create"),
        (Method::GET, "/api/groups/list"),
        (Method::GET, "/api/groups/x/members"),
    ] {
        let answer = server.anybody().request(method.clone(), path).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 401, "{method} {path}");
    }
    assert_eq!(server.anybody().raw_socket(None).await.err(), Some(401));

    // Login and callback: the state counts, once and in this browser only.
    let claims = |claims: &mut Value| {
        claims["preferred_username"] = json!("ann");
        claims["email"] = json!("ann@example.com");
    };
    let (answer, ann) = directory.sign_in(&server, "ann", claims).await;
    assert_eq!((answer.status.as_u16(), answer.headers["location"].to_str().unwrap()), (303, "/health"));
    let cookie = answer.headers.get_all("set-cookie").iter().map(|one| one.to_str().unwrap().to_owned());
    let cookie = cookie.into_iter().find(|one| one.starts_with("parlour=plr_s_")).expect("a session");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let forged = server.anybody().get("/auth/callback?code=of-ann&state=forged").await;
    assert_eq!(forged.error(400), "SIGN_IN_EXPIRED");

    let admin = server.browser().await;
    let made = admin.post("/api/groups/create", &json!({ "name": "staff" })).await.expect(201);
    let members = format!("/api/groups/{}/members", made["id"].as_str().unwrap());
    admin.post(&members, &json!({ "username": "ann" })).await.expect(200);
    assert_eq!(admin.get(&members).await.expect(200)["members"][0]["username"], "ann");
    let (_, foreign) = directory.sign_in(&server, "bob", |_| {}).await;
    as_somebody(&server, &ann, &foreign).await;
    as_somebody(&server, &ann.as_bearer(), &foreign.as_bearer()).await;

    // An API key answers for itself.
    let key = ann.post("/api/keys", &json!({ "name": "ci", "role": "user" })).await.expect(201);
    let program = server.anybody().with("authorization", &format!("Bearer {}", key["token"].as_str().unwrap()));
    assert_eq!(
        program.get("/auth/validate").await.expect(200),
        json!({ "valid": true, "user_id": key["id"], "expires_at": null })
    );
    let session = program.get("/api/session").await.expect(200);
    assert_eq!((&session["kind"], &session["session_id"]), (&json!("api_key"), &key["id"]));
    assert_eq!(program.post("/auth/logout", &json!({})).await.error(400), "INVALID_REQUEST");

    // Administration, by a cookie and by tokens.
    for boss in [admin.clone(), admin.as_bearer(), server.program(Role::Admin).await] {
        let status = boss.get("/api/admin/system/status").await.expect(200);
        let names: Vec<_> =
            status["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["bots", "database", "directory", "sign_in", "sockets", "writes"]);
        let metrics = boss.get("/api/admin/system/metrics").await;
        metrics.expect(200);
        assert_eq!(boss.get("/api/groups/list").await.expect(200)["groups"][0]["name"], "staff");
    }
    assert_limits(&admin.post("/api/session/create", &json!({ "bot_id": "nothing" })).await, "5000");
    // It ends anybody's login session, which closes their sockets.
    let (_, again) = directory.sign_in(&server, "bob", |_| {}).await;
    let theirs = again.get("/api/session").await.expect(200)["session_id"].as_str().unwrap().to_owned();
    let mut socket = again.socket().await;
    assert_eq!(ann.delete(&format!("/api/session/{theirs}")).await.error(404), "NOT_FOUND");
    assert_eq!(admin.delete(&format!("/api/session/{theirs}")).await.expect(200)["success"], true);
    assert_eq!(socket.closed().await, Some(4410));
    assert_eq!(again.get("/api/session").await.error(401), "UNAUTHORIZED");
    // One's own as well.
    let own = foreign.get("/api/session").await.expect(200)["session_id"].as_str().unwrap().to_owned();
    let mut socket = foreign.socket().await;
    foreign.as_bearer().delete(&format!("/api/session/{own}")).await.expect(200);
    assert_eq!(socket.closed().await, Some(4410));

    // Pages of other origins.
    let preflight =
        server.anybody().with("origin", "https://app.example.com").with("access-control-request-method", "PUT");
    let answer =
        preflight.with("access-control-request-headers", "content-type,authorization").options("/api/users/me").await;
    let allowed = |name: &str| answer.headers[name].to_str().unwrap().to_ascii_uppercase();
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
        assert!(allowed("access-control-allow-methods").contains(method), "{method}");
    }
    for header in ["CONTENT-TYPE", "AUTHORIZATION"] {
        assert!(allowed("access-control-allow-headers").contains(header), "{header}");
    }

    // Logout, by the token; it closes the socket of the cookie, which is the same session.
    let mut sockets = [ann.socket().await, ann.as_bearer().socket().await];
    let out = ann.as_bearer().post("/auth/logout", &json!({})).await.expect(200);
    assert_eq!(out["success"], true);
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, Some(4410));
    }
    for gone in [&ann, &ann.as_bearer()] {
        assert_eq!(gone.get("/auth/validate").await.error(401), "UNAUTHORIZED");
    }
    // A key that is revoked loses its sockets too.
    let mut socket = program.socket().await;
    admin.delete(&format!("/api/keys/{}", key["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(socket.closed().await, Some(4410));

    // Too much is told as such.
    let mut last = None;
    for _ in 0..61 {
        last = Some(server.anybody().get("/api/bots").await);
    }
    let last = last.expect("an answer");
    assert!(last.headers.contains_key("retry-after"));
    assert_eq!(last.error(429), "RATE_LIMITED");
    server.finish().await;
}

#[tokio::test]
async fn every_request_sqlite() {
    walk(Kind::Sqlite).await;
}

#[tokio::test]
async fn every_request_postgres() {
    walk(Kind::Postgres).await;
}
