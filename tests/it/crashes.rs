//! The process dies at every named place around the commit, again and again.

use std::collections::HashMap;
use std::path::Path;

use parlour::crash_point::POINTS;
use serde_json::{Value, json};

use crate::support::postgres;
use crate::support::process::{Process, key, whole_log};
use crate::support::server::{Client, Socket};

/// How often a place is passed before the process dies there; the first passes are the program's own, at its start.
const PASSES: [u32; 3] = [2, 5, 9];
/// More than it takes to come to any place that often.
const MESSAGES: usize = 24;
/// Messages that wait for their acknowledgement at the same time.
const AT_ONCE: usize = 4;

/// What was said, and the place it was acknowledged with.
#[derive(Default)]
struct Ledger {
    said: Vec<String>,
    acknowledged: HashMap<String, i64>,
}

impl Ledger {
    fn take(&mut self, ack: &Value) {
        let (id, seq) = (ack["id"].as_str().unwrap().to_owned(), ack["seq"].as_i64().unwrap());
        let before = self.acknowledged.insert(id.clone(), seq);
        assert!(before.is_none_or(|before| before == seq), "{id} was acknowledged at {before:?} and at {seq}");
    }

    fn unacknowledged(&self) -> Vec<String> {
        self.said.iter().filter(|id| !self.acknowledged.contains_key(*id)).cloned().collect()
    }
}

async fn say(socket: &mut Socket, session: &str, id: &str) -> bool {
    let frame = json!({ "type": "message", "id": id, "session_id": session, "content": format!("greet {id}") });
    socket.try_send_text(&frame.to_string()).await
}

/// Talks until the process dies.
async fn talk_to_the_end(socket: &mut Socket, session: &str, name: &str, ledger: &mut Ledger) {
    let (mut said, mut waiting) = (0, 0);
    loop {
        while said < MESSAGES && waiting < AT_ONCE {
            let id = format!("{name}-{said}");
            ledger.said.push(id.clone());
            (said, waiting) = (said + 1, waiting + 1);
            if !say(socket, session, &id).await {
                return;
            }
        }
        match socket.next_or_close().await {
            Ok(frame) if frame["type"] == "ack" => {
                ledger.take(&frame);
                waiting -= 1;
            }
            Ok(frame) => assert_ne!(frame["type"], "error", "{frame}"),
            Err(_) => return,
        }
        assert!(waiting > 0 || said < MESSAGES, "{name} was never reached");
    }
}

async fn dies_everywhere(data: &Path, database: Option<&str>) {
    let key = key(data, database);
    let mut process = Process::start(data, database);
    let session = Client::with_key(&process.url, &key).open("hello").await;
    process.kill();
    let mut ledger = Ledger::default();
    for point in POINTS {
        for passes in PASSES {
            let name = format!("{point}:{passes}:listening");
            let id = format!("{}-{passes}", point.replace('.', "-"));
            let dying = Process::start_with(data, database, &[("PARLOUR_CRASH_POINT", &name)]);
            let Some(mut dying) = dying else { panic!("{name} is reached before anybody spoke") };
            let program = Client::with_key(&dying.url, &key);
            let mut socket = program.socket().await;
            talk_to_the_end(&mut socket, &session, &id, &mut ledger).await;
            assert!(!dying.ended().success(), "{name} ends the process");
        }
    }
    let process = Process::start(data, database);
    let program = Client::with_key(&process.url, &key);
    let mut socket = program.socket().await;
    // What was not acknowledged is said again, as a client does, and so is one in ten of the rest.
    let again = ledger.said.iter().step_by(10).cloned().chain(ledger.unacknowledged());
    for id in again.collect::<Vec<_>>() {
        assert!(say(&mut socket, &session, &id).await);
        ledger.take(&socket.until("ack").await);
    }
    let events = whole_log(&program, &session).await;
    assert!(events.iter().enumerate().all(|(n, event)| event["seq"].as_u64() == Some(n as u64 + 1)), "gapless");
    assert_eq!(events.len(), ledger.said.len() * 2, "each message is there once, and so is its answer");
    for (id, seq) in &ledger.acknowledged {
        let event = &events[usize::try_from(seq - 1).unwrap()];
        assert_eq!((&event["client_id"], &event["content"]), (&json!(id), &json!(format!("greet {id}"))));
        assert_eq!(events[usize::try_from(*seq).unwrap()]["reply_to"], event["message_id"], "its answer is behind it");
    }
}

#[tokio::test]
async fn sqlite_survives_every_crash_point() {
    let folder = tempfile::tempdir().unwrap();
    dies_everywhere(folder.path(), None).await;
}

#[tokio::test]
async fn postgres_survives_every_crash_point() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::Database::create().await;
    dies_everywhere(folder.path(), Some(&database.url)).await;
}
