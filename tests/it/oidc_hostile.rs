//! Signing in when somebody cheats: forged tokens, foreign states, floods of unknown keys, and what the log holds of it.

use parlour::config::Config;
use parlour::model::secret::Secret;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::support::directory::{Directory, KEY_ID, Signature};
use crate::support::log::Log;
use crate::support::server::{Answer, Client, Kind, Server};

const SECRET: &str = "the-client-secret-of-these-tests";
const MINUTE: i64 = 60 * 1000;

async fn started(kind: Kind) -> (Server, Directory) {
    let directory = Directory::start().await;
    let settings = |config: &mut Config| {
        config.oidc.issuer.clone_from(&directory.issuer);
        config.oidc.client_id = "parlour".to_owned();
        config.oidc.client_secret = Secret::new(SECRET);
    };
    (Server::start_with(kind, settings).await, directory)
}

/// A sign-in that has left for the directory.
struct Left {
    cookie: String,
    state: String,
    nonce: String,
    challenge: String,
}

async fn leave(server: &Server) -> Left {
    let answer = server.anybody().get("/auth/login?redirect=/c/1").await;
    assert_eq!(answer.status.as_u16(), 303, "{}", answer.text);
    let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("parlour_login=") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
    let place: Url = answer.headers["location"].to_str().unwrap().parse().unwrap();
    let part = |name: &str| place.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert_eq!(part("code_challenge_method"), "S256");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    Left { cookie, state: part("state"), nonce: part("nonce"), challenge: part("code_challenge") }
}

impl Left {
    async fn back(&self, server: &Server, code: &str) -> Answer {
        self.back_with(server, &format!("code={code}")).await
    }

    async fn back_with(&self, server: &Server, query: &str) -> Answer {
        let path = format!("/auth/callback?{query}&state={}", self.state);
        server.anybody().with("cookie", &self.cookie).get(&path).await
    }
}

/// What an honest directory says about Eve.
fn eve(server: &Server, directory: &Directory, nonce: &str) -> Value {
    let now = server.clock.now() / 1000;
    json!({
        "iss": directory.issuer, "aud": "parlour", "sub": "eve", "iat": now, "exp": now + 300, "nonce": nonce,
        "auth_time": f64::from(u32::try_from(now).unwrap()) + 0.5, "sid": "s1",
        "name": "Eve", "email": "eve@example.com", "roles": ["user"], "groups": [],
    })
}

/// Signs in as told, and answers the browser.
async fn sign_in(server: &Server, directory: &Directory, change: impl FnOnce(&mut Value)) -> Client {
    let left = leave(server).await;
    let mut claims = eve(server, directory, &left.nonce);
    change(&mut claims);
    directory.give_code("good", Some(&left.challenge), Some(&directory.signed(&claims)));
    let answer = left.back(server, "good").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["location"]),
        (303, &"/c/1".parse().unwrap()),
        "{}",
        answer.text
    );
    server.anybody().with("cookie", &session_cookie(&answer)).with("origin", &server.url)
}

fn session_cookie(answer: &Answer) -> String {
    let cookies = answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let session = cookies.map(|cookie| cookie.split(';').next().unwrap()).find(|pair| pair.starts_with("parlour="));
    session.unwrap_or_else(|| panic!("no session in {:?}", answer.headers)).to_owned()
}

