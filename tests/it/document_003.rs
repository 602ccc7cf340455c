//! Every request that the toolbox's API guide prints, answered as printed.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::server::{Client, Server, on_both_databases};
use crate::support::sink::Sink;

on_both_databases!(
    playbooks_are_listed_shown_and_copied,
    a_run_is_started_watched_and_ended,
    a_run_is_paused_resumed_skipped_and_cancelled,
    a_watcher_misses_nothing,
    refusals_have_their_envelope,
);

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Waits for the end of a run; answers every update of it.
async fn ended(program: &Client, id: &str, after: i64) -> Vec<Value> {
    let mut socket = program.watch_runs(Some(after)).await;
    let mut updates = Vec::new();
    loop {
        let frame = socket.next().await;
        if frame["data"]["execution_id"] != id {
            continue;
        }
        let status = frame["data"]["status"].as_str().expect("a status").to_owned();
        let is_last =
            frame["data"]["step_result"].is_null() && ["completed", "failed", "cancelled"].contains(&&*status);
        updates.push(frame);
        if is_last {
            return updates;
        }
    }
}

async fn playbooks_are_listed_shown_and_copied(server: Arc<Server>) {
    let program = server.program(Role::Admin).await;
    let list = program.get("/api/playbooks").await.expect(200);
    let upgrade =
        list["playbooks"].as_array().unwrap().iter().find(|line| line["path"] == "gateway/module_upgrade.yaml");
    assert_eq!(
        upgrade.unwrap(),
        &json!({
            "name": "Module Upgrade", "path": "gateway/module_upgrade.yaml", "domain": "gateway",
            "description": "Upgrade modules on a gateway", "version": "1.0",
        })
    );
    let page = program.get("/api/playbooks?limit=1").await.expect(200);
    let next = page["next_cursor"].as_str().unwrap();
    let rest = program.get(&format!("/api/playbooks?cursor={next}")).await.expect(200);
    let count = |page: &Value| page["playbooks"].as_array().unwrap().len();
    assert_eq!(count(&page) + count(&rest), count(&list));
    for path in ["gateway/module_upgrade.yaml", "gateway%2Fmodule_upgrade.yaml"] {
        let playbook = program.get(&format!("/api/playbooks/{path}")).await.expect(200);
        for (key, value) in
            [("name", "Module Upgrade"), ("version", "1.0"), ("description", "Upgrade modules on a gateway")]
        {
            assert_eq!(playbook[key], value);
        }
        assert_eq!(
            playbook["parameters"][0],
            json!({ "name": "gateway_url", "type": "string", "required": true, "description": "Gateway base URL" })
        );
        assert_eq!(playbook["steps"][0], json!({ "id": "login", "name": "Login to Gateway", "type": "http.request" }));
        assert_eq!(playbook["steps"].as_array().unwrap().len(), 5);
        assert_eq!(playbook["definition"]["apiVersion"], "flow/v1");
    }
    let copy = json!({ "source_path": "gateway/original.yaml", "new_name": "My Custom Playbook" });
    assert_eq!(
        program.post("/api/playbooks/duplicate", &copy).await.expect(200),
        json!({ "message": "Playbook duplicated successfully", "new_path": "gateway/my-custom-playbook.yaml" })
    );
    assert_eq!(
        program.get("/api/playbooks/gateway/my-custom-playbook.yaml").await.expect(200)["name"],
        "My Custom Playbook"
    );
    let user = server.program(Role::User).await;
    let refused = user.post("/api/playbooks/duplicate", &copy).await.expect(403);
    assert_eq!(refused["detail"]["error"], "permission_denied");
    let schema = server.anybody().get("/schemas/flow-v1.json").await;
    assert_eq!(schema.headers["content-type"], "application/schema+json");
    assert!(jsonschema::validator_for(&schema.expect(200)).is_ok());
}

