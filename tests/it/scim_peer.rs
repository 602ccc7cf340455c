//! People and groups at a SCIM server of somebody else's, and at one that can do little.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use parlour::config::{Config, DirectoryKind};
use parlour::model::secret::Secret;
use serde_json::{Value, json};

use crate::support::directory::Directory;
use crate::support::server::{Client, Kind, Server};

const TOKEN: &str = "the-token-of-the-scim-server";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// The server as a process of its own.
struct Peer {
    child: Child,
    /// Its base address.
    url: String,
    client: Client,
    _configuration: tempfile::TempDir,
}

impl Peer {
    /// With everything it can do, or without what this takes away from its configuration.
    fn start(server: &Client, change: impl FnOnce(&mut Value)) -> Self {
        let program = Path::new("tests/peers/.venv/bin/scim2-server");
        assert!(program.is_file(), "`make test` installs what the tests speak to");
        let mut configuration = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
            "patch": { "supported": true }, "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
            "filter": { "supported": true, "maxResults": 1000 }, "changePassword": { "supported": false },
            "sort": { "supported": false }, "etag": { "supported": true }, "authenticationSchemes": [],
        });
        change(&mut configuration);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("configuration.json");
        std::fs::write(&file, configuration.to_string()).expect("a file");
        // It takes the port that it is told, so one is looked for that is free.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string(), "--bearer-token", TOKEN, "--service-provider-config"]).arg(&file);
        command.env("PYTHONUNBUFFERED", "1").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let url = line.trim().rsplit(' ').next().expect("an address").to_owned();
        let client = server.at_url(&url).with("authorization", &format!("Bearer {TOKEN}"));
        Self { child, url, client, _configuration: folder }
    }

    fn settings(&self, config: &mut Config) {
        config.directory.kind = DirectoryKind::Scim;
        config.directory.url.clone_from(&self.url);
        config.directory.token = Secret::new(TOKEN);
    }

    async fn user(&self, name: &str, external_id: &str) -> Value {
        let body = json!({
            "schemas": [USER], "userName": name, "externalId": external_id, "displayName": "Ann Lee", "title": "Engineer",
            "name": { "givenName": "Ann", "familyName": "Lee" },
            "emails": [{ "value": "home@example.com", "type": "home" }, { "value": "ann@example.com", "primary": true }],
        });
        self.client.post("/Users", &body).await.expect(201)
    }

    async fn group(&self, name: &str, members: &[&Value]) -> Value {
        let members: Vec<Value> = members.iter().map(|user| json!({ "value": user["id"] })).collect();
        let body = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        self.client.post("/Groups", &body).await.expect(201)
    }

    async fn read(&self, kind: &str, resource: &Value) -> Value {
        self.client.get(&format!("/{kind}/{}", resource["id"].as_str().expect("an id"))).await.expect(200)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who speaks HTTP before there is a server of ours.
fn outside() -> Client {
    Client::with_key("http://127.0.0.1:1", TOKEN)
}

async fn started(kind: Kind, change: impl FnOnce(&mut Value)) -> (Server, Directory, Peer) {
    let peer = Peer::start(&outside(), change);
    let directory = Directory::start().await;
    let server = Server::start_with(kind, |config| {
        directory.settings(config);
        peer.settings(config);
    })
    .await;
    (server, directory, peer)
}

/// A profile and groups there and back: by PATCH and filters, or without either.
async fn profiles_and_groups_live_there(kind: Kind, change: fn(&mut Value)) {
    let (server, directory, peer) = started(kind, change).await;
    let user = peer.user("ann", "sub-ann").await;
    for number in 0..3 {
        peer.user(&format!("other{number}"), &format!("o{number}")).await;
    }
    let sre = peer.group("sre", &[&user]).await;
    peer.group("web", &[]).await;

    let (_, ann) = directory.sign_in(&server, "sub-ann", |claims| claims["groups"] = json!(["claimed"])).await;
    let me = ann.get("/api/users/me").await.expect(200);
    assert_eq!(
        (&me["username"], &me["email"], &me["directory"]),
        (&json!("ann"), &json!("ann@example.com"), &json!("scim"))
    );
    assert_eq!((&me["first_name"], &me["last_name"]), (&json!("Ann"), &json!("Lee")));
    assert_eq!(me["groups"], json!(["claimed", "sre"]), "what it says counts from the sign-in on");
    let wish = json!({ "email": "new@example.com", "first_name": "Anna", "last_name": "Low" });
    let changed = ann.put("/api/users/me", &wish).await.expect(200);
    let there = peer.read("Users", &user).await;
    assert_eq!((&there["name"]["givenName"], &there["name"]["familyName"]), (&json!("Anna"), &json!("Low")));
    assert_eq!(there["emails"][1], json!({ "value": "new@example.com", "primary": true }));
    assert_eq!(
        (&there["emails"][0]["value"], &there["title"]),
        (&json!("home@example.com"), &json!("Engineer")),
        "the rest stays"
    );
    assert_eq!((&changed["email"], &changed["first_name"]), (&json!("new@example.com"), &json!("Anna")));
    // What it refuses is told with its reason, and nothing pretends.
    let refused = ann.put("/api/users/me", &json!({ "email": "a b@example.com" })).await;
    assert_eq!(refused.error(400), "INVALID_REQUEST");

    assert_eq!(ann.get("/api/groups/list").await.expect(200)["groups"][0]["name"], "sre");
    let members = format!("/api/groups/{}/members", sre["id"].as_str().unwrap());
    let listed = ann.get(&members).await.expect(200);
    assert_eq!(
        listed["members"],
        json!([{ "id": user["id"], "username": "ann", "name": "Ann Lee", "email": "new@example.com" }])
    );
    let admin = server.browser().await;
    let names = async |who: &Client| {
        let mut names = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = who.get(&format!("/api/groups/list?limit=1{cursor}")).await.expect(200);
            names.extend(
                page["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        // In whatever order it keeps them.
        names.sort_unstable();
        names
    };
    assert_eq!(names(&admin).await, ["sre", "web"]);
    let made = admin.post("/api/groups/create", &json!({ "name": "data" })).await.expect(201);
    assert_eq!(peer.read("Groups", &made).await["displayName"], "data");
    assert_eq!(admin.post("/api/groups/create", &json!({ "name": "Data" })).await.error(409), "GROUP_EXISTS");
    let path = format!("/api/groups/{}/members", made["id"].as_str().unwrap());
    let mut socket = ann.socket().await;
    assert_eq!(admin.post(&path, &json!({ "user_id": me["id"] })).await.expect(200)["changed"], true);
    assert_eq!(
        admin.post(&path, &json!({ "user_id": user["id"] })).await.expect(200)["changed"],
        false,
        "by either id"
    );
    assert_eq!(peer.read("Groups", &made).await["members"][0]["value"], user["id"]);
    let counted = ann.get("/api/session").await.expect(200)["user"]["groups"].clone();
    let mut counted: Vec<_> = counted.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    counted.sort_unstable();
    assert_eq!(counted, ["claimed", "data", "sre"]);
    assert_eq!(admin.post(&path, &json!({ "user_id": "nobody" })).await.error(404), "NOT_FOUND");
    assert_eq!(admin.post(&path, &json!({ "user_id": "local-admin" })).await.error(404), "NOT_FOUND", "not kept there");
    let gone = admin.delete(&format!("{path}/{}", me["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(gone["changed"], true);
    assert!(peer.read("Groups", &made).await["members"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(admin.get("/api/groups/nothing/members").await.error(404), "NOT_FOUND");
    // The administrator who came by a link is kept here.
    assert_eq!(admin.get("/api/users/me").await.expect(200)["directory"], "local");

    // It forgets somebody: their sockets close once it is asked again.
    peer.client.delete(&format!("/Users/{}", user["id"].as_str().unwrap())).await;
    server.clock.advance(5 * 60 * 1000);
    assert_eq!(socket.closed().await, Some(4410));
    assert_eq!(ann.get("/api/session").await.error(401), "UNAUTHORIZED");
    let status = admin.get("/api/admin/system/status").await.expect(200);
    let part = status["components"].as_array().unwrap().iter().find(|part| part["name"] == "directory").unwrap();
    assert_eq!(part["status"], "ok", "{part}");
    assert!(part["reason"].as_str().unwrap().starts_with("scim: it answered "), "{part}");
    server.finish().await;
}

#[tokio::test]
async fn with_all_that_scim_can_do_sqlite() {
    profiles_and_groups_live_there(Kind::Sqlite, |_| {}).await;
}

#[tokio::test]
async fn with_all_that_scim_can_do_postgres() {
    profiles_and_groups_live_there(Kind::Postgres, |_| {}).await;
}

#[tokio::test]
async fn without_patch_filters_and_versions() {
    profiles_and_groups_live_there(Kind::Sqlite, |configuration| {
        for part in ["patch", "filter", "etag"] {
            configuration[part]["supported"] = json!(false);
        }
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_refuses_or_is_down_is_told_apart() {
    let (server, directory, peer) = started(Kind::Sqlite, |_| {}).await;
    peer.user("ann", "sub-ann").await;
    let (_, ann) = directory.sign_in(&server, "sub-ann", |_| {}).await;
    // Known to the directory that signs in only.
    let (_, bea) = directory.sign_in(&server, "sub-bea", |claims| claims["given_name"] = json!("Bea")).await;
    let me = bea.get("/api/users/me").await.expect(200);
    assert_eq!((&me["first_name"], &me["directory"]), (&json!("Bea"), &json!("local")));
    assert_eq!(bea.put("/api/users/me", &json!({ "first_name": "B" })).await.error(404), "NOT_IN_DIRECTORY");

    // Another token is refused there: that is the directory's answer, not ours.
    let other = Server::start_with(Kind::Sqlite, |config| {
        directory.settings(config);
        peer.settings(config);
        config.directory.token = Secret::new("another-token");
    })
    .await;
    let (_, here) = directory.sign_in(&other, "sub-ann", |_| {}).await;
    let error = here.get("/api/users/me").await.expect(502)["error"].clone();
    assert_eq!((&error["code"], &error["details"]["status"]), (&json!("DIRECTORY_ERROR"), &json!(401)));
    assert!(error["message"].as_str().unwrap().contains("directory.token"), "{error}");
    other.finish().await;

    let url = peer.url.clone();
    drop(peer);
    let answer = ann.get("/api/users/me").await;
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.error(503), "DIRECTORY_UNAVAILABLE");
    assert_eq!(ann.put("/api/users/me", &json!({ "first_name": "B" })).await.error(503), "DIRECTORY_UNAVAILABLE");
    let admin = server.browser().await;
    assert_eq!(admin.get("/api/groups/list").await.error(503), "DIRECTORY_UNAVAILABLE");
    // The session goes on, and so does signing in.
    ann.get("/api/session").await.expect(200);
    let (answer, _) = directory.sign_in(&server, "sub-ann", |_| {}).await;
    assert_eq!(answer.status.as_u16(), 303);
    let status = admin.get("/api/admin/system/status").await.expect(200);
    let part = |name: &str| {
        let parts = status["components"].as_array().unwrap();
        parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!(part("directory")["status"], "degraded");
    assert!(!part("directory")["reason"].as_str().unwrap().contains(&url), "{}", part("directory"));
    assert_eq!(part("sign_in")["status"], "ok");
    server.finish().await;
}
