//! Those who talk with the server while it is being killed: they say, say again, and read.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::chance::Chance;
use crate::ledger::{Ledger, Logged, fingerprint};

/// Messages of one web socket that wait for their acknowledgement.
const IN_FLIGHT: usize = 4;
/// How many of a hundred messages are sent a second time although nothing went wrong.
const RESENT: u64 = 10;
/// How long a client waits before it tries a server again that is down.
const PAUSE: Duration = Duration::from_millis(10);
/// No single answer may take longer; beyond it the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(30);

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What everybody shares.
pub(crate) struct Stage {
    http: reqwest::Client,
    url: String,
    key: String,
    pub(crate) sessions: Vec<String>,
    pub(crate) ledger: Ledger,
    /// Set when nothing new is to be said.
    pub(crate) quiet: watch::Sender<bool>,
    /// The length of each log once it is known; readers read up to there.
    pub(crate) lengths: watch::Sender<Option<Vec<usize>>>,
}

/// How an attempt to read ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Answered,
    Failed,
}

#[derive(Deserialize)]
struct Page {
    limited: bool,
    events: Vec<Box<RawValue>>,
}

impl Stage {
    /// Opens that many sessions on a server that runs.
    pub(crate) async fn open(url: &str, key: &str, sessions: usize) -> Arc<Self> {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        let mut ids = Vec::new();
        for _ in 0..sessions {
            let request = http.post(format!("{url}/api/session/create")).bearer_auth(key);
            let answer = request.json(&json!({ "bot_id": "hello" })).send().await.expect("an answer");
            let session: Value = answer.json().await.expect("a session");
            ids.push(session["session_id"].as_str().expect("its id").to_owned());
        }
        Arc::new(Self {
            http,
            url: url.to_owned(),
            key: key.to_owned(),
            sessions: ids,
            ledger: Ledger::default(),
            quiet: watch::Sender::new(false),
            lengths: watch::Sender::new(None),
        })
    }

    fn is_quiet(&self) -> bool {
        *self.quiet.borrow()
    }

    async fn socket(&self) -> Option<Stream> {
        let mut request =
            format!("{}/ws", self.url.replacen("http", "ws", 1)).into_client_request().expect("an address");
        let headers = request.headers_mut();
        headers.insert("authorization", format!("Bearer {}", self.key).parse().expect("a header"));
        headers.insert("sec-websocket-protocol", "parlour.v1".parse().expect("a header"));
        let connecting = tokio::time::timeout(PATIENCE, tokio_tungstenite::connect_async(request));
        Some(connecting.await.ok()?.ok()?.0)
    }

    /// Says something over REST once; whether it was acknowledged.
    async fn post(&self, session: usize, id: &str, content: &str) -> bool {
        let request = self.http.post(format!("{}/api/session/{}/messages", self.url, self.sessions[session]));
        let request = request.bearer_auth(&self.key).header("idempotency-key", id);
        let Ok(answer) = request.json(&json!({ "content": content })).send().await else { return false };
        let status = answer.status();
        let Ok(body) = answer.json::<Value>().await else { return false };
        match status {
            StatusCode::OK | StatusCode::CREATED => self.ledger.acknowledge(id, &body),
            status if status.is_server_error() => self.ledger.refuse(body["error"]["code"].as_str().unwrap_or("?")),
            status => self.ledger.fault(format!("{id} was answered {status}: {body}")),
        }
        status.is_success()
    }

    /// The events after a place, and whether there are more; `None` when the server is down.
    async fn page(&self, session: usize, after: usize, wait: u64) -> Option<(Vec<Box<RawValue>>, bool)> {
        let session = &self.sessions[session];
        let address = format!("{}/api/session/{session}/events?after={after}&limit=500&wait={wait}", self.url);
        let answer = self.http.get(address).bearer_auth(&self.key).send().await.ok()?;
        let page: Page = answer.error_for_status().ok()?.json().await.ok()?;
        Some((page.events, page.limited))
    }

    /// Reads something of a session once.
    pub(crate) async fn read_once(&self, session: usize) -> Read {
        match self.page(session, 0, 0).await {
            Some(_) => Read::Answered,
            None => Read::Failed,
        }
    }

    /// A session's whole log, of a server that runs.
    pub(crate) async fn log(&self, session: usize) -> Vec<Logged> {
        let mut log = Vec::new();
        loop {
            let (events, more) = self.page(session, log.len(), 0).await.expect("the server answers");
            log.extend(events.iter().map(|frame| Logged::read(frame.get())));
            if !more {
                return log;
            }
        }
    }

    /// Whether a reader that has seen so many events of a session has seen all there will be.
    fn is_all(&self, session: usize, seen: usize) -> bool {
        self.lengths.borrow().as_ref().is_some_and(|lengths| seen >= lengths[session])
    }
}

/// What a writer says next, noted in the ledger.
fn next_message(stage: &Stage, writer: usize, session: usize, number: &mut u64) -> (String, String) {
    *number += 1;
    let (id, content) = (format!("w{writer}-{number}"), format!("greet w{writer}-{number}"));
    stage.ledger.say(&id, session, &content);
    (id, content)
}

/// Says one thing after the other over REST, each until it is acknowledged.
pub(crate) async fn write_over_rest(stage: Arc<Stage>, writer: usize, mut chance: Chance) {
    let (session, mut number) = (writer % stage.sessions.len(), 0);
    while !stage.is_quiet() {
        let (id, content) = next_message(&stage, writer, session, &mut number);
        let mut acknowledged = if chance.percent(RESENT) {
            stage.ledger.resend();
            let (first, second) = tokio::join!(stage.post(session, &id, &content), stage.post(session, &id, &content));
            first || second
        } else {
            stage.post(session, &id, &content).await
        };
        while !acknowledged {
            tokio::time::sleep(PAUSE).await;
            stage.ledger.resend();
            acknowledged = stage.post(session, &id, &content).await;
        }
    }
}

