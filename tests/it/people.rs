//! Profiles and groups that are kept here.

use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::json;

use crate::support::directory::Directory;
use crate::support::server::{Kind, Server, on_both_databases};

on_both_databases!(
    a_profile_is_read_and_changed,
    groups_are_made_listed_and_filled,
    everybody_is_listed_and_signed_out
);

async fn a_profile_is_read_and_changed(server: Arc<Server>) {
    let browser = server.browser().await;
    for me in [browser.clone(), browser.as_bearer()] {
        let profile = me.get("/api/users/me").await.expect(200);
        assert_eq!((&profile["id"], &profile["kind"]), (&json!("local-admin"), &json!("user")));
        assert_eq!((&profile["roles"], &profile["groups"]), (&json!(["admin", "user"]), &json!([])));
        assert!(profile["created_at"].as_str().unwrap().ends_with('Z'));
        let wish = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
        let changed = me.put("/api/users/me", &wish).await.expect(200);
        for field in ["email", "first_name", "last_name"] {
            assert_eq!(changed[field], wish[field]);
        }
        assert_eq!(changed["name"], "Ann Lee");
        assert_eq!(me.get("/api/users/me").await.expect(200), changed);
        let emptied = me.put("/api/users/me", &json!({ "last_name": null })).await.expect(200);
        assert_eq!((&emptied["last_name"], &emptied["email"]), (&json!(null), &wish["email"]));
    }
    let error = browser.put("/api/users/me", &json!({ "email": "ann", "roles": ["admin"], "first_name": 7 })).await;
    let error = error.expect(400)["error"].clone();
    let faults: Vec<_> = error["details"]["fields"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(faults, ["email", "roles", "first_name"], "{error}");
    assert_eq!(browser.put("/api/users/me", &json!({})).await.error(400), "INVALID_REQUEST");
    // A cookie counts only for our own pages.
    assert_eq!(
        browser.without("origin").put("/api/users/me", &json!({ "email": "a@b" })).await.error(403),
        "CROSS_ORIGIN"
    );

    // A key answers for itself and has no profile to change.
    let key = server.program_in(Role::User, &["sre"]).await;
    let itself = key.get("/api/users/me").await.expect(200);
    assert_eq!(
        (&itself["kind"], &itself["username"], &itself["groups"]),
        (&json!("api_key"), &json!("user"), &json!(["sre"]))
    );
    assert_eq!(key.put("/api/users/me", &json!({ "email": "a@b" })).await.error(400), "NO_PROFILE");

    let audit = browser.get("/api/admin/audit?action=profile.change").await.expect(200);
    let rows = audit["entries"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[3]["details"]["fields"]), (4, &json!(["email", "first_name", "last_name"])));
    assert!(!audit.to_string().contains("ann@example.com"), "who changed what, not to what");
}

