//! How many requests somebody may send: windows of the clock, whom they count for, and what is told.

use parlour::config::Config;
use parlour::model::principal::Role;
use serde_json::json;

use crate::support::server::{Answer, Client, Kind, Server};

/// The shipped limits of requests.
async fn limited(kind: Kind, change: impl FnOnce(&mut Config)) -> Server {
    Server::start_with(kind, |config| {
        config.ws.frames_per_second = 0;
        config.ws.refused_per_second = 0;
        change(config);
    })
    .await
}

fn number(answer: &Answer, name: &str) -> i64 {
    answer.headers[name].to_str().unwrap().parse().unwrap()
}

/// Limit, remaining, and the seconds until the reset.
fn standing(server: &Server, answer: &Answer) -> [i64; 3] {
    let reset = number(answer, "x-ratelimit-reset");
    [number(answer, "x-ratelimit-limit"), number(answer, "x-ratelimit-remaining"), reset - server.clock.now() / 1000]
}

/// How many requests come through, at most `tries`, before the first that does not; that one's answer.
async fn through(client: &Client, path: &str, tries: usize) -> (usize, Option<Answer>) {
    for done in 0..tries {
        let answer = client.get(path).await;
        if answer.status == 429 {
            return (done, Some(answer));
        }
    }
    (tries, None)
}

#[tokio::test]
async fn every_window_counts_and_is_told() {
    let server = limited(Kind::Sqlite, |config| {
        config.rate_limits.key = vec!["5/min".parse().unwrap(), "12/h".parse().unwrap()];
    })
    .await;
    let program = server.program(Role::User).await;
    // The clock stands 20 seconds into a minute, 13 minutes and 20 seconds after the full hour.
    assert_eq!(server.clock.now() % 3_600_000, 800_000);
    let first = program.get("/api/session").await;
    assert_eq!(standing(&server, &first), [5, 4, 40]);
    let (done, refused) = through(&program, "/api/bots", 20).await;
    let refused = refused.expect("a refusal");
    assert_eq!((done, standing(&server, &refused)), (4, [5, 0, 40]));
    assert_eq!(refused.headers["retry-after"], "40");
    assert_eq!(refused.error(429), "RATE_LIMITED");
    // Another key has its own, and what is refused for other reasons counts and tells, too.
    let other = server.program(Role::User).await;
    let not_there = other.get("/api/session/nothing/events").await;
    assert_eq!((not_there.status.as_u16(), standing(&server, &not_there)), (404, [5, 4, 40]));
    assert_eq!(other.get("/api/admin/bots").await.status, 403);
    server.clock.advance(39_999);
    assert_eq!(through(&program, "/api/bots", 20).await.0, 0);
    server.clock.advance(1);
    assert_eq!(through(&program, "/api/bots", 20).await.0, 5);
    server.clock.advance(60_000);
    let (done, refused) = through(&program, "/api/bots", 20).await;
    assert_eq!((done, standing(&server, &refused.unwrap())), (2, [12, 0, 3600 - 900]), "the hour is used up");
    server.clock.advance(60_000);
    assert_eq!(through(&program, "/api/bots", 20).await.0, 0);
    server.finish().await;
}

#[tokio::test]
async fn what_counts_is_who_proved_who_they_are() {
    let server = limited(Kind::Sqlite, |config| {
        config.rate_limits.anonymous = vec!["10/h".parse().unwrap()];
    })
    .await;
    let anybody = server.anybody();
    for n in 0..10 {
        let forged = anybody.with("x-forwarded-for", &format!("198.51.100.{n}")).with("x-user-id", &n.to_string());
        assert_eq!(forged.with("x-api-key", "plr_k_nonsense").get("/api/bots").await.error(401), "UNAUTHORIZED");
    }
    assert_eq!(anybody.with("x-forwarded-for", "203.0.113.9").get("/api/bots").await.error(429), "RATE_LIMITED");
    assert_eq!(anybody.with("x-user-id", "admin").get("/api/v1/openapi").await.status, 429);
    // Machines that look after this one, files of the client and signing in are something else.
    for path in ["/livez", "/readyz", "/health", "/swagger/", "/assets/nothing"] {
        let answer = anybody.get(path).await;
        assert!(answer.status != 429 && !answer.headers.contains_key("x-ratelimit-limit"), "{path}");
    }
    let browser = server.browser().await;
    for (client, path, limit) in [
        (&browser, "/api/session", 600),
        (
            &browser.without("cookie").with("authorization", &format!("Bearer {}", browser.token())),
            "/api/session",
            5000,
        ),
        (&server.program(Role::Admin).await, "/api/session", 100),
        (&anybody, "/api/session", 120),
    ] {
        assert_eq!(number(&client.get(path).await, "x-ratelimit-limit"), limit);
    }
    let wrote = browser.post("/api/session/create", &json!({ "bot_id": "hello" })).await;
    assert_eq!(number(&wrote, "x-ratelimit-limit"), 5000);
    server.finish().await;
}

