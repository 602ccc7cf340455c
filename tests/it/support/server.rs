//! A real server over a real database, and clients that speak to it as programs and browsers do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use parlour::app::{self, Running};
use parlour::clock::Clock;
use parlour::config::{Config, Overrides};
use parlour::identity::token::{self, TokenKind};
use parlour::model::id::new_id;
use parlour::model::principal::{Principal, PrincipalKind, Rights, Role};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::postgres;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Runs each of these `async fn(Server)` on SQLite and on PostgreSQL, and ends each with [`Server::finish`].
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                $crate::support::server::run($crate::support::server::Kind::Sqlite, super::$name).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                $crate::support::server::run($crate::support::server::Kind::Postgres, super::$name).await;
            })*
        }
    };
}
pub(crate) use on_both_databases;

/// Runs each of these `async fn(Kind)`, which start servers of their own, on SQLite and on PostgreSQL.
macro_rules! with_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                Box::pin(super::$name($crate::support::server::Kind::Sqlite)).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                Box::pin(super::$name($crate::support::server::Kind::Postgres)).await;
            })*
        }
    };
}
pub(crate) use with_both_databases;

/// Starts a server, runs the test with it, and checks that nothing was left behind.
pub(crate) async fn run<F, R>(kind: Kind, test: F)
where
    F: FnOnce(std::sync::Arc<Server>) -> R,
    R: Future<Output = ()>,
{
    let server = std::sync::Arc::new(Server::start(kind).await);
    test(server.clone()).await;
    let server = std::sync::Arc::into_inner(server).expect("the test gave its server back");
    server.finish().await;
}

pub(crate) struct Server {
    running: Running,
    pub(crate) url: String,
    /// A copy of the shipped bots, to be changed at will.
    pub(crate) bots: PathBuf,
    pub(crate) clock: Clock,
    config: Config,
    folder: tempfile::TempDir,
    _database: Option<postgres::Database>,
}

