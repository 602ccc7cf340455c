//! Webhooks as their owners see them: made, changed, tried, looked at.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::webhook::{HEADERS, SECRET, SECRET_BEFORE, new_secret};
use crate::clock::Clock;
use crate::fetch::{Fetch, HttpMethod, Request};
use crate::identity::permission::{Object, Verb, authorize, decide, unknown_resource};
use crate::model::conversation::Millis;
use crate::model::grant::ResourceKind;
use crate::model::id::new_id;
use crate::model::principal::{Principal, Role};
use crate::model::webhook::{WebhookState, event_names};
use crate::model::{Error, Kind, Result};
use crate::store::Store;
use crate::store::audit::{Action, Deed, Doer};
use crate::store::vault::{KEY_RETIRED, Sealed};
use crate::store::webhook::{HookDelivery, Webhook, payload, sealed_owner};
use crate::template::nearest;
use crate::vault::Vault;

/// How long the secret before counts beside a new one.
const OVERLAP: Millis = 24 * 60 * 60 * 1000;

/// The most that one owner may have.
const MOST: usize = 100;

/// How often something is sealed anew whose key was changed meanwhile.
const TRIES: usize = 5;

/// A webhook as somebody writes it. On a change, what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookWish {
    pub name: Option<String>,
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub headers: Option<Map<String, Value>>,
    /// Attempts at most, and milliseconds before the second one.
    pub retry: Option<Option<(i64, Millis)>>,
    /// Whether it is told anything.
    pub active: Option<bool>,
}

/// The webhooks of an installation.
pub struct Hooks {
    store: Arc<Store>,
    vault: Arc<Vault>,
    fetch: Fetch,
    clock: Clock,
}

fn wrong(field: &str, message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "VALIDATION_ERROR", message).details(json!({ "field": field }))
}

fn object(webhook: &Webhook) -> Object<'_> {
    Object::Resource { kind: ResourceKind::Webhook, name: &webhook.name, owner: Some(&webhook.owner) }
}

impl Hooks {
    pub fn new(store: Arc<Store>, vault: Arc<Vault>, fetch: Fetch, clock: Clock) -> Self {
        Self { store, vault, fetch, clock }
    }

    /// Makes a webhook; answers it with its signing secret, this once.
    pub async fn create(&self, principal: &Principal, wish: WebhookWish, doer: Doer) -> Result<(Webhook, String)> {
        if !principal.is_admin() && !principal.has_role(Role::User) {
            return Err(Error::forbidden("Access denied: needs role user"));
        }
        let own = self.store.webhooks().await?.into_iter().filter(|one| one.owner == principal.keeper()).count();
        if own >= MOST {
            return Err(Error::conflict(
                "TOO_MANY_WEBHOOKS",
                format!("{MOST} webhooks are the most that you may have"),
            ));
        }
        let now = self.clock.now();
        let blank = Webhook {
            id: new_id(),
            owner: principal.keeper().to_owned(),
            name: String::new(),
            url: String::new(),
            events: Vec::new(),
            hears_all: principal.is_admin(),
            retry: None,
            state: WebhookState::Active,
            reason: None,
            failing_since: None,
            overlap_until: None,
            created_at: now,
            updated_at: now,
        };
        for (field, is_missing) in
            [("name", wish.name.is_none()), ("url", wish.url.is_none()), ("events", wish.events.is_none())]
        {
            if is_missing {
                return Err(wrong(field, format!("\"{field}\" is missing")));
            }
        }
        let headers = wish.headers.clone().unwrap_or_default();
        let webhook = self.filled(blank, wish).await?;
        let secret = new_secret()?;
        let values = vec![(SECRET, secret.clone()), (HEADERS, Value::Object(headers).to_string())];
        self.put(&webhook, true, &values, self.deed(&webhook, Action::WebhookCreate, doer)).await?;
        Ok((webhook, secret))
    }

    pub async fn update(&self, principal: &Principal, id: &str, wish: WebhookWish, doer: Doer) -> Result<Webhook> {
        let before = self.get(principal, id).await?;
        authorize(principal, Verb::Manage, object(&before))?;
        let headers = wish.headers.clone();
        let mut webhook = self.filled(before, wish).await?;
        webhook.updated_at = self.clock.now();
        let values: Vec<_> = headers.map(|headers| (HEADERS, Value::Object(headers).to_string())).into_iter().collect();
        self.put(&webhook, false, &values, self.deed(&webhook, Action::WebhookChange, doer)).await?;
        Ok(webhook)
    }

