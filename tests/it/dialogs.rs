//! Commands that ask for what they need: forms, questions, and what becomes of them.

use std::path::Path;
use std::sync::Arc;

use parlour::model::execution::ExecutionStatus;
use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::postgres::Database;
use crate::support::process::{Process, key};
use crate::support::server::{Answer, Client, Server, on_both_databases};

on_both_databases!(
    a_form_is_filled_in_and_runs,
    questions_are_answered_one_by_one,
    wrong_answers_and_cancelling_end_it,
    a_form_lets_commands_through_and_takes_answers_in_words,
    who_does_not_answer_is_reminded_once,
    what_nobody_answers_expires_and_can_be_started_again,
    what_is_hidden_stands_nowhere,
    some_commands_are_agreed_to_first,
    another_question_takes_the_place_of_the_first,
    a_bot_that_changed_ends_the_dialog,
    tabs_that_send_at_once_run_once,
    the_automation_api_does_not_ask,
    what_a_process_does_is_asked_first,
);

pub(crate) async fn events(client: &Client, session: &str) -> Vec<Value> {
    let page = client.get(&format!("/api/session/{session}/events?limit=500")).await.expect(200);
    page["events"].as_array().unwrap().clone()
}

pub(crate) async fn act(client: &Client, session: &str, message: &Value, action: &Value, value: Value) -> Answer {
    let (message, action) = (message["message_id"].as_str().unwrap(), action.as_str().unwrap());
    client
        .post(&format!("/api/session/{session}/messages/{message}/actions/{action}"), &json!({ "value": value }))
        .await
}

async fn phase(server: &Server, message: &Value) -> ExecutionStatus {
    let id = message["invocation_id"].as_str().expect("a run");
    server.store().execution(id).await.unwrap().expect("it is kept").status
}

/// What the automation API says of the run behind a message.
async fn invocation(server: &Server, client: &Client, message: &Value, query: &str) -> Value {
    let id = message["invocation_id"].as_str().expect("a run");
    let request = server.store().execution(id).await.unwrap().unwrap().request_id;
    client.get(&format!("/command/{request}/invocation/{id}{query}")).await.expect(200)
}

