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
use crate::world::{Asked, World};

/// Runs under way at the same time.
const AT_ONCE: usize = 8;

/// How many of a hundred runs are cancelled in the middle.
const CANCELLED: u64 = 10;

/// The longest that all of it may take: a run that never ends fails it.
const LONGEST: Duration = Duration::from_secs(45 * 60);

/// What is called, and what of it may be called once only.
const CALLED: [&str; 6] = ["look", "put", "pay", "left", "right", "last"];
const ONCE: [&str; 2] = ["pay", "last"];

pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    pub(crate) fn new(url: String, key: String) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
        Self { http, url, key }
    }

    /// Asks until it is answered; the server may be down meanwhile.
    pub(crate) async fn ask(&self, method: reqwest::Method, path: &str, key: &str, body: &Value) -> (u16, Value) {
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

/// How a run went.
struct Life {
    id: String,
    name: String,
    /// Of a run that was cancelled: how often each thing may have been called, as it was known when that was answered.
    most: Option<BTreeMap<String, u32>>,
}

/// Starts a run and follows it to its end; some are cancelled on the way.
async fn live(client: &Client, world: &World, name: String, mut chance: Chance) -> Life {
    let body = json!({ "playbook_path": "seven.yaml", "parameters": { "sink": world.url, "run": name } });
    let (status, started) = client.ask(reqwest::Method::POST, "/api/executions", &name, &body).await;
    assert_eq!(status, 200, "{started}");
    let id = started["execution_id"].as_str().expect("an id").to_owned();
    let mut most = None;
    if chance.percent(CANCELLED) {
        tokio::time::sleep(chance.millis(1, 1200)).await;
        let path = format!("/api/executions/{id}/cancel");
        let (status, answer) = client.ask(reqwest::Method::POST, &path, &name, &json!({})).await;
        // What had ended before is not cancelled.
        if status == 200 {
            // What was in flight may still arrive; nothing else may.
            let mut counts: BTreeMap<String, u32> =
                world.asked().into_iter().map(|(what, asked)| (what, asked.times)).collect();
            for step in answer["in_flight"].as_array().expect("a list").iter().filter_map(Value::as_str) {
                let step = step.rsplit('.').next().unwrap_or(step);
                *counts.entry(format!("{name}/{step}")).or_default() += 1;
            }
            most = Some(counts);
        } else {
            assert_eq!(status, 409, "{answer}");
        }
    }
    loop {
        let (_, run) = client.ask(reqwest::Method::GET, &format!("/api/executions/{id}"), &name, &json!({})).await;
        match run["status"].as_str().unwrap_or_default() {
            "completed" => {
                assert!(most.is_none(), "a cancelled run was completed: {run}");
                assert_eq!(run["output"], json!({ "seen": 200 }), "{run}");
                let all = run["step_results"].as_array().expect("steps");
                assert!(all.iter().all(|step| step["status"] == "completed"), "{run}");
                return Life { id, name, most };
            }
            "cancelled" => {
                assert!(most.is_some(), "nobody cancelled it: {run}");
                return Life { id, name, most };
            }
            "pending" | "running" => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => panic!("neither completed nor cancelled: {run}"),
        }
    }
}

async fn go_through(database_name: &str, database: Option<&str>) {
    let (many, kills) = (knob("PARLOUR_SOAK_RUNS", 300), knob("PARLOUR_SOAK_RUN_KILLS", 1000));
    let seed = seed(&format!("{database_name}, {many} runs of seven steps"));
    let begun = Instant::now();
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(seed).await;
    let mut program = Program::new(folder.path(), database);
    let key = program.key();
    block_in_place(|| program.start());
    let client = std::sync::Arc::new(Client::new(program.url(), key.clone()));
    let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut lives = tokio::task::JoinSet::new();
    for number in 0..many {
        let (client, world, slots) = (client.clone(), world.clone(), slots.clone());
        lives.spawn(async move {
            let _slot = slots.acquire().await.expect("a slot");
            live(&client, &world, format!("run-{number}"), Chance::new(seed, number)).await
        });
    }
    let mut chance = Chance::new(seed, 2_000_000);
    let (mut left, mut ended) = (kills, Vec::new());
    let mut next = Box::pin(tokio::time::sleep(chance.millis(200, 900)));
    while ended.len() < usize::try_from(many).expect("few") {
        tokio::select! {
            life = lives.join_next() => ended.push(life.expect("a run").expect("it ends")),
            () = &mut next, if left > 0 => {
                left -= 1;
                block_in_place(|| {
                    program.kill();
                    program.start();
                });
                next = Box::pin(tokio::time::sleep(chance.millis(200, 900)));
            }
        }
        assert!(begun.elapsed() < LONGEST, "{} of {many} runs have ended", ended.len());
    }
    let told = told(&client.url, &key).await;
    let repeated = settle(&ended, &world.asked(), &told.results);
    let cancelled = ended.iter().filter(|life| life.most.is_some()).count();
    println!(
        "  {} runs completed, {cancelled} cancelled, {} kills in {:.0} s; {} calls, {repeated} of them again as they may be, \
         {} once; {} updates without a gap",
        ended.len() - cancelled,
        kills - left,
        begun.elapsed().as_secs_f64(),
        world.asked().values().map(|asked| asked.times).sum::<u32>(),
        world.asked().iter().filter(|(what, _)| ONCE.iter().any(|once| what.ends_with(once))).count(),
        told.updates,
    );
}

/// Holds what the runs came to against what the world was asked; answers how many calls were made again.
fn settle(lives: &[Life], asked: &BTreeMap<String, Asked>, results: &BTreeMap<String, BTreeMap<String, u32>>) -> u32 {
    let mut repeated = 0;
    for Life { id, name, most } in lives {
        for step in CALLED {
            let Asked { times, keys } = asked.get(&format!("{name}/{step}")).cloned().unwrap_or_default();
            repeated += times.saturating_sub(1);
            if ONCE.contains(&step) {
                assert!(times <= 1, "{name}: {step} was called {times} times");
            }
            // Whatever is called again can be known again.
            assert!(keys.iter().collect::<BTreeSet<_>>().len() <= 1, "{name}: {step} had the keys {keys:?}");
            match most {
                Some(most) => {
                    let most = most.get(&format!("{name}/{step}")).copied().unwrap_or_default();
                    assert!(times <= most, "{name}: {step} was called after its cancellation was answered");
                }
                None => assert!(times >= 1, "{name}: {step} was never called"),
            }
        }
        for (step, times) in results.get(id).into_iter().flatten() {
            assert_eq!(*times, 1, "{name}: {step} has {times} results");
        }
        if most.is_none() {
            assert_eq!(results[id].len(), 9, "{name}: each of its steps has a result: {:?}", results[id]);
        }
    }
    repeated
}

/// What the stream of all updates tells, which has no gap.
struct Told {
    /// How many results each step of each run has.
    results: BTreeMap<String, BTreeMap<String, u32>>,
    updates: usize,
}

async fn told(url: &str, key: &str) -> Told {
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
    Told { results, updates: seqs.len() }
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
