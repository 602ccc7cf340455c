//! Counts of what this server has done since it started, for people and collectors.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use super::Api;
use super::error::{ApiError, ApiResult};
use super::extract::{Known, token};
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::conversation::Millis;
use crate::model::{Error, Result};

/// Upper bounds of the histogram of durations, in milliseconds.
const BOUNDS: [u64; 8] = [1, 5, 25, 100, 250, 1000, 5000, 30_000];

const DAY: Millis = 24 * 60 * 60 * 1000;

/// What was counted.
#[derive(Default)]
pub(super) struct Counts {
    state: Mutex<Counted>,
}

#[derive(Clone, Default)]
struct Counted {
    /// Requests by method, route and status.
    requests: BTreeMap<(&'static str, String, u16), u64>,
    /// How many took at most each bound, and longer than all of them.
    durations: [u64; BOUNDS.len() + 1],
    /// Of all requests together, in microseconds.
    duration_sum: u64,
    limited: u64,
}

/// Methods by name; a client may invent others.
fn word(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}

impl Counts {
    /// Counts an answer of a door. `route` is the path with its parameters by name, so that there are few of them.
    pub(super) fn answered(&self, method: &Method, route: &str, status: u16, took: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state.requests.entry((word(method), route.to_owned(), status)).or_default() += 1;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let place = BOUNDS.iter().position(|bound| millis < *bound).unwrap_or(BOUNDS.len());
        state.durations[place] += 1;
        state.duration_sum = state.duration_sum.saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        state.limited += u64::from(status == 429);
    }

