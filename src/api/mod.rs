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
use crate::chat::discord::Discord;
use crate::chat::outside::Outside;
use crate::chat::slack::Slack;
use crate::config::Config;
use crate::connector::Connectors;
use crate::engine::Engine;
use crate::identity::Identity;
use crate::identity::oidc::Oidc;
use crate::identity::people::People;
use crate::identity::scim::Provisioning;
use crate::outbox::{Hooks, Outbox};
use crate::tasks::Tasks;

mod actions;
mod admin;
mod approvals;
mod artifacts;
mod attachments;
mod attention;
mod audit;
mod auth;
mod authz;
mod bots;
mod by;
mod commands;
mod connectors;
mod cors;
mod credentials;
mod discord;
mod error;
mod events;
mod executions;
mod extract;
mod files;
mod gate;
mod grants;
mod groups;
mod health;
mod invocations;
mod key_offers;
mod keys;
mod links;
mod messages;
mod metrics;
mod oidc;
mod openapi;
mod outbox;
mod page;
mod peer;
mod playbooks;
mod preview;
mod rates;
mod schedules;
mod scim;
mod search;
mod services;
mod session;
mod sign_ins;
mod site;
mod slack;
mod slack_install;
mod system;
mod users;
mod webhooks;
mod workflows;
mod ws;

pub use openapi::document;
pub use ws::schema::document as frames;

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// The largest body of a directory's, in bytes: a group of some ten thousand people.
const MAX_PUSH: usize = 2 * 1024 * 1024;

/// The session cookie: with https the browser pins it to this host, plain http is for this machine only.
const COOKIE_SECURE: &str = "__Host-parlour";
const COOKIE_PLAIN: &str = "parlour";
const COOKIES: [&str; 2] = [COOKIE_SECURE, COOKIE_PLAIN];

/// Chats outside.
#[derive(Clone)]
pub struct Chats {
    pub outside: Arc<Outside>,
    pub outbox: Arc<Outbox>,
    pub slack: Option<Arc<Slack>>,
    pub discord: Option<Arc<Discord>>,
}

/// Everything the doors need; cloned per request.
#[derive(Clone)]
pub struct Api {
    pub engine: Arc<Engine>,
    pub hub: Arc<Hub>,
    pub identity: Arc<Identity>,
    pub people: Arc<People>,
    /// What a directory pushes here.
    pub provisioning: Arc<Provisioning>,
    pub connectors: Arc<Connectors>,
    pub hooks: Arc<Hooks>,
    /// The directory people sign in with, if there is one.
    pub oidc: Option<Arc<Oidc>>,
    pub tasks: Tasks,
    /// What links begin with, without a trailing slash.
    pub public_url: Arc<str>,
    /// The origins whose pages may use a cookie.
    pub origins: Arc<[String]>,
    pub sockets: Arc<ws::Sockets>,
    pub gate: Arc<gate::Gate>,
    pub chats: Chats,
    counts: Arc<metrics::Counts>,
    parts: Arc<system::Parts>,
}

/// What the doors open onto.
pub struct Rooms {
    pub engine: Arc<Engine>,
    pub hub: Arc<Hub>,
    pub identity: Arc<Identity>,
    pub people: Arc<People>,
    pub provisioning: Arc<Provisioning>,
    pub connectors: Arc<Connectors>,
    pub hooks: Arc<Hooks>,
    pub oidc: Option<Arc<Oidc>>,
    pub chats: Chats,
    pub tasks: Tasks,
}

impl Api {
    pub fn new(rooms: Rooms, address: &Address, config: &Config) -> Self {
        let Rooms { engine, hub, identity, people, provisioning, connectors, hooks, oidc, chats, tasks } = rooms;
        let mut origins = address.origins.clone();
        if config.cors.credentials {
            origins.extend(config.cors.allowed_origins.iter().cloned());
        }
        Self {
            gate: Arc::new(gate::Gate::new(config, engine.store())),
            engine,
            hub,
            identity,
            people,
            provisioning,
            connectors,
            hooks,
            oidc,
            chats,
            tasks,
            counts: Arc::default(),
            parts: Arc::default(),
            public_url: address.public_url.as_str().into(),
            origins: origins.into(),
            sockets: Arc::new(ws::Sockets::new(config.ws.clone())),
        }
    }

