//! Credentials that somebody signs in for, at a real provider whose refresh tokens are good once each.

use std::process::Command;
use std::time::Duration;

use parlour::clock::Clock;
use parlour::connector::{Call, Failure};
use parlour::model::principal::{Principal, Role};
use parlour::store::credential_token::Token;
use serde_json::{Value, json};

use crate::oidc::{self, Peer, SECRET};
use crate::support::peer::{self, Peer as Service};
use crate::support::server::{Client, Kind, Server, with_both_databases};
use crate::support::visitor::{Page, Visitor};

/// A person at a server, in a browser, and the provider they have an account at.
struct House {
    server: Server,
    provider: Peer,
    visitor: Visitor,
    person: Client,
    principal: Principal,
}

impl House {
    async fn start(kind: Kind) -> Self {
        let mut provider = Peer::start();
        let server = Server::start_with(kind, |config| config.rate_limits.enabled = false).await;
        provider.serve_credentials(&server.url);
        let (visitor, person, principal) = (Visitor::new(), server.anybody(), server.identity().operator());
        let mut house = Self { server, provider, visitor, person, principal };
        house.enter().await;
        let made = house.person.post("/api/v1/credentials", &house.credential("reports")).await.expect(201);
        assert_eq!(made["fields"]["client_id"], "reports");
        house
    }

    /// The person signs in here.
    async fn enter(&mut self) {
        self.visitor.open(&self.server.sign_in_link().await).await;
        self.person = oidc::client(&self.visitor, &self.server);
    }

    fn credential(&self, name: &str) -> Value {
        let issuer = &self.provider.issuer;
        json!({
            "name": name, "type": "authorization_code", "provider": "http",
            "data": {
                "authorize_url": format!("{issuer}/auth?prompt=consent"), "token_url": format!("{issuer}/token"),
                "client_id": "reports", "client_secret": SECRET, "scope": "openid offline_access",
            },
            "metadata": { "hosts": ["127.0.0.1"] },
        })
    }

    async fn standing(&self) -> Value {
        self.person.get("/api/v1/credentials/reports").await.expect(200)["signIn"].clone()
    }

    /// The page that leads to the provider, and the address it leads to.
    async fn page(&mut self) -> (Page, String) {
        let url = self.standing().await["url"].as_str().expect("an address").to_owned();
        let page = self.visitor.open(&url).await;
        let link = page.text.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let link = link.replace("&amp;", "&");
        (page, link)
    }

    /// Goes to the provider, through its forms, and back.
    async fn sign_in(&mut self, login: &str) -> Page {
        let (page, link) = self.page().await;
        assert!(link.starts_with(&self.provider.issuer), "{}", page.text);
        let mut page = self.visitor.open(&link).await;
        if page.text.contains("name=\"login\"") {
            page = self.visitor.submit(&page, &[("login", login), ("password", "any")]).await;
        }
        self.visitor.submit(&page, &[]).await
    }

    async fn who(&self) -> Result<Value, Failure> {
        who(&self.server, &self.principal, &self.provider.issuer).await
    }

    /// Asks the provider something that only tests ask.
    async fn ask(&self, what: &str) -> Value {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = http.get(format!("{}/test/{what}", self.provider.issuer)).send().await.expect("it answers");
        serde_json::from_str(&answer.text().await.expect("text")).unwrap_or_default()
    }

    /// How often tokens were renewed, and how often that was refused.
    async fn renewals(&self) -> (u64, u64) {
        let counts = self.ask("counts").await;
        let count = |what: &str| counts[format!("refresh_token {what}")].as_u64().unwrap_or_default();
        (count("granted"), count("refused"))
    }

    /// Goes on to where the token has nearly ended, as far as the server knows.
    fn wait_for_the_end(&self) {
        self.server.clock.advance(60 * 60 * 1000 - 30_000);
    }

    /// Lets the token look as if it had ended long ago, by any clock.
    async fn age_token(&self) {
        let credential = self.person.get("/api/v1/credentials/reports").await.expect(200)["id"].clone();
        let (id, now) = (credential.as_str().expect("an id"), self.server.clock.now());
        let store = self.server.store();
        let state = store.token_state(id).await.expect("the store answers").expect("it is signed in for");
        let sealed = store.sealed(&format!("credential:{id}"), "token").await.expect("the store answers");
        assert!(store.lease_token(state, "a test", now, now + 1).await.expect("the store answers"));
        let sealed = sealed.expect("a token");
        let token = Token { credential: id.to_owned(), sealed, expires_at: Some(1), renew_at: Some(1) };
        assert!(store.keep_next_token(token, "a test").await.expect("the store answers"));
    }

