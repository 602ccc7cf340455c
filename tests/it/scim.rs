//! A directory pushes its users and groups here, and what that means for who is signed in.

use parlour::config::{Config, ScimLink};
use parlour::model::principal::Role;
use parlour::model::secret::Secret;
use serde_json::{Value, json};

use crate::support::directory::Directory;
use crate::support::server::{Answer, Client, Kind, Server};

const TOKEN: &str = "the-token-of-the-directory";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Each of these tests on SQLite and on PostgreSQL, with a directory that signs in.
macro_rules! with_a_directory {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(crate::support::server::Kind::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $name() { super::$name(crate::support::server::Kind::Postgres).await; })*
        }
    };
}
with_a_directory!(
    users_as_the_standard_wants_them,
    groups_as_the_standard_wants_them,
    who_is_switched_off_loses_all_at_once,
    a_sign_in_and_a_pushed_user_find_each_other,
);

async fn started(kind: Kind, change: impl FnOnce(&mut Config)) -> (Server, Directory, Client) {
    let directory = Directory::start().await;
    let server = Server::start_with(kind, |config| {
        directory.settings(config);
        config.scim.token = Secret::new(TOKEN);
        change(config);
    })
    .await;
    let scim = server.anybody().with("authorization", &format!("Bearer {TOKEN}"));
    (server, directory, scim)
}

fn person(name: &str) -> Value {
    json!({
        "schemas": [USER], "userName": name, "externalId": format!("sub-{name}"), "active": true,
        "name": { "givenName": "Ann", "familyName": "Lee" },
        "emails": [{ "value": format!("{name}@example.com"), "primary": true, "type": "work" }],
    })
}

fn refused(answer: &Answer, status: u16, word: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/scim+json");
    let body = answer.json();
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert_eq!((&body["status"], body["scimType"].as_str().unwrap_or_default()), (&json!(status.to_string()), word));
    assert!(body["detail"].is_string());
}

fn id(resource: &Value) -> &str {
    resource["id"].as_str().expect("an id")
}

