//! The index over the intents of all bots: built once, never changed, shared.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;

use crate::model::bot::Bot;
use crate::model::command::Command;
use crate::model::name;

use super::RESERVED_BOT;
use super::align::Gauge;
use super::expression::{self, Expression};
use super::pattern::{Class, Element, Form, Pattern, Slot, Words};
use super::tree::{Step, Tree};

/// Everything that texts are matched against.
#[derive(Debug)]
pub struct Index {
    pub(super) bots: Vec<Arc<Bot>>,
    bot_numbers: HashMap<String, u32>,
    pub(super) reserved: Option<u32>,
    pub(super) commands: Vec<Listed>,
    pub(super) intents: Vec<Intent>,
    /// Sorted by their steps, then by bot and order of declaration.
    pub(super) shapes: Vec<Shape>,
    shapes_by_bot: Vec<Vec<u32>>,
    pub(super) shapes_by_command: Vec<Vec<u32>>,
    pub(super) tree: Tree,
    pub(super) lexicon: Lexicon,
    names: HashMap<String, Vec<u32>>,
    pub(super) expressions: Expressions,
}

/// A command in the index.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) bot: u32,
    pub(super) command: Arc<Command>,
    /// The folded names of its parameters, in their order.
    pub(super) parameters: Box<[Box<str>]>,
}

impl Listed {
    /// The parameter that a folded name names.
    pub(super) fn parameter(&self, folded: &str) -> Option<usize> {
        self.parameters.iter().position(|parameter| **parameter == *folded)
    }
}

/// A word pattern in the index.
#[derive(Debug)]
pub(super) struct Intent {
    pub(super) command: u32,
    /// Which of the command's intents.
    pub(super) number: usize,
    pub(super) slots: Box<[Slot]>,
}

/// One order of words and slots.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) bot: u32,
    pub(super) command: u32,
    pub(super) intent: u32,
    pub(super) elements: Box<[Piece]>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    Word { word: u32, written: u32 },
    Slot(u8),
}

impl Shape {
    /// Whether it is made of words only.
    pub(super) fn is_literal(&self) -> bool {
        self.elements.iter().all(|piece| matches!(piece, Piece::Word { .. }))
    }

    pub(super) fn starts_with_word(&self) -> bool {
        matches!(self.elements.first(), Some(Piece::Word { .. }))
    }
}

/// The words of all intents; a word's number is its place in the alphabet.
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    numbers: HashMap<Box<str>, u32>,
    pub(super) folded: Vec<Box<str>>,
    pub(super) written: Vec<Box<str>>,
    /// Of each word, what tells quickly that another is far from it.
    pub(super) gauges: Vec<Gauge>,
}

impl Lexicon {
    pub(super) fn number(&self, folded: &str) -> Option<u32> {
        self.numbers.get(folded).copied()
    }

    fn of<'p>(patterns: impl Iterator<Item = &'p Words>) -> (Self, HashMap<Box<str>, u32>) {
        let mut lexicon = Self::default();
        let mut spellings: HashMap<Box<str>, u32> = HashMap::new();
        for element in patterns.flat_map(|words| &words.shapes).flatten() {
            if let Element::Word { folded, written } = element {
                if !lexicon.numbers.contains_key(folded.as_str()) {
                    lexicon.numbers.insert(folded.as_str().into(), 0);
                    lexicon.folded.push(folded.as_str().into());
                }
                if !spellings.contains_key(written.as_str()) {
                    spellings.insert(written.as_str().into(), lexicon.written.len() as u32);
                    lexicon.written.push(written.as_str().into());
                }
            }
        }
        lexicon.folded.sort_unstable();
        for (number, word) in lexicon.folded.iter().enumerate() {
            if let Some(place) = lexicon.numbers.get_mut(word) {
                *place = number as u32;
            }
        }
        lexicon.gauges = lexicon.folded.iter().map(|word| Gauge::of(word)).collect();
        (lexicon, spellings)
    }
}

