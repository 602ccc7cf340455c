//! One connection: reads frames, does what they ask in their order, and sends what its streams hold.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use super::super::Api;
use super::frame::{self, ClientFrame};
use super::reading::{FROM_NOW_ON, Opened, Reading, Wish, open};
use super::request::{Asker, check_id};
use super::{MAX_FRAME, PROTOCOL};
use crate::bus::Inbox;
use crate::chat::Said;
use crate::crash_point;
use crate::identity::Caller;
use crate::model::conversation::Millis;
use crate::model::event::Stream;
use crate::model::{Error, Kind, Result};
use crate::store::log::Receipt;

/// Frames read from a client that may wait for their turn; reading stops there.
const MAX_IN_FLIGHT: usize = 32;
/// Streams one connection may read.
const MAX_SUBSCRIPTIONS: usize = 256;
/// A client that takes nothing for this long is sent away.
const SEND_LIMIT: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A client that says nothing for this long is gone.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How often the credential behind a connection is looked at again.
const RENEW: Duration = Duration::from_secs(60);
/// Frames that cannot be read before a client is sent away.
const MAX_BAD_FRAMES: u32 = 20;
/// Who goes on typing says so to the others this often, whatever their client sends.
const TYPING_STEP: Millis = 2000;

/// Why a connection ends, by the code of its close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed, or is gone.
    Gone,
    TooBig,
    Restart,
    Fault,
    BadFrames,
    NotText,
    Silent,
    Revoked,
    Expired,
}

impl End {
    /// Close code, reason, and whether coming back makes sense.
    fn notice(self) -> Option<(u16, &'static str, bool)> {
        Some(match self {
            Self::Gone => return None,
            Self::TooBig => (1009, "frame too big", false),
            Self::NotText => (1003, "only text frames are read here", false),
            Self::Restart => (1012, "the server restarts", true),
            Self::Fault => (1011, "server fault", true),
            Self::BadFrames => (4400, "too many bad frames", false),
            Self::Silent => (4408, "nothing was heard for too long", true),
            Self::Revoked => (4410, "signed out", false),
            Self::Expired => (4440, "the session has expired", false),
        })
    }
}

enum Done {
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
    /// Anything else: with the frame that answers it, if any.
    Asked {
        id: Option<String>,
        outcome: Result<Option<String>>,
    },
}

type Doing = Pin<Box<dyn Future<Output = Done> + Send>>;

struct Connection {
    api: Api,
    caller: Arc<Caller>,
    /// Without the subprotocol: only what the plain form knows.
    plain: bool,
    inbox: Arc<Inbox>,
    readings: HashMap<u64, Reading>,
    next_slot: u64,
    waiting: VecDeque<ClientFrame>,
    bad_frames: u32,
    /// When the client last said that it is typing, by conversation; what is older than a step is forgotten.
    typing: HashMap<String, Millis>,
    /// Whether the client has asked for anything since its credential was last looked at.
    used: bool,
}

/// Serves a connection to its end.
pub(super) async fn serve(api: Api, caller: Caller, mut socket: WebSocket, plain: bool) {
    let credential = caller.credential_id.clone();
    let revoked = api.sockets.register(&credential);
    let now = api.engine.clock().now();
    let present = api.engine.bus().join(&caller.principal.id, &caller.principal.name, now);
    let stop = api.tasks.stop_token().clone();
    let mut connection = Connection {
        api: api.clone(),
        caller: Arc::new(caller),
        plain,
        inbox: Inbox::new(),
        readings: HashMap::new(),
        next_slot: 0,
        waiting: VecDeque::new(),
        bad_frames: 0,
        typing: HashMap::new(),
        used: false,
    };
    let end = tokio::select! {
        biased;
        () = stop.cancelled() => End::Restart,
        () = revoked.cancelled() => End::Revoked,
        end = connection.run(&mut socket) => end,
    };
    if let Some((code, reason, reconnect)) = end.notice() {
        let bye = frame::text(&json!({
            "type": "bye", "code": code, "reason": reason, "reconnect": reconnect,
            // Spread, so that everybody does not come back in the same moment.
            "retry_after_ms": reconnect.then(|| 250 + now.unsigned_abs() % 1500),
        }));
        let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
        let goodbye = async {
            socket.send(Message::Text(bye.into())).await?;
            socket.send(close).await?;
            // Reading on until the client has closed too lets the goodbye arrive instead of a reset.
            while let Some(Ok(_)) = socket.recv().await {}
            Ok::<_, axum::Error>(())
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), goodbye).await;
    }
    drop(present);
    api.sockets.forget(&credential);
    tracing::debug!(?end, "socket closed");
}

