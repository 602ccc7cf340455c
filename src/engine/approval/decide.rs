//! A word that is given: checked, counted, committed.

use serde_json::{Value, json};

use super::card::{LONGEST_REASON, draw, outcome};
use super::tell::tell_of;
use super::{Kept, lasts_until};
use crate::engine::Engine;
use crate::identity::keys::principal_now;
use crate::identity::permission::{Object, Verb, authorize, decide};
use crate::model::approval::{Approve, State, Verdict};
use crate::model::conversation::Millis;
use crate::model::event::NewEvent;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::action::used;
use crate::store::approval::{APPROVAL_CHANGED, Approval, Shown, Step, Vote};
use crate::store::audit::{Action, Deed, Doer};
use crate::store::delivery::execution_update;
use crate::store::execution::RunChange;
use crate::store::log::Receipt;

/// How often something is planned again because somebody else was faster.
const TRIES: u32 = 8;

/// What somebody says to a run that waits for a word.
#[derive(Clone, Debug)]
pub struct Wish {
    pub execution: String,
    pub verdict: Verdict,
    /// The target that was typed, or the reason that was given.
    pub text: Option<String>,
    /// What was done in a conversation, and the SHA-256 of it.
    pub said: Option<(NewEvent, String)>,
    pub doer: Doer,
}

/// What anybody hears about an invocation that is not there, or not theirs to decide.
pub(super) fn unknown() -> Error {
    Error::not_found("there is no such invocation")
}

impl Engine {
    /// Whether this principal may be told of an approval: who asked, who may approve, and administrators.
    pub fn sees_approval(&self, principal: &Principal, approval: &Approval) -> Result<bool> {
        let Approval { principal: starter, bot, command, .. } = approval;
        let run = Object::Execution { starter, bot, command };
        Ok(is_requester(principal, approval)
            || decide(principal, Verb::View, run).allowed
            || (approval.state == State::Approve && self.may_approve(principal, approval)?))
    }

    /// Whether this principal is one of those who approve it.
    pub fn may_approve(&self, principal: &Principal, approval: &Approval) -> Result<bool> {
        let Approval { person: requester, bot, command, .. } = approval;
        let Some(approve) = approval.approve()? else { return Ok(false) };
        let object = Object::Approval { approve: &approve, requester, bot, command };
        Ok(decide(principal, Verb::Manage, object).allowed)
    }

    /// Takes a word: commits it with what follows at once, and answers where it stands in its conversation.
    pub async fn decide(&self, principal: &Principal, wish: Wish) -> Result<Option<Receipt>> {
        let mut tries = 0;
        loop {
            let approval = self.store().approval(&wish.execution).await?.ok_or_else(unknown)?;
            let outcome = self.decide_once(principal, &wish, approval).await;
            tries += 1;
            match outcome {
                Err(error) if error.code == APPROVAL_CHANGED && tries < TRIES => {}
                outcome => {
                    self.go_on_with(&wish.execution).await;
                    return outcome;
                }
            }
        }
    }

    async fn decide_once(&self, principal: &Principal, wish: &Wish, approval: Approval) -> Result<Option<Receipt>> {
        let at = self.clock().now();
        let (kept, approve) = (approval.kept()?, approval.approve()?);
        match wish.verdict {
            Verdict::Confirm | Verdict::Cancel if !is_requester(principal, &approval) => return Err(unknown()),
            Verdict::Confirm | Verdict::Cancel => {}
            Verdict::Approve | Verdict::Deny => {
                let approve = approve.as_ref().ok_or_else(unknown)?;
                let Approval { person: requester, bot, command, .. } = &approval;
                authorize(principal, Verb::Manage, Object::Approval { approve, requester, bot, command })?;
            }
        }
        if approval.expires_at <= at && approval.state.is_open() {
            self.end_approval(&approval, State::Expired, at).await?;
            return Err(Error::conflict("APPROVAL_EXPIRED", "this waited for a while only, and that is over"));
        }
        let fits = match wish.verdict {
            Verdict::Confirm => approval.state == State::Confirm,
            Verdict::Cancel => approval.state.is_open(),
            Verdict::Approve | Verdict::Deny => approval.state == State::Approve,
        };
        if !fits {
            return Err(if wish.said.is_some() { used() } else { decided(&approval) });
        }
        if !self.is_as_it_was(&approval, &kept) {
            self.end_approval(&approval, State::Void, at).await?;
            let message = format!("{} has changed since this was asked; ask again", approval.bot);
            return Err(Error::conflict("APPROVAL_VOID", message));
        }
        let step = self.plan(principal, wish, (&approval, &kept, approve.as_ref()), at).await?;
        let receipt = self.store().step_approval(step).await?;
        crate::crash_point::reached("approval.decided");
        Ok(receipt)
    }

