//! What a command still needs, and what to ask next. Pure: the hub stores the state and says the words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::arguments::Fault;
use crate::engine::invoke::Source;
use crate::model::command::Command;
use crate::model::parameter::Parameter;
use crate::model::place::PLATFORMS;

#[cfg(test)]
mod tests;
pub(super) mod words;

/// Wrong answers to one question before nothing more is asked.
const TRIES: u32 = 3;

/// A dialog between two steps, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) bot: String,
    pub(super) bot_version: String,
    pub(super) command: String,
    pub(super) matches: Vec<String>,
    pub(super) source: Source,
    /// The values that are right so far.
    pub(super) arguments: BTreeMap<String, String>,
    pub(super) stage: Stage,
    /// The parameters that are asked for, in their order.
    pub(super) asked: Vec<String>,
    /// Those of them whose value was given and wrong.
    pub(super) wrong: Vec<String>,
    /// What was given for those, but for hidden ones: a form goes on from it.
    #[serde(default)]
    pub(super) mistaken: BTreeMap<String, String>,
    /// The question that is open.
    pub(super) at: usize,
    /// Wrong answers to it.
    pub(super) tries: u32,
    /// Whether the answer to it is never shown.
    pub(super) hides: bool,
    /// Id of the message that asks.
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// All at once, in one message.
    Form,
    /// One after the other.
    Questions,
    /// Everything is known and has to be agreed to.
    Summary,
}

/// What an answer leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    /// Ask on, with this said before the question.
    Ask(State, Option<String>),
    /// Everything is known: run it with these values.
    Run(State),
    /// Nothing more is asked, for this reason.
    Cancel(String),
    /// It is no answer; it means what it means without the dialog.
    Elsewhere,
}

/// Why something has to be asked.
pub(super) struct Need {
    pub(super) bot_version: String,
    /// The values that are right.
    pub(super) arguments: BTreeMap<String, String>,
    /// What is missing or wrong; empty when it only has to be agreed to.
    pub(super) faults: Vec<Fault>,
    pub(super) matches: Vec<String>,
    pub(super) source: Source,
    /// Whether every parameter is asked for, also those that are known or not needed.
    pub(super) whole: bool,
}

impl State {
    /// Where a dialog begins. The channel decides how it asks.
    pub(super) fn open(command: &Command, need: Need) -> Self {
        let Need { bot_version, arguments, faults, matches, source, whole } = need;
        let is_faulty = |parameter: &&Parameter| faults.iter().any(|fault| fault.parameter == parameter.name);
        let names = |wanted: &dyn Fn(&&Parameter) -> bool| {
            command.parameters.iter().filter(wanted).map(|parameter| parameter.name.clone()).collect::<Vec<_>>()
        };
        let (stage, asked) = match (faults.is_empty() && !whole, takes_forms(&source.channel)) {
            (true, _) => (Stage::Summary, Vec::new()),
            // Sending the form is the agreement, so it shows everything.
            (false, true) if whole || !command.auto_submit => (Stage::Form, names(&|_| true)),
            (false, true) => {
                let is_given = |parameter: &&Parameter| arguments.contains_key(&parameter.name);
                (Stage::Form, names(&|parameter| is_faulty(parameter) || is_given(parameter)))
            }
            (false, false) => (Stage::Questions, names(&|parameter| whole || is_faulty(parameter))),
        };
        let wrong = faults.iter().filter(|fault| fault.code != "required").map(|fault| fault.parameter.clone());
        let wrong = wrong.collect();
        let shown = |fault: &Fault| command.parameter(&fault.parameter).is_some_and(|parameter| !parameter.hidden);
        let mistaken = faults.into_iter().filter(shown).filter_map(|fault| Some((fault.parameter, fault.value?)));
        Self {
            bot: command.bot.clone(),
            bot_version,
            command: command.name.clone(),
            matches,
            mistaken: mistaken.collect(),
            wrong,
            source,
            arguments,
            stage,
            asked,
            at: 0,
            tries: 0,
            hides: false,
            message: String::new(),
        }
    }

    pub(super) fn uses_forms(&self) -> bool {
        takes_forms(&self.source.channel)
    }

