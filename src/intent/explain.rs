//! Why a text means what it means: every reading that was possible, and what decided.

use std::cmp::Reverse;

use super::Scope;
use super::fit::{Fit, SlotFault};
use super::index::Index;
use super::pattern::Class;
use super::resolve::Reading;
use super::search::{Search, Whose};
use super::text::{self, collapse};

/// So many readings are told.
const MAX_TOLD: usize = 20;

/// The readings of a text, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The text as it was cut into tokens.
    pub tokens: Vec<String>,
    pub candidates: Vec<Considered>,
    pub decided_by: Criterion,
}

/// One possible reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    pub bot: String,
    pub command: String,
    /// Which of the command's intents; none when its name was typed.
    pub intent: Option<usize>,
    /// The intent as written, or the command's name.
    pub written: String,
    /// How each token was taken.
    pub classes: Vec<Class>,
    /// What keeps it from being a match.
    pub faults: Vec<SlotFault>,
    /// Whether it belongs to the bot of the conversation.
    pub in_scope: bool,
    pub priority: i32,
    /// Whether this is the one that counts, or one of those that are asked about.
    pub chosen: bool,
}

/// The first thing in which the chosen reading differs from the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Criterion {
    /// There was no reading.
    #[default]
    Nothing,
    /// There was no other.
    Alone,
    /// Commands of different bots are equal.
    Tie,
    /// The words of a built-in command are reserved.
    Reserved,
    /// The bot of the conversation goes first.
    Scope,
    /// All of the text was understood.
    Completeness,
    /// This token (from 0) is taken more exactly.
    Token(usize),
    /// A pattern before a command's name, and that before a regular expression.
    Form,
    /// The higher priority.
    Priority,
    /// Equal; what is declared first goes first.
    Order,
}

/// What readings are sorted by.
type Key = (bool, bool, Vec<Class>, usize, Reverse<i32>);

impl Index {
    /// Says why `text` resolves as it does. Costs more than [`Index::resolve`]: for people who ask.
    pub fn explain(&self, text: &str, scope: &Scope<'_>) -> Explanation {
        match text::normalise(text) {
            Some(plain) => Search::new(self, &plain, scope).explain(),
            None => Explanation::default(),
        }
    }
}

impl Search<'_, '_> {
    fn explain(&self) -> Explanation {
        let chosen = self.best();
        let mut others: Vec<(Key, Reading)> = self
            .all()
            .into_iter()
            .filter(|reading| !chosen.iter().any(|best| self.is_same(best, reading)))
            .map(|reading| (self.key(&reading), reading))
            .collect();
        others.sort_by(|(a, _), (b, _)| a.cmp(b));
        let decided_by = match (chosen.as_slice(), others.first()) {
            ([], _) => Criterion::Nothing,
            ([_, _, ..], _) => Criterion::Tie,
            ([_], None) => Criterion::Alone,
            ([best], Some((other, _))) => criterion(&self.key(best), other),
        };
        let told = chosen.iter().map(|reading| (true, reading));
        let told = told.chain(others.iter().map(|(_, reading)| (false, reading))).take(MAX_TOLD);
        Explanation {
            tokens: self.text.tokens.iter().map(|token| self.text.value(*token).into_owned()).collect(),
            candidates: told.map(|(chosen, reading)| self.consider(reading, chosen)).collect(),
            decided_by,
        }
    }

    /// Every reading, near misses included.
    fn all(&self) -> Vec<Reading> {
        let mut readings = Vec::new();
        for whose in self.bot.map(Whose::Bot).into_iter().chain([Whose::Others]) {
            for (end, place) in self.ends.iter().enumerate() {
                readings.extend(self.shapes(place, whose).filter_map(|shape| {
                    let fit = self.fit(shape, place)?;
                    let told = fit.is_clean() || self.index.shapes[shape as usize].starts_with_word();
                    told.then_some(Reading::Shape { end, shape, fit })
                }));
            }
            let called = self.called(whose).into_iter().map(|(_, reading)| reading);
            let unsaid = called.filter(|name| !readings.iter().any(|said| self.command(said) == self.command(name)));
            let unsaid: Vec<Reading> = unsaid.collect();
            readings.extend(unsaid);
        }
        let collapsed = collapse(self.text.plain);
        let expressions = &self.index.expressions;
        readings.extend(expressions.candidates(&collapsed).into_iter().filter_map(|number| {
            let regex = expressions.list[number as usize].regex()?;
            regex.is_match(&collapsed).then_some(Reading::Expression { number })
        }));
        readings
    }

    fn is_same(&self, a: &Reading, b: &Reading) -> bool {
        match (a, b) {
            (Reading::Shape { end, shape, .. }, Reading::Shape { end: other_end, shape: other, .. }) => {
                end == other_end && shape == other
            }
            (Reading::Name { command, .. }, Reading::Name { command: other, .. }) => command == other,
            (Reading::Expression { number }, Reading::Expression { number: other }) => number == other,
            _ => false,
        }
    }

    fn key(&self, reading: &Reading) -> Key {
        let clean = match reading {
            Reading::Shape { fit, .. } => fit.is_clean(),
            Reading::Name { unknown, .. } => unknown.is_empty(),
            Reading::Expression { .. } => true,
        };
        let left = if let Reading::Shape { fit: Fit { left, .. }, .. } = reading { *left } else { 0 };
        let priority = self.index.listed(self.command(reading)).command.priority;
        (!clean, self.bot != Some(self.bot_of(reading)), self.classes_of(reading), left, Reverse(priority))
    }

    fn classes_of(&self, reading: &Reading) -> Vec<Class> {
        match reading {
            Reading::Shape { end, shape, fit } => self.classes(*shape, &self.ends[*end], fit.pairs_from),
            Reading::Name { .. } => {
                (0..self.text.len()).map(|at| if at == 0 { Class::Name } else { Class::Pair }).collect()
            }
            Reading::Expression { .. } => vec![Class::Expression; self.text.len()],
        }
    }

    fn consider(&self, reading: &Reading, chosen: bool) -> Considered {
        let near = self.read(reading);
        let command = near.found.command;
        let written = near.found.intent.map_or(&command.name, |intent| &command.intents[intent]);
        Considered {
            bot: near.found.bot.name.clone(),
            intent: near.found.intent,
            written: written.clone(),
            classes: self.classes_of(reading),
            faults: near.faults,
            in_scope: self.bot == Some(self.bot_of(reading)),
            priority: command.priority,
            command: command.name.clone(),
            chosen,
        }
    }
}

fn criterion(best: &Key, other: &Key) -> Criterion {
    if best.0 != other.0 {
        return if other.0 { Criterion::Completeness } else { Criterion::Scope };
    }
    if best.1 != other.1 {
        // Only reserved words go before the bot of the conversation.
        return if other.1 { Criterion::Scope } else { Criterion::Reserved };
    }
    let differs = best.2.iter().zip(&other.2).position(|(best, other)| best != other);
    if let Some(token) = differs {
        let forms = [Class::Name, Class::Expression];
        let form = forms.contains(&best.2[token]) || forms.contains(&other.2[token]);
        return if form { Criterion::Form } else { Criterion::Token(token) };
    }
    if best.3 != other.3 {
        return Criterion::Completeness;
    }
    if best.4 != other.4 { Criterion::Priority } else { Criterion::Order }
}