async fn users_as_the_standard_wants_them(kind: Kind) {
    let (server, _directory, scim) = started(kind, |_| {}).await;
    // Only the token, or an administrator.
    for nobody in [server.anybody(), scim.with("authorization", "Bearer the-token-of-another-one")] {
        refused(&nobody.get("/scim/v2/Users").await, 401, "");
    }
    refused(&server.program(Role::User).await.get("/scim/v2/Users").await, 403, "");
    server.program(Role::Admin).await.get("/scim/v2/Users").await.expect(200);
    assert_eq!(scim.get("/api/users/me").await.error(401), "UNAUTHORIZED", "the token opens nothing else");

    let configuration = scim.get("/scim/v2/ServiceProviderConfig").await.expect(200);
    assert_eq!(
        (&configuration["patch"]["supported"], &configuration["etag"]["supported"]),
        (&json!(true), &json!(true))
    );
    let types = scim.get("/scim/v2/ResourceTypes").await.expect(200);
    assert_eq!(types["totalResults"], 2);
    assert_eq!(scim.get("/scim/v2/ResourceTypes/Group").await.expect(200)["endpoint"], "/Groups");
    assert_eq!(scim.get("/scim/v2/Schemas").await.expect(200)["totalResults"], 3);
    let schema = scim.get(&format!("/scim/v2/Schemas/{USER}")).await.expect(200);
    assert_eq!(schema["attributes"][0]["name"], "userName");
    refused(&scim.get("/scim/v2/Schemas/nothing").await, 404, "");
    refused(&scim.get("/scim/v2/Nothing").await, 404, "");

    let answer = scim.post_text("/scim/v2/Users", "application/scim+json", person("ann").to_string()).await;
    assert_eq!(answer.headers["etag"], "W/\"1\"");
    let place = answer.headers["location"].to_str().unwrap().to_owned();
    let ann = answer.expect(201);
    assert_eq!(place, format!("{}/scim/v2/Users/{}", server.url, id(&ann)));
    assert_eq!(ann["meta"]["location"], place.as_str());
    let path = format!("/scim/v2/Users/{}", id(&ann));
    assert_eq!(scim.get(&path).await.expect(200), ann);
    assert_eq!(scim.with("if-none-match", "W/\"1\"").get(&path).await.status.as_u16(), 304);
    refused(&scim.post("/scim/v2/Users", &person("ANN")).await, 409, "uniqueness");
    let mut same = person("other");
    same["externalId"] = json!("sub-ann");
    refused(&scim.post("/scim/v2/Users", &same).await, 409, "uniqueness");
    refused(&scim.post("/scim/v2/Users", &json!({ "schemas": [USER] })).await, 400, "invalidValue");
    refused(&scim.post_text("/scim/v2/Users", "application/scim+json", "{").await, 400, "invalidSyntax");

    // Looked for.
    for name in ["bea", "cid", "dan"] {
        scim.post("/scim/v2/Users", &person(name)).await.expect(201);
    }
    let find = async |query: &str| scim.get(&format!("/scim/v2/Users?{query}")).await.expect(200);
    let found = find("filter=userName%20eq%20%22Ann%22").await;
    assert_eq!((&found["totalResults"], &found["Resources"][0]), (&json!(1), &ann));
    assert_eq!(find("filter=externalId%20eq%20%22sub-bea%22").await["Resources"][0]["userName"], "bea");
    assert_eq!(find("filter=userName%20eq%20%22nobody%22").await["totalResults"], 0);
    let page = find("startIndex=2&count=2&attributes=userName").await;
    assert_eq!((&page["totalResults"], &page["itemsPerPage"], &page["startIndex"]), (&json!(4), &json!(2), &json!(2)));
    let names: Vec<_> = page["Resources"].as_array().unwrap().iter().map(|one| one["userName"].clone()).collect();
    assert_eq!(names, ["bea", "cid"]);
    assert!(page["Resources"][0].get("emails").is_none());
    assert_eq!(find("count=0").await["Resources"], json!([]));
    refused(&scim.get("/scim/v2/Users?filter=title%20eq%20%22x%22").await, 400, "invalidFilter");

    // Changed.
    let patch = |operations: Value| json!({ "schemas": [PATCH], "Operations": operations });
    let changed = scim
        .patch(
            &path,
            &patch(json!([
                { "op": "replace", "path": "name.familyName", "value": "Low" },
                { "op": "add", "path": "emails", "value": [{ "value": "home@example.com", "type": "home" }] },
            ])),
        )
        .await;
    assert_eq!(changed.headers["etag"], "W/\"2\"");
    let changed = changed.expect(200);
    assert_eq!((&changed["name"]["familyName"], changed["emails"].as_array().unwrap().len()), (&json!("Low"), 2));
    refused(
        &scim.with("if-match", "W/\"1\"").patch(&path, &patch(json!([{ "op": "remove", "path": "title" }]))).await,
        412,
        "",
    );
    refused(
        &scim.patch(&path, &patch(json!([{ "op": "replace", "path": "userName", "value": "bea" }]))).await,
        409,
        "uniqueness",
    );
    refused(
        &scim.patch(&path, &patch(json!([{ "op": "replace", "path": "meta", "value": {} }]))).await,
        400,
        "mutability",
    );
    let replaced = scim
        .with("if-match", "W/\"2\"")
        .put(&path, &json!({ "schemas": [USER], "userName": "anna" }))
        .await
        .expect(200);
    assert_eq!(
        (&replaced["userName"], replaced.get("emails"), replaced.get("externalId")),
        (&json!("anna"), None, None)
    );
    refused(&scim.with("if-match", "W/\"1\"").delete(&path).await, 412, "");
    assert_eq!(scim.delete(&path).await.status.as_u16(), 204);
    refused(&scim.get(&path).await, 404, "");
    refused(&scim.delete(&path).await, 404, "");
    refused(&scim.put(&path, &person("ann")).await, 404, "");
    // The name is free again.
    scim.post("/scim/v2/Users", &person("ann")).await.expect(201);
    // Nobody who is only known here can be reached.
    server.browser().await;
    refused(&scim.delete("/scim/v2/Users/local-admin").await, 404, "");
    refused(
        &scim
            .patch("/scim/v2/Users/local-admin", &patch(json!([{ "op": "replace", "path": "active", "value": false }])))
            .await,
        404,
        "",
    );
    server.finish().await;
}

