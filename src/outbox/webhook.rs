//! Telling webhooks: one delivery after the other is taken, signed and sent, and tried again until it is taken or given up.
//!
//! The receiver reads who sent it in two ways: as the document describes it (`X-Webhook-Signature`), and as Standard
//! Webhooks do (`webhook-signature`), which also protects the time and the id.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config;
use crate::fetch::{self, Fetch, HttpMethod, Request};
use crate::model::conversation::Millis;
use crate::model::id::{hex, random_bytes};
use crate::model::{Error, Result};
use crate::store::Store;
use crate::store::webhook::{Attempted, HookDelivery, Next, Webhook, sealed_owner};
use crate::tasks::Tasks;
use crate::vault::Vault;

/// How many deliveries are under way at the same time.
const AT_ONCE: usize = 16;

/// The longest answer that is read; nobody looks at it.
const LONGEST_ANSWER: usize = 64 * 1024;

/// How long one attempt may take beyond the setting before another server may make the next.
const LEASE_BEYOND: Millis = 30_000;

/// What was left by a server that died is looked for this often.
const LOOK: Duration = Duration::from_secs(10);

/// How long attempts under way may go on at a shutdown.
const GRACE: Duration = Duration::from_secs(5);

const SECOND: Millis = 1000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;

/// Pauses between the attempts of a webhook without a policy of its own: over three days.
const SCHEDULE: [Millis; 9] =
    [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// The longest pause of a policy, and the longest that a receiver may ask for.
const LONGEST_PAUSE: Millis = 24 * HOUR;

/// The field of the secret, of the one before, and of the headers.
pub(super) const SECRET: &str = "secret";
pub(super) const SECRET_BEFORE: &str = "secret_before";
pub(super) const HEADERS: &str = "headers";

/// A new signing secret.
pub(super) fn new_secret() -> Result<String> {
    let bytes = random_bytes::<32>().map_err(|error| Error::internal("make a secret", error))?;
    Ok(format!("whsec_{}", STANDARD.encode(bytes)))
}

/// HMAC-SHA256.
fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // Every length is a key.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The document's signature: hex of an HMAC of the body, with the secret as it is written.
pub fn plain_signature(secret: &str, body: &str) -> String {
    hex(&mac(secret.as_bytes(), &[body.as_bytes()]))
}

/// The signature of Standard Webhooks over the id, the time in seconds and the body.
pub fn standard_signature(secret: &str, id: &str, at: i64, body: &str) -> String {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = STANDARD.decode(encoded).unwrap_or_else(|_| secret.as_bytes().to_vec());
    let at = at.to_string();
    let signature = mac(&key, &[id.as_bytes(), b".", at.as_bytes(), b".", body.as_bytes()]);
    format!("v1,{}", STANDARD.encode(signature))
}

/// Sends what webhooks are told.
pub struct Teller {
    store: Arc<Store>,
    vault: Arc<Vault>,
    fetch: Fetch,
    clock: Clock,
    timeout: Duration,
    disable_after: Millis,
    keep: Millis,
}

impl Teller {
    pub fn new(
        store: Arc<Store>,
        vault: Arc<Vault>,
        fetch: Fetch,
        clock: Clock,
        settings: &config::Webhooks,
    ) -> Arc<Self> {
        let millis = |duration: jiff::SignedDuration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4);
        Arc::new(Self {
            store,
            vault,
            fetch,
            clock,
            timeout: settings.timeout.unsigned_abs(),
            disable_after: millis(settings.disable_after),
            keep: millis(settings.keep),
        })
    }

    /// Starts the task that sends.
    pub fn start(self: &Arc<Self>, tasks: &Tasks) {
        let (teller, stop) = (self.clone(), tasks.stop_token().clone());
        tasks.spawn("webhooks", async move {
            let mut under_way = FuturesUnordered::new();
            while !stop.is_cancelled() {
                for delivery in teller.claim(AT_ONCE - under_way.len()).await {
                    under_way.push(teller.carry(delivery));
                }
                let has_room = under_way.len() < AT_ONCE;
                let wake = async {
                    match teller.store.next_hook_delivery().await {
                        Ok(Some(at)) if has_room => teller.clock.sleep_until(at).await,
                        _ => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = teller.store.bus().somebody_is_told() => {}
                    () = wake => {}
                    () = tokio::time::sleep(LOOK) => teller.forget().await,
                    _ = under_way.select_next_some(), if !under_way.is_empty() => {}
                }
            }
            let finish = async { while under_way.next().await.is_some() {} };
            // What does not end in time is looked for at the next start.
            let _ = tokio::time::timeout(GRACE, finish).await;
        });
    }

    async fn claim(&self, most: usize) -> Vec<HookDelivery> {
        if most == 0 || !self.store.bus().is_heard() {
            return Vec::new();
        }
        let now = self.clock.now();
        let lease = i64::try_from(self.timeout.as_millis()).unwrap_or(HOUR) + LEASE_BEYOND;
        let claimed = self.store.claim_hook_deliveries(now, now + lease, i64::try_from(most).unwrap_or(1)).await;
        claimed.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to read what webhooks are to be told");
            Vec::new()
        })
    }

    async fn forget(&self) {
        if let Err(error) = self.store.forget_hook_deliveries(self.clock.now() - self.keep).await {
            tracing::warn!(%error, "failed to clear old deliveries of webhooks");
        }
    }

    async fn carry(&self, delivery: HookDelivery) {
        let started = Instant::now();
        let webhook = match self.store.webhook(&delivery.webhook).await {
            Ok(Some(webhook)) => webhook,
            // It was deleted, and its deliveries with it.
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "failed to read a webhook"),
        };
        let outcome = Box::pin(self.attempt(&webhook, &delivery)).await;
        let now = self.clock.now();
        let (status, error, asked) = match &outcome {
            Outcome::Answered { status, retry_after } => {
                let is_good = (200..300).contains(status);
                let error = (!is_good).then(|| format!("the receiver answered {status}"));
                (Some(i64::from(*status)), error, *retry_after)
            }
            Outcome::Failed(why) => (None, Some(why.clone()), None),
        };
        let gone = status == Some(410);
        let next = match error {
            None => Next::Delivered,
            Some(_) if gone => Next::GivenUp,
            Some(_) => match pause(webhook.retry, delivery.attempt) {
                None => Next::GivenUp,
                Some(base) => Next::Again(now + wait(base, asked, webhook.retry.is_some())),
            },
        };
        if let Some(error) = &error {
            tracing::info!(
                id = delivery.id,
                webhook = webhook.id,
                attempt = delivery.attempt,
                error,
                "a webhook did not take a delivery"
            );
        }
        let took = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let attempted = Attempted {
            delivery: delivery.id,
            webhook: webhook.id.clone(),
            attempt: delivery.attempt,
            status,
            error,
            took,
            at: now,
            next,
        };
        match self.store.settle_hook_delivery(attempted, now - self.disable_after, gone).await {
            Ok(true) => tracing::warn!(
                webhook = webhook.id,
                name = webhook.name,
                "a webhook was switched off: its deliveries failed"
            ),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "failed to note what a webhook was told"),
        }
    }

    async fn attempt(&self, webhook: &Webhook, delivery: &HookDelivery) -> Outcome {
        let request = match self.request(webhook, delivery).await {
            Ok(request) => request,
            Err(why) => return Outcome::Failed(why),
        };
        match self.fetch.send(request).await {
            Ok(response) => {
                let after = response.headers.get(fetch::headers::RETRY_AFTER).and_then(|value| value.to_str().ok());
                let seconds = after.and_then(|text| text.trim().parse::<i64>().ok()).filter(|seconds| *seconds >= 0);
                let retry_after = seconds.filter(|_| matches!(response.status, 429 | 502 | 503 | 504));
                Outcome::Answered {
                    status: response.status,
                    retry_after: retry_after.map(|seconds| seconds.saturating_mul(SECOND)),
                }
            }
            // It answered, only longer than anybody reads.
            Err(fetch::Failure::TooLarge { .. }) => Outcome::Answered { status: 200, retry_after: None },
            Err(failure) => Outcome::Failed(failure.to_string()),
        }
    }

    async fn request(&self, webhook: &Webhook, delivery: &HookDelivery) -> Result<Request, String> {
        let owner = sealed_owner(&webhook.id);
        let opened = async |field: &str| -> Result<Option<String>, String> {
            let opened = self.vault.open_value(&owner, field).await.map_err(|error| error.to_string())?;
            Ok(opened.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        let secret = opened(SECRET).await?.ok_or("the webhook has no secret")?;
        let now = self.clock.now();
        let before = match webhook.overlap_until {
            Some(until) if now < until => opened(SECRET_BEFORE).await?,
            _ => None,
        };
        let url = url::Url::parse(&webhook.url).map_err(|_| "the webhook's address is no address".to_owned())?;
        let mut request = Request::new(HttpMethod::POST, url);
        let headers: Value =
            opened(HEADERS).await?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let mut set = |name: &str, value: &str| request.header(name, value).map_err(|refused| refused.0);
        for (name, value) in headers.as_object().into_iter().flatten() {
            set(name, value.as_str().unwrap_or_default())?;
        }
        let (body, at) = (delivery.payload.as_str(), now / SECOND);
        let mut signatures = vec![standard_signature(&secret, &delivery.message, at, body)];
        set("content-type", "application/json")?;
        set("x-webhook-event", &delivery.event)?;
        set("x-webhook-delivery", &delivery.id)?;
        set("x-webhook-signature", &plain_signature(&secret, body))?;
        if let Some(before) = &before {
            signatures.push(standard_signature(before, &delivery.message, at, body));
            set("x-webhook-signature-before", &plain_signature(before, body))?;
        }
        set("webhook-id", &delivery.message)?;
        set("webhook-timestamp", &at.to_string())?;
        set("webhook-signature", &signatures.join(" "))?;
        request.body = delivery.payload.clone().into();
        request.timeout = Some(self.timeout);
        request.max_response = Some(LONGEST_ANSWER);
        Ok(request)
    }
}

enum Outcome {
    Answered { status: u16, retry_after: Option<Millis> },
    Failed(String),
}

/// How long to wait after an attempt; `None` when it was the last.
fn pause(retry: Option<(i64, Millis)>, attempt: i64) -> Option<Millis> {
    let done = usize::try_from(attempt - 1).unwrap_or(0);
    match retry {
        None => SCHEDULE.get(done).copied(),
        Some((most, _)) if attempt >= most => None,
        Some((_, backoff)) => {
            let doubled =
                backoff.saturating_mul(1_i64.checked_shl(u32::try_from(done.min(30)).unwrap_or(30)).unwrap_or(1));
            Some(doubled.min(LONGEST_PAUSE))
        }
    }
}

/// The pause as it is taken: what a receiver asks for counts when it is longer, up to a day. Without that, the usual
/// schedule is spread so that receivers that were down are not all told at once; a policy is kept as it was written.
fn wait(base: Millis, asked: Option<Millis>, is_policy: bool) -> Millis {
    let spread = if is_policy {
        base
    } else {
        let random = random_bytes::<2>().map_or(u16::MAX, u16::from_le_bytes);
        // Between four and six fifths.
        base.saturating_mul(4) / 5
            + (base / 5).saturating_mul(2).saturating_mul(i64::from(random)) / i64::from(u16::MAX)
    };
    spread.max(asked.unwrap_or(0).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_that_others_compute() {
        // The example of the Standard Webhooks specification.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signature =
            standard_signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        // RFC 4231, case 2.
        assert_eq!(
            plain_signature("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let fresh = new_secret().unwrap();
        assert!(fresh.starts_with("whsec_") && STANDARD.decode(&fresh[6..]).unwrap().len() == 32);
    }

    #[test]
    fn pauses_follow_the_schedule_or_the_policy() {
        let usual: Vec<_> = (1..=10).map(|attempt| pause(None, attempt)).collect();
        assert_eq!(usual[..2], [Some(5 * SECOND), Some(5 * MINUTE)]);
        assert_eq!((usual[8], usual[9]), (Some(24 * HOUR), None));
        let policy: Vec<_> = (1..=3).map(|attempt| pause(Some((3, 1000)), attempt)).collect();
        assert_eq!(policy, [Some(1000), Some(2000), None]);
        assert_eq!(pause(Some((100, HOUR)), 99), Some(24 * HOUR));
        for _ in 0..100 {
            let spread = wait(1000, None, false);
            assert!((800..=1200).contains(&spread), "{spread}");
        }
        assert_eq!(wait(1000, None, true), 1000);
        assert_eq!(wait(1000, Some(5000), true), 5000);
        assert_eq!(wait(1000, Some(i64::MAX), true), LONGEST_PAUSE);
    }
}
