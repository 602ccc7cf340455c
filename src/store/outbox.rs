//! The outbox: what has to leave for a chat outside. A row is written in the transaction of what it tells of, and stays
//! until that chat has taken it, or until it is given up.
//!
//! What carries a message of a conversation holds no text: the message leaves as it stands then, so that whatever
//! changed meanwhile leaves once.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Store;
use super::inbox::Hold;
use super::log::Place as Seat;
use super::query::{Query, Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use crate::bus::Frame;
use crate::clock::rfc3339;
use crate::model::conversation::Millis;
use crate::model::event::NewEvent;
use crate::model::id::new_id;
use crate::model::message::{Message, Post, Sender, SenderKind};
use crate::model::place::{Account, Address, PLATFORMS, Place};
use crate::model::{Error, Result};

mod dead;

pub use dead::DeadLetter;

/// That the conversation of a turn is also held outside, and where its turn comes from.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// Where the turn's own message was said; none: not outside.
    pub said: Option<SaidAt>,
}

impl Outside {
    /// For a conversation of this channel; none where it is not also held outside.
    pub fn of(channel: &str, said: Option<SaidAt>) -> Option<Box<Self>> {
        PLATFORMS.contains(&channel).then(|| Box::new(Self { said }))
    }
}

/// Something said outside, as that chat knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidAt {
    /// A [`Place`] as text.
    pub place: String,
    /// The chat's own id of it there; none when it has none, such as a slash command.
    pub reference: Option<String>,
}

/// What leaves and is no message of a conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Asks somebody who is nobody here yet to sign in. The link is made when it leaves.
    SignIn { account: Account },
    /// For the eyes of one person.
    Private { account: Account, message: Box<Message> },
    /// A message to a place of which no conversation is held.
    Post(Box<Post>),
}

/// A notice about to leave.
#[derive(Clone, Debug)]
pub struct NewNotice {
    pub id: String,
    pub place: Place,
    pub notice: Notice,
    pub at: Millis,
}

/// The run that says something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) id: &'a str,
    pub(super) bot: &'a str,
    pub(super) command: &'a str,
}

impl Run<'_> {
    /// A message as it leaves for places where it has no conversation: nothing can be done at it but follow links.
    fn post(&self, message: &Message, at: Millis) -> Post {
        let name = self.bot.to_owned();
        Post {
            session_id: String::new(),
            message_id: new_id(),
            client_id: None,
            sender: Sender { kind: SenderKind::Bot, id: name.clone(), name },
            content: message.text.clone(),
            format: "markdown".to_owned(),
            reply_to: None,
            invocation_id: Some(self.id.to_owned()),
            command: Some(self.command.to_owned()),
            title: message.title.clone(),
            tone: message.tone,
            parts: message.parts.clone(),
            suggestions: Vec::new(),
            actions: message
                .offers
                .iter()
                .filter(|offer| offer.deed.is_none())
                .map(|offer| offer.action.clone())
                .collect(),
            form: None,
            files: Vec::new(),
            ephemeral: false,
            ts: rfc3339(at),
            edited_at: None,
            edits: Vec::new(),
            deleted_at: None,
        }
    }
}

/// What waits in the outbox, taken for one attempt.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// The same in each attempt.
    pub id: String,
    pub place: Place,
    pub load: Load,
    pub attempt: i64,
    /// Whether an earlier attempt may have arrived without our knowing.
    pub uncertain: bool,
    pub created_at: Millis,
}

/// What a row carries.
#[derive(Clone, Debug)]
pub enum Load {
    /// A message, as of the event of that number or later.
    Message {
        conversation: String,
        message: String,
        seq: i64,
    },
    Notice(Notice),
}

/// What a chat outside knows a message by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRef {
    pub reference: String,
    /// SHA-256 of what stands there, hex; none when it was not said by us.
    pub digest: Option<String>,
    pub updated_at: Millis,
}

/// What became of an attempt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It stands there: known by that, with this digest; and with it whatever waited up to that event.
    Delivered { reference: Option<String>, digest: Option<String>, seq: i64, at: Millis },
    /// To be tried again, not before that time.
    Again { ready_at: Millis, error: String, uncertain: bool },
    /// It waits a little so that not every change leaves by itself.
    Paced { ready_at: Millis },
    /// It is given up.
    Dead { error: String, at: Millis },
}

