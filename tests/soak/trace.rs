//! What `kill -9` cannot show, since the system keeps what a dead process wrote: that no acknowledgement leaves before
//! its write is on the disk. A trace of the system calls shows the order of both.

use std::collections::HashMap;
use std::fs;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::task::{JoinSet, block_in_place};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::program::Program;

const CLIENTS: usize = 10;
const MESSAGES: usize = 40;

/// What each message carries, so that it is found again in the write-ahead log and on the wire.
fn mark(client: usize, message: usize) -> String {
    format!("mark{client:03}x{message:03}")
}

/// How far a message has come on its way to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// In the write-ahead log, as far as the system tells readers.
    Written,
    /// A sync that began after it is under way.
    Syncing,
    OnDisk,
}

#[derive(Default, Debug, PartialEq, Eq)]
struct Verdict {
    /// Messages that were sent to somebody after they had come to the disk.
    in_order: usize,
    /// The others.
    early: Vec<String>,
}

/// A call of the trace. With several threads a call may be told in two lines, its begin and its end.
struct Line<'t> {
    thread: &'t str,
    call: &'t str,
    begins: bool,
    ends: bool,
    text: &'t str,
}

fn line(text: &str) -> Option<Line<'_>> {
    let (thread, rest) = text.split_once(' ')?;
    let rest = rest.trim_start();
    let ends = !rest.ends_with("<unfinished ...>");
    if let Some(resumed) = rest.strip_prefix("<... ") {
        return Some(Line { thread, call: resumed.split(' ').next()?, begins: false, ends, text: rest });
    }
    Some(Line { thread, call: rest.split('(').next()?, begins: true, ends, text: rest })
}

/// All marks in a text.
fn marks(text: &str) -> impl Iterator<Item = &str> {
    let is_mark = |text: &&str| {
        text.bytes()
            .zip("mark000x000".bytes())
            .all(|(b, form)| if form == b'0' { b.is_ascii_digit() } else { b == form })
    };
    text.match_indices("mark").filter_map(|(place, _)| text.get(place..place + 11)).filter(is_mark)
}

/// Follows every mark from the write-ahead log over the sync to the first byte that tells somebody of it.
fn judge(trace: &str) -> Verdict {
    let mut ways: HashMap<&str, Way> = HashMap::new();
    let mut told: HashMap<&str, bool> = HashMap::new();
    // Writes are complete when they end, which may be told in a line that does not repeat what was written.
    let mut writing: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut syncing: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in trace.lines().filter_map(line) {
        match line.call {
            "pwrite64" => {
                if line.begins && line.text.contains(".db-wal>") {
                    writing.insert(line.thread, marks(line.text).collect());
                }
                if line.ends {
                    for mark in writing.remove(line.thread).unwrap_or_default() {
                        ways.entry(mark).or_insert(Way::Written);
                    }
                }
            }
            "fsync" | "fdatasync" => {
                if line.begins && line.text.contains(".db-wal>") {
                    let written = ways.iter_mut().filter(|(_, way)| **way == Way::Written);
                    let covered = written.map(|(mark, way)| {
                        *way = Way::Syncing;
                        *mark
                    });
                    syncing.insert(line.thread, covered.collect());
                }
                if line.ends {
                    let synced = line.text.ends_with("= 0");
                    for mark in syncing.remove(line.thread).unwrap_or_default() {
                        ways.insert(mark, if synced { Way::OnDisk } else { Way::Written });
                    }
                }
            }
            // To a socket: files and the wake-ups of the runtime are written to as well.
            "write" | "writev" | "sendto" | "sendmsg" if line.begins && line.text.contains("<socket:") => {
                for mark in marks(line.text) {
                    told.entry(mark).or_insert(ways.get(mark) == Some(&Way::OnDisk));
                }
            }
            _ => {}
        }
    }
    let mut verdict = Verdict { in_order: told.values().filter(|in_order| **in_order).count(), ..Verdict::default() };
    verdict.early = told.into_iter().filter(|(_, in_order)| !in_order).map(|(mark, _)| mark.to_owned()).collect();
    verdict
}

/// One client: says its messages one after the other and waits for each acknowledgement.
async fn speak(url: String, key: String, client: usize) {
    let http = reqwest::Client::builder().build().expect("a client");
    let request = http.post(format!("{url}/api/session/create")).bearer_auth(&key);
    let answer = request.json(&json!({ "bot_id": "hello" })).send().await.expect("an answer");
    let session: Value = answer.json().await.expect("a session");
    let session = session["session_id"].as_str().expect("its id");
    let mut request = format!("{}/ws", url.replacen("http", "ws", 1)).into_client_request().expect("an address");
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().expect("a header"));
    request.headers_mut().insert("sec-websocket-protocol", "parlour.v1".parse().expect("a header"));
    let mut socket = tokio_tungstenite::connect_async(request).await.expect("the socket opens").0;
    let mut say = async |frame: Value, until: &str| {
        socket.send(Message::text(frame.to_string())).await.expect("it is sent");
        loop {
            let text = socket.next().await.expect("a frame").expect("a frame").into_text().expect("text");
            if text.contains(until) {
                return;
            }
        }
    };
    say(json!({ "type": "subscribe", "stream": format!("conv:{session}"), "after": 0 }), "caught_up").await;
    for message in 0..MESSAGES {
        let id = mark(client, message);
        let content = format!("greet {id}");
        say(json!({ "type": "message", "id": id, "session_id": session, "content": content }), "\"type\":\"ack\"")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_before_it_is_on_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let mut program = Program::new(folder.path(), None);
    let key = program.key();
    let wrapper =
        ["strace", "-D", "-f", "-y", "-s", "20000", "-e", "trace=pwrite64,fsync,fdatasync,write,writev,sendto,sendmsg"];
    let output = ["-o", trace.to_str().expect("a plain path")];
    block_in_place(|| program.start_under(&[&wrapper[..], &output[..]].concat()));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(speak(program.url(), key.clone(), client));
    }
    clients.join_all().await;
    block_in_place(|| program.stop());
    let verdict = judge(&fs::read_to_string(&trace).expect("the trace"));
    println!("strace: {} messages told after their sync, {} before", verdict.in_order, verdict.early.len());
    assert_eq!(verdict, Verdict { in_order: CLIENTS * MESSAGES, early: Vec::new() });
}

#[test]
fn an_early_word_is_seen_in_a_trace() {
    let write = r#"7 pwrite64(9</d/parlour.db-wal>, "..mark001x001..", 4096, 32) = 4096"#;
    let begin = "7 fdatasync(9</d/parlour.db-wal> <unfinished ...>";
    let end = "7 <... fdatasync resumed>) = 0";
    let failed = "7 <... fdatasync resumed>) = -1 EIO (Input/output error)";
    let tell = r#"8 sendto(11<socket:[5]>, "{\"id\":\"mark001x001\"}", 20, 0, NULL, 0) = 20"#;
    for (lines, in_order) in [
        (vec![write, begin, end, tell], true),
        (vec![write, begin, tell, end], false),
        (vec![write, tell, begin, end], false),
        (vec![begin, write, end, tell], false),
        (vec![write, begin, failed, tell], false),
        (vec![tell], false),
    ] {
        let early = if in_order { Vec::new() } else { vec![mark(1, 1)] };
        assert_eq!(judge(&lines.join("\n")), Verdict { in_order: usize::from(in_order), early }, "{lines:?}");
    }
}
