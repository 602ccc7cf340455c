//! Signing in with a real directory: a certified OpenID provider that the tests start.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use parlour::clock::Clock;
use parlour::config::Config;
use parlour::model::principal::Role;
use parlour::model::secret::Secret;
use serde_json::{Value, json};

use crate::support::server::{Client, Kind, Server};
use crate::support::visitor::{Page, Visitor};

pub(crate) const SECRET: &str = "a secret of both, for tests only";

/// The provider as a process of its own; it ends when its input does.
pub(crate) struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) issuer: String,
}

impl Peer {
    pub(crate) fn start() -> Self {
        let place = Path::new("tests/peers");
        assert!(place.join("node_modules").is_dir(), "`make test` installs what the tests speak to");
        let mut command = Command::new("node");
        command.arg("oidc.mjs").current_dir(place).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the provider starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let issuer = lines.next().expect("a line").expect("text");
        Self { child, lines, issuer }
    }

    /// Tells it whom it serves, and who the people are.
    fn serve(&mut self, public_url: &str, people: &Value, claims_in_token: bool) {
        let told = json!({
            "public_url": public_url, "client_id": "parlour", "client_secret": SECRET, "people": people,
            "claims_in_token": claims_in_token,
        });
        writeln!(self.child.stdin.as_mut().expect("its input"), "{told}").expect("it reads");
        assert_eq!(self.lines.next().expect("a line").expect("text"), "ready");
    }

    /// Tells it that it serves programs, which may ask for tokens for this audience and another one.
    pub(crate) fn serve_programs(&mut self, public_url: &str, audience: &str) {
        let told = json!({
            "public_url": public_url, "client_id": "parlour", "client_secret": SECRET, "people": {},
            "programs": { "ids": ["billing"], "secret": SECRET, "audiences": [audience, "https://other.example/api"] },
        });
        writeln!(self.child.stdin.as_mut().expect("its input"), "{told}").expect("it reads");
        assert_eq!(self.lines.next().expect("a line").expect("text"), "ready");
    }

    /// Tells it that it serves a client that people sign in for.
    pub(crate) fn serve_credentials(&mut self, public_url: &str) {
        let told = json!({
            "public_url": public_url, "client_id": "parlour", "client_secret": SECRET, "people": people(),
            "credentials": { "id": "reports", "secret": SECRET },
        });
        writeln!(self.child.stdin.as_mut().expect("its input"), "{told}").expect("it reads");
        assert_eq!(self.lines.next().expect("a line").expect("text"), "ready");
    }

