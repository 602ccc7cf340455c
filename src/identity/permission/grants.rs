//! What grants say about a wish.

use std::sync::Arc;

use super::{Object, acts};
use crate::model::grant::{Effect, Fit, Grant, Reach, ResourceKind, Rules, Thing, Verb};
use crate::model::principal::{Principal, PrincipalKind, Role};

/// What the grants that allow come to.
#[derive(Clone, Copy)]
pub(super) enum Granted<'r> {
    No,
    By(&'r Grant),
    /// It would be, with arguments that this one names.
    WithOtherArguments(&'r Grant),
}

impl<'r> Granted<'r> {
    pub(super) fn grant(self) -> Option<&'r Grant> {
        match self {
            Self::By(grant) => Some(grant),
            Self::No | Self::WithOtherArguments(_) => None,
        }
    }
}

/// A grant as the rule that decided.
pub(super) fn told(grant: &Grant) -> String {
    let Grant { id, effect, subject, reach, note, .. } = grant;
    let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
    let verb = match effect {
        Effect::Allow => "allows",
        Effect::Deny => "denies",
    };
    format!("grant {id} {verb} {reach} to {subject}{note}")
}

/// What a thing is called in grants; none for what is nobody else's business, such as conversations.
pub(super) fn thing(object: Object<'_>) -> Option<Thing<'_>> {
    let named = |kind, name| Some(Thing { kind, bot: "", name });
    match object {
        Object::Bot(bot) => named(ResourceKind::Bot, &bot.name),
        Object::Command { bot, command, .. } => {
            Some(Thing { kind: ResourceKind::Command, bot: &bot.name, name: &command.name })
        }
        Object::Execution { bot, command, .. } | Object::Approval { bot, command, .. } => {
            Some(Thing { kind: ResourceKind::Execution, bot, name: command })
        }
        Object::Resource { kind, name, .. } => named(kind, name),
        Object::Key { id, .. } => named(ResourceKind::Key, id),
        Object::NewKey { .. } => named(ResourceKind::Key, "new"),
        Object::Installation => named(ResourceKind::Installation, "parlour"),
        Object::Conversation(_)
        | Object::Message { .. }
        | Object::File { .. }
        | Object::Action { .. }
        | Object::Group { .. } => None,
    }
}

/// Who may do something to a thing may look at it, and who may run something of a bot may talk with it. A reach over every
/// kind of thing gives of most only what it says.
pub(super) fn implies(reach: &Reach, verb: Verb, kind: ResourceKind) -> bool {
    let is_meant = reach.kind.is_some() || kind == ResourceKind::Bot;
    reach.has(verb) || (is_meant && (verb == Verb::View || (verb == Verb::Chat && reach.has(Verb::Invoke))))
}

/// The grants for a principal itself.
fn own<'r>(rules: &'r Rules, principal: &'r Principal) -> impl Iterator<Item = &'r Arc<Grant>> {
    let personal = match principal.kind {
        PrincipalKind::User => rules.user(&principal.id),
        PrincipalKind::Service => rules.service(&principal.id),
        PrincipalKind::Key | PrincipalKind::Guest => &[],
    };
    personal.iter().chain(shared(rules, &principal.roles, &principal.groups))
}

fn shared<'r>(rules: &'r Rules, roles: &'r [Role], groups: &'r [String]) -> impl Iterator<Item = &'r Arc<Grant>> {
    let roles = roles.iter().flat_map(|role| rules.role(*role));
    roles.chain(groups.iter().flat_map(|group| rules.group(group)))
}

/// The first grant that denies it: to the principal, or to the user whose key it uses.
pub(super) fn denies<'r>(
    rules: &'r Rules,
    principal: &'r Principal,
    verb: Verb,
    object: Object<'_>,
) -> Option<&'r Grant> {
    let thing = thing(object)?;
    // Nobody shuts the door behind all administrators.
    if thing.kind == ResourceKind::Installation && principal.is_admin() {
        return None;
    }
    let owner = principal.rights.owner.as_deref();
    let of_owner = owner
        .into_iter()
        .flat_map(|owner| rules.user(&owner.id).iter().chain(shared(rules, &owner.roles, &owner.groups)));
    let denies = |grant: &&Arc<Grant>| {
        let reach = &grant.reach;
        // What may not be seen may not be used.
        let forbids = grant.effect == Effect::Deny && (reach.has(verb) || reach.has(Verb::View));
        forbids
            && match object {
                Object::Command { bot, arguments, .. } => {
                    let bot = Thing { kind: ResourceKind::Bot, bot: "", name: &bot.name };
                    let is_it = reach.names(thing) && (arguments.is_some() || reach.when.is_empty());
                    (is_it && reach.arguments(arguments) == Fit::Yes) || reach.names(bot)
                }
                _ => reach.names(thing),
            }
    };
    own(rules, principal).chain(of_owner).find(denies).map(Arc::as_ref)
}

/// The first grant that allows it.
pub(super) fn allows<'r>(rules: &'r Rules, principal: &'r Principal, verb: Verb, object: Object<'_>) -> Granted<'r> {
    // What kind of key somebody makes is no matter of grants.
    let Some(thing) = thing(object).filter(|_| !matches!(object, Object::NewKey { .. })) else { return Granted::No };
    let mut with_others = Granted::No;
    for grant in counting(rules, principal, verb) {
        let reach = &grant.reach;
        match object {
            Object::Bot(bot) if verb != Verb::Serve && !reach.names(thing) => {
                // A command that is open to somebody is no use without its bot.
                let is_open = |name| reach.names(Thing { kind: ResourceKind::Command, bot: &bot.name, name });
                let for_a_command = verb != Verb::Invoke && verb != Verb::Manage && reach.has(Verb::Invoke);
                if for_a_command && bot.commands.iter().any(|command| is_open(&command.name)) {
                    return Granted::By(grant);
                }
            }
            Object::Command { arguments, .. } if reach.has(verb) && reach.names(thing) => {
                match reach.arguments(arguments) {
                    Fit::Yes => return Granted::By(grant),
                    Fit::OtherArguments | Fit::No => with_others = Granted::WithOtherArguments(grant),
                }
            }
            Object::Command { .. } => {}
            _ if implies(reach, verb, thing.kind) && reach.names(thing) => return Granted::By(grant),
            _ => {}
        }
    }
    with_others
}

/// The grants that allow something to a principal: a key has those of its user too, as far as its role acts.
fn counting<'r>(rules: &'r Rules, principal: &'r Principal, verb: Verb) -> impl Iterator<Item = &'r Grant> {
    let is_narrower = principal.kind == PrincipalKind::Key && verb != Verb::View && !acts(principal);
    let owner = principal.rights.owner.as_deref();
    let of_owner = owner.into_iter().flat_map(|owner| rules.user(&owner.id));
    own(rules, principal)
        .chain(of_owner)
        .filter(move |grant| !is_narrower && grant.effect == Effect::Allow)
        .map(Arc::as_ref)
}

/// Whether a grant lets somebody speak to a bot whom the role does not.
pub(super) fn speaks(rules: &Rules, principal: &Principal, bot: &str) -> bool {
    counting(rules, principal, Verb::Chat)
        .any(|grant| implies(&grant.reach, Verb::Chat, ResourceKind::Bot) && grant.reach.touches(bot))
}
