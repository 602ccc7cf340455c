//! The shipped gallery: every part and every action there is, through the doors.

use std::path::Path;
use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::dialogs::{act, events};
use crate::support::server::{Client, Server, on_both_databases};

on_both_databases!(
    every_part_reaches_its_readers,
    a_card_is_rewritten_where_it_stands,
    a_card_is_driven_by_its_own_buttons,
    what_is_chosen_is_run,
    buttons_are_used_up_and_run_out,
    a_form_is_opened_and_sent,
    a_plain_reader_gets_the_text,
);

async fn say(client: &Client, session: &str, content: &str) -> Value {
    let reply = client.say(session, content).await;
    assert_eq!(reply["sender"]["id"], "gallery", "{reply}");
    assert_ne!(reply["tone"], "warning", "{reply}");
    reply
}

async fn every_part_reaches_its_readers(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("gallery").await;
    // The socket holds every frame against the described form.
    let mut socket = ann.socket().await;
    socket.subscribe(&format!("conv:{session}"), 0).await;
    let mut kinds = Vec::new();
    for content in
        ["gallery", "show texts", "show facts", "show a picture", "show folded", "show buttons", "show choices"]
    {
        let reply = say(&ann, &session, content).await;
        let shown = loop {
            let frame = socket.until("message").await;
            if frame["message_id"] == reply["message_id"] {
                break frame;
            }
        };
        assert_eq!(shown, reply, "one frame on every door");
        kinds.extend(reply["parts"].as_array().into_iter().flatten().cloned());
    }
    let picture = kinds.iter().find(|part| part["type"] == "image").unwrap();
    let file = Path::new("web/public").join(picture["url"].as_str().unwrap().trim_start_matches('/'));
    assert!(file.exists(), "{} is served by the web client", file.display());
    let mut kinds: Vec<_> = kinds.iter().map(|part| part["type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let all = parlour::template::reply::PARTS.map(str::to_owned);
    let missing: Vec<_> = all.iter().filter(|part| !kinds.contains(&part.as_str())).collect();
    assert!(missing.is_empty(), "the gallery does not show {missing:?}");
    assert_eq!(say(&ann, &session, "day 2026-11-23").await["content"], "23 November 2026 is a **Monday**.");
    assert_eq!(say(&ann, &session, "press the bell").await["content"], "user pressed **the bell**.");
    let booked = "book garden for 4 day=2026-12-01 contact=ann@example.com";
    assert_eq!(say(&ann, &session, booked).await["content"], "The **garden** is yours on Tuesday, 01 December 2026.");
}

async fn a_card_is_rewritten_where_it_stands(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("gallery").await;
    let card = say(&ann, &session, "start a rollout").await;
    assert_eq!(
        card["parts"][0],
        json!({ "type": "progress", "label": "build", "step": 1, "total": 4, "state": "running" })
    );
    for (step, number, state) in [("test", 2, "running"), ("done", 4, "done"), ("stopped", 0, "failed")] {
        let said = json!({ "content": format!("rollout {step}") });
        ann.post(&format!("/api/session/{session}/messages"), &said).await.expect(201);
        let update = events(&ann, &session).await.pop().expect("an update");
        assert_eq!((&update["type"], &update["message_id"]), (&json!("message_update"), &card["message_id"]));
        let part = json!({ "type": "progress", "label": step, "step": number, "total": 4, "state": state });
        assert_eq!(update["post"]["parts"][0], part);
    }
}

/// Takes an action of a message; answers the last event after it.
async fn take(client: &Client, session: &str, message: &Value, label: &str, value: Value) -> Value {
    act(client, session, message, &id_of(message, label), value).await.expect(201);
    events(client, session).await.pop().expect("an event")
}

fn id_of(message: &Value, label: &str) -> Value {
    let actions = message["actions"].as_array().unwrap();
    actions.iter().find(|action| action["label"] == label).unwrap_or_else(|| panic!("{label} in {message}"))["id"]
        .clone()
}

async fn a_card_is_driven_by_its_own_buttons(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("gallery").await;
    let mut card = say(&ann, &session, "start a rollout").await;
    let message = card["message_id"].clone();
    for (label, step, state) in [("Test it", 2, "running"), ("Ship it", 3, "running"), ("Finish", 4, "done")] {
        let old = id_of(&card, label);
        server.clock.advance(1);
        let update = take(&ann, &session, &card, label, Value::Null).await;
        assert_eq!((&update["type"], &update["message_id"]), (&json!("message_update"), &message));
        assert_eq!(
            (&update["post"]["parts"][0]["step"], &update["post"]["parts"][0]["state"]),
            (&json!(step), &json!(state))
        );
        // What was offered before is gone with what was said before.
        assert_eq!(act(&ann, &session, &card, &old, Value::Null).await.error(404), "ACTION_UNKNOWN");
        card = update["post"].clone();
    }
    let labels: Vec<_> = card["actions"].as_array().unwrap().iter().map(|action| &action["label"]).collect();
    assert_eq!(labels, ["Start again"]);
    let messages = events(&ann, &session).await;
    let messages: Vec<_> = messages.iter().filter(|event| event["type"] == "message").collect();
    assert_eq!(messages.len(), 2, "what was said, and the card");
    assert_eq!(messages[1]["actions"], card["actions"], "who reads it later sees what can be done now");
}

async fn what_is_chosen_is_run(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("gallery").await;
    let choices = say(&ann, &session, "show choices").await;
    let tone = take(&ann, &session, &choices, "Which tone?", json!("warning")).await;
    assert_eq!((&tone["tone"], &tone["content"]), (&json!("warning"), &json!("This sounds like **warning**.")));
    let other = take(&ann, &session, &tone, "Another tone", json!("success")).await;
    assert_eq!((&other["message_id"], &other["post"]["tone"]), (&tone["message_id"], &json!("success")));
    let options = choices["actions"][1]["options"].as_array().unwrap();
    assert!(options.contains(&json!({ "value": "gallery", "label": "GALLERY" })), "{options:?}");
    let pressed = take(&ann, &session, &choices, "Which bot?", json!("gallery")).await;
    assert_eq!(pressed["content"], "user pressed **gallery**.");
    let day = take(&ann, &session, &choices, "Which day?", json!("2026-12-24")).await;
    assert_eq!(day["content"], "24 December 2026 is a **Thursday**.");
    let early = act(&ann, &session, &choices, &id_of(&choices, "Which day?"), json!("2020-01-01")).await;
    assert_eq!(early.error(400), "VALIDATION_FAILED");
}

async fn buttons_are_used_up_and_run_out(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("gallery").await;
    let buttons = say(&ann, &session, "show buttons").await;
    let uptime = take(&ann, &session, &buttons, "Another bot's command", Value::Null).await;
    assert_eq!(uptime["sender"]["id"], "ops");
    let yes = take(&ann, &session, &buttons, "Once: yes", Value::Null).await;
    assert_eq!(yes["content"], "user pressed **yes, once**.");
    let no = act(&ann, &session, &buttons, &id_of(&buttons, "Once: no"), Value::Null).await;
    assert_eq!(no.error(409), "ACTION_USED");
    for _ in 0..2 {
        take(&ann, &session, &buttons, "Plain", Value::Null).await;
    }
    server.clock.advance(60_000);
    let late = act(&ann, &session, &buttons, &id_of(&buttons, "For a minute"), Value::Null).await;
    assert_eq!(late.error(409), "ACTION_EXPIRED");
}

async fn a_form_is_opened_and_sent(server: Arc<Server>) {
    // Forms are how a browser is asked.
    let ann = server.browser().await;
    let session = ann.open("gallery").await;
    let tour = say(&ann, &session, "gallery").await;
    let asked = take(&ann, &session, &tour, "Book a room", Value::Null).await;
    let fields = asked["form"]["fields"].as_array().unwrap();
    let names: Vec<_> =
        fields.iter().map(|field| (field["name"].as_str().unwrap(), field["type"].as_str().unwrap())).collect();
    let expected = [
        ("room", "choice"),
        ("day", "date"),
        ("people", "integer"),
        ("contact", "email"),
        ("breakfast", "boolean"),
        ("note", "text"),
    ];
    assert_eq!(names, expected, "what is not needed is asked for too");
    let values = json!({ "room": "cellar", "day": "2026-12-24", "people": "3", "contact": "ann@example.com", "note": "no _light_" });
    act(&ann, &session, &asked, &asked["form"]["id"], values).await.expect(201);
    let events = events(&ann, &session).await;
    let booked = events.iter().rfind(|event| event["type"] == "message").unwrap();
    assert_eq!(booked["content"], "The **cellar** is yours on Thursday, 24 December 2026.");
    assert_eq!(booked["parts"][1], json!({ "type": "quote", "text": "no \\_light\\_" }));
}

async fn a_plain_reader_gets_the_text(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("gallery").await;
    let mut socket = ann.raw_socket(None).await.expect("the socket opens");
    for (content, told) in [
        ("show folded", "A long story, and three that are under way."),
        ("start a rollout", "The rollout is under way: **build**."),
        ("rollout done", "The rollout is done."),
    ] {
        socket.send(&json!({ "type": "message", "content": content, "session_id": session })).await;
        let mut reply = socket.until("message").await;
        for taken in ["seq", "message_id", "ts"] {
            assert!(!reply.as_object_mut().unwrap().remove(taken).unwrap().is_null(), "{taken}");
        }
        assert_eq!(reply, json!({ "type": "message", "sender": "bot", "session_id": session, "content": told }));
    }
}
