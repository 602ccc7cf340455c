//! Files: taken in, given out, sent with messages, taken back, cleared away.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parlour::model::principal::Role;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::server::{Answer, Client, Kind, Server, on_both_databases};

on_both_databases!(
    the_content_decides_what_a_file_is,
    a_file_is_given_out_safely,
    what_cannot_be_taken_in_says_why,
    a_file_too_large_is_not_read_to_its_end,
    the_quota_holds_also_for_files_at_once,
    an_upload_sent_again_is_the_same_file,
    a_foreign_file_does_not_exist,
    a_file_is_sent_with_a_message,
    a_file_is_sent_once,
    what_is_taken_back_takes_its_files_along,
    what_nobody_wants_is_cleared_away,
);

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
const MIB: usize = 1024 * 1024;
const HOUR: i64 = 60 * 60 * 1000;

/// A form with one part of these headers.
fn form(headers: &str, bytes: &[u8]) -> Vec<u8> {
    let mut body = format!("--limit\r\nContent-Disposition: form-data; {headers}\r\n\r\n").into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--limit--\r\n");
    body
}

const FORM: &str = "multipart/form-data; boundary=limit";

async fn upload(client: &Client, name: &str, bytes: impl Into<reqwest::Body>) -> Answer {
    client.post_text(&format!("/api/files?name={name}"), "application/octet-stream", bytes).await
}

/// Uploads and answers the id.
async fn uploaded(client: &Client, name: &str, bytes: impl Into<reqwest::Body>) -> String {
    id(&upload(client, name, bytes).await.expect(201))
}

fn id(answer: &Value) -> String {
    answer["file"]["id"].as_str().expect("an id").to_owned()
}

async fn fetch(client: &Client, id: &str) -> (u16, HeaderMap, Vec<u8>) {
    read(client.request(Method::GET, &format!("/api/files/{id}"))).await
}

async fn read(request: reqwest::RequestBuilder) -> (u16, HeaderMap, Vec<u8>) {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.bytes().await.unwrap().to_vec())
}

async fn say(client: &Client, session: &str, body: Value) -> Answer {
    client.post(&format!("/api/session/{session}/messages"), &body).await
}

async fn events(client: &Client, session: &str) -> Vec<Value> {
    let page = client.get(&format!("/api/session/{session}/events?limit=500")).await.expect(200);
    page["events"].as_array().unwrap().clone()
}

async fn used(client: &Client) -> u64 {
    client.get("/api/files").await.expect(200)["used"].as_u64().unwrap()
}

/// Everything that lies in the folder for files, beside its mark.
fn kept(server: &Server) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(server.data().join("files")).unwrap().map(|entry| entry.unwrap().path());
    let shelves = folders.filter(|path| path.is_dir());
    shelves.flat_map(|shelf| std::fs::read_dir(shelf).unwrap().map(|entry| entry.unwrap().path())).collect()
}

async fn the_content_decides_what_a_file_is(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let body =
        form("name=\"file\"; filename=\"../../etc/pass\u{202e}wd.png\"\r\nContent-Type: image/png", b"root: no\n");
    let text = program.post_text("/api/files", FORM, body).await.expect(201);
    let expected = json!({ "id": id(&text), "name": "passwd.png", "media_type": "text/plain", "size": 9 });
    assert_eq!(text, json!({ "file": expected }));
    assert!(id(&text).starts_with("f_"));

    let picture = program.post_text("/api/files?name=C%3A%5Cpage.html", "text/html", PNG).await.expect(201);
    assert_eq!((&picture["file"]["name"], &picture["file"]["media_type"]), (&json!("page.html"), &json!("image/png")));
    let page = upload(&program, "photo.png", "<html ><script>alert(1)</script>").await.expect(201);
    assert_eq!(page["file"]["media_type"], "text/html");
    // What looks like JSON, or like a form, is a file as well: nothing in it is read.
    let json = program.post("/api/files", &json!({ "file": { "path": "/etc/passwd" } })).await.expect(201);
    assert_eq!((&json["file"]["name"], &json["file"]["media_type"]), (&json!("file"), &json!("text/plain")));
    let names = kept(&server);
    assert_eq!(names.len(), 4, "{names:?}");
    for path in names {
        let (name, shelf) = (path.file_name().unwrap().to_str().unwrap(), path.parent().unwrap().file_name().unwrap());
        assert!(name.starts_with("f_") && name.len() == 34 && shelf.to_str().unwrap() == &name[2..4], "{path:?}");
    }
}

