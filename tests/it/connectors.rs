//! Credentials, the vault and connectors, against services that the test holds in its hand.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::response::IntoResponse as _;
use parlour::connector::{Call, Failure};
use parlour::crash_point::VAULT_POINTS;
use parlour::model::effect::Effect;
use parlour::model::principal::{Principal, Role};
use serde_json::{Value, json};

use crate::support::mail::MailServer;
use crate::support::peer::{Peer, json as answer};
use crate::support::server::{Client, Kind, Server};

/// A server whose connectors of these types speak to the peer, and which may reach this machine.
async fn server(kind: Kind, peer: Option<(&Peer, &[&str])>) -> Server {
    let urls: Vec<(String, String)> = peer
        .into_iter()
        .flat_map(|(peer, kinds)| kinds.iter().map(|kind| ((*kind).to_owned(), peer.url.clone())))
        .collect();
    Server::start_with(kind, move |config| {
        config.rate_limits.enabled = false;
        config.fetch.allow_private = vec!["127.0.0.0/8".parse().unwrap()];
        for (kind, base_url) in urls {
            config.connectors.insert(kind, parlour::config::ConnectorSettings { base_url });
        }
    })
    .await
}

async fn call(
    server: &Server,
    principal: &Principal,
    action: &str,
    credential: Option<&str>,
    input: Value,
) -> Result<Value, Failure> {
    let (connector, action) = action.split_once('.').unwrap();
    let call = Call {
        connector,
        action,
        input,
        credential,
        principal,
        idempotency_key: "the-same-key-for-each-attempt",
        timeout: Duration::from_secs(10),
    };
    server.connectors().call(call).await
}

/// A program and who it is.
async fn program(server: &Server, role: Role) -> (Client, Principal) {
    let client = server.program(role).await;
    let principal = server.principal(&client).await;
    (client, principal)
}

async fn credential(
    client: &Client,
    name: &str,
    (provider, kind): (&str, &str),
    data: Value,
    metadata: Value,
) -> String {
    let body = json!({"name": name, "type": kind, "provider": provider, "data": data, "metadata": metadata});
    let made = client.post("/api/v1/credentials", &body).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn credentials_work_as_both_documents_print_them() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let server = server(kind, None).await;
        let (user, _) = program(&server, Role::User).await;
        let made = user
            .post(
                "/api/v1/credentials",
                &json!({
                    "name": "Slack Bot Token", "description": "Production Slack bot", "type": "oauth", "provider": "slack",
                    "data": {"bot_token": "xoxb-xxxxxxxxxxxxx", "app_id": "A01234567"},
                    "metadata": {"scopes": ["chat:write", "channels:read"]}
                }),
            )
            .await
            .expect(201);
        assert_eq!(made["fields"], json!({"app_id": "A01234567"}));
        assert_eq!(made["metadata"]["scopes"][1], "channels:read");
        let gateway = json!({
            "name": "my-gateway", "username": "admin", "password": "secret", "gateway_url": "http://localhost:8088",
            "description": "Local development gateway"
        });
        assert_eq!(
            user.post("/api/credentials", &gateway).await.expect(200),
            json!({"message": "Credential saved successfully", "name": "my-gateway"})
        );
        assert_eq!(
            user.get("/api/credentials").await.expect(200),
            json!({"credentials": [{
                "name": "my-gateway", "username": "admin", "gateway_url": "http://localhost:8088",
                "description": "Local development gateway"
            }]})
        );
        let list = user.get("/api/v1/credentials").await;
        assert!(!list.text.contains("xoxb-") && !list.text.contains("\"secret\""), "{}", list.text);
        let list = list.expect(200);
        let names: Vec<_> = list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["Slack Bot Token", "my-gateway"]);
        assert_eq!(list[1]["hosts"], json!(["localhost"]));
        // Each door with its envelope.
        let again = user.post("/api/credentials", &gateway).await.expect(409);
        assert_eq!(again["detail"]["error"], "credential_exists");
        let gone = user.delete("/api/credentials/nobody").await.expect(404);
        assert_eq!(gone["detail"]["error"], "credential_not_found");
        let gone = user.get("/api/v1/credentials/nobody").await.expect(404);
        assert_eq!(
            (&gone["error"], &gone["code"]),
            (&json!("there is no credential 'nobody'"), &json!("CREDENTIAL_NOT_FOUND"))
        );
        let wrong = user.post("/api/credentials", &json!({"name": "x", "username": "u"})).await.expect(400);
        assert_eq!(wrong["detail"]["error"], "validation_error");
        assert_eq!(
            user.delete("/api/credentials/my-gateway").await.expect(200),
            json!({"message": "Credential deleted successfully"})
        );
        let id = made["id"].as_str().unwrap();
        let path = format!("/api/v1/credentials/{id}");
        let changed = user.put(&path, &json!({"description": "another"})).await.expect(200);
        assert_eq!((&changed["description"], &changed["fields"]), (&json!("another"), &made["fields"]));
        user.delete(&path).await.expect(200);
        assert_eq!(user.get("/api/v1/credentials").await.expect(200), json!([]));
        server.finish().await;
    }
}

