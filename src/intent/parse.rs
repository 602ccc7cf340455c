//! The reader of word patterns: words, `{slot}`, `(a|b)` and `[optional words]`.

use std::collections::HashSet;
use std::ops::Range;

use crate::model::name;
use crate::model::parameter::{Parameter, ParameterType};

use super::pattern::{Element, Fault, MAX_SHAPES, Slot, SlotKind, Words, accepted};
use super::text;

/// Optional words may stand in optional words so deep.
const MAX_DEPTH: usize = 8;

const SPECIAL: [char; 7] = ['{', '}', '(', ')', '[', ']', '|'];

/// Reads a word pattern and writes out its shapes.
pub(super) fn words(source: &str, parameters: &[Parameter]) -> Result<Words, Fault> {
    let mut reader = Reader { source, at: 0, parameters, slots: Vec::new(), places: Vec::new() };
    let parts = reader.sequence(None, 0)?;
    let mut shapes = expand(&parts, source.len(), &reader.slots)?;
    if shapes.len() > 1 {
        let mut seen = HashSet::new();
        shapes.retain(|shape| seen.insert(key(shape)));
    }
    for shape in &shapes {
        reader.check(shape)?;
    }
    Ok(Words { slots: reader.slots, shapes })
}

enum Part {
    Word { folded: String, written: String },
    Slot(usize),
    Alternatives(Vec<Vec<Part>>),
    Optional(Vec<Part>),
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
    parameters: &'a [Parameter],
    slots: Vec<Slot>,
    /// Where each slot stands.
    places: Vec<Range<usize>>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.source[self.at..].chars().next()
    }

    fn fault<T>(&self, at: Range<usize>, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::new(at, message))
    }

    /// Reads up to the bracket that closes `open`, or to the end.
    fn sequence(&mut self, open: Option<usize>, depth: usize) -> Result<Vec<Part>, Fault> {
        let mut parts = Vec::new();
        let mut glued = false;
        loop {
            let Some(next) = self.peek() else {
                return match open {
                    Some(at) => self.fault(at..at + 1, "this \"[\" is never closed"),
                    None => Ok(parts),
                };
            };
            let here = self.at..self.at + next.len_utf8();
            if next.is_whitespace() {
                self.at = here.end;
                glued = false;
                continue;
            }
            if next == ']' && open.is_some() {
                self.at = here.end;
                return Ok(parts);
            }
            if matches!(next, '}' | ')' | ']') {
                return self.fault(here, format!("this \"{next}\" closes nothing"));
            }
            if next == '|' {
                return self.fault(here, "alternatives need brackets: \"(a|b)\"");
            }
            if glued {
                return self.fault(here, "a slot, \"(…)\" or \"[…]\" stands alone: put a blank here");
            }
            parts.push(match next {
                '{' => self.slot()?,
                '(' => self.alternatives()?,
                '[' if depth == MAX_DEPTH => {
                    return self.fault(here, format!("optional words may be nested {MAX_DEPTH} deep at most"));
                }
                '[' => {
                    let start = self.at;
                    self.at += 1;
                    let inner = self.sequence(Some(start), depth + 1)?;
                    if inner.is_empty() {
                        return self.fault(start..self.at, "there is nothing between \"[\" and \"]\"");
                    }
                    Part::Optional(inner)
                }
                _ => self.word()?,
            });
            glued = true;
        }
    }

    /// A literal word; a backslash takes the meaning from the character after it.
    fn word(&mut self) -> Result<Part, Fault> {
        let start = self.at;
        let mut word = String::new();
        while let Some(next) = self.peek() {
            if next.is_whitespace() || SPECIAL.contains(&next) {
                break;
            }
            self.at += next.len_utf8();
            match self.peek() {
                Some(escaped) if next == '\\' && (SPECIAL.contains(&escaped) || escaped == '\\' || escaped == '/') => {
                    word.push(escaped);
                    self.at += escaped.len_utf8();
                }
                _ => word.push(next),
            }
        }
        let plain = text::normalise(&word).unwrap_or_default();
        if plain.starts_with('"') {
            let bare = plain.trim_matches('"').to_owned();
            return Err(Fault::new(start..self.at, "a quoted word in a text never equals a word of an intent")
                .suggest((!bare.is_empty()).then_some(bare)));
        }
        if plain.is_empty() {
            return self.fault(start..self.at, "this word has no visible character");
        }
        let folded = text::fold_word(&plain, &mut String::new()).to_owned();
        Ok(Part::Word { folded, written: plain.into_owned() })
    }

    /// `(a|b c)`: words only, at least one in each alternative.
    fn alternatives(&mut self) -> Result<Part, Fault> {
        let open = self.at;
        self.at += 1;
        let mut alternatives = vec![Vec::new()];
        loop {
            let Some(next) = self.peek() else {
                return self.fault(open..open + 1, "this \"(\" is never closed");
            };
            let here = self.at..self.at + next.len_utf8();
            match next {
                '|' | ')' => {
                    if alternatives.last().is_none_or(Vec::is_empty) {
                        return self.fault(here, "an alternative is empty; words that may be left out go into \"[…]\"");
                    }
                    self.at = here.end;
                    if next == ')' {
                        return Ok(Part::Alternatives(alternatives));
                    }
                    alternatives.push(Vec::new());
                }
                '{' | '}' | '(' | '[' | ']' => return self.fault(here, "alternatives hold words only"),
                blank if blank.is_whitespace() => self.at = here.end,
                _ => {
                    let word = self.word()?;
                    alternatives.last_mut().expect("starts with one").push(word);
                }
            }
        }
    }

    /// `{name}`, `{name:type}`, `{name=default}`, `{name:type=default}`.
    fn slot(&mut self) -> Result<Part, Fault> {
        let open = self.at;
        let inside = &self.source[open + 1..];
        let Some(length) = inside.find(['{', '}']).filter(|end| inside[*end..].starts_with('}')) else {
            return self.fault(open..open + 1, "this \"{\" is never closed");
        };
        let inside = &inside[..length];
        self.at = open + length + 2;
        let place = open..self.at;

        let name_end = inside.find([':', '=']).unwrap_or(length);
        let type_end = match inside[name_end..].chars().next() {
            // An equals sign between brackets belongs to a choice.
            Some(':') => match inside[name_end..].find(['(', '=']) {
                Some(at) if inside[name_end + at..].starts_with('(') => inside.find(')').unwrap_or(name_end),
                _ => name_end,
            },
            _ => name_end,
        };
        let default_at = inside[type_end..].find('=').map(|at| type_end + at);
        let written = trimmed(inside, 0..name_end, open + 1);
        let name = &self.source[written.clone()];
        if name.is_empty() {
            return self.fault(place, "a slot needs the name of a parameter");
        }
        let parameter = self.parameter(name, written)?;
        if self.slots.iter().any(|slot| slot.parameter == parameter) {
            return self.fault(place, format!("parameter \"{name}\" is taken twice"));
        }
        let kind = if inside[name_end..].starts_with(':') {
            let end = default_at.unwrap_or(length);
            slot_kind(self.source, trimmed(inside, name_end + 1..end, open + 1), &self.parameters[parameter])?
        } else {
            SlotKind::Declared
        };
        let default = default_at.map(|at| inside[at + 1..].trim().to_owned());
        if let Some(value) = &default {
            let slot_type = match &kind {
                SlotKind::Written(kind) => kind,
                SlotKind::Declared | SlotKind::Rest => &self.parameters[parameter].kind,
            };
            if accepted(slot_type, value) != Some(value) {
                let why = format!("the default \"{value}\" is not a valid {}", slot_type.name());
                return self.fault(trimmed(inside, default_at.unwrap_or(0) + 1..length, open + 1), why);
            }
        }
        self.slots.push(Slot { parameter, kind, default });
        self.places.push(place);
        Ok(Part::Slot(self.slots.len() - 1))
    }

    fn parameter(&self, name: &str, at: Range<usize>) -> Result<usize, Fault> {
        let folded = name::fold(name);
        self.parameters.iter().position(|parameter| name::fold(&parameter.name) == folded).ok_or_else(|| {
            Fault::new(at, format!("the command has no parameter \"{name}\""))
                .suggest(nearest(name, self.parameters.iter().map(|parameter| parameter.name.as_str())))
        })
    }

    /// What holds for every shape: a word, and `rest` only as the last.
    fn check(&self, shape: &[Element]) -> Result<(), Fault> {
        if !shape.iter().any(|element| matches!(element, Element::Word { .. })) {
            return self
                .fault(0..self.source.len(), "without a word that must be said, the intent would match everything");
        }
        let before_last = &shape[..shape.len() - 1];
        for element in before_last {
            if let Element::Slot(slot) = element
                && matches!(self.slots[*slot].kind, SlotKind::Rest)
            {
                return self
                    .fault(self.places[*slot].clone(), "\"rest\" takes all that follows, so it must be the last");
            }
        }
        Ok(())
    }
}

