//! A Discord of our own on this machine: its gateway, its REST API and the people there. It refuses what Discord would
//! refuse, and remembers everything that was done to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

pub(crate) const TOKEN: &str = "a bot token, for tests only";
pub(crate) const APPLICATION: &str = "7000";
/// Our bot's own user.
pub(crate) const BOT: &str = "7001";
pub(crate) const GUILD: &str = "9000";
pub(crate) const GENERAL: &str = "9001";
pub(crate) const THREAD: &str = "9002";
pub(crate) const ANN: &str = "1001";
pub(crate) const BEA: &str = "1002";

/// What the next call of that method to a path that contains this meets.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// 429, to be tried again after that many seconds.
    Limited(f64),
    /// It is done, but the answer is a failure.
    Lost,
    /// It is refused, with that status.
    Refused(u16),
}

#[derive(Default)]
struct Session {
    events: Vec<Value>,
    /// The open connection.
    live: Option<mpsc::UnboundedSender<Value>>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// By channel, in order.
    messages: BTreeMap<String, Vec<Value>>,
    nonces: HashMap<String, String>,
    sessions: BTreeMap<String, Session>,
    commands: Option<Value>,
    puts: usize,
    /// What was answered to an interaction, by its token.
    answers: HashMap<String, Value>,
    /// The message of an interaction: its channel and id.
    originals: HashMap<String, (String, String)>,
    ephemeral: Vec<Value>,
    /// What is attached to messages, by the id of the attachment.
    files: BTreeMap<String, Vec<u8>>,
    /// How often a session was begun and gone on with.
    identified: usize,
    resumed: usize,
    trouble: Vec<(Method, &'static str, Trouble)>,
    faults: Vec<String>,
    calls: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Discord {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
    pub(crate) url: String,
}

impl Discord {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let discord = Self { inner: Arc::default(), changed: Arc::default(), url };
        discord.inner().next = 100_000;
        let router = Router::new()
            .route("/gateway/", any(gateway))
            .route("/gateway", any(gateway))
            .route("/api/v10/{*path}", any(api))
            .route("/attachments/{id}", any(attachment))
            .with_state(discord.clone());
        let serving = async move { axum::serve(listener, router).await.expect("it serves") };
        #[expect(clippy::disallowed_methods, reason = "a test's own server")]
        tokio::spawn(serving);
        discord
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panicked")
    }

    fn socket_url(&self) -> String {
        format!("{}/gateway", self.url.replacen("http", "ws", 1))
    }

    /// Waits until something is so.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = look(self) {
                    return found;
                }
                // Some of it is told by nobody.
                let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), waiting).await {
            Ok(found) => found,
            Err(_) => {
                let inner = self.inner();
                panic!("{what} never came; {:#?} {:#?} {:#?}", inner.messages, inner.ephemeral, inner.calls)
            }
        }
    }

    /// What nobody should have sent.
    pub(crate) fn assert_honest(&self) {
        let faults = &self.inner().faults;
        assert!(faults.is_empty(), "{faults:#?}");
    }

    pub(crate) fn messages(&self, channel: &str) -> Vec<Value> {
        self.inner().messages.get(channel).cloned().unwrap_or_default()
    }

    /// Our bot's messages in a channel.
    pub(crate) fn answers(&self, channel: &str) -> Vec<Value> {
        self.messages(channel).into_iter().filter(|message| message["author"]["id"] == BOT).collect()
    }

    /// Our bot's message in a channel whose JSON holds that text.
    pub(crate) async fn told(&self, channel: &str, text: &str) -> Value {
        let holds = |message: &Value| message.to_string().contains(text);
        self.until(text, |discord| discord.answers(channel).into_iter().find(holds)).await
    }

    /// What one person alone was shown.
    pub(crate) async fn whispered(&self, text: &str) -> Value {
        let holds = |message: &&Value| message.to_string().contains(text);
        self.until(text, |discord| discord.inner().ephemeral.iter().find(holds).cloned()).await
    }

    pub(crate) async fn connected(&self, identified: usize, resumed: usize) {
        let enough = |inner: &Inner| inner.identified >= identified && inner.resumed >= resumed;
        self.until("a connection", |discord| enough(&discord.inner()).then_some(())).await;
    }

    pub(crate) fn counts(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.identified, inner.resumed)
    }

    pub(crate) async fn commands(&self) -> Value {
        self.until("commands", |discord| discord.inner().commands.clone()).await
    }

    pub(crate) fn puts(&self) -> usize {
        self.inner().puts
    }

    pub(crate) fn trouble(&self, method: Method, path: &'static str, trouble: Trouble) {
        self.inner().trouble.push((method, path, trouble));
    }

    /// Cuts every connection without a word.
    pub(crate) fn cut(&self) {
        for session in self.inner().sessions.values_mut() {
            session.live = None;
        }
    }

    /// Sends something to all connections, now.
    pub(crate) fn tell(&self, frame: &Value) {
        for session in self.inner().sessions.values() {
            if let Some(live) = &session.live {
                let _ = live.send(frame.clone());
            }
        }
    }

    /// Forgets all sessions.
    pub(crate) fn forget_sessions(&self) {
        self.inner().sessions.clear();
    }

    fn emit(inner: &mut Inner, kind: &str, body: &Value) {
        for session in inner.sessions.values_mut() {
            let frame = json!({ "op": 0, "t": kind, "s": session.events.len() + 1, "d": body });
            session.events.push(frame.clone());
            if let Some(live) = &session.live {
                let _ = live.send(frame);
            }
        }
    }

    fn user(id: &str) -> Value {
        let name = if id == ANN { "ann" } else { "bea" };
        json!({ "id": id, "username": name, "global_name": name.to_uppercase(), "discriminator": "0", "avatar": null })
    }

    /// Says something; answers the message's id. Direct messages are in channels of the person's own.
    pub(crate) fn say(&self, user: &str, channel: &str, text: &str) -> String {
        self.say_with(user, channel, text, &json!({}))
    }

    pub(crate) fn say_with(&self, user: &str, channel: &str, text: &str, more: &Value) -> String {
        let mut inner = self.inner();
        let id = inner.id();
        let mut message = json!({
            "id": id, "type": 0, "channel_id": channel, "author": Self::user(user), "content": text, "mentions": [],
            "embeds": [], "components": [], "timestamp": "2026-11-23T12:00:00Z", "edited_timestamp": null, "tts": false,
            "mention_everyone": false, "mention_roles": [], "attachments": [], "pinned": false,
        });
        if channel.starts_with("900") {
            message["guild_id"] = json!(GUILD);
        }
        if channel == THREAD {
            message["position"] = json!(3);
        }
        message.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        inner.messages.entry(channel.to_owned()).or_default().push(message.clone());
        Self::emit(&mut inner, "MESSAGE_CREATE", &message);
        id
    }

    /// Says something with a file.
    pub(crate) fn share(&self, user: &str, channel: &str, text: &str, (name, bytes): (&str, &[u8])) {
        let id = {
            let mut inner = self.inner();
            let id = inner.id();
            inner.files.insert(id.clone(), bytes.to_vec());
            id
        };
        let url = format!("{}/attachments/{id}", self.url);
        let attachment = json!({ "id": id, "filename": name, "size": bytes.len(), "url": url });
        self.say_with(user, channel, text, &json!({ "attachments": [attachment] }));
    }

    /// The bytes of what is attached to a message, by its name.
    pub(crate) fn attached(&self, message: &Value, name: &str) -> Vec<u8> {
        let attachments = message["attachments"].as_array().expect("attachments");
        let found = attachments.iter().find(|attachment| attachment["filename"] == name);
        let id = found.unwrap_or_else(|| panic!("no {name} at {message}"))["id"].as_str().expect("an id").to_owned();
        self.inner().files[&id].clone()
    }

    /// Says again what was said: as Discord does when it is not sure.
    pub(crate) fn repeat(&self, channel: &str, id: &str) {
        let mut inner = self.inner();
        let message = inner.message(channel, id).expect("it was said").clone();
        Self::emit(&mut inner, "MESSAGE_CREATE", &message);
    }

    pub(crate) fn edit(&self, channel: &str, id: &str, text: &str) {
        let mut inner = self.inner();
        let message = inner.message(channel, id).expect("it was said");
        message["content"] = json!(text);
        message["edited_timestamp"] = json!("2026-11-23T12:01:00Z");
        let message = message.clone();
        Self::emit(&mut inner, "MESSAGE_UPDATE", &message);
    }

    /// An interaction of somebody's: answers its token.
    fn interact(&self, user: &str, channel: &str, kind: u64, data: &Value, message: Option<&Value>) -> (String, Value) {
        let mut inner = self.inner();
        let id = inner.id();
        let token = format!("token-{id}");
        let mut body = json!({
            "id": id, "application_id": APPLICATION, "type": kind, "data": data, "token": token, "version": 1,
            "channel_id": channel, "guild_id": GUILD, "channel": { "id": channel, "name": "general", "type": 0 },
            "member": { "user": Self::user(user), "nick": null, "roles": [], "permissions": "0" },
            "locale": "en-US", "entitlements": [], "authorizing_integration_owners": {}, "attachment_size_limit": 0,
        });
        if let Some(message) = message {
            body["message"] = message.clone();
            let original = (channel.to_owned(), message["id"].as_str().unwrap_or_default().to_owned());
            inner.originals.insert(token.clone(), original);
        }
        (token, body)
    }

    pub(crate) fn interaction(&self, user: &str, channel: &str, kind: u64, data: &Value) -> Value {
        self.interact(user, channel, kind, data, None).1
    }

    /// Causes an interaction over the gateway; what Discord was answered.
    async fn cause(&self, (token, body): (String, Value)) -> Value {
        Self::emit(&mut self.inner(), "INTERACTION_CREATE", &body);
        self.until("an answer to an interaction", |discord| discord.inner().answers.get(&token).cloned()).await
    }

    pub(crate) async fn slash(&self, user: &str, channel: &str, bot: &str, command: &str, options: &Value) -> Value {
        let data = json!({ "id": "1", "name": bot, "type": 1, "options": [{ "name": command, "type": 1, "options": options }] });
        self.cause(self.interact(user, channel, 2, &data, None)).await
    }

    pub(crate) async fn type_on(&self, user: &str, bot: &str, command: &str, option: &str, text: &str) -> Vec<String> {
        let option = json!([{ "name": option, "type": 3, "value": text, "focused": true }]);
        let data = json!({ "id": "1", "name": bot, "type": 1, "options": [{ "name": command, "type": 1, "options": option }] });
        let answer = self.cause(self.interact(user, GENERAL, 4, &data, None)).await;
        assert_eq!(answer["type"], 8, "{answer}");
        let choices = answer["data"]["choices"].as_array().expect("choices");
        choices.iter().map(|choice| choice["value"].as_str().expect("a value").to_owned()).collect()
    }

    /// Presses the control with that label on a message, or chooses a value in the select with that placeholder.
    pub(crate) async fn press(&self, user: &str, message: &Value, label: &str, value: Option<&str>) -> Value {
        let channel = message["channel_id"].as_str().unwrap_or(GENERAL).to_owned();
        let rows = message["components"].as_array().expect("components");
        let mut controls = rows.iter().flat_map(|row| row["components"].as_array().expect("controls"));
        let named = |control: &&Value| control["label"] == label || control["placeholder"] == label;
        let control = controls.find(named).unwrap_or_else(|| panic!("no {label} in {message}"));
        assert_ne!(control["disabled"], true, "{label} cannot be pressed");
        let mut data = json!({ "custom_id": control["custom_id"], "component_type": control["type"] });
        if let Some(value) = value {
            let options = control["options"].as_array().expect("options");
            assert!(options.iter().any(|option| option["value"] == value), "{value} in {options:?}");
            data["values"] = json!([value]);
        }
        self.cause(self.interact(user, &channel, 3, &data, Some(message))).await
    }

    /// Sends a modal that was shown.
    pub(crate) async fn fill(&self, user: &str, channel: &str, shown: &Value, values: &[(&str, &str)]) -> Value {
        assert_eq!(shown["type"], 9, "no modal: {shown}");
        let given = |id: &Value| values.iter().find(|(name, _)| *id == *name).map(|(_, value)| *value);
        let row = |row: &Value| {
            let input = &row["components"][0];
            let value = given(&input["custom_id"]).or(input["value"].as_str()).unwrap_or_default();
            json!({ "type": 1, "components": [{ "type": 4, "custom_id": input["custom_id"], "value": value }] })
        };
        let rows: Value = shown["data"]["components"].as_array().expect("rows").iter().map(row).collect();
        let data = json!({ "custom_id": shown["data"]["custom_id"], "components": rows });
        self.cause(self.interact(user, channel, 5, &data, None)).await
    }
}

