//! The web socket: the same log as every other door, live.
//!
//! `frame` is what travels, `socket` is one connection, `sending` its other half, `ending` how it ends, `reading` its place in
//! one stream, `request` what its frames ask for, `schema` their description, and `ticket` a way to open one. There is no queue per connection: a connection owns its place in
//! each stream it reads, and what it has not sent yet is in the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::HeaderMap;
use axum::response::Response;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::error::ApiResult;
use crate::model::{Error, Kind};

mod ending;
mod frame;
mod reading;
mod request;
pub(super) mod schema;
mod sending;
mod socket;
pub(super) mod ticket;

/// The subprotocol of our own clients; without it a socket speaks the plain form.
const PROTOCOL: &str = "parlour.v1";

/// The largest frame a client may send, in bytes.
const MAX_FRAME: usize = 256 * 1024;

/// The sockets by the credential they were opened with, so that a logout can close them, and the tickets for new ones.
#[derive(Default)]
pub struct Sockets {
    tickets: ticket::Tickets,
    tokens: Mutex<HashMap<String, (CancellationToken, usize)>>,
}

impl Sockets {
    /// Registers a socket; the token is cancelled when its credential ends.
    fn register(&self, credential: &str) -> CancellationToken {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = tokens.entry(credential.to_owned()).or_default();
        entry.1 += 1;
        entry.0.clone()
    }

    fn forget(&self, credential: &str) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = tokens.get_mut(credential) {
            entry.1 -= 1;
            if entry.1 == 0 {
                tokens.remove(credential);
            }
        }
    }

    /// Sends away every socket of a credential.
    pub(super) fn revoke(&self, credential: &str) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, _)) = tokens.get_mut(credential) {
            token.cancel();
            *token = CancellationToken::new();
        }
    }
}

/// Opens a web socket. With a cookie the `Origin` must be this server's; a ticket opens it without either.
#[utoipa::path(get, path = "/ws", tag = "session",
    responses((status = 101, description = "A web socket; subprotocol parlour.v1, or none for plain messages"), (status = 401), (status = 403), (status = 400)))]
pub(super) async fn connect(
    State(api): State<Api>,
    headers: HeaderMap,
    ticket::Opener(caller): ticket::Opener,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    // A socket acts for its user, so a GET with a cookie needs what a POST needs: browsers send no pre-flight here.
    if ticket::is_by_cookie(&headers) && !api.is_same_origin(&headers) {
        return Err(Error::new(Kind::Forbidden, "CROSS_ORIGIN", "this page may not open a socket here").into());
    }
    let upgrade = upgrade.map_err(|_| Error::invalid("this address takes a web socket"))?;
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(4 * 1024)
        .write_buffer_size(16 * 1024)
        .max_write_buffer_size(1024 * 1024)
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME);
    let plain = upgrade.selected_protocol().is_none();
    Ok(upgrade.on_upgrade(move |socket| async move {
        let tasks = api.tasks.clone();
        // Tracked, so that a shutdown waits until the socket has said good-bye.
        tasks.track(socket::serve(api, caller, socket, plain)).await;
    }))
}
