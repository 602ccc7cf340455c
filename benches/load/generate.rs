//! One round of load: everybody connects, speaks for a while, and the round is told as one line of JSON.

use std::io::{Error, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::process::{cpu_time, resident};
use crate::wire::{Wire, text_frame};

/// Before the clock starts.
const WARM_UP: Duration = Duration::from_millis(500);
/// Connections that are opened at the same time.
const AT_ONCE: usize = 50;

#[derive(Clone, Copy, ValueEnum)]
enum Job {
    /// Each connection says the next thing when the last was answered.
    Talk,
    /// Things are said at a fixed rate, whether or not the last was answered.
    Paced,
    /// `POST /command`, each connection one after the other.
    Command,
    /// Connections that say nothing; the memory they take.
    Idle,
    /// One connection, one reply, tried until the server is there.
    First,
}

#[derive(clap::Args)]
pub(crate) struct Settings {
    job: Job,
    /// The server, as HOST:PORT.
    #[arg(long)]
    address: String,
    #[arg(long)]
    pid: u32,
    /// Parlour's API key; without it the server is the bare one.
    #[arg(long)]
    key: Option<String>,
    /// Speak the plain form of the web socket.
    #[arg(long)]
    plain: bool,
    /// Sockets that say nothing follow their conversation.
    #[arg(long)]
    follow: bool,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Messages a second of `paced`.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
}

/// What a round came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Replies a second.
    pub(crate) rate: f64,
    /// The server's time on the processor for each reply, in microseconds.
    pub(crate) cpu: f64,
    /// Milliseconds from a message to its reply.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// KiB of memory for each connection.
    pub(crate) memory: f64,
}

pub(crate) fn run(settings: Settings) -> anyhow::Result<()> {
    // With the interval the sockets are looked at as often as the clock is.
    let runtime = tokio::runtime::Builder::new_current_thread().event_interval(7).enable_all().build()?;
    let round = runtime.block_on(async {
        let settings = Arc::new(settings);
        match settings.job {
            Job::Talk | Job::Command => closed(settings).await,
            Job::Paced => paced(settings).await,
            Job::Idle => idle(settings).await,
            Job::First => first(settings).await,
        }
    })?;
    println!("{}", serde_json::to_string(&round)?);
    Ok(())
}

/// One speaker: a connection, what it sends, and how it knows its answer.
struct Speaker {
    wire: Wire,
    message: Vec<u8>,
    answers: Answers,
}

#[derive(Clone, Copy)]
enum Answers {
    Http,
    /// One frame.
    Bare,
    /// An acknowledgement, and what the bot says.
    Parlour,
}

