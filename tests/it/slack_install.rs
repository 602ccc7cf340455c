//! The Slack app in several workspaces: installed by administrators, taken out by Slack.

use parlour::clock::Clock;
use parlour::model::principal::Role;
use parlour::model::secret::Secret;
use serde_json::json;

use crate::slack::{self, is_connected, post_signed, signature};
use crate::support::server::{Kind, Server};
use crate::support::slack::{ANN, BOT, Mode, Network, SIGNING_SECRET, TEAM, Workspace, free_port};

async fn it_is_installed_and_taken_out(kind: Kind) {
    let workspace = Workspace::start(free_port(), &Mode::Socket);
    let (mut screen, network) = (workspace.screen().await, Network::before(&workspace).await);
    let server = Server::start_by(Clock::system(), kind, |config| {
        slack::settings(config, &network.url);
        config.outside.guest_role = Some(Role::User);
        config.slack.bot_token = Secret::default();
        config.slack.client_id = "123.456".to_owned();
        config.slack.client_secret = Secret::new("a client secret");
    })
    .await;
    is_connected(&mut screen).await;
    // Only who runs this server may, and only the browser that set out comes back.
    assert_eq!(server.anybody().get("/slack/install").await.error(401), "UNAUTHORIZED");
    assert_eq!(server.program(Role::User).await.get("/slack/install").await.error(403), "FORBIDDEN");
    let browser = server.browser().await;
    let sent = browser.get("/slack/install").await;
    let header = |name: &str| sent.headers[name].to_str().unwrap().to_owned();
    assert_eq!(sent.status.as_u16(), 303);
    let url = url::Url::parse(&header("location")).unwrap();
    assert_eq!((url.host_str(), url.path()), (Some("slack.com"), "/oauth/v2/authorize"));
    let argument = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert_eq!(argument("client_id"), "123.456");
    assert!(argument("scope").contains("files:write") && argument("redirect_uri").ends_with("/slack/oauth"));
    let cookie = header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let state = argument("state");
    let back = browser.as_bearer().with("cookie", cookie.split(';').next().unwrap());
    let door = format!("/slack/oauth?code=c0de&state={state}");
    assert_eq!(browser.get(&door).await.error(400), "STATE_MISMATCH", "without the cookie");
    assert_eq!(back.get("/slack/oauth?code=c0de&state=another").await.error(400), "STATE_MISMATCH");
    let denied = format!("/slack/oauth?error=access_denied&state={state}");
    assert_eq!(back.get(&denied).await.error(400), "NOT_INSTALLED");
    network.answer("oauth.v2.access", json!({ "ok": false, "error": "invalid_code" }));
    assert_eq!(back.get(&door).await.error(400), "NOT_INSTALLED");
    assert!(server.store().slack_installs().await.unwrap().is_empty());
    // What is said meanwhile is answered once the app is there.
    workspace.say(ANN, ANN, None, "greet Bea").await;
    let granted = json!({ "ok": true, "access_token": "xoxb-test", "token_type": "bot", "scope": "chat:write",
        "bot_user_id": BOT, "app_id": "A01APP", "team": { "id": TEAM, "name": "Test <&>" } });
    network.answer("oauth.v2.access", granted);
    let page = back.get(&door).await;
    assert_eq!(page.status.as_u16(), 200, "{}", page.text);
    assert!(page.text.contains("Test &lt;&amp;&gt;"), "{}", page.text);
    // By the app's own id and secret.
    assert_eq!(network.calls("oauth.v2.access", "Basic MTIzLjQ1NjphIGNsaWVudCBzZWNyZXQ="), 2);
    screen.told("Hello Bea").await;
    // The token is nowhere to be read.
    let log = browser.get("/api/admin/audit").await.expect(200).to_string();
    assert!(log.contains("slack.install") && !log.contains("xoxb-test"), "{log}");
    let (old, new) = (server.clock.now() / 1000 - 60, server.clock.now() / 1000 + 60);
    let gone = |event: serde_json::Value, at: i64| {
        json!({ "type": "event_callback", "team_id": TEAM, "event_id": format!("Ev{at}{event}"), "event_time": at, "event": event })
            .to_string()
    };
    let uninstalled = json!({ "type": "app_uninstalled" });
    for (body, left) in [
        (gone(uninstalled.clone(), old), 1),
        (gone(json!({ "type": "tokens_revoked", "tokens": { "oauth": ["U1"] } }), new), 1),
        (gone(json!({ "type": "tokens_revoked", "tokens": { "bot": [BOT] } }), new), 0),
        (gone(uninstalled, new), 0),
    ] {
        let at = server.clock.now() / 1000;
        let signed = signature(SIGNING_SECRET, at, &body);
        let (status, told) = post_signed(&server, "/slack/events", "application/json", (at, &signed), &body).await;
        assert_eq!(status, 200, "{told}");
        assert_eq!(server.store().slack_installs().await.unwrap().len(), left, "{body}");
    }
    let log = browser.get("/api/admin/audit").await.expect(200).to_string();
    assert_eq!(log.matches("slack.uninstall").count(), 1, "{log}");
    // Installed anew, listed, and taken out from here.
    let again = browser.get("/slack/install").await;
    let cookie = again.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let state = again.headers["location"].to_str().unwrap().split("state=").nth(1).unwrap().to_owned();
    let back = browser.as_bearer().with("cookie", &cookie);
    assert_eq!(back.get(&format!("/slack/oauth?code=c0de&state={state}")).await.status.as_u16(), 200);
    let listed = browser.get("/api/slack/workspaces").await.expect(200);
    assert_eq!(
        (&listed[0]["team"], &listed[0]["name"], &listed[0]["scopes"]),
        (&json!(TEAM), &json!("Test <&>"), &json!(["chat:write"]))
    );
    assert!(listed.as_array().unwrap().len() == 1 && !listed.to_string().contains("xoxb"), "{listed}");
    let one = format!("/api/slack/workspaces/{TEAM}");
    assert_eq!(server.program(Role::User).await.delete(&one).await.error(403), "FORBIDDEN");
    assert_eq!(browser.delete("/api/slack/workspaces/T0NONE").await.error(404), "WORKSPACE_NOT_FOUND");
    network.answer("auth.revoke", json!({ "ok": false, "error": "fatal_error" }));
    assert_eq!(browser.delete(&one).await.error(503), "UNAVAILABLE");
    assert_eq!(server.store().slack_installs().await.unwrap().len(), 1, "nothing has changed");
    network.answer("auth.revoke", json!({ "ok": true, "revoked": true }));
    browser.delete(&one).await.expect(200);
    assert_eq!(browser.get("/api/slack/workspaces").await.expect(200), json!([]));
    assert_eq!(browser.delete(&one).await.error(404), "WORKSPACE_NOT_FOUND");
    server.finish().await;
}

#[tokio::test]
async fn sqlite() {
    Box::pin(it_is_installed_and_taken_out(Kind::Sqlite)).await;
}

#[tokio::test]
async fn postgres() {
    Box::pin(it_is_installed_and_taken_out(Kind::Postgres)).await;
}