async fn groups_as_the_standard_wants_them(kind: Kind) {
    let (server, directory, scim) = started(kind, |_| {}).await;
    let ann = scim.post("/scim/v2/Users", &person("ann")).await.expect(201);
    let bea = scim.post("/scim/v2/Users", &person("bea")).await.expect(201);
    let wish =
        json!({ "schemas": [GROUP], "displayName": "sre", "externalId": "g1", "members": [{ "value": id(&ann) }] });
    let sre = scim.post("/scim/v2/Groups", &wish).await.expect(201);
    assert_eq!((&sre["members"][0]["value"], &sre["members"][0]["display"]), (&ann["id"], &json!("Ann Lee")));
    let path = format!("/scim/v2/Groups/{}", id(&sre));
    refused(&scim.post("/scim/v2/Groups", &json!({ "displayName": "SRE" })).await, 409, "uniqueness");
    refused(
        &scim.post("/scim/v2/Groups", &json!({ "displayName": "x", "members": [{ "value": "nobody" }] })).await,
        400,
        "invalidValue",
    );
    let shown = scim.get(&format!("/scim/v2/Users/{}", id(&ann))).await.expect(200);
    assert_eq!(shown["groups"][0]["display"], "sre");
    let found =
        scim.get("/scim/v2/Groups?filter=displayName%20eq%20%22sre%22&excludedAttributes=members").await.expect(200);
    assert_eq!((&found["totalResults"], found["Resources"][0].get("members")), (&json!(1), None));
    let of_ann = format!("/scim/v2/Groups?filter=members.value%20eq%20%22{}%22", id(&ann));
    assert_eq!(scim.get(&of_ann).await.expect(200)["totalResults"], 1);

    // It counts for who signs in, at once, and for their keys.
    let (_, browser) = directory.sign_in(&server, "sub-ann", |_| {}).await;
    let groups = async || browser.get("/api/session").await.expect(200)["user"]["groups"].clone();
    assert_eq!(groups().await, json!(["sre"]));
    let patch = |operations: Value| json!({ "schemas": [PATCH], "Operations": operations });
    let both = scim
        .patch(&path, &patch(json!([{ "op": "add", "path": "members", "value": [{ "value": id(&bea) }] }])))
        .await
        .expect(200);
    assert_eq!(both["members"].as_array().unwrap().len(), 2);
    let renamed = scim
        .patch(&path, &patch(json!([{ "op": "replace", "value": { "id": id(&sre), "displayName": "ops" } }])))
        .await
        .expect(200);
    assert_eq!(renamed["displayName"], "ops");
    assert_eq!(groups().await, json!(["ops"]));
    let gone = json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", id(&ann)) }]);
    scim.patch(&path, &patch(gone)).await.expect(200);
    assert_eq!(groups().await, json!([]));
    let back = json!({ "displayName": "ops", "members": [{ "value": id(&ann) }] });
    scim.put(&path, &back).await.expect(200);
    assert_eq!(groups().await, json!(["ops"]));

    // It is listed like every group, and changed only by who pushes it.
    let admin = server.browser().await;
    let listed = admin.get("/api/groups/list").await.expect(200);
    assert_eq!(listed["groups"][0]["name"], "ops");
    let members = format!("/api/groups/{}/members", id(&sre));
    assert_eq!(admin.post(&members, &json!({ "user_id": "local-admin" })).await.error(409), "MANAGED_BY_DIRECTORY");
    assert_eq!(browser.put("/api/users/me", &json!({ "first_name": "X" })).await.error(409), "MANAGED_BY_DIRECTORY");
    assert_eq!(browser.get(&members).await.expect(200)["members"][0]["email"], "ann@example.com");
    // What was made here is not the directory's.
    let own = admin.post("/api/groups/create", &json!({ "name": "own" })).await.expect(201);
    refused(&scim.get(&format!("/scim/v2/Groups/{}", id(&own))).await, 404, "");
    refused(&scim.post("/scim/v2/Groups", &json!({ "displayName": "own" })).await, 409, "uniqueness");
    assert_eq!(scim.delete(&path).await.status.as_u16(), 204);
    assert_eq!(groups().await, json!([]));
    server.finish().await;
}

