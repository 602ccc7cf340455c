//! What a principal may do: one decision under every door, with the rule that made it.
//!
//! In this order: what nobody may, not even an administrator; grants that deny (`grants`); the scopes of a key (`scopes`);
//! role admin; grants that allow; and at last roles, ownership and what bots write as `access`. What none of them allows
//! is denied.

use std::collections::BTreeMap;
use std::fmt;

use super::CredentialKind;
use crate::model::approval::Approve;
use crate::model::bot::{Access, Bot};
use crate::model::command::{Body, Command};
use crate::model::conversation::Conversation;
use crate::model::grant::ResourceKind;
pub use crate::model::grant::Verb;
use crate::model::principal::{Principal, PrincipalKind, Role};
use crate::model::{Error, Kind, Result};

mod grants;
mod scopes;
#[cfg(test)]
mod tests;

/// What it is done to.
#[derive(Clone, Copy, Debug)]
pub enum Object<'a> {
    Bot(&'a Bot),
    Command {
        bot: &'a Bot,
        command: &'a Command,
        /// Known when it is about to run; access may depend on them.
        arguments: Option<&'a BTreeMap<String, String>>,
    },
    Conversation(&'a Conversation),
    /// Something said in a conversation, and by which principal.
    Message {
        conversation: &'a Conversation,
        author: &'a str,
    },
    /// A file, by who uploaded it, and the conversation it was sent in.
    File {
        id: &'a str,
        owner: &'a str,
        conversation: Option<&'a Conversation>,
    },
    /// Something offered in a conversation, and to which principal.
    Action {
        conversation: &'a Conversation,
        to: &'a str,
    },
    /// A run, by the principal that started it and what runs.
    Execution {
        starter: &'a str,
        bot: &'a str,
        command: &'a str,
    },
    /// A run that waits for approval: by whom, and by which person it was asked for.
    Approval {
        approve: &'a Approve,
        requester: &'a str,
        bot: &'a str,
        command: &'a str,
    },
    /// A playbook, workflow, connector or credential. One without an owner is the installation's.
    Resource {
        kind: ResourceKind,
        name: &'a str,
        owner: Option<&'a str>,
    },
    /// An API key, by the user whose it is; none: the installation's.
    Key {
        id: &'a str,
        owner: Option<&'a str>,
    },
    /// A key that is to be made with a credential of this kind.
    NewKey {
        kind: CredentialKind,
        role: Role,
        groups: &'a [String],
        /// Whether it is to have limits of its own, or to serve bots.
        special: bool,
    },
    /// A group of the directory.
    Group {
        id: &'a str,
        name: &'a str,
    },
    /// Settings, health details, manifests, grants.
    Installation,
}

impl<'a> Object<'a> {
    /// A stored run.
    pub fn execution(run: &'a crate::store::execution::Execution) -> Self {
        Self::Execution { starter: &run.principal, bot: &run.bot, command: &run.command }
    }
}

/// Yes or no, and on demand why.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    pub allowed: bool,
    asked: (&'a Principal, Verb, Object<'a>),
}

impl Decision<'_> {
    /// One sentence naming the rule that decided. It is made only now: most decisions are never explained.
    pub fn rule(&self) -> String {
        let (principal, verb, object) = self.asked;
        let mut note = Note(Some(String::new()));
        judge(principal, verb, object, &mut note);
        note.0.unwrap_or_default()
    }
}

/// Where the rule that decides is written down, when somebody wants to read it.
struct Note(Option<String>);

impl Note {
    fn write<R: Into<String>>(&mut self, rule: impl FnOnce() -> R) {
        if let Some(text) = &mut self.0 {
            *text = rule().into();
        }
    }

    fn allow<R: Into<String>>(&mut self, rule: impl FnOnce() -> R) -> bool {
        self.write(rule);
        true
    }

    fn deny<R: Into<String>>(&mut self, rule: impl FnOnce() -> R) -> bool {
        self.write(rule);
        false
    }
}

/// Decides without failing: for lists, help and explanations.
pub fn decide<'a>(principal: &'a Principal, verb: Verb, object: Object<'a>) -> Decision<'a> {
    Decision { allowed: judge(principal, verb, object, &mut Note(None)), asked: (principal, verb, object) }
}