async fn a_file_is_given_out_safely(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let text = "ä".repeat(5000);
    let file = uploaded(&program, "Gr%C3%B6%C3%9Fe.txt", text.clone()).await;
    let path = format!("/api/files/{file}");
    let (status, headers, bytes) = read(program.request(Method::GET, &path).header("accept-encoding", "gzip")).await;
    assert_eq!((status, bytes), (200, text.clone().into_bytes()), "as it is, not compressed");
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "10000"),
        ("content-disposition", "inline; filename=\"Gr__e.txt\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.txt"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cache-control", "private, no-cache"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(headers.get(name).map(|value| value.to_str().unwrap()), Some(value), "{name}");
    }
    let tag = headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", parlour::model::id::sha256_hex(text.as_bytes())));

    let (status, headers, bytes) = read(program.request(Method::HEAD, &path)).await;
    assert_eq!((status, headers["content-length"].to_str().unwrap(), bytes.len()), (200, "10000", 0));
    let (status, headers, bytes) = read(program.request(Method::GET, &path).header("if-none-match", &tag)).await;
    assert_eq!((status, bytes.len(), headers["etag"].to_str().unwrap()), (304, 0, &*tag));
    let range = || program.request(Method::GET, &path).header("range", "bytes=2-5");
    let (status, headers, bytes) = read(range()).await;
    assert_eq!(
        (status, headers["content-range"].to_str().unwrap(), &*bytes),
        (206, "bytes 2-5/10000", "ää".as_bytes())
    );
    assert_eq!(read(range().header("if-range", &tag)).await.0, 206);
    assert_eq!(
        read(range().header("if-range", "\"another\"")).await.0,
        200,
        "a range of another file is the whole one"
    );
    let beyond = program.request(Method::GET, &path).header("range", "bytes=10000-");
    assert_eq!(read(beyond).await.0, 416);

    let page = uploaded(&program, "a.png", "<html ><script>alert(1)</script>").await;
    let (_, headers, _) = fetch(&program, &page).await;
    assert!(headers["content-disposition"].to_str().unwrap().starts_with("attachment;"), "what may run is only saved");
    assert_eq!(headers["content-security-policy"], "default-src 'none'; sandbox");
}

async fn what_cannot_be_taken_in_says_why(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let empty = upload(&program, "a", "").await.expect(400);
    assert_eq!((&empty["error"]["code"], &empty["error"]["details"]["field"]), (&json!("EMPTY_FILE"), &json!("file")));
    let file = form("name=\"file\"; filename=\"a\"", b"x");
    let two: Vec<u8> = [&file[..file.len() - "--limit--\r\n".len()], &file[..]].concat();
    let cut = file[..file.len() - 6].to_vec();
    let around = form(&format!("name=\"note\"\r\nX: {}", "x".repeat(2 * MIB)), b"x");
    for (kind, body, status, code) in [
        (FORM, form("name=\"file\"; filename=\"a\"", b""), 400, "EMPTY_FILE"),
        (FORM, form("name=\"other\"", b"x"), 400, "INVALID_REQUEST"),
        (FORM, two, 400, "INVALID_REQUEST"),
        (FORM, cut, 400, "INVALID_REQUEST"),
        (FORM, b"no form".to_vec(), 400, "INVALID_REQUEST"),
        (FORM, around, 413, "BODY_TOO_LARGE"),
        ("multipart/form-data", file, 400, "INVALID_REQUEST"),
    ] {
        assert_eq!(
            program.post_text("/api/files", kind, body.clone()).await.error(status),
            code,
            "{} bytes",
            body.len()
        );
    }
    assert_eq!(upload(&server.anybody(), "a", "x").await.error(401), "UNAUTHORIZED");
    assert_eq!(upload(&server.program(Role::Readonly).await, "a", "x").await.error(403), "FORBIDDEN");
    let foreign = server.browser().await.with("origin", "https://evil.example");
    assert_eq!(upload(&foreign, "a", "x").await.error(403), "CROSS_ORIGIN");
    assert_eq!((kept(&server).len(), used(&program).await), (0, 0), "nothing of it was kept");
}

