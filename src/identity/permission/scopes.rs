//! What a key or a service is narrowed to. Scopes give nothing: they only take away.

use super::grants::{implies, thing};
use super::{Object, Verb};
use crate::intent::RESERVED_BOT;
use crate::model::grant::{Fit, Reach, ResourceKind, Thing};
use crate::model::principal::Principal;

/// The scopes as the rule that decided.
pub(super) fn told(scopes: &[Reach]) -> String {
    let scopes: Vec<String> = scopes.iter().map(Reach::to_string).collect();
    format!("the key is only for {}", scopes.join(", "))
}

/// Whether one of the scopes takes a wish in; without scopes every wish is.
pub(super) fn admit(scopes: &[Reach], principal: &Principal, verb: Verb, object: Object<'_>) -> bool {
    if scopes.is_empty() {
        return true;
    }
    let any = |wanted: &dyn Fn(&Reach) -> bool| scopes.iter().any(wanted);
    let speaks = |reach: &Reach| reach.has(Verb::Chat) || reach.has(Verb::Invoke);
    match object {
        // It only ever tells what one may do.
        Object::Bot(bot) | Object::Command { bot, .. } if bot.name == RESERVED_BOT => verb != Verb::Manage,
        Object::Bot(bot) => {
            let bot = Thing { kind: ResourceKind::Bot, bot: "", name: &bot.name };
            any(&|reach| {
                let for_a_command = matches!(verb, Verb::View | Verb::Chat) && implies(reach, verb, bot.kind);
                (reach.names(bot) && implies(reach, verb, bot.kind)) || (for_a_command && reach.touches(bot.name))
            })
        }
        Object::Command { bot, command, arguments } => {
            let of = Thing { kind: ResourceKind::Bot, bot: "", name: &bot.name };
            let it = Thing { kind: ResourceKind::Command, bot: &bot.name, name: &command.name };
            any(&|reach| {
                let is_it = reach.names(it) && reach.arguments(arguments) == Fit::Yes;
                reach.has(verb) && (is_it || reach.names(of))
            })
        }
        Object::Conversation(conversation)
        | Object::Message { conversation, .. }
        | Object::Action { conversation, .. }
        | Object::File { conversation: Some(conversation), .. } => {
            any(&|reach| (verb == Verb::View || speaks(reach)) && reach.touches(&conversation.bot))
        }
        Object::File { conversation: None, .. } => {
            any(&|reach| speaks(reach) && matches!(reach.kind, None | Some(ResourceKind::Bot | ResourceKind::Command)))
        }
        Object::Execution { starter, .. } if starter == principal.id => true,
        Object::Key { id, .. } if id == principal.id && verb == Verb::View => true,
        // What it makes would not be narrowed.
        Object::NewKey { .. } => false,
        Object::Group { .. } => false,
        Object::Execution { .. }
        | Object::Approval { .. }
        | Object::Key { .. }
        | Object::Resource { .. }
        | Object::Installation => {
            thing(object).is_some_and(|thing| any(&|reach| implies(reach, verb, thing.kind) && reach.names(thing)))
        }
    }
}
