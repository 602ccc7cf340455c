//! Floor 2: the database. The only place that holds SQL.
//!
//! [`Store`] is one concrete type over SQLite and PostgreSQL. All writing goes through [`Store::write`]: a unit of
//! [`Work`](transaction::Work) is queued, committed (on SQLite together with whatever else waits) and only then
//! answered, and only then are its events announced on the bus. Reading takes a connection from a pool.
//!
//! Start reading at [`log`], the truth that every reader resumes from, then `turn`, the one transaction of a message
//! and its answer.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, Postgres, SqlSafeStr as _, Sqlite};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::model::grant::Grants;
use crate::model::{Error, Result};
use crate::tasks::Tasks;

pub mod account;
pub mod action;
pub mod adapter_state;
mod alone;
pub mod api_key;
pub mod approval;
pub mod artifact;
pub mod audit;
pub mod change;
pub mod conversation;
pub mod credential;
pub mod credential_token;
pub mod delivery;
pub mod dialog;
pub mod directory;
pub mod execution;
pub mod file;
pub mod grant;
pub mod group;
pub mod inbox;
pub mod log;
pub mod message_key;
mod neighbours;
pub mod outbox;
pub mod people;
pub mod place;
mod postgres;
pub mod principal;
pub mod prune;
mod query;
mod quiet;
pub mod rate;
pub mod read_mark;
pub mod replay;
pub mod rewrite;
pub mod run;
pub mod schedule;
pub mod scim;
pub mod search;
pub mod service;
pub mod session;
pub mod slack_install;
mod sqlite;
pub mod stats;
pub mod step;
mod transaction;
pub mod turn;
pub mod vault;
pub mod webhook;
pub mod workflow;

pub use alone::Alone;
pub use quiet::Unrest;

use query::{Connection, query};
use transaction::{Job, Waiting, Work, failed};

/// How many writes may wait before callers do.
pub const QUEUE: usize = 4096;

/// Which database, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Target {
    /// `postgres://…` and `postgresql://…` name a server; anything else is a SQLite file, with or without `sqlite:`.
    pub fn parse(text: &str) -> Self {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Self::Postgres(text.to_owned());
        }
        Self::Sqlite(PathBuf::from(text.strip_prefix("sqlite://").or(text.strip_prefix("sqlite:")).unwrap_or(text)))
    }
}

enum Pool {
    Sqlite(sqlx::SqlitePool),
    Postgres(sqlx::PgPool),
}

/// The database of one installation. Cheap to share behind an `Arc`.
pub struct Store {
    pool: Pool,
    queue: std::sync::Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    bus: Arc<Bus>,
    replays: replay::Replays,
    epoch: String,
    version: String,
    /// Handed to every principal that is read.
    grants: Grants,
    /// Held while grants are read.
    loading: Mutex<()>,
}

enum Reader {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Reader {
    fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(connection) => Connection::Sqlite(connection),
            Self::Postgres(connection) => Connection::Postgres(connection),
        }
    }
}

