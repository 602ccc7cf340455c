//! The log: streams of events with a gapless `seq`, the truth that every reader resumes from.

use std::borrow::Borrow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Store;
use super::query::{Query, Repeated, query};
use super::transaction::{Transaction, Work, failed};
use crate::bus::Frame;
use crate::model::conversation::Millis;
use crate::model::event::{Event, NewEvent, Stream, frame};
use crate::model::{Error, Result};

macro_rules! raise {
    () => {
        "INSERT INTO streams (stream, head) VALUES ($1, $2) \
         ON CONFLICT (stream) DO UPDATE SET head = streams.head + excluded.head"
    };
}

static INSERT_EVENTS: Repeated = Repeated::new(
    "INSERT INTO events (stream, seq, id, kind, principal, client_id, body_hash, payload, created_at) VALUES ",
    9,
);

/// Where an event ended up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub event_id: String,
    pub seq: i64,
}

/// The answer to an append: the place, and whether it was there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub place: Place,
    /// The same client id with the same body had been appended before; nothing was written.
    pub duplicate: bool,
}

/// What makes an event recognisable when its sender says it again.
#[derive(Clone, Debug)]
pub(super) struct Identity<'a> {
    pub(super) stream: &'a Stream,
    pub(super) principal: &'a str,
    pub(super) client_id: &'a str,
    /// SHA-256 of what was said, hex.
    pub(super) body_hash: &'a str,
}

/// A page of a stream.
#[derive(Debug)]
pub struct Page {
    pub events: Vec<Event>,
    /// The newest `seq` of the stream when it was read.
    pub head: i64,
}

impl Page {
    /// The events as the frames every reader gets.
    pub fn frames(&self, stream: &Stream) -> impl Iterator<Item = (i64, Bytes)> {
        self.events.iter().map(|event| (event.seq, Bytes::from(event.frame(stream))))
    }
}

impl Transaction<'_> {
    /// Looks for an earlier event of the same identity. The same body gives its place; another one is a conflict.
    pub(super) async fn said_before(&mut self, identity: &Identity<'_>) -> Result<Option<Place>> {
        let earlier =
            query("SELECT id, seq, body_hash FROM events WHERE stream = $1 AND principal = $2 AND client_id = $3")
                .bind(identity.stream.as_str())
                .bind(identity.principal)
                .bind(identity.client_id);
        let Some(row) = self.optional(earlier).await? else { return Ok(None) };
        let hash: Option<String> = row.get(2).map_err(failed)?;
        if hash.as_deref() != Some(identity.body_hash) {
            return Err(Error::conflict("IDEMPOTENCY_CONFLICT", "this id was used before with another content")
                .details(serde_json::json!({ "id": identity.client_id })));
        }
        Ok(Some(Place { event_id: row.get(0).map_err(failed)?, seq: row.get(1).map_err(failed)? }))
    }

    /// Appends events, giving each the next `seq` of its stream, and announces them for after the commit. `body_hash`
    /// belongs to the events that carry a client id. Answers the places in the order of `events`.
    pub(super) async fn append<E>(&mut self, events: &[E], body_hash: Option<&str>) -> Result<Vec<Place>>
    where
        E: Borrow<NewEvent> + Sync,
    {
        let events: Vec<&NewEvent> = events.iter().map(Borrow::borrow).collect();
        let mut next = self.grow(&events).await?;
        let mut places = Vec::with_capacity(events.len());
        let at_once = if self.is_remote() { events.len() } else { 1 };
        for events in events.chunks(at_once.max(1)) {
            let mut insert = Query::repeated(&INSERT_EVENTS, events.len());
            for event in events {
                let Some((_, seq)) = next.iter_mut().find(|(stream, _)| *stream == &event.stream) else {
                    return Err(Error::internal("append to the log", "a stream has no head"));
                };
                insert = insert
                    .bind(event.stream.as_str())
                    .bind(*seq)
                    .bind(&event.id)
                    .bind(event.kind)
                    .bind(&event.principal)
                    .bind(&event.client_id)
                    .bind(event.client_id.as_ref().and(body_hash))
                    .bind(event.payload.get())
                    .bind(event.created_at);
                places.push(Place { event_id: event.id.clone(), seq: *seq });
                *seq += 1;
            }
            self.write(insert).await?;
        }
        for (event, place) in events.iter().zip(&places) {
            self.announce(Frame::Logged {
                stream: event.stream.clone(),
                seq: place.seq,
                bytes: Bytes::from(frame(event.kind, &event.stream, place.seq, event.payload.get())),
            });
        }
        Ok(places)
    }

    /// Raises the heads of the events' streams; answers the first new `seq` of each.
    async fn grow<'e>(&mut self, events: &[&'e NewEvent]) -> Result<Vec<(&'e Stream, i64)>> {
        let mut streams: Vec<(&Stream, i64)> = Vec::with_capacity(1);
        for event in events {
            match streams.iter_mut().find(|(stream, _)| *stream == &event.stream) {
                Some((_, count)) => *count += 1,
                None => streams.push((&event.stream, 1)),
            }
        }
        // One order for everybody, so that PostgreSQL's row locks cannot wait for each other in a ring.
        streams.sort();
        let mut next = Vec::with_capacity(streams.len());
        for (stream, count) in streams {
            next.push((stream, self.raise(stream, count).await? - count + 1));
        }
        Ok(next)
    }

    /// Raises the head of a stream, which keeps everybody else from appending to it until the commit; answers it.
    async fn raise(&mut self, stream: &Stream, by: i64) -> Result<i64> {
        let row = if self.is_remote() {
            let raise = query(concat!(raise!(), " RETURNING head"));
            self.write_returning(raise.bind(stream.as_str()).bind(by)).await?.pop()
        } else {
            self.write(query(raise!()).bind(stream.as_str()).bind(by)).await?;
            self.optional(query("SELECT head FROM streams WHERE stream = $1").bind(stream.as_str())).await?
        };
        let row = row.ok_or_else(|| Error::internal("append to the log", "a stream has no head"))?;
        row.get(0).map_err(failed)
    }
}

