//! SQLite: one connection writes and commits in groups, a few others read.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Row as _};
use tokio::sync::mpsc;

use super::query::Connection;
use super::transaction::{Job, Ran, Transaction};
use crate::bus::Bus;

/// Below this version a crash between two connections' checkpoints can corrupt a WAL database.
const OLDEST_VERSION: (u32, u32, u32) = (3, 51, 3);

/// The most writes that share one commit: bounds how long the first of them waits.
const LARGEST_GROUP: usize = 256;

const READERS: u32 = 4;

pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(256)
        .pragma("cache_size", "-16000")
        .pragma("journal_size_limit", "67108864")
}

/// Opens the connection that writes, and proves that it is as durable as promised.
pub(super) async fn open_writer(path: &Path) -> anyhow::Result<(SqliteConnection, String)> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    }
    let mut connection = SqliteConnection::connect_with(&options(path))
        .await
        .with_context(|| format!("failed to open the database {}", path.display()))?;
    let version: String = sqlx::query("SELECT sqlite_version()").fetch_one(&mut connection).await?.try_get(0)?;
    assert_version(&version)?;
    let journal: String = sqlx::query("PRAGMA journal_mode").fetch_one(&mut connection).await?.try_get(0)?;
    ensure!(journal == "wal", "{} cannot use a write-ahead log (journal mode {journal})", path.display());
    let synchronous: i64 = sqlx::query("PRAGMA synchronous").fetch_one(&mut connection).await?.try_get(0)?;
    ensure!(synchronous == 2, "SQLite runs with synchronous={synchronous}, needed is 2 (FULL)");
    Ok((connection, version))
}

fn assert_version(version: &str) -> anyhow::Result<()> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) = (numbers.next(), numbers.next(), numbers.next()) else {
        bail!("SQLite says its version is {version:?}");
    };
    let (a, b, c) = OLDEST_VERSION;
    ensure!((major, minor, patch) >= OLDEST_VERSION, "SQLite {version} is too old, needed is {a}.{b}.{c}");
    Ok(())
}

pub(super) async fn open_readers(path: &Path) -> anyhow::Result<SqlitePool> {
    let pool = SqlitePoolOptions::new()
        .max_connections(READERS)
        .min_connections(0)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .connect_with(options(path).read_only(true).create_if_missing(false))
        .await?;
    Ok(pool)
}

/// Commits whatever waits, group after group, until the senders are gone.
pub(super) async fn write_in_groups(
    mut connection: SqliteConnection,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    bus: Arc<Bus>,
) {
    let mut group = Vec::with_capacity(LARGEST_GROUP);
    while queue.recv_many(&mut group, LARGEST_GROUP).await > 0 {
        commit_group(&mut connection, &bus, std::mem::take(&mut group)).await;
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "failed to close the database");
    }
}

/// One transaction for the whole group. Work that fails before it wrote does not disturb the others; work that fails
/// later dissolves the group, and each member is then tried in a transaction of its own.
async fn commit_group(connection: &mut SqliteConnection, bus: &Bus, mut jobs: Vec<Box<dyn Job>>) {
    match try_group(connection, bus, &mut jobs).await {
        Outcome::Committed => jobs.into_iter().for_each(|job| job.settle(Ok(()))),
        Outcome::Failed(error) => {
            tracing::error!(%error, writes = jobs.len(), "failed to commit");
            jobs.into_iter().for_each(|job| job.settle(Err(error.clone())));
        }
        Outcome::Dissolved => {
            for job in jobs {
                let mut alone = vec![job];
                let outcome = try_group(connection, bus, &mut alone).await;
                for job in alone {
                    match &outcome {
                        Outcome::Committed | Outcome::Dissolved => job.settle(Ok(())),
                        Outcome::Failed(error) => {
                            tracing::error!(%error, "failed to commit");
                            job.settle(Err(error.clone()));
                        }
                    }
                }
            }
        }
    }
}

enum Outcome {
    Committed,
    /// Rolled back because one of the group failed after it wrote.
    Dissolved,
    Failed(Arc<sqlx::Error>),
}

async fn try_group(connection: &mut SqliteConnection, bus: &Bus, jobs: &mut [Box<dyn Job>]) -> Outcome {
    let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await;
    if let Err(error) = begun {
        return Outcome::Failed(Arc::new(error));
    }
    let mut transaction = Transaction::new(Connection::Sqlite(&mut *connection));
    for job in jobs.iter_mut() {
        let frames = transaction.frames();
        transaction.begin_work();
        if job.run(&mut transaction).await != Ran::Succeeded {
            transaction.forget_frames(frames);
            if transaction.wrote() {
                drop(transaction);
                return match sqlx::query("ROLLBACK").execute(&mut *connection).await {
                    Ok(_) => Outcome::Dissolved,
                    Err(error) => Outcome::Failed(Arc::new(error)),
                };
            }
        }
    }
    let frames = transaction.into_frames();
    if let Err(error) = sqlx::query("COMMIT").execute(&mut *connection).await {
        // A failed COMMIT may leave the transaction open; nothing of it was acknowledged.
        let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        return Outcome::Failed(Arc::new(error));
    }
    bus.publish(frames);
    Outcome::Committed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_the_log_reset_fault_are_refused() {
        for old in ["3.40.1", "3.51.2", "3.7.0", "nonsense"] {
            assert!(assert_version(old).is_err(), "{old}");
        }
        for good in ["3.51.3", "3.52.1", "4.0.0"] {
            assert!(assert_version(good).is_ok(), "{good}");
        }
    }
}