    /// A token that a program gets for itself.
    pub(crate) async fn program_token(&self, client_id: &str, audience: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("resource", audience)];
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let asked = http
            .post(format!("{}/token", self.issuer))
            .basic_auth(client_id, Some(SECRET.replace(' ', "+").replace(',', "%2C")));
        let answer = asked.form(&form).send().await.expect("it answers").text().await.expect("a body");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    fn settings(&self, config: &mut Config) {
        config.oidc.issuer.clone_from(&self.issuer);
        config.oidc.client_id = "parlour".to_owned();
        config.oidc.client_secret = Secret::new(SECRET);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn people() -> Value {
    json!({
        "ann": { "name": "Ann", "email": "ann@example.com", "roles": ["staff"], "groups": ["CN=sre,OU=x", "web"] },
        "bea": { "name": "Bea", "urn:example:roles": { "boss": { "1": "example.com" } } },
        "cid": { "name": "Cid", "realm": { "roles": "other, staff" } },
        "dan": { "name": "Dan", "roles": ["stranger"] },
    })
}

/// A server that signs in with a directory of its own, by the wall clock: the directory knows no other.
async fn started(kind: Kind, claims_in_token: bool, change: impl FnOnce(&mut Config)) -> (Server, Peer) {
    let mut peer = Peer::start();
    let server = Server::start_with(kind, |config| {
        peer.settings(config);
        config.oidc.role_map = [("staff", Role::User), ("boss", Role::Admin)].map(|(v, r)| (v.to_owned(), r)).into();
        change(config);
    })
    .await;
    server.clock.advance(Clock::system().now() - server.clock.now());
    peer.serve(&server.url, &people(), claims_in_token);
    (server, peer)
}

/// Goes through the directory's two forms, and back.
async fn sign_in(visitor: &mut Visitor, server: &Server, redirect: &str, login: &str) -> Page {
    let page = visitor.open(&format!("{}/auth/login?redirect={redirect}", server.url)).await;
    let page = visitor.submit(&page, &[("login", login), ("password", "any")]).await;
    visitor.submit(&page, &[]).await
}

/// The visitor as a client of the server's.
pub(crate) fn client(visitor: &Visitor, server: &Server) -> Client {
    let cookies = visitor.cookies(&server.url.parse().expect("an address"));
    server.anybody().with("cookie", &cookies).with("origin", &server.url)
}

async fn from_login_to_logout(kind: Kind) {
    let (server, peer) = started(kind, true, |_| {}).await;
    let providers = server.anybody().get("/auth/providers").await.expect(200);
    assert_eq!(providers, json!({ "providers": [{ "kind": "oidc", "login_url": "/auth/login" }] }));
    let mut visitor = Visitor::new();
    let page = sign_in(&mut visitor, &server, "/health?x=1", "ann").await;
    assert_eq!((page.url.as_str(), page.status.as_u16()), (format!("{}/health?x=1", server.url).as_str(), 200));
    let ann = client(&visitor, &server);
    let session = ann.get("/api/session").await.expect(200);
    let expected =
        json!({ "id": session["user_id"], "name": "Ann", "roles": ["user"], "groups": ["CN=sre,OU=x", "web"] });
    assert_eq!((&session["kind"], &session["user"]), (&json!("login"), &expected));
    let validity = ann.get("/auth/validate").await.expect(200);
    assert_eq!((&validity["valid"], &validity["user_id"]), (&json!(true), &session["user_id"]));

    // Signing in again is another session of the same person.
    let page = visitor.open(&format!("{}/auth/login", server.url)).await;
    assert_eq!(page.url.path(), "/", "the directory remembers: {}", page.text);
    let again = client(&visitor, &server);
    let second = again.get("/api/session").await.expect(200);
    assert_eq!(second["user_id"], session["user_id"]);
    assert_ne!(second["session_id"], session["session_id"]);

    // Logging out here leads to the logout there.
    let mut socket = again.socket().await;
    let out = again.post("/auth/logout", &json!({})).await.expect(200);
    assert_eq!(socket.closed().await, Some(4410));
    let place = out["end_session_url"].as_str().expect("a place to log out at");
    assert!(place.starts_with(&peer.issuer) && place.contains("id_token_hint="), "{place}");
    let page = visitor.open(place).await;
    // The directory tells of the end of what is left of its session: the first one here.
    let mut socket = ann.socket().await;
    let page = visitor.submit(&page, &[("logout", "yes")]).await;
    assert_eq!(page.url.as_str(), format!("{}/", server.url), "back here in the end");
    assert_eq!(socket.closed().await, Some(4410));
    assert_eq!(ann.get("/api/session").await.error(401), "UNAUTHORIZED");
    let page = visitor.open(&format!("{}/auth/login", server.url)).await;
    assert!(page.url.as_str().starts_with(&peer.issuer), "the directory asks again");
    server.finish().await;
}

#[tokio::test]
async fn from_login_to_logout_sqlite() {
    from_login_to_logout(Kind::Sqlite).await;
}

#[tokio::test]
async fn from_login_to_logout_postgres() {
    from_login_to_logout(Kind::Postgres).await;
}

#[tokio::test]
async fn roles_come_in_every_shape_and_from_userinfo() {
    for (pointer, login, in_token, role) in [
        ("/urn:example:roles", "bea", true, "admin"),
        ("/realm/roles", "cid", true, "user"),
        ("/urn:example:roles", "bea", false, "admin"),
        ("/roles", "ann", false, "user"),
    ] {
        let (server, _peer) =
            started(Kind::Sqlite, in_token, |config| pointer.clone_into(&mut config.oidc.roles_claim)).await;
        let mut visitor = Visitor::new();
        sign_in(&mut visitor, &server, "/", login).await;
        let session = client(&visitor, &server).get("/api/session").await.expect(200);
        assert_eq!(session["user"]["roles"], json!([role]), "{pointer}, in the token: {in_token}");
        let groups = people()[login]["groups"].clone();
        assert_eq!(session["user"]["groups"], if groups.is_null() { json!([]) } else { groups }, "{login}");
        server.finish().await;
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_role_and_the_server_needs_no_directory_to_start() {
    let (server, peer) = started(Kind::Sqlite, true, |_| {}).await;
    let mut visitor = Visitor::new();
    let page = sign_in(&mut visitor, &server, "/", "dan").await;
    assert_eq!(page.status.as_u16(), 403, "{}", page.text);
    assert!(page.text.contains("NO_ROLE"), "{}", page.text);
    assert_eq!(client(&visitor, &server).get("/api/session").await.error(401), "UNAUTHORIZED");
    drop(peer);

    let down = Server::start_with(Kind::Sqlite, |config| {
        config.oidc.issuer = "http://127.0.0.1:1".to_owned();
        config.oidc.client_id = "parlour".to_owned();
    })
    .await;
    down.anybody().get("/health").await.expect(200);
    let answer = down.anybody().get("/auth/login").await;
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.error(503), "DIRECTORY_UNAVAILABLE");
    let person = down.anybody().with("accept", "text/html").get("/auth/login").await;
    assert_eq!((person.status.as_u16(), &person.headers["location"]), (303, &"/?sign_in=unavailable".parse().unwrap()));
    // Links go on opening sessions, and a logout of theirs leads nowhere else.
    let out = down.browser().await.post("/auth/logout", &json!({})).await.expect(200);
    assert_eq!(out, json!({ "success": true }));
    down.finish().await;
    server.finish().await;
}
