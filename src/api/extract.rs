//! What handlers ask for: the caller, a body, a query. Each failure is an error of the house.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::{Api, COOKIES};
use crate::identity::Caller;
use crate::identity::token::{TokenKind, kind};
use crate::model::{Error, Kind};

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Header,
    Cookie,
}

/// Finds the token of a request: `Authorization: Bearer`, then `X-API-Key`, then the cookie. A request that carries a
/// header token never falls back to its cookie.
pub(super) fn token(headers: &HeaderMap) -> Option<(&str, Carrier)> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().ok().unwrap_or_default();
        let token =
            text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, t)| t.trim());
        return Some((token.unwrap_or_default(), Carrier::Header));
    }
    if let Some(value) = headers.get("x-api-key") {
        return Some((value.to_str().unwrap_or_default().trim(), Carrier::Header));
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| COOKIES.contains(name)).map(|(_, value)| (value, Carrier::Cookie))
}

/// The one door where an API key may stand in the address: its clients can send no header.
const KEY_IN_ADDRESS: &str = "/ws/executions";

/// The API key in the address of a request, `?api_key=plr_k_…`, at the one door that takes it; nothing but a key counts
/// there. Addresses are never logged with their query.
pub(super) fn key_in_address(uri: &Uri) -> Option<String> {
    let query = uri.query().filter(|_| uri.path() == KEY_IN_ADDRESS)?;
    let (_, key) = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "api_key")?;
    (kind(&key) == Some(TokenKind::ApiKey)).then(|| key.into_owned())
}

impl Api {
    /// Whether a browser page of ours sent this: a cookie alone does not say so.
    pub(super) fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        match headers.get(header::ORIGIN) {
            Some(origin) => origin.to_str().is_ok_and(|origin| self.origins.iter().any(|own| own == origin)),
            None => headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin"),
        }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        caller(parts, api).await.map_err(|error| ApiError(error).into_response())
    }
}

/// Who sent a request, as the gate found out before.
#[derive(Clone)]
pub(super) struct Known(pub(super) Option<Caller>);

async fn caller(parts: &Parts, api: &Api) -> crate::model::Result<Caller> {
    let in_address = key_in_address(&parts.uri);
    let in_address = in_address.as_deref().map(|key| (key, Carrier::Header));
    let (token, carrier) = in_address.or_else(|| token(&parts.headers)).unwrap_or(("", Carrier::Header));
    let caller = match parts.extensions.get() {
        Some(Known(Some(caller))) if !token.is_empty() => caller.clone(),
        _ => api.identity.authenticate(token).await?,
    };
    let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if carrier == Carrier::Cookie && !is_safe && !api.is_same_origin(&parts.headers) {
        let message = "this request did not come from a page of this server; send an API key instead of a cookie";
        return Err(Error::new(Kind::Forbidden, "CROSS_ORIGIN", message));
    }
    Ok(caller)
}

/// A JSON body, with its bytes as they came.
pub(super) struct Json<T> {
    pub(super) value: T,
    pub(super) bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json")) {
            let message = "send the body as JSON, with Content-Type: application/json";
            return Err(Error::new(Kind::Invalid, "UNSUPPORTED_MEDIA_TYPE", message).into());
        }
        let bytes = Bytes::from_request(request, api).await.map_err(|rejection| {
            if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
                let message = format!("the body is larger than {} bytes", super::MAX_BODY);
                Error::new(Kind::TooLarge, "BODY_TOO_LARGE", message)
            } else {
                Error::invalid("the body could not be read")
            }
        })?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| Error::new(Kind::Invalid, "INVALID_JSON", format!("the body cannot be used: {error}")))?;
        Ok(Self { value, bytes })
    }
}

/// The query string.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| Error::invalid(format!("the query cannot be used: {}", rejection.body_text())).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::token::make;

    #[test]
    fn a_key_stands_in_one_address_only() {
        let key = make(TokenKind::ApiKey).unwrap();
        let session = make(TokenKind::Session).unwrap();
        let at = |address: String| key_in_address(&address.parse().unwrap());
        assert_eq!(at(format!("/ws/executions?a=b&api_key={key}")).as_ref(), Some(&key));
        assert_eq!(at(format!("/ws/executions?api_key={}", key.replace('_', "%5F"))), Some(key.clone()));
        for other in [
            format!("/ws?api_key={key}"),
            format!("/api/session?api_key={key}"),
            format!("/ws/executions?api_key={session}"),
            "/ws/executions".to_owned(),
        ] {
            assert_eq!(at(other), None);
        }
    }

    #[test]
    fn a_header_token_never_falls_back_to_the_cookie() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; parlour=plr_s_x".parse().unwrap());
        assert_eq!(token(&headers), Some(("plr_s_x", Carrier::Cookie)));
        headers.insert(header::AUTHORIZATION, "Basic abc".parse().unwrap());
        assert_eq!(token(&headers), Some(("", Carrier::Header)));
        headers.insert(header::AUTHORIZATION, "bearer plr_k_y".parse().unwrap());
        assert_eq!(token(&headers), Some(("plr_k_y", Carrier::Header)));
    }
}
