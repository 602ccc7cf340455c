//! How far a text is from a shape: words aligned with words, slots with tokens, counted in typing errors.

use std::ops::Range;

/// What tells quickly that two words are far apart: their lengths, and which characters they have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge {
    pub(super) length: u32,
    letters: u64,
}

impl Gauge {
    pub(super) fn of(word: &str) -> Self {
        let mut gauge = Self { length: 0, letters: 0 };
        for c in word.chars() {
            gauge.length += 1;
            gauge.letters |= 1 << (u32::from(c) & 63);
        }
        gauge
    }

    /// No fewer typing errors than these lie between two words.
    fn apart(self, other: Self) -> u32 {
        let missing = (self.letters & !other.letters).count_ones();
        let added = (other.letters & !self.letters).count_ones();
        self.length.abs_diff(other.length).max(missing).max(added)
    }
}

/// A word or token with its gauge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauged<'w> {
    pub(super) text: &'w str,
    pub(super) gauge: Gauge,
}

impl<'w> Gauged<'w> {
    pub(super) fn new(text: &'w str) -> Self {
        Self { text, gauge: Gauge::of(text) }
    }

    /// The typing errors between the word and a token; none when more than half of the word would be wrong.
    pub(super) fn errors(self, token: &Spoken<'_>) -> Option<u32> {
        let most = self.gauge.length.div_ceil(2);
        if self.gauge.apart(token.word.gauge) > most {
            return None;
        }
        Some(token.distance(self.text)).filter(|errors| *errors <= most)
    }

    fn is_joined(self, first: Gauged<'_>, second: Gauged<'_>) -> bool {
        self.gauge.length == first.gauge.length + second.gauge.length
            && self.text.strip_prefix(first.text) == Some(second.text)
    }
}

/// An element of a shape as the alignment sees it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'w> {
    Word(Gauged<'w>),
    Slot,
    Rest,
}

/// A token of the text, made ready to be compared with many words.
#[derive(Debug)]
pub(super) struct Spoken<'w> {
    pub(super) word: Gauged<'w>,
    /// A quoted token is no word.
    pub(super) quoted: bool,
    /// For each character the places at which the token has it, as bits.
    ascii: Box<[u64; 128]>,
    others: Vec<(char, u64)>,
}

impl<'w> Spoken<'w> {
    pub(super) fn new(text: &'w str, quoted: bool) -> Self {
        let mut spoken = Self { word: Gauged::new(text), quoted, ascii: Box::new([0; 128]), others: Vec::new() };
        for (at, c) in text.chars().take(64).enumerate() {
            let bit = 1 << at;
            match spoken.ascii.get_mut(c as usize) {
                Some(places) => *places |= bit,
                None => match spoken.others.iter_mut().find(|(other, _)| *other == c) {
                    Some((_, places)) => *places |= bit,
                    None => spoken.others.push((c, bit)),
                },
            }
        }
        spoken
    }

    fn places(&self, c: char) -> u64 {
        self.ascii
            .get(c as usize)
            .copied()
            .unwrap_or_else(|| self.others.iter().find(|(other, _)| *other == c).map_or(0, |(_, places)| *places))
    }

    /// How many characters must be added, dropped, replaced, or exchanged with their neighbour to make the token the
    /// word: Hyyrö's bit-parallel form of the optimal string alignment distance, one column of the table at a time.
    fn distance(&self, word: &str) -> u32 {
        let length = self.word.gauge.length;
        if length == 0 || length > 64 {
            return strsim::osa_distance(self.word.text, word) as u32;
        }
        let last = 1_u64 << (length - 1);
        // The cells of a column, as differences from the cell above: one more, one less.
        let (mut more, mut less) = (u64::MAX, 0_u64);
        let (mut diagonal, mut previous) = (0_u64, 0_u64);
        let mut distance = length;
        for c in word.chars() {
            let here = self.places(c);
            let exchanged = ((!diagonal & here) << 1) & previous;
            diagonal = ((here & more).wrapping_add(more) ^ more) | here | less | exchanged;
            let right_more = less | !(diagonal | more);
            let right_less = diagonal & more;
            distance += u32::from(right_more & last != 0);
            distance -= u32::from(right_less & last != 0);
            let (shifted_more, shifted_less) = (right_more << 1 | 1, right_less << 1);
            more = shifted_less | !(diagonal | shifted_more);
            less = shifted_more & diagonal;
            previous = here;
        }
        distance
    }
}

