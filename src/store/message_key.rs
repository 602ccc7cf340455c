//! Messages with a name: what is said under the name of an earlier one takes its place.
//!
//! What becomes of a message is decided in the transaction that says it, once nobody else can say anything in the
//! conversation: of two runs that say the same name at once, one is first.

use serde_json::json;
use serde_json::value::to_raw_value;

use super::action::Registered;
use super::log::Place;
use super::query::query;
use super::transaction::{Transaction, failed};
use crate::clock::rfc3339;
use crate::model::conversation::Millis;
use crate::model::event::NewEvent;
use crate::model::message::{Key, Post, PostMode};
use crate::model::{Error, Result};

/// A message that is said under a name.
#[derive(Clone, Debug)]
pub struct Named {
    /// Id of the event that carries the message.
    pub event: String,
    /// The bot that says it; a name is a bot's own.
    pub speaker: String,
    pub key: Key,
    /// SHA-256 of all that it says and offers, hex.
    pub digest: String,
}

/// What became of a message with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is said, below everything else.
    Said,
    /// An earlier message says it now.
    Rewritten {
        message: String,
    },
    Dropped,
}

/// The newest message of a name.
struct Standing {
    message: String,
    seq: i64,
    digest: String,
    ts: Millis,
    ttl: Option<Millis>,
}

impl Standing {
    /// What becomes of a message said at `at`, while this one stands and holds `post`.
    fn fate(&self, named: &Named, post: &Post, at: Millis) -> Fate {
        let is_over = self.ttl.is_some_and(|ttl| self.ts.saturating_add(ttl) < at);
        match named.key.post {
            PostMode::Always => Fate::Said,
            // A run that ended earlier and comes later has nothing new to say.
            PostMode::Ttl | PostMode::UpdateOnly if at < self.ts => Fate::Dropped,
            PostMode::Ttl if is_over => Fate::Said,
            PostMode::UpdateOnly if is_over => Fate::Dropped,
            PostMode::Ttl | PostMode::UpdateOnly if self.digest == named.digest && is_fresh(post, at) => Fate::Dropped,
            PostMode::Ttl | PostMode::UpdateOnly => Fate::Rewritten { message: self.message.clone() },
        }
    }
}

/// Whether everything a message offers can still be done.
fn is_fresh(post: &Post, at: Millis) -> bool {
    let now = rfc3339(at);
    post.actions
        .iter()
        .filter_map(|action| action.life())
        .all(|life| life.used.is_none() && life.expires_at.as_ref().is_none_or(|expires| *expires > now))
}

impl Transaction<'_> {
    /// Decides what becomes of a message, with a name or without: `event` is as it goes into the log, and of `actions`
    /// those of the message are registered under the id it has there, or left out. Call it when the conversation is held.
    pub(super) async fn settle_said(
        &mut self,
        conversation: &str,
        named: Option<&Named>,
        event: &mut NewEvent,
        actions: &mut Vec<Registered>,
    ) -> Result<Fate> {
        let Some(named) = named else { return Ok(Fate::Said) };
        let fate = self.settle_named(conversation, named, event).await?;
        match &fate {
            Fate::Said => {}
            Fate::Rewritten { message } => {
                self.forget_actions(conversation, message).await?;
                let own = actions.iter_mut().filter(|action| action.message == event.id);
                own.for_each(|action| action.message.clone_from(message));
            }
            Fate::Dropped => actions.retain(|action| action.message != event.id),
        }
        Ok(fate)
    }

    /// The id of the message that has this name now.
    pub(super) async fn message_named(&mut self, conversation: &str, named: &Named) -> Result<Option<String>> {
        Ok(self.standing(conversation, named).await?.map(|standing| standing.message))
    }

    /// Decides what becomes of the message with a name in `event`. Rewritten, the message it replaces holds the new
    /// content, and `event` has become the update that tells of it. Call it when the conversation is held.
    async fn settle_named(&mut self, conversation: &str, named: &Named, event: &mut NewEvent) -> Result<Fate> {
        let at = event.created_at;
        let Some(standing) = self.standing(conversation, named).await? else { return Ok(absent(named)) };
        let Some(old) = self.post_at(event, &standing).await? else { return Ok(absent(named)) };
        let fate = standing.fate(named, &old, at);
        if let Fate::Rewritten { .. } = &fate {
            let new: Post = read(event.payload.get())?;
            let post = Post {
                session_id: old.session_id,
                message_id: old.message_id,
                client_id: old.client_id,
                reply_to: old.reply_to,
                ts: old.ts,
                edited_at: Some(rfc3339(at)),
                edits: old.edits,
                ..new
            };
            self.replace(&standing, event, &post).await?;
            self.keep_name(conversation, named, &standing.message, standing.seq, at).await?;
        }
        Ok(fate)
    }

    /// Keeps the name of a message that was said, with its place.
    pub(super) async fn keep_said(
        &mut self,
        conversation: &str,
        named: &Named,
        place: &Place,
        at: Millis,
    ) -> Result<()> {
        self.keep_name(conversation, named, &place.event_id, place.seq, at).await
    }

    async fn standing(&mut self, conversation: &str, named: &Named) -> Result<Option<Standing>> {
        let find = query(
            "SELECT message, seq, digest, ts, ttl FROM message_keys WHERE conversation = $1 AND speaker = $2 AND name = $3",
        );
        let find = find.bind(conversation).bind(&named.speaker).bind(&named.key.id);
        let Some(row) = self.optional(find).await? else { return Ok(None) };
        Ok(Some(Standing {
            message: row.get(0).map_err(failed)?,
            seq: row.get(1).map_err(failed)?,
            digest: row.get(2).map_err(failed)?,
            ts: row.get(3).map_err(failed)?,
            ttl: row.get(4).map_err(failed)?,
        }))
    }

    /// The message as it stands; none when it is gone.
    async fn post_at(&mut self, event: &NewEvent, standing: &Standing) -> Result<Option<Post>> {
        let find = query("SELECT payload FROM events WHERE stream = $1 AND seq = $2 AND id = $3");
        let find = find.bind(event.stream.as_str()).bind(standing.seq).bind(&standing.message);
        let Some(row) = self.optional(find).await? else { return Ok(None) };
        let post = read(&row.get::<String>(0).map_err(failed)?)?;
        Ok(Some(post).filter(|post| post.deleted_at.is_none()))
    }

    async fn replace(&mut self, standing: &Standing, event: &mut NewEvent, post: &Post) -> Result<()> {
        let unwritable = |error| Error::internal("write a message", error);
        let payload = serde_json::to_string(post).map_err(unwritable)?;
        let rewrite = query("UPDATE events SET payload = $3 WHERE stream = $1 AND seq = $2");
        self.write(rewrite.bind(event.stream.as_str()).bind(standing.seq).bind(payload)).await?;
        let update = json!({
            "session_id": post.session_id, "message_id": post.message_id, "sender": post.sender,
            "content": post.content, "edited_at": post.edited_at, "post": post,
        });
        event.kind = "message_update";
        event.payload = to_raw_value(&update).map_err(unwritable)?;
        Ok(())
    }

    async fn keep_name(
        &mut self,
        conversation: &str,
        named: &Named,
        message: &str,
        seq: i64,
        at: Millis,
    ) -> Result<()> {
        let keep = query(
            "INSERT INTO message_keys (conversation, speaker, name, message, seq, digest, ts, ttl) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (conversation, speaker, name) DO UPDATE SET \
             message = excluded.message, seq = excluded.seq, digest = excluded.digest, ts = excluded.ts, ttl = excluded.ttl",
        );
        let keep = keep.bind(conversation).bind(&named.speaker).bind(&named.key.id).bind(message).bind(seq);
        self.write(keep.bind(&named.digest).bind(at).bind(named.key.ttl_ms)).await?;
        Ok(())
    }
}

