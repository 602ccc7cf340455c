//! Who did what from where, and that nobody changes it afterwards unseen.

use std::sync::Arc;

use parlour::store::audit::{Action, Chain, Deed, Doer};
use serde_json::{Value, json};

use crate::support::server::{Kind, Server, on_both_databases};

on_both_databases!(what_is_done_is_kept_with_who_and_whence, many_at_once_make_one_chain);

fn actions(page: &Value) -> Vec<&str> {
    page["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

async fn what_is_done_is_kept_with_who_and_whence(server: Arc<Server>) {
    let admin = server.browser().await;
    let session = admin.get("/api/session").await.expect(200);
    let wish = json!({ "name": "ci", "role": "user" });
    let made = admin.with("x-request-id", "make-it").post("/api/keys", &wish).await.expect(201);
    let program = server.anybody().with("x-api-key", made["token"].as_str().unwrap());
    assert_eq!(program.with("x-request-id", "peep").get("/api/admin/audit?limit=1").await.error(403), "FORBIDDEN");
    assert_eq!(program.get("/api/bots/nothing").await.status, 404, "what is not there is nobody's secret");
    admin.delete(&format!("/api/keys/{}", made["id"].as_str().unwrap())).await.expect(200);
    let other = server.browser().await;
    other.post("/auth/logout", &json!({})).await.expect(200);

    let page = admin.get("/api/admin/audit").await.expect(200);
    let wanted = ["sign_out", "sign_in", "key.revoke", "access.refused", "key.create", "sign_in"];
    assert_eq!(actions(&page), wanted);
    assert!(!page.to_string().contains("plr_"), "no secret");
    let [create, refused] = [4, 3].map(|n: usize| &page["entries"][n]);
    assert_eq!(create["principal"], session["user_id"]);
    assert_eq!(create["credential"], session["session_id"]);
    assert_eq!((&create["address"], &create["request_id"]), (&json!("127.0.0.1"), &json!("make-it")));
    assert_eq!((&create["target"], &create["details"]["name"]), (&made["id"], &json!("ci")));
    assert_eq!((&refused["principal"], &refused["request_id"]), (&made["id"], &json!("peep")));
    assert_eq!(refused["details"], json!({ "method": "GET", "path": "/api/admin/audit", "code": "FORBIDDEN" }));

    let filtered = |query: String| {
        let admin = admin.clone();
        async move { admin.get(&format!("/api/admin/audit?{query}")).await.expect(200) }
    };
    assert_eq!(actions(&filtered("action=sign_in".into()).await), ["sign_in", "sign_in"]);
    let about_key = filtered(format!("target={}", made["id"].as_str().unwrap())).await;
    assert_eq!(actions(&about_key), ["key.revoke", "key.create"]);
    let by_key = filtered(format!("principal={}", made["id"].as_str().unwrap())).await;
    assert_eq!(actions(&by_key), ["access.refused"]);
    let now = parlour::clock::rfc3339(server.clock.now());
    assert_eq!(actions(&filtered(format!("until={now}")).await), [""; 0]);
    assert_eq!(actions(&filtered(format!("since={now}")).await), wanted);
    let mut pages = Vec::new();
    let mut query = "limit=4".to_owned();
    loop {
        let page = filtered(query).await;
        pages.extend(actions(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_i64() else { break };
        query = format!("limit=4&before={next}");
    }
    assert_eq!(pages, wanted);
    for wrong in ["action=dance", "since=today", "limit=0"] {
        admin.get(&format!("/api/admin/audit?{wrong}")).await.expect(400);
    }
    assert_eq!(server.store().verify_audit().await.unwrap(), Chain::Whole { rows: 6 });
}

fn deed(n: i64) -> Deed {
    let target = Some(format!("k{n}"));
    Deed { at: n, action: Action::KeyRevoke, doer: Doer::default(), target, details: json!({ "n": n }) }
}

async fn many_at_once_make_one_chain(server: Arc<Server>) {
    let waiting: Vec<_> = (0..100).map(|n| server.store().record(deed(n))).collect();
    for done in futures_util::future::join_all(waiting).await {
        done.unwrap();
    }
    assert_eq!(server.store().verify_audit().await.unwrap(), Chain::Whole { rows: 100 });
}

#[tokio::test]
async fn the_first_row_that_was_changed_is_named() {
    let server = Server::start(Kind::Sqlite).await;
    for n in 1..=10 {
        server.store().record(deed(n)).await.unwrap();
    }
    let file = rusqlite::Connection::open(server.data().join("parlour.db")).unwrap();
    for (change, back, seq, fault) in [
        (
            "UPDATE audit SET details = '{}' WHERE seq = 4",
            "UPDATE audit SET details = '{\"n\":4}' WHERE seq = 4",
            4,
            "its content was changed",
        ),
        (
            "UPDATE audit SET address = '192.0.2.1' WHERE seq = 7",
            "UPDATE audit SET address = NULL WHERE seq = 7",
            7,
            "its content was changed",
        ),
        ("UPDATE audit SET seq = 60 WHERE seq = 6", "UPDATE audit SET seq = 6 WHERE seq = 60", 6, "it is missing"),
        ("UPDATE audit SET seq = 0 WHERE seq = 10", "UPDATE audit SET seq = 10 WHERE seq = 0", 10, "it is missing"),
        (
            "UPDATE audit_head SET seq = 9 WHERE name = 'audit'",
            "UPDATE audit_head SET seq = 10 WHERE name = 'audit'",
            9,
            "it is not the row that was written last",
        ),
    ] {
        file.execute(change, ()).unwrap();
        assert_eq!(server.store().verify_audit().await.unwrap(), Chain::Broken { seq, fault }, "{change}");
        file.execute(back, ()).unwrap();
        assert_eq!(server.store().verify_audit().await.unwrap(), Chain::Whole { rows: 10 });
    }
    server.finish().await;
}
