//! Tickets: opening a socket without sending the real credential along.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::json;

use crate::support::server::{Client, Server, on_both_databases};

on_both_databases!(a_ticket_opens_one_socket, a_ticket_is_bound_to_its_page_and_its_login, tickets_that_wait_are_few);

async fn ticket(client: &Client) -> String {
    let answer = client.post("/api/ws/ticket", &json!({})).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.expect(200)["ticket"].as_str().expect("a ticket").to_owned()
}

fn offer(ticket: &str) -> String {
    format!("parlour.v1, ticket.{ticket}")
}

async fn a_ticket_opens_one_socket(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let answer = program.post("/api/ws/ticket", &json!({})).await.expect(200);
    assert_eq!((answer["expires_in"].as_i64(), &answer["protocols"]), (Some(30), &json!(["parlour.v1"])));
    assert_eq!(answer["url"], format!("{}/ws", server.url.replacen("http", "ws", 1)));
    let ticket = answer["ticket"].as_str().unwrap();
    let offer = offer(ticket);
    let mut socket = server.anybody().raw_socket(Some(&offer)).await.expect("the ticket opens the socket");
    assert_eq!(socket.selected.as_deref(), Some("parlour.v1"), "the ticket is never said back");
    let me = program.get("/api/session").await.expect(200);
    assert_eq!(socket.next().await["user"]["id"], me["user_id"]);
    assert_eq!(server.anybody().raw_socket(Some(&offer)).await.err(), Some(401), "once");
    // A cookie does not stand in for a ticket that is no good.
    assert_eq!(server.browser().await.raw_socket(Some(&offer)).await.err(), Some(401));
    // It opens nothing else.
    let other = self::ticket(&program).await;
    assert_eq!(server.anybody().with("x-api-key", &other).get("/api/session").await.error(401), "UNAUTHORIZED");
    // Within half a minute.
    server.clock.advance(29_999);
    assert!(server.anybody().raw_socket(Some(&self::offer(&other))).await.is_ok());
    let late = self::ticket(&program).await;
    server.clock.advance(30_000);
    assert_eq!(server.anybody().raw_socket(Some(&self::offer(&late))).await.err(), Some(401));
    for nonsense in ["ticket.", "ticket.plr_t_x", "parlour.v1, ticket.plr_k_x"] {
        assert_eq!(server.anybody().raw_socket(Some(nonsense)).await.err(), Some(401), "{nonsense}");
    }
}

async fn a_ticket_is_bound_to_its_page_and_its_login(server: Arc<Server>) {
    let browser = server.browser().await;
    let page = server.anybody().with("origin", &server.url);
    let stolen = ticket(&browser).await;
    let evil = server.anybody().with("origin", "https://evil.example");
    assert_eq!(evil.raw_socket(Some(&offer(&stolen))).await.err(), Some(401));
    assert_eq!(page.raw_socket(Some(&offer(&stolen))).await.err(), Some(401), "it was used up by the attempt");
    let without = ticket(&browser).await;
    assert_eq!(server.anybody().raw_socket(Some(&offer(&without))).await.err(), Some(401));
    let mut socket = page.raw_socket(Some(&offer(&ticket(&browser).await))).await.expect("its own page");
    // A page elsewhere gets none by a cookie.
    let foreign = browser.with("origin", "https://evil.example");
    assert_eq!(foreign.post("/api/ws/ticket", &json!({})).await.error(403), "CROSS_ORIGIN");
    // The socket ends with the login, and so does a ticket that was not used yet.
    let unused = ticket(&browser).await;
    browser.post("/auth/logout", &json!({})).await.expect(200);
    assert_eq!(socket.closed().await, Some(4410));
    assert_eq!(page.raw_socket(Some(&offer(&unused))).await.err(), Some(401));
}

async fn tickets_that_wait_are_few(server: Arc<Server>) {
    let (greedy, other) = (server.program(Role::User).await, server.program(Role::User).await);
    for _ in 0..32 {
        ticket(&greedy).await;
    }
    assert_eq!(greedy.post("/api/ws/ticket", &json!({})).await.error(429), "TOO_MANY_TICKETS");
    ticket(&other).await;
    server.clock.advance(30_000);
    ticket(&greedy).await;
}