    /// Whether the bot and the command are those that were asked for.
    fn is_as_it_was(&self, approval: &Approval, kept: &Kept) -> bool {
        let snapshot = self.registry().snapshot();
        let now = snapshot.bot(&approval.bot).and_then(|bot| {
            let command = bot.command(&approval.command)?;
            Some(super::digest(&bot.bot, &command, &kept.arguments, &approval.principal))
        });
        now.as_ref() == Some(&approval.digest)
    }

    /// What a word comes to.
    async fn plan(
        &self,
        principal: &Principal,
        wish: &Wish,
        (approval, kept, approve): (&Approval, &Kept, Option<&Approve>),
        at: Millis,
    ) -> Result<Step> {
        let text = wish.text.as_deref().map(str::trim).unwrap_or_default();
        let mut votes = self.store().approval_votes(&approval.execution).await?;
        let (mut vote, mut dropped) = (None, Vec::new());
        let state = match wish.verdict {
            Verdict::Cancel => State::Cancelled,
            Verdict::Confirm => {
                if let Some(target) = kept.target.as_deref().filter(|target| *target != text) {
                    return Err(wrong("target", format!("type {target} to confirm it")));
                }
                if approve.is_some() { State::Approve } else { State::Approved }
            }
            Verdict::Approve | Verdict::Deny => {
                let granted = wish.verdict == Verdict::Approve;
                if granted && text.is_empty() && approve.is_some_and(|approve| approve.reason) {
                    return Err(wrong("reason", "say why it may run".to_owned()));
                }
                if text.chars().count() > LONGEST_REASON {
                    return Err(wrong("reason", format!("a reason has at most {LONGEST_REASON} characters")));
                }
                let person = principal.person().ok_or_else(unknown)?;
                if granted && votes.iter().any(|vote| vote.person == person) {
                    return Err(Error::conflict("ALREADY_APPROVED", "you approved this already"));
                }
                (votes, dropped) = self.still_counting(approval, votes).await?;
                if votes.iter().any(|vote| vote.person == person) {
                    votes.retain(|vote| vote.person != person);
                    dropped.push(person.to_owned());
                }
                let new = Vote {
                    person: person.to_owned(),
                    principal: principal.id.clone(),
                    name: principal.name.clone(),
                    granted,
                    reason: text.to_owned(),
                    at,
                };
                votes.push(new.clone());
                vote = Some(new);
                let count = votes.iter().filter(|vote| vote.granted).count();
                match approve {
                    _ if !granted => State::Denied,
                    Some(approve) if count < approve.count => State::Approve,
                    _ => State::Approved,
                }
            }
        };
        let deed = Deed {
            at,
            action: match wish.verdict {
                Verdict::Confirm => Action::ApprovalConfirm,
                Verdict::Cancel => Action::ApprovalCancel,
                Verdict::Approve => Action::ApprovalGrant,
                Verdict::Deny => Action::ApprovalDeny,
            },
            doer: wish.doer.clone(),
            target: Some(approval.execution.clone()),
            details: json!({
                "bot": approval.bot, "command": approval.command, "requester": approval.principal,
                "digest": approval.digest, "reason": text, "state": state.as_str(),
            }),
        };
        let next = Approval {
            state,
            expires_at: match (approval.state, state) {
                (State::Confirm, State::Approve) => lasts_until(state, approve, at),
                _ => approval.expires_at,
            },
            ..approval.clone()
        };
        let step = self.step_to(&next, &votes, at).await?;
        Ok(Step { vote, dropped, said: wish.said.clone(), deed: Some(deed), ..step })
    }

