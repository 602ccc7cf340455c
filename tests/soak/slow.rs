//! Readers that do not read: a thousand sockets that follow busy conversations and take nothing, or next to nothing.
//! What they cost the server and everybody else is measured; in the end they read on, and nothing may be missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinSet, block_in_place};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::knob;
use crate::people::Stage;
use crate::program::Program;

const SESSIONS: usize = 10;
/// Messages a second, by all speakers together.
const RATE: u32 = 100;
/// How long the speakers are alone first.
const ALONE: Duration = Duration::from_secs(20);
/// What the system may hold for a slow reader.
const RECEIVE_BUFFER: u32 = 4 * 1024;
/// Half of the slow readers take one frame this often, and so stay; the others take none.
const TRICKLE: Duration = Duration::from_secs(5);
/// What one slow reader may cost the server.
const MOST_KIB: u64 = 256;
/// How many times longer the others may wait for their answers.
const MOST_SLOWER: f64 = 2.0;
/// The shortest 99th percentile that is taken for one: below it a moment of the machine's decides.
const LEAST_P99: f64 = 5.0;

type Socket = WebSocketStream<TcpStream>;

struct Place<'a> {
    url: &'a str,
    key: &'a str,
}

impl Place<'_> {
    /// A socket with little room for what it does not read.
    async fn socket(&self) -> Socket {
        let host = self.url.trim_start_matches("http://");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("a small buffer");
        let stream = socket.connect(host.parse().expect("an address")).await.expect("the server answers");
        let mut request = format!("ws://{host}/ws").into_client_request().expect("an address");
        let headers = request.headers_mut();
        headers.insert("authorization", format!("Bearer {}", self.key).parse().expect("a header"));
        headers.insert("sec-websocket-protocol", "parlour.v1".parse().expect("a header"));
        let config = WebSocketConfig::default().read_buffer_size(1024);
        tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await.expect("the socket opens").0
    }

    /// Reads server-sent events after `seen` up to `head`, or until the connection ends.
    async fn read_on(&self, session: &str, seen: &mut u64, head: u64) {
        let path = format!("{}/api/session/{session}/events?after={seen}", self.url);
        let request = reqwest::Client::new().get(path).bearer_auth(self.key).header("accept", "text/event-stream");
        let Ok(answer) = request.send().await else { return };
        assert_eq!(answer.status(), 200);
        let (mut pieces, mut rest) = (answer.bytes_stream(), Vec::new());
        while *seen < head
            && let Some(Ok(piece)) = pieces.next().await
        {
            rest.extend_from_slice(&piece);
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for line in rest.drain(..whole).as_slice().split(|byte| *byte == b'\n') {
                if let Some(id) = line.strip_prefix(b"id: ") {
                    see(std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).expect("a place"), seen);
                }
            }
        }
    }
}

async fn follow(socket: &mut Socket, session: &str, after: u64) {
    let frame = json!({ "type": "subscribe", "stream": format!("conv:{session}"), "after": after, "limit": 1000 });
    socket.send(Message::text(frame.to_string())).await.expect("it is sent");
}

