//! Writers and readers together, from the first word to the closing of the account.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::chance::Chance;
use crate::knob;
use crate::ledger::Logged;
use crate::people::{self, Stage};
use crate::program::Program;

const SESSIONS: usize = 4;
const SOCKET_WRITERS: usize = 8;
const REST_WRITERS: usize = 4;
/// Readers of each session, beside one that polls.
const SOCKET_READERS: usize = 3;

/// The longest that writers and readers may take to come to an end when nothing disturbs them any more.
const LAST_WORDS: Duration = Duration::from_secs(120);

/// The seed of this run, told so that its moments can be repeated.
pub(crate) fn seed(name: &str) -> u64 {
    let seed = knob("PARLOUR_SOAK_SEED", u64::from(getrandom::u32().expect("random numbers")));
    println!("{name}: PARLOUR_SOAK_SEED={seed}");
    seed
}

pub(crate) struct Crowd {
    pub(crate) stage: Arc<Stage>,
    writers: JoinSet<()>,
    readers: JoinSet<(usize, Vec<u64>)>,
}

impl Crowd {
    /// Everybody begins to talk and to read on a server that runs.
    pub(crate) async fn gather(url: &str, key: &str, seed: u64) -> Self {
        let stage = Stage::open(url, key, SESSIONS).await;
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
        Self { stage, writers, readers }
    }

    /// Lets everybody come to an end, ends the server, and closes the account; a fault in it fails the run.
    pub(crate) async fn dismiss(self, program: &mut Program) {
        let Self { mut stage, writers, readers } = self;
        stage.quiet.send_replace(true);
        tokio::time::timeout(LAST_WORDS, writers.join_all()).await.expect("all that was said is acknowledged in time");
        let mut logs: Vec<Vec<Logged>> = Vec::new();
        for session in 0..SESSIONS {
            logs.push(stage.log(session).await);
        }
        stage.lengths.send_replace(Some(logs.iter().map(Vec::len).collect()));
        let reading = tokio::time::timeout(LAST_WORDS, readers.join_all());
        let seen = reading.await.expect("the readers come to the end in time");
        program.kill();
        // A message that was sent a second time by another door may still be on its way back; the server is gone now.
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
        println!("  {summary}");
    }
}
