//! Slack, with a workspace that the tests start: what people do there, and what they see.

use std::sync::Arc;

use parlour::clock::Clock;
use parlour::config::Config;
use parlour::model::secret::Secret;
use serde_json::{Value, json};

use crate::support::server::{Client, Kind, Server};
use crate::support::slack::{ANN, BEA, GENERAL, Mode, SIGNING_SECRET, Screen, TEAM, Workspace, control, free_port};

/// Settings of a server whose Slack is at that address.
pub(crate) fn settings(config: &mut Config, url: &str) {
    config.ws.frames_per_second = 0;
    config.rate_limits.enabled = false;
    config.slack.api_url = format!("{url}/api");
    config.slack.bot_token = Secret::new("xoxb-test");
    config.slack.app_token = Secret::new("xapp-test");
    config.slack.signing_secret = Secret::new(SIGNING_SECRET);
}

/// A server and its workspace, connected by a socket.
async fn connected(kind: Kind) -> (Server, Workspace, Screen) {
    let port = free_port();
    let workspace = Workspace::start(port, &Mode::Socket);
    let mut screen = workspace.screen().await;
    let server = Server::start_with(kind, |config| settings(config, &workspace.url)).await;
    screen.until(|frame| frame["t"] == "socket_status" && frame["connected"] == true).await;
    (server, workspace, screen)
}

/// The path of the link in something that was whispered.
fn link(message: &Value) -> String {
    let text = message.to_string();
    let from = text.split("/link/").nth(1).unwrap_or_else(|| panic!("no link in {text}"));
    let token: String = from.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
    format!("/link/{token}")
}

/// Makes somebody of the workspace the user of that browser; answers the place's thread.
async fn linked(server: &Server, workspace: &Workspace, screen: &mut Screen, user: &str) -> Client {
    let browser = server.browser().await;
    workspace.say(user, GENERAL, None, "<@U0BOT> help").await;
    let asked = screen.told("/link/").await;
    assert_eq!((asked["subtype"].as_str(), asked["ephemeral_to"].as_str()), (Some("ephemeral"), Some(user)));
    let path = link(&asked);
    let page = browser.with("accept", "text/html").get(&path).await;
    assert!(page.status.is_success() && page.text.contains("<strong>Admin</strong>"), "{}", page.text);
    let done = browser.post(&path, &json!({})).await;
    assert!(done.status.is_success(), "{}", done.text);
    screen.told("now acts as").await;
    browser
}

async fn people_become_somebody(kind: Kind) {
    let (server, workspace, mut screen) = connected(kind).await;
    // What people say to each other is nobody's business.
    workspace.say(ANN, GENERAL, None, "lunch anyone?").await;
    let ts = workspace.say(ANN, GENERAL, None, "<@U0BOT> greet Bea").await;
    let asked = screen.told("/link/").await;
    assert_eq!((asked["ephemeral_to"].as_str(), asked["thread_ts"].as_str()), (Some(ANN), Some(ts.as_str())));
    let path = link(&asked);
    // Nobody in particular is asked to sign in, a program is nobody to link, and foreign pages press no buttons.
    assert_eq!(server.anybody().get(&path).await.status.as_u16(), 401);
    assert_eq!(server.anybody().post(&path, &json!({})).await.error(401), "UNAUTHORIZED");
    let program = server.program(parlour::model::principal::Role::User).await;
    assert_eq!(program.post(&path, &json!({})).await.error(403), "FORBIDDEN");
    let browser = server.browser().await;
    let foreign = browser.with("origin", "https://evil.example");
    assert_eq!(foreign.post(&path, &json!({})).await.error(403), "CROSS_ORIGIN");
    let page = browser.get(&path).await;
    assert!(
        page.text.contains("Ann Anders") && page.text.contains(ANN) && page.text.contains("Admin"),
        "{}",
        page.text
    );
    assert!(browser.post(&path, &json!({})).await.status.is_success());
    assert_eq!(browser.post(&path, &json!({})).await.error(404), "LINK_OVER", "once");
    screen.told("now acts as").await;
    let links = browser.get("/api/links").await.expect(200);
    assert_eq!(links["accounts"][0]["name"], "Ann Anders", "{links}");
    assert_eq!(program.get("/api/links").await.expect(200)["accounts"], json!([]));
    // Now the same words count, and the answer stands in their thread.
    let ts = workspace.say(ANN, GENERAL, None, "<@U0BOT> greet Bea").await;
    let answer = screen.told("Hello Bea").await;
    assert_eq!(answer["thread_ts"], json!(ts));
    // A link is good for ten minutes, for its own account.
    workspace.say(BEA, GENERAL, None, "!greet Ann").await;
    let asked = screen.told("/link/").await;
    assert_eq!(asked["ephemeral_to"], BEA);
    server.clock.advance(10 * 60 * 1000);
    assert_eq!(browser.get(&link(&asked)).await.status.as_u16(), 410);
    // Given back, it is nobody's again; only its own user can.
    let door = format!("/api/links/slack/{TEAM}/{ANN}");
    assert_eq!(program.delete(&door).await.error(404), "NOT_FOUND");
    assert_eq!(browser.delete(&door).await.status.as_u16(), 204);
    workspace.say(ANN, GENERAL, None, "<@U0BOT> greet Bea").await;
    assert_eq!(screen.told("/link/").await["ephemeral_to"], ANN);
    let log = browser.get("/api/admin/audit").await.expect(200).to_string();
    assert!(log.contains("account.link") && log.contains("account.unlink") && log.contains(ANN), "{log}");
    let texts: Vec<_> = workspace.messages(GENERAL).await;
    assert!(!texts.iter().any(|message| message["user"] == "U0BOT" && message.to_string().contains("lunch")));
    server.finish().await;
}