impl Server {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, |config| {
            // The clock stands still, so what is counted by time would only ever fill.
            config.ws.frames_per_second = 0;
            config.ws.refused_per_second = 0;
            config.rate_limits.enabled = false;
        })
        .await
    }

    /// The same with other settings; the limits are the shipped ones.
    pub(crate) async fn start_with(kind: Kind, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(Clock::fixed(1_790_000_000_000), kind, change).await
    }

    /// The same by another clock, such as that of the wall.
    pub(crate) async fn start_by(clock: Clock, kind: Kind, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let bots = folder.path().join("bots");
        copy(Path::new("bots"), &bots);
        copy(Path::new("tests/fixtures/serving"), &bots);
        copy(Path::new("tests/fixtures/playbooks"), &folder.path().join("playbooks"));
        let database = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(postgres::Database::create().await),
        };
        let overrides = Overrides {
            listen: Some("127.0.0.1:0".to_owned()),
            data: Some(folder.path().join("data")),
            database: database.as_ref().map(|database| database.url.clone()),
            bots: vec![bots.clone()],
            playbooks: vec![folder.path().join("playbooks")],
            ..Overrides::default()
        };
        let mut config = Config::load(None, &overrides).expect("the settings are good");
        // Services of a test are on this machine, and the program that runs scripts is not the test.
        config.fetch.allow_private = vec!["127.0.0.0/8".parse().expect("a network")];
        config.flows.script_program = PathBuf::from(env!("CARGO_BIN_EXE_parlour"));
        change(&mut config);
        // Small enough for a test to reach them.
        config.files.max_size = 1024 * 1024;
        config.files.quota = 3 * 1024 * 1024;
        let running = app::start(&config, clock.clone()).await.expect("the server starts");
        let url = running.public_url.clone();
        Self { running, url, bots, clock, config, folder, _database: database }
    }

    /// Another server on the same PostgreSQL database, with the same settings and clock.
    pub(crate) async fn beside(&self) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let mut config = self.config.clone();
        config.data = folder.path().join("data");
        // Servers on one database open what the others sealed.
        config.vault.key_file = self.config.data.join("vault.key");
        let running = app::start(&config, self.clock.clone()).await.expect("the server starts");
        let url = running.public_url.clone();
        let (bots, clock) = (self.bots.clone(), self.clock.clone());
        Self { running, url, bots, clock, config, folder, _database: None }
    }

    /// Stops the server and tries to start it again.
    pub(crate) async fn try_restart(self) -> anyhow::Result<Running> {
        let Self { running, config, clock, folder: _folder, .. } = self;
        running.stop().await;
        app::start(&config, clock).await
    }

    /// Tries to start another server on the same database file.
    pub(crate) async fn try_beside(&self) -> anyhow::Result<Running> {
        app::start(&self.config, self.clock.clone()).await
    }

    /// The address of its database.
    pub(crate) fn database(&self) -> &str {
        &self.config.database
    }

    /// Stops the server and starts it again with what it kept. It has another address.
    pub(crate) async fn restart(self) -> Self {
        let Self { running, config, clock, .. } = self;
        running.stop().await;
        let running = app::start(&config, clock.clone()).await.expect("the server starts again");
        let url = running.public_url.clone();
        Self { running, url, config, clock, ..self }
    }

    /// The folder with everything it keeps.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn hub(&self) -> &parlour::chat::Hub {
        &self.running.hub
    }

    /// Stops the server; a run that has not ended is a fault of the test or of the server.
    pub(crate) async fn finish(self) {
        let runs = self.running.store.recent_executions(None, 1000).await.expect("the store answers");
        let open: Vec<_> = runs.iter().filter(|run| !run.status.is_final()).map(|run| &run.command).collect();
        assert!(open.is_empty(), "runs were left behind: {open:?}");
        self.running.stop().await;
    }

    pub(crate) fn connectors(&self) -> &std::sync::Arc<parlour::connector::Connectors> {
        &self.running.connectors
    }

    /// Who a client is.
    pub(crate) async fn principal(&self, client: &Client) -> parlour::model::principal::Principal {
        let header = client.headers.iter().find(|(name, _)| *name == "authorization").expect("a program");
        let token = header.1.strip_prefix("Bearer ").expect("a token");
        let caller = self.running.identity.authenticate(token).await.expect("a key that counts");
        (*caller.principal).clone()
    }

    pub(crate) fn identity(&self) -> &parlour::identity::Identity {
        &self.running.identity
    }

    /// Where it listens, whatever people type.
    pub(crate) fn listening(&self) -> String {
        format!("http://{}", self.running.address)
    }

    pub(crate) fn engine(&self) -> &parlour::engine::Engine {
        &self.running.engine
    }

    pub(crate) fn store(&self) -> &parlour::store::Store {
        &self.running.store
    }

    /// Reads the bots again now, instead of when the watcher has seen the change.
    pub(crate) async fn reload(&self) {
        let engine = self.running.engine.clone();
        tokio::task::spawn_blocking(move || engine.registry().reload()).await.expect("the bots are read");
    }

    pub(crate) async fn sign_in_link(&self) -> String {
        self.running.sign_in_link().await.expect("a sign-in link")
    }

    /// A program with an API key of this role.
    pub(crate) async fn program(&self, role: Role) -> Client {
        self.program_in(role, &[]).await
    }

    /// A program with an API key of this role and these groups.
    pub(crate) async fn program_in(&self, role: Role, groups: &[&str]) -> Client {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let key =
            self.running.identity.create_key(role.as_str(), role, groups, Vec::new(), None).await.expect("a key").0;
        Client { headers: vec![("authorization", format!("Bearer {key}"))], ..self.anybody() }
    }

    /// A program whose API key expires at a time.
    pub(crate) async fn program_until(&self, at: i64) -> Client {
        let key = self.running.identity.create_key("short", Role::User, Vec::new(), Vec::new(), Some(at)).await;
        Client { headers: vec![("authorization", format!("Bearer {}", key.expect("a key").0))], ..self.anybody() }
    }

    /// A process elsewhere, with a key that was made to serve these bots.
    pub(crate) async fn process(&self, bots: &[&str]) -> Client {
        let serves = bots.iter().map(|bot| (*bot).to_owned()).collect();
        let key = self.running.identity.create_key("process", Role::Executor, Vec::new(), serves, None).await;
        Client { headers: vec![("authorization", format!("Bearer {}", key.expect("a key").0))], ..self.anybody() }
    }

    /// Somebody without a credential.
    pub(crate) fn anybody(&self) -> Client {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Client { http, url: self.url.clone(), headers: Vec::new() }
    }

    /// A browser of another user than the administrator.
    pub(crate) async fn person(&self, name: &str, roles: &[Role], groups: &[&str]) -> Client {
        let user = Principal {
            id: new_id(),
            kind: PrincipalKind::User,
            name: name.to_owned(),
            roles: roles.to_vec(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            serves: Vec::new(),
            rights: Rights::default(),
        };
        let link = token::make(TokenKind::SignInLink).expect("a token");
        let now = self.clock.now();
        self.store().invite_user(user, token::hash(&link), now, now + 60_000).await.expect("a user");
        self.browser_by(&format!("{}/auth/local?token={link}", self.url)).await
    }

    /// A browser that followed a sign-in link: it sends its cookie and its origin.
    pub(crate) async fn browser(&self) -> Client {
        let link = self.sign_in_link().await;
        self.browser_by(&link).await
    }

    async fn browser_by(&self, link: &str) -> Client {
        let answer = self.anybody().http.get(link).send().await.expect("the link answers");
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = answer.headers()["set-cookie"].to_str().expect("a cookie").split(';').next().unwrap_or_default();
        let headers = vec![("cookie", cookie.to_owned()), ("origin", self.url.clone())];
        Client { headers, ..self.anybody() }
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder to copy") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file is copied");
        }
    }
}

