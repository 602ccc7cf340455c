//! The sending half of a connection: greetings, answers, and what its streams hold.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt as _;
use serde_json::{Value, json};

use super::ending::End;
use super::frame;
use super::reading::Opened;
use super::socket::{Connection, HEARTBEAT, IDLE_LIMIT, MAX_IN_FLIGHT};
use super::{MAX_FRAME, PROTOCOL};
use crate::clock::rfc3339;
use crate::crash_point;
use crate::engine::remote::Process;
use crate::identity::Caller;
use crate::model::event::Stream;
use crate::model::{Error, Kind, Result};
use crate::store::log::Receipt;

/// What came of a frame.
pub(super) enum Done {
    Said {
        id: Option<String>,
        session: String,
        outcome: Result<Receipt>,
        opened: Option<Opened>,
    },
    Subscribed {
        id: Option<String>,
        outcome: Result<Opened>,
    },
    /// The socket is a process of a bot's from now on; with the frame that says so.
    Registered {
        id: Option<String>,
        outcome: Result<(Process, String)>,
    },
    /// Another token for the same socket.
    Authenticated {
        id: Option<String>,
        outcome: Result<Caller>,
    },
    /// Anything else: with the frame that answers it, if any.
    Asked {
        id: Option<String>,
        outcome: Result<Option<String>>,
    },
}

impl Connection {
    pub(super) fn hello(&self) -> String {
        let (principal, limits) = (&self.caller.principal, &self.api.sockets.limits);
        frame::text(&json!({
            "type": "hello",
            "protocol": PROTOCOL,
            "connection_id": crate::model::id::new_id(),
            "epoch": self.api.engine.store().epoch(),
            "user": { "id": principal.id, "name": principal.name, "roles": principal.roles },
            "heartbeat_ms": millis(HEARTBEAT),
            "idle_timeout_ms": millis(IDLE_LIMIT),
            "max_frame": MAX_FRAME,
            "max_in_flight": MAX_IN_FLIGHT,
            "max_subscriptions": (limits.subscriptions > 0).then_some(limits.subscriptions),
            "pace": (limits.frames_per_second > 0).then(|| json!({
                "per_second": limits.frames_per_second, "burst": limits.frames_burst,
            })),
            "server_time": self.api.engine.clock().now(),
        }))
    }

    pub(super) async fn finish(&mut self, socket: &mut Wire, done: Done) -> Result<(), End> {
        match done {
            Done::Said { id, session, outcome, opened } => {
                if let Some(opened) = opened {
                    let reading = opened.reading.silent();
                    self.readings.insert(reading.subscription.slot(), reading);
                }
                let answer = match outcome {
                    Ok(receipt) => frame::ack(id.as_deref(), &session, &receipt.place.event_id, &receipt),
                    Err(error) => self.refusal(id.as_deref(), &error),
                };
                crash_point::reached("socket.acknowledging");
                send(socket, answer).await?;
                if self.plain {
                    self.poke(&Stream::conversation(&session))
                }
                Ok(())
            }
            Done::Registered { outcome: Ok((process, answer)), .. } => {
                self.process = Some(process);
                send(socket, answer).await
            }
            Done::Registered { id, outcome: Err(error) } => send(socket, self.refusal(id.as_deref(), &error)).await,
            Done::Asked { outcome: Ok(None), .. } => Ok(()),
            Done::Asked { outcome: Ok(Some(answer)), .. } => send(socket, answer).await,
            Done::Asked { id, outcome: Err(error) } => send(socket, self.refusal(id.as_deref(), &error)).await,
            Done::Subscribed { id, outcome: Err(error) } => send(socket, self.refusal(id.as_deref(), &error)).await,
            Done::Authenticated { id, outcome: Err(error) } => send(socket, self.refusal(id.as_deref(), &error)).await,
            Done::Authenticated { id, outcome: Ok(caller) } => self.go_on_as(socket, id, caller).await,
            Done::Subscribed { id, outcome: Ok(opened) } => self.announce(socket, id, opened).await,
        }
    }

    fn refusal(&self, id: Option<&str>, error: &Error) -> String {
        if matches!(error.kind, Kind::Internal | Kind::Unavailable) {
            let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(code = %error.code, source, "{error}");
        }
        frame::error(id, error)
    }

