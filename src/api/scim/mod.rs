//! The doors by which a directory pushes its users and groups (SCIM 2.0), under `/scim/v2`.
//!
//! They open to the token of the settings, or to an administrator. Answers and errors have the standard's form.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use utoipa::IntoParams;

use super::Api;
use super::by::By;
use super::error::{ApiError, ApiResult};
use super::extract::{Carrier, token};
use super::peer::Peer;
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize};
use crate::identity::scim::resource;
use crate::model::{Error, Kind, Result};
use crate::store::audit::Doer;

pub(super) mod about;
pub(super) mod groups;
pub(super) mod users;

/// The most resources of one answer.
const MOST: i64 = 200;

const MEDIA: &str = "application/scim+json";

/// Whether a request carries the token of the settings.
pub(super) fn is_pusher(api: &Api, headers: &HeaderMap) -> bool {
    let expected = api.gate.scim_token.expose().as_bytes();
    if expected.is_empty() {
        return false;
    }
    let given = match token(headers) {
        Some((given, Carrier::Header)) => given,
        _ => "",
    };
    bool::from(given.as_bytes().ct_eq(expected))
}

/// Who pushes: the directory, or an administrator.
pub(super) struct Pusher(Doer);

impl FromRequestParts<Api> for Pusher {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        if is_pusher(api, &parts.headers) {
            let By(doer) = By::of(None, parts.extensions.get::<Peer>().copied(), &parts.headers);
            return Ok(Self(Doer { name: Some("scim".to_owned()), ..doer }));
        }
        let caller = Caller::from_request_parts(parts, api).await?;
        let allowed = authorize(&caller.principal, Verb::Manage, Object::Installation);
        allowed.map_err(|error| ApiError(error).into_response())?;
        let By(doer) = By::of(Some(&caller), parts.extensions.get::<Peer>().copied(), &parts.headers);
        Ok(Self(doer))
    }
}

/// An answer of these doors.
fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, MEDIA)], body.to_string()).into_response()
}

/// A resource, with its version and its place.
fn shown(status: StatusCode, mut resource: Value, query: &Wanted) -> ApiResult<Response> {
    let text = |pointer| resource.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (etag, place) = (text("/meta/version"), text("/meta/location"));
    resource::select(&mut resource, query.attributes.as_deref(), query.excluded.as_deref());
    let mut response = answer(status, &resource);
    for (name, value) in [(header::ETAG, etag), (header::LOCATION, place)] {
        let value = HeaderValue::from_str(&value).map_err(|error| Error::internal("name a resource", error))?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// What of a resource is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
pub(super) struct Wanted {
    /// Only these attributes, with commas.
    attributes: Option<String>,
    /// All but these attributes, with commas.
    #[serde(rename = "excludedAttributes")]
    excluded: Option<String>,
}

/// Which resources are wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Search {
    /// Such as `userName eq "ann"`; several are joined by `and`.
    filter: Option<String>,
    /// The number of the first one, from 1.
    #[serde(rename = "startIndex")]
    start: Option<i64>,
    /// How many at most; 200 at most.
    count: Option<i64>,
    /// Only these attributes, with commas.
    attributes: Option<String>,
    /// All but these attributes, with commas.
    #[serde(rename = "excludedAttributes")]
    excluded: Option<String>,
}

impl Search {
    fn skip(&self) -> i64 {
        self.start.unwrap_or(1).max(1) - 1
    }

    fn limit(&self) -> i64 {
        self.count.unwrap_or(MOST).clamp(0, MOST)
    }

    /// Whether answers hold this attribute.
    fn wants(&self, name: &str) -> bool {
        let mut one = json!({ name: 1 });
        resource::select(&mut one, self.attributes.as_deref(), self.excluded.as_deref());
        one.get(name).is_some()
    }

    fn listed(&self, total: i64, resources: Vec<Value>) -> Response {
        let resources: Vec<Value> = resources
            .into_iter()
            .map(|mut one| {
                resource::select(&mut one, self.attributes.as_deref(), self.excluded.as_deref());
                one
            })
            .collect();
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": total,
            "startIndex": self.skip() + 1, "itemsPerPage": resources.len(), "Resources": resources,
        });
        answer(StatusCode::OK, &body)
    }
}

/// The version that a change expects, from `If-Match`.
fn expected(headers: &HeaderMap) -> Result<Option<i64>> {
    match headers.get(header::IF_MATCH).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(etag)) => resource::version(etag),
        Some(Err(_)) => Err(Error::new(Kind::Conflict, "PRECONDITION_FAILED", "If-Match names no version")),
    }
}

/// Whether the caller has this version already, by `If-None-Match`.
fn is_known(headers: &HeaderMap, version: i64) -> bool {
    let given = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    given.is_some_and(|given| {
        given.split(',').any(|one| matches!(resource::version(one), Ok(Some(one)) if one == version))
    })
}

/// The address of these doors.
fn base(api: &Api) -> String {
    format!("{}/scim/v2", api.public_url)
}