#[tokio::test]
async fn a_wrong_credential_is_told_by_its_field() {
    let server = server(Kind::Sqlite, None).await;
    let (user, _) = program(&server, Role::User).await;
    let good = json!({"name": "a", "type": "oauth", "provider": "slack", "data": {"bot_token": "xoxb-1"}});
    for (field, value, named) in [
        ("name", json!("  "), "name"),
        ("name", json!("a\nb"), "name"),
        ("provider", json!("slak"), "provider"),
        ("type", json!("api_key"), "type"),
        ("data", json!({}), "data.bot_token"),
        ("data", json!({"bot_token": "hunter2"}), "data.bot_token"),
        ("data", json!({"bot_token": "xoxb-1", "app": "x"}), "data.app"),
        ("data", json!([]), "data"),
        ("metadata", json!("x"), "metadata"),
        ("metadata", json!({"hosts": ["https://x"]}), "metadata.hosts"),
        ("metadata", json!({"hosts": ["*"]}), "metadata.hosts"),
        ("expiresAt", json!("2020-01-01T00:00:00Z"), "expires_at"),
        ("expiresAt", json!("soon"), "expiresAt"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let refused = user.post("/api/v1/credentials", &body).await;
        assert!(!refused.text.contains("hunter2"), "{}", refused.text);
        assert_eq!(refused.expect(400)["details"]["field"], named, "{body}");
    }
    let (reader, _) = program(&server, Role::Readonly).await;
    reader.post("/api/v1/credentials", &good).await.expect(403);
    for url in ["file:///etc/passwd", "http://user:p@gateway/", "gateway", "javascript:alert(1)"] {
        let body = json!({"name": "g", "username": "u", "password": "p", "gateway_url": url});
        let refused = user.post("/api/credentials", &body).await.expect(400);
        assert_eq!(refused["detail"]["details"]["field"], "data.gateway_url", "{url}");
    }
    server.finish().await;
}

#[tokio::test]
async fn a_credential_is_used_by_its_owner_and_whom_a_grant_names() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let peer = Peer::start(|_, _| answer(200, &json!({"id": "cus_1"}))).await;
        let server = server(kind, Some((&peer, &["stripe"]))).await;
        let ((owner, owning), (other, foreign)) =
            (program(&server, Role::User).await, program(&server, Role::User).await);
        let id =
            credential(&owner, "live", ("stripe", "api_key"), json!({"secret_key": "sk_live_123456"}), json!({})).await;
        let path = format!("/api/v1/credentials/{id}");
        assert_eq!(other.get(&path).await.expect(404)["code"], "CREDENTIAL_NOT_FOUND");
        assert_eq!(other.delete(&path).await.expect(404)["code"], "CREDENTIAL_NOT_FOUND");
        assert_eq!(other.put(&path, &json!({"name": "x"})).await.expect(404)["code"], "CREDENTIAL_NOT_FOUND");
        assert_eq!(other.get("/api/v1/credentials").await.expect(200), json!([]));
        let bound = json!({"name": "mine", "type": "stripe", "credentialId": id});
        assert_eq!(other.post("/api/v1/connectors", &bound).await.expect(404)["code"], "CREDENTIAL_NOT_FOUND");
        for reference in [id.as_str(), "live"] {
            let refused =
                call(&server, &foreign, "stripe.create_customer", Some(reference), json!({})).await.unwrap_err();
            assert_eq!((refused.code.as_str(), refused.uncertain), ("credential_not_found", false));
        }
        assert!(peer.heard().is_empty());
        call(&server, &owning, "stripe.create_customer", Some("live"), json!({"email": "a@b.c"})).await.unwrap();
        // A grant opens it for use, not for change.
        let (admin, _) = program(&server, Role::Admin).await;
        let grant = json!({
            "effect": "allow", "subject": "role:user", "verbs": ["invoke"], "kind": "credential", "name": "live"
        });
        admin.post("/api/grants", &grant).await.expect(201);
        call(&server, &foreign, "stripe.create_customer", Some(&id), json!({})).await.unwrap();
        assert_eq!(other.delete(&path).await.status.as_u16(), 403);
        // Each opening was written down, with who it was for.
        let audit = admin.get("/api/admin/audit?action=credential.open").await.expect(200);
        let rows = audit["entries"].as_array().unwrap();
        assert_eq!(rows.len(), 2, "{audit}");
        assert!(rows.iter().all(|row| row["target"] == json!(id)), "{audit}");
        assert!(owner.get(&path).await.expect(200)["lastUsedAt"].is_string());
        // An instance that uses it keeps it from being deleted.
        let made = owner.post("/api/v1/connectors", &bound).await.expect(201);
        assert_eq!(owner.delete(&path).await.expect(409)["code"], "CREDENTIAL_IN_USE");
        owner.delete(&format!("/api/v1/connectors/{}", made["id"].as_str().unwrap())).await.expect(200);
        owner.delete(&path).await.expect(200);
        server.finish().await;
    }
}

