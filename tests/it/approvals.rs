//! Runs that wait for a word: confirmed, approved, denied, expired, void; once, whatever dies in between.

use std::path::Path;
use std::sync::Arc;

use parlour::crash_point::APPROVAL_POINTS;
use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::dialogs::{act, events};
use crate::support::postgres::Database;
use crate::support::process::Process;
use crate::support::server::{Client, Server, on_both_databases};

on_both_databases!(
    who_asks_confirms_it,
    a_target_is_typed,
    somebody_else_approves_it,
    two_persons_are_two_persons,
    one_word_against_it_is_enough,
    what_nobody_decides_expires,
    a_change_makes_it_void,
    rights_are_looked_at_again,
    programs_wait_for_it_too,
    two_words_at_once_run_it_once,
    what_a_process_does_waits_too,
);

const MINUTE: i64 = 60 * 1000;

async fn ann(server: &Server) -> Client {
    server.person("Ann", &[Role::User], &[]).await
}

async fn bob(server: &Server) -> Client {
    server.person("Bob", &[Role::User], &["release"]).await
}

/// The action of a message with this label.
fn button<'m>(message: &'m Value, label: &str) -> &'m Value {
    let actions = message["actions"].as_array().unwrap_or_else(|| panic!("no actions: {message}"));
    &actions.iter().find(|action| action["label"] == label).unwrap_or_else(|| panic!("no {label}: {message}"))["id"]
}

/// A message as it is now.
async fn now(client: &Client, session: &str, message: &Value) -> Value {
    let id = &message["message_id"];
    let all = events(client, session).await;
    all.into_iter().find(|event| event["type"] == "message" && event["message_id"] == *id).expect("it is there")
}

async fn phase(server: &Server, id: &Value) -> &'static str {
    server.store().execution(id.as_str().expect("a run")).await.unwrap().expect("it is kept").status.phase()
}

/// The open approvals that somebody sees.
async fn inbox(client: &Client) -> Vec<Value> {
    client.get("/api/approvals").await.expect(200)["approvals"].as_array().expect("a list").clone()
}

/// The card that asks somebody to approve, in the conversation it stands in.
async fn card(client: &Client) -> (String, Value) {
    let list = client.get("/api/session/list").await.expect(200);
    let session = list["sessions"].as_array().unwrap().iter().find(|session| session["bot_id"] == "vault");
    let session = session.expect("a conversation")["session_id"].as_str().unwrap().to_owned();
    let card = events(client, &session).await.into_iter().rfind(|event| event["type"] == "message");
    (session, card.expect("a card"))
}

async fn word(client: &Client, id: &Value, word: &str, body: Value) -> crate::support::server::Answer {
    client.post(&format!("/invocations/{}/{word}", id.as_str().unwrap()), &body).await
}

async fn who_asks_confirms_it(server: Arc<Server>) {
    let ann = ann(&server).await;
    let session = ann.open("vault").await;
    let asked = ann.say(&session, "reset visits").await;
    assert_eq!(asked["content"], "**reset** runs when you confirm it.");
    assert_eq!(asked["parts"][0]["fields"][0]["value"], "visits");
    assert_eq!(phase(&server, &asked["invocation_id"]).await, "AWAITING_CONFIRMATION");
    assert_eq!(inbox(&ann).await.len(), 1);
    act(&ann, &session, &asked, button(&asked, "Confirm"), Value::Null).await.expect(201);
    let all = events(&ann, &session).await;
    let answer = all.iter().rfind(|event| event["type"] == "message").unwrap();
    assert_eq!((&answer["content"], &answer["reply_to"]), (&json!("visits is 0"), &all[0]["message_id"]));
    assert_eq!(now(&ann, &session, &asked).await["content"], "**reset** is confirmed.");
    assert_eq!(phase(&server, &asked["invocation_id"]).await, "SUCCESS");
    assert_eq!(act(&ann, &session, &asked, button(&asked, "Cancel"), Value::Null).await.error(409), "ACTION_USED");

    let asked = ann.say(&session, "reset visits").await;
    act(&ann, &session, &asked, button(&asked, "Cancel"), Value::Null).await.expect(201);
    assert_eq!(phase(&server, &asked["invocation_id"]).await, "CANCELLED");
    assert_eq!(now(&ann, &session, &asked).await["content"], "**reset**: cancelled.");
    // Where a value was given there is nothing to ask about.
    assert_eq!(ann.say(&session, "level HIGH").await["content"], "level high");
    let asked = ann.say(&session, "level").await;
    assert_eq!(asked["content"], "**level** runs when you confirm it.");
    let path = format!("/api/session/{session}/invocations/{}/cancel", asked["invocation_id"].as_str().unwrap());
    ann.post(&path, &json!({})).await.expect(200);
    assert_eq!(phase(&server, &asked["invocation_id"]).await, "CANCELLED");
    assert!(inbox(&ann).await.is_empty());
}

