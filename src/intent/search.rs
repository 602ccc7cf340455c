//! One text's walk through the word tree: where shapes may end, in the order of the ranking.

use std::ops::Range;

use super::Scope;
use super::index::Index;
use super::pattern::Class;
use super::text::{self, Text};
use super::tree::ROOT;

/// How a shape relates to the tokens read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It ends here.
    Ends,
    /// It goes on, but the text does not, or only with named values.
    Longer,
    /// Its last slot takes everything from here.
    Rest,
}

/// A place in the tree where the text, or what stands before its named values, is used up.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) kind: Kind,
    /// Tokens read on the way.
    pub(super) depth: usize,
    /// The shapes that share this place.
    pub(super) shapes: Range<usize>,
}

/// So many shapes of one bot, or of all others, are looked at where a text stops short.
const MAX_LONGER: usize = 256;

const UNREAD: u32 = u32::MAX;
const UNKNOWN: u32 = u32::MAX - 1;

/// A text, read once, and what the tree says about it.
pub(super) struct Search<'i, 't> {
    pub(super) index: &'i Index,
    pub(super) text: Text<'t>,
    /// The bot of the conversation.
    pub(super) bot: Option<u32>,
    /// Best first.
    pub(super) ends: Vec<End>,
    /// Nodes visited: the measure of the work.
    pub(super) visited: usize,
    words: Vec<u32>,
    buffer: String,
}

/// Whose shapes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Bot(u32),
    /// All but the bot of the conversation.
    Others,
}

impl<'i, 't> Search<'i, 't> {
    /// Walks the tree with a text that [`text::normalise`] returned.
    pub(super) fn new(index: &'i Index, plain: &'t str, scope: &Scope<'_>) -> Self {
        let text = Text::read(plain);
        let mut search = Self {
            index,
            bot: scope.bot.and_then(|name| index.bot_number(name)),
            ends: Vec::new(),
            visited: 0,
            words: Vec::with_capacity(16),
            buffer: String::new(),
            text,
        };
        if search.text.len() > 0 && !index.shapes.is_empty() {
            search.walk(ROOT, 0, false);
        }
        search
    }

    fn walk(&mut self, node: u32, depth: usize, slotted: bool) {
        self.visited += 1;
        let tree = &self.index.tree;
        let more = depth < self.text.len();
        if more
            && let Some(word) = self.word(depth)
            && let Some(child) = tree.word(node, word)
        {
            self.walk(child, depth + 1, slotted);
        }
        if depth > 0 && depth >= self.text.first_pair() {
            self.push(Kind::Ends, depth, tree.ends(node));
            // A text may stop short of a slot, or of anything once a slot was filled; not in the middle of words.
            self.push(Kind::Longer, depth, if slotted { tree.longer(node) } else { tree.slotted(node) });
        }
        if more {
            for (_, child) in tree.slots(node) {
                self.walk(child, depth + 1, true);
            }
            self.push(Kind::Rest, depth, tree.rest(node));
        }
    }

    fn push(&mut self, kind: Kind, depth: usize, shapes: Range<usize>) {
        if !shapes.is_empty() {
            self.ends.push(End { kind, depth, shapes });
        }
    }

    /// The number of the word that token `at` is, if any intent has it and the token is not quoted.
    fn word(&mut self, at: usize) -> Option<u32> {
        // Tokens are asked for from left to right, each for the first time by the deepest walk so far.
        if at == self.words.len() {
            self.words.push(UNREAD);
        }
        if self.words[at] == UNREAD {
            let token = self.text.tokens[at];
            let word = if token.quoted {
                None
            } else {
                self.index.lexicon.number(text::fold_word(self.text.raw(token), &mut self.buffer))
            };
            self.words[at] = word.unwrap_or(UNKNOWN);
        }
        Some(self.words[at]).filter(|word| *word != UNKNOWN)
    }

    /// The shapes at an end that belong to `whose`, in order.
    pub(super) fn shapes(&self, end: &End, whose: Whose) -> impl Iterator<Item = u32> {
        let most = if end.kind == Kind::Longer { MAX_LONGER } else { usize::MAX };
        let (own, others) = match whose {
            Whose::Bot(bot) => (self.index.shapes_of(bot, end.shapes.clone()), 0..0),
            Whose::Others => (&[][..], end.shapes.clone()),
        };
        let skipped = self.bot;
        let others = others
            .map(|shape| shape as u32)
            .filter(move |shape| skipped != Some(self.index.shapes[*shape as usize].bot));
        own.iter().copied().chain(others).take(most)
    }

    /// The classes of the tokens of the text when a shape at `end` takes them, named values beginning at `pairs_from`.
    pub(super) fn classes(&self, shape: u32, end: &End, pairs_from: usize) -> Vec<Class> {
        let shape = &self.index.shapes[shape as usize];
        (0..self.text.len())
            .map(|at| match at {
                at if at < end.depth => self.index.class(shape, at),
                at if at < pairs_from => Class::Rest,
                _ => Class::Pair,
            })
            .collect()
    }
}
