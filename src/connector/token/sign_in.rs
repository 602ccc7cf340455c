//! Somebody signs in for a credential: to the service, and back from it with a code.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::Digest as _;
use url::Url;

use super::{field, grant_of, request};
use crate::connector::binding::Opened;
use crate::connector::{Connectors, Failure, credential as credentials};
use crate::identity::permission::{Verb, authorize};
use crate::manifest::connector::{Connector, Grant, OAuth2};
use crate::model::conversation::Millis;
use crate::model::id::{random_bytes, sha256_hex};
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::audit::{Action, Deed, Doer};
use crate::store::credential::Credential;
use crate::store::credential_token::{SignInAttempt, TokenState};
use crate::store::vault::KEY_RETIRED;

/// Where every service sends people back to.
const CALLBACK: &str = "/oauth2/callback";

/// How long somebody may take at the service.
const PATIENCE: Millis = 10 * 60 * 1000;

/// How often something is sealed anew whose key was changed meanwhile.
const TRIES: usize = 5;

/// A sign-in that is to go to its service.
#[derive(Clone, Debug)]
pub struct SignInBegun {
    /// Where the browser goes.
    pub url: Url,
    pub credential: Credential,
    /// What the connector is called.
    pub service: String,
    pub expires_at: Millis,
}

/// What a service sent somebody back with.
#[derive(Clone, Debug, Default)]
pub struct SignInReturned {
    pub state: String,
    pub code: String,
    /// OAuth's word for why there is no code.
    pub error: String,
    pub error_description: String,
}

fn over() -> Error {
    let message = "this sign-in was used already, has expired, or was begun in another browser; begin it again";
    Error::new(Kind::Invalid, "SIGN_IN_EXPIRED", message)
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "SIGN_IN_REFUSED", message.into())
}

fn secret() -> Result<String> {
    let bytes = random_bytes::<32>().map_err(|error| Error::internal("make a secret", error))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A credential that somebody signs in for, opened.
struct Signing<'c> {
    credential: Credential,
    opened: Opened,
    service: String,
    oauth2: &'c OAuth2,
}

impl Connectors {
    /// Says where this server is reached, so that services can send people back.
    pub fn reached_at(&self, public_url: &str) {
        // Said once, before anybody signs in.
        let _ = self.tokens.public_url.set(public_url.trim_end_matches('/').to_owned());
    }

    /// How a credential stands that somebody signs in for; `None` for all others.
    pub async fn token_state(&self, credential: &Credential) -> Result<Option<TokenState>> {
        self.store.token_state(&credential.id).await
    }

    /// The same of all of them, by the credential's id.
    pub async fn token_states(&self) -> Result<std::collections::HashMap<String, TokenState>> {
        self.store.token_states().await
    }

    /// Where somebody signs in for a credential, in a browser.
    pub fn sign_in_page(&self, credential: &str) -> String {
        self.tokens.sign_in_page(credential)
    }

    /// Begins a sign-in for a credential, for one login session.
    pub async fn begin_sign_in(&self, principal: &Principal, id: &str, session: &str) -> Result<SignInBegun> {
        let credential = self.credential(principal, id).await?;
        let connector = self.connector_of(&credential)?;
        let signing = self.signing(&connector, principal, credential).await?;
        let (state, verifier) = (secret()?, secret()?);
        let url = self.authorize_url(&signing, &state, &verifier).map_err(|failure| refused(failure.message))?;
        let now = self.clock.now();
        let attempt = SignInAttempt {
            state_hash: sha256_hex(state.as_bytes()),
            credential: signing.credential.id.clone(),
            session: session.to_owned(),
            verifier,
            expires_at: now + PATIENCE,
        };
        self.store.begin_credential_sign_in(attempt, now).await?;
        let Signing { credential, service, .. } = signing;
        Ok(SignInBegun { url, credential, service, expires_at: now + PATIENCE })
    }

    fn connector_of(&self, credential: &Credential) -> Result<Arc<Connector>> {
        let connector = self.catalogue().get(&credential.provider);
        connector.ok_or_else(|| refused(format!("there is no connector \"{}\" any more", credential.provider)))
    }

