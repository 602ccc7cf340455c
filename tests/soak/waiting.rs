//! Runs that sleep or wait: rows, and nothing else.

use std::fs;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use tokio::task::block_in_place;

use crate::knob;
use crate::program::Program;
use crate::runs::Client;

/// How long an idle server is watched.
const WATCHED: Duration = Duration::from_secs(5);

/// The most memory one waiting run may take, in bytes, and the most processor time of all of them, of what was watched. A
/// task with a timer would be several times that; what is left is the database's own cache, and how one start differs from
/// another.
const MOST_BYTES: u64 = 1024;
const MOST_BUSY: f64 = 0.02;

/// What a process takes: memory in bytes, threads, timers of its own, and its share of a processor while it is watched.
struct Takes {
    memory: u64,
    threads: u64,
    busy: f64,
}

async fn takes(pid: u32) -> Takes {
    let field = |name: &str| -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
        fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    };
    // What starting up still does is none of theirs.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = ticks();
    tokio::time::sleep(WATCHED).await;
    // A tick is ten milliseconds.
    let busy = (ticks() - before) as f64 / 100.0 / WATCHED.as_secs_f64();
    Takes { memory: field("VmRSS:") * 1024, threads: field("Threads:"), busy }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_runs_take_nothing() {
    let many = knob("PARLOUR_SOAK_WAITING", 5000);
    let folder = tempfile::tempdir().expect("a folder");
    let mut program = Program::new(folder.path(), None);
    let key = program.key();
    block_in_place(|| program.start());
    let none = takes(program.pid()).await;
    let client = Client::new(program.url(), key);
    let starts = (0..many).map(|number| {
        let client = &client;
        let how = ["sleep", "event", "word"][usize::try_from(number % 3).expect("few")];
        let body = json!({ "playbook_path": "asleep.yaml", "parameters": { "how": how } });
        async move {
            let key = format!("asleep-{number}");
            let (status, started) = client.ask(reqwest::Method::POST, "/api/executions", &key, &body).await;
            assert_eq!(status, 200, "{started}");
        }
    });
    futures_util::stream::iter(starts).buffer_unordered(50).collect::<Vec<()>>().await;
    // What starting them has left in caches is none of theirs either: a new process knows them from the database.
    block_in_place(|| program.stop());
    block_in_place(|| program.start());
    let all = takes(program.pid()).await;
    let each = all.memory.saturating_sub(none.memory) / many;
    println!(
        "{many} waiting runs: {:.1} MiB with none, {:.1} MiB with all ({each} bytes each); {} threads, {}; busy {:.4}, {:.4}",
        none.memory as f64 / 1048576.0,
        all.memory as f64 / 1048576.0,
        none.threads,
        all.threads,
        none.busy,
        all.busy,
    );
    assert!(each <= MOST_BYTES, "a waiting run takes {each} bytes");
    assert!(all.threads <= none.threads + 2, "threads for waiting runs");
    assert!(all.busy <= none.busy + MOST_BUSY, "waiting runs keep the processor busy");
}
