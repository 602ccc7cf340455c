//! People of chats outside: whose account it is here, and how it becomes somebody's.
//!
//! An account counts only because its chat signed for it, and only by the chat's own id; names prove nothing. It is
//! somebody here once that person followed a one-time link, signed in and said so.

use super::token::{self, TokenKind};
use super::{Caller, Identity};
use crate::model::conversation::Millis;
use crate::model::place::{Account, Place};
use crate::model::principal::{Principal, PrincipalKind, Rights, Role};
use crate::model::{Error, Kind, Result};
use crate::store::account::{LinkToken, LinkedAccount};
use crate::store::audit::{Action, Deed, Doer};

/// A link can be followed for this long.
const LINK_LIFE: Millis = 10 * 60 * 1000;

/// What anybody hears about a link that is over.
fn over() -> Error {
    let message = "this link was used already or has expired; say anything to the bot and it sends another";
    Error::new(Kind::NotFound, "LINK_OVER", message)
}

impl Identity {
    /// Who an account is here: the user it belongs to, else a guest when guests have a role.
    pub async fn of_account(&self, account: &Account, guests: Option<Role>) -> Result<Option<Principal>> {
        if let Some(id) = self.store.owner_of_account(account).await? {
            return self.store.user(&id).await;
        }
        Ok(guests.map(|role| Principal {
            id: account.guest_id(),
            kind: PrincipalKind::Guest,
            name: account.name.clone(),
            roles: vec![role],
            groups: Vec::new(),
            serves: Vec::new(),
            rights: Rights { grants: self.store.grants().clone(), ..Rights::default() },
        }))
    }

    /// Makes a one-time link for an account; answers its token.
    pub async fn offer_link(&self, account: &Account, place: &Place) -> Result<String> {
        let (now, token) = (self.clock.now(), token::make(TokenKind::AccountLink)?);
        let offered = LinkToken {
            token_hash: token::hash(&token),
            account: account.clone(),
            place: place.to_string(),
            expires_at: now + LINK_LIFE,
        };
        self.store.offer_link(offered, now).await?;
        Ok(token)
    }

    /// The account that a link is for, while it can be followed.
    pub async fn offered_link(&self, token: &str) -> Result<LinkToken> {
        if token::kind(token) != Some(TokenKind::AccountLink) {
            return Err(over());
        }
        self.store.link_token(&token::hash(token), self.clock.now()).await?.ok_or_else(over)
    }

    /// Uses up a link: its account is the caller's from now on.
    pub async fn link(&self, token: &str, caller: &Caller, doer: Doer) -> Result<LinkToken> {
        if caller.principal.kind != PrincipalKind::User {
            return Err(Error::forbidden("an account is linked by a person who signed in"));
        }
        let now = self.clock.now();
        let deed = Deed { at: now, action: Action::AccountLink, doer, target: None, details: serde_json::Value::Null };
        let linked = self.store.link_account(&token::hash(token), &caller.principal.id, now, deed).await?;
        linked.filter(|_| token::kind(token) == Some(TokenKind::AccountLink)).ok_or_else(over)
    }

    /// The caller's accounts.
    pub async fn accounts(&self, caller: &Caller) -> Result<Vec<LinkedAccount>> {
        self.store.linked_accounts(&caller.principal.id).await
    }

    /// Takes an account from its user.
    pub async fn unlink(&self, account: Account, caller: &Caller, doer: Doer) -> Result<()> {
        let target = Some(format!("{}:{}/{}", account.platform, account.team, account.id));
        let deed = Deed {
            at: self.clock.now(),
            action: Action::AccountUnlink,
            doer,
            target,
            details: serde_json::Value::Null,
        };
        if self.store.unlink_account(account, &caller.principal.id, deed).await? {
            return Ok(());
        }
        Err(Error::not_found("you have no such account"))
    }
}