impl Speaker {
    async fn open(settings: &Settings) -> Result<Self> {
        let mut wire = Wire::connect(&settings.address).await?;
        if matches!(settings.job, Job::Command) {
            let message = command(settings);
            return Ok(Self { wire, message, answers: Answers::Http });
        }
        let Some(key) = &settings.key else {
            wire.upgrade("").await?;
            let message = json!({ "type": "message", "id": "m1", "content": "command 3", "session_id": "s1" });
            return Ok(Self { wire, message: text_frame(&message.to_string()), answers: Answers::Bare });
        };
        let create = post("/api/session/create", &format!("Authorization: Bearer {key}\r\n"), r#"{"bot_id":"bench"}"#);
        wire.write(&create).await?;
        let session: Value = serde_json::from_slice(wire.answer().await?)?;
        let session = session["session_id"].as_str().unwrap_or_default();
        let protocol = if settings.plain { "" } else { "Sec-WebSocket-Protocol: parlour.v1\r\n" };
        wire.upgrade(&format!("Authorization: Bearer {key}\r\n{protocol}")).await?;
        wire.text().await?;
        let silent = matches!(settings.job, Job::Idle) && !settings.follow;
        if !(settings.plain || silent) {
            let subscribe = json!({ "type": "subscribe", "stream": format!("conv:{session}"), "after": 0 });
            wire.write(&text_frame(&subscribe.to_string())).await?;
            while !wire.text().await?.starts_with(br#"{"type":"caught_up""#) {}
        }
        // Every message must have its own id, or it would be the same message; the place of the number is filled in.
        let message = json!({ "type": "message", "id": "m00000000", "session_id": session, "content": "command 3" });
        Ok(Self { wire, message: text_frame(&message.to_string()), answers: Answers::Parlour })
    }

    async fn round_trip(&mut self, number: u32) -> Result<()> {
        if let Answers::Parlour = self.answers {
            let text = format!("m{number:08}");
            if let Some(place) = find(&self.message, br#""id":""#) {
                self.message[place + 6..place + 6 + text.len()].copy_from_slice(text.as_bytes());
            }
        }
        self.wire.write(&self.message).await?;
        match self.answers {
            Answers::Http => self.wire.answer().await.map(|_| ()),
            Answers::Bare => match self.wire.text().await? {
                frame if frame.starts_with(br#"{"type":"reply""#) => Ok(()),
                frame => Err(unexpected(frame)),
            },
            Answers::Parlour => {
                let (mut acknowledged, mut replied) = (false, false);
                while !(acknowledged && replied) {
                    let frame = self.wire.text().await?;
                    if frame.starts_with(br#"{"type":"ack""#) {
                        acknowledged = true;
                    } else if frame.starts_with(br#"{"type":"error""#) {
                        return Err(unexpected(frame));
                    } else {
                        replied |= find(frame, br#""content":"reply 3""#).is_some();
                    }
                }
                Ok(())
            }
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn unexpected(frame: &[u8]) -> Error {
    Error::other(String::from_utf8_lossy(frame).into_owned())
}

fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn command(settings: &Settings) -> Vec<u8> {
    match &settings.key {
        Some(key) => {
            let key = format!("Authorization: Bearer {key}\r\n");
            post("/command?invoke=true", &key, r#"{"command":"command-3","parameters":[]}"#)
        }
        None => post("/command", "", r#"{"content":"command 3","session_id":"s1"}"#),
    }
}

/// Opens all speakers, some at a time, each of which has had its first answer.
async fn speakers(settings: &Arc<Settings>) -> Result<Vec<Speaker>> {
    let (mut opening, mut open, mut left) = (JoinSet::new(), Vec::new(), settings.connections);
    loop {
        while left > 0 && opening.len() < AT_ONCE {
            left -= 1;
            let settings = settings.clone();
            opening.spawn(async move {
                let mut speaker = Speaker::open(&settings).await?;
                if !matches!(settings.job, Job::Idle) {
                    speaker.round_trip(0).await?;
                }
                Ok::<_, Error>(speaker)
            });
        }
        match opening.join_next().await {
            Some(speaker) => open.push(speaker??),
            None => return Ok(open),
        }
    }
}

/// Runs the tasks of a round and tells what came of it. Each answers the latencies that fall into the time measured.
async fn measured(settings: &Settings, begin: Instant, tasks: JoinSet<Result<Vec<Duration>>>) -> Result<Round> {
    tokio::time::sleep_until(begin.into()).await;
    let before = cpu_time(settings.pid)?;
    tokio::time::sleep_until((begin + Duration::from_secs_f64(settings.seconds)).into()).await;
    let cpu = cpu_time(settings.pid)? - before;
    let mut latencies = Vec::new();
    for of_one in tasks.join_all().await {
        latencies.extend(of_one?);
    }
    latencies.sort_unstable();
    let quantile = |part: f64| {
        let place = (latencies.len() as f64 * part) as usize;
        latencies.get(place.min(latencies.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    Ok(Round {
        rate: latencies.len() as f64 / settings.seconds,
        cpu: cpu.as_secs_f64() * 1e6 / latencies.len().max(1) as f64,
        p50: quantile(0.5),
        p99: quantile(0.99),
        memory: 0.0,
    })
}

async fn closed(settings: Arc<Settings>) -> Result<Round> {
    let speakers = speakers(&settings).await?;
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs_f64(settings.seconds);
    let mut tasks = JoinSet::new();
    for mut speaker in speakers {
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            for number in 1.. {
                let sent = Instant::now();
                speaker.round_trip(number).await?;
                let answered = Instant::now();
                if answered >= end {
                    break;
                }
                if answered >= begin {
                    latencies.push(answered - sent);
                }
            }
            Ok(latencies)
        });
    }
    measured(&settings, begin, tasks).await
}

async fn paced(settings: Arc<Settings>) -> Result<Round> {
    let speakers = speakers(&settings).await?;
    let first = Instant::now() + Duration::from_millis(50);
    let begin = first + WARM_UP;
    let end = begin + Duration::from_secs_f64(settings.seconds);
    let (mut tasks, mut due_of) = (JoinSet::new(), Vec::new());
    for mut speaker in speakers {
        let (due, mut dues) = mpsc::unbounded_channel::<Instant>();
        due_of.push(due);
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            for number in 1.. {
                let Some(due) = dues.recv().await else { break };
                speaker.round_trip(number).await?;
                // From when it should have been sent: waiting for an answer before it counts.
                if due >= begin {
                    latencies.push(due.elapsed());
                }
            }
            Ok(latencies)
        });
    }
    // A timer is a millisecond late, so the clock is asked over and over instead.
    let pace = Duration::from_secs_f64(1.0 / settings.rate);
    let mut pacer = JoinSet::new();
    pacer.spawn(async move {
        let mut due = first;
        for speaker in (0..due_of.len()).cycle() {
            while Instant::now() < due {
                tokio::task::yield_now().await;
            }
            if due >= end || due_of[speaker].send(due).is_err() {
                break;
            }
            due += pace;
        }
    });
    measured(&settings, begin, tasks).await
}

async fn idle(settings: Arc<Settings>) -> Result<Round> {
    let few = Settings { connections: AT_ONCE, ..clone(&settings) };
    let _warm = speakers(&Arc::new(few)).await?;
    let before = resident(settings.pid)?;
    let all = speakers(&settings).await?;
    let grown = resident(settings.pid)?.saturating_sub(before);
    Ok(Round { memory: grown as f64 / all.len() as f64, ..Round::default() })
}

fn clone(settings: &Settings) -> Settings {
    Settings { address: settings.address.clone(), key: settings.key.clone(), ..*settings }
}

async fn first(settings: Arc<Settings>) -> Result<Round> {
    loop {
        let Ok(mut speaker) = Speaker::open(&settings).await else {
            tokio::task::yield_now().await;
            continue;
        };
        speaker.round_trip(1).await?;
        return Ok(Round::default());
    }
}
