//! One round: runs are started, so many at the same time, and the steps of all of them call back here. A run is over when
//! its last step has called. The round is told as one line of JSON.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::process::{cpu_time, resident};

/// Steps of a run; the last one always calls.
pub(crate) const STEPS: i64 = 10;

/// Before the clock starts.
const WARM_UP: Duration = Duration::from_millis(700);

/// The longest that one run may take.
const LONGEST: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub(crate) struct Settings {
    /// `calls`: every step calls; `values`: the last one, the others set a value.
    job: String,
    /// The server, as HOST:PORT.
    #[arg(long)]
    address: String,
    #[arg(long)]
    pid: u32,
    /// Parlour's API key; without it the server is another one.
    #[arg(long)]
    key: Option<String>,
    /// Runs at the same time.
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only the first run, tried until the server is there.
    #[arg(long)]
    first: bool,
}

/// What a round came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Runs a second.
    pub(crate) rate: f64,
    /// The server's time on the processor for each run, in microseconds.
    pub(crate) cpu: f64,
    /// Milliseconds from the request to the first call, the median.
    pub(crate) first: f64,
    /// Milliseconds from the request to the last call.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// MiB of memory at the end.
    pub(crate) memory: f64,
}

struct Under {
    begun: Instant,
    first: Option<Duration>,
    over: oneshot::Sender<(Duration, Duration)>,
}

/// The service that steps call.
#[derive(Clone, Default)]
struct Sink {
    runs: Arc<Mutex<HashMap<String, Under>>>,
}

#[derive(Deserialize)]
struct Which {
    run: String,
}

async fn step(State(sink): State<Sink>, Path(step): Path<i64>, Query(which): Query<Which>) -> axum::Json<bool> {
    let mut runs = sink.runs.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(run) = runs.get_mut(&which.run) {
        let first = *run.first.get_or_insert_with(|| run.begun.elapsed());
        if step == STEPS
            && let Some(run) = runs.remove(&which.run)
        {
            let _ = run.over.send((first, run.begun.elapsed()));
        }
    }
    axum::Json(true)
}

struct Driver {
    settings: Settings,
    client: reqwest::Client,
    sink: Sink,
    url: String,
}

impl Driver {
    /// One run, from its request to its last call: when its first call came, and its last.
    async fn run(&self, run: &str) -> anyhow::Result<(Duration, Duration)> {
        let Settings { job, address, key, .. } = &self.settings;
        let (over, is_over) = oneshot::channel();
        let under = Under { begun: Instant::now(), first: None, over };
        self.sink.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(run.to_owned(), under);
        let request = match key {
            Some(key) => self.client.post(format!("http://{address}/api/executions")).header("x-api-key", key).json(
                &json!({ "playbook_path": format!("{job}.yaml"), "parameters": { "sink": self.url, "run": run } }),
            ),
            None => self.client.post(format!("http://{address}/{job}")).json(&json!({ "sink": self.url, "run": run })),
        };
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "a run was not started: {status} {text}");
        tokio::time::timeout(LONGEST, is_over).await.context("a run did not end")?.context("the sink is gone")
    }
}

pub(crate) fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", serde_json::to_string(&runtime.block_on(drive(settings))?)?);
    Ok(())
}

async fn drive(settings: Settings) -> anyhow::Result<Round> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let sink = Sink::default();
    let router = Router::new().route("/step/{step}", get(step)).with_state(sink.clone());
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = reqwest::Client::builder().tcp_nodelay(true).build()?;
    let driver = Arc::new(Driver { settings, client, sink, url });
    let pid = driver.settings.pid;
    if driver.settings.first {
        let deadline = Instant::now() + LONGEST;
        while let Err(error) = driver.run("first").await {
            if Instant::now() > deadline {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        return Ok(Round { memory: resident(pid)? as f64 / 1024.0, ..Round::default() });
    }
    let begun = Instant::now();
    let until = begun + WARM_UP + Duration::from_secs_f64(driver.settings.seconds);
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..driver.settings.at_once {
        let driver = driver.clone();
        workers.spawn(async move {
            let mut lives = Vec::new();
            for number in 0_u32.. {
                let times = driver.run(&format!("w{worker}n{number}")).await?;
                let now = Instant::now();
                if now >= until {
                    break;
                }
                if now >= begun + WARM_UP {
                    lives.push(times);
                }
            }
            anyhow::Ok(lives)
        });
    }
    tokio::time::sleep_until((begun + WARM_UP).into()).await;
    let before = cpu_time(pid)?;
    tokio::time::sleep_until(until.into()).await;
    let busy = cpu_time(pid)? - before;
    let memory = resident(pid)? as f64 / 1024.0;
    let mut lives = Vec::new();
    while let Some(worker) = workers.join_next().await {
        lives.extend(worker??);
    }
    ensure!(!lives.is_empty(), "no run ended in time");
    let millis = |part: fn(&(Duration, Duration)) -> Duration, at: f64| {
        let mut times: Vec<f64> = lives.iter().map(|life| part(life).as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        times[((times.len() - 1) as f64 * at) as usize]
    };
    Ok(Round {
        rate: lives.len() as f64 / driver.settings.seconds,
        cpu: busy.as_secs_f64() * 1e6 / lives.len() as f64,
        first: millis(|life| life.0, 0.5),
        p50: millis(|life| life.1, 0.5),
        p99: millis(|life| life.1, 0.99),
        memory,
    })
}
