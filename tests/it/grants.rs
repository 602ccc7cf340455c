//! Rights as rows: given, taken away, explained, heard of by other servers.

use std::sync::Arc;

use parlour::identity::grants::GrantWish;
use parlour::model::grant::Effect;
use parlour::model::principal::Role;
use parlour::store::audit::Doer;
use serde_json::{Value, json};

use crate::support::server::{Client, Kind, Server, on_both_databases};

on_both_databases!(
    a_grant_opens_a_command_with_its_bot_and_closes_it_again,
    deny_wins_over_groups_and_roles,
    a_grant_may_look_at_arguments,
    a_wrong_grant_is_told,
    a_narrowed_key_does_what_its_scopes_say,
);

fn grant(effect: &str, subject: &str, verb: &str, kind: &str, name: &str) -> Value {
    json!({ "effect": effect, "subject": subject, "verbs": [verb], "kind": kind, "name": name })
}

async fn give(admin: &Client, grant: &Value) -> String {
    admin.post("/api/grants", grant).await.expect(201)["id"].as_str().expect("an id").to_owned()
}

async fn bots(client: &Client) -> Vec<String> {
    let list = client.get("/api/bots").await.expect(200);
    list.as_array().expect("bots").iter().map(|bot| bot["id"].as_str().unwrap().to_owned()).collect()
}

async fn runs(client: &Client, command: &str, parameters: Value) -> (u16, String) {
    let body = json!({ "command": command, "automation": { "name": "shop" }, "parameters": parameters });
    let answer = client.post("/command?invoke=true", &body).await;
    let (status, body) = (answer.status.as_u16(), answer.json());
    (status, body["error"]["message"].as_str().unwrap_or_default().to_owned())
}

fn web(environment: &str) -> Value {
    json!([{ "name": "service", "value": "web" }, { "name": "environment", "value": environment }])
}

async fn a_grant_opens_a_command_with_its_bot_and_closes_it_again(server: Arc<Server>) {
    let (admin, ann) = (server.browser().await, server.program_in(Role::User, &["dev"]).await);
    assert!(!bots(&ann).await.contains(&"shop".to_owned()));
    assert_eq!(runs(&ann, "deploy", web("staging")).await.0, 404, "what may not be seen does not exist");
    assert_eq!(ann.post("/api/session/create", &json!({ "bot_id": "shop" })).await.error(404), "NOT_FOUND");

    let id = give(&admin, &grant("allow", "group:dev", "invoke", "command", "shop/deploy")).await;
    assert!(bots(&ann).await.contains(&"shop".to_owned()));
    assert_eq!(runs(&ann, "deploy", web("staging")).await.0, 200);
    assert_eq!(runs(&ann, "whoami", json!([])).await.0, 403, "only that command");
    let session = ann.open("shop").await;
    let help = ann.say(&session, "help").await.to_string();
    assert!(help.contains("deploy {service}") && !help.contains("who am i"), "{help}");
    let said = ann.say(&session, "deploy web to staging").await;
    assert_eq!(said["content"], "web goes to staging");
    let why = ann.say(&session, "why").await.to_string();
    assert!(why.contains(&id) && why.contains("You may run it"), "{why}");
    let listed = ann.get("/api/bots/shop").await.expect(200).to_string();
    assert!(listed.contains("deploy") && !listed.contains("whoami"), "{listed}");
    let me = ann.get("/api/session").await.expect(200)["user_id"].as_str().unwrap().to_owned();
    let path = format!("/api/authz/explain?bot=shop&command=deploy&principal={me}");
    let explained = admin.get(&path).await.expect(200);
    assert_eq!(
        (&explained["allowed"], explained["rule"].as_str().unwrap()),
        (&json!(true), format!("grant {id} allows invoke:command:shop/deploy to group:dev").as_str())
    );

    let list = admin.get("/api/grants").await.expect(200);
    assert_eq!((&list["grants"][0]["id"], &list["grants"][0]["created_by"]), (&json!(id), &json!("Admin")));
    let path = format!("/api/grants/{id}");
    assert_eq!(ann.delete(&path).await.error(403), "FORBIDDEN");
    assert_eq!(ann.get("/api/grants").await.error(403), "FORBIDDEN");
    admin.delete(&path).await.expect(200);
    assert_eq!(admin.delete(&path).await.error(404), "NOT_FOUND");
    assert_eq!(runs(&ann, "deploy", web("staging")).await.0, 404);
    // Of the conversation what was said stays, and nothing more is.
    ann.get(&format!("/api/session/{session}/events")).await.expect(200);
    let more = ann.post(&format!("/api/session/{session}/messages"), &json!({ "content": "help" })).await;
    assert_eq!(more.error(403), "FORBIDDEN");
    let rows = admin.get("/api/admin/audit?action=grant.delete").await.expect(200);
    assert_eq!(rows["entries"].as_array().map(Vec::len), Some(1), "{rows}");
}