async fn a_target_is_typed(server: Arc<Server>) {
    let ann = ann(&server).await;
    let session = ann.open("vault").await;
    let asked = ann.say(&session, "drop guests").await;
    let form = &asked["form"];
    assert_eq!(form["fields"][0]["label"], "Type guests to go on");
    let wrong = act(&ann, &session, &asked, &form["id"], json!({ "target": "gusts" })).await;
    assert_eq!(wrong.error(400), "VALIDATION_FAILED");
    assert_eq!(act(&ann, &session, &asked, &form["id"], Value::Null).await.error(400), "VALIDATION_FAILED");
    act(&ann, &session, &asked, &form["id"], json!({ "target": "guests" })).await.expect(201);
    assert_eq!(phase(&server, &asked["invocation_id"]).await, "SUCCESS");
    let asked = ann.say(&session, "drop guests").await;
    let id = &asked["invocation_id"];
    assert_eq!(word(&ann, id, "approve", json!({})).await.error(400), "VALIDATION_FAILED");
    let done = word(&ann, id, "approve", json!({ "confirm": "guests" })).await.expect(200);
    assert_eq!((&done["state"], &done["phase"]), (&json!("started"), &json!("SUCCESS")));
}

async fn somebody_else_approves_it(server: Arc<Server>) {
    let (ann, bob) = (ann(&server).await, bob(&server).await);
    let cid = server.person("Cid", &[Role::User, Role::Admin], &[]).await;
    let mut bobs = bob.socket().await;
    let me = bob.get("/api/session").await.expect(200)["user_id"].as_str().unwrap().to_owned();
    bobs.subscribe(&format!("user:{me}"), 0).await;
    let session = ann.open("vault").await;
    let asked = ann.say(&session, "publish 2.0").await;
    assert_eq!(asked["content"], "**publish** waits for approval: 0 of 1.");
    let id = &asked["invocation_id"];
    assert_eq!(phase(&server, id).await, "AWAITING_APPROVAL");
    // Bob has never talked to the vault: he is told where he looks.
    let told = bobs.until("approval_update").await;
    assert_eq!((&told["data"]["state"], &told["data"]["requested_by"]), (&json!("approve"), &json!("Ann")));
    let (at, bobs_card) = card(&bob).await;
    assert_eq!((&told["data"]["session_id"], &told["data"]["message_id"]), (&json!(at), &bobs_card["message_id"]));
    assert_eq!(bobs_card["content"], "**Ann** asks to run **publish**: 0 of 1 approved.");
    let open = inbox(&bob).await;
    assert_eq!((open.len(), &open[0]["invocation_id"], &open[0]["decide"]), (1, id, &json!(true)));
    assert_eq!(open[0]["parameters"], json!([{ "name": "version", "value": "2.0" }]));
    // Who asked does not approve it, nor does an administrator who is not of the group; to others there is no such run.
    assert_eq!(word(&ann, id, "approve", json!({})).await.error(403), "FORBIDDEN");
    assert_eq!(word(&cid, id, "approve", json!({})).await.error(403), "FORBIDDEN");
    let dan = server.person("Dan", &[Role::User], &["dev"]).await;
    assert_eq!(word(&dan, id, "approve", json!({})).await.error(404), "NOT_FOUND");
    assert!(inbox(&dan).await.is_empty());
    let program = server.program_in(Role::Admin, &["release"]).await;
    assert_eq!(word(&program, id, "approve", json!({})).await.error(403), "FORBIDDEN", "a program is no person");
    assert_eq!(phase(&server, id).await, "AWAITING_APPROVAL");

    act(&bob, &at, &bobs_card, button(&bobs_card, "Approve"), Value::Null).await.expect(201);
    let all = events(&ann, &session).await;
    let answer = all.iter().rfind(|event| event["type"] == "message").unwrap();
    assert_eq!(answer["content"], "Ann published 2.0", "it runs as who asked");
    assert_eq!((&answer["reply_to"], &answer["invocation_id"]), (&all[0]["message_id"], id));
    assert_eq!(now(&ann, &session, &asked).await["content"], "**publish** is approved by Bob.");
    let bobs_card = now(&bob, &at, &bobs_card).await;
    assert_eq!(bobs_card["content"], "**publish**, asked for by **Ann**, is approved by Bob.");
    assert!(bobs_card.get("actions").is_none(), "{bobs_card}");
    assert_eq!(phase(&server, id).await, "SUCCESS");
    let rows = cid.get("/api/admin/audit?action=approval.grant").await.expect(200);
    assert_eq!((&rows["entries"][0]["name"], &rows["entries"][0]["target"]), (&json!("Bob"), id), "{rows}");
    assert!(inbox(&bob).await.is_empty());
}

