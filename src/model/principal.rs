//! Who is asking.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::grant::{Grants, Reach};

/// What a principal may do in the large. Finer rights are grants on objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Chat, own conversations, the commands that are open to users.
    User,
    /// See and subscribe only.
    Readonly,
    /// Invoke commands and see their results; no definitions, no administration.
    Executor,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Admin, Role::User, Role::Readonly, Role::Executor];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::User => "user",
            Role::Readonly => "readonly",
            Role::Executor => "executor",
        }
    }

    pub fn parse(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    User,
    Service,
    Key,
    /// Somebody of a chat outside who is nobody here yet.
    Guest,
}

/// A user, a service principal or an API key. It is only ever made from a verified credential (`identity`), never from
/// anything a caller wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Stable id, the one events and executions are written under.
    pub id: String,
    pub kind: PrincipalKind,
    /// What people read: the user's or the key's name.
    pub name: String,
    pub roles: Vec<Role>,
    pub groups: Vec<String>,
    /// The bots whose commands it may do, as a process elsewhere; only API keys have any.
    pub serves: Vec<String>,
    pub rights: Rights,
}

/// What counts for a principal beside roles and groups. Empty for one that was only read from the database and never
/// authenticated: `store` fills in the grants, `identity` the rest.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// Those of the installation, as they are at each moment.
    pub grants: Grants,
    /// All that a key or a service may do; empty: whatever its role may.
    pub scopes: Arc<[Reach]>,
    /// Whose key it is.
    pub owner: Option<Arc<Owner>>,
}

impl PartialEq for Rights {
    fn eq(&self, other: &Self) -> bool {
        // The grants are everybody's.
        self.scopes == other.scopes && self.owner == other.owner
    }
}

impl Eq for Rights {}

/// The user whose key somebody uses, as they are now: what is denied to them is denied to their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub id: String,
    pub roles: Vec<Role>,
    pub groups: Vec<String>,
}

impl Principal {
    /// The person behind it; none behind a program of the installation's own.
    pub fn person(&self) -> Option<&str> {
        match self.kind {
            PrincipalKind::User => Some(&self.id),
            PrincipalKind::Key => self.rights.owner.as_ref().map(|owner| owner.id.as_str()),
            PrincipalKind::Service | PrincipalKind::Guest => None,
        }
    }

    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Under whom something is kept that it makes: of a user's key it is the user.
    pub fn keeper(&self) -> &str {
        self.rights.owner.as_ref().map_or(&self.id, |owner| &owner.id)
    }

    pub fn is_admin(&self) -> bool {
        self.has_role(Role::Admin)
    }
}