/// What becomes of a message of whose name there is no other.
fn absent(named: &Named) -> Fate {
    match named.key.post {
        PostMode::UpdateOnly => Fate::Dropped,
        PostMode::Ttl | PostMode::Always => Fate::Said,
    }
}

fn read(payload: &str) -> Result<Post> {
    serde_json::from_str(payload).map_err(|error| Error::internal("read a message", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(expires_at: Option<&str>, used: bool) -> Post {
        let used = used.then(|| json!({ "by": "Ann", "at": "2026-11-23T12:00:00.000Z", "chosen": true }));
        let mut action = json!({ "type": "button", "id": "a_1", "label": "Go" });
        action["expires_at"] = json!(expires_at);
        action["used"] = json!(used);
        serde_json::from_value(json!({
            "session_id": "s", "message_id": "m", "sender": { "kind": "bot", "id": "b", "name": "B" },
            "content": "x", "format": "markdown", "actions": [action], "ts": "2026-11-23T12:00:00.000Z",
        }))
        .unwrap()
    }

    #[test]
    fn what_becomes_of_a_message_with_a_name() {
        let standing = |ttl| Standing { message: "m".into(), seq: 4, digest: "d".into(), ts: 1_000, ttl };
        let named = |post, digest: &str| Named {
            event: "e".into(),
            speaker: "b".into(),
            key: Key { id: "k".into(), ttl_ms: None, post },
            digest: digest.into(),
        };
        let rewritten = || Fate::Rewritten { message: "m".into() };
        let (ttl, always, only) = (PostMode::Ttl, PostMode::Always, PostMode::UpdateOnly);
        for (mode, digest, life, at, expected) in [
            (ttl, "new", None, 1_000, rewritten()),
            (ttl, "new", None, 999, Fate::Dropped),
            (ttl, "new", Some(500), 1_500, rewritten()),
            (ttl, "new", Some(500), 1_501, Fate::Said),
            (ttl, "d", Some(500), 1_501, Fate::Said),
            (ttl, "d", None, 9_000, Fate::Dropped),
            (only, "new", Some(500), 1_500, rewritten()),
            (only, "new", Some(500), 1_501, Fate::Dropped),
            (only, "d", None, 1_500, Fate::Dropped),
            (always, "d", None, 1_500, Fate::Said),
            (always, "new", None, 999, Fate::Said),
        ] {
            let fate = standing(life).fate(&named(mode, digest), &post(None, false), at);
            assert_eq!(fate, expected, "{mode:?} {digest} {life:?} {at}");
        }
        assert_eq!(absent(&named(ttl, "d")), Fate::Said);
        assert_eq!(absent(&named(always, "d")), Fate::Said);
        assert_eq!(absent(&named(only, "d")), Fate::Dropped);
    }

    #[test]
    fn the_same_content_is_news_when_its_actions_were_taken_or_are_over() {
        let at = 1_790_000_000_000;
        assert!(is_fresh(&post(None, false), at));
        assert!(!is_fresh(&post(None, true), at));
        assert!(!is_fresh(&post(Some(&rfc3339(at)), false), at));
        assert!(is_fresh(&post(Some(&rfc3339(at + 1)), false), at));
    }
}
