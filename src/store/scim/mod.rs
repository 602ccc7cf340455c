//! Users and groups that a directory pushes here (SCIM). It sees what it pushed and nothing else.

use super::Store;
use super::audit::Deed;
use super::group;
use super::query::{Failure, Query, Row, composed, query};
use super::transaction::{Transaction, failed};
use crate::config::ScimLink;
use crate::model::conversation::Millis;
use crate::model::{Error, Kind, Result};

mod groups;
mod users;

use groups::{CreateGroup, DeleteGroup, ReplaceGroup};
use users::{CreateUser, DeleteUser, ReplaceUser};

/// A user as the directory pushed it.
#[derive(Clone, Debug)]
pub struct PushedUser {
    pub id: String,
    pub external_id: Option<String>,
    pub active: bool,
    /// The whole resource, JSON.
    pub document: String,
    /// Rises with every change.
    pub version: i64,
    pub created_at: Millis,
    pub updated_at: Millis,
    /// The pushed groups it is in: ids and names.
    pub groups: Vec<(String, String)>,
}

/// What the directory wants a user to be.
#[derive(Clone, Debug)]
pub struct UserPush {
    pub user_name: String,
    pub external_id: Option<String>,
    pub active: bool,
    pub document: String,
    /// What people read.
    pub name: String,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
}

/// A group as the directory pushed it.
#[derive(Clone, Debug)]
pub struct PushedGroup {
    pub id: String,
    pub name: String,
    pub external_id: Option<String>,
    pub version: i64,
    pub created_at: Millis,
    pub updated_at: Millis,
    /// Ids and names, in the order of the ids.
    pub members: Vec<(String, String)>,
}

/// What the directory wants a group to be.
#[derive(Clone, Debug)]
pub struct GroupPush {
    pub name: String,
    pub external_id: Option<String>,
    /// Ids of users.
    pub members: Vec<String>,
}

/// What a change led to.
#[derive(Clone, Debug, Default)]
pub struct Pushed {
    pub id: String,
    /// The sessions and keys that ended with it.
    pub ended: Vec<String>,
}

/// By what a pushed user or group is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    Id,
    /// `userName` or `displayName`; case does not count.
    Name,
    ExternalId,
    /// A group, by somebody in it.
    Member,
}

/// Who may be taken for whom when a user is pushed who has signed in before.
#[derive(Clone, Debug)]
pub struct Adoption {
    pub issuer: String,
    pub link: ScimLink,
}

fn taken(field: &str, value: &str) -> Error {
    Error::conflict("UNIQUENESS", format!("{field} '{value}' is taken already"))
        .details(serde_json::json!({ "scimType": "uniqueness", "field": field }))
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("there is no resource '{id}'"))
}

/// The resource has another version than the one that was to be changed.
fn outdated() -> Error {
    Error::new(Kind::Conflict, "PRECONDITION_FAILED", "the resource was changed meanwhile; read it again")
}

/// The row of a resource that is changed, taken for this transaction.
async fn take(transaction: &mut Transaction<'_>, take: Query<'_>, id: &str, version: Option<i64>) -> Result<()> {
    let row = transaction.write_returning(take.bind(id)).await?.into_iter().next().ok_or_else(|| unknown(id))?;
    let now: i64 = row.get(0).map_err(failed)?;
    if version.is_some_and(|wanted| wanted + 1 != now) { Err(outdated()) } else { Ok(()) }
}

const USER: &str = "SELECT s.user_id, s.external_id, s.active, s.document, s.version, s.created_at, s.updated_at \
                    FROM scim_users s";

fn user(row: &Row) -> Result<PushedUser, Failure> {
    Ok(PushedUser {
        id: row.get(0)?,
        external_id: row.get(1)?,
        active: row.get::<i64>(2)? != 0,
        document: row.get(3)?,
        version: row.get(4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
        groups: Vec::new(),
    })
}

const GROUP: &str = "SELECT s.id, s.name, s.external_id, s.version, s.created_at, s.updated_at FROM groups s";

fn pushed_group(row: &Row) -> Result<PushedGroup, Failure> {
    Ok(PushedGroup {
        id: row.get(0)?,
        name: row.get(1)?,
        external_id: row.get(2)?,
        version: row.get(3)?,
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
        members: Vec::new(),
    })
}

/// Conditions with the placeholders `$1` and so on, and the values for these.
fn conditions(wanted: &[(Attribute, String)], id: &str) -> (String, Vec<String>) {
    let mut text = String::new();
    let mut values = Vec::new();
    for (attribute, value) in wanted {
        let place = values.len() + 1;
        text.push_str(&match attribute {
            Attribute::Id => format!(" AND s.{id} = ${place}"),
            Attribute::Name => format!(" AND s.name_key = ${place}"),
            Attribute::ExternalId => format!(" AND s.external_id = ${place}"),
            Attribute::Member => {
                format!(" AND EXISTS (SELECT 1 FROM group_members m WHERE m.group_id = s.id AND m.user_id = ${place})")
            }
        });
        values.push(if *attribute == Attribute::Name { group::key(value) } else { value.clone() });
    }
    (text, values)
}

fn bound(text: String, values: &[String]) -> Query<'static> {
    values.iter().fold(composed(text), |query, value| query.bind(value.clone()))
}