#[tokio::test]
async fn a_forged_token_opens_nothing() {
    let (server, directory) = started(Kind::Sqlite).await;
    let secrets = Log::start();
    let (public, public_document) = directory.public_key();
    let header = |alg: &str| json!({ "alg": alg, "kid": KEY_ID });
    type Change = fn(&mut Value);
    let same: Change = |_| {};
    let forgeries: Vec<(&str, Value, Change, Signature<'_>)> = vec![
        ("no signature", header("none"), same, Signature::None),
        ("no signature, named otherwise", header("EdDSA"), same, Signature::None),
        ("the public key as a shared one", header("HS256"), same, Signature::Shared(&public)),
        ("its document as a shared key", header("HS256"), same, Signature::Shared(public_document.as_bytes())),
        ("the client secret as a key", header("HS256"), same, Signature::Shared(SECRET.as_bytes())),
        ("another key", header("EdDSA"), same, Signature::Foreign),
        ("an unknown key", json!({ "alg": "EdDSA", "kid": "second" }), same, Signature::Foreign),
        ("another issuer", header("EdDSA"), |c| c["iss"] = json!("https://evil.example"), Signature::Own),
        ("another audience", header("EdDSA"), |c| c["aud"] = json!("other"), Signature::Own),
        ("no audience", header("EdDSA"), |c| c["aud"] = json!([]), Signature::Own),
        ("another party", header("EdDSA"), |c| c["azp"] = json!("other"), Signature::Own),
        ("several audiences", header("EdDSA"), |c| c["aud"] = json!(["parlour", "other"]), Signature::Own),
        ("another nonce", header("EdDSA"), |c| c["nonce"] = json!("other"), Signature::Own),
        ("no nonce", header("EdDSA"), |c| c["nonce"] = Value::Null, Signature::Own),
        ("expired", header("EdDSA"), |c| c["exp"] = json!(c["iat"].as_i64().unwrap() - 61), Signature::Own),
        ("of the future", header("EdDSA"), |c| c["iat"] = json!(c["iat"].as_i64().unwrap() + 3600), Signature::Own),
        ("another access token", header("EdDSA"), |c| c["at_hash"] = json!("AAAA"), Signature::Own),
    ];
    for (what, header, change, signature) in &forgeries {
        let left = leave(&server).await;
        let mut claims = eve(&server, &directory, &left.nonce);
        change(&mut claims);
        let token = directory.sign(header, &claims, signature);
        directory.give_code("forged", Some(&left.challenge), Some(&token));
        let answer = left.back(&server, "forged").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"]["code"].as_str()),
            (401, Some("SIGN_IN_INVALID")),
            "{what}: {}",
            answer.text
        );
        assert!(answer.headers.get("set-cookie").is_none(), "{what}");
        secrets.must_not_hold(&[&token, &left.state, &left.nonce, "access-forged"]);
    }
    let left = leave(&server).await;
    directory.give_code("bare", None, None);
    assert_eq!(left.back(&server, "bare").await.error(401), "SIGN_IN_INVALID", "no id token at all");
    let left = leave(&server).await;
    let foreign = left.back_with(&server, "code=forged&iss=https://evil.example").await;
    assert_eq!(foreign.error(401), "SIGN_IN_INVALID", "an answer that names another issuer");
    let left = leave(&server).await;
    assert_eq!(left.back_with(&server, "error=access_denied").await.error(403), "FORBIDDEN");
    assert_eq!(directory.keys_served(), 2, "once for the first token and once for the unknown key");

    // What is refused above is not refused for being Eve.
    let client = sign_in(&server, &directory, |claims| {
        claims["aud"] = json!(["parlour", "other"]);
        claims["azp"] = json!("parlour");
    })
    .await;
    assert_eq!(client.get("/api/session").await.expect(200)["user"]["name"], "Eve");
    secrets.must_not_hold(&[SECRET, client.token(), "access-good"]);
    assert!(secrets.holds("an answer of the directory was refused"), "refusals are logged");
    server.finish().await;
}

async fn a_sign_in_is_one_browsers_and_used_once(kind: Kind) {
    let (server, directory) = started(kind).await;
    let (ours, theirs) = (leave(&server).await, leave(&server).await);
    let token = |left: &Left| directory.signed(&eve(&server, &directory, &left.nonce));
    directory.give_code("theirs", Some(&theirs.challenge), Some(&token(&theirs)));
    directory.give_code("ours", Some(&ours.challenge), Some(&token(&ours)));
    // Their state in our browser, and in one without any cookie: nothing happens, not even to their sign-in.
    let mixed = Left {
        cookie: ours.cookie.clone(),
        state: theirs.state.clone(),
        nonce: String::new(),
        challenge: String::new(),
    };
    assert_eq!(mixed.back(&server, "theirs").await.error(400), "SIGN_IN_EXPIRED");
    let bare = server.anybody().get(&format!("/auth/callback?code=theirs&state={}", theirs.state)).await;
    assert_eq!(bare.error(400), "SIGN_IN_EXPIRED");
    let answer = theirs.back(&server, "theirs").await;
    assert_eq!(answer.status.as_u16(), 303, "{}", answer.text);
    let first = session_cookie(&answer);
    // A state is used up by the first answer.
    assert_eq!(theirs.back(&server, "theirs").await.error(400), "SIGN_IN_EXPIRED");
    // Their code in our sign-in: a directory sees that the verifier is wrong, we see that the nonce is.
    assert_eq!(ours.back(&server, "theirs").await.error(401), "SIGN_IN_INVALID");
    assert_eq!(ours.back(&server, "ours").await.error(400), "SIGN_IN_EXPIRED", "used up all the same");
    let careless = leave(&server).await;
    directory.give_code("careless", None, Some(&token(&theirs)));
    assert_eq!(careless.back(&server, "careless").await.error(401), "SIGN_IN_INVALID");
    // A session never outlives a sign-in under its old name.
    let again = sign_in(&server, &directory, |_| {}).await;
    assert!(!first.ends_with(again.token()), "each sign-in has a session of its own");
    // Ten minutes and it is over.
    let late = leave(&server).await;
    server.clock.advance(10 * MINUTE);
    directory.give_code("late", Some(&late.challenge), Some(&token(&late)));
    assert_eq!(late.back(&server, "late").await.error(400), "SIGN_IN_EXPIRED");
    server.finish().await;
}

