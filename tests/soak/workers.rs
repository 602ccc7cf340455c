//! A worker that dies: what it had is somebody else's within its lease and two seconds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::postgres::Cluster;
use crate::program::Program;
use crate::runs::Client;
use crate::world::World;

/// Runs that the worker has when it dies.
const RUNS: u32 = 40;

/// As `program` sets it.
const LEASE: Duration = Duration::from_secs(1);

/// Runs that are in a state.
async fn ids(client: &Client, status: &str) -> Vec<String> {
    let path = format!("/api/executions?limit=200&status={status}");
    let (_, runs) = client.ask(reqwest::Method::GET, &path, "list", &Value::Null).await;
    let runs = runs.as_array().expect("a list");
    runs.iter().map(|run| run["execution_id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_worker_had_is_noticed_in_time() {
    let cluster = block_in_place(Cluster::start_own);
    let database = cluster.create_database().await;
    let world = World::start(0).await;
    let folders = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let workers = "PARLOUR_FLOWS__WORKERS";
    let mut dies = Program::new(folders.0.path(), Some(&database.url)).with(workers, "100");
    // The other one has room for one step only, so that nearly all are the first one's.
    let mut lives = Program::new(folders.1.path(), Some(&database.url)).with(workers, "1");
    let key = dies.key();
    block_in_place(|| dies.start());
    let there = Client::new(dies.url(), key.clone());
    for number in 0..RUNS {
        let body = json!({ "playbook_path": "held.yaml", "parameters": { "sink": world.url } });
        let (status, started) =
            there.ask(reqwest::Method::POST, "/api/executions", &format!("held-{number}"), &body).await;
        assert_eq!(status, 200, "{started}");
    }
    world.has_held(RUNS).await;
    block_in_place(|| lives.start());
    let here = Client::new(lives.url(), key);
    assert_eq!(ids(&here, "running").await.len(), usize::try_from(RUNS).expect("few"));
    let died = Instant::now();
    block_in_place(|| dies.kill());
    while !ids(&here, "running").await.is_empty() {
        assert!(died.elapsed() < LEASE + Duration::from_secs(2), "runs of a dead worker are still running");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let noticed = died.elapsed();
    // Nobody knows whether they happened, so a person is asked about each, and none is done again.
    let asked = ids(&here, "paused").await;
    assert_eq!(asked.len(), usize::try_from(RUNS).expect("few"));
    for id in asked {
        let path = format!("/api/executions/{id}/resolve");
        let (status, answer) = here.ask(reqwest::Method::POST, &path, &id, &json!({ "outcome": "happened" })).await;
        assert_eq!(status, 200, "{answer}");
    }
    while ids(&here, "completed").await.len() < usize::try_from(RUNS).expect("few") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("a dead worker: {RUNS} runs noticed after {:.2} s, with a lease of {LEASE:?}", noticed.as_secs_f64());
    world.open();
}
