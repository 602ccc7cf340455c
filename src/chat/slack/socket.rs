//! Socket Mode: Slack sends through a socket that we open. Nothing is acknowledged before it is kept; what was not is sent
//! again by Slack.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite_tls::tungstenite::Message;
use tokio_tungstenite_tls::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite_tls::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::{Slack, Sort};
use crate::chat::outside::Outside;
use crate::config::is_confidential_socket;
use crate::crash_point;
use crate::tasks::Tasks;

/// The first and the longest pause before another connection.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often we ask whether Slack is still there, and how long we hear nothing before we believe it is not.
const PING: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);

/// The largest frame of Slack's, in bytes.
const MAX_FRAME: usize = 1024 * 1024;

/// How many forms may wait for what becomes of them.
const AT_ONCE: usize = 32;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a connection is over.
enum Over {
    /// Slack asked for another one, or we stop.
    Asked,
    Broken(String),
}

impl Slack {
    /// Listens through sockets, one after the other, when an app token is set.
    pub fn listen(self: &Arc<Self>, outside: &Arc<Outside>, tasks: &Tasks) {
        if self.settings.app_token.is_empty() {
            return;
        }
        let (slack, outside, stop) = (self.clone(), outside.clone(), tasks.stop_token().clone());
        tasks.spawn("slack socket", async move {
            let mut pause = FIRST_PAUSE;
            while !stop.is_cancelled() {
                let session = async {
                    let mut socket = slack.connect().await?;
                    tracing::info!("connected with Slack");
                    Ok::<_, String>(slack.serve(&outside, &mut socket).await)
                };
                let over = tokio::select! {
                    () = stop.cancelled() => return,
                    over = session => over,
                };
                match over {
                    Ok(Over::Asked) => pause = FIRST_PAUSE,
                    Ok(Over::Broken(why)) => {
                        tracing::warn!(why, "the connection with Slack is over");
                        pause = FIRST_PAUSE;
                        tokio::time::sleep(pause).await;
                    }
                    Err(why) => {
                        tracing::warn!(why, pause = ?pause, "failed to connect with Slack");
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(pause) => {}
                        }
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
        });
    }

    async fn connect(&self) -> Result<Socket, String> {
        let opened = self.api.call(&self.settings.app_token, "apps.connections.open", &json!({})).await;
        let opened = opened.map_err(|error| error.to_string())?;
        let url = opened["url"].as_str().ok_or("Slack named no socket")?;
        if !is_confidential_socket(url) {
            return Err("Slack named a socket that others could read".to_owned());
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .max_message_size(Some(MAX_FRAME))
            .max_frame_size(Some(MAX_FRAME))
            .max_write_buffer_size(MAX_FRAME);
        let connecting = connect_async_with_config(url, Some(config), true);
        match tokio::time::timeout(Duration::from_secs(15), connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer within 15 seconds".to_owned()),
        }
    }

    /// Reads envelopes, keeps them in their order and acknowledges each when it is kept.
    async fn serve(self: &Arc<Self>, outside: &Arc<Outside>, socket: &mut Socket) -> Over {
        let mut answers = futures_util::stream::FuturesUnordered::new();
        let mut ping = tokio::time::interval(PING);
        let mut heard = tokio::time::Instant::now();
        loop {
            tokio::select! {
                frame = socket.next(), if answers.len() < AT_ONCE => {
                    heard = tokio::time::Instant::now();
                    match frame {
                        Some(Ok(Message::Text(text))) => {
                            let Ok(frame) = serde_json::from_str::<Value>(&text) else { continue };
                            match frame["type"].as_str() {
                                Some("disconnect") => return Over::Asked,
                                Some("hello") | None => {}
                                Some(kind) => match sort(kind) {
                                    // It waits for what becomes of it; the others must not.
                                    Some(sort) if frame["payload"]["type"] == "view_submission" => {
                                        answers.push(self.keep(outside, sort, frame));
                                    }
                                    // One after the other, so that they stay in their order.
                                    Some(sort) => {
                                        let answer = self.keep(outside, sort, frame).await;
                                        if let Err(why) = acknowledge(socket, answer).await {
                                            return Over::Broken(why);
                                        }
                                    }
                                    None => tracing::debug!(kind, "Slack sent what nobody asked for"),
                                },
                            }
                        }
                        Some(Ok(Message::Close(_))) | None => return Over::Broken("Slack closed it".to_owned()),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Over::Broken(error.to_string()),
                    }
                }
                Some(answer) = answers.next(), if !answers.is_empty() => {
                    if let Err(why) = acknowledge(socket, answer).await {
                        return Over::Broken(why);
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Over::Broken("Slack has gone silent".to_owned());
                    }
                    if let Err(error) = socket.send(Message::Ping(Vec::new().into())).await {
                        return Over::Broken(error.to_string());
                    }
                }
            }
        }
    }

    /// Keeps an envelope; answers its acknowledgement, or nothing when it could not be kept: Slack sends it again.
    async fn keep(&self, outside: &Outside, sort: Sort, mut frame: Value) -> Option<Value> {
        let id = frame["envelope_id"].as_str()?.to_owned();
        match self.receive(outside, sort, frame["payload"].take()).await {
            Ok(Value::Null) => Some(json!({ "envelope_id": id })),
            Ok(told) => Some(json!({ "envelope_id": id, "payload": told })),
            Err(error) => {
                tracing::error!(%error, "something from Slack could not be kept");
                None
            }
        }
    }
}

async fn acknowledge(socket: &mut Socket, answer: Option<Value>) -> Result<(), String> {
    let Some(answer) = answer else { return Ok(()) };
    socket.send(Message::text(answer.to_string())).await.map_err(|error| error.to_string())?;
    crash_point::reached("inbox.acknowledged");
    Ok(())
}

fn sort(kind: &str) -> Option<Sort> {
    match kind {
        "events_api" => Some(Sort::Event),
        "interactive" => Some(Sort::Interaction),
        "slash_commands" => Some(Sort::Command),
        _ => None,
    }
}
