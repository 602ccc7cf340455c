//! A named set of commands.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::principal::Role;

/// Who may see and use a bot or a command. Empty lists mean: role `user`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub roles: Vec<Role>,
    pub groups: Vec<String>,
    /// Per parameter, the only values this access is given for (`environment: [staging]`).
    pub when: BTreeMap<String, Vec<String>>,
}

impl Access {
    /// Whether nothing was written, so that the default applies.
    pub fn is_unset(&self) -> bool {
        self.roles.is_empty() && self.groups.is_empty() && self.when.is_empty()
    }
}

/// A bot as one consistent version: everything a conversation with it needs, without a file.
#[derive(Clone, Debug)]
pub struct Bot {
    /// The folder's name; also its id on every door.
    pub name: String,
    pub display_name: String,
    pub description: String,
    /// An emoji or a short text; empty when none was given.
    pub avatar: String,
    pub access: Access,
    pub commands: Vec<Arc<Command>>,
    /// SHA-256 over the files it was read from, hex; what an execution is pinned to.
    pub version: String,
}
