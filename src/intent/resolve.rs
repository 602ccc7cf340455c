//! What a text means: the ranking, and what comes out of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use super::Scope;
use super::fit::{Fit, Match, SlotFault};
use super::index::Index;
use super::search::{Kind, Search, Whose};
use super::text::{self, collapse};
use crate::model::name;

/// What a text means to the bots of an index.
#[derive(Clone, Debug)]
pub enum Resolution {
    Match(Match),
    /// The beginning fits one command, but a slot does not.
    Near(Near),
    /// Commands of different bots fit equally well: ask. Their slots may have faults, as those of a near miss.
    Ambiguous(Vec<Match>),
    Nothing,
}

/// A command whose words were said, with something wrong in its slots.
#[derive(Clone, Debug)]
pub struct Near {
    /// What is understood so far, invalid values included.
    pub found: Match,
    pub faults: Vec<SlotFault>,
}

/// A possible reading of a text.
#[derive(Debug)]
pub(super) enum Reading {
    /// An index into the search's ends, and a shape.
    Shape {
        end: usize,
        shape: u32,
        fit: Fit,
    },
    Name {
        command: u32,
        unknown: Vec<usize>,
    },
    Expression {
        number: u32,
    },
}

/// What decides between readings at one place; smaller is better.
type Key = (usize, usize, Reverse<usize>, usize, Reverse<i32>);

impl Index {
    /// Finds the one command that `text` means. Permissions play no part: whoever runs the command checks them, so that
    /// a forbidden best match never falls through to a looser one.
    pub fn resolve(&self, text: &str, scope: &Scope<'_>) -> Resolution {
        match text::normalise(text) {
            Some(plain) => Search::new(self, &plain, scope).resolve(),
            None => Resolution::Nothing,
        }
    }
}

impl Search<'_, '_> {
    pub(super) fn resolve(&self) -> Resolution {
        let readings = self.best();
        let mut found: Vec<Near> = readings.iter().map(|reading| self.read(reading)).collect();
        match found.len() {
            0 => Resolution::Nothing,
            1 => match found.remove(0) {
                Near { found, faults } if faults.is_empty() => Resolution::Match(found),
                near => Resolution::Near(near),
            },
            _ => {
                let mut found: Vec<Match> = found.into_iter().map(|near| near.found).collect();
                // The order in which people are asked does not depend on how the readings were found.
                found.sort_by_key(|found| self.index.bots().iter().position(|bot| bot.name == found.bot.name));
                Resolution::Ambiguous(found)
            }
        }
    }

    /// The best readings: none, one, or one of each bot that is as good as the others.
    pub(super) fn best(&self) -> Vec<Reading> {
        if let Some(reading) = self.reserved_words() {
            return vec![reading];
        }
        let own = self.bot.map(Whose::Bot);
        let mut own_near = Vec::new();
        for whose in own.into_iter().chain([Whose::Others]) {
            let readings = self.patterns(whose);
            if !readings.is_empty() {
                return readings;
            }
            // A half-said command of the conversation's bot is nearer than another bot's command called by its name.
            let named = if own_near.is_empty() { self.names(whose) } else { Vec::new() };
            if !named.is_empty() {
                let near = self.near(whose);
                let same = near.len() == 1 && named.len() == 1 && self.command(&near[0]) == self.command(&named[0]);
                return if same { near } else { named };
            }
            let readings = self.expressions(whose);
            if !readings.is_empty() {
                return readings;
            }
            if own == Some(whose) {
                own_near = self.near(whose);
            }
        }
        if !own_near.is_empty() {
            return own_near;
        }
        let near = self.near(Whose::Others);
        if !near.is_empty() {
            return near;
        }
        self.misnamed()
    }

    /// A reserved command said in exactly its words.
    fn reserved_words(&self) -> Option<Reading> {
        let reserved = self.index.reserved?;
        let (end, place) = self.ends.iter().enumerate().find(|(_, end)| end.kind == Kind::Ends)?;
        let shape = self
            .index
            .shapes_of(reserved, place.shapes.clone())
            .iter()
            .copied()
            .find(|shape| self.index.shapes[*shape as usize].is_literal())?;
        let fit = self.fit(shape, place)?;
        fit.is_clean().then_some(Reading::Shape { end, shape, fit })
    }

    /// The word patterns that take the whole text, at the first place where there are any.
    fn patterns(&self, whose: Whose) -> Vec<Reading> {
        for (end, place) in self.ends.iter().enumerate() {
            if place.kind == Kind::Longer && place.depth == self.text.len() {
                continue;
            }
            let readings = self.readings(end, whose, Fit::is_clean);
            if !readings.is_empty() {
                return self.settle(readings);
            }
        }
        Vec::new()
    }

    fn readings(&self, end: usize, whose: Whose, keep: impl Fn(&Fit) -> bool) -> Vec<(Key, Reading)> {
        let place = &self.ends[end];
        self.shapes(place, whose)
            .filter_map(|shape| {
                let fit = self.fit(shape, place)?;
                keep(&fit).then(|| {
                    let key = (
                        fit.invalid.len() + fit.unknown.len(),
                        end,
                        Reverse(self.text.len() - fit.pairs_from),
                        fit.left,
                        Reverse(self.index.listed(self.index.shapes[shape as usize].command).command.priority),
                    );
                    (key, Reading::Shape { end, shape, fit })
                })
            })
            .collect()
    }