/// Somebody who speaks HTTP to a server.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) url: String,
    headers: Vec<(&'static str, String)>,
}

/// An answer: its status, and its body as JSON when it is JSON.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// The body without the request's id, which is another one each time: to compare two refusals.
    pub(crate) fn told(&self) -> String {
        let mut body = self.json();
        if let Some(error) = body["error"].as_object_mut() {
            assert!(error.remove("request_id").is_some(), "{}", self.text);
        }
        body.to_string()
    }

    /// The body, after checking the status.
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    /// The code of an error in the general envelope, after checking the status.
    pub(crate) fn error(self, status: u16) -> String {
        self.expect(status)["error"]["code"].as_str().expect("an error code").to_owned()
    }
}

impl Client {
    /// A program with a key, for a server of another process.
    pub(crate) fn with_key(url: &str, key: &str) -> Self {
        let http = reqwest::Client::builder().build().expect("a client");
        Self { http, url: url.to_owned(), headers: vec![("authorization", format!("Bearer {key}"))] }
    }

    /// The same, speaking to a server that has started again.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self { url: server.url.clone(), ..self.clone() }
    }

    /// The same, speaking to another address.
    pub(crate) fn at_url(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The same with another header.
    pub(crate) fn with(&self, name: &'static str, value: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value.to_owned()));
        Self { headers, ..self.clone() }
    }

    pub(crate) fn without(&self, name: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.retain(|(known, _)| *known != name);
        Self { headers, ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        self.headers.iter().fold(self.http.request(method, url), |request, (name, value)| request.header(*name, value))
    }

    async fn send(request: reqwest::RequestBuilder) -> Answer {
        let answer = request.timeout(Duration::from_secs(30)).send().await.expect("the server answers");
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.expect("a body") }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Self::send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn options(&self, path: &str) -> Answer {
        Self::send(self.request(Method::OPTIONS, path)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        Self::send(self.request(Method::PATCH, path).json(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Self::send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        Self::send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn post_text(&self, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
        Self::send(self.request(Method::POST, path).header("content-type", kind).body(body)).await
    }

    /// Opens a conversation with a bot; answers its id.
    pub(crate) async fn open(&self, bot: &str) -> String {
        let session = self.post("/api/session/create", &json!({ "bot_id": bot })).await.expect(201);
        session["session_id"].as_str().expect("an id").to_owned()
    }

    /// Says something and answers the reply: the first message after it, rewritten earlier ones passed over.
    pub(crate) async fn say(&self, session: &str, content: &str) -> Value {
        let receipt =
            self.post(&format!("/api/session/{session}/messages"), &json!({ "content": content })).await.expect(201);
        let page =
            self.get(&format!("/api/session/{session}/events?after={}&wait=10", receipt["seq"])).await.expect(200);
        let events = page["events"].as_array().expect("events");
        events.iter().find(|event| event["type"] == "message").expect("an answer").clone()
    }

    /// Opens a web socket of our own protocol and reads its hello.
    pub(crate) async fn socket(&self) -> Socket {
        let mut socket = self.raw_socket(Some("parlour.v1")).await.expect("the socket opens");
        let hello = socket.next().await;
        assert_eq!(hello["type"], "hello", "{hello}");
        socket
    }

    /// The described form of the server's frames.
    pub(crate) async fn frames(&self) -> jsonschema::Validator {
        let mut schema = self.get("/ws/schema").await.expect(200);
        schema.as_object_mut().expect("a schema").remove("oneOf");
        schema["$ref"] = json!("#/$defs/server");
        jsonschema::validator_for(&schema).expect("the schema is one")
    }

    /// A program that sends the browser's session as a token.
    pub(crate) fn as_bearer(&self) -> Self {
        let bearer = format!("Bearer {}", self.token());
        self.without("cookie").without("origin").with("authorization", &bearer)
    }

    /// The token in the cookie of a browser.
    pub(crate) fn token(&self) -> &str {
        let cookie = self.headers.iter().find(|(name, _)| *name == "cookie").expect("a browser");
        cookie.1.split_once('=').expect("a cookie").1
    }

    fn socket_request(&self, protocol: Option<&str>) -> tokio_tungstenite::tungstenite::handshake::client::Request {
        let url = format!("{}/ws", self.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("an address");
        for (name, value) in &self.headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a header"));
        }
        request
    }

    /// Opens the web socket that tells of every run, with its key in the address.
    pub(crate) async fn watch_runs(&self, after: Option<i64>) -> Socket {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        self.watch(&after).await
    }

    /// Updates of runs from the first on, without what their browsers show.
    pub(crate) async fn watch_updates(&self) -> Socket {
        self.watch("&after=0&frames=false").await
    }

    async fn watch(&self, query: &str) -> Socket {
        let key = self.headers.iter().find(|(name, _)| *name == "authorization").expect("a program").1.clone();
        let key = key.strip_prefix("Bearer ").expect("a key").to_owned();
        let url = format!("{}/ws/executions?api_key={key}{query}", self.url.replacen("http", "ws", 1));
        let (stream, _) = tokio_tungstenite::connect_async(url).await.expect("the socket opens");
        Socket { stream, selected: None, schema: None }
    }

    /// The status of a refusal to tell of runs.
    pub(crate) async fn refused_watch(&self) -> u16 {
        let url = format!("{}/ws/executions?api_key=nothing", self.url.replacen("http", "ws", 1));
        match tokio_tungstenite::connect_async(url).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => answer.status().as_u16(),
            other => panic!("it opens: {:?}", other.is_ok()),
        }
    }

    /// The same as [`Client::post`], for closures.
    pub(crate) async fn post_owned(self, path: &'static str, body: Value) -> Answer {
        self.post(path, &body).await
    }

    /// Opens a web socket that takes in as little as the system allows.
    pub(crate) async fn narrow_socket(&self) -> tokio_tungstenite::WebSocketStream<tokio::net::TcpStream> {
        let narrow = tokio::net::TcpSocket::new_v4().expect("a socket");
        narrow.set_recv_buffer_size(4096).expect("a small buffer");
        let address = self.url.strip_prefix("http://").expect("an address").parse().expect("an address");
        let stream = narrow.connect(address).await.expect("the server listens");
        let request = self.socket_request(Some("parlour.v1"));
        tokio_tungstenite::client_async(request, stream).await.expect("the socket opens").0
    }

    /// Opens a web socket; the error is the status of the refusal.
    pub(crate) async fn raw_socket(&self, protocol: Option<&str>) -> Result<Socket, u16> {
        match tokio_tungstenite::connect_async(self.socket_request(protocol)).await {
            Ok((stream, answer)) => {
                let selected = answer.headers().get("sec-websocket-protocol");
                let selected = selected.map(|value| value.to_str().expect("a word").to_owned());
                let schema = if selected.is_some() { Some(self.frames().await) } else { None };
                Ok(Socket { stream, selected, schema })
            }
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("the socket does not open: {error}"),
        }
    }
}

pub(crate) struct Socket {
    stream: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
    /// The subprotocol the server chose.
    pub(crate) selected: Option<String>,
    /// What a frame of the server's looks like; the plain form has none.
    schema: Option<jsonschema::Validator>,
}

impl Socket {
    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.expect("the server reads");
    }

    /// Sends although the server may have closed already.
    pub(crate) async fn try_send_text(&mut self, text: &str) -> bool {
        self.stream.send(Message::text(text)).await.is_ok()
    }

    /// The next JSON frame.
    pub(crate) async fn next(&mut self) -> Value {
        match self.next_or_close().await {
            Ok(frame) => frame,
            Err(close) => panic!("the socket closed: {close:?}"),
        }
    }

    /// The next JSON frame, or how the server closed.
    pub(crate) async fn next_or_close(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            let message =
                tokio::time::timeout(Duration::from_secs(20), self.stream.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    if let Some(error) = self.schema.as_ref().and_then(|schema| schema.validate(&frame).err()) {
                        panic!("a frame is not as described: {error} in {frame}");
                    }
                    return Ok(frame);
                }
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Frames up to the first of this type, and that one.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Reads until the server closes; the code of its close frame.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.next_or_close().await {
                Ok(_) => {}
                Err(close) => return close.map(|frame| frame.code.into()),
            }
        }
    }

    /// Subscribes to a stream and answers the replayed events.
    pub(crate) async fn subscribe(&mut self, stream: &str, after: i64) -> Vec<Value> {
        self.send(&json!({ "type": "subscribe", "id": "s", "stream": stream, "after": after })).await;
        let subscribed = self.next().await;
        assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
        let mut events = Vec::new();
        loop {
            let frame = self.next().await;
            if frame["type"] == "caught_up" {
                return events;
            }
            events.push(frame);
        }
    }
}
