//! Users and groups that a directory pushes here (SCIM). It sees what it pushed and nothing else.

use super::Store;
use super::audit::{Action, Deed, Doer};
use super::group::{self, NewGroup, PUSHED, recount};
use super::people::disable;
use super::query::{Failure, Query, Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use crate::config::ScimLink;
use crate::model::conversation::Millis;
use crate::model::{Error, Kind, Result};

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

struct CreateUser {
    id: String,
    push: UserPush,
    adoption: Option<Adoption>,
    deed: Deed,
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

struct ReplaceUser {
    id: String,
    push: UserPush,
    /// Only when it still has this version.
    version: Option<i64>,
    deed: Deed,
}

/// The row of a resource that is changed, taken for this transaction.
async fn take(transaction: &mut Transaction<'_>, take: Query<'_>, id: &str, version: Option<i64>) -> Result<()> {
    let row = transaction.write_returning(take.bind(id)).await?.into_iter().next().ok_or_else(|| unknown(id))?;
    let now: i64 = row.get(0).map_err(failed)?;
    if version.is_some_and(|wanted| wanted + 1 != now) { Err(outdated()) } else { Ok(()) }
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

struct DeleteUser {
    id: String,
    version: Option<i64>,
    deed: Deed,
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
        // The row itself stays: conversations and the audit log name it, and whoever signs in as them finds it disabled.
        transaction.write(query("DELETE FROM scim_users WHERE user_id = $1").bind(id)).await?;
        transaction.record(&self.deed).await?;
        Ok(Pushed { id: id.clone(), ended })
    }
}

struct CreateGroup {
    id: String,
    push: GroupPush,
    deed: Deed,
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

struct ReplaceGroup {
    id: String,
    push: GroupPush,
    version: Option<i64>,
    deed: Deed,
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

struct DeleteGroup {
    id: String,
    version: Option<i64>,
    deed: Deed,
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

    /// Takes a pushed user away.
    pub async fn delete_scim_user(&self, id: &str, version: Option<i64>, deed: Deed) -> Result<Pushed> {
        self.write(DeleteUser { id: id.to_owned(), version, deed }).await
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
