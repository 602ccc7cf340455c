//! One connection: reads frames and does what they ask in their order; `sending` has its other half.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};

use super::super::Api;
use super::Manner;
use super::ending::End;
use super::frame::{self, ClientFrame, Looking};
use super::limits::{Pace, TooFast};
use super::reading::{FROM_NOW_ON, Opened, Place, Reading, Wish, open};
use super::remote::{self, Report, What, Words};
use super::request::{Asker, check_id};
use super::sending::{Done, Wire, flush, send, send_raw};
use super::sockets::{Seat, Watch};
use crate::bus::Inbox;
use crate::bus::presence::Connected;
use crate::chat::Said;
use crate::crash_point;
use crate::engine::remote::{Process, Service};
use crate::identity::Caller;
use crate::model::conversation::Millis;
use crate::model::event::Stream;
use crate::model::{Error, Kind, Result};

/// Frames read from a client that may wait for their turn; reading stops there.
pub(super) const MAX_IN_FLIGHT: usize = 32;
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// A client that says nothing for this long is gone.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How often the credential behind a connection is looked at again.
const RENEW: Duration = Duration::from_secs(60);
/// Frames that cannot be read before a client is sent away.
const MAX_BAD_FRAMES: u32 = 20;
/// Who goes on typing says so to the others this often, whatever their client sends.
const TYPING_STEP: Millis = 2000;

type Doing = Pin<Box<dyn Future<Output = Done> + Send>>;

/// One socket and what it reads.
pub(super) struct Connection {
    /// Given back before anybody hears that the connection is gone.
    _seat: Seat,
    pub(super) api: Api,
    pub(super) caller: Arc<Caller>,
    /// Without the subprotocol: only what the plain form knows.
    pub(super) plain: bool,
    inbox: Arc<Inbox>,
    pub(super) readings: HashMap<u64, Reading>,
    next_slot: u64,
    /// How it hears that its credential was revoked.
    pub(super) watch: Watch,
    connected: Arc<Connected>,
    pace: Pace,
    waiting: VecDeque<ClientFrame>,
    bad_frames: u32,
    /// What it does for a bot, when it is a process of one.
    pub(super) process: Option<Process>,
    /// When the client last said that it is typing, by conversation; what is older than a step is forgotten.
    typing: HashMap<String, Millis>,
    /// Whether the client has asked for anything since its credential was last looked at.
    used: bool,
}

/// Serves a connection to its end.
pub(super) async fn serve(api: Api, caller: Caller, socket: WebSocket, Manner { plain, seat }: Manner) {
    let now = api.engine.clock().now();
    let watch = api.sockets.watch(&caller.credential_id);
    let revoked = watch.ended().clone();
    let mut wire = Wire { socket, stalled_after: api.sockets.stalled_after() };
    let stop = api.tasks.stop_token().clone();
    let mut connection = Connection {
        _seat: seat,
        plain,
        inbox: Inbox::new(),
        readings: HashMap::new(),
        next_slot: 0,
        watch,
        connected: api.engine.bus().join(&caller.principal.id, &caller.principal.name, now),
        pace: api.sockets.pace(),
        waiting: VecDeque::new(),
        bad_frames: 0,
        process: None,
        typing: HashMap::new(),
        used: false,
        caller: Arc::new(caller),
        api,
    };
    let end = tokio::select! {
        biased;
        () = stop.cancelled() => End::Restart,
        () = revoked.cancelled() => End::Revoked,
        end = connection.run(&mut wire) => end,
    };
    // Gone for everybody else, whatever the good-bye takes.
    drop(connection);
    Box::pin(end.say(&mut wire.socket, now)).await;
    tracing::debug!(?end, "socket closed");
}

