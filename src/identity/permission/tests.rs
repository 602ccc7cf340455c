use super::*;
use crate::model::grant::{Effect, Grant, Reach, Rules};
use crate::model::principal::{Owner, PrincipalKind, Rights};

fn principal(roles: &[Role], groups: &[&str]) -> Principal {
    Principal {
        id: "p".into(),
        kind: PrincipalKind::User,
        name: "P".into(),
        roles: roles.to_vec(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        serves: Vec::new(),
        rights: Rights::default(),
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
        let who = principal(&roles, &groups);
        let decision = decide(&who, Verb::Manage, object);
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
    let error = authorize(&principal(&[Role::User], &[]), Verb::View, Object::Conversation(&conversation)).unwrap_err();
    assert_eq!(error.code, "NOT_FOUND");
    assert!(authorize(&principal(&[Role::Admin], &[]), Verb::View, Object::Conversation(&conversation)).is_ok());
}

/// A principal with these grants: effect, subject and reach.
fn under(grants: &[(Effect, &str, &str)], who: Principal) -> Principal {
    let grants = grants.iter().enumerate().map(|(index, (effect, subject, reach))| Grant {
        id: format!("g{index}"),
        effect: *effect,
        subject: subject.parse().unwrap(),
        reach: reach.parse().unwrap(),
        note: String::new(),
        created_by: String::new(),
        created_at: 0,
    });
    who.rights.grants.replace(Rules::new(grants.collect::<Vec<_>>()));
    who
}

fn deploy(groups: &[&str]) -> std::sync::Arc<Command> {
    let groups: Vec<&str> = groups.to_vec();
    serde_json::from_value(serde_json::json!({
        "bot": "ops", "name": "deploy", "description": "", "intents": [], "parameters": [], "mapped_parameters": {},
        "examples": [], "access": { "roles": [], "groups": groups, "when": {} }, "effect": "read", "auto_submit": true,
        "priority": 0, "body": { "builtin": "help" }, "data": {},
    }))
    .map(std::sync::Arc::new)
    .unwrap()
}

#[test]
fn grants_add_and_take_away_and_deny_wins() {
    use Effect::{Allow, Deny};
    use Role::{Admin, Readonly, User};
    type Case<'a> = (&'a [(Effect, &'a str, &'a str)], &'a [Role], &'a [&'a str], [bool; 5]);
    // May: view the bot, chat with it, run deploy as help knows it, with env=staging, with env=prod.
    let cases: &[Case<'_>] = &[
        (&[], &[User], &[], [false; 5]),
        (&[(Allow, "user:p", "invoke:command:ops/deploy")], &[User], &[], [true; 5]),
        (&[(Allow, "user:p", "invoke:command:ops/deploy")], &[Readonly], &[], [true; 5]),
        (&[(Allow, "user:q", "invoke:command:ops/deploy")], &[User], &[], [false; 5]),
        (&[(Allow, "group:dev", "*:command:deploy")], &[User], &["dev"], [true; 5]),
        (&[(Allow, "role:user", "invoke:command:deploy?env=staging")], &[User], &[], [true, true, true, true, false]),
        (&[(Allow, "role:user", "view:bot:ops")], &[User], &[], [true, false, false, false, false]),
        (&[(Allow, "role:user", "view:*:*")], &[User], &[], [true, false, false, false, false]),
        // The bot is not the command, which is for sre only.
        (&[(Allow, "role:user", "*:bot:*")], &[User], &[], [true, true, false, false, false]),
        (&[], &[User], &["sre"], [true; 5]),
        (&[(Deny, "user:p", "invoke:command:ops/*?env=prod")], &[User], &["sre"], [true, true, true, true, false]),
        (&[(Deny, "group:sre", "invoke:bot:ops")], &[User], &["sre"], [true, true, false, false, false]),
        (&[(Deny, "role:user", "view:bot:ops")], &[User], &["sre"], [false; 5]),
        (&[(Deny, "user:p", "invoke:command:*")], &[Admin], &[], [true, true, false, false, false]),
        (
            &[(Allow, "user:p", "*:*:*"), (Deny, "group:new", "invoke:*:deploy")],
            &[User],
            &["new"],
            [true, true, false, false, false],
        ),
    ];
    let command = deploy(&["sre"]);
    let bot = Bot { commands: vec![command.clone()], ..bot(&[], &["sre"]) };
    let with = |value: &str| BTreeMap::from([("env".to_owned(), value.to_owned())]);
    let (staging, prod) = (with("staging"), with("prod"));
    for (grants, roles, groups, expected) in cases {
        let who = under(grants, principal(roles, groups));
        let run = |arguments| Object::Command { bot: &bot, command: &command, arguments };
        let got = [
            decide(&who, Verb::View, Object::Bot(&bot)),
            decide(&who, Verb::Chat, Object::Bot(&bot)),
            decide(&who, Verb::Invoke, run(None)),
            decide(&who, Verb::Invoke, run(Some(&staging))),
            decide(&who, Verb::Invoke, run(Some(&prod))),
        ];
        assert_eq!(got.map(|decision| decision.allowed), *expected, "{grants:?} for {roles:?} in {groups:?}");
        assert!(got.iter().all(|decision| !decision.rule().is_empty()));
    }
    let who = under(&[(Deny, "user:p", "invoke:command:deploy")], principal(&[User], &["sre"]));
    let object = Object::Command { bot: &bot, command: &command, arguments: None };
    assert_eq!(decide(&who, Verb::Invoke, object).rule(), "grant g0 denies invoke:command:deploy to user:p");
    who.rights.grants.replace(Rules::default());
    assert!(decide(&who, Verb::Invoke, object).allowed, "what changes counts for everybody at once");
}

#[test]
fn nobody_shuts_the_door_behind_all_administrators() {
    let who = under(&[(Effect::Deny, "role:admin", "*:*:*")], principal(&[Role::Admin], &[]));
    assert!(decide(&who, Verb::Manage, Object::Installation).allowed);
    assert!(!decide(&who, Verb::View, Object::Bot(&bot(&[], &[]))).allowed);
    let who = under(&[(Effect::Allow, "user:p", "manage:installation:*")], principal(&[Role::User], &[]));
    assert!(decide(&who, Verb::Manage, Object::Installation).allowed);
}

#[test]
fn a_key_has_its_users_grants_within_its_role_and_its_scopes() {
    use Effect::{Allow, Deny};
    let key = |role: Role, scopes: &[&str]| Principal {
        id: "k".into(),
        kind: PrincipalKind::Key,
        rights: Rights {
            scopes: scopes.iter().map(|scope| scope.parse::<Reach>().unwrap()).collect(),
            owner: Some(std::sync::Arc::new(Owner {
                id: "p".into(),
                roles: vec![Role::User],
                groups: vec!["interns".into()],
            })),
            ..Rights::default()
        },
        ..principal(&[role], &[])
    };
    let (open, closed) = (deploy(&[]), deploy(&["sre"]));
    let bot = Bot { commands: vec![open.clone(), closed.clone()], ..bot(&[], &[]) };
    let invoke = |who: &Principal, command: &std::sync::Arc<Command>| {
        decide(who, Verb::Invoke, Object::Command { bot: &bot, command, arguments: None }).allowed
    };
    let granted = [(Allow, "user:p", "invoke:command:ops/deploy")];
    assert!(invoke(&under(&granted, key(Role::User, &[])), &closed));
    assert!(!invoke(&under(&granted, key(Role::Readonly, &[])), &closed), "a key to look does nothing");
    assert!(!invoke(&under(&granted, key(Role::User, &["view:*:*"])), &closed));
    assert!(!invoke(&key(Role::User, &["invoke:command:deploy"]), &closed), "scopes give nothing");
    assert!(invoke(&key(Role::User, &["invoke:command:deploy"]), &open));
    assert!(invoke(&key(Role::User, &["invoke:bot:ops"]), &open));
    assert!(!invoke(&key(Role::User, &["invoke:command:other/*", "chat:bot:ops"]), &open));
    // A key is no way around what its user is denied, even by a group that the key is not in.
    assert!(!invoke(&under(&[(Deny, "group:interns", "invoke:*:*")], key(Role::User, &[])), &open));
    assert!(!invoke(&under(&[(Deny, "user:p", "invoke:*:*")], key(Role::User, &[])), &open));

    let narrow = key(Role::Admin, &["invoke:command:ops/deploy"]);
    let own = Object::Execution { starter: "k", bot: "ops", command: "deploy" };
    let foreign = Object::Execution { starter: "q", bot: "ops", command: "deploy" };
    assert!(decide(&narrow, Verb::View, own).allowed && !decide(&narrow, Verb::View, foreign).allowed);
    assert!(!decide(&narrow, Verb::Manage, Object::Installation).allowed);
    let new = Object::NewKey { kind: CredentialKind::ApiKey, role: Role::Admin, groups: &[], special: false };
    assert!(!decide(&narrow, Verb::Manage, new).allowed);
    assert!(decide(&narrow, Verb::Chat, Object::Bot(&bot)).allowed, "to run it in a conversation");
}

#[test]
fn resources_of_the_installation_are_open_and_credentials_are_not() {
    use ResourceKind::{Credential, Playbook};
    let may = |who: &Principal, verb, kind, owner| {
        decide(who, verb, Object::Resource { kind, name: "nightly", owner }).allowed
    };
    let user = principal(&[Role::User], &[]);
    assert!(may(&user, Verb::View, Playbook, None) && may(&user, Verb::Invoke, Playbook, None));
    assert!(!may(&user, Verb::Manage, Playbook, None) && !may(&user, Verb::View, Playbook, Some("q")));
    assert!(may(&user, Verb::Manage, Playbook, Some("p")));
    assert!(!may(&user, Verb::View, Credential, None) && may(&user, Verb::Invoke, Credential, Some("p")));
    assert!(!may(&principal(&[Role::Readonly], &[]), Verb::Invoke, Playbook, Some("p")));
    let granted =
        under(&[(Effect::Allow, "group:ops", "invoke:credential:night*")], principal(&[Role::User], &["ops"]));
    assert!(may(&granted, Verb::Invoke, Credential, Some("q")) && may(&granted, Verb::View, Credential, Some("q")));
    assert!(!may(&granted, Verb::Manage, Credential, Some("q")));
    let unknown = |name| authorize(&user, Verb::Manage, Object::Resource { kind: Credential, name, owner: Some("q") });
    assert_eq!(unknown("x").unwrap_err().code, "CREDENTIAL_NOT_FOUND");
}