fn judge(principal: &Principal, verb: Verb, object: Object<'_>, note: &mut Note) -> bool {
    // Not even for an administrator: what it runs counts as said by who was asked, and a bot is done by programs.
    if let Object::Action { to, .. } = object
        && to != principal.id
    {
        return note.deny(|| "an action is taken by who was asked");
    }
    if matches!((verb, object), (Verb::Serve, Object::Bot(_))) && principal.kind == PrincipalKind::User {
        return note.deny(|| "a bot is served with an API key");
    }
    if let Object::Command { command, .. } = object
        && matches!(command.body, Body::Builtin(body) if body.is_about_keys())
        && principal.kind != PrincipalKind::User
    {
        return note.deny(|| "keys are made in a conversation by people");
    }
    let rules = principal.rights.grants.current();
    let rules = rules.as_deref();
    if let Some(grant) = rules.and_then(|rules| grants::denies(rules, principal, verb, object)) {
        return note.deny(|| grants::told(grant));
    }
    if !scopes::admit(&principal.rights.scopes, principal, verb, object) {
        return note.deny(|| scopes::told(&principal.rights.scopes));
    }
    // An administrator is no approver by that alone: four eyes are two persons.
    if let Object::Approval { approve, requester, .. } = object {
        return approves(principal, approve, requester, note);
    }
    if principal.is_admin() {
        return note.allow(|| "role admin may do everything");
    }
    let granted = rules.map_or(grants::Granted::No, |rules| grants::allows(rules, principal, verb, object));
    if let grants::Granted::By(grant) = granted {
        return note.allow(|| grants::told(grant));
    }
    let allowed = by_role(principal, verb, object, rules, note);
    if let (false, grants::Granted::WithOtherArguments(grant)) = (allowed, granted) {
        note.write(|| format!("{}, with no other arguments", grants::told(grant)));
    }
    allowed
}

/// What roles, ownership and `access` say.
fn by_role(
    principal: &Principal,
    verb: Verb,
    object: Object<'_>,
    rules: Option<&crate::model::grant::Rules>,
    note: &mut Note,
) -> bool {
    match object {
        Object::Bot(bot) if verb == Verb::Serve => serve(principal, bot, note),
        Object::Bot(bot) => access(principal, verb, &bot.access, What::Bot(&bot.name), note),
        Object::Command { bot, command, arguments } => {
            let by_grant = rules.and_then(|rules| grants::allows(rules, principal, verb, Object::Bot(bot)).grant());
            let of_bot = match by_grant {
                Some(grant) => note.allow(|| grants::told(grant)),
                None => access(principal, verb, &bot.access, What::Bot(&bot.name), note),
            };
            if !of_bot || command.access.is_unset() {
                return of_bot;
            }
            let what = What::Command(&command.name);
            access(principal, verb, &command.access, what, note)
                && arguments.is_none_or(|arguments| when(&command.access, arguments, what, note))
        }
        Object::Conversation(conversation)
        | Object::Message { conversation, .. }
        | Object::Action { conversation, .. }
            if conversation.owner != principal.id =>
        {
            note.deny(|| "a conversation belongs to who opened it")
        }
        Object::Message { author, .. } if verb == Verb::Manage && author != principal.id => {
            note.deny(|| "a message is changed by who said it")
        }
        Object::Conversation(conversation)
        | Object::Message { conversation, .. }
        | Object::Action { conversation, .. } => {
            let may_speak =
                || acts(principal) || rules.is_some_and(|rules| grants::speaks(rules, principal, &conversation.bot));
            if matches!(verb, Verb::Chat | Verb::Manage) && !may_speak() {
                return note.deny(|| "role readonly may look, not speak");
            }
            note.allow(|| "it is your conversation")
        }
        Object::File { owner, .. } if owner == principal.id => match verb {
            Verb::View => note.allow(|| "it is your file"),
            _ if acts(principal) => note.allow(|| "it is your file"),
            _ => note.deny(|| "role readonly may look, not send"),
        },
        Object::File { conversation: Some(conversation), .. } if verb == Verb::View => {
            by_role(principal, verb, Object::Conversation(conversation), rules, note)
        }
        Object::File { .. } => note.deny(|| "a file belongs to who uploaded it"),
        Object::Execution { starter, .. } if starter == principal.id => note.allow(|| "you started it"),
        Object::Execution { .. } => note.deny(|| "a run is shown to who started it"),
        Object::Approval { approve, requester, .. } => approves(principal, approve, requester, note),
        Object::Resource { kind, owner, .. } => resource(principal, verb, kind, owner, note),
        Object::Key { id, owner } if owner == Some(&principal.id) || id == principal.id => {
            note.allow(|| "it is your key")
        }
        Object::Key { .. } => note.deny(|| "a key belongs to who made it"),
        Object::NewKey { kind, role, groups, special } => new_key(principal, (kind, role, groups, special), note),
        Object::Group { name, .. } if verb == Verb::View && principal.groups.iter().any(|own| own == name) => {
            note.allow(|| "you are in it")
        }
        Object::Group { .. } | Object::Installation => note.deny(|| "needs role admin"),
    }
}