impl Discord {
    /// What a frame of a client's is answered; none when its token is wrong.
    fn greet(
        &self,
        op: Option<u64>,
        data: &Value,
        live: &mut Option<mpsc::UnboundedSender<Value>>,
    ) -> Option<Vec<Value>> {
        let mut inner = self.inner();
        let answers = match op {
            Some(1) => vec![json!({ "op": 11 })],
            Some(2 | 6) if data["token"] != TOKEN => return None,
            Some(2) => {
                let id = format!("session-{}", inner.id());
                let ready = json!({ "op": 0, "t": "READY", "s": 1, "d": {
                    "v": 10, "session_id": id, "resume_gateway_url": self.socket_url(),
                    "guilds": [{ "id": GUILD, "unavailable": true }],
                    "user": { "id": BOT, "username": "parlour", "discriminator": "0", "bot": true, "avatar": null },
                    "application": { "id": APPLICATION, "flags": 0 }, "shard": [0, 1],
                } });
                inner.identified += 1;
                inner.sessions.insert(id, Session { events: vec![ready.clone()], live: live.take() });
                vec![ready]
            }
            Some(6) => {
                let id = data["session_id"].as_str().unwrap_or_default();
                let seq = usize::try_from(data["seq"].as_u64().unwrap_or(0)).unwrap_or(0);
                let Some(session) = inner.sessions.get_mut(id) else {
                    return Some(vec![json!({ "op": 9, "d": false })]);
                };
                session.live = live.take();
                let mut missed: Vec<Value> = session.events[seq..].to_vec();
                let resumed = json!({ "op": 0, "t": "RESUMED", "s": session.events.len() + 1, "d": {} });
                session.events.push(resumed.clone());
                missed.push(resumed);
                inner.resumed += 1;
                missed
            }
            _ => Vec::new(),
        };
        Some(answers)
    }
}

