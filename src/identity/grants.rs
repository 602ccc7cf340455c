//! Grants: made and removed. What they say is applied in `permission`.

use serde_json::{Value, json};

use super::Identity;
use crate::model::grant::{Effect, Grant, Reach, Subject};
use crate::model::id::new_id;
use crate::model::{Error, Result};
use crate::store::audit::{Action, Deed, Doer};

/// The longest note, in characters.
const LONGEST_NOTE: usize = 500;

/// A right that somebody wants to give or to take away.
#[derive(Clone, Debug)]
pub struct GrantWish {
    pub effect: Effect,
    pub subject: Subject,
    pub reach: Reach,
    /// Why, for people; may be empty.
    pub note: String,
}

impl Identity {
    /// Makes a grant; it counts for everybody when this returns.
    pub async fn give(&self, wish: GrantWish, doer: Doer) -> Result<Grant> {
        let GrantWish { effect, subject, reach, note } = wish;
        let wrong = |field: &str, message: String| Err(Error::invalid(message).details(json!({ "field": field })));
        if let Err(message) = reach.check() {
            return wrong(if reach.when.is_empty() { "name" } else { "when" }, message);
        }
        if reach.to_string().parse().ok().as_ref() != Some(&reach) {
            return wrong("when", "names and values hold none of ? & = |".to_owned());
        }
        if note.chars().count() > LONGEST_NOTE || note.chars().any(char::is_control) {
            return wrong("note", format!("a note is one line of at most {LONGEST_NOTE} characters"));
        }
        let created_at = self.clock.now();
        let created_by = doer.name.clone().unwrap_or_default();
        let grant = Grant { id: new_id(), effect, subject, reach, note, created_by, created_at };
        let deed = Deed {
            at: created_at,
            action: Action::GrantCreate,
            doer,
            target: Some(grant.id.clone()),
            details: json!({
                "effect": grant.effect, "subject": grant.subject.to_string(), "reach": grant.reach.to_string(),
                "note": grant.note,
            }),
        };
        self.store.insert_grant(grant.clone(), deed).await?;
        Ok(grant)
    }

    /// Removes a grant; it counts no more when this returns.
    pub async fn take_back(&self, id: &str, doer: Doer) -> Result<()> {
        let (at, target) = (self.clock.now(), Some(id.to_owned()));
        let deed = Deed { at, action: Action::GrantDelete, doer, target, details: Value::Null };
        let unknown = || Error::not_found("there is no such grant").details(json!({ "grant_id": id }));
        if self.store.delete_grant(id, deed).await? { Ok(()) } else { Err(unknown()) }
    }

    /// Every grant, oldest first.
    pub async fn grants(&self) -> Result<Vec<Grant>> {
        self.store.all_grants().await
    }
}
