//! Commands with steps in a conversation: what they say, what they ask, what can be done to them.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::peer::{self, Peer};
use crate::support::server::{Client, Server, on_both_databases};
use crate::support::sink::Sink;

on_both_databases!(
    a_command_with_steps_answers_where_it_was_asked,
    a_playbook_asks_sleeps_and_ends_in_its_card,
    a_run_is_stopped_by_its_card,
    many_runs_sleep_without_a_task,
    a_run_goes_on_with_another_document,
    runs_of_one_key_wait_for_each_other,
    what_nobody_knows_is_asked,
    a_command_with_steps_is_confirmed_waits_its_turn_and_signs_in,
    a_cancelled_run_is_undone_when_that_is_wanted,
);

/// Every event of a conversation so far.
async fn events(program: &Client, session: &str) -> Vec<Value> {
    let page = program.get(&format!("/api/session/{session}/events?limit=500")).await.expect(200);
    page["events"].as_array().unwrap().clone()
}

/// Waits until an event of the conversation is one that is wanted.
async fn until(program: &Client, session: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut after = 0;
    loop {
        let page = program.get(&format!("/api/session/{session}/events?after={after}&wait=20")).await.expect(200);
        let found = page["events"].as_array().unwrap();
        assert!(!found.is_empty(), "nothing more comes");
        if let Some(event) = found.iter().find(|event| wanted(event)) {
            return event.clone();
        }
        after = page["next_after"].as_i64().unwrap();
    }
}

fn post(event: &Value) -> &Value {
    if event["post"].is_object() { &event["post"] } else { event }
}

async fn take(program: &Client, session: &str, message: &Value, label: &str) -> crate::support::server::Answer {
    let actions = post(message)["actions"].as_array().unwrap_or_else(|| panic!("no actions: {message}"));
    let action =
        actions.iter().find(|action| action["label"] == label).unwrap_or_else(|| panic!("no {label}: {message}"));
    let (message, id) = (post(message)["message_id"].as_str().unwrap(), action["id"].as_str().unwrap());
    program.post(&format!("/api/session/{session}/messages/{message}/actions/{id}"), &json!({})).await
}

async fn a_command_with_steps_answers_where_it_was_asked(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("runner").await;
    let quick = program.say(&session, "be quick").await;
    assert_eq!((quick["content"].as_str(), quick["command"].as_str()), (Some("quick as 1"), Some("quick")));
    program.say(&session, "shout hello").await;
    let told = until(&program, &session, |event| event["content"] == "**HELLO**").await;
    assert_eq!((told["title"].as_str(), told["sender"]["id"].as_str()), (Some("Loud"), Some("runner")));
    // The card stands above it and is rewritten to the end.
    let done = until(&program, &session, |event| {
        event["type"] == "message_update" && post(event)["content"] == "**shout** is done."
    })
    .await;
    let cards = events(&program, &session).await;
    let cards: Vec<&Value> =
        cards.iter().filter(|event| event["message_id"] == done["message_id"] && event["type"] == "message").collect();
    assert_eq!(cards.len(), 1, "one message");
    assert_eq!(cards[0]["parts"][0]["state"], "done");
    // The same over the automation API, polled.
    let body = json!({ "command": "shout", "parameters": [{ "name": "what", "value": "x" }] });
    let url =
        program.post("/command?invoke=true", &body).await.expect(200)["invocation"]["url"].as_str().unwrap().to_owned();
    let result = program.get(&format!("{url}?wait=20")).await.expect(200);
    assert_eq!(result["phase"], "SUCCESS", "{result}");
    let said: Vec<&Value> = result["command_responses"].as_array().unwrap().iter().collect();
    assert!(said.iter().any(|response| response["body"].as_str().is_some_and(|body| body.contains("X"))), "{result}");
}