impl Inner {
    fn id(&mut self) -> String {
        self.next += 1;
        self.next.to_string()
    }

    fn message(&mut self, channel: &str, id: &str) -> Option<&mut Value> {
        self.messages.get_mut(channel)?.iter_mut().find(|message| message["id"] == id)
    }

    /// What Discord would not take of a message.
    fn check(&mut self, body: &Value) {
        let text = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
        let embeds = body["embeds"].as_array().cloned().unwrap_or_default();
        let mut size = 0;
        for embed in &embeds {
            size += text(&embed["title"]) + text(&embed["description"]) + text(&embed["footer"]["text"]);
            for field in embed["fields"].as_array().into_iter().flatten() {
                size += text(&field["name"]) + text(&field["value"]);
            }
        }
        let rows = body["components"].as_array().cloned().unwrap_or_default();
        let is_wide =
            rows.iter().any(|row| row["components"].as_array().is_none_or(|row| row.is_empty() || row.len() > 5));
        for (is_wrong, what) in [
            (text(&body["content"]) > 2_000, "content"),
            (size > 6_000 || embeds.len() > 10, "embeds"),
            (rows.len() > 5 || is_wide, "components"),
            (text(&body["content"]) == 0 && embeds.is_empty(), "an empty message"),
            (
                body["attachments"].as_array().is_some_and(|all| all.iter().any(|file| file["size"].is_null())),
                "an attachment without its bytes",
            ),
            (body["allowed_mentions"] != json!({ "parse": [] }), "mentions that are not switched off"),
            (text(&body["nonce"]) > 25, "a nonce of more than 25 characters"),
        ] {
            if is_wrong {
                self.faults.push(format!("{what}: {body}"));
            }
        }
    }

