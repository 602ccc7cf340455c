//! Writes of groups that a directory pushes.

use super::super::audit::Deed;
use super::super::group::{self, NewGroup, PUSHED, recount};
use super::super::query::query;
use super::super::transaction::{Transaction, Work, failed};
use super::{GroupPush, take};
use crate::model::conversation::Millis;
use crate::model::{Error, Result};

pub(super) struct CreateGroup {
    pub(super) id: String,
    pub(super) push: GroupPush,
    pub(super) deed: Deed,
}

fn as_scim(error: Error) -> Error {
    if error.code == "GROUP_EXISTS" {
        return error.details(serde_json::json!({ "scimType": "uniqueness", "field": "displayName" }));
    }
    error
}

/// Makes exactly these users the members of a group.
async fn set_members(transaction: &mut Transaction<'_>, id: &str, members: &[String], at: Millis) -> Result<()> {
    let now = query("SELECT user_id FROM group_members WHERE group_id = $1").bind(id);
    let now: Result<Vec<String>> = transaction.all(now).await?.iter().map(|row| row.get(0).map_err(failed)).collect();
    let now = now?;
    let (before, after): (std::collections::BTreeSet<_>, std::collections::BTreeSet<_>) =
        (now.iter().collect(), members.iter().collect());
    for user in before.difference(&after) {
        group::leave(transaction, id, user).await?;
    }
    for user in after.difference(&before) {
        let known = query("SELECT user_id FROM scim_users WHERE user_id = $1").bind(user.as_str());
        if transaction.optional(known).await?.is_none() {
            return Err(Error::invalid(format!("members: there is no user '{user}'"))
                .details(serde_json::json!({ "scimType": "invalidValue", "field": "members" })));
        }
        group::join(transaction, id, user, at).await?;
    }
    Ok(())
}

impl Work for CreateGroup {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let (push, at) = (&self.push, self.deed.at);
        let external_id = push.external_id.as_deref();
        let new = NewGroup { id: &self.id, name: &push.name, origin: PUSHED, external_id, at };
        group::insert(transaction, &new).await.map_err(as_scim)?;
        set_members(transaction, &self.id, &push.members, at).await?;
        transaction.record(&self.deed).await
    }
}

pub(super) struct ReplaceGroup {
    pub(super) id: String,
    pub(super) push: GroupPush,
    pub(super) version: Option<i64>,
    pub(super) deed: Deed,
}

const BUMP_GROUP: &str =
    "UPDATE groups SET version = version + 1 WHERE id = $1 AND origin = 'scim' RETURNING version, name";

impl Work for ReplaceGroup {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let (id, push, at) = (&self.id, &self.push, self.deed.at);
        take(transaction, query(BUMP_GROUP), id, self.version).await?;
        let same = query("SELECT id FROM groups WHERE name_key = $1 AND id <> $2").bind(group::key(&push.name));
        if transaction.optional(same.bind(id)).await?.is_some() {
            return Err(as_scim(group::name_taken(&push.name)));
        }
        let before = transaction.optional(query("SELECT name FROM groups WHERE id = $1").bind(id)).await?;
        let renamed = match before {
            Some(row) => row.get::<String>(0).map_err(failed)? != push.name,
            None => false,
        };
        let replace =
            query("UPDATE groups SET name = $1, name_key = $2, external_id = $3, updated_at = $4 WHERE id = $5");
        let replace = replace.bind(&push.name).bind(group::key(&push.name)).bind(push.external_id.as_deref());
        transaction.write(replace.bind(at).bind(id)).await?;
        set_members(transaction, id, &push.members, at).await?;
        if renamed {
            // Who joined just now is counted already.
            for user in &push.members {
                recount(transaction, user).await?;
            }
        }
        transaction.record(&self.deed).await
    }
}

pub(super) struct DeleteGroup {
    pub(super) id: String,
    pub(super) version: Option<i64>,
    pub(super) deed: Deed,
}

impl Work for DeleteGroup {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        take(transaction, query(BUMP_GROUP), &self.id, self.version).await?;
        set_members(transaction, &self.id, &[], self.deed.at).await?;
        transaction.write(query("DELETE FROM groups WHERE id = $1").bind(&self.id)).await?;
        transaction.record(&self.deed).await
    }
}
