//! Runs while the server is killed at random moments: what was accepted ends, no step has two results, what happens once
//! happens once, and after a cancellation was answered nothing begins any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::chance::Chance;
use crate::crowd::seed;
use crate::knob;
use crate::postgres::Cluster;
use crate::program::Program;
use crate::sink::Sink;

/// Runs under way at the same time.
const AT_ONCE: usize = 12;

/// How many of a hundred runs are cancelled in the middle.
const CANCELLED: u64 = 6;

struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    /// Asks until it is answered; the server may be down meanwhile.
    async fn ask(&self, method: reqwest::Method, path: &str, key: &str, body: &Value) -> (u16, Value) {
        loop {
            let request = self.http.request(method.clone(), format!("{}{path}", self.url));
            let request = request.header("x-api-key", &self.key).header("idempotency-key", key).json(body);
            if let Ok(answer) = request.send().await {
                let status = answer.status().as_u16();
                if status < 500
                    && let Ok(value) = answer.json().await
                {
                    return (status, value);
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Starts a run and follows it to its end; some are cancelled on the way. Answers its id, and what had been called of it
/// when the cancellation was answered.
async fn live(
    client: &Client,
    sink: &Sink,
    name: String,
    mut chance: Chance,
) -> (String, String, Option<BTreeMap<String, u32>>) {
    let body = json!({ "playbook_path": "seven.yaml", "parameters": { "sink": sink.url, "run": name } });
    let (status, started) = client.ask(reqwest::Method::POST, "/api/executions", &name, &body).await;
    assert_eq!(status, 200, "{started}");
    let id = started["execution_id"].as_str().expect("an id").to_owned();
    let mut at_cancel = None;
    if chance.percent(CANCELLED) {
        tokio::time::sleep(chance.millis(1, 300)).await;
        let (status, answer) =
            client.ask(reqwest::Method::POST, &format!("/api/executions/{id}/cancel"), &name, &json!({})).await;
        if status == 200 {
            // What was in flight may still arrive; nothing else may.
            let in_flight = answer["in_flight"].as_array().cloned().unwrap_or_default();
            let mut counts = sink.counts();
            for step in in_flight.iter().filter_map(Value::as_str) {
                let step = step.rsplit('.').next().unwrap_or(step);
                *counts.entry(format!("{name}/{step}")).or_default() += 1;
            }
            at_cancel = Some(counts);
        }
    }
    loop {
        let (_, run) = client.ask(reqwest::Method::GET, &format!("/api/executions/{id}"), &name, &json!({})).await;
        if ["completed", "failed", "cancelled"].contains(&run["status"].as_str().unwrap_or_default()) {
            assert_ne!(run["status"], "failed", "{run}");
            return (id, name, at_cancel);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn go_through(database_name: &str, database: Option<&str>) {
    let (many, kills) = (knob("PARLOUR_SOAK_RUNS", 300), knob("PARLOUR_SOAK_RUN_KILLS", 120));
    let seed = seed(&format!("{database_name}, {many} runs of seven steps, {kills} kills"));
    let begun = Instant::now();
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::start().await;
    let mut program = Program::new(folder.path(), database);
    let key = program.key();
    block_in_place(|| program.start());
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
    let client = std::sync::Arc::new(Client { http, url: program.url(), key: key.clone() });
    let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut lives = tokio::task::JoinSet::new();
    for number in 0..many {
        let (client, sink, slots) = (client.clone(), sink.clone(), slots.clone());
        lives.spawn(async move {
            let _slot = slots.acquire().await.expect("a slot");
            live(&client, &sink, format!("run-{number}"), Chance::new(seed, number)).await
        });
    }
    let mut chance = Chance::new(seed, 2_000_000);
    let (mut left, mut ended) = (kills, Vec::new());
    while ended.len() < usize::try_from(many).expect("few") {
        tokio::select! {
            life = lives.join_next() => ended.push(life.expect("a run").expect("it ends")),
            () = tokio::time::sleep(chance.millis(40, 400)), if left > 0 => {
                left -= 1;
                block_in_place(|| {
                    program.kill();
                    program.start();
                });
            }
        }
    }
    let results = results(&client.url, &key).await;
    let counts = sink.counts();
    let mut repeated = 0;
    for (id, name, at_cancel) in &ended {
        for step in ["look", "put", "pay", "left", "right", "last"] {
            let called = counts.get(&format!("{name}/{step}")).copied().unwrap_or_default();
            repeated += called.saturating_sub(1);
            if ["pay", "last"].contains(&step) {
                assert!(called <= 1, "{name}: {step} was called {called} times");
            }
            if let Some(before) = at_cancel {
                let before = before.get(&format!("{name}/{step}")).copied().unwrap_or_default();
                assert!(called <= before, "{name}: {step} was called after its cancellation was answered");
            } else {
                assert!(called >= 1, "{name}: {step} was never called");
            }
        }
        for (step, times) in results.get(id).into_iter().flatten() {
            assert_eq!(*times, 1, "{name}: {step} has {times} results");
        }
    }
    let cancelled = ended.iter().filter(|(_, _, at_cancel)| at_cancel.is_some()).count();
    println!(
        "  {} kills, {cancelled} cancelled, {repeated} calls repeated that may be, {:.0} s",
        kills - left,
        begun.elapsed().as_secs_f64()
    );
}

/// How many results each step of each run has, from the stream of all updates, which has no gap.
async fn results(url: &str, key: &str) -> BTreeMap<String, BTreeMap<String, u32>> {
    use futures_util::StreamExt as _;
    let address = format!("{}/ws/executions?api_key={key}&after=0", url.replacen("http", "ws", 1));
    let (mut socket, _) = tokio_tungstenite::connect_async(address).await.expect("the socket opens");
    let (mut results, mut seqs) = (BTreeMap::<String, BTreeMap<String, u32>>::new(), BTreeSet::new());
    // Nothing happens any more: what does not come for a while does not come.
    while let Ok(Some(Ok(message))) = tokio::time::timeout(Duration::from_secs(2), socket.next()).await {
        let Ok(text) = message.to_text() else { continue };
        let Ok(frame) = serde_json::from_str::<Value>(text) else { continue };
        seqs.insert(frame["seq"].as_i64().expect("a seq"));
        let step = &frame["data"]["step_result"];
        if step["status"] == "completed" {
            let run = results.entry(frame["data"]["execution_id"].as_str().expect("an id").to_owned()).or_default();
            *run.entry(step["step_id"].as_str().expect("a step").to_owned()).or_default() += 1;
        }
    }
    let last = seqs.last().copied().unwrap_or_default();
    assert_eq!(seqs.len(), usize::try_from(last).expect("few"), "every update up to the last is there");
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_runs_keep_their_word() {
    go_through("SQLite", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_runs_keep_their_word() {
    let cluster = block_in_place(Cluster::start_own);
    let database = cluster.create_database().await;
    go_through("PostgreSQL", Some(&database.url)).await;
}
