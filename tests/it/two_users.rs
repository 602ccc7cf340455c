//! Two users: whatever is somebody's is, to anybody else, as if it were not there. Every door of the OpenAPI document and
//! every frame of the web socket has an entry here; one without fails the test.

use std::collections::BTreeMap;
use std::sync::Arc;

use parlour::identity::token::{self, TokenKind};
use parlour::model::id::{action_id, new_id};
use parlour::model::principal::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::dialogs::events;
use crate::support::server::{Client, Server, Socket, on_both_databases};

on_both_databases!(a_door_tells_nothing_of_others, a_frame_tells_nothing_of_others);

/// The ids of everything that somebody has, by what it is: Ann's, or ones that nobody has.
type Ids = BTreeMap<&'static str, String>;

/// A request that names things by `{kind}`: the body as JSON.
struct Probe {
    path: &'static str,
    body: Value,
}

fn probe(path: &'static str, body: Value) -> Option<Vec<Probe>> {
    Some(vec![Probe { path, body }])
}

/// What to ask of a door; none when it is of one's own only, and takes the name of nothing that is somebody's.
#[expect(clippy::too_many_lines, reason = "one line for each door")]
fn door(method: &str, path: &str) -> Option<Option<Vec<Probe>>> {
    let own = Some(None);
    let one = |path: &'static str| Some(probe(path, Value::Null));
    let with = |path: &'static str, body: Value| Some(probe(path, body));
    match (method, path) {
        // Nothing is named, or what is named is everybody's.
        (
            "GET",
            "/health" | "/livez" | "/readyz" | "/metrics" | "/api/v1/openapi" | "/ws/schema" | "/ws/asyncapi.json",
        )
        | ("GET", "/auth/local" | "/auth/providers" | "/auth/login" | "/auth/callback" | "/auth/validate")
        | ("POST", "/auth/backchannel-logout" | "/auth/logout" | "/api/ws/ticket" | "/api/files")
        | ("GET", "/api/session" | "/api/session/list" | "/api/files" | "/api/keys" | "/api/bots" | "/ws")
        | ("GET", "/api/admin/bots" | "/api/admin/system/status" | "/api/admin/system/metrics")
        | ("GET", "/api/grants" | "/api/services" | "/api/users")
        | ("POST", "/api/keys" | "/api/grants" | "/api/services") => own,
        ("POST", "/api/session/create") => with("/api/session/create", json!({ "bot_id": "{bot}" })),
        ("GET", "/api/session/search") => one("/api/session/search?q=blue&session_id={session}"),
        ("DELETE", "/api/session/{id}") => Some(Some(vec![
            Probe { path: "/api/session/{session}", body: Value::Null },
            Probe { path: "/api/session/{login}", body: Value::Null },
        ])),
        ("POST", "/api/session/{id}/messages") => Some(Some(vec![
            Probe { path: "/api/session/{session}/messages", body: json!({ "content": "help" }) },
            Probe { path: "/api/session/{own}/messages", body: json!({ "content": "", "attachments": ["{file}"] }) },
        ])),
        ("PATCH", "/api/session/{id}/messages/{message_id}") => Some(Some(vec![
            Probe { path: "/api/session/{session}/messages/{message}", body: json!({ "content": "x" }) },
            Probe { path: "/api/session/{own}/messages/{message}", body: json!({ "content": "x" }) },
        ])),
        ("DELETE", "/api/session/{id}/messages/{message_id}") => Some(Some(vec![
            Probe { path: "/api/session/{session}/messages/{message}", body: Value::Null },
            Probe { path: "/api/session/{own}/messages/{message}", body: Value::Null },
        ])),
        ("GET" | "DELETE", "/api/files/{id}") => one("/api/files/{file}"),
        ("POST", "/api/session/{id}/invocations/{invocation_id}/cancel") => Some(Some(vec![
            Probe { path: "/api/session/{session}/invocations/{run}/cancel", body: Value::Null },
            Probe { path: "/api/session/{own}/invocations/{run}/cancel", body: Value::Null },
        ])),
        ("POST", "/api/session/{id}/commands") => Some(Some(vec![
            Probe { path: "/api/session/{session}/commands", body: json!({ "command": "help" }) },
            Probe { path: "/api/session/{own}/commands", body: json!({ "command": "deploy", "bot": "{bot}" }) },
        ])),
        ("POST", "/api/session/{id}/messages/{message_id}/actions/{action_id}") => Some(Some(vec![
            Probe { path: "/api/session/{session}/messages/{question}/actions/{action}", body: json!({}) },
            Probe { path: "/api/session/{own}/messages/{question}/actions/{action}", body: json!({}) },
        ])),
        ("POST", "/api/session/{id}/read") => with("/api/session/{session}/read", json!({ "read_seq": 1 })),
        ("GET", "/api/session/{id}/events") => one("/api/session/{session}/events"),
        ("GET", "/api/bots/{id}") => one("/api/bots/{bot}"),
        ("GET", "/api/bots/{id}/completions") => one("/api/bots/{bot}/completions?text=d"),
        ("POST", "/command") => {
            let body = json!({ "command": "deploy", "automation": { "name": "{bot}" }, "parameters": [] });
            with("/command?invoke=true", body)
        }
        ("GET", "/command/{request_id}/invocation/{id}") => one("/command/{request}/invocation/{poll}"),
        ("POST", "/command/{request_id}/invocation/{id}/cancel") => one("/command/{request}/invocation/{poll}/cancel"),
        ("GET", "/keys/take") => one("/keys/take?offer={offer}"),
        ("POST", "/keys/take") => with("/keys/take", json!("offer={offer}")),
        ("GET", "/api/approvals" | "/api/users/me" | "/api/groups/list") => own,
        ("PUT", "/api/users/me") | ("POST", "/api/groups/create") => own,
        // Opened by a token of its own, never by anybody's credential.
        ("GET" | "PUT" | "PATCH" | "DELETE", "/scim/v2/Users/{id}") => with("/scim/v2/Users/{person}", json!({})),
        ("GET" | "PUT" | "PATCH" | "DELETE", "/scim/v2/Groups/{id}") => with("/scim/v2/Groups/{group}", json!({})),
        ("GET", "/scim/v2/ResourceTypes/{id}" | "/scim/v2/Schemas/{id}") => one("/scim/v2/ResourceTypes/{group}"),
        ("GET" | "POST", path) if path.starts_with("/scim/v2/") => own,
        ("GET" | "POST", "/api/credentials" | "/api/v1/credentials" | "/api/v1/connectors") => own,
        ("GET", "/schemas/connector-v1.json" | "/schemas/bot-test-v1.json") => own,
        ("DELETE", "/api/credentials/{name}") => one("/api/credentials/{credential_name}"),
        ("PUT", "/api/credentials/{name}") => {
            let body = json!({ "name": "{credential_name}", "username": "x", "password": "y" });
            with("/api/credentials/{credential_name}", body)
        }
        ("GET" | "DELETE", "/api/v1/credentials/{id}") => one("/api/v1/credentials/{credential}"),
        ("PUT", "/api/v1/credentials/{id}") => with("/api/v1/credentials/{credential}", json!({ "description": "x" })),
        ("POST", "/api/v1/credentials/{id}/test") => with("/api/v1/credentials/{credential}/test", json!({})),
        ("GET", "/credentials/{id}/sign-in") => one("/credentials/{credential}/sign-in"),
        // A state counts in the browser that it was made for.
        ("GET", "/oauth2/callback") => own,
        ("GET" | "DELETE", "/api/v1/connectors/{id}") => one("/api/v1/connectors/{connector}"),
        ("PUT", "/api/v1/connectors/{id}") => with("/api/v1/connectors/{connector}", json!({ "name": "x" })),
        (
            "GET",
            "/api/playbooks" | "/api/playbooks/{path}" | "/schemas/flow-v1.json" | "/api/health" | "/ws/executions",
        )
        | ("POST", "/api/playbooks/duplicate")
        | ("GET" | "POST", "/api/executions" | "/api/v1/workflows")
        | ("GET", "/api/v1/executions") => Some(Some(Vec::new())),
        ("GET" | "DELETE", "/api/executions/{id}") => one("/api/executions/{poll}"),
        ("GET", "/api/executions/{id}/status") => one("/api/executions/{poll}/status"),
        ("GET", "/api/executions/{id}/definition") => one("/api/executions/{poll}/definition"),
        ("GET", "/api/executions/{id}/artifacts") => one("/api/executions/{poll}/artifacts"),
        ("GET", "/api/executions/{id}/artifacts/{artifact_id}") => one("/api/executions/{poll}/artifacts/{file}"),
        ("POST", "/api/executions/{id}/browser/click") => {
            with("/api/executions/{poll}/browser/click", json!({ "x": 1, "y": 1 }))
        }
        ("PUT", "/api/executions/{id}/definition") => {
            with("/api/executions/{poll}/definition", json!({ "definition": { "steps": [] } }))
        }
        ("POST", "/api/executions/{id}/pause") => with("/api/executions/{poll}/pause", json!({})),
        ("POST", "/api/executions/{id}/resume") => with("/api/executions/{poll}/resume", json!({})),
        ("POST", "/api/executions/{id}/cancel") => with("/api/executions/{poll}/cancel", json!({})),
        ("POST", "/api/executions/{id}/skip") => with("/api/executions/{poll}/skip", json!({})),
        ("POST", "/api/executions/{id}/skip_back") => with("/api/executions/{poll}/skip_back", json!({})),
        ("POST", "/api/executions/{id}/retry") => with("/api/executions/{poll}/retry", json!({})),
        ("POST", "/api/executions/{id}/resolve") => {
            with("/api/executions/{poll}/resolve", json!({ "step_id": "a", "outcome": "done" }))
        }
        ("POST", "/api/executions/{id}/answer") => {
            with("/api/executions/{poll}/answer", json!({ "step_id": "a", "answer": {} }))
        }
        ("GET" | "DELETE", "/api/v1/workflows/{id}") => one("/api/v1/workflows/{workflow}"),
        ("PUT" | "PATCH", "/api/v1/workflows/{id}") => with("/api/v1/workflows/{workflow}", json!({ "name": "x" })),
        ("GET", "/api/v1/workflows/{id}/versions") => one("/api/v1/workflows/{workflow}/versions"),
        ("POST", "/api/v1/workflows/{id}/execute") => with("/api/v1/workflows/{workflow}/execute", json!({})),
        ("GET", "/api/v1/executions/{id}") => one("/api/v1/executions/{poll}"),
        ("POST", "/api/v1/executions/{id}") => with("/api/v1/executions/{poll}", json!({ "action": "cancel" })),
        ("GET" | "POST", "/api/schedules") => own,
        ("GET" | "DELETE", "/api/schedules/{id}") => one("/api/schedules/{schedule}"),
        ("PATCH", "/api/schedules/{id}") => with("/api/schedules/{schedule}", json!({ "name": "x" })),
        ("GET" | "POST", "/api/v1/webhooks") => own,
        ("GET" | "DELETE", "/api/v1/webhooks/{id}") => one("/api/v1/webhooks/{webhook}"),
        ("PUT", "/api/v1/webhooks/{id}") => with("/api/v1/webhooks/{webhook}", json!({ "name": "x" })),
        ("POST", "/api/v1/webhooks/{id}/test") => one("/api/v1/webhooks/{webhook}/test"),
        ("POST", "/api/v1/webhooks/{id}/rotate-secret") => one("/api/v1/webhooks/{webhook}/rotate-secret"),
        ("GET", "/api/v1/webhooks/{id}/deliveries") => one("/api/v1/webhooks/{webhook}/deliveries"),
        ("POST", "/api/v1/webhooks/{id}/deliveries/{delivery}/replay") => {
            one("/api/v1/webhooks/{webhook}/deliveries/{message}/replay")
        }
        ("POST", "/api/v1/webhooks/{id}/replay") => {
            with("/api/v1/webhooks/{webhook}/replay", json!({ "since": "2026-01-01T00:00:00Z" }))
        }
        ("GET", "/api/groups/{id}/members") => one("/api/groups/{group}/members"),
        ("POST", "/api/groups/{id}/members") => with("/api/groups/{group}/members", json!({ "user_id": "{person}" })),
        ("DELETE", "/api/groups/{id}/members/{user_id}") => one("/api/groups/{group}/members/{person}"),
        ("POST", "/invocations/{id}/approve") => with("/invocations/{waits}/approve", json!({})),
        ("POST", "/invocations/{id}/deny") => with("/invocations/{waits}/deny", json!({})),
        ("POST", "/command/{request_id}/invocation/{id}/approve") => {
            with("/command/{waits_request}/invocation/{waits}/approve", json!({}))
        }
        ("POST", "/command/{request_id}/invocation/{id}/deny") => {
            with("/command/{waits_request}/invocation/{waits}/deny", json!({}))
        }
        ("DELETE", "/api/keys/{id}") => one("/api/keys/{key}"),
        ("DELETE", "/api/users/{id}/sessions") => one("/api/users/{person}/sessions"),
        ("DELETE", "/api/grants/{id}") => one("/api/grants/{grant}"),
        ("DELETE", "/api/services/{id}") => one("/api/services/{key}"),
        ("GET", "/api/admin/outbox/dead-letters" | "/api/links" | "/slack/install" | "/slack/oauth")
        | ("POST", "/api/preview") => own,
        ("POST", "/api/admin/outbox/dead-letters/{id}/retry") => one("/api/admin/outbox/dead-letters/{message}/retry"),
        ("GET", "/api/slack/workspaces") => own,
        ("DELETE", "/api/slack/workspaces/{team}") => one("/api/slack/workspaces/{person}"),
        ("DELETE", "/api/links/{platform}/{team}/{account}") => one("/api/links/slack/T1/{person}"),
        ("GET" | "POST", "/link/{token}") => one("/link/{offer}"),
        ("GET", "/api/session/{id}/messages/{message_id}/preview") => Some(Some(vec![
            Probe { path: "/api/session/{session}/messages/{message}/preview", body: Value::Null },
            Probe { path: "/api/session/{own}/messages/{message}/preview", body: Value::Null },
        ])),
        // Opened by a signature, never by anybody's credential.
        ("POST", "/slack/events" | "/slack/interactions" | "/slack/commands" | "/discord/interactions") => own,
        ("GET", "/api/admin/audit") => one("/api/admin/audit?target={key}"),
        ("GET", "/api/authz/explain") => Some(Some(vec![
            Probe { path: "/api/authz/explain?principal={ann}", body: Value::Null },
            Probe { path: "/api/authz/explain?bot={bot}", body: Value::Null },
        ])),
        _ => None,
    }
}

