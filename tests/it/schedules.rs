//! Schedules: runs begin by themselves at their time, each time once, in the name of who said so.

use std::sync::Arc;

use parlour::clock::rfc3339;
use parlour::crash_point::SCHEDULES;
use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::postgres::Database;
use crate::support::process::{Process, key};
use crate::support::server::{Client, Kind, Server, on_both_databases};

on_both_databases!(
    a_schedule_runs_at_its_time_in_the_name_of_who_made_it,
    what_was_missed_is_run_as_it_says,
    a_time_that_finds_the_run_before_under_way,
    nobody_else_says_what_it_runs,
    what_means_nothing_is_refused,
);

const HOUR: i64 = 60 * 60 * 1000;

fn tick(more: &Value) -> Value {
    let mut body = json!({ "playbook_path": "tick.yaml", "parameters": { "what": "it" } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The schedule once it is as wanted.
async fn until(client: &Client, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
    loop {
        let schedule = client.get(&format!("/api/schedules/{id}")).await.expect(200);
        if holds(&schedule) {
            return schedule;
        }
        tokio::task::yield_now().await;
    }
}

fn id(schedule: &Value) -> String {
    schedule["id"].as_str().unwrap().to_owned()
}

/// Once the newest run of a schedule has ended, it.
async fn ended(client: &Client, schedule: &Value) -> Value {
    loop {
        let path = format!("/api/executions/{}", schedule["last_execution_id"].as_str().unwrap());
        let run = client.get(&path).await.expect(200);
        if run["completed_at"].is_string() {
            return run;
        }
        tokio::task::yield_now().await;
    }
}

async fn runs(client: &Client) -> usize {
    client.get("/api/executions?limit=200").await.expect(200).as_array().unwrap().len()
}

async fn a_schedule_runs_at_its_time_in_the_name_of_who_made_it(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    // It is 2026-09-21, 16:13 in Berlin.
    let body = tick(&json!({ "name": "hourly", "cron": "0 * * * *", "timezone": "Europe/Berlin" }));
    let made = ann.post("/api/schedules", &body).await.expect(201);
    assert_eq!((&made["next_at"], &made["active"]), (&json!("2026-09-21T15:00:00.000Z"), &json!(true)));
    assert_eq!((&made["missed"], &made["overlap"]), (&json!("run_once"), &json!("allow")));
    assert_eq!((&made["title"], &made["playbook_path"]), (&json!("Tick"), &json!("tick.yaml")));
    for hour in [15, 16] {
        server.clock.advance(HOUR);
        let due = format!("2026-09-21T{hour}:00:00.000Z");
        let next = format!("2026-09-21T{}:00:00.000Z", hour + 1);
        let told = until(&ann, &id(&made), |schedule| schedule["next_at"] == next.as_str()).await;
        let run = ended(&ann, &told).await;
        assert_eq!((&run["status"], &run["kind"]), (&json!("completed"), &json!("playbook")), "{run}");
        assert_eq!(run["output"], json!({ "due": due, "who": "user", "what": "it" }));
        assert_eq!(told["last_error"], Value::Null);
    }
    assert_eq!(runs(&ann).await, 2);
    // What passes while it is off is not made up for.
    let path = format!("/api/schedules/{}", id(&made));
    let off = ann.patch(&path, &json!({ "active": false })).await.expect(200);
    assert_eq!((&off["active"], &off["next_at"]), (&json!(false), &Value::Null));
    server.clock.advance(5 * HOUR);
    let on = ann.patch(&path, &json!({ "active": true })).await.expect(200);
    assert_eq!(on["next_at"], "2026-09-21T22:00:00.000Z");
    // Once, and never again.
    let at = rfc3339(server.clock.now() + 1000);
    let changed = ann.patch(&path, &json!({ "at": at, "parameters": { "what": "another" } })).await.expect(200);
    assert_eq!((&changed["at"], &changed["cron"]), (&json!(at), &Value::Null));
    server.clock.advance(1000);
    let over = until(&ann, &id(&made), |schedule| schedule["next_at"].is_null()).await;
    assert_eq!(ended(&ann, &over).await["output"]["what"], "another");
    assert_eq!(runs(&ann).await, 3);
    let listed = ann.get("/api/schedules").await.expect(200);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["name"]), (1, &json!("hourly")));
    ann.delete(&path).await.expect(200);
    assert_eq!(ann.get("/api/schedules").await.expect(200), json!([]));
    assert_eq!(runs(&ann).await, 3, "its runs stay");
    let audit = server.browser().await.get("/api/admin/audit?limit=50").await.expect(200).to_string();
    for action in ["schedule.create", "schedule.change", "schedule.delete"] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
}

async fn what_was_missed_is_run_as_it_says(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let mut made = Vec::new();
    for missed in ["skip", "run_once", "run_all"] {
        let body = tick(&json!({ "name": missed, "every": "1h", "missed": missed }));
        made.push(ann.post("/api/schedules", &body).await.expect(201));
    }
    server.clock.advance(5 * HOUR + HOUR / 2);
    let next = rfc3339(server.clock.now() + HOUR / 2);
    for (schedule, times) in made.iter().zip([0, 1, 5]) {
        let before = runs(&ann).await;
        let told = until(&ann, &id(schedule), |schedule| schedule["next_at"] == next.as_str()).await;
        match times {
            0 => assert_eq!(told["last_error"], "no server was there at the time"),
            _ => assert_eq!(ended(&ann, &told).await["status"], "completed"),
        }
        assert!(before <= 6 && told["last_at"].is_string());
    }
    assert_eq!(runs(&ann).await, 6);
    for schedule in &made {
        ann.delete(&format!("/api/schedules/{}", id(schedule))).await.expect(200);
    }
}

async fn a_time_that_finds_the_run_before_under_way(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    for overlap in ["skip", "cancel_running", "allow"] {
        let body = json!({ "playbook_path": "asleep.yaml", "parameters": { "how": "sleep" }, "every": "10s",
            "overlap": overlap });
        let made = ann.post("/api/schedules", &body).await.expect(201);
        server.clock.advance(10_000);
        let first = until(&ann, &id(&made), |schedule| schedule["last_execution_id"].is_string()).await;
        server.clock.advance(10_000);
        let second = until(&ann, &id(&made), |schedule| schedule["last_at"] != first["last_at"]).await;
        let run = format!("/api/executions/{}", first["last_execution_id"].as_str().unwrap());
        let status = ann.get(&run).await.expect(200)["status"].clone();
        match overlap {
            "skip" => {
                assert_eq!(second["last_execution_id"], first["last_execution_id"]);
                assert!(second["last_error"].as_str().unwrap().contains("was still under way"), "{second}");
                assert_eq!(status, "running");
            }
            _ => {
                assert_ne!(second["last_execution_id"], first["last_execution_id"]);
                assert_eq!(status, if overlap == "allow" { "running" } else { "cancelled" });
            }
        }
        ann.delete(&format!("/api/schedules/{}", id(&made))).await.expect(200);
        for run in ann.get("/api/executions?status=running").await.expect(200).as_array().unwrap() {
            let id = run["execution_id"].as_str().unwrap();
            ann.post(&format!("/api/executions/{id}/cancel"), &json!({})).await.expect(200);
        }
    }
}

async fn nobody_else_says_what_it_runs(server: Arc<Server>) {
    let (ann, bob, admin) =
        (server.program(Role::User).await, server.program(Role::User).await, server.program(Role::Admin).await);
    let made = ann.post("/api/schedules", &tick(&json!({ "every": "1h" }))).await.expect(201);
    let path = format!("/api/schedules/{}", id(&made));
    assert_eq!(bob.get("/api/schedules").await.expect(200), json!([]));
    assert_eq!(bob.patch(&path, &json!({ "active": false })).await.error(404), "SCHEDULE_NOT_FOUND");
    assert_eq!(bob.delete(&path).await.error(404), "SCHEDULE_NOT_FOUND");
    // An administrator may stop it, and not make it do something else in her name.
    let other = json!({ "parameters": { "what": "else" } });
    assert_eq!(admin.patch(&path, &other).await.error(403), "FORBIDDEN");
    admin.patch(&path, &json!({ "active": false })).await.expect(200);
    admin.patch(&path, &json!({ "active": true })).await.expect(200);
    let viewer = server.program(Role::Readonly).await;
    assert_eq!(viewer.post("/api/schedules", &tick(&json!({ "every": "1h" }))).await.status.as_u16(), 403);
    // Whose key counts no more, nothing runs for.
    let key = ann.get("/api/session").await.expect(200)["user_id"].as_str().unwrap().to_owned();
    admin.delete(&format!("/api/keys/{key}")).await.expect(200);
    server.clock.advance(HOUR);
    let off = until(&admin, &id(&made), |schedule| schedule["active"] == false).await;
    assert!(off["reason"].as_str().unwrap().contains("may do nothing here any more"), "{off}");
    assert_eq!((&off["last_execution_id"], runs(&admin).await), (&Value::Null, 0));
}

async fn what_means_nothing_is_refused(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    for (body, field) in [
        (json!({ "every": "1h" }), "playbook_path"),
        (tick(&json!({})), "cron"),
        (tick(&json!({ "every": "1h", "at": "2027-01-01T00:00:00Z" })), "cron"),
        (tick(&json!({ "every": "9s" })), "every"),
        (tick(&json!({ "every": "often" })), "every"),
        (tick(&json!({ "at": "2020-01-01T00:00:00Z" })), "at"),
        (tick(&json!({ "cron": "0 0 31 2 *" })), "cron"),
        (tick(&json!({ "cron": "* * *" })), "cron"),
        (tick(&json!({ "cron": "0 2 * * *", "timezone": "Mars/Olympus" })), "timezone"),
        (tick(&json!({ "every": "1h", "timezone": "UTC" })), "timezone"),
        (tick(&json!({ "every": "1h", "missed": "later" })), "missed"),
        (tick(&json!({ "every": "1h", "overlap": "queue" })), "overlap"),
        (tick(&json!({ "every": "1h", "name": "two\nlines" })), "name"),
        (tick(&json!({ "every": "1h", "workflow_id": "x" })), "workflow_id"),
    ] {
        let answer = ann.post("/api/schedules", &body).await.expect(400);
        assert_eq!(answer["error"]["details"]["field"], field, "{body}: {answer}");
    }
    let missing = json!({ "playbook_path": "tick.yaml", "every": "1h" });
    let answer = ann.post("/api/schedules", &missing).await;
    assert!(answer.status.as_u16() == 400 && answer.text.contains("what"), "{}", answer.text);
    for path in ["../tick.yaml", "none.yaml"] {
        let body = json!({ "playbook_path": path, "every": "1h", "parameters": {} });
        assert!([400, 404].contains(&ann.post("/api/schedules", &body).await.status.as_u16()), "{path}");
    }
    assert_eq!(ann.post("/api/schedules", &tick(&json!({ "every": "1h", "evry": 1 }))).await.status.as_u16(), 400);
}

#[tokio::test]
async fn a_time_is_one_run_on_any_number_of_servers() {
    let here = Server::start(Kind::Postgres).await;
    let there = here.beside().await;
    let ann = here.program(Role::User).await;
    let made = ann.post("/api/schedules", &tick(&json!({ "every": "1h" }))).await.expect(201);
    for time in 1..=5 {
        here.clock.advance(HOUR);
        let next = rfc3339(here.clock.now() + HOUR);
        let told = until(&ann, &id(&made), |schedule| schedule["next_at"] == next.as_str()).await;
        ended(&ann, &told).await;
        assert_eq!(runs(&ann).await, time);
    }
    there.finish().await;
    here.finish().await;
}

async fn a_time_survives(database: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let key = key(folder.path(), database);
    let environment = |point| [("PARLOUR_PLAYBOOKS", "[\"tests/fixtures/playbooks\"]"), ("PARLOUR_CRASH_POINT", point)];
    let crash = format!("{}:1", SCHEDULES[0]);
    let mut dying = Process::start_with(folder.path(), database, &environment(&crash)).unwrap();
    let ann = Client::with_key(&dying.url, &key);
    let soon = parlour::clock::Clock::system().now() + 500;
    let made = ann.post("/api/schedules", &tick(&json!({ "at": rfc3339(soon) }))).await.expect(201);
    assert!(!dying.ended().success(), "it dies when the run has begun and the schedule has not moved on");
    let process = Process::start_with(folder.path(), database, &environment("none:1")).unwrap();
    let ann = Client::with_key(&process.url, &key);
    let told = until(&ann, &id(&made), |schedule| schedule["next_at"].is_null()).await;
    assert_eq!(ended(&ann, &told).await["status"], "completed");
    assert_eq!(runs(&ann).await, 1);
}

#[tokio::test]
async fn a_time_is_one_run_whoever_dies() {
    a_time_survives(None).await;
    let database = Database::create().await;
    a_time_survives(Some(&database.url)).await;
}
