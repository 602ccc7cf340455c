//! The gateway: Discord sends through a socket that we open.
//!
//! What came is kept before its number is remembered, and the session is remembered across a restart: Discord then sends
//! again what followed, so that nothing is lost while we are away for a moment, and what was kept is known by its id.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite_tls::tungstenite::Message;
use tokio_tungstenite_tls::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite_tls::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::{Discord, PLATFORM};
use crate::chat::outside::Outside;
use crate::config::is_confidential_socket;
use crate::crash_point;
use crate::model::Kind;
use crate::tasks::Tasks;

/// The first and the longest pause before another connection.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long opening a connection and its first words may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest frame, in bytes. What a large server holds comes in one.
const MAX_FRAME: usize = 16 * 1024 * 1024;
/// How often it is looked whether other commands are to be offered.
const LOOK: Duration = Duration::from_secs(10);

/// What is wanted: servers and their threads, messages in them, direct messages.
const INTENTS: u64 = 1 | 1 << 9 | 1 << 12;
/// The texts of messages that do not mention us.
const MESSAGE_CONTENT: u64 = 1 << 15;

/// How often a session is gone on with where nobody answers, before another is begun.
const MOST_UNREACHED: u32 = 5;

/// What the session is remembered under.
const SESSION: &str = "session";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A session that can be gone on with.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    id: String,
    /// Where it goes on.
    url: String,
    /// The number of what came last.
    seq: u64,
    /// Our own user there.
    own: String,
}

/// Why a connection is over.
#[derive(Debug)]
enum Over {
    /// It goes on with the same session.
    Resume(String),
    /// It begins anew.
    Anew(String),
    /// Nobody answered.
    Unreached(String),
    /// No other will do better until somebody changes a setting.
    Never(String),
}

/// What a code with which Discord closes means.
fn closed(code: u16) -> Over {
    let why = |text: &str| format!("{text} (code {code})");
    match code {
        4004 => Over::Never(why("Discord does not know discord.bot_token")),
        4010 | 4011 => Over::Never(why("the app is in too many servers for one connection")),
        4013 | 4014 => Over::Never(why(
            "Discord does not let the app read messages: switch the message content intent on at the app's page, or \
             discord.message_content off",
        )),
        4007 | 4009 => Over::Anew(why("the session is over")),
        // A code of the socket's own ends the session on both sides.
        1000 | 1001 => Over::Anew(why("Discord closed it")),
        _ => Over::Resume(why("Discord closed it")),
    }
}

