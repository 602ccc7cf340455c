//! People and groups at Zitadel. No Zitadel runs here: this one answers as its published interface says, each of its ages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use parlour::config::{Config, DirectoryKind};
use parlour::model::secret::Secret;
use serde_json::{Value, json};

use crate::support::directory::Directory;
use crate::support::server::{Kind, Server};

const TOKEN: &str = "the-token-of-zitadel";

#[derive(Default)]
struct Shown {
    /// Whether it knows UpdateUser and the group service, which came later than the rest.
    is_new: bool,
    profile: Value,
    email: String,
    gone: bool,
    /// Names and members of groups by their ids.
    groups: BTreeMap<String, (String, Vec<String>)>,
}

type Shared = State<Arc<Mutex<Shown>>>;

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "code": 3, "message": message }))).into_response()
}

async fn user(State(shown): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let shown = shown.lock().unwrap();
    if headers["authorization"] != format!("Bearer {TOKEN}") {
        return refusal(StatusCode::UNAUTHORIZED, "invalid token");
    }
    if id != "ann" || shown.gone {
        return refusal(StatusCode::NOT_FOUND, "User could not be found");
    }
    Json(json!({
        "details": { "sequence": "2", "creationDate": "2026-01-02T03:04:05Z" },
        "user": {
            "userId": id, "state": "USER_STATE_ACTIVE", "username": "ann", "preferredLoginName": "ann@example.com",
            "human": { "profile": shown.profile, "email": { "email": shown.email, "isVerified": true } },
        },
    }))
    .into_response()
}

fn take(shown: &mut Shown, human: &Value) -> Response {
    if human["email"]["email"].as_str().is_some_and(|email| email.ends_with("@forbidden.example")) {
        return refusal(StatusCode::BAD_REQUEST, "Domain is not allowed");
    }
    if human["profile"].is_object() {
        shown.profile = human["profile"].clone();
    }
    if let Some(email) = human["email"]["email"].as_str() {
        email.clone_into(&mut shown.email);
    }
    Json(json!({ "details": {} })).into_response()
}

async fn update(State(shown): Shared, Json(body): Json<Value>) -> Response {
    let mut shown = shown.lock().unwrap();
    if shown.is_new {
        take(&mut shown, &body["human"])
    } else {
        refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
    }
}

async fn update_human(State(shown): Shared, Json(body): Json<Value>) -> Response {
    take(&mut shown.lock().unwrap(), &body)
}

