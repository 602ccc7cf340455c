//! The DevTools protocol over two pipes: requests and events are JSON, each ended by a zero byte. Nobody else on the machine
//! can reach them, and Chromium ends when they close, however this process ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::Failure;

/// Events that one reader may be behind.
const EVENTS: usize = 256;

type Answers = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Value>>>>>;

/// One connection. Clones share it.
#[derive(Clone)]
pub(super) struct Pipe {
    requests: mpsc::UnboundedSender<String>,
    next: Arc<AtomicU64>,
    answers: Answers,
    events: broadcast::Sender<Arc<Value>>,
}

impl Pipe {
    /// Begins to talk; the futures do the work and end with the connection.
    pub(super) fn open<W, R>(writer: W, reader: R) -> (Self, impl Future<Output = ()> + use<W, R>)
    where
        W: AsyncWrite + Unpin + Send + 'static,
        R: AsyncRead + Unpin + Send + 'static,
    {
        let (requests, queue) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(EVENTS);
        let answers: Answers = Arc::new(Mutex::new(Some(HashMap::new())));
        let pipe = Self { requests, next: Arc::default(), answers: answers.clone(), events: events.clone() };
        let work = async move {
            tokio::select! {
                () = write(writer, queue) => {}
                () = read(reader, &answers, &events) => {}
            }
            // Whoever still waits is told by the drop of its sender.
            answers.lock().unwrap_or_else(PoisonError::into_inner).take();
        };
        (pipe, work)
    }

    /// Events from now on.
    pub(super) fn events(&self) -> broadcast::Receiver<Arc<Value>> {
        self.events.subscribe()
    }

    pub(super) async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Result<Value, Failure> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut request = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            request["sessionId"] = json!(session);
        }
        let (sender, answer) = oneshot::channel();
        match &mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(answers) => answers.insert(id, sender),
            None => return Err(Failure::gone()),
        };
        self.requests.send(request.to_string()).map_err(|_| Failure::gone())?;
        let mut answer = answer.await.map_err(|_| Failure::gone())?;
        match answer.get("error") {
            Some(error) => {
                let message = error["message"].as_str().unwrap_or("the browser refused");
                Err(Failure::new("browser_failed", format!("{method}: {message}")))
            }
            None => Ok(answer["result"].take()),
        }
    }
}

/// One page, reached over the pipe of its browser.
#[derive(Clone)]
pub(super) struct Tab {
    pub(super) pipe: Pipe,
    /// The session that the browser knows it by.
    pub(super) session: String,
}

impl Tab {
    pub(super) fn events(&self) -> broadcast::Receiver<Arc<Value>> {
        self.pipe.events()
    }

    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, Failure> {
        self.pipe.call(Some(&self.session), method, params).await
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut queue: mpsc::UnboundedReceiver<String>) {
    while let Some(request) = queue.recv().await {
        let mut bytes = request.into_bytes();
        bytes.push(0);
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}

async fn read(reader: impl AsyncRead + Unpin, answers: &Answers, events: &broadcast::Sender<Arc<Value>>) {
    let mut reader = BufReader::with_capacity(64 * 1024, reader);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.read_until(0, &mut bytes).await {
            Ok(length) if length > 0 && bytes.last() == Some(&0) => {}
            _ => return,
        }
        let Ok(frame) = serde_json::from_slice::<Value>(&bytes[..bytes.len() - 1]) else { return };
        match frame["id"].as_u64() {
            Some(id) => {
                let mut waiting = answers.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sender) = waiting.as_mut().and_then(|waiting| waiting.remove(&id)) {
                    let _ = sender.send(frame);
                }
            }
            // Nobody has to listen.
            None => drop(events.send(Arc::new(frame))),
        }
    }
}