impl Transaction<'_> {
    /// Puts what was said and changed in a conversation into the outbox, for every place where it is held, except the
    /// one where it was said.
    pub(super) async fn send_outside(
        &mut self,
        conversation: &str,
        events: &[(&NewEvent, &Seat)],
        said: Option<&SaidAt>,
    ) -> Result<()> {
        let news: Vec<News> = events.iter().filter_map(|(event, seat)| news(event, seat.seq)).collect();
        if news.is_empty() {
            return Ok(());
        }
        let find = query("SELECT place FROM conversation_places WHERE conversation = $1 ORDER BY place");
        let places: Vec<String> = self.column(find.bind(conversation)).await?;
        let mut sent = false;
        for place in &places {
            for news in &news {
                let is_origin = news.by_person && said.is_some_and(|said| said.place == *place);
                if let (true, Some(SaidAt { reference: Some(reference), .. })) = (is_origin, said) {
                    self.keep_ref(&news.message, place, conversation, reference, None, news.at).await?;
                }
                if is_origin {
                    continue;
                }
                self.insert_leaving(place, (conversation, &news.message, news.seq), news.at).await?;
                sent = true;
            }
        }
        if sent {
            self.announce(Frame::Leaving);
        }
        Ok(())
    }

    /// Puts what a run says to other places than its own into the outbox.
    pub(super) async fn send_elsewhere(&mut self, message: &Message, run: &Run<'_>, at: Millis) -> Result<()> {
        for address in &message.to {
            let address = Address::parse(address).map_err(Error::invalid)?;
            let Some(place) = address.place() else { continue };
            let notice = NewNotice { id: new_id(), place, notice: Notice::Post(Box::new(run.post(message, at))), at };
            notice.run(self).await?;
        }
        Ok(())
    }

    async fn insert_leaving(
        &mut self,
        place: &str,
        (conversation, message, seq): (&str, &str, i64),
        at: Millis,
    ) -> Result<()> {
        let parsed = Place::parse(place).ok_or_else(|| Error::internal("send outside", "a place cannot be read"))?;
        let insert = query(
            "INSERT INTO outbox (id, adapter, channel, place, conversation, message, seq, state, attempt, uncertain, \
             ready_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', 0, 0, $8, $8)",
        )
        .bind(new_id())
        .bind(&parsed.platform)
        .bind(parsed.lane())
        .bind(place)
        .bind(conversation)
        .bind(message)
        .bind(seq)
        .bind(at);
        self.write(insert).await?;
        Ok(())
    }

    pub(super) async fn keep_ref(
        &mut self,
        message: &str,
        place: &str,
        conversation: &str,
        reference: &str,
        digest: Option<&str>,
        at: Millis,
    ) -> Result<()> {
        let keep = query(
            "INSERT INTO message_refs (message, place, conversation, ref, digest, updated_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (message, place) DO UPDATE SET ref = excluded.ref, digest = excluded.digest, \
             updated_at = excluded.updated_at",
        )
        .bind(message)
        .bind(place)
        .bind(conversation)
        .bind(reference)
        .bind(digest)
        .bind(at);
        self.write(keep).await?;
        Ok(())
    }

    async fn column(&mut self, find: Query<'_>) -> Result<Vec<String>> {
        self.all(find).await?.iter().map(|row| row.get(0).map_err(failed)).collect()
    }
}

/// What an event has for readers outside.
struct News {
    message: String,
    seq: i64,
    at: Millis,
    /// Whether a person said it.
    by_person: bool,
}

fn news(event: &NewEvent, seq: i64) -> Option<News> {
    let payload = || serde_json::from_str::<Value>(event.payload.get()).unwrap_or_default();
    let (message, by_person) = match event.kind {
        "message" => (event.id.clone(), event.principal.is_some()),
        "message_update" | "message_delete" => {
            (payload()["message_id"].as_str()?.to_owned(), event.principal.is_some())
        }
        _ => return None,
    };
    Some(News { message, seq, at: event.created_at, by_person })
}

impl Work for NewNotice {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let content = serde_json::to_string(&self.notice).map_err(|error| Error::internal("send outside", error))?;
        let insert = query(
            "INSERT INTO outbox (id, adapter, channel, place, content, state, attempt, uncertain, ready_at, created_at) \
             VALUES ($1, $2, $3, $4, $5, 'waiting', 0, 0, $6, $6) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&self.id)
        .bind(&self.place.platform)
        .bind(self.place.lane())
        .bind(self.place.to_string())
        .bind(content)
        .bind(self.at);
        transaction.write(insert).await?;
        transaction.announce(Frame::Leaving);
        Ok(())
    }
}

struct Claim {
    now: Millis,
    lease_until: Millis,
    most: i64,
    under_way: Vec<String>,
}

fn leaving(row: &Row) -> Result<Leaving> {
    let text = |index: usize| row.get::<Option<String>>(index).map_err(failed);
    let unreadable = |what: &'static str| Error::internal("read the outbox", what);
    let load = match (text(2)?, text(3)?, row.get::<Option<i64>>(4).map_err(failed)?, text(5)?) {
        (Some(conversation), Some(message), Some(seq), None) => Load::Message { conversation, message, seq },
        (_, _, _, Some(content)) => {
            Load::Notice(serde_json::from_str(&content).map_err(|error| Error::internal("read the outbox", error))?)
        }
        _ => return Err(unreadable("a row carries nothing")),
    };
    Ok(Leaving {
        id: row.get(0).map_err(failed)?,
        place: Place::parse(&row.get::<String>(1).map_err(failed)?)
            .ok_or_else(|| unreadable("a place cannot be read"))?,
        load,
        attempt: row.get(6).map_err(failed)?,
        uncertain: row.get::<i64>(7).map_err(failed)? == 1,
        created_at: row.get(8).map_err(failed)?,
    })
}

