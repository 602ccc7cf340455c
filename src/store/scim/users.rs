//! Writes of users that a directory pushes.

use super::super::audit::{Action, Deed, Doer};
use super::super::group::{self, recount};
use super::super::people::disable;
use super::super::query::{composed, query};
use super::super::transaction::{Transaction, Work, failed};
use super::{Adoption, Pushed, UserPush, take, taken};
use crate::config::ScimLink;
use crate::model::{Error, Result};

async fn check_unique(transaction: &mut Transaction<'_>, id: &str, push: &UserPush) -> Result<()> {
    let named = query("SELECT user_id FROM scim_users WHERE name_key = $1 AND user_id <> $2");
    if transaction.optional(named.bind(group::key(&push.user_name)).bind(id)).await?.is_some() {
        return Err(taken("userName", &push.user_name));
    }
    let Some(external) = &push.external_id else { return Ok(()) };
    let same = query("SELECT user_id FROM scim_users WHERE external_id = $1 AND user_id <> $2");
    if transaction.optional(same.bind(external).bind(id)).await?.is_some() {
        return Err(taken("externalId", external));
    }
    Ok(())
}

/// What the users table shows of a pushed user.
async fn show(transaction: &mut Transaction<'_>, id: &str, push: &UserPush) -> Result<()> {
    // What the directory pushes it vouches for.
    let show = query(
        "UPDATE users SET name = $1, username = $2, email = $3, email_verified = $4, first_name = $5, last_name = $6 \
         WHERE id = $7",
    )
    .bind(&push.name)
    .bind(&push.user_name)
    .bind(push.email.as_deref())
    .bind(i64::from(push.email.is_some()))
    .bind(push.first_name.as_deref())
    .bind(push.last_name.as_deref())
    .bind(id);
    transaction.write(show).await?;
    Ok(())
}

pub(super) struct CreateUser {
    pub(super) id: String,
    pub(super) push: UserPush,
    pub(super) adoption: Option<Adoption>,
    pub(super) deed: Deed,
}

impl CreateUser {
    /// The one who has signed in before as the person that is pushed now. Never somebody who is only known here.
    async fn known(&self, transaction: &mut Transaction<'_>) -> Result<Option<String>> {
        let Some(Adoption { issuer, link }) = &self.adoption else { return Ok(None) };
        let (condition, value) = match link {
            ScimLink::ExternalId => ("u.subject = $2", self.push.external_id.clone()),
            ScimLink::UserName => ("lower(u.username) = $2", Some(group::key(&self.push.user_name))),
            ScimLink::Email => {
                ("u.email_verified = 1 AND lower(u.email) = $2", self.push.email.as_deref().map(group::key))
            }
            ScimLink::Off => return Ok(None),
        };
        let Some(value) = value else { return Ok(None) };
        let find = composed(format!(
            "SELECT u.id FROM users u WHERE u.issuer = $1 AND {condition} \
             AND NOT EXISTS (SELECT 1 FROM scim_users s WHERE s.user_id = u.id) LIMIT 2"
        ));
        let rows = transaction.all(find.bind(issuer).bind(value)).await?;
        match rows.as_slice() {
            [row] => Ok(Some(row.get(0).map_err(failed)?)),
            [] => Ok(None),
            _ => {
                let message =
                    "several people who have signed in fit; the directory must tell them apart (setting scim.link)";
                Err(Error::conflict("UNIQUENESS", message).details(serde_json::json!({ "scimType": "uniqueness" })))
            }
        }
    }
}

impl Work for CreateUser {
    type Output = Pushed;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Pushed> {
        let (push, at) = (&self.push, self.deed.at);
        check_unique(transaction, "", push).await?;
        let known = self.known(transaction).await?;
        let id = known.clone().unwrap_or_else(|| self.id.clone());
        if known.is_none() {
            let insert = query("INSERT INTO users (id, name, roles, groups, created_at) VALUES ($1, $2, '', '[]', $3)");
            transaction.write(insert.bind(&id).bind(&push.name).bind(at)).await?;
        }
        let insert = query(
            "INSERT INTO scim_users (user_id, user_name, name_key, external_id, active, document, version, created_at, \
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7)",
        )
        .bind(&id)
        .bind(&push.user_name)
        .bind(group::key(&push.user_name))
        .bind(push.external_id.as_deref())
        .bind(i64::from(push.active))
        .bind(&push.document)
        .bind(at);
        transaction.write(insert).await?;
        show(transaction, &id, push).await?;
        let ended = set_active(transaction, &id, push.active, &self.deed).await?;
        transaction.record(&Deed { target: Some(id.clone()), ..self.deed.clone() }).await?;
        Ok(Pushed { id, ended })
    }
}

