//! A sign-in: to the directory and back.

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreIdToken, CoreIdTokenVerifier, CoreTokenResponse};
use openidconnect::{
    AccessTokenHash, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, JsonWebKeySet,
    Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    TokenResponse as _, TokenUrl,
};
use serde_json::Value;

use super::claims::Claims;
use super::jwt::Parts;
use super::provider::Discovery;
use super::{Oidc, UNAVAILABLE};
use crate::identity::{self, token};
use crate::model::conversation::Millis;
use crate::model::id::{new_id, random_hex};
use crate::model::{Error, Kind, Result};
use crate::store::directory::{DirectoryUser, LoginAttempt, SignedIn};

/// How long somebody may take at the directory.
pub(super) const ATTEMPT_LIFE: Millis = 10 * 60 * 1000;

/// By how much the directory's clock may differ.
pub(super) const SKEW: Millis = 60 * 1000;

/// The longest path to return to, in bytes.
const LONGEST_PATH: usize = 512;

/// A sign-in that goes to the directory.
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// What ties the sign-in to this browser.
    pub cookie: String,
    /// For how long that is needed, in seconds.
    pub seconds: i64,
}

/// What the directory sent the browser back with; each part may be missing or anybody's.
#[derive(Debug, Default)]
pub struct Answered {
    pub state: String,
    pub code: String,
    pub error: String,
    pub issuer: Option<String>,
}

/// A sign-in that came back.
pub enum Returned {
    SignedIn {
        session: identity::SignedIn,
        /// Who it is here.
        user: String,
        return_to: String,
        /// Older sessions that ended since the person has lost a role.
        ended: Vec<String>,
    },
    /// The directory knows the person, but gives them no role here. Sessions they still had have ended.
    NoRole { ended: Vec<String> },
}

fn expired() -> Error {
    let message = "this sign-in was used already, has expired, or was begun in another browser; sign in again";
    Error::new(Kind::Invalid, "SIGN_IN_EXPIRED", message)
}

/// The directory's answer does not hold. The reason goes to the log and never holds a token.
fn unverified(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let reason = reason.into();
    tracing::warn!(%reason, "an answer of the directory was refused");
    Error::new(Kind::Unauthenticated, "SIGN_IN_INVALID", "the directory's answer could not be verified; sign in again")
        .caused_by(reason)
}

pub(super) fn unavailable(reason: impl std::fmt::Display) -> Error {
    let error = Error::new(Kind::Unavailable, "DIRECTORY_UNAVAILABLE", UNAVAILABLE);
    error.caused_by(reason.to_string())
}

fn misconfigured(error: openidconnect::url::ParseError) -> Error {
    unavailable(format!("an address of the directory is none: {error}"))
}

/// Whether a browser that follows this stays here: a path of ours, and none that signs in or out again.
fn is_own_path(path: &str) -> bool {
    let is_plain = path.len() <= LONGEST_PATH && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !is_plain || !path.starts_with('/') || path.starts_with("//") {
        return false;
    }
    // As a browser reads it, dots and all.
    let Ok(base) = openidconnect::url::Url::parse("https://parlour.invalid") else { return false };
    let Ok(read) = base.join(path) else { return false };
    let first = read.path_segments().and_then(|mut segments| segments.next()).unwrap_or_default();
    let first = percent_encoding::percent_decode_str(first).decode_utf8_lossy();
    read.origin() == base.origin() && !read.path().starts_with("//") && !first.eq_ignore_ascii_case("auth")
}

/// What the rest of the sign-in needs of the directory's tokens.
struct Verified {
    subject: String,
    sid: Option<String>,
    claims: Claims,
    id_token: String,
}