    fn post(&mut self, channel: &str, body: &Value) -> Value {
        self.check(body);
        if let Some(nonce) = body["nonce"].as_str().filter(|_| body["enforce_nonce"] == true)
            && let Some(id) = self.nonces.get(nonce).cloned()
            && let Some(known) = self.message(channel, &id)
        {
            return known.clone();
        }
        let id = self.id();
        if let Some(nonce) = body["nonce"].as_str() {
            self.nonces.insert(nonce.to_owned(), id.clone());
        }
        let mut message = body.clone();
        message["id"] = json!(id);
        message["channel_id"] = json!(channel);
        message["author"] = json!({ "id": BOT, "username": "parlour", "bot": true });
        message["flags"] = json!(body["flags"].as_u64().unwrap_or(0));
        self.messages.entry(channel.to_owned()).or_default().push(message.clone());
        message
    }

    /// Merges a change into a message.
    fn patch(&mut self, channel: &str, id: &str, body: &Value) -> Option<Value> {
        self.check(body);
        let message = self.message(channel, id)?;
        for (name, value) in body.as_object().expect("an object") {
            message[name] = value.clone();
        }
        message["flags"] = json!(message["flags"].as_u64().unwrap_or(0) & !128);
        Some(message.clone())
    }

    fn remove(&mut self, channel: &str, id: &str) -> bool {
        let Some(messages) = self.messages.get_mut(channel) else { return false };
        let before = messages.len();
        messages.retain(|message| message["id"] != id);
        messages.len() < before
    }

