//! Webhooks: what happens to runs is told once it is committed, signed, until it is taken or given up.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use parlour::model::principal::Role;
use parlour::outbox::{plain_signature, standard_signature};
use serde_json::{Value, json};

use crate::support::peer::{Heard, Peer};
use crate::support::server::{Client, Kind, Server};

async fn server(kind: Kind) -> Server {
    Server::start_with(kind, |config| {
        config.rate_limits.enabled = false;
        config.fetch.allow_private = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await
}

fn run(bot_command: &str) -> Value {
    json!({"command": bot_command, "parameters": [{"name": "parameter_name_1", "value": "World"}]})
}

async fn create(client: &Client, url: &str, events: &[&str]) -> Value {
    let body = json!({
        "name": "Workflow Completed Hook", "url": url, "events": events, "headers": {"X-Custom-Header": "value"},
        "retryPolicy": {"maxAttempts": 3, "backoffMs": 1000}
    });
    client.post("/api/v1/webhooks", &body).await.expect(201)
}

fn check(heard: &Heard, secret: &str) {
    assert_eq!(heard.header("x-webhook-signature"), plain_signature(secret, &heard.body));
    let (id, at) = (heard.header("webhook-id"), heard.header("webhook-timestamp").parse().unwrap());
    let signatures: Vec<_> = heard.header("webhook-signature").split(' ').collect();
    assert!(signatures.contains(&standard_signature(secret, id, at, &heard.body).as_str()), "{signatures:?}");
}

#[tokio::test]
async fn a_run_is_told_as_the_document_prints_it() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let peer = Peer::start(|_, _| StatusCode::OK.into_response()).await;
        let server = server(kind).await;
        let admin = server.program(Role::Admin).await;
        let hook = create(&admin, &format!("{}/webhook", peer.url), &["workflow.completed", "workflow.failed"]).await;
        let (id, secret) = (hook["id"].as_str().unwrap(), hook["secret"].as_str().unwrap());
        assert!(secret.starts_with("whsec_"));
        let read = admin.get(&format!("/api/v1/webhooks/{id}")).await;
        assert!(!read.text.contains(secret) && !read.text.contains("\"value\""), "shown once: {}", read.text);
        assert_eq!(read.expect(200)["headerNames"], json!(["X-Custom-Header"]));
        let user = server.program(Role::User).await;
        user.post("/command?invoke=true", &run("my-command-name")).await.expect(200);
        let heard = peer.until(1).await.remove(0);
        assert_eq!((heard.method.as_str(), heard.path.as_str()), ("POST", "/webhook"));
        assert_eq!((heard.header("x-webhook-event"), heard.header("x-custom-header")), ("workflow.completed", "value"));
        assert!(!heard.header("x-webhook-delivery").is_empty());
        check(&heard, secret);
        let told = heard.json();
        for name in ["event", "type", "event_type"] {
            assert_eq!(told[name], "workflow.completed");
        }
        assert_eq!(told["data"]["status"], "completed");
        assert!(told["timestamp"].is_string() && told["instance_id"].is_string());
        assert!(told["data"]["workflowId"].is_string() && told["data"]["executionId"].is_string(), "{told}");
        assert!(told["data"]["output"].to_string().contains("World"), "{told}");
        // Another secret, and the one before for a day.
        let rotated = admin.post(&format!("/api/v1/webhooks/{id}/rotate-secret"), &json!({})).await.expect(200);
        let next = rotated["secret"].as_str().unwrap();
        assert_ne!(next, secret);
        admin.post(&format!("/api/v1/webhooks/{id}/test"), &json!({})).await.expect(202);
        let heard = peer.until(2).await.remove(1);
        assert_eq!(heard.header("x-webhook-event"), "webhook.test");
        check(&heard, next);
        let at = heard.header("webhook-timestamp").parse().unwrap();
        let before = standard_signature(secret, heard.header("webhook-id"), at, &heard.body);
        assert!(heard.header("webhook-signature").ends_with(&before), "both sign");
        assert_eq!(heard.header("x-webhook-signature-before"), plain_signature(secret, &heard.body));
        // What is not noted as delivered would be sent again after so long.
        until(&admin, &format!("/api/v1/webhooks/{id}"), |delivery| delivery["status"] == "delivered").await;
        server.clock.advance(25 * 60 * 60 * 1000);
        admin.post(&format!("/api/v1/webhooks/{id}/test"), &json!({})).await.expect(202);
        let heard = peer.until(3).await.remove(2);
        assert_eq!(heard.header("webhook-signature").split(' ').count(), 1);
        assert_eq!(heard.header("x-webhook-signature-before"), "");
        admin.delete(&format!("/api/v1/webhooks/{id}")).await.expect(200);
        user.post("/command?invoke=true", &run("my-command-name")).await.expect(200);
        assert_eq!(admin.get("/api/v1/webhooks").await.expect(200), json!([]));
        assert_eq!(peer.heard().len(), 3);
        server.finish().await;
    }
}

