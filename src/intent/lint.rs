//! Intents and examples that do not do what their author expects.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::bot::Bot;
use crate::model::command::{Command, Example};

use super::Scope;
use super::fit::SlotFault;
use super::index::{Index, Shape};
use super::resolve::Resolution;

/// Something found in a bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    pub bot: String,
    pub command: String,
    pub subject: Subject,
    pub level: Level,
    pub message: String,
}

/// What of a command a [`Lint`] is about; the numbers count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Command,
    Intent(usize),
    Example(usize),
}

/// Whether a bot may be loaded with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warning,
}

/// Checks one bot by itself: intents that are the same or can never win, and every example. Intents that
/// [`Pattern::parse`](super::Pattern::parse) refuses are passed over; whoever parses them reports them.
pub fn lint_bot(bot: &Bot) -> Vec<Lint> {
    let index = Index::build(&[Arc::new(bot.clone())]);
    let mut lints = hidden(&index);
    for command in &bot.commands {
        if command.examples.is_empty() && !command.intents.is_empty() {
            let message = "the command has no example; give one thing that people say to run it".to_owned();
            lints.push(lint(command, Subject::Command, Level::Error, message));
        }
        for (number, example) in command.examples.iter().enumerate() {
            if let Err(message) = run(&index, command, example) {
                lints.push(lint(command, Subject::Example(number), Level::Error, message));
            }
        }
    }
    lints
}

/// Checks every bot by itself and all of them together.
pub fn lint_all(bots: &[Arc<Bot>]) -> Vec<Lint> {
    let mut lints: Vec<Lint> = bots.iter().flat_map(|bot| lint_bot(bot)).collect();
    lints.extend(lint_between(bots));
    lints
}

/// Checks the bots against each other: reserved words that are claimed, and intents that two bots share.
pub fn lint_between(bots: &[Arc<Bot>]) -> Vec<Lint> {
    /// So many intents of one shape are compared; beyond, the first ones have said enough.
    const MAX_EQUAL: usize = 64;

    let index = Index::build(bots);
    let mut lints = Vec::new();
    let mut told = HashSet::new();
    for same in index.shapes.chunk_by(|a, b| index.is_same_place(a, b)) {
        for (at, shape) in same.iter().enumerate().take(MAX_EQUAL) {
            if index.reserved == Some(shape.bot) {
                continue;
            }
            let clash = |other: &&Shape| other.bot != shape.bot && index.overlap(other, shape);
            let reserved = same.iter().filter(|other| index.reserved == Some(other.bot)).find(clash);
            let other = reserved.or_else(|| same[..at].iter().find(clash));
            let Some(other) = other.filter(|other| told.insert((shape.intent, other.bot))) else { continue };
            let there = &index.listed(other.command).command;
            let (level, message) = if reserved.is_some() {
                (Level::Error, format!("these words are reserved for the built-in command \"{}\"", there.name))
            } else {
                let why = format!(
                    "command \"{}\" of bot \"{}\" has the same intent: outside a conversation with one of the two, \
                     people are asked which they mean",
                    there.name, there.bot
                );
                (Level::Warning, why)
            };
            lints.push(lint(&index.listed(shape.command).command, index.subject(shape), level, message));
        }
    }
    lints.sort_by(|a, b| (&a.bot, &a.command, a.subject).cmp(&(&b.bot, &b.command, b.subject)));
    lints
}

fn lint(command: &Command, subject: Subject, level: Level, message: String) -> Lint {
    Lint { bot: command.bot.clone(), command: command.name.clone(), subject, level, message }
}

impl Index {
    fn subject(&self, shape: &Shape) -> Subject {
        Subject::Intent(self.intents[shape.intent as usize].number)
    }

    fn written(&self, shape: &Shape) -> &str {
        &self.listed(shape.command).command.intents[self.intents[shape.intent as usize].number]
    }
}

/// Intents with the shape of another command's intent, and intents that can never win, of an index over one bot.
fn hidden(index: &Index) -> Vec<Lint> {
    // Per intent: how many shapes it has, how many are hidden, and by what.
    let mut tally: Vec<(usize, usize, Option<&Shape>)> = vec![(0, 0, None); index.intents.len()];
    let mut same = HashSet::new();
    let mut lints = Vec::new();
    for (number, shape) in index.shapes.iter().enumerate() {
        let entry = &mut tally[shape.intent as usize];
        entry.0 += 1;
        let Some(other) = index.hidden_by(number) else { continue };
        entry.1 += 1;
        entry.2 = entry.2.or(Some(other));
        let (command, owner) = (&index.listed(shape.command).command, &index.listed(other.command).command);
        let tie = shape.command != other.command
            && command.priority == owner.priority
            && index.is_same_place(shape, other)
            && index.is_same_shape(shape, other);
        if tie && same.insert(shape.intent) {
            let message =
                format!("command \"{}\" has the same intent \"{}\": neither may win", owner.name, index.written(other));
            lints.push((shape.intent, lint(command, index.subject(shape), Level::Error, message)));
        }
    }
    for (intent, (shapes, hidden, by)) in (0..).zip(tally) {
        let Some(by) = by.filter(|_| shapes == hidden && !same.contains(&intent)) else { continue };
        let listed = &index.intents[intent as usize];
        let command = &index.listed(listed.command).command;
        let owner = &index.listed(by.command).command.name;
        let message =
            format!("never wins: \"{}\" of command \"{owner}\" takes every text it matches", index.written(by));
        lints.push((intent, lint(command, Subject::Intent(listed.number), Level::Warning, message)));
    }
    lints.sort_by_key(|(intent, _)| *intent);
    lints.into_iter().map(|(_, lint)| lint).collect()
}

/// Says an example to its bot; the error is what came out instead.
fn run(index: &Index, command: &Command, example: &Example) -> Result<(), String> {
    let say = &example.say;
    let found = match index.resolve(say, &Scope { bot: Some(&command.bot) }) {
        Resolution::Match(found) => found,
        Resolution::Near(near) => {
            let faults: Vec<String> = near.faults.iter().map(describe).collect();
            let other = &near.found.command.name;
            let whose = if *other == command.name { String::new() } else { format!(" by command \"{other}\"") };
            return Err(format!("\"{say}\" is understood only in part{whose}: {}", faults.join(", ")));
        }
        Resolution::Ambiguous(_) => return Err(format!("\"{say}\" means more than one command")),
        Resolution::Nothing => return Err(format!("\"{say}\" matches none of the command's intents")),
    };
    if found.command.name != command.name {
        return Err(format!("\"{say}\" runs command \"{}\"", found.command.name));
    }
    for (written, expected) in &example.expect {
        let Some(parameter) = command.parameter(written) else {
            return Err(format!("the example expects \"{written}\", which is no parameter of the command"));
        };
        let given = found.arguments.get(&parameter.name).or(parameter.default.as_ref());
        if given != Some(expected) {
            let given = given.map_or_else(|| "nothing".to_owned(), |given| format!("\"{given}\""));
            return Err(format!("\"{say}\" gives {given} for \"{}\", not \"{expected}\"", parameter.name));
        }
    }
    Ok(())
}

fn describe(fault: &SlotFault) -> String {
    match fault {
        SlotFault::Missing { parameter } => format!("\"{parameter}\" is missing"),
        SlotFault::Invalid { parameter, value } => format!("\"{value}\" is no valid \"{parameter}\""),
        SlotFault::Unknown { name } => format!("there is no parameter \"{name}\""),
    }
}
