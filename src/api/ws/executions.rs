//! The web socket of the toolbox: every update of every run that the caller may see.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use utoipa::IntoParams;

use super::super::Api;
use super::super::error::ApiResult;
use super::super::events::Follower;
use super::super::extract::{Query, token};
use super::super::peer::Peer;
use super::{may_use_cookie, ticket};
use crate::browser::{Browsers, Screen, Viewer};
use crate::engine::Engine;
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, decide};
use crate::model::event::Stream;
use crate::model::{Error, Kind};

/// Updates that are read at a time.
const PAGE: i64 = 100;

/// How often the credential behind a socket is looked at again.
const RENEW: Duration = Duration::from_secs(60);

/// The largest frame a client may send, in bytes: they only send pings.
const MAX_FRAME: usize = 4 * 1024;

/// The most that waits to be written, in bytes. Pictures of pages are large; one that is larger than half of this is left out.
const MAX_WRITTEN: usize = 8 * 1024 * 1024;

#[derive(Debug, Deserialize, IntoParams)]
pub(in crate::api) struct ExecutionsQuery {
    /// An API key, for clients that cannot send headers.
    api_key: Option<String>,
    /// Everything after this `seq` first; without it only what comes from now on.
    after: Option<i64>,
    /// Whether to send what the browsers of runs show, as long as they have one.
    #[serde(default = "yes")]
    frames: bool,
}

fn yes() -> bool {
    true
}

/// Opens a web socket that sends `execution_update` for every step of every run that the caller may see. Each has a `seq`;
/// whoever comes back with it as `after` misses nothing. `screenshot_frame` shows the page that a run has open on this server:
/// the latest one only, without a `seq`, kept nowhere. `ping` is answered by `pong`.
#[utoipa::path(get, path = "/ws/executions", tag = "executions", params(ExecutionsQuery),
    responses((status = 101, description = "A web socket"), (status = 400), (status = 401), (status = 403), (status = 429)))]
pub(in crate::api) async fn connect(
    State(api): State<Api>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Query(query): Query<ExecutionsQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let refused = || api.sockets.count_refusal(peer, api.engine.clock().now());
    let given = match &query.api_key {
        Some(key) => key.as_str(),
        None => token(&headers).map(|(token, _)| token).unwrap_or_default(),
    };
    let caller = match api.identity.authenticate(given).await {
        Ok(caller) => caller,
        Err(error) => {
            refused()?;
            return Err(error.into());
        }
    };
    if query.api_key.is_none() && ticket::is_by_cookie(&headers) && !may_use_cookie(&api, &headers) {
        refused()?;
        return Err(Error::new(Kind::Forbidden, "CROSS_ORIGIN", "this page may not open a socket here").into());
    }
    let upgrade = upgrade.map_err(|_| Error::invalid("this address takes a web socket"))?;
    let seat = api.sockets.seat(&caller.principal.id)?;
    let upgrade = upgrade
        .read_buffer_size(4 * 1024)
        .write_buffer_size(16 * 1024)
        .max_write_buffer_size(MAX_WRITTEN)
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME);
    let after = match query.after {
        Some(after) => after.max(0),
        None => api.engine.store().head(&Stream::runs()).await?,
    };
    Ok(upgrade.on_upgrade(move |socket| async move {
        let tasks = api.tasks.clone();
        let shown = api.engine.browsers().filter(|_| query.frames).map(Shown::new);
        tasks.track(serve(api, caller, socket, after, shown)).await;
        drop(seat);
    }))
}

/// What browsers show to one caller.
struct Shown {
    all: watch::Receiver<HashMap<String, Arc<Screen>>>,
    any: watch::Receiver<u64>,
    /// By run, those that the caller may not see among them: nobody asks twice.
    seen: HashMap<String, (Arc<Screen>, Option<Viewer>)>,
}

impl Shown {
    fn new(browsers: &Arc<Browsers>) -> Self {
        Self { all: browsers.screens().all(), any: browsers.screens().any(), seen: HashMap::new() }
    }

    /// Asks again who may see what.
    fn forget(&mut self) {
        self.seen.clear();
    }

