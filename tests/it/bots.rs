//! Bots as folders: read, reloaded, refused.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::server::{Client, Server, on_both_databases};

on_both_databases!(a_change_is_live_and_a_fault_keeps_the_last_good_version, what_is_typed_is_completed);

/// Says something until the answer is as expected: the files are watched, and nothing tells when they were read.
async fn until(client: &Client, path: &str, expected: impl Fn(&Value) -> bool) -> Value {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let answer = client.get(path).await.expect(200);
        if expected(&answer) {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "the change never came: {answer}");
        tokio::task::yield_now().await;
    }
}

fn manifest(reply: &str) -> String {
    format!(
        "apiVersion: bot/v1\nname: news\ndescription: News\ncommands:\n  - name: latest\n    description: The latest\n    \
         intent: what is new\n    examples: [what is new]\n    reply: {reply}\n"
    )
}

async fn a_change_is_live_and_a_fault_keeps_the_last_good_version(server: Arc<Server>) {
    let admin = server.browser().await;
    let folder = server.bots.join("news");
    let file = folder.join("bot.yaml");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&file, manifest("first")).unwrap();
    let has = |status: &'static str| {
        move |report: &Value| {
            report["bots"].as_array().unwrap().iter().any(|bot| bot["id"] == "news" && bot["status"] == status)
        }
    };
    until(&admin, "/api/admin/bots", has("online")).await;
    let session = admin.open("news").await;
    assert_eq!(admin.say(&session, "what is new").await["content"], "first");

    let hello = server.program(Role::User).await;
    let other = hello.open("hello").await;
    let bomb = {
        let mut text = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
        for (this, last) in "bcdefghij".chars().zip("abcdefghi".chars()) {
            text.push_str(&format!("{this}: &{this} [{}]\n", vec![format!("*{last}"); 10].join(",")));
        }
        text
    };
    let endless = manifest("x").replace(
        "    examples",
        "    parameters: {p: {type: string, required: false, pattern: \"(a{1000}){1000}\"}}\n    examples",
    );
    let typing = manifest("x").replace("description: The latest", "descripton: The latest");
    let cases = [
        (typing, "bot.yaml:6:5"),
        (bomb, "bot.yaml:"),
        (endless, "bot.yaml:8:"),
        (manifest("\"{{> self}}\""), "self.hbs:1:5 the template includes itself"),
        (manifest("replies/self.hbs"), "self.hbs"),
        (manifest("\"{{parameters.nothing}}\""), "bot.yaml:9:"),
        ("x".repeat(1024 * 1024), "bot.yaml"),
        ("{".repeat(50_000), "bot.yaml"),
    ];
    std::fs::create_dir(folder.join("replies")).unwrap();
    std::fs::write(folder.join("replies/self.hbs"), "{{> self}}").unwrap();
    let news = |report: &Value| {
        report["bots"].as_array().unwrap().iter().find(|bot| bot["id"] == "news").cloned().unwrap_or_default()
    };
    let mut version = news(&admin.get("/api/admin/bots").await.expect(200))["version"].clone();
    for (n, (text, place)) in cases.into_iter().enumerate() {
        let good = format!("good {n}");
        std::fs::write(&file, manifest(&good)).unwrap();
        let changed = |report: &Value| has("online")(report) && news(report)["version"] != version;
        version = news(&until(&admin, "/api/admin/bots", changed).await)["version"].clone();
        std::fs::write(&file, &text).unwrap();
        let report = until(&admin, "/api/admin/bots", has("degraded")).await;
        let bot = news(&report);
        assert!(bot["detail"].as_str().unwrap().contains(place), "{place} in {bot}");
        let faults = report["faults"].as_array().unwrap();
        assert!(
            faults.iter().any(|fault| fault["level"] == "error" && fault["line"].as_u64() >= Some(1)),
            "{faults:?}"
        );
        // The last good version serves, and nobody else notices.
        assert_eq!(admin.say(&session, "what is new").await["content"], good);
        assert!(hello.say(&other, "greet Ann").await["content"].as_str().unwrap().contains("Ann"));
        let listed = admin.get("/api/bots/news").await.expect(200);
        assert_eq!((listed["status"].as_str(), listed["status_detail"].is_string()), (Some("degraded"), true));
    }
    std::fs::remove_dir_all(&folder).unwrap();
    until(&admin, "/api/admin/bots", |report| !has("online")(report) && !has("degraded")(report)).await;
    assert_eq!(admin.get("/api/bots/news").await.error(404), "NOT_FOUND");
}

async fn what_is_typed_is_completed(server: Arc<Server>) {
    let program = server.program_in(Role::User, &["support"]).await;
    let complete = async |text: &str| {
        let query: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        program.get(&format!("/api/bots/shop/completions?text={query}")).await.expect(200)
    };
    let answer = complete("dep").await;
    let first = &answer["completions"][0];
    assert_eq!((first["command"].as_str(), first["insert"].as_str()), (Some("deploy"), Some("deploy ")));
    assert_eq!(first["tokens"][0], json!({ "kind": "literal", "text": "deploy", "done": true, "next": false }));
    let answer = complete("deploy web to ").await;
    assert_eq!(answer["completions"][0]["slot"]["values"], json!(["staging", "prod"]));
    assert_eq!(answer["understood"]["missing"], json!([]), "the environment has a default: {answer}");
    let answer = complete("deploy").await;
    assert_eq!(answer["understood"]["missing"], json!(["service"]));
    // Nobody is offered what they may not run.
    let answer = complete("rel").await;
    assert!(!answer.to_string().contains("release"), "{answer}");
    assert!(complete("").await["completions"].as_array().unwrap().len() >= 3);
    assert_eq!(program.get("/api/bots/shop/completions?limit=0").await.error(400), "INVALID_REQUEST");
}
