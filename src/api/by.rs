//! Who does something, as the audit log keeps it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

use super::extract::Known;
use super::peer::Peer;
use super::request_id;
use crate::identity::Caller;
use crate::store::audit::Doer;

/// The caller with where the request came from, for the audit log.
pub(super) struct By(pub(super) Doer);

impl By {
    pub(super) fn of(caller: Option<&Caller>, peer: Option<Peer>, headers: &HeaderMap) -> Self {
        Self(Doer {
            principal: caller.map(|caller| caller.principal.id.clone()),
            name: caller.map(|caller| caller.principal.name.clone()),
            credential: caller.map(|caller| caller.credential_id.clone()),
            address: peer.map(|Peer(address)| address.to_string()),
            request_id: request_id(headers).map(str::to_owned),
        })
    }

    /// The same deed of whom the request has only just proved to be.
    pub(super) fn now(self, caller: &Caller) -> Doer {
        Doer {
            principal: Some(caller.principal.id.clone()),
            name: Some(caller.principal.name.clone()),
            credential: Some(caller.credential_id.clone()),
            ..self.0
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let Parts { extensions, headers, .. } = parts;
        let caller = |extensions: &Extensions| extensions.get::<Known>().and_then(|Known(caller)| caller.clone());
        Ok(Self::of(caller(extensions).as_ref(), extensions.get().copied(), headers))
    }
}