impl Work for Claim {
    type Output = Vec<Leaving>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Leaving>> {
        // An attempt that ended without saying how, ended anyhow: its lease has lapsed.
        let but = match self.under_way.len() {
            0 => String::new(),
            count => {
                let numbers: Vec<String> = (0..count).map(|at| format!("${}", at + 4)).collect();
                format!("AND o.id NOT IN ({}) ", numbers.join(", "))
            }
        };
        let claim = composed(format!(
            "UPDATE outbox SET uncertain = CASE WHEN attempt > 0 AND error IS NULL THEN 1 ELSE uncertain END, \
             attempt = attempt + 1, error = NULL, ready_at = $2 WHERE state = 'waiting' AND ready_at <= $1 AND id IN \
             (SELECT o.id FROM outbox o WHERE o.state = 'waiting' AND o.ready_at <= $1 {but}AND NOT EXISTS \
             (SELECT 1 FROM outbox p WHERE p.state = 'waiting' AND p.channel = o.channel AND p.id < o.id) \
             ORDER BY o.id LIMIT $3) \
             RETURNING id, place, conversation, message, seq, content, attempt, uncertain, created_at"
        ));
        let claim = claim.bind(self.now).bind(self.lease_until).bind(self.most);
        let rows = transaction.write_returning(self.under_way.iter().fold(claim, Query::bind)).await?;
        rows.iter().map(leaving).collect()
    }
}

struct Settle {
    leaving: Leaving,
    outcome: Outcome,
}

impl Work for Settle {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let Leaving { id, place, load, attempt, .. } = &self.leaving;
        let settle = match &self.outcome {
            Outcome::Delivered { at, .. } => query(
                "UPDATE outbox SET state = 'done', content = NULL, error = NULL, ended_at = $3 \
                 WHERE id = $1 AND attempt = $2 AND state = 'waiting'",
            )
            .bind(id)
            .bind(*attempt)
            .bind(*at),
            Outcome::Again { ready_at, error, uncertain } => query(
                "UPDATE outbox SET ready_at = $3, error = $4, uncertain = CASE WHEN $5 = 1 THEN 1 ELSE uncertain END \
                 WHERE id = $1 AND attempt = $2 AND state = 'waiting'",
            )
            .bind(id)
            .bind(*attempt)
            .bind(*ready_at)
            .bind(error)
            .bind(i64::from(*uncertain)),
            Outcome::Paced { ready_at } => query(
                "UPDATE outbox SET ready_at = $3, attempt = attempt - 1 \
                 WHERE id = $1 AND attempt = $2 AND state = 'waiting'",
            )
            .bind(id)
            .bind(*attempt)
            .bind(*ready_at),
            Outcome::Dead { error, at } => query(
                "UPDATE outbox SET state = 'dead', error = $3, ended_at = $4 \
                 WHERE id = $1 AND attempt = $2 AND state = 'waiting'",
            )
            .bind(id)
            .bind(*attempt)
            .bind(error)
            .bind(*at),
        };
        if transaction.write(settle).await? == 0 {
            return Ok(false);
        }
        if let (Outcome::Delivered { reference, digest, seq, at }, Load::Message { conversation, message, .. }) =
            (&self.outcome, load)
        {
            let place = place.to_string();
            match reference {
                Some(reference) => {
                    transaction.keep_ref(message, &place, conversation, reference, digest.as_deref(), *at).await?;
                }
                // It is gone there.
                None => {
                    let forget = query("DELETE FROM message_refs WHERE message = $1 AND place = $2");
                    transaction.write(forget.bind(message).bind(&place)).await?;
                }
            }
            let covered = query(
                "UPDATE outbox SET state = 'done', ended_at = $4 WHERE state = 'waiting' AND message = $1 AND place = $2 \
                 AND seq <= $3 AND id <> $5",
            );
            transaction.write(covered.bind(message).bind(&place).bind(*seq).bind(*at).bind(id)).await?;
        }
        Ok(true)
    }
}

struct Expand {
    leaving: Leaving,
    places: Vec<Place>,
    at: Millis,
}