#[tokio::test]
async fn a_workflow_is_told_by_its_id_with_its_output() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let peer = Peer::start(|_, _| StatusCode::OK.into_response()).await;
        let server = server(kind).await;
        let user = server.program(Role::User).await;
        create(&user, &peer.url, &["workflow.completed"]).await;
        let definition = json!({ "apiVersion": "flow/v1", "kind": "Workflow", "metadata": { "name": "sum", "version": "1" },
            "steps": [{ "id": "one", "set": { "n": "${{ inputs.n + 1 }}" } }], "outputs": { "n": "${{ vars.n }}" } });
        let made =
            user.post("/api/v1/workflows", &json!({ "name": "sum", "definition": definition })).await.expect(201);
        let path = format!("/api/v1/workflows/{}/execute", made["id"].as_str().unwrap());
        let started = user.post(&path, &json!({ "input": { "n": 1 } })).await.expect(200);
        let data = peer.until(1).await.remove(0).json()["data"].clone();
        assert_eq!(
            (&data["workflowId"], &data["executionId"], &data["status"], &data["output"]),
            (&made["id"], &started["executionId"], &json!("completed"), &json!({ "n": 2 }))
        );
        server.finish().await;
    }
}

#[tokio::test]
async fn who_is_no_administrator_hears_of_their_own_runs() {
    let peer = Peer::start(|_, _| StatusCode::NO_CONTENT.into_response()).await;
    let server = server(Kind::Postgres).await;
    let (one, other) = (server.program(Role::User).await, server.program(Role::User).await);
    let hook = create(&one, &peer.url, &["session.*"]).await;
    other.post("/command?invoke=true", &run("my-command-name")).await.expect(200);
    one.post("/command?invoke=true", &run("my-command-name")).await.expect(200);
    let heard = peer.until(2).await;
    let mut events: Vec<_> = heard.iter().map(|heard| heard.header("x-webhook-event").to_owned()).collect();
    events.sort();
    assert_eq!(events, ["session.completed", "session.started"]);
    let runs: Vec<_> = heard.iter().map(|heard| heard.json()["data"]["executionId"].clone()).collect();
    assert_eq!(runs[0], runs[1]);
    let path = format!("/api/v1/webhooks/{}", hook["id"].as_str().unwrap());
    for answer in [
        other.get(&path).await,
        other.delete(&path).await,
        other.put(&path, &json!({"name": "x"})).await,
        other.post(&format!("{path}/test"), &json!({})).await,
        other.get(&format!("{path}/deliveries")).await,
    ] {
        assert_eq!(answer.expect(404)["code"], "WEBHOOK_NOT_FOUND");
    }
    one.put(&path, &json!({"active": false})).await.expect(200);
    one.post("/command?invoke=true", &run("my-command-name")).await.expect(200);
    assert_eq!(one.get(&format!("{path}/deliveries")).await.expect(200)["deliveries"].as_array().unwrap().len(), 2);
    server.finish().await;
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_and_given_up() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let well = std::sync::Arc::new(AtomicBool::new(false));
        let asked = well.clone();
        let peer = Peer::start(move |_, _| {
            let status = if asked.load(Ordering::SeqCst) { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
            status.into_response()
        })
        .await;
        let server = server(kind).await;
        let admin = server.program(Role::Admin).await;
        let hook = create(&admin, &peer.url, &["workflow.completed"]).await;
        let path = format!("/api/v1/webhooks/{}", hook["id"].as_str().unwrap());
        admin.post("/command?invoke=true", &run("my-command-name")).await.expect(200);
        peer.until(1).await;
        for (attempts, pause) in [(2, 1000), (3, 2000)] {
            until(&admin, &path, |delivery| delivery["attempts"] == attempts - 1 && delivery["responseStatus"] == 500)
                .await;
            server.clock.advance(pause - 1);
            assert_eq!(peer.heard().len(), usize::try_from(attempts - 1).unwrap(), "not before its time");
            server.clock.advance(1);
            peer.until(usize::try_from(attempts).unwrap()).await;
        }
        let failed = until(&admin, &path, |delivery| delivery["status"] == "failed").await;
        assert_eq!((&failed["attempts"], &failed["nextAttemptAt"]), (&json!(3), &Value::Null));
        let heard = peer.heard();
        assert!(heard.windows(2).all(|two| two[0].header("webhook-id") == two[1].header("webhook-id")));
        assert!(heard.windows(2).all(|two| two[0].body == two[1].body));
        assert!(admin.get(&path).await.expect(200)["failingSince"].is_string());
        // It is well again: what was given up is sent once more.
        well.store(true, Ordering::SeqCst);
        let id = failed["id"].as_str().unwrap();
        admin.post(&format!("{path}/deliveries/{id}/replay"), &json!({})).await.expect(202);
        let again = peer.until(4).await.remove(3);
        assert_eq!(again.header("webhook-id"), heard[0].header("webhook-id"), "the receiver knows it again");
        until(&admin, &path, |delivery| delivery["status"] == "delivered").await;
        assert_eq!(admin.get(&path).await.expect(200)["failingSince"], Value::Null);
        let span = json!({"since": "2020-01-01T00:00:00Z"});
        assert_eq!(admin.post(&format!("{path}/replay"), &span).await.expect(202), json!({"replayed": 1}));
        peer.until(5).await;
        server.finish().await;
    }
}