    /// Takes the answer to an interaction.
    fn answer(&mut self, id: &str, token: &str, body: &Value) -> bool {
        if self.answers.contains_key(token) {
            return false;
        }
        let data = &body["data"];
        let is_ephemeral = data["flags"].as_u64().unwrap_or(0) & 64 != 0;
        match body["type"].as_u64() {
            Some(5) => {
                let message = json!({ "id": format!("{id}0"), "channel_id": GENERAL, "content": "", "embeds": [],
                    "components": [], "author": { "id": BOT, "bot": true }, "flags": 128 });
                self.originals.insert(token.to_owned(), (GENERAL.to_owned(), format!("{id}0")));
                self.messages.entry(GENERAL.to_owned()).or_default().push(message);
            }
            Some(4) if is_ephemeral => {
                self.check(data);
                self.ephemeral.push(data.clone());
            }
            Some(7) => self.ephemeral.push(data.clone()),
            Some(1 | 6 | 8 | 9) => {}
            _ => self.faults.push(format!("an answer of a type that makes no sense: {body}")),
        }
        self.answers.insert(token.to_owned(), body.clone());
        true
    }

    /// One call: its status and its body.
    fn call(&mut self, method: &Method, path: &str, body: &Value, socket: &str) -> (u16, Value) {
        let parts: Vec<&str> = path.split('/').collect();
        let unknown = |code: i64, what: &str| (404, json!({ "code": code, "message": format!("Unknown {what}") }));
        let none = (204, Value::Null);
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["gateway"]) => (200, json!({ "url": socket })),
            ("GET", ["gateway", "bot"]) => {
                let limit = json!({ "total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1 });
                (200, json!({ "url": socket, "shards": 1, "session_start_limit": limit }))
            }
            ("GET", ["applications", "@me"]) => (200, json!({ "id": APPLICATION, "name": "parlour" })),
            ("PUT", ["applications", APPLICATION, "commands"]) => {
                self.commands = Some(body.clone());
                self.puts += 1;
                (200, body.clone())
            }
            ("POST", ["users", "@me", "channels"]) => {
                (200, json!({ "id": format!("8{}", body["recipient_id"].as_str().unwrap_or_default()), "type": 1 }))
            }
            ("GET", ["channels", channel]) => {
                let name = if *channel == GENERAL { "general" } else { "a thread" };
                (200, json!({ "id": channel, "type": 0, "name": name }))
            }
            ("POST", ["channels", channel, "messages"]) => (200, self.post(channel, body)),
            ("PATCH", ["channels", channel, "messages", id]) => {
                self.patch(channel, id, body).map_or_else(|| unknown(10_008, "Message"), |message| (200, message))
            }
            ("DELETE", ["channels", channel, "messages", id]) => {
                if self.remove(channel, id) {
                    none
                } else {
                    unknown(10_008, "Message")
                }
            }
            ("POST", ["interactions", id, token, "callback"]) => match self.answer(id, token, body) {
                true => none,
                false => (400, json!({ "code": 40_060, "message": "Interaction has already been acknowledged." })),
            },
            (method, ["webhooks", APPLICATION, token, "messages", "@original"]) => {
                let Some((channel, id)) = self.originals.get(*token).cloned() else {
                    return unknown(10_015, "Webhook");
                };
                match method {
                    "GET" => self
                        .message(&channel, &id)
                        .map_or_else(|| unknown(10_008, "Message"), |found| (200, found.clone())),
                    "PATCH" => {
                        self.patch(&channel, &id, body).map_or_else(|| unknown(10_008, "Message"), |found| (200, found))
                    }
                    "DELETE" if self.remove(&channel, &id) => none,
                    _ => unknown(10_008, "Message"),
                }
            }
            ("POST", ["webhooks", APPLICATION, token]) => {
                if !self.answers.contains_key(*token) {
                    return unknown(10_015, "Webhook");
                }
                self.check(body);
                self.ephemeral.push(body.clone());
                (200, body.clone())
            }
            _ => {
                self.faults.push(format!("{method} {path} is no call of Discord's"));
                (404, json!({ "code": 0, "message": "404: Not Found" }))
            }
        }
    }
}

