//! Playbooks that drive a browser, the real one, on a site that the test holds in its hand.

use std::path::Path;
use std::time::Duration;

use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::peer::{Heard, Peer};
use crate::support::process::{Process, key};
use crate::support::server::{Client, Kind, Server};

const FORM: &str = r#"<!doctype html><title>Sign up</title>
<form onsubmit="event.preventDefault(); alert('Sent'); setTimeout(() => { greeting.textContent = 'Hello ' + who.value; greeting.hidden = false }, 200)">
<label>Name <input id=who></label><button id=go disabled>Go</button></form>
<p id=greeting data-kind=welcome hidden></p>
<script>who.addEventListener('input', () => go.disabled = false)</script>"#;

const FILES: &str = r#"<!doctype html><title>Files</title><input type=file id=file><p id=given>none</p>
<div style="height: 2000px; background: linear-gradient(red, blue)"></div>
<script>file.addEventListener('change', () => given.textContent = [...file.files].map(f => f.name + ' ' + f.size).join())</script>"#;

const BUTTON: &str = r#"<!doctype html><title>Button</title><p id=clicked hidden>clicked</p>
<button style="position: fixed; left: 0; top: 0; width: 400px; height: 200px" onclick="clicked.hidden = false">Go on</button>"#;

fn site(heard: &Heard, _: usize) -> Response {
    match heard.path.as_str() {
        "/" => Html(FORM).into_response(),
        "/files" => Html(FILES).into_response(),
        "/button" => Html(BUTTON).into_response(),
        _ => (axum::http::StatusCode::NOT_FOUND, Html("<title>None</title>")).into_response(),
    }
}

async fn server(kind: Kind, reached: &'static str) -> Server {
    Server::start_with(kind, move |config| {
        // The suite may run as root, where Chromium has no sandbox.
        config.browser.sandbox = false;
        if !reached.is_empty() {
            config.fetch.allow_private = vec![reached.parse().unwrap()];
        }
    })
    .await
}

async fn start(program: &Client, path: &str, url: &str) -> String {
    let request = json!({ "playbook_path": path, "parameters": { "url": url } });
    program.post("/api/executions", &request).await.expect(200)["execution_id"].as_str().unwrap().to_owned()
}

/// Waits until a run has ended.
async fn ended(program: &Client, id: &str) -> Value {
    let mut socket = program.watch_updates().await;
    loop {
        let frame = socket.next().await;
        let data = &frame["data"];
        let is_over = ["completed", "failed", "cancelled"].iter().any(|status| data["status"] == *status);
        if data["execution_id"] == *id && data["step_result"].is_null() && is_over {
            return program.get(&format!("/api/executions/{id}")).await.expect(200);
        }
    }
}

async fn run(program: &Client, path: &str, url: &str) -> Value {
    ended(program, &start(program, path, url).await).await
}

fn step<'a>(run: &'a Value, id: &str) -> &'a Value {
    let steps = run["step_results"].as_array().unwrap();
    steps.iter().find(|step| step["step_id"] == id).unwrap_or_else(|| panic!("{id} in {run:#}"))
}

/// The processes of Chromium whose profile lies in the folder of a server.
fn processes(data: &Path) -> usize {
    let profiles = data.join("browsers").display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&profiles))
    })
    .count()
}