/// Who signed in may make keys within their own rights; only an administrator's key makes further keys, or a leaked one
/// could outlive its end.
fn new_key(
    principal: &Principal,
    (kind, role, groups, special): (CredentialKind, Role, &[String], bool),
    note: &mut Note,
) -> bool {
    if kind != CredentialKind::Login {
        return note.deny(|| "a key makes keys only with role admin");
    }
    if !super::keys::covers(&principal.roles, role) {
        return note.deny(|| format!("you do not have role {} yourself", role.as_str()));
    }
    if let Some(group) = groups.iter().find(|group| !principal.groups.contains(group)) {
        return note.deny(|| format!("you are not in group {group} yourself"));
    }
    if special {
        return note.deny(|| "limits of a key's own, and the bots it serves, are set by role admin");
    }
    note.allow(|| "it does no more than you may do")
}

/// Whether somebody is one of those who approve.
fn approves(principal: &Principal, approve: &Approve, requester: &str, note: &mut Note) -> bool {
    let Some(person) = principal.person() else { return note.deny(|| "an approval is given by a person") };
    if approve.not_requester && person == requester {
        return note.deny(|| "whoever asks for it does not approve it");
    }
    if let Some(group) = approve.groups.iter().find(|group| principal.groups.contains(group)) {
        return note.allow(|| format!("group {group} approves it"));
    }
    if let Some(role) = approve.roles.iter().find(|role| principal.has_role(**role)) {
        return note.allow(|| format!("role {} approves it", role.as_str()));
    }
    note.deny(|| "others approve it")
}

/// What is written down by an administrator is there for who may act; credentials are not: they are their owner's, or
/// given by grants.
fn resource(principal: &Principal, verb: Verb, kind: ResourceKind, owner: Option<&str>, note: &mut Note) -> bool {
    // What a user made is there for their keys as well.
    let is_own =
        |owner: &str| owner == principal.id || principal.rights.owner.as_ref().is_some_and(|user| user.id == owner);
    if owner.is_some_and(is_own) {
        return match verb {
            Verb::View => note.allow(|| format!("it is your {}", kind.as_str())),
            _ if acts(principal) => note.allow(|| format!("it is your {}", kind.as_str())),
            _ => note.deny(|| "role readonly may look, not act"),
        };
    }
    if owner.is_some() {
        return note.deny(|| format!("a {} belongs to who made it", kind.as_str()));
    }
    match (kind, verb) {
        (ResourceKind::Playbook | ResourceKind::Workflow | ResourceKind::Connector, Verb::View) => {
            if acts(principal) || principal.has_role(Role::Readonly) {
                return note
                    .allow(|| format!("a {} of the installation is shown to everybody with a role", kind.as_str()));
            }
            note.deny(|| "nobody without a role may look")
        }
        (ResourceKind::Playbook | ResourceKind::Workflow | ResourceKind::Connector, Verb::Invoke) => {
            if acts(principal) {
                return note.allow(|| format!("a {} of the installation is open to role user", kind.as_str()));
            }
            note.deny(|| format!("{} may look, not act", roles_of(principal)))
        }
        (ResourceKind::Credential, Verb::View | Verb::Invoke) => note.deny(|| "needs role admin or a grant"),
        _ => note.deny(|| "needs role admin"),
    }
}

/// Decides, and fails with what the caller may know: what may not be seen does not exist.
pub fn authorize(principal: &Principal, verb: Verb, object: Object<'_>) -> Result<()> {
    let decision = decide(principal, verb, object);
    if decision.allowed {
        return Ok(());
    }
    let rule = decision.rule();
    Err(match object {
        Object::Conversation(conversation)
        | Object::Message { conversation, .. }
        | Object::Action { conversation, .. }
            if conversation.owner != principal.id && !principal.is_admin() =>
        {
            crate::store::conversation::unknown(&conversation.id)
        }
        Object::File { id, owner, .. } if owner != principal.id => crate::store::file::unknown(id),
        Object::Action { to, .. } if to != principal.id => crate::store::action::unknown(),
        Object::Execution { .. } => Error::not_found("there is no such execution"),
        Object::Approval { .. } => Error::not_found("there is no such invocation"),
        Object::Resource { kind, name, .. } if verb == Verb::View || !decide(principal, Verb::View, object).allowed => {
            unknown_resource(kind, name)
        }
        Object::Resource { kind, name, .. } => {
            Error::forbidden(format!("you may not {} {} '{name}': {rule}", verb.as_str(), kind.as_str()))
        }
        Object::Bot(bot) if verb == Verb::View => unknown_bot(&bot.name),
        Object::Bot(bot) if verb == Verb::Serve && !decide(principal, Verb::View, object).allowed => {
            unknown_bot(&bot.name)
        }
        Object::Bot(bot) => Error::forbidden(format!("you may not use bot '{}': {rule}", bot.name)),
        Object::Command { command, .. } => {
            Error::forbidden(format!("you may not use command '{}': {rule}", command.name))
        }
        Object::Key { id, .. } => super::keys::unknown(id),
        Object::Group { id, .. } if !decide(principal, Verb::View, object).allowed => crate::store::group::unknown(id),
        Object::Conversation(_)
        | Object::Message { .. }
        | Object::File { .. }
        | Object::Action { .. }
        | Object::NewKey { .. }
        | Object::Group { .. }
        | Object::Installation => Error::forbidden(format!("Access denied: {rule}")),
    })
}