/// Lets a user in again or takes all they came in with; answers what ended.
async fn set_active(transaction: &mut Transaction<'_>, id: &str, active: bool, deed: &Deed) -> Result<Vec<String>> {
    if active {
        let back = query("UPDATE users SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL");
        transaction.write(back.bind(id)).await?;
        return Ok(Vec::new());
    }
    let Some(ended) = disable(transaction, id, &deed.doer, deed.at).await? else { return Ok(Vec::new()) };
    let action = Action::UserDeactivate;
    transaction.record(&Deed { action, target: Some(id.to_owned()), ..deed.clone() }).await?;
    Ok(ended)
}

pub(super) struct ReplaceUser {
    pub(super) id: String,
    pub(super) push: UserPush,
    /// Only when it still has this version.
    pub(super) version: Option<i64>,
    pub(super) deed: Deed,
}

impl Work for ReplaceUser {
    type Output = Pushed;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Pushed> {
        let (id, push) = (&self.id, &self.push);
        let bump = query("UPDATE scim_users SET version = version + 1 WHERE user_id = $1 RETURNING version");
        take(transaction, bump, id, self.version).await?;
        check_unique(transaction, id, push).await?;
        let replace = query(
            "UPDATE scim_users SET user_name = $1, name_key = $2, external_id = $3, active = $4, document = $5, \
             updated_at = $6 WHERE user_id = $7",
        )
        .bind(&push.user_name)
        .bind(group::key(&push.user_name))
        .bind(push.external_id.as_deref())
        .bind(i64::from(push.active))
        .bind(&push.document)
        .bind(self.deed.at)
        .bind(id);
        transaction.write(replace).await?;
        show(transaction, id, push).await?;
        let ended = set_active(transaction, id, push.active, &self.deed).await?;
        transaction.record(&self.deed).await?;
        Ok(Pushed { id: id.clone(), ended })
    }
}

pub(super) struct DeleteUser {
    pub(super) id: String,
    pub(super) adoption: Option<Adoption>,
    pub(super) version: Option<i64>,
    pub(super) deed: Deed,
}

impl Work for DeleteUser {
    type Output = Pushed;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Pushed> {
        let id = &self.id;
        let bump = query("UPDATE scim_users SET version = version + 1 WHERE user_id = $1 RETURNING version");
        take(transaction, bump, id, self.version).await?;
        let doer: &Doer = &self.deed.doer;
        let ended = disable(transaction, id, doer, self.deed.at).await?.unwrap_or_default();
        transaction.write(query("DELETE FROM group_members WHERE user_id = $1").bind(id)).await?;
        recount(transaction, id).await?;
        if let Some(Adoption { issuer, link: ScimLink::ExternalId }) = &self.adoption {
            // Who has never signed in is not to come in as somebody new.
            let keep = query(
                "UPDATE users SET issuer = $1, subject = (SELECT s.external_id FROM scim_users s WHERE s.user_id = users.id) \
                 WHERE id = $2 AND issuer IS NULL AND NOT EXISTS (SELECT 1 FROM users o JOIN scim_users s \
                 ON s.external_id = o.subject WHERE o.issuer = $1 AND s.user_id = $2) AND EXISTS (SELECT 1 FROM scim_users s \
                 WHERE s.user_id = $2 AND s.external_id IS NOT NULL)",
            );
            transaction.write(keep.bind(issuer).bind(id)).await?;
        }
        // The row itself stays: conversations and the audit log name it, and whoever signs in as them finds it disabled.
        transaction.write(query("DELETE FROM scim_users WHERE user_id = $1").bind(id)).await?;
        transaction.record(&self.deed).await?;
        Ok(Pushed { id: id.clone(), ended })
    }
}
