//! The yardstick: the least a web server can do that keeps what it acknowledges. It parses a message, looks its intent
//! up, stores one row with `synchronous=FULL` in the commit of everybody who waits, and replies.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

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
struct Said<'a> {
    content: std::borrow::Cow<'a, str>,
    session_id: &'a str,
}

#[derive(Serialize)]
struct Reply<'a> {
    r#type: &'a str,
    content: &'a str,
    session_id: &'a str,
}

struct Row {
    session: String,
    content: String,
    reply: String,
    stored: oneshot::Sender<()>,
}

struct House {
    intents: HashMap<String, String>,
    writer: mpsc::Sender<Row>,
}

impl House {
    /// `None` when the message cannot be read or stored.
    async fn answer(&self, text: &str) -> Option<String> {
        let said: Said = serde_json::from_str(text).ok()?;
        let reply = self.intents.get(said.content.as_ref())?.clone();
        let (stored, is_stored) = oneshot::channel();
        let (session, content) = (said.session_id.to_owned(), said.content.clone().into_owned());
        self.writer.send(Row { session, content, reply: reply.clone(), stored }).await.ok()?;
        is_stored.await.ok()?;
        serde_json::to_string(&Reply { r#type: "reply", content: &reply, session_id: said.session_id }).ok()
    }
}

/// Stores whatever waits with one statement, which is a commit of its own.
async fn write(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Row>) -> anyhow::Result<()> {
    let mut group = Vec::with_capacity(LARGEST_GROUP);
    while queue.recv_many(&mut group, LARGEST_GROUP).await > 0 {
        let values = vec!["(?, ?, ?)"; group.len()].join(", ");
        let statement = format!("INSERT INTO messages (session, content, reply) VALUES {values}");
        let insert = group.iter().fold(sqlx::query(AssertSqlSafe(statement)), |insert, row: &Row| {
            insert.bind(row.session.as_str()).bind(row.content.as_str()).bind(row.reply.as_str())
        });
        insert.execute(&mut connection).await?;
        for row in group.drain(..) {
            // Who asked may have gone.
            let _ = row.stored.send(());
        }
    }
    Ok(())
}

async fn upgrade(upgrade: WebSocketUpgrade, State(house): State<Arc<House>>) -> impl IntoResponse {
    upgrade.read_buffer_size(4 * 1024).write_buffer_size(0).on_upgrade(move |socket| talk(socket, house))
}

async fn talk(mut socket: WebSocket, house: Arc<House>) {
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        let Some(answer) = house.answer(&text).await else { return };
        if socket.send(Message::text(answer)).await.is_err() {
            return;
        }
    }
}

async fn command(State(house): State<Arc<House>>, body: String) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], house.answer(&body).await.unwrap_or_default())
}

pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(settings))
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let options = SqliteConnectOptions::new().filename(&settings.database).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let mut connection = options.statement_cache_capacity(LARGEST_GROUP + 1).connect().await?;
    let table = "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, session TEXT, content TEXT, reply TEXT)";
    sqlx::query(table).execute(&mut connection).await?;
    let (writer, queue) = mpsc::channel(4096);
    let listener = TcpListener::bind(&settings.listen).await.with_context(|| settings.listen.clone())?;
    let intents = (0..10).map(|n| (format!("command {n}"), format!("reply {n}"))).collect();
    let house = Arc::new(House { intents, writer });
    let router = Router::new().route("/ws", get(upgrade)).route("/command", post(command)).with_state(house);
    println!("bare is at http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served?,
        written = write(connection, queue) => written?,
    }
    Ok(())
}