async fn a_playbook_asks_sleeps_and_ends_in_its_card(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("runner").await;
    program.say(&session, "sail web").await;
    let question = until(&program, &session, |event| event["content"] == "Release **web**?").await;
    let labels: Vec<&str> =
        question["actions"].as_array().unwrap().iter().map(|action| action["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["Approve", "Reject"]);
    let executions = program.get("/api/executions").await.expect(200);
    let id = executions[0]["execution_id"].as_str().unwrap().to_owned();
    assert_eq!(
        program.get(&format!("/api/executions/{id}")).await.expect(200)["step_results"][0]["question"],
        "Release **web**?"
    );
    // Nobody else answers it, neither here nor over the API.
    let stranger = server.program(Role::User).await;
    let answer = json!({ "answer": { "decision": "approve" } });
    assert_eq!(
        stranger.post(&format!("/api/executions/{id}/answer"), &answer).await.expect(404)["detail"]["error"],
        "execution_not_found"
    );
    take(&program, &session, &question, "Approve").await.expect(201);
    assert_eq!(take(&program, &session, &question, "Reject").await.error(409), "ACTION_USED");
    // An hour later it goes on by itself.
    until(&program, &session, |event| post(event)["parts"][0]["label"] == "Settle (waiting)").await;
    server.clock.advance(60 * 60 * 1000);
    let form = until(&program, &session, |event| event["content"] == "What shall it be called?").await;
    let fields: Vec<&str> =
        form["form"]["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(fields, ["name", "loud", "times"]);
    let path = format!(
        "/api/session/{session}/messages/{}/actions/{}",
        form["message_id"].as_str().unwrap(),
        form["form"]["id"].as_str().unwrap()
    );
    let wrong = program.post(&path, &json!({ "value": { "loud": "true" } })).await;
    assert_eq!(wrong.error(400), "VALIDATION_ERROR");
    program.post(&path, &json!({ "value": { "name": "v2", "times": "3" } })).await.expect(201);
    until(&program, &session, |event| event["content"] == "Released web as v2").await;
    let done = until(&program, &session, |event| {
        event["type"] == "message_update" && post(event)["content"] == "**Release** is done."
    })
    .await;
    let fields = post(&done)["parts"].as_array().unwrap().iter().find(|part| part["type"] == "fields").unwrap();
    assert_eq!(
        (fields["fields"][0]["value"].as_str(), fields["fields"][1]["value"].as_str()),
        (Some("web"), Some("user"))
    );
    let run = program.get(&format!("/api/executions/{id}")).await.expect(200);
    assert_eq!(
        (run["status"].as_str(), run["kind"].as_str(), run["source"].as_str()),
        (Some("completed"), Some("command"), Some("runner/sail"))
    );
}

async fn a_run_is_stopped_by_its_card(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let session = program.open("runner").await;
    let card = program.say(&session, "sail web").await;
    assert_eq!(card["content"], "**Release** is under way.");
    take(&program, &session, &card, "Pause").await.expect(201);
    let paused = until(&program, &session, |event| post(event)["content"] == "**Release** is paused.").await;
    take(&program, &session, &paused, "Resume").await.expect(201);
    let page = events(&program, &session).await;
    let resumed = page.iter().rev().find(|event| event["type"] == "message_update").unwrap();
    assert_eq!(post(resumed)["content"], "**Release** is under way.");
    take(&program, &session, resumed, "Cancel").await.expect(201);
    let over = until(&program, &session, |event| {
        post(event)["content"].as_str().is_some_and(|text| text.contains("was cancelled"))
    })
    .await;
    assert!(post(&over)["actions"].is_null(), "nothing more can be done: {over}");
    // Rejecting cancels as the document says, and nobody's answer is a rejection.
    program.say(&session, "sail api").await;
    let question = until(&program, &session, |event| event["content"] == "Release **api**?").await;
    server.clock.advance(9 * 60 * 60 * 1000);
    until(&program, &session, |event| post(event)["content"] == "**Release** was cancelled: nobody wanted it.").await;
    assert_eq!(take(&program, &session, &question, "Approve").await.error(409), "ACTION_EXPIRED");
}

async fn many_runs_sleep_without_a_task(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let definition = json!({ "apiVersion": "flow/v1", "kind": "Workflow", "metadata": { "name": "nap", "version": "1" },
        "steps": [{ "id": "nap", "wait": { "for": "1h" } }, { "id": "up", "set": { "n": "${{ inputs.n }}" } }] });
    let made = program.post("/api/v1/workflows", &json!({ "name": "nap", "definition": definition })).await.expect(201);
    let path = format!("/api/v1/workflows/{}/execute", made["id"].as_str().unwrap());
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for batch in 0..20 {
        let starts = (0..50).map(|n| {
            let (program, path) = (program.clone(), path.clone());
            async move { program.post(&path, &json!({ "input": { "n": batch * 50 + n } })).await.expect(200) }
        });
        futures_util::future::join_all(starts).await;
    }
    let asleep = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(asleep < before + 200, "{before} tasks before, {asleep} with a thousand sleeping runs");
    let mut socket = program.watch_runs(None).await;
    server.clock.advance(60 * 60 * 1000);
    let mut done = 0;
    while done < 1000 {
        let frame = socket.next().await;
        done += usize::from(frame["data"]["step_result"].is_null() && frame["data"]["status"] == "completed");
    }
}

async fn a_run_goes_on_with_another_document(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let document = |second: Value| {
        json!({ "apiVersion": "flow/v1", "kind": "Workflow", "metadata": { "name": "edit", "version": "1" },
            "steps": [{ "id": "one", "set": { "n": 1 } }, { "id": "wait", "wait": { "event": { "topic": "go" } } }, second] })
    };
    let made = json!({ "name": "edit", "definition": document(json!({ "id": "two", "fail": { "message": "no" } })) });
    let made = program.post("/api/v1/workflows", &made).await.expect(201);
    let path = format!("/api/v1/workflows/{}/execute", made["id"].as_str().unwrap());
    let id = program.post(&path, &json!({})).await.expect(200)["executionId"].as_str().unwrap().to_owned();
    let edit = |definition: Value| {
        let (program, id) = (program.clone(), id.clone());
        async move {
            let request = program.request(reqwest::Method::PUT, &format!("/api/executions/{id}/definition"));
            let answer = request.json(&json!({ "definition": definition })).send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
        }
    };
    let better = document(json!({ "id": "two", "set": { "n": 2 } }));
    assert_eq!(edit(better.clone()).await.1["detail"]["error"], "execution_not_paused");
    program.post(&format!("/api/executions/{id}/pause"), &json!({})).await.expect(200);
    let mut other = better.clone();
    other["steps"][0]["set"]["n"] = json!(7);
    let (status, refused) = edit(other).await;
    assert_eq!((status, &refused["detail"]["details"]), (409, &json!({ "steps": ["one"] })));
    assert_eq!(edit(better).await.0, 200);
    program.post(&format!("/api/executions/{id}/resume"), &json!({})).await.expect(200);
    // An event of another run lets it go on.
    let shout = json!({ "apiVersion": "flow/v1", "kind": "Workflow", "metadata": { "name": "go", "version": "1" },
        "steps": [{ "id": "go", "emit": { "topic": "go", "data": { "x": 1 } } }] });
    let shout = program.post("/api/v1/workflows", &json!({ "name": "go", "definition": shout })).await.expect(201);
    let mut socket = program.watch_runs(None).await;
    program.post(&format!("/api/v1/workflows/{}/execute", shout["id"].as_str().unwrap()), &json!({})).await.expect(200);
    loop {
        let frame = socket.next().await;
        if frame["data"]["execution_id"] == *id && frame["data"]["step_result"].is_null() {
            assert_eq!(frame["data"]["status"], "completed");
            break;
        }
    }
    let run = program.get(&format!("/api/v1/executions/{id}")).await.expect(200);
    assert_eq!(
        (&run["steps"][1]["output"]["data"], &run["steps"][2]["output"]),
        (&json!({ "x": 1 }), &json!({ "n": 2 }))
    );
}

async fn runs_of_one_key_wait_for_each_other(server: Arc<Server>) {
    let sink = Sink::start().await;
    let program = server.program(Role::User).await;
    let definition = |on_conflict: &str| {
        json!({ "apiVersion": "flow/v1", "kind": "Workflow", "metadata": { "name": "one", "version": "1" },
            "inputs": { "service": { "type": "string" } },
            "concurrency": { "key": "${{ inputs.service }}", "limit": 1, "on_conflict": on_conflict },
            "steps": [{ "id": "hold", "use": "http.request", "effect": "pure", "with": { "method": "GET", "url": format!("{}/hold", sink.url) } }] })
    };
    let mut socket = program.watch_runs(None).await;
    let make = |on_conflict: &'static str| {
        let (program, definition) = (program.clone(), definition(on_conflict));
        async move {
            let made = program
                .post("/api/v1/workflows", &json!({ "name": "one", "definition": definition }))
                .await
                .expect(201);
            format!("/api/v1/workflows/{}/execute", made["id"].as_str().unwrap())
        }
    };
    let web = json!({ "input": { "service": "web" } });
    let reject = make("reject").await;
    let first = program.post(&reject, &web).await.expect(200)["executionId"].as_str().unwrap().to_owned();
    assert_eq!(program.post(&reject, &web).await.expect(409)["code"], "TOO_MANY_RUNS");
    program.post(&reject, &json!({ "input": { "service": "api" } })).await.expect(200);
    let queue = make("queue").await;
    let ids: Vec<String> = {
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(program.post(&queue, &web).await.expect(200)["executionId"].as_str().unwrap().to_owned());
        }
        ids
    };
    sink.has_held(3).await;
    let states = |ids: &[String]| {
        let (program, ids) = (program.clone(), ids.to_vec());
        async move {
            let mut states = Vec::new();
            for id in ids {
                states.push(
                    program.get(&format!("/api/executions/{id}")).await.expect(200)["status"]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                );
            }
            states
        }
    };
    assert_eq!(states(&ids).await, ["running", "pending", "pending"]);
    let newest = make("cancel_running").await;
    let old = program.post(&newest, &web).await.expect(200)["executionId"].as_str().unwrap().to_owned();
    sink.has_held(4).await;
    let new = program.post(&newest, &web).await.expect(200)["executionId"].as_str().unwrap().to_owned();
    sink.has_held(5).await;
    assert_eq!(states(&[old, new, first]).await, ["cancelled", "running", "running"]);
    sink.open();
    let mut left = 6;
    while left > 0 {
        let frame = socket.next().await;
        left -= usize::from(frame["data"]["step_result"].is_null() && frame["data"]["status"] == "completed");
    }
    assert_eq!(states(&ids).await, ["completed"; 3]);
}

async fn what_nobody_knows_is_asked(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let sink = Sink::start().await;
    let definition = json!({ "apiVersion": "flow/v1", "kind": "Workflow", "metadata": { "name": "pay", "version": "1" },
        "steps": [{ "id": "pay", "use": "http.request", "effect": "once", "timeout": "300ms", "with": { "method": "POST", "url": format!("{}/hold", sink.url) } },
            { "id": "after", "set": { "by": "${{ steps.pay.output.confirmed_by }}" } }] });
    let made = program.post("/api/v1/workflows", &json!({ "name": "pay", "definition": definition })).await.expect(201);
    let path = format!("/api/v1/workflows/{}/execute", made["id"].as_str().unwrap());
    let mut socket = program.watch_runs(None).await;
    let id = program.post(&path, &json!({})).await.expect(200)["executionId"].as_str().unwrap().to_owned();
    while socket.next().await["data"]["step_result"]["status"] != "uncertain" {}
    let run = program.get(&format!("/api/executions/{id}")).await.expect(200);
    assert_eq!(
        (run["status"].as_str(), run["step_results"][0]["status"].as_str()),
        (Some("paused"), Some("uncertain"))
    );
    let refused = program.post(&format!("/api/executions/{id}/resume"), &json!({})).await.expect(409);
    assert_eq!(refused["detail"]["error"], "step_uncertain");
    program.post(&format!("/api/executions/{id}/resolve"), &json!({ "outcome": "happened" })).await.expect(200);
    loop {
        let frame = socket.next().await;
        if frame["data"]["step_result"].is_null() && frame["data"]["status"] == "completed" {
            break;
        }
    }
    let run = program.get(&format!("/api/executions/{id}")).await.expect(200);
    assert_eq!(run["step_results"][1]["output"], json!({ "by": "user" }));
}

async fn a_command_with_steps_is_confirmed_waits_its_turn_and_signs_in(server: Arc<Server>) {
    let peer = Peer::start(|_, _| peer::json(200, &json!({ "ok": true }))).await;
    let program = server.program(Role::User).await;
    let credential =
        json!({ "name": "ship key", "type": "bearer", "provider": "http", "data": { "token": "s3cret-token" } });
    program.post("/api/v1/credentials", &credential).await.expect(201);
    let session = program.open("runner").await;
    let asked = program.say(&session, &format!("ship web to {}", peer.url)).await;
    assert_eq!(asked["content"], "**ship** runs when you confirm it.");
    assert!(peer.heard().is_empty(), "not before");
    take(&program, &session, &asked, "Confirm").await.expect(201);
    let heard = peer.until(1).await.remove(0);
    assert_eq!((heard.path.as_str(), heard.header("authorization")), ("/web", "Bearer s3cret-token"));
    let first = asked["invocation_id"].as_str().unwrap().to_owned();
    // Programs confirm by the same door. The same service waits for the first run, another one does not.
    let mut urls = Vec::new();
    for service in ["web", "api"] {
        let parameter = |name: &str, value: &str| json!({ "name": name, "value": value });
        let parameters = [parameter("service", service), parameter("where", &peer.url)];
        let body = json!({ "command": "ship", "parameters": parameters });
        let url = program.post("/command?invoke=true", &body).await.expect(200)["invocation"]["url"].clone();
        let url = url.as_str().unwrap().to_owned();
        assert_eq!(program.get(&url).await.expect(200)["phase"], "AWAITING_CONFIRMATION");
        program.post(&format!("{url}/approve"), &json!({})).await.expect(200);
        urls.push(url);
    }
    assert_eq!(peer.until(2).await[1].path, "/api");
    assert_eq!(program.get(&urls[0]).await.expect(200)["phase"], "PENDING");
    program.post(&format!("/api/executions/{first}/cancel"), &json!({})).await.expect(200);
    assert_eq!(peer.until(3).await[2].path, "/web");
    for url in &urls {
        let over = program.post(&format!("{url}/cancel"), &json!({})).await.expect(200);
        assert_eq!(over["phase"], "CANCELLED");
    }
    let run = program.get(&format!("/api/executions/{first}")).await;
    assert!(!run.text.contains("s3cret"), "{}", run.text);
    // What was asked about it goes with the run.
    program.delete(&format!("/api/executions/{first}")).await.expect(200);
    program.get(&format!("/api/executions/{first}")).await.expect(404);
}

async fn a_cancelled_run_is_undone_when_that_is_wanted(server: Arc<Server>) {
    let sink = Sink::start().await;
    let program = server.program(Role::User).await;
    let call = |path: &str| json!({ "use": "http.request", "with": { "method": "POST", "url": format!("{}/{path}", sink.url) } });
    let mut made = call("count/made");
    (made["id"], made["undo"]) = (json!("make"), call("count/unmade"));
    let mut held = call("hold");
    (held["id"], held["effect"], held["undo"]) = (json!("hold"), json!("once"), call("count/unheld"));
    let definition = json!({ "apiVersion": "flow/v1", "kind": "Workflow", "metadata": { "name": "both", "version": "1" },
        "steps": [made, held], "finally": [{ "id": "never", "use": "http.request", "with": { "method": "GET", "url": format!("{}/count/never", sink.url) } }] });
    let workflow =
        program.post("/api/v1/workflows", &json!({ "name": "both", "definition": definition })).await.expect(201);
    let path = format!("/api/v1/workflows/{}/execute", workflow["id"].as_str().unwrap());
    for (round, undo) in [(1, true), (2, true), (3, false)] {
        let mut socket = program.watch_runs(None).await;
        let id = program.post(&path, &json!({})).await.expect(200)["executionId"].as_str().unwrap().to_owned();
        sink.has_held(round).await;
        if round == 1 {
            let answer = program.post(&format!("/api/executions/{id}/cancel?undo=true"), &json!({})).await.expect(200);
            assert_eq!(answer["in_flight"], json!(["hold"]));
        } else {
            let cancel = json!({ "action": "cancel", "undo": undo });
            program.post(&format!("/api/v1/executions/{id}"), &cancel).await.expect(200);
        }
        loop {
            let frame = socket.next().await;
            if frame["data"]["step_result"].is_null() && frame["data"]["status"] == "cancelled" {
                break;
            }
        }
        let run = program.get(&format!("/api/executions/{id}")).await.expect(200);
        assert_eq!((&run["status"], &run["error"]), (&json!("cancelled"), &json!("cancelled by user")));
        let counts = sink.counts();
        let undone = round.min(2);
        assert_eq!((counts["made"], counts["unmade"], counts["unheld"]), (round, undone, undone));
        assert!(!counts.contains_key("never"), "a cancelled run does nothing more");
    }
    sink.open();
}
