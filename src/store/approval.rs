//! Runs that wait for a word of their requester or of others, the words that were given, and where it is shown.
//!
//! Everything that happens to one is a [`Step`]: one transaction that names the token it was planned with, so that of two
//! words at the same moment one is planned again.

use std::collections::BTreeSet;

use super::Store;
use super::action::Registered;
use super::audit::Deed;
use super::execution::RunChange;
use super::log::{Identity, Receipt};
use super::query::{Failure, Row, composed, query};
use super::rewrite::{Revision, Rewrite};
use super::transaction::{Transaction, Work, failed};
use crate::bus::{Frame, Passing};
use crate::clock::rfc3339;
use crate::model::approval::State;
use crate::model::conversation::{Conversation, Millis};
use crate::model::event::{NewEvent, Stream};
use crate::model::id::new_id;
use crate::model::message::Message;
use crate::model::{Error, Result};

/// The code of the conflict that asks to read it again and plan anew.
pub const APPROVAL_CHANGED: &str = "APPROVAL_CHANGED";

/// A run that waits for a word, or has.
#[derive(Clone, Debug)]
pub struct Approval {
    pub execution: String,
    /// Principal id of who asked.
    pub principal: String,
    pub principal_name: String,
    /// The person behind it.
    pub person: String,
    pub bot: String,
    pub command: String,
    pub bot_version: String,
    pub digest: String,
    /// JSON; `engine` reads it.
    pub request: String,
    /// JSON of `model::approval::Approve`.
    pub rule: Option<String>,
    pub state: State,
    pub token: String,
    pub notified: bool,
    pub conversation: Option<String>,
    /// Event id of what asked for it.
    pub reply_to: Option<String>,
    pub created_at: Millis,
    pub expires_at: Millis,
}

/// A message that shows an approval.
#[derive(Clone, Debug)]
pub struct Card {
    pub conversation: String,
    /// Whose conversation it is.
    pub owner: String,
    pub message: String,
    /// Whether it asks for approval; otherwise it is the requester's.
    pub approver: bool,
}

/// An approval that begins, with the card in the requester's conversation if there is one.
#[derive(Clone, Debug)]
pub struct NewApproval {
    pub approval: Approval,
    pub card: Option<Card>,
}

/// A word that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub person: String,
    /// Principal id it was given with.
    pub principal: String,
    pub name: String,
    pub granted: bool,
    pub reason: String,
    pub at: Millis,
}

/// A card as it is from now on, with the actions it has then; none uses up those it had.
#[derive(Clone, Debug)]
pub struct Shown {
    pub card: Card,
    pub message: Message,
    pub actions: Vec<Registered>,
}

/// A card that is said now.
#[derive(Clone, Debug)]
pub struct NewCard {
    pub card: Card,
    /// The conversation, when it has to be opened, with the event that tells of it.
    pub opens: Option<(Conversation, NewEvent)>,
    pub event: NewEvent,
    pub actions: Vec<Registered>,
}

/// What happens to an approval.
#[derive(Clone, Debug)]
pub struct Step {
    pub execution: String,
    /// The token it was planned with.
    pub token: String,
    pub state: State,
    pub notified: bool,
    pub expires_at: Millis,
    pub vote: Option<Vote>,
    /// Persons whose earlier word counts no more.
    pub dropped: Vec<String>,
    pub run: Option<RunChange>,
    /// What was done in a conversation to bring this about, and the SHA-256 of it.
    pub said: Option<(NewEvent, String)>,
    pub shown: Vec<Shown>,
    pub cards: Vec<NewCard>,
    pub events: Vec<NewEvent>,
    pub deed: Option<Deed>,
    pub at: Millis,
}

const COLUMNS: &str = "execution, principal, principal_name, person, bot, command, bot_version, digest, request, rule, \
                       state, token, notified, conversation, reply_to, created_at, expires_at";

fn approval(row: &Row) -> Result<Approval> {
    let state: String = row.get(10).map_err(failed)?;
    let state =
        State::parse(&state).ok_or_else(|| Error::internal("read an approval", format!("unknown state {state}")))?;
    let read = || -> Result<Approval, Failure> {
        Ok(Approval {
            execution: row.get(0)?,
            principal: row.get(1)?,
            principal_name: row.get(2)?,
            person: row.get(3)?,
            bot: row.get(4)?,
            command: row.get(5)?,
            bot_version: row.get(6)?,
            digest: row.get(7)?,
            request: row.get(8)?,
            rule: row.get(9)?,
            state,
            token: row.get(11)?,
            notified: row.get::<i64>(12)? == 1,
            conversation: row.get(13)?,
            reply_to: row.get(14)?,
            created_at: row.get(15)?,
            expires_at: row.get(16)?,
        })
    };
    read().map_err(failed)
}

fn changed() -> Error {
    Error::conflict(APPROVAL_CHANGED, "something else was decided at the same moment; try again")
}

