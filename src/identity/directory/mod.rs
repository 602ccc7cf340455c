//! Where profiles and groups are kept: here, at a SCIM server, or at Zitadel.
//!
//! [`Directory`] is what `people` asks, whichever it is. A remote directory is asked with bounds in time and size
//! (`exchange`); what it refuses is told as its refusal, and what was changed there is read back before anybody hears of
//! success.

use async_trait::async_trait;

use crate::model::person::{Group, Member, Page, Person, Profile, ProfileChange};
use crate::model::{Error, Kind, Result};
use crate::store::audit::Deed;

mod exchange;
mod local;
mod resource;
mod scim;
mod zitadel;

pub(super) use local::Local;
pub(super) use scim::Scim;
pub(super) use zitadel::Zitadel;

/// Somebody who is to be in a group.
#[derive(Clone, Debug)]
pub(super) enum Who {
    Person(Box<Person>),
    /// By their id at the directory.
    Id(String),
}

impl Who {
    pub(super) fn person(&self) -> Option<&Person> {
        match self {
            Self::Person(person) => Some(person),
            Self::Id(_) => None,
        }
    }
}

/// What a directory says about somebody who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Their id there, and the names of their groups.
    Known { id: String, groups: Vec<String> },
    /// It never knew them.
    Unknown,
    /// It knew them and does so no more, or has switched them off.
    Gone,
}

/// A place where profiles and groups are kept.
///
/// A change takes the row of the audit log that goes with it, and answers only once both are kept. Errors: `NOT_FOUND` for
/// a group or person it does not have, `NOT_IN_DIRECTORY` for a caller it does not know, `DIRECTORY_ERROR` with its reason
/// when it refuses, `DIRECTORY_UNAVAILABLE` when it does not answer.
#[async_trait]
pub(super) trait Directory: Send + Sync {
    async fn profile(&self, person: &Person) -> Result<Profile>;

    /// Changes it, and answers what was read back.
    async fn change_profile(&self, person: &Person, change: &ProfileChange, deed: Deed) -> Result<Profile>;

    /// Groups: all, or those that somebody is in. `cursor` is the `next` of the page before.
    async fn groups(&self, of: Option<&Person>, cursor: Option<&str>, limit: i64) -> Result<Page<Group>>;

    async fn create_group(&self, name: &str, deed: Deed) -> Result<Group>;

    async fn group(&self, id: &str) -> Result<Group>;

    async fn members(&self, group: &str, cursor: Option<&str>, limit: i64) -> Result<Page<Member>>;

    /// Puts somebody into a group or takes them out; `false` when that was so before.
    async fn set_member(&self, group: &str, who: &Who, joins: bool, deed: Deed) -> Result<bool>;

    async fn standing(&self, person: &Person) -> Result<Standing>;

    /// Whether it answers.
    async fn probe(&self) -> Result<()>;
}

/// What a caller hears whom the directory does not know.
fn stranger() -> Error {
    Error::new(Kind::NotFound, "NOT_IN_DIRECTORY", "the directory does not know you; ask whoever runs it")
}

/// A cursor of a list that counts.
fn offset(cursor: Option<&str>) -> Result<usize> {
    let wrong = || {
        Error::invalid("cursor is not the next of an earlier page").details(serde_json::json!({ "field": "cursor" }))
    };
    cursor.map_or(Ok(0), |text| text.parse().map_err(|_| wrong()))
}

/// One page of a list that is known as a whole.
fn page<T>(all: Vec<T>, cursor: Option<&str>, limit: i64) -> Result<Page<T>> {
    let (skip, limit) = (offset(cursor)?, usize::try_from(limit).unwrap_or(usize::MAX));
    let end = skip.saturating_add(limit);
    let next = (all.len() > end).then(|| end.to_string());
    Ok(Page { items: all.into_iter().skip(skip).take(limit).collect(), next })
}