    /// Closes the sockets of credentials that have ended.
    fn send_away(&self, credentials: &[String]) {
        for credential in credentials {
            self.identity.forget_key(credential);
            self.sockets.revoke(credential);
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
        .routes(routes!(oidc::providers))
        .routes(routes!(oidc::login))
        .routes(routes!(oidc::callback))
        .routes(routes!(oidc::backchannel_logout))
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
        .routes(routes!(users::me, users::update))
        .routes(routes!(users::list))
        .routes(routes!(users::sign_out))
        .routes(routes!(groups::create))
        .routes(routes!(groups::list))
        .routes(routes!(groups::members, groups::add))
        .routes(routes!(groups::remove))
        .merge(scim_doors())
        .routes(routes!(bots::list))
        .routes(routes!(bots::get))
        .routes(routes!(bots::complete))
        .routes(routes!(commands::invoke))
        .routes(routes!(commands::poll))
        .routes(routes!(commands::cancel))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::deny))
        .routes(routes!(approvals::approve_polled))
        .routes(routes!(approvals::deny_polled))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(key_offers::ask, key_offers::take))
        .routes(routes!(grants::list, grants::create))
        .routes(routes!(grants::remove))
        .routes(routes!(services::list, services::enrol))
        .routes(routes!(services::dismiss))
        .routes(routes!(credentials::list, credentials::create))
        .routes(routes!(credentials::get, credentials::update, credentials::delete))
        .routes(routes!(credentials::test))
        .routes(routes!(sign_ins::show))
        .routes(routes!(sign_ins::callback))
        .routes(routes!(credentials::list_named, credentials::create_named))
        .routes(routes!(credentials::update_named, credentials::delete_named))
        .routes(routes!(connectors::list, connectors::create))
        .routes(routes!(connectors::get, connectors::update, connectors::delete))
        .routes(routes!(connectors::schema))
        .routes(routes!(schedules::list, schedules::create))
        .routes(routes!(schedules::get, schedules::change, schedules::delete))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::get, webhooks::update, webhooks::delete))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::replay))
        .routes(routes!(webhooks::replay_failed))
        .routes(routes!(admin::bots))
        .routes(routes!(audit::read))
        .routes(routes!(system::status))
        .routes(routes!(metrics::read))
        .routes(routes!(metrics::scrape))
        .routes(routes!(authz::explain))
        .routes(routes!(slack::events))
        .routes(routes!(slack::interactions))
        .routes(routes!(slack::commands))
        .routes(routes!(slack_install::install))
        .routes(routes!(slack_install::oauth))
        .routes(routes!(slack_install::workspaces))
        .routes(routes!(slack_install::take_out))
        .routes(routes!(discord::interactions))
        .routes(routes!(preview::try_out))
        .routes(routes!(preview::of_message))
        .routes(routes!(links::list))
        .routes(routes!(links::unlink))
        .routes(routes!(links::ask, links::link))
        .routes(routes!(outbox::dead_letters))
        .routes(routes!(outbox::retry))
        .routes(routes!(playbooks::list))
        .routes(routes!(playbooks::duplicate))
        .routes(routes!(playbooks::get))
        .routes(routes!(playbooks::schema))
        .routes(routes!(bots::test_schema))
        .routes(routes!(executions::list, executions::start))
        .routes(routes!(executions::get, executions::delete))
        .routes(routes!(executions::state))
        .routes(routes!(executions::pause))
        .routes(routes!(executions::resume))
        .routes(routes!(executions::cancel))
        .routes(routes!(executions::skip))
        .routes(routes!(executions::skip_back))
        .routes(routes!(executions::retry))
        .routes(routes!(executions::resolve))
        .routes(routes!(executions::answer))
        .routes(routes!(executions::definition, executions::edit))
        .routes(routes!(artifacts::list))
        .routes(routes!(artifacts::get))
        .routes(routes!(artifacts::click))
        .routes(routes!(executions::health))
        .routes(routes!(workflows::list, workflows::create))
        .routes(routes!(workflows::get, workflows::update, workflows::patch, workflows::delete))
        .routes(routes!(workflows::versions))
        .routes(routes!(workflows::execute))
        .routes(routes!(workflows::executions))
        .routes(routes!(workflows::execution, workflows::act))
        .routes(routes!(ws::executions::connect))
        .routes(routes!(ws::connect))
        .routes(routes!(ws::schema::serve))
        .routes(routes!(ws::asyncapi::serve))
        .routes(routes!(ws::ticket::issue))
        .routes(routes!(openapi::serve))
}

