//! People: their profiles, what a directory says about them, and how all that they came in with ends.

use serde_json::json;

use super::Store;
use super::audit::{Action, Deed, Doer};
use super::group::recount;
use super::query::{Failure, Row, composed, query};
use super::session::{join_names, names, roles};
use super::transaction::{Transaction, Work, failed};
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::model::person::{Known, PeopleFilter, Person, ProfileChange};

const PERSON: &str = "SELECT u.id, u.name, u.username, u.email, u.email_verified, u.first_name, u.last_name, u.created_at, \
                      u.roles, u.groups, u.issuer, u.subject, u.directory_id, s.user_id FROM users u \
                      LEFT JOIN scim_users s ON s.user_id = u.id";

fn person(row: &Row) -> Result<Person, Failure> {
    Ok(Person {
        id: row.get(0)?,
        name: row.get(1)?,
        username: row.get(2)?,
        email: row.get(3)?,
        email_verified: row.get::<i64>(4)? != 0,
        first_name: row.get(5)?,
        last_name: row.get(6)?,
        created_at: row.get(7)?,
        roles: roles(&row.get::<String>(8)?),
        groups: names(&row.get::<String>(9)?),
        issuer: row.get(10)?,
        subject: row.get(11)?,
        directory_id: row.get(12)?,
        is_pushed: row.get::<Option<String>>(13)?.is_some(),
    })
}

/// What people read of somebody with these names; what they were called before when there are none.
fn shown_name(first: Option<&str>, last: Option<&str>, before: &str) -> String {
    let parts: Vec<&str> = [first, last].into_iter().flatten().collect();
    if parts.is_empty() { before.to_owned() } else { parts.join(" ") }
}

struct ChangeProfile {
    id: String,
    change: ProfileChange,
    deed: Deed,
}

impl Work for ChangeProfile {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        // Taken first: what is kept must not be what somebody else has just changed.
        let take = query(
            "UPDATE users SET profile_changed_at = $1 WHERE id = $2 AND disabled_at IS NULL \
             RETURNING email, first_name, last_name, name, email_verified",
        );
        let taken = transaction.write_returning(take.bind(self.deed.at).bind(&self.id)).await?;
        let Some(row) = taken.into_iter().next() else { return Ok(false) };
        let column = |index| row.get::<Option<String>>(index).map_err(failed);
        let change = &self.change;
        let email = change.email.applied(column(0)?.as_deref());
        let first = change.first_name.applied(column(1)?.as_deref());
        let last = change.last_name.applied(column(2)?.as_deref());
        let before: String = row.get(3).map_err(failed)?;
        let renamed = !(change.first_name.is_keep() && change.last_name.is_keep());
        let name = if renamed { shown_name(first.as_deref(), last.as_deref(), &before) } else { before };
        // Nobody has checked an address that was typed here.
        let verified = if email == column(0)? { row.get::<i64>(4).map_err(failed)? } else { 0 };
        let update = query(
            "UPDATE users SET email = $1, first_name = $2, last_name = $3, name = $4, email_verified = $5 WHERE id = $6",
        );
        let update = update.bind(email).bind(first).bind(last).bind(name).bind(verified).bind(&self.id);
        transaction.write(update).await?;
        transaction.record(&self.deed).await?;
        Ok(true)
    }
}

struct Note {
    id: String,
    directory_id: Option<String>,
    groups: Vec<String>,
    at: Millis,
}

impl Work for Note {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let note = query(
            "UPDATE users SET directory_id = $1, directory_groups = $2, directory_asked_at = $3 WHERE id = $4 \
             AND disabled_at IS NULL",
        );
        let note = note.bind(self.directory_id.as_deref()).bind(join_names(&self.groups)).bind(self.at).bind(&self.id);
        if transaction.write(note).await? == 0 {
            return Ok(false);
        }
        recount(transaction, &self.id).await
    }
}

struct PutOff {
    id: String,
    at: Millis,
}

impl Work for PutOff {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let asked = query("UPDATE users SET directory_asked_at = $1 WHERE id = $2").bind(self.at).bind(&self.id);
        transaction.write(asked).await?;
        Ok(())
    }
}

struct Gone {
    id: String,
    deed: Deed,
}