    async fn signing<'c>(
        &self,
        connector: &'c Connector,
        principal: &Principal,
        credential: Credential,
    ) -> Result<Signing<'c>> {
        authorize(principal, Verb::Manage, credentials::object(&credential))?;
        let opened = self.open_to_sign_in(connector, &credential, principal).await?;
        let oauth2 = grant_of(connector, &opened).filter(|oauth2| oauth2.grant == Grant::AuthorizationCode);
        let oauth2 = oauth2.ok_or_else(|| {
            let message = format!("nobody signs in for credential '{}': it holds all it needs", credential.name);
            Error::conflict("NO_SIGN_IN", message)
        })?;
        Ok(Signing { credential, opened, service: connector.name.clone(), oauth2 })
    }

    fn authorize_url(&self, signing: &Signing<'_>, state: &str, verifier: &str) -> Result<Url, Failure> {
        let Signing { opened, oauth2, .. } = signing;
        let rendering = request::Rendering::of(opened);
        let place = oauth2.authorize_url.as_ref();
        let place =
            place.ok_or_else(|| Failure::refused("address_refused", "the connector has no place to sign in"))?;
        let mut url = rendering.address(place)?;
        let client_id = field(opened, "client_id");
        if client_id.is_empty() {
            return Err(Failure::refused("credential_incomplete", "the credential has no client_id to sign in with"));
        }
        let scopes = rendering.scopes(oauth2)?;
        let mut query = url.query_pairs_mut();
        query.append_pair("response_type", "code").append_pair("client_id", client_id);
        query.append_pair("redirect_uri", &self.tokens.address(CALLBACK)).append_pair("state", state);
        if !scopes.is_empty() {
            query.append_pair("scope", &scopes);
        }
        if oauth2.pkce {
            let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(verifier.as_bytes()));
            query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
        }
        drop(query);
        Ok(url)
    }

    /// Takes somebody back from a service, and gets the token.
    pub async fn finish_sign_in(
        &self,
        principal: &Principal,
        session: &str,
        returned: SignInReturned,
        doer: Doer,
    ) -> Result<(Credential, String)> {
        let now = self.clock.now();
        let state_hash = sha256_hex(returned.state.as_bytes());
        let attempt = self.store.finish_credential_sign_in(&state_hash, session, now).await?.ok_or_else(over)?;
        let credential = self.credential(principal, &attempt.credential).await?;
        let connector = self.connector_of(&credential)?;
        let signing = self.signing(&connector, principal, credential).await?;
        if !returned.error.is_empty() || returned.code.is_empty() {
            let said = [&returned.error_description, &returned.error].into_iter().find(|said| !said.is_empty());
            let said = said.map_or_else(|| "no code came back".to_owned(), |said| request::excerpt(said));
            return Err(refused(format!("{} did not agree: {said}", signing.service)));
        }
        let redirect_uri = self.tokens.address(CALLBACK);
        let verifier = signing.oauth2.pkce.then_some(attempt.verifier.as_str());
        let grant = request::Grant::Code { code: &returned.code, redirect_uri: &redirect_uri, verifier };
        let request = request::make(signing.oauth2, &signing.opened, &grant).map_err(|it| refused(it.message))?;
        let granted = request::send(&self.fetch, request, &signing.service).await;
        let granted = granted.map_err(|refusal| refused(refusal.failure.message))?;
        let Signing { credential, opened, service, .. } = signing;
        let deed = Deed {
            at: self.clock.now(),
            action: Action::CredentialSignIn,
            doer,
            target: Some(credential.id.clone()),
            details: json!({ "name": credential.name, "provider": credential.provider }),
        };
        for _ in 0..TRIES {
            let token = self.tokens.sealed(&credential.id, &granted, None).await?;
            match self.store.keep_first_token(token, opened.version, &principal.name, deed.clone()).await {
                Ok(true) => return Ok((credential, service)),
                Ok(false) => return Err(refused("the credential was changed meanwhile; begin again")),
                Err(error) if error.code == KEY_RETIRED => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::unavailable("the vault is being changed; begin again"))
    }
}
