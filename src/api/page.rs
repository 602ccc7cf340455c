//! Pages that the server writes itself, outside of the web client.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};

/// A page of one heading and what is below it, already HTML.
pub(super) fn page(status: StatusCode, heading: &str, below: &str) -> Response {
    let heading = escaped(heading);
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{heading} · Parlour</title></head><body><main><h1>{heading}</h1>{below}</main></body></html>"
    );
    let keep = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (status, [keep], Html(page)).into_response()
}

/// A text as HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