#[tokio::test]
async fn a_sign_in_is_one_browsers_and_used_once_sqlite() {
    a_sign_in_is_one_browsers_and_used_once(Kind::Sqlite).await;
}

#[tokio::test]
async fn a_sign_in_is_one_browsers_and_used_once_postgres() {
    a_sign_in_is_one_browsers_and_used_once(Kind::Postgres).await;
}

#[tokio::test]
async fn a_sign_in_returns_nowhere_else() {
    let (server, _directory) = started(Kind::Sqlite).await;
    for wrong in [
        "//evil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
        "https://evil.example",
        "/auth/logout",
        "%2F%2Fevil.example",
        "",
    ] {
        let answer = server.anybody().get(&format!("/auth/login?redirect={wrong}")).await;
        assert!(!answer.headers.contains_key("location"), "{wrong}");
        assert_eq!(answer.error(400), "INVALID_REQUEST", "{wrong}");
    }
    server.finish().await;
}

/// Posts a logout token as a directory does.
async fn log_out(server: &Server, token: &str) -> Answer {
    let form = format!("logout_token={token}");
    let answer =
        server.anybody().post_text("/auth/backchannel-logout", "application/x-www-form-urlencoded", form).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer
}

fn logout(server: &Server, directory: &Directory, id: &str) -> Value {
    json!({
        "iss": directory.issuer, "aud": "parlour", "iat": server.clock.now() / 1000, "jti": id,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    })
}

async fn a_logout_token_ends_what_it_names(kind: Kind) {
    let (server, directory) = started(kind).await;
    let here = sign_in(&server, &directory, |claims| claims["sid"] = json!("s1")).await;
    let there = sign_in(&server, &directory, |claims| claims["sid"] = json!("s2")).await;
    let other = sign_in(&server, &directory, |claims| {
        claims["sub"] = json!("bob");
        claims["sid"] = json!("s3");
    })
    .await;
    let mut sockets = [here.socket().await, there.socket().await, other.socket().await];
    let good = |id: &str, name: &str, value: &str| {
        let mut claims = logout(&server, &directory, id);
        claims[name] = json!(value);
        claims
    };
    // None of these ends anything.
    let whole = good("1", "sub", "eve");
    let changed = |name: &str, value: Value| {
        let mut claims = whole.clone();
        claims[name] = value;
        directory.signed(&claims)
    };
    let unsigned = directory.sign(&json!({ "alg": "none" }), &whole, &Signature::None);
    let foreign = directory.sign(&json!({ "alg": "EdDSA", "kid": KEY_ID }), &whole, &Signature::Foreign);
    let shared = directory.sign(
        &json!({ "alg": "HS256", "kid": KEY_ID }),
        &whole,
        &Signature::Shared(&directory.public_key().0),
    );
    let typed = directory.sign(&json!({ "alg": "EdDSA", "kid": KEY_ID, "typ": "at+jwt" }), &whole, &Signature::Own);
    let id_token = directory.signed(&eve(&server, &directory, "n"));
    for wrong in [
        changed("aud", json!("other")),
        changed("nonce", json!("n")),
        changed("sub", Value::Null),
        changed("events", json!({})),
        unsigned,
        foreign,
        shared,
        typed,
        id_token,
        "x".to_owned(),
        String::new(),
    ] {
        assert_eq!(log_out(&server, &wrong).await.error(400), "INVALID_REQUEST");
    }
    for client in [&here, &there, &other] {
        client.get("/api/session").await.expect(200);
    }
    // By the session, then by the person; another person's session stays.
    let of_session = directory.signed(&good("2", "sid", "s1"));
    assert_eq!(log_out(&server, &of_session).await.status.as_u16(), 200);
    assert_eq!(sockets[0].closed().await, Some(4410));
    assert_eq!(here.get("/api/session").await.error(401), "UNAUTHORIZED");
    there.get("/api/session").await.expect(200);
    let of_person = directory.signed(&good("3", "sub", "eve"));
    assert_eq!(log_out(&server, &of_person).await.status.as_u16(), 200);
    assert_eq!(sockets[1].closed().await, Some(4410));
    assert_eq!(there.get("/api/session").await.error(401), "UNAUTHORIZED");
    // The same token does not log out the session that comes after it.
    let after = sign_in(&server, &directory, |_| {}).await;
    assert_eq!(log_out(&server, &of_person).await.error(400), "INVALID_REQUEST");
    after.get("/api/session").await.expect(200);
    other.get("/api/session").await.expect(200);
    server.finish().await;
}