    /// Puts what is wished into a webhook and checks it.
    async fn filled(&self, mut webhook: Webhook, wish: WebhookWish) -> Result<Webhook> {
        if let Some(name) = wish.name {
            let name = name.trim();
            if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
                return Err(wrong("name", "\"name\" is one line of 1 to 100 characters"));
            }
            name.clone_into(&mut webhook.name);
        }
        if let Some(url) = wish.url {
            let url = self.fetch.check(&url).await.map_err(|refused| wrong("url", refused.0))?;
            if url.as_str().len() > 2000 {
                return Err(wrong("url", "an address has at most 2000 characters"));
            }
            webhook.url = url.into();
        }
        if let Some(mut events) = wish.events {
            let known = event_names();
            if events.is_empty() {
                return Err(wrong("events", format!("name at least one of {}", known.join(", "))));
            }
            for event in &events {
                if !known.contains(&event.as_str()) {
                    let near = nearest(event, known.iter().copied());
                    let hint = near.map_or_else(
                        || format!("known are {}", known.join(", ")),
                        |near| format!("did you mean \"{near}\"?"),
                    );
                    return Err(wrong("events", format!("there is no event \"{event}\", {hint}")));
                }
            }
            events.sort();
            events.dedup();
            webhook.events = events;
        }
        if let Some(headers) = &wish.headers {
            check_headers(headers)?;
        }
        if let Some(retry) = wish.retry {
            if let Some((attempts, backoff)) = retry {
                if !(1..=20).contains(&attempts) {
                    return Err(wrong("retryPolicy.maxAttempts", "this is between 1 and 20"));
                }
                if !(100..=24 * 60 * 60 * 1000).contains(&backoff) {
                    return Err(wrong("retryPolicy.backoffMs", "this is between 100 and 86400000"));
                }
            }
            webhook.retry = retry;
        }
        if let Some(active) = wish.active {
            webhook.state = if active { WebhookState::Active } else { WebhookState::Paused };
            (webhook.reason, webhook.failing_since) = (None, None);
        }
        Ok(webhook)
    }

    /// Seals what is secret and keeps all of it.
    async fn put(&self, webhook: &Webhook, is_new: bool, values: &[(&str, String)], deed: Deed) -> Result<()> {
        let owner = sealed_owner(&webhook.id);
        for _ in 0..TRIES {
            let mut sealed: Vec<Sealed> = Vec::new();
            for (field, value) in values {
                sealed.push(self.vault.seal(&owner, field, value.as_bytes()).await?);
            }
            let (row, deed) = (webhook.clone(), deed.clone());
            let kept = match is_new {
                true => self.store.insert_webhook(row, sealed, deed).await,
                false => self.store.update_webhook(row, sealed, deed).await,
            };
            match kept {
                Err(error) if error.code == KEY_RETIRED => {}
                kept => return kept,
            }
        }
        Err(Error::unavailable("the vault is being changed; try again"))
    }

    fn deed(&self, webhook: &Webhook, action: Action, doer: Doer) -> Deed {
        let host = url::Url::parse(&webhook.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let details = json!({ "name": webhook.name, "host": host, "events": webhook.events });
        Deed { at: self.clock.now(), action, doer, target: Some(webhook.id.clone()), details }
    }

    /// The webhooks that somebody may know of, by name.
    pub async fn all(&self, principal: &Principal) -> Result<Vec<Webhook>> {
        let mut all = self.store.webhooks().await?;
        all.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(all.into_iter().filter(|one| decide(principal, Verb::View, object(one)).allowed).collect())
    }

    pub async fn get(&self, principal: &Principal, id: &str) -> Result<Webhook> {
        let webhook = self.store.webhook(id).await?.ok_or_else(|| unknown_resource(ResourceKind::Webhook, id))?;
        if !decide(principal, Verb::View, object(&webhook)).allowed {
            return Err(unknown_resource(ResourceKind::Webhook, id));
        }
        Ok(webhook)
    }

    /// The names of its own headers; their values may be secrets.
    pub async fn header_names(&self, webhook: &Webhook) -> Result<Vec<String>> {
        let opened = self.vault.open_value(&sealed_owner(&webhook.id), HEADERS).await?;
        let headers: Value = opened.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Ok(headers.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect())
    }

    pub async fn delete(&self, principal: &Principal, id: &str, doer: Doer) -> Result<()> {
        let webhook = self.get(principal, id).await?;
        authorize(principal, Verb::Manage, object(&webhook))?;
        let deed = self.deed(&webhook, Action::WebhookDelete, doer);
        match self.store.delete_webhook(id, deed).await? {
            true => self.store.look_for_webhooks().await,
            false => Err(unknown_resource(ResourceKind::Webhook, id)),
        }
    }

    /// A new signing secret, told this once; the one before counts for another day.
    pub async fn rotate(&self, principal: &Principal, id: &str, doer: Doer) -> Result<(Webhook, String)> {
        let mut webhook = self.get(principal, id).await?;
        authorize(principal, Verb::Manage, object(&webhook))?;
        let now = self.clock.now();
        let before = self.vault.open_value(&sealed_owner(id), SECRET).await?.unwrap_or_default();
        let before = String::from_utf8_lossy(&before).into_owned();
        let secret = new_secret()?;
        (webhook.overlap_until, webhook.updated_at) = (Some(now + OVERLAP), now);
        let values = [(SECRET, secret.clone()), (SECRET_BEFORE, before)];
        self.put(&webhook, false, &values, self.deed(&webhook, Action::WebhookChange, doer)).await?;
        Ok((webhook, secret))
    }

    /// Puts a delivery on its way that says it is a test; answers its id.
    pub async fn test(&self, principal: &Principal, id: &str) -> Result<String> {
        let webhook = self.get(principal, id).await?;
        authorize(principal, Verb::Manage, object(&webhook))?;
        if webhook.state != WebhookState::Active {
            return Err(Error::conflict("WEBHOOK_INACTIVE", "the webhook is not active; switch it on first"));
        }
        let now = self.clock.now();
        let data = json!({ "message": "This is a test.", "webhookId": webhook.id });
        let delivery = waiting(&webhook.id, new_id(), "webhook.test", payload("webhook.test", &data, now), now);
        let id = delivery.id.clone();
        self.store.enqueue_hook_deliveries(vec![delivery]).await?;
        Ok(id)
    }

    /// Deliveries, newest first.
    pub async fn deliveries(
        &self,
        principal: &Principal,
        id: &str,
        before: Option<&str>,
        limit: i64,
    ) -> Result<Vec<HookDelivery>> {
        self.get(principal, id).await?;
        self.store.hook_deliveries(id, before, limit).await
    }

    /// Sends one delivery again; answers the id of the new one.
    pub async fn replay(&self, principal: &Principal, id: &str, delivery: &str) -> Result<String> {
        let webhook = self.get(principal, id).await?;
        authorize(principal, Verb::Manage, object(&webhook))?;
        let unknown = || Error::new(Kind::NotFound, "DELIVERY_NOT_FOUND", format!("there is no delivery '{delivery}'"));
        let old = self.store.hook_delivery(delivery).await?.filter(|old| old.webhook == id).ok_or_else(unknown)?;
        let again = waiting(id, old.message, &old.event, old.payload, self.clock.now());
        let made = again.id.clone();
        self.store.enqueue_hook_deliveries(vec![again]).await?;
        Ok(made)
    }

    /// Sends again what was given up in a span of time; answers how many.
    pub async fn replay_failed(&self, principal: &Principal, id: &str, since: Millis, until: Millis) -> Result<usize> {
        let webhook = self.get(principal, id).await?;
        authorize(principal, Verb::Manage, object(&webhook))?;
        let now = self.clock.now();
        let failed = self.store.failed_hook_deliveries(id, since, until).await?;
        let again: Vec<_> =
            failed.into_iter().map(|old| waiting(id, old.message, &old.event, old.payload, now)).collect();
        let count = again.len();
        if count > 0 {
            self.store.enqueue_hook_deliveries(again).await?;
        }
        Ok(count)
    }
}

