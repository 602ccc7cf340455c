//! The web socket: the same log as every other door, live.
//!
//! `frame` is what travels, `socket` is one connection, `sending` its other half, `ending` how it ends, `reading` its place in
//! one stream, `request` what its frames ask for, `remote` what those of a bot's process do, `limits` how fast they may come,
//! `sockets` all that are open, `schema` and `asyncapi` their description, and `ticket` a way to open one. There is no queue per connection: a connection owns its place in
//! each stream it reads, and what it has not sent yet is in the log.

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use super::Api;
use super::error::{ApiResult, refuse};
use super::peer::Peer;
use crate::model::{Error, Kind};

pub(super) mod asyncapi;
mod bot_message;
mod ending;
pub(super) mod executions;
mod frame;
mod limits;
mod reading;
mod remote;
mod request;
pub(super) mod schema;
mod sending;
mod socket;
mod sockets;
pub(super) mod ticket;

pub(super) use sockets::{Sockets, Watch};

/// The subprotocol of our own clients; without it a socket speaks the plain form.
const PROTOCOL: &str = "parlour.v1";

/// The largest frame a client may send, in bytes.
const MAX_FRAME: usize = 256 * 1024;

/// Opens a web socket. With a cookie the `Origin` must be this server's or an allowed one; a ticket opens it without either.
#[utoipa::path(get, path = "/ws", tag = "session",
    responses((status = 101, description = "A web socket; subprotocol parlour.v1, or none for plain messages. Its frames are described at /ws/asyncapi.json and /ws/schema"), (status = 400), (status = 401), (status = 403), (status = 426, description = "None of the subprotocols offered is spoken here"), (status = 429, description = "Too many sockets, or too many refusals")))]
pub(super) async fn connect(
    State(api): State<Api>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    opener: Result<ticket::Opener, Response>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let refused = || api.sockets.count_refusal(peer, api.engine.clock().now());
    let ticket::Opener(caller) = match opener {
        Ok(opener) => opener,
        Err(refusal) => return refused().map(|()| refusal).map_err(Into::into),
    };
    // A socket acts for its user, so a GET with a cookie needs what a POST needs: browsers send no pre-flight here.
    if ticket::is_by_cookie(&headers) && !may_use_cookie(&api, &headers) {
        refused()?;
        return Err(Error::new(Kind::Forbidden, "CROSS_ORIGIN", "this page may not open a socket here").into());
    }
    let upgrade = upgrade.map_err(|_| Error::invalid("this address takes a web socket"))?;
    let seat = api.sockets.seat(&caller.principal.id)?;
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(4 * 1024)
        .write_buffer_size(16 * 1024)
        .max_write_buffer_size(1024 * 1024)
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME);
    let plain = upgrade.selected_protocol().is_none();
    if plain && ticket::offers_a_protocol(&headers) {
        let message = format!("this server speaks {PROTOCOL}");
        return Ok(refuse(StatusCode::UPGRADE_REQUIRED, "UNKNOWN_PROTOCOL", &message));
    }
    Ok(upgrade.on_upgrade(move |socket| async move {
        let tasks = api.tasks.clone();
        // Tracked, so that a shutdown waits until the socket has said good-bye.
        tasks.track(socket::serve(api, caller, socket, Manner { plain, seat })).await;
    }))
}

/// How a socket was opened.
struct Manner {
    /// Without the subprotocol: only what the plain form knows.
    plain: bool,
    seat: sockets::Seat,
}

/// Whether a page that a browser sends a cookie for may open a socket: browsers always say which page it is.
fn may_use_cookie(api: &Api, headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    origin.is_some_and(|origin| {
        api.origins.iter().chain(&api.sockets.limits.allowed_origins).any(|allowed| allowed == origin)
    })
}
