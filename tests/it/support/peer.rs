//! A service outside that the test holds in its hand: it keeps what it is asked, and answers as it is told to.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::sync::watch;

/// What came in.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) method: Method,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} is no JSON", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

type Answer = dyn Fn(&Heard, usize) -> Response + Send + Sync;

pub(crate) struct Peer {
    /// Without a trailing slash.
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    count: watch::Receiver<usize>,
    /// It ends with the value.
    _server: tokio::task::JoinSet<()>,
}

/// An answer with a JSON body.
pub(crate) fn json(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

impl Peer {
    /// `answer` gets each request, and how many came before it.
    pub(crate) async fn start(answer: impl Fn(&Heard, usize) -> Response + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", answer).await
    }

    /// The same at another address of this machine.
    pub(crate) async fn start_on(
        address: &str,
        answer: impl Fn(&Heard, usize) -> Response + Send + Sync + 'static,
    ) -> Self {
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (told, count) = watch::channel(0);
        let (kept, answer): (_, Arc<Answer>) = (heard.clone(), Arc::new(answer));
        let router = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let (kept, answer, told) = (kept.clone(), answer.clone(), told.clone());
            async move {
                let body = String::from_utf8_lossy(&body).into_owned();
                let heard = Heard { method, path: uri.to_string(), headers, body };
                let before = {
                    let mut kept = kept.lock().expect("nobody panicked");
                    kept.push(heard.clone());
                    kept.len() - 1
                };
                told.send_modify(|count| *count += 1);
                answer(&heard, before)
            }
        });
        let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, heard, count, _server: server }
    }

    /// Everything it was asked so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("nobody panicked").clone()
    }

    pub(crate) fn last(&self) -> Heard {
        self.heard().pop().expect("it was asked something")
    }

    /// Waits until it was asked so often.
    pub(crate) async fn until(&self, count: usize) -> Vec<Heard> {
        self.count.clone().wait_for(|asked| *asked >= count).await.expect("it is there");
        self.heard()
    }
}