async fn two_persons_are_two_persons(server: Arc<Server>) {
    let (ann, bob) = (ann(&server).await, bob(&server).await);
    let dora = server.person("Dora", &[Role::User], &["release"]).await;
    let session = ann.open("vault").await;
    let asked = ann.say(&session, "wipe sda").await;
    let id = &asked["invocation_id"];
    assert_eq!(phase(&server, id).await, "AWAITING_CONFIRMATION", "what destroys is confirmed, too");
    assert!(inbox(&bob).await.is_empty(), "nobody is asked before that");
    act(&ann, &session, &asked, button(&asked, "Confirm"), Value::Null).await.expect(201);
    assert_eq!(phase(&server, id).await, "AWAITING_APPROVAL");
    let (at, bobs_card) = card(&bob).await;
    assert_eq!(word(&bob, id, "approve", json!({})).await.error(400), "VALIDATION_FAILED", "it wants a reason");
    act(&bob, &at, &bobs_card, &bobs_card["form"]["id"], json!({ "reason": "old" })).await.expect(201);
    assert_eq!(now(&bob, &at, &bobs_card).await["content"].as_str().unwrap().matches("1 of 2").count(), 1);
    let asked = now(&ann, &session, &asked).await;
    assert_eq!(asked["content"], "**wipe** waits for approval: 1 of 2. Approved so far by Bob (old).");
    // A key of Bob's is Bob.
    let made = bob.post("/api/keys", &json!({ "name": "k", "role": "user", "groups": ["release"] })).await.expect(201);
    let key = server.anybody().with("x-api-key", made["token"].as_str().unwrap());
    assert_eq!(word(&key, id, "approve", json!({ "reason": "again" })).await.error(409), "ALREADY_APPROVED");
    assert_eq!(inbox(&dora).await[0]["words"][0]["by"], "Bob");
    let done = word(&dora, id, "approve", json!({ "reason": "yes" })).await.expect(200);
    assert_eq!((&done["state"], done["words"].as_array().unwrap().len()), (&json!("started"), 2));
    assert_eq!(events(&ann, &session).await.last().unwrap()["content"], "sda is wiped");
}

async fn one_word_against_it_is_enough(server: Arc<Server>) {
    let (ann, bob) = (ann(&server).await, bob(&server).await);
    let session = ann.open("vault").await;
    let asked = ann.say(&session, "publish 3.0").await;
    let id = &asked["invocation_id"];
    let (at, bobs_card) = card(&bob).await;
    let denied = word(&bob, id, "deny", json!({ "reason": "not on a Friday" })).await.expect(200);
    assert_eq!((&denied["state"], &denied["phase"]), (&json!("denied"), &json!("CANCELLED")));
    assert_eq!(now(&ann, &session, &asked).await["content"], "**publish**: denied by Bob: not on a Friday.");
    assert_eq!(act(&bob, &at, &bobs_card, button(&bobs_card, "Approve"), Value::Null).await.error(409), "ACTION_USED");
    assert_eq!(word(&bob, id, "approve", json!({})).await.error(404), "NOT_FOUND", "it is theirs no more");
    // Who asked may give it up.
    let asked = ann.say(&session, "publish 4.0").await;
    act(&ann, &session, &asked, button(&asked, "Withdraw"), Value::Null).await.expect(201);
    assert_eq!(phase(&server, &asked["invocation_id"]).await, "CANCELLED");
    assert!(inbox(&bob).await.is_empty());
    assert!(events(&ann, &session).await.iter().all(|event| event["content"] != "Ann published 4.0"));
}