    async fn audit(&self, action: &str) -> Vec<Value> {
        let page = self.person.get(&format!("/api/admin/audit?action={action}")).await.expect(200);
        page["entries"].as_array().expect("entries").clone()
    }

    async fn has_sealed_token(&self) -> bool {
        let id = self.person.get("/api/v1/credentials/reports").await.expect(200)["id"].clone();
        let owner = format!("credential:{}", id.as_str().expect("an id"));
        self.server.store().sealed(&owner, "token").await.expect("the store answers").is_some()
    }
}

/// Asks the provider who the credential acts as there.
async fn who(server: &Server, principal: &Principal, issuer: &str) -> Result<Value, Failure> {
    let call = Call {
        connector: "http",
        action: "request",
        input: json!({ "url": format!("{issuer}/me") }),
        credential: Some("reports"),
        principal,
        idempotency_key: "the-same-key-for-each-attempt",
        timeout: Duration::from_secs(20),
    };
    Ok(server.connectors().call(call).await?["body"]["sub"].clone())
}

with_both_databases!(
    somebody_signs_in_and_the_token_is_renewed,
    a_token_that_was_taken_back_is_renewed_once_or_asks_for_a_sign_in,
    a_changed_or_deleted_credential_keeps_no_token,
    a_sign_in_comes_back_once_to_who_began_it,
    a_step_says_where_to_sign_in_and_goes_on_after_it,
    a_crash_while_a_token_is_renewed_loses_no_credential,
);

async fn somebody_signs_in_and_the_token_is_renewed(kind: Kind) {
    let mut house = House::start(kind).await;
    let standing = house.standing().await;
    assert_eq!(
        (&standing["status"], &standing["reason"]),
        (&json!("needs_sign_in"), &json!("nobody has signed in yet"))
    );
    let list = house.person.get("/api/v1/credentials").await.expect(200);
    assert_eq!(list[0]["signIn"], standing);
    let refused = house.who().await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.retryable), ("credential_needs_sign_in", false));
    let url = standing["url"].as_str().unwrap();
    assert!(refused.message.contains("'reports'") && refused.message.contains(url), "{}", refused.message);

    let (page, link) = house.page().await;
    assert!(
        page.text.contains("<strong>reports</strong>") && page.text.contains("Continue to HTTP (127.0.0.1)"),
        "{}",
        page.text
    );
    for part in ["code_challenge_method=S256", "code_challenge=", "state=", "prompt=consent", "oauth2%2Fcallback"] {
        assert!(link.contains(part), "{part} is not in {link}");
    }
    let page = house.sign_in("ann").await;
    assert_eq!(page.status.as_u16(), 200, "{}", page.text);
    assert!(page.url.path() == "/oauth2/callback" && page.text.contains("Signed in to HTTP"), "{}", page.text);
    assert_eq!(house.who().await.unwrap(), "ann");
    let shown = house.person.get("/api/v1/credentials/reports").await;
    assert!(!shown.text.contains("access_token") && !shown.text.contains("refresh_token"), "{}", shown.text);
    let standing = shown.expect(200)["signIn"].clone();
    assert_eq!((&standing["status"], &standing["reason"]), (&json!("valid"), &Value::Null));
    assert_eq!(standing["signedInBy"], house.principal.name.as_str());
    assert!(standing["signedInAt"].is_string() && standing["tokenExpiresAt"].is_string(), "{standing}");
    assert_eq!(house.audit("credential.sign_in").await.len(), 1);
    // Opened for the page twice, for the way back, and for each call, whether or not it came to anything.
    let opened = house.audit("credential.open").await;
    let for_what = |action: &str| opened.iter().filter(|row| row["details"]["action"] == action).count();
    assert_eq!((for_what("sign_in"), for_what("request")), (3, 2), "{opened:?}");

    // Near its end it is renewed, and by one alone: of this server and of another one.
    house.wait_for_the_end();
    assert_eq!(house.renewals().await, (0, 0));
    let beside = match kind {
        Kind::Sqlite => None,
        Kind::Postgres => Some(house.server.beside().await),
    };
    let calls = (0..8).map(|n| {
        let server = beside.as_ref().filter(|_| n % 2 == 0).unwrap_or(&house.server);
        who(server, &house.principal, &house.provider.issuer)
    });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap(), "ann");
    }
    assert_eq!(house.renewals().await, (1, 0), "one renewal for all of them");
    // What came with it is good for the next one, whoever gets that.
    house.wait_for_the_end();
    let server = beside.as_ref().unwrap_or(&house.server);
    assert_eq!(who(server, &house.principal, &house.provider.issuer).await.unwrap(), "ann");
    assert_eq!(house.renewals().await, (2, 0));
    // New keys for the vault open the same tokens.
    let rotated = program(&house.server, &["vault", "rotate"]).output().unwrap();
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    house.wait_for_the_end();
    assert_eq!(house.who().await.unwrap(), "ann");
    assert_eq!(house.renewals().await, (3, 0));
    // Somebody else may sign in instead.
    house.visitor.forget(&house.provider.issuer);
    house.sign_in("bea").await;
    assert_eq!(house.who().await.unwrap(), "bea");
    if let Some(beside) = beside {
        assert_eq!(who(&beside, &house.principal, &house.provider.issuer).await.unwrap(), "bea");
        beside.finish().await;
    }
    house.server.finish().await;
}