    /// The parameter that a text answers now.
    pub(super) fn current<'c>(&self, command: &'c Command) -> Option<&'c Parameter> {
        match self.stage {
            Stage::Summary => None,
            Stage::Questions => command.parameter(self.asked.get(self.at)?),
            Stage::Form => {
                let open = |parameter: &&Parameter| parameter.required && !self.arguments.contains_key(&parameter.name);
                self.asked.iter().filter_map(|name| command.parameter(name)).find(open)
            }
        }
    }

    /// What a text in the conversation leads to.
    pub(super) fn answer(&self, command: &Command, text: &str) -> Next {
        let word = text.trim().to_lowercase();
        if word == "cancel" {
            return Next::Cancel(format!("Cancelled: {} does not run.", words::name(command)));
        }
        let Some(parameter) = self.current(command) else {
            return if self.stage == Stage::Summary { self.agree(command, &word) } else { Next::Elsewhere };
        };
        match word.as_str() {
            "back" => self.back(),
            "?" => self.ask(words::help(parameter)),
            "default" => match self.arguments.get(&parameter.name).or(parameter.default.as_ref()) {
                Some(value) => self.accept(command, parameter, Some(value.clone())),
                None if !parameter.required => self.accept(command, parameter, None),
                None => self.ask("There is no default for that.".to_owned()),
            },
            _ => match parameter.check(unquoted(text), &command.name) {
                Ok(value) => self.accept(command, parameter, Some(value)),
                Err(_) => self.refuse(words::wrong_said(parameter)),
            },
        }
    }

    /// An answer to the summary.
    fn agree(&self, command: &Command, word: &str) -> Next {
        match word {
            "submit" | "yes" | "ok" => Next::Run(self.clone()),
            "edit" => Next::Ask(self.edit(command), None),
            "back" => {
                let last = self.asked.len().checked_sub(1);
                match last.filter(|_| !self.uses_forms()) {
                    Some(at) => Next::Ask(Self { stage: Stage::Questions, at, tries: 0, ..self.clone() }, None),
                    None => Next::Ask(self.edit(command), None),
                }
            }
            "?" => self.ask(words::SUMMARY_HELP.to_owned()),
            _ if self.uses_forms() => Next::Elsewhere,
            _ => self.refuse(words::SUMMARY_HELP.to_owned()),
        }
    }

    /// Asks for everything again, with the present values to start from.
    pub(super) fn edit(&self, command: &Command) -> Self {
        let stage = if self.uses_forms() { Stage::Form } else { Stage::Questions };
        let asked = command.parameters.iter().map(|parameter| parameter.name.clone()).collect();
        Self {
            stage,
            asked,
            at: 0,
            tries: 0,
            wrong: Vec::new(),
            mistaken: BTreeMap::new(),
            message: String::new(),
            ..self.clone()
        }
    }

    fn ask(&self, preface: String) -> Next {
        Next::Ask(self.clone(), Some(preface))
    }

    fn refuse(&self, why: String) -> Next {
        if self.tries + 1 >= TRIES {
            return Next::Cancel(format!(
                "{why}\n\nThat was the third time, so this has ended. Say it again to start over."
            ));
        }
        Next::Ask(Self { tries: self.tries + 1, ..self.clone() }, Some(why))
    }

    fn back(&self) -> Next {
        let first = || self.ask("This is the first question.".to_owned());
        match self.stage {
            Stage::Questions => match self.at.checked_sub(1) {
                Some(at) => Next::Ask(Self { at, tries: 0, ..self.clone() }, None),
                None => first(),
            },
            Stage::Form | Stage::Summary => {
                let answered = self.asked.iter().rev().find(|name| self.arguments.contains_key(*name));
                let Some(name) = answered else { return first() };
                let mut state = Self { tries: 0, ..self.clone() };
                state.arguments.remove(name);
                Next::Ask(state, None)
            }
        }
    }

    fn accept(&self, command: &Command, parameter: &Parameter, value: Option<String>) -> Next {
        let mut state = Self { tries: 0, ..self.clone() };
        match value {
            Some(value) => state.arguments.insert(parameter.name.clone(), value),
            None => state.arguments.remove(&parameter.name),
        };
        state.at += 1;
        if state.current(command).is_some() {
            return Next::Ask(state, None);
        }
        if command.auto_submit {
            return Next::Run(state);
        }
        Next::Ask(Self { stage: Stage::Summary, at: 0, message: String::new(), ..state }, None)
    }

    /// Takes the values of the form: all of them right, or one fault for each that is not.
    pub(super) fn submit(&self, command: &Command, values: &BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        let fault =
            |name: &str, code, message: String| Fault { parameter: name.to_owned(), code, message, value: None };
        let is_field = |name: &String| self.asked.contains(name);
        let mut faults: Vec<Fault> = values
            .keys()
            .filter(|name| !is_field(name))
            .map(|name| fault(name, "unknown", "the form has no such field".to_owned()))
            .collect();
        let mut state = self.clone();
        for parameter in self.asked.iter().filter_map(|name| command.parameter(name)) {
            let name = &parameter.name;
            let given = values.get(name).filter(|value| !value.is_empty() || parameter.min_length == Some(0));
            match given {
                Some(value) => match parameter.check(value, &command.name) {
                    Ok(kept) => {
                        state.arguments.insert(name.clone(), kept);
                    }
                    Err(wrong) => faults.push(fault(name, wrong.code, words::wrong(parameter))),
                },
                // What is not shown cannot be left as it stands by sending it back.
                None if parameter.hidden && self.arguments.contains_key(name) => {}
                None if parameter.required => faults.push(fault(name, "required", "This is needed.".to_owned())),
                None => {
                    state.arguments.remove(name);
                }
            }
        }
        if faults.is_empty() { Ok(state) } else { Err(faults) }
    }

    /// The values as everybody may see them.
    pub(super) fn shown(&self, command: &Command) -> BTreeMap<String, String> {
        let shown = |(name, value): (&String, &String)| {
            let hidden = command.parameter(name).is_some_and(|parameter| parameter.hidden);
            (!hidden).then(|| (name.clone(), value.clone()))
        };
        self.arguments.iter().filter_map(shown).collect()
    }
}

/// Whether a channel can show a form; what it asks for can be answered in words all the same.
fn takes_forms(channel: &str) -> bool {
    channel == "web" || PLATFORMS.contains(&channel)
}

/// Whether a text steers the dialog and is no value.
pub(super) fn is_reserved(text: &str) -> bool {
    ["cancel", "back", "default", "?"].contains(&text.trim().to_lowercase().as_str())
}

/// A reserved word in quotation marks is an answer.
fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.filter(|inner| is_reserved(inner)).unwrap_or(text)
}
