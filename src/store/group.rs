//! Groups that are kept here, and who is in them. Whenever that changes, `users.groups` of whom it concerns is written
//! anew in the same transaction: it is what counts.

use super::Store;
use super::audit::Deed;
use super::query::{Failure, Row, composed, query};
use super::session::{join_names, names};
use super::transaction::{Transaction, Work, failed};
use crate::model::conversation::Millis;
use crate::model::person::{Group, Member, Page};
use crate::model::{Error, Result};

/// Where groups are kept that were made here.
pub(super) const LOCAL: &str = "local";

/// Where those are kept that a directory pushes.
pub(super) const PUSHED: &str = "scim";

pub(super) fn key(name: &str) -> String {
    name.to_lowercase()
}

/// Writes anew which groups of a user count: those that were claimed for them, those of the directory, those here. Answers
/// whether they are others than before.
pub(super) async fn recount(transaction: &mut Transaction<'_>, user: &str) -> Result<bool> {
    // The row is taken first, so that two changes at once do not count each other's memberships out.
    let take =
        query("UPDATE users SET groups = groups WHERE id = $1 RETURNING groups, claimed_groups, directory_groups");
    let taken = transaction.write_returning(take.bind(user)).await?;
    let Some(row) = taken.into_iter().next() else { return Ok(false) };
    let read = |index| row.get::<String>(index).map(|text| names(&text)).map_err(failed);
    let (before, mut counted) = (read(0)?, read(1)?);
    counted.extend(read(2)?);
    let here = query("SELECT g.name FROM group_members m JOIN groups g ON g.id = m.group_id WHERE m.user_id = $1");
    for row in transaction.all(here.bind(user)).await? {
        counted.push(row.get(0).map_err(failed)?);
    }
    let mut seen = std::collections::BTreeSet::new();
    counted.retain(|name| seen.insert(name.clone()));
    if counted == before {
        return Ok(false);
    }
    let write = query("UPDATE users SET groups = $1 WHERE id = $2");
    transaction.write(write.bind(join_names(&counted)).bind(user)).await?;
    Ok(true)
}

pub(super) fn name_taken(name: &str) -> Error {
    Error::conflict("GROUP_EXISTS", format!("there is a group '{name}' already"))
        .details(serde_json::json!({ "field": "name" }))
}

pub fn unknown(id: &str) -> Error {
    Error::not_found("there is no such group").details(serde_json::json!({ "group_id": id }))
}

fn pushed(id: &str) -> Error {
    let message = "this group is kept by the directory that pushes it here; change it there";
    Error::conflict("MANAGED_BY_DIRECTORY", message).details(serde_json::json!({ "group_id": id }))
}

const GROUP: &str = "SELECT g.id, g.name, (SELECT COUNT(*) FROM group_members m JOIN users u ON u.id = m.user_id \
                     AND u.disabled_at IS NULL WHERE m.group_id = g.id), g.created_at, g.name_key FROM groups g";

fn group(row: &Row) -> Result<Group, Failure> {
    Ok(Group {
        id: row.get(0)?,
        name: row.get(1)?,
        members: Some(row.get(2)?),
        created_at: Some(row.get::<Millis>(3)?),
    })
}

fn member(row: &Row) -> Result<Member, Failure> {
    Ok(Member { id: row.get(0)?, name: Some(row.get(1)?), username: row.get(2)?, email: row.get(3)? })
}

/// A group as it is first kept.
pub(super) struct NewGroup<'g> {
    pub(super) id: &'g str,
    pub(super) name: &'g str,
    pub(super) origin: &'static str,
    pub(super) external_id: Option<&'g str>,
    pub(super) at: Millis,
}

pub(super) async fn insert(transaction: &mut Transaction<'_>, new: &NewGroup<'_>) -> Result<()> {
    let known = query("SELECT id FROM groups WHERE name_key = $1").bind(key(new.name));
    if transaction.optional(known).await?.is_some() {
        return Err(name_taken(new.name));
    }
    let insert = query(
        "INSERT INTO groups (id, name, name_key, origin, external_id, version, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, 1, $6, $6)",
    );
    let insert = insert.bind(new.id).bind(new.name).bind(key(new.name)).bind(new.origin).bind(new.external_id);
    transaction.write(insert.bind(new.at)).await?;
    Ok(())
}

/// Puts a user into a group; `false` when they were in it.
pub(super) async fn join(transaction: &mut Transaction<'_>, group: &str, user: &str, at: Millis) -> Result<bool> {
    let join = query(
        "INSERT INTO group_members (group_id, user_id, added_at) VALUES ($1, $2, $3) ON CONFLICT (group_id, user_id) \
         DO NOTHING",
    );
    let joined = transaction.write(join.bind(group).bind(user).bind(at)).await? == 1;
    if joined {
        recount(transaction, user).await?;
    }
    Ok(joined)
}