impl Transaction<'_> {
    pub(super) async fn insert_approval(&mut self, new: &NewApproval) -> Result<()> {
        let NewApproval { approval: a, card } = new;
        let values = super::query::placeholders(1, 17);
        let insert = composed(format!("INSERT INTO approvals ({COLUMNS}) VALUES {values}"))
            .bind(&a.execution)
            .bind(&a.principal)
            .bind(&a.principal_name)
            .bind(&a.person)
            .bind(&a.bot)
            .bind(&a.command)
            .bind(&a.bot_version)
            .bind(&a.digest)
            .bind(&a.request)
            .bind(a.rule.clone())
            .bind(a.state.as_str())
            .bind(&a.token)
            .bind(i64::from(a.notified))
            .bind(a.conversation.clone())
            .bind(a.reply_to.clone())
            .bind(a.created_at)
            .bind(a.expires_at);
        self.write(insert).await?;
        match card {
            Some(card) => self.insert_card(&a.execution, card).await,
            None => Ok(()),
        }
    }

    async fn insert_card(&mut self, execution: &str, card: &Card) -> Result<()> {
        let insert = query(
            "INSERT INTO approval_cards (execution, conversation, owner, message, approver) VALUES ($1, $2, $3, $4, $5)",
        );
        let insert = insert.bind(execution).bind(&card.conversation).bind(&card.owner).bind(&card.message);
        self.write(insert.bind(i64::from(card.approver))).await?;
        Ok(())
    }

    /// An approved run begins: once, whoever else is about to begin it.
    pub(super) async fn start_approved(&mut self, execution: &str) -> Result<()> {
        let start = query("UPDATE approvals SET state = 'started' WHERE execution = $1 AND state = 'approved'");
        if self.write(start.bind(execution)).await? == 1 { Ok(()) } else { Err(changed()) }
    }

    async fn vote(&mut self, execution: &str, vote: &Vote) -> Result<()> {
        let insert = query(
            "INSERT INTO approval_votes (execution, person, principal, name, granted, reason, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(execution)
        .bind(&vote.person)
        .bind(&vote.principal)
        .bind(&vote.name)
        .bind(i64::from(vote.granted))
        .bind(&vote.reason)
        .bind(vote.at);
        self.write(insert).await?;
        Ok(())
    }

    async fn show(&mut self, shown: &Shown, at: Millis) -> Result<Vec<NewEvent>> {
        let Card { conversation, message, .. } = &shown.card;
        let revision = Revision::Message(Box::new(shown.message.clone()));
        let rewrite = Rewrite { message: message.clone(), event_id: new_id(), revision };
        let events = self.rewrite(&Stream::conversation(conversation), &[rewrite], at).await?;
        if shown.actions.is_empty() {
            self.use_up(conversation, message, at).await?;
        } else {
            self.forget_actions(conversation, message).await?;
            self.register_actions(&shown.actions).await?;
        }
        Ok(events)
    }
}

impl Work for Step {
    /// None when nothing was said to bring it about.
    type Output = Option<Receipt>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Option<Receipt>> {
        if let Some((said, hash)) = &self.said
            && let (Some(principal), Some(client_id)) = (&said.principal, &said.client_id)
        {
            let identity = Identity { stream: &said.stream, principal, client_id, body_hash: hash };
            if let Some(place) = transaction.said_before(&identity).await? {
                return Ok(Some(Receipt { place, duplicate: true }));
            }
        }
        let step = query(
            "UPDATE approvals SET state = $3, token = $4, notified = $5, expires_at = $6 \
             WHERE execution = $1 AND token = $2 AND state IN ('confirm', 'approve', 'approved')",
        )
        .bind(&self.execution)
        .bind(&self.token)
        .bind(self.state.as_str())
        .bind(new_id())
        .bind(i64::from(self.notified))
        .bind(self.expires_at);
        if transaction.write(step).await? == 0 {
            return Err(changed());
        }
        for person in &self.dropped {
            let drop = query("DELETE FROM approval_votes WHERE execution = $1 AND person = $2");
            transaction.write(drop.bind(&self.execution).bind(person)).await?;
        }
        if let Some(vote) = &self.vote {
            transaction.vote(&self.execution, vote).await?;
        }
        if let Some(run) = &self.run {
            transaction.change_run(run).await?;
        }
        let mut events: Vec<NewEvent> = self.said.iter().map(|(event, _)| event.clone()).collect();
        for shown in &self.shown {
            events.extend(transaction.show(shown, self.at).await?);
        }
        for new in &self.cards {
            match &new.opens {
                Some((conversation, announcement)) => {
                    transaction.insert_conversation(conversation).await?;
                    events.push(announcement.clone());
                }
                // Closed meanwhile, it shows the card all the same.
                None => drop(transaction.touch_conversation(&new.card.conversation, self.at).await?),
            }
            transaction.insert_card(&self.execution, &new.card).await?;
            transaction.register_actions(&new.actions).await?;
            events.push(new.event.clone());
        }
        events.extend(self.events.iter().cloned());
        let hash = self.said.as_ref().map(|(_, hash)| hash.as_str());
        let mut places = transaction.append(&events, hash).await?;
        // Where a conversation is also held outside, its cards are drawn anew there, too.
        let cards = self.shown.iter().map(|shown| &shown.card).chain(self.cards.iter().map(|new| &new.card));
        let conversations: BTreeSet<&str> = cards.map(|card| card.conversation.as_str()).collect();
        for conversation in conversations {
            let stream = Stream::conversation(conversation);
            let told: Vec<_> = events.iter().zip(&places).filter(|(event, _)| event.stream == stream).collect();
            transaction.send_outside(conversation, &told, None).await?;
        }
        let at = rfc3339(self.at);
        for new in &self.cards {
            let place = events.iter().zip(&places).find(|(event, _)| event.id == new.event.id);
            if let Some((_, place)) = place {
                let Card { owner, conversation, .. } = &new.card;
                let grown = Passing::activity(owner, conversation, place.seq, &at);
                transaction.announce(Frame::Passing(grown));
            }
        }
        if let Some(deed) = &self.deed {
            transaction.record(deed).await?;
        }
        Ok(self.said.as_ref().map(|_| Receipt { place: places.swap_remove(0), duplicate: false }))
    }
}

