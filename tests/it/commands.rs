//! The automation API: invoke a command over REST and poll what came of it.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::server::{Client, Server, on_both_databases};

on_both_databases!(
    the_documented_call_gives_the_documented_result,
    every_fault_is_reported_at_once,
    without_invoke_nothing_runs,
    an_idempotency_key_names_one_invocation,
    unknown_ambiguous_and_forbidden_commands_say_so,
    a_rich_reply_is_a_stringified_message,
    a_run_is_shown_to_who_started_it,
    actions_and_names_are_told_as_documented,
    a_program_brings_along_what_the_house_does_not_know,
);

fn documented() -> Value {
    json!({
        "api_version": "1",
        "command": "my-command-name",
        "source": { "user_agent": "web" },
        "team": { "id": "my-team-ID", "name": "my-team-name" },
        "automation": { "name": "name-of-my-sdm" },
        "parameters": [{ "name": "parameter_name_1", "value": "parameter value 1" }],
        "secrets": [{ "uri": "secret_path1", "value": "secret-value1" }],
        "mapped_parameters": [{ "name": "mapped_parameter_name1", "value": "Mapped parameter value 1" }],
    })
}

/// Invokes and polls to the end.
async fn invoke(client: &Client, body: &Value) -> Value {
    let invocation = client.post("/command?invoke=true", body).await.expect(200);
    let url = invocation["invocation"]["url"].as_str().expect("an address").to_owned();
    client.get(&format!("{url}?wait=10")).await.expect(200)
}

fn request(command: &str, parameters: &[(&str, &str)]) -> Value {
    let parameters: Vec<Value> =
        parameters.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({ "command": command, "parameters": parameters })
}

async fn the_documented_call_gives_the_documented_result(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let mut result = invoke(&program, &documented()).await;
    let id = result["command_request"]["correlation_id"].take();
    assert!(id.is_string());
    assert_eq!(result["command_response"]["correlation_id"].take(), id);
    assert_eq!(
        result["command_request"],
        json!({
            "api_version": "1",
            "command": "MyCommandName",
            "source": { "user_agent": "web" },
            "team": { "id": "my-team-ID", "name": "my-team-name" },
            "automation": { "name": "name-of-my-sdm" },
            "parameters": [{ "name": "parameter_name_1", "value": "parameter value 1" }],
            "secrets": [],
            "correlation_id": null,
        })
    );
    assert_eq!(
        result["command_response"],
        json!({
            "destinations": [{ "user_agent": "web" }],
            "command": "MyCommandName",
            "source": { "user_agent": "web" },
            "content_type": "text/plain",
            "correlation_id": null,
            "team": { "id": "my-team-ID", "name": "my-team-name" },
            "api_version": "1",
            "body": "Hello parameter value 1",
            "post_mode": "ttl",
        })
    );
    assert_eq!(result["phase"], "SUCCESS");
    assert_eq!(result["status"], json!({ "code": 0, "reason": "Successfully invoked command MyCommandName of hello" }));
    let secrets = server.store().recent_executions(None, 1).await.unwrap();
    assert!(!secrets[0].request.contains("secret-value1"), "secrets are not kept");
}

async fn every_fault_is_reported_at_once(server: Arc<Server>) {
    let program = server.program_in(Role::User, &["support"]).await;
    let parameters = [("environment", "mars"), ("count", "12abc"), ("reason", "no"), ("servce", "web")];
    let answer = program.post("/command?invoke=true", &request("deploy", &parameters)).await.expect(400);
    let fault = |field: &str, code: &str, message: &str| json!({ "field": format!("parameters.{field}"), "code": code, "message": message });
    assert_eq!(answer["error"]["code"], "VALIDATION_FAILED");
    assert_eq!(
        answer["error"]["details"]["errors"],
        json!([
            fault("servce", "unknown", "Parameter 'servce' unknown in invocation to 'deploy', did you mean 'service'?"),
            fault("service", "required", "Parameter 'service' required but missing in invocation to 'deploy'"),
            fault(
                "environment",
                "choice",
                "Parameter 'environment' value of 'mars' invalid in invocation to 'deploy' with choices 'staging, prod'"
            ),
            fault(
                "count",
                "type",
                "Parameter 'count' value of '12abc' invalid in invocation to 'deploy' with type 'integer': expected a whole number"
            ),
            fault(
                "reason",
                "min_length",
                "Parameter 'reason' value of 'no' invalid in invocation to 'deploy' with minimum length 3"
            ),
        ])
    );
    // Numbers and booleans are taken as they are written, lists are not.
    let body = json!({ "command": "deploy", "parameters": [{ "name": "service", "value": "web" }, { "name": "count", "value": 12 }] });
    assert_eq!(program.post("/command", &body).await.expect(200)["parameters"]["count"], "12");
    let body = json!({ "command": "deploy", "parameters": [{ "name": "service", "value": ["web"] }] });
    assert_eq!(program.post("/command?invoke=true", &body).await.error(400), "VALIDATION_FAILED");
    for (kind, body, code) in [
        ("text/plain", "{}", "UNSUPPORTED_MEDIA_TYPE"),
        ("application/json", "{", "INVALID_JSON"),
        ("application/json", "{\"parameters\":[]}", "INVALID_JSON"),
    ] {
        assert_eq!(program.post_text("/command?invoke=true", kind, body).await.error(400), code, "{body}");
    }
    let large = format!("{{\"command\":\"{}\"}}", "x".repeat(300_000));
    assert_eq!(program.post_text("/command", "application/json", large).await.error(413), "BODY_TOO_LARGE");
}

