//! What may have been meant: the commands whose words are nearest to a text that matches nothing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::bot::Bot;
use crate::model::command::Command;

use super::Scope;
use super::align::{Aligned, Gauge, Gauged, Item, Spoken, align};
use super::index::{Index, Piece, Shape};
use super::pattern::SlotKind;
use super::text::{self, Text};

/// Below this score nothing is suggested.
pub const THRESHOLD: f64 = 0.65;

/// So many tokens of a text are looked at.
const MAX_TOKENS: usize = 24;

/// So many shapes are aligned with a text, the most promising first.
const MAX_ALIGNED: usize = 64;

/// A command that may have been meant.
#[derive(Clone, Debug)]
pub struct Suggestion {
    pub bot: Arc<Bot>,
    pub command: Arc<Command>,
    /// The text with its words corrected and its own arguments.
    pub text: String,
    /// From [`THRESHOLD`] to 1.
    pub score: f64,
}

impl Index {
    /// Suggests at most `limit` commands for a text that resolved to nothing, the nearest first. Only commands that
    /// `may` allows are told of.
    pub fn suggest(
        &self,
        text: &str,
        scope: &Scope<'_>,
        may: &dyn Fn(&Bot, &Command) -> bool,
        limit: usize,
    ) -> Vec<Suggestion> {
        let Some(plain) = text::normalise(text) else { return Vec::new() };
        let text = Text::read(&plain);
        let folded: Vec<String> = text
            .tokens
            .iter()
            .take(MAX_TOKENS)
            .map(|token| text::fold_word(text.raw(*token), &mut String::new()).to_owned())
            .collect();
        let spoken: Vec<Spoken<'_>> =
            folded.iter().zip(&text.tokens).map(|(word, token)| Spoken::new(word, token.quoted)).collect();
        let bot = scope.bot.and_then(|name| self.bot_number(name));
        let mut allowed: HashMap<u32, bool> = HashMap::new();
        let promising = self.promising(&spoken).into_iter().filter(|shape| {
            let command = self.shapes[*shape as usize].command;
            *allowed.entry(command).or_insert_with(|| {
                let listed = self.listed(command);
                may(&self.bots[listed.bot as usize], &listed.command)
            })
        });

        let mut best: HashMap<u32, Found> = HashMap::new();
        for shape in promising.take(MAX_ALIGNED) {
            let Some(found) = self.align(&self.shapes[shape as usize], &text, &spoken) else { continue };
            let command = self.shapes[shape as usize].command;
            if best.get(&command).is_none_or(|other| found.is_better(other)) {
                best.insert(command, found);
            }
        }
        let mut found: Vec<(u32, Found)> = best.into_iter().collect();
        found.sort_by(|(a, found), (b, other)| {
            let own = |command: &u32| bot == Some(self.listed(*command).bot);
            let score = other.score.total_cmp(&found.score);
            score.then(found.missing.cmp(&other.missing)).then(own(b).cmp(&own(a))).then(a.cmp(b))
        });
        found
            .into_iter()
            .take(limit)
            .map(|(command, found)| {
                let listed = self.listed(command);
                Suggestion {
                    bot: Arc::clone(&self.bots[listed.bot as usize]),
                    command: Arc::clone(&listed.command),
                    text: found.text,
                    score: found.score,
                }
            })
            .collect()
    }

