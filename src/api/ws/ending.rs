//! How a connection ends: the code of its close frame, and whether coming back makes sense.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use serde_json::json;

use super::frame;
use crate::model::conversation::Millis;

/// How long a client has to take the good-bye and to close too.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed, or is gone.
    Gone,
    TooBig,
    Restart,
    Fault,
    BadFrames,
    NotText,
    /// A token of somebody else.
    Foreign,
    /// Nothing was heard.
    Silent,
    /// Nothing was taken.
    Stalled,
    Revoked,
    /// With the milliseconds to wait.
    TooFast(Millis),
    Expired,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    /// Whether coming back makes sense.
    pub(super) reconnect: bool,
}

impl End {
    /// Every end that is told, for the description.
    pub(super) const TOLD: [Self; 11] = [
        Self::NotText,
        Self::TooBig,
        Self::Fault,
        Self::Restart,
        Self::BadFrames,
        Self::Foreign,
        Self::Silent,
        Self::Stalled,
        Self::Revoked,
        Self::TooFast(0),
        Self::Expired,
    ];

    /// `None` when nobody is there to be told.
    pub(super) fn notice(self) -> Option<Notice> {
        let (code, reason, reconnect) = match self {
            Self::Gone => return None,
            Self::NotText => (1003, "only text frames are read here", false),
            Self::TooBig => (1009, "frame too big", false),
            Self::Fault => (1011, "server fault", true),
            Self::Restart => (1012, "the server restarts", true),
            Self::BadFrames => (4400, "too many bad frames", false),
            Self::Foreign => (4403, "the token is somebody else's", false),
            Self::Silent => (4408, "nothing was heard for too long", true),
            Self::Stalled => (4408, "nothing was taken for too long", true),
            Self::Revoked => (4410, "signed out", false),
            Self::TooFast(_) => (4429, "too many frames", true),
            // With a fresh credential, that is.
            Self::Expired => (4440, "the session has expired", true),
        };
        Some(Notice { code, reason, reconnect })
    }

    /// After how long to come back, in milliseconds. Spread, so that not everybody comes in the same moment.
    fn retry_after(self, now: Millis) -> Millis {
        match self {
            Self::TooFast(wait) => wait,
            _ => 250 + now.rem_euclid(1500),
        }
    }

    /// Says why, and closes.
    pub(super) async fn say(self, socket: &mut WebSocket, now: Millis) {
        let Some(Notice { code, reason, reconnect }) = self.notice() else { return };
        let bye = frame::text(&json!({
            "type": "bye", "code": code, "reason": reason, "reconnect": reconnect,
            "retry_after_ms": reconnect.then(|| self.retry_after(now)),
        }));
        let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
        let goodbye = async {
            socket.send(Message::Text(bye.into())).await?;
            socket.send(close).await?;
            // Reading on until the client has closed too lets the goodbye arrive instead of a reset.
            while let Some(Ok(_)) = socket.recv().await {}
            Ok::<_, axum::Error>(())
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_says_whether_to_come_back() {
        let told: Vec<_> = End::TOLD.iter().filter_map(|end| end.notice()).map(|n| (n.code, n.reconnect)).collect();
        let expected = [
            (1003, false),
            (1009, false),
            (1011, true),
            (1012, true),
            (4400, false),
            (4403, false),
            (4408, true),
            (4408, true),
            (4410, false),
            (4429, true),
            (4440, true),
        ];
        assert_eq!(told, expected);
        assert_eq!(End::Gone.notice(), None);
        assert_eq!(End::TooFast(2000).retry_after(7), 2000);
        assert!((0..3000).all(|now| (250..1750).contains(&End::Restart.retry_after(now))));
    }
}