impl Connection {
    async fn run(&mut self, socket: &mut WebSocket) -> End {
        if let Err(end) = send(socket, self.hello()).await {
            return end;
        }
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard, mut renewed) = (Instant::now(), Instant::now());
        let mut doing: Option<Doing> = None;
        let inbox = self.inbox.clone();
        loop {
            // What is ready goes out with the answer before it, in one write.
            let ready = inbox.take();
            if let Err(end) = self.pump(socket, ready).await {
                return end;
            }
            if let Err(end) = flush(socket).await {
                return end;
            }
            crash_point::reached("socket.sent");
            while doing.is_none()
                && let Some(frame) = self.waiting.pop_front()
            {
                doing = self.start(frame);
            }
            let outcome = tokio::select! {
                biased;
                done = poll_doing(&mut doing) => {
                    doing = None;
                    self.finish(socket, done).await
                }
                slots = inbox.grown() => self.pump(socket, slots).await,
                received = socket.recv(), if self.waiting.len() < MAX_IN_FLIGHT => {
                    heard = Instant::now();
                    self.receive(socket, received).await
                }
                _ = heartbeat.tick() => {
                    if heard.elapsed() >= IDLE_LIMIT {
                        Err(End::Silent)
                    } else if renewed.elapsed() >= RENEW {
                        renewed = Instant::now();
                        self.renew().await
                    } else if heard.elapsed() >= HEARTBEAT {
                        send_raw(socket, Message::Ping(Bytes::new())).await
                    } else {
                        Ok(())
                    }
                }
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    fn hello(&self) -> String {
        let principal = &self.caller.principal;
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
            "server_time": self.api.engine.clock().now(),
        }))
    }

    /// Looks at the credential again: it may have been revoked or have expired by another door.
    async fn renew(&mut self) -> Result<(), End> {
        match self.api.identity.renew(&self.caller, std::mem::take(&mut self.used)).await {
            Ok(caller) => {
                self.caller = Arc::new(caller);
                Ok(())
            }
            Err(error) if error.kind == Kind::Unauthenticated => Err(End::Expired),
            // The database is away for a moment; the next look decides.
            Err(_) => Ok(()),
        }
    }

    async fn receive(
        &mut self,
        socket: &mut WebSocket,
        received: Option<Result<Message, axum::Error>>,
    ) -> Result<(), End> {
        let text = match received {
            None => return Err(End::Gone),
            Some(Err(error)) => return Err(if is_too_big(&error) { End::TooBig } else { End::Gone }),
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => return Err(End::NotText),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Close(_))) => return Err(End::Gone),
        };
        crash_point::reached("socket.received");
        match frame::parse(&text) {
            // Answered at once, whatever else waits.
            Ok(ClientFrame::Ping { timestamp }) => {
                send(socket, frame::text(&json!({ "type": "pong", "timestamp": timestamp }))).await
            }
            Ok(frame) => {
                self.used = true;
                self.waiting.push_back(frame);
                Ok(())
            }
            Err(unreadable) => {
                self.bad_frames += 1;
                let error = Error::new(Kind::Invalid, unreadable.code, unreadable.message);
                send(socket, frame::error(unreadable.id.as_deref(), &error)).await?;
                if self.bad_frames >= MAX_BAD_FRAMES { Err(End::BadFrames) } else { Ok(()) }
            }
        }
    }

    /// Begins what a frame asks for. One at a time: what a client sends takes effect in the order it was sent.
    fn start(&mut self, frame: ClientFrame) -> Option<Doing> {
        match frame {
            ClientFrame::Message { id, session_id, content, reply_to, attachments } => {
                let said = Said { conversation: session_id, content, client_id: id, reply_to, attachments };
                Some(self.start_say(said))
            }
            ClientFrame::Subscribe { id, stream, after, epoch, limit, want } => {
                let opening = self.open(Wish { stream, after, epoch, limit, want });
                Some(Box::pin(async move { Done::Subscribed { id, outcome: opening.await } }))
            }
            ClientFrame::Unsubscribe { stream } => {
                self.readings.retain(|_, reading| reading.subscription.stream().as_str() != stream);
                None
            }
            ClientFrame::Edit { id, session_id, message_id, content } => {
                let asker = self.asker();
                Some(asked(id, move |id| asker.edit(id, session_id, message_id, content)))
            }
            ClientFrame::Delete { id, session_id, message_id } => {
                let asker = self.asker();
                Some(asked(id, move |id| asker.delete(id, session_id, message_id)))
            }
            ClientFrame::History { id, session_id, before, limit } => {
                let asker = self.asker();
                Some(asked(id, move |id| async move { asker.history(id, &session_id, before, limit).await }))
            }
            ClientFrame::Read { id, session_id, read_seq } => {
                let asker = self.asker();
                Some(asked(id, move |id| async move { asker.read(id, &session_id, read_seq).await }))
            }
            ClientFrame::Typing { session_id } => self.start_typing(session_id),
            // Answered when it was read.
            ClientFrame::Ping { .. } => None,
        }
    }

    fn start_say(&mut self, said: Said) -> Doing {
        let (id, session) = (said.client_id.clone(), said.conversation.clone());
        let (hub, caller) = (self.api.hub.clone(), self.caller.clone());
        // A plain client never subscribes; it hears the answers in the conversations it speaks in.
        let opening = (self.plain && !self.reads(&Stream::conversation(&session))).then(|| {
            let stream = Stream::conversation(&session).to_string();
            self.open(Wish { stream, after: FROM_NOW_ON, epoch: None, limit: 1, want: Vec::new() })
        });
        Box::pin(async move {
            let mut opened = None;
            if let Some(opening) = opening {
                match opening.await {
                    Ok(reading) => opened = Some(reading),
                    Err(error) => return Done::Said { id, session, outcome: Err(error), opened: None },
                }
            }
            if let Err(error) = check_id(id.as_deref()) {
                return Done::Said { id: None, session, outcome: Err(error), opened };
            }
            let outcome = hub.say(&caller.principal, said).await;
            Done::Said { id, session, outcome, opened }
        })
    }

    fn reads(&self, stream: &Stream) -> bool {
        self.readings.values().any(|reading| reading.subscription.stream() == stream)
    }

    fn asker(&self) -> Asker {
        Asker { api: self.api.clone(), caller: self.caller.clone() }
    }

    fn start_typing(&mut self, session: String) -> Option<Doing> {
        let now = self.api.engine.clock().now();
        self.typing.retain(|_, at| now - *at < TYPING_STEP);
        if self.typing.contains_key(&session) {
            return None;
        }
        self.typing.insert(session.clone(), now);
        let asker = self.asker();
        Some(Box::pin(async move { Done::Asked { id: None, outcome: asker.typing(&session).await } }))
    }

    fn open(&mut self, wish: Wish) -> impl Future<Output = Result<Opened>> + Send + use<> {
        let slot = self.next_slot;
        self.next_slot += 1;
        let full = self.readings.len() >= MAX_SUBSCRIPTIONS;
        let (Asker { api, caller }, inbox) = (self.asker(), self.inbox.clone());
        async move {
            if full {
                let message = format!("one connection reads at most {MAX_SUBSCRIPTIONS} streams");
                return Err(Error::new(Kind::RateLimited, "TOO_MANY_SUBSCRIPTIONS", message));
            }
            open(&api, &caller, &inbox, slot, wish).await
        }
    }

    async fn finish(&mut self, socket: &mut WebSocket, done: Done) -> Result<(), End> {
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
            Done::Asked { outcome: Ok(None), .. } => Ok(()),
            Done::Asked { outcome: Ok(Some(answer)), .. } => send(socket, answer).await,
            Done::Asked { id, outcome: Err(error) } => send(socket, self.refusal(id.as_deref(), &error)).await,
            Done::Subscribed { id, outcome: Err(error) } => send(socket, self.refusal(id.as_deref(), &error)).await,
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

    async fn announce(&mut self, socket: &mut WebSocket, id: Option<String>, opened: Opened) -> Result<(), End> {
        let Opened { reading, head, recovered, limited } = opened;
        let stream = reading.subscription.stream().clone();
        // A second subscription to a stream replaces the first.
        self.readings.retain(|_, known| known.subscription.stream() != &stream);
        let subscribed = frame::text(&json!({
            "type": "subscribed", "id": id, "stream": stream.as_str(), "epoch": self.api.engine.store().epoch(),
            "recovered": recovered, "head": head, "first_seq": reading.position + 1, "limited": limited,
        }));
        send(socket, subscribed).await?;
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
    async fn pump(&mut self, socket: &mut WebSocket, slots: Vec<u64>) -> Result<(), End> {
        for slot in slots {
            let Some(reading) = self.readings.get_mut(&slot) else { continue };
            let batch = reading.next(self.api.engine.store()).await.map_err(|error| {
                tracing::error!(%error, "failed to read the log for a socket");
                End::Fault
            })?;
            let plain = self.plain;
            let shown = batch.frames.into_iter().filter_map(|(_, bytes)| match plain {
                true => frame::plain(&bytes).map(Utf8Bytes::from),
                false => Utf8Bytes::try_from(bytes).ok(),
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

/// Does what a frame asks for, after a look at its id.
fn asked<F, R>(id: Option<String>, ask: F) -> Doing
where
    F: FnOnce(Option<String>) -> R + Send + 'static,
    R: Future<Output = Result<Option<String>>> + Send,
{
    Box::pin(async move {
        match check_id(id.as_deref()) {
            Ok(()) => Done::Asked { outcome: ask(id.clone()).await, id },
            Err(error) => Done::Asked { id: None, outcome: Err(error) },
        }
    })
}

async fn poll_doing(doing: &mut Option<Doing>) -> Done {
    match doing {
        Some(doing) => doing.await,
        None => std::future::pending().await,
    }
}

fn millis(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn is_too_big(error: &axum::Error) -> bool {
    // axum boxes tungstenite's error; its text is the only thing that both versions share.
    let text = error.to_string();
    text.contains("too long") || text.contains("too big") || text.contains("Space limit exceeded")
}

async fn send(socket: &mut WebSocket, text: String) -> Result<(), End> {
    send_raw(socket, Message::Text(text.into())).await
}

async fn send_raw(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    in_time(socket.feed(message)).await
}

async fn flush(socket: &mut WebSocket) -> Result<(), End> {
    in_time(socket.flush()).await
}

async fn in_time(sending: impl Future<Output = Result<(), axum::Error>>) -> Result<(), End> {
    match tokio::time::timeout(SEND_LIMIT, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::Silent),
    }
}

/// Hands frames to the socket.
async fn send_frames(socket: &mut WebSocket, texts: impl Iterator<Item = Utf8Bytes>) -> Result<(), End> {
    for text in texts {
        send_raw(socket, Message::Text(text)).await?;
    }
    Ok(())
}
