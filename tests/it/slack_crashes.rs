//! The process dies at every named place between Slack and its answer: nothing is lost, and nothing is said twice.

use std::path::Path;

use parlour::crash_point::OUTSIDE;
use serde_json::Value;

use crate::support::postgres;
use crate::support::process::Process;
use crate::support::slack::{ANN, BOT, Mode, Screen, Workspace, free_port};

fn start(data: &Path, database: Option<&str>, workspace: &Workspace, point: Option<&str>) -> Process {
    let api = format!("{}/api", workspace.url);
    let mut environment = vec![
        ("PARLOUR_SLACK__API_URL", api.as_str()),
        ("PARLOUR_SLACK__BOT_TOKEN", "xoxb-test"),
        ("PARLOUR_SLACK__APP_TOKEN", "xapp-test"),
        ("PARLOUR_OUTSIDE__GUEST_ROLE", "user"),
    ];
    environment.extend(point.map(|point| ("PARLOUR_CRASH_POINT", point)));
    Process::start_with(data, database, &environment).expect("it starts")
}

async fn is_connected(screen: &mut Screen) {
    screen.until(|frame| frame["t"] == "socket_status" && frame["connected"] == true).await;
}

async fn dies_at(data: &Path, database: Option<&str>, points: &[&str]) {
    let workspace = Workspace::start(free_port(), &Mode::Socket);
    let mut screen = workspace.screen().await;
    for point in points {
        let (first, last) = (point.replace('.', "-"), format!("{}-after", point.replace('.', "-")));
        let mut dying = start(data, database, &workspace, Some(&format!("{point}:1")));
        is_connected(&mut screen).await;
        workspace.say(ANN, ANN, None, &format!("greet {first}")).await;
        assert!(!dying.ended().success(), "{point} ends the process");
        let mut process = start(data, database, &workspace, None);
        is_connected(&mut screen).await;
        // What goes to one channel goes in its order: when the second answer stands there, the first is settled.
        workspace.say(ANN, ANN, None, &format!("greet {last}")).await;
        let answer = screen.told(&format!("Hello {last}")).await;
        let all = workspace.messages(answer["channel"].as_str().unwrap()).await;
        let told = |name: &str| {
            let text = format!("Hello {name},");
            all.iter().filter(|message| message["user"] == BOT && is_text(message, &text)).count()
        };
        assert_eq!((told(&first), told(&last)), (1, 1), "{point}: {all:?}");
        // Not killed: a delivery that is not known to have arrived would meet the next point before anything is said.
        process.stop();
    }
}

fn is_text(message: &Value, text: &str) -> bool {
    message["text"].as_str().is_some_and(|said| said.contains(text))
}

#[tokio::test]
async fn sqlite_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    dies_at(folder.path(), None, &OUTSIDE).await;
}

#[tokio::test]
async fn postgres_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::Database::create().await;
    // What another server may be at is left to it until its lease lapses, which takes its time: two places stand for all.
    dies_at(folder.path(), Some(&database.url), &["inbox.acted", "outbox.delivered"]).await;
}