/// What anybody hears about a bot that is not there or not for them.
pub fn unknown_bot(name: &str) -> Error {
    Error::not_found(format!("there is no bot '{name}'")).details(serde_json::json!({ "bot_id": name }))
}

/// What anybody hears about a playbook, workflow, connector or credential that is not there or not for them.
pub fn unknown_resource(kind: ResourceKind, name: &str) -> Error {
    let code = match kind {
        ResourceKind::Playbook => "PLAYBOOK_NOT_FOUND",
        ResourceKind::Workflow => "WORKFLOW_NOT_FOUND",
        ResourceKind::Connector => "CONNECTOR_NOT_FOUND",
        ResourceKind::Credential => "CREDENTIAL_NOT_FOUND",
        ResourceKind::Webhook => "WEBHOOK_NOT_FOUND",
        _ => "NOT_FOUND",
    };
    let details = serde_json::json!({ kind.as_str(): name });
    Error::new(Kind::NotFound, code, format!("there is no {} '{name}'", kind.as_str())).details(details)
}

fn has_any(principal: &Principal, roles: &[Role]) -> bool {
    roles.iter().any(|role| principal.has_role(*role))
}

/// Whether the role is one that does things.
fn acts(principal: &Principal) -> bool {
    has_any(principal, &[Role::Admin, Role::User, Role::Executor])
}

/// Whether the principal may do a bot's commands: only programs, and only those made for it.
fn serve(principal: &Principal, bot: &Bot, note: &mut Note) -> bool {
    if principal.serves.contains(&bot.name) {
        return note.allow(|| format!("the key was made to serve {}", bot.name));
    }
    note.deny(|| format!("the key was not made to serve {} (--serves {})", bot.name, bot.name))
}

/// What an access is of, by name.
#[derive(Clone, Copy)]
enum What<'a> {
    Bot(&'a str),
    Command(&'a str),
}

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bot(name) => write!(f, "bot {name}"),
            Self::Command(name) => write!(f, "command {name}"),
        }
    }
}

/// Whether what was written as access admits the principal. Nothing written means role `user`; an executor may run what
/// a user may run, and whoever may only read may see what a user may see.
fn access(principal: &Principal, verb: Verb, access: &Access, what: What<'_>, note: &mut Note) -> bool {
    if matches!(verb, Verb::Manage | Verb::Serve) {
        return note.deny(|| "needs role admin");
    }
    if verb != Verb::View && !acts(principal) {
        return note.deny(|| format!("{} may look, not act", roles_of(principal)));
    }
    if let Some(group) = access.groups.iter().find(|group| principal.groups.contains(group)) {
        return note.allow(|| format!("{what} is open to group {group}"));
    }
    if let Some(role) = access.roles.iter().find(|role| principal.has_role(**role)) {
        return note.allow(|| format!("{what} is open to role {}", role.as_str()));
    }
    let open_to_users = access.roles.contains(&Role::User) || (access.roles.is_empty() && access.groups.is_empty());
    let stands_in = acts(principal) || (verb == Verb::View && principal.has_role(Role::Readonly));
    if open_to_users && stands_in {
        return note.allow(|| format!("{what} is open to role user"));
    }
    note.deny(|| {
        let mut wanted: Vec<String> = access.roles.iter().map(|role| format!("role {}", role.as_str())).collect();
        wanted.extend(access.groups.iter().map(|group| format!("group {group}")));
        if wanted.is_empty() {
            wanted.push("role user".to_owned());
        }
        format!("{what} is for {}", wanted.join(", "))
    })
}

/// The arguments' part of an access.
fn when(access: &Access, arguments: &BTreeMap<String, String>, what: What<'_>, note: &mut Note) -> bool {
    access.when.iter().all(|(parameter, admitted)| {
        let given = arguments.get(parameter).map(String::as_str).unwrap_or_default();
        admitted.iter().any(|value| value == given)
            || note.deny(|| format!("{what} is yours only with {parameter} {}", admitted.join(" or ")))
    })
}

fn roles_of(principal: &Principal) -> String {
    match principal.roles.as_slice() {
        [] => "nobody without a role".to_owned(),
        roles => format!("role {}", roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")),
    }
}
