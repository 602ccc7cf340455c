//! Completing what somebody types in a chat outside.

use super::Outside;
use crate::identity::permission::{Object, Verb, decide};
use crate::intent::{Completion, Scope};
use crate::model::bot::Bot;
use crate::model::command::Command;
use crate::model::place::Account;
use crate::model::{Error, Result};

impl Outside {
    /// How a text to `bot` may go on, of what whoever types it may run; nothing for who is nobody here.
    pub async fn complete(&self, account: &Account, bot: &str, text: &str, limit: usize) -> Result<Vec<Completion>> {
        let Some(principal) = self.identity.of_account(account, self.guests).await? else { return Ok(Vec::new()) };
        let snapshot = self.hub.snapshot();
        let loaded = snapshot.bot(bot).ok_or_else(|| Error::not_found("there is no such bot"))?;
        if !decide(&principal, Verb::View, Object::Bot(&loaded.bot)).allowed {
            return Ok(Vec::new());
        }
        let may = |bot: &Bot, command: &Command| {
            decide(&principal, Verb::Invoke, Object::Command { bot, command, arguments: None }).allowed
        };
        Ok(snapshot.index.complete(text, &Scope { bot: Some(bot) }, &may, limit))
    }

    /// The hub that everything goes through.
    pub fn hub(&self) -> &super::Hub {
        &self.hub
    }
}