async fn people_talk_with_bots(kind: Kind) {
    let (server, workspace, mut screen) = connected(kind).await;
    let browser = linked(&server, &workspace, &mut screen, ANN).await;
    // In a thread, which then needs no mention, but only from who began it.
    let thread = workspace.say(ANN, GENERAL, None, "hey <@U0BOT|parlour> greet &lt;Bea&gt;").await;
    assert!(screen.told("Hello").await.to_string().contains("&lt;Bea&gt;"));
    let _ = workspace.say(BEA, GENERAL, Some(&thread), "greet nobody").await;
    let said = workspace.say(ANN, GENERAL, Some(&thread), "greet Cid").await;
    assert_eq!(screen.told("Hello Cid").await["thread_ts"], json!(thread));
    // In a direct message without any ceremony, and with a slash command.
    workspace.say(ANN, "D_ANN", None, "greet Dan").await;
    workspace.slash(ANN, GENERAL, "greet Eve").await;
    assert!(screen.told("Hello Eve").await["thread_ts"].is_null());
    // Their conversations are theirs in the web too, with one order for both.
    let list = browser.get("/api/sessions").await.expect(200);
    let sessions = list["sessions"].as_array().unwrap();
    let session = sessions.iter().find(|session| session.to_string().contains("Hello Cid")).expect("the thread");
    assert_eq!(session["channel"], "slack", "{session}");
    let id = session["session_id"].as_str().unwrap();
    let answer = browser.say(id, "greet Fay").await;
    assert_eq!(answer["content"], "Hello Fay.");
    let mirrored = screen.told("greet Fay").await;
    assert!(mirrored.to_string().contains("Admin") && mirrored["thread_ts"] == json!(thread), "{mirrored}");
    assert_eq!(screen.told("Hello Fay").await["thread_ts"], json!(thread));
    // What is edited and taken back there is so here.
    screen.edit(ANN, GENERAL, &said, "greet Cyd").await;
    let edited = browser.get(&format!("/api/session/{id}/events?after=0&limit=500")).await.expect(200);
    let wait = edited["events"].as_array().unwrap().len();
    let after =
        browser.get(&format!("/api/session/{id}/events?after={}&wait=10", wait.saturating_sub(1))).await.expect(200);
    assert!(after.to_string().contains("greet Cyd") || edited.to_string().contains("greet Cyd"), "{after}");
    server.finish().await;
}

mod sqlite {
    use super::Kind;

    #[tokio::test]
    async fn people_become_somebody() {
        super::people_become_somebody(Kind::Sqlite).await;
    }

    #[tokio::test]
    async fn people_talk_with_bots() {
        super::people_talk_with_bots(Kind::Sqlite).await;
    }
}

mod postgres {
    use super::Kind;

    #[tokio::test]
    async fn people_become_somebody() {
        super::people_become_somebody(Kind::Postgres).await;
    }

    #[tokio::test]
    async fn people_talk_with_bots() {
        super::people_talk_with_bots(Kind::Postgres).await;
    }
}