/// Says things over a web socket, several at a time; after each break what was not acknowledged is said again.
pub(crate) async fn write_over_socket(stage: Arc<Stage>, writer: usize, mut chance: Chance) {
    let session = writer % stage.sessions.len();
    let (mut number, mut open): (u64, Vec<(String, String)>) = (0, Vec::new());
    while !(stage.is_quiet() && open.is_empty()) {
        if let Some(mut socket) = stage.socket().await {
            for (id, content) in &open {
                stage.ledger.resend();
                if say(&mut socket, &stage.sessions[session], id, content).await.is_err() {
                    break;
                }
            }
            while talk(&stage, &mut socket, session, &mut open, || {
                let (id, content) = next_message(&stage, writer, session, &mut number);
                let again = if chance.percent(RESENT) { 1 + chance.below(2) } else { 0 };
                (id, content, again)
            })
            .await
            .is_some()
            {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn say(socket: &mut Stream, session: &str, id: &str, content: &str) -> Result<(), ()> {
    let frame = json!({ "type": "message", "id": id, "session_id": session, "content": content });
    socket.send(Message::text(frame.to_string())).await.map_err(|_| ())
}

/// Says what may be said and takes one frame. `None` ends the connection.
async fn talk(
    stage: &Arc<Stage>,
    socket: &mut Stream,
    session: usize,
    open: &mut Vec<(String, String)>,
    mut next: impl FnMut() -> (String, String, u64),
) -> Option<()> {
    while open.len() < IN_FLIGHT && !stage.is_quiet() {
        let (id, content, again) = next();
        open.push((id.clone(), content.clone()));
        say(socket, &stage.sessions[session], &id, &content).await.ok()?;
        match again {
            0 => {}
            // Once more by the same door, right behind the first …
            1 => {
                stage.ledger.resend();
                say(socket, &stage.sessions[session], &id, &content).await.ok()?;
            }
            // … or by another door at the same time.
            _ => {
                stage.ledger.resend();
                let stage = stage.clone();
                tokio::spawn(async move { stage.post(session, &id, &content).await });
            }
        }
    }
    if open.is_empty() {
        return None;
    }
    let frame = receive(socket).await?;
    let id = frame["id"].as_str().unwrap_or_default();
    match frame["type"].as_str() {
        Some("ack") => {
            stage.ledger.acknowledge(id, &frame);
            open.retain(|(known, _)| known != id);
        }
        Some("error") => match frame["error"]["code"].as_str() {
            Some(code @ ("SERVER_ERROR" | "SERVICE_UNAVAILABLE" | "UNAVAILABLE")) => {
                stage.ledger.refuse(code);
                return None;
            }
            _ => stage.ledger.fault(format!("{id} was refused: {frame}")),
        },
        _ => {}
    }
    Some(())
}

async fn receive(socket: &mut Stream) -> Option<Value> {
    serde_json::from_str(&receive_text(socket).await?).ok()
}

async fn receive_text(socket: &mut Stream) -> Option<String> {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.ok()?? {
            Ok(Message::Text(text)) => return Some(text.to_string()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Reads a session over web sockets to its end, leaving now and then; answers the fingerprints of what it saw.
pub(crate) async fn read_over_socket(stage: Arc<Stage>, session: usize, mut chance: Chance) -> (usize, Vec<u64>) {
    let mut seen = Vec::new();
    while !stage.is_all(session, seen.len()) {
        if let Some(mut socket) = stage.socket().await {
            let stream = format!("conv:{}", stage.sessions[session]);
            let subscribe =
                json!({ "type": "subscribe", "id": "s", "stream": stream, "after": seen.len(), "limit": 1000 });
            if socket.send(Message::text(subscribe.to_string())).await.is_ok() {
                let stay = 1 + chance.below(2000);
                let mut lengths = stage.lengths.subscribe();
                for _ in 0..stay {
                    let text = tokio::select! {
                        text = receive_text(&mut socket) => text,
                        // Told how long the log is; it may be all here already.
                        Ok(()) = lengths.changed() => break,
                    };
                    let Some(text) = text else { break };
                    if !take(&stage, session, &text, &mut seen) || stage.is_all(session, seen.len()) {
                        break;
                    }
                }
            }
        }
        // What a subscription left out is in the log.
        while let Some((events, more)) = stage.page(session, seen.len(), 0).await {
            seen.extend(events.iter().map(|frame| fingerprint(frame.get())));
            if !more {
                break;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    (session, seen)
}

/// Notes a frame; `false` when the rest has to be read from the log.
fn take(stage: &Stage, session: usize, text: &str, seen: &mut Vec<u64>) -> bool {
    let frame: Value = serde_json::from_str(text).expect("JSON");
    match frame["type"].as_str() {
        Some("subscribed") => frame["limited"] == false && frame["recovered"] == true,
        Some("message") => {
            let expected = seen.len() as u64 + 1;
            if frame["seq"].as_u64() != Some(expected) {
                stage.ledger.fault(format!("a socket of session {session} expected {expected} and got {text}"));
                return false;
            }
            seen.push(fingerprint(text));
            true
        }
        _ => true,
    }
}

/// The same by long polls.
pub(crate) async fn read_by_polling(stage: Arc<Stage>, session: usize) -> (usize, Vec<u64>) {
    let mut seen = Vec::new();
    while !stage.is_all(session, seen.len()) {
        match stage.page(session, seen.len(), 1).await {
            Some((events, _)) => seen.extend(events.iter().map(|frame| fingerprint(frame.get()))),
            None => tokio::time::sleep(PAUSE).await,
        }
    }
    (session, seen)
}