async fn a_run_is_started_watched_and_ended(server: Arc<Server>) {
    let sink = Sink::start().await;
    sink.open();
    let program = server.program(Role::User).await;
    let started = program
        .post(
            "/api/executions",
            &json!({
                "playbook_path": "gateway/module_upgrade.yaml", "parameters": { "module_path": "/path/to/module.modl" },
                "gateway_url": sink.url, "debug_mode": false,
            }),
        )
        .await
        .expect(200);
    let id = started["execution_id"].as_str().unwrap();
    assert_eq!(
        started,
        json!({
            "execution_id": id, "playbook_name": "Module Upgrade", "status": "started",
            "message": format!("Execution started with ID: {id}"),
        })
    );
    let updates = ended(&program, id, 0).await;
    assert!(updates.iter().all(|update| update["type"] == "execution_update" && update["seq"].is_i64()));
    let done = updates.iter().find(|update| {
        update["data"]["step_result"]["step_id"] == "login" && update["data"]["step_result"]["status"] == "completed"
    });
    let done = done.unwrap_or_else(|| panic!("{updates:?}"));
    assert_eq!(
        (done["data"]["status"].as_str(), done["data"]["current_step_index"].as_i64()),
        (Some("running"), Some(1))
    );
    let run = program.get(&format!("/api/executions/{id}")).await.expect(200);
    assert_eq!(
        (run["status"].as_str(), run["current_step_index"].as_i64(), run["total_steps"].as_i64()),
        (Some("completed"), Some(5), Some(5))
    );
    for key in
        ["execution_id", "playbook_name", "status", "started_at", "current_step_index", "total_steps", "step_results"]
    {
        assert!(keys(&run).contains(&key), "{key} in {run}");
    }
    let login = &run["step_results"][0];
    assert_eq!(
        (login["step_id"].as_str(), login["step_name"].as_str(), login["status"].as_str()),
        (Some("login"), Some("Login to Gateway"), Some("completed"))
    );
    assert!(login["started_at"].is_string() && login["completed_at"].is_string());
    assert_eq!(run["step_results"][3]["output"]["message"], "upload gave 200", "what a playbook passes on is text");
    let list = program.get("/api/executions?limit=50&status=completed").await.expect(200);
    let line = &list[0];
    assert_eq!(
        (line["execution_id"].as_str(), line["playbook_name"].as_str(), line["total_steps"].as_i64()),
        (Some(id), Some("Module Upgrade"), Some(5))
    );
    assert_eq!(program.get("/api/executions?status=running").await.expect(200), json!([]));
    assert_eq!(
        program.delete(&format!("/api/executions/{id}")).await.expect(200),
        json!({ "message": "Execution deleted successfully", "execution_id": id, "screenshots_deleted": 0 })
    );
    assert_eq!(
        program.get(&format!("/api/executions/{id}")).await.expect(404)["detail"]["error"],
        "execution_not_found"
    );
    let health = server.anybody().get("/api/health").await.expect(200);
    assert_eq!(
        (health["status"].as_str(), health["version"].is_string(), health["uptime_seconds"].is_i64()),
        (Some("healthy"), true, true)
    );
    // The request of the guide's first example, whose playbook takes an address of its own.
    let body = json!({ "playbook_path": "gateway/health_check.yaml", "gateway_url": sink.url });
    let keyed = program.with("idempotency-key", "k1");
    let first = keyed.post("/api/executions", &body).await.expect(200);
    assert_eq!(keyed.post("/api/executions", &body).await.expect(200)["execution_id"], first["execution_id"], "once");
    ended(&program, first["execution_id"].as_str().unwrap(), 0).await;
}

async fn a_run_is_paused_resumed_skipped_and_cancelled(server: Arc<Server>) {
    let sink = Sink::start().await;
    let program = server.program(Role::User).await;
    let start = || async {
        let body = json!({ "playbook_path": "gateway/module_upgrade.yaml", "parameters": { "gateway_url": sink.url } });
        program.post("/api/executions", &body).await.expect(200)["execution_id"].as_str().unwrap().to_owned()
    };
    let control = |id: String, what: &'static str| {
        let program = program.clone();
        async move { program.post(&format!("/api/executions/{id}/{what}"), &json!({})).await.expect(200) }
    };
    let id = start().await;
    sink.has_held(1).await;
    let run = program.get(&format!("/api/executions/{id}")).await.expect(200);
    let states: Vec<&str> =
        run["step_results"].as_array().unwrap().iter().map(|step| step["status"].as_str().unwrap()).collect();
    assert_eq!(
        states,
        ["completed", "running", "pending", "pending", "pending"],
        "the whole plan is there from the start"
    );
    assert_eq!(control(id.clone(), "pause").await, json!({ "message": "Execution paused", "execution_id": id }));
    assert_eq!(program.get("/api/executions?status=paused").await.expect(200)[0]["execution_id"], *id);
    assert_eq!(control(id.clone(), "skip").await["message"], "Current step skipped");
    assert_eq!(control(id.clone(), "resume").await, json!({ "message": "Execution resumed", "execution_id": id }));
    ended(&program, &id, 0).await;
    let run = program.get(&format!("/api/executions/{id}/status")).await.expect(200);
    // What came of the step that was skipped is nothing, so what needs it fails.
    assert_eq!((run["status"].as_str(), run["step_results"][1]["status"].as_str()), (Some("failed"), Some("skipped")));
    assert_eq!(run["step_results"][4]["status"], "skipped", "what was not reached is passed over");

    let id = start().await;
    sink.has_held(2).await;
    let cancelled = control(id.clone(), "cancel").await;
    assert_eq!(cancelled, json!({ "message": "Execution cancelled", "execution_id": id, "in_flight": ["upload"] }));
    assert_eq!(control(id.clone(), "cancel").await["message"], "Execution cancelled", "again it changes nothing");
    let run = program.get(&format!("/api/executions/{id}")).await.expect(200);
    assert_eq!(
        (run["status"].as_str(), run["step_results"][1]["status"].as_str()),
        (Some("cancelled"), Some("cancelled"))
    );
    let refused = program.post(&format!("/api/executions/{id}/pause"), &json!({})).await.expect(409);
    assert_eq!(refused["detail"]["error"], "execution_ended");

    // Back to the step before, and again from one step on.
    let id = start().await;
    sink.has_held(3).await;
    control(id.clone(), "skip_back").await;
    sink.open();
    sink.has_held(4).await;
    ended(&program, &id, 0).await;
    let run = program.get(&format!("/api/executions/{id}")).await.expect(200);
    assert_eq!(run["status"], "completed", "{run}");
    let head = server.store().head(&parlour::model::event::Stream::runs()).await.unwrap();
    program.post(&format!("/api/executions/{id}/retry"), &json!({ "from_step": "check" })).await.expect(200);
    ended(&program, &id, head).await;
    // One that pauses after each step.
    let body = json!({ "playbook_path": "gateway/module_upgrade.yaml", "gateway_url": sink.url, "debug_mode": true });
    let id = program.post("/api/executions", &body).await.expect(200)["execution_id"].as_str().unwrap().to_owned();
    let mut socket = program.watch_runs(Some(0)).await;
    while socket.next().await["data"] != json!({}) {
        let run = program.get(&format!("/api/executions/{id}")).await.expect(200);
        if run["status"] == "paused" {
            assert_eq!(
                (run["step_results"][0]["status"].as_str(), run["step_results"][1]["status"].as_str()),
                (Some("completed"), Some("pending"))
            );
            break;
        }
    }
    control(id, "cancel").await;
}

