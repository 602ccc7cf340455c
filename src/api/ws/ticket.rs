//! One-time tickets: how a page or a program opens a socket without sending its real credential along.
//!
//! A ticket travels as a subprotocol, the one header a browser's page may set. Subprotocols end up in the logs of
//! proxies, so a ticket is good once and for half a minute. Only its hash is kept, and only in memory: a restart costs
//! a client one more request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::Json as Answer;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Api;
use super::super::error::{ApiError, ApiResult};
use super::super::extract::{Carrier, token};
use super::PROTOCOL;
use crate::identity::Caller;
use crate::identity::token::{TokenKind, hash, kind, make};
use crate::model::conversation::Millis;
use crate::model::{Error, Kind, Result};

/// A ticket is good for this many seconds.
const LIFE_SECONDS: i64 = 30;

/// Tickets of one credential that may wait to be used.
const MOST_WAITING: usize = 32;

/// What a ticket's subprotocol begins with.
const PREFIX: &str = "ticket.";

/// The tickets that were given out and not used yet, by their hash.
#[derive(Default)]
pub(super) struct Tickets {
    waiting: Mutex<HashMap<String, Waiting>>,
}

struct Waiting {
    caller: Caller,
    /// The page it was given to; only that page may use it.
    origin: Option<HeaderValue>,
    expires_at: Millis,
}

impl Tickets {
    /// Makes a ticket for the caller, and for this page when a page asks.
    fn issue(&self, caller: Caller, origin: Option<HeaderValue>, now: Millis) -> Result<String> {
        let ticket = make(TokenKind::SocketTicket)?;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, ticket| ticket.expires_at > now);
        let own = waiting.values().filter(|ticket| ticket.caller.credential_id == caller.credential_id).count();
        if own >= MOST_WAITING {
            let message = format!("{MOST_WAITING} tickets wait to be used already");
            return Err(Error::new(Kind::RateLimited, "TOO_MANY_TICKETS", message));
        }
        let expires_at = now.saturating_add(LIFE_SECONDS * 1000);
        waiting.insert(hash(&ticket), Waiting { caller, origin, expires_at });
        Ok(ticket)
    }

    /// Whose ticket this is, without using it up.
    fn holder(&self, ticket: &str, now: Millis) -> Option<Caller> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(&hash(ticket)).filter(|ticket| ticket.expires_at > now).map(|ticket| ticket.caller.clone())
    }

    /// Uses a ticket up. It is gone afterwards, whether or not it was good.
    fn redeem(&self, ticket: &str, origin: Option<&HeaderValue>, now: Millis) -> Result<Caller> {
        let refused = || Error::unauthenticated("this ticket was used already, has expired or is not for this page");
        if kind(ticket) != Some(TokenKind::SocketTicket) {
            return Err(refused());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let found = waiting.remove(&hash(ticket)).ok_or_else(refused)?;
        let is_its_page = found.origin.is_none() || found.origin.as_ref() == origin;
        if found.expires_at <= now || !is_its_page { Err(refused()) } else { Ok(found.caller) }
    }
}

/// The ticket among the subprotocols that a client offers.
fn offered(headers: &HeaderMap) -> Option<&str> {
    subprotocols(headers).find_map(|protocol| protocol.strip_prefix(PREFIX))
}

fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|protocol| !protocol.is_empty())
}

/// Whose ticket a client offers, if any that waits to be used: for counting, not for letting in.
pub(in crate::api) fn holder(api: &Api, headers: &HeaderMap, now: Millis) -> Option<Caller> {
    offered(headers).and_then(|ticket| api.sockets.tickets.holder(ticket, now))
}

/// Whether a client offers a subprotocol to speak, whatever else it offers.
pub(super) fn offers_a_protocol(headers: &HeaderMap) -> bool {
    subprotocols(headers).any(|protocol| !protocol.starts_with(PREFIX))
}

/// Who opens a socket: by a token in a header, else by a ticket, else by the cookie.
pub(in crate::api) struct Opener(pub(super) Caller);

impl FromRequestParts<Api> for Opener {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let by_header = matches!(token(&parts.headers), Some((_, Carrier::Header)));
        let Some(ticket) = offered(&parts.headers).filter(|_| !by_header) else {
            return Caller::from_request_parts(parts, api).await.map(Self);
        };
        let now = api.engine.clock().now();
        let redeemed = api.sockets.tickets.redeem(ticket, parts.headers.get(header::ORIGIN), now);
        let opener = async {
            // The credential behind it may have ended since.
            api.identity.renew(&redeemed?, true).await
        };
        opener.await.map(Self).map_err(|error| ApiError(error).into_response())
    }
}

/// Whether the cookie alone is what opens this socket.
pub(super) fn is_by_cookie(headers: &HeaderMap) -> bool {
    offered(headers).is_none() && matches!(token(headers), Some((_, Carrier::Cookie)))
}

/// A ticket, and how to use it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Ticket {
    ticket: String,
    /// Seconds.
    expires_in: i64,
    /// Where the socket is opened.
    url: String,
    /// The subprotocols to offer beside `ticket.` followed by the ticket; the server selects one of these.
    protocols: [&'static str; 1],
}

/// Gives a ticket that opens one web socket: offer `parlour.v1` and `ticket.<ticket>` as subprotocols within 30 seconds.
///
/// It acts for the credential that asked, ends with it, and is good for the page of the same `Origin` only.
#[utoipa::path(post, path = "/api/ws/ticket", tag = "session", responses((status = 200, body = Ticket), (status = 401), (status = 403), (status = 429)))]
pub(in crate::api) async fn issue(State(api): State<Api>, headers: HeaderMap, caller: Caller) -> ApiResult<Response> {
    let origin = headers.get(header::ORIGIN).cloned();
    let ticket = Ticket {
        ticket: api.sockets.tickets.issue(caller, origin, api.engine.clock().now())?,
        expires_in: LIFE_SECONDS,
        url: format!("{}/ws", api.public_url.replacen("http", "ws", 1)),
        protocols: [PROTOCOL],
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Answer(ticket)).into_response())
}