#[tokio::test]
async fn a_logout_token_ends_what_it_names_sqlite() {
    a_logout_token_ends_what_it_names(Kind::Sqlite).await;
}

#[tokio::test]
async fn a_logout_token_ends_what_it_names_postgres() {
    a_logout_token_ends_what_it_names(Kind::Postgres).await;
}

async fn who_loses_a_role_loses_what_was_opened_with_it(kind: Kind) {
    let (server, directory) = started(kind).await;
    let boss = sign_in(&server, &directory, |claims| claims["roles"] = json!(["admin", "user"])).await;
    let mut socket = boss.socket().await;
    let user = sign_in(&server, &directory, |claims| claims["roles"] = json!(["user"])).await;
    assert_eq!(socket.closed().await, Some(4410));
    assert_eq!(boss.get("/api/session").await.error(401), "UNAUTHORIZED");
    let mut socket = user.socket().await;
    // With more roles everything stays.
    let more = sign_in(&server, &directory, |claims| claims["roles"] = json!(["user", "executor"])).await;
    user.get("/api/session").await.expect(200);
    let left = leave(&server).await;
    let mut claims = eve(&server, &directory, &left.nonce);
    claims["roles"] = json!([]);
    directory.give_code("none", Some(&left.challenge), Some(&directory.signed(&claims)));
    assert_eq!(left.back(&server, "none").await.error(403), "NO_ROLE");
    assert_eq!(socket.closed().await, Some(4410));
    assert_eq!(more.get("/api/session").await.error(401), "UNAUTHORIZED");
    server.finish().await;
}

#[tokio::test]
async fn who_loses_a_role_loses_what_was_opened_with_it_sqlite() {
    who_loses_a_role_loses_what_was_opened_with_it(Kind::Sqlite).await;
}

#[tokio::test]
async fn who_loses_a_role_loses_what_was_opened_with_it_postgres() {
    who_loses_a_role_loses_what_was_opened_with_it(Kind::Postgres).await;
}

#[tokio::test]
async fn unknown_keys_do_not_hammer_the_directory_and_a_short_failure_is_bridged() {
    let (server, directory) = started(Kind::Sqlite).await;
    let token = |kid: &str, id: &str| {
        let mut claims = logout(&server, &directory, id);
        claims["sub"] = json!("nobody");
        directory.sign(&json!({ "alg": "EdDSA", "kid": kid }), &claims, &Signature::Own)
    };
    for number in 0..20 {
        log_out(&server, &token(&format!("made up {number}"), "x")).await.error(400);
    }
    assert_eq!(directory.keys_served(), 2);
    server.clock.advance(MINUTE);
    log_out(&server, &token("made up", "x")).await.error(400);
    assert_eq!(directory.keys_served(), 3);
    // Old keys count for a day while the directory is down.
    directory.set_down(true);
    server.clock.advance(23 * 60 * MINUTE);
    assert_eq!(log_out(&server, &token(KEY_ID, "a")).await.status.as_u16(), 200);
    server.clock.advance(60 * MINUTE);
    assert_eq!(log_out(&server, &token(KEY_ID, "b")).await.error(503), "DIRECTORY_UNAVAILABLE");
    assert_eq!(server.anybody().get("/auth/login").await.error(503), "DIRECTORY_UNAVAILABLE");
    // Once it is back it is asked again soon.
    directory.set_down(false);
    server.clock.advance(5 * 1000);
    assert_eq!(log_out(&server, &token(KEY_ID, "b")).await.status.as_u16(), 200);
    let gone = server.anybody().request(Method::GET, "/auth/callback").send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 400, "without anything");
    server.finish().await;
}
