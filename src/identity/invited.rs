//! Somebody who is let in by whoever runs the program, as with a sign-in link.

use std::sync::Arc;

use super::token::{self, TokenKind};
use super::{Identity, LINK_LIFE};
use crate::model::Result;
use crate::model::principal::Principal;

impl Identity {
    /// Makes the user when there is none of that id, and signs them in. The rights are those of the user as kept.
    pub async fn let_in(&self, user: Principal, user_agent: &str) -> Result<Arc<Principal>> {
        let now = self.clock.now();
        let link = token::make(TokenKind::SignInLink)?;
        self.store.invite_user(user, token::hash(&link), now, now + LINK_LIFE).await?;
        let session = self.redeem(&link, user_agent).await?;
        Ok(self.authenticate(&session.token).await?.principal)
    }
}