    fn snapshot(&self) -> Counted {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Figures of this server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Metrics {
    version: &'static str,
    uptime_seconds: i64,
    requests: Requests,
    sockets: Sockets,
    database: Database,
    conversations: Conversations,
    runs_last_24h: Runs,
    bots: Bots,
    outside: Outside,
}

/// Since the start of this server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Requests {
    total: u64,
    by_status: BTreeMap<u16, u64>,
    /// Refused since too many came.
    rate_limited: u64,
    /// Waiting requests, such as long polls, count with all the time they wait.
    mean_milliseconds: f64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sockets {
    open: usize,
    /// Users and keys that have at least one.
    users: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Database {
    /// Such as `SQLite 3.51.3`.
    version: String,
    writes_waiting: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Conversations {
    open: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Runs {
    total: i64,
    failed: i64,
    by_bot: BTreeMap<String, i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Bots {
    online: usize,
    degraded: usize,
}

/// Chats outside. What was delivered and tried is counted since the start of this server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Outside {
    inbox_waiting: i64,
    inbox_failed: i64,
    outbox_waiting: i64,
    dead_letters: i64,
    delivered: u64,
    retried: u64,
    given_up: u64,
    /// Messages that may stand twice: said again when nobody could tell whether they had arrived.
    maybe_twice: u64,
}

async fn outside(api: &Api) -> Result<Outside> {
    let store = api.engine.store();
    let ((inbox_waiting, inbox_failed), (outbox_waiting, dead_letters)) =
        (store.inbox_counts().await?, store.outbox_counts().await?);
    let counts = &api.chats.outbox.counts;
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Ok(Outside {
        inbox_waiting,
        inbox_failed,
        outbox_waiting,
        dead_letters,
        delivered: read(&counts.delivered),
        retried: read(&counts.retried),
        given_up: read(&counts.dead),
        maybe_twice: read(&counts.maybe_twice),
    })
}

async fn gather(api: &Api, counted: &Counted) -> Result<Metrics> {
    let store = api.engine.store();
    let now = api.engine.clock().now();
    let runs = store.runs_since(now - DAY).await?;
    let snapshot = api.engine.registry().snapshot();
    let online = snapshot.statuses().filter(|(_, status)| status.detail().is_none()).count();
    let (open, users) = api.sockets.open();
    let total: u64 = counted.requests.values().sum();
    let mut by_status = BTreeMap::new();
    for ((_, _, status), count) in &counted.requests {
        *by_status.entry(*status).or_default() += count;
    }
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    let mean_milliseconds = counted.duration_sum as f64 / 1000.0 / total.max(1) as f64;
    Ok(Metrics {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: (now - api.engine.started_at()) / 1000,
        requests: Requests { total, by_status, rate_limited: counted.limited, mean_milliseconds },
        sockets: Sockets { open, users },
        database: Database { version: store.version().to_owned(), writes_waiting: store.waiting_writes() },
        conversations: Conversations { open: store.open_conversations().await? },
        runs_last_24h: Runs { total: runs.total, failed: runs.failed, by_bot: runs.by_bot.into_iter().collect() },
        bots: Bots { online, degraded: snapshot.statuses().count() - online },
        outside: outside(api).await?,
    })
}

/// What this server has done and what it holds.
#[utoipa::path(get, path = "/api/admin/system/metrics", tag = "admin", responses((status = 200, body = Metrics), (status = 401), (status = 403)))]
pub(super) async fn read(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<Metrics>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    Ok(Answer(gather(&api, &api.counts.snapshot()).await?))
}

/// The same for a collector, in Prometheus' text format; opened by an administrator's credential or by the token of the settings.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String, content_type = "text/plain"), (status = 401), (status = 403)))]
pub(super) async fn scrape(
    State(api): State<Api>,
    axum::Extension(Known(caller)): axum::Extension<Known>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if !is_collector(&api, &headers) {
        let refused = || Error::unauthenticated("send an administrator's key, or the token of metrics.token");
        let caller = caller.ok_or_else(refused)?;
        authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    }
    let counted = api.counts.snapshot();
    let text = exposition(&gather(&api, &counted).await?, &counted);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn is_collector(api: &Api, headers: &HeaderMap) -> bool {
    let expected = api.gate.metrics_token.as_bytes();
    let given = token(headers).map_or("", |(token, _)| token);
    !expected.is_empty() && bool::from(expected.ct_eq(given.as_bytes()))
}

fn exposition(metrics: &Metrics, counted: &Counted) -> String {
    let mut text = String::new();
    let mut one = |name: &str, kind: &str, help: &str, lines: &[(String, String)]| {
        let _ = writeln!(text, "# HELP parlour_{name} {help}\n# TYPE parlour_{name} {kind}");
        for (labels, value) in lines {
            let _ = writeln!(text, "parlour_{name}{labels} {value}");
        }
    };
    let plain = |value: String| vec![(String::new(), value)];
    let build = format!("{{version=\"{}\",database=\"{}\"}}", metrics.version, metrics.database.version);
    one("build_info", "gauge", "The version that runs.", &[(build, "1".to_owned())]);
    one("uptime_seconds", "gauge", "Since the start.", &plain(metrics.uptime_seconds.to_string()));
    let requests = counted.requests.iter().map(|((method, route, status), count)| {
        (format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"), count.to_string())
    });
    one("http_requests_total", "counter", "Requests answered.", &requests.collect::<Vec<_>>());
    one("http_rate_limited_total", "counter", "Requests beyond a limit.", &plain(counted.limited.to_string()));
    one("sockets_open", "gauge", "Web sockets that are open.", &plain(metrics.sockets.open.to_string()));
    one("socket_users", "gauge", "Users and keys with a web socket.", &plain(metrics.sockets.users.to_string()));
    one(
        "writes_waiting",
        "gauge",
        "Writes waiting for the database.",
        &plain(metrics.database.writes_waiting.to_string()),
    );
    one("conversations_open", "gauge", "Conversations that are open.", &plain(metrics.conversations.open.to_string()));
    let runs = &metrics.runs_last_24h;
    let lines = [("succeeded", runs.total - runs.failed), ("failed", runs.failed)]
        .map(|(outcome, count)| (format!("{{outcome=\"{outcome}\"}}"), count.to_string()));
    one("runs_last_24h", "gauge", "Runs of the last 24 hours; those under way count as succeeded.", &lines);
    let lines = [("online", metrics.bots.online), ("degraded", metrics.bots.degraded)]
        .map(|(status, count)| (format!("{{status=\"{status}\"}}"), count.to_string()));
    one("bots", "gauge", "Bots by how they do.", &lines);
    let outside = &metrics.outside;
    let lines = [("waiting", outside.inbox_waiting), ("failed", outside.inbox_failed)]
        .map(|(state, count)| (format!("{{state=\"{state}\"}}"), count.to_string()));
    one("inbox", "gauge", "What came from chats outside, by what became of it.", &lines);
    let lines = [("waiting", outside.outbox_waiting), ("dead", outside.dead_letters)]
        .map(|(state, count)| (format!("{{state=\"{state}\"}}"), count.to_string()));
    one("outbox", "gauge", "What has to leave for chats outside, by what became of it.", &lines);
    let lines = [
        ("delivered", outside.delivered),
        ("retried", outside.retried),
        ("given_up", outside.given_up),
        ("maybe_twice", outside.maybe_twice),
    ]
    .map(|(outcome, count)| (format!("{{outcome=\"{outcome}\"}}"), count.to_string()));
    one("outbox_attempts_total", "counter", "Attempts to deliver to chats outside.", &lines);
    histogram(&mut text, counted);
    text
}

fn histogram(text: &mut String, counted: &Counted) {
    const NAME: &str = "parlour_http_request_duration_seconds";
    let _ = writeln!(text, "# HELP {NAME} How long requests took.\n# TYPE {NAME} histogram");
    let mut below = 0;
    for (bound, count) in BOUNDS.iter().zip(counted.durations) {
        below += count;
        let _ = writeln!(text, "{NAME}_bucket{{le=\"{}\"}} {below}", seconds(*bound * 1000));
    }
    let total: u64 = counted.durations.iter().sum();
    let _ = writeln!(text, "{NAME}_bucket{{le=\"+Inf\"}} {total}");
    let _ = writeln!(text, "{NAME}_sum {}\n{NAME}_count {total}", seconds(counted.duration_sum));
}

fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up_and_methods_are_few() {
        let counts = Counts::default();
        for (millis, status) in [(0, 200), (4, 200), (4, 429), (99, 200), (40_000, 200)] {
            counts.answered(&Method::GET, "/a/{id}", status, Duration::from_millis(millis));
        }
        counts.answered(&Method::from_bytes(b"BREW").unwrap(), "/a", 405, Duration::from_micros(1500));
        let counted = counts.snapshot();
        assert_eq!((counted.requests.len(), counted.limited), (3, 1));
        assert_eq!(counted.requests[&("OTHER", "/a".to_owned(), 405)], 1);
        let mut text = String::new();
        histogram(&mut text, &counted);
        for line in [
            "{le=\"0.001\"} 1",
            "{le=\"0.005\"} 4",
            "{le=\"0.1\"} 5",
            "{le=\"30\"} 5",
            "{le=\"+Inf\"} 6",
            "_sum 40.1085",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