async fn call(State(shown): Shared, Path(procedure): Path<String>, Json(body): Json<Value>) -> Response {
    let mut shown = shown.lock().unwrap();
    if !shown.is_new {
        return refusal(StatusCode::NOT_FOUND, "Not Found");
    }
    let wanted = |by: &str| {
        let ids = body["filters"][0][by]["ids"].as_array().cloned();
        ids.map(|ids| ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let page = |field: &str, all: Vec<Value>| {
        let skip = usize::try_from(body["pagination"]["offset"].as_u64().unwrap_or(0)).unwrap();
        let limit = usize::try_from(body["pagination"]["limit"].as_u64().unwrap_or(100)).unwrap();
        let total = all.len().to_string();
        let some: Vec<Value> = all.into_iter().skip(skip).take(limit).collect();
        json!({ field: some, "pagination": { "totalResult": total, "appliedLimit": limit.to_string() } })
    };
    let answer = match procedure.as_str() {
        "ListGroups" => {
            let ids = wanted("groupIds");
            let fits = |id: &String| ids.as_ref().is_none_or(|ids| ids.contains(id));
            let groups = shown.groups.iter().filter(|(id, _)| fits(id));
            page("groups", groups.map(|(id, (name, _))| json!({ "id": id, "name": name })).collect())
        }
        "GetGroup" => match shown.groups.get(body["id"].as_str().unwrap()) {
            Some((name, _)) => {
                json!({ "group": { "id": body["id"], "name": name, "creationDate": "2026-01-02T03:04:05Z" } })
            }
            None => return refusal(StatusCode::NOT_FOUND, "Group not found"),
        },
        "CreateGroup" => {
            assert_eq!(body["organizationId"], "org1");
            let id = format!("g{}", shown.groups.len() + 1);
            shown.groups.insert(id.clone(), (body["name"].as_str().unwrap().to_owned(), Vec::new()));
            json!({ "id": id })
        }
        "ListGroupUsers" => {
            let (groups, users) = (wanted("groupIds"), wanted("userIds"));
            let mut all = Vec::new();
            for (id, (_, members)) in &shown.groups {
                for user in members {
                    let fits = |ids: &Option<Vec<String>>, one| ids.as_ref().is_none_or(|ids| ids.contains(one));
                    if fits(&groups, id) && fits(&users, user) {
                        all.push(json!({ "groupId": id, "user": { "id": user, "displayName": "Ann Lee", "preferredLoginName": "ann@example.com" } }));
                    }
                }
            }
            page("groupUsers", all)
        }
        "AddUsersToGroup" | "RemoveUsersFromGroup" => {
            let (_, members) = shown.groups.get_mut(body["id"].as_str().unwrap()).unwrap();
            let user = body["userIds"][0].as_str().unwrap().to_owned();
            members.retain(|known| *known != user);
            if procedure == "AddUsersToGroup" {
                members.push(user);
            }
            json!({})
        }
        _ => return refusal(StatusCode::NOT_IMPLEMENTED, "unimplemented"),
    };
    Json(answer).into_response()
}

struct Zitadel {
    url: String,
    shown: Arc<Mutex<Shown>>,
    _server: tokio::task::JoinSet<()>,
}

impl Zitadel {
    async fn start(is_new: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let profile = json!({ "givenName": "Ann", "familyName": "Lee" });
        let groups = [("g1".to_owned(), ("sre".to_owned(), vec!["ann".to_owned()]))].into();
        let shown = Shown { is_new, profile, email: "ann@example.com".to_owned(), groups, ..Shown::default() };
        let shown = Arc::new(Mutex::new(shown));
        let router = Router::new()
            .route("/v2/users/{id}", get(user).patch(update))
            .route("/v2/users/human/{id}", put(update_human))
            .route("/zitadel.group.v2.GroupService/{procedure}", post(call))
            .with_state(shown.clone());
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shown, _server: server }
    }

    fn settings(&self, config: &mut Config) {
        config.directory.kind = DirectoryKind::Zitadel;
        config.directory.url.clone_from(&self.url);
        config.directory.token = Secret::new(TOKEN);
        config.directory.organization = "org1".to_owned();
    }
}

#[tokio::test]
async fn profiles_are_read_and_changed_at_each_age() {
    for is_new in [true, false] {
        let (zitadel, directory) = (Zitadel::start(is_new).await, Directory::start().await);
        let server = Server::start_with(Kind::Sqlite, |config| {
            directory.settings(config);
            zitadel.settings(config);
        })
        .await;
        let (_, ann) = directory.sign_in(&server, "ann", |_| {}).await;
        let me = ann.get("/api/users/me").await.expect(200);
        assert_eq!((&me["email"], &me["directory"]), (&json!("ann@example.com"), &json!("zitadel")));
        assert_eq!(me["created_at"], "2026-01-02T03:04:05.000Z");
        let changed =
            ann.put("/api/users/me", &json!({ "first_name": "Anna", "email": "new@example.com" })).await.expect(200);
        assert_eq!(
            (&changed["first_name"], &changed["last_name"], &changed["email"]),
            (&json!("Anna"), &json!("Lee"), &json!("new@example.com"))
        );
        assert_eq!(zitadel.shown.lock().unwrap().profile, json!({ "givenName": "Anna", "familyName": "Lee" }));
        let refused =
            ann.put("/api/users/me", &json!({ "email": "a@forbidden.example" })).await.expect(502)["error"].clone();
        assert_eq!(
            (&refused["code"], &refused["message"]),
            (&json!("DIRECTORY_ERROR"), &json!("the directory refuses: Domain is not allowed"))
        );
        assert_eq!(ann.put("/api/users/me", &json!({ "last_name": null })).await.error(400), "INVALID_REQUEST");
        let admin = server.browser().await;
        if is_new {
            assert_eq!(me["groups"], json!(["sre"]));
        } else {
            assert_eq!(admin.get("/api/groups/list").await.error(502), "DIRECTORY_HAS_NO_GROUPS");
        }
        server.finish().await;
    }
}

#[tokio::test]
async fn groups_are_listed_made_and_filled() {
    let (zitadel, directory) = (Zitadel::start(true).await, Directory::start().await);
    let server = Server::start_with(Kind::Sqlite, |config| {
        directory.settings(config);
        zitadel.settings(config);
    })
    .await;
    let (_, ann) = directory.sign_in(&server, "ann", |_| {}).await;
    let me = ann.get("/api/users/me").await.expect(200);
    let admin = server.browser().await;
    assert_eq!(admin.get("/api/groups/list").await.expect(200)["groups"][0]["name"], "sre");
    assert_eq!(ann.get("/api/groups/list").await.expect(200)["groups"][0]["id"], "g1");
    let members = ann.get("/api/groups/g1/members").await.expect(200);
    assert_eq!((&members["members"][0]["id"], &members["members"][0]["name"]), (&json!("ann"), &json!("Ann Lee")));
    let made = admin.post("/api/groups/create", &json!({ "name": "web" })).await.expect(201);
    let path = format!("/api/groups/{}/members", made["id"].as_str().unwrap());
    assert_eq!(admin.post(&path, &json!({ "user_id": me["id"] })).await.expect(200)["changed"], true);
    assert_eq!(ann.get("/api/session").await.expect(200)["user"]["groups"], json!(["sre", "web"]));
    assert_eq!(admin.post(&path, &json!({ "user_id": "nobody" })).await.error(404), "NOT_FOUND");
    let page = admin.get("/api/groups/list?limit=1").await.expect(200);
    let rest =
        admin.get(&format!("/api/groups/list?limit=1&cursor={}", page["next"].as_str().unwrap())).await.expect(200);
    assert_eq!((&rest["groups"][0]["name"], &rest["next"]), (&json!("web"), &Value::Null));
    assert_eq!(admin.delete(&format!("{path}/{}", me["id"].as_str().unwrap())).await.expect(200)["changed"], true);
    assert_eq!(ann.get("/api/session").await.expect(200)["user"]["groups"], json!(["sre"]));
    // Gone there, gone here.
    let mut socket = ann.socket().await;
    zitadel.shown.lock().unwrap().gone = true;
    server.clock.advance(5 * 60 * 1000);
    assert_eq!(socket.closed().await, Some(4410));
    server.finish().await;
}