fn program(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
    command.args(arguments).arg("--data").arg(server.data());
    if !server.database().is_empty() {
        command.arg(format!("--database={}", server.database()));
    }
    command
}

async fn a_token_that_was_taken_back_is_renewed_once_or_asks_for_a_sign_in(kind: Kind) {
    let mut house = House::start(kind).await;
    house.sign_in("ann").await;
    house.ask("forget-access").await;
    assert_eq!(house.who().await.unwrap(), "ann", "with another token");
    assert_eq!(house.renewals().await, (1, 0));
    // The service refuses, and there is nothing to try any more.
    house.ask("forget-access").await;
    house.ask("forget-refresh").await;
    let refused = house.who().await.unwrap_err();
    assert_eq!(refused.code, "credential_needs_sign_in");
    assert!(refused.message.contains("HTTP answered 400: grant request is invalid"), "{}", refused.message);
    assert_eq!(house.renewals().await, (1, 1));
    let again = house.who().await.unwrap_err();
    assert_eq!((again.message, house.renewals().await), (refused.message, (1, 1)), "it is not asked again");
    assert!(!house.has_sealed_token().await);
    let standing = house.standing().await;
    assert_eq!(standing["status"], "needs_sign_in");
    assert_eq!(house.audit("credential.sign_in_lost").await.len(), 1);
    house.sign_in("ann").await;
    assert_eq!(house.who().await.unwrap(), "ann");
    // A provider that is away says nothing about the token.
    house.wait_for_the_end();
    house.server.clock.advance(60_000);
    let House { server, provider, principal, .. } = house;
    let issuer = provider.issuer.clone();
    drop(provider);
    let failure = who(&server, &principal, &issuer).await.unwrap_err();
    assert!(failure.retryable && !failure.uncertain && failure.message.contains("no access token"), "{failure:?}");
    server.finish().await;
}

async fn a_changed_or_deleted_credential_keeps_no_token(kind: Kind) {
    let mut house = House::start(kind).await;
    house.sign_in("ann").await;
    let path = "/api/v1/credentials/reports";
    house.person.put(path, &json!({ "description": "of the month" })).await.expect(200);
    assert_eq!(house.who().await.unwrap(), "ann", "its data stayed");
    // Somebody gets the next token while the data is changed: what they get is of the old data.
    let credential = house.person.get(path).await.expect(200)["id"].as_str().unwrap().to_owned();
    let store = house.server.store();
    let now = house.server.clock.now();
    let state = store.token_state(&credential).await.unwrap().unwrap();
    let sealed = store.sealed(&format!("credential:{credential}"), "token").await.unwrap().unwrap();
    assert!(store.lease_token(state.clone(), "mine", now, now + 60_000).await.unwrap());
    assert!(!store.lease_token(state, "other", now, now + 60_000).await.unwrap(), "one at a time");
    let changed = house.person.put(path, &json!({ "data": house.credential("reports")["data"] })).await.expect(200);
    assert_eq!(changed["signIn"]["status"], "needs_sign_in");
    let token = Token { credential: credential.clone(), sealed, expires_at: None, renew_at: None };
    assert!(!store.keep_next_token(token, "mine").await.unwrap());
    assert!(!house.has_sealed_token().await);
    assert_eq!(house.who().await.unwrap_err().code, "credential_needs_sign_in");
    // The same for somebody who is at the provider meanwhile.
    let (_, link) = house.page().await;
    house.person.put(path, &json!({ "data": house.credential("reports")["data"] })).await.expect(200);
    let page = house.visitor.open(&link).await;
    let page = house.visitor.submit(&page, &[]).await;
    assert!(page.status.as_u16() == 400 && page.text.contains("SIGN_IN_EXPIRED"), "{}", page.text);
    assert!(!house.has_sealed_token().await);

    house.sign_in("ann").await;
    assert!(house.has_sealed_token().await);
    house.person.delete(path).await.expect(200);
    let store = house.server.store();
    for field in ["data", "token"] {
        assert!(store.sealed(&format!("credential:{credential}"), field).await.unwrap().is_none(), "{field}");
    }
    assert!(store.token_state(&credential).await.unwrap().is_none());
    house.server.finish().await;
}