/// The place of an event; `None` for frames that are none.
fn seq(frame: &str) -> Option<u64> {
    let rest = frame.strip_prefix(r#"{"type":"message","stream":""#)?;
    let (_, rest) = rest.split_once(r#""seq":"#)?;
    rest.split(',').next()?.parse().ok()
}

/// One that takes little or nothing until it is told to; answers how many connections it needed.
async fn read_slowly(url: String, key: String, session: String, trickles: bool, wake: Arc<Wake>) -> u32 {
    let place = Place { url: &url, key: &key };
    let mut socket = place.socket().await;
    let (mut seen, mut connections) = (0, 1);
    follow(&mut socket, &session, 0).await;
    let mut woken = wake.head.subscribe();
    while trickles && woken.borrow().is_none() {
        tokio::select! {
            // Slowness is the point.
            () = tokio::time::sleep(TRICKLE) => if !take(&mut socket, &mut seen).await { break },
            _ = woken.changed() => {}
        }
    }
    let head = woken.wait_for(Option::is_some).await.expect("a head").as_ref().map(|heads| heads[&session]);
    let head = head.expect("the conversation has a head");
    while seen < head && take(&mut socket, &mut seen).await {}
    drop(socket);
    while seen < head {
        // Sent away, and further behind than a subscription replays.
        connections += 1;
        place.read_on(&session, &mut seen, head).await;
    }
    connections
}

fn see(seq: u64, seen: &mut u64) {
    assert!(seq > *seen, "event {seq} came again after {seen}");
    assert_eq!(seq, *seen + 1, "something is left out");
    *seen = seq;
}

/// Takes one frame; `false` when the connection has ended.
async fn take(socket: &mut Socket, seen: &mut u64) -> bool {
    match socket.next().await {
        Some(Ok(Message::Text(frame))) => {
            if let Some(seq) = seq(&frame) {
                see(seq, seen);
            }
            true
        }
        Some(Ok(Message::Close(_))) => false,
        Some(Ok(_)) => true,
        Some(Err(_)) | None => false,
    }
}

struct Wake {
    /// The newest place of each conversation, once nothing more is said.
    head: tokio::sync::watch::Sender<Option<std::collections::HashMap<String, u64>>>,
}

/// Speaks at a fixed rate and measures, from when each message was due, until its answer is there.
async fn speak(
    url: String,
    key: String,
    session: String,
    number: usize,
    done: Arc<AtomicBool>,
) -> Vec<(Instant, Duration)> {
    let place = Place { url: &url, key: &key };
    let mut socket = place.socket().await;
    follow(&mut socket, &session, 0).await;
    let pace = Duration::from_secs(1) * u32::try_from(SESSIONS).expect("few") / RATE;
    let mut due = Instant::now() + pace * u32::try_from(number).expect("few") / u32::try_from(SESSIONS).expect("few");
    let mut latencies = Vec::new();
    for count in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let id = format!("s{number}-{}-{count}", due.elapsed().as_nanos());
        let said = json!({ "type": "message", "id": id, "session_id": session, "content": format!("greet {id}") });
        socket.send(Message::text(said.to_string())).await.expect("it is sent");
        loop {
            let frame = socket.next().await.expect("a frame").expect("a frame").into_text().expect("text");
            assert!(!frame.starts_with(r#"{"type":"error""#), "{frame}");
            if seq(&frame).is_some() && frame.contains(r#""kind":"bot""#) && frame.contains(&id) {
                break;
            }
        }
        latencies.push((due, due.elapsed()));
        due += pace;
    }
    latencies
}

/// What the speakers measured, in milliseconds.
struct Measured {
    p50: f64,
    p99: f64,
    /// The 99th percentile of each tenth of the time.
    tenths: Vec<f64>,
}

fn percentile(latencies: &mut [Duration], part: usize) -> f64 {
    latencies.sort_unstable();
    let at = (latencies.len() * part / 100).min(latencies.len().saturating_sub(1));
    latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

/// All speakers for a while.
async fn talk(url: &str, key: &str, sessions: &[String], time: Duration, mut watch: impl FnMut()) -> Measured {
    let (done, mut speakers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for (number, session) in sessions.iter().enumerate() {
        speakers.spawn(speak(url.to_owned(), key.to_owned(), session.clone(), number, done.clone()));
    }
    let begun = Instant::now();
    while begun.elapsed() < time {
        tokio::time::sleep(Duration::from_secs(1)).await;
        watch();
    }
    done.store(true, Ordering::Relaxed);
    let measured: Vec<(Instant, Duration)> = speakers.join_all().await.into_iter().flatten().collect();
    let tenth = |number: u32| {
        let (from, until) = (begun + time * number / 10, begun + time * (number + 1) / 10);
        let within = measured.iter().filter(|(due, _)| (from..until).contains(due));
        percentile(&mut within.map(|(_, latency)| *latency).collect::<Vec<_>>(), 99)
    };
    let tenths = (0..10).map(tenth).collect();
    let mut latencies: Vec<Duration> = measured.iter().map(|(_, latency)| *latency).collect();
    Measured { p50: percentile(&mut latencies, 50), p99: percentile(&mut latencies, 99), tenths }
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_costs_nobody_else() {
    let slow = knob("PARLOUR_SOAK_SLOW_READERS", 1000);
    let seconds = knob("PARLOUR_SOAK_SLOW_SECONDS", 300);
    let folder = tempfile::tempdir().expect("a folder");
    let mut program = Program::new(folder.path(), None);
    let (key, url) = (program.key(), program.url());
    block_in_place(|| program.start());
    let stage = Stage::open(&url, &key, SESSIONS).await;
    let alone = talk(&url, &key, &stage.sessions, ALONE, || ()).await;

    let wake = Arc::new(Wake { head: tokio::sync::watch::Sender::new(None) });
    let mut readers = JoinSet::new();
    let before = resident_kib(program.pid());
    for number in 0..slow {
        let session = stage.sessions[usize::try_from(number).expect("few") % SESSIONS].clone();
        readers.spawn(read_slowly(url.clone(), key.clone(), session, number % 2 == 0, wake.clone()));
    }
    let (pid, mut most) = (program.pid(), before);
    let time = Duration::from_secs(seconds);
    let beside = talk(&url, &key, &stage.sessions, time, || most = most.max(resident_kib(pid))).await;

    let mut heads = std::collections::HashMap::new();
    for session in 0..SESSIONS {
        heads.insert(stage.sessions[session].clone(), stage.log(session).await.len() as u64);
    }
    let events: u64 = heads.values().sum();
    wake.head.send_replace(Some(heads));
    let connections: u32 = readers.join_all().await.into_iter().sum();
    let each = (most - before) / slow.max(1);
    let slower = beside.p99 / alone.p99.max(LEAST_P99);
    let tenths: Vec<String> = beside.tenths.iter().map(|p99| format!("{p99:.1}")).collect();
    println!(
        "{slow} readers that do not read, {RATE} messages a second for {seconds} s, {events} events:\n  \
         alone p50 {:.1} ms, p99 {:.1} ms; beside them p50 {:.1} ms, p99 {:.1} ms ({slower:.2} times)\n  \
         p99 of each tenth of the time: {} ms\n  \
         memory {:.1} MiB before, {:.1} MiB at most, {each} KiB for each of them\n  \
         all of them read on to the end, over {connections} connections: nothing missing, nothing twice, in order",
        alone.p50,
        alone.p99,
        beside.p50,
        beside.p99,
        tenths.join(", "),
        before as f64 / 1024.0,
        most as f64 / 1024.0,
    );
    assert!(each <= MOST_KIB, "a slow reader costs {each} KiB");
    assert!(slower <= MOST_SLOWER, "the others wait {slower:.2} times as long");
    program.kill();
}