impl Work for Gone {
    type Output = Vec<String>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<String>> {
        // Should they come back, the directory may know them by another id.
        let forget =
            query("UPDATE users SET directory_id = NULL, directory_groups = '[]' WHERE id = $1").bind(&self.id);
        transaction.write(forget).await?;
        recount(transaction, &self.id).await?;
        let ended = end_credentials(transaction, &self.id, &self.deed.doer, self.deed.at).await?;
        transaction.record(&self.deed).await?;
        Ok(ended)
    }
}

/// Lets a user in no more and takes all they came in with. Answers what ended; `None` when there is no such user or they
/// were away already.
pub(super) async fn disable(
    transaction: &mut Transaction<'_>,
    user: &str,
    doer: &Doer,
    at: Millis,
) -> Result<Option<Vec<String>>> {
    let away = query("UPDATE users SET disabled_at = $1 WHERE id = $2 AND disabled_at IS NULL");
    if transaction.write(away.bind(at).bind(user)).await? == 0 {
        return Ok(None);
    }
    end_credentials(transaction, user, doer, at).await.map(Some)
}

/// Ends sessions and keys, each with its row in the audit log, so that other servers hear of it.
async fn end_credentials(
    transaction: &mut Transaction<'_>,
    user: &str,
    doer: &Doer,
    at: Millis,
) -> Result<Vec<String>> {
    let details = json!({ "because": "the directory took the user away" });
    let deed = |action| Deed { at, action, doer: doer.clone(), target: None, details: details.clone() };
    let mut ended = end_each(transaction, END_SESSIONS, user, deed(Action::SignOut)).await?;
    ended.extend(end_each(transaction, END_KEYS, user, deed(Action::KeyRevoke)).await?);
    Ok(ended)
}

const END_SESSIONS: &str =
    "UPDATE login_sessions SET revoked_at = $1 WHERE user_id = $2 AND revoked_at IS NULL RETURNING id";
const END_KEYS: &str = "UPDATE api_keys SET revoked_at = $1 WHERE owner = $2 AND revoked_at IS NULL RETURNING id";

/// Ends credentials of one kind; `deed` becomes a row for each of them.
async fn end_each(
    transaction: &mut Transaction<'_>,
    text: &'static str,
    user: &str,
    mut deed: Deed,
) -> Result<Vec<String>> {
    let mut ended = Vec::new();
    for row in transaction.write_returning(query(text).bind(deed.at).bind(user)).await? {
        let id: String = row.get(0).map_err(failed)?;
        deed.target = Some(id.clone());
        transaction.record(&deed).await?;
        ended.push(id);
    }
    Ok(ended)
}

struct SignOut {
    user: String,
    deed: Deed,
}

impl Work for SignOut {
    type Output = Option<Vec<String>>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Option<Vec<String>>> {
        let known = query("SELECT 1 FROM users WHERE id = $1").bind(&self.user);
        if transaction.optional(known).await?.is_none() {
            return Ok(None);
        }
        end_each(transaction, END_SESSIONS, &self.user, self.deed.clone()).await.map(Some)
    }
}

fn known(row: &Row) -> Result<Known, Failure> {
    Ok(Known {
        id: row.get(0)?,
        name: row.get(1)?,
        username: row.get(2)?,
        email: row.get(3)?,
        roles: roles(&row.get::<String>(4)?),
        groups: names(&row.get::<String>(5)?),
        issuer: row.get(6)?,
        created_at: row.get(7)?,
        last_seen_at: row.get(8)?,
        disabled_at: row.get(9)?,
        sessions: row.get(10)?,
        keys: row.get(11)?,
    })
}