/// The part of `inside` at `range` without blanks at its ends, as bytes of the intent.
fn trimmed(inside: &str, range: Range<usize>, offset: usize) -> Range<usize> {
    let text = &inside[range.clone()];
    let start = range.start + (text.len() - text.trim_start().len());
    offset + start..offset + start + text.trim().len()
}

/// The type written behind the colon of a slot.
fn slot_kind(source: &str, at: Range<usize>, parameter: &Parameter) -> Result<SlotKind, Fault> {
    let written = &source[at.clone()];
    if let Some(list) = written.strip_prefix("choice").map(str::trim_start).filter(|list| list.starts_with('(')) {
        let Some(list) = list[1..].strip_suffix(')') else {
            return Err(Fault::new(at, "the choices need a closing \")\""));
        };
        let choices: Vec<String> = list.split(',').map(|choice| choice.trim().to_owned()).collect();
        if choices.iter().any(String::is_empty) {
            return Err(Fault::new(at, "a choice is empty"));
        }
        return Ok(SlotKind::Written(ParameterType::Choice { choices }));
    }
    let kind = match (written, &parameter.kind) {
        ("rest", _) => return Ok(SlotKind::Rest),
        ("int", _) => ParameterType::Integer,
        ("bool", _) => ParameterType::Boolean,
        ("choice", choice @ ParameterType::Choice { .. }) => choice.clone(),
        ("choice", _) => return Err(Fault::new(at, "a choice needs its values: \"choice(a,b)\"")),
        _ => ParameterType::named(written).ok_or_else(|| {
            let known = ParameterType::NAMES.into_iter().chain(["rest", "int", "bool"]);
            Fault::new(at, format!("unknown type \"{written}\"")).suggest(nearest(written, known))
        })?,
    };
    Ok(SlotKind::Written(kind))
}