    /// The shapes that can reach the threshold, the most promising first. A score of [`THRESHOLD`] leaves room for
    /// errors in at most 7 of 13 characters of the words that are meant, whatever else is said; that is quick to add
    /// up from the fewest errors of each word.
    fn promising(&self, spoken: &[Spoken<'_>]) -> Vec<u32> {
        let errors: Vec<u32> = (self.lexicon.folded.iter().zip(&self.lexicon.gauges))
            .map(|(word, gauge)| fewest(Gauged { text: word, gauge: *gauge }, spoken))
            .collect();
        let mut found: Vec<(u32, u32)> = Vec::new();
        for (number, shape) in (0..).zip(&self.shapes) {
            let (mut wrong, mut meant, mut least) = (0, 0, u32::MAX);
            let mut check = |wrong: u32, meant: u32| {
                if meant > 0 && wrong * 13 <= (meant - 1) * 7 {
                    least = least.min(wrong * 1000 / meant);
                }
            };
            for piece in &shape.elements {
                match piece {
                    Piece::Word { word, .. } => {
                        wrong += errors[*word as usize];
                        meant += self.lexicon.gauges[*word as usize].length + 1;
                    }
                    Piece::Slot(_) => check(wrong, meant),
                }
            }
            check(wrong, meant);
            if least < u32::MAX {
                found.push((least, number));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, number)| number).collect()
    }

    fn align(&self, shape: &Shape, text: &Text<'_>, spoken: &[Spoken<'_>]) -> Option<Found> {
        let listed = self.listed(shape.command);
        let mut head = text.len();
        while head > text.first_pair() && listed.parameter(&text.pair_at(head - 1).folded).is_some() {
            head -= 1;
        }
        let items: Vec<Item<'_>> = (0..shape.elements.len())
            .map(|at| match (shape.elements[at], self.slot(shape, at).map(|slot| &slot.kind)) {
                (Piece::Word { word, .. }, _) => Item::Word(Gauged {
                    text: &self.lexicon.folded[word as usize],
                    gauge: self.lexicon.gauges[word as usize],
                }),
                (Piece::Slot(_), Some(SlotKind::Rest)) => Item::Rest,
                (Piece::Slot(_), _) => Item::Slot,
            })
            .collect();
        if head > spoken.len() && !matches!(items.last(), Some(Item::Rest)) {
            return None;
        }
        let aligned = align(&items, &spoken[..head.min(spoken.len())]);
        if aligned.score < THRESHOLD {
            return None;
        }
        let corrected = self.corrected(shape, text, head, &aligned);
        (corrected != text.plain).then_some(Found { score: aligned.score, missing: aligned.missing, text: corrected })
    }

    /// The sentence that was meant. Behind a slot that nothing was said for, arguments are given by name.
    fn corrected(&self, shape: &Shape, text: &Text<'_>, head: usize, aligned: &Aligned) -> String {
        let command = &self.listed(shape.command).command;
        let mut sentence: Vec<String> = Vec::new();
        let mut by_name = false;
        for (at, tokens) in aligned.tokens.iter().enumerate() {
            match (shape.elements[at], self.slot(shape, at), tokens) {
                (Piece::Word { written, .. }, ..) if !by_name => {
                    sentence.push(self.lexicon.written[written as usize].to_string());
                }
                (_, Some(slot), Some(tokens)) => {
                    let rest = matches!(slot.kind, SlotKind::Rest);
                    let end = text.tokens[if rest { head } else { tokens.end } - 1].end as usize;
                    let said = &text.plain[text.tokens[tokens.start].start as usize..end];
                    sentence.push(if by_name {
                        let name = &command.parameters[slot.parameter].name;
                        if tokens.len() > 1 { format!("{name}={}", quoted(said)) } else { format!("{name}={said}") }
                    } else {
                        said.to_owned()
                    });
                }
                (_, Some(_), None) => by_name = true,
                (_, None, _) => {}
            }
        }
        sentence.extend((head..text.len()).map(|at| text.raw(text.tokens[at]).to_owned()));
        sentence.join(" ")
    }
}

struct Found {
    score: f64,
    missing: usize,
    text: String,
}

impl Found {
    fn is_better(&self, other: &Self) -> bool {
        self.score > other.score || (self.score >= other.score && self.missing < other.missing)
    }
}

fn quoted(said: &str) -> String {
    format!("\"{}\"", said.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The fewest typing errors with which the word may be among the tokens; leaving it out costs it and a blank.
fn fewest(word: Gauged<'_>, spoken: &[Spoken<'_>]) -> u32 {
    let Gauge { length, .. } = word.gauge;
    let mut least = length + 1;
    for (at, token) in spoken.iter().enumerate().filter(|(_, token)| !token.quoted) {
        let said = token.word;
        if said.gauge.length > length && (said.text.starts_with(word.text) || said.text.ends_with(word.text)) {
            // It may be one of two words written as one; that costs the blank, counted with the other.
            return 0;
        }
        if let Some(next) = spoken.get(at + 1)
            && said.gauge.length + next.word.gauge.length == length
            && word.text.strip_prefix(said.text) == Some(next.word.text)
        {
            least = least.min(1);
        }
        if let Some(errors) = word.errors(token) {
            least = least.min(errors);
        }
    }
    least
}
