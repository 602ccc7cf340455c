//! The description of all doors, as it is mounted.

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, SecurityRequirement};

use super::COOKIE_PLAIN;

const DESCRIPTION: &str = "Conversations with bots and the commands behind them.\n\n\
    The web socket at `/ws` is described as [AsyncAPI](/ws/asyncapi.json) and its frames as [JSON Schema](/ws/schema).";

/// The serialised document.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new(document: &OpenApi) -> Self {
        Self(Bytes::from(document.to_json().unwrap_or_default()))
    }
}

/// Says what this is and how callers prove who they are: by default every door asks for it.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    document.info =
        InfoBuilder::new().title("Parlour").version(env!("CARGO_PKG_VERSION")).description(Some(DESCRIPTION)).build();
    // The rest of an address is one parameter like any other.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    let components = document.components.get_or_insert_default();
    let key = |value| SecurityScheme::ApiKey(value);
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("plr_…").build()),
    );
    components.add_security_scheme("api_key", key(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    components.add_security_scheme("cookie", key(ApiKey::Cookie(ApiKeyValue::new(COOKIE_PLAIN))));
    let none: [&str; 0] = [];
    document.security = Some(["bearer", "api_key", "cookie"].map(|name| SecurityRequirement::new(name, none)).to_vec());
    document
}

/// The document without a server: what `parlour openapi` prints.
pub fn document() -> OpenApi {
    complete(super::doors().split_for_parts().1)
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi", tag = "meta", security(()), responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub(super) async fn serve(Extension(Document(bytes)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}
