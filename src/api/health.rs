//! Is it alive, is it ready: for people, load balancers and orchestrators.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use crate::clock::rfc3339;
use crate::model::Error;

/// The state of this server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `healthy`, or `unhealthy` when the database does not answer.
    status: &'static str,
    /// RFC 3339.
    timestamp: String,
    version: &'static str,
    uptime_seconds: i64,
}

async fn state(api: &Api) -> (StatusCode, Health) {
    let ready = !api.tasks.is_stopping() && api.engine.store().ping().await.is_ok();
    let now = api.engine.clock().now();
    let health = Health {
        status: if ready { "healthy" } else { "unhealthy" },
        timestamp: rfc3339(now),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: (now - api.engine.started_at()) / 1000,
    };
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, health)
}

/// Whether the server can process requests; open to everybody.
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(super) async fn health(State(api): State<Api>) -> (StatusCode, Json<Health>) {
    let (status, health) = state(&api).await;
    (status, Json(health))
}

/// Whether the process runs; asks nothing of the database.
#[utoipa::path(get, path = "/livez", tag = "health", security(()), responses((status = 200, body = String)))]
pub(super) async fn livez() -> &'static str {
    "ok"
}

/// Whether requests should be sent here: the database answers and the server is not about to stop.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses((status = 200, body = String), (status = 503)))]
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    match state(&api).await {
        (StatusCode::OK, _) => "ok".into_response(),
        _ => super::error::ApiError(Error::unavailable("not ready")).into_response(),
    }
}
