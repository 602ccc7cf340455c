//! How each part of this server does, since when; and what a server has to look after while it runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::ApiResult;
use crate::bus::Matter;
use crate::clock::rfc3339;
use crate::identity::permission::{Object, Verb, authorize};
use crate::identity::{Caller, Health};
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::store::QUEUE;

/// How often a server looks after itself: so soon it hears at the latest what other servers and the command line have
/// ended.
const LOOK: Duration = Duration::from_secs(1);

/// How long a directory that does not answer is left alone by whoever has time.
const REST: Duration = Duration::from_secs(15);

/// How long an answer waits for the directory that signs in.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a part does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Condition {
    Ok,
    /// It works, not as it should.
    Degraded,
    Down,
}

#[derive(Clone, Debug)]
struct Part {
    condition: Condition,
    reason: Option<String>,
    since: Millis,
}

/// The parts as they were last seen.
#[derive(Default)]
pub(super) struct Parts {
    seen: Mutex<BTreeMap<&'static str, Part>>,
}

impl Parts {
    /// Notes how a part does; as long as that stays the same, `since` stays.
    fn see(&self, name: &'static str, condition: Condition, reason: Option<String>, now: Millis) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let part = seen.entry(name).or_insert(Part { condition, reason: None, since: now });
        if part.condition != condition {
            part.condition = condition;
            part.since = now;
            tracing::info!(part = name, ?condition, reason, "a part of the server does otherwise");
        }
        part.reason = reason;
    }
}

/// How this server does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SystemStatus {
    /// The worst of its parts.
    status: Condition,
    version: &'static str,
    /// RFC 3339.
    timestamp: String,
    uptime_seconds: i64,
    components: Vec<Component>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Component {
    /// `database`, `writes`, `bots`, `directory`, `sign_in` or `sockets`.
    name: &'static str,
    status: Condition,
    /// Why it is not well, or what it is.
    reason: Option<String>,
    /// RFC 3339; since when it does so.
    since: String,
    age_seconds: i64,
}

/// Looks at every part.
async fn look(api: &Api) -> Result<i64> {
    let (store, now) = (api.engine.store(), api.engine.clock().now());
    let head = store.audit_head().await;
    match &head {
        Ok(_) => api.parts.see("database", Condition::Ok, Some(store.version().to_owned()), now),
        Err(error) => api.parts.see("database", Condition::Down, Some(error.to_string()), now),
    }
    let waiting = store.waiting_writes();
    let condition = if waiting * 2 < QUEUE { Condition::Ok } else { Condition::Degraded };
    api.parts.see("writes", condition, Some(format!("{waiting} of {QUEUE} wait")), now);
    let snapshot = api.engine.registry().snapshot();
    let all = snapshot.statuses().count();
    let ill: Vec<&str> =
        snapshot.statuses().filter(|(_, status)| status.detail().is_some()).map(|(name, _)| name).collect();
    if ill.is_empty() {
        api.parts.see("bots", Condition::Ok, Some(format!("{all} online")), now);
    } else {
        let reason = format!("the newest files cannot be used of {}", ill.join(", "));
        api.parts.see("bots", Condition::Degraded, Some(reason), now);
    }
    look_at_directories(api, now);
    let (open, users) = api.sockets.open();
    api.parts.see("sockets", Condition::Ok, Some(format!("{open} open, of {users} users")), now);
    head
}

/// How the directories did when they were last asked: the one that keeps people and groups, and the one that signs in.
fn look_at_directories(api: &Api, now: Millis) {
    let told = |name, kind: &str, Health { answered_at, failed }: Health| {
        let age = answered_at
            .map_or("it has not been asked yet".to_owned(), |at| format!("it answered {} s ago", (now - at) / 1000));
        match failed {
            // What it said before goes on counting.
            Some(why) => {
                let reason = format!("{kind}: it does not answer ({why}); {age}");
                api.parts.see(name, Condition::Degraded, Some(reason), now);
            }
            None => api.parts.see(name, Condition::Ok, Some(format!("{kind}: {age}")), now),
        }
    };
    let kind = api.people.kind().as_str();
    match api.people.health() {
        Some(health) => told("directory", kind, health),
        None => {
            api.parts.see("directory", Condition::Ok, Some("local: people and groups are kept here".to_owned()), now)
        }
    }
    if let Some(oidc) = &api.oidc {
        told("sign_in", "oidc", oidc.health());
    }
}

/// Asks a remote directory about the people who are here, again and again until the server stops.
pub(super) async fn watch_people(api: Api) {
    let stop = api.tasks.stop_token().clone();
    loop {
        let mut pause = LOOK;
        match api.people.ask_again().await {
            Ok(heard) => {
                api.send_away(&heard.ended);
                if heard.groups_changed {
                    api.sockets.look_again();
                }
            }
            Err(error) => {
                pause = REST;
                tracing::debug!(%error, "the directory could not be asked about people");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Acts on what other servers and the command line did after the row `from`; answers up to which row that is done.
async fn hear(api: &Api, from: i64) -> i64 {
    let Ok(news) = api.engine.store().news(from).await else { return from };
    api.send_away(&news.ended);
    if news.groups {
        api.identity.forget_keys();
        api.sockets.look_again();
    }
    if news.grants && !reload_grants(api).await {
        return from;
    }
    if news.webhooks && api.engine.store().look_for_webhooks().await.is_err() {
        return from;
    }
    news.newest
}

async fn reload_grants(api: &Api) -> bool {
    match api.engine.store().load_grants().await {
        Ok(()) => true,
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(source, "the grants could not be read again: {error}");
            false
        }
    }
}

/// Looks after the server until it stops: sockets whose credential was ended elsewhere are closed, and how each part does
/// is noted.
pub(super) async fn watch(api: Api) {
    let stop = api.tasks.stop_token().clone();
    let mut elsewhere = api.engine.bus().elsewhere(Matter::Credentials);
    // What was ended before has no sockets here.
    let mut known: Option<i64> = None;
    loop {
        if let Ok(head) = look(&api).await {
            match known {
                None if reload_grants(&api).await => known = Some(head),
                Some(from) if from < head => known = Some(hear(&api, from).await),
                _ => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            // The bus lives as long as this server.
            _ = elsewhere.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Each part of the server: how it does, why, and since when.
#[utoipa::path(get, path = "/api/admin/system/status", tag = "admin", responses((status = 200, body = SystemStatus), (status = 401), (status = 403)))]
pub(super) async fn status(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<SystemStatus>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    if let Some(oidc) = &api.oidc {
        let _ = tokio::time::timeout(PATIENCE, oidc.look()).await;
    }
    // A database that is away is part of the answer.
    let _ = look(&api).await;
    let now = api.engine.clock().now();
    let seen = api.parts.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let rank = |condition| match condition {
        Condition::Ok => 0,
        Condition::Degraded => 1,
        Condition::Down => 2,
    };
    Ok(Answer(SystemStatus {
        status: seen.values().map(|part| part.condition).max_by_key(|one| rank(*one)).unwrap_or(Condition::Ok),
        version: env!("CARGO_PKG_VERSION"),
        timestamp: rfc3339(now),
        uptime_seconds: (now - api.engine.started_at()) / 1000,
        components: seen
            .into_iter()
            .map(|(name, part)| Component {
                name,
                status: part.condition,
                reason: part.reason,
                since: rfc3339(part.since),
                age_seconds: (now - part.since) / 1000,
            })
            .collect(),
    }))
}
