//! Messages edited and taken back, over the socket and over REST.

use std::sync::Arc;

use parlour::model::principal::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Answer, Client, Server, on_both_databases};

on_both_databases!(
    an_edit_is_an_event_and_runs_nothing,
    what_is_taken_back_is_gone,
    the_same_wish_is_one_change,
    only_ones_own_words_are_changed,
    changes_at_once_are_all_kept,
);

async fn edit(client: &Client, session: &str, message: &str, content: &str) -> Answer {
    client.patch(&format!("/api/session/{session}/messages/{message}"), &json!({ "content": content })).await
}

async fn events(client: &Client, session: &str) -> Vec<Value> {
    let page = client.get(&format!("/api/session/{session}/events?limit=500")).await.expect(200);
    page["events"].as_array().unwrap().clone()
}

/// Says something and answers the id of the message.
async fn said(client: &Client, session: &str, content: &str) -> String {
    client.say(session, content).await["reply_to"].as_str().expect("it was answered").to_owned()
}

async fn an_edit_is_an_event_and_runs_nothing(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    let message = said(&browser, &session, "greet Ann").await;
    let runs = server.store().recent_executions(None, 100).await.unwrap().len();
    let (mut writer, mut reader) = (browser.socket().await, browser.socket().await);
    reader.subscribe(&format!("conv:{session}"), 2).await;
    let frame =
        json!({ "type": "edit", "id": "e1", "session_id": session, "message_id": message, "content": "greet Bob" });
    writer.send(&frame).await;
    let ack = json!({ "type": "ack", "id": "e1", "session_id": session, "message_id": message, "seq": 3, "duplicate": false });
    assert_eq!(writer.next().await, ack);
    let update = reader.next().await;
    assert_eq!((update["type"].as_str(), update["seq"].as_i64()), (Some("message_update"), Some(3)));
    assert_eq!((update["message_id"].as_str(), update["content"].as_str()), (Some(&*message), Some("greet Bob")));
    assert_eq!((&update["session_id"], update["sender"]["id"].as_str()), (&json!(session), Some("local-admin")));
    assert!(update["edited_at"].is_string());
    // The message keeps its place and has the text that counts, wherever it is read.
    let events = events(&browser, &session).await;
    assert_eq!(events.len(), 3, "nothing was answered");
    assert_eq!((events[0]["content"].as_str(), &events[0]["edits"]), (Some("greet Bob"), &json!([3])));
    assert_eq!(events[0]["edited_at"], update["edited_at"]);
    assert_eq!(events[2], update, "the same frame by every door");
    assert_eq!(server.store().recent_executions(None, 100).await.unwrap().len(), runs, "nothing ran");
    let list = browser.get("/api/session/list").await.expect(200);
    assert_eq!(list["sessions"][0]["last_message"]["seq"], 2, "an edit is no newer message");
    // The limits of a message are the limits of its edits.
    assert_eq!(edit(&browser, &session, &message, " ").await.error(400), "INVALID_REQUEST");
    assert_eq!(edit(&browser, &session, &message, &"x".repeat(33_000)).await.error(413), "MESSAGE_TOO_LARGE");
    for _ in 1..50 {
        edit(&browser, &session, &message, "greet Cid").await.expect(200);
    }
    assert_eq!(edit(&browser, &session, &message, "greet Cid").await.error(409), "TOO_MANY_EDITS");
    browser.delete(&format!("/api/session/{session}")).await.expect(200);
    assert_eq!(edit(&browser, &session, &message, "greet Dan").await.error(409), "SESSION_CLOSED");
}

async fn what_is_taken_back_is_gone(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("hello").await;
    let message = said(&ann, &session, "greet secret-one").await;
    edit(&ann, &session, &message, "greet secret-two").await.expect(200);
    edit(&ann, &session, &message, "greet secret-three").await.expect(200);
    // Also in a conversation that is closed.
    ann.delete(&format!("/api/session/{session}")).await.expect(200);
    let mut socket = ann.socket().await;
    socket.subscribe(&format!("conv:{session}"), 5).await;
    let path = format!("/api/session/{session}/messages/{message}");
    let gone = ann.delete(&path).await.expect(200);
    assert_eq!(gone, json!({ "session_id": session, "message_id": message, "seq": 6, "duplicate": false }));
    let heard = socket.next().await;
    assert_eq!((heard["type"].as_str(), heard["message_id"].as_str()), (Some("message_delete"), Some(&*message)));
    let events = events(&ann, &session).await;
    let by_kind = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    assert_eq!((events[0]["content"].as_str(), &events[0]["deleted_at"]), (Some(""), &heard["deleted_at"]));
    assert!(by_kind("message_update").iter().all(|event| event["content"] == ""), "nor in the edits");
    let own: Vec<_> = events.iter().filter(|event| event["sender"]["kind"] != "bot").collect();
    assert!(!json!(own).to_string().contains("secret"), "{own:?}");
    assert_eq!(events.len(), 6);
    assert_eq!(ann.delete(&path).await.error(404), "NOT_FOUND");
}

