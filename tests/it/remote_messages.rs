//! Messages of processes: what they offer to do, and messages under a name.

use std::sync::Arc;

use parlour::model::principal::Role;
use parlour::store::prune::Pruned;
use serde_json::{Value, json};

use crate::dialogs::act;
use crate::remote::{Process, ask, events, serving};
use crate::support::server::{Server, on_both_databases};

on_both_databases!(
    what_a_process_offers_is_done_by_who_asked,
    a_process_rewrites_its_message,
    a_name_is_kept_over_a_lost_process,
    what_cannot_be_offered_is_refused,
    what_is_over_is_pruned_after_a_while,
);

fn say(id: &str, message: &Value) -> Value {
    json!({ "type": "say", "id": id, "message": message })
}

async fn what_a_process_offers_is_done_by_who_asked(server: Arc<Server>) {
    let (ann, admin) = (server.program(Role::User).await, server.browser().await);
    let session = ann.open("away").await;
    let mut reader = ann.socket().await;
    reader.subscribe(&format!("conv:{session}"), 0).await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, _) = process.delivered().await;
    reader.until("message").await;
    let message = json!({ "text": "Which way?", "actions": [
        { "type": "button", "label": "Sweep", "command": "sweep", "style": "primary", "confirm": "Really?", "single_use": true },
        { "type": "button", "label": "Leave it", "command": "count", "parameters": { "number": 7 }, "single_use": true, "ttl_ms": 60_000 },
        { "type": "select", "label": "How far?", "options": [{ "value": "4", "label": "four" }, { "value": "5", "label": "five" }],
          "parameter": "number", "command": "count" },
        { "type": "form", "label": "Book", "bot": "desk", "command": "book", "parameters": { "room": "blue" } },
        { "type": "link", "label": "More", "url": "https://example.com/" },
    ] });
    process.report(&delivery, json!({ "type": "done", "message": message })).await;
    let said = reader.until("message").await;
    let actions = said["actions"].as_array().unwrap();
    let looks: Vec<&Value> = actions.iter().map(|action| &action["type"]).collect();
    assert_eq!(looks, ["button", "button", "select", "button", "link"]);
    assert_eq!((&actions[0]["style"], &actions[0]["confirm"]), (&json!("primary"), &json!("Really?")));
    assert!(actions[1]["expires_at"].is_string() && actions[0]["expires_at"].is_null(), "{actions:?}");
    assert!(!json!(actions).to_string().contains("sweep"), "nothing says what an action does");
    // They are for who asked, and nobody else.
    let theirs = act(&admin, &session, &said, &actions[0]["id"], Value::Null).await;
    assert_eq!(theirs.error(404), "ACTION_UNKNOWN");
    act(&ann, &session, &said, &actions[2]["id"], json!("5")).await.expect(201);
    let (delivery, deliver) = process.delivered().await;
    assert_eq!(deliver["event"]["parameters"], json!({ "number": 5 }));
    process.report(&delivery, json!({ "type": "done", "content": "five" })).await;
    act(&ann, &session, &said, &actions[0]["id"], Value::Null).await.expect(201);
    let (delivery, deliver) = process.delivered().await;
    assert_eq!(deliver["event"]["command"], "sweep");
    process.report(&delivery, json!({ "type": "done" })).await;
    assert_eq!(act(&ann, &session, &said, &actions[1]["id"], Value::Null).await.error(409), "ACTION_USED");
    act(&ann, &session, &said, &actions[3]["id"], Value::Null).await.expect(201);
    // A program is asked one thing after the other, beginning with what is known.
    let asked = events(&ann, &session).await.last().unwrap().clone();
    assert_eq!((&asked["content"], &asked["command"]), (&json!("Which room?"), &json!("book")));
    assert!(asked["parts"].to_string().contains("`default` is blue"), "{asked}");
    ann.say(&session, "cancel").await;
}

