//! What an administrator looks behind: how the parts do, what was counted, and which rule decides.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::server::{Kind, Server, on_both_databases};

on_both_databases!(
    the_parts_of_the_system_are_told,
    a_collector_reads_what_was_counted,
    the_rule_that_decides_is_named
);

fn component<'a>(status: &'a Value, name: &str) -> &'a Value {
    let all = status["components"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} in {status}"))
}

async fn the_parts_of_the_system_are_told(server: Arc<Server>) {
    let admin = server.browser().await;
    assert_eq!(server.program(Role::User).await.get("/api/admin/system/status").await.error(403), "FORBIDDEN");
    let socket = admin.socket().await;
    server.clock.advance(90_000);
    let status = admin.get("/api/admin/system/status").await.expect(200);
    assert_eq!((&status["status"], &status["uptime_seconds"]), (&json!("ok"), &json!(90)));
    for name in ["database", "writes", "bots", "sockets"] {
        assert_eq!(component(&status, name)["status"], "ok", "{status}");
    }
    assert_eq!(component(&status, "sockets")["reason"], "1 open, of 1 users");
    assert!(component(&status, "database")["reason"].as_str().unwrap().contains("SQL"));
    drop(socket);
    // A bot with a fault is a part that does not do well, from then on.
    let audit =
        || async { admin.get("/api/admin/audit?action=bots.reload&limit=1").await.expect(200)["entries"][0].clone() };
    std::fs::write(server.bots.join("hello/bot.yaml"), "nonsense: [").unwrap();
    let mut change = audit().await;
    while change.is_null() {
        tokio::task::yield_now().await;
        change = audit().await;
    }
    assert_eq!(
        (&change["details"]["bots"]["hello"]["status"], &change["principal"]),
        (&json!("degraded"), &json!(null))
    );
    let status = admin.get("/api/admin/system/status").await.expect(200);
    let bots = component(&status, "bots");
    assert_eq!(
        (&status["status"], &bots["status"], &bots["age_seconds"]),
        (&json!("degraded"), &json!("degraded"), &json!(0))
    );
    assert!(bots["reason"].as_str().unwrap().contains("hello"));
    server.clock.advance(5000);
    let status = admin.get("/api/admin/system/status").await.expect(200);
    assert_eq!(component(&status, "bots")["age_seconds"], 5);
}

async fn a_collector_reads_what_was_counted(server: Arc<Server>) {
    let (admin, user) = (server.program(Role::Admin).await, server.program(Role::User).await);
    let session = user.open("hello").await;
    user.say(&session, "greet Ann").await;
    assert_eq!(user.get("/api/session/nothing/events").await.status, 404);
    let metrics = admin.get("/api/admin/system/metrics").await.expect(200);
    assert_eq!(metrics["conversations"], json!({ "open": 1 }));
    assert_eq!(
        (&metrics["runs_last_24h"]["total"], &metrics["runs_last_24h"]["by_bot"]["hello"]),
        (&json!(1), &json!(1))
    );
    assert_eq!((&metrics["requests"]["total"], &metrics["requests"]["by_status"]["404"]), (&json!(4), &json!(1)));
    for path in ["/metrics", "/api/admin/system/metrics"] {
        assert_eq!(server.anybody().get(path).await.error(401), "UNAUTHORIZED");
        assert_eq!(user.get(path).await.error(403), "FORBIDDEN");
    }
    let answer = admin.get("/metrics").await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        "parlour_http_requests_total{method=\"GET\",route=\"/api/session/{id}/events\",status=\"404\"} 1",
        "parlour_conversations_open 1",
        "parlour_runs_last_24h{outcome=\"succeeded\"} 1",
        "parlour_http_request_duration_seconds_count 9",
    ] {
        assert!(answer.text.lines().any(|one| one == line), "{line} in {}", answer.text);
    }
}

#[tokio::test]
async fn a_token_of_the_settings_opens_the_metrics_and_nothing_else() {
    let token = "a-token-for-the-collector";
    let server = Server::start_with(Kind::Sqlite, |config| config.metrics.token = token.to_owned()).await;
    let collector = server.anybody().with("authorization", &format!("Bearer {token}"));
    for _ in 0..100 {
        assert_eq!(collector.get("/metrics").await.status, 200, "it is not counted");
    }
    assert_eq!(collector.get("/api/admin/system/metrics").await.error(401), "UNAUTHORIZED");
    let wrong = server.anybody().with("authorization", "Bearer a-token-for-the-collectoR");
    assert_eq!(wrong.get("/metrics").await.error(401), "UNAUTHORIZED");
    server.finish().await;
}

async fn the_rule_that_decides_is_named(server: Arc<Server>) {
    let (admin, user) = (server.program(Role::Admin).await, server.program(Role::User).await);
    let reader = server.program(Role::Readonly).await;
    let id = |answer: Value| answer["user_id"].as_str().unwrap().to_owned();
    let user_id = id(user.get("/api/session").await.expect(200));
    let reader_id = id(reader.get("/api/session").await.expect(200));
    let explained =
        user.get("/api/authz/explain?bot=hello&command=my-command-name&arg.parameter_name_1=x").await.expect(200);
    assert_eq!(explained["verb"], "invoke");
    assert_eq!((&explained["allowed"], &explained["rule"]), (&json!(true), &json!("bot hello is open to role user")));
    assert_eq!(explained["principal"]["id"], json!(user_id));
    let installation = user.get("/api/authz/explain?verb=manage").await.expect(200);
    assert_eq!((&installation["allowed"], &installation["rule"]), (&json!(false), &json!("needs role admin")));
    let own = reader.get("/api/authz/explain?verb=chat&bot=hello").await.expect(200);
    let by_admin =
        admin.get(&format!("/api/authz/explain?verb=chat&bot=hello&principal={reader_id}")).await.expect(200);
    assert_eq!((&own["allowed"], &own), (&json!(false), &by_admin));
    assert_eq!(user.get(&format!("/api/authz/explain?principal={reader_id}")).await.error(403), "FORBIDDEN");
    user.get(&format!("/api/authz/explain?principal={user_id}")).await.expect(200);
    assert_eq!(admin.get("/api/authz/explain?principal=nobody").await.error(404), "NOT_FOUND");
    for (path, status) in
        [("bot=nothing", 404), ("bot=hello&command=nothing", 404), ("command=x", 400), ("verb=fly", 400), ("x=1", 400)]
    {
        user.get(&format!("/api/authz/explain?{path}")).await.expect(status);
    }
}