#[tokio::test]
async fn a_trusted_proxy_says_whom_it_speaks_for() {
    let server = limited(Kind::Sqlite, |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.rate_limits.anonymous = vec!["3/h".parse().unwrap()];
        config.rate_limits.trusted_probes = vec!["198.51.100.0/24".parse().unwrap()];
    })
    .await;
    let from = |address: &str| server.anybody().with("x-forwarded-for", address);
    assert_eq!(through(&from("192.0.2.1"), "/health", 9).await.0, 3);
    assert_eq!(through(&from("192.0.2.2"), "/health", 9).await.0, 3);
    assert_eq!(
        through(&from("192.0.2.3, 192.0.2.2"), "/health", 9).await.0,
        0,
        "only the last hop is the proxy's word"
    );
    assert_eq!(through(&from("2001:db8::1"), "/health", 2).await.0, 2);
    assert_eq!(through(&from("2001:db8::ffff"), "/health", 9).await.0, 1, "one network");
    assert_eq!(through(&from("198.51.100.9"), "/health", 9).await.0, 9, "a probe");
    assert_eq!(through(&from("198.51.100.9"), "/api/bots", 9).await.0, 3, "of /health only");
    server.finish().await;
}

#[tokio::test]
async fn opening_a_socket_counts_and_its_frames_do_not() {
    let server = limited(Kind::Sqlite, |config| {
        config.rate_limits.key = vec!["4/h".parse().unwrap()];
        config.rate_limits.anonymous = vec!["1/h".parse().unwrap()];
    })
    .await;
    let program = server.program(Role::User).await;
    let session = program.open("hello").await;
    let mut socket = program.raw_socket(None).await.unwrap();
    for n in 0..20 {
        socket.send(&json!({ "type": "message", "session_id": session, "content": format!("greet {n}") })).await;
        socket.until("message").await;
    }
    // A ticket is its owner's: asked for and used it counts for them, wherever it is used from.
    let ticket = program.post("/api/ws/ticket", &json!({})).await.expect(200)["ticket"].as_str().unwrap().to_owned();
    let offer = format!("parlour.v1, ticket.{ticket}");
    assert_eq!(through(&server.anybody(), "/api/bots", 5).await.0, 1);
    assert!(
        server.anybody().with("sec-websocket-protocol", &offer).get("/ws").await.headers["x-ratelimit-remaining"]
            == "0"
    );
    assert_eq!(program.raw_socket(None).await.err(), Some(429));
    server.finish().await;
}

#[tokio::test]
async fn servers_on_one_database_count_together() {
    let server = limited(Kind::Postgres, |config| config.rate_limits.key = vec!["100/min".parse().unwrap()]).await;
    let other = server.beside().await;
    let program = server.program(Role::User).await;
    for round in 0..3 {
        let mut done = 0;
        for n in 0..250 {
            let client = if n % 3 == 0 { program.at(&other) } else { program.clone() };
            done += i32::from(client.get("/api/session").await.status == 200);
        }
        assert_eq!(done, 100, "in round {round}");
        server.clock.advance(60_000);
    }
    // Both at once, each with as much as it likes.
    let at_once = |client: Client| async move { through(&client, "/api/session", 250).await.0 };
    let (here, there) = tokio::join!(at_once(program.clone()), at_once(program.at(&other)));
    assert_eq!(here + there, 100, "{here} and {there}");
    other.finish().await;
    server.finish().await;
}

#[tokio::test]
async fn limits_can_be_switched_off_one_by_one() {
    let server = limited(Kind::Sqlite, |config| {
        config.rate_limits.anonymous.clear();
        config.rate_limits.key = vec!["2/h".parse().unwrap()];
    })
    .await;
    let open = server.anybody().get("/api/bots").await;
    assert!(open.status == 401 && !open.headers.contains_key("x-ratelimit-limit"));
    assert_eq!(through(&server.program(Role::User).await, "/api/session", 9).await.0, 2);
    server.finish().await;
}