async fn everybody_is_listed_and_signed_out(server: Arc<Server>) {
    let admin = server.browser().await;
    let ann = server.person("Ann 100%", &[Role::User], &["sre"]).await;
    let bob = server.person("Bob", &[Role::User], &[]).await;
    let id = |session: serde_json::Value| session["user_id"].as_str().unwrap().to_owned();
    let (ann_id, bob_id) =
        (id(ann.get("/api/session").await.expect(200)), id(bob.get("/api/session").await.expect(200)));

    let all = admin.get("/api/users").await.expect(200);
    assert_eq!((all["users"].as_array().unwrap().len(), &all["next"]), (3, &json!(null)));
    let found = admin.get("/api/users?q=ANN%20100%25").await.expect(200);
    let found = found["users"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["id"], &found[0]["roles"], &found[0]["groups"]),
        (&json!(ann_id), &json!(["user"]), &json!(["sre"]))
    );
    assert_eq!(
        (&found[0]["sessions"], &found[0]["keys"], &found[0]["disabled_at"]),
        (&json!(1), &json!(0), &json!(null))
    );
    assert_eq!(admin.get("/api/users?q=100_").await.expect(200)["users"], json!([]), "it is no pattern");
    let (mut before, mut seen) = (String::new(), Vec::new());
    loop {
        let page = admin.get(&format!("/api/users?limit=1{before}")).await.expect(200);
        seen.extend(page["users"].as_array().unwrap().iter().map(|user| user["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        before = format!("&before={next}");
    }
    let ids: Vec<_> = all["users"].as_array().unwrap().iter().map(|user| user["id"].clone()).collect();
    assert_eq!(seen, ids, "page by page, the same");
    assert_eq!(ann.get("/api/users").await.error(403), "FORBIDDEN");

    let mut socket = ann.socket().await;
    assert_eq!(bob.delete(&format!("/api/users/{ann_id}/sessions")).await.error(404), "NOT_FOUND");
    let out = admin.delete(&format!("/api/users/{ann_id}/sessions")).await.expect(200);
    assert_eq!(out, json!({ "success": true, "sessions": 1 }));
    assert_eq!(socket.closed().await, Some(4410));
    assert_eq!(ann.get("/api/session").await.error(401), "UNAUTHORIZED");
    assert_eq!(bob.delete("/api/users/me/sessions").await.expect(200)["sessions"], 1);
    assert_eq!(bob.get("/api/session").await.error(401), "UNAUTHORIZED");
    let audit = admin.get("/api/admin/audit?action=sign_out").await.expect(200);
    let users: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|row| row["details"]["user"].clone()).collect();
    assert_eq!(users, [json!(bob_id), json!(ann_id)]);
}

async fn groups_are_made_listed_and_filled(server: Arc<Server>) {
    let admin = server.browser().await;
    let user = server.program(Role::User).await;
    let made = admin.post("/api/groups/create", &json!({ "name": " sre " })).await.expect(201);
    assert_eq!((&made["name"], &made["members"]), (&json!("sre"), &json!(0)));
    let members = format!("/api/groups/{}/members", made["id"].as_str().unwrap());
    for (body, status, code) in [
        (json!({ "name": "SRE" }), 409, "GROUP_EXISTS"),
        (json!({ "name": "" }), 400, "INVALID_REQUEST"),
        (json!({ "name": "a,b" }), 400, "INVALID_REQUEST"),
        (json!({ "name": "a", "owner": "b" }), 400, "INVALID_JSON"),
    ] {
        assert_eq!(admin.post("/api/groups/create", &body).await.error(status), code, "{body}");
    }
    assert_eq!(user.post("/api/groups/create", &json!({ "name": "own" })).await.error(403), "FORBIDDEN");
    assert_eq!(admin.get("/api/groups/nothing/members").await.error(404), "NOT_FOUND");
    assert_eq!(user.get(&members).await.error(404), "NOT_FOUND", "not theirs to see");

    let whom = json!({ "user_id": "local-admin" });
    let joined = admin.post(&members, &whom).await.expect(200);
    assert_eq!((&joined["success"], &joined["changed"]), (&json!(true), &json!(true)));
    assert_eq!(admin.post(&members, &whom).await.expect(200)["changed"], false);
    let listed = admin.get(&members).await.expect(200);
    assert_eq!((&listed["members"][0]["id"], &listed["group"]["members"]), (&json!("local-admin"), &json!(1)));
    assert_eq!(admin.post(&members, &json!({ "user_id": "nobody" })).await.error(404), "NOT_FOUND");
    assert_eq!(admin.post(&members, &json!({ "username": "nobody" })).await.error(404), "NOT_FOUND");
    assert_eq!(admin.post(&members, &json!({})).await.error(400), "INVALID_REQUEST");
    assert_eq!(user.post(&members, &whom).await.error(404), "NOT_FOUND");
    assert_eq!(admin.without("origin").post(&members, &whom).await.error(403), "CROSS_ORIGIN");
    // Somebody in it sees it, and changes nothing.
    let inside = server.program_in(Role::User, &["sre"]).await;
    assert_eq!(inside.get(&members).await.expect(200)["members"].as_array().unwrap().len(), 1);
    assert_eq!(inside.get("/api/groups/list").await.expect(200)["groups"][0]["name"], "sre");
    assert_eq!(inside.post(&members, &whom).await.error(403), "FORBIDDEN");
    assert_eq!(user.get("/api/groups/list").await.expect(200), json!({ "groups": [], "next": null }));

    for name in ["web", "Data"] {
        admin.post("/api/groups/create", &json!({ "name": name })).await.expect(201);
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.as_bearer().get(&format!("/api/groups/list?limit=2{cursor}")).await.expect(200);
        seen.extend(page["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["Data", "sre", "web"]);
    assert_eq!(admin.get("/api/groups/list?limit=0").await.error(400), "INVALID_REQUEST");
    let left = admin.delete(&format!("{members}/local-admin")).await.expect(200);
    assert_eq!(left["changed"], true);
    assert!(admin.get(&members).await.expect(200)["members"].as_array().unwrap().is_empty());
    let audit = admin.get("/api/admin/audit").await.expect(200);
    let did = |action: &str| audit["entries"].as_array().unwrap().iter().filter(|row| row["action"] == action).count();
    assert_eq!((did("group.create"), did("group.member_add"), did("group.member_remove")), (3, 1, 1));
}

/// A bot for a group: what somebody may see follows their membership in the next request, and in an open socket.
async fn a_membership_counts_at_once(kind: Kind) {
    let directory = Directory::start().await;
    let server = Server::start_with(kind, |config| directory.settings(config)).await;
    let bot = "apiVersion: bot/v1\nname: vault\ndescription: Of the few\naccess: {groups: [few]}\ncommands:\n  - name: open\n    \
               description: Opens\n    intent: \"open it\"\n    examples: [open it]\n    reply: open\n";
    std::fs::create_dir_all(server.bots.join("vault")).unwrap();
    std::fs::write(server.bots.join("vault/bot.yaml"), bot).unwrap();
    server.reload().await;
    let (_, ann) = directory
        .sign_in(&server, "ann", |claims| {
            claims["groups"] = json!(["claimed"]);
            claims["preferred_username"] = json!("ann");
        })
        .await;
    let admin = server.browser().await;
    let key = ann.post("/api/keys", &json!({ "name": "k", "role": "user", "groups": ["claimed"] })).await.expect(201);
    let made = admin.post("/api/groups/create", &json!({ "name": "few" })).await.expect(201);
    let members = format!("/api/groups/{}/members", made["id"].as_str().unwrap());
    let sees = async |who: &crate::support::server::Client| {
        let bots = who.get("/api/bots").await.expect(200);
        bots.as_array().unwrap().iter().any(|bot| bot["id"] == "vault")
    };
    assert!(!sees(&ann).await);
    let mut socket = ann.socket().await;
    admin.post(&members, &json!({ "username": "ann" })).await.expect(200);
    assert!(sees(&ann).await);
    assert_eq!(ann.get("/api/users/me").await.expect(200)["groups"], json!(["claimed", "few"]));
    assert_eq!(ann.get("/api/groups/list").await.expect(200)["groups"][0]["name"], "few");
    let session = ann.open("vault").await;
    socket.subscribe(&format!("conv:{session}"), 0).await;
    // Signing in again, with other claims, keeps the membership.
    let (_, again) = directory.sign_in(&server, "ann", |_| {}).await;
    assert_eq!(again.get("/api/users/me").await.expect(200)["groups"], json!(["few"]));
    let id = again.get("/api/users/me").await.expect(200)["id"].as_str().unwrap().to_owned();
    admin.delete(&format!("{members}/{id}")).await.expect(200);
    assert!(!sees(&ann).await && !sees(&again).await);
    let with_key = server.anybody().with("x-api-key", key["token"].as_str().unwrap());
    assert_eq!(with_key.get("/api/users/me").await.expect(200)["groups"], json!([]), "the claim is gone, too");
    server.finish().await;
}

#[tokio::test]
async fn a_membership_counts_at_once_sqlite() {
    a_membership_counts_at_once(Kind::Sqlite).await;
}

#[tokio::test]
async fn a_membership_counts_at_once_postgres() {
    a_membership_counts_at_once(Kind::Postgres).await;
}

/// A subject is the directory's own: whatever it is made of, it is one person, and none of those it resembles.
#[tokio::test]
async fn subjects_are_opaque() {
    let directory = Directory::start().await;
    let server = Server::start_with(Kind::Sqlite, |config| directory.settings(config)).await;
    let mut ids = std::collections::BTreeSet::new();
    let subjects =
        ["auth0|5f/7", "auth0%7C5f/7", "AUTH0|5F/7", "a b", "a b ", "\u{fc}", "u\u{308}", "local-admin", "'; --"];
    for subject in subjects {
        let mut same = Vec::new();
        for _ in 0..2 {
            let (answer, browser) = directory.sign_in(&server, subject, |_| {}).await;
            assert_eq!(answer.status.as_u16(), 303, "{subject:?}: {}", answer.text);
            same.push(browser.get("/api/users/me").await.expect(200)["id"].as_str().unwrap().to_owned());
        }
        assert_eq!(same[0], same[1], "{subject:?}");
        assert!(ids.insert(same.remove(0)), "{subject:?} is somebody else's");
    }
    assert!(!ids.contains("local-admin"));
    server.finish().await;
}