async fn a_sign_in_comes_back_once_to_who_began_it(kind: Kind) {
    let mut house = House::start(kind).await;
    let (_, link) = house.page().await;
    let state = |link: &str| {
        let url: reqwest::Url = link.parse().expect("an address");
        let state = url.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
        format!("/oauth2/callback?state={state}")
    };
    let back = state(&link);
    // Whoever else brings the state: another administrator's browser, a key, nobody.
    let other = house.server.person("Bob", &[Role::Admin], &[]).await;
    let key = house.server.program(Role::Admin).await;
    for client in [&other, &key] {
        assert_eq!(client.get(&format!("{back}&code=x")).await.error(400), "SIGN_IN_EXPIRED");
    }
    assert_eq!(house.server.anybody().get(&format!("{back}&code=x")).await.error(401), "UNAUTHORIZED");
    // What the provider says is shown as text, once.
    let denied = format!("{back}&error=access_denied&error_description=Ann+said+%3Cb%3Eno%3C%2Fb%3E");
    let reader = house.person.with("accept", "text/html");
    let page = reader.get(&denied).await;
    assert_eq!(page.status.as_u16(), 400);
    assert!(page.text.contains("HTTP did not agree: Ann said &lt;b&gt;no&lt;/b&gt;."), "{}", page.text);
    assert!(reader.get(&denied).await.text.contains("begin it again"));
    assert_eq!(house.person.get(&back).await.error(400), "SIGN_IN_EXPIRED");
    // A code that is none, and one that comes too late.
    let (_, link) = house.page().await;
    let wrong = house.person.get(&format!("{}&code=nonsense", state(&link))).await;
    assert!(wrong.text.contains("HTTP answered 400: grant request is invalid"), "{}", wrong.text);
    assert_eq!(wrong.error(400), "SIGN_IN_REFUSED");
    let (_, link) = house.page().await;
    house.server.clock.advance(11 * 60 * 1000);
    assert_eq!(house.person.get(&format!("{}&code=x", state(&link))).await.error(400), "SIGN_IN_EXPIRED");
    assert!(!house.has_sealed_token().await);
    // One that is used again leaves what it brought.
    let page = house.sign_in("ann").await;
    assert_eq!(house.visitor.open(page.url.as_str()).await.status.as_u16(), 400);
    assert_eq!(house.who().await.unwrap(), "ann");

    // The page is for who may change the credential, in a browser.
    let id = house.person.get("/api/v1/credentials/reports").await.expect(200)["id"].as_str().unwrap().to_owned();
    let place = format!("/credentials/{id}/sign-in");
    let page = house.server.anybody().get(&place).await;
    assert!(page.status.as_u16() == 401 && page.text.contains("Sign in first"), "{}", page.text);
    key.get(&place).await.expect(403);
    let user = house.server.person("Cid", &[Role::User], &[]).await;
    assert_eq!(user.get(&place).await.error(404), "CREDENTIAL_NOT_FOUND");
    let grant = json!({
        "effect": "allow", "subject": "role:user", "verbs": ["view", "invoke"], "kind": "credential", "name": "reports"
    });
    house.person.post("/api/grants", &grant).await.expect(201);
    user.get(&place).await.expect(403);
    // Where nobody signs in, and where Slack is asked in its own way.
    let data = json!({ "bot_token": "xoxb-123456" });
    let body = json!({ "name": "held", "type": "oauth", "provider": "slack", "data": data });
    assert_eq!(house.person.post("/api/v1/credentials", &body).await.expect(201)["signIn"], Value::Null);
    assert_eq!(house.person.get("/credentials/held/sign-in").await.error(409), "NO_SIGN_IN");
    let data = json!({ "client_id": "1.2", "client_secret": "of the app" });
    let body = json!({ "name": "slack", "type": "oauth", "provider": "slack", "data": data });
    assert_eq!(house.person.post("/api/v1/credentials", &body).await.expect(201)["signIn"]["status"], "needs_sign_in");
    let page = house.person.get("/credentials/slack/sign-in").await.text;
    assert!(page.contains("https://slack.com/oauth/v2/authorize?response_type=code&amp;client_id=1.2"), "{page}");
    assert!(page.contains("scope=chat%3Awrite%2Creactions%3Awrite") && !page.contains("code_challenge"), "{page}");
    house.server.finish().await;
}

