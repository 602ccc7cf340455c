//! Programs that come with tokens of another issuer: a real provider, and one that signs whatever it is told.

use parlour::config::{self, Config};
use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::oidc::Peer;
use crate::support::directory::{Directory, KEY_ID, Signature};
use crate::support::log::Log;
use crate::support::server::{Client, Kind, Server};

const AUDIENCE: &str = "https://parlour.example/api";
const MINUTE: i64 = 60 * 1000;

fn settings(config: &mut Config, issuer: &str) {
    let issuer = json!({ "issuer": issuer, "audience": AUDIENCE });
    config.services.issuers = vec![serde_json::from_value::<config::Issuer>(issuer).expect("settings")];
    config.rate_limits.enabled = false;
    config.ws.refused_per_second = 0;
}

fn bearer(server: &Server, token: &str) -> Client {
    server.anybody().with("authorization", &format!("Bearer {token}"))
}

async fn enrol(admin: &Client, client_id: &str) -> String {
    let wish = json!({ "name": "Billing", "client_id": client_id, "role": "executor", "groups": ["support"] });
    let made = admin.post("/api/services", &wish).await.expect(201);
    assert_eq!(admin.post("/api/services", &wish).await.error(409), "SERVICE_EXISTS");
    made["id"].as_str().expect("an id").to_owned()
}

/// Client credentials at a certified provider, to a run and to the end of the service.
async fn from_a_token_to_a_run(kind: Kind) {
    let mut peer = Peer::start();
    let server = Server::start_with(kind, |config| settings(config, &peer.issuer)).await;
    server.clock.advance(parlour::clock::Clock::system().now() - server.clock.now());
    peer.serve_programs(&server.url, AUDIENCE);
    let admin = server.browser().await;
    let token = peer.program_token("billing", AUDIENCE).await;
    assert_eq!(bearer(&server, &token).get("/api/session").await.error(401), "UNAUTHORIZED", "not enrolled");
    let id = enrol(&admin, "billing").await;
    let program = bearer(&server, &token);
    let me = program.get("/api/session").await.expect(200);
    assert_eq!(
        (&me["kind"], &me["user_id"], &me["user"]["name"], &me["user"]["roles"], &me["user"]["groups"]),
        (&json!("service"), &json!(id), &json!("Billing"), &json!(["executor"]), &json!(["support"]))
    );
    let body = json!({ "command": "deploy", "parameters": [{ "name": "service", "value": "web" }] });
    let started = program.post("/command?invoke=true", &body).await.expect(200);
    let run = program.get(started["invocation"]["url"].as_str().unwrap()).await.expect(200);
    assert_eq!(run["phase"], "SUCCESS");
    assert_eq!(program.post("/api/keys", &json!({ "name": "k", "role": "readonly" })).await.error(403), "FORBIDDEN");
    let listed = admin.get("/api/services").await.expect(200);
    assert!(listed["services"][0]["last_used_at"].is_string(), "{listed}");
    // A grant may name it.
    let no = json!({ "effect": "deny", "subject": format!("service:{id}"), "verbs": [], "kind": "command", "name": "deploy" });
    admin.post("/api/grants", &no).await.expect(201);
    assert_eq!(program.post("/command?invoke=true", &body).await.error(403), "FORBIDDEN");

    let mut socket = program.socket().await;
    assert_eq!(server.program(Role::User).await.get("/api/services").await.error(403), "FORBIDDEN");
    admin.delete(&format!("/api/services/{id}")).await.expect(200);
    assert_eq!(socket.closed().await, Some(4410));
    assert_eq!(program.get("/api/session").await.error(401), "UNAUTHORIZED");
    assert_eq!(admin.delete(&format!("/api/services/{id}")).await.error(404), "NOT_FOUND");
    // Another audience is another server's.
    let elsewhere = peer.program_token("billing", "https://other.example/api").await;
    enrol(&admin, "billing").await;
    assert_eq!(bearer(&server, &elsewhere).get("/api/session").await.error(401), "UNAUTHORIZED");
    assert_eq!(program.get("/api/session").await.expect(200)["kind"], "service", "enrolled again");
    server.finish().await;
}

#[tokio::test]
async fn from_a_token_to_a_run_on_sqlite() {
    from_a_token_to_a_run(Kind::Sqlite).await;
}

#[tokio::test]
async fn from_a_token_to_a_run_on_postgres() {
    from_a_token_to_a_run(Kind::Postgres).await;
}

