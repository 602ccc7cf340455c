//! The process dies at every named place that a run passes; the world outside is touched as often as was promised.

use std::collections::BTreeMap;
use std::path::Path;

use parlour::crash_point::RUNS;
use serde_json::{Value, json};

use crate::support::postgres;
use crate::support::process::{Process, key};
use crate::support::server::Client;
use crate::support::sink::Sink;

/// How often a place is passed before the process dies there.
const PASSES: [u32; 3] = [1, 2, 5];

fn start(data: &Path, database: Option<&str>, point: Option<&str>) -> Process {
    let mut environment = vec![
        ("PARLOUR_PLAYBOOKS", "[\"tests/fixtures/playbooks\"]"),
        ("PARLOUR_FETCH__ALLOW_PRIVATE", "[\"127.0.0.0/8\"]"),
        ("PARLOUR_FLOWS__LEASE", "1s"),
    ];
    environment.extend(point.map(|point| ("PARLOUR_CRASH_POINT", point)));
    Process::start_with(data, database, &environment).expect("the program says its address")
}

/// Starts a run; whoever got no answer asks again with the same key.
async fn launch(program: &Client, sink: &Sink, name: &str) -> Option<String> {
    let body = json!({ "playbook_path": "seven.yaml", "parameters": { "sink": sink.url, "run": name } });
    let keyed = program.with("idempotency-key", name);
    let answer = keyed.request(reqwest::Method::POST, "/api/executions").json(&body).send().await.ok()?;
    let started: Value = answer.json().await.ok()?;
    Some(started["execution_id"].as_str().expect("an id").to_owned())
}

async fn survives(data: &Path, database: Option<&str>) {
    let sink = Sink::start().await;
    let key = key(data, database);
    let mut names = Vec::new();
    for point in RUNS {
        for passes in PASSES {
            let crash = format!("{point}:{passes}:listening");
            let mut dying = start(data, database, Some(&crash));
            let program = Client::with_key(&dying.url, &key);
            let name = format!("{}-{passes}", point.replace('.', "-"));
            launch(&program, &sink, &name).await;
            names.push(name);
            assert!(!dying.ended().success(), "{crash} ends the process");
        }
    }
    let process = start(data, database, None);
    let program = Client::with_key(&process.url, &key);
    let mut runs = BTreeMap::new();
    for name in &names {
        runs.insert(launch(&program, &sink, name).await.expect("it is started"), name.clone());
    }
    let mut socket = program.watch_runs(Some(0)).await;
    let mut completed: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut left = runs.len();
    while left > 0 {
        let frame = socket.next().await;
        let data = &frame["data"];
        let id = data["execution_id"].as_str().expect("an id").to_owned();
        match (data["step_result"]["step_id"].as_str(), data["step_result"]["status"].as_str()) {
            (Some(step), Some("completed")) => *completed.entry((id, step.to_owned())).or_default() += 1,
            (None, _) if data["status"] == "completed" => left -= 1,
            (None, _) => {
                assert!(["running", "pending"].contains(&data["status"].as_str().expect("a status")), "{frame}")
            }
            _ => {}
        }
    }
    let deaths = u32::try_from(names.len()).expect("a few");
    for (id, name) in &runs {
        for step in ["look", "put", "keep", "pay", "nap", "both", "both.a.left", "both.b.right", "last"] {
            let times = completed.get(&(id.clone(), step.to_owned()));
            assert_eq!(times, Some(&1), "{name}: {step} has one result");
        }
        let counts = sink.counts();
        let count = |step: &str| counts.get(&format!("{name}/{step}")).copied().unwrap_or_default();
        assert_eq!((count("pay"), count("last")), (1, 1), "{name}: what happens once happens once");
        for step in ["look", "put", "left", "right"] {
            // What may happen again does so once for each death at most: runs of earlier rounds are under way in later ones.
            assert!((1..=deaths + 1).contains(&count(step)), "{name}: {step} was called {} times", count(step));
        }
    }
}

#[tokio::test]
async fn sqlite_runs_survive_every_crash_point() {
    let folder = tempfile::tempdir().unwrap();
    survives(folder.path(), None).await;
}

#[tokio::test]
async fn postgres_runs_survive_every_crash_point() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::Database::create().await;
    survives(folder.path(), Some(&database.url)).await;
}