/// The best alignment.
#[derive(Debug)]
pub(super) struct Aligned {
    /// From 0 to 1: the part of the words' characters that is right.
    pub(super) score: f64,
    /// Slots that no token stands for.
    pub(super) missing: usize,
    /// Per item the tokens that stand for it; shorter than the shape when the text ends before a slot.
    pub(super) tokens: Vec<Option<Range<usize>>>,
}

/// A typing error, among costs in which a missing slot is a trifle that only decides between equals.
const ERROR: u32 = 1000;

#[derive(Clone, Copy)]
struct Cell {
    cost: u32,
    /// Characters of the tokens taken as words, each with a blank.
    said: u32,
    /// Items and tokens taken by the last step.
    items: u8,
    tokens: u16,
}

impl Cell {
    fn offer(&mut self, from: Cell, cost: u32, said: u32, items: u8, tokens: usize) {
        let cost = from.cost.saturating_add(cost);
        if cost < self.cost {
            *self = Cell { cost, said: from.said + said, items, tokens: tokens as u16 };
        }
    }
}

/// Aligns a shape with all the tokens.
pub(super) fn align(items: &[Item<'_>], tokens: &[Spoken<'_>]) -> Aligned {
    let (rows, columns) = (items.len() + 1, tokens.len() + 1);
    let unreached = Cell { cost: u32::MAX, said: 0, items: 0, tokens: 0 };
    let mut table = vec![unreached; rows * columns];
    table[0].cost = 0;
    let length = |token: &Spoken<'_>| token.word.gauge.length.min(64) + 1;
    for row in 0..rows {
        for column in 0..columns {
            let from = table[row * columns + column];
            if from.cost == u32::MAX {
                continue;
            }
            let mut step = |items: usize, tokens: usize, cost: u32, said: u32| {
                let to = (row + items) * columns + column + tokens;
                table[to].offer(from, cost, said, items as u8, tokens);
            };
            let token = tokens.get(column);
            if let Some(token) = token {
                step(0, 1, length(token) * ERROR, length(token));
            }
            match items.get(row) {
                None => {}
                Some(Item::Slot) => {
                    step(1, 0, 1, 0);
                    if token.is_some() {
                        step(1, 1, 0, 0);
                    }
                }
                Some(Item::Rest) => {
                    step(1, 0, 1, 0);
                    if token.is_some() {
                        step(1, tokens.len() - column, 0, 0);
                    }
                }
                Some(Item::Word(word)) => {
                    step(1, 0, (word.gauge.length + 1) * ERROR, 0);
                    let Some(token) = token.filter(|token| !token.quoted) else { continue };
                    if let Some(errors) = word.errors(token) {
                        step(1, 1, errors * ERROR, length(token));
                    }
                    if let Some(Item::Word(second)) = items.get(row + 1)
                        && token.word.is_joined(*word, *second)
                    {
                        step(2, 1, ERROR, length(token));
                    }
                    if let Some(second) = tokens.get(column + 1).filter(|second| !second.quoted)
                        && word.is_joined(token.word, second.word)
                    {
                        step(1, 2, ERROR, length(token) + length(second));
                    }
                }
            }
        }
    }
    best(items, tokens.len(), &table)
}