    /// Keeps what is best, and of that one reading of each bot; the reserved bot never has to share.
    fn settle(&self, mut readings: Vec<(Key, Reading)>) -> Vec<Reading> {
        if readings.len() > 1 {
            let best = readings.iter().map(|(key, _)| *key).min();
            readings.retain(|(key, _)| Some(*key) == best);
            let is_reserved = |reading: &Reading| self.index.reserved == Some(self.bot_of(reading));
            if readings.iter().any(|(_, reading)| is_reserved(reading)) {
                readings.retain(|(_, reading)| is_reserved(reading));
            }
            let mut seen = HashSet::new();
            readings.retain(|(_, reading)| seen.insert(self.bot_of(reading)));
        }
        readings.into_iter().map(|(_, reading)| reading).collect()
    }

    /// The commands whose name is all of the text but its named values.
    fn names(&self, whose: Whose) -> Vec<Reading> {
        self.settle(self.called(whose).into_iter().filter(|(key, _)| key.0 == 0).collect())
    }

    /// Names typed with named values that their command does not declare.
    fn misnamed(&self) -> Vec<Reading> {
        for whose in self.bot.map(Whose::Bot).into_iter().chain([Whose::Others]) {
            let called = self.called(whose);
            if !called.is_empty() {
                return self.settle(called);
            }
        }
        Vec::new()
    }

    pub(super) fn called(&self, whose: Whose) -> Vec<(Key, Reading)> {
        let Some(head) = self.text.tokens.first().filter(|head| !head.quoted && self.text.first_pair() <= 1) else {
            return Vec::new();
        };
        let named = self.index.named(&name::fold(text::trim_punctuation(self.text.raw(*head))));
        named
            .iter()
            .filter(|command| self.belongs(self.index.listed(**command).bot, whose))
            .map(|command| {
                let listed = self.index.listed(*command);
                let unknown = self.undeclared(listed, 1);
                let key = (unknown.len(), 0, Reverse(0), 0, Reverse(listed.command.priority));
                (key, Reading::Name { command: *command, unknown })
            })
            .collect()
    }

    fn expressions(&self, whose: Whose) -> Vec<Reading> {
        let expressions = &self.index.expressions;
        if expressions.list.is_empty() {
            return Vec::new();
        }
        let collapsed = collapse(self.text.plain);
        let matching = expressions.candidates(&collapsed).into_iter().filter_map(|number| {
            let lazy = &expressions.list[number as usize];
            let matches = self.belongs(lazy.bot, whose) && lazy.regex().is_some_and(|regex| regex.is_match(&collapsed));
            let priority = self.index.listed(lazy.command).command.priority;
            matches.then_some(((0, 0, Reverse(0), 0, Reverse(priority)), Reading::Expression { number }))
        });
        self.settle(matching.collect())
    }

    /// The half-said commands: the text begins with their words, and slots are missing or hold something else.
    fn near(&self, whose: Whose) -> Vec<Reading> {
        let mut readings: Vec<(Key, Reading)> = Vec::new();
        for end in 0..self.ends.len() {
            let mut here = self.readings(end, whose, |_| true);
            here.retain(|(_, reading)| self.starts_with_word(reading));
            readings.extend(here);
        }
        self.settle(readings)
    }

    fn starts_with_word(&self, reading: &Reading) -> bool {
        match reading {
            Reading::Shape { shape, .. } => self.index.shapes[*shape as usize].starts_with_word(),
            Reading::Name { .. } | Reading::Expression { .. } => true,
        }
    }

    pub(super) fn belongs(&self, bot: u32, whose: Whose) -> bool {
        match whose {
            Whose::Bot(own) => bot == own,
            Whose::Others => self.bot != Some(bot),
        }
    }

    pub(super) fn command(&self, reading: &Reading) -> u32 {
        match reading {
            Reading::Shape { shape, .. } => self.index.shapes[*shape as usize].command,
            Reading::Name { command, .. } => *command,
            Reading::Expression { number } => self.index.expressions.list[*number as usize].command,
        }
    }

    pub(super) fn bot_of(&self, reading: &Reading) -> u32 {
        self.index.listed(self.command(reading)).bot
    }

    /// The arguments of a reading, and what is wrong with it.
    pub(super) fn read(&self, reading: &Reading) -> Near {
        match reading {
            Reading::Shape { end, shape, fit } => {
                Near { found: self.bind(*shape, &self.ends[*end], fit), faults: self.faults(*shape, fit) }
            }
            Reading::Name { command, unknown } => {
                let mut arguments = BTreeMap::new();
                self.bind_pairs(self.index.listed(*command), 1, &mut arguments);
                Near { found: self.found(*command, None, arguments), faults: self.unknown_names(unknown) }
            }
            Reading::Expression { number } => Near { found: self.bind_expression(*number), faults: Vec::new() },
        }
    }

    fn bind_expression(&self, number: u32) -> Match {
        let lazy = &self.index.expressions.list[number as usize];
        let listed = self.index.listed(lazy.command);
        let collapsed = collapse(self.text.plain);
        let mut found = self.found(lazy.command, Some(lazy.number), BTreeMap::new());
        let Some(regex) = lazy.regex() else { return found };
        let Some(captures) = regex.captures(&collapsed) else { return found };
        for group in regex.capture_names().flatten() {
            if let Some(value) = captures.name(group)
                && let Some(parameter) = listed.parameter(&name::fold(group))
            {
                let name = listed.command.parameters[parameter].name.clone();
                found.arguments.insert(name, value.as_str().to_owned());
            }
        }
        found.matches =
            captures.iter().map(|group| group.map_or_else(String::new, |group| group.as_str().to_owned())).collect();
        found
    }
}
