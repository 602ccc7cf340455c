//! What an action of a reply runs: a command that must be there and take what it is given.

use std::sync::Arc;

use super::parameter::kept;
use super::yaml::Place;
use crate::model::bot::Bot;
use crate::model::command::Command;
use crate::model::name::fold;
use crate::template::nearest;

/// A command that an action runs, and where it is named.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) at: Place,
    /// None means the bot it is written in.
    pub(super) bot: Option<String>,
    pub(super) command: String,
    pub(super) given: Vec<Given>,
}

/// A parameter that is given a value.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) name: String,
    pub(super) at: Place,
    /// The values that are written out, and where.
    pub(super) values: Vec<(Place, String)>,
    /// Whether it takes a day.
    pub(super) day: bool,
}

impl Reference {
    /// Whether it means a command of this bot; one that names no bot means its own.
    pub(super) fn is_to(&self, bot: &str) -> bool {
        self.bot.as_ref().is_none_or(|name| fold(name) == fold(bot))
    }

    /// Reports what is wrong with it, given the bot it means: place, message, what was probably meant.
    pub(super) fn check(&self, bot: &Bot, mut report: impl FnMut(Place, String, Option<String>)) {
        let wanted = fold(&self.command);
        let Some(command) = bot.commands.iter().find(|command| fold(&command.name) == wanted) else {
            let message = format!("the bot \"{}\" has no command \"{}\"", bot.name, self.command);
            let names = bot.commands.iter().map(|command| command.name.as_str());
            let near = nearest(&self.command, names).map(|near| self.written(near));
            report(self.at, message, near);
            return;
        };
        for (index, given) in self.given.iter().enumerate() {
            if self.given[..index].iter().any(|earlier| fold(&earlier.name) == fold(&given.name)) {
                report(given.at, format!("parameter \"{}\" is given twice", given.name), None);
            } else {
                given.check(command, &mut report);
            }
        }
    }

    /// Reports that there is no such bot.
    pub(super) fn report_unknown_bot(&self, bots: &[Arc<Bot>], mut report: impl FnMut(Place, String, Option<String>)) {
        let name = self.bot.as_deref().unwrap_or_default();
        let near = nearest(name, bots.iter().map(|bot| bot.name.as_str()));
        let near = near.map(|near| format!("{near}/{}", self.command));
        report(self.at, format!("there is no bot \"{name}\""), near);
    }

    /// Another command's name as it would be written here.
    fn written(&self, command: &str) -> String {
        self.bot.as_ref().map_or_else(|| command.to_owned(), |bot| format!("{bot}/{command}"))
    }
}

impl Given {
    fn check(&self, command: &Command, report: &mut impl FnMut(Place, String, Option<String>)) {
        let Some(parameter) = command.parameter(&self.name) else {
            let message = format!("the command \"{}\" has no parameter \"{}\"", command.name, self.name);
            let names = command.parameters.iter().map(|parameter| parameter.name.as_str());
            report(self.at, message, nearest(&self.name, names).map(str::to_owned));
            return;
        };
        if self.day && parameter.kind.accept("2026-11-23").is_err() {
            let message = format!("\"{}\" is of the type {} and takes no day", parameter.name, parameter.kind.name());
            report(self.at, message, None);
        }
        for (at, value) in &self.values {
            if let Err(why) = kept(parameter, value) {
                report(*at, format!("\"{value}\" for \"{}\" {why}", parameter.name), None);
            }
        }
    }
}
