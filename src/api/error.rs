//! How failures look on the wire: one error inside, an envelope by route family outside.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::model::{Error, Kind};

/// What a handler fails with. The body is written by [`envelope`], which knows the route.
#[derive(Debug)]
pub(super) struct ApiError(pub(super) Error);

pub(super) type ApiResult<T> = Result<T, ApiError>;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// The status of each kind of failure.
pub(super) fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Upstream => StatusCode::BAD_GATEWAY,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What travels from the handler to [`envelope`].
#[derive(Clone)]
struct Failure {
    code: String,
    message: String,
    details: Value,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = self.0;
        let status = match error.code {
            "PRECONDITION_FAILED" => StatusCode::PRECONDITION_FAILED,
            _ => status(error.kind),
        };
        let mut response = status.into_response();
        match error.kind {
            Kind::Internal | Kind::Unavailable | Kind::Upstream => {
                let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(code = %error.code, source, "{error}");
            }
            _ => tracing::debug!(code = %error.code, "{error}"),
        }
        if error.kind == Kind::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(error.kind, Kind::Unavailable | Kind::RateLimited) {
            let seconds = error.retry_after.map_or(1, |millis| millis.max(1).unsigned_abs().div_ceil(1000));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let failure = Failure { code: error.code.to_owned(), message: error.message, details: *error.details };
        response.extensions_mut().insert(failure);
        response
    }
}

/// A failure with a status of its own, for what the router refuses by itself.
pub(super) fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let mut response = status.into_response();
    let failure = Failure { code: code.to_owned(), message: message.to_owned(), details: Value::Null };
    response.extensions_mut().insert(failure);
    response
}

/// The word of a failure that has no body yet.
pub(super) fn code(response: &Response) -> Option<&str> {
    response.extensions().get::<Failure>().map(|failure| failure.code.as_str())
}

/// Writes the body of a failure in the form of the route's family.
pub(super) async fn envelope(request: Request, next: Next) -> Response {
    let family = Family::of(request.uri().path());
    let id = super::request_id(request.headers()).map(str::to_owned);
    let mut response = next.run(request).await;
    let Some(failure) = response.extensions_mut().remove::<Failure>() else { return response };
    let (mut parts, _) = response.into_parts();
    let status = parts.status.as_u16();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let kind = if family == Family::Scim { "application/scim+json" } else { "application/json" };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let body = family.body(failure, status, id.as_deref()).to_string();
    (parts.status, parts.headers, body).into_response()
}

/// Which of the reference documents a route comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// `{"error":{"code","message","details","request_id"}}`
    General,
    /// `{"error":"message","code","details","request_id"}`
    IntegrationLayer,
    /// `{"detail":{"error":code,"message","details","request_id"}}`
    Toolbox,
    /// The error of SCIM (RFC 7644), with `code` and `request_id` beside it.
    Scim,
}

impl Family {
    fn of(path: &str) -> Self {
        let under =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if under("/api/v1") {
            Self::IntegrationLayer
        } else if under("/scim/v2") {
            Self::Scim
        } else if ["/api/playbooks", "/api/executions", "/api/credentials", "/api/health"].into_iter().any(under) {
            Self::Toolbox
        } else {
            Self::General
        }
    }

    /// `request_id` finds the request in the log.
    fn body(self, failure: Failure, status: u16, request_id: Option<&str>) -> Value {
        let Failure { code, message, details } = failure;
        match self {
            Self::General => {
                json!({ "error": { "code": code, "message": message, "details": details, "request_id": request_id } })
            }
            Self::IntegrationLayer => {
                json!({ "error": message, "code": code, "details": details, "request_id": request_id })
            }
            Self::Toolbox => {
                let details = if details.is_null() { json!({}) } else { details };
                let code = match code.as_str() {
                    "INVALID_REQUEST" | "INVALID_JSON" | "VALIDATION_FAILED" => "validation_error".to_owned(),
                    "FORBIDDEN" => "permission_denied".to_owned(),
                    "SERVER_ERROR" => "internal_error".to_owned(),
                    code => code.to_ascii_lowercase(),
                };
                json!({ "detail": { "error": code, "message": message, "details": details, "request_id": request_id } })
            }
            Self::Scim => {
                let mut body = json!({
                    "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": status.to_string(),
                    "detail": message, "code": code, "request_id": request_id,
                });
                let word = match (details.get("scimType"), code.as_str()) {
                    (Some(word), _) => Some(word.clone()),
                    (None, "INVALID_JSON" | "INVALID_REQUEST") => Some("invalidSyntax".into()),
                    _ => None,
                };
                if let Some(word) = word {
                    body["scimType"] = word;
                }
                body
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_envelope() {
        for (path, family) in [
            ("/api/v1/workflows", Family::IntegrationLayer),
            ("/api/v10", Family::General),
            ("/api/executions/1", Family::Toolbox),
            ("/api/executionsx", Family::General),
            ("/scim/v2/Users", Family::Scim),
            ("/command", Family::General),
        ] {
            assert_eq!(Family::of(path), family, "{path}");
        }
        let failure = || Failure { code: "NOT_FOUND".into(), message: "m".into(), details: Value::Null };
        assert_eq!(
            Family::Toolbox.body(failure(), 404, Some("r")),
            json!({"detail":{"error":"not_found","message":"m","details":{},"request_id":"r"}})
        );
        assert_eq!(
            Family::IntegrationLayer.body(failure(), 404, None),
            json!({"error":"m","code":"NOT_FOUND","details":null,"request_id":null})
        );
    }
}
