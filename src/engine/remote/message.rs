//! What a message of a process must keep to, beyond its shape.

use std::collections::BTreeSet;

use super::super::Engine;
use super::refused;
use crate::model::Result;
use crate::model::action::Action;
use crate::model::command::Command;
use crate::model::conversation::Millis;
use crate::model::message::{Message, Part};
use crate::model::offer::{Deed, Offer};
use crate::model::place::Address;

/// More of them no reader wants to choose from, and no chat can show. The same as in a reply.
const MOST_ACTIONS: usize = 25;

/// The longest name of a message, in characters.
const LONGEST_ID: usize = 200;

/// Ten years are as good as for ever, and leave room to add them to a time.
const LONGEST_TTL: Millis = 10 * 366 * 24 * 60 * 60 * 1000;

/// Refuses a value at a place of the message.
fn wrong<T>(field: &str, why: impl Into<String>) -> Result<T> {
    Err(refused("INVALID_REQUEST", why, field))
}

fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    !host.is_empty() && !url.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl Engine {
    /// Refuses what a process of `bot` may not say, naming the field.
    pub(super) fn check_message(&self, bot: &str, message: &Message) -> Result<()> {
        message.parts.iter().try_for_each(check_part)?;
        if let Some(why) = message.to.iter().find_map(|address| Address::parse(address).err()) {
            return wrong("message.destinations", why);
        }
        if let Some(key) = &message.key {
            if key.id.trim().is_empty() || key.id.chars().count() > LONGEST_ID || key.id.contains(char::is_control) {
                return wrong("message.id", format!("an id is one line of 1 to {LONGEST_ID} characters"));
            }
            check_ttl(key.ttl_ms, "message.ttl_ms")?;
        }
        if message.offers.len() > MOST_ACTIONS {
            return wrong("message.actions", format!("a message has at most {MOST_ACTIONS} actions"));
        }
        for (index, offer) in message.offers.iter().enumerate() {
            self.check_offer(bot, offer, &format!("message.actions[{index}]"))?;
        }
        Ok(())
    }

    fn check_offer(&self, bot: &str, offer: &Offer, place: &str) -> Result<()> {
        if offer.action.label().trim().is_empty() {
            return wrong(&format!("{place}.label"), "an action needs a label");
        }
        check_ttl(offer.ttl, &format!("{place}.ttl_ms"))?;
        check_look(&offer.action, place)?;
        let (named, command, parameters, takes) = match &offer.deed {
            None => return Ok(()),
            Some(Deed::Run { bot, command, parameters, parameter_name }) => {
                (bot, command, parameters, parameter_name.as_ref())
            }
            Some(Deed::Form { bot, command, parameters }) => (bot, command, parameters, None),
            Some(Deed::Dialog { .. } | Deed::Decide { .. } | Deed::Answer { .. } | Deed::Control { .. }) => {
                return wrong(place, "a process cannot offer this");
            }
        };
        let name = named.as_deref().unwrap_or(bot);
        let snapshot = self.registry().snapshot();
        let Some(loaded) = snapshot.bot(name) else {
            return wrong(&format!("{place}.bot"), format!("there is no bot '{name}'"));
        };
        let Some(command) = loaded.command(command) else {
            return wrong(&format!("{place}.command"), format!("bot '{name}' has no command '{command}'"));
        };
        for (parameter, value) in parameters {
            let place = format!("{place}.parameters.{parameter}");
            if takes == Some(parameter) {
                return wrong(&place, "it takes what is chosen: it cannot have a value as well");
            }
            check_value(&command, parameter, value, &place)?;
        }
        let Some(parameter) = takes else { return Ok(()) };
        match &offer.action {
            Action::Select { options, .. } => options.iter().enumerate().try_for_each(|(index, option)| {
                check_value(&command, parameter, &option.value, &format!("{place}.options[{index}]"))
            }),
            Action::Date { .. } => check_value(&command, parameter, "2026-11-23", &format!("{place}.parameter")),
            Action::Button { .. } | Action::Link { .. } => Ok(()),
        }
    }
}

fn check_value(command: &Command, name: &str, value: &str, place: &str) -> Result<()> {
    let Some(parameter) = command.parameter(name) else {
        return wrong(place, format!("the command '{}' has no parameter '{name}'", command.name));
    };
    match parameter.check(value, &command.name) {
        Ok(_) => Ok(()),
        Err(fault) => wrong(place, fault.message),
    }
}

fn check_ttl(ttl: Option<Millis>, place: &str) -> Result<()> {
    match ttl.is_none_or(|ttl| (1..=LONGEST_TTL).contains(&ttl)) {
        true => Ok(()),
        false => wrong(place, format!("a time to live is 1 to {LONGEST_TTL} milliseconds")),
    }
}

fn check_part(part: &Part) -> Result<()> {
    match part {
        Part::Image { url, .. } if !is_web_address(url) => wrong("message", "the url of an image is a web address"),
        Part::Table { columns, rows } if rows.iter().any(|row| row.len() != columns.len()) => {
            wrong("message", "every row of a table has as many cells as there are columns")
        }
        _ => Ok(()),
    }
}

/// What an action shows and takes.
fn check_look(action: &Action, place: &str) -> Result<()> {
    let day = |text: &Option<String>, name: &str| match text.as_deref().map(str::parse::<jiff::civil::Date>) {
        None => Ok(None),
        Some(Ok(day)) => Ok(Some(day)),
        Some(Err(_)) => wrong(&format!("{place}.{name}"), "a day is written like 2026-11-23"),
    };
    match action {
        Action::Button { .. } => Ok(()),
        Action::Link { url, .. } if is_web_address(url) => Ok(()),
        Action::Link { .. } => wrong(&format!("{place}.url"), "the url of a link is a web address"),
        Action::Select { options, .. } => {
            let place = format!("{place}.options");
            let mut known = BTreeSet::new();
            match options.iter().find(|option| option.value.is_empty() || !known.insert(&*option.value)) {
                None if options.is_empty() => wrong(&place, "a select needs at least one option"),
                None => Ok(()),
                Some(option) => wrong(&place, format!("the value '{}' is empty or there twice", option.value)),
            }
        }
        Action::Date { min, max, .. } => match (day(min, "min")?, day(max, "max")?) {
            (Some(min), Some(max)) if min > max => {
                wrong(&format!("{place}.max"), format!("the last day {max} is before the first, {min}"))
            }
            _ => Ok(()),
        },
    }
}