#[tokio::test]
async fn connectors_are_listed_and_made_as_the_document_prints_it() {
    let peer = Peer::start(|_, _| answer(200, &json!({"ok": true, "ts": "1.2", "channel": "C1"}))).await;
    let server = server(Kind::Postgres, Some((&peer, &["slack"]))).await;
    let (user, principal) = program(&server, Role::User).await;
    let all = user.get("/api/v1/connectors?available=true").await.expect(200);
    let slack = all.as_array().unwrap().iter().find(|one| one["type"] == "slack").unwrap();
    assert_eq!((&slack["name"], &slack["description"]), (&json!("Slack"), &json!("Send messages to Slack channels")));
    let action = slack["actions"].as_array().unwrap().iter().find(|one| one["name"] == "send_message").unwrap();
    assert_eq!(action["description"], "Send a message to a channel");
    assert!(action["inputSchema"]["properties"]["channel"].is_object() && action["outputSchema"].is_object());
    assert!(!slack["actions"].to_string().contains("auth_test"), "what is hidden is not offered");
    let id = credential(&user, "bot", ("slack", "oauth"), json!({"bot_token": "xoxb-123456"}), json!({})).await;
    let body = json!({
        "name": "Production Slack", "type": "slack", "credentialId": id, "config": {"defaultChannel": "#general"}
    });
    let made = user.post("/api/v1/connectors", &body).await.expect(201);
    assert_eq!((&made["credentialId"], &made["config"]["defaultChannel"]), (&json!(id), &json!("#general")));
    let wrong = json!({"name": "x", "type": "slack", "config": {"defaultChanel": "#general"}});
    assert_eq!(user.post("/api/v1/connectors", &wrong).await.expect(400)["details"]["field"], "config.defaultChanel");
    let sent = call(&server, &principal, "slack.send_message", Some("Production Slack"), json!({"text": "hi"})).await;
    assert_eq!(sent.unwrap(), json!({"ts": "1.2", "channel": "C1"}));
    let heard = peer.last();
    assert_eq!((heard.path.as_str(), heard.header("authorization")), ("/chat.postMessage", "Bearer xoxb-123456"));
    assert_eq!(heard.json(), json!({"channel": "#general", "text": "hi"}));
    let tried = user.post(&format!("/api/v1/credentials/{id}/test"), &json!({})).await.expect(200);
    assert_eq!((&tried["success"], peer.last().path.as_str()), (&json!(true), "/auth.test"));
    let list = user.get("/api/v1/connectors").await.expect(200);
    assert_eq!(list.as_array().unwrap().len(), 1);
    let path = format!("/api/v1/connectors/{}", made["id"].as_str().unwrap());
    assert_eq!(user.put(&path, &json!({"name": "Slack"})).await.expect(200)["config"], made["config"]);
    let schema = server.anybody().get("/schemas/connector-v1.json").await.expect(200);
    assert_eq!(schema["title"], "Connector");
    server.finish().await;
}

