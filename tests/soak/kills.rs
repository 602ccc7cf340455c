//! Killed at random moments: the server by `kill -9`, PostgreSQL by a crash.

use std::time::Instant;

use tokio::task::block_in_place;

use crate::chance::Chance;
use crate::crowd::{Crowd, seed};
use crate::knob;
use crate::postgres::Cluster;
use crate::program::Program;

/// What happens while people talk.
struct Ordeal<'a> {
    kills: u64,
    crashes: u64,
    cluster: Option<&'a Cluster>,
}

async fn go_through(name: &str, ordeal: Ordeal<'_>, database: Option<&str>) {
    let seed = seed(&format!("{name}, {} kills, {} crashes of the database", ordeal.kills, ordeal.crashes));
    let begun = Instant::now();
    let folder = tempfile::tempdir().expect("a folder");
    let mut program = Program::new(folder.path(), database);
    let key = program.key();
    block_in_place(|| program.start());
    let crowd = Crowd::gather(&program.url(), &key, seed).await;
    let mut chance = Chance::new(seed, 1_000_000);
    let (mut kills, mut crashes) = (ordeal.kills, ordeal.crashes);
    while kills + crashes > 0 {
        // The random moment is the point of it all; nothing is waited for.
        tokio::time::sleep(chance.millis(1, 500)).await;
        let is_crash = chance.below(kills + crashes) < crashes;
        crowd.stage.ledger.server_went_away();
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
            println!("  {} to go, {} acknowledged", kills + crashes, crowd.stage.ledger.acknowledgements());
        }
    }
    crowd.dismiss(&mut program).await;
    println!("  {:.0} s", begun.elapsed().as_secs_f64());
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
