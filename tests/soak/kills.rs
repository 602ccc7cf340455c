//! Killed at random moments: the server by `kill -9`, PostgreSQL by a crash.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, block_in_place};

use crate::chance::Chance;
use crate::knob;
use crate::people::{self, Stage};
use crate::postgres::Cluster;
use crate::program::Program;

const SESSIONS: usize = 4;
const SOCKET_WRITERS: usize = 8;
const REST_WRITERS: usize = 4;
/// Readers of each session, beside one that polls.
const SOCKET_READERS: usize = 3;

/// The longest that writers and readers may take to come to an end when nothing disturbs them any more.
const LAST_WORDS: Duration = Duration::from_secs(120);

/// What happens while people talk.
struct Ordeal<'a> {
    kills: u64,
    crashes: u64,
    cluster: Option<&'a Cluster>,
}

async fn go_through(name: &str, ordeal: Ordeal<'_>, database: Option<&str>) {
    let seed = knob("PARLOUR_SOAK_SEED", u64::from(getrandom::u32().expect("random numbers")));
    println!("{name}: {} kills, {} crashes of the database, PARLOUR_SOAK_SEED={seed}", ordeal.kills, ordeal.crashes);
    let begun = Instant::now();
    let folder = tempfile::tempdir().expect("a folder");
    let mut program = Program::new(folder.path(), database);
    let key = program.key();
    block_in_place(|| program.start());
    let stage = Stage::open(&program.url(), &key, SESSIONS).await;

    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    for writer in 0..SOCKET_WRITERS + REST_WRITERS {
        let (stage, chance) = (stage.clone(), Chance::new(seed, writer as u64));
        match writer < SOCKET_WRITERS {
            true => writers.spawn(people::write_over_socket(stage, writer, chance)),
            false => writers.spawn(people::write_over_rest(stage, writer, chance)),
        };
    }
    for session in 0..SESSIONS {
        for reader in 0..SOCKET_READERS {
            let chance = Chance::new(seed, 1000 + (session * SOCKET_READERS + reader) as u64);
            readers.spawn(people::read_over_socket(stage.clone(), session, chance));
        }
        readers.spawn(people::read_by_polling(stage.clone(), session));
    }

    let mut chance = Chance::new(seed, 1_000_000);
    let (mut kills, mut crashes) = (ordeal.kills, ordeal.crashes);
    while kills + crashes > 0 {
        // The random moment is the point of it all; nothing is waited for.
        tokio::time::sleep(chance.millis(1, 500)).await;
        let is_crash = chance.below(kills + crashes) < crashes;
        stage.ledger.server_went_away();
        if is_crash {
            crashes -= 1;
            let cluster = ordeal.cluster.expect("a cluster to crash");
            block_in_place(|| cluster.crash());
            tokio::time::sleep(chance.millis(1, 300)).await;
            block_in_place(|| cluster.start());
        } else {
            kills -= 1;
            block_in_place(|| {
                program.kill();
                program.start();
            });
        }
        if (kills + crashes) % 50 == 0 {
            println!("  {} to go, {} acknowledged", kills + crashes, stage.ledger.acknowledgements());
        }
    }
    stage.quiet.send_replace(true);
    tokio::time::timeout(LAST_WORDS, writers.join_all()).await.expect("all that was said is acknowledged in time");
    let mut logs = Vec::new();
    for session in 0..SESSIONS {
        logs.push(stage.log(session).await);
    }
    stage.lengths.send_replace(Some(logs.iter().map(Vec::len).collect()));
    let reading = tokio::time::timeout(LAST_WORDS, readers.join_all());
    let seen = reading.await.expect("the readers come to the end in time");
    program.kill();
    // A message that was sent a second time by another door may still be on its way back; the server is gone now.
    let mut stage = stage;
    let stage = loop {
        match Arc::try_unwrap(stage) {
            Ok(stage) => break stage,
            Err(shared) => {
                stage = shared;
                tokio::task::yield_now().await;
            }
        }
    };
    let summary = stage.ledger.close(&logs, &seen).unwrap_or_else(|faults| panic!("{faults}"));
    println!("  {summary}\n  {:.0} s", begun.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_its_word() {
    let ordeal = Ordeal { kills: knob("PARLOUR_SOAK_KILLS", 200), crashes: 0, cluster: None };
    go_through("SQLite", ordeal, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_its_word() {
    let cluster = block_in_place(Cluster::start_own);
    let database = cluster.create_database().await;
    let kills = knob("PARLOUR_SOAK_POSTGRES_KILLS", 50);
    let ordeal = Ordeal { kills, crashes: knob("PARLOUR_SOAK_CRASHES", 20), cluster: Some(&cluster) };
    go_through("PostgreSQL", ordeal, Some(&database.url)).await;
}