    async fn go_on_as(&mut self, socket: &mut Wire, id: Option<String>, caller: Caller) -> Result<(), End> {
        if caller.principal.id != self.caller.principal.id {
            return Err(End::Foreign);
        }
        self.watch.follow(&caller.credential_id);
        self.caller = Arc::new(caller);
        // It may have been revoked before it was followed.
        self.renew().await?;
        let expires_at = self.caller.expires_at.map(rfc3339);
        send(socket, frame::text(&json!({ "type": "authenticated", "id": id, "expires_at": expires_at }))).await
    }

    async fn announce(&mut self, socket: &mut Wire, id: Option<String>, opened: Opened) -> Result<(), End> {
        let Opened { reading, head, recovered, limited } = opened;
        let stream = reading.subscription.stream().clone();
        // A second subscription to a stream replaces the first.
        self.readings.retain(|_, known| known.subscription.stream() != &stream);
        let subscribed = frame::text(&json!({
            "type": "subscribed", "id": id, "stream": stream.as_str(), "epoch": self.api.engine.store().epoch(),
            "recovered": recovered, "head": head, "first_seq": reading.position + 1, "limited": limited,
        }));
        send(socket, subscribed).await?;
        for frame in reading.who_is_there(self.api.engine.bus()) {
            send_frames(socket, Utf8Bytes::try_from(frame).ok().into_iter()).await?;
        }
        let slot = reading.subscription.slot();
        self.readings.insert(slot, reading);
        self.pump(socket, vec![slot]).await
    }

    fn poke(&self, stream: &Stream) {
        self.readings
            .values()
            .filter(|reading| reading.subscription.stream() == stream)
            .for_each(|r| r.subscription.poke());
    }

    /// Sends what the marked streams hold, at most a page of each.
    pub(super) async fn pump(&mut self, socket: &mut Wire, slots: Vec<u64>) -> Result<(), End> {
        for slot in slots {
            let Some(reading) = self.readings.get_mut(&slot) else { continue };
            let batch = reading.next(self.api.engine.store()).await.map_err(|error| {
                tracing::error!(%error, "failed to read the log for a socket");
                End::Fault
            })?;
            let plain = self.plain;
            let shown = batch.frames.iter().filter_map(|(_, bytes)| match plain {
                true => frame::plain(bytes).map(Utf8Bytes::from),
                false => Utf8Bytes::try_from(bytes.clone()).ok(),
            });
            let stream = reading.subscription.stream().as_str();
            let caught_up = batch
                .caught_up
                .map(|seq| Utf8Bytes::from(frame::text(&json!({ "type": "caught_up", "stream": stream, "seq": seq }))));
            let passing = batch.passing.into_iter().filter(|_| !plain);
            let texts = shown.chain(caught_up).chain(passing.filter_map(|bytes| Utf8Bytes::try_from(bytes).ok()));
            send_frames(socket, texts).await?;
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A web socket, and how long its client may leave untaken what is sent.
pub(super) struct Wire {
    pub(super) socket: WebSocket,
    pub(super) stalled_after: Duration,
}

pub(super) async fn send(wire: &mut Wire, text: String) -> Result<(), End> {
    send_raw(wire, Message::Text(text.into())).await
}

/// Waits while the few KiB that a socket holds back are full; beyond them nothing is kept for a client.
pub(super) async fn send_raw(wire: &mut Wire, message: Message) -> Result<(), End> {
    in_time(wire.stalled_after, wire.socket.feed(message)).await
}

pub(super) async fn flush(wire: &mut Wire) -> Result<(), End> {
    in_time(wire.stalled_after, wire.socket.flush()).await
}

async fn in_time(limit: Duration, sending: impl Future<Output = Result<(), axum::Error>>) -> Result<(), End> {
    match tokio::time::timeout(limit, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::Stalled),
    }
}

/// Hands frames to the socket.
async fn send_frames(wire: &mut Wire, texts: impl Iterator<Item = Utf8Bytes>) -> Result<(), End> {
    for text in texts {
        send_raw(wire, Message::Text(text)).await?;
    }
    Ok(())
}