async fn a_process_rewrites_its_message(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let mut reader = ann.socket().await;
    reader.subscribe(&format!("conv:{session}"), 0).await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, _) = process.delivered().await;
    assert_eq!(reader.until("message_partial").await["message_id"], json!(delivery));
    let card = |text: &str, action: &str| {
        let action = json!({ "type": "button", "label": action, "command": "sweep" });
        json!({ "text": text, "id": "card", "actions": [action] })
    };
    // Without a message to rewrite nothing is said.
    let only = json!({ "text": "none", "id": "card", "post": "update_only" });
    assert_eq!(process.report(&delivery, say("s0", &only)).await["message_id"], Value::Null);
    let first = process.report(&delivery, say("s1", &card("begun", "One"))).await;
    let begun = reader.until("message").await;
    assert_eq!(begun["message_id"], first["message_id"]);
    let second = process.report(&delivery, say("s2", &card("under way", "Two"))).await;
    assert_eq!((&second["message_id"], &second["duplicate"]), (&first["message_id"], &json!(false)));
    let update = reader.until("message_update").await;
    assert_eq!((&update["message_id"], &update["post"]["content"]), (&first["message_id"], &json!("under way")));
    // What it offered before is gone with its words, and what it offers now is there.
    let old = act(&ann, &session, &begun, &begun["actions"][0]["id"], Value::Null).await;
    assert_eq!(old.error(404), "ACTION_UNKNOWN");
    act(&ann, &session, &begun, &update["post"]["actions"][0]["id"], Value::Null).await.expect(201);
    let (sweeping, _) = process.delivered().await;
    process.report(&sweeping, json!({ "type": "done" })).await;
    // The end may be said under the name too. Who saw it being written hears that no message of its own comes.
    process.chunk(&delivery, 0, "one two").await;
    process.report(&delivery, json!({ "type": "done", "message": { "id": "card", "text": "done" } })).await;
    let update = reader.until("message_update").await;
    assert_eq!((&update["message_id"], &update["post"]["content"]), (&first["message_id"], &json!("done")));
    let dropped = reader.until("message_dropped").await;
    assert_eq!((&dropped["message_id"], &dropped["session_id"]), (&json!(delivery), &json!(session)));
    // The same once more is nothing new.
    ask(&ann, &session, "count to 4").await;
    let (again, _) = process.delivered().await;
    process.report(&again, json!({ "type": "done", "message": { "id": "card", "text": "done" } })).await;
    assert_eq!(reader.until("message_dropped").await["message_id"], json!(again));
    let all = events(&ann, &session).await;
    let said = |event: &&Value| event["type"] == "message" && event["sender"]["kind"] == "bot";
    let contents: Vec<&Value> = all.iter().filter(said).map(|event| &event["content"]).collect();
    assert_eq!(contents, ["done", "**sweep** is done."]);
}

async fn a_name_is_kept_over_a_lost_process(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, _) = process.delivered().await;
    let card = |text: &str| json!({ "text": text, "id": "card" });
    let first = process.report(&delivery, say("s1", &card("one"))).await;
    process.report(&delivery, say("s2", &card("two"))).await;
    drop(process);
    let mut next: Process = serving(&server).await;
    next.delivered().await;
    // The next attempt begins anew with its words; they were said already.
    for (id, text) in [("s1", "one"), ("s2", "two")] {
        let answer = next.report(&delivery, say(id, &card(text))).await;
        assert_eq!((&answer["message_id"], &answer["duplicate"]), (&first["message_id"], &json!(true)));
    }
    let third = next.report(&delivery, say("s3", &card("three"))).await;
    assert_eq!((&third["message_id"], &third["duplicate"]), (&first["message_id"], &json!(false)));
    next.report(&delivery, json!({ "type": "done" })).await;
    let all = events(&ann, &session).await;
    let contents: Vec<&Value> =
        all.iter().filter(|event| event["type"] == "message").map(|event| &event["content"]).collect();
    assert_eq!(contents, ["count to 3", "three", "**count** is done."]);
}

