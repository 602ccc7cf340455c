//! Messages with a name: what is said under it again rewrites the first where it stands.

use std::sync::Arc;

use futures_util::future::join_all;
use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::server::{Client, Server, on_both_databases};

on_both_databases!(
    the_same_name_rewrites_the_message_where_it_stands,
    a_name_is_rewritten_for_its_time_to_live,
    always_says_it_anew_and_update_only_never_does,
    a_name_belongs_to_one_bot_in_one_conversation,
    runs_at_once_leave_one_message,
    a_rewritten_message_is_one_message_on_every_door,
);

/// Says something; answers its seq.
async fn say(client: &Client, session: &str, content: &str) -> i64 {
    let path = format!("/api/session/{session}/messages");
    client.post(&path, &json!({ "content": content })).await.expect(201)["seq"].as_i64().unwrap()
}

/// All events, after checking that their places have no gap.
async fn events(client: &Client, session: &str) -> Vec<Value> {
    let page = client.get(&format!("/api/session/{session}/events?after=0&limit=500")).await.expect(200);
    let events = page["events"].as_array().unwrap().clone();
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=i64::try_from(events.len()).unwrap()).collect::<Vec<_>>());
    events
}

/// What the bots said, as it counts now: type and content.
fn told(events: &[Value]) -> Vec<(&str, &str)> {
    let by_bots = events.iter().filter(|event| event["sender"]["kind"] == "bot");
    by_bots.map(|event| (event["type"].as_str().unwrap(), event["content"].as_str().unwrap())).collect()
}

async fn the_same_name_rewrites_the_message_where_it_stands(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("board").await;
    say(&ann, &session, "card a one").await;
    let before = events(&ann, &session).await;
    server.clock.advance(1_000);
    say(&ann, &session, "card a three").await;
    let after = events(&ann, &session).await;
    assert_eq!(after.len(), before.len() + 2, "what was said, and the update");
    let (first, update) = (&after[before.len() - 1], &after[after.len() - 1]);
    assert_eq!(told(&after), [("message", "a is three"), ("message_update", "a is three")]);
    assert_eq!(update["message_id"], first["message_id"]);
    assert_eq!(update["edited_at"], first["edited_at"]);
    assert_eq!(
        first["parts"],
        json!([{ "type": "progress", "label": "three", "step": 5, "total": 9, "state": "running" }])
    );
    // The message keeps its place, its time and what it answers; the run is the one that said it last.
    let original = &before[before.len() - 1];
    for kept in ["message_id", "ts", "reply_to", "sender"] {
        assert_eq!(first[kept], original[kept], "{kept}");
    }
    assert_ne!(first["invocation_id"], original["invocation_id"]);
    let mut post = first.clone();
    for key in ["type", "stream", "seq"] {
        post.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(update["post"], post, "the update holds the whole message");
    // The same again is nothing new, and neither is another name's business.
    say(&ann, &session, "card a three").await;
    say(&ann, &session, "card b one").await;
    let last = events(&ann, &session).await;
    assert_eq!(told(&last), [("message", "a is three"), ("message_update", "a is three"), ("message", "b is one")]);
}

async fn a_name_is_rewritten_for_its_time_to_live(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("board").await;
    say(&ann, &session, "card a one").await;
    server.clock.advance(60_000);
    say(&ann, &session, "card a two").await;
    // Rewritten, its time begins again.
    server.clock.advance(60_000);
    say(&ann, &session, "card a three").await;
    server.clock.advance(60_001);
    say(&ann, &session, "card a three").await;
    server.clock.advance(60_001);
    // Too late to mend it.
    say(&ann, &session, "mend a four").await;
    let told_now = events(&ann, &session).await;
    let expected = [
        ("message", "a is three"),
        ("message_update", "a is two"),
        ("message_update", "a is three"),
        ("message", "a is three"),
    ];
    assert_eq!(told(&told_now), expected);
}

async fn always_says_it_anew_and_update_only_never_does(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("board").await;
    say(&ann, &session, "mend a nothing").await;
    assert_eq!(told(&events(&ann, &session).await), []);
    for content in ["note a one", "note a one", "note a two", "mend a three", "plain four", "plain named"] {
        server.clock.advance(1);
        say(&ann, &session, content).await;
    }
    let expected = [
        ("message", "one"),
        ("message", "one"),
        ("message", "named"),
        ("message_update", "three"),
        ("message", "four"),
        ("message_update", "named"),
    ];
    assert_eq!(told(&events(&ann, &session).await), expected, "the newest of the name is the one that is mended");
    let runs = server.store().recent_executions(None, 20).await.unwrap();
    assert_eq!(runs.len(), 7, "what says nothing has run all the same");
}

async fn a_name_belongs_to_one_bot_in_one_conversation(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("board").await;
    say(&ann, &session, "card a one").await;
    say(&ann, &session, "@twin twin card a two").await;
    assert_eq!(told(&events(&ann, &session).await), [("message", "a is one"), ("message", "twin of two")]);
    let other = ann.open("board").await;
    say(&ann, &other, "mend a three").await;
    assert_eq!(told(&events(&ann, &other).await), []);
}

async fn runs_at_once_leave_one_message(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("board").await;
    let wishes: Vec<String> = (0..12).map(|n| format!("card a n{n}")).collect();
    join_all(wishes.iter().map(|wish| say(&ann, &session, wish))).await;
    let events = events(&ann, &session).await;
    let told = told(&events);
    assert_eq!(told.len(), 12);
    let messages: Vec<_> = told.iter().filter(|(kind, _)| *kind == "message").collect();
    assert_eq!(messages.len(), 1, "{told:?}");
    assert_eq!(messages[0].1, told[11].1, "the last one in the log counts");
}

async fn a_rewritten_message_is_one_message_on_every_door(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("board").await;
    let mut socket = ann.socket().await;
    socket.subscribe(&format!("conv:{session}"), 0).await;
    say(&ann, &session, "card a apple").await;
    let first = socket.until("message").await;
    assert_eq!(first["content"], "card a apple");
    let card = socket.until("message").await;
    server.clock.advance(1);
    say(&ann, &session, "card a pear").await;
    let update = socket.until("message_update").await;
    assert_eq!(update["message_id"], card["message_id"]);
    assert_eq!(update["post"]["content"], "a is pear");
    // Searches find the text that counts now.
    let search =
        async |query: &str| ann.get(&format!("/api/session/search?q={query}")).await.expect(200)["results"].clone();
    assert_eq!(search("is%20pear").await[0]["message_id"], card["message_id"]);
    assert_eq!(search("is%20apple").await, json!([]));
}