impl Discord {
    /// Holds a connection, one after the other.
    pub fn listen(self: &Arc<Self>, outside: &Arc<Outside>, tasks: &Tasks) {
        if self.settings.slash_commands {
            self.clone().keep_offering(outside.clone(), tasks);
        }
        if !self.settings.gateway {
            return;
        }
        let (discord, outside, stop) = (self.clone(), outside.clone(), tasks.stop_token().clone());
        tasks.spawn("discord gateway", async move {
            let mut pause = FIRST_PAUSE;
            let mut session = discord.remembered(&outside).await;
            let mut unreached = 0;
            while !stop.is_cancelled() {
                let began = tokio::time::Instant::now();
                let over = tokio::select! {
                    () = stop.cancelled() => {
                        discord.remember(&outside, session.as_ref()).await;
                        return;
                    }
                    over = discord.hold(&outside, &mut session) => over,
                };
                let why = match over {
                    Over::Never(why) => {
                        tracing::error!(why, "Discord takes no connection; it is tried again in a minute");
                        (session, pause) = (None, LONGEST_PAUSE);
                        why
                    }
                    Over::Anew(why) => {
                        session = None;
                        why
                    }
                    Over::Unreached(why) => {
                        unreached += 1;
                        if unreached > MOST_UNREACHED {
                            (session, unreached) = (None, 0);
                        }
                        why
                    }
                    Over::Resume(why) => {
                        unreached = 0;
                        why
                    }
                };
                if began.elapsed() > Duration::from_secs(30) {
                    pause = FIRST_PAUSE;
                }
                tracing::warn!(why, pause = ?pause, "the connection with Discord is over");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// Offers the commands as slash commands, and again when they change.
    fn keep_offering(self: Arc<Self>, outside: Arc<Outside>, tasks: &Tasks) {
        let stop = tasks.stop_token().clone();
        tasks.spawn("discord commands", async move {
            let mut offered: Option<std::sync::Weak<crate::engine::registry::Snapshot>> = None;
            while !stop.is_cancelled() {
                let snapshot = outside.hub().snapshot();
                let is_known = offered.as_ref().is_some_and(|last| last.as_ptr() == Arc::as_ptr(&snapshot));
                if !is_known {
                    let outcome = match self.application().await {
                        Ok(application) => self.offer_commands(&outside, &application).await.map(|_| ()),
                        Err(error) => Err(error),
                    };
                    match outcome {
                        Ok(()) => offered = Some(Arc::downgrade(&snapshot)),
                        Err(error) => tracing::warn!(%error, "failed to offer the commands to Discord"),
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        });
    }

    async fn remembered(&self, outside: &Outside) -> Option<Session> {
        match outside.store().remembered(PLATFORM, SESSION).await {
            Ok(text) => text.and_then(|text| serde_json::from_str(&text).ok()),
            Err(error) => {
                tracing::warn!(%error, "failed to read the session with Discord");
                None
            }
        }
    }

    async fn remember(&self, outside: &Outside, session: Option<&Session>) {
        let Some(text) = session.and_then(|session| serde_json::to_string(session).ok()) else { return };
        if let Err(error) = outside.store().remember(PLATFORM, SESSION, text, outside.clock().now()).await {
            tracing::warn!(%error, "failed to remember the session with Discord");
        }
    }

    async fn open(&self, session: Option<&Session>) -> Result<Socket, String> {
        let url = match session {
            Some(session) => session.url.clone(),
            None => {
                // Nowhere else: a gateway that was not named here would be given the token.
                let named = self.rest.get("/gateway").await.map_err(|error| error.to_string())?;
                named["url"].as_str().ok_or("Discord named no gateway")?.to_owned()
            }
        };
        if !is_confidential_socket(&url) {
            return Err("Discord named a gateway that others could read".to_owned());
        }
        let url = format!("{}/?v=10&encoding=json", url.trim_end_matches('/'));
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .max_message_size(Some(MAX_FRAME))
            .max_frame_size(Some(MAX_FRAME))
            .max_write_buffer_size(1024 * 1024);
        match tokio::time::timeout(PATIENCE, connect_async_with_config(url, Some(config), true)).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer within 15 seconds".to_owned()),
        }
    }

    /// Opens a connection and holds it while it lasts.
    async fn hold(&self, outside: &Outside, session: &mut Option<Session>) -> Over {
        let mut socket = match self.open(session.as_ref()).await {
            Ok(socket) => socket,
            Err(why) => return Over::Unreached(why),
        };
        let hello = match tokio::time::timeout(PATIENCE, read(&mut socket)).await {
            Ok(Ok(frame)) if frame["op"] == 10 => frame,
            Ok(Ok(_)) => return Over::Anew("Discord did not say hello".to_owned()),
            Ok(Err(over)) => return over,
            Err(_) => return Over::Resume("Discord said nothing".to_owned()),
        };
        let every = Duration::from_millis(hello["d"]["heartbeat_interval"].as_u64().unwrap_or(41_250).max(100));
        let token = self.settings.bot_token.expose();
        let greeting = match session.as_ref() {
            Some(Session { id, seq, .. }) => {
                json!({ "op": 6, "d": { "token": token, "session_id": id, "seq": seq } })
            }
            None => {
                let more = if self.settings.message_content { MESSAGE_CONTENT } else { 0 };
                json!({ "op": 2, "d": {
                    "token": token,
                    "intents": INTENTS | more,
                    "properties": { "os": std::env::consts::OS, "browser": "parlour", "device": "parlour" },
                } })
            }
        };
        if let Err(why) = send(&mut socket, &greeting).await {
            return Over::Resume(why);
        }
        // The first beat comes at some moment of the interval, so that not all clients beat together.
        let first = every.mul_f64(
            f64::from(crate::model::id::random_hex::<1>().map_or(0, |hex| u8::from_str_radix(&hex, 16).unwrap_or(0)))
                / 256.0,
        );
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + first, every);
        let mut is_heard = true;
        loop {
            tokio::select! {
                frame = read(&mut socket) => {
                    let frame = match frame {
                        Ok(frame) => frame,
                        Err(over) => return over,
                    };
                    match frame["op"].as_u64() {
                        Some(0) => {
                            if let Err(why) = self.dispatch(outside, session, &frame).await {
                                return Over::Resume(why);
                            }
                        }
                        Some(1) => {
                            if let Err(why) = send(&mut socket, &heartbeat(session.as_ref())).await {
                                return Over::Resume(why);
                            }
                        }
                        Some(7) => return Over::Resume("Discord asked for another one".to_owned()),
                        Some(9) if frame["d"] == true => return Over::Resume("the session goes on elsewhere".to_owned()),
                        Some(9) => return Over::Anew("Discord forgot the session".to_owned()),
                        Some(11) => is_heard = true,
                        _ => {}
                    }
                }
                _ = beat.tick() => {
                    if !is_heard {
                        return Over::Resume("Discord has gone silent".to_owned());
                    }
                    is_heard = false;
                    if let Err(why) = send(&mut socket, &heartbeat(session.as_ref())).await {
                        return Over::Resume(why);
                    }
                    self.remember(outside, session.as_ref()).await;
                }
            }
        }
    }

    /// Takes an event. An error means that it could not be kept: it is asked for again.
    async fn dispatch(&self, outside: &Outside, session: &mut Option<Session>, frame: &Value) -> Result<(), String> {
        let (kind, body) = (frame["t"].as_str().unwrap_or_default(), &frame["d"]);
        let seq = frame["s"].as_u64();
        if kind == "READY" {
            let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let own = text("/user/id");
            *session = Some(Session {
                id: text("/session_id"),
                url: text("/resume_gateway_url"),
                seq: seq.unwrap_or_default(),
                own: own.clone(),
            });
            self.connected(&own, &text("/application/id"));
            tracing::info!("connected with Discord");
            self.remember(outside, session.as_ref()).await;
            return Ok(());
        }
        if kind == "RESUMED" {
            if let Some(session) = session.as_ref() {
                self.connected(&session.own, "");
            }
            tracing::info!("went on with the session with Discord");
        }
        let own = session.as_ref().map(|session| session.own.clone()).unwrap_or_default();
        let kept = match Box::pin(self.event(outside, kind, body, &own)).await {
            Ok(kept) => kept,
            Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Internal | Kind::RateLimited) => {
                return Err(error.to_string());
            }
            // It would be the same each time.
            Err(error) => {
                tracing::warn!(kind, %error, "something from Discord is passed over");
                false
            }
        };
        if kept {
            crash_point::reached("inbox.acknowledged");
        }
        if let (Some(session), Some(seq)) = (session.as_mut(), seq) {
            session.seq = seq;
        }
        if kept {
            self.remember(outside, session.as_ref()).await;
        }
        Ok(())
    }
}

fn heartbeat(session: Option<&Session>) -> Value {
    json!({ "op": 1, "d": session.map(|session| session.seq) })
}

async fn send(socket: &mut Socket, frame: &Value) -> Result<(), String> {
    socket.send(Message::text(frame.to_string())).await.map_err(|error| error.to_string())
}

/// The next frame.
async fn read(socket: &mut Socket) -> Result<Value, Over> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(frame) => return Ok(frame),
                Err(error) => tracing::debug!(%error, "Discord sent what cannot be read"),
            },
            Some(Ok(Message::Close(Some(frame)))) => return Err(closed(frame.code.into())),
            Some(Ok(Message::Close(None))) | None => return Err(Over::Resume("Discord closed it".to_owned())),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Over::Resume(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_closing_has_its_answer() {
        for (code, expected) in [
            (4000, "Resume"),
            (4004, "Never"),
            (4007, "Anew"),
            (4008, "Resume"),
            (4009, "Anew"),
            (4014, "Never"),
            (1000, "Anew"),
            (1006, "Resume"),
        ] {
            let over = format!("{:?}", closed(code));
            assert!(over.starts_with(expected), "{code}: {over}");
        }
    }
}