/// The regular-expression intents. Those with a text that every match must hold are tried only when it is there.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    pub(super) list: Vec<Lazy>,
    required: Option<AhoCorasick>,
    /// Which expressions need the required text of the same number.
    needing: Vec<Vec<u32>>,
    unanchored: Vec<u32>,
}

/// A regular expression that is compiled when it is first tried.
#[derive(Debug)]
pub(super) struct Lazy {
    pub(super) bot: u32,
    pub(super) command: u32,
    pub(super) number: usize,
    expression: Expression,
    compiled: OnceLock<Option<Regex>>,
}

impl Lazy {
    /// None when it does not compile, which [`Pattern::parse`] would have refused.
    pub(super) fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| self.expression.compile().ok()).as_ref()
    }
}

impl Expressions {
    fn build(list: Vec<Lazy>) -> Self {
        let mut expressions = Self { list, ..Self::default() };
        let mut texts: HashMap<String, usize> = HashMap::new();
        let mut ordered: Vec<String> = Vec::new();
        for (at, lazy) in expressions.list.iter().enumerate() {
            let Some(required) = lazy.expression.required() else {
                expressions.unanchored.push(at as u32);
                continue;
            };
            let number = *texts.entry(required).or_insert_with_key(|text| {
                ordered.push(text.clone());
                expressions.needing.push(Vec::new());
                ordered.len() - 1
            });
            expressions.needing[number].push(at as u32);
        }
        if !ordered.is_empty() {
            let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&ordered);
            match automaton {
                Ok(automaton) => expressions.required = Some(automaton),
                // Too many texts for one automaton: slow, but right.
                Err(_) => expressions.unanchored = (0..expressions.list.len() as u32).collect(),
            }
        }
        expressions
    }

    /// The expressions that may match a collapsed text, in order of declaration.
    pub(super) fn candidates(&self, collapsed: &str) -> Vec<u32> {
        let mut found = self.unanchored.clone();
        if let Some(required) = &self.required {
            let mut seen = vec![false; self.needing.len()];
            for hit in required.find_overlapping_iter(&expression::fold(collapsed)) {
                let number = hit.pattern().as_usize();
                if !std::mem::replace(&mut seen[number], true) {
                    found.extend(&self.needing[number]);
                }
            }
        }
        found.sort_unstable();
        found
    }
}