#[tokio::test]
async fn each_service_is_spoken_to_in_its_own_way() {
    let peer = Peer::start(|heard, _| match heard.path.as_str() {
        "/token" => answer(200, &json!({"access_token": "granted-token", "expires_in": 3600})),
        "/chat.postMessage" => answer(200, &json!({"ok": false, "error": "channel_not_found"})),
        "/reactions.add" => answer(200, &json!({"ok": false, "error": "already_reacted"})),
        path if path.starts_with("/conversations.list") => {
            let last = path.contains("cursor=two");
            let next = if last { "" } else { "two" };
            let name = if last { "b" } else { "a" };
            answer(200, &json!({"ok": true, "channels": [{"name": name}], "response_metadata": {"next_cursor": next}}))
        }
        _ => answer(200, &json!({"id": "x", "auth": heard.header("authorization"), "key": heard.header("x-my-key")})),
    })
    .await;
    let server = server(Kind::Sqlite, Some((&peer, &["stripe", "slack", "discord"]))).await;
    let (user, who) = program(&server, Role::User).await;
    credential(&user, "s", ("stripe", "api_key"), json!({"secret_key": "sk_test_123456"}), json!({})).await;
    credential(&user, "b", ("slack", "oauth"), json!({"bot_token": "xoxb-123456"}), json!({})).await;
    credential(&user, "d", ("discord", "token"), json!({"bot_token": "discord-token"}), json!({})).await;

    let input = json!({"amount": 1099, "currency": "eur", "metadata": {"order": "7"}});
    call(&server, &who, "stripe.create_payment_intent", Some("s"), input).await.unwrap();
    let heard = peer.last();
    assert_eq!(heard.body, "amount=1099&currency=eur&metadata%5Border%5D=7");
    assert_eq!(heard.header("idempotency-key"), "the-same-key-for-each-attempt");
    assert_eq!(
        (heard.header("stripe-version"), heard.header("authorization")),
        ("2024-06-20", "Bearer sk_test_123456")
    );
    call(&server, &who, "stripe.retrieve_customer", Some("s"), json!({"customer": "a/../b?c"})).await.unwrap();
    assert_eq!(peer.last().path, "/customers/a%2F..%2Fb%3Fc");
    for id in ["..", ".", ""] {
        let wrong =
            call(&server, &who, "stripe.retrieve_customer", Some("s"), json!({"customer": id})).await.unwrap_err();
        assert!(["invalid_request", "invalid_input"].contains(&wrong.code.as_str()), "{wrong:?}");
    }

    let refused = call(&server, &who, "slack.send_message", Some("b"), json!({"channel": "#x", "text": "t"})).await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.retryable, refused.uncertain), ("channel_not_found", false, false));
    let reaction = json!({"channel": "C1", "timestamp": "1.2", "name": "ok"});
    call(&server, &who, "slack.add_reaction", Some("b"), reaction).await.unwrap();
    let channels = call(&server, &who, "slack.list_channels", Some("b"), json!({})).await.unwrap();
    assert_eq!(channels, json!({"items": [{"name": "a"}, {"name": "b"}]}));

    let message = json!({"channel_id": "42", "content": "@everyone hi"});
    call(&server, &who, "discord.send_message", Some("d"), message).await.unwrap();
    let heard = peer.last();
    assert_eq!((heard.path.as_str(), heard.header("authorization")), ("/channels/42/messages", "Bot discord-token"));
    assert_eq!(heard.json()["allowed_mentions"], json!({"parse": []}), "nobody is called out");
    assert_eq!(heard.json()["nonce"].as_str().unwrap().len(), 25);

    // HTTP with each of its ways to sign in; what was opened does not come back out.
    let hosts = json!({"hosts": ["127.0.0.1"]});
    for (name, data, expected) in [
        ("bearer", json!({"type": "bearer", "token": "hunter22"}), "Bearer hunter22"),
        ("basic", json!({"type": "basic", "username": "u", "password": "hunter22"}), "Basic dTpodW50ZXIyMg=="),
        ("fits", json!({"username": "u", "password": "hunter22"}), "Basic dTpodW50ZXIyMg=="),
        (
            "oauth",
            json!({"type": "client_credentials", "token_url": format!("{}/token", peer.url), "client_id": "c",
                "client_secret": "hunter22", "scope": "a b"}),
            "Bearer granted-token",
        ),
    ] {
        credential(&user, name, ("http", "custom"), data, hosts.clone()).await;
        let input =
            json!({"method": "POST", "url": format!("{}/x?a=1", peer.url), "params": {"b": [2, 3]}, "body": {"c": 4}});
        let result = call(&server, &who, "http.request", Some(name), input).await.unwrap();
        let heard = peer.last();
        assert_eq!((heard.path.as_str(), heard.header("authorization")), ("/x?a=1&b=2&b=3", expected), "{name}");
        assert_eq!(heard.json(), json!({"c": 4}));
        assert!(!result.to_string().contains("hunter22") && !result.to_string().contains("granted-token"), "{result}");
    }
    let token = peer.heard().into_iter().find(|heard| heard.path == "/token").unwrap();
    assert_eq!(token.body, "grant_type=client_credentials&scope=a+b&client_id=c&client_secret=hunter22");
    credential(
        &user,
        "key",
        ("http", "custom"),
        json!({"type": "api_key", "api_key": "hunter22", "header": "X-My-Key"}),
        hosts,
    )
    .await;
    let input = json!({"url": format!("{}/x", peer.url)});
    let result = call(&server, &who, "http.request", Some("key"), input).await.unwrap();
    assert_eq!(result["body"]["key"], "[secret]");
    assert_eq!(server.connectors().effect("http", "request", &json!({"method": "PUT"})), Some(Effect::Idempotent));
    assert_eq!(server.connectors().effect("http", "request", &json!({})), Some(Effect::Pure));
    assert_eq!(server.connectors().effect("slack", "send_message", &json!({})), Some(Effect::Once));
    assert_eq!(server.connectors().effect("slack", "nothing", &json!({})), None);
    let unknown = call(&server, &who, "slack.send_mesage", Some("b"), json!({})).await.unwrap_err();
    assert!(unknown.message.contains("did you mean \"send_message\"?"), "{unknown}");
    server.finish().await;
}