async fn deny_wins_over_groups_and_roles(server: Arc<Server>) {
    let (admin, ann) = (server.browser().await, server.program_in(Role::User, &["support"]).await);
    assert_eq!(runs(&ann, "deploy", web("prod")).await.0, 200);
    let mut no = grant("deny", "role:user", "invoke", "command", "shop/*");
    no["note"] = json!("freeze");
    let id = give(&admin, &no).await;
    let (status, message) = runs(&ann, "deploy", web("prod")).await;
    assert_eq!(status, 403);
    assert!(message.contains(&id) && message.contains("(freeze)"), "{message}");
    let session = ann.open("shop").await;
    let refused = ann.say(&session, "deploy web to prod").await;
    assert!(refused["content"].as_str().unwrap().contains("freeze"), "{refused}");
    let complete = ann.get("/api/bots/shop/complete?text=dep").await;
    assert!(!complete.text.contains("deploy {"), "{}", complete.text);
    // Whatever allows it.
    give(&admin, &grant("allow", "group:support", "invoke", "command", "*")).await;
    assert_eq!(runs(&ann, "deploy", web("prod")).await.0, 403);
    assert_eq!(runs(&admin, "deploy", web("prod")).await.0, 403, "who signed in here has role user, too");
    admin.delete(&format!("/api/grants/{id}")).await.expect(200);
    assert_eq!(runs(&ann, "deploy", web("prod")).await.0, 200);
}

async fn a_grant_may_look_at_arguments(server: Arc<Server>) {
    let (admin, ann) = (server.browser().await, server.program_in(Role::User, &["dev"]).await);
    let mut only = grant("allow", "group:dev", "invoke", "command", "shop/deploy");
    only["when"] = json!({ "environment": ["staging"] });
    let id = give(&admin, &only).await;
    assert_eq!(runs(&ann, "deploy", web("staging")).await.0, 200);
    let (status, message) = runs(&ann, "deploy", web("prod")).await;
    assert_eq!(status, 403);
    assert!(message.contains(&id) && message.contains("environment=staging"), "{message}");
    let explain = |argument: &str| format!("/api/authz/explain?bot=shop&command=deploy&arg.environment={argument}");
    assert_eq!(ann.get(&explain("staging")).await.expect(200)["allowed"], true);
    assert_eq!(ann.get(&explain("prod")).await.expect(200)["allowed"], false);
}

async fn a_wrong_grant_is_told(server: Arc<Server>) {
    let admin = server.browser().await;
    for (field, key, wrong) in [
        ("effect", "effect", json!("maybe")),
        ("subject", "subject", json!("ann")),
        ("subject", "subject", json!("role:root")),
        ("verbs", "verbs", json!(["run"])),
        ("kind", "kind", json!("cmd")),
        ("name", "name", json!("")),
        ("when", "when", json!({ "a": [] })),
        ("when", "when", json!({ "a": ["b|c"] })),
        ("note", "note", json!("two\nlines")),
    ] {
        let mut body = grant("allow", "user:ann", "invoke", "command", "shop/deploy");
        body[key] = wrong;
        let refused = admin.post("/api/grants", &body).await.expect(400);
        assert_eq!(refused["error"]["details"]["field"], field, "{refused}");
    }
    assert_eq!(admin.get("/api/grants").await.expect(200)["grants"], json!([]));
}

