//! Access tokens that a client gets for itself: OAuth 2.0 client credentials.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::binding::Opened;
use super::request::wrong;
use super::{Connectors, Failure, answer, form};
use crate::expression::Context;
use crate::fetch::{HttpMethod, Request};
use crate::manifest::connector::{Connector, Grant, OAuth2};

/// A token is given up so long before its end, since clocks differ and requests take time.
const SPARE: Duration = Duration::from_secs(60);

/// How long a token counts that does not say so itself.
const USUAL: Duration = Duration::from_secs(300);

/// Tokens by the credential and its version; in memory only.
#[derive(Default)]
pub(super) struct Tokens {
    known: Mutex<HashMap<(String, i64), (String, Instant)>>,
}

impl Tokens {
    fn known(&self, credential: &Opened) -> Option<String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        known.retain(|_, (_, until)| *until > now);
        known.get(&(credential.id.clone(), credential.version)).map(|(token, _)| token.clone())
    }

    fn keep(&self, credential: &Opened, token: &str, until: Instant) {
        let key = (credential.id.clone(), credential.version);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (token.to_owned(), until));
    }

    pub(super) fn forget(&self, credential: &Opened) {
        let key = (credential.id.clone(), credential.version);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

impl Connectors {
    /// The access token of a credential that gets one; `None` for all others.
    pub(super) async fn access_token(
        &self,
        connector: &Connector,
        credential: &Opened,
        timeout: Duration,
    ) -> Result<Option<String>, Failure> {
        let oauth2 = credential.auth(connector).and_then(|auth| auth.oauth2.as_ref());
        let Some(oauth2) = oauth2.filter(|oauth2| oauth2.grant == Grant::ClientCredentials) else { return Ok(None) };
        if let Some(token) = self.tokens.known(credential) {
            return Ok(Some(token));
        }
        let request = token_request(oauth2, credential, timeout)?;
        // Asking for a token again does no harm.
        let response = self.fetch.send(request).await.map_err(|failure| {
            let failure = answer::unanswered(&failure);
            Failure { message: format!("no access token: {}", failure.message), uncertain: false, ..failure }
        })?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let token = body.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        let Some(token) = token.filter(|_| response.status == 200) else {
            let why = body.get("error").and_then(Value::as_str).unwrap_or("no access token in the answer");
            let message = format!("no access token: {} answered {}: {why}", connector.name, response.status);
            let retryable = response.status >= 500 || response.status == 429;
            return Err(Failure { retryable, ..Failure::refused("token_refused", message) });
        };
        let seconds = body
            .get("expires_in")
            .and_then(|value| value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok())));
        let life = seconds.map_or(USUAL, Duration::from_secs).min(Duration::from_secs(24 * 60 * 60));
        self.tokens.keep(credential, token, Instant::now() + life.saturating_sub(SPARE));
        Ok(Some(token.to_owned()))
    }
}

fn token_request(oauth2: &OAuth2, credential: &Opened, timeout: Duration) -> Result<Request, Failure> {
    let context = Context::new().with("secret", &credential.fields);
    let lacking = |_| Failure::refused("credential_incomplete", "the credential lacks what a token is asked for with");
    let render = |text: &crate::expression::Text| text.render(&context, |text| text).map_err(lacking);
    let url = Url::parse(&render(&oauth2.token_url)?).map_err(|_| wrong("the token's address is no address"))?;
    if !crate::config::is_confidential(url.as_str()) {
        return Err(Failure::refused("address_refused", "a secret is sent to an https address only"));
    }
    let field = |name: &str| credential.fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut pairs = vec![("grant_type".to_owned(), "client_credentials".to_owned())];
    let scopes = oauth2.scopes.iter().map(&render).collect::<Result<Vec<_>, _>>()?;
    let scopes = scopes.join(" ");
    if !scopes.trim().is_empty() {
        pairs.push(("scope".to_owned(), scopes.trim().to_owned()));
    }
    for (name, text) in &oauth2.parameters {
        pairs.push((name.clone(), render(text)?));
    }
    let mut request = Request::new(HttpMethod::POST, url);
    let mut header = |name: &str, value: &str| request.header(name, value).map_err(|refused| wrong(refused.0));
    header("accept", "application/json")?;
    header("content-type", "application/x-www-form-urlencoded")?;
    if oauth2.secret_in_body {
        pairs.push(("client_id".to_owned(), field("client_id").to_owned()));
        pairs.push(("client_secret".to_owned(), field("client_secret").to_owned()));
    } else {
        use base64::Engine as _;
        let encode = crate::expression::percent_encoded;
        let pair = format!("{}:{}", encode(field("client_id")), encode(field("client_secret")));
        header("authorization", &format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))?;
    }
    request.body = form::encode(&pairs).into();
    request.timeout = Some(timeout);
    Ok(request)
}