/// The one of `names` that is nearest to what was written, if any is near.
pub(super) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let folded = name::fold(written);
    names
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&folded, &name::fold(candidate)), candidate))
        .filter(|(score, _)| *score >= 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.to_owned())
}

/// Every shape of a sequence, the fullest first, at most [`MAX_SHAPES`].
fn expand(parts: &[Part], length: usize, slots: &[Slot]) -> Result<Vec<Vec<Element>>, Fault> {
    let mut shapes = vec![Vec::new()];
    for part in parts {
        let variants = match part {
            Part::Word { folded, written } => {
                vec![vec![Element::Word { folded: folded.clone(), written: written.clone() }]]
            }
            Part::Slot(slot) if slots[*slot].default.is_some() => vec![vec![Element::Slot(*slot)], Vec::new()],
            Part::Slot(slot) => vec![vec![Element::Slot(*slot)]],
            Part::Optional(inner) => {
                let mut variants = expand(inner, length, slots)?;
                variants.push(Vec::new());
                variants
            }
            Part::Alternatives(alternatives) => {
                let mut variants = Vec::new();
                for alternative in alternatives {
                    variants.extend(expand(alternative, length, slots)?);
                }
                variants
            }
        };
        if shapes.len() * variants.len() > MAX_SHAPES {
            let why = format!("alternatives and optional words make more than {MAX_SHAPES} word orders");
            return Err(Fault::new(0..length, why));
        }
        shapes = shapes
            .iter()
            .flat_map(|shape| variants.iter().map(|variant| [shape.as_slice(), variant.as_slice()].concat()))
            .collect();
    }
    Ok(shapes)
}

fn key(shape: &[Element]) -> String {
    let mut key = String::new();
    for element in shape {
        match element {
            Element::Word { folded, .. } => key.push_str(folded),
            Element::Slot(slot) => key.push_str(&format!("{{{slot}}}")),
        }
        key.push(' ');
    }
    key
}
