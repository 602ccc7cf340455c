//! Pages of other origins, and the headers that every answer has.

use parlour::model::principal::Role;
use serde_json::json;

use crate::support::server::{Client, Kind, Server};

const PAGE: &str = "https://intranet.example.com";

async fn open_to(origins: &[&str], credentials: bool) -> Server {
    let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
    Server::start_with(Kind::Sqlite, |config| {
        config.cors.allowed_origins = origins;
        config.cors.credentials = credentials;
    })
    .await
}

fn preflight(client: &Client, origin: &str) -> Client {
    let client = client.with("origin", origin).with("access-control-request-method", "POST");
    client.with("access-control-request-headers", "x-api-key,idempotency-key")
}

#[tokio::test]
async fn other_pages_are_kept_out_unless_listed() {
    let server = open_to(&[], false).await;
    let answer = preflight(&server.anybody(), PAGE).options("/command").await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    server.finish().await;

    let server = open_to(&[PAGE], false).await;
    let answer = preflight(&server.anybody(), PAGE).options("/command").await;
    let header = |name: &str| answer.headers[name].to_str().unwrap().to_lowercase();
    assert_eq!((answer.status.as_u16(), header("access-control-allow-origin")), (200, PAGE.to_owned()));
    for name in ["x-api-key", "idempotency-key", "x-csrf-token", "authorization", "content-type"] {
        assert!(header("access-control-allow-headers").contains(name), "{name}");
    }
    assert!(header("access-control-allow-methods").contains("delete"));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    for stranger in
        ["https://evil.example", "http://intranet.example.com", "https://intranet.example.com.evil.example", "null"]
    {
        let answer = preflight(&server.anybody(), stranger).options("/command").await;
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{stranger}");
    }
    let program = server.program(Role::User).await.with("origin", PAGE);
    let answer = program.get("/api/session").await;
    assert_eq!((answer.status.as_u16(), &answer.headers["access-control-allow-origin"]), (200, &PAGE.parse().unwrap()));
    let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("x-ratelimit-remaining") && exposed.contains("x-request-id"));
    // A refusal can be read there as well; the cookie is still for our own pages.
    let refused = server.anybody().with("origin", PAGE).get("/api/session").await;
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["access-control-allow-origin"]),
        (401, &PAGE.parse().unwrap())
    );
    let browser = server.browser().await.with("origin", PAGE);
    assert_eq!(browser.post("/api/session/create", &json!({ "bot_id": "hello" })).await.error(403), "CROSS_ORIGIN");
    server.finish().await;
}

#[tokio::test]
async fn a_page_may_use_the_cookie_only_when_it_is_trusted_by_name() {
    let server = open_to(&[PAGE], true).await;
    let answer = preflight(&server.anybody(), PAGE).options("/api/session/create").await;
    assert_eq!(answer.headers["access-control-allow-credentials"], "true");
    let browser = server.browser().await;
    browser.with("origin", PAGE).post("/api/session/create", &json!({ "bot_id": "hello" })).await.expect(201);
    let stranger = browser.with("origin", "https://evil.example");
    assert_eq!(stranger.post("/api/session/create", &json!({ "bot_id": "hello" })).await.error(403), "CROSS_ORIGIN");
    server.finish().await;

    let server = open_to(&["*"], false).await;
    let answer = preflight(&server.anybody(), "https://anything.example").options("/command").await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    let browser = server.browser().await.with("origin", "https://anything.example");
    assert_eq!(browser.post("/api/session/create", &json!({ "bot_id": "hello" })).await.error(403), "CROSS_ORIGIN");
    server.finish().await;
}

#[tokio::test]
async fn every_answer_is_named_and_bounded() {
    let server =
        Server::start_with(Kind::Sqlite, |config| config.public_url = "https://parlour.example.com".into()).await;
    // The address people type is not the one that the test can reach.
    let anybody = server.anybody().at_url(&server.listening());
    let answer = anybody.with("x-request-id", "my-request.7").get("/api/session").await;
    for (name, value) in [
        ("x-request-id", "my-request.7"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        assert_eq!(answer.headers[name], value, "{name}");
    }
    assert!(answer.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    assert_eq!(answer.json()["error"]["request_id"], "my-request.7");
    for odd in ["a b", "x".repeat(65).as_str(), "\"quoted\""] {
        let answer = anybody.with("x-request-id", odd).get("/api/v1/nothing").await;
        let named = answer.headers["x-request-id"].to_str().unwrap().to_owned();
        assert!(named != odd && answer.json()["request_id"] == named, "{named}");
    }
    server.finish().await;

    let plain = Server::start_with(Kind::Sqlite, |_| {}).await;
    assert!(!plain.anybody().get("/livez").await.headers.contains_key("strict-transport-security"));
    plain.finish().await;
}
