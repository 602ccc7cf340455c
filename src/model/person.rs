//! People and the groups they are in.

use super::conversation::Millis;
use super::principal::Role;

/// Somebody who may sign in, with what is known about them here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    /// What others read.
    pub name: String,
    pub username: Option<String>,
    pub email: Option<String>,
    /// Whether who vouches for the person has checked the address.
    pub email_verified: bool,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub created_at: Millis,
    pub roles: Vec<Role>,
    pub groups: Vec<String>,
    /// Who vouches for them, and who they are there; none for who is only known here.
    pub issuer: Option<String>,
    pub subject: Option<String>,
    /// Their id at the directory, once it was found.
    pub directory_id: Option<String>,
    /// Whether a directory pushes what is known about them.
    pub is_pushed: bool,
}

/// A field that stays, is set, or is emptied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change {
    #[default]
    Keep,
    Set(String),
    Clear,
}

impl Change {
    /// What stands there afterwards.
    pub fn applied(&self, before: Option<&str>) -> Option<String> {
        match self {
            Self::Keep => before.map(str::to_owned),
            Self::Set(value) => Some(value.clone()),
            Self::Clear => None,
        }
    }

    pub fn is_keep(&self) -> bool {
        *self == Self::Keep
    }
}

/// What somebody wants to change about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    pub email: Change,
    pub first_name: Change,
    pub last_name: Change,
}

/// What a directory says about somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// At the directory.
    pub id: String,
    pub username: Option<String>,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub created_at: Option<Millis>,
}

/// A group of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub id: String,
    /// What bots name in their `access`.
    pub name: String,
    /// How many people are in it, where that is known.
    pub members: Option<i64>,
    pub created_at: Option<Millis>,
}

/// Somebody in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// At the directory.
    pub id: String,
    pub username: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next part begins; none at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of rows that were read one beyond the limit; `place` says where the next one begins.
    pub fn of(mut rows: Vec<T>, limit: i64, place: impl FnOnce(&T) -> String) -> Self {
        let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit;
        if more {
            rows.pop();
        }
        let next = rows.last().filter(|_| more).map(place);
        Self { items: rows, next }
    }

    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

/// Somebody as administrators see them, whether or not they may come in.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: String,
    pub name: String,
    pub username: Option<String>,
    pub email: Option<String>,
    pub roles: Vec<Role>,
    pub groups: Vec<String>,
    /// The directory that vouches for them; none when they came by a link.
    pub issuer: Option<String>,
    pub created_at: Millis,
    /// When a session of theirs was last used; to a minute.
    pub last_seen_at: Option<Millis>,
    /// Since when the directory lets them in no more.
    pub disabled_at: Option<Millis>,
    /// Login sessions that are open.
    pub sessions: i64,
    /// API keys of theirs that count.
    pub keys: i64,
}

/// Which people are wanted.
#[derive(Clone, Debug, Default)]
pub struct PeopleFilter {
    /// A part of an id, a name, a username or an address, in any case.
    pub search: String,
    /// The id that the page before ended with.
    pub before: Option<String>,
    pub limit: i64,
}
