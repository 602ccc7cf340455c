//! Pages of other origins: which may read our answers in a browser.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::Api;
use crate::config::Cors;

/// How long a browser need not ask again.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// Opens the doors to the pages of the setting; without any, browsers keep other pages out by themselves.
pub(super) fn open(router: Router<Api>, cors: &Cors) -> Router<Api> {
    if cors.allowed_origins.is_empty() {
        return router;
    }
    let origins = if cors.allowed_origins == ["*"] {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(cors.allowed_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let names = |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    let mut accepted = names(&["x-api-key", "idempotency-key", "x-csrf-token", "x-request-id", "last-event-id"]);
    accepted.extend([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH, header::RANGE]);
    let mut shown = names(&["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-request-id"]);
    shown.extend([header::RETRY_AFTER, header::LOCATION, header::ETAG, header::CONTENT_DISPOSITION]);
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers(accepted)
        .expose_headers(shown)
        .allow_credentials(cors.credentials)
        .max_age(REMEMBERED);
    router.layer(layer)
}
