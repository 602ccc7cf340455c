//! Requests to a directory: bounded in time and size, never redirected, never in the clear.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, RETRY_AFTER};
use serde_json::{Value, json};

use crate::model::secret::Secret;
use crate::model::{Error, Kind, Result};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(8);

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// How much of a reason is told on, in characters.
const LONGEST_REASON: usize = 300;

/// Speaks HTTP with one directory.
pub(super) struct Exchange {
    client: reqwest::Client,
    /// Without a trailing slash.
    base: String,
    token: Secret,
    /// What bodies are.
    media: &'static str,
}

/// An answer of whatever status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    /// Null when there is none, or none that is JSON.
    pub(super) body: Value,
}

/// What is asked for.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Below the base, with its query.
    pub(super) path: String,
    pub(super) body: Option<&'a Value>,
    pub(super) if_match: Option<&'a str>,
}

impl Ask<'_> {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Ask { method: Method::GET, path: path.into(), body: None, if_match: None }
    }
}

impl<'a> Ask<'a> {
    pub(super) fn with(method: Method, path: impl Into<String>, body: &'a Value) -> Self {
        Ask { method, path: path.into(), body: Some(body), if_match: None }
    }
}

fn unavailable(reason: impl std::fmt::Display) -> Error {
    let message = "the directory does not answer; try again in a moment";
    Error::new(Kind::Unavailable, "DIRECTORY_UNAVAILABLE", message).retry_after(5000).caused_by(reason.to_string())
}

/// What the directory gives as its reason, as far as it is text.
fn reason(body: &Value) -> Option<String> {
    // SCIM's `detail`, Zitadel's and Connect's `message`, OAuth's `error_description`.
    let text = ["detail", "message", "error_description"].into_iter().find_map(|field| body.get(field)?.as_str())?;
    let plain = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    Some(plain.take(LONGEST_REASON).collect::<String>().trim().to_owned()).filter(|text| !text.is_empty())
}

/// The directory answers what nobody can use.
pub(super) fn nonsense(what: &str) -> Error {
    Error::new(Kind::Upstream, "DIRECTORY_ERROR", format!("the directory's answer cannot be used: {what}"))
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the door that was asked is not there, or does not do that.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self.status, 404 | 405 | 501)
    }

    /// The refusal, with the directory's reason.
    pub(super) fn refusal(&self) -> Error {
        let reason = reason(&self.body);
        let message = match (self.status, &reason) {
            (401 | 403, _) => "the directory does not let this server do that (setting directory.token)".to_owned(),
            (_, Some(reason)) => format!("the directory refuses: {reason}"),
            (status, None) => format!("the directory refuses with status {status}"),
        };
        let scim_type = self.body.get("scimType").and_then(Value::as_str);
        let details = json!({ "status": self.status, "reason": reason, "scim_type": scim_type });
        Error::new(Kind::Upstream, "DIRECTORY_ERROR", message).details(details)
    }

    /// The body of a success, otherwise the refusal.
    pub(super) fn accepted(self) -> Result<Value> {
        if self.is_success() { Ok(self.body) } else { Err(self.refusal()) }
    }
}

impl Exchange {
    /// For a directory on this machine no proxy is used.
    pub(super) fn new(base: &str, token: &Secret, media: &'static str) -> Result<Self> {
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(LIMIT);
        let builder = if base.starts_with("http://") { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|error| Error::internal("set up requests to the directory", error))?;
        Ok(Self { client, base: base.to_owned(), token: token.clone(), media })
    }

    /// Asks, and answers whatever comes back, unless the directory is down or overloaded.
    pub(super) async fn send(&self, ask: Ask<'_>) -> Result<Answer> {
        let down = |error: reqwest::Error| unavailable(error.without_url());
        let mut request = self
            .client
            .request(ask.method, format!("{}{}", self.base, ask.path))
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(ACCEPT, format!("{}, application/json", self.media));
        if let Some(body) = ask.body {
            request = request.header(CONTENT_TYPE, self.media).body(body.to_string());
        }
        if let Some(etag) = ask.if_match {
            request = request.header(IF_MATCH, etag);
        }
        let mut answer = request.send().await.map_err(down)?;
        let status = answer.status().as_u16();
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (etag, wait) = (header(ETAG), header(RETRY_AFTER));
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(down)? {
            if bytes.len() + piece.len() > MAX_ANSWER {
                return Err(nonsense("it is too large"));
            }
            bytes.extend_from_slice(&piece);
        }
        // 501 says that it cannot do that, not that it is down.
        if status == 429 || (status >= 500 && status != 501) {
            let error = unavailable(format!("the directory answered {status}"));
            let seconds = wait.and_then(|text| text.parse::<i64>().ok()).filter(|seconds| (1..=3600).contains(seconds));
            return Err(seconds.map_or_else(|| unavailable(status), |seconds| error.retry_after(seconds * 1000)));
        }
        if (300..400).contains(&status) {
            return Err(nonsense("it sends elsewhere, and its address is the one of the settings"));
        }
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status, etag, body })
    }
}

/// A value within a path.
pub(super) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_the_directorys_reason_and_no_more() {
        let answer = |status, body| Answer { status, etag: None, body };
        let long = "x".repeat(1000);
        for (answer, message) in [
            (answer(400, json!({ "detail": "no\nsuch\tmail" })), "the directory refuses: no such mail".to_owned()),
            (answer(409, json!({ "message": "taken" })), "the directory refuses: taken".to_owned()),
            (answer(400, json!({ "detail": long })), format!("the directory refuses: {}", "x".repeat(300))),
            (answer(418, Value::Null), "the directory refuses with status 418".to_owned()),
            (
                answer(401, json!({ "detail": "the token abc is wrong" })),
                "the directory does not let this server do that (setting directory.token)".to_owned(),
            ),
        ] {
            let error = answer.refusal();
            assert_eq!((error.kind, error.code, error.message), (Kind::Upstream, "DIRECTORY_ERROR", message));
        }
    }
}