/// Puts the ids where their kinds stand, and the other way round.
fn filled(text: &str, ids: &Ids) -> String {
    ids.iter().fold(text.to_owned(), |text, (kind, id)| text.replace(&format!("{{{kind}}}"), id))
}

fn anonymous(text: &str, ids: &Ids) -> String {
    ids.iter().fold(text.to_owned(), |text, (kind, id)| text.replace(id.as_str(), &format!("{{{kind}}}")))
}

/// Everything that Ann has; `own` is Bob's conversation.
async fn world(server: &Server) -> (Client, Client, Ids, Ids) {
    let (ann, bob) = (server.program_in(Role::User, &["support"]).await, server.program(Role::User).await);
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let session = ann.open("desk").await;
    let asked = ann.say(&session, "demolish blue").await;
    let question = text(&asked["message_id"]);
    let message = text(&events(&ann, &session).await[0]["message_id"]);
    let file = ann.post_text("/api/files?name=a.txt", "application/octet-stream", "blue").await.expect(201);
    let body = json!({ "command": "deploy", "automation": { "name": "shop" },
        "parameters": [{ "name": "service", "value": "web" }] });
    let started = ann.post("/command?invoke=true", &body).await.expect(200);
    let url = text(&started["invocation"]["url"]);
    let request = url.split("/command/").nth(1).expect("a path").split('/').next().expect("an id").to_owned();
    let body = json!({ "command": "publish", "parameters": [{ "name": "version", "value": "1" }] });
    let waits = ann.post("/command?invoke=true", &body).await.expect(200);
    let waits_url = text(&waits["invocation"]["url"]);
    let waits_request =
        waits_url.split("/command/").nth(1).expect("a path").split('/').next().expect("an id").to_owned();
    let admin = server.browser().await;
    let grant = json!({ "effect": "allow", "subject": "user:nobody", "kind": "bot", "name": "hello" });
    let grant = text(&admin.post("/api/grants", &grant).await.expect(201)["id"]);
    let secret = json!({ "name": "hers-alone", "username": "ann", "password": "s3cret",
        "gateway_url": "https://gateway.example.com" });
    ann.post("/api/credentials", &secret).await.expect(200);
    let credential = text(&ann.get("/api/v1/credentials/hers-alone").await.expect(200)["id"]);
    let connector = json!({ "name": "hers", "type": "slack", "config": {} });
    let connector = ann.post("/api/v1/connectors", &connector).await.expect(201);
    let definition = json!({ "apiVersion": "flow/v1", "kind": "Workflow", "metadata": { "name": "hers", "version": "1" },
        "steps": [{ "id": "one", "set": { "n": 1 } }] });
    let workflow = json!({ "name": "hers", "definition": definition });
    let workflow = ann.post("/api/v1/workflows", &workflow).await.expect(201);
    let webhook = json!({ "name": "hers", "url": "https://hooks.invalid/x", "events": ["workflow.failed"] });
    let webhook = ann.post("/api/v1/webhooks", &webhook).await.expect(201);
    let schedule = json!({ "workflow_id": text(&workflow["id"]), "every": "1h" });
    let schedule = ann.post("/api/schedules", &schedule).await.expect(201);
    let group = admin.post("/api/groups/create", &json!({ "name": "secret" })).await.expect(201);
    let group = text(&group["id"]);
    let person = text(&admin.get("/api/session").await.expect(200)["user_id"]);
    let me = text(&ann.get("/api/session").await.expect(200)["user_id"]);
    let login = text(&admin.get("/api/session").await.expect(200)["session_id"]);
    let own = bob.open("desk").await;
    // Of somebody who signed in: only they are offered one.
    let theirs = admin.open("desk").await;
    let offered = admin.say(&theirs, "key create laptop").await;
    let offer = text(&offered["actions"][0]["url"]).split_once("offer=").expect("a link").1.to_owned();
    let ids = Ids::from([
        ("session", session),
        ("message", message),
        ("question", question),
        ("action", text(&asked["actions"][0]["id"])),
        ("run", text(&asked["invocation_id"])),
        ("file", text(&file["file"]["id"])),
        ("request", request),
        ("poll", text(&started["invocation"]["id"])),
        ("key", me.clone()),
        ("ann", me),
        ("grant", grant),
        ("group", group),
        ("credential", credential),
        ("credential_name", "hers-alone".to_owned()),
        ("connector", text(&connector["id"])),
        ("webhook", text(&webhook["id"])),
        ("workflow", text(&workflow["id"])),
        ("schedule", text(&schedule["id"])),
        ("person", person),
        ("waits", text(&waits["invocation"]["id"])),
        ("waits_request", waits_request),
        ("offer", offer),
        ("login", login),
        ("bot", "shop".to_owned()),
        ("own", own.clone()),
    ]);
    let nobodys = ids.keys().map(|kind| {
        let id = match *kind {
            "action" => action_id().expect("an id"),
            "offer" => token::make(TokenKind::KeyOffer).expect("a token"),
            "bot" => "no-such-bot".to_owned(),
            "own" => own.clone(),
            _ => new_id(),
        };
        (*kind, id)
    });
    let mut nobodys: Ids = nobodys.collect();
    // A key is its own principal: one id, whatever it is called.
    let key = nobodys["key"].clone();
    nobodys.insert("ann", key);
    (ann, bob, ids, nobodys)
}

