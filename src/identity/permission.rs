//! What a principal may do: one decision under every door, with the rule that made it.

use std::collections::BTreeMap;

use super::CredentialKind;
use crate::model::bot::{Access, Bot};
use crate::model::command::Command;
use crate::model::conversation::Conversation;
use crate::model::principal::{Principal, PrincipalKind, Role};
use crate::model::{Error, Result};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Know that it is there and read it.
    View,
    /// Say something.
    Chat,
    /// Run it.
    Invoke,
    /// Do its commands, as a process elsewhere.
    Serve,
    /// Change or end it, or look behind it.
    Manage,
}

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
    /// A run, by the principal that started it.
    Execution(&'a str),
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
    /// Settings, health details, manifests.
    Installation,
}

/// Yes or no, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// One sentence naming the rule that decided.
    pub rule: String,
}

fn allow(rule: impl Into<String>) -> Decision {
    Decision { allowed: true, rule: rule.into() }
}

fn deny(rule: impl Into<String>) -> Decision {
    Decision { allowed: false, rule: rule.into() }
}

/// Decides without failing: for lists, help and explanations.
pub fn decide(principal: &Principal, verb: Verb, object: Object<'_>) -> Decision {
    if let (Verb::Serve, Object::Bot(bot)) = (verb, object) {
        return serve(principal, bot);
    }
    // Not even for an administrator: what it runs counts as said by who was asked.
    if let Object::Action { to, .. } = object
        && to != principal.id
    {
        return deny("an action is taken by who was asked");
    }
    if principal.is_admin() {
        return allow("role admin may do everything");
    }
    match object {
        Object::Bot(bot) => access(principal, verb, &bot.access, &format!("bot {}", bot.name)),
        Object::Command { bot, command, arguments } => {
            let of_bot = access(principal, verb, &bot.access, &format!("bot {}", bot.name));
            if !of_bot.allowed || command.access.is_unset() {
                return of_bot;
            }
            let name = format!("command {}", command.name);
            let of_command = access(principal, verb, &command.access, &name);
            match arguments {
                Some(arguments) if of_command.allowed => when(&command.access, arguments, &name).unwrap_or(of_command),
                _ => of_command,
            }
        }
        Object::Conversation(conversation)
        | Object::Message { conversation, .. }
        | Object::Action { conversation, .. }
            if conversation.owner != principal.id =>
        {
            deny("a conversation belongs to who opened it")
        }
        Object::Message { author, .. } if verb == Verb::Manage && author != principal.id => {
            deny("a message is changed by who said it")
        }
        Object::Conversation(_) | Object::Message { .. } | Object::Action { .. } => match verb {
            Verb::Chat | Verb::Manage if !has_any(principal, &[Role::User, Role::Executor]) => {
                deny("role readonly may look, not speak")
            }
            _ => allow("it is your conversation"),
        },
        Object::File { owner, .. } if owner == principal.id => match verb {
            Verb::View => allow("it is your file"),
            _ if has_any(principal, &[Role::User, Role::Executor]) => allow("it is your file"),
            _ => deny("role readonly may look, not send"),
        },
        Object::File { conversation: Some(conversation), .. } if verb == Verb::View => {
            decide(principal, verb, Object::Conversation(conversation))
        }
        Object::File { .. } => deny("a file belongs to who uploaded it"),
        Object::Execution(starter) if starter == principal.id => allow("you started it"),
        Object::Execution(_) => deny("a run is shown to who started it"),
        Object::Key { id, owner } if owner == Some(&principal.id) || id == principal.id => allow("it is your key"),
        Object::Key { .. } => deny("a key belongs to who made it"),
        Object::NewKey { kind, role, groups, special } => new_key(principal, kind, role, groups, special),
        Object::Group { name, .. } if verb == Verb::View && principal.groups.iter().any(|own| own == name) => {
            allow("you are in it")
        }
        Object::Group { .. } | Object::Installation => deny("needs role admin"),
    }
}

/// Who signed in may make keys within their own rights; only an administrator's key makes further keys, or a leaked one
/// could outlive its end.
fn new_key(principal: &Principal, kind: CredentialKind, role: Role, groups: &[String], special: bool) -> Decision {
    if kind == CredentialKind::ApiKey {
        return deny("a key makes keys only with role admin");
    }
    if !super::keys::covers(&principal.roles, role) {
        return deny(format!("you do not have role {} yourself", role.as_str()));
    }
    if let Some(group) = groups.iter().find(|group| !principal.groups.contains(group)) {
        return deny(format!("you are not in group {group} yourself"));
    }
    if special {
        return deny("limits of a key's own, and the bots it serves, are set by role admin");
    }
    allow("it does no more than you may do")
}