async fn api(
    State(discord): State<Discord>,
    method: Method,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = match multer::parse_boundary(kind) {
        Ok(boundary) => discord.form(body, boundary).await,
        Err(_) => serde_json::from_slice(&body).unwrap_or_default(),
    };
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let needs_token = !path.starts_with("webhooks/") && !path.starts_with("interactions/");
    if needs_token && authorization != format!("Bot {TOKEN}") {
        return (StatusCode::UNAUTHORIZED, r#"{"code":0,"message":"401: Unauthorized"}"#).into_response();
    }
    let socket = discord.socket_url();
    let (status, content, headers) = {
        let mut inner = discord.inner();
        inner.calls.push(format!("{method} {path}"));
        let troubled = inner.trouble.iter().position(|(of, part, _)| *of == method && path.contains(part));
        let trouble = troubled.map(|at| inner.trouble.remove(at).2);
        match trouble {
            Some(Trouble::Limited(after)) => (
                429,
                json!({ "message": "You are being rate limited.", "retry_after": after, "global": false }),
                Vec::new(),
            ),
            Some(Trouble::Refused(status)) => {
                (status, json!({ "code": 40_005, "message": "Request entity too large" }), Vec::new())
            }
            Some(Trouble::Lost) => {
                inner.call(&method, &path, &body, &socket);
                (502, Value::Null, Vec::new())
            }
            None => {
                let (status, content) = inner.call(&method, &path, &body, &socket);
                let left =
                    [("x-ratelimit-bucket", "b"), ("x-ratelimit-remaining", "100"), ("x-ratelimit-reset-after", "1")];
                (status, content, left.to_vec())
            }
        }
    };
    discord.changed.notify_waiters();
    let text = if content.is_null() { String::new() } else { content.to_string() };
    let mut answer = (StatusCode::from_u16(status).expect("a status"), text).into_response();
    answer.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
    for (name, value) in headers {
        answer.headers_mut().insert(name, value.parse().expect("a value"));
    }
    answer
}

/// What is kept at Discord's for everybody who has its address.
async fn attachment(State(discord): State<Discord>, Path(id): Path<String>) -> Response {
    match discord.inner().files.get(&id) {
        Some(bytes) => bytes.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Discord {
    /// Reads a message that was sent with files: they are its attachments from then on.
    async fn form(&self, body: axum::body::Bytes, boundary: String) -> Value {
        let whole = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
        let mut form = multer::Multipart::new(whole, boundary);
        let (mut message, mut files) = (Value::Null, Vec::new());
        while let Some(field) = form.next_field().await.expect("a form") {
            let (name, file_name) = (field.name().unwrap_or_default().to_owned(), field.file_name().map(str::to_owned));
            let bytes = field.bytes().await.expect("its bytes");
            match name.as_str() {
                "payload_json" => message = serde_json::from_slice(&bytes).expect("JSON"),
                _ => files.push((name, file_name.expect("a name"), bytes.to_vec())),
            }
        }
        let mut inner = self.inner();
        for announced in message["attachments"].as_array_mut().expect("attachments") {
            let field = format!("files[{}]", announced["id"]);
            let Some((_, name, bytes)) = files.iter().find(|(name, ..)| *name == field) else { continue };
            let id = inner.id();
            *announced = json!({ "id": id, "filename": name, "size": bytes.len(), "url": format!("{}/attachments/{id}", self.url) });
            inner.files.insert(id, bytes.clone());
        }
        message
    }
}

async fn gateway(State(discord): State<Discord>, _uri: Uri, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| hold(discord, socket))
}

/// One connection of the gateway.
async fn hold(discord: Discord, mut socket: WebSocket) {
    let (live, mut outgoing) = mpsc::unbounded_channel::<Value>();
    let mut live = Some(live);
    let hello = json!({ "op": 10, "d": { "heartbeat_interval": 400 } });
    if socket.send(Message::Text(hello.to_string().into())).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            frame = outgoing.recv() => {
                // Cut: without a closing word.
                let Some(frame) = frame else { return };
                if socket.send(Message::Text(frame.to_string().into())).await.is_err() {
                    return;
                }
            }
            frame = socket.recv() => {
                let Some(Ok(Message::Text(text))) = frame else { return };
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                let (op, data) = (frame["op"].as_u64(), &frame["d"]);
                let Some(answers) = discord.greet(op, data, &mut live) else {
                    let frame = axum::extract::ws::CloseFrame { code: 4004, reason: "Authentication failed.".into() };
                    let _ = socket.send(Message::Close(Some(frame))).await;
                    return;
                };
                discord.changed.notify_waiters();
                for answer in answers {
                    if socket.send(Message::Text(answer.to_string().into())).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
