//! Whether a shape really takes a text, and the arguments that come out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::bot::Bot;
use crate::model::command::Command;

use super::index::{Listed, Shape};
use super::pattern::accepted;
use super::search::{End, Kind, Search};

/// The command that a text means.
#[derive(Clone, Debug)]
pub struct Match {
    pub bot: Arc<Bot>,
    pub command: Arc<Command>,
    /// Which of the command's intents; none when its name was typed.
    pub intent: Option<usize>,
    /// Parameter name, as declared -> the text given for it. Rules beyond a slot's type are not checked, and required
    /// parameters may be absent.
    pub arguments: BTreeMap<String, String>,
    /// Of a regular expression: the whole match, then its groups; empty for a group that took no part.
    pub matches: Vec<String>,
}

/// What keeps a near miss from being a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotFault {
    /// The text ends before this parameter's slot.
    Missing { parameter: String },
    /// The slot's token has not the slot's type; it is kept among the arguments.
    Invalid { parameter: String, value: String },
    /// A named value at the end has a name that the command does not declare.
    Unknown { name: String },
}

/// How a shape takes the tokens of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// The first token that is a named value.
    pub(super) pairs_from: usize,
    /// Pieces that were given neither in place nor by name.
    pub(super) missing: Vec<usize>,
    /// Pieces whose token has not the right type.
    pub(super) invalid: Vec<usize>,
    /// Tokens that name no parameter.
    pub(super) unknown: Vec<usize>,
    /// Words and slots that the text does not reach.
    pub(super) left: usize,
}

impl Fit {
    pub(super) fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.invalid.is_empty() && self.unknown.is_empty()
    }
}

impl Search<'_, '_> {
    /// How a shape takes the text up to `end`; none when it stops short of plain words only.
    pub(super) fn fit(&self, shape: u32, end: &End) -> Option<Fit> {
        let shape = &self.index.shapes[shape as usize];
        let listed = self.index.listed(shape.command);
        let mut fit = Fit { pairs_from: end.depth, ..Fit::default() };
        match end.kind {
            Kind::Ends | Kind::Longer => fit.unknown = self.undeclared(listed, end.depth),
            Kind::Rest => fit.pairs_from = self.rest_end(listed, shape, end.depth),
        }
        for at in 0..end.depth {
            if let Some(slot) = self.index.slot(shape, at)
                && let Some(kind) = slot.token_type(&listed.command)
                && accepted(kind, &self.text.value(self.text.tokens[at])).is_none()
            {
                fit.invalid.push(at);
            }
        }
        if end.kind == Kind::Longer {
            fit.left = shape.elements.len() - end.depth;
            let mut named = false;
            for at in end.depth..shape.elements.len() {
                let Some(slot) = self.index.slot(shape, at) else { continue };
                if self.named_from(listed, end.depth).any(|parameter| parameter == slot.parameter) {
                    named = true;
                } else if slot.default.is_none() {
                    fit.missing.push(at);
                }
            }
            if !named && fit.missing.is_empty() {
                return None;
            }
        }
        Some(fit)
    }

    /// The tokens from `from` on, all of them pairs, that name no parameter.
    pub(super) fn undeclared(&self, listed: &Listed, from: usize) -> Vec<usize> {
        let unknown = |at: &usize| listed.parameter(&self.text.pair_at(*at).folded).is_none();
        (from..self.text.len()).filter(unknown).collect()
    }

    /// The parameters named from token `from` on.
    fn named_from<'s>(&'s self, listed: &'s Listed, from: usize) -> impl Iterator<Item = usize> + 's {
        (from..self.text.len()).filter_map(move |at| listed.parameter(&self.text.pair_at(at).folded))
    }

    /// Where the named values behind a rest slot begin. A pair stays in the rest when the command does not declare its
    /// name, or when it names the rest itself.
    fn rest_end(&self, listed: &Listed, shape: &Shape, depth: usize) -> usize {
        let rest = self.index.slot(shape, depth).map(|slot| slot.parameter);
        let mut from = self.text.len();
        while from > self.text.first_pair() && from > depth + 1 {
            let parameter = listed.parameter(&self.text.pair_at(from - 1).folded);
            if parameter.is_none() || parameter == rest {
                break;
            }
            from -= 1;
        }
        from
    }

    /// The match of a shape, invalid values included.
    pub(super) fn bind(&self, shape: u32, end: &End, fit: &Fit) -> Match {
        let shape = &self.index.shapes[shape as usize];
        let listed = self.index.listed(shape.command);
        let intent = &self.index.intents[shape.intent as usize];
        let parameters = &listed.command.parameters;
        let mut arguments = BTreeMap::new();
        for slot in intent.slots.iter() {
            if let Some(default) = &slot.default {
                arguments.insert(parameters[slot.parameter].name.clone(), default.clone());
            }
        }
        for at in 0..shape.elements.len() {
            let Some(slot) = self.index.slot(shape, at) else { continue };
            let value = match (slot.token_type(&listed.command), end.kind) {
                (Some(kind), _) if at < end.depth => {
                    let value = self.text.value(self.text.tokens[at]);
                    accepted(kind, &value).unwrap_or(&value).to_owned()
                }
                (None, Kind::Rest) => self.text.span(end.depth, fit.pairs_from).into_owned(),
                _ => continue,
            };
            arguments.insert(parameters[slot.parameter].name.clone(), value);
        }
        self.bind_pairs(listed, fit.pairs_from, &mut arguments);
        self.found(shape.command, Some(intent.number), arguments)
    }

    /// Adds the named values from token `from` on; the last of a name counts.
    pub(super) fn bind_pairs(&self, listed: &Listed, from: usize, arguments: &mut BTreeMap<String, String>) {
        for at in from..self.text.len() {
            let pair = self.text.pair_at(at);
            if let Some(parameter) = listed.parameter(&pair.folded) {
                let name = listed.command.parameters[parameter].name.clone();
                arguments.insert(name, pair.value.clone().into_owned());
            }
        }
    }

    pub(super) fn found(&self, command: u32, intent: Option<usize>, arguments: BTreeMap<String, String>) -> Match {
        let listed = self.index.listed(command);
        Match {
            bot: Arc::clone(&self.index.bots[listed.bot as usize]),
            command: Arc::clone(&listed.command),
            intent,
            arguments,
            matches: Vec::new(),
        }
    }

    /// The faults of a fit, in the order of the text.
    pub(super) fn faults(&self, shape: u32, fit: &Fit) -> Vec<SlotFault> {
        let shape = &self.index.shapes[shape as usize];
        let command = &self.index.listed(shape.command).command;
        let parameter = |at: usize| {
            let slot = self.index.slot(shape, at)?;
            Some(command.parameters[slot.parameter].name.clone())
        };
        let invalid = fit.invalid.iter().filter_map(|at| {
            let value = self.text.value(self.text.tokens[*at]).into_owned();
            Some(SlotFault::Invalid { parameter: parameter(*at)?, value })
        });
        let missing = fit.missing.iter().filter_map(|at| Some(SlotFault::Missing { parameter: parameter(*at)? }));
        invalid.chain(missing).chain(self.unknown_names(&fit.unknown)).collect()
    }

    pub(super) fn unknown_names(&self, unknown: &[usize]) -> Vec<SlotFault> {
        let name = |at: &usize| SlotFault::Unknown { name: self.text.pair_at(*at).name.to_owned() };
        unknown.iter().map(name).collect()
    }
}