/// Sends one request with a body that never ends; answers what the server says, and how much it let itself be sent.
async fn endless(server: &Server, client: &Client, head: &str, first: &[u8]) -> (String, usize) {
    let address = server.url.strip_prefix("http://").unwrap();
    let (mut reading, mut writing) = tokio::net::TcpStream::connect(address).await.unwrap().into_split();
    let key = client.request(Method::POST, "/").build().unwrap().headers()["authorization"].clone();
    let head = format!(
        "POST /api/files HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nTransfer-Encoding: chunked\r\n{head}\r\n\r\n{:x}\r\n",
        key.to_str().unwrap(),
        first.len()
    );
    writing.write_all(&[head.as_bytes(), first, b"\r\n"].concat()).await.unwrap();
    let chunk = [b"10000\r\n", &[b'x'; 0x10000][..], b"\r\n"].concat();
    let mut sent = 0;
    let mut answer = Vec::new();
    let sending = async {
        while writing.write_all(&chunk).await.is_ok() {
            sent += 0x10000;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = reading.read_buf(&mut answer) => {}
        () = sending => {}
    }
    (String::from_utf8_lossy(&answer).into_owned(), sent)
}

async fn a_file_too_large_is_not_read_to_its_end(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let just = upload(&program, "a", vec![b'x'; MIB]).await.expect(201);
    assert_eq!(just["file"]["size"], MIB, "as large as it may be");
    let refused = upload(&program, "a", vec![b'x'; MIB + 1]).await.expect(413);
    assert_eq!(refused["error"]["code"], "FILE_TOO_LARGE");
    assert_eq!(refused["error"]["details"], json!({ "field": "file", "max_size": MIB }));
    for (head, first) in [
        ("Content-Type: text/plain", b"x".to_vec()),
        (&format!("Content-Type: {FORM}"), form("name=\"file\"; filename=\"a\"", b"")[..64].to_vec()),
        (&format!("Content-Type: {FORM}"), b"--limit\r\n".to_vec()),
    ] {
        let (answer, sent) = endless(&server, &program, head, &first).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{head}: {answer}");
        assert!(sent < 24 * MIB, "{head}: {sent} bytes were taken");
    }
    assert_eq!(kept(&server).len(), 1, "nothing of them is left");
}

async fn the_quota_holds_also_for_files_at_once(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let almost = MIB - 1000;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(uploaded(&program, "a", vec![b'x'; almost]).await);
    }
    let usage = program.get("/api/files").await.expect(200);
    assert_eq!(usage, json!({ "used": 2 * almost, "quota": 3 * MIB, "max_size": MIB }));
    // There is room for one more.
    let at_once = futures_util::future::join_all((0..4).map(|_| upload(&program, "a", vec![b'x'; almost]))).await;
    let (good, bad): (Vec<_>, Vec<_>) = at_once.into_iter().partition(|answer| answer.status.as_u16() == 201);
    assert_eq!((good.len(), bad.len()), (1, 3));
    for answer in bad {
        let error = answer.expect(413)["error"].clone();
        let details = json!({ "field": "file", "quota": 3 * MIB, "left": 3000 });
        assert_eq!((&error["code"], &error["details"]), (&json!("QUOTA_EXCEEDED"), &details));
    }
    assert_eq!((used(&program).await, kept(&server).len()), (3 * almost as u64, 3));
    uploaded(&server.program(Role::User).await, "a", vec![b'x'; almost]).await;
    // Room that is given back is free again.
    assert_eq!(program.delete(&format!("/api/files/{}", ids[0])).await.status.as_u16(), 204);
    assert_eq!(program.get(&format!("/api/files/{}", ids[0])).await.error(404), "NOT_FOUND");
    assert_eq!(program.delete(&format!("/api/files/{}", ids[0])).await.error(404), "NOT_FOUND");
    uploaded(&program, "a", vec![b'x'; almost]).await;
}