/// Waits until the browsers of a server are gone. Nobody tells of the end of somebody else's processes.
async fn gone(data: &Path) {
    let looks = async {
        while processes(data) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looks).await.expect("no Chromium is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_fills_in_a_form() {
    let (site, server) = (Peer::start(site).await, server(Kind::Sqlite, "127.0.0.0/8").await);
    let run = run(&server.program(Role::User).await, "site/sign_up.yaml", &site.url).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(step(&run, "open")["output"]["title"], "Sign up", "{run:#}");
    assert_eq!(step(&run, "open")["output"]["status"], 200);
    assert_eq!(step(&run, "read")["output"]["text"], "Hello Ann");
    assert_eq!(run["artifacts"], json!([]), "nothing failed, and no picture was asked for");
    // It ends with its run, not with the server.
    gone(&server.data()).await;
    server.finish().await;
}

/// What is inside is asked for in every way that a page has, and by a redirect; only the site itself is reached.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_reaches_what_the_settings_allow() {
    let inside =
        Peer::start_on("127.0.0.2:0", |_, _| ([("access-control-allow-origin", "*")], "secret").into_response());
    let inside = inside.await;
    let port = inside.url.rsplit(':').next().unwrap().to_owned();
    let (within, of_page) = (inside.url.clone(), port.clone());
    let page = Peer::start(move |heard, _| match heard.path.as_str() {
        "/out" => (axum::http::StatusCode::FOUND, [("location", within.clone())]).into_response(),
        _ => Html(format!(
            r#"<!doctype html><title>In</title><iframe src="{within}/frame"></iframe><p id=all hidden></p><script>
            const told = [];
            const tell = (what, how) => {{ told.push(what + ' ' + how); if (told.length === 4) {{ all.textContent = told.sort().join(); all.hidden = false; }} }};
            const picture = new Image(); picture.onload = picture.onerror = e => tell('image', e.type === 'error' ? 'refused' : 'reached'); picture.src = '{within}/image';
            fetch('{within}/fetch').then(() => tell('fetch', 'reached'), () => tell('fetch', 'refused'));
            fetch('http://2130706434:{of_page}/odd').then(() => tell('odd', 'reached'), () => tell('odd', 'refused'));
            const socket = new WebSocket('ws://127.0.0.2:{of_page}/socket'); socket.onerror = () => tell('socket', 'refused'); socket.onopen = () => tell('socket', 'reached');
            </script>"#
        ))
        .into_response(),
    })
    .await;
    let server = server(Kind::Sqlite, "127.0.0.1/32").await;
    let program = server.program(Role::User).await;
    for url in [inside.url.clone(), format!("{}/out", page.url), format!("http://localhost.:{port}/")] {
        let run = run(&program, "site/inside.yaml", &url).await;
        assert_eq!(run["status"], "failed", "{run:#}");
        if !url.contains("localhost") {
            assert!(run["error"].as_str().unwrap().contains("not on the public internet"), "{run:#}");
        }
    }
    let asked = run(&program, "site/inside.yaml", &page.url).await;
    assert_eq!(asked["status"], "completed", "{asked:#}");
    let says = &step(&asked, "says")["output"]["text"];
    assert_eq!(says, "fetch refused,image refused,odd refused,socket refused", "{asked:#}");
    assert!(inside.heard().is_empty(), "{:?}", inside.heard());
    for url in ["file:///etc/passwd", "chrome://version", "data:text/html,x"] {
        let refused = run(&program, "site/inside.yaml", url).await;
        assert!(refused["error"].as_str().unwrap().contains("only http: and https:"), "{refused:#}");
    }
    server.finish().await;
}