#[tokio::test]
async fn a_failure_says_whether_it_may_have_had_its_effect() {
    let peer = Peer::start(|heard, before| match (heard.path.as_str(), before) {
        ("/customers", 0) => answer(429, &json!({"error": {"code": "rate_limit"}})),
        ("/customers", _) => answer(200, &json!({"id": "cus_1"})),
        ("/invoices", _) => answer(402, &json!({"error": {"code": "card_declined", "message": "no sk_test_123456"}})),
        ("/gone", _) => answer(404, &json!({"message": "gone"})),
        ("/late", _) => (axum::http::StatusCode::GATEWAY_TIMEOUT, "").into_response(),
        (path, _) => panic!("{path} was not expected"),
    })
    .await;
    let server = server(Kind::Sqlite, Some((&peer, &["stripe"]))).await;
    let (user, who) = program(&server, Role::User).await;
    credential(&user, "s", ("stripe", "api_key"), json!({"secret_key": "sk_test_123456"}), json!({})).await;
    call(&server, &who, "stripe.create_customer", Some("s"), json!({})).await.unwrap();
    let keys: Vec<_> = peer.heard().iter().map(|heard| heard.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys, ["the-same-key-for-each-attempt"; 2], "a second try under the same key");
    let declined = call(&server, &who, "stripe.create_invoice", Some("s"), json!({"customer": "c"})).await.unwrap_err();
    assert_eq!((declined.code.as_str(), declined.retryable), ("card_declined", false));
    assert!(declined.message.contains("[secret]") && !declined.message.contains("sk_test"), "{declined}");
    let count = peer.heard().len();
    for (method, path, code, retryable, uncertain, times) in [
        ("GET", "/gone", "http_404", false, false, 1),
        ("POST", "/late", "http_504", true, true, 1),
        ("PUT", "/late", "http_504", true, true, 3),
    ] {
        let before = peer.heard().len();
        let input = json!({"method": method, "url": format!("{}{path}", peer.url)});
        let failure = call(&server, &who, "http.request", None, input).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.retryable, failure.uncertain),
            (code, retryable, uncertain),
            "{method} {path}"
        );
        assert_eq!(peer.heard().len() - before, times, "{method} {path}");
    }
    assert!(peer.heard().len() > count);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let input = json!({"method": "POST", "url": format!("http://{nobody}/")});
    let failure = call(&server, &who, "http.request", None, input).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.retryable, failure.uncertain), ("unreachable", true, false));
    let wrong = call(&server, &who, "http.request", None, json!({"url": 7, "metod": "GET"})).await.unwrap_err();
    assert!(
        wrong.message.contains("did you mean \"method\"?") && wrong.message.contains("url: this is a text"),
        "{wrong}"
    );
    server.finish().await;
}

