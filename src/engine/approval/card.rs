//! How an approval looks in a conversation: to who asked, and to who may approve. One pure drawing of how it stands, so
//! that every card of it can be drawn anew after each step.

use super::Kept;
use crate::clock::rfc3339;
use crate::engine::answer::{Answer, Speaker, register};
use crate::model::action::{Form, FormField, FormState, Style};
use crate::model::approval::{Approve, State, Verdict};
use crate::model::command::Effect;
use crate::model::conversation::Millis;
use crate::model::event::NewEvent;
use crate::model::id::action_id;
use crate::model::message::{Field, Message, Part, Tone, escape_markdown};
use crate::model::offer::{Deed, Offer};
use crate::model::{Error, Result};
use crate::store::action::Registered;
use crate::store::approval::{Approval, Card, Vote};

/// The longest reason, in characters.
pub(super) const LONGEST_REASON: usize = 500;

/// A card as it is shown, and what the house keeps of its actions.
pub(super) struct Drawn {
    pub(super) message: Message,
    pub(super) actions: Vec<Registered>,
}

/// Draws a card of how things stand.
pub(super) fn draw(approval: &Approval, votes: &[Vote], card: &Card, at: Millis) -> Result<Drawn> {
    let (kept, approve) = (approval.kept()?, approval.approve()?);
    let ttl = approval.expires_at - at;
    let button = |label: &str, style, verdict| {
        let deed = Deed::Decide { execution: approval.execution.clone(), verdict };
        Offer::button(label, style, deed).lasting(ttl)
    };
    let danger = if kept.effect == Effect::Destroy { Style::Danger } else { Style::Primary };
    let mut message = Message::text(text(approval, votes, card, approve.as_ref())).tone(tone(approval.state));
    if approval.state.is_open() {
        message = message.part(Part::Context { texts: vec![about(approval, &kept, approve.as_ref())] });
    }
    let fields: Vec<Field> = kept.shown.iter().map(field).collect();
    if !fields.is_empty() {
        message.parts.insert(0, Part::Fields { fields });
    }
    let has_voted = votes.iter().any(|vote| vote.principal == card.owner || vote.person == card.owner);
    let reasons = approve.as_ref().is_some_and(|approve| approve.reason);
    let asked = match (approval.state, card.approver) {
        (State::Confirm, false) => match &kept.target {
            Some(target) => {
                let label = format!("Type {target} to go on");
                Some(("target", label, "Confirm", Verdict::Confirm, Verdict::Cancel))
            }
            None => {
                message = message.offer(button("Confirm", danger, Verdict::Confirm)).offer(button(
                    "Cancel",
                    Style::Plain,
                    Verdict::Cancel,
                ));
                None
            }
        },
        (State::Approve, false) => {
            message = message.offer(button("Withdraw", Style::Plain, Verdict::Cancel));
            None
        }
        (State::Approve, true) if has_voted => None,
        (State::Approve, true) if reasons => {
            message = message.offer(button("Deny", Style::Danger, Verdict::Deny));
            Some(("reason", "Why may it run?".to_owned(), "Approve", Verdict::Approve, Verdict::Deny))
        }
        (State::Approve, true) => {
            message = message.offer(button("Approve", Style::Primary, Verdict::Approve)).offer(button(
                "Deny",
                Style::Danger,
                Verdict::Deny,
            ));
            None
        }
        _ => None,
    };
    let (bot, to) = (approval.bot.as_str(), card.owner.as_str());
    let offers = std::mem::take(&mut message.offers);
    let (shown, mut actions) = register(offers, &card.conversation, &card.message, (bot, to), at)?;
    message.actions.extend(shown);
    if let Some((name, label, submit, sends, gives_up)) = asked {
        let id = || action_id().map_err(|error| Error::internal("make an id", error));
        let form = form(name, label, submit, (id()?, id()?), approval.expires_at);
        for (id, label, verdict) in [(&form.id, submit, sends), (&form.cancel_id, "Cancel", gives_up)] {
            let deed = Deed::Decide { execution: approval.execution.clone(), verdict };
            actions.push(Registered {
                id: id.clone(),
                conversation: card.conversation.clone(),
                message: card.message.clone(),
                principal: card.owner.clone(),
                look: Offer::button(label, Style::Plain, deed.clone()).action,
                deed,
                single_use: false,
                expires_at: Some(approval.expires_at),
                used_at: None,
            });
        }
        message.form = Some(form);
    }
    Ok(Drawn { message, actions })
}