impl Oidc {
    /// Begins a sign-in that will return to `path`, a path of ours.
    pub async fn begin(&self, path: Option<&str>) -> Result<Begun> {
        let return_to = path.unwrap_or("/");
        if !is_own_path(return_to) {
            let message = "redirect is a path of this server, such as /c/1, of at most 512 plain characters";
            return Err(Error::invalid(message).details(serde_json::json!({ "field": "redirect" })));
        }
        let discovery = self.provider.discovery().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let client = CoreClient::new(
            ClientId::new(self.settings.client_id.clone()),
            self.issuer()?,
            JsonWebKeySet::new(Vec::new()),
        )
        .set_auth_uri(AuthUrl::new(discovery.authorization_endpoint.clone()).map_err(misconfigured)?)
        .set_redirect_uri(self.redirect_url()?);
        let request = client.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            || CsrfToken::new_random_len(32),
            || Nonce::new_random_len(32),
        );
        let scopes = self.settings.scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new);
        let (url, state, nonce) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
        let cookie = random_hex::<32>().map_err(|error| Error::internal("make a token", error))?;
        let now = self.clock.now();
        let attempt = LoginAttempt {
            state_hash: token::hash(state.secret()),
            cookie_hash: token::hash(&cookie),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            return_to: return_to.to_owned(),
            expires_at: now + ATTEMPT_LIFE,
        };
        self.store.begin_login(attempt, now).await?;
        Ok(Begun { url: url.into(), cookie, seconds: ATTEMPT_LIFE / 1000 })
    }

    /// Ends a sign-in: checks everything, learns who it is, and opens a session.
    pub async fn finish(&self, answered: Answered, cookie: &str, user_agent: &str) -> Result<Returned> {
        let now = self.clock.now();
        let (state, cookie) = (token::hash(&answered.state), token::hash(cookie));
        let attempt = self.store.take_login(state, cookie, now).await?.ok_or_else(expired)?;
        let discovery = self.provider.discovery().await?;
        self.check_sender(&answered, &discovery)?;
        if !answered.error.is_empty() || answered.code.is_empty() {
            let word = answered.error.chars().filter(|letter| letter.is_ascii_graphic()).take(64);
            tracing::info!(error = word.collect::<String>(), "the directory did not sign somebody in");
            return Err(Error::forbidden("the directory did not sign you in"));
        }
        let response = self.redeem_code(answered.code, attempt.verifier, &discovery).await?;
        let verified = self.verify(&response, &attempt.nonce, &discovery).await?;
        self.open(verified, attempt.return_to, user_agent).await
    }

    /// The answer must come from the directory that was asked, where it says which it is.
    fn check_sender(&self, answered: &Answered, discovery: &Discovery) -> Result<()> {
        match &answered.issuer {
            Some(issuer) if *issuer != self.settings.issuer => Err(unverified("the answer names another issuer")),
            None if discovery.authorization_response_iss_parameter_supported => {
                Err(unverified("the answer names no issuer"))
            }
            _ => Ok(()),
        }
    }

    async fn redeem_code(&self, code: String, verifier: String, discovery: &Discovery) -> Result<CoreTokenResponse> {
        let auth = if discovery.wants_secret_in_body() { AuthType::RequestBody } else { AuthType::BasicAuth };
        let mut client = CoreClient::new(
            ClientId::new(self.settings.client_id.clone()),
            self.issuer()?,
            JsonWebKeySet::new(Vec::new()),
        )
        .set_auth_type(auth)
        .set_redirect_uri(self.redirect_url()?);
        if !self.settings.client_secret.is_empty() {
            client = client.set_client_secret(ClientSecret::new(self.settings.client_secret.expose().to_owned()));
        }
        let client = client.set_token_uri(TokenUrl::new(discovery.token_endpoint.clone()).map_err(misconfigured)?);
        let exchange = self.exchange.clone();
        let send = move |request| {
            let exchange = exchange.clone();
            async move { exchange.send(request).await }
        };
        let request =
            client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(PkceCodeVerifier::new(verifier));
        request.request_async(&send).await.map_err(|error| match error {
            RequestTokenError::Request(failure) => unavailable(failure),
            RequestTokenError::ServerResponse(refusal) => {
                unverified(format!("it does not take the code: {}", refusal.error().as_ref()))
            }
            // What could not be read may hold a token.
            RequestTokenError::Parse(_, _) => unverified("its token answer cannot be read"),
            RequestTokenError::Other(_) => unverified("its token answer cannot be used"),
        })
    }

    async fn verify(&self, response: &CoreTokenResponse, nonce: &str, discovery: &Discovery) -> Result<Verified> {
        let id_token = response.id_token().ok_or_else(|| unverified("there is no id token"))?;
        let text = id_token.to_string();
        let parsed = Parts::of(&text).ok_or_else(|| unverified("the id token cannot be read"))?;
        let keys = self.provider.keys(parsed.kid()).await?;
        let token: Value = parsed.claims().ok_or_else(|| unverified("the id token's claims cannot be read"))?;
        let verifier = self.verifier(JsonWebKeySet::clone(&keys), discovery)?;
        let nonce = Nonce::new(nonce.to_owned());
        let claims = id_token.claims(&verifier, &nonce).map_err(|error| unverified(bounded(&error)))?;
        let others = claims.audiences().len() > 1;
        match claims.authorized_party() {
            Some(party) if party.as_str() != self.settings.client_id => {
                return Err(unverified("the id token was made for another client"));
            }
            None if others => return Err(unverified("the id token has several audiences and no authorized party")),
            _ => {}
        }
        if let Some(expected) = claims.access_token_hash() {
            check_hash(expected, response, id_token, &verifier)?;
        }
        let subject = claims.subject().as_str().to_owned();
        let sid = token.get("sid").and_then(Value::as_str).map(str::to_owned);
        let mut claims = Claims { token, userinfo: Value::Null };
        if let Some(place) = &discovery.userinfo_endpoint
            && claims.is_incomplete(&self.settings)
        {
            claims.userinfo = self.userinfo(place, response.access_token().secret(), &subject).await?;
        }
        Ok(Verified { subject, sid, claims, id_token: text })
    }

    fn verifier(
        &self,
        keys: openidconnect::core::CoreJsonWebKeySet,
        discovery: &Discovery,
    ) -> Result<CoreIdTokenVerifier<'_>> {
        let now = self.clock.now();
        let seconds = |at: Millis| {
            let time = chrono::DateTime::from_timestamp_millis(at);
            time.ok_or_else(|| Error::internal("tell the time", "the clock is out of range"))
        };
        let (earliest, latest) = (seconds(now - SKEW)?, seconds(now + SKEW)?);
        // Without the client secret: nothing that is signed with it may count.
        let client = ClientId::new(self.settings.client_id.clone());
        let verifier = CoreIdTokenVerifier::new_public_client(client, self.issuer()?, keys)
            .set_allowed_algs(discovery.algorithms())
            // Directories name others too; the authorized party then says for whom it is.
            .set_other_audience_verifier_fn(|_| true)
            .set_time_fn(move || earliest)
            .set_issue_time_verifier_fn(move |issued| {
                if issued <= latest { Ok(()) } else { Err("the id token is of the future".to_owned()) }
            });
        Ok(verifier)
    }

    /// What the userinfo endpoint says; it must speak of the same person.
    async fn userinfo(&self, place: &str, access_token: &str, subject: &str) -> Result<Value> {
        let said: Value = self.exchange.get(place, Some(access_token)).await.map_err(unavailable)?;
        if said.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err(unverified("the userinfo endpoint speaks of somebody else"));
        }
        Ok(said)
    }

    async fn open(&self, verified: Verified, return_to: String, user_agent: &str) -> Result<Returned> {
        let (subject, claims) = (verified.subject, verified.claims);
        let user = DirectoryUser {
            issuer: self.settings.issuer.clone(),
            name: claims.name(&subject),
            username: claims.line("preferred_username"),
            first_name: claims.line("given_name"),
            last_name: claims.line("family_name"),
            email: claims.email(),
            email_verified: claims.email_verified(),
            roles: claims.roles(&self.settings),
            groups: claims.groups(&self.settings),
            subject,
        };
        if user.roles.is_empty() {
            let now = self.clock.now();
            let ended = self.store.withdraw_directory_user(&user.issuer, &user.subject, now).await?;
            return Ok(Returned::NoRole { ended });
        }
        let (session, new) = self.identity.new_session(user_agent)?;
        let id = new.id.clone();
        let opened = self.store.sign_in_from_directory(user, new_id(), verified.sid, new, self.provisioning).await?;
        let (user, ended) = match opened {
            SignedIn::Session { user, ended } => (user, ended),
            SignedIn::Refused(why) => return Err(Error::new(Kind::Forbidden, "ACCOUNT_CLOSED", why)),
        };
        self.remember_hint(&id, verified.id_token);
        Ok(Returned::SignedIn { session, user, return_to, ended })
    }

    fn issuer(&self) -> Result<IssuerUrl> {
        IssuerUrl::new(self.settings.issuer.clone()).map_err(misconfigured)
    }

    fn redirect_url(&self) -> Result<RedirectUrl> {
        RedirectUrl::new(format!("{}/auth/callback", self.public_url)).map_err(misconfigured)
    }
}