#[tokio::test]
async fn nothing_is_reached_that_must_not_be() {
    let inside = Peer::start(|_, _| answer(200, &json!({}))).await;
    // As it is shipped: only the public internet.
    let server = Server::start_with(Kind::Sqlite, |config| {
        config.rate_limits.enabled = false;
        config.fetch.allow_private.clear();
    })
    .await;
    let (user, who) = program(&server, Role::User).await;
    let port = inside.url.rsplit(':').next().unwrap();
    for url in [
        inside.url.clone(),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0177.0.0.1:{port}/"),
        format!("http://user:password@127.0.0.1:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1:70/".to_owned(),
        "http://".to_owned(),
        "\\\\127.0.0.1\\".to_owned(),
    ] {
        let failure = call(&server, &who, "http.request", None, json!({"url": url})).await.unwrap_err();
        assert!(["address_refused", "invalid_request"].contains(&failure.code.as_str()), "{url}: {failure:?}");
        assert!(!failure.uncertain);
        let input = json!({"webhook_url": url, "content": "x"});
        let failure = call(&server, &who, "discord.send_webhook", None, input).await.unwrap_err();
        assert!(
            ["address_refused", "host_not_allowed", "invalid_request", "invalid_input"]
                .contains(&failure.code.as_str()),
            "{url}: {failure:?}"
        );
        let failure = call(&server, &who, "gateway.ping", None, json!({"gateway_url": url})).await.unwrap_err();
        assert!(
            ["address_refused", "host_not_allowed", "invalid_request", "invalid_input"]
                .contains(&failure.code.as_str()),
            "{url}: {failure:?}"
        );
    }
    for (name, value) in [("Host", "evil"), ("transfer-encoding", "chunked"), ("X", "a\r\nY: b"), ("X\r\nY", "b")] {
        let input = json!({"url": "https://example.com/", "headers": {name: value}});
        let failure = call(&server, &who, "http.request", None, input).await.unwrap_err();
        assert_eq!(failure.code, "invalid_request", "{name}");
    }
    credential(
        &user,
        "mail",
        ("smtp", "custom"),
        json!({"host": "localhost", "port": 25, "user": "u@x.org", "password": "p"}),
        json!({}),
    )
    .await;
    let mail = json!({"to": "a@b.org", "subject": "s", "text": "t"});
    let failure = call(&server, &who, "smtp.send_email", Some("mail"), mail).await.unwrap_err();
    assert_eq!(failure.code, "address_refused");
    assert!(inside.heard().is_empty(), "{:?}", inside.heard());
    server.finish().await;
}

#[tokio::test]
async fn a_credential_goes_to_its_hosts_and_nowhere_else() {
    let evil = Peer::start(|_, _| answer(200, &json!({}))).await;
    let server = server(Kind::Sqlite, None).await;
    let ((owner, owning), (_, foreign)) = (program(&server, Role::User).await, program(&server, Role::User).await);
    let (admin, _) = program(&server, Role::Admin).await;
    let grant = json!({
        "effect": "allow", "subject": "role:user", "verbs": ["invoke"], "kind": "credential", "name": "*"
    });
    admin.post("/api/grants", &grant).await.expect(201);
    let data = json!({"type": "bearer", "token": "hunter22"});
    credential(&owner, "bound", ("http", "custom"), data.clone(), json!({"hosts": ["api.example.com"]})).await;
    credential(&owner, "free", ("http", "custom"), data, json!({})).await;
    let gateway =
        json!({"name": "gw", "username": "u", "password": "hunter22", "gateway_url": "https://gateway.example.com"});
    owner.post("/api/credentials", &gateway).await.expect(200);
    let input = json!({"url": format!("{}/steal", evil.url)});
    for (who, name, action, input) in [
        (&owning, "bound", "http.request", input.clone()),
        (&foreign, "bound", "http.request", input.clone()),
        (&foreign, "free", "http.request", input.clone()),
        (&owning, "gw", "gateway.list_modules", json!({"gateway_url": evil.url})),
        (&foreign, "gw", "gateway.login", json!({"gateway_url": evil.url})),
    ] {
        let failure = call(&server, who, action, Some(name), input).await.unwrap_err();
        assert_eq!(failure.code, "credential_not_for_host", "{name} {failure:?}");
    }
    assert!(evil.heard().is_empty());
    // One's own, to where one likes.
    call(&server, &owning, "http.request", Some("free"), input.clone()).await.unwrap();
    let failure = call(&server, &owning, "stripe.create_customer", Some("free"), json!({})).await.unwrap_err();
    assert_eq!(failure.code, "wrong_credential");
    let body = json!({"expiresAt": "2026-12-01T00:00:00Z"});
    owner.put("/api/v1/credentials/free", &body).await.expect(200);
    server.clock.advance(365 * 24 * 60 * 60 * 1000);
    let failure = call(&server, &owning, "http.request", Some("free"), input).await.unwrap_err();
    assert_eq!(failure.code, "credential_expired");
    server.finish().await;
}

#[tokio::test]
async fn a_gateway_is_signed_in_to_by_cookie_and_waited_for() {
    let asked = AtomicUsize::new(0);
    let peer = Peer::start(move |heard, _| {
        let signed_in = heard.header("cookie").contains("JSESSIONID=good");
        match (heard.method.as_str(), heard.path.as_str()) {
            ("POST", "/system/login") if heard.body == "username=admin&password=hunter22" => {
                ([("set-cookie", "JSESSIONID=good; Path=/; HttpOnly")], "").into_response()
            }
            ("GET", "/StatusPing") => {
                let state = if asked.fetch_add(1, Ordering::SeqCst) < 2 { "STARTING" } else { "RUNNING" };
                answer(200, &json!({"state": state}))
            }
            _ if !signed_in => answer(401, &json!({})),
            ("GET", "/system/modules") => answer(200, &json!([{"name": "Perspective", "state": "running"}])),
            ("GET", "/data/project/my%20project") => answer(200, &json!({"name": "my project"})),
            ("POST", "/system/modules/upload") => {
                assert!(heard.body.contains("filename=\"m.modl\"") && heard.body.contains("MODULE"), "{}", heard.body);
                answer(200, &json!({"moduleId": "m"}))
            }
            ("POST", "/system/restart" | "/system/logout") => answer(200, &json!({})),
            (method, path) => panic!("{method} {path} was not expected"),
        }
    })
    .await;
    let server = server(Kind::Sqlite, None).await;
    let (user, who) = program(&server, Role::User).await;
    let body = json!({"name": "my-gateway", "username": "admin", "password": "hunter22", "gateway_url": peer.url});
    user.post("/api/credentials", &body).await.expect(200);
    let run = async |action: &str, input: Value| call(&server, &who, action, Some("my-gateway"), input).await;
    assert_eq!(run("gateway.login", json!({})).await.unwrap(), json!({"authenticated": true}));
    assert_eq!(run("gateway.wait_for_ready", json!({})).await.unwrap(), json!({"state": "RUNNING"}));
    assert_eq!(run("gateway.get_health", json!({})).await.unwrap(), json!({"healthy": true, "state": "RUNNING"}));
    assert_eq!(run("gateway.list_modules", json!({})).await.unwrap()["modules"][0]["name"], "Perspective");
    assert_eq!(run("gateway.get_project", json!({"project_name": "my project"})).await.unwrap()["name"], "my project");
    let module = json!({"file": {"filename": "m.modl", "content_base64": "TU9EVUxF"}});
    assert_eq!(run("gateway.upload_module", module).await.unwrap(), json!({"module_id": "m"}));
    let waited = run("gateway.wait_for_module_installation", json!({"module_name": "Perspective"})).await.unwrap();
    assert_eq!(waited["module"]["state"], "running");
    assert_eq!(run("gateway.restart", json!({})).await.unwrap(), json!({"restarting": true}));
    assert_eq!(run("gateway.logout", json!({})).await.unwrap(), json!({"authenticated": false}));
    let logins = peer.heard().iter().filter(|heard| heard.path == "/system/login").count();
    assert_eq!(logins, 1, "the session is kept");
    run("gateway.list_modules", json!({})).await.unwrap();
    assert_eq!(peer.heard().iter().filter(|heard| heard.path == "/system/login").count(), 2, "it was signed out");
    let changed = json!({"name": "my-gateway", "username": "admin", "password": "wrong", "gateway_url": peer.url});
    user.put("/api/credentials/my-gateway", &changed).await.expect(200);
    let failure = run("gateway.list_modules", json!({})).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.uncertain), ("not_authenticated", false), "{failure:?}");
    server.finish().await;
}