impl Connection {
    async fn run(&mut self, socket: &mut Wire) -> End {
        if let Err(end) = send(socket, self.hello()).await {
            return end;
        }
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard, mut renewed) = (Instant::now(), Instant::now());
        let mut doing: Option<Doing> = None;
        let inbox = self.inbox.clone();
        let mut changes = self.api.sockets.changes();
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
                order = remote::next_order(self.process.as_mut()) => send(socket, remote::order(order)).await,
                slots = inbox.grown() => self.pump(socket, slots).await,
                received = socket.socket.recv(), if self.waiting.len() < MAX_IN_FLIGHT => {
                    heard = Instant::now();
                    self.receive(socket, received).await
                }
                Ok(()) = changes.changed() => {
                    renewed = Instant::now();
                    self.renew().await
                }
                _ = heartbeat.tick() => {
                    if self.waiting.len() >= MAX_IN_FLIGHT {
                        // Not heard because nobody listened.
                        heard = Instant::now();
                    }
                    if heard.elapsed() >= IDLE_LIMIT {
                        Err(End::Silent)
                    } else if renewed.elapsed() >= RENEW || self.is_expired() {
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

    /// Looks at the credential again: it may have been revoked or have expired by another door.
    pub(super) async fn renew(&mut self) -> Result<(), End> {
        // Put aside: a connection would keep the room for it all its life.
        match Box::pin(self.api.identity.renew(&self.caller, std::mem::take(&mut self.used))).await {
            Ok(caller) => {
                self.caller = Arc::new(caller);
                Ok(())
            }
            Err(error) if error.kind == Kind::Unauthenticated => Err(End::Expired),
            // The database is away for a moment; the next look decides.
            Err(_) => Ok(()),
        }
    }

    fn is_expired(&self) -> bool {
        self.caller.expires_at.is_some_and(|at| at <= self.api.engine.clock().now())
    }

    async fn receive(&mut self, socket: &mut Wire, received: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let text = match received {
            None => return Err(End::Gone),
            Some(Err(error)) => return Err(if is_too_big(&error) { End::TooBig } else { End::Gone }),
            Some(Ok(Message::Text(text))) => Some(text),
            Some(Ok(Message::Binary(_))) => return Err(End::NotText),
            // A ping of the transport is answered there, and counts here.
            Some(Ok(Message::Ping(_))) => None,
            Some(Ok(Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Close(_))) => return Err(End::Gone),
        };
        // A bot's process may stream as fast as it is read: it waits once a few of its frames do.
        let is_free = self.process.is_some();
        if !is_free && let Err(too_fast) = self.pace.count(self.api.engine.clock().now()) {
            return slow_down(socket, text.as_deref(), too_fast).await;
        }
        if self.is_expired() {
            self.renew().await?;
        }
        let Some(text) = text else { return Ok(()) };
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
            ClientFrame::Command { id, session_id, command, bot, parameters } => {
                let asker = self.asker();
                Some(asked(id, move |id| asker.command(id, session_id, (command, bot), parameters)))
            }
            ClientFrame::Action { id, session_id, message_id, action_id, value } => {
                let asker = self.asker();
                Some(asked(id, move |id| asker.take(id, session_id, (message_id, action_id), value)))
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
            ClientFrame::Presence { state } => {
                self.connected.is_away(state == Looking::Away);
                None
            }
            ClientFrame::Received { stream, seq } => {
                let outcome = self.received(&stream, seq).map(|()| None);
                Some(Box::pin(std::future::ready(Done::Asked { id: None, outcome })))
            }
            ClientFrame::Auth { id, token } => {
                let api = self.api.clone();
                Some(Box::pin(
                    async move { Done::Authenticated { id, outcome: api.identity.authenticate(&token).await } },
                ))
            }
            ClientFrame::Cancel { id, session_id, invocation_id } => {
                let asker = self.asker();
                Some(asked(id, move |id| async move { asker.cancel(id, &session_id, &invocation_id).await }))
            }
            ClientFrame::Register { id, bot_id, commands, max_in_flight } => {
                Some(self.start_register(id, Service { bot: bot_id, commands, max_in_flight }))
            }
            ClientFrame::Done { id, delivery_id, attempt, status, content, message, error } => {
                let words = Words { content, message };
                Some(self.start_report(id, Report::of(delivery_id, attempt, What::Done { status, words, error })))
            }
            ClientFrame::Nack { id, delivery_id, attempt, retry_after_ms } => {
                Some(self.start_report(id, Report::of(delivery_id, attempt, What::Nack { retry_after_ms })))
            }
            ClientFrame::Extend { id, delivery_id, attempt } => {
                Some(self.start_report(id, Report::of(delivery_id, attempt, What::Extend)))
            }
            ClientFrame::Chunk { id, delivery_id, attempt, offset, delta } => {
                Some(self.start_report(id, Report::of(delivery_id, attempt, What::Chunk { offset, delta })))
            }
            ClientFrame::Say { id, delivery_id, attempt, content, message } => {
                let words = Words { content, message };
                Some(self.start_report(Some(id), Report::of(delivery_id, attempt, What::Say { words })))
            }
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
            Box::pin(self.open(Wish { stream, after: FROM_NOW_ON, epoch: None, limit: 1, want: Vec::new() }))
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

    fn start_register(&self, id: Option<String>, service: Service) -> Doing {
        let (asker, is_taken, plain) = (self.asker(), self.process.is_some(), self.plain);
        Box::pin(async move {
            let outcome = match check_id(id.as_deref()) {
                Ok(()) => asker.register(id.as_deref(), service, is_taken, plain),
                Err(error) => Err(error),
            };
            Done::Registered { id, outcome }
        })
    }

    fn start_report(&self, id: Option<String>, report: Report) -> Doing {
        let (asker, seat) = (self.asker(), self.process.as_ref().map(|process| process.seat.clone()));
        asked(id, move |id| async move { asker.report(id, seat, report).await })
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

    /// Tells the others what has arrived here, at most what was sent.
    fn received(&mut self, stream: &str, seq: i64) -> Result<()> {
        let reading = self.readings.values_mut().find(|reading| reading.subscription.stream().as_str() == stream);
        let reading = reading.ok_or_else(|| {
            Error::invalid("this socket does not read that stream").details(json!({ "field": "stream" }))
        })?;
        if let Some(passing) = reading.received(&self.caller.principal.id, seq) {
            self.api.engine.bus().pass(passing);
        }
        Ok(())
    }

    fn open(&mut self, wish: Wish) -> impl Future<Output = Result<Opened>> + Send + use<> {
        let slot = self.next_slot;
        self.next_slot += 1;
        let most = self.api.sockets.limits.subscriptions;
        // One that is read already is only replaced.
        let others = self.readings.values().filter(|reading| reading.subscription.stream().as_str() != wish.stream);
        let full = most > 0 && others.count() >= most;
        let (Asker { api, caller }, inbox, connected) = (self.asker(), self.inbox.clone(), self.connected.clone());
        async move {
            if full {
                let message = format!("one socket reads at most {most} streams");
                return Err(Error::new(Kind::RateLimited, "TOO_MANY_SUBSCRIPTIONS", message));
            }
            open(&api, &caller, Place { inbox: &inbox, slot, connected: &connected }, wish).await
        }
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

/// Refuses a frame that came too early, or its client.
async fn slow_down(socket: &mut Wire, text: Option<&str>, too_fast: TooFast) -> Result<(), End> {
    match too_fast {
        TooFast::Wait(wait) => {
            let error = Error::new(Kind::RateLimited, "RATE_LIMITED", "frames come too fast").retry_after(wait);
            send(socket, frame::error(text.and_then(frame::id_of).as_deref(), &error)).await
        }
        TooFast::Enough(wait) => Err(End::TooFast(wait)),
    }
}

fn is_too_big(error: &axum::Error) -> bool {
    // axum boxes tungstenite's error; its text is the only thing that both versions share.
    let text = error.to_string();
    text.contains("too long") || text.contains("too big") || text.contains("Space limit exceeded")
}
