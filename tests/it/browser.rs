//! Playbooks that drive a browser, the real one, on a site that the test holds in its hand.

use axum::response::{Html, IntoResponse as _, Response};
use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::peer::{Heard, Peer};
use crate::support::server::{Client, Kind, Server};

const FORM: &str = r#"<!doctype html><title>Sign up</title>
<form onsubmit="event.preventDefault(); setTimeout(() => { greeting.textContent = 'Hello ' + who.value; greeting.hidden = false }, 200)">
<label>Name <input id=who></label><button id=go disabled>Go</button></form>
<p id=greeting data-kind=welcome hidden></p>
<script>who.addEventListener('input', () => go.disabled = false)</script>"#;

fn site(heard: &Heard, _: usize) -> Response {
    match heard.path.as_str() {
        "/" => Html(FORM).into_response(),
        "/out" => (axum::http::StatusCode::FOUND, [("location", "http://169.254.169.254/latest/")]).into_response(),
        _ => (axum::http::StatusCode::NOT_FOUND, Html("<title>None</title>")).into_response(),
    }
}

async fn server(reaches_us: bool) -> Server {
    Server::start_with(Kind::Sqlite, move |config| {
        // The suite may run as root, where Chromium has no sandbox.
        config.browser.sandbox = false;
        if reaches_us {
            config.fetch.allow_private = vec!["127.0.0.0/8".parse().unwrap()];
        }
    })
    .await
}

/// Runs a playbook to its end.
async fn run(program: &Client, path: &str, url: &str) -> Value {
    let request = json!({ "playbook_path": path, "parameters": { "url": url } });
    let id = program.post("/api/executions", &request).await.expect(200)["execution_id"].clone();
    let id = id.as_str().unwrap().to_owned();
    let mut socket = program.watch_runs(Some(0)).await;
    loop {
        let frame = socket.next().await;
        let data = &frame["data"];
        let is_over = ["completed", "failed", "cancelled"].iter().any(|status| data["status"] == *status);
        if data["execution_id"] == *id && data["step_result"].is_null() && is_over {
            return program.get(&format!("/api/executions/{id}")).await.expect(200);
        }
    }
}

/// The processes of Chromium whose profile lies in the folder of a server.
fn processes(server: &Server) -> usize {
    let profiles = server.data().join("browsers").display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&profiles))
    })
    .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_fills_in_a_form() {
    let (site, server) = (Peer::start(site).await, server(true).await);
    let run = run(&server.program(Role::Admin).await, "site/sign_up.yaml", &site.url).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let of = |id: &str| run["step_results"].as_array().unwrap().iter().find(|step| step["step_id"] == id).unwrap();
    assert_eq!(of("open")["output"]["title"], "Sign up", "{run:#}");
    assert_eq!(of("open")["output"]["status"], 200);
    assert_eq!(of("read")["output"]["text"], "Hello Ann");
    // It ends with its run, not with the server; a killed process is gone a moment later.
    while processes(&server) > 0 {
        tokio::task::yield_now().await;
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_reaches_what_the_settings_allow() {
    let site = Peer::start(site).await;
    // The address itself, and one that a page leads to.
    for (reaches_us, path) in [(false, "/"), (true, "/out")] {
        let server = server(reaches_us).await;
        let url = format!("{}{path}", site.url);
        let run = run(&server.program(Role::Admin).await, "site/sign_up.yaml", &url).await;
        assert_eq!(run["status"], "failed", "{run:#}");
        let said = run.to_string();
        assert!(said.contains("not on the public internet"), "{run:#}");
        server.finish().await;
    }
    assert!(site.heard().iter().all(|heard| heard.path != "/"), "nothing was asked for");
}