async fn ask(client: &Client, method: &Method, probe: &Probe, ids: &Ids) -> (u16, String) {
    let request = client.request(method.clone(), &filled(probe.path, ids));
    let request = match &probe.body {
        Value::Null => request,
        Value::String(form) => {
            request.header("content-type", "application/x-www-form-urlencoded").body(filled(form, ids))
        }
        body => request.json(&serde_json::from_str::<Value>(&filled(&body.to_string(), ids)).expect("JSON")),
    };
    let answer = request.send().await.expect("it answers");
    let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a body"));
    let mut body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if let Some(error) = body.get_mut("error").and_then(Value::as_object_mut) {
        error.remove("request_id");
    }
    if let Some(whole) = body.as_object_mut() {
        whole.remove("request_id");
    }
    if let Some(detail) = body.get_mut("detail").and_then(Value::as_object_mut) {
        detail.remove("request_id");
    }
    (status, anonymous(&body.to_string(), ids))
}

async fn a_door_tells_nothing_of_others(server: Arc<Server>) {
    let (ann, bob, hers, nobodys) = world(&server).await;
    let document = server.anybody().get("/api/v1/openapi").await.expect(200);
    let mut probes = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            let entry = door(&method, path);
            let entry = entry.unwrap_or_else(|| panic!("{method} {path} needs an entry in tests/it/two_users.rs"));
            let named = path.contains('{');
            assert!(entry.is_some() || !named, "{method} {path} names something, so somebody else's may be tried");
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            for probe in entry.into_iter().flatten() {
                probes += 1;
                let (to_hers, to_nobodys) =
                    (ask(&bob, &method, &probe, &hers).await, ask(&bob, &method, &probe, &nobodys).await);
                assert_eq!(to_hers, to_nobodys, "{method} {}", probe.path);
                let may_be = match probe.path {
                    path if path.starts_with("/scim/") => &[401, 403, 404][..],
                    // What a body has to be may be said before whose run it is.
                    path if path.starts_with("/api/executions/") => &[400, 403, 404],
                    // A page for people.
                    path if path.starts_with("/link/") => &[403, 404, 410],
                    _ => &[403, 404],
                };
                let is_search = probe.path.contains("/search");
                assert!(is_search || may_be.contains(&to_hers.0), "{method} {}: {to_hers:?}", probe.path);
            }
        }
    }
    assert!(probes >= 25, "{probes}");
    // Nothing of hers has changed by it, and to her it is all there.
    let all = events(&ann, &hers["session"]).await;
    assert_eq!((all.len(), &all[0]["content"]), (2, &json!("demolish blue")));
    for path in ["/api/files/{file}", "/command/{request}/invocation/{poll}", "/api/session/{session}/events"] {
        assert_eq!(ann.get(&filled(path, &hers)).await.status, 200, "{path}");
    }
    let action = "/api/session/{session}/messages/{question}/actions/{action}";
    ann.post(&filled(action, &hers), &json!({})).await.expect(201);
    ann.post(&filled("/command/{waits_request}/invocation/{waits}/cancel", &hers), &json!({})).await.expect(200);
}

