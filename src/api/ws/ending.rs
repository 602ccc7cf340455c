//! How a connection ends: the code of its close frame, and whether coming back makes sense.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use serde_json::json;

use super::frame;
use crate::model::conversation::Millis;

/// Why a connection ends, by the code of its close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
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

    /// Says why, and closes. The client has two seconds to close too.
    pub(super) async fn say(self, socket: &mut WebSocket, now: Millis) {
        let Some((code, reason, reconnect)) = self.notice() else { return };
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
}