async fn an_upload_sent_again_is_the_same_file(server: Arc<Server>) {
    let program = server.program(Role::User).await.with("idempotency-key", "k1");
    let first = upload(&program, "a.txt", vec![b'x'; MIB]).await.expect(201);
    let keyless = program.without("idempotency-key");
    uploaded(&keyless, "b.txt", vec![b'x'; MIB]).await;
    uploaded(&keyless, "b.txt", vec![b'x'; MIB]).await;
    assert_eq!(upload(&program, "a.txt", vec![b'x'; MIB]).await.expect(200), first, "although the quota is used up");
    assert_eq!((used(&program).await, kept(&server).len()), (3 * MIB as u64, 3));
    assert_eq!(upload(&program, "a.txt", vec![b'y'; MIB]).await.error(409), "IDEMPOTENCY_CONFLICT");
    assert_eq!(upload(&program, "other.txt", vec![b'x'; MIB]).await.error(409), "IDEMPOTENCY_CONFLICT");
    assert_eq!(kept(&server).len(), 3);
    // The key is the caller's own.
    let other = server.program(Role::User).await.with("idempotency-key", "k1");
    assert_ne!(id(&upload(&other, "a.txt", "z").await.expect(201)), id(&first));
}

async fn a_foreign_file_does_not_exist(server: Arc<Server>) {
    let (owner, stranger) = (server.program(Role::User).await, server.program(Role::User).await);
    let file = uploaded(&owner, "a.txt", "secret").await;
    let random = format!("f_{}", "0".repeat(32));
    let session = stranger.open("hello").await;
    for ask in ["get", "delete", "say"] {
        let mut answers = Vec::new();
        for id in [&file, &random] {
            let path = format!("/api/files/{id}");
            let answer = match ask {
                "get" => stranger.get(&path).await,
                "delete" => stranger.delete(&path).await,
                _ => say(&stranger, &session, json!({ "content": "", "attachments": [id] })).await,
            };
            assert_eq!(answer.status.as_u16(), 404, "{ask}");
            answers.push(answer.told().replace(id, "ID"));
        }
        assert_eq!(answers[0], answers[1], "{ask}");
    }
    for path in ["..%2F..%2Fparlour.db", "%2Fetc%2Fpasswd", "database", "incoming"] {
        assert_eq!(owner.get(&format!("/api/files/{path}")).await.error(404), "NOT_FOUND", "{path}");
    }
    // An administrator may see everything.
    assert_eq!(fetch(&server.browser().await, &file).await.2, b"secret");
    assert_eq!(fetch(&owner, &file).await.2, b"secret");
}

async fn a_file_is_sent_with_a_message(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let log = upload(&program, "log.txt", "it broke").await.expect(201)["file"].clone();
    let picture = upload(&program, "p.png", PNG).await.expect(201)["file"].clone();
    let (mut writer, mut reader) = (program.socket().await, program.socket().await);
    reader.subscribe(&format!("conv:{session}"), 0).await;
    // Without a word it is meant for nobody to answer.
    let frame =
        json!({ "type": "message", "id": "c1", "session_id": session, "attachments": [log["id"], picture["id"]] });
    writer.send(&frame).await;
    assert_eq!(writer.until("ack").await["duplicate"], false);
    let message = reader.next().await;
    assert_eq!((&message["content"], &message["files"]), (&json!(""), &json!([log, picture])), "in their order");
    writer.send(&frame).await;
    assert_eq!(writer.until("ack").await["duplicate"], true, "said again it is the same message");
    let listed = program.get("/api/session/list").await.expect(200);
    assert_eq!(listed["sessions"][0]["last_message"]["text"], "log.txt, p.png");
    // With words it is a command as always.
    let other = upload(&program, "o.txt", "o").await.expect(201)["file"].clone();
    writer
        .send(&json!({ "type": "message", "id": "c2", "session_id": session, "content": "greet Ann", "attachments": [other["id"]] }))
        .await;
    writer.until("ack").await;
    let (asked, answer) = (reader.next().await, reader.next().await);
    assert_eq!((&asked["files"], &answer["reply_to"]), (&json!([other]), &asked["message_id"]));
    assert!(answer["content"].as_str().unwrap().contains("Ann") && answer["command"].is_string(), "{answer}");
    let log_of_it = events(&program, &session).await;
    assert_eq!(log_of_it, [message, asked, answer], "everybody reads the same");
    assert_eq!(fetch(&program, log["id"].as_str().unwrap()).await.2, b"it broke");
    // Who may read the session may read what somebody else sent there.
    let admin = server.browser().await;
    let from_admin = uploaded(&admin, "fix.txt", "do this").await;
    assert_eq!(fetch(&program, &from_admin).await.0, 404, "not before it was sent");
    say(&admin, &session, json!({ "attachments": [from_admin] })).await.expect(201);
    assert_eq!(fetch(&program, &from_admin).await.2, b"do this");
    assert_eq!(fetch(&server.program(Role::User).await, &from_admin).await.0, 404);
    assert_eq!(program.delete(&format!("/api/files/{from_admin}")).await.error(404), "NOT_FOUND");
}