fn claims(server: &Server, directory: &Directory) -> Value {
    let now = server.clock.now() / 1000;
    json!({ "iss": directory.issuer, "aud": AUDIENCE, "sub": "billing", "azp": "billing", "iat": now, "exp": now + 300 })
}

#[tokio::test]
async fn a_forged_token_is_nobodys() {
    let directory = Directory::start().await;
    let server = Server::start_with(Kind::Sqlite, |config| settings(config, &directory.issuer)).await;
    let admin = server.browser().await;
    enrol(&admin, "billing").await;
    let secrets = Log::start();
    let (public, document) = directory.public_key();
    let header = |alg: &str| json!({ "alg": alg, "kid": KEY_ID, "typ": "at+jwt" });
    type Change = fn(&mut Value);
    let same: Change = |_| {};
    let forgeries: Vec<(&str, Value, Change, Signature<'_>)> = vec![
        ("no signature", header("none"), same, Signature::None),
        ("no signature, named otherwise", header("EdDSA"), same, Signature::None),
        ("the public key as a shared one", header("HS256"), same, Signature::Shared(&public)),
        ("its document as a shared key", header("HS256"), same, Signature::Shared(document.as_bytes())),
        ("another key", header("EdDSA"), same, Signature::Foreign),
        ("another issuer", header("EdDSA"), |c| c["iss"] = json!("https://evil.example"), Signature::Own),
        ("another audience", header("EdDSA"), |c| c["aud"] = json!("other"), Signature::Own),
        ("no audience", header("EdDSA"), |c| c["aud"] = json!([]), Signature::Own),
        ("expired", header("EdDSA"), |c| c["exp"] = json!(c["iat"].as_i64().unwrap() - 61), Signature::Own),
        ("without an end", header("EdDSA"), |c| c["exp"] = Value::Null, Signature::Own),
        ("of the future", header("EdDSA"), |c| c["nbf"] = json!(c["iat"].as_i64().unwrap() + 120), Signature::Own),
        ("not enrolled", header("EdDSA"), |c| c["azp"] = json!("stranger"), Signature::Own),
        ("without a client", header("EdDSA"), |c| c["azp"] = Value::Null, Signature::Own),
        ("for signing in", header("EdDSA"), |c| c["nonce"] = json!("n"), Signature::Own),
        ("of another type", json!({ "alg": "EdDSA", "kid": KEY_ID, "typ": "logout+jwt" }), same, Signature::Own),
    ];
    for (what, header, change, signature) in &forgeries {
        let mut claims = claims(&server, &directory);
        change(&mut claims);
        let token = directory.sign(header, &claims, signature);
        let refused = bearer(&server, &token).get("/api/session").await;
        let plain = bearer(&server, "plr_k_nonsense").get("/api/session").await;
        assert_eq!((refused.status.as_u16(), refused.told()), (401, plain.told()), "{what}");
        assert_eq!(bearer(&server, &token).raw_socket(None).await.err(), Some(401), "{what}");
        secrets.must_not_hold(&[&token]);
    }
    assert_eq!(directory.keys_served(), 1, "all of them named the key that is known");
    // A flood of unknown keys asks once a minute.
    for n in 0..20 {
        let unknown = json!({ "alg": "EdDSA", "kid": format!("k{n}") });
        let token = directory.sign(&unknown, &claims(&server, &directory), &Signature::Foreign);
        assert_eq!(bearer(&server, &token).get("/api/session").await.status, 401);
    }
    assert_eq!(directory.keys_served(), 2);
    server.clock.advance(MINUTE);
    let token =
        directory.sign(&json!({ "alg": "EdDSA", "kid": "new" }), &claims(&server, &directory), &Signature::Foreign);
    assert_eq!(bearer(&server, &token).get("/api/session").await.status, 401);
    assert_eq!(directory.keys_served(), 3);

    // An honest one comes in, also while the issuer is down, and goes out with its token.
    directory.set_down(true);
    let token = directory.sign(&header("EdDSA"), &claims(&server, &directory), &Signature::Own);
    let program = bearer(&server, &token);
    program.get("/api/session").await.expect(200);
    server.clock.advance(300 * 1000 + MINUTE);
    assert_eq!(program.get("/api/session").await.error(401), "UNAUTHORIZED");
    secrets.must_not_hold(&[&token]);
    server.finish().await;
}