fn rotate(server: &Server, crash: Option<&str>) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
    command.args(["vault", "rotate", "--data"]).arg(server.data());
    if !server.database().is_empty() {
        command.arg(format!("--database={}", server.database()));
    }
    command.envs(crash.map(|point| ("PARLOUR_CRASH_POINT", format!("{point}:1"))));
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_under_load_and_a_rotation_may_die_anywhere() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let peer = Peer::start(|heard, _| answer(200, &json!({"id": heard.header("authorization").len()}))).await;
        let server = Arc::new(server(kind, Some((&peer, &["stripe"]))).await);
        let (user, who) = program(&server, Role::User).await;
        for n in 0..5 {
            let data = json!({"secret_key": format!("sk_test_{n}_123456")});
            credential(&user, &format!("c{n}"), ("stripe", "api_key"), data, json!({})).await;
        }
        // One that nobody changes: it is sealed anew by the rotation and by nothing else.
        let quiet = json!({"secret_key": "sk_test_quiet_123456"});
        credential(&user, "quiet", ("stripe", "api_key"), quiet, json!({})).await;
        let stop = Arc::new(AtomicBool::new(false));
        let (loaded, working, user_too) = (server.clone(), who.clone(), user.clone());
        let stopping = stop.clone();
        let mut load = tokio::task::JoinSet::new();
        load.spawn(async move {
            let mut calls = 0;
            while !stopping.load(Ordering::SeqCst) {
                let name = format!("c{}", calls % 5);
                let opened =
                    call(&loaded, &working, "stripe.retrieve_customer", Some(&name), json!({"customer": "x"})).await;
                opened.unwrap_or_else(|failure| panic!("{name} did not open: {failure:?}"));
                let data = json!({"data": {"secret_key": format!("sk_test_{}_654321", calls % 5)}});
                let changed = user_too.put(&format!("/api/v1/credentials/{name}"), &data).await;
                // One rotation may hold the lock of the keys; nothing else is a reason.
                assert_eq!(changed.status.as_u16(), 200, "{}", changed.text);
                calls += 1;
            }
            calls
        });
        for point in VAULT_POINTS {
            let died = rotate(&server, Some(point));
            assert!(!died.status.success(), "{point} was not reached");
        }
        let done = rotate(&server, None);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        stop.store(true, Ordering::SeqCst);
        assert!(load.join_next().await.unwrap().unwrap() > 0);
        assert_eq!(server.store().data_keys().await.unwrap().len(), 1, "old keys are gone");
        let key = std::fs::read_to_string(server.data().join("vault.key")).unwrap();
        assert_eq!(key.lines().count(), 1, "so is the old master key");
        let server = Arc::into_inner(server).unwrap().restart().await;
        for name in ["c3", "quiet"] {
            call(&server, &who, "stripe.retrieve_customer", Some(name), json!({"customer": "x"})).await.unwrap();
        }
        server.finish().await;
    }
}