    /// The next page that has changed. Dropped and called again it loses nothing but what was overtaken.
    async fn next(&mut self, engine: &Engine, caller: &Caller) -> String {
        loop {
            let all = self.all.borrow().clone();
            self.seen.retain(|run, (seen, _)| all.get(run).is_some_and(|screen| Arc::ptr_eq(screen, seen)));
            let new: Vec<_> = all.into_iter().filter(|(run, _)| !self.seen.contains_key(run)).collect();
            for (run, screen) in new {
                let may = engine.may_watch(&caller.principal, &run).await;
                let viewer = may.then(|| screen.look());
                self.seen.insert(run, (screen, viewer));
            }
            for (run, (_, viewer)) in &mut self.seen {
                if let Some(frame) = viewer.as_mut().and_then(Viewer::fresh)
                    && frame.png.len() < MAX_WRITTEN / 2
                {
                    let frame = format!("data:image/png;base64,{}", frame.png);
                    let data = json!({ "execution_id": run, "frame": frame, "timestamp": engine.clock().now() });
                    return json!({ "type": "screenshot_frame", "data": data }).to_string();
                }
            }
            let gone = tokio::select! {
                changed = self.all.changed() => changed.is_err(),
                changed = self.any.changed() => changed.is_err(),
            };
            if gone {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What browsers show next; never anything to whoever did not ask for it.
async fn next_of(shown: &mut Option<Shown>, engine: &Engine, caller: &Caller) -> String {
    match shown {
        Some(shown) => shown.next(engine, caller).await,
        None => std::future::pending().await,
    }
}

async fn serve(api: Api, mut caller: Caller, mut socket: WebSocket, after: i64, mut shown: Option<Shown>) {
    let watch = api.sockets.watch(&caller.credential_id);
    let (ended, stop) = (watch.ended().clone(), api.tasks.stop_token().clone());
    let patience = api.sockets.stalled_after();
    let mut pace = api.sockets.pace();
    let mut follower = Follower::new(api.engine.store().clone(), &Stream::runs(), after);
    let (code, reason) = loop {
        tokio::select! {
            () = stop.cancelled() => break (1012, "the server stops"),
            () = ended.cancelled() => break (4410, "the credential has ended"),
            frames = follower.next(Some(PAGE), RENEW, &stop) => {
                let Ok(frames) = frames else { break (1011, "the log cannot be read") };
                if frames.is_empty() {
                    match api.identity.renew(&caller, false).await {
                        Ok(renewed) => {
                            caller = renewed;
                            shown.iter_mut().for_each(Shown::forget);
                        }
                        Err(error) if error.kind == Kind::Unauthenticated => break (4410, "the credential has ended"),
                        Err(_) => {}
                    }
                    continue;
                }
                let told: Vec<String> = frames.iter().filter_map(|(seq, bytes)| update(&caller, *seq, bytes)).collect();
                let sending = async {
                    for text in told {
                        socket.send(Message::text(text)).await?;
                    }
                    Ok::<_, axum::Error>(())
                };
                match tokio::time::timeout(patience, sending).await {
                    Ok(Ok(())) => {}
                    _ => return,
                }
            }
            text = next_of(&mut shown, &api.engine, &caller) => {
                match tokio::time::timeout(patience, socket.send(Message::text(text))).await {
                    Ok(Ok(())) => {}
                    _ => return,
                }
            }
            heard = socket.recv() => {
                let Some(Ok(heard)) = heard else { return };
                let Message::Text(text) = heard else { continue };
                if pace.count(api.engine.clock().now()).is_err() {
                    break (4429, "too many frames");
                }
                let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                let answer = match frame["type"].as_str() {
                    Some("ping") => json!({ "type": "pong", "timestamp": frame["timestamp"] }),
                    _ => json!({ "type": "error", "error": { "code": "INVALID_FRAME", "message": "this socket takes {\"type\": \"ping\"}" } }),
                };
                if socket.send(Message::text(answer.to_string())).await.is_err() {
                    return;
                }
            }
        }
    };
    let close = CloseFrame { code, reason: reason.into() };
    let _ = tokio::time::timeout(patience, socket.send(Message::Close(Some(close)))).await;
}

/// An update as the caller may see it.
fn update(caller: &Caller, seq: i64, bytes: &Bytes) -> Option<String> {
    let frame: Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| frame["whose"][key].as_str().unwrap_or_default();
    let object = Object::Execution { starter: text("starter"), bot: text("bot"), command: text("command") };
    decide(&caller.principal, Verb::View, object)
        .allowed
        .then(|| json!({ "type": "execution_update", "seq": seq, "data": frame["data"] }).to_string())
}