/// The best place to stop: the end of the shape, or before it where slots are still to come, as with a near miss.
fn best(items: &[Item<'_>], tokens: usize, table: &[Cell]) -> Aligned {
    let columns = tokens + 1;
    let is_slot = |item: &Item<'_>| !matches!(item, Item::Word(_));
    let mut best: Option<(f64, usize)> = None;
    let mut meant = 0;
    for row in 0..=items.len() {
        let cell = table[row * columns + tokens];
        let stops = row == items.len()
            || (items[row..].iter().any(is_slot) && (is_slot(&items[row]) || items[..row].iter().any(is_slot)));
        if stops && meant > 0 && cell.cost < u32::MAX {
            let of = meant.max(cell.said) - 1;
            let score = 1.0 - f64::from(cell.cost / ERROR) / f64::from(of.max(1));
            // A longer part of the shape is better when it costs nothing.
            if best.is_none_or(|(other, _)| score >= other) {
                best = Some((score, row));
            }
        }
        if let Some(Item::Word(word)) = items.get(row) {
            meant += word.gauge.length + 1;
        }
    }
    let (score, stop) = best.unwrap_or((0.0, 0));
    let mut taken = vec![None; stop];
    let (mut row, mut column) = (stop, tokens);
    while row > 0 || column > 0 {
        let cell = table[row * columns + column];
        let (items, tokens) = (usize::from(cell.items), usize::from(cell.tokens));
        if items + tokens == 0 {
            break;
        }
        (row, column) = (row - items, column - tokens);
        if tokens > 0 {
            taken[row..row + items].fill(Some(column..column + tokens));
        }
    }
    let bound = |(item, tokens): (&Item<'_>, &Option<Range<usize>>)| is_slot(item) && tokens.is_some();
    let slots = items.iter().filter(|item| is_slot(item)).count();
    let missing = slots - items.iter().zip(&taken).filter(|pair| bound(*pair)).count();
    Aligned { score, missing, tokens: taken }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(shape: &str, text: &str) -> f64 {
        let items: Vec<Item<'_>> = shape
            .split(' ')
            .map(|word| match word {
                "{}" => Item::Slot,
                "{rest}" => Item::Rest,
                word => Item::Word(Gauged::new(word)),
            })
            .collect();
        let tokens: Vec<Spoken<'_>> = text.split(' ').map(|word| Spoken::new(word, false)).collect();
        align(&items, &tokens).score
    }

    #[test]
    fn scores_are_the_part_that_is_right() {
        let cases = [
            ("deploy {} to {}", "deplyo web to prod", 1.0 - 1.0 / 9.0),
            ("deploy status", "depoly status", 1.0 - 1.0 / 13.0),
            ("who is on call", "whos on call", 1.0 - 4.0 / 14.0),
            ("rollback {}", "roll back web", 1.0 - 1.0 / 9.0),
            ("roll back {}", "rollback web", 1.0 - 1.0 / 9.0),
            ("deploy {} to {}", "deplyo", 1.0 - 1.0 / 6.0),
            ("deploy {} to {}", "deplyo web", 1.0 - 1.0 / 6.0),
            ("note {rest}", "ntoe buy some milk", 1.0 - 1.0 / 4.0),
            ("close {} now", "clsoe 5", 1.0 - 3.0 / 7.0),
            ("status", "please status", 1.0 - 7.0 / 13.0),
        ];
        for (shape, text, expected) in cases {
            assert!((score(shape, text) - expected).abs() < 1e-9, "{shape} / {text}: {}", score(shape, text));
        }
        assert!(score("who is on call", "lunch anyone?") < 0.3);
    }

    proptest::proptest! {
        #[test]
        fn the_distance_is_that_of_the_table(word in "[abcé]{0,12}", token in "[abcé]{0,12}", tail in "[ab]{50,60}") {
            for (word, token) in [(word.clone(), token.clone()), (word.clone() + &tail, token + &tail)] {
                let expected = strsim::osa_distance(&word, &token) as u32;
                proptest::prop_assert_eq!(Spoken::new(&token, false).distance(&word), expected);
                proptest::prop_assert!(Gauge::of(&word).apart(Gauge::of(&token)) <= expected);
            }
        }
    }
}