/// A text that is looked for anywhere, as `LIKE` wants it.
fn anywhere(text: &str) -> String {
    let mut pattern = String::from("%");
    for one in text.to_lowercase().chars() {
        if matches!(one, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(one);
    }
    pattern.push('%');
    pattern
}

impl Store {
    /// Somebody who may come in.
    pub async fn person(&self, id: &str) -> Result<Option<Person>> {
        self.find_person("u.id = $1", id).await
    }

    /// Somebody who may come in, by a username that only one person has.
    pub async fn person_by_username(&self, username: &str) -> Result<Option<Person>> {
        self.find_person("u.username = $1", username).await
    }

    async fn find_person(&self, condition: &'static str, value: &str) -> Result<Option<Person>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("{PERSON} WHERE u.disabled_at IS NULL AND {condition} LIMIT 2"));
        let rows = find.bind(value).all(&mut reader.connection()).await.map_err(failed)?;
        match rows.as_slice() {
            [row] => Ok(Some(person(row).map_err(failed)?)),
            _ => Ok(None),
        }
    }

    /// Everybody who ever came in or was pushed, away or not, newest ids first.
    pub async fn known_people(&self, filter: &PeopleFilter, now: Millis) -> Result<Vec<Known>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT u.id, u.name, u.username, u.email, u.roles, u.groups, u.issuer, u.created_at, \
             (SELECT MAX(l.last_seen_at) FROM login_sessions l WHERE l.user_id = u.id), u.disabled_at, \
             (SELECT COUNT(*) FROM login_sessions l WHERE l.user_id = u.id AND l.revoked_at IS NULL \
             AND l.expires_at > $1 AND l.idle_expires_at > $1), \
             (SELECT COUNT(*) FROM api_keys k WHERE k.owner = u.id AND k.revoked_at IS NULL \
             AND (k.expires_at IS NULL OR k.expires_at > $1)) \
             FROM users u WHERE ($2 = '' OR u.id < $2) AND (LOWER(u.id) LIKE $3 ESCAPE '\\' \
             OR LOWER(u.name) LIKE $3 ESCAPE '\\' OR LOWER(u.username) LIKE $3 ESCAPE '\\' \
             OR LOWER(u.email) LIKE $3 ESCAPE '\\') ORDER BY u.id DESC LIMIT $4",
        );
        let find = find.bind(now).bind(filter.before.as_deref().unwrap_or_default());
        let find = find.bind(anywhere(&filter.search)).bind(filter.limit);
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| known(row).map_err(failed)).collect()
    }

    /// Ends the login sessions of a user, not the keys; answers which. `None` when there is no such user.
    pub async fn sign_out(&self, user: &str, deed: Deed) -> Result<Option<Vec<String>>> {
        self.write(SignOut { user: user.to_owned(), deed }).await
    }

    /// Changes what is known about somebody here; `false` when there is no such user.
    pub async fn change_profile(&self, id: &str, change: ProfileChange, deed: Deed) -> Result<bool> {
        self.write(ChangeProfile { id: id.to_owned(), change, deed }).await
    }

    /// Keeps what the directory said about somebody; whether other groups count now.
    pub async fn note_standing(
        &self,
        id: &str,
        directory_id: Option<String>,
        groups: Vec<String>,
        at: Millis,
    ) -> Result<bool> {
        self.write(Note { id: id.to_owned(), directory_id, groups, at }).await
    }

    /// Asks about somebody later, as if the directory had answered now.
    pub async fn put_off(&self, id: &str, at: Millis) -> Result<()> {
        self.write(PutOff { id: id.to_owned(), at }).await
    }

    /// The directory knows somebody no more: ends all they came in with and answers what ended.
    pub async fn end_user(&self, id: &str, deed: Deed) -> Result<Vec<String>> {
        self.write(Gone { id: id.to_owned(), deed }).await
    }

    /// People of an issuer who have an open session or a key, and whom the directory was last asked about before `asked`.
    pub async fn people_to_ask_about(&self, asked: Millis, now: Millis, limit: i64) -> Result<Vec<Person>> {
        let mut reader = self.reader().await?;
        let find = composed(format!(
            "{PERSON} WHERE u.issuer IS NOT NULL AND u.disabled_at IS NULL AND COALESCE(u.directory_asked_at, 0) <= $1 \
             AND (EXISTS (SELECT 1 FROM login_sessions l WHERE l.user_id = u.id AND l.revoked_at IS NULL \
             AND l.expires_at > $2 AND l.idle_expires_at > $2) OR EXISTS (SELECT 1 FROM api_keys k WHERE k.owner = u.id \
             AND k.revoked_at IS NULL)) ORDER BY COALESCE(u.directory_asked_at, 0), u.id LIMIT $3"
        ));
        let rows = find.bind(asked).bind(now).bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| person(row).map_err(failed)).collect()
    }
}
