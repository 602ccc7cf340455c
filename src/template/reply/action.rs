//! What a reply offers to do: buttons, links, selects, dates and forms.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::compile::Compiler;
use super::render::{Rendered, Renderer, fault, plain};
use super::words::{STYLES, day, duration, web_address};
use super::{Slot, Step, Word};
use crate::model::action::{Action, Choice, Life, Style};
use crate::model::offer::{Deed, Offer};
use crate::template::Form;

/// More of them no reader wants to choose from, and no chat can show.
const MOST_ACTIONS: usize = 25;

/// A command that an action runs: whoever knows all commands checks that it is there and takes what it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where in the reply it is named.
    pub path: Vec<Step>,
    /// None means the reply's own bot.
    pub bot: Option<String>,
    pub command: String,
    pub given: Vec<Given>,
}

/// A parameter that an action gives a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub name: String,
    /// Where in the reply it is named.
    pub path: Vec<Step>,
    /// Whether the name is the last key of the path, and not what stands there.
    pub key: bool,
    /// The values that are known now, and where they stand.
    pub values: Vec<(Vec<Step>, String)>,
    /// Whether it takes a day, such as `2026-11-23`.
    pub day: bool,
}

#[derive(Debug)]
pub(super) enum ActionText {
    Link { label: Slot, url: Slot },
    Offer(Box<OfferText>),
}

/// What runs a command.
#[derive(Debug)]
pub(super) struct OfferText {
    label: Slot,
    look: Look,
    target: Target,
    single_use: bool,
    ttl: Option<Slot>,
}

#[derive(Debug)]
pub(super) enum Look {
    Button { style: Option<Word<Style>>, confirm: Option<Slot> },
    Select(Options),
    Date { min: Option<Slot>, max: Option<Slot> },
}

/// The options of a select, written one by one as value and label, or as one template that renders to a JSON list.
#[derive(Debug)]
pub(super) enum Options {
    Each(Vec<(Slot, Option<Slot>)>),
    Json(Slot),
}

/// What is run, and with what.
#[derive(Debug)]
pub(super) struct Target {
    bot: Option<String>,
    command: String,
    parameters: Vec<(String, Slot)>,
    /// The parameter that takes what is chosen.
    takes: Option<String>,
    /// Whether its form is opened first.
    form: bool,
}

/// The keys of an action of any kind.
const KEYS: [&str; 11] =
    ["label", "command", "url", "form", "select", "date", "parameters", "style", "confirm", "single_use", "ttl"];

/// The keys that say what kind of action it is; without one of them it is a button.
const KINDS: [&str; 4] = ["url", "form", "select", "date"];

