//! Which shapes take texts from which others.

use crate::model::parameter::ParameterType;

use super::index::{Index, Piece, Shape};
use super::pattern::{Class, SlotKind, accepted};
use super::tree::ROOT;

/// So many shapes are compared with one; more would make a check of many equal ones slow.
const MAX_COMPARED: usize = 256;

/// What a piece accepts.
enum Taken<'i> {
    Word(u32),
    Choice(&'i [String]),
    Type(&'i ParameterType),
    Rest,
}

impl Index {
    fn taken<'i>(&'i self, shape: &'i Shape, at: usize) -> Taken<'i> {
        let Piece::Word { word, .. } = shape.elements[at] else {
            let command = &self.listed(shape.command).command;
            return match self.slot(shape, at).map(|slot| (slot.token_type(command), &slot.kind)) {
                Some((Some(ParameterType::Choice { choices }), _)) => Taken::Choice(choices),
                Some((Some(kind), _)) => Taken::Type(kind),
                Some((None, SlotKind::Rest | SlotKind::Declared | SlotKind::Written(_))) | None => Taken::Rest,
            };
        };
        Taken::Word(word)
    }

    /// The best shape of another intent that wins every text that shape `number` takes.
    pub(super) fn hidden_by(&self, number: usize) -> Option<&Shape> {
        let shape = &self.shapes[number];
        let mut found = Vec::new();
        self.gather(shape, ROOT, 0, &mut found);
        found
            .into_iter()
            .take(MAX_COMPARED)
            .map(|other| (other, &self.shapes[other]))
            .find(|(at, other)| other.intent != shape.intent && self.wins(*at, number) && self.covers(other, shape))
            .map(|(_, other)| other)
    }

    /// The shapes whose words and slots lie where those of `shape` do, best first.
    fn gather(&self, shape: &Shape, node: u32, at: usize, found: &mut Vec<usize>) {
        if found.len() >= MAX_COMPARED {
            return;
        }
        if at == shape.elements.len() {
            found.extend(self.tree.ends(node).take(MAX_COMPARED));
            return;
        }
        let word = match self.taken(shape, at) {
            Taken::Word(word) => Some(word),
            Taken::Choice([only]) => self.lexicon.number(&only.to_lowercase()),
            _ => None,
        };
        if let Some(child) = word.and_then(|word| self.tree.word(node, word)) {
            self.gather(shape, child, at + 1, found);
        }
        for (_, child) in self.tree.slots(node) {
            self.gather(shape, child, at + 1, found);
        }
        found.extend(self.tree.rest(node).take(MAX_COMPARED));
    }

    /// Whether `other` is ranked before `shape` where both match.
    fn wins(&self, other: usize, shape: usize) -> bool {
        let (a, b) = (&self.shapes[other], &self.shapes[shape]);
        let classes = |shape: &Shape, length: usize| -> Vec<Class> {
            let last = shape.elements.len() - 1;
            (0..length).map(|at| self.class(shape, at.min(last))).collect()
        };
        let length = b.elements.len();
        let priority = |shape: &Shape| std::cmp::Reverse(self.listed(shape.command).command.priority);
        (classes(a, length), priority(a), a.intent) < (classes(b, length), priority(b), b.intent)
    }

    /// Whether `other` takes every text that `shape` takes.
    fn covers(&self, other: &Shape, shape: &Shape) -> bool {
        (0..shape.elements.len()).all(|at| {
            let last = other.elements.len() - 1;
            match (self.taken(other, at.min(last)), self.taken(shape, at)) {
                (Taken::Rest, _) => true,
                (_, Taken::Rest) => false,
                (Taken::Word(a), Taken::Word(b)) => a == b,
                (Taken::Word(a), Taken::Choice(choices)) => {
                    choices.iter().all(|choice| self.lexicon.number(&choice.to_lowercase()) == Some(a))
                }
                (Taken::Word(_), Taken::Type(_)) => false,
                (Taken::Choice(a), Taken::Choice(b)) => {
                    b.iter().all(|choice| a.iter().any(|other| other.to_lowercase() == choice.to_lowercase()))
                }
                (Taken::Choice(a), Taken::Word(word)) => {
                    let word = &self.lexicon.folded[word as usize];
                    a.iter().any(|choice| choice.to_lowercase() == **word)
                }
                (Taken::Choice(_), Taken::Type(_)) => false,
                (Taken::Type(a), Taken::Word(word)) => accepted(a, &self.lexicon.folded[word as usize]).is_some(),
                (Taken::Type(a), Taken::Choice(choices)) => choices.iter().all(|choice| accepted(a, choice).is_some()),
                (Taken::Type(a), Taken::Type(b)) => contains(a, b),
            }
        })
    }

    /// Whether two shapes have the same words and slots of the same class in the same places.
    pub(super) fn is_same_place(&self, a: &Shape, b: &Shape) -> bool {
        a.elements.len() == b.elements.len()
            && (0..a.elements.len()).all(|at| match (a.elements[at], b.elements[at]) {
                (Piece::Word { word: a, .. }, Piece::Word { word: b, .. }) => a == b,
                _ => self.class(a, at) == self.class(b, at),
            })
    }

    /// Whether a text may match two shapes of [`Index::is_same_place`] alike.
    pub(super) fn overlap(&self, a: &Shape, b: &Shape) -> bool {
        (0..a.elements.len()).all(|at| match (self.taken(a, at), self.taken(b, at)) {
            (Taken::Choice(a), Taken::Choice(b)) => {
                a.iter().any(|choice| b.iter().any(|other| other.to_lowercase() == choice.to_lowercase()))
            }
            (Taken::Type(a), Taken::Type(b)) => contains(a, b) || contains(b, a),
            _ => true,
        })
    }

    /// Whether two shapes of [`Index::is_same_place`] take exactly the same texts.
    pub(super) fn is_same_shape(&self, a: &Shape, b: &Shape) -> bool {
        self.covers(a, b) && self.covers(b, a)
    }
}

/// Whether every text of the type `b` has the type `a` too.
fn contains(a: &ParameterType, b: &ParameterType) -> bool {
    use ParameterType::{Channel, Date, Datetime, Integer, Number, User};
    a == b
        || Class::of(a) == Class::Untyped
        || matches!((a, b), (User | Channel, _) | (Number, Integer) | (Datetime, Date))
}
