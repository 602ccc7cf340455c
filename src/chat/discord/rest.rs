//! Calls of Discord's REST API, within its rate limits.
//!
//! Discord counts calls in buckets: each answer names the bucket of its route and what is left of it. A call that would
//! be one too many waits when the wait is short, and is put off otherwise. Answers are read as plain JSON: a member that
//! is missing must not break what does not need it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::chat::outside::Enclosure;
use crate::model::conversation::Millis;
use crate::model::secret::Secret;

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(15);
/// The same for one that brings files.
const FILES_LIMIT: Duration = Duration::from_secs(120);
/// The longest that a call waits for its bucket; what would wait longer is put off.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Discord refused it, with that status and that code of its own.
    #[error("Discord answered {status} ({code}): {why}")]
    Refused { status: u16, code: i64, why: String },
    /// Too many calls; after that time, in milliseconds.
    #[error("Discord takes no more calls for a while")]
    Limited(Millis),
    /// It did not arrive.
    #[error("Discord could not be reached: {0}")]
    Unsent(String),
    /// Nobody knows whether it arrived.
    #[error("the answer of Discord got lost: {0}")]
    Lost(String),
}

impl CallError {
    /// Whether what was named is not there.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether what was sent is too large, or files are not taken there.
    pub(super) fn is_about_files(&self) -> bool {
        matches!(self, Self::Refused { status: 413, .. } | Self::Refused { code: 40_005 | 50_013, .. })
    }
}

/// What is left of a bucket, until when.
#[derive(Clone, Copy, Debug)]
struct Left {
    calls: u64,
    until: Instant,
}

#[derive(Default)]
struct Buckets {
    /// The bucket of a route, as Discord named it.
    of_route: HashMap<String, String>,
    left: HashMap<String, Left>,
    /// Nothing at all may be called before.
    closed_until: Option<Instant>,
}

/// What is sent along with a call.
enum Body<'a> {
    Json(&'a Value),
    Form(&'a Value, &'a [Enclosure]),
}

/// The form that a message with files is sent as.
fn form(body: &Value, files: &[Enclosure]) -> Form {
    let mut body = body.clone();
    body["attachments"] =
        files.iter().enumerate().map(|(number, file)| json!({ "id": number, "filename": file.name })).collect();
    let kind = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let words = Part::text(body.to_string()).headers(kind);
    files.iter().enumerate().fold(Form::new().part("payload_json", words), |form, (number, file)| {
        let mut headers = HeaderMap::new();
        if let Ok(kind) = file.media_type.parse() {
            headers.insert(CONTENT_TYPE, kind);
        }
        let bytes = Part::stream(file.bytes.clone()).file_name(file.name.clone()).headers(headers);
        form.part(format!("files[{number}]"), bytes)
    })
}

/// The REST API at one address.
pub(super) struct Rest {
    client: Client,
    base: String,
    authorization: Secret,
    buckets: Mutex<Buckets>,
}

impl Rest {
    /// `api_url` is what paths are appended to; the settings admit `http` only for this machine.
    pub(super) fn new(api_url: &str, token: &Secret) -> anyhow::Result<Self> {
        let agent = concat!("DiscordBot (Parlour, ", env!("CARGO_PKG_VERSION"), ")");
        let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(LIMIT).user_agent(agent).build()?;
        let authorization = Secret::new(format!("Bot {}", token.expose()));
        Ok(Self { client, base: api_url.trim_end_matches('/').to_owned(), authorization, buckets: Mutex::default() })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, CallError> {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::POST, path, Some(Body::Json(body))).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::PATCH, path, Some(Body::Json(body))).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::PUT, path, Some(Body::Json(body))).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, CallError> {
        self.call(Method::DELETE, path, None).await
    }

    /// Sends a message with files. They are attached to it, and Discord takes or refuses both together.
    pub(super) async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        files: &[Enclosure],
    ) -> Result<Value, CallError> {
        if files.is_empty() {
            return self.call(method, path, Some(Body::Json(body))).await;
        }
        self.call(method, path, Some(Body::Form(body, files))).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Body<'_>>) -> Result<Value, CallError> {
        let (route, major) = route(&method, path);
        self.wait(&route, &major).await?;
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        // What an interaction's own token allows needs no other.
        if !path.starts_with("/webhooks/") && !path.starts_with("/interactions/") {
            request = request.header(AUTHORIZATION, self.authorization.expose());
        }
        match body {
            Some(Body::Json(body)) => {
                request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
            }
            Some(Body::Form(body, files)) => request = request.multipart(form(body, files)).timeout(FILES_LIMIT),
            None => {}
        }
        let mut answer = request.send().await.map_err(|error| match error.is_connect() {
            true => CallError::Unsent("no connection".to_owned()),
            false => CallError::Lost(error.without_url().to_string()),
        })?;
        let status = answer.status().as_u16();
        self.learn(&route, &major, answer.headers(), Instant::now());
        let mut bytes = Vec::new();
        while let Some(piece) =
            answer.chunk().await.map_err(|error| CallError::Lost(error.without_url().to_string()))?
        {
            if bytes.len() + piece.len() > MAX_ANSWER {
                return Err(CallError::Lost("the answer is too large".to_owned()));
            }
            bytes.extend_from_slice(&piece);
        }
        let content: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match status {
            200..=299 => Ok(content),
            429 => {
                let named = content["retry_after"].as_f64();
                let header = || answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse::<f64>().ok();
                let after = Duration::from_secs_f64(named.or_else(header).unwrap_or(1.0).clamp(0.0, 3600.0));
                self.close(&route, &major, content["global"] == true, after);
                Err(CallError::Limited(millis(after)))
            }
            500..=599 => Err(CallError::Lost(format!("status {status}"))),
            _ => Err(CallError::Refused {
                status,
                code: content["code"].as_i64().unwrap_or_default(),
                why: content["message"].as_str().unwrap_or("no reason given").to_owned(),
            }),
        }
    }

    fn buckets(&self) -> std::sync::MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a call from the bucket, waiting for it when that is short.
    async fn wait(&self, route: &str, major: &str) -> Result<(), CallError> {
        while let Err(pause) = self.take(route, major, Instant::now()) {
            if pause > PATIENCE {
                return Err(CallError::Limited(millis(pause)));
            }
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Takes a call from the bucket; the error is how long there is none.
    fn take(&self, route: &str, major: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets();
        let key = buckets.key(route, major);
        let closed = buckets.closed_until.filter(|until| *until > now);
        let left = buckets.left.get_mut(&key).filter(|left| left.until > now);
        match (closed, left) {
            (Some(until), _) => Err(until - now),
            (None, Some(left)) if left.calls == 0 => Err(left.until - now),
            (None, left) => {
                if let Some(left) = left {
                    left.calls -= 1;
                }
                Ok(())
            }
        }
    }

    fn learn(&self, route: &str, major: &str, headers: &HeaderMap, now: Instant) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|text| text.parse::<f64>().ok());
        let mut buckets = self.buckets();
        if let Some(bucket) = text("x-ratelimit-bucket") {
            buckets.of_route.insert(route.to_owned(), bucket.to_owned());
        }
        let (Some(calls), Some(after)) = (number("x-ratelimit-remaining"), number("x-ratelimit-reset-after")) else {
            return;
        };
        buckets.left.retain(|_, left| left.until > now);
        let key = buckets.key(route, major);
        let until = now + Duration::from_secs_f64(after.clamp(0.0, 3600.0));
        buckets.left.insert(key, Left { calls: calls.max(0.0) as u64, until });
    }

    fn close(&self, route: &str, major: &str, everything: bool, after: Duration) {
        let until = Instant::now() + after;
        let mut buckets = self.buckets();
        if everything {
            buckets.closed_until = Some(until);
        } else {
            let key = buckets.key(route, major);
            buckets.left.insert(key, Left { calls: 0, until });
        }
    }
}