/// Takes a user out of a group; `false` when they were not in it.
pub(super) async fn leave(transaction: &mut Transaction<'_>, group: &str, user: &str) -> Result<bool> {
    let leave = query("DELETE FROM group_members WHERE group_id = $1 AND user_id = $2").bind(group).bind(user);
    let left = transaction.write(leave).await? == 1;
    if left {
        recount(transaction, user).await?;
    }
    Ok(left)
}

struct Create {
    id: String,
    name: String,
    deed: Deed,
}

impl Work for Create {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let new = NewGroup { id: &self.id, name: &self.name, origin: LOCAL, external_id: None, at: self.deed.at };
        insert(transaction, &new).await?;
        transaction.record(&self.deed).await
    }
}

struct Membership {
    group: String,
    user: String,
    joins: bool,
    deed: Deed,
}

impl Work for Membership {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        // Taken first: a group does not go away while somebody joins.
        let take = query("UPDATE groups SET version = version + 1, updated_at = $1 WHERE id = $2 RETURNING origin");
        let taken = transaction.write_returning(take.bind(self.deed.at).bind(&self.group)).await?;
        let row = taken.into_iter().next().ok_or_else(|| unknown(&self.group))?;
        if row.get::<String>(0).map_err(failed)? != LOCAL {
            return Err(pushed(&self.group));
        }
        let changed = if self.joins {
            let known = query("SELECT id FROM users WHERE id = $1 AND disabled_at IS NULL").bind(&self.user);
            if transaction.optional(known).await?.is_none() {
                return Err(unknown_user(&self.user));
            }
            join(transaction, &self.group, &self.user, self.deed.at).await?
        } else {
            leave(transaction, &self.group, &self.user).await?
        };
        if changed {
            transaction.record(&self.deed).await?;
        }
        Ok(changed)
    }
}

pub fn unknown_user(id: &str) -> Error {
    Error::not_found("there is no such user").details(serde_json::json!({ "user_id": id }))
}

impl Store {
    /// Keeps a new group; a name that is taken is a conflict.
    pub async fn create_group(&self, id: String, name: String, deed: Deed) -> Result<()> {
        self.write(Create { id, name, deed }).await
    }

    pub async fn group(&self, id: &str) -> Result<Option<Group>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("{GROUP} WHERE g.id = $1")).bind(id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| group(&row).map_err(failed)).transpose()
    }

    /// Groups by name: all, or those a user is in. `after` is the `next` of the page before.
    pub async fn groups(&self, of: Option<&str>, after: Option<&str>, limit: i64) -> Result<Page<Group>> {
        let mut reader = self.reader().await?;
        let find = composed(format!(
            "{GROUP} WHERE (cast($1 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM group_members o WHERE o.group_id = g.id \
             AND o.user_id = $1)) AND (cast($2 AS TEXT) IS NULL OR g.name_key > $2) ORDER BY g.name_key LIMIT $3"
        ));
        let find = find.bind(of).bind(after).bind(limit.saturating_add(1));
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        let groups: Result<Vec<(Group, String)>, Failure> =
            rows.iter().map(|row| Ok((group(row)?, row.get(4)?))).collect();
        Ok(Page::of(groups.map_err(failed)?, limit, |(_, key)| key.clone()).map(|(group, _)| group))
    }

    /// Who is in a group, by id. `after` is the `next` of the page before.
    pub async fn group_members(&self, group: &str, after: Option<&str>, limit: i64) -> Result<Page<Member>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT u.id, u.name, u.username, u.email FROM group_members m JOIN users u ON u.id = m.user_id \
             WHERE m.group_id = $1 AND u.disabled_at IS NULL AND (cast($2 AS TEXT) IS NULL OR u.id > $2) \
             ORDER BY u.id LIMIT $3",
        );
        let find = find.bind(group).bind(after).bind(limit.saturating_add(1));
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        let members: Result<Vec<Member>, Failure> = rows.iter().map(member).collect();
        Ok(Page::of(members.map_err(failed)?, limit, |member| member.id.clone()))
    }

    /// Puts a user into a group that was made here, or takes them out; `false` when that was so before.
    pub async fn change_membership(&self, group: &str, user: &str, joins: bool, deed: Deed) -> Result<bool> {
        self.write(Membership { group: group.to_owned(), user: user.to_owned(), joins, deed }).await
    }
}