    /// The words of those who may still approve, and the persons whose do not count any more.
    async fn still_counting(&self, approval: &Approval, votes: Vec<Vote>) -> Result<(Vec<Vote>, Vec<String>)> {
        let (mut counting, mut dropped) = (Vec::with_capacity(votes.len()), Vec::new());
        for vote in votes {
            let now = principal_now(self.store(), &vote.principal, self.clock().now()).await?;
            let counts = now.map(|principal| self.may_approve(&principal, approval)).transpose()?.unwrap_or(false);
            if counts { counting.push(vote) } else { dropped.push(vote.person) }
        }
        Ok((counting, dropped))
    }

    /// The step to how an approval stands from now on: every card drawn anew, the run and whoever reads it told.
    pub(super) async fn step_to(&self, next: &Approval, votes: &[Vote], at: Millis) -> Result<Step> {
        let mut shown = Vec::new();
        let mut events = Vec::new();
        let cards = self.store().approval_cards(&next.execution).await?;
        for card in &cards {
            let drawn = draw(next, votes, card, at)?;
            shown.push(Shown { card: card.clone(), message: drawn.message, actions: drawn.actions });
            events.push(tell_of(next, card, at)?);
        }
        let before = self.store().approval(&next.execution).await?.map(|approval| approval.state);
        let status = next.state.status().filter(|_| before != Some(next.state));
        let run = status.map(|status| {
            let is_over = status.is_final();
            RunChange {
                id: next.execution.clone(),
                status,
                bot_version: None,
                request: None,
                responses: None,
                error: is_over.then(|| outcome(next.state, votes)),
                started_at: None,
                finished_at: is_over.then_some(at),
                delivery: None,
                approval: None,
                elsewhere: None,
                run: None,
            }
        });
        if let Some(status) = status {
            events.push(execution_update(&next.execution, status, None, at)?);
        }
        Ok(Step {
            execution: next.execution.clone(),
            token: next.token.clone(),
            state: next.state,
            notified: next.notified,
            expires_at: next.expires_at,
            vote: None,
            dropped: Vec::new(),
            run,
            said: None,
            shown,
            cards: Vec::new(),
            events,
            deed: None,
            at,
        })
    }

    /// Ends an approval that nobody decided.
    pub(super) async fn end_approval(&self, approval: &Approval, state: State, at: Millis) -> Result<()> {
        let votes = self.store().approval_votes(&approval.execution).await?;
        let step = self.step_to(&Approval { state, ..approval.clone() }, &votes, at).await?;
        match self.store().step_approval(step).await {
            // Somebody decided in this very moment.
            Err(error) if error.code == APPROVAL_CHANGED => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }

    /// Gives up a run that waits for a word; `false` when it does not wait any more.
    pub async fn withdraw_approval(&self, execution: &str) -> Result<bool> {
        for _ in 0..TRIES {
            let approval = self.store().approval(execution).await?;
            let Some(approval) = approval.filter(|approval| approval.state.is_open()) else { return Ok(false) };
            self.end_approval(&approval, State::Cancelled, self.clock().now()).await?;
        }
        Ok(true)
    }
}

fn is_requester(principal: &Principal, approval: &Approval) -> bool {
    principal.id == approval.principal || principal.person() == Some(&approval.person)
}

/// What a program hears whose word comes too late.
fn decided(approval: &Approval) -> Error {
    let state = approval.state.as_str();
    let message = match approval.state {
        State::Confirm => "who asked for this has yet to confirm it".to_owned(),
        State::Approve => "this is confirmed already and waits for approval".to_owned(),
        _ => format!("this was decided already: {state}"),
    };
    Error::conflict("APPROVAL_DECIDED", message).details(json!({ "state": state }))
}

fn wrong(field: &str, message: String) -> Error {
    let errors: Value = json!([{ "field": format!("parameters.{field}"), "code": "required", "message": message }]);
    Error::new(Kind::Invalid, "VALIDATION_FAILED", message).details(json!({ "field": field, "errors": errors }))
}
