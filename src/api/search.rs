//! Finding messages.

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::ApiResult;
use super::extract::Query;
use super::session::{cursor, within};
use crate::chat::Hit;
use crate::identity::Caller;
use crate::model::message::Sender;

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct SearchQuery {
    /// Any part of what was said, 1 to 200 characters; upper and lower case are the same.
    q: String,
    /// Only in this session.
    session_id: Option<String>,
    /// How many at most, 1 to 100.
    #[serde(default = "twenty")]
    limit: i64,
    /// The `next` of the page before.
    before: Option<String>,
}

fn twenty() -> i64 {
    20
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SearchPage {
    results: Vec<SearchResult>,
    /// Give it as `before` to look on; null at the end. A page may be short and still have more behind it.
    next: Option<String>,
}

/// A message, by its place.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SearchResult {
    session_id: String,
    bot_id: String,
    /// Of the session: `active` or `closed`.
    status: &'static str,
    message_id: String,
    seq: i64,
    sender: Sender,
    /// At most 240 characters around what was found.
    text: String,
    ts: String,
}

fn result(hit: Hit) -> SearchResult {
    SearchResult {
        session_id: hit.conversation.id,
        bot_id: hit.conversation.bot,
        status: hit.conversation.status.as_str(),
        message_id: hit.post.message_id,
        seq: hit.seq,
        sender: hit.post.sender,
        text: hit.excerpt,
        ts: hit.post.ts,
    }
}

/// Finds messages in the caller's own sessions, open and closed, newest first.
#[utoipa::path(get, path = "/api/session/search", tag = "session", params(SearchQuery), responses((status = 200, body = SearchPage), (status = 400), (status = 401)))]
pub(super) async fn find(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<SearchQuery>,
) -> ApiResult<Answer<SearchPage>> {
    let limit = usize::try_from(within("limit", query.limit, 1, 100)?).unwrap_or_default();
    let after = query.before.as_deref().map(cursor).transpose()?.map(|(at, id)| (at, id.to_owned()));
    let found = api.hub.search(&caller.principal, query.session_id.as_deref(), &query.q, after, limit).await?;
    let next = found.next.map(|(at, id)| format!("{at}.{id}"));
    Ok(Answer(SearchPage { results: found.hits.into_iter().map(result).collect(), next }))
}
