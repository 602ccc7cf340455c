//! The yardstick: the least that does ten steps and keeps the result of each before the next. One row with
//! `synchronous=FULL` for a step, in the commit of everybody who waits. It has no documents, plans, leases, events or users.

use std::path::PathBuf;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use serde::Deserialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::drive::STEPS;

/// Rows of one commit.
const LARGEST_GROUP: usize = 256;

#[derive(clap::Args)]
pub(crate) struct Settings {
    #[arg(long)]
    listen: String,
    #[arg(long)]
    database: PathBuf,
}

#[derive(Deserialize)]
struct Start {
    run: String,
    sink: String,
}

struct Row {
    run: String,
    step: i64,
    result: String,
    stored: oneshot::Sender<()>,
}

#[derive(Clone)]
struct House {
    writer: mpsc::Sender<Row>,
    client: reqwest::Client,
}

impl House {
    /// `None` when it could not be stored.
    async fn keep(&self, run: &str, step: i64, result: String) -> Option<()> {
        let (stored, is_stored) = oneshot::channel();
        self.writer.send(Row { run: run.to_owned(), step, result, stored }).await.ok()?;
        is_stored.await.ok()
    }

    async fn go(self, job: String, start: Start) -> Option<()> {
        let Start { run, sink } = start;
        for step in 1..=STEPS {
            let result = if job == "calls" || step == STEPS {
                let answer = self.client.get(format!("{sink}/step/{step}?run={run}")).send().await.ok()?;
                answer.text().await.ok()?
            } else {
                run.clone()
            };
            self.keep(&run, step, result).await?;
        }
        Some(())
    }
}

async fn start(State(house): State<House>, Path(job): Path<String>, Json(start): Json<Start>) -> StatusCode {
    match house.keep(&start.run, 0, String::new()).await {
        Some(()) => {
            tokio::spawn(house.clone().go(job, start));
            StatusCode::ACCEPTED
        }
        None => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Stores whatever waits with one statement, which is a commit of its own.
async fn write(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Row>) -> anyhow::Result<()> {
    let mut group = Vec::with_capacity(LARGEST_GROUP);
    while queue.recv_many(&mut group, LARGEST_GROUP).await > 0 {
        let values = vec!["(?, ?, ?)"; group.len()].join(", ");
        let statement = format!("INSERT INTO steps (run, step, result) VALUES {values}");
        let insert = group.iter().fold(sqlx::query(AssertSqlSafe(statement)), |insert, row: &Row| {
            insert.bind(row.run.as_str()).bind(row.step).bind(row.result.as_str())
        });
        insert.execute(&mut connection).await?;
        for row in group.drain(..) {
            // Who asked may have gone.
            let _ = row.stored.send(());
        }
    }
    Ok(())
}

pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(settings))
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let options = SqliteConnectOptions::new().filename(&settings.database).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let mut connection = options.statement_cache_capacity(LARGEST_GROUP + 1).connect().await?;
    let table = "CREATE TABLE IF NOT EXISTS steps (id INTEGER PRIMARY KEY, run TEXT, step INTEGER, result TEXT)";
    sqlx::query(table).execute(&mut connection).await?;
    let (writer, queue) = mpsc::channel(4096);
    let listener = TcpListener::bind(&settings.listen).await.with_context(|| settings.listen.clone())?;
    let router =
        Router::new().route("/{job}", post(start)).with_state(House { writer, client: reqwest::Client::new() });
    println!("bare is at http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served?,
        written = write(connection, queue) => written?,
    }
    Ok(())
}