async fn a_watcher_misses_nothing(server: Arc<Server>) {
    let sink = Sink::start().await;
    sink.open();
    let program = server.program(Role::User).await;
    let mut live = program.watch_runs(None).await;
    live.send(&json!({ "type": "ping", "timestamp": 1_707_000_000_000_i64 })).await;
    assert_eq!(live.next().await, json!({ "type": "pong", "timestamp": 1_707_000_000_000_i64 }));
    let body = json!({ "playbook_path": "gateway/health_check.yaml", "gateway_url": sink.url });
    let mut seen = Vec::new();
    for _ in 0..3 {
        let id = program.post("/api/executions", &body).await.expect(200)["execution_id"].as_str().unwrap().to_owned();
        loop {
            let frame = live.next().await;
            let is_last = frame["data"]["execution_id"] == *id
                && frame["data"]["step_result"].is_null()
                && frame["data"]["status"] == "completed";
            seen.push(frame);
            if is_last {
                break;
            }
        }
    }
    let at = seen.len() / 2;
    let mut again = program.watch_runs(seen[at]["seq"].as_i64()).await;
    for expected in &seen[at + 1..] {
        assert_eq!(&again.next().await, expected, "read again from its place it is the same");
    }
    // Others' runs are nobody's business; an administrator sees them all.
    let stranger = server.program(Role::User).await;
    let mut other = stranger.watch_runs(Some(0)).await;
    other.send(&json!({ "type": "ping", "timestamp": 2 })).await;
    assert_eq!(other.next().await["type"], "pong");
    let mut admin = server.program(Role::Admin).await.watch_runs(Some(0)).await;
    assert_eq!(&admin.next().await, &seen[0]);
    assert_eq!(server.anybody().refused_watch().await, 401);
}

async fn refusals_have_their_envelope(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let start = |path: &str| program.clone().post_owned("/api/executions", json!({ "playbook_path": path }));
    let refused = start("test.yaml").await.expect(404);
    assert_eq!(refused["detail"]["error"], "playbook_not_found");
    assert_eq!(refused["detail"]["message"], "Playbook 'test.yaml' not found");
    assert_eq!(refused["detail"]["details"], json!({ "path": "test.yaml" }));
    for path in ["../secret.yaml", "/etc/passwd", "gateway/../../x.yaml", "x.txt"] {
        assert_eq!(start(path).await.expect(400)["detail"]["error"], "invalid_path", "{path}");
    }
    assert_eq!(
        program.get("/api/playbooks/..%2F..%2Fetc%2Fpasswd.yaml").await.expect(400)["detail"]["error"],
        "invalid_path"
    );
    let missing = start("gateway/health_check.yaml").await.expect(400);
    assert_eq!(missing["detail"]["error"], "validation_error");
    assert_eq!(missing["detail"]["details"]["errors"][0]["field"], "parameters.gateway_url");
    for path in ["/api/executions/550e8400", "/api/executions/550e8400/status"] {
        let unknown = program.get(path).await.expect(404);
        assert_eq!(
            (unknown["detail"]["error"].as_str(), &unknown["detail"]["details"]),
            (Some("execution_not_found"), &json!({ "execution_id": "550e8400" }))
        );
    }
    for what in ["pause", "resume", "cancel", "skip", "skip_back"] {
        let unknown = program.post(&format!("/api/executions/550e8400/{what}"), &json!({})).await.expect(404);
        assert_eq!(unknown["detail"]["error"], "execution_not_found");
    }
    let reader = server.program(Role::Readonly).await;
    let body =
        json!({ "playbook_path": "gateway/health_check.yaml", "parameters": { "gateway_url": "http://127.0.0.1:1" } });
    assert_eq!(reader.post("/api/executions", &body).await.expect(403)["detail"]["error"], "permission_denied");
    assert_eq!(program.get("/api/executions?status=odd").await.expect(400)["detail"]["error"], "validation_error");
}