async fn a_narrowed_key_does_what_its_scopes_say(server: Arc<Server>) {
    let admin = server.browser().await;
    let wish = json!({ "name": "ci", "role": "admin",
        "scopes": ["invoke:command:shop/deploy?environment=staging", "view:bot:hello"] });
    let made = admin.post("/api/keys", &wish).await.expect(201);
    assert_eq!(made["scopes"], wish["scopes"]);
    let key = server.anybody().with("x-api-key", made["token"].as_str().unwrap());
    assert_eq!(runs(&key, "deploy", web("staging")).await.0, 200);
    let (status, message) = runs(&key, "deploy", web("prod")).await;
    assert_eq!(status, 403);
    assert!(message.contains("the key is only for invoke:command:shop/deploy"), "{message}");
    assert_eq!(runs(&key, "whoami", json!([])).await.0, 403);
    for path in ["/api/grants", "/api/admin/audit", "/api/admin/bots"] {
        assert_eq!(key.get(path).await.error(403), "FORBIDDEN", "{path}");
    }
    assert_eq!(bots(&key).await, ["hello", "shop"]);
    assert_eq!(key.post("/api/session/create", &json!({ "bot_id": "hello" })).await.error(403), "FORBIDDEN");
    assert_eq!(key.post("/api/keys", &json!({ "name": "k", "role": "user" })).await.error(403), "FORBIDDEN");
    for wrong in ["deploy", "run:command:x", "invoke:cmd:x"] {
        let refused = admin.post("/api/keys", &json!({ "name": "k", "role": "user", "scopes": [wrong] })).await;
        assert_eq!(refused.expect(400)["error"]["details"]["field"], "scopes");
    }
}

/// What another server, or the command line, gives counts here within a second or two.
async fn heard_of_elsewhere(kind: Kind) {
    let server = Server::start(kind).await;
    let ann = server.program_in(Role::User, &["dev"]).await;
    let wish = GrantWish {
        effect: Effect::Allow,
        subject: "group:dev".parse().unwrap(),
        reach: "invoke:command:shop/deploy".parse().unwrap(),
        note: String::new(),
    };
    match kind {
        Kind::Postgres => {
            let beside = server.beside().await;
            beside.identity().give(wish, Doer::default()).await.unwrap();
            wait_for(&ann, 200).await;
            let id = beside.identity().grants().await.unwrap().remove(0).id;
            beside.identity().take_back(&id, Doer::default()).await.unwrap();
            wait_for(&ann, 404).await;
            beside.finish().await;
        }
        Kind::Sqlite => {
            let data = server.data().display().to_string();
            let parlour = |arguments: &[&str]| {
                let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_parlour"));
                let done = command.args(arguments).args(["--data", &data]).output().expect("it runs");
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
                assert!(done.status.success(), "{}", text(done.stderr));
                text(done.stdout)
            };
            let to = ["grant", "add", "--to", "group:dev", "--allow", "invoke:command:shop/deploy"];
            let id = parlour(&[&to[..], &["--when", "environment=staging", "--note", "for now"]].concat());
            wait_for(&ann, 200).await;
            assert_eq!(runs(&ann, "deploy", web("prod")).await.0, 403);
            let list = parlour(&["grant", "list"]);
            assert!(list.contains("invoke:command:shop/deploy?environment=staging") && list.contains("for now"));
            parlour(&["grant", "remove", id.trim()]);
            wait_for(&ann, 404).await;
        }
    }
    server.finish().await;
}

async fn wait_for(client: &Client, status: u16) {
    let came = async { while runs(client, "deploy", web("staging")).await.0 != status {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), came).await.expect("it is heard of");
}

#[tokio::test]
async fn what_the_command_line_gives_counts_in_a_running_server() {
    heard_of_elsewhere(Kind::Sqlite).await;
}

#[tokio::test]
async fn what_another_server_gives_counts_here() {
    heard_of_elsewhere(Kind::Postgres).await;
}