impl Compiler<'_> {
    pub(super) fn actions(&mut self, value: &Value) -> Vec<ActionText> {
        let items = self.list(value);
        if items.len() > MOST_ACTIONS {
            self.shape(&format!("a message has at most {MOST_ACTIONS} actions"));
        }
        let mut actions = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            actions.extend(self.step(Step::Index(index), |this| this.action(item)));
        }
        actions
    }

    fn action(&mut self, value: &Value) -> Option<ActionText> {
        let Value::Object(map) = value else {
            self.shape("an action is a map such as {label: Deploy, command: deploy}");
            return None;
        };
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| map.contains_key(*kind)).collect();
        let keys: &[&str] = match kinds.as_slice() {
            ["url"] => &["label", "url"],
            ["form"] => &["label", "form", "parameters", "style", "confirm", "single_use", "ttl"],
            ["select"] => &["label", "select", "command", "parameters", "single_use", "ttl"],
            ["date"] => &["label", "date", "command", "parameters", "single_use", "ttl"],
            [] => &["label", "command", "parameters", "style", "confirm", "single_use", "ttl"],
            several => {
                self.shape(&format!("an action does one thing, not several ({})", several.join(", ")));
                return None;
            }
        };
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.within(key, |this| match KEYS.contains(&key.as_str()) {
                true => this.shape_fault(format!("\"{key}\" has no place in this kind of action"), None, true),
                false => this.unknown_key(key, &KEYS),
            });
        }
        let label = self.required(map, "label", Form::Plain);
        match kinds.first() {
            Some(&"url") => {
                let url = self.required(map, "url", Form::Plain)?;
                self.read_fixed(&url, web_address);
                Some(ActionText::Link { label: label?, url })
            }
            kind => self.offer(map, label, kind.copied()),
        }
    }

    /// An action that runs a command.
    fn offer(&mut self, map: &Map<String, Value>, label: Option<Slot>, kind: Option<&str>) -> Option<ActionText> {
        let (names, path) = self.command(map, if kind == Some("form") { "form" } else { "command" })?;
        let (bot, command) = names;
        let (parameters, mut given) = self.parameters(map);
        let mut takes = None;
        let look = match kind {
            Some(kind @ ("select" | "date")) => {
                let (look, taken) = self.within(kind, |this| match kind {
                    "select" => this.select(&map[kind]),
                    _ => this.date(&map[kind]),
                })?;
                if let Some(twice) = given.iter().find(|given| given.name == taken.name) {
                    let why = format!("\"{}\" takes what is chosen: it cannot have a value as well", taken.name);
                    self.fault_at(twice.path.clone(), why, true);
                }
                takes = Some(taken.name.clone());
                given.push(taken);
                look
            }
            _ => {
                let style = map.get("style").and_then(|style| self.within("style", |this| this.word(style, &STYLES)));
                let confirm = map.get("confirm");
                let confirm = confirm.and_then(|text| self.within("confirm", |this| this.slot(text, Form::Plain)));
                Look::Button { style, confirm }
            }
        };
        let single_use = self.flag(map, "single_use");
        let ttl = map.get("ttl").and_then(|ttl| self.within("ttl", |this| this.read_slot(ttl, duration)));
        self.references.push(Reference { path, bot: bot.clone(), command: command.clone(), given });
        let target = Target { bot, command, parameters, takes, form: kind == Some("form") };
        Some(ActionText::Offer(Box::new(OfferText { label: label?, look, target, single_use, ttl })))
    }

    /// The command that is run, `name` or `bot/name`; it is no template, since it must be known now.
    #[expect(clippy::type_complexity, reason = "bot, command, and where they stand")]
    fn command(&mut self, map: &Map<String, Value>, key: &str) -> Option<((Option<String>, String), Vec<Step>)> {
        let Some(value) = map.get(key) else {
            self.shape("an action needs a \"command\", a \"form\" or a \"url\"");
            return None;
        };
        self.within(key, |this| {
            let name = value.as_str().map(str::trim).filter(|name| !name.is_empty());
            let Some(name) = name.filter(|name| !name.contains("{{")) else {
                this.shape("the name of a command is written here, or bot/command; a template cannot choose it");
                return None;
            };
            let names = match name.split_once('/') {
                Some((bot, command)) => (Some(bot.to_owned()), command.to_owned()),
                None => (None, name.to_owned()),
            };
            Some((names, this.path.clone()))
        })
    }

    fn parameters(&mut self, map: &Map<String, Value>) -> (Vec<(String, Slot)>, Vec<Given>) {
        let (mut parameters, mut given) = (Vec::new(), Vec::new());
        let Some(written) = map.get("parameters") else { return (parameters, given) };
        self.within("parameters", |this| {
            let Value::Object(written) = written else {
                this.shape("\"parameters\" is a map of names and values");
                return;
            };
            for (name, value) in written {
                let Some(slot) = this.within(name, |this| this.slot(value, Form::Plain)) else { continue };
                given.push(Given {
                    name: name.clone(),
                    path: slot.path.clone(),
                    key: true,
                    values: fixed(&slot).into_iter().collect(),
                    day: false,
                });
                parameters.push((name.clone(), slot));
            }
        });
        (parameters, given)
    }

    fn select(&mut self, value: &Value) -> Option<(Look, Given)> {
        let map = self.map(value, &["options", "parameter"])?;
        let mut taken = self.taken(map);
        let Some(options) = map.get("options") else {
            self.shape("a select needs \"options\"");
            return None;
        };
        let options = self.within("options", |this| match options {
            Value::String(_) => this.slot(options, Form::Json).map(Options::Json),
            _ => {
                let mut read = Vec::new();
                for (index, option) in this.list(options).iter().enumerate() {
                    read.extend(this.step(Step::Index(index), |this| this.option(option)));
                }
                if read.is_empty() {
                    this.shape("a select needs at least one of \"options\"");
                }
                Some(Options::Each(read))
            }
        });
        if let (Some(taken), Some(Options::Each(options))) = (&mut taken, &options) {
            taken.values = options.iter().filter_map(|(value, _)| fixed(value)).collect();
        }
        Some((Look::Select(options?), taken?))
    }

    fn option(&mut self, option: &Value) -> Option<(Slot, Option<Slot>)> {
        if !option.is_object() {
            return Some((self.slot(option, Form::Plain)?, None));
        }
        let map = self.map(option, &["value", "label"])?;
        let value = self.required(map, "value", Form::Plain);
        let label = map.get("label").and_then(|label| self.within("label", |this| this.slot(label, Form::Plain)));
        Some((value?, label))
    }

    fn date(&mut self, value: &Value) -> Option<(Look, Given)> {
        let map = self.map(value, &["min", "max", "parameter"])?;
        let taken = self.taken(map);
        let [min, max] = ["min", "max"]
            .map(|key| map.get(key).and_then(|value| self.within(key, |this| this.read_slot(value, day))));
        Some((Look::Date { min, max }, Given { day: true, ..taken? }))
    }

    /// The parameter that takes what is chosen.
    fn taken(&mut self, map: &Map<String, Value>) -> Option<Given> {
        let Some(name) = map.get("parameter") else {
            self.shape("\"parameter\" is missing: the one that takes what is chosen");
            return None;
        };
        self.within("parameter", |this| match name {
            Value::String(name) if !name.trim().is_empty() && !name.contains("{{") => {
                let (name, path) = (name.trim().to_owned(), this.path.clone());
                Some(Given { name, path, key: false, values: Vec::new(), day: false })
            }
            _ => {
                this.shape("the name of a parameter is written here; a template cannot choose it");
                None
            }
        })
    }
}