/// What to send in a frame of this type; none when it takes nothing that is somebody's.
fn frame(kind: &str) -> Option<Option<Vec<Value>>> {
    let one = |frame: Value| Some(Some(vec![frame]));
    match kind {
        "ping" | "presence" => Some(None),
        "message" => Some(Some(vec![
            json!({ "session_id": "{session}", "content": "help" }),
            json!({ "session_id": "{own}", "content": "", "attachments": ["{file}"] }),
        ])),
        "command" => one(json!({ "session_id": "{session}", "command": "help" })),
        "action" => Some(Some(vec![
            json!({ "session_id": "{session}", "message_id": "{question}", "action_id": "{action}" }),
            json!({ "session_id": "{own}", "message_id": "{question}", "action_id": "{action}" }),
        ])),
        "subscribe" => Some(Some(vec![
            json!({ "stream": "conv:{session}" }),
            json!({ "stream": "exec:{run}" }),
            json!({ "stream": "user:{ann}" }),
        ])),
        "unsubscribe" => one(json!({ "stream": "conv:{session}" })),
        "history" => one(json!({ "session_id": "{session}" })),
        "edit" => Some(Some(vec![
            json!({ "session_id": "{session}", "message_id": "{message}", "content": "x" }),
            json!({ "session_id": "{own}", "message_id": "{message}", "content": "x" }),
        ])),
        "delete" => Some(Some(vec![
            json!({ "session_id": "{session}", "message_id": "{message}" }),
            json!({ "session_id": "{own}", "message_id": "{message}" }),
        ])),
        "read" => one(json!({ "session_id": "{session}", "read_seq": 1 })),
        "typing" => one(json!({ "session_id": "{session}" })),
        "received" => one(json!({ "stream": "conv:{session}", "seq": 1 })),
        "auth" => one(json!({ "token": "plr_k_{key}" })),
        "cancel" => Some(Some(vec![
            json!({ "session_id": "{session}", "invocation_id": "{run}" }),
            json!({ "session_id": "{own}", "invocation_id": "{run}" }),
        ])),
        "register" => one(json!({ "bot_id": "{bot}" })),
        "done" => one(json!({ "delivery_id": "{delivery}", "content": "x" })),
        "nack" | "extend" => one(json!({ "delivery_id": "{delivery}" })),
        "chunk" => one(json!({ "delivery_id": "{delivery}", "offset": 0, "delta": "x" })),
        "say" => one(json!({ "delivery_id": "{delivery}", "content": "x" })),
        _ => None,
    }
}

