//! The log: streams of events with a gapless `seq`, the truth that every reader resumes from.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Store;
use super::query::{composed, placeholders, query};
use super::transaction::{Transaction, Work, failed};
use crate::bus::Frame;
use crate::model::conversation::Millis;
use crate::model::event::{Event, NewEvent, Stream, frame};
use crate::model::{Error, Result};

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
    pub(super) async fn append(&mut self, events: &[NewEvent], body_hash: Option<&str>) -> Result<Vec<Place>> {
        let mut streams: Vec<(&Stream, i64)> = Vec::with_capacity(2);
        for event in events {
            match streams.iter_mut().find(|(stream, _)| *stream == &event.stream) {
                Some((_, count)) => *count += 1,
                None => streams.push((&event.stream, 1)),
            }
        }
        // One order for everybody, so that PostgreSQL's row locks cannot wait for each other in a ring.
        streams.sort();
        let text = format!(
            "INSERT INTO streams (stream, head) VALUES {} \
             ON CONFLICT (stream) DO UPDATE SET head = streams.head + excluded.head RETURNING stream, head",
            placeholders(streams.len(), 2)
        );
        let grow =
            streams.iter().fold(composed(text), |query, (stream, count)| query.bind(stream.as_str()).bind(*count));
        let mut next = Vec::with_capacity(streams.len());
        for row in self.write_returning(grow).await? {
            let (stream, head): (String, i64) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
            let count = streams.iter().find(|(known, _)| known.as_str() == stream).map_or(0, |(_, count)| *count);
            next.push((stream, head - count + 1));
        }

        let mut places = Vec::with_capacity(events.len());
        let text = format!(
            "INSERT INTO events (stream, seq, id, kind, principal, client_id, body_hash, payload, created_at) VALUES {}",
            placeholders(events.len(), 9)
        );
        let mut insert = composed(text);
        for event in events {
            let Some((_, seq)) = next.iter_mut().find(|(stream, _)| stream == event.stream.as_str()) else {
                return Err(Error::internal("append to the log", "a stream has no head"));
            };
            insert = insert
                .bind(event.stream.as_str())
                .bind(*seq)
                .bind(&event.id)
                .bind(event.kind)
                .bind(event.principal.clone())
                .bind(event.client_id.clone())
                .bind(event.client_id.as_ref().and(body_hash))
                .bind(event.payload.get())
                .bind(event.created_at);
            places.push(Place { event_id: event.id.clone(), seq: *seq });
            *seq += 1;
        }
        self.write(insert).await?;
        for (event, place) in events.iter().zip(&places) {
            self.announce(Frame::Logged {
                stream: event.stream.clone(),
                seq: place.seq,
                bytes: Bytes::from(frame(event.kind, &event.stream, place.seq, event.payload.get())),
            });
        }
        Ok(places)
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

    async fn page(&self, stream: &Stream, events: super::query::Query) -> Result<Page> {
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