impl Buckets {
    fn key(&self, route: &str, major: &str) -> String {
        format!("{}/{major}", self.of_route.get(route).map_or(route, String::as_str))
    }
}

fn millis(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).saturating_add(1)
}

/// A path as its buckets are named: the shape of the route, and the resource that is counted by itself.
fn route(method: &Method, path: &str) -> (String, String) {
    let path = path.split('?').next().unwrap_or(path);
    let mut parts = path.trim_start_matches('/').split('/');
    let first = parts.next().unwrap_or_default();
    let mut shape = format!("{method} /{first}");
    let mut major = String::new();
    for (at, part) in parts.enumerate() {
        let is_major = match first {
            "channels" | "guilds" => at == 0,
            "webhooks" | "interactions" => at < 2,
            _ => false,
        };
        if is_major {
            major.push_str(part);
            major.push('/');
        }
        let is_id = is_major || part.bytes().all(|b| b.is_ascii_digit());
        shape.push_str(if is_id { "/:id" } else { "/" });
        shape.push_str(if is_id { "" } else { part });
    }
    (shape, major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_counted_by_its_shape_and_its_channel() {
        for (path, shape, major) in [
            ("/channels/1/messages", "PATCH /channels/:id/messages", "1/"),
            ("/channels/1/messages/2", "PATCH /channels/:id/messages/:id", "1/"),
            ("/webhooks/7/tok/messages/@original", "PATCH /webhooks/:id/:id/messages/@original", "7/tok/"),
            ("/applications/7/commands", "PATCH /applications/:id/commands", ""),
            ("/gateway", "PATCH /gateway", ""),
        ] {
            assert_eq!(route(&Method::PATCH, path), (shape.to_owned(), major.to_owned()), "{path}");
        }
    }

    #[test]
    fn an_empty_bucket_is_waited_for_or_put_off() {
        let rest = Rest::new("http://127.0.0.1:1", &Secret::new("t".to_owned())).unwrap();
        let headers = |left: &str, after: &str| {
            let pairs =
                [("x-ratelimit-bucket", "b"), ("x-ratelimit-remaining", left), ("x-ratelimit-reset-after", after)];
            pairs
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        let (route, start) = ("POST /channels/:id/messages", Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        rest.learn(route, "1/", &headers("1", "1.5"), start);
        assert_eq!(rest.take(route, "1/", start), Ok(()), "one was left");
        assert_eq!(rest.take(route, "2/", start), Ok(()), "another channel counts by itself");
        assert_eq!(rest.take(route, "1/", after(500)), Err(Duration::from_secs(1)), "the next one waits");
        assert_eq!(rest.take(route, "1/", after(1500)), Ok(()));
        rest.learn(route, "1/", &headers("0", "30"), after(1500));
        assert_eq!(rest.take(route, "1/", after(1500)), Err(Duration::from_secs(30)));
        rest.close("GET /x", "", true, Duration::from_secs(9));
        assert!(rest.take(route, "2/", start).is_err(), "nothing at all");
    }
}