async fn a_form_is_filled_in_and_runs(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("desk").await;
    let asked = browser.say(&session, "book people=3").await;
    let form = &asked["form"];
    assert_eq!((form["state"].as_str(), form["submit"].as_str()), (Some("open"), Some("Book")), "{asked}");
    assert_eq!(
        form["fields"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["room", "day", "people"]
    );
    assert_eq!(form["fields"][0]["label"], "Which room?");
    assert_eq!(
        (&form["fields"][1]["choices"], &form["fields"][2]["value"]),
        (&json!(["monday", "friday"]), &json!("3"))
    );
    let polled = invocation(&server, &browser, &asked, "").await;
    assert_eq!((polled["phase"].as_str(), &polled["command_response"]), (Some("AWAITING_INPUT"), &Value::Null));
    // What is wrong is told field by field; the form stays open and nothing is written.
    let before = events(&browser, &session).await;
    let wrong = json!({ "room": "Blue 1", "people": "many", "floor": "2" });
    let refused = act(&browser, &session, &asked, &form["id"], wrong).await.expect(400);
    assert_eq!(refused["error"]["code"], "VALIDATION_FAILED");
    let faults = refused["error"]["details"]["errors"].as_array().unwrap();
    let faults: Vec<_> = faults.iter().map(|f| (f["field"].as_str().unwrap(), f["code"].as_str().unwrap())).collect();
    assert_eq!(
        faults,
        [
            ("parameters.floor", "unknown"),
            ("parameters.room", "pattern"),
            ("parameters.day", "required"),
            ("parameters.people", "type"),
        ]
    );
    assert_eq!(events(&browser, &session).await, before);
    // Who waits for the run hears of its end.
    let waiting = {
        let (server, browser, asked) = (server.clone(), browser.clone(), asked.clone());
        async move { invocation(&server, &browser, &asked, "?wait=20").await }
    };
    let right = json!({ "room": "blue", "day": "Friday", "people": 4 });
    let mut reader = browser.socket().await;
    reader.subscribe(&format!("conv:{session}"), 2).await;
    let sent = async {
        let mut socket = browser.socket().await;
        let frame = json!({ "type": "action", "id": "a1", "session_id": session, "message_id": asked["message_id"],
            "action_id": form["id"], "value": right });
        socket.send(&frame).await;
        let ack = socket.next().await;
        socket.send(&frame).await;
        (ack, socket.next().await)
    };
    let (polled, (ack, again)) = futures_util::future::join(waiting, sent).await;
    assert_eq!(
        (polled["phase"].as_str(), &polled["command_response"]["body"]),
        (Some("SUCCESS"), &json!("blue on friday for 4"))
    );
    assert_eq!((ack["type"].as_str(), ack["duplicate"].as_bool()), (Some("ack"), Some(false)), "{ack}");
    assert_eq!((&again["message_id"], again["duplicate"].as_bool()), (&ack["message_id"], Some(true)));
    let (action, update, reply) = (reader.next().await, reader.next().await, reader.next().await);
    assert_eq!(
        (action["type"].as_str(), &action["event_id"], &action["seq"]),
        (Some("action"), &ack["message_id"], &ack["seq"])
    );
    assert_eq!(
        (action["label"].as_str(), &action["value"]),
        (Some("Book"), &json!({ "room": "blue", "day": "friday", "people": "4" }))
    );
    assert_eq!(update["post"]["form"]["state"], "submitted");
    assert_eq!(update["post"]["form"]["fields"][0]["value"], "blue");
    assert_eq!((reply["content"].as_str(), &reply["reply_to"]), (Some("blue on friday for 4"), &action["event_id"]));
    assert_eq!(reply["invocation_id"], asked["invocation_id"]);
    let now = events(&browser, &session).await;
    assert_eq!((now.len(), &now[1]["form"]["state"]), (5, &json!("submitted")), "the message is as it counts now");
    assert_eq!(act(&browser, &session, &asked, &form["id"], json!({})).await.error(409), "ACTION_USED");
    assert_eq!(act(&browser, &session, &asked, &form["cancel_id"], Value::Null).await.error(409), "ACTION_USED");
}

async fn questions_are_answered_one_by_one(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("desk").await;
    let asked = ann.say(&session, "book").await;
    assert_eq!((asked["content"].as_str(), &asked["form"]), (Some("Which room?"), &Value::Null));
    let wrong = ann.say(&session, "THE BLUE ONE").await;
    assert_eq!(wrong["content"], "That does not fit room: small letters.\n\nWhich room?");
    let second = ann.say(&session, "blue").await;
    assert_eq!((second["content"].as_str(), &second["suggestions"]), (Some("The day"), &json!(["monday", "friday"])));
    assert_eq!(phase(&server, &second).await, ExecutionStatus::AwaitingInput);
    assert_eq!(ann.say(&session, "default").await["content"], "There is no default for that.\n\nThe day");
    assert!(ann.say(&session, "?").await["content"].as_str().unwrap().contains("one of monday, friday"));
    assert_eq!(ann.say(&session, "back").await["content"], "Which room?");
    assert_eq!(ann.say(&session, "default").await["content"], "The day", "what was said before");
    // The text is the answer, even when it is a command.
    let help = ann.say(&session, "help").await;
    assert_eq!(help["content"], "That does not fit day: one of monday, friday.\n\nThe day");
    // An administrator who speaks here answers nothing.
    let admin = server.browser().await;
    assert!(admin.say(&session, "friday").await["content"].as_str().unwrap().contains("I do not know"));
    let done = ann.say(&session, "FRIDAY").await;
    assert_eq!(done["content"], "blue on friday for 2");
    assert_eq!(
        (&done["invocation_id"], phase(&server, &done).await),
        (&asked["invocation_id"], ExecutionStatus::Completed)
    );
    assert_eq!(
        ann.say(&session, "book red on monday").await["content"],
        "red on monday for 2",
        "nothing is asked any more"
    );
}

async fn wrong_answers_and_cancelling_end_it(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("desk").await;
    let asked = ann.say(&session, "book").await;
    ann.say(&session, "1").await;
    ann.say(&session, "2").await;
    let ended = ann.say(&session, "3").await;
    assert!(ended["content"].as_str().unwrap().contains("third time"), "{ended}");
    assert_eq!(phase(&server, &asked).await, ExecutionStatus::Cancelled);
    let polled = invocation(&server, &ann, &asked, "?wait=5").await;
    assert_eq!((polled["phase"].as_str(), polled["status"]["code"].as_i64()), (Some("CANCELLED"), Some(1)));
    let asked = ann.say(&session, "book").await;
    assert_eq!(ann.say(&session, "Cancel").await["content"], "Cancelled: **book** does not run.");
    assert_eq!(phase(&server, &asked).await, ExecutionStatus::Cancelled);
    // A form is given up by its button, by the word, and by closing the conversation.
    let browser = server.browser().await;
    let session = browser.open("desk").await;
    let asked = browser.say(&session, "book").await;
    act(&browser, &session, &asked, &asked["form"]["cancel_id"], Value::Null).await.expect(201);
    let updated = events(&browser, &session).await;
    assert_eq!((&updated[1]["form"]["state"], updated[2]["type"].as_str()), (&json!("cancelled"), Some("action")));
    assert_eq!(updated[3]["post"]["form"]["state"], "cancelled");
    let by_word = browser.say(&session, "book").await;
    browser.say(&session, "cancel").await;
    assert_eq!(phase(&server, &by_word).await, ExecutionStatus::Cancelled);
    // Or by cancelling its run.
    let withdrawn = browser.say(&session, "book").await;
    let mut socket = browser.socket().await;
    let cancel =
        json!({ "type": "cancel", "id": "x1", "session_id": session, "invocation_id": withdrawn["invocation_id"] });
    for _ in 0..2 {
        socket.send(&cancel).await;
        assert_eq!(socket.until("ack").await["status"], "cancelled", "again it changes nothing");
    }
    assert_eq!(phase(&server, &withdrawn).await, ExecutionStatus::Cancelled);
    let closed = browser.say(&session, "book").await;
    browser.delete(&format!("/api/session/{session}")).await.expect(200);
    assert_eq!(phase(&server, &closed).await, ExecutionStatus::Cancelled);
    assert_eq!(act(&browser, &session, &closed, &closed["form"]["id"], json!({})).await.error(409), "ACTION_USED");
}

async fn a_form_lets_commands_through_and_takes_answers_in_words(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("desk").await;
    let asked = browser.say(&session, "book").await;
    assert_eq!(browser.say(&session, "book red on monday").await["content"], "red on monday for 2");
    assert_eq!(phase(&server, &asked).await, ExecutionStatus::AwaitingInput);
    let receipt =
        browser.post(&format!("/api/session/{session}/messages"), &json!({ "content": "green" })).await.expect(201);
    let page = browser.get(&format!("/api/session/{session}/events?after={}", receipt["seq"])).await.expect(200);
    let (update, next) = (&page["events"][0], &page["events"][1]);
    assert_eq!(
        (update["type"].as_str(), update["post"]["form"]["state"].as_str()),
        (Some("message_update"), Some("open"))
    );
    assert_eq!(
        (&update["post"]["form"]["fields"][0]["value"], next["content"].as_str()),
        (&json!("green"), Some("The day"))
    );
    let receipt =
        browser.post(&format!("/api/session/{session}/messages"), &json!({ "content": "friday" })).await.expect(201);
    let page = browser.get(&format!("/api/session/{session}/events?after={}", receipt["seq"])).await.expect(200);
    assert_eq!(page["events"][0]["post"]["form"]["state"], "submitted");
    assert_eq!(page["events"][1]["content"], "green on friday for 2");
    assert_eq!(phase(&server, &asked).await, ExecutionStatus::Completed);
}

async fn who_does_not_answer_is_reminded_once(server: Arc<Server>) {
    const MINUTE: i64 = 60 * 1000;
    let (browser, ann) = (server.browser().await, server.program(Role::User).await);
    let (web, api) = (browser.open("desk").await, ann.open("desk").await);
    let (mut reader, mut program) = (browser.socket().await, ann.socket().await);
    browser.say(&web, "book").await;
    let asked = ann.say(&api, "book").await;
    let count = async |client: &Client, session: &str| events(client, session).await.len() as i64;
    reader.subscribe(&format!("conv:{web}"), count(&browser, &web).await).await;
    program.subscribe(&format!("conv:{api}"), count(&ann, &api).await).await;
    server.clock.advance(12 * MINUTE - 1);
    assert_eq!(server.hub().remind_due().await.unwrap(), 0);
    // Nobody looks: the task wakes by itself.
    server.clock.advance(1);
    let said = reader.until("message").await;
    assert_eq!(said["content"], "**book** still waits for an answer. It expires in 3 minutes.");
    assert_eq!((&said["command"], &said["sender"]["id"]), (&json!("book"), &json!("desk")));
    // The question may be far up: it is asked again.
    let said = program.until("message").await;
    assert_eq!(said["content"], "**book** still waits for an answer. It expires in 3 minutes.\n\nWhich room?");
    assert_eq!(said["invocation_id"], asked["invocation_id"]);
    server.clock.advance(MINUTE);
    assert_eq!(server.hub().remind_due().await.unwrap(), 0, "once");
    // An answer is one all the same, and the next question has its own time.
    let next = ann.say(&api, "blue").await;
    assert_eq!(next["content"], "The day");
    server.clock.advance(12 * MINUTE);
    let said = program.until("message").await;
    let said = if said["content"] == "blue" { program.until("message").await } else { said };
    let said = if said["content"] == "The day" { program.until("message").await } else { said };
    assert!(said["content"].as_str().unwrap().ends_with("3 minutes.\n\nThe day"), "{said}");
    assert_eq!(ann.say(&api, "friday").await["content"], "blue on friday for 2");
}

async fn what_nobody_answers_expires_and_can_be_started_again(server: Arc<Server>) {
    const LIFE: i64 = 15 * 60 * 1000;
    let browser = server.browser().await;
    let session = browser.open("desk").await;
    let asked = browser.say(&session, "book blue on someday").await;
    let day = &asked["form"]["fields"][1];
    assert!(day["error"].is_string(), "{asked}");
    assert_eq!(day["value"], "someday", "what was given is there to be mended");
    server.clock.advance(LIFE - 1);
    assert_eq!(server.hub().expire_due().await.unwrap(), 0);
    // Whoever is first, the task or this, it is reminded of by now.
    server.hub().remind_due().await.unwrap();
    assert_eq!(phase(&server, &asked).await, ExecutionStatus::AwaitingInput);
    server.clock.advance(1);
    assert_eq!(act(&browser, &session, &asked, &asked["form"]["id"], json!({})).await.error(409), "ACTION_EXPIRED");
    assert_eq!(phase(&server, &asked).await, ExecutionStatus::Expired, "whoever comes too late ends it");
    let now = events(&browser, &session).await;
    assert_eq!(now[2]["content"], "**book** still waits for an answer. It expires in 0 seconds.");
    let post = &now[3]["post"];
    assert_eq!(
        (post["form"]["state"].as_str(), post["content"].as_str()),
        (Some("expired"), Some("**book**: expired, nobody answered in time."))
    );
    assert_eq!((&now[1]["actions"], post["actions"][0]["label"].as_str()), (&post["actions"], Some("Restart")));
    // The button asks again, with what was right.
    let restart = &post["actions"][0]["id"];
    let receipt = act(&browser, &session, &asked, restart, Value::Null).await.expect(201);
    let page = browser.get(&format!("/api/session/{session}/events?after={}", receipt["seq"])).await.expect(200);
    assert_eq!(page["events"][0]["post"]["actions"][0]["used"]["chosen"], true);
    let again = page["events"][1].clone();
    assert_eq!((&again["form"]["fields"][0]["value"], again["form"]["state"].as_str()), (&json!("blue"), Some("open")));
    assert_eq!(act(&browser, &session, &asked, restart, Value::Null).await.error(409), "ACTION_USED");
    // A question expires while nobody looks.
    let ann = server.program(Role::User).await;
    let quiet = ann.open("desk").await;
    let question = ann.say(&quiet, "book").await;
    server.clock.advance(LIFE);
    for (client, session, message) in [(&browser, &session, &again), (&ann, &quiet, &question)] {
        let page =
            client.get(&format!("/api/session/{session}/events?after={}&wait=20", message["seq"])).await.expect(200);
        let told = page["events"].as_array().unwrap().iter().find(|event| event["message_id"] == message["message_id"]);
        assert_eq!(told.expect("it is told")["post"]["actions"][0]["label"], "Restart");
        assert_eq!(phase(&server, message).await, ExecutionStatus::Expired);
    }
    assert!(ann.say(&quiet, "blue").await["content"].as_str().unwrap().contains("I do not know"));
    assert_eq!(invocation(&server, &ann, &question, "").await["phase"], "EXPIRED");
}

async fn what_is_hidden_stands_nowhere(server: Arc<Server>) {
    const SECRET: &str = "hunter-4711";
    let (browser, ann) = (server.browser().await, server.program(Role::User).await);
    let web = browser.open("desk").await;
    let asked = browser.say(&web, "unlock cellar").await;
    assert_eq!(
        (&asked["form"]["fields"][1]["hidden"], &asked["form"]["fields"][1]["value"]),
        (&json!(true), &Value::Null)
    );
    act(&browser, &web, &asked, &asked["form"]["id"], json!({ "door": "cellar", "code": SECRET })).await.expect(201);
    let api = ann.open("desk").await;
    ann.say(&api, "unlock attic").await;
    let done = ann.say(&api, SECRET).await;
    assert_eq!(done["content"], "attic is open");
    let typed = ann.say(&api, &format!("unlock attic code=\"{SECRET}\"")).await;
    assert_eq!(typed["content"], "attic is open");
    let receipt = json!({ "command": "unlock", "parameters": { "door": "shed", "code": SECRET } });
    ann.post(&format!("/api/session/{api}/commands"), &receipt).await.expect(201);
    // One that is asked for again after it was wrong.
    let short = ann.say(&api, "unlock attic code=xyz").await;
    assert_eq!(short["content"].as_str().unwrap().lines().last(), Some("The code?"));
    ann.say(&api, SECRET).await;
    let all = [events(&browser, &web).await, events(&ann, &api).await].concat();
    assert!(!json!(all).to_string().contains(SECRET) && !json!(all).to_string().contains("xyz"), "{all:#?}");
    let said: Vec<_> =
        all.iter().filter(|event| event["sender"]["kind"] == "user").map(|event| event["content"].clone()).collect();
    assert_eq!(
        json!(said),
        json!([
            "unlock cellar",
            null,
            "unlock attic",
            "•••",
            "unlock door=attic code=•••",
            "unlock door=shed code=•••",
            "unlock door=attic code=•••",
            "•••"
        ])
    );
    for run in server.store().recent_executions(None, 100).await.unwrap() {
        let record = format!("{} {} {:?}", run.request, run.responses, run.error);
        assert!(!record.contains(SECRET) && !record.contains("xyz"), "{record}");
    }
    let polled = invocation(&server, &ann, &done, "").await;
    let code = json!({ "name": "code", "value": "•••" });
    assert!(polled["command_request"]["parameters"].as_array().unwrap().contains(&code));
}

async fn some_commands_are_agreed_to_first(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("desk").await;
    let asked = browser.say(&session, "demolish blue").await;
    let labels: Vec<_> = asked["actions"].as_array().unwrap().iter().map(|a| a["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["Submit", "Edit", "Cancel"]);
    assert_eq!(asked["parts"][0]["fields"][1], json!({ "name": "year", "value": "2030", "short": true }));
    let edit = act(&browser, &session, &asked, &asked["actions"][1]["id"], Value::Null).await.expect(201);
    let page = browser.get(&format!("/api/session/{session}/events?after={}", edit["seq"])).await.expect(200);
    let used = &page["events"][0]["post"]["actions"];
    assert_eq!((&used[1]["used"]["chosen"], &used[0]["used"]["chosen"]), (&json!(true), &json!(false)), "{used}");
    let form = &page["events"][1];
    assert_eq!(
        (&form["form"]["fields"][0]["value"], &form["form"]["fields"][1]["value"]),
        (&json!("blue"), &json!("2030"))
    );
    assert_eq!(
        act(&browser, &session, &asked, &asked["actions"][0]["id"], Value::Null).await.error(409),
        "ACTION_USED"
    );
    let sent =
        act(&browser, &session, form, &form["form"]["id"], json!({ "room": "red", "year": "2031" })).await.expect(201);
    let page = browser.get(&format!("/api/session/{session}/events?after={}", sent["seq"])).await.expect(200);
    assert_eq!(page["events"][1]["content"], "red is gone in 2031");
    let by_button = browser.say(&session, "demolish blue").await;
    act(&browser, &session, &by_button, &by_button["actions"][0]["id"], Value::Null).await.expect(201);
    assert_eq!(events(&browser, &session).await.last().unwrap()["content"], "blue is gone in 2030");
    // Elsewhere in words; and the right is asked for again with the values.
    let ann = server.program(Role::User).await;
    let session = ann.open("desk").await;
    let first = ann.say(&session, "demolish blue").await;
    assert_eq!(first["suggestions"], json!(["submit", "edit", "cancel"]));
    assert_eq!(ann.say(&session, "edit").await["content"], "room");
    assert_eq!(ann.say(&session, "green").await["content"], "year");
    ann.say(&session, "default").await;
    let refused = ann.say(&session, "submit").await;
    assert!(refused["content"].as_str().unwrap().contains("yours only with room blue or red"), "{refused}");
    assert_eq!(phase(&server, &first).await, ExecutionStatus::Failed);
    ann.say(&session, "demolish blue").await;
    assert_eq!(ann.say(&session, "submit").await["content"], "blue is gone in 2030");
    // Programs that name every value have agreed.
    let request = json!({ "command": "demolish", "parameters": [{ "name": "room", "value": "blue" }] });
    ann.post("/command?invoke=true", &request).await.expect(200);
}

async fn another_question_takes_the_place_of_the_first(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("desk").await;
    let first = browser.say(&session, "book").await;
    let order = json!({ "command": "unlock", "parameters": { "door": "cellar" } });
    let receipt = browser.post(&format!("/api/session/{session}/commands"), &order).await.expect(201);
    let page = browser.get(&format!("/api/session/{session}/events?after={}", receipt["seq"])).await.expect(200);
    let (old, new) = (&page["events"][0]["post"], &page["events"][1]);
    assert_eq!(
        (old["form"]["state"].as_str(), old["content"].as_str()),
        (Some("cancelled"), Some("**book**: cancelled, another command was asked for."))
    );
    assert_eq!(phase(&server, &first).await, ExecutionStatus::Cancelled);
    assert_eq!(act(&browser, &session, &first, &first["form"]["id"], json!({})).await.error(409), "ACTION_USED");
    browser.say(&session, "cancel").await;
    assert_eq!(phase(&server, new).await, ExecutionStatus::Cancelled);
}

async fn a_bot_that_changed_ends_the_dialog(server: Arc<Server>) {
    let (browser, ann) = (server.browser().await, server.program(Role::User).await);
    let (web, api) = (browser.open("desk").await, ann.open("desk").await);
    let (form, question) = (browser.say(&web, "book blue on noday").await, ann.say(&api, "book").await);
    let file = server.bots.join("desk/bot.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("Which room?", "What room?")).unwrap();
    server.reload().await;
    let sent =
        act(&browser, &web, &form, &form["form"]["id"], json!({ "room": "blue", "day": "friday" })).await.expect(201);
    let page = browser.get(&format!("/api/session/{web}/events?after={}", sent["seq"])).await.expect(200);
    assert_eq!(page["events"][0]["post"]["form"]["state"], "cancelled");
    let told = &page["events"][1];
    assert!(told["content"].as_str().unwrap().contains("has changed since"), "{told}");
    assert_eq!(phase(&server, &form).await, ExecutionStatus::Failed);
    // It can be started again with what was known.
    act(&browser, &web, told, &told["actions"][0]["id"], Value::Null).await.expect(201);
    let again = events(&browser, &web).await.last().unwrap().clone();
    assert_eq!(again["form"]["fields"][0]["value"], "blue");
    browser.say(&web, "cancel").await;
    assert!(ann.say(&api, "blue").await["content"].as_str().unwrap().contains("has changed since"));
    assert_eq!(phase(&server, &question).await, ExecutionStatus::Failed);
}

async fn tabs_that_send_at_once_run_once(server: Arc<Server>) {
    let browser = server.browser().await;
    let session = browser.open("desk").await;
    let asked = browser.say(&session, "book").await;
    let sends = (0..6).map(|n| {
        let (browser, session, asked) = (browser.clone(), session.clone(), asked.clone());
        async move {
            let value = json!({ "room": format!("room{}", ["a", "b", "c", "d", "e", "f"][n]), "day": "friday" });
            act(&browser, &session, &asked, &asked["form"]["id"], value).await
        }
    });
    let answers = futures_util::future::join_all(sends).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status.as_u16() == 201);
    assert_eq!(won.len(), 1);
    for answer in lost {
        assert_eq!(answer.error(409), "ACTION_USED");
    }
    let replies = events(&browser, &session).await;
    assert_eq!(
        replies.iter().filter(|event| event["type"] == "message" && event["sender"]["kind"] == "bot").count(),
        2
    );
    // Words at once: each message is kept, and one of them answers.
    let ann = server.program(Role::User).await;
    let session = ann.open("desk").await;
    ann.say(&session, "book day=friday").await;
    let path = format!("/api/session/{session}/messages");
    let texts = ["blue", "red", "green", "black"].map(|room| {
        let (ann, path) = (ann.clone(), path.clone());
        async move { ann.post(&path, &json!({ "content": room })).await.expect(201) }
    });
    futures_util::future::join_all(texts).await;
    let page = events(&ann, &session).await;
    assert_eq!(
        page.iter()
            .filter(|event| event["content"].as_str().is_some_and(|text| text.ends_with("on friday for 2")))
            .count(),
        1
    );
    assert_eq!(page.len(), 10, "each was answered");
}

async fn the_automation_api_does_not_ask(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let answer = ann.post("/command?invoke=true", &json!({ "command": "book" })).await.expect(400);
    assert_eq!(answer["error"]["details"]["errors"].as_array().unwrap().len(), 2);
    // In words, names that a command does not have are told at once.
    let session = ann.open("desk").await;
    let told = ann.say(&session, "book blue on friday peopel=3").await;
    assert!(told["content"].as_str().unwrap().contains("cannot run yet"), "{told}");
}

async fn what_a_process_does_is_asked_first(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let asked = ann.say(&session, "count").await;
    assert_eq!(asked["content"], "number");
    let path = format!("/api/session/{session}/messages");
    let answer = ann.post(&path, &json!({ "content": "3" })).await.expect(201);
    assert_eq!(phase(&server, &asked).await, ExecutionStatus::Pending, "it waits for a process");
    let mut process = server.process(&["away"]).await.socket().await;
    process.send(&json!({ "type": "register", "id": "r", "bot_id": "away" })).await;
    let deliver = process.until("deliver").await;
    let event = &deliver["event"];
    assert_eq!((&event["execution_id"], &event["parameters"]), (&asked["invocation_id"], &json!({ "number": 3 })));
    let done = json!({ "type": "done", "id": "d", "delivery_id": deliver["delivery_id"], "status": "completed",
        "message": { "text": "one two three" } });
    process.send(&done).await;
    process.until("ack").await;
    let last = events(&ann, &session).await.pop().unwrap();
    assert_eq!((last["content"].as_str(), &last["reply_to"]), (Some("one two three"), &answer["message_id"]));
    assert_eq!(last["invocation_id"], asked["invocation_id"]);
    assert_eq!(invocation(&server, &ann, &asked, "").await["phase"], "SUCCESS");
}

/// A question, an answer after `kill -9`, and questions that expire by themselves: over a restart, and in a server that
/// was asleep.
async fn outlives_the_process(data: &Path, database: Option<&str>) {
    const ASK: &str = "type this in chat to invoke the command";
    let key = key(data, database);
    let mut process = Process::start(data, database);
    let program = Client::with_key(&process.url, &key);
    let session = program.open("hello").await;
    let asked = program.say(&session, ASK).await;
    process.kill();
    let mut process = Process::start_with(data, database, &[("PARLOUR_DIALOGS__EXPIRES", "1s")]).expect("it starts");
    let program = Client::with_key(&process.url, &key);
    let done = program.say(&session, "World").await;
    assert_eq!((done["content"].as_str(), &done["invocation_id"]), (Some("Hello World"), &asked["invocation_id"]));
    let expired = async |program: &Client, asked: &Value| {
        let path = format!("/api/session/{session}/events?after={}&wait=30", asked["seq"]);
        let told = program.get(&path).await.expect(200)["events"][0].clone();
        assert_eq!((told["type"].as_str(), &told["message_id"]), (Some("message_update"), &asked["message_id"]));
        assert_eq!(told["post"]["actions"][0]["label"], "Restart", "{told}");
    };
    let asked = program.say(&session, ASK).await;
    process.kill();
    let process = Process::start_with(data, database, &[("PARLOUR_DIALOGS__EXPIRES", "1s")]).expect("it starts");
    let program = Client::with_key(&process.url, &key);
    expired(&program, &asked).await;
    // Nothing was open; the next one wakes it.
    let asked = program.say(&session, ASK).await;
    expired(&program, &asked).await;
}

#[tokio::test]
async fn dialogs_outlive_the_process_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    outlives_the_process(folder.path(), None).await;
}

#[tokio::test]
async fn dialogs_outlive_the_process_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create().await;
    outlives_the_process(folder.path(), Some(&database.url)).await;
}