#[tokio::test]
async fn a_wrong_key_or_a_swapped_row_opens_nothing() {
    let peer = Peer::start(|_, _| answer(200, &json!({"id": 1}))).await;
    let server = server(Kind::Sqlite, Some((&peer, &["stripe"]))).await;
    let (user, who) = program(&server, Role::User).await;
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        ids.push(
            credential(&user, name, ("stripe", "api_key"), json!({"secret_key": "sk_test_123456"}), json!({})).await,
        );
    }
    let database = rusqlite::Connection::open(server.data().join("parlour.db")).unwrap();
    let text: String = database
        .query_row("SELECT text FROM sealed WHERE owner = ?1", [format!("credential:{}", ids[0])], |row| row.get(0))
        .unwrap();
    assert!(!text.contains("sk_test"));
    database.execute("UPDATE sealed SET text = ?1 WHERE owner = ?2", [text, format!("credential:{}", ids[1])]).unwrap();
    drop(database);
    call(&server, &who, "stripe.retrieve_customer", Some("one"), json!({"customer": "x"})).await.unwrap();
    let failure =
        call(&server, &who, "stripe.retrieve_customer", Some("two"), json!({"customer": "x"})).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.uncertain), ("sealed", false));
    assert_eq!(peer.heard().len(), 1);
    let path = server.data().join("vault.key");
    let kept = std::fs::read_to_string(&path).unwrap();
    let id = kept.split_whitespace().nth(1).unwrap().to_owned();
    std::fs::remove_file(&path).unwrap();
    let refused = server.try_restart().await;
    let message = format!("{:#}", refused.err().expect("it does not start without the key"));
    assert!(message.contains(&id), "{message} names the key {id}");
}

#[tokio::test]
async fn a_mail_is_sent_by_whoever_may() {
    let mail = MailServer::start().await;
    let server = server(Kind::Sqlite, None).await;
    let (user, who) = program(&server, Role::User).await;
    let data = json!({"host": "127.0.0.1", "port": mail.port, "user": "robot@example.com", "password": "hunter22"});
    credential(&user, "office", ("smtp", "custom"), data, json!({})).await;
    let input = json!({
        "to": ["Ada <ada@example.com>"], "bcc": "bob@example.com", "subject": "Grüße", "text": "Hello",
        "attachments": [{"filename": "a.txt", "content": "attached"}]
    });
    let sent = call(&server, &who, "smtp.send_email", Some("office"), input).await.unwrap();
    assert_eq!(sent["accepted"], json!(["ada@example.com", "bob@example.com"]));
    let taken = mail.taken().remove(0);
    // NUL, the name, NUL, the password, in base64.
    assert_eq!(taken.login, "AHJvYm90QGV4YW1wbGUuY29tAGh1bnRlcjIy");
    assert_eq!(taken.to.len(), 2);
    assert!(
        taken.text.contains(sent["message_id"].as_str().unwrap()) && taken.text.contains("From: robot@example.com")
    );
    assert!(!taken.text.contains("bob@example.com"), "{}", taken.text);
    let input = json!({"to": "nobody@example.com", "subject": "s", "text": "t"});
    let refused = call(&server, &who, "smtp.send_email", Some("office"), input).await.unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.retryable, refused.uncertain),
        ("smtp_550", false, false),
        "{refused:?}"
    );
    let input = json!({"to": "a@example.com", "subject": "s\r\nBcc: b@example.com", "text": "t"});
    let refused = call(&server, &who, "smtp.send_email", Some("office"), input).await.unwrap_err();
    assert_eq!(refused.code, "invalid_request");
    assert_eq!(mail.taken().len(), 1);
    server.finish().await;
}