/// Decides, and fails with what the caller may know: what may not be seen does not exist.
pub fn authorize(principal: &Principal, verb: Verb, object: Object<'_>) -> Result<()> {
    let decision = decide(principal, verb, object);
    if decision.allowed {
        return Ok(());
    }
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
        Object::Execution(_) => Error::not_found("there is no such execution"),
        Object::Bot(bot) if verb == Verb::View => unknown_bot(&bot.name),
        Object::Bot(bot) if verb == Verb::Serve && !decide(principal, Verb::View, object).allowed => {
            unknown_bot(&bot.name)
        }
        Object::Bot(bot) => Error::forbidden(format!("you may not use bot '{}': {}", bot.name, decision.rule)),
        Object::Command { command, .. } => {
            Error::forbidden(format!("you may not use command '{}': {}", command.name, decision.rule))
        }
        Object::Key { id, .. } => super::keys::unknown(id),
        Object::Group { id, .. } if !decide(principal, Verb::View, object).allowed => crate::store::group::unknown(id),
        Object::Conversation(_)
        | Object::Message { .. }
        | Object::File { .. }
        | Object::Action { .. }
        | Object::NewKey { .. }
        | Object::Group { .. }
        | Object::Installation => Error::forbidden(format!("Access denied: {}", decision.rule)),
    })
}

/// What anybody hears about a bot that is not there or not for them.
pub fn unknown_bot(name: &str) -> Error {
    Error::not_found(format!("there is no bot '{name}'")).details(serde_json::json!({ "bot_id": name }))
}

fn has_any(principal: &Principal, roles: &[Role]) -> bool {
    roles.iter().any(|role| principal.has_role(*role))
}

/// Whether the principal may do a bot's commands: only programs, and only those made for it.
fn serve(principal: &Principal, bot: &Bot) -> Decision {
    if principal.kind != PrincipalKind::Key {
        return deny("a bot is served with an API key");
    }
    if principal.is_admin() {
        return allow("a key with role admin may serve every bot");
    }
    if principal.serves.contains(&bot.name) {
        return allow(format!("the key was made to serve {}", bot.name));
    }
    deny(format!("the key was not made to serve {} (--serves {})", bot.name, bot.name))
}

/// Whether what was written as access admits the principal. Nothing written means role `user`; an executor may run what
/// a user may run, and whoever may only read may see what a user may see.
fn access(principal: &Principal, verb: Verb, access: &Access, what: &str) -> Decision {
    if matches!(verb, Verb::Manage | Verb::Serve) {
        return deny("needs role admin");
    }
    if verb != Verb::View && !has_any(principal, &[Role::User, Role::Executor]) {
        return deny(format!("{} may look, not act", roles_of(principal)));
    }
    if let Some(group) = access.groups.iter().find(|group| principal.groups.contains(group)) {
        return allow(format!("{what} is open to group {group}"));
    }
    let open_to_users = access.roles.contains(&Role::User) || (access.roles.is_empty() && access.groups.is_empty());
    if let Some(role) = access.roles.iter().find(|role| principal.has_role(**role)) {
        return allow(format!("{what} is open to role {}", role.as_str()));
    }
    let stands_in = match verb {
        Verb::View => has_any(principal, &[Role::User, Role::Executor, Role::Readonly]),
        Verb::Chat | Verb::Invoke | Verb::Serve | Verb::Manage => has_any(principal, &[Role::User, Role::Executor]),
    };
    if open_to_users && stands_in {
        return allow(format!("{what} is open to role user"));
    }
    let mut wanted: Vec<String> = access.roles.iter().map(|role| format!("role {}", role.as_str())).collect();
    wanted.extend(access.groups.iter().map(|group| format!("group {group}")));
    if wanted.is_empty() {
        wanted.push("role user".to_owned());
    }
    deny(format!("{what} is for {}", wanted.join(", ")))
}

/// The arguments' part of an access: `None` when every one is admitted.
fn when(access: &Access, arguments: &BTreeMap<String, String>, what: &str) -> Option<Decision> {
    access.when.iter().find_map(|(parameter, admitted)| {
        let given = arguments.get(parameter).map(String::as_str).unwrap_or_default();
        let fits = admitted.iter().any(|value| value == given);
        (!fits).then(|| deny(format!("{what} is yours only with {parameter} {}", admitted.join(" or "))))
    })
}

