//! What was acknowledged survives the death of the process.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::postgres;
use crate::support::process::{Process, key, whole_log};
use crate::support::server::Client;

/// Says things through a socket and is killed right after the last acknowledgement, several times over.
async fn acknowledged_survives(data: &Path, database: Option<&str>) {
    let key = key(data, database);
    let mut session = String::new();
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let mut process = Process::start(data, database);
        let program = Client::with_key(&process.url, &key);
        if round == 0 {
            session = program.open("hello").await;
        }
        let mut socket = program.socket().await;
        for n in 0..5 + round * 3 {
            let id = format!("r{round}-{n}");
            socket
                .send(&json!({ "type": "message", "id": id, "session_id": session, "content": format!("greet {id}") }))
                .await;
        }
        // The others may or may not have been committed; what was acknowledged must have been.
        for n in 0..3 + round * 2 {
            let ack = socket.until("ack").await;
            assert_eq!(ack["id"], format!("r{round}-{n}"));
            acknowledged.push((ack["id"].clone(), ack["seq"].clone()));
        }
        process.kill();
    }
    let process = Process::start(data, database);
    let program = Client::with_key(&process.url, &key);
    let events = whole_log(&program, &session).await;
    assert!(events.iter().enumerate().all(|(n, event)| event["seq"].as_u64() == Some(n as u64 + 1)), "gapless");
    for (id, seq) in &acknowledged {
        let event = events.iter().find(|event| event["seq"] == *seq).unwrap_or_else(|| panic!("{id} was lost"));
        assert_eq!(&event["client_id"], id);
        let reply = &events[usize::try_from(seq.as_i64().unwrap()).unwrap()];
        assert_eq!(reply["reply_to"], event["message_id"], "its answer survived with it");
    }
    let ids: Vec<_> = events.iter().filter_map(|event| event["client_id"].as_str()).collect();
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), distinct.len(), "nothing twice");
    // Said again after all that, it is still the same message.
    let mut socket = program.socket().await;
    socket.send(&json!({ "type": "message", "id": "r0-0", "session_id": session, "content": "greet r0-0" })).await;
    let ack = socket.until("ack").await;
    assert_eq!((ack["duplicate"].as_bool(), &ack["seq"]), (Some(true), &acknowledged[0].1));
    assert!(process.link.contains("/auth/local?token=plr_l_"));
}

#[tokio::test]
async fn sqlite_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    acknowledged_survives(folder.path(), None).await;
}

#[tokio::test]
async fn postgres_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::Database::create().await;
    acknowledged_survives(folder.path(), Some(&database.url)).await;
}

/// Settings that cannot work are told in one line.
#[test]
fn what_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_parlour")).args(arguments).current_dir(folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (arguments, part) in [
        (&["serve", "--config", "none.toml"][..], "none.toml"),
        (&["serve", "--bots", ".", "--listen", "256.0.0.1:1"], "listen"),
        (&["serve", "--listen", "127.0.0.1:0"], "there is no folder of bots at bots"),
        (&["key", "create", "--name", "x", "--role", "boss"], "a role is"),
        (&["key", "create", "--name", "x", "--role", "user", "--expires", "soon"], "--expires soon"),
    ] {
        let (code, text) = run(arguments);
        assert!(code != Some(0) && text.contains(part), "{arguments:?}: {text}");
    }
}
