//! A text that is being typed: where in the word tree it may go on.

use std::ops::Range;

use crate::model::name;
use crate::model::parameter::ParameterType;

use super::index::{Index, Shape};
use super::pattern::{Class, accepted};
use super::text::{self, Text};
use super::tree::ROOT;

/// So many shapes of one bot, or of all others, are looked at.
pub(super) const MAX_SHAPES: usize = 512;

/// What the last, unfinished token of a text is to a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tail {
    /// The beginning of the word that comes next.
    Word,
    /// The beginning of the value, or the name, of what is given by name.
    Named,
    /// There is none: the text is empty or ends with a blank.
    Fresh,
    /// The beginning of a slot's value.
    Value,
    /// Part of what the last slot takes.
    Rest,
}

/// A shape that goes on from the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) shape: u32,
    /// Pieces that are said in full.
    pub(super) said: usize,
    pub(super) tail: Tail,
}

/// A text that is being typed.
pub(super) struct Typing<'i, 't> {
    pub(super) index: &'i Index,
    pub(super) text: Text<'t>,
    /// The tokens that are finished.
    pub(super) finished: usize,
    /// The token that is not.
    pub(super) partial: Option<&'t str>,
    starts: Vec<(Tail, usize, Range<usize>)>,
}

impl<'i, 't> Typing<'i, 't> {
    pub(super) fn new(index: &'i Index, plain: &'t str, fresh: bool) -> Self {
        let text = Text::read(plain);
        let finished = if fresh { text.len() } else { text.len() - 1 };
        let partial = text.tokens.get(finished).map(|token| text.raw(*token));
        let mut typing = Self { index, text, finished, partial, starts: Vec::new() };
        if !index.shapes.is_empty() && typing.text.len() > 0 {
            typing.walk(ROOT, 0);
        }
        typing
    }

    /// Follows the finished tokens and notes where the shapes go on.
    fn walk(&mut self, node: u32, depth: usize) {
        let tree = &self.index.tree;
        let mut note = |tail: Tail, range: Range<usize>| {
            if !range.is_empty() {
                self.starts.push((tail, depth, range));
            }
        };
        if depth < self.finished {
            if depth > 0 && depth >= self.text.first_pair() {
                note(Tail::Named, tree.ends(node));
            }
            note(Tail::Rest, tree.rest(node));
            let token = self.text.tokens[depth];
            let mut buffer = String::new();
            let word = text::fold_word(self.text.raw(token), &mut buffer);
            let word = if token.quoted { None } else { self.index.lexicon.number(word) };
            if let Some(child) = word.and_then(|word| tree.word(node, word)) {
                self.walk(child, depth + 1);
            }
            for (_, child) in tree.slots(node) {
                self.walk(child, depth + 1);
            }
            return;
        }
        let Some(partial) = self.partial else {
            note(Tail::Fresh, tree.all(node));
            return;
        };
        let prefix = partial.to_lowercase();
        let words = tree.words(node);
        let from = words.partition_point(|(word, _)| *self.index.lexicon.folded[*word as usize] < *prefix);
        let same =
            words[from..].iter().take_while(|(word, _)| self.index.lexicon.folded[*word as usize].starts_with(&prefix));
        for (_, child) in same {
            note(Tail::Word, tree.all(*child));
        }
        if depth > 0 {
            note(Tail::Named, tree.ends(node));
        }
        for (_, child) in tree.slots(node) {
            note(Tail::Value, tree.all(child));
        }
        note(Tail::Rest, tree.rest(node));
    }

    /// The starts among the shapes that `pick` chooses from each range, best first.
    pub(super) fn starts_of(&self, pick: impl Fn(Range<usize>) -> Vec<u32>) -> Vec<Start> {
        let mut starts: Vec<Start> = Vec::new();
        for (tail, said, range) in &self.starts {
            if starts.len() >= MAX_SHAPES {
                break;
            }
            let picked = pick(range.clone()).into_iter().take(MAX_SHAPES);
            let picked = picked.map(|shape| Start { shape, said: *said, tail: *tail });
            starts.extend(picked.filter(|start| self.fits(*start)));
        }
        starts.sort_by_cached_key(|start| {
            let shape = &self.index.shapes[start.shape as usize];
            let classes: Vec<Class> = (0..start.said).map(|at| self.index.class(shape, at)).collect();
            (classes, start.tail, self.index.plainness(start.shape))
        });
        starts
    }

    pub(super) fn shape(&self, start: Start) -> &'i Shape {
        &self.index.shapes[start.shape as usize]
    }

    /// Whether the values typed so far are what the slots take, and the named ones belong to the command.
    fn fits(&self, start: Start) -> bool {
        let shape = self.shape(start);
        let listed = self.index.listed(shape.command);
        let typed = |at: usize| {
            let kind = self.index.slot(shape, at).and_then(|slot| slot.token_type(&listed.command));
            kind.is_none_or(|kind| accepted(kind, &self.text.value(self.text.tokens[at])).is_some())
        };
        let partial = self.partial.unwrap_or_default();
        let tail = match start.tail {
            Tail::Value => match self.index.slot(shape, start.said).and_then(|slot| slot.token_type(&listed.command)) {
                Some(ParameterType::Choice { choices }) => !beginning(choices, partial).is_empty(),
                _ => true,
            },
            Tail::Named => {
                let finished = start.said..self.finished;
                finished.into_iter().all(|at| listed.parameter(&self.text.pair_at(at).folded).is_some())
                    && (self.partial.is_none() || self.named(start).is_some())
            }
            Tail::Word | Tail::Fresh | Tail::Rest => true,
        };
        tail && (0..start.said).all(typed)
    }

    /// The parameter that the unfinished token names, or begins to name, and the beginning of its value.
    pub(super) fn named(&self, start: Start) -> Option<(usize, Option<&'t str>)> {
        let listed = self.index.listed(self.shape(start).command);
        let partial = self.partial?;
        let bare = partial.trim_start_matches(['-', '\u{2014}', '\u{2013}']);
        if let Some((written, value)) = bare.split_once('=') {
            return Some((listed.parameter(&name::fold(written))?, Some(value)));
        }
        let folded = name::fold(bare);
        let given = self.given(start);
        let begins = |at: &usize| listed.parameters[*at].starts_with(&folded) && !given.contains(at);
        (0..listed.parameters.len()).find(begins).map(|parameter| (parameter, None))
    }

    /// The parameters that are given by name in finished tokens.
    pub(super) fn given(&self, start: Start) -> Vec<usize> {
        let listed = self.index.listed(self.shape(start).command);
        let from = start.said.max(self.text.first_pair());
        let names = if start.tail == Tail::Named { from..self.finished } else { 0..0 };
        names.filter_map(|at| listed.parameter(&self.text.pair_at(at).folded)).collect()
    }
}

/// The choices that begin as typed.
pub(super) fn beginning(choices: &[String], typed: &str) -> Vec<String> {
    let typed = typed.trim_start_matches(['"', '\'']).to_lowercase();
    choices.iter().filter(|choice| choice.to_lowercase().starts_with(&typed)).cloned().collect()
}