impl Store {
    /// Opens the database, brings its schema up to date and starts the writers.
    pub async fn open(target: &Target, bus: Arc<Bus>, tasks: &Tasks) -> anyhow::Result<Arc<Self>> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (pool, epoch, version) = match target {
            Target::Sqlite(path) => {
                let mut connection = sqlite::open(path).await?;
                migrator().run(&mut connection).await.context(OUTDATED)?;
                let epoch = epoch(&mut Connection::Sqlite(&mut connection)).await?;
                connection.close().await?;
                let (writer, version) = sqlite::open_writer(path)?;
                let pool = sqlite::open_readers(path).await?;
                let announcer = bus.clone();
                tasks.spawn_blocking("sqlite writer", move || sqlite::write_in_groups(writer, receiver, &announcer));
                (Pool::Sqlite(pool), epoch, format!("SQLite {version}"))
            }
            Target::Postgres(url) => {
                let (pool, version) = postgres::open(url).await?;
                let mut connection = pool.acquire().await?;
                migrator().run(&mut *connection).await.context(OUTDATED)?;
                let epoch = epoch(&mut Connection::Postgres(&mut connection)).await?;
                drop(connection);
                let written = CancellationToken::new();
                let (queue, writing) = (Arc::new(Mutex::new(receiver)), Arc::new(written.clone().drop_guard()));
                for _ in 0..postgres::WRITERS {
                    let writer = postgres::write_one_by_one(pool.clone(), queue.clone(), bus.clone(), writing.clone());
                    tasks.spawn("postgres writer", writer);
                }
                neighbours::stay_in_touch(&pool, &bus, written, tasks);
                (Pool::Postgres(pool), epoch, format!("PostgreSQL {version}"))
            }
        };
        let queue = std::sync::Mutex::new(Some(sender));
        let (grants, loading) = (Grants::default(), Mutex::default());
        let replays = replay::Replays::default();
        let store = Arc::new(Self { pool, queue, bus, replays, epoch, version, grants, loading });
        store.load_grants().await.context("failed to read the grants")?;
        Ok(store)
    }

    /// Names the lineage of this database: another one after a restore, so that readers start afresh.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Which database this is, such as `SQLite 3.51.3`.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn bus(&self) -> &Arc<Bus> {
        &self.bus
    }

    /// Lets what is queued be written, then ends the writers. Later writes are refused.
    pub fn close(&self) {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        let mut reader = self.reader().await?;
        query("SELECT 1").one(&mut reader.connection()).await.map_err(failed)?;
        Ok(())
    }

    /// How many writes wait for their turn.
    pub fn waiting_writes(&self) -> usize {
        let queue = self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    async fn reader(&self) -> Result<Reader> {
        match &self.pool {
            Pool::Sqlite(pool) => Box::pin(pool.acquire()).await.map(Reader::Sqlite),
            Pool::Postgres(pool) => Box::pin(pool.acquire()).await.map(Reader::Postgres),
        }
        .map_err(failed)
    }

    /// Runs work in a transaction and answers after its commit.
    async fn write<W: Work>(&self, work: W) -> Result<W::Output> {
        let closed = || Error::unavailable("the server is shutting down");
        let queue = self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let (job, outcome) = Waiting::queued(work);
        queue.ok_or_else(closed)?.send(job).await.map_err(|_| closed())?;
        crate::crash_point::reached("store.queued");
        outcome.await.map_err(|_| closed())?
    }
}

const OUTDATED: &str = "failed to bring the database up to date";

/// The released migrations.
fn migrator() -> Migrator {
    let files = [
        (1, "foundation", include_str!("../../migrations/0001_foundation.sql")),
        (2, "read marks", include_str!("../../migrations/0002_read_marks.sql")),
        (3, "dialogs", include_str!("../../migrations/0003_dialogs.sql")),
        (4, "files", include_str!("../../migrations/0004_files.sql")),
        (5, "message keys", include_str!("../../migrations/0005_message_keys.sql")),
        (6, "deliveries", include_str!("../../migrations/0006_deliveries.sql")),
        (7, "directory sign-in", include_str!("../../migrations/0007_directory_sign_in.sql")),
        (8, "audit", include_str!("../../migrations/0008_audit.sql")),
        (9, "keys and rates", include_str!("../../migrations/0009_keys_and_rates.sql")),
        (11, "people", include_str!("../../migrations/0011_people.sql")),
        (12, "scim", include_str!("../../migrations/0012_scim.sql")),
        (13, "authorisation", include_str!("../../migrations/0013_authorisation.sql")),
        (14, "approvals", include_str!("../../migrations/0014_approvals.sql")),
        (15, "outside chats", include_str!("../../migrations/0015_outside_chats.sql")),
        (16, "linked accounts", include_str!("../../migrations/0016_linked_accounts.sql")),
        (17, "adapter states", include_str!("../../migrations/0017_adapter_states.sql")),
        (19, "workflows", include_str!("../../migrations/0019_workflows.sql")),
        (20, "runs", include_str!("../../migrations/0020_runs.sql")),
        (22, "vault and connectors", include_str!("../../migrations/0022_vault_and_connectors.sql")),
        (23, "webhooks", include_str!("../../migrations/0023_webhooks.sql")),
        (24, "reminders", include_str!("../../migrations/0024_reminders.sql")),
        (25, "slack installs", include_str!("../../migrations/0025_slack_installs.sql")),
        (27, "artifacts", include_str!("../../migrations/0027_artifacts.sql")),
        (28, "run indexes", include_str!("../../migrations/0028_run_indexes.sql")),
        (29, "credential tokens", include_str!("../../migrations/0029_credential_tokens.sql")),
        (30, "schedules", include_str!("../../migrations/0030_schedules.sql")),
    ];
    let migrations = files.into_iter().map(|(version, name, text)| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Reads the epoch, making it at the first start.
async fn epoch(connection: &mut Connection<'_>) -> anyhow::Result<String> {
    let fresh = crate::model::id::random_hex::<4>()?;
    query("INSERT INTO meta (name, value) VALUES ('epoch', $1) ON CONFLICT (name) DO NOTHING")
        .bind(&fresh)
        .execute(connection)
        .await?;
    let row = query("SELECT value FROM meta WHERE name = 'epoch'").one(connection).await?;
    Ok(row.get(0)?)
}