/// The newest delivery, once it is as it should be.
async fn until(client: &Client, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    loop {
        let list = client.get(&format!("{path}/deliveries")).await.expect(200);
        match list["deliveries"].as_array().unwrap().first() {
            Some(newest) if holds(newest) => return newest.clone(),
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_receiver_that_wants_no_more_or_fails_for_days_is_left_alone() {
    let peer = Peer::start(|heard, _| match heard.path.as_str() {
        "/gone" => StatusCode::GONE.into_response(),
        "/moved" => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        path => panic!("{path} was not expected"),
    })
    .await;
    let server = server(Kind::Sqlite).await;
    let admin = server.program(Role::Admin).await;
    let gone = create(&admin, &format!("{}/gone", peer.url), &["*"]).await;
    let path = format!("/api/v1/webhooks/{}", gone["id"].as_str().unwrap());
    admin.post(&format!("{path}/test"), &json!({})).await.expect(202);
    until(&admin, &path, |delivery| delivery["status"] == "failed").await;
    let read = admin.get(&path).await.expect(200);
    assert_eq!((&read["status"], read["reason"].as_str().unwrap().contains("410")), (&json!("disabled"), true));
    assert_eq!(admin.post(&format!("{path}/test"), &json!({})).await.expect(409)["code"], "WEBHOOK_INACTIVE");

    let moved = create(&admin, &format!("{}/moved", peer.url), &["*"]).await;
    let path = format!("/api/v1/webhooks/{}", moved["id"].as_str().unwrap());
    admin.post(&format!("{path}/test"), &json!({})).await.expect(202);
    until(&admin, &path, |delivery| delivery["responseStatus"] == 302).await;
    server.clock.advance(6 * 24 * 60 * 60 * 1000);
    until(&admin, &path, |delivery| delivery["attempts"] == 2).await;
    while admin.get(&path).await.expect(200)["status"] != "disabled" {
        tokio::task::yield_now().await;
    }
    assert!(peer.heard().iter().all(|heard| heard.path != "/elsewhere"), "redirects are not followed");
    assert_eq!(admin.put(&path, &json!({"active": true})).await.expect(200)["status"], "active");
    server.finish().await;
}

#[tokio::test]
async fn a_wrong_webhook_is_told_by_its_field_and_reaches_nobody() {
    let inside = Peer::start(|_, _| StatusCode::OK.into_response()).await;
    let server = Server::start_with(Kind::Sqlite, |config| {
        config.rate_limits.enabled = false;
        config.fetch.allow_private.clear();
    })
    .await;
    let user = server.program(Role::User).await;
    let good = json!({"name": "a", "url": "https://your-app.invalid/webhook", "events": ["workflow.completed"]});
    let port = inside.url.rsplit(':').next().unwrap();
    let mut cases = vec![
        ("name", json!(""), "name"),
        ("events", json!([]), "events"),
        ("events", json!(["workflow.complete"]), "events"),
        ("headers", json!({"Host": "evil"}), "headers.Host"),
        ("headers", json!({"X-Webhook-Signature": "x"}), "headers.X-Webhook-Signature"),
        ("headers", json!({"X": "a\r\nY: b"}), "headers.X"),
        ("headers", json!({"X": 1}), "headers.X"),
        ("retryPolicy", json!({"maxAttempts": 0}), "retryPolicy.maxAttempts"),
        ("retryPolicy", json!({"backoffMs": 1}), "retryPolicy.backoffMs"),
    ];
    for url in [
        inside.url.clone(),
        format!("http://localhost:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://0x7f000001:{port}/"),
        format!("http://user:password@127.0.0.1:{port}/"),
        "http://169.254.169.254/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "your-app.com/webhook".to_owned(),
        String::new(),
    ] {
        cases.push(("url", json!(url), "url"));
    }
    for (field, value, named) in cases {
        let mut body = good.clone();
        body[field] = value;
        assert_eq!(user.post("/api/v1/webhooks", &body).await.expect(400)["details"]["field"], named, "{body}");
    }
    // The change is looked at like the making.
    let made = user.post("/api/v1/webhooks", &good).await.expect(201);
    let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    assert_eq!(user.put(&path, &json!({"url": inside.url})).await.expect(400)["details"]["field"], "url");
    let executor = server.program(Role::Executor).await;
    executor.post("/api/v1/webhooks", &good).await.expect(403);
    assert!(inside.heard().is_empty());
    server.finish().await;
}