fn is_silent(frame: &Value) -> bool {
    matches!(frame["type"].as_str(), Some("received" | "unsubscribe"))
}

/// Sends a frame and answers what comes back: of one that is answered the answer, of a silent one everything before the
/// answer to a ping.
async fn exchange(socket: &mut Socket, frame: &Value, ids: &Ids) -> String {
    socket.send_text(&filled(&frame.to_string(), ids)).await;
    if !is_silent(frame) {
        let heard = socket.next_or_close().await;
        return anonymous(&heard.unwrap_or_else(|close| json!(format!("{close:?}"))).to_string(), ids);
    }
    socket.send(&json!({ "type": "ping", "timestamp": "end" })).await;
    let mut heard = Vec::new();
    loop {
        match socket.next_or_close().await {
            Ok(frame) if frame["type"] == "pong" => break,
            Ok(frame) => heard.push(frame),
            Err(close) => {
                heard.push(json!(format!("{close:?}")));
                break;
            }
        }
    }
    anonymous(&json!(heard).to_string(), ids)
}

async fn a_frame_tells_nothing_of_others(server: Arc<Server>) {
    let (ann, bob, mut hers, mut nobodys) = world(&server).await;
    // A delivery that a process of hers has.
    let mut process = server.process(&["away"]).await.socket().await;
    process.send(&json!({ "type": "register", "bot_id": "away" })).await;
    process.until("registered").await;
    let away = ann.open("away").await;
    ann.post(&format!("/api/session/{away}/messages"), &json!({ "content": "count to 3" })).await.expect(201);
    let delivery = process.until("deliver").await["delivery_id"].as_str().expect("an id").to_owned();
    hers.insert("delivery", delivery.clone());
    nobodys.insert("delivery", new_id());

    let schema = server.anybody().get("/ws/schema").await.expect(200);
    let branches = schema["$defs"]["client"]["oneOf"].as_array().expect("frames");
    let mut kinds = 0;
    for branch in branches {
        let kind = branch["properties"]["type"]["enum"][0].as_str().or(branch["properties"]["type"]["const"].as_str());
        let kind = kind.unwrap_or_else(|| panic!("a frame without a type: {branch}"));
        kinds += 1;
        let entry = frame(kind).unwrap_or_else(|| panic!("frame {kind} needs an entry in tests/it/two_users.rs"));
        for mut probe in entry.into_iter().flatten() {
            probe["type"] = json!(kind);
            if !matches!(kind, "typing" | "received" | "unsubscribe") {
                probe["id"] = json!("x");
            }
            let (mut to_hers, mut to_nobodys) = (bob.socket().await, bob.socket().await);
            let (heard, expected) =
                (exchange(&mut to_hers, &probe, &hers).await, exchange(&mut to_nobodys, &probe, &nobodys).await);
            assert_eq!(heard, expected, "{probe}");
            assert!(
                is_silent(&probe) || heard.contains("\"error\"") || heard.contains("CloseFrame"),
                "{probe}: {heard}"
            );
        }
    }
    assert!(kinds >= 20, "{kinds}");
    let all = events(&ann, &hers["session"]).await;
    assert_eq!((all.len(), &all[0]["content"]), (2, &json!("demolish blue")));
    process.send(&json!({ "type": "done", "id": "d", "delivery_id": delivery, "content": "1 2 3" })).await;
    process.until("ack").await;
    let action = "/api/session/{session}/messages/{question}/actions/{action}";
    ann.post(&filled(action, &hers), &json!({})).await.expect(201);
    ann.post(&filled("/command/{waits_request}/invocation/{waits}/cancel", &hers), &json!({})).await.expect(200);
}
