//! Finding what was said.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::server::{Client, Server, on_both_databases};

on_both_databases!(
    what_was_said_is_found_by_any_part_of_it,
    pages_go_on_where_they_ended,
    only_ones_own_and_only_what_counts_now,
);

async fn search(client: &Client, query: &str) -> Value {
    client.get(&format!("/api/session/search?{query}")).await.expect(200)
}

/// The texts found, newest first.
fn texts(page: &Value) -> Vec<&str> {
    page["results"].as_array().unwrap().iter().map(|hit| hit["text"].as_str().unwrap()).collect()
}

async fn what_was_said_is_found_by_any_part_of_it(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let (first, second) = (ann.open("hello").await, ann.open("ops").await);
    ann.say(&first, "Deploy 100% of Größe_A now").await;
    server.clock.advance(1000);
    ann.say(&second, "\"ПРИВЕТ\" said the back\\slash").await;
    server.clock.advance(1000);
    ann.say(&first, &format!("{} needle {}", "hay ".repeat(200), "hay ".repeat(200))).await;
    let own = async |query: &str| -> usize {
        let page = search(&ann, &format!("limit=100&q={query}")).await;
        page["results"].as_array().unwrap().iter().filter(|hit| hit["sender"]["kind"] == "user").count()
    };
    for (query, count) in [
        ("deploy", 1),
        ("DEPLOY+100%25+of", 1),
        ("100%25", 1),
        // Wildcards are letters like any other.
        ("%25", 1),
        ("100_", 0),
        ("e_a", 1),
        ("%C3%96%C3%9Fe", 1),                        // Öße, a part of Größe
        ("%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82", 1), // the greeting in lower case
        ("%22%D0%BF", 1),
        ("back%5Cslash", 1),
        // Words of the log's own form are not what was said.
        ("session_id", 0),
        ("format", 0),
        ("needle", 1),
    ] {
        assert_eq!(own(query).await, count, "{query}");
    }
    let page = search(&ann, "q=needle").await;
    let hit = page["results"].as_array().unwrap().iter().find(|hit| hit["sender"]["kind"] == "user").unwrap();
    assert_eq!((hit["session_id"].as_str(), hit["bot_id"].as_str()), (Some(&*first), Some("hello")));
    assert_eq!((hit["seq"].as_i64(), hit["status"].as_str()), (Some(3), Some("active")));
    let found_in =
        async |session: &str, query: &str| texts(&search(&ann, &format!("session_id={session}&q={query}")).await).len();
    assert!(found_in(&first, "needle").await > 0);
    assert_eq!((found_in(&second, "needle").await, found_in("no-such", "needle").await), (0, 0));
    let text = hit["text"].as_str().unwrap();
    assert!(text.contains("needle") && text.chars().count() <= 240, "{text}");
    for bad in ["", "q=", "q=%20", &format!("q={}", "x".repeat(201)), "q=x&limit=0", "q=x&limit=101", "q=x&before=y"] {
        assert_eq!(ann.get(&format!("/api/session/search?{bad}")).await.error(400), "INVALID_REQUEST", "{bad}");
    }
    assert_eq!(texts(&search(&ann, "q=no-such-thing-was-said").await), Vec::<&str>::new());
}

async fn pages_go_on_where_they_ended(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let sessions = [ann.open("hello").await, ann.open("hello").await];
    for n in 0..12 {
        ann.say(&sessions[n % 2], &format!("greet person-{n:02}")).await;
        // Some in the same millisecond.
        server.clock.advance(i64::from(n % 3 == 0));
    }
    let all = search(&ann, "q=person-&limit=100").await;
    let all = texts(&all);
    assert_eq!(all.len(), 24, "what was said and what was answered");
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let page = search(&ann, &format!("q=person-&limit=5{next}")).await;
        paged.extend(texts(&page).into_iter().map(str::to_owned));
        match page["next"].as_str() {
            Some(place) => next = format!("&before={place}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    let own: Vec<_> = paged.iter().filter_map(|text| text.strip_prefix("greet person-")).collect();
    assert_eq!(own, (0..12).rev().map(|n| format!("{n:02}")).collect::<Vec<_>>(), "newest first");
}

async fn only_ones_own_and_only_what_counts_now(server: Arc<Server>) {
    let (ann, bob) = (server.program(Role::User).await, server.program(Role::User).await);
    let session = ann.open("hello").await;
    let reply = ann.say(&session, "no-such secret").await;
    let message = reply["reply_to"].as_str().unwrap();
    let mine = async |query: &str| {
        let page = search(&ann, query).await;
        page["results"].as_array().unwrap().iter().filter(|hit| hit["sender"]["kind"] == "user").count()
    };
    assert_eq!(mine("q=secret").await, 1);
    assert_eq!(texts(&search(&bob, "q=secret").await), Vec::<&str>::new());
    let admin = server.browser().await;
    assert_eq!(texts(&search(&admin, "q=secret").await), Vec::<&str>::new(), "one's own, not everybody's");
    let path = format!("/api/session/{session}/messages/{message}");
    ann.patch(&path, &json!({ "content": "no-such riddle" })).await.expect(200);
    assert_eq!((mine("q=secret").await, mine("q=riddle").await), (0, 1));
    ann.delete(&path).await.expect(200);
    assert_eq!(mine("q=riddle").await, 0);
    // What was said in a conversation that is closed is found as well.
    let theirs = search(&bob, &format!("q=riddle&session_id={session}")).await;
    assert_eq!(texts(&theirs), Vec::<&str>::new(), "naming a session opens none");
    let closed = ann.open("hello").await;
    ann.say(&closed, "no-such archive").await;
    ann.delete(&format!("/api/session/{closed}")).await.expect(200);
    let page = search(&ann, "q=such+archive").await;
    assert!(page["results"].as_array().unwrap().iter().all(|hit| hit["status"] == "closed"));
    assert_eq!(mine("q=such+archive").await, 1);
}