async fn who_is_switched_off_loses_all_at_once(kind: Kind) {
    let (server, directory, scim) = started(kind, |_| {}).await;
    let ann = scim.post("/scim/v2/Users", &person("ann")).await.expect(201);
    let path = format!("/scim/v2/Users/{}", id(&ann));
    for how in ["patch", "put", "delete"] {
        let (answer, browser) = directory.sign_in(&server, "sub-ann", |_| {}).await;
        assert_eq!(answer.status.as_u16(), 303, "{how}: {}", answer.text);
        assert_eq!(browser.get("/api/session").await.expect(200)["user_id"], ann["id"], "{how}");
        let key = browser.post("/api/keys", &json!({ "name": "k", "role": "user" })).await.expect(201);
        let program = server.anybody().with("x-api-key", key["token"].as_str().unwrap());
        program.get("/api/session").await.expect(200);
        let mut sockets = [browser.socket().await, program.socket().await];
        let session = browser.open("hello").await;
        match how {
            "patch" => {
                let off = json!({ "schemas": [PATCH], "Operations": [{ "op": "Replace", "path": "active", "value": "False" }] });
                assert_eq!(scim.patch(&path, &off).await.expect(200)["active"], false);
            }
            "put" => {
                let mut off = person("ann");
                off["active"] = json!(false);
                scim.put(&path, &off).await.expect(200);
            }
            _ => assert_eq!(scim.delete(&path).await.status.as_u16(), 204),
        }
        for socket in &mut sockets {
            assert_eq!(socket.closed().await, Some(4410), "{how}");
        }
        assert_eq!(browser.get("/api/session").await.error(401), "UNAUTHORIZED");
        assert_eq!(browser.get(&format!("/api/session/{session}/events")).await.error(401), "UNAUTHORIZED");
        assert_eq!(program.get("/api/session").await.error(401), "UNAUTHORIZED");
        // Nor do they come in again, whatever the directory that signs in says.
        let (answer, _) = directory.sign_in(&server, "sub-ann", |_| {}).await;
        assert_eq!(answer.error(403), "ACCOUNT_CLOSED", "{how}");
        if how != "delete" {
            scim.put(&path, &person("ann")).await.expect(200);
        }
    }
    // Pushed anew, it is the same person again.
    let again = scim.post("/scim/v2/Users", &person("ann")).await.expect(201);
    assert_eq!(again["id"], ann["id"]);
    let (answer, _) = directory.sign_in(&server, "sub-ann", |_| {}).await;
    assert_eq!(answer.status.as_u16(), 303);
    let audit = server.browser().await.get("/api/admin/audit?limit=200").await.expect(200);
    let did = |action: &str| audit["entries"].as_array().unwrap().iter().filter(|row| row["action"] == action).count();
    assert_eq!((did("user.provision"), did("user.deactivate"), did("user.delete")), (2, 2, 1));
    assert_eq!(did("key.revoke"), 3);
    assert_eq!(
        server.store().verify_audit().await.unwrap(),
        parlour::store::audit::Chain::Whole { rows: audit["entries"][0]["seq"].as_i64().unwrap() }
    );
    server.finish().await;
}