async fn what_cannot_be_offered_is_refused(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, _) = process.delivered().await;
    let action = |mut action: Value, more: &Value| {
        action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "text": "x", "actions": [action] })
    };
    let button = |more: Value| action(json!({ "type": "button", "label": "Go", "command": "count" }), &more);
    let date = |more: Value| {
        action(json!({ "type": "date", "label": "When?", "command": "count", "parameter": "number" }), &more)
    };
    let many: Vec<Value> = (0..26).map(|_| json!({ "type": "link", "label": "x", "url": "https://a.b" })).collect();
    for (message, field) in [
        (json!({ "text": "x", "id": " " }), "message.id"),
        (json!({ "text": "x", "id": "x".repeat(201) }), "message.id"),
        (json!({ "text": "x", "id": "a", "ttl_ms": 0 }), "message.ttl_ms"),
        (json!({ "text": "x", "post": "always" }), "message.id"),
        (json!({ "text": "x", "actions": many }), "message.actions"),
        (button(json!({ "label": " " })), "message.actions[0].label"),
        (button(json!({ "command": "dance" })), "message.actions[0].command"),
        (button(json!({ "bot": "nobody" })), "message.actions[0].bot"),
        (button(json!({ "parameters": { "speed": 3 } })), "message.actions[0].parameters.speed"),
        (button(json!({ "parameters": { "number": "many" } })), "message.actions[0].parameters.number"),
        (button(json!({ "ttl_ms": -5 })), "message.actions[0].ttl_ms"),
        (date(json!({})), "message.actions[0].parameter"),
        (date(json!({ "min": "soon" })), "message.actions[0].min"),
        (date(json!({ "min": "2026-02-02", "max": "2026-02-01" })), "message.actions[0].max"),
        (button(json!({ "type": "select", "parameter": "number", "options": [] })), "message.actions[0].options"),
        (
            button(json!({ "type": "select", "parameter": "number", "options": [{ "value": "x", "label": "x" }] })),
            "message.actions[0].options[0]",
        ),
        (
            json!({ "text": "x", "actions": [{ "type": "link", "label": "x", "url": "javascript:x" }] }),
            "message.actions[0].url",
        ),
    ] {
        let answer = process.report(&delivery, json!({ "type": "done", "message": message })).await;
        assert_eq!(answer["error"]["code"], "INVALID_REQUEST", "{message} {answer}");
        assert_eq!(answer["error"]["details"]["field"], field, "{message} {answer}");
    }
    for message in [button(json!({ "colour": "red" })), json!({ "text": "x", "actions": [{ "label": "x" }] })] {
        let answer = process.report(&delivery, json!({ "type": "done", "message": message })).await;
        assert_eq!(answer["error"]["code"], "INVALID_FRAME", "{message}");
    }
    // None of it ended the run.
    process.report(&delivery, json!({ "type": "done", "content": "three" })).await;
    assert_eq!(events(&ann, &session).await.last().unwrap()["content"], "three");
}

async fn what_is_over_is_pruned_after_a_while(server: Arc<Server>) {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, _) = process.delivered().await;
    let button = |label: &str, more: Value| {
        let mut action = json!({ "type": "button", "label": label, "command": "sweep" });
        action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        action
    };
    let actions = json!([
        button("once", json!({ "single_use": true })),
        button("for a while", json!({ "ttl_ms": 1000 })),
        button("ever", json!({}))
    ]);
    process.report(&delivery, json!({ "type": "done", "message": { "text": "x", "actions": actions } })).await;
    let said = events(&ann, &session).await[1].clone();
    let id = |index: usize| said["actions"][index]["id"].clone();
    act(&ann, &session, &said, &id(0), Value::Null).await.expect(201);
    let (sweeping, _) = process.delivered().await;
    // What is still being done is none of it, however old.
    let prune = async |age: i64| server.store().prune(server.clock.now() - age, || true).await.unwrap();
    assert_eq!(prune(DAY).await, Pruned::default());
    server.clock.advance(2000);
    assert_eq!(act(&ann, &session, &said, &id(1), Value::Null).await.error(409), "ACTION_EXPIRED");
    assert_eq!(prune(0).await, Pruned { actions: 2, deliveries: 0 });
    for index in [0, 1] {
        assert_eq!(act(&ann, &session, &said, &id(index), Value::Null).await.error(404), "ACTION_UNKNOWN");
    }
    process.report(&sweeping, json!({ "type": "done" })).await;
    act(&ann, &session, &said, &id(2), Value::Null).await.expect(201);
    let (again, _) = process.delivered().await;
    process.report(&again, json!({ "type": "done" })).await;
    server.clock.advance(DAY + 1);
    assert_eq!(prune(0).await, Pruned { actions: 0, deliveries: 3 });
    assert_eq!(process.refused(&again, json!({ "type": "done" })).await, "DELIVERY_UNKNOWN");
    // Of its run everything is there, and cancelling it is as late as before.
    let path = format!("/api/session/{session}/invocations/{}/cancel", said["invocation_id"].as_str().unwrap());
    assert_eq!(ann.post(&path, &json!({})).await.error(409), "RUN_ENDED");
}
