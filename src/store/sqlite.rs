//! SQLite: one connection writes and commits in groups, a few others read.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::FutureExt as _;
use sqlx::Connection as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::mpsc;

use super::query::{Connection, Failure};
use super::transaction::{Job, Ran, Transaction};
use crate::bus::Bus;
use crate::crash_point;

/// Below this version a crash between two connections' checkpoints can corrupt a WAL database.
const OLDEST_VERSION: (u32, u32, u32) = (3, 51, 3);

/// The most writes that share one commit: bounds how long the first of them waits.
const LARGEST_GROUP: usize = 256;

const READERS: u32 = 4;

/// How long a statement waits for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// Page cache of each connection, in KiB when negative.
const CACHE: i64 = -4000;

/// Pages that the write-ahead log grows to before they are copied into the file: a page that changes often is then
/// copied once. More would make a start after a crash slower.
const CHECKPOINT: i64 = 4000;

pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .pragma("cache_size", CACHE.to_string())
}

/// Opens the file for migrations, making it and its folder when they are not there.
pub(super) async fn open(path: &Path) -> anyhow::Result<SqliteConnection> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    }
    let opened = SqliteConnection::connect_with(&options(path)).await;
    opened.with_context(|| format!("failed to open the database {}", path.display()))
}

/// Opens the connection that writes, and proves that it is as durable as promised. It is a connection of its own kind:
/// sqlx hands every statement to another thread and back, which costs more than the statement.
pub(super) fn open_writer(path: &Path) -> anyhow::Result<(rusqlite::Connection, String)> {
    let connection = rusqlite::Connection::open(path)
        .with_context(|| format!("failed to open the database {} for writing", path.display()))?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(256);
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", CACHE)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    let ask = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, rusqlite::types::Value>(0));
    let journal = ask("journal_mode")?;
    ensure!(journal == "wal".to_owned().into(), "{} cannot use a write-ahead log ({journal:?})", path.display());
    let synchronous = ask("synchronous")?;
    ensure!(synchronous == 2.into(), "SQLite runs with synchronous={synchronous:?}, needed is 2 (FULL)");
    let version = rusqlite::version().to_owned();
    assert_version(&version)?;
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

/// Commits whatever waits, group after group, until the senders are gone. Runs on a thread of its own.
pub(super) fn write_in_groups(
    mut connection: rusqlite::Connection,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    bus: &Bus,
) {
    let mut group = Vec::with_capacity(LARGEST_GROUP);
    let mut trusted = true;
    while queue.blocking_recv_many(&mut group, LARGEST_GROUP) > 0 {
        let jobs = std::mem::take(&mut group);
        if !trusted && let Err(error) = start_log_afresh(&connection) {
            fail(jobs, error);
            continue;
        }
        trusted = commit_group(&mut connection, bus, jobs);
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "failed to close the database");
    }
}

/// One transaction for the whole group. Work that fails before it wrote does not disturb the others; work that fails
/// later dissolves the group, and each member is then tried in a transaction of its own. Answers whether the write-ahead
/// log can still be trusted.
fn commit_group(connection: &mut rusqlite::Connection, bus: &Bus, mut jobs: Vec<Box<dyn Job>>) -> bool {
    let mut trusted = true;
    match try_group(connection, bus, &mut jobs) {
        Outcome::Committed => {
            jobs.into_iter().for_each(|job| job.settle(Ok(())));
            crash_point::reached("store.answered");
        }
        Outcome::Failed(error) => {
            trusted = !is_file_fault(&error);
            fail(jobs, error);
        }
        Outcome::Dissolved => {
            for job in jobs {
                let mut alone = vec![job];
                match try_group(connection, bus, &mut alone) {
                    // Rolled back alone: the work itself knows why.
                    Outcome::Committed | Outcome::Dissolved => alone.into_iter().for_each(|job| job.settle(Ok(()))),
                    Outcome::Failed(error) => {
                        trusted &= !is_file_fault(&error);
                        fail(alone, error);
                    }
                }
            }
        }
    }
    trusted
}

/// Whether reading or writing the file failed, and not only what was asked of it.
fn is_file_fault(error: &Failure) -> bool {
    error.sqlite_code() == Some(rusqlite::ffi::SQLITE_IOERR)
}

/// After a failed sync the system may count pages as written that never reached the disk, and a later sync would say
/// nothing of them. So what was committed is copied into the database, which writes and syncs all of it anew, and the log
/// begins again from nothing. Until that has worked nothing is written.
fn start_log_afresh(connection: &rusqlite::Connection) -> Result<(), Failure> {
    let unfinished: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
    if unfinished {
        return Err(Failure::Direct(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("a reader holds the write-ahead log".to_owned()),
        )));
    }
    tracing::info!("the write-ahead log was started afresh after a fault of the file");
    Ok(())
}

fn fail(jobs: Vec<Box<dyn Job>>, error: Failure) {
    tracing::error!(%error, writes = jobs.len(), "failed to commit");
    let error = Arc::new(error);
    jobs.into_iter().for_each(|job| job.settle(Err(error.clone())));
}

enum Outcome {
    Committed,
    /// Rolled back because one of the group failed after it wrote.
    Dissolved,
    Failed(Failure),
}

fn try_group(connection: &mut rusqlite::Connection, bus: &Bus, jobs: &mut [Box<dyn Job>]) -> Outcome {
    let run = |connection: &rusqlite::Connection, text: &str| {
        connection.prepare_cached(text)?.execute(()).map_err(Failure::from)
    };
    if let Err(error) = run(connection, "BEGIN IMMEDIATE") {
        return Outcome::Failed(error);
    }
    crash_point::reached("store.begun");
    let mut transaction = Transaction::new(Connection::Direct(connection), bus.is_heard());
    for job in jobs.iter_mut() {
        let frames = transaction.frames();
        transaction.begin_work();
        // On this connection every statement is done when it is asked for, so the work never waits.
        if job.run(&mut transaction).now_or_never() != Some(Ran::Succeeded) {
            transaction.forget_frames(frames);
            if transaction.wrote() {
                drop(transaction);
                return run(connection, "ROLLBACK").map_or_else(Outcome::Failed, |_| Outcome::Dissolved);
            }
        }
    }
    let frames = transaction.into_frames();
    crash_point::reached("store.worked");
    if let Err(error) = run(connection, "COMMIT") {
        // A failed COMMIT may leave the transaction open; nothing of it was acknowledged.
        let _ = run(connection, "ROLLBACK");
        return Outcome::Failed(error);
    }
    crash_point::reached("store.committed");
    bus.publish(frames);
    crash_point::reached("store.published");
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
