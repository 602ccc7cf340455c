//! Several servers on one PostgreSQL hear of each other's commits at once; a SQLite database has one server.

use std::time::{Duration, Instant};

use parlour::model::principal::Role;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::server::{Kind, Server, Socket};

/// Half of what a server waits before it looks by itself: what comes sooner was told.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The next `count` events of the log.
async fn logged(socket: &mut Socket, count: usize) -> Vec<Value> {
    let mut events = Vec::new();
    while events.len() < count {
        let frame = socket.next().await;
        if frame["seq"].is_i64() {
            events.push(frame);
        }
    }
    events
}

#[tokio::test]
async fn what_one_server_commits_reaches_the_readers_of_another_at_once() {
    let here = Server::start(Kind::Postgres).await;
    let there = here.beside().await;
    let ann = here.program(Role::User).await;
    let session = ann.open("hello").await;
    let stream = format!("conv:{session}");
    let mut reader = ann.socket().await;
    let subscribe = json!({ "type": "subscribe", "stream": stream, "after": 0, "want": ["typing"] });
    reader.send(&subscribe).await;
    reader.until("caught_up").await;
    let polling = {
        let (ann, path) = (ann.clone(), format!("/api/session/{session}/events?after=0&wait=20"));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test, which waits for it")]
        tokio::spawn(async move { ann.get(&path).await.expect(200) })
    };
    let begun = Instant::now();
    let answer = ann.at(&there).say(&session, "help").await;
    let events = logged(&mut reader, 2).await;
    assert_eq!((&events[0]["content"], &events[1]["content"]), (&json!("help"), &answer["content"]));
    assert_eq!(polling.await.unwrap()["events"][0], events[0]);
    // Both speak in turn: one order, nothing twice, nothing left out.
    for n in 0..20 {
        let server = if n % 2 == 0 { &there } else { &here };
        ann.at(server).say(&session, &format!("what is {n}")).await;
    }
    let seqs: Vec<i64> = logged(&mut reader, 40).await.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (3..43).collect::<Vec<_>>());
    let mut writer = ann.at(&there).socket().await;
    writer.send(&json!({ "type": "typing", "session_id": session })).await;
    assert_eq!(reader.until("typing").await["stream"], stream);
    assert!(begun.elapsed() < AT_ONCE, "it took {:?}", begun.elapsed());
    there.finish().await;
    here.finish().await;
}

#[tokio::test]
async fn work_and_ended_credentials_reach_another_server() {
    let here = Server::start(Kind::Postgres).await;
    let there = here.beside().await;
    let ann = here.program(Role::User).await;
    let mut process = here.process(&["away"]).await.socket().await;
    process.send(&json!({ "type": "register", "id": "r", "bot_id": "away" })).await;
    process.until("registered").await;
    let session = ann.at(&there).open("away").await;
    let mut reader = ann.at(&there).socket().await;
    reader.subscribe(&format!("conv:{session}"), 0).await;
    let begun = Instant::now();
    let said = json!({ "content": "count to 3" });
    ann.at(&there).post(&format!("/api/session/{session}/messages"), &said).await.expect(201);
    let delivery = process.until("deliver").await["delivery_id"].clone();
    let done = json!({ "type": "done", "id": "d", "delivery_id": delivery, "content": "one two three" });
    process.send(&done).await;
    assert_eq!(logged(&mut reader, 2).await[1]["content"], "one two three");
    assert!(begun.elapsed() < AT_ONCE, "it took {:?}", begun.elapsed());

    let browser = here.browser().await;
    let mut socket = browser.socket().await;
    let elsewhere = browser.at(&there).with("origin", &there.url);
    elsewhere.post("/auth/logout", &json!({})).await.expect(200);
    assert_eq!(socket.closed().await, Some(4410));
    there.finish().await;
    here.finish().await;
}

#[tokio::test]
async fn a_lost_connection_to_the_database_loses_no_news() {
    let here = Server::start(Kind::Postgres).await;
    let there = here.beside().await;
    let ann = here.program(Role::User).await;
    let session = ann.open("hello").await;
    let mut reader = ann.socket().await;
    reader.subscribe(&format!("conv:{session}"), 0).await;
    let mut database = sqlx::PgConnection::connect(here.database()).await.unwrap();
    for n in 0..5 {
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                    WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        let killed: i64 = sqlx::query_scalar(kill).fetch_one(&mut database).await.unwrap();
        // Perhaps it is still coming back from the time before.
        assert!(killed <= 2 && (n > 0 || killed == 2), "{killed} were listening");
        let begun = Instant::now();
        ann.at(&there).say(&session, "help").await;
        let seqs: Vec<i64> = logged(&mut reader, 2).await.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
        assert_eq!(seqs, [2 * n + 1, 2 * n + 2]);
        assert!(begun.elapsed() < AT_ONCE, "it took {:?}", begun.elapsed());
    }
    database.close().await.unwrap();
    there.finish().await;
    here.finish().await;
}

#[tokio::test]
async fn a_sqlite_database_has_one_server() {
    let server = Server::start(Kind::Sqlite).await;
    let error = server.try_beside().await.err().expect("it is refused");
    assert!(error.to_string().contains("another server runs on the database"), "{error:#}");
    server.restart().await.finish().await;
}

#[tokio::test]
async fn what_a_process_had_when_the_server_died_is_given_out_again_at_once() {
    let server = Server::start(Kind::Sqlite).await;
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let said = json!({ "content": "count to 3" });
    ann.post(&format!("/api/session/{session}/messages"), &said).await.expect(201);
    // As a process does whose server then dies without a word.
    let now = server.clock.now();
    let claimed = server.store().claim_deliveries("away", None, 1, now, now + 30_000).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let server = server.restart().await;
    let mut process = server.process(&["away"]).await.socket().await;
    process.send(&json!({ "type": "register", "id": "r", "bot_id": "away" })).await;
    let deliver = process.until("deliver").await;
    assert_eq!((deliver["delivery_id"].as_str(), &deliver["attempt"]), (Some(claimed[0].id.as_str()), &json!(2)));
    process.send(&json!({ "type": "done", "id": "d", "delivery_id": deliver["delivery_id"], "content": "." })).await;
    process.until("ack").await;
    server.finish().await;
}
