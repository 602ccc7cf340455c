//! What is said: chats outside whichever they are, what commands ask back, files, and how long what is over stays.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;

use super::ensure_longer_than_nothing;
use super::sign_in::role_or_none;
use crate::model::place::Address;
use crate::model::principal::Role;

/// Chats outside, whichever they are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outside {
    /// Of whoever has not linked their account; none: they are asked to.
    #[serde(deserialize_with = "role_or_none")]
    pub guest_role: Option<Role>,
    /// Destinations by the name of their group.
    pub groups: BTreeMap<String, Vec<String>>,
}

impl Outside {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.guest_role != Some(Role::Admin), "outside.guest_role: a guest cannot be an administrator");
        for (name, destinations) in &self.groups {
            for destination in destinations {
                match Address::parse(destination) {
                    Ok(Address::Here | Address::Group(_)) => {
                        anyhow::bail!("outside.groups.{name}: \"{destination}\" cannot be a member of a group")
                    }
                    Ok(Address::User(_) | Address::Place(_)) => {}
                    Err(why) => anyhow::bail!("outside.groups.{name}: {why}"),
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialogs {
    /// How long a command waits for what it asked for.
    pub expires: SignedDuration,
    /// How long before that it reminds, once; zero for never.
    pub reminder: SignedDuration,
}

impl Dialogs {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure_longer_than_nothing("dialogs.expires", self.expires)?;
        anyhow::ensure!(self.reminder >= SignedDuration::ZERO, "dialogs.reminder must not be less than nothing");
        Ok(())
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Of one file, in bytes.
    pub max_size: u64,
    /// Of one principal, in bytes.
    pub quota: u64,
    pub unused_for: SignedDuration,
}

impl Files {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.max_size > 0, "files.max_size must be more than nothing");
        ensure_longer_than_nothing("files.unused_for", self.unused_for)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// How long what is over is kept: actions that cannot be taken any more, deliveries that have ended.
    pub ended: SignedDuration,
}

impl Retention {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure_longer_than_nothing("retention.ended", self.ended)
    }
}