fn waiting(webhook: &str, message: String, event: &str, payload: String, now: Millis) -> HookDelivery {
    HookDelivery {
        id: new_id(),
        webhook: webhook.to_owned(),
        message,
        event: event.to_owned(),
        payload,
        state: "waiting".to_owned(),
        attempt: 0,
        ready_at: now,
        status: None,
        error: None,
        took: None,
        created_at: now,
        ended_at: None,
    }
}

/// Headers that a receiver wants to see; none of those that say who sends it and what it is.
fn check_headers(headers: &Map<String, Value>) -> Result<()> {
    if headers.len() > 20 {
        return Err(wrong("headers", "at most 20 headers"));
    }
    // Nothing is sent: it is only tried whether it could be.
    let nowhere = url::Url::parse("https://example.com/").map_err(|error| Error::internal("check headers", error))?;
    let mut request = Request::new(HttpMethod::POST, nowhere);
    for (name, value) in headers {
        let field = format!("headers.{name}");
        let small = name.to_ascii_lowercase();
        if small.starts_with("x-webhook-") || small.starts_with("webhook-") || small == "content-type" {
            return Err(wrong(&field, format!("the header {name} is set by this server")));
        }
        let value = value.as_str().filter(|value| value.len() <= 4096);
        let value = value.ok_or_else(|| wrong(&field, "a header's value is a text of at most 4096 characters"))?;
        request.header(name, value).map_err(|refused| wrong(&field, refused.0))?;
    }
    Ok(())
}