impl Index {
    /// Builds the index. Intents that [`Pattern::parse`] refuses are left out.
    pub fn build(bots: &[Arc<Bot>]) -> Self {
        let mut commands: Vec<Listed> = Vec::new();
        let mut intents = Vec::new();
        let mut patterns: Vec<Words> = Vec::new();
        let mut expressions = Vec::new();
        let mut names: HashMap<String, Vec<u32>> = HashMap::new();
        for (bot, owner) in (0..).zip(bots) {
            for command in &owner.commands {
                let number = commands.len() as u32;
                names.entry(name::fold(&command.name)).or_default().push(number);
                for (at, intent) in command.intents.iter().enumerate() {
                    match Pattern::read(intent, &command.parameters).map(|pattern| pattern.form) {
                        Ok(Form::Words(mut words)) => {
                            let slots = std::mem::take(&mut words.slots).into_boxed_slice();
                            intents.push(Intent { command: number, number: at, slots });
                            patterns.push(words);
                        }
                        Ok(Form::Expression(expression)) => {
                            let compiled = OnceLock::new();
                            expressions.push(Lazy { bot, command: number, number: at, expression, compiled });
                        }
                        Err(_) => {}
                    }
                }
                let folded = command.parameters.iter().map(|parameter| name::fold(&parameter.name).into_boxed_str());
                commands.push(Listed { bot, command: Arc::clone(command), parameters: folded.collect() });
            }
        }
        let (lexicon, spellings) = Lexicon::of(patterns.iter());
        let mut shapes = Vec::new();
        for (number, (intent, words)) in (0..).zip(intents.iter().zip(&patterns)) {
            let owner = &commands[intent.command as usize];
            for elements in &words.shapes {
                let piece = |element: &Element| match element {
                    Element::Word { folded, written } => {
                        Piece::Word { word: lexicon.numbers[folded.as_str()], written: spellings[written.as_str()] }
                    }
                    Element::Slot(slot) => Piece::Slot(*slot as u8),
                };
                let elements: Box<[Piece]> = elements.iter().map(piece).collect();
                let step = |piece: &Piece| match *piece {
                    Piece::Word { word, .. } => Step { class: Class::Literal, word },
                    Piece::Slot(slot) => Step { class: intent.slots[usize::from(slot)].class(&owner.command), word: 0 },
                };
                let steps: Vec<Step> = elements.iter().map(step).collect();
                shapes.push((steps, Shape { bot: owner.bot, command: intent.command, intent: number, elements }));
            }
        }
        shapes.sort_by(|(steps, shape), (other_steps, other)| {
            steps.cmp(other_steps).then_with(|| (shape.bot, shape.intent).cmp(&(other.bot, other.intent)))
        });
        let (steps, shapes): (Vec<Vec<Step>>, Vec<Shape>) = shapes.into_iter().unzip();
        let mut shapes_by_bot = vec![Vec::new(); bots.len()];
        let mut shapes_by_command = vec![Vec::new(); commands.len()];
        for (at, shape) in (0..).zip(&shapes) {
            shapes_by_command[shape.command as usize].push(at);
            shapes_by_bot[shape.bot as usize].push(at);
        }
        let bot_numbers: HashMap<String, u32> =
            (0..).zip(bots).map(|(number, bot)| (bot.name.clone(), number)).collect();
        Self {
            bots: bots.to_vec(),
            reserved: bot_numbers.get(RESERVED_BOT).copied(),
            bot_numbers,
            commands,
            intents,
            tree: Tree::build(&steps),
            shapes,
            shapes_by_bot,
            shapes_by_command,
            lexicon,
            names,
            expressions: Expressions::build(expressions),
        }
    }

    /// How many intents there are.
    pub fn len(&self) -> usize {
        self.intents.len() + self.expressions.list.len()
    }

    /// Whether there is no intent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many regular-expression intents must be tried on every text that no word pattern matches, because nothing
    /// in them is sure to be in each match.
    pub fn unanchored(&self) -> usize {
        self.expressions.unanchored.len()
    }

    /// The bots it was built from.
    pub fn bots(&self) -> &[Arc<Bot>] {
        &self.bots
    }

    pub(super) fn bot_number(&self, name: &str) -> Option<u32> {
        self.bot_numbers.get(name).copied()
    }

    /// The commands that have this folded name.
    pub(super) fn named(&self, folded: &str) -> &[u32] {
        self.names.get(folded).map_or(&[], Vec::as_slice)
    }

    /// The shapes of one bot within a range of shapes.
    pub(super) fn shapes_of(&self, bot: u32, within: Range<usize>) -> &[u32] {
        let all = &self.shapes_by_bot[bot as usize];
        let from = all.partition_point(|shape| (*shape as usize) < within.start);
        let to = all.partition_point(|shape| (*shape as usize) < within.end);
        &all[from..to]
    }

    pub(super) fn listed(&self, command: u32) -> &Listed {
        &self.commands[command as usize]
    }

    /// The slot that piece `at` of a shape is, if it is one.
    pub(super) fn slot(&self, shape: &Shape, at: usize) -> Option<&Slot> {
        match shape.elements[at] {
            Piece::Word { .. } => None,
            Piece::Slot(slot) => Some(&self.intents[shape.intent as usize].slots[usize::from(slot)]),
        }
    }

    pub(super) fn class(&self, shape: &Shape, at: usize) -> Class {
        self.slot(shape, at).map_or(Class::Literal, |slot| slot.class(&self.listed(shape.command).command))
    }
}
