//! Reading a session's events: as JSON, as a long poll, or as server-sent events. The same log, the same frames.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::ApiResult;
use super::extract::Query;
use super::session::within;
use super::ws::Watch;
use crate::bus::{Inbox, Live, Subscription};
use crate::clock::moment;
use crate::identity::Caller;
use crate::identity::permission::Verb;
use crate::model::conversation::Millis;
use crate::model::event::Stream;
use crate::model::{Error, Kind, Result};
use crate::store::Store;

/// The longest a poll waits, in seconds.
pub(super) const LONGEST_WAIT: i64 = 60;

/// How often the credential behind a stream is looked at again.
const RENEW: Duration = Duration::from_secs(60);

/// How long a reader of server-sent events waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct EventsQuery {
    /// Only events with a higher `seq`, oldest first.
    after: Option<i64>,
    /// Instead of `after`: the newest events with a lower `seq`.
    before: Option<i64>,
    /// Instead of `after`: only events from this moment on, oldest first; RFC 3339, like `2026-01-31T00:00:00+01:00`.
    at: Option<String>,
    /// How many at most, 1 to 500.
    #[serde(default = "hundred")]
    limit: i64,
    /// Seconds to wait for an event when there is none yet, 0 to 60.
    #[serde(default)]
    wait: i64,
}

fn hundred() -> i64 {
    100
}

/// A page of a stream.
#[derive(Serialize, ToSchema)]
pub(super) struct EventsPage {
    stream: String,
    /// Names the database's lineage; another epoch means: start afresh.
    epoch: String,
    /// The newest `seq` of the stream.
    head: i64,
    /// Whether there are more events in the direction read.
    limited: bool,
    /// The frames, as a web socket gets them.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Box<RawValue>>,
    /// Give it as `after` to read on.
    next_after: i64,
    /// With `before`: whether there are older events.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_more: Option<bool>,
}

/// Reads a session's events. With `Accept: text/event-stream` they come as they happen; `Last-Event-ID` is an `after`.
#[utoipa::path(get, path = "/api/session/{id}/events", tag = "session", params(("id" = String, Path), EventsQuery),
    responses((status = 200, body = EventsPage, description = "A page, or a stream of server-sent events"), (status = 400), (status = 401), (status = 404)))]
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<EventsQuery>,
) -> ApiResult<Response> {
    let limit = within("limit", query.limit, 1, 500)?;
    let wait = within("wait", query.wait, 0, LONGEST_WAIT)?;
    for (name, value) in [("after", query.after), ("before", query.before)] {
        within(name, value.unwrap_or_default(), 0, i64::MAX)?;
    }
    if usize::from(query.after.is_some()) + usize::from(query.before.is_some()) + usize::from(query.at.is_some()) > 1 {
        return Err(Error::invalid("give one of after, before and at").into());
    }
    let at = query.at.as_deref().map(at_or_after).transpose()?;
    let conversation = api.hub.conversation(&caller.principal, &id, Verb::View).await?;
    let stream = Stream::conversation(&conversation.id);
    let store = api.engine.store();
    let after = match at {
        Some(at) => Some(store.place_at(&stream, at).await?),
        None => query.after,
    };
    let streaming = headers.get(header::ACCEPT).is_some_and(|accept| {
        accept.to_str().is_ok_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("text/event-stream")))
    });
    if streaming {
        let after = last_event_id(&headers)?.or(after).unwrap_or_default();
        return Ok(server_sent(&api, caller, &stream, after));
    }
    let page = match query.before {
        Some(before) => {
            let page = store.events_before(&stream, before, limit).await?;
            let first = page.events.first().map_or(1, |event| event.seq);
            let next_after = page.events.last().map_or(before - 1, |event| event.seq);
            EventsPage {
                has_more: Some(first > 1),
                limited: first > 1,
                ..page_of(store, &stream, &page.frames(&stream).collect::<Vec<_>>(), page.head, next_after)?
            }
        }
        None => {
            let after = after.unwrap_or_default();
            let mut follower = Follower::new(store.clone(), &stream, after);
            let wait = Duration::from_secs(u64::try_from(wait).unwrap_or_default());
            let frames = follower.next(Some(limit), wait, api.tasks.stop_token()).await?;
            let head = store.head(&stream).await?;
            let next_after = frames.last().map_or(after, |(seq, _)| *seq);
            EventsPage { limited: next_after < head, ..page_of(store, &stream, &frames, head, next_after)? }
        }
    };
    Ok(axum::Json(page).into_response())
}

fn page_of(store: &Store, stream: &Stream, frames: &[(i64, Bytes)], head: i64, next_after: i64) -> Result<EventsPage> {
    let frame = |bytes: &Bytes| {
        serde_json::from_slice::<Box<RawValue>>(bytes).map_err(|error| Error::internal("write an event", error))
    };
    Ok(EventsPage {
        stream: stream.to_string(),
        epoch: store.epoch().to_owned(),
        head,
        limited: false,
        events: frames.iter().map(|(_, bytes)| frame(bytes)).collect::<Result<_>>()?,
        next_after,
        has_more: None,
    })
}