async fn a_sign_in_and_a_pushed_user_find_each_other(kind: Kind) {
    let user_id = async |browser: &Client| browser.get("/api/session").await.expect(200)["user_id"].clone();
    // Pushed first, by its externalId; names and addresses that anybody could choose make nobody somebody else.
    let (server, directory, scim) = started(kind, |_| {}).await;
    let boss = scim.post("/scim/v2/Users", &person("boss")).await.expect(201);
    let (_, eve) = directory
        .sign_in(&server, "eve", |claims| {
            claims["preferred_username"] = json!("boss");
            claims["email"] = json!("boss@example.com");
            claims["email_verified"] = json!(true);
        })
        .await;
    assert_ne!(user_id(&eve).await, boss["id"]);
    let (_, real) = directory.sign_in(&server, "sub-boss", |_| {}).await;
    assert_eq!(user_id(&real).await, boss["id"]);
    let me = real.get("/api/users/me").await.expect(200);
    assert_eq!(
        (&me["username"], &me["email"], &me["name"]),
        (&json!("boss"), &json!("boss@example.com"), &json!("Ann Lee"))
    );
    // Signed in first, pushed later.
    let (_, cid) = directory.sign_in(&server, "sub-cid", |_| {}).await;
    let pushed = scim.post("/scim/v2/Users", &person("cid")).await.expect(201);
    assert_eq!(user_id(&cid).await, pushed["id"]);
    // Pushed and deleted before they ever signed in: they do not come in as somebody new, unless pushed again.
    let dan = scim.post("/scim/v2/Users", &person("dan")).await.expect(201);
    assert_eq!(scim.delete(&format!("/scim/v2/Users/{}", id(&dan))).await.status.as_u16(), 204);
    let (answer, _) = directory.sign_in(&server, "sub-dan", |_| {}).await;
    assert_eq!(answer.error(403), "ACCOUNT_CLOSED");
    let again = scim.post("/scim/v2/Users", &person("dan")).await.expect(201);
    assert_eq!(again["id"], dan["id"]);
    let (_, back) = directory.sign_in(&server, "sub-dan", |_| {}).await;
    assert_eq!(user_id(&back).await, dan["id"]);
    // An administrator who is only known here is nobody's.
    let admin = server.browser().await;
    let mut local = person("local-admin");
    local["externalId"] = json!("local-admin");
    let taken = scim.post("/scim/v2/Users", &local).await.expect(201);
    assert_ne!(taken["id"], user_id(&admin).await);
    scim.delete(&format!("/scim/v2/Users/{}", id(&taken))).await;
    admin.get("/api/session").await.expect(200);
    server.finish().await;

    // By the address, but only one that was checked.
    let (server, directory, scim) = started(kind, |config| config.scim.link = ScimLink::Email).await;
    let ann = scim.post("/scim/v2/Users", &person("ann")).await.expect(201);
    let with = |verified: Value| {
        move |claims: &mut Value| {
            claims["email"] = json!("Ann@Example.com");
            claims["email_verified"] = verified;
        }
    };
    let (_, eve) = directory.sign_in(&server, "eve", with(json!(false))).await;
    assert_ne!(user_id(&eve).await, ann["id"]);
    let (_, real) = directory.sign_in(&server, "x1", with(json!(true))).await;
    assert_eq!(user_id(&real).await, ann["id"]);
    // Bound once, for good.
    let (_, late) = directory.sign_in(&server, "x2", with(json!(true))).await;
    assert_ne!(user_id(&late).await, ann["id"]);
    server.finish().await;

    // Only who was pushed comes in.
    let (server, directory, scim) = started(kind, |config| {
        config.scim.required = true;
        config.scim.link = ScimLink::UserName;
    })
    .await;
    scim.post("/scim/v2/Users", &person("ann")).await.expect(201);
    let (answer, _) = directory.sign_in(&server, "s", |claims| claims["preferred_username"] = json!("bob")).await;
    assert_eq!(answer.error(403), "ACCOUNT_CLOSED");
    let (answer, _) = directory.sign_in(&server, "s", |claims| claims["preferred_username"] = json!("Ann")).await;
    assert_eq!(answer.status.as_u16(), 303);
    server.finish().await;
}