async fn a_run_leaves_pictures(kind: Kind) {
    let (site, server) = (Peer::start(site).await, server(kind, "127.0.0.0/8").await);
    let program = server.program(Role::User).await;
    let run = run(&program, "site/pictures.yaml", &format!("{}/files", site.url)).await;
    let id = run["execution_id"].as_str().unwrap();
    assert_eq!(run["status"], "failed", "{run:#}");
    assert!(run["error"].as_str().unwrap().contains("which does not contain \"nothing\""), "{run:#}");
    let shot = &step(&run, "shot")["output"];
    assert_eq!((&shot["name"], &shot["media_type"]), (&json!("before-after.png"), &json!("image/png")), "{run:#}");
    assert_eq!(step(&run, "given")["output"]["text"], format!("before-after.png {}", shot["size"]));
    assert!(step(&run, "path")["error"].as_str().unwrap().contains("a path of the server is not read"), "{run:#}");

    // The picture that was asked for, and of the step that failed the picture and the page.
    let list = program.get(&format!("/api/executions/{id}/artifacts")).await.expect(200)["artifacts"].clone();
    assert_eq!(run["artifacts"], list);
    // The clock of the test stands still, so they were all made at the same moment.
    let mut names: Vec<(&str, &str)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|artifact| (artifact["step_id"].as_str().unwrap(), artifact["name"].as_str().unwrap()))
        .collect();
    names.sort_unstable();
    let expected = [("shot", "before-after.png"), ("wrong", "failure.html"), ("wrong", "failure.png")];
    assert_eq!(names, expected, "wrong parameters have no picture: {list:#}");
    let url = shot["url"].as_str().unwrap();
    let picture = program.request(reqwest::Method::GET, url).send().await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/png");
    let bytes = picture.bytes().await.unwrap();
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() as u64 == shot["size"].as_u64().unwrap());
    // The whole page, not what fits: the height stands in its header.
    assert!(u32::from_be_bytes(bytes[20..24].try_into().unwrap()) > 2000);
    let page = list.as_array().unwrap().iter().find(|artifact| artifact["name"] == "failure.html").unwrap();
    let page = program.request(reqwest::Method::GET, page["url"].as_str().unwrap()).send().await.unwrap();
    assert!(page.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"), "never shown");
    assert!(page.text().await.unwrap().contains("linear-gradient"));

    // Nobody else has them, and they go with the run.
    let other = server.program(Role::User).await;
    assert_eq!(other.get(url).await.status, 404);
    assert_eq!(other.get(&format!("/api/executions/{id}/artifacts")).await.status, 404);
    let deleted = program.delete(&format!("/api/executions/{id}")).await.expect(200);
    assert_eq!(deleted["screenshots_deleted"], 3);
    assert_eq!(program.get(url).await.status, 404);
    let shelf = server.data().join("files").join(&url.rsplit('/').next().unwrap()[2..4]);
    assert_eq!(std::fs::read_dir(shelf).unwrap().count(), 0, "the bytes as well");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_pictures_on_sqlite() {
    a_run_leaves_pictures(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_pictures_on_postgres() {
    a_run_leaves_pictures(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_have_their_limits_and_their_time() {
    let site = Peer::start(site).await;
    let server = Server::start_with(Kind::Sqlite, |config| {
        config.browser.sandbox = false;
        config.fetch.allow_private = vec!["127.0.0.0/8".parse().unwrap()];
        config.artifacts.max_size = 100;
    })
    .await;
    let program = server.program(Role::User).await;
    let run = run(&program, "site/pictures.yaml", &format!("{}/files", site.url)).await;
    assert!(step(&run, "shot")["error"].as_str().unwrap().contains("(setting artifacts.max_size)"), "{run:#}");
    assert_eq!(run["artifacts"], json!([]));
    let kept = parlour::store::artifact::Artifact {
        file: parlour::model::file::File {
            id: "f_1".into(),
            name: "x".into(),
            media_type: "image/png".into(),
            size: 1,
        },
        execution: run["execution_id"].as_str().unwrap().to_owned(),
        step: "shot".into(),
        sha256: String::new(),
        created_at: 1,
    };
    server.store().add_artifact(kept.clone(), 1).await.unwrap();
    let refused = server.store().add_artifact(kept, 1).await.unwrap_err();
    assert_eq!(refused.code, "TOO_MANY_ARTIFACTS");
    assert_eq!(server.engine().clear_artifacts(|| true).await.unwrap(), 1, "it is old");
    assert_eq!(server.engine().clear_artifacts(|| true).await.unwrap(), 0);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_watches_a_browser_and_clicks_into_it() {
    let (site, server) = (Peer::start(site).await, server(Kind::Sqlite, "127.0.0.0/8").await);
    let program = server.program(Role::User).await;
    let mut other = server.program(Role::User).await.watch_runs(None).await;
    let id = start(&program, "site/held.yaml", &format!("{}/button", site.url)).await;
    // Whoever comes later sees the page as well.
    let mut socket = program.watch_runs(None).await;
    let frame = socket.until("screenshot_frame").await;
    assert_eq!(frame["data"]["execution_id"], *id);
    assert!(frame["data"]["timestamp"].is_i64() && frame["seq"].is_null(), "{}", frame["data"]["timestamp"]);
    let png = frame["data"]["frame"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
    let png = base64::engine::general_purpose::STANDARD.decode(png).unwrap();
    let pixels = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((pixels(16), pixels(20)), (1280, 800), "a place in a frame is a place in the page");
    other.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    assert_eq!(other.next().await["type"], "pong", "others see nothing of it");
    drop(socket);
    // Nobody looks any more: no frame is made.
    let looked = |count: usize| {
        let screens = server.engine().browsers().unwrap().screens().all();
        screens.borrow().values().next().is_some_and(|screen| screen.viewers() == count)
    };
    while !looked(0) {
        tokio::task::yield_now().await;
    }
    // The button may not be there yet when the first frame is; whoever clicks sees whether it was taken.
    let click = format!("/api/executions/{id}/browser/click");
    let stranger = server.program(Role::User).await;
    assert_eq!(stranger.post(&click, &json!({ "x": 10, "y": 10 })).await.status, 404);
    assert_eq!(program.post(&click, &json!({ "x": 5000, "y": 10 })).await.status, 400);
    let mut updates = program.watch_updates().await;
    loop {
        let run = program.get(&format!("/api/executions/{id}")).await.expect(200);
        if step(&run, "clicked")["status"] == "running" {
            break;
        }
        updates.next().await;
    }
    assert_eq!(program.post(&click, &json!({ "x": 200, "y": 100 })).await.expect(200)["message"], "Clicked");
    let run = ended(&program, &id).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(program.post(&click, &json!({ "x": 10, "y": 10 })).await.status, 409, "its browser is gone");
    let filter = parlour::store::audit::Filter { action: Some("browser.click".into()), ..Default::default() };
    let deeds = server.store().audit(&filter, 10).await.unwrap();
    assert!(deeds.iter().any(|deed| deed.target.as_deref() == Some(&id) && deed.details.contains("200")), "{deeds:?}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_chromium_a_step_says_what_is_missing() {
    let server = Server::start_with(Kind::Sqlite, |config| {
        config.browser.program = "/nowhere/chromium".into();
    })
    .await;
    let run = run(&server.program(Role::User).await, "site/held.yaml", "https://example.com/").await;
    assert_eq!(run["status"], "failed");
    assert!(run["error"].as_str().unwrap().contains("there is no Chromium here"), "{run:#}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_browser_outlives_a_server_that_is_killed() {
    let (site, folder) = (Peer::start(site).await, tempfile::tempdir().unwrap());
    let environment = [
        ("PARLOUR_PLAYBOOKS", "[\"tests/fixtures/playbooks\"]"),
        ("PARLOUR_FETCH__ALLOW_PRIVATE", "[\"127.0.0.0/8\"]"),
        ("PARLOUR_BROWSER__SANDBOX", "false"),
    ];
    let mut process = Process::start_with(folder.path(), None, &environment).expect("it starts");
    let key = key(folder.path(), None);
    let program = Client::with_key(&process.url, &key);
    let mut socket = program.watch_runs(None).await;
    start(&program, "site/held.yaml", &format!("{}/button", site.url)).await;
    socket.until("screenshot_frame").await;
    assert!(processes(folder.path()) > 1, "the browser runs");
    process.kill();
    gone(folder.path()).await;
    // What is left of its profile goes at the next start.
    let profiles = || std::fs::read_dir(folder.path().join("browsers")).map_or(0, Iterator::count);
    assert!(profiles() > 0);
    let mut process = Process::start_with(folder.path(), None, &environment).expect("it starts again");
    // The run goes on with its step, which finds no page, and may have begun another browser by then: not the old one.
    process.stop();
    assert_eq!(profiles(), 0);
    gone(folder.path()).await;
}
