//! The world outside: a service that takes its time, and counts what it is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::any;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::chance::Chance;

/// What was asked of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) times: u32,
    /// The keys by which it could be known again.
    pub(crate) keys: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) url: String,
    asked: Arc<Mutex<BTreeMap<String, Asked>>>,
    seed: u64,
    calls: Arc<AtomicU64>,
    /// `/hold` answers when this is true.
    open: Arc<watch::Sender<bool>>,
    held: Arc<watch::Sender<u32>>,
}

impl World {
    pub(crate) async fn start(seed: u64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let world = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            asked: Arc::default(),
            seed,
            calls: Arc::default(),
            open: Arc::new(watch::Sender::new(false)),
            held: Arc::new(watch::Sender::new(0)),
        };
        let router = Router::new()
            .route("/hold", any(hold))
            .route("/count/{*what}", any(count))
            .route("/seen/{*what}", any(seen))
            .with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        world
    }

    pub(crate) fn asked(&self) -> BTreeMap<String, Asked> {
        self.asked.lock().expect("what was asked").clone()
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until so many requests are held.
    pub(crate) async fn has_held(&self, many: u32) {
        self.held.subscribe().wait_for(|held| *held >= many).await.expect("the world is there");
    }

    /// A call may be on its way, or answered and on its way back, when the server dies.
    async fn takes_its_time(&self) {
        let mut chance = Chance::new(self.seed, 3_000_000 + self.calls.fetch_add(1, Ordering::Relaxed));
        tokio::time::sleep(chance.millis(0, 150)).await;
    }
}

async fn hold(State(world): State<World>) -> Json<Value> {
    world.held.send_modify(|held| *held += 1);
    let _ = world.open.subscribe().wait_for(|open| *open).await;
    Json(json!({ "held": true }))
}

async fn count(State(world): State<World>, Path(what): Path<String>, headers: HeaderMap) -> Json<Value> {
    world.takes_its_time().await;
    let times = {
        let mut asked = world.asked.lock().expect("what was asked");
        let asked = asked.entry(what).or_default();
        asked.times += 1;
        asked.keys.extend(headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned));
        asked.times
    };
    world.takes_its_time().await;
    Json(json!({ "count": times }))
}

async fn seen(State(world): State<World>, Path(what): Path<String>) -> Json<Value> {
    Json(json!({ "seen": world.asked().contains_key(&what) }))
}
