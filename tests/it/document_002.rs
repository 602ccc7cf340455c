//! Every request about workflows that the integration layer's documentation prints, answered as printed.

use std::sync::Arc;

use parlour::model::principal::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Client, Server, on_both_databases};
use crate::support::sink::Sink;

on_both_databases!(workflows_are_made_changed_and_run, what_is_wrong_or_not_ones_own_is_refused);

fn documented(url: &str) -> Value {
    json!({
        "name": "New Workflow",
        "description": "Optional description",
        "definition": { "steps": [{ "name": "step1", "type": "http_request", "config": { "method": "GET", "url": url } }] },
        "isPublic": false,
    })
}

async fn finished(program: &Client, id: &str) -> Value {
    let mut socket = program.watch_runs(Some(0)).await;
    loop {
        let frame = socket.next().await;
        let data = &frame["data"];
        if data["execution_id"] == id
            && data["step_result"].is_null()
            && ["completed", "failed"].contains(&data["status"].as_str().unwrap())
        {
            return program.get(&format!("/api/v1/executions/{id}")).await.expect(200);
        }
    }
}

async fn workflows_are_made_changed_and_run(server: Arc<Server>) {
    let sink = Sink::start().await;
    let program = server.program(Role::User).await;
    assert_eq!(program.get("/api/v1/workflows").await.expect(200), json!([]));
    let made = program.post("/api/v1/workflows", &documented(&format!("{}/count/data", sink.url))).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let list = program.get("/api/v1/workflows").await.expect(200);
    let line = list[0].as_object().unwrap();
    assert_eq!(
        line.keys().map(String::as_str).collect::<Vec<_>>(),
        ["id", "name", "description", "isPublic", "createdAt", "updatedAt"]
    );
    assert_eq!((line["name"].as_str(), line["isPublic"].as_bool()), (Some("New Workflow"), Some(false)));
    let got = program.get(&format!("/api/v1/workflows/{id}")).await.expect(200);
    assert_eq!(
        (got["version"].as_i64(), &got["definition"]),
        (Some(1), &documented(&format!("{}/count/data", sink.url))["definition"])
    );

    let executed = program
        .post(&format!("/api/v1/workflows/{id}/execute"), &json!({ "input": { "key": "value" } }))
        .await
        .expect(200);
    assert_eq!(
        executed.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(),
        ["executionId", "status", "startedAt"]
    );
    assert_eq!(executed["status"], "pending");
    let run = finished(&program, executed["executionId"].as_str().unwrap()).await;
    assert_eq!(
        (run["status"].as_str(), run["workflowId"].as_str(), &run["input"]),
        (Some("completed"), Some(id), &json!({ "key": "value" }))
    );
    assert_eq!(run["steps"][0]["output"]["data"], json!({ "count": 1 }));

    // Another definition is another version; values keep their types on the way through.
    let definition = json!({ "steps": [
        { "name": "fetch-data", "type": "http_request", "config": { "method": "GET", "url": format!("{}/count/{{{{input.name}}}}", sink.url) } },
        { "name": "big", "type": "conditional", "config": { "condition": "{{fetch-data.data.count}} >= 1 && {{input.n}} === 3", "trueSteps": ["double"], "falseSteps": [] } },
        { "name": "double", "type": "transform", "config": { "code": "return {n: input.n * 2, count: variables.fetch_data.data.count}" } },
        { "name": "each", "type": "loop", "config": { "items": "{{input.list}}", "stepId": "one" } },
        { "name": "one", "type": "http_request", "config": { "method": "PUT", "url": format!("{}/count/item-{{{{item.id}}}}", sink.url) } },
        { "name": "nap", "type": "delay", "config": { "milliseconds": 0 } },
    ] });
    let changed = program
        .request(Method::PUT, &format!("/api/v1/workflows/{id}"))
        .json(&json!({ "definition": definition }))
        .send()
        .await
        .unwrap();
    assert_eq!(changed.json::<Value>().await.unwrap()["version"], 2);
    let versions = program.get(&format!("/api/v1/workflows/{id}/versions")).await.expect(200);
    assert_eq!((versions[0]["version"].as_i64(), versions[1]["version"].as_i64()), (Some(2), Some(1)));
    let page = program.get(&format!("/api/v1/workflows/{id}/versions?limit=1")).await;
    assert_eq!(page.headers["x-next-cursor"], "2");
    let input = json!({ "input": { "name": "n", "n": 3, "list": [{ "id": 1 }, { "id": 2 }] } });
    let executed = program.post(&format!("/api/v1/workflows/{id}/execute"), &input).await.expect(200);
    let run = finished(&program, executed["executionId"].as_str().unwrap()).await;
    assert_eq!(run["status"], "completed", "{run}");
    let double = run["steps"].as_array().unwrap().iter().find(|step| step["name"] == "big.double").unwrap();
    assert_eq!(double["output"], json!({ "n": 6, "count": 1 }));
    assert_eq!((sink.counts().get("item-1"), sink.counts().get("item-2")), (Some(&1), Some(&1)));
    let runs = program.get(&format!("/api/v1/executions?workflowId={id}&limit=1")).await;
    let next = runs.headers["x-next-cursor"].to_str().unwrap().to_owned();
    assert_eq!(runs.expect(200)[0]["id"], executed["executionId"]);
    assert_eq!(
        program.get(&format!("/api/v1/executions?limit=1&cursor={next}")).await.expect(200).as_array().unwrap().len(),
        1
    );

    // A run is cancelled.
    let hold = program.post("/api/v1/workflows", &documented(&format!("{}/hold", sink.url))).await.expect(201);
    let executed = program
        .post(&format!("/api/v1/workflows/{}/execute", hold["id"].as_str().unwrap()), &json!({}))
        .await
        .expect(200);
    sink.has_held(1).await;
    let path = format!("/api/v1/executions/{}", executed["executionId"].as_str().unwrap());
    assert_eq!(program.post(&path, &json!({ "action": "cancel" })).await.expect(200)["status"], "cancelled");
    assert_eq!(program.get(&path).await.expect(200)["status"], "cancelled");
    assert_eq!(program.delete(&format!("/api/v1/workflows/{id}")).await.expect(200)["success"], true);
    let gone = program.get(&format!("/api/v1/workflows/{id}")).await.expect(404);
    assert!(gone["error"].is_string(), "{gone}");
    let document = server.anybody().get("/api/v1/openapi").await.expect(200);
    assert!(document["paths"]["/api/v1/workflows/{id}/execute"]["post"].is_object());
}

