//! The server itself: its log, its sockets, who may call it from elsewhere and who counts.

use jiff::SignedDuration;
use serde::Deserialize;

use super::address::validate_origins;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Limits of the web socket; a limit of 0 is none.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ws {
    pub frames_per_second: u32,
    pub frames_burst: u32,
    pub subscriptions: usize,
    pub sockets_per_user: usize,
    pub refused_per_second: u32,
    pub refused_burst: u32,
    pub spare_loopback: bool,
    pub stalled_after: SignedDuration,
    /// Origins as browsers write them: scheme, host and a port that is not the scheme's own.
    pub allowed_origins: Vec<String>,
}

impl Ws {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        for (name, rate, burst) in [
            ("frames", self.frames_per_second, self.frames_burst),
            ("refused", self.refused_per_second, self.refused_burst),
        ] {
            anyhow::ensure!(
                rate == 0 || burst > 0,
                "ws.{name}_burst must be at least 1 while ws.{name}_per_second counts"
            );
        }
        anyhow::ensure!(self.stalled_after > SignedDuration::ZERO, "ws.stalled_after must be longer than nothing");
        validate_origins("ws", &self.allowed_origins)
    }
}

/// Pages of other origins that may use the HTTP doors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins as browsers write them, or `*` alone for every page.
    pub allowed_origins: Vec<String>,
    /// Whether those pages may also use the cookie, as our own do.
    pub credentials: bool,
}

impl Cors {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        if self.allowed_origins == ["*"] {
            anyhow::ensure!(
                !self.credentials,
                "cors.credentials needs origins by name in cors.allowed_origins, not \"*\""
            );
            return Ok(());
        }
        validate_origins("cors", &self.allowed_origins)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// What opens `/metrics` beside an administrator's credential; empty: nothing else does.
    pub token: String,
}

impl Metrics {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.token.is_empty() || self.token.len() >= 16,
            "metrics.token must have at least 16 characters"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides};
    use super::*;

    #[test]
    fn limits_that_cannot_be_meant_are_refused() {
        let ws = Config::load(None, &Overrides::default()).unwrap().ws;
        let wrong = |change: fn(&mut Ws)| {
            let mut ws = ws.clone();
            change(&mut ws);
            ws.validate().unwrap_err().to_string()
        };
        assert!(wrong(|ws| ws.frames_burst = 0).contains("ws.frames_burst"));
        assert!(wrong(|ws| ws.stalled_after = SignedDuration::ZERO).contains("ws.stalled_after"));
        for origin in ["*", "null", "chat.example.com", "https://chat.example.com/", "https://Chat.example.com"] {
            let mut ws = ws.clone();
            ws.allowed_origins = vec![origin.to_owned()];
            assert!(ws.validate().unwrap_err().to_string().contains("https://chat.example.com"), "{origin}");
        }
        let mut off = ws.clone();
        (off.frames_per_second, off.frames_burst) = (0, 0);
        off.allowed_origins = vec!["http://localhost:5173".to_owned()];
        assert!(off.validate().is_ok());
    }
}