fn at_or_after(text: &str) -> Result<Millis> {
    moment(text).ok_or_else(|| {
        let error = Error::invalid("at is a moment as RFC 3339 writes it, like 2026-01-31T00:00:00Z");
        error.details(serde_json::json!({ "field": "at" }))
    })
}

fn last_event_id(headers: &HeaderMap) -> ApiResult<Option<i64>> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|number: &i64| *number >= 0);
    number.map(Some).ok_or_else(|| Error::invalid("Last-Event-ID is the seq of an event").into())
}

/// Reads one stream forward from a place, from the log and then live.
pub(super) struct Follower {
    store: Arc<Store>,
    inbox: Arc<Inbox>,
    subscription: Subscription,
    after: i64,
    /// Whether the log has been read up to where live frames begin.
    live: bool,
}

impl Follower {
    pub(super) fn new(store: Arc<Store>, stream: &Stream, after: i64) -> Self {
        let inbox = Inbox::new();
        let subscription = store.bus().subscribe(stream, &inbox, 0);
        Self { store, inbox, subscription, after, live: false }
    }

    /// Up to `limit` frames that follow, waiting at most `wait` for the first. Empty when none came, or at shutdown. Without
    /// a limit they come in pages shared with others, which only suits who reads on: see [`Store::replay`].
    pub(super) async fn next(
        &mut self,
        limit: Option<i64>,
        wait: Duration,
        stop: &tokio_util::sync::CancellationToken,
    ) -> Result<Vec<(i64, Bytes)>> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let frames = self.ready(limit).await?;
            if let Some((seq, _)) = frames.last() {
                self.after = *seq;
                return Ok(frames);
            }
            tokio::select! {
                _ = self.inbox.grown() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(Vec::new()),
                () = stop.cancelled() => return Ok(Vec::new()),
            }
        }
    }

    async fn ready(&mut self, limit: Option<i64>) -> Result<Vec<(i64, Bytes)>> {
        if self.live {
            match self.subscription.read(self.after) {
                Live::Nothing => return Ok(Vec::new()),
                Live::Frames(mut frames) => {
                    frames.truncate(limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX));
                    return Ok(frames);
                }
                Live::Behind => {}
            }
        }
        let stream = self.subscription.stream();
        let frames = match limit {
            None => self.store.replay(stream, self.after).await?.to_vec(),
            Some(limit) => self.store.events_after(stream, self.after, limit).await?.frames(stream).collect(),
        };
        self.live = frames.is_empty();
        Ok(frames)
    }
}

/// A stream of server-sent events, and whose it is.
struct Broadcast {
    api: Api,
    caller: Caller,
    /// How it hears that its credential was revoked.
    watch: Watch,
    follower: Follower,
}

impl Broadcast {
    /// The frames that follow; `None` when the stream ends. Its reader comes back with `Last-Event-ID`.
    async fn next(&mut self) -> Option<Vec<(i64, Bytes)>> {
        let ended = self.watch.ended().clone();
        loop {
            let frames = tokio::select! {
                () = ended.cancelled() => return None,
                frames = self.follower.next(None, RENEW, self.api.tasks.stop_token()) => frames,
            };
            match frames {
                _ if self.api.tasks.stop_token().is_cancelled() => return None,
                Ok(frames) if frames.is_empty() => self.renew().await?,
                Ok(frames) => {
                    if self.caller.expires_at.is_some_and(|at| at <= self.api.engine.clock().now()) {
                        self.renew().await?;
                    }
                    return Some(frames);
                }
                Err(error) => {
                    tracing::warn!(%error, "a stream of server-sent events ended");
                    return None;
                }
            }
        }
    }

    /// Looks at the credential again; `None` when it does not count any longer.
    async fn renew(&mut self) -> Option<()> {
        match self.api.identity.renew(&self.caller, false).await {
            Ok(caller) => self.caller = caller,
            Err(error) if error.kind == Kind::Unauthenticated => return None,
            // The database is away for a moment; the next look decides.
            Err(_) => {}
        }
        Some(())
    }
}

fn server_sent(api: &Api, caller: Caller, stream: &Stream, after: i64) -> Response {
    let broadcast = Broadcast {
        watch: api.sockets.watch(&caller.credential_id),
        follower: Follower::new(api.engine.store().clone(), stream, after),
        api: api.clone(),
        caller,
    };
    let batches = stream::unfold(broadcast, |mut broadcast| async move {
        let frames = broadcast.next().await?;
        Some((frames, broadcast))
    });
    let events = batches.flat_map(|frames| {
        stream::iter(frames.into_iter().map(|(seq, bytes)| {
            Ok::<_, Infallible>(Sse::default().id(seq.to_string()).data(String::from_utf8_lossy(&bytes)))
        }))
    });
    let how_to_return = stream::once(std::future::ready(Ok(Sse::default().retry(RETRY))));
    let events = how_to_return.chain(events);
    axum::response::Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}
