//! What every request to a door passes first: who it is from, and whether it comes within the limits.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::Api;
use super::by::By;
use super::error::{ApiError, code};
use super::extract::{Carrier, Known, key_in_address, token};
use super::peer::{Peer, is_in};
use super::rates::{Bucket, Rates, Who, network};
use super::scim;
use super::shown_path;
use super::ws::ticket;
use crate::config::{Config, Cors, Rate, RateLimits};
use crate::identity::{Caller, CredentialKind};
use crate::model::Kind;
use crate::model::conversation::Millis;
use crate::model::secret::Secret;
use crate::store::Store;
use crate::store::audit::{Action, Deed, Doer};

/// Doors for machines that look after this one, and for a chat whose requests are signed: never counted.
const UNCOUNTED: [&str; 7] = [
    "/livez",
    "/readyz",
    "/metrics",
    "/slack/events",
    "/slack/interactions",
    "/slack/commands",
    "/discord/interactions",
];

/// What the gate needs to know.
pub struct Gate {
    limits: RateLimits,
    proxies: Vec<IpNet>,
    rates: Rates,
    pub(super) cors: Cors,
    /// What opens `/metrics`; empty: nothing but a credential does.
    pub(super) metrics_token: String,
    /// What opens the doors of SCIM; empty: nothing but a credential does.
    pub(super) scim_token: Secret,
}

impl Gate {
    pub(super) fn new(config: &Config, store: &std::sync::Arc<Store>) -> Self {
        Self {
            limits: config.rate_limits.clone(),
            proxies: config.trusted_proxies.clone(),
            rates: Rates::new(store),
            cors: config.cors.clone(),
            metrics_token: config.metrics.token.clone(),
            scim_token: config.scim.token.clone(),
        }
    }

    /// Which limit counts for a request; `None` when nothing does.
    fn limit<'a>(&'a self, asked: &Asked<'_>, caller: Option<&'a Caller>) -> Option<(Bucket, &'a [Rate])> {
        let Self { limits, .. } = self;
        let Peer(address) = asked.peer;
        let is_probe = asked.path == "/health" && (address.is_loopback() || is_in(&limits.trusted_probes, address));
        // A directory pushes all it has at first.
        let is_push = asked.is_pusher && asked.path.starts_with("/scim/v2/");
        if !limits.enabled || is_probe || is_push || UNCOUNTED.contains(&asked.path) {
            return None;
        }
        let (tier, rates): (&'static str, &[Rate]) = match caller {
            None if asked.path.starts_with("/auth/")
                || asked.path.starts_with("/link/")
                || asked.path == "/api/session" =>
            {
                ("sign_in", &limits.sign_in)
            }
            None => ("anonymous", &limits.anonymous),
            Some(caller) if !caller.rates.is_empty() => ("key", &caller.rates),
            Some(Caller { kind: CredentialKind::ApiKey | CredentialKind::Service, .. }) => ("key", &limits.key),
            Some(_) if asked.is_page_reading => ("page", &limits.page),
            Some(caller) if caller.principal.is_admin() => ("admin", &limits.admin),
            Some(_) => ("user", &limits.user),
        };
        let who = match caller {
            Some(caller) => Who::Principal(caller.principal.id.as_str().into()),
            None => Who::Network(network(address)),
        };
        (!rates.is_empty()).then_some((Bucket { tier, who }, rates))
    }
}

/// What a request is about, as far as the limits care.
struct Asked<'a> {
    /// The route, with its parameters by name.
    path: &'a str,
    peer: Peer,
    /// A page reads with its cookie; opening a socket is more than that.
    is_page_reading: bool,
    /// Whether it carries the token of the directory that pushes.
    is_pusher: bool,
}

fn is_page_reading(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    *method == Method::GET && path != "/ws" && matches!(token(headers), Some((_, Carrier::Cookie)))
}

/// Lets a request through, or refuses it; and counts the answer.
pub(super) async fn pass(State(api): State<Api>, matched: MatchedPath, request: Request, next: Next) -> Response {
    let (began, method) = (Instant::now(), request.method().clone());
    let response = admit(&api, &matched, request, next).await;
    api.counts.answered(&method, matched.as_str(), response.status().as_u16(), began.elapsed());
    response
}

async fn admit(api: &Api, matched: &MatchedPath, mut request: Request, next: Next) -> Response {
    let peer = Peer::of(&request, &api.gate.proxies);
    let now = api.engine.clock().now();
    let caller = match known(api, request.uri(), request.headers(), now).await {
        Ok(caller) => caller,
        Err(error) => return ApiError(error).into_response(),
    };
    let asked = Asked {
        path: matched.as_str(),
        peer,
        is_page_reading: is_page_reading(request.method(), matched.as_str(), request.headers()),
        is_pusher: scim::is_pusher(api, request.headers()),
    };
    let standing = match api.gate.limit(&asked, caller.as_ref()) {
        None => None,
        Some((bucket, rates)) => match api.gate.rates.count(&bucket, rates, now).await {
            Ok(standing) => Some(standing),
            Err(standing) => {
                let mut response = ApiError(standing.refusal(now)).into_response();
                standing.write(response.headers_mut());
                return response;
            }
        },
    };
    let By(doer) = By::of(caller.as_ref(), Some(peer), request.headers());
    let what = json!({ "method": request.method().as_str(), "path": shown_path(request.uri().path()) });
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(Known(caller));
    let mut response = next.run(request).await;
    if response.status() == StatusCode::FORBIDDEN && doer.principal.is_some() {
        record_refusal(api, doer, what, code(&response).map(str::to_owned)).await;
    }
    if let Some(standing) = standing {
        standing.write(response.headers_mut());
    }
    response
}

/// Keeps that somebody known tried what they may not do. The refusal stands, whether or not it could be kept.
async fn record_refusal(api: &Api, doer: Doer, mut what: Value, code: Option<String>) {
    what["code"] = code.into();
    let deed = Deed {
        at: api.engine.clock().now(),
        action: Action::AccessRefused,
        doer,
        target: what["path"].as_str().map(str::to_owned),
        details: what,
    };
    if let Err(error) = api.engine.store().record(deed).await {
        tracing::error!(%error, "a refusal was not added to the audit log");
    }
}

/// Who sent a request: by its token, or by the ticket that opens a socket. `None` for whoever proved nothing.
async fn known(api: &Api, uri: &Uri, headers: &HeaderMap, now: Millis) -> crate::model::Result<Option<Caller>> {
    let in_address = key_in_address(uri);
    match in_address.as_deref().or_else(|| token(headers).map(|(token, _)| token)) {
        Some(token) => match api.identity.authenticate(token).await {
            Ok(caller) => Ok(Some(caller)),
            Err(error) if error.kind == Kind::Unauthenticated => Ok(None),
            Err(error) => Err(error),
        },
        None => Ok(ticket::holder(api, headers, now)),
    }
}
