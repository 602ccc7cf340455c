//! Bots for the tests, written short.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::intent::{Index, Resolution, Scope, SlotFault};
use crate::model::approval::Confirm;
use crate::model::bot::{Access, Bot};
use crate::model::command::{Body, Command, Effect, Example, Reply};
use crate::model::parameter::{Parameter, ParameterType};

/// `name` (a text), `name:type`, or `name:a,b` (a choice); with `?` at the end it is not required.
pub(crate) fn parameter(written: &str) -> Parameter {
    let (written, required) = written.strip_suffix('?').map_or((written, true), |written| (written, false));
    let (name, kind) = written.split_once(':').unwrap_or((written, "string"));
    let kind = match kind {
        "string" => ParameterType::String,
        "integer" => ParameterType::Integer,
        "number" => ParameterType::Number,
        "boolean" => ParameterType::Boolean,
        "email" => ParameterType::Email,
        "user" => ParameterType::User,
        choices => ParameterType::Choice { choices: choices.split(',').map(str::to_owned).collect() },
    };
    Parameter { name: name.to_owned(), kind, required, ..Parameter::default() }
}

pub(crate) fn command(name: &str, intents: &[&str], parameters: &[&str]) -> Command {
    Command {
        bot: String::new(),
        name: name.to_owned(),
        description: format!("Does {name}"),
        intents: intents.iter().map(|intent| (*intent).to_owned()).collect(),
        parameters: parameters.iter().map(|written| parameter(written)).collect(),
        mapped_parameters: BTreeMap::new(),
        examples: Vec::new(),
        access: Access::default(),
        effect: Effect::Read,
        confirm: Confirm::Never,
        approve: None,
        auto_submit: true,
        priority: 0,
        body: Body::Reply(Reply::default()),
        data: BTreeMap::new(),
    }
}

pub(crate) fn example(say: &str, expect: &[(&str, &str)]) -> Example {
    let expect = expect.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Example { say: say.to_owned(), expect }
}

pub(crate) fn bot(name: &str, commands: Vec<Command>) -> Arc<Bot> {
    let owned = |command: Command| Arc::new(Command { bot: name.to_owned(), ..command });
    Arc::new(Bot {
        name: name.to_owned(),
        display_name: name.to_owned(),
        description: String::new(),
        avatar: String::new(),
        access: Access::default(),
        commands: commands.into_iter().map(owned).collect(),
        version: String::new(),
    })
}

/// An index over one bot `ops` whose commands are named after their intents.
pub(crate) fn index(commands: &[(&str, &[&str])]) -> Index {
    let commands = commands.iter().map(|(intent, parameters)| command(intent, &[*intent], parameters)).collect();
    Index::build(&[bot("ops", commands)])
}

/// What a resolution says, as `bot/command a=1 b=2`, with `?` for a missing, `!` for an invalid and `~` for an unknown
/// name, ` | ` between equals, and `-` for nothing.
pub(crate) fn told(resolution: &Resolution) -> String {
    let found = |found: &crate::intent::Match| {
        let mut told = format!("{}/{}", found.bot.name, found.command.name);
        for (name, value) in &found.arguments {
            told.push_str(&format!(" {name}={value}"));
        }
        told
    };
    match resolution {
        Resolution::Match(one) => found(one),
        Resolution::Near(near) => {
            let mut told = found(&near.found);
            for fault in &near.faults {
                told.push_str(&match fault {
                    SlotFault::Missing { parameter } => format!(" ?{parameter}"),
                    SlotFault::Invalid { parameter, .. } => format!(" !{parameter}"),
                    SlotFault::Unknown { name } => format!(" ~{name}"),
                });
            }
            told
        }
        Resolution::Ambiguous(several) => several.iter().map(found).collect::<Vec<_>>().join(" | "),
        Resolution::Nothing => "-".to_owned(),
    }
}

pub(crate) fn say(index: &Index, text: &str) -> String {
    told(&index.resolve(text, &Scope::default()))
}

pub(crate) fn say_to(index: &Index, bot: &str, text: &str) -> String {
    told(&index.resolve(text, &Scope { bot: Some(bot) }))
}