async fn a_file_is_sent_once(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let file = uploaded(&program, "a.txt", "a").await;
    let free = uploaded(&program, "b.txt", "b").await;
    let with = |files: Vec<String>| json!({ "content": "greet Ann", "attachments": files });
    let all: Vec<String> = (0..11).map(|n| format!("f_{n}")).collect();
    assert_eq!(say(&program, &session, with(all)).await.error(400), "TOO_MANY_FILES");
    assert_eq!(say(&program, &session, with(vec![free.clone(); 2])).await.error(400), "INVALID_REQUEST");
    assert_eq!(say(&program, &session, json!({ "content": "" })).await.error(400), "INVALID_REQUEST");
    let keyed = program.with("idempotency-key", "m1");
    let first = say(&keyed, &session, with(vec![file.clone()])).await.expect(201);
    let again = say(&keyed, &session, with(vec![file.clone()])).await.expect(200);
    assert_eq!((&again["message_id"], &again["duplicate"]), (&first["message_id"], &json!(true)));
    assert_eq!(say(&keyed, &session, with(vec![free.clone()])).await.error(409), "IDEMPOTENCY_CONFLICT");
    assert_eq!(say(&keyed, &session, json!({ "content": "greet Ann" })).await.error(409), "IDEMPOTENCY_CONFLICT");
    // One that is gone takes the whole message down, and the free one stays free.
    let refused = say(&program, &session, with(vec![free.clone(), file.clone()])).await.expect(409);
    let details = json!({ "field": "attachments", "file_id": file });
    assert_eq!((&refused["error"]["code"], &refused["error"]["details"]), (&json!("FILE_NOT_FREE"), &details));
    let wordless = say(&program, &session, json!({ "attachments": [file] })).await;
    assert_eq!(wordless.error(409), "FILE_NOT_FREE");
    assert_eq!(program.delete(&format!("/api/files/{file}")).await.error(409), "FILE_SENT");
    assert_eq!(events(&program, &session).await.len(), 2, "nothing of it was said");
    let at_once =
        futures_util::future::join_all((0..4).map(|_| say(&program, &session, with(vec![free.clone()])))).await;
    let statuses: Vec<_> = at_once.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 3, "{statuses:?}");
}