fn roles_of(principal: &Principal) -> String {
    match principal.roles.as_slice() {
        [] => "nobody without a role".to_owned(),
        roles => format!("role {}", roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::principal::PrincipalKind;

    fn principal(roles: &[Role], groups: &[&str]) -> Principal {
        Principal {
            id: "p".into(),
            kind: PrincipalKind::User,
            name: "P".into(),
            roles: roles.to_vec(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            serves: Vec::new(),
        }
    }

    fn bot(roles: &[Role], groups: &[&str]) -> Bot {
        Bot {
            name: "ops".into(),
            display_name: "Ops".into(),
            description: String::new(),
            avatar: String::new(),
            access: Access {
                roles: roles.to_vec(),
                groups: groups.iter().map(|g| (*g).to_owned()).collect(),
                when: BTreeMap::new(),
            },
            commands: Vec::new(),
            version: String::new(),
        }
    }

    #[test]
    fn nothing_written_means_role_user_and_deny_is_the_default() {
        use Role::{Admin, Executor, Readonly, User};
        /// The principal's roles and groups, the bot's roles and groups, may View, Chat, Invoke.
        type Case<'a> = (&'a [Role], &'a [&'a str], &'a [Role], &'a [&'a str], [bool; 3]);
        let cases: &[Case<'_>] = &[
            (&[Admin], &[], &[], &["sre"], [true, true, true]),
            (&[User], &[], &[], &[], [true, true, true]),
            (&[Executor], &[], &[], &[], [true, true, true]),
            (&[Readonly], &[], &[], &[], [true, false, false]),
            (&[], &[], &[], &[], [false, false, false]),
            (&[User], &[], &[], &["sre"], [false, false, false]),
            (&[User], &["sre"], &[], &["sre"], [true, true, true]),
            (&[Readonly], &["sre"], &[], &["sre"], [true, false, false]),
            (&[User], &[], &[Admin], &[], [false, false, false]),
            (&[Executor], &[], &[Executor], &[], [true, true, true]),
            (&[User], &[], &[Executor], &[], [false, false, false]),
        ];
        for (roles, groups, bot_roles, bot_groups, expected) in cases {
            let (who, bot) = (principal(roles, groups), bot(bot_roles, bot_groups));
            let got = [Verb::View, Verb::Chat, Verb::Invoke].map(|verb| decide(&who, verb, Object::Bot(&bot)).allowed);
            assert_eq!(got, *expected, "{roles:?} {groups:?} on {bot_roles:?} {bot_groups:?}");
        }
    }

    #[test]
    fn a_bot_is_served_by_programs_that_were_made_for_it() {
        let shop = Bot { name: "shop".into(), ..bot(&[], &["sre"]) };
        let who = |kind, role: Role, serves: &[&str]| Principal {
            kind,
            serves: serves.iter().map(|name| (*name).to_owned()).collect(),
            ..principal(&[role], &[])
        };
        use PrincipalKind::{Key, User};
        for (who, allowed, code) in [
            (who(Key, Role::Executor, &["shop"]), true, ""),
            (who(Key, Role::Admin, &[]), true, ""),
            (who(Key, Role::Executor, &["ops"]), false, "NOT_FOUND"),
            (who(User, Role::Admin, &["shop"]), false, "FORBIDDEN"),
            (who(User, Role::User, &["shop"]), false, "NOT_FOUND"),
        ] {
            let outcome = authorize(&who, Verb::Serve, Object::Bot(&shop));
            assert_eq!(outcome.as_ref().err().map_or("", |error| error.code), code, "{who:?}");
            assert_eq!(outcome.is_ok(), allowed);
        }
    }

    #[test]
    fn a_key_is_made_within_its_makers_rights() {
        use Role::{Admin, Executor, Readonly, User};
        let sre = ["sre".to_owned()];
        for (roles, groups, kind, role, wanted, special, allowed) in [
            (vec![Admin], vec![], CredentialKind::ApiKey, Admin, &sre as &[String], true, true),
            (vec![User], vec![], CredentialKind::ApiKey, User, &[], false, false),
            (vec![User], vec![], CredentialKind::Login, User, &[], false, true),
            (vec![User], vec![], CredentialKind::Login, Readonly, &[], false, true),
            (vec![User], vec![], CredentialKind::Login, Executor, &[], false, false),
            (vec![User], vec![], CredentialKind::Login, Admin, &[], false, false),
            (vec![User], vec![], CredentialKind::Login, User, &sre, false, false),
            (vec![User], vec!["sre"], CredentialKind::Login, User, &sre, false, true),
            (vec![User], vec![], CredentialKind::Login, User, &[], true, false),
            (vec![], vec![], CredentialKind::Login, Readonly, &[], false, false),
        ] {
            let object = Object::NewKey { kind, role, groups: wanted, special };
            let decision = decide(&principal(&roles, &groups), Verb::Manage, object);
            assert_eq!(decision.allowed, allowed, "{roles:?} in {groups:?} by {kind:?}: {role:?} {wanted:?}");
        }
        let key = Object::Key { id: "k", owner: Some("p") };
        assert!(decide(&principal(&[User], &[]), Verb::Manage, key).allowed, "it is theirs");
        let foreign = Object::Key { id: "k", owner: Some("q") };
        let error = authorize(&principal(&[User], &[]), Verb::Manage, foreign).unwrap_err();
        assert_eq!(error.code, "NOT_FOUND");
    }

    #[test]
    fn a_foreign_conversation_does_not_exist() {
        use crate::model::conversation::ConversationStatus;
        let conversation = Conversation {
            id: "c".into(),
            bot: "ops".into(),
            owner: "somebody".into(),
            channel: "web".into(),
            status: ConversationStatus::Active,
            created_at: 0,
            closed_at: None,
        };
        let error =
            authorize(&principal(&[Role::User], &[]), Verb::View, Object::Conversation(&conversation)).unwrap_err();
        assert_eq!(error.code, "NOT_FOUND");
        assert!(authorize(&principal(&[Role::Admin], &[]), Verb::View, Object::Conversation(&conversation)).is_ok());
    }
}
