//! What a text in a conversation means: a command to run, or an answer that helps. Pure.

use crate::engine::invoke::{Request, Source};
use crate::engine::registry::Snapshot;
use crate::identity::permission::{Object, Verb, decide};
use crate::intent::{Match, Resolution, Scope, SlotFault};
use crate::model::action::Style;
use crate::model::conversation::HOUSE_BOT;
use crate::model::message::{Message, Tone, escape_markdown};
use crate::model::offer::{Deed, Offer};
use crate::model::principal::Principal;

/// What to do with a text.
pub(super) enum Meaning {
    /// Run this.
    Run(Box<Request>),
    /// Say this.
    Say(Box<Message>),
}

/// Reads a text said to `bot`. `@name …` addresses another bot for this one message.
pub(super) fn of(snapshot: &Snapshot, principal: &Principal, bot: &str, text: &str, source: Source) -> Meaning {
    let (addressed, text) = address(snapshot, principal, text);
    let scope = Scope { bot: addressed.as_deref().or(Some(bot).filter(|bot| *bot != HOUSE_BOT)) };
    match snapshot.index.resolve(text, &scope) {
        Resolution::Match(found) => Meaning::Run(Box::new(request(found, source))),
        // The engine says what is missing or wrong, all of it at once.
        Resolution::Near(near) => {
            let unknown = near.faults.into_iter().filter_map(|fault| match fault {
                SlotFault::Unknown { name } => Some((name, String::new())),
                SlotFault::Missing { .. } | SlotFault::Invalid { .. } => None,
            });
            let mut request = request(near.found, source);
            request.arguments.extend(unknown);
            Meaning::Run(Box::new(request))
        }
        Resolution::Ambiguous(candidates) => ask_which(snapshot, principal, candidates, text, source),
        Resolution::Nothing => Meaning::Say(Box::new(suggest(snapshot, principal, &scope, text))),
    }
}

/// Whether a text said to `bot` is a whole command, with nothing missing or wrong.
pub(super) fn is_whole(snapshot: &Snapshot, principal: &Principal, bot: &str, text: &str) -> bool {
    let (addressed, text) = address(snapshot, principal, text);
    let scope = Scope { bot: addressed.as_deref().or(Some(bot).filter(|bot| *bot != HOUSE_BOT)) };
    matches!(snapshot.index.resolve(text, &scope), Resolution::Match(_))
}

/// The longest label of a button, in characters.
const LABEL: usize = 60;

/// The same message with a button for each suggestion that is a whole command: pressing it runs that.
pub(super) fn with_buttons(snapshot: &Snapshot, principal: &Principal, bot: &str, mut message: Message) -> Message {
    let mut offers = Vec::new();
    message.suggestions.retain(|suggestion| {
        let (addressed, text) = address(snapshot, principal, suggestion);
        let scope = Scope { bot: addressed.as_deref().or(Some(bot).filter(|bot| *bot != HOUSE_BOT)) };
        let Resolution::Match(found) = snapshot.index.resolve(text, &scope) else { return true };
        if !found.matches.is_empty() {
            return true;
        }
        let deed = Deed::Run {
            bot: Some(found.command.bot.clone()),
            command: found.command.name.clone(),
            parameters: found.arguments.into_iter().collect(),
            parameter_name: None,
        };
        let label: String = suggestion.chars().take(LABEL).collect();
        offers.push(Offer::button(label, Style::Plain, deed).once());
        false
    });
    message.offers.extend(offers);
    message
}

/// Splits `@ops status` into the bot and the rest, when there is such a bot for the caller.
fn address<'t>(snapshot: &Snapshot, principal: &Principal, text: &'t str) -> (Option<String>, &'t str) {
    let trimmed = text.trim_start();
    let Some((name, rest)) = trimmed.strip_prefix('@').and_then(|after| after.split_once(char::is_whitespace)) else {
        return (None, text);
    };
    match snapshot.bot(name) {
        Some(loaded) if decide(principal, Verb::View, Object::Bot(&loaded.bot)).allowed => {
            (Some(loaded.bot.name.clone()), rest.trim_start())
        }
        _ => (None, text),
    }
}

fn request(found: Match, source: Source) -> Request {
    Request {
        command: found.command.name.clone(),
        bot: Some(found.command.bot.clone()),
        arguments: found.arguments.into_iter().collect(),
        matches: found.matches,
        source,
    }
}

/// Several bots answer to the same words: never both, never a silent choice. What the caller may not run is no choice.
fn ask_which(
    snapshot: &Snapshot,
    principal: &Principal,
    candidates: Vec<Match>,
    text: &str,
    source: Source,
) -> Meaning {
    let mut allowed = candidates.into_iter().filter(|candidate| {
        let Some(loaded) = snapshot.bot(&candidate.command.bot) else { return false };
        let object = Object::Command { bot: &loaded.bot, command: &candidate.command, arguments: None };
        decide(principal, Verb::Invoke, object).allowed
    });
    let Some(first) = allowed.next() else {
        let refusal = Message::text("You may not use the commands that this would mean.").tone(Tone::Warning);
        return Meaning::Say(Box::new(refusal));
    };
    let others: Vec<Match> = allowed.collect();
    if others.is_empty() {
        return Meaning::Run(Box::new(request(first, source)));
    }
    let say = |candidate: &Match| format!("@{} {}", candidate.command.bot, text.trim());
    let suggestions = std::iter::once(&first).chain(&others).map(say).take(5).collect();
    let question = Message::text("More than one bot answers to that. Which one?").tone(Tone::Question);
    Meaning::Say(Box::new(question.suggest(suggestions)))
}

fn suggest(snapshot: &Snapshot, principal: &Principal, scope: &Scope<'_>, text: &str) -> Message {
    let may = |bot: &crate::model::bot::Bot, command: &crate::model::command::Command| {
        decide(principal, Verb::Invoke, Object::Command { bot, command, arguments: None }).allowed
    };
    let near = snapshot.index.suggest(text, scope, &may, 3);
    if !near.is_empty() {
        let texts = near.into_iter().map(|suggestion| suggestion.text).collect();
        return Message::text("I do not know that. Did you mean one of these?").tone(Tone::Question).suggest(texts);
    }
    let examples = snapshot.visible_commands(principal, scope.bot);
    let examples = examples.iter().filter_map(|(_, command)| command.examples.first());
    let mut suggestions: Vec<String> = examples.map(|example| example.say.clone()).take(3).collect();
    suggestions.push("help".to_owned());
    let shown: String = text.trim().chars().take(80).collect();
    Message::text(format!(
        "I do not know what to do with “{}”. Say `help` to see what I can do.",
        escape_markdown(&shown)
    ))
    .tone(Tone::Question)
    .suggest(suggestions)
}
