//! The web client, embedded in the binary.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::refuse;

/// What our pages may load: everything from here, pictures also from elsewhere over https.
pub(super) const POLICY: &str = "default-src 'self'; img-src 'self' data: https:; style-src 'self'; script-src 'self'; \
     connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "web/dist/"]
#[allow_missing = true]
struct Client;

/// Serves a file of the client; any other address that a browser asks a page for is the client's own.
pub(super) async fn serve(request: Request) -> Response {
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_read && let Some(file) = Client::get(path.trim_start_matches('/')).filter(|_| path != "/") {
        return answer(path, &file, request.headers());
    }
    if is_read && wants_page(request.headers()) && !path.starts_with("/api/") && !path.starts_with("/assets/") {
        return match Client::get("index.html") {
            Some(page) => answer("/index.html", &page, request.headers()),
            None => refuse(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "this binary was built without the web client; run `make build`",
            ),
        };
    }
    refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this address")
}

/// Whether a person's browser asks, rather than a program.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")))
}

fn answer(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", crate::model::id::hex(&file.metadata.sha256_hash()[..16]));
    // The build names these by their content.
    let keep = if path.starts_with("/assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = file.metadata.mimetype().to_owned();
        let bytes = bytes::Bytes::from(file.data.clone().into_owned());
        ([(header::CONTENT_TYPE, kind)], bytes).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