/// The access token must be the one the id token was made with.
fn check_hash(
    expected: &AccessTokenHash,
    response: &CoreTokenResponse,
    id_token: &CoreIdToken,
    verifier: &CoreIdTokenVerifier<'_>,
) -> Result<()> {
    let algorithm = id_token.signing_alg().map_err(|error| unverified(bounded(&error)))?;
    let key = id_token.signing_key(verifier).map_err(|error| unverified(bounded(&error)))?;
    let actual = AccessTokenHash::from_token(response.access_token(), algorithm, key)
        .map_err(|error| unverified(bounded(&error)))?;
    if actual == *expected { Ok(()) } else { Err(unverified("the access token is not the id token's")) }
}

/// The reason of a refusal, no longer than a line: it may repeat what was sent.
fn bounded(error: &dyn std::error::Error) -> String {
    error.to_string().chars().filter(|letter| !letter.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_returns_to_a_path_of_ours_only() {
        for good in ["/", "/c/0199?x=1#y", "/a/../b", "/?next=//evil.example", "/authors", "/%20"] {
            assert!(is_own_path(good), "{good}");
        }
        let long = format!("/{}", "x".repeat(LONGEST_PATH));
        for wrong in [
            "",
            "c",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/.//evil.example",
            "/a/..//evil.example",
            "/auth/login",
            "/auth",
            "/AUTH/logout",
            "/./auth/login",
            "/x/../auth/login",
            "/%61uth/login",
            "/%2e/auth/x",
            "/é",
            " /",
            &long,
        ] {
            assert!(!is_own_path(wrong), "{wrong:?}");
        }
    }
}