/// Looks for something said before.
struct Recall {
    stream: Stream,
    principal: String,
    client_id: String,
    body_hash: String,
}

impl Work for Recall {
    type Output = Option<Receipt>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Option<Receipt>> {
        let Self { stream, principal, client_id, body_hash } = self;
        let place = transaction.said_before(&Identity { stream, principal, client_id, body_hash }).await?;
        Ok(place.map(|place| Receipt { place, duplicate: true }))
    }
}

struct Append {
    events: Vec<NewEvent>,
}

impl Work for Append {
    type Output = Vec<Place>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Place>> {
        transaction.append(&self.events, None).await
    }
}

impl Store {
    /// Appends events that have no client id.
    pub async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Place>> {
        self.write(Append { events }).await
    }

    /// The receipt of what a principal said before with this client id and body. Another body is a conflict.
    pub async fn recall(
        &self,
        stream: Stream,
        principal: &str,
        client_id: &str,
        body_hash: &str,
    ) -> Result<Option<Receipt>> {
        let (principal, client_id, body_hash) = (principal.to_owned(), client_id.to_owned(), body_hash.to_owned());
        self.write(Recall { stream, principal, client_id, body_hash }).await
    }

    /// The newest `seq` of a stream; 0 when nothing was ever appended.
    pub async fn head(&self, stream: &Stream) -> Result<i64> {
        let mut reader = self.reader().await?;
        let head = query("SELECT head FROM streams WHERE stream = $1").bind(stream.as_str());
        let row = head.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map_or(Ok(0), |row| row.get(0).map_err(failed))
    }

    /// The `seq` after which the events begin that were written at `at` or later; the head when there are none.
    pub async fn place_at(&self, stream: &Stream, at: Millis) -> Result<i64> {
        // The head is read first: what comes in between was written later than was asked.
        let head = self.head(stream).await?;
        let mut reader = self.reader().await?;
        let first = query("SELECT seq FROM events WHERE stream = $1 AND created_at >= $2 ORDER BY seq LIMIT 1");
        let first = first.bind(stream.as_str()).bind(at).optional(&mut reader.connection()).await.map_err(failed)?;
        first.map_or(Ok(head), |row| row.get::<i64>(0).map(|seq| seq - 1).map_err(failed))
    }

    /// Up to `limit` events after `after`, oldest first.
    pub async fn events_after(&self, stream: &Stream, after: i64, limit: i64) -> Result<Page> {
        let events =
            query("SELECT seq, kind, payload FROM events WHERE stream = $1 AND seq > $2 ORDER BY seq LIMIT $3");
        self.page(stream, events.bind(stream.as_str()).bind(after).bind(limit)).await
    }

    /// The newest `limit` events before `before`, oldest first.
    pub async fn events_before(&self, stream: &Stream, before: i64, limit: i64) -> Result<Page> {
        let events =
            query("SELECT seq, kind, payload FROM events WHERE stream = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3");
        let mut page = self.page(stream, events.bind(stream.as_str()).bind(before).bind(limit)).await?;
        page.events.reverse();
        Ok(page)
    }

    async fn page(&self, stream: &Stream, events: Query<'_>) -> Result<Page> {
        let mut reader = self.reader().await?;
        let mut connection = reader.connection();
        // The head is read first: events that come in between belong to the next page.
        let head = query("SELECT head FROM streams WHERE stream = $1").bind(stream.as_str());
        let head = match head.optional(&mut connection).await.map_err(failed)? {
            Some(row) => row.get(0).map_err(failed)?,
            None => 0,
        };
        let rows = events.all(&mut connection).await.map_err(failed)?;
        let events = rows.iter().map(|row| {
            let payload: String = row.get(2).map_err(failed)?;
            let payload = RawValue::from_string(payload).map_err(|error| Error::internal("read the log", error))?;
            Ok(Event { seq: row.get(0).map_err(failed)?, kind: row.get(1).map_err(failed)?, payload })
        });
        let events = events.collect::<Result<Vec<_>>>()?;
        let head = events.last().map_or(head, |last| head.max(last.seq));
        Ok(Page { events, head })
    }
}