async fn what_is_wrong_or_not_ones_own_is_refused(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let stranger = server.program(Role::User).await;
    for (body, part) in [
        (json!({ "name": "", "definition": { "steps": [] } }), "name"),
        (json!({ "name": "x", "definition": [] }), "definition"),
        (json!({ "name": "x", "definition": { "steps": [] } }), "steps"),
        (json!({ "name": "x", "definition": { "steps": [{ "name": "a", "type": "dance", "config": {} }] } }), "dance"),
        (
            json!({ "name": "x", "definition": { "steps": [{ "name": "a", "type": "custom_code", "config": { "language": "python", "code": "x" } }] } }),
            "python",
        ),
        (
            json!({ "name": "x", "definition": { "apiVersion": "flow/v1", "kind": "Workflow", "metadata": { "name": "x", "version": "1" }, "steps": [{ "id": "a", "lgo": {} }] } }),
            "did you mean",
        ),
    ] {
        let refused = program.post("/api/v1/workflows", &body).await.expect(400);
        assert!(refused["error"].as_str().unwrap().contains(part) || refused.to_string().contains(part), "{refused}");
    }
    let made = program.post("/api/v1/workflows", &documented("http://127.0.0.1:1/x")).await.expect(201);
    let path = format!("/api/v1/workflows/{}", made["id"].as_str().unwrap());
    assert!(stranger.get(&path).await.expect(404)["error"].is_string());
    stranger.post(&format!("{path}/execute"), &json!({})).await.expect(404);
    stranger.delete(&path).await.expect(404);
    assert_eq!(stranger.get("/api/v1/workflows").await.expect(200), json!([]));
    program.patch(&path, &json!({ "isPublic": true })).await.expect(200);
    assert_eq!(stranger.get(&path).await.expect(200)["isPublic"], true);
    stranger.patch(&path, &json!({ "name": "mine" })).await.expect(403);
    assert_eq!(
        server.program(Role::Readonly).await.post(&format!("{path}/execute"), &json!({})).await.status.as_u16(),
        403
    );
    let odd = program.post("/api/v1/executions/none", &json!({ "action": "cancel" })).await.expect(404);
    assert!(odd["error"].is_string());
    // What the connector refuses fails the run, with words.
    let executed = program.post(&format!("{path}/execute"), &json!({})).await.expect(200);
    let run = finished(&program, executed["executionId"].as_str().unwrap()).await;
    assert_eq!(run["status"], "failed");
    assert!(run["error"].is_string() && run["steps"][0]["error"].is_string(), "{run}");
}
