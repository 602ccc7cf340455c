//! Access tokens by OAuth 2.0: a client's own ([`client`]), and those that somebody signed in for ([`sign_in`]), which are
//! kept and renewed by themselves ([`renew`]).

mod client;
mod renew;
mod request;
mod sign_in;

use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use super::binding::Opened;
use super::{Connectors, Failure};
use crate::manifest::connector::{Connector, Grant, OAuth2};

pub(super) use client::Clients;
pub(super) use renew::Tokens;
pub use sign_in::{SignInBegun, SignInReturned};

/// How a credential gets its tokens; `None` when it holds all it needs.
fn grant_of<'c>(connector: &'c Connector, credential: &Opened) -> Option<&'c OAuth2> {
    let oauth2 = credential.auth(connector)?.oauth2.as_ref()?;
    let holds = |field: &String| credential.fields.get(field).is_some_and(|value| value.as_str() != Some(""));
    (!oauth2.token_field.as_ref().is_some_and(holds)).then_some(oauth2)
}

impl Connectors {
    /// The access token of a credential that gets one; `None` for all others. `refused` is one that the service did not
    /// take: then it is another one, or `None` when there is no other.
    pub(super) async fn access_token(
        &self,
        connector: &Connector,
        credential: &Opened,
        refused: Option<&str>,
        left: Duration,
    ) -> Result<Option<Zeroizing<String>>, Failure> {
        let Some(oauth2) = grant_of(connector, credential) else { return Ok(None) };
        let getting = async {
            match oauth2.grant {
                Grant::ClientCredentials => self.clients_token(connector, oauth2, credential, refused).await.map(Some),
                Grant::AuthorizationCode => self.kept_token(connector, oauth2, credential, refused).await,
            }
        };
        tokio::time::timeout(left, getting).await.unwrap_or_else(|_| {
            let failure = Failure::refused("timeout", "no access token came in time");
            Err(Failure { retryable: true, ..failure })
        })
    }
}

/// A field of a credential as text; empty when it is not there.
fn field<'f>(credential: &'f Opened, name: &str) -> &'f str {
    credential.fields.get(name).and_then(Value::as_str).unwrap_or_default()
}