async fn without_invoke_nothing_runs(server: Arc<Server>) {
    let program = server.program_in(Role::User, &["support"]).await;
    let answer = program.post("/command", &request("deploy", &[("service", "web")])).await.expect(200);
    assert_eq!(
        answer,
        json!({ "valid": true, "command": "deploy", "bot_id": "shop", "parameters": { "service": "web", "environment": "staging" } })
    );
    assert_eq!(program.post("/command?invoke=false", &request("deploy", &[])).await.error(400), "VALIDATION_FAILED");
    assert_eq!(program.post("/command?invoke=maybe", &request("deploy", &[])).await.error(400), "INVALID_REQUEST");
    assert!(server.store().recent_executions(None, 10).await.unwrap().is_empty());
}

async fn an_idempotency_key_names_one_invocation(server: Arc<Server>) {
    let first = server.program(Role::User).await;
    let keyed = first.with("idempotency-key", "k-1");
    let answers = futures_util::future::join_all(
        (0..8).map(|_| async { keyed.post("/command?invoke=true", &documented()).await.expect(200) }),
    )
    .await;
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    let other = request("MyCommandName", &[("parameter_name_1", "another")]);
    assert_eq!(keyed.post("/command?invoke=true", &other).await.error(409), "IDEMPOTENCY_CONFLICT");
    // The key is the caller's own.
    let second = server.program(Role::User).await.with("idempotency-key", "k-1");
    assert_ne!(second.post("/command?invoke=true", &other).await.expect(200), answers[0]);
    assert_eq!(server.store().recent_executions(None, 10).await.unwrap().len(), 2);
    let bad = first.with("idempotency-key", "a b");
    assert_eq!(bad.post("/command?invoke=true", &other).await.error(400), "INVALID_REQUEST");
}

async fn unknown_ambiguous_and_forbidden_commands_say_so(server: Arc<Server>) {
    let program = server.program_in(Role::User, &["support"]).await;
    let answer = program.post("/command?invoke=true", &request("dance", &[])).await.expect(404);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("No command handler with name 'dance': Known command handlers are '"), "{message}");
    assert!(message.contains("MyCommandName") && !message.contains("release"), "{message}");

    let answer = program.post("/command?invoke=true", &request("rich", &[])).await.expect(409);
    assert_eq!(answer["error"]["code"], "AMBIGUOUS_COMMAND");
    assert_eq!(answer["error"]["details"]["candidates"].as_array().unwrap().len(), 2);
    let mut named = request("rich", &[]);
    named["automation"] = json!({ "name": "store" });
    assert_eq!(invoke(&program, &named).await["command_response"]["body"], "one table from the store");

    let release = request("release", &[("service", "web")]);
    assert_eq!(program.post("/command?invoke=true", &release).await.error(403), "FORBIDDEN");
    let manager = server.program_in(Role::User, &["support", "release"]).await;
    assert_eq!(invoke(&manager, &release).await["phase"], "SUCCESS");
    // Access may look at arguments.
    let other = request("release", &[("service", "api")]);
    assert_eq!(manager.post("/command?invoke=true", &other).await.error(403), "FORBIDDEN");
    let reader = server.program_in(Role::Readonly, &["support"]).await;
    assert_eq!(reader.post("/command?invoke=true", &documented()).await.error(403), "FORBIDDEN");
}

