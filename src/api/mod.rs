//! Floor 7: the HTTP and WebSocket doors; the only place that knows status codes, headers and cookies.
//!
//! [`router`] is the list of all doors. Every route is mounted together with its description, so that the OpenAPI
//! document cannot fall behind; `error` writes failures in the envelope of the route's family.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use axum::middleware;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate as _};
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::chat::Hub;
use crate::config;
use crate::engine::Engine;
use crate::identity::Identity;
use crate::tasks::Tasks;

mod actions;
mod admin;
mod attachments;
mod attention;
mod auth;
mod bots;
mod commands;
mod error;
mod events;
mod extract;
mod files;
mod health;
mod invocations;
mod messages;
mod openapi;
mod search;
mod session;
mod site;
mod ws;

pub use openapi::document;

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// The session cookie: with https the browser pins it to this host, plain http is for this machine only.
const COOKIE_SECURE: &str = "__Host-parlour";
const COOKIE_PLAIN: &str = "parlour";
const COOKIES: [&str; 2] = [COOKIE_SECURE, COOKIE_PLAIN];

/// Everything the doors need; cloned per request.
#[derive(Clone)]
pub struct Api {
    pub engine: Arc<Engine>,
    pub hub: Arc<Hub>,
    pub identity: Arc<Identity>,
    pub tasks: Tasks,
    /// What links begin with, without a trailing slash.
    pub public_url: Arc<str>,
    /// The origins whose pages may use a cookie.
    pub origins: Arc<[String]>,
    pub sockets: Arc<ws::Sockets>,
}

impl Api {
    pub fn new(
        engine: Arc<Engine>,
        hub: Arc<Hub>,
        identity: Arc<Identity>,
        tasks: Tasks,
        address: &Address,
        ws: config::Ws,
    ) -> Self {
        Self {
            engine,
            hub,
            identity,
            tasks,
            public_url: address.public_url.as_str().into(),
            origins: address.origins.clone().into(),
            sockets: Arc::new(ws::Sockets::new(ws)),
        }
    }

    fn uses_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}

/// Under which addresses this server is reached.
#[derive(Clone, Debug)]
pub struct Address {
    /// Without a trailing slash.
    pub public_url: String,
    pub origins: Vec<String>,
}

impl Address {
    /// From the setting, or, when that is empty, from the address listened on.
    pub fn new(public_url: &str, listening: std::net::SocketAddr) -> Self {
        if !public_url.is_empty() {
            let origins = crate::config::origin(public_url).into_iter().collect();
            return Self { public_url: public_url.to_owned(), origins };
        }
        let port = listening.port();
        let mut origins: Vec<String> =
            ["127.0.0.1", "localhost", "[::1]"].iter().map(|host| format!("http://{host}:{port}")).collect();
        let own = if listening.ip().is_unspecified() {
            format!("http://127.0.0.1:{port}")
        } else {
            format!("http://{listening}")
        };
        if !origins.contains(&own) {
            origins.push(own.clone());
        }
        Self { public_url: own, origins }
    }
}

/// All doors with their descriptions.
fn doors() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(auth::local))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::validate))
        .routes(routes!(session::current))
        .routes(routes!(session::create))
        .routes(routes!(session::list))
        .routes(routes!(search::find))
        .routes(routes!(session::delete))
        .routes(routes!(session::say))
        .routes(routes!(messages::edit, messages::delete))
        .routes(routes!(files::upload, files::usage))
        .routes(routes!(files::get, files::delete))
        .routes(routes!(invocations::cancel))
        .routes(routes!(actions::command))
        .routes(routes!(actions::take))
        .routes(routes!(attention::mark))
        .routes(routes!(events::read))
        .routes(routes!(bots::list))
        .routes(routes!(bots::get))
        .routes(routes!(bots::complete))
        .routes(routes!(commands::invoke))
        .routes(routes!(commands::poll))
        .routes(routes!(commands::cancel))
        .routes(routes!(admin::bots))
        .routes(routes!(ws::connect))
        .routes(routes!(ws::schema::serve))
        .routes(routes!(ws::asyncapi::serve))
        .routes(routes!(ws::ticket::issue))
        .routes(routes!(openapi::serve))
}

/// The whole server as one service.
pub fn router(api: Api) -> Router {
    let (router, document) = doors().split_for_parts();
    let document = openapi::complete(document);
    // Swagger's own page takes the document from the route that everybody uses.
    let swagger = utoipa_swagger_ui::SwaggerUi::new("/swagger").config(
        utoipa_swagger_ui::Config::from("/api/v1/openapi").try_it_out_enabled(true).persist_authorization(false),
    );
    let router = router.merge(swagger).fallback(site::serve).method_not_allowed_fallback(async || {
        error::refuse(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "this address does not take that method")
    });
    let asyncapi = ws::asyncapi::Document::new(&api.public_url);
    // One service and not a layer each: a router puts every layer into a box of its own and copies it for each request.
    router
        .layer(
            ServiceBuilder::new()
                .layer(SetRequestIdLayer::x_request_id(NewRequestId))
                .layer(TraceLayer::new_for_http().make_span_with(span))
                .layer(PropagateRequestIdLayer::x_request_id())
                .map_response(secured)
                .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
                    tracing::error!("a handler panicked");
                    error::refuse(StatusCode::INTERNAL_SERVER_ERROR, "SERVER_ERROR", "failed to answer")
                }))
                .layer(middleware::from_fn(error::envelope))
                .layer(CompressionLayer::new().gzip(true).compress_when(
                    DefaultPredicate::new().and(NotForContentType::const_new("text/event-stream")).and(is_no_file),
                ))
                .layer(DefaultBodyLimit::max(MAX_BODY))
                .layer(axum::Extension(openapi::Document::new(&document)))
                .layer(axum::Extension(asyncapi)),
        )
        .with_state(api)
}

/// Whether an answer is anything but a file of somebody's: a range of one counts its own bytes.
fn is_no_file(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    !headers.contains_key(header::CONTENT_DISPOSITION)
}

/// Adds the headers that keep a browser from doing more with an answer than it should.
fn secured<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::CONTENT_SECURITY_POLICY, site::POLICY),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[derive(Clone, Copy)]
struct NewRequestId;

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        HeaderValue::from_str(&crate::model::id::new_id()).ok().map(RequestId::new)
    }
}

/// A request in the log: its path without the query, which may carry a token.
fn span<B>(request: &Request<B>) -> tracing::Span {
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::debug_span!("request", method = %request.method(), path = request.uri().path(), id)
}

/// The caller's user agent, for lists of sessions.
fn user_agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
