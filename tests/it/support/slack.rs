//! A workspace of Slack's on this machine: a program of others that speaks its Web API, Socket Mode and signed requests, and
//! through which a test acts as the people there.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) const TEAM: &str = "T01TEST";
pub(crate) const SIGNING_SECRET: &str = "a signing secret, for tests only";
/// A channel that everybody is in.
pub(crate) const GENERAL: &str = "C01GEN";
pub(crate) const ANN: &str = "U01ANN";
pub(crate) const BEA: &str = "U02BEA";
/// Our bot's own user.
pub(crate) const BOT: &str = "U0BOT";

/// The workspace; it ends with the value.
pub(crate) struct Workspace {
    child: Child,
    pub(crate) url: String,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

/// How it reaches our bot.
pub(crate) enum Mode<'a> {
    Socket,
    /// By requests to that address.
    Requests(&'a str),
}

/// A port that nobody listens on right now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Workspace {
    pub(crate) fn start(port: u16, mode: &Mode<'_>) -> Self {
        let program = Path::new("tests/peers/node_modules/local-slack-linux-x64/bin/local-slack");
        assert!(program.exists(), "`make test` installs what the tests speak to");
        let folder = tempfile::tempdir().expect("a folder");
        let mut app = json!({
            "appId": "A01APP", "botUserId": BOT, "botName": "parlour", "botToken": "xoxb-test", "appToken": "xapp-test",
            "signingSecret": SIGNING_SECRET, "mode": "socket",
        });
        if let Mode::Requests(url) = mode {
            app["mode"] = json!("events");
            app["requestUrl"] = json!(url);
        }
        let config = json!({
            "workspace": { "name": "Test", "domain": "test", "teamId": TEAM },
            "app": app,
            "users": [{ "id": ANN, "name": "ann", "real_name": "Ann Anders" }, { "id": BEA, "name": "bea", "real_name": "Bea Brown" }],
            "channels": [{ "id": GENERAL, "name": "general", "members": [ANN, BEA, BOT] }],
        });
        let file = folder.path().join("workspace.json");
        std::fs::write(&file, config.to_string()).expect("a file");
        let mut command = Command::new(program);
        command.arg("--config").arg(&file).args(["--port", &port.to_string(), "--base-host", "127.0.0.1"]);
        command.arg("--files-dir").arg(folder.path().join("files"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the workspace starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let ready = lines.into_iter().any(|line| line.contains("Apps:"));
        assert!(ready, "the workspace says that it is there");
        // It closes connections that nobody uses for a while.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        Self { child, url: format!("http://127.0.0.1:{port}"), http, _folder: folder }
    }

    async fn control(&self, what: &str, body: &Value) -> Value {
        let url = format!("{}/_control/{what}", self.url);
        let answer = self.http.post(url).json(body).timeout(Duration::from_secs(30)).send().await;
        answer.expect("the workspace answers").json().await.expect("JSON")
    }

    async fn read(&self, what: &str) -> Value {
        let answer = self.http.get(format!("{}/_control/{what}", self.url)).send().await;
        answer.expect("the workspace answers").json().await.expect("JSON")
    }

    /// Says something; answers its `ts`. When this returns, our bot has acknowledged it.
    pub(crate) async fn say(&self, user: &str, channel: &str, thread: Option<&str>, text: &str) -> String {
        let body = json!({ "user": user, "channel": channel, "text": text, "thread_ts": thread });
        let said = self.control("message", &body).await;
        said["message"]["ts"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    /// Says something with files; when this returns, our bot has acknowledged it.
    pub(crate) async fn share(&self, user: &str, channel: &str, text: &str, files: &[(&str, &[u8])]) {
        let form = reqwest::multipart::Form::new().text("user", user.to_owned());
        let form = form.text("channel", channel.to_owned()).text("text", text.to_owned());
        let form = files.iter().fold(form, |form, (name, bytes)| {
            form.part("file", reqwest::multipart::Part::bytes(bytes.to_vec()).file_name((*name).to_owned()))
        });
        let answer = self.http.post(format!("{}/_control/upload", self.url)).multipart(form).send().await;
        let shared: Value = answer.expect("the workspace answers").json().await.expect("JSON");
        assert_eq!(shared["ok"], true, "{shared}");
    }

    /// The bytes of a file that stands there, as our bot may read them.
    pub(crate) async fn bytes(&self, file: &Value) -> Vec<u8> {
        let url = file["url_private"].as_str().expect("an address");
        let answer = self.http.get(url).bearer_auth("xoxb-test").send().await.expect("the workspace answers");
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("its bytes").to_vec()
    }

    pub(crate) async fn slash(&self, user: &str, channel: &str, text: &str) {
        let body = json!({ "user": user, "channel": channel, "command": "/parlour", "text": text });
        assert_eq!(self.control("command", &body).await["ok"], true);
    }

    /// Presses or chooses something at a message.
    pub(crate) async fn act(&self, user: &str, channel: &str, ts: &str, action: &Value) {
        let body = json!({ "user": user, "channel": channel, "messageTs": ts, "action": action });
        let done = self.control("interact", &body).await;
        assert_eq!(done["ok"], true, "{done}");
    }

    /// Everything that stands in a channel.
    pub(crate) async fn messages(&self, channel: &str) -> Vec<Value> {
        self.read(&format!("messages/{channel}")).await["messages"].as_array().expect("messages").clone()
    }

    /// What our bot has called and acknowledged, and what was sent to it.
    pub(crate) async fn log(&self) -> Vec<Value> {
        self.read("log").await["log"].as_array().expect("a log").clone()
    }

    /// Somebody at a screen, who sees what happens.
    pub(crate) async fn screen(&self) -> Screen {
        let url = format!("{}/ui", self.url.replace("http", "ws"));
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("the screen opens");
        let mut screen = Screen { socket };
        screen.until(|frame| frame["t"] == "init").await;
        screen
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What somebody at a screen of the workspace sees.
pub(crate) struct Screen {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Screen {
    /// The next thing that happens and fits; what does not is passed over.
    pub(crate) async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let mut passed = Vec::new();
        let waiting = async {
            loop {
                let frame = self.socket.next().await.expect("the screen stays").expect("a frame");
                let Message::Text(text) = frame else { continue };
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                if fits(&frame) {
                    return frame;
                }
                passed.push(frame);
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(40), waiting).await;
        found.unwrap_or_else(|_| panic!("it does not happen in time; this did: {passed:#?}"))
    }

    /// The next message of our bot's whose text holds `part`.
    pub(crate) async fn told(&mut self, part: &str) -> Value {
        let is_ours = |frame: &Value| {
            let message = &frame["message"];
            frame["t"] == "message" && message["user"] == BOT && message.to_string().contains(part)
        };
        self.until(is_ours).await["message"].clone()
    }

    /// The next change of one of our bot's messages after which it holds `part`.
    pub(crate) async fn changed(&mut self, part: &str) -> Value {
        let is_ours = |frame: &Value| frame["t"] == "message_update" && frame["message"].to_string().contains(part);
        self.until(is_ours).await["message"].clone()
    }

    async fn send(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.expect("the screen takes it");
    }

    /// Sends the form that is open.
    pub(crate) async fn submit(&mut self, user: &str, values: &Value) {
        self.send(&json!({ "t": "view_submit", "user": user, "values": values })).await;
    }

    pub(crate) async fn edit(&mut self, user: &str, channel: &str, ts: &str, text: &str) {
        self.send(&json!({ "t": "edit_message", "user": user, "channel": channel, "ts": ts, "text": text })).await;
    }

    pub(crate) async fn delete(&mut self, user: &str, channel: &str, ts: &str) {
        self.send(&json!({ "t": "delete_message", "user": user, "channel": channel, "ts": ts })).await;
    }
}

/// What stands between us and the workspace, and goes wrong as told.
#[derive(Default)]
struct Troubles {
    /// Each call arrives, and its answer gets lost, once.
    lose_each: bool,
    lost: HashSet<String>,
    /// Methods whose next answer gets lost.
    lose: Vec<&'static str>,
    /// How many calls of a method are refused since there were too many, and for how many seconds.
    limit: Option<(&'static str, u32, u64)>,
    /// What is answered to a method instead of passing it on.
    answer: Option<(&'static str, Value)>,
    /// A method whose calls wait until they are let go.
    hold: Option<(&'static str, Arc<Notify>)>,
    calls: Vec<(String, Value)>,
}

/// A network in front of the workspace's Web API.
pub(crate) struct Network {
    pub(crate) url: String,
    troubles: Arc<Mutex<Troubles>>,
    called: Arc<Notify>,
    _server: tokio::task::JoinSet<()>,
}

type Wire = (Arc<Mutex<Troubles>>, Arc<Notify>, String, reqwest::Client);

async fn pass(State((troubles, called, to, http)): State<Wire>, request: Request) -> Response {
    let method = request.uri().path().trim_start_matches("/api/").to_owned();
    let (verb, asked) = (request.method().clone(), request.uri().query().unwrap_or_default().to_owned());
    let authorization = request.headers().get("authorization").cloned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a body");
    let hold = {
        let mut troubles = troubles.lock().expect("nobody panicked");
        let by = authorization.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content = serde_json::from_slice(&body).unwrap_or_else(|_| json!({ "asked": asked, "by": by }));
        troubles.calls.push((method.clone(), content));
        called.notify_one();
        if let Some((_, left, seconds)) = troubles.limit.as_mut().filter(|(name, left, _)| *name == method && *left > 0)
        {
            *left -= 1;
            let after = [("retry-after", seconds.to_string())];
            let told = axum::Json(json!({ "ok": false, "error": "ratelimited" }));
            return (StatusCode::TOO_MANY_REQUESTS, after, told).into_response();
        }
        if let Some((_, told)) = troubles.answer.as_ref().filter(|(name, _)| *name == method) {
            return axum::Json(told.clone()).into_response();
        }
        troubles.hold.as_ref().filter(|(name, _)| *name == method).map(|(_, go)| go.clone())
    };
    if let Some(go) = hold {
        go.notified().await;
    }
    let mut call = http.request(verb, format!("{to}/api/{method}?{asked}"));
    if !body.is_empty() {
        call = call.header("content-type", "application/json");
    }
    if let Some(authorization) = authorization {
        call = call.header("authorization", authorization);
    }
    let answer: Value =
        call.body(body.clone()).send().await.expect("the workspace answers").json().await.expect("JSON");
    let is_lost = {
        let mut troubles = troubles.lock().expect("nobody panicked");
        let named = troubles.lose.iter().position(|name| *name == method).map(|at| troubles.lose.remove(at));
        named.is_some()
            || troubles.lose_each
                && troubles.lost.insert(format!("{method} {asked} {}", String::from_utf8_lossy(&body)))
    };
    if is_lost {
        let broken = futures_util::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("the connection is cut"))]);
        return axum::body::Body::from_stream(broken).into_response();
    }
    axum::Json(answer).into_response()
}

impl Network {
    pub(crate) async fn before(workspace: &Workspace) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (troubles, called) = (Arc::<Mutex<Troubles>>::default(), Arc::<Notify>::default());
        let http = reqwest::Client::builder().build().expect("a client");
        let wire: Wire = (troubles.clone(), called.clone(), workspace.url.clone(), http);
        let router = axum::Router::new().fallback(pass).with_state(wire);
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, troubles, called, _server: server }
    }

    fn troubles(&self) -> std::sync::MutexGuard<'_, Troubles> {
        self.troubles.lock().expect("nobody panicked")
    }

    pub(crate) fn lose_each_answer_once(&self) {
        self.troubles().lose_each = true;
    }

    /// The next answer to each of these methods gets lost.
    pub(crate) fn lose(&self, methods: &[&'static str]) {
        self.troubles().lose.extend(methods);
    }

    pub(crate) fn limit(&self, method: &'static str, times: u32, seconds: u64) {
        self.troubles().limit = Some((method, times, seconds));
    }

    pub(crate) fn refuse(&self, method: &'static str, code: Option<&str>) {
        self.troubles().answer = code.map(|code| (method, json!({ "ok": false, "error": code })));
    }

    /// Answers to a method what the workspace knows nothing of.
    pub(crate) fn answer(&self, method: &'static str, told: Value) {
        self.troubles().answer = Some((method, told));
    }

    /// Calls of that method wait until what is answered is told to let them go.
    pub(crate) fn hold(&self, method: &'static str) -> Arc<Notify> {
        let go = Arc::<Notify>::default();
        self.troubles().hold = Some((method, go.clone()));
        go
    }

    /// How often a method was called with a body that holds `part`.
    pub(crate) fn calls(&self, method: &str, part: &str) -> usize {
        let troubles = self.troubles();
        troubles.calls.iter().filter(|(name, body)| name == method && body.to_string().contains(part)).count()
    }

    /// Waits until a method was called that often with such a body.
    pub(crate) async fn until_called(&self, method: &str, part: &str, times: usize) {
        let waiting = async {
            while self.calls(method, part) < times {
                self.called.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(40), waiting).await.expect("it is called in time");
    }
}

/// The first control of a message that is written `label`.
pub(crate) fn control(message: &Value, label: &str) -> Value {
    let blocks = message["blocks"].as_array().expect("blocks");
    let elements = blocks.iter().filter_map(|block| block["elements"].as_array()).flatten();
    let found = elements.filter(|element| element["action_id"].is_string()).find(|element| {
        [&element["text"]["text"], &element["placeholder"]["text"]].into_iter().any(|text| text == label)
    });
    found.unwrap_or_else(|| panic!("no {label} in {message}")).clone()
}