impl Work for Expand {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let done = query(
            "UPDATE outbox SET state = 'done', content = NULL, ended_at = $3 \
             WHERE id = $1 AND attempt = $2 AND state = 'waiting'",
        );
        let Leaving { id, attempt, load, .. } = &self.leaving;
        if transaction.write(done.bind(id).bind(*attempt).bind(self.at)).await? == 0 {
            return Ok(false);
        }
        if let Load::Notice(notice) = load {
            for place in &self.places {
                let (place, notice) = (place.clone(), notice.clone());
                NewNotice { id: new_id(), place, notice, at: self.at }.run(transaction).await?;
            }
        }
        Ok(true)
    }
}

struct Forget {
    before: Millis,
}

impl Work for Forget {
    type Output = u64;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<u64> {
        transaction.write(query("DELETE FROM outbox WHERE state = 'done' AND ended_at < $1").bind(self.before)).await
    }
}

impl Store {
    /// Puts a notice into the outbox; one of the same id is the same.
    pub async fn send_notice(&self, notice: NewNotice) -> Result<()> {
        self.write(notice).await
    }

    /// Takes what is to leave, the oldest of each channel, up to `most`, for as long as until `lease_until`. What the
    /// caller is still at stays with it, however long that takes.
    pub async fn claim_leaving(
        &self,
        now: Millis,
        lease_until: Millis,
        most: i64,
        under_way: Vec<String>,
    ) -> Result<Vec<Leaving>> {
        self.write(Claim { now, lease_until, most, under_way }).await
    }

    /// Keeps an attempt until that time, for what takes longer than others; `false` when another has begun meanwhile.
    pub async fn hold_leaving(&self, leaving: &Leaving, until: Millis) -> Result<bool> {
        let statement = "UPDATE outbox SET ready_at = $3 WHERE id = $1 AND attempt = $2 AND state = 'waiting'";
        self.write(Hold { statement, id: leaving.id.clone(), attempt: leaving.attempt, until }).await
    }

    /// Notes what became of an attempt; `false` when another has begun meanwhile.
    pub async fn settle_leaving(&self, leaving: Leaving, outcome: Outcome) -> Result<bool> {
        self.write(Settle { leaving, outcome }).await
    }

    /// Sends a notice on to the places that its own stands for.
    pub async fn expand_leaving(&self, leaving: Leaving, places: Vec<Place>, at: Millis) -> Result<bool> {
        self.write(Expand { leaving, places, at }).await
    }

    /// When the next may leave; none when nothing waits.
    pub async fn next_leaving(&self) -> Result<Option<Millis>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT min(o.ready_at) FROM outbox o WHERE o.state = 'waiting' AND NOT EXISTS \
             (SELECT 1 FROM outbox p WHERE p.state = 'waiting' AND p.channel = o.channel AND p.id < o.id)",
        );
        find.one(&mut reader.connection()).await.map_err(failed)?.get(0).map_err(failed)
    }

    /// What a place knows a message by.
    pub async fn message_ref(&self, message: &str, place: &Place) -> Result<Option<MessageRef>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT ref, digest, updated_at FROM message_refs WHERE message = $1 AND place = $2");
        let row =
            find.bind(message).bind(place.to_string()).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| {
            Ok(MessageRef {
                reference: row.get(0).map_err(failed)?,
                digest: row.get(1).map_err(failed)?,
                updated_at: row.get(2).map_err(failed)?,
            })
        })
        .transpose()
    }

    /// The conversation and message that a chat knows by `reference` in that channel.
    pub async fn referred(&self, place: &Place, reference: &str) -> Result<Option<(String, String)>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT conversation, message FROM message_refs WHERE ref = $1 AND (place = $2 OR substr(place, 1, cast($4 AS integer)) = $3) \
             ORDER BY updated_at DESC LIMIT 1",
        );
        // In any thread of the channel.
        let lane = place.lane();
        let within = format!("{lane}/");
        let length = i64::try_from(within.chars().count()).unwrap_or(i64::MAX);
        let find = find.bind(reference).bind(&lane).bind(&within).bind(length);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| Ok((row.get(0).map_err(failed)?, row.get(1).map_err(failed)?))).transpose()
    }

    /// Forgets what left before that time.
    pub async fn forget_departed(&self, before: Millis) -> Result<u64> {
        self.write(Forget { before }).await
    }

    /// How much waits in the outbox, and how much was given up.
    pub async fn outbox_counts(&self) -> Result<(i64, i64)> {
        let mut reader = self.reader().await?;
        let count = query(
            "SELECT (SELECT count(*) FROM outbox WHERE state = 'waiting'), (SELECT count(*) FROM outbox WHERE state = 'dead')",
        );
        let row = count.one(&mut reader.connection()).await.map_err(failed)?;
        Ok((row.get(0).map_err(failed)?, row.get(1).map_err(failed)?))
    }
}

/// Whether a post is somebody's own words rather than a bot's.
pub fn is_by_person(post: &Post) -> bool {
    post.sender.kind == SenderKind::User
}