async fn what_nobody_decides_expires(server: Arc<Server>) {
    let (ann, bob) = (ann(&server).await, bob(&server).await);
    let session = ann.open("vault").await;
    let asked = ann.say(&session, "publish 5.0").await;
    let id = &asked["invocation_id"];
    let (at, bobs_card) = card(&bob).await;
    let mut socket = ann.socket().await;
    socket.subscribe(&format!("conv:{session}"), 2).await;
    server.clock.advance(10 * MINUTE);
    let update = socket.until("message_update").await;
    assert_eq!(update["post"]["content"], "**publish**: expired, nobody decided in time.");
    assert_eq!(phase(&server, id).await, "EXPIRED");
    assert_eq!(now(&bob, &at, &bobs_card).await["content"], "**publish**: expired, nobody decided in time.");
    let late = act(&bob, &at, &bobs_card, button(&bobs_card, "Approve"), Value::Null).await;
    assert!(["ACTION_USED", "ACTION_EXPIRED"].contains(&late.error(409).as_str()));
}

async fn a_change_makes_it_void(server: Arc<Server>) {
    let (ann, bob) = (ann(&server).await, bob(&server).await);
    let session = ann.open("vault").await;
    let asked = ann.say(&session, "publish 6.0").await;
    let file = server.bots.join("vault/bot.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("published {{", "announced {{");
    std::fs::write(&file, text).unwrap();
    server.reload().await;
    assert_eq!(word(&bob, &asked["invocation_id"], "approve", json!({})).await.error(409), "APPROVAL_VOID");
    assert_eq!(phase(&server, &asked["invocation_id"]).await, "FAILURE");
    let void = now(&ann, &session, &asked).await;
    assert_eq!(void["content"], "**publish**: void, what it was about has changed since.");
}

async fn rights_are_looked_at_again(server: Arc<Server>) {
    let (ann, bob) = (ann(&server).await, bob(&server).await);
    let admin = server.browser().await;
    let dora = server.person("Dora", &[Role::User], &["release"]).await;
    let deny = |subject: String, verb: &str, kind: &str, name: &str| json!({ "effect": "deny", "subject": subject, "verbs": [verb], "kind": kind, "name": name });
    let id_of = async |client: &Client| {
        format!("user:{}", client.get("/api/session").await.expect(200)["user_id"].as_str().unwrap())
    };
    let session = ann.open("vault").await;
    // Of the requester, when it starts.
    let asked = ann.say(&session, "publish 7.0").await;
    let freeze = deny(id_of(&ann).await, "invoke", "command", "vault/publish");
    let grant = admin.post("/api/grants", &freeze).await.expect(201);
    let word_of_bob = word(&bob, &asked["invocation_id"], "approve", json!({})).await.expect(200);
    assert_eq!((&word_of_bob["state"], &word_of_bob["phase"]), (&json!("void"), &json!("FAILURE")));
    admin.delete(&format!("/api/grants/{}", grant["id"].as_str().unwrap())).await.expect(200);
    // Of an approver, when the last word is given.
    let asked = ann.say(&session, "wipe sdb").await;
    let id = &asked["invocation_id"];
    act(&ann, &session, &asked, button(&asked, "Confirm"), Value::Null).await.expect(201);
    word(&bob, id, "approve", json!({ "reason": "old" })).await.expect(200);
    let no_more = deny(id_of(&bob).await, "manage", "execution", "vault/*");
    admin.post("/api/grants", &no_more).await.expect(201);
    let one = word(&dora, id, "approve", json!({ "reason": "yes" })).await.expect(200);
    assert_eq!((&one["state"], one["words"].as_array().unwrap().len()), (&json!("approve"), 1), "Bob's does not count");
    assert_eq!(word(&bob, id, "approve", json!({ "reason": "old" })).await.error(404), "NOT_FOUND");
    word(&dora, id, "deny", json!({})).await.expect(200);
    assert_eq!(phase(&server, id).await, "CANCELLED");
}

async fn programs_wait_for_it_too(server: Arc<Server>) {
    let (ann, bob) = (server.program(Role::User).await, bob(&server).await);
    let invoke = async |version: &str| {
        let body = json!({ "command": "publish", "parameters": [{ "name": "version", "value": version }] });
        let keyed = ann.with("idempotency-key", version);
        let first = keyed.post("/command?invoke=true", &body).await.expect(200);
        assert_eq!(keyed.post("/command?invoke=true", &body).await.expect(200), first);
        (first["invocation"]["id"].clone(), first["invocation"]["url"].as_str().unwrap().to_owned())
    };
    let (id, url) = invoke("8.0").await;
    let poll = ann.get(&url).await.expect(200);
    assert_eq!((&poll["phase"], &poll["command_response"]), (&json!("AWAITING_APPROVAL"), &Value::Null));
    assert_eq!(bob.get(&url).await.error(404), "NOT_FOUND", "who approves sees the approval, not the run");
    let (waiting, url_of) = (ann.clone(), format!("{url}?wait=30"));
    #[expect(clippy::disallowed_methods, reason = "it ends with the test, which waits for it")]
    let polled = tokio::spawn(async move {
        loop {
            let poll = waiting.get(&url_of).await.expect(200);
            if poll["phase"] == "SUCCESS" {
                return poll;
            }
        }
    });
    let done = bob.post(&format!("{url}/approve"), &json!({})).await.expect(200);
    assert_eq!((&done["invocation_id"], &done["phase"]), (&id, &json!("SUCCESS")));
    let poll = polled.await.unwrap();
    assert_eq!(
        (&poll["command_response"]["body"], poll["command_responses"].as_array().unwrap().len()),
        (&json!("user published 8.0"), 1)
    );
    let (_, url) = invoke("9.0").await;
    bob.post(&format!("{url}/deny"), &json!({ "reason": "no" })).await.expect(200);
    let poll = ann.get(&url).await.expect(200);
    assert_eq!((&poll["phase"], &poll["status"]["reason"]), (&json!("CANCELLED"), &json!("denied by Bob: no")));
    let (_, url) = invoke("10.0").await;
    assert_eq!(ann.post(&format!("{url}/cancel"), &json!({})).await.expect(200)["phase"], "CANCELLED");
    // A program confirms what it asked for by the same door.
    let body = json!({ "command": "reset", "automation": { "name": "vault" }, "parameters": [{ "name": "counter", "value": "a" }] });
    let url = ann.post("/command?invoke=true", &body).await.expect(200)["invocation"]["url"].clone();
    let url = url.as_str().unwrap();
    assert_eq!(ann.get(url).await.expect(200)["phase"], "AWAITING_CONFIRMATION");
    assert_eq!(bob.post(&format!("{url}/approve"), &json!({})).await.error(404), "NOT_FOUND");
    assert_eq!(ann.post(&format!("{url}/approve"), &json!({})).await.expect(200)["phase"], "SUCCESS");
}

async fn two_words_at_once_run_it_once(server: Arc<Server>) {
    let (ann, bob) = (ann(&server).await, bob(&server).await);
    let dora = server.person("Dora", &[Role::User], &["release"]).await;
    let session = ann.open("vault").await;
    for round in 0..5 {
        let asked = ann.say(&session, &format!("publish 1.{round}")).await;
        let id = &asked["invocation_id"];
        let (one, two, three) = tokio::join!(
            word(&bob, id, "approve", json!({})),
            word(&dora, id, "approve", json!({})),
            word(&bob, id, "approve", json!({}))
        );
        let mut good = 0;
        for answer in [one, two, three] {
            match answer.status.as_u16() {
                200 => good += 1,
                status => assert!(matches!(status, 404 | 409), "{}", answer.text),
            }
        }
        assert_eq!(good, 1);
        let answers = events(&ann, &session).await;
        let wanted = json!(format!("Ann published 1.{round}"));
        assert_eq!(answers.iter().filter(|event| event["content"] == wanted).count(), 1);
    }
}

async fn what_a_process_does_waits_too(server: Arc<Server>) {
    let (ann, bob) = (ann(&server).await, bob(&server).await);
    let mut process = server.process(&["vault"]).await.socket().await;
    process.send(&json!({ "type": "register", "bot_id": "vault" })).await;
    process.until("registered").await;
    let session = ann.open("vault").await;
    let asked = ann.say(&session, "move boxes").await;
    word(&bob, &asked["invocation_id"], "approve", json!({})).await.expect(200);
    let delivery = process.until("deliver").await;
    assert_eq!(delivery["event"]["user"]["name"], "Ann");
    process
        .send(&json!({ "type": "done", "id": "d", "delivery_id": delivery["delivery_id"], "content": "moved" }))
        .await;
    process.until("ack").await;
    let all = events(&ann, &session).await;
    let answer = all.iter().rfind(|event| event["type"] == "message").unwrap();
    assert_eq!((&answer["content"], &answer["reply_to"]), (&json!("moved"), &all[0]["message_id"]));
}

/// An administrator's browser at a process.
async fn browser(process: &Process) -> Client {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = http.get(&process.link).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    Client::with_key(&process.url, "").without("authorization").with("cookie", &cookie).with("origin", &process.url)
}

/// Asks for a rollout that an administrator approves, and approves it, as far as the process lives.
async fn ask_and_approve(client: &Client, session: &str, name: &str) -> Option<()> {
    let try_post = async |path: String, body: Value, key: String| {
        let request = client.request(reqwest::Method::POST, &path).header("idempotency-key", key).json(&body);
        let answer = request.timeout(std::time::Duration::from_secs(20)).send().await.ok()?;
        answer.text().await.ok().map(|text| serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    let said = json!({ "content": format!("launch {name}") });
    let receipt = try_post(format!("/api/session/{session}/messages"), said, format!("say-{name}")).await?;
    let path = format!("/api/session/{session}/events?after={}&wait=10", receipt["seq"]);
    let page = client.request(reqwest::Method::GET, &path).send().await.ok()?.text().await.ok()?;
    let page: Value = serde_json::from_str(&page).ok()?;
    let asked = page["events"].as_array()?.iter().find(|event| event["invocation_id"].is_string())?.clone();
    let id = asked["invocation_id"].as_str()?;
    // The second time it may have been approved before.
    try_post(format!("/invocations/{id}/approve"), json!({}), String::new()).await?;
    Some(())
}

async fn dies_around_an_approval(data: &Path, database: Option<&str>) {
    let mut process = Process::start(data, database);
    let client = browser(&process).await;
    let session = client.open("gallery").await;
    process.kill();
    let mut points: Vec<String> = APPROVAL_POINTS.iter().map(|point| format!("{point}:1")).collect();
    for point in ["store.worked", "store.committed"] {
        points.extend((2..8).map(|passes| format!("{point}:{passes}")));
    }
    for (number, point) in points.iter().enumerate() {
        let name = format!("v{number}");
        if let Some(mut dying) = Process::start_with(data, database, &[("PARLOUR_CRASH_POINT", point)]) {
            let there = client.at_url(&dying.url).with("origin", &dying.url);
            let survived = ask_and_approve(&there, &session, &name).await.is_some();
            assert!(!survived || !point.starts_with("approval."), "{point} is never reached");
            dying.kill();
        }
        let mut process = Process::start(data, database);
        let there = client.at_url(&process.url).with("origin", &process.url);
        ask_and_approve(&there, &session, &name).await.expect("it lives");
        let wanted = json!(format!("**{name}** is launched."));
        let ran = async {
            loop {
                let all = events(&there, &session).await;
                let count = all.iter().filter(|event| event["content"] == wanted).count();
                if count > 0 {
                    return count;
                }
            }
        };
        let count = tokio::time::timeout(std::time::Duration::from_secs(20), ran).await;
        assert_eq!(count.expect("what was approved runs"), 1, "{point}");
        assert!(inbox(&there).await.is_empty(), "{point}");
        process.kill();
    }
}

#[tokio::test]
async fn sqlite_starts_what_was_approved_once() {
    let folder = tempfile::tempdir().unwrap();
    dies_around_an_approval(folder.path(), None).await;
}

#[tokio::test]
async fn postgres_starts_what_was_approved_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create().await;
    dies_around_an_approval(folder.path(), Some(&database.url)).await;
}
