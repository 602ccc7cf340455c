//! PostgreSQL: several connections write, one transaction for each piece of work; the server groups their commits.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::DropGuard;

use super::neighbours::NEIGHBOURS;
use super::query::{Connection, Failure};
use super::transaction::{Job, Ran, Transaction};
use crate::bus::Bus;
use crate::crash_point;

/// Writes under way at the same time.
pub(super) const WRITERS: u32 = 8;
const READERS: u32 = 8;

/// How often work that collided is run again before its caller is told.
const TRIES: u32 = 8;

/// Opens the pool and proves that a commit is on disk when it is acknowledged.
pub(super) async fn open(url: &str) -> anyhow::Result<(PgPool, String)> {
    let options: PgConnectOptions = url.parse().context("the database address is not a PostgreSQL URL")?;
    let options = options.application_name("parlour").statement_cache_capacity(256);
    let pool = PgPoolOptions::new()
        .max_connections(WRITERS + READERS + NEIGHBOURS)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options)
        .await
        .context("failed to reach PostgreSQL")?;
    let synchronous: String = sqlx::query("SHOW synchronous_commit").fetch_one(&pool).await?.try_get(0)?;
    ensure!(synchronous != "off", "PostgreSQL runs with synchronous_commit=off and would lose acknowledged messages");
    let version: String = sqlx::query("SHOW server_version").fetch_one(&pool).await?.try_get(0)?;
    let version = version.split(' ').next().unwrap_or_default().to_owned();
    Ok((pool, version))
}

/// One of the writers: takes work from the shared queue until the senders are gone. `_writing` is held until then.
pub(super) async fn write_one_by_one(
    pool: PgPool,
    queue: Arc<Mutex<mpsc::Receiver<Box<dyn Job>>>>,
    bus: Arc<Bus>,
    _writing: Arc<DropGuard>,
) {
    loop {
        let next = queue.lock().await.recv().await;
        let Some(mut job) = next else { return };
        let mut outcome = try_job(&pool, &bus, job.as_mut()).await;
        for _ in 1..TRIES {
            if !matches!(outcome, Ok(Ran::Collided)) {
                break;
            }
            outcome = try_job(&pool, &bus, job.as_mut()).await;
        }
        match outcome {
            Ok(_) => {
                job.settle(Ok(()));
                crash_point::reached("store.answered");
            }
            Err(error) => {
                tracing::error!(%error, "failed to commit");
                job.settle(Err(Arc::new(error)));
            }
        }
    }
}

async fn try_job(pool: &PgPool, bus: &Bus, job: &mut dyn Job) -> Result<Ran, Failure> {
    let mut begun = pool.begin().await?;
    crash_point::reached("store.begun");
    let mut transaction = Transaction::new(Connection::Postgres(&mut begun), bus.is_heard());
    let ran = job.run(&mut transaction).await;
    let frames = transaction.into_frames();
    if ran == Ran::Succeeded {
        crash_point::reached("store.worked");
        begun.commit().await?;
        crash_point::reached("store.committed");
        bus.publish(frames);
        crash_point::reached("store.published");
    } else {
        begun.rollback().await?;
    }
    Ok(ran)
}
