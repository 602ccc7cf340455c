//! Accounts of chats outside: whose they are here, and the one-time links that say so.

use super::Store;
use super::audit::Deed;
use super::query::{Failure, Row, query};
use super::transaction::{Transaction, Work, failed};
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::model::place::Account;

/// An account that belongs to a user.
#[derive(Clone, Debug)]
pub struct LinkedAccount {
    pub account: Account,
    pub user_id: String,
    pub linked_at: Millis,
}

/// A link that is to be followed.
#[derive(Clone, Debug)]
pub struct LinkToken {
    pub token_hash: String,
    pub account: Account,
    /// A place as text, where it was asked for.
    pub place: String,
    pub expires_at: Millis,
}

fn account(row: &Row, from: usize) -> Result<Account, Failure> {
    Ok(Account { platform: row.get(from)?, team: row.get(from + 1)?, id: row.get(from + 2)?, name: row.get(from + 3)? })
}

struct Offer {
    token: LinkToken,
    at: Millis,
}

impl Work for Offer {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        transaction.write(query("DELETE FROM link_tokens WHERE expires_at <= $1").bind(self.at)).await?;
        let LinkToken { token_hash, account, place, expires_at } = &self.token;
        let insert = query(
            "INSERT INTO link_tokens (token_hash, platform, team, account, name, place, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(token_hash)
        .bind(&account.platform)
        .bind(&account.team)
        .bind(&account.id)
        .bind(&account.name)
        .bind(place)
        .bind(*expires_at);
        transaction.write(insert).await?;
        Ok(())
    }
}

struct Link {
    token_hash: String,
    user_id: String,
    at: Millis,
    deed: Deed,
}

impl Work for Link {
    type Output = Option<LinkToken>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Option<LinkToken>> {
        let take = query(
            "DELETE FROM link_tokens WHERE token_hash = $1 AND expires_at > $2 \
             RETURNING platform, team, account, name, place, expires_at",
        );
        let rows = transaction.write_returning(take.bind(&self.token_hash).bind(self.at)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let account = account(row, 0).map_err(failed)?;
        let token = LinkToken {
            token_hash: self.token_hash.clone(),
            place: row.get(4).map_err(failed)?,
            expires_at: row.get(5).map_err(failed)?,
            account,
        };
        let Account { platform, team, id, name } = &token.account;
        let link = query(
            "INSERT INTO linked_accounts (platform, team, account, name, user_id, linked_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (platform, team, account) DO UPDATE SET name = excluded.name, user_id = excluded.user_id, \
             linked_at = excluded.linked_at",
        )
        .bind(platform)
        .bind(team)
        .bind(id)
        .bind(name)
        .bind(&self.user_id)
        .bind(self.at);
        transaction.write(link).await?;
        // What else could be followed for that account is void now.
        let void = query("DELETE FROM link_tokens WHERE platform = $1 AND team = $2 AND account = $3");
        transaction.write(void.bind(platform).bind(team).bind(id)).await?;
        let target = Some(format!("{platform}:{team}/{id}"));
        transaction.record(&Deed { target, ..self.deed.clone() }).await?;
        Ok(Some(token))
    }
}

struct Unlink {
    account: Account,
    user_id: String,
    deed: Deed,
}

impl Work for Unlink {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let Account { platform, team, id, .. } = &self.account;
        let unlink =
            query("DELETE FROM linked_accounts WHERE platform = $1 AND team = $2 AND account = $3 AND user_id = $4");
        let unlink = unlink.bind(platform).bind(team).bind(id).bind(&self.user_id);
        if transaction.write(unlink).await? == 0 {
            return Ok(false);
        }
        transaction.record(&self.deed).await?;
        Ok(true)
    }
}

impl Store {
    /// Keeps a link that may be followed.
    pub async fn offer_link(&self, token: LinkToken, at: Millis) -> Result<()> {
        self.write(Offer { token, at }).await
    }

    /// The link of that token, while it can be followed.
    pub async fn link_token(&self, token_hash: &str, at: Millis) -> Result<Option<LinkToken>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT platform, team, account, name, place, expires_at FROM link_tokens \
             WHERE token_hash = $1 AND expires_at > $2",
        );
        let row = find.bind(token_hash).bind(at).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| {
            Ok(LinkToken {
                token_hash: token_hash.to_owned(),
                account: account(&row, 0).map_err(failed)?,
                place: row.get(4).map_err(failed)?,
                expires_at: row.get(5).map_err(failed)?,
            })
        })
        .transpose()
    }

    /// Uses up a link: from now on its account is this user's. None when it was used or is over.
    pub async fn link_account(
        &self,
        token_hash: &str,
        user_id: &str,
        at: Millis,
        deed: Deed,
    ) -> Result<Option<LinkToken>> {
        self.write(Link { token_hash: token_hash.to_owned(), user_id: user_id.to_owned(), at, deed }).await
    }

    /// Takes an account from a user; `false` when it is not theirs.
    pub async fn unlink_account(&self, account: Account, user_id: &str, deed: Deed) -> Result<bool> {
        self.write(Unlink { account, user_id: user_id.to_owned(), deed }).await
    }

    /// Whose an account is.
    pub async fn owner_of_account(&self, account: &Account) -> Result<Option<String>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT user_id FROM linked_accounts WHERE platform = $1 AND team = $2 AND account = $3");
        let find = find.bind(&account.platform).bind(&account.team).bind(&account.id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| row.get(0).map_err(failed)).transpose()
    }

    /// The accounts of a user.
    pub async fn linked_accounts(&self, user_id: &str) -> Result<Vec<LinkedAccount>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT platform, team, account, name, user_id, linked_at FROM linked_accounts WHERE user_id = $1 \
             ORDER BY linked_at",
        );
        let rows = find.bind(user_id).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter()
            .map(|row| Ok(LinkedAccount { account: account(row, 0)?, user_id: row.get(4)?, linked_at: row.get(5)? }))
            .collect::<Result<_, Failure>>()
            .map_err(failed)
    }
}