/// A text that is known before anything is rendered, and where it stands.
fn fixed(slot: &Slot) -> Option<(Vec<Step>, String)> {
    slot.template.fixed().filter(|text| !text.is_empty()).map(|text| (slot.path.clone(), text.to_owned()))
}

impl Renderer<'_> {
    pub(super) fn offers(&mut self, actions: &[ActionText]) -> Rendered<Vec<Offer>> {
        let mut offers = Vec::with_capacity(actions.len());
        for action in actions {
            offers.extend(self.offer(action)?);
        }
        Ok(offers)
    }

    /// What is offered; nothing where the label, or all options, come out empty.
    fn offer(&mut self, action: &ActionText) -> Rendered<Option<Offer>> {
        let label = match action {
            ActionText::Link { label, .. } => label,
            ActionText::Offer(offer) => &offer.label,
        };
        let label = self.slot(label)?.trim().to_owned();
        if label.is_empty() {
            return Ok(None);
        }
        let OfferText { look, target, single_use, ttl, .. } = match action {
            ActionText::Link { url, .. } => return Ok(Some(Offer::link(label, self.read(url, web_address)?))),
            ActionText::Offer(offer) => &**offer,
        };
        let Some(action) = self.look(look, label)? else { return Ok(None) };
        let ttl = self.optional_as(ttl.as_ref(), duration)?;
        let mut offer = Offer::new(action, self.deed(target)?);
        (offer.single_use, offer.ttl) = (*single_use, ttl);
        Ok(Some(offer))
    }

    fn look(&mut self, look: &Look, label: String) -> Rendered<Option<Action>> {
        let (id, life) = (String::new(), Life::default());
        Ok(Some(match look {
            Look::Button { style, confirm } => {
                let style = self.word(style.as_ref(), &STYLES)?.unwrap_or_default();
                let confirm = self.optional(confirm.as_ref())?.filter(|text| !text.trim().is_empty());
                Action::Button { id, label, style, confirm, life }
            }
            Look::Select(options) => {
                let options = self.choices(options)?;
                if options.is_empty() {
                    return Ok(None);
                }
                Action::Select { id, label, options, life }
            }
            Look::Date { min, max } => {
                let first = self.optional_as(min.as_ref(), day)?;
                let last = self.optional_as(max.as_ref(), day)?;
                if let (Some(first), Some(last), Some(slot)) = (&first, &last, max)
                    && first > last
                {
                    return Err(fault(slot.path.clone(), format!("the last day {last} is before the first, {first}")));
                }
                Action::Date { id, label, min: first, max: last, life }
            }
        }))
    }

    /// What can be chosen, each value once; one that comes out empty is left out.
    fn choices(&mut self, options: &Options) -> Rendered<Vec<Choice>> {
        let mut choices: Vec<Choice> = Vec::new();
        let mut add = |value: String, label: String| {
            let label = if label.trim().is_empty() { value.clone() } else { label };
            if !value.is_empty() && choices.iter().all(|known| known.value != value) {
                choices.push(Choice { value, label });
            }
        };
        match options {
            Options::Each(options) => {
                for (value, label) in options {
                    let value = self.slot(value)?;
                    let label = label.as_ref().map(|label| self.slot(label)).transpose()?;
                    add(value, label.unwrap_or_default());
                }
            }
            Options::Json(slot) => {
                for option in self.json(slot)? {
                    match &option {
                        Value::Object(map) if map.contains_key("value") => {
                            add(plain(&map["value"]), map.get("label").map(plain).unwrap_or_default());
                        }
                        Value::Object(_) | Value::Array(_) => {
                            let message = "an option is a text, or an object with a value and a label".to_owned();
                            return Err(fault(slot.path.clone(), message));
                        }
                        text => add(plain(text), String::new()),
                    }
                }
            }
        }
        Ok(choices)
    }

    fn deed(&mut self, target: &Target) -> Rendered<Deed> {
        let mut parameters = BTreeMap::new();
        for (name, value) in &target.parameters {
            let value = self.slot(value)?;
            // As everywhere, an empty value is none: it is asked for, or its default counts.
            if !value.is_empty() {
                parameters.insert(name.clone(), value);
            }
        }
        let (bot, command) = (target.bot.clone(), target.command.clone());
        Ok(match target.form {
            true => Deed::Form { bot, command, parameters },
            false => Deed::Run { bot, command, parameters, parameter_name: target.takes.clone() },
        })
    }
}