/// Waits until a run is at a status.
async fn run_is(client: &Client, id: &str, status: &str) -> Value {
    let mut socket = client.watch_runs(Some(0)).await;
    loop {
        let run = client.get(&format!("/api/executions/{id}")).await.expect(200);
        if run["status"] == status {
            return run;
        }
        socket.next().await;
    }
}

async fn a_step_says_where_to_sign_in_and_goes_on_after_it(kind: Kind) {
    let mut house = House::start(kind).await;
    let where_to = format!("{}/me", house.provider.issuer);
    let body = json!({ "playbook_path": "signed.yaml", "parameters": { "where": where_to, "account": "reports" } });
    let started = house.person.post("/api/executions", &body).await.expect(200);
    let id = started["execution_id"].as_str().unwrap().to_owned();
    let watcher = house.server.program(Role::Admin).await;
    let run = run_is(&watcher, &id, "failed").await;
    let url = house.standing().await["url"].clone();
    let error = run["step_results"][0]["error"].to_string();
    assert!(error.contains("'reports'") && error.contains(url.as_str().unwrap()), "{run}");
    house.sign_in("ann").await;
    house.person.post(&format!("/api/executions/{id}/retry"), &json!({ "from_step": "me" })).await.expect(200);
    let run = run_is(&watcher, &id, "completed").await;
    assert!(run["step_results"][0].to_string().contains("\"sub\":\"ann\""), "{run}");
    house.server.finish().await;
}

/// The credential is used by a program of its own, which dies at a place. Its clock is that of the wall.
fn call(house: &House, point: &str) -> std::process::Output {
    let input = json!({ "url": format!("{}/me", house.provider.issuer) }).to_string();
    let test = ["connector", "test", "http", "request", "--credential", "reports", "--input", &input];
    let mut command = program(&house.server, &test);
    command.env("PARLOUR_FETCH__ALLOW_PRIVATE", "[\"127.0.0.0/8\"]").env("PARLOUR_CRASH_POINT", format!("{point}:1"));
    command.output().unwrap()
}

async fn a_crash_while_a_token_is_renewed_loses_no_credential(kind: Kind) {
    let mut house = House::start(kind).await;
    house.sign_in("ann").await;
    // By the clock of the wall the token ended long ago.
    assert!(!call(&house, "token.asking").status.success());
    assert_eq!(house.renewals().await, (0, 0));
    // Nobody takes a lease that somebody has; when it lapses, the token is asked for again.
    house.server.clock.advance(Clock::system().now() + 2 * 60 * 1000 - house.server.clock.now());
    house.enter().await;
    assert_eq!(house.who().await.unwrap(), "ann");
    assert_eq!(house.renewals().await, (1, 0));
    // Kept: nothing is lost at all. The new token is good yet by either clock, so it is made to look old.
    house.age_token().await;
    assert!(!call(&house, "token.kept").status.success());
    assert_eq!(house.renewals().await, (2, 0));
    assert_eq!(house.who().await.unwrap(), "ann");
    house.age_token().await;
    assert!(!call(&house, "token.answered").status.success(), "it dies with the only token that the provider takes");
    assert_eq!(house.renewals().await, (3, 0));
    house.server.clock.advance(2 * 60 * 1000);
    let refused = house.who().await.unwrap_err();
    assert_eq!(refused.code, "credential_needs_sign_in");
    assert!(refused.message.contains("the server stopped while it renewed the token"), "{}", refused.message);
    assert_eq!(house.standing().await["status"], "needs_sign_in");
    // The command line says where to go.
    let list =
        program(&house.server, &["credential", "list"]).env("PARLOUR_PUBLIC_URL", &house.server.url).output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let url = house.standing().await["url"].as_str().unwrap().to_owned();
    assert!(list.contains("needs sign-in: the server stopped") && list.trim_end().ends_with(&url), "{list}");
    house.sign_in("ann").await;
    assert_eq!(house.who().await.unwrap(), "ann");
    house.server.finish().await;
}