/// The doors for a directory that pushes its users and groups. Groups may be large.
fn scim_doors() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(scim::about::configuration))
        .routes(routes!(scim::about::resource_types))
        .routes(routes!(scim::about::resource_type))
        .routes(routes!(scim::about::all_schemas))
        .routes(routes!(scim::about::schema))
        .routes(routes!(scim::users::list, scim::users::create))
        .routes(routes!(scim::users::get, scim::users::replace, scim::users::patch, scim::users::delete))
        .routes(routes!(scim::groups::list, scim::groups::create))
        .routes(routes!(scim::groups::get, scim::groups::replace, scim::groups::patch, scim::groups::delete))
        .layer(DefaultBodyLimit::max(MAX_PUSH))
}

/// What a server looks after beside its requests, until it stops.
pub async fn watch(api: Api) {
    system::watch(api).await;
}

/// Asks a remote directory about people, until the server stops.
pub async fn watch_people(api: Api) {
    system::watch_people(api).await;
}

/// The whole server as one service.
pub fn router(api: Api) -> Router {
    let (router, document) = doors().split_for_parts();
    let document = openapi::complete(document);
    // Swagger's own page takes the document from the route that everybody uses.
    let swagger = utoipa_swagger_ui::SwaggerUi::new("/swagger").config(
        utoipa_swagger_ui::Config::from("/api/v1/openapi").try_it_out_enabled(true).persist_authorization(false),
    );
    let router = router
        .layer(middleware::from_fn_with_state(api.clone(), gate::pass))
        .merge(swagger)
        .fallback(site::serve)
        .method_not_allowed_fallback(async || {
            error::refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "this address does not take that method",
            )
        });
    let asyncapi = ws::asyncapi::Document::new(&api.public_url);
    let https = api.uses_https();
    // Few services and not a layer each: a router puts every layer into a box of its own and copies it for each request.
    let router = router.layer(
        ServiceBuilder::new()
            .map_response(move |response| secured(response, https))
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
    );
    cors::open(router, &api.gate.cors)
        .layer(
            ServiceBuilder::new()
                .layer(middleware::map_request(without_odd_request_id))
                .layer(SetRequestIdLayer::x_request_id(NewRequestId))
                .layer(TraceLayer::new_for_http().make_span_with(span))
                .layer(PropagateRequestIdLayer::x_request_id()),
        )
        .with_state(api)
}

/// Whether an answer is anything but a file of somebody's: a range of one counts its own bytes.
fn is_no_file(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    !headers.contains_key(header::CONTENT_DISPOSITION)
}

/// Adds the headers that keep a browser from doing more with an answer than it should.
fn secured<B>(mut response: Response<B>, https: bool) -> Response<B> {
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
    if https {
        // A year, as browsers ask for before they count it.
        let value = HeaderValue::from_static("max-age=31536000");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(value);
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

/// The longest id that a client may give its request.
const MAX_REQUEST_ID: usize = 64;

/// A client may name its request; what could not stand in a line of the log gets a name of ours instead.
async fn without_odd_request_id<B>(mut request: Request<B>) -> Request<B> {
    let is_odd = |id: &HeaderValue| {
        let id = id.as_bytes();
        id.is_empty()
            || id.len() > MAX_REQUEST_ID
            || !id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
    };
    if request.headers().get_all(REQUEST_ID).iter().any(is_odd) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

const REQUEST_ID: &str = "x-request-id";

/// The name of a request, the client's or ours.
fn request_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(REQUEST_ID).and_then(|id| id.to_str().ok())
}

/// A request in the log: its path without the query, which may carry a token.
fn span<B>(request: &Request<B>) -> tracing::Span {
    let id = request_id(request.headers()).unwrap_or_default();
    tracing::info_span!("request", method = %request.method(), path = shown_path(request.uri().path()), id)
}

/// A path as it may be read again: without the token of a link.
fn shown_path(path: &str) -> &str {
    if path.starts_with("/link/") { "/link/…" } else { path }
}

/// The caller's user agent, for lists of sessions.
fn user_agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
