//! The commands that every installation has: what can I say, why did it do that, what was run.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize as _;

use super::Engine;
use super::data::clock_time;
use super::invoke::Prepared;
use super::registry::{LoadedBot, Snapshot};
use crate::identity::permission::{Object, Verb, decide};
use crate::intent::{Criterion, Resolution, Scope, SlotFault};
use crate::model::approval::Confirm;
use crate::model::bot::{Access, Bot};
use crate::model::command::{Body, Builtin, Command, Effect, Example};
use crate::model::event::Stream;
use crate::model::message::{Message, Part, Post, SenderKind, Tone, escape_markdown};
use crate::model::parameter::Parameter;
use crate::model::principal::{Principal, Role};
use crate::model::{Error, Result};

/// The bot they belong to; its intents are reserved.
pub const BOT: &str = crate::intent::RESERVED_BOT;

/// How many lines a list shows before it says how many more there are.
const LINES: usize = 40;

/// The built-in bot.
pub fn bot() -> Bot {
    let commands = [
        command(Builtin::Help, "help", "What you can say here", &["help", "help {words:rest}"], Some("words")),
        command(Builtin::List, "list", "Every command you may use", &["list", "list commands"], None),
        command(Builtin::Describe, "describe", "All about one command", &["describe {name:rest}"], Some("name")),
        command(Builtin::Why, "why", "Why your last message was understood as it was", &["why"], None),
        command(Builtin::History, "history", "What you ran last", &["history"], None),
        command(Builtin::Keys, "key", "Your API keys", &["key", "keys"], None),
        super::keys::create(),
        super::keys::revoke(),
    ];
    let everybody = Access { roles: Role::ALL.to_vec(), ..Access::default() };
    Bot {
        name: BOT.to_owned(),
        display_name: "Parlour".to_owned(),
        description: "Answers questions about the other bots".to_owned(),
        avatar: "◆".to_owned(),
        access: everybody,
        commands: commands.into_iter().map(Arc::new).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

pub(super) fn command(
    body: Builtin,
    name: &str,
    description: &str,
    intents: &[&str],
    parameter: Option<&str>,
) -> Command {
    let parameters = parameter.map(|name| Parameter {
        name: name.to_owned(),
        required: matches!(body, Builtin::Describe | Builtin::KeyCreate | Builtin::KeyRevoke),
        ..Parameter::default()
    });
    let example = match body {
        Builtin::Describe => "describe help".to_owned(),
        Builtin::KeyCreate => "key create laptop".to_owned(),
        Builtin::KeyRevoke => "key revoke 0197a1b2".to_owned(),
        _ => name.to_owned(),
    };
    Command {
        bot: BOT.to_owned(),
        name: name.to_owned(),
        description: description.to_owned(),
        intents: intents.iter().map(|intent| (*intent).to_owned()).collect(),
        parameters: parameters.into_iter().collect(),
        mapped_parameters: BTreeMap::new(),
        examples: vec![Example { say: example, expect: BTreeMap::new() }],
        access: Access::default(),
        effect: Effect::Read,
        confirm: Confirm::Never,
        approve: None,
        auto_submit: true,
        priority: 0,
        body: Body::Builtin(body),
        data: BTreeMap::new(),
    }
}

pub(super) async fn run(engine: &Engine, principal: &Principal, prepared: &Prepared, body: Builtin) -> Result<Message> {
    let snapshot = &prepared.snapshot;
    let here = conversation_bot(engine, prepared).await?;
    let argument = prepared.arguments.values().next().map(String::as_str);
    Ok(match body {
        Builtin::Help => help(snapshot, principal, here.as_deref(), argument),
        Builtin::List => list(snapshot, principal),
        Builtin::Describe => describe(snapshot, principal, here.as_deref(), argument.unwrap_or_default()),
        Builtin::Why => why(engine, principal, prepared, here.as_deref()).await?,
        Builtin::History => history(engine, principal).await?,
        Builtin::Keys => super::keys::list(engine, principal).await?,
        Builtin::KeyCreate => super::keys::offer(engine, principal, &prepared.arguments).await?,
        Builtin::KeyRevoke => super::keys::end(engine, principal, argument.unwrap_or_default()).await?,
    })
}

async fn conversation_bot(engine: &Engine, prepared: &Prepared) -> Result<Option<String>> {
    let Some(id) = &prepared.source.conversation else { return Ok(None) };
    let bot = engine.store().conversation(id).await?.map(|conversation| conversation.bot);
    // A conversation with the house is one with all bots.
    Ok(bot.filter(|bot| bot != BOT))
}

/// `` `deploy {service}`  what it does ``
fn line(command: &Command) -> String {
    let intent = command.intents.first().map_or(command.name.as_str(), String::as_str);
    let description = escape_markdown(&command.description);
    format!("`{}` {description}", intent.replace('`', "'")).trim_end().to_owned()
}

fn lines(commands: &[(Arc<LoadedBot>, Arc<Command>)]) -> Part {
    let mut items: Vec<String> = commands.iter().take(LINES).map(|(_, command)| line(command)).collect();
    if commands.len() > LINES {
        items.push(format!("… and {} more: say `help` and a word", commands.len() - LINES));
    }
    Part::List { items }
}

fn help(snapshot: &Snapshot, principal: &Principal, here: Option<&str>, words: Option<&str>) -> Message {
    if let Some(words) = words {
        return search(snapshot, principal, words);
    }
    let commands = snapshot.visible_commands(principal, here);
    let Some(here) = here.and_then(|name| snapshot.bot(name)) else { return list(snapshot, principal) };
    let text = match commands.is_empty() {
        true => format!("**{}** has no command for you.", escape_markdown(&here.bot.display_name)),
        false => format!("You can say this to **{}**:", escape_markdown(&here.bot.display_name)),
    };
    let examples = commands.iter().filter_map(|(_, command)| command.examples.first());
    let examples = examples.map(|example| example.say.clone()).take(3).collect();
    let more = "`help` and words search every bot · `list` shows all commands · `describe` explains one".to_owned();
    Message::text(text).part(lines(&commands)).part(Part::Context { texts: vec![more] }).suggest(examples)
}

fn search(snapshot: &Snapshot, principal: &Principal, words: &str) -> Message {
    let wanted: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
    let mut found = snapshot.visible_commands(principal, None);
    found.retain(|(loaded, command)| {
        let text = [&loaded.bot.name, &command.name, &command.description].map(|part| part.to_lowercase()).join(" ");
        let intents = command.intents.join(" ").to_lowercase();
        wanted.iter().all(|word| text.contains(word.as_str()) || intents.contains(word.as_str()))
    });
    let words = escape_markdown(words);
    if found.is_empty() {
        return Message::text(format!("No command is about “{words}”.")).suggest(vec!["list".to_owned()]);
    }
    Message::text(format!("About “{words}”:")).part(lines(&found))
}

fn list(snapshot: &Snapshot, principal: &Principal) -> Message {
    let mut message = Message::text("Everything you can say:");
    for (loaded, _) in snapshot.visible_bots(principal) {
        let commands = snapshot.visible_commands(principal, Some(&loaded.bot.name));
        if !commands.is_empty() {
            let heading = format!(
                "**{}** {}",
                escape_markdown(&loaded.bot.display_name),
                escape_markdown(&loaded.bot.description)
            );
            message = message.part(Part::Markdown { text: heading.trim_end().to_owned() }).part(lines(&commands));
        }
    }
    let own = snapshot.visible_commands(principal, Some(BOT));
    message.part(Part::Markdown { text: "**Everywhere**".to_owned() }).part(lines(&own))
}

fn describe(snapshot: &Snapshot, principal: &Principal, here: Option<&str>, name: &str) -> Message {
    let may = |bot: &Bot, command: &Command| {
        decide(principal, Verb::Invoke, Object::Command { bot, command, arguments: None }).allowed
    };
    let mut found = snapshot.commands_named(name);
    if found.is_empty() {
        // People describe what they would say as readily as what a command is called.
        let resolved = match snapshot.index.resolve(name, &Scope { bot: here }) {
            Resolution::Match(found) => Some(found),
            Resolution::Near(near) => Some(near.found),
            Resolution::Ambiguous(_) | Resolution::Nothing => None,
        };
        found = resolved.map(|found| snapshot.commands_named(&found.command.name)).unwrap_or_default();
    }
    found.retain(|(loaded, command)| may(&loaded.bot, command));
    if found.len() > 1
        && let Some(at) = found.iter().position(|(loaded, _)| Some(loaded.bot.name.as_str()) == here)
    {
        found = vec![found.swap_remove(at)];
    }
    let Some((loaded, command)) = found.into_iter().next() else {
        return Message::text(format!("There is no command “{}” for you.", escape_markdown(name)))
            .tone(Tone::Warning)
            .suggest(vec!["list".to_owned()]);
    };
    let intents = command.intents.iter().map(|intent| format!("`{}`", intent.replace('`', "'"))).collect();
    let mut message = Message::text(escape_markdown(&command.description)).part(Part::List { items: intents });
    message.title = Some(format!("{} · {}", command.name, loaded.bot.display_name));
    if !command.parameters.is_empty() {
        let rows = command.parameters.iter().map(parameter_row).collect();
        let columns = ["Parameter", "Type", "Needed", "About"].map(str::to_owned).to_vec();
        message = message.part(Part::Table { columns, rows });
    }
    message.suggest(command.examples.iter().map(|example| example.say.clone()).take(3).collect())
}

fn parameter_row(parameter: &Parameter) -> Vec<String> {
    let kind = match &parameter.kind {
        crate::model::parameter::ParameterType::Choice { choices } => choices.join(", "),
        other => other.name().to_owned(),
    };
    let needed = match &parameter.default {
        Some(default) => format!("no, {} if not given", parameter.shown(default)),
        None if parameter.required => "yes".to_owned(),
        None => "no".to_owned(),
    };
    [&parameter.name, &kind, &needed, &parameter.description].map(|text| escape_markdown(text)).to_vec()
}

/// Explains the last message of the caller in this conversation: which command it meant, by which rule of the ranking,
/// and what the permission decision was.
async fn why(engine: &Engine, principal: &Principal, prepared: &Prepared, here: Option<&str>) -> Result<Message> {
    let nothing = || Message::text("There is no earlier message of yours here to explain.");
    let Some(conversation) = &prepared.source.conversation else { return Ok(nothing()) };
    let Some(said) = last_said(engine, principal, conversation).await? else { return Ok(nothing()) };
    let snapshot = &prepared.snapshot;
    let explanation = snapshot.index.explain(&said, &Scope { bot: here });
    let may = |bot: &str, command: &str| {
        let loaded = snapshot.bot(bot)?;
        let command = loaded.command(command)?;
        let object = Object::Command { bot: &loaded.bot, command: &command, arguments: None };
        let decision = decide(principal, Verb::Invoke, object);
        Some((decision.allowed, decision.rule()))
    };
    let mut message =
        Message::text(format!("You said “{}”. {}", escape_markdown(&said), decided(explanation.decided_by)));
    // A candidate that the caller may not run is not named, except the one that counted: they were told of it.
    let rows: Vec<Vec<String>> = explanation
        .candidates
        .iter()
        .filter(|c| c.chosen || may(&c.bot, &c.command).is_some_and(|(allowed, _)| allowed))
        .map(|c| {
            let verdict = match (c.chosen, c.faults.first()) {
                (true, None) => "this one".to_owned(),
                (true, Some(fault)) => format!("this one, but {}", slot_fault(fault)),
                (false, None) => "fits too".to_owned(),
                (false, Some(fault)) => slot_fault(fault),
            };
            [&c.command, &c.bot, &c.written, &verdict].map(|text| escape_markdown(text)).to_vec()
        })
        .collect();
    if !rows.is_empty() {
        let columns = ["Command", "Bot", "Intent", "Verdict"].map(str::to_owned).to_vec();
        message = message.part(Part::Table { columns, rows });
    }
    if let Some(chosen) = explanation.candidates.iter().find(|candidate| candidate.chosen)
        && let Some((allowed, rule)) = may(&chosen.bot, &chosen.command)
    {
        let verdict = if allowed { "You may run it" } else { "You may not run it" };
        message = message.part(Part::Context { texts: vec![format!("{verdict}: {}.", escape_markdown(&rule))] });
    }
    Ok(message)
}

/// The rule of the ranking that decided, as a sentence.
fn decided(criterion: Criterion) -> String {
    match criterion {
        Criterion::Nothing => "No command begins like that.".to_owned(),
        Criterion::Alone => "Only one command fits.".to_owned(),
        Criterion::Tie => "Several bots answer to it equally well, so you were asked.".to_owned(),
        Criterion::Reserved => "These words belong to every installation.".to_owned(),
        Criterion::Scope => "The bot of this conversation goes first.".to_owned(),
        Criterion::Completeness => "One command understands all of it.".to_owned(),
        Criterion::Token(at) => format!("Word {} fits one command more exactly than the others.", at + 1),
        Criterion::Form => "A pattern goes before a command's name, and that before a regular expression.".to_owned(),
        Criterion::Priority => "One command has the higher priority.".to_owned(),
        Criterion::Order => "What was written first in the bot goes first.".to_owned(),
    }
}

fn slot_fault(fault: &SlotFault) -> String {
    match fault {
        SlotFault::Missing { parameter } => format!("{parameter} is missing"),
        SlotFault::Invalid { parameter, value } => format!("“{value}” is no {parameter}"),
        SlotFault::Unknown { name } => format!("it has no {name}"),
    }
}

async fn last_said(engine: &Engine, principal: &Principal, conversation: &str) -> Result<Option<String>> {
    let stream = Stream::conversation(conversation);
    let page = engine.store().events_before(&stream, i64::MAX, 50).await?;
    for event in page.events.iter().rev().filter(|event| event.kind == "message") {
        let post: Post = Post::deserialize(&mut serde_json::Deserializer::from_str(event.payload.get()))
            .map_err(|error| Error::internal("read a message", error))?;
        let is_own = post.sender.kind == SenderKind::User && post.sender.id == principal.id;
        if is_own && !post.content.trim().eq_ignore_ascii_case("why") {
            return Ok(Some(post.content));
        }
    }
    Ok(None)
}

async fn history(engine: &Engine, principal: &Principal) -> Result<Message> {
    let runs = engine.store().recent_executions(Some(&principal.id), 10).await?;
    if runs.is_empty() {
        return Ok(Message::text("You have run nothing yet."));
    }
    let rows = runs
        .iter()
        .map(|run| [clock_time(run.created_at), run.command.clone(), run.bot.clone(), run.status.as_str().to_owned()])
        .map(|row| row.map(|text| escape_markdown(&text)).to_vec())
        .collect();
    let columns = ["When (UTC)", "Command", "Bot", "Outcome"].map(str::to_owned).to_vec();
    Ok(Message::text("What you ran last:").part(Part::Table { columns, rows }))
}