/// The event that says a card for the first time.
pub(super) fn event(
    approval: &Approval,
    card: &Card,
    message: Message,
    reply_to: Option<&str>,
    at: Millis,
) -> Result<NewEvent> {
    let kept = approval.kept()?;
    let speaker = Speaker { id: &approval.bot, name: &kept.display_name };
    let run = Some((approval.execution.as_str(), approval.command.as_str()));
    let answer = Answer { conversation: &card.conversation, reply_to, message };
    answer.event_of(card.message.clone(), speaker, run, at)
}

fn form(name: &str, label: String, submit: &str, (id, cancel_id): (String, String), expires_at: Millis) -> Form {
    let field = FormField {
        name: name.to_owned(),
        label,
        hint: None,
        kind: "string".to_owned(),
        required: true,
        value: None,
        choices: Vec::new(),
        min_length: None,
        max_length: Some(LONGEST_REASON),
        pattern: None,
        error: None,
        hidden: false,
    };
    let state = FormState::Open;
    Form { id, cancel_id, submit: submit.to_owned(), fields: vec![field], state, expires_at: rfc3339(expires_at) }
}

fn field((name, value): &(String, String)) -> Field {
    Field { name: escape_markdown(name), value: escape_markdown(value), short: true }
}

fn tone(state: State) -> Tone {
    match state {
        State::Confirm | State::Approve => Tone::Question,
        State::Approved | State::Started => Tone::Success,
        State::Denied | State::Cancelled | State::Expired | State::Void => Tone::Warning,
    }
}

/// What it does, who is asked, and until when.
fn about(approval: &Approval, kept: &Kept, approve: Option<&Approve>) -> String {
    let effect = match kept.effect {
        Effect::Read => "changes nothing",
        Effect::Change => "changes things",
        Effect::Destroy => "destroys things",
    };
    let until = rfc3339(approval.expires_at);
    let until = until.get(11..16).unwrap_or_default();
    match approve.filter(|_| approval.state == State::Approve) {
        Some(approve) => format!("{effect} · approved by {} · until {until} UTC", whom(approve)),
        None => format!("{effect} · until {until} UTC"),
    }
}

/// Who approves, in words.
fn whom(approve: &Approve) -> String {
    let groups = approve.groups.iter().map(|group| format!("group {}", escape_markdown(group)));
    let roles = approve.roles.iter().map(|role| format!("role {}", role.as_str()));
    let all: Vec<String> = groups.chain(roles).collect();
    let others = if approve.not_requester { ", not who asks" } else { "" };
    format!("{} of {}{others}", approve.count, all.join(" or "))
}

fn text(approval: &Approval, votes: &[Vote], card: &Card, approve: Option<&Approve>) -> String {
    let command = format!("**{}**", escape_markdown(&approval.command));
    let who = format!("**{}**", escape_markdown(&approval.principal_name));
    let granted: Vec<&Vote> = votes.iter().filter(|vote| vote.granted).collect();
    let count = approve.map_or(0, |approve| approve.count);
    let so_far = match granted.as_slice() {
        [] => String::new(),
        _ => format!(" Approved so far by {}.", names(&granted)),
    };
    match (approval.state, card.approver) {
        (State::Confirm, _) => format!("{command} runs when you confirm it."),
        (State::Approve, false) => format!("{command} waits for approval: {} of {count}.{so_far}", granted.len()),
        (State::Approve, true) => {
            format!("{who} asks to run {command}: {} of {count} approved.{so_far}", granted.len())
        }
        (State::Approved | State::Started, approver) => {
            let asked = if approver { format!(", asked for by {who},") } else { String::new() };
            match granted.as_slice() {
                [] => format!("{command}{asked} is confirmed."),
                _ => format!("{command}{asked} is approved by {}.", names(&granted)),
            }
        }
        (state, _) => format!("{command}: {}.", escape_markdown(&outcome(state, votes))),
    }
}

/// Names with their reasons.
fn names(votes: &[&Vote]) -> String {
    let name = |vote: &&Vote| match vote.reason.as_str() {
        "" => escape_markdown(&vote.name),
        reason => format!("{} ({})", escape_markdown(&vote.name), escape_markdown(reason)),
    };
    votes.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// How it ended, as plain text: also why the run did not happen.
pub(super) fn outcome(state: State, votes: &[Vote]) -> String {
    match state {
        State::Denied => match votes.iter().find(|vote| !vote.granted) {
            Some(Vote { name, reason, .. }) if reason.is_empty() => format!("denied by {name}"),
            Some(Vote { name, reason, .. }) => format!("denied by {name}: {reason}"),
            None => "denied".to_owned(),
        },
        State::Cancelled => "cancelled".to_owned(),
        State::Expired => "expired, nobody decided in time".to_owned(),
        State::Void => "void, what it was about has changed since".to_owned(),
        State::Confirm | State::Approve | State::Approved | State::Started => String::new(),
    }
}