async fn what_is_taken_back_takes_its_files_along(server: Arc<Server>) {
    let program = server.program(Role::User).await.with("idempotency-key", "m1");
    let session = program.open("hello").await;
    let plain = program.without("idempotency-key");
    let file = uploaded(&plain, "a.txt", "aaa").await;
    let stays = uploaded(&plain, "b.txt", "b").await;
    let body = json!({ "content": "greet Ann", "attachments": [file] });
    let said = say(&program, &session, body.clone()).await.expect(201);
    let path = format!("/api/session/{session}/messages/{}", said["message_id"].as_str().unwrap());
    plain.patch(&path, &json!({ "content": "greet Bob" })).await.expect(200);
    assert_eq!(events(&plain, &session).await[0]["files"][0]["id"], json!(file), "an edit leaves them");
    assert_eq!(fetch(&plain, &file).await.0, 200);
    assert_eq!((used(&plain).await, kept(&server).len()), (4, 2));
    plain.delete(&path).await.expect(200);
    assert_eq!(events(&plain, &session).await[0].get("files"), None);
    assert_eq!(plain.get(&format!("/api/files/{file}")).await.error(404), "NOT_FOUND");
    assert_eq!((used(&plain).await, kept(&server).len()), (1, 1), "the room is free again");
    // Sent again by a client that never heard of it, it is still the same message.
    let again = say(&program, &session, body).await.expect(200);
    assert_eq!((&again["message_id"], &again["duplicate"]), (&said["message_id"], &json!(true)));
    assert_eq!(fetch(&plain, &stays).await.2, b"b");
}

/// Puts bytes into the folder for files as if a crash had left them there.
fn leave(server: &Server, name: &str, touched: i64) -> PathBuf {
    let path = server.data().join("files").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "left").unwrap();
    let touched = SystemTime::UNIX_EPOCH + Duration::from_millis(touched.unsigned_abs());
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(touched).unwrap();
    path
}

async fn what_nobody_wants_is_cleared_away(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let (sent, unsent) = (uploaded(&program, "a", "aa").await, uploaded(&program, "b", "bb").await);
    say(&program, &session, json!({ "attachments": [sent] })).await.expect(201);
    let clear = async || {
        let cleared = server.hub().clear_files(|| true).await.unwrap();
        (cleared.unsent, cleared.orphans)
    };
    let start = server.clock.now();
    let orphan = leave(&server, &format!("ab/f_ab{}", "0".repeat(30)), start);
    let broken = leave(&server, "incoming/0123", start);
    let unknown = leave(&server, "ab/README", start);
    server.clock.advance(HOUR);
    assert_eq!(clear().await, (0, 0), "it may be of an upload that goes on");
    server.clock.advance(1);
    let young = leave(&server, &format!("ab/f_ab{}", "1".repeat(30)), server.clock.now());
    assert_eq!(clear().await, (0, 1));
    assert_eq!((orphan.exists(), broken.exists(), young.exists(), unknown.exists()), (false, false, true, true));
    assert_eq!(fetch(&program, &unsent).await.2, b"bb");
    server.clock.advance(23 * HOUR);
    let late = uploaded(&program, "c", "cc").await;
    assert_eq!(clear().await, (1, 1), "a day after it came");
    assert_eq!((fetch(&program, &unsent).await.0, used(&program).await), (404, 4));
    assert_eq!((fetch(&program, &sent).await.2, fetch(&program, &late).await.2), (b"aa".to_vec(), b"cc".to_vec()));
    assert_eq!(clear().await, (0, 0));
}

async fn a_restart_keeps_them(kind: Kind) {
    let server = Server::start(kind).await;
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let (sent, unsent) = (uploaded(&program, "a", "aa").await, uploaded(&program, "b", "bb").await);
    say(&program, &session, json!({ "attachments": [sent] })).await.expect(201);
    server.clock.advance(2 * HOUR);
    let orphan = leave(&server, &format!("ab/f_ab{}", "0".repeat(30)), server.clock.now() - 2 * HOUR);
    let server = server.restart().await;
    let program = program.at(&server);
    assert_eq!((fetch(&program, &sent).await.2, fetch(&program, &unsent).await.2), (b"aa".to_vec(), b"bb".to_vec()));
    say(&program, &session, json!({ "attachments": [unsent] })).await.expect(201);
    assert_eq!(used(&program).await, 4);
    // At the start it is cleared up, beside everything else.
    tokio::time::timeout(Duration::from_secs(20), async {
        while orphan.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("what a crash left is cleared away");
    server.finish().await;
}

#[tokio::test]
async fn sqlite_keeps_files_over_a_restart() {
    a_restart_keeps_them(Kind::Sqlite).await;
}

#[tokio::test]
async fn postgres_keeps_files_over_a_restart() {
    a_restart_keeps_them(Kind::Postgres).await;
}
