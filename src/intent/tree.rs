//! The word tree: all shapes of all intents, sorted, with a node for every common beginning.
//!
//! A node's depth is the number of tokens read, so a walk visits a node at most once, whatever the text.

use std::ops::Range;

use super::pattern::Class;

/// What an element is to the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    pub(super) class: Class,
    /// The word's number; 0 for slots.
    pub(super) word: u32,
}

const NONE: u32 = u32::MAX;

/// Shapes are sorted by their steps, so each node owns a range of them: those that end here, then those that go on
/// with a word, a choice, a typed slot, an untyped slot, and last those that take all the rest here.
#[derive(Debug)]
struct Node {
    shapes: Range<u32>,
    ends: u32,
    slots: u32,
    rest: u32,
    words: Range<u32>,
    /// Children by slot class: choice, typed, untyped.
    children: [u32; 3],
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// (word, node), sorted by word within each node's range.
    edges: Vec<(u32, u32)>,
}

pub(super) const ROOT: u32 = 0;

fn range(range: Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

impl Tree {
    /// Builds the tree over shapes that are sorted by their steps.
    pub(super) fn build(shapes: &[Vec<Step>]) -> Self {
        let mut tree = Self::default();
        tree.grow(shapes, 0..shapes.len(), 0);
        tree
    }

    fn grow(&mut self, shapes: &[Vec<Step>], span: Range<usize>, depth: usize) -> u32 {
        let first = |class: Class| {
            let below = |shape: &Vec<Step>| shape.get(depth).is_none_or(|step| step.class < class);
            span.start + shapes[span.clone()].partition_point(below)
        };
        let (ends, choice, typed) = (first(Class::Literal), first(Class::Choice), first(Class::Typed));
        let (untyped, rest) = (first(Class::Untyped), first(Class::Rest));
        let id = self.nodes.len() as u32;
        self.nodes.push(Node {
            shapes: span.start as u32..span.end as u32,
            ends: ends as u32,
            slots: choice as u32,
            rest: rest as u32,
            words: 0..0,
            children: [NONE; 3],
        });
        let mut edges = Vec::new();
        let mut at = ends;
        while at < choice {
            let word = shapes[at][depth].word;
            let same = shapes[at..choice].partition_point(|shape| shape[depth].word == word);
            edges.push((word, self.grow(shapes, at..at + same, depth + 1)));
            at += same;
        }
        let start = self.edges.len() as u32;
        self.edges.extend(edges);
        let words = start..self.edges.len() as u32;
        let slots = [choice..typed, typed..untyped, untyped..rest];
        let children = slots.map(|span| if span.is_empty() { NONE } else { self.grow(shapes, span, depth + 1) });
        let node = &mut self.nodes[id as usize];
        node.words = words;
        node.children = children;
        id
    }

    fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    /// The child behind a word.
    pub(super) fn word(&self, node: u32, word: u32) -> Option<u32> {
        let edges = &self.edges[range(self.node(node).words.clone())];
        edges.binary_search_by_key(&word, |edge| edge.0).ok().map(|at| edges[at].1)
    }

    /// All children behind words, by word.
    pub(super) fn words(&self, node: u32) -> &[(u32, u32)] {
        &self.edges[range(self.node(node).words.clone())]
    }

    /// The children behind slots for one token, most exact class first.
    pub(super) fn slots(&self, node: u32) -> impl Iterator<Item = (Class, u32)> + use<> {
        let children = self.node(node).children;
        [Class::Choice, Class::Typed, Class::Untyped].into_iter().zip(children).filter(|(_, child)| *child != NONE)
    }

    /// The shapes that begin with the words and slots up to this node.
    pub(super) fn all(&self, node: u32) -> Range<usize> {
        range(self.node(node).shapes.clone())
    }

    /// Those of them that end here.
    pub(super) fn ends(&self, node: u32) -> Range<usize> {
        let node = self.node(node);
        range(node.shapes.start..node.ends)
    }

    /// Those that go on.
    pub(super) fn longer(&self, node: u32) -> Range<usize> {
        let node = self.node(node);
        range(node.ends..node.shapes.end)
    }

    /// Those that go on with a slot.
    pub(super) fn slotted(&self, node: u32) -> Range<usize> {
        let node = self.node(node);
        range(node.slots..node.shapes.end)
    }

    /// Those that take all the rest from here.
    pub(super) fn rest(&self, node: u32) -> Range<usize> {
        let node = self.node(node);
        range(node.rest..node.shapes.end)
    }
}
