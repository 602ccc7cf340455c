//! A service outside that counts what it is asked, so that a test knows how often the world was touched.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::routing::any;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

#[derive(Clone)]
pub(crate) struct Sink {
    counts: Arc<Mutex<BTreeMap<String, u32>>>,
    /// `/hold` answers when this is true.
    open: Arc<watch::Sender<bool>>,
    /// How many are held.
    held: Arc<watch::Sender<u32>>,
    pub(crate) url: String,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let sink = Self {
            counts: Arc::default(),
            open: Arc::new(watch::Sender::new(false)),
            held: Arc::new(watch::Sender::new(0)),
            url,
        };
        let router = Router::new()
            .route("/hold", any(hold))
            .route(
                "/fail",
                any(|| async { (axum::http::StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "no": true }))) }),
            )
            .route("/seen/{*what}", any(seen))
            .route("/count/{*what}", any(count))
            .fallback(|| async { Json(json!({ "ok": true })) })
            .with_state(sink.clone());
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        sink
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until so many requests have been held.
    pub(crate) async fn has_held(&self, many: u32) {
        self.held.subscribe().wait_for(|held| *held >= many).await.expect("the sink is there");
    }

    /// How often each thing was asked for.
    pub(crate) fn counts(&self) -> BTreeMap<String, u32> {
        self.counts.lock().expect("counts").clone()
    }
}

async fn hold(State(sink): State<Sink>) -> Json<Value> {
    sink.held.send_modify(|held| *held += 1);
    let _ = sink.open.subscribe().wait_for(|open| *open).await;
    Json(json!({ "held": true }))
}

async fn count(State(sink): State<Sink>, Path(what): Path<String>) -> Json<Value> {
    let mut counts = sink.counts.lock().expect("counts");
    let count = counts.entry(what).or_default();
    *count += 1;
    Json(json!({ "count": *count }))
}

async fn seen(State(sink): State<Sink>, Path(what): Path<String>) -> Json<Value> {
    Json(json!({ "seen": sink.counts.lock().expect("counts").contains_key(&what) }))
}
