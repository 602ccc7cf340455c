//! Actions of messages, and commands that are named instead of said.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::dialogs::{act, events};
use crate::support::server::{Server, on_both_databases};

on_both_databases!(
    only_who_was_asked_may_take_it,
    the_same_action_again_is_one,
    a_command_is_named,
    a_command_that_cannot_be_is_an_error,
);

async fn only_who_was_asked_may_take_it(server: Arc<Server>) {
    let (ann, bob, admin) =
        (server.program(Role::User).await, server.program(Role::User).await, server.browser().await);
    let session = ann.open("desk").await;
    let asked = ann.say(&session, "demolish blue").await;
    let submit = &asked["actions"][0]["id"];
    assert!(submit.as_str().unwrap().starts_with("a_") && submit.as_str().unwrap().len() == 24);
    // To a stranger the conversation is not there, whatever the action.
    let strange = act(&bob, &session, &asked, submit, Value::Null).await;
    let unknown = act(&bob, "no-such-session", &asked, submit, Value::Null).await;
    assert_eq!((strange.status, strange.json()["error"]["code"].clone()), (unknown.status, json!("NOT_FOUND")));
    // To an administrator the action is not.
    let theirs = act(&admin, &session, &asked, submit, Value::Null).await;
    let unknown = act(&admin, &session, &asked, &json!("a_0000000000000000000000"), Value::Null).await;
    assert_eq!((theirs.status.as_u16(), theirs.told()), (404, unknown.told()));
    assert_eq!(unknown.error(404), "ACTION_UNKNOWN");
    // Nor is it at another message or in another conversation.
    let other = ann.open("desk").await;
    assert_eq!(act(&ann, &other, &asked, submit, Value::Null).await.error(404), "ACTION_UNKNOWN");
    let elsewhere = json!({ "message_id": asked["reply_to"] });
    assert_eq!(act(&ann, &session, &elsewhere, submit, Value::Null).await.error(404), "ACTION_UNKNOWN");
    act(&ann, &session, &asked, submit, Value::Null).await.expect(201);
    assert_eq!(events(&ann, &session).await.last().unwrap()["content"], "blue is gone in 2030");
    // Nothing in the frames says what an action does.
    assert!(!json!(asked["actions"]).to_string().contains("demolish"));
}

async fn the_same_action_again_is_one(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("desk").await;
    let asked = ann.say(&session, "demolish blue").await;
    let submit = &asked["actions"][0]["id"];
    let keyed = ann.with("idempotency-key", "k1");
    let tries = (0..5).map(|_| {
        let (keyed, session, asked) = (keyed.clone(), session.clone(), asked.clone());
        async move { act(&keyed, &session, &asked, &asked["actions"][0]["id"], Value::Null).await }
    });
    let answers = futures_util::future::join_all(tries).await;
    let places: Vec<_> = answers.iter().map(|answer| answer.json()["message_id"].clone()).collect();
    assert!(places.iter().all(|place| *place == places[0] && place.is_string()), "{places:?}");
    assert_eq!(answers.iter().filter(|answer| answer.status.as_u16() == 201).count(), 1);
    let cancel = &asked["actions"][2]["id"];
    assert_eq!(act(&keyed, &session, &asked, cancel, Value::Null).await.error(409), "IDEMPOTENCY_CONFLICT");
    assert_eq!(act(&ann, &session, &asked, submit, Value::Null).await.error(409), "ACTION_USED");
    let kinds: Vec<_> = events(&ann, &session).await.iter().map(|event| event["type"].clone()).collect();
    assert_eq!(json!(kinds), json!(["message", "message", "action", "message_update", "message"]));
}

async fn a_command_is_named(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("hello").await;
    let mut socket = browser.socket().await;
    socket.subscribe(&format!("conv:{session}"), 0).await;
    let frame = json!({ "type": "command", "id": "c1", "session_id": session, "command": "Book", "bot": "desk",
        "parameters": { "room": "blue", "day": "friday", "people": 5 } });
    socket.send(&frame).await;
    // The acknowledgement and what a reader hears come on their own ways.
    let mut frames = [socket.next().await, socket.next().await, socket.next().await];
    frames.sort_by_key(|frame| frame["type"] != "ack");
    let [ack, said, reply] = frames;
    assert_eq!(
        (&ack["message_id"], &ack["seq"], ack["duplicate"].as_bool()),
        (&said["message_id"], &said["seq"], Some(false))
    );
    assert_eq!(
        (said["content"].as_str(), said["client_id"].as_str()),
        (Some("@desk book room=blue day=friday people=5"), Some("c1"))
    );
    assert_eq!((reply["content"].as_str(), &reply["reply_to"]), (Some("blue on friday for 5"), &said["message_id"]));
    socket.send(&frame).await;
    let again = socket.until("ack").await;
    assert_eq!((&again["message_id"], again["duplicate"].as_bool()), (&ack["message_id"], Some(true)));
    // What it reads as can be said.
    assert_eq!(browser.say(&session, said["content"].as_str().unwrap()).await["content"], "blue on friday for 5");
    // The conversation's own bot needs no name, and a value stays one.
    let desk = browser.open("desk").await;
    let order = json!({ "command": "unlock", "parameters": { "door": "the \"big\" one", "code": "12 34" } });
    let key = browser.with("idempotency-key", "k1");
    key.post(&format!("/api/session/{desk}/commands"), &order).await.expect(201);
    key.post(&format!("/api/session/{desk}/commands"), &order).await.expect(200);
    let page = events(&browser, &desk).await;
    assert_eq!((page.len(), page[0]["content"].as_str()), (2, Some(r#"unlock door="the \"big\" one" code=•••"#)));
}

async fn a_command_that_cannot_be_is_an_error(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("desk").await;
    let path = format!("/api/session/{session}/commands");
    let order = |command: &str, bot: Value, parameters: Value| json!({ "command": command, "bot": bot, "parameters": parameters });
    assert_eq!(ann.post(&path, &order("dance", Value::Null, json!({}))).await.error(404), "NOT_FOUND");
    assert_eq!(
        ann.post(&path, &order("deploy", json!("shop"), json!({}))).await.error(404),
        "NOT_FOUND",
        "it is for others"
    );
    assert_eq!(
        ann.post(&path, &order("book", Value::Null, json!({ "rom": "x" }))).await.error(400),
        "VALIDATION_FAILED"
    );
    assert_eq!(
        ann.post(&path, &order("book", Value::Null, json!({ "room": ["x"] }))).await.error(400),
        "VALIDATION_FAILED"
    );
    let mut socket = ann.socket().await;
    socket.send(&json!({ "type": "command", "id": "c1", "session_id": session, "command": "dance" })).await;
    assert_eq!(socket.until("error").await["error"]["code"], "NOT_FOUND");
    assert!(events(&ann, &session).await.is_empty(), "nothing was said");
}