async fn the_same_wish_is_one_change(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    let message = said(&browser, &session, "greet Ann").await;
    let mut socket = browser.socket().await;
    let edit = |content: &str| json!({ "type": "edit", "id": "e1", "session_id": session, "message_id": message, "content": content });
    socket.send(&edit("greet Bob")).await;
    let first = socket.until("ack").await;
    socket.send(&edit("greet Bob")).await;
    let again = socket.until("ack").await;
    assert_eq!((&again["seq"], again["duplicate"].as_bool()), (&first["seq"], Some(true)));
    socket.send(&edit("greet Cid")).await;
    assert_eq!(socket.until("error").await["error"]["code"], "IDEMPOTENCY_CONFLICT");
    let delete = json!({ "type": "delete", "id": "d1", "session_id": session, "message_id": message });
    socket.send(&delete).await;
    let first = socket.until("ack").await;
    socket.send(&delete).await;
    let again = socket.until("ack").await;
    assert_eq!((&again["seq"], again["duplicate"].as_bool()), (&first["seq"], Some(true)));
    let late =
        json!({ "type": "edit", "id": "e2", "session_id": session, "message_id": message, "content": "greet Cid" });
    socket.send(&late).await;
    assert_eq!(socket.until("error").await["error"]["code"], "NOT_FOUND", "it is gone");
    assert_eq!(events(&browser, &session).await.len(), 4, "the message, its answer, one edit, one deletion");
}

async fn only_ones_own_words_are_changed(server: Arc<Server>) {
    let (ann, bob, admin) =
        (server.program(Role::User).await, server.program(Role::User).await, server.browser().await);
    let session = ann.open("hello").await;
    let message = said(&ann, &session, "greet Ann").await;
    assert_eq!(edit(&bob, &session, &message, "greet Bob").await.error(404), "NOT_FOUND");
    let path = |message: &str| format!("/api/session/{session}/messages/{message}");
    assert_eq!(bob.delete(&path(&message)).await.error(404), "NOT_FOUND");
    // What a bot said stays, for everybody.
    let reply = events(&ann, &session).await[1]["message_id"].as_str().unwrap().to_owned();
    for client in [&ann, &admin] {
        assert_eq!(edit(client, &session, &reply, "I lie").await.error(403), "FORBIDDEN");
        assert_eq!(client.delete(&path(&reply)).await.error(403), "FORBIDDEN");
    }
    // An administrator may change what others said; the owner of the conversation not what an administrator said there.
    let theirs = said(&admin, &session, "greet Admin").await;
    assert_eq!(edit(&ann, &session, &theirs, "greet Ann").await.error(403), "FORBIDDEN");
    assert_eq!(ann.delete(&path(&theirs)).await.error(403), "FORBIDDEN");
    edit(&admin, &session, &message, "greet nobody").await.expect(200);
    admin.delete(&path(&theirs)).await.expect(200);
    assert_eq!(edit(&ann, &session, "no-such-message", "greet Ann").await.error(404), "NOT_FOUND");
    // A message of another conversation is not there.
    let other = ann.open("hello").await;
    assert_eq!(edit(&ann, &other, &message, "greet Ann").await.error(404), "NOT_FOUND");
    let page = page_of_contents(&events(&ann, &session).await);
    assert_eq!(page, ["greet nobody", ""]);
}

/// What people said, as it counts now.
fn page_of_contents(events: &[Value]) -> Vec<String> {
    let own = events.iter().filter(|event| event["type"] == "message" && event["sender"]["kind"] != "bot");
    own.map(|event| event["content"].as_str().unwrap().to_owned()).collect()
}

async fn changes_at_once_are_all_kept(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("hello").await;
    let message = said(&ann, &session, "greet 0").await;
    let edits = (0..10).map(|n| {
        let (ann, session, message) = (ann.clone(), session.clone(), message.clone());
        async move { edit(&ann, &session, &message, &format!("greet {n}")).await.expect(200)["seq"].as_i64().unwrap() }
    });
    let mut seqs = futures_util::future::join_all(edits).await;
    seqs.sort_unstable();
    assert_eq!(seqs, (3..=12).collect::<Vec<_>>());
    let events = events(&ann, &session).await;
    assert_eq!(events[0]["edits"], json!(seqs), "in the order of the log");
    assert_eq!(events[0]["content"], events[11]["content"], "the last one counts");
    // Deleting at once succeeds once.
    let path = format!("/api/session/{session}/messages/{message}");
    let all = futures_util::future::join_all((0..5).map(|_| ann.delete(&path))).await;
    assert_eq!(all.iter().filter(|answer| answer.status.as_u16() == 200).count(), 1);
    assert!(ann.request(Method::GET, &path).send().await.unwrap().status().as_u16() == 405, "it is not read alone");
}