impl Store {
    /// Takes a pushed user in, as a new one or as the one who has signed in before.
    pub async fn create_scim_user(
        &self,
        id: String,
        push: UserPush,
        adoption: Option<Adoption>,
        deed: Deed,
    ) -> Result<Pushed> {
        self.write(CreateUser { id, push, adoption, deed }).await
    }

    /// Makes a pushed user what the directory wants; with a version only when it still has that one.
    pub async fn replace_scim_user(
        &self,
        id: &str,
        push: UserPush,
        version: Option<i64>,
        deed: Deed,
    ) -> Result<Pushed> {
        self.write(ReplaceUser { id: id.to_owned(), push, version, deed }).await
    }

    /// Takes a pushed user away, for good as far as a sign-in is concerned.
    pub async fn delete_scim_user(
        &self,
        id: &str,
        adoption: Option<Adoption>,
        version: Option<i64>,
        deed: Deed,
    ) -> Result<Pushed> {
        self.write(DeleteUser { id: id.to_owned(), adoption, version, deed }).await
    }

    pub async fn scim_user(&self, id: &str) -> Result<PushedUser> {
        let (_, found) = self.scim_users(&[(Attribute::Id, id.to_owned())], 0, 1).await?;
        found.into_iter().next().ok_or_else(|| unknown(id))
    }

    /// How many pushed users fit all conditions, and `limit` of them after the first `skip`, in the order they came.
    pub async fn scim_users(
        &self,
        wanted: &[(Attribute, String)],
        skip: i64,
        limit: i64,
    ) -> Result<(i64, Vec<PushedUser>)> {
        let mut reader = self.reader().await?;
        let mut connection = reader.connection();
        let (condition, values) = conditions(wanted, "user_id");
        let count = format!("SELECT COUNT(*) FROM scim_users s WHERE s.version > 0{condition}");
        let total = bound(count, &values).one(&mut connection).await.map_err(failed)?.get(0).map_err(failed)?;
        let place = values.len();
        let find = format!(
            "{USER} WHERE s.version > 0{condition} ORDER BY s.created_at, s.user_id LIMIT ${} OFFSET ${}",
            place + 1,
            place + 2
        );
        let rows = bound(find, &values).bind(limit).bind(skip).all(&mut connection).await.map_err(failed)?;
        let mut users = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut found = user(row).map_err(failed)?;
            let groups = query(
                "SELECT g.id, g.name FROM group_members m JOIN groups g ON g.id = m.group_id AND g.origin = 'scim' \
                 WHERE m.user_id = $1 ORDER BY g.id",
            );
            let rows = groups.bind(&found.id).all(&mut connection).await.map_err(failed)?;
            let groups: Result<_, Failure> = rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect();
            found.groups = groups.map_err(failed)?;
            users.push(found);
        }
        Ok((total, users))
    }

    pub async fn create_scim_group(&self, id: String, push: GroupPush, deed: Deed) -> Result<()> {
        self.write(CreateGroup { id, push, deed }).await
    }

    pub async fn replace_scim_group(&self, id: &str, push: GroupPush, version: Option<i64>, deed: Deed) -> Result<()> {
        self.write(ReplaceGroup { id: id.to_owned(), push, version, deed }).await
    }

    pub async fn delete_scim_group(&self, id: &str, version: Option<i64>, deed: Deed) -> Result<()> {
        self.write(DeleteGroup { id: id.to_owned(), version, deed }).await
    }

    /// A pushed group with its members.
    pub async fn scim_group(&self, id: &str) -> Result<PushedGroup> {
        let (_, found) = self.scim_groups(&[(Attribute::Id, id.to_owned())], 0, 1, true).await?;
        found.into_iter().next().ok_or_else(|| unknown(id))
    }

    /// How many pushed groups fit all conditions, and `limit` of them after the first `skip`; with their members or without.
    pub async fn scim_groups(
        &self,
        wanted: &[(Attribute, String)],
        skip: i64,
        limit: i64,
        with_members: bool,
    ) -> Result<(i64, Vec<PushedGroup>)> {
        let mut reader = self.reader().await?;
        let mut connection = reader.connection();
        let (condition, values) = conditions(wanted, "id");
        let count = format!("SELECT COUNT(*) FROM groups s WHERE s.origin = 'scim'{condition}");
        let total = bound(count, &values).one(&mut connection).await.map_err(failed)?.get(0).map_err(failed)?;
        let place = values.len();
        let find = format!(
            "{GROUP} WHERE s.origin = 'scim'{condition} ORDER BY s.created_at, s.id LIMIT ${} OFFSET ${}",
            place + 1,
            place + 2
        );
        let rows = bound(find, &values).bind(limit).bind(skip).all(&mut connection).await.map_err(failed)?;
        let mut groups = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut found = pushed_group(row).map_err(failed)?;
            if with_members {
                let members = query(
                    "SELECT u.id, u.name FROM group_members m JOIN users u ON u.id = m.user_id WHERE m.group_id = $1 \
                     ORDER BY u.id",
                );
                let rows = members.bind(&found.id).all(&mut connection).await.map_err(failed)?;
                let members: Result<_, Failure> = rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect();
                found.members = members.map_err(failed)?;
            }
            groups.push(found);
        }
        Ok((total, groups))
    }
}
