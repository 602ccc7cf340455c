//! What is asked of whoever gives tokens, and what they answer.

use std::time::Duration;

use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::connector::binding::Opened;
use crate::connector::request::wrong;
use crate::connector::{Failure, answer, form};
use crate::expression::{Context, Text};
use crate::fetch::{Fetch, HttpMethod, Request};
use crate::manifest::connector::OAuth2;

/// The longest that whoever gives tokens may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Why a token is asked for.
pub(super) enum Grant<'a> {
    ClientCredentials,
    /// Somebody signed in and came back with this.
    Code {
        code: &'a str,
        redirect_uri: &'a str,
        verifier: Option<&'a str>,
    },
    Refresh(&'a str),
}

/// What was answered.
pub(super) struct Granted {
    pub(super) access_token: Zeroizing<String>,
    pub(super) refresh_token: Option<Zeroizing<String>>,
    /// How long the token is good; none when that is not said.
    pub(super) life: Option<Duration>,
}

/// Why there is no token.
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// Whether whoever gives tokens has said no, so that asking the same again is no use.
    pub(super) is_final: bool,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, is_final: false }
    }
}

/// A manifest's texts with a credential's fields in them.
pub(super) struct Rendering(Context);

impl Rendering {
    pub(super) fn of(credential: &Opened) -> Self {
        Self(Context::new().with("secret", &credential.fields))
    }

    pub(super) fn text(&self, text: &Text) -> Result<String, Failure> {
        let lacking =
            |_| Failure::refused("credential_incomplete", "the credential lacks what a token is asked for with");
        text.render(&self.0, |text| text).map_err(lacking)
    }

    /// An address that secrets, or people, are sent to.
    pub(super) fn address(&self, text: &Text) -> Result<Url, Failure> {
        let url = Url::parse(&self.text(text)?).map_err(|_| wrong("the token's address is no address"))?;
        if !crate::config::is_confidential(url.as_str()) {
            return Err(Failure::refused("address_refused", "a secret is sent to an https address only"));
        }
        Ok(url)
    }

    pub(super) fn scopes(&self, oauth2: &OAuth2) -> Result<String, Failure> {
        let scopes = oauth2.scopes.iter().map(|scope| self.text(scope)).collect::<Result<Vec<_>, _>>()?;
        Ok(scopes.join(" ").trim().to_owned())
    }
}

pub(super) fn make(oauth2: &OAuth2, credential: &Opened, grant: &Grant<'_>) -> Result<Request, Failure> {
    let rendering = Rendering::of(credential);
    let url = rendering.address(&oauth2.token_url)?;
    let field = |name: &str| super::field(credential, name);
    let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut pairs = Vec::new();
    match grant {
        Grant::ClientCredentials => {
            pairs.push(owned("grant_type", "client_credentials"));
            let scopes = rendering.scopes(oauth2)?;
            if !scopes.is_empty() {
                pairs.push(owned("scope", &scopes));
            }
        }
        Grant::Code { code, redirect_uri, verifier } => {
            pairs.extend([owned("grant_type", "authorization_code"), owned("code", code)]);
            pairs.push(owned("redirect_uri", redirect_uri));
            pairs.extend(verifier.map(|verifier| owned("code_verifier", verifier)));
        }
        Grant::Refresh(token) => {
            pairs.extend([owned("grant_type", "refresh_token"), owned("refresh_token", token)]);
        }
    }
    for (name, text) in &oauth2.parameters {
        pairs.push((name.clone(), rendering.text(text)?));
    }
    let mut request = Request::new(HttpMethod::POST, url);
    let mut header = |name: &str, value: &str| request.header(name, value).map_err(|refused| wrong(refused.0));
    header("accept", "application/json")?;
    header("content-type", "application/x-www-form-urlencoded")?;
    // A client without a secret only says who it is.
    if oauth2.secret_in_body || field("client_secret").is_empty() {
        pairs.push(owned("client_id", field("client_id")));
        if !field("client_secret").is_empty() {
            pairs.push(owned("client_secret", field("client_secret")));
        }
    } else {
        use base64::Engine as _;
        let encode = crate::expression::percent_encoded;
        let pair = format!("{}:{}", encode(field("client_id")), encode(field("client_secret")));
        header("authorization", &format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))?;
    }
    request.body = form::encode(&pairs).into();
    request.timeout = Some(LONGEST);
    Ok(request)
}

/// Asks for a token. `service` is who it is for, as people call it.
pub(super) async fn send(fetch: &Fetch, request: Request, service: &str) -> Result<Granted, Refusal> {
    // Asking for a token again does no harm that matters to a call.
    let response = fetch.send(request).await.map_err(|failure| {
        let failure = answer::unanswered(&failure);
        Failure { message: format!("no access token: {}", failure.message), uncertain: false, ..failure }
    })?;
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(token) = text("access_token").filter(|_| response.status == 200) else {
        let error = text("error");
        let why = text("error_description").or(error).unwrap_or("no access token in the answer");
        let message = format!("no access token: {service} answered {}: {}", response.status, excerpt(why));
        let passes = response.status >= 500
            || matches!(response.status, 408 | 425 | 429)
            || matches!(error, Some("temporarily_unavailable" | "slow_down" | "server_error" | "ratelimited"));
        let failure = Failure { retryable: passes, ..Failure::refused("token_refused", message) };
        // A proxy's page is no answer of theirs.
        return Err(Refusal { failure, is_final: error.is_some() && !passes });
    };
    let seconds = body
        .get("expires_in")
        .and_then(|value| value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok())));
    Ok(Granted {
        access_token: Zeroizing::new(token.to_owned()),
        refresh_token: text("refresh_token").map(|token| Zeroizing::new(token.to_owned())),
        life: seconds.map(Duration::from_secs),
    })
}

/// What others said, as one line of bounded length.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(300).collect()
}