/// An approved run that begins where nobody but a poll waits for it.
struct Advance {
    run: RunChange,
    events: Vec<NewEvent>,
}

impl Work for Advance {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        transaction.start_approved(&self.run.id).await?;
        transaction.change_run(&self.run).await?;
        transaction.append(&self.events, None).await?;
        Ok(())
    }
}

impl Store {
    /// Commits what happens to an approval; a conflict with [`APPROVAL_CHANGED`] when it was planned with an older token.
    pub async fn step_approval(&self, step: Step) -> Result<Option<Receipt>> {
        self.write(step).await
    }

    /// Brings an approved run further that is polled; a conflict when it has begun already.
    pub async fn advance_approved(&self, run: RunChange, events: Vec<NewEvent>) -> Result<()> {
        self.write(Advance { run, events }).await
    }

    pub async fn approval(&self, execution: &str) -> Result<Option<Approval>> {
        let found = self.approvals("execution = $1", execution.to_owned().into(), 1).await?;
        Ok(found.into_iter().next())
    }

    /// Approvals that wait for a word, the next to expire first, at most `limit`.
    pub async fn open_approvals(&self, limit: i64) -> Result<Vec<Approval>> {
        self.approvals("state IN ('confirm', 'approve') AND cast($1 AS BIGINT) = 0", 0.into(), limit).await
    }

    /// Approvals whose time was over at `at`.
    pub async fn due_approvals(&self, at: Millis, limit: i64) -> Result<Vec<Approval>> {
        self.approvals("state IN ('confirm', 'approve') AND expires_at <= $1", at.into(), limit).await
    }

    /// Approvals that somebody has to go on with: to tell who may approve, or to begin the run.
    pub async fn waiting_approvals(&self, limit: i64) -> Result<Vec<Approval>> {
        let condition = "(state = 'approved' OR (state = 'approve' AND notified = 0)) AND cast($1 AS BIGINT) = 0";
        self.approvals(condition, 0.into(), limit).await
    }

    async fn approvals(&self, condition: &str, value: super::query::Value<'_>, limit: i64) -> Result<Vec<Approval>> {
        let mut reader = self.reader().await?;
        let find = composed(format!(
            "SELECT {COLUMNS} FROM approvals WHERE {condition} ORDER BY expires_at, execution LIMIT $2"
        ));
        let rows = find.bind(value).bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(approval).collect()
    }

    /// When the next open approval's time is over.
    pub async fn next_approval_expiry(&self) -> Result<Option<Millis>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT min(expires_at) FROM approvals WHERE state IN ('confirm', 'approve')");
        let row = find.one(&mut reader.connection()).await.map_err(failed)?;
        row.get(0).map_err(failed)
    }

    /// The words that were given, oldest first.
    pub async fn approval_votes(&self, execution: &str) -> Result<Vec<Vote>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT person, principal, name, granted, reason, at FROM approval_votes WHERE execution = $1 \
             ORDER BY at, person",
        );
        let rows = find.bind(execution).all(&mut reader.connection()).await.map_err(failed)?;
        let vote = |row: &Row| -> Result<Vote, Failure> {
            Ok(Vote {
                person: row.get(0)?,
                principal: row.get(1)?,
                name: row.get(2)?,
                granted: row.get::<i64>(3)? == 1,
                reason: row.get(4)?,
                at: row.get(5)?,
            })
        };
        rows.iter().map(|row| vote(row).map_err(failed)).collect()
    }

    /// Every message that shows it.
    pub async fn approval_cards(&self, execution: &str) -> Result<Vec<Card>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT conversation, owner, message, approver FROM approval_cards WHERE execution = $1 ORDER BY message",
        );
        let rows = find.bind(execution).all(&mut reader.connection()).await.map_err(failed)?;
        let card = |row: &Row| -> Result<Card, Failure> {
            Ok(Card {
                conversation: row.get(0)?,
                owner: row.get(1)?,
                message: row.get(2)?,
                approver: row.get::<i64>(3)? == 1,
            })
        };
        rows.iter().map(|row| card(row).map_err(failed)).collect()
    }
}