async fn a_rich_reply_is_a_stringified_message(server: Arc<Server>) {
    let program = server.program_in(Role::Executor, &["support"]).await;
    let mut body = request("rich", &[]);
    body["automation"] = json!({ "name": "shop" });
    let response = invoke(&program, &body).await["command_response"].take();
    assert_eq!(response["content_type"], "application/x-atomist-slack+json");
    let message: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    assert_eq!(message["text"], "In stock");
    assert_eq!(message["attachments"][0]["title"], "Stock");
    // Text that people typed comes back as they typed it, not as Markdown.
    let odd = request("MyCommandName", &[("parameter_name_1", "*a_b* [x](http://y) <!channel> {{command}}")]);
    assert_eq!(
        invoke(&program, &odd).await["command_response"]["body"],
        "Hello *a_b* [x](http://y) <!channel> {{command}}"
    );
    assert_eq!(invoke(&program, &request("whoami", &[])).await["command_response"]["body"], "executor from api");
}

async fn a_run_is_shown_to_who_started_it(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let invocation = program.post("/command?invoke=true", &documented()).await.expect(200);
    let url = invocation["invocation"]["url"].as_str().unwrap();
    let stranger = server.program(Role::User).await;
    assert_eq!(stranger.get(url).await.error(404), "NOT_FOUND");
    assert_eq!(server.anybody().get(url).await.error(401), "UNAUTHORIZED");
    assert_eq!(server.program(Role::Admin).await.get(url).await.expect(200)["phase"], "SUCCESS");
    let id = invocation["invocation"]["id"].as_str().unwrap();
    let forged = format!("/command/{id}/invocation/{id}");
    assert_eq!(program.get(&forged).await.error(404), "NOT_FOUND");
    assert_eq!(program.get(&format!("{url}?wait=61")).await.error(400), "INVALID_REQUEST");
}

async fn actions_and_names_are_told_as_documented(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let mut response = invoke(&program, &request("buttons", &[])).await["command_response"].take();
    assert_eq!(response["content_type"], "application/x-atomist-slack+json");
    let actions = response["actions"].take();
    let press = |n: usize, what: &str| json!({ "id": format!("press-{n}"), "command": "press", "parameters": [{ "name": "what", "value": what }] });
    assert_eq!(actions[0], press(0, "the plain button"));
    assert_eq!(actions[6], json!({ "id": "uptime-6", "command": "uptime", "parameters": [] }));
    assert_eq!(actions.as_array().unwrap().len(), 7, "a link runs nothing");
    let message: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    let attachments = message["attachments"].as_array().unwrap();
    assert_eq!(attachments[0]["text"], "<https://www.rfc-editor.org/rfc/rfc9110|A link>");
    assert_eq!(
        attachments[1]["actions"][2],
        json!({
            "text": "Danger", "type": "button", "name": "automation-command::press-2", "value": "press-2", "style": "danger",
            "confirm": { "title": "Danger", "text": "Really press the dangerous button?", "ok_text": "Danger", "dismiss_text": "Cancel" },
        })
    );
    assert_eq!(attachments[2]["actions"][0]["text"], "For a minute");
    let mut response = invoke(&program, &request("choices", &[])).await["command_response"].take();
    assert_eq!(
        response["actions"],
        json!([
            { "id": "tone-0", "command": "tone", "parameters": [], "parameter_name": "tone" },
            { "id": "press-1", "command": "press", "parameters": [], "parameter_name": "what" },
            { "id": "day-2", "command": "day", "parameters": [], "parameter_name": "day" },
            { "id": "book-room-3", "command": "book-room", "parameters": [] },
        ])
    );
    let message: Value = serde_json::from_str(response["body"].take().as_str().unwrap()).unwrap();
    let menu = &message["attachments"][1]["actions"][0];
    assert_eq!(
        (menu["type"].as_str(), menu["options"][1].clone()),
        (Some("select"), json!({ "text": "It went well", "value": "success" }))
    );
    assert_eq!(message["attachments"][0]["text"], "Which day?");
    let response = invoke(&program, &request("rollout", &[("step", "ship")])).await["command_response"].take();
    let told = ["id", "ttl", "post_mode", "timestamp"].map(|key| response[key].clone());
    assert_eq!(told, [json!("rollout"), json!(3_600_000), json!("ttl"), json!(server.clock.now())]);
}

async fn a_program_brings_along_what_the_house_does_not_know(server: Arc<Server>) {
    let program = server.program_in(Role::Executor, &["support"]).await;
    let mut body = request("whoami", &[]);
    body["mapped_parameters"] =
        json!([{ "name": "who", "value": "the boss" }, { "name": "where", "value": "channel" }]);
    let told = invoke(&program, &body).await["command_response"]["body"].clone();
    assert_eq!(told, "executor from channel", "nobody passes for another user");
}