#[tokio::test]
async fn a_manifest_says_how_its_service_is_signed_in_to() {
    let service = Service::start(|heard, _| match (heard.path.as_str(), heard.body.contains("code=good")) {
        ("/token", true) => {
            peer::json(200, &json!({ "ok": true, "access_token": "granted-token", "token_type": "bot" }))
        }
        ("/token", false) => peer::json(200, &json!({ "ok": false, "error": "invalid_code" })),
        _ => peer::json(200, &json!({ "ok": true, "echo": heard.header("authorization") })),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let manifest = format!(
        "apiVersion: connector/v1\nkind: Connector\nmetadata: {{type: desk, name: Desk, version: 1.0.0, description: A desk}}\n\
         auth:\n  - id: oauth\n    kind: oauth2\n    fields: {{token: {{secret: true, required: true}}, client_id: {{}}, client_secret: {{secret: true}}}}\n    \
         oauth2: {{grant: authorization_code, authorize_url: \"{url}/authorize\", token_url: \"{url}/token\", client_auth: basic, \
         pkce: false, token_field: token}}\n    \
         apply: {{header: {{Authorization: \"Bearer {{{{ secret.token }}}}\"}}}}\n\
         http: {{base_url: \"{url}\"}}\n\
         actions:\n  ping: {{description: Says who asks, effect: pure, request: {{method: GET, path: /ping}}}}\n",
        url = service.url
    );
    std::fs::write(folder.path().join("desk.yaml"), manifest).unwrap();
    let place = folder.path().to_owned();
    let server = Server::start_with(Kind::Sqlite, |config| config.connector_dirs.push(place)).await;
    let (person, principal) = (server.browser().await, server.identity().operator());
    let body = |data: Value| json!({ "name": "desk", "type": "oauth", "provider": "desk", "data": data });
    let refused = person.post("/api/v1/credentials", &body(json!({}))).await.expect(400);
    assert_eq!(refused["details"]["field"], "data.token");
    let data = json!({ "client_id": "a:b", "client_secret": "hunter22" });
    person.post("/api/v1/credentials", &body(data)).await.expect(201);
    let begin = || async {
        let page = person.get("/credentials/desk/sign-in").await.text;
        assert!(!page.contains("code_challenge") && !page.contains("scope="), "{page}");
        page.split("state=").nth(1).and_then(|rest| rest.split('"').next()).expect("a state").to_owned()
    };
    let state = begin().await;
    let wrong = person.get(&format!("/oauth2/callback?state={state}&code=bad")).await;
    assert!(wrong.text.contains("Desk answered 200: invalid_code"), "{}", wrong.text);
    let state = begin().await;
    let page = person.get(&format!("/oauth2/callback?state={state}&code=good")).await;
    assert!(page.status.as_u16() == 200 && page.text.contains("Signed in to Desk"), "{}", page.text);
    let heard = service.last();
    // `a:b` and the secret, each encoded for itself.
    assert_eq!(heard.header("authorization"), "Basic YSUzQWI6aHVudGVyMjI=");
    assert!(!heard.body.contains("client_secret") && !heard.body.contains("code_verifier"), "{}", heard.body);
    assert!(
        heard.body.contains("redirect_uri=") && heard.body.contains("grant_type=authorization_code"),
        "{}",
        heard.body
    );
    // Without an end it is good until the service says otherwise.
    server.clock.advance(400 * 24 * 60 * 60 * 1000);
    let call = Call {
        connector: "desk",
        action: "ping",
        input: Value::Null,
        credential: Some("desk"),
        principal: &principal,
        idempotency_key: "k",
        timeout: Duration::from_secs(10),
    };
    let answer = server.connectors().call(call).await.unwrap();
    assert_eq!(answer["echo"], "Bearer [secret]", "it was sent, and does not come back out");
    assert_eq!(service.last().header("authorization"), "Bearer granted-token");
    server.finish().await;
}
