//! How a text may go on, for the composer.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use crate::model::bot::Bot;
use crate::model::command::Command;
use crate::model::parameter::ParameterType;

use super::Scope;
use super::index::{Index, Piece};
use super::pattern::{Slot, SlotKind};
use super::text;
use super::typing::{MAX_SHAPES, Start, Tail, Typing, beginning};

/// A command that begins as the text does.
#[derive(Clone, Debug)]
pub struct Completion {
    pub bot: Arc<Bot>,
    pub command: Arc<Command>,
    /// The whole text after the completion was accepted.
    pub insert: String,
    pub tokens: Vec<CompletionToken>,
    /// The slot that comes next, if one is left.
    pub slot: Option<CompletionSlot>,
}

/// A word or a slot of the intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletionToken {
    pub kind: TokenKind,
    /// The word, the slot's parameter, or `parameter=` for one that is given by name.
    pub text: String,
    /// Whether the text has it, or will when the completion is accepted as far as a word is typed.
    pub done: bool,
    /// Whether it is what comes next.
    pub next: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Literal,
    Slot,
}

/// What may be typed next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletionSlot {
    /// The parameter's name.
    pub name: String,
    /// The name of its type.
    pub kind: &'static str,
    pub description: String,
    /// The values of a closed list that begin as typed.
    pub values: Vec<String>,
}

impl Index {
    /// Completes what is being typed: at most `limit` commands, one completion each. The commands of the
    /// conversation's bot come first, then the built-in ones, then those of other bots; an empty text lists the
    /// commands of the conversation's bot and the built-in ones in their order. Only commands that `may` allows appear.
    pub fn complete(
        &self,
        text: &str,
        scope: &Scope<'_>,
        may: &dyn Fn(&Bot, &Command) -> bool,
        limit: usize,
    ) -> Vec<Completion> {
        let Some(plain) = text::normalise(text) else { return Vec::new() };
        let own = scope.bot.and_then(|name| self.bot_number(name));
        let fresh = plain.is_empty() || text.ends_with(char::is_whitespace);
        let typing = Typing::new(self, &plain, fresh);

        let mut completions = Vec::new();
        let first: Vec<u32> = own.into_iter().chain(self.reserved.filter(|reserved| own != Some(*reserved))).collect();
        let mut told = HashSet::new();
        let mut add = |starts: Vec<Start>| {
            for start in starts {
                let command = self.shapes[start.shape as usize].command;
                let listed = self.listed(command);
                let bot = &self.bots[listed.bot as usize];
                if completions.len() < limit && !told.contains(&command) && may(bot, &listed.command) {
                    completions.push(typing.complete(start));
                    told.insert(command);
                }
            }
            completions.len() < limit
        };
        if plain.is_empty() {
            let others = if own.is_some() { 0..0 } else { 0..self.bots.len() as u32 };
            for bot in others.filter(|bot| !first.contains(bot)).chain(first.iter().copied()) {
                let commands = self.commands_of(bot);
                if !commands.into_iter().all(|command| add(self.beginning(command).into_iter().collect())) {
                    break;
                }
            }
            return completions;
        }
        let more = first.iter().all(|bot| add(typing.starts_of(|range| self.shapes_of(*bot, range).to_vec())));
        if more {
            let foreign = |shape: &u32| !first.contains(&self.shapes[*shape as usize].bot);
            add(typing.starts_of(|range| range.map(|shape| shape as u32).filter(foreign).take(MAX_SHAPES).collect()));
        }
        completions
    }

    /// The commands of a bot, in their order.
    fn commands_of(&self, bot: u32) -> std::ops::Range<u32> {
        let from = self.commands.partition_point(|listed| listed.bot < bot);
        let to = self.commands.partition_point(|listed| listed.bot <= bot);
        from as u32..to as u32
    }

    /// What stands for a command when nothing is typed: its first intent with all slots and no more words than needed.
    fn beginning(&self, command: u32) -> Option<Start> {
        let shapes = &self.shapes_by_command[command as usize];
        let first = shapes.iter().min_by_key(|shape| self.plainness(**shape));
        first.map(|shape| Start { shape: *shape, said: 0, tail: Tail::Fresh })
    }

    pub(super) fn plainness(&self, shape: u32) -> (u32, Reverse<usize>, usize) {
        let shape = &self.shapes[shape as usize];
        let slots = shape.elements.iter().filter(|piece| matches!(piece, Piece::Slot(_))).count();
        (shape.intent, Reverse(slots), shape.elements.len())
    }
}

impl<'i> Typing<'i, '_> {
    fn complete(&self, start: Start) -> Completion {
        let shape = self.shape(start);
        let listed = self.index.listed(shape.command);
        let command = &listed.command;
        let mut next = start.said;
        let mut items = self.items(start);
        if start.tail == Tail::Word {
            next += 1;
        }
        if start.tail == Tail::Named
            && let Some((parameter, _)) = self.named(start)
        {
            items.retain(|item| !matches!(item, Item::Named(other) if *other == parameter));
            items.insert(next, Item::Named(parameter));
        }
        let slot = items[next.min(items.len())..].iter().find_map(|item| match item {
            Item::Word(_) => None,
            Item::Slot(slot) => Some((slot.parameter, slot.token_type(command))),
            Item::Named(parameter) => Some((*parameter, Some(&command.parameters[*parameter].kind))),
        });
        let typed = match start.tail {
            Tail::Value => self.partial.unwrap_or_default(),
            Tail::Named => self.named(start).and_then(|(_, value)| value).unwrap_or_default(),
            Tail::Word | Tail::Fresh | Tail::Rest => "",
        };
        let slot = slot.map(|(parameter, kind)| {
            let parameter = &command.parameters[parameter];
            let values = match kind {
                Some(ParameterType::Choice { choices }) => beginning(choices, typed),
                Some(ParameterType::Boolean) => beginning(&["true".to_owned(), "false".to_owned()], typed),
                _ => Vec::new(),
            };
            let kind = kind.unwrap_or(&parameter.kind).name();
            CompletionSlot { name: parameter.name.clone(), kind, description: parameter.description.clone(), values }
        });
        let tokens = items
            .iter()
            .enumerate()
            .map(|(at, item)| {
                let (kind, text) = match item {
                    Item::Word(written) => (TokenKind::Literal, (*written).to_owned()),
                    Item::Slot(slot) => (TokenKind::Slot, command.parameters[slot.parameter].name.clone()),
                    Item::Named(parameter) => (TokenKind::Slot, format!("{}=", command.parameters[*parameter].name)),
                };
                CompletionToken { kind, text, done: at < next, next: at == next }
            })
            .collect();
        Completion {
            bot: Arc::clone(&self.index.bots[listed.bot as usize]),
            command: Arc::clone(command),
            insert: self.insert(start, &items, next, slot.as_ref(), command),
            tokens,
            slot,
        }
    }

    /// The shape's words and slots, then what the command requires beside them.
    fn items(&self, start: Start) -> Vec<Item<'i>> {
        let shape = self.shape(start);
        let command = &self.index.listed(shape.command).command;
        let mut items: Vec<Item<'i>> = (0..shape.elements.len())
            .filter_map(|at| match shape.elements[at] {
                Piece::Word { written, .. } => Some(Item::Word(&self.index.lexicon.written[written as usize])),
                Piece::Slot(_) => self.index.slot(shape, at).map(Item::Slot),
            })
            .collect();
        let given = self.given(start);
        let slots = &self.index.intents[shape.intent as usize].slots;
        let required = (0..command.parameters.len()).filter(|at| {
            let parameter = &command.parameters[*at];
            parameter.required
                && parameter.default.is_none()
                && !given.contains(at)
                && !slots.iter().any(|slot| slot.parameter == *at)
        });
        // Behind a slot that takes all the rest, a name would be part of it until the value is complete.
        let rest = matches!(items.last(), Some(Item::Slot(slot)) if matches!(slot.kind, SlotKind::Rest));
        if !rest {
            items.extend(required.map(Item::Named));
        }
        items
    }

    fn insert(
        &self,
        start: Start,
        items: &[Item<'_>],
        next: usize,
        slot: Option<&CompletionSlot>,
        command: &Command,
    ) -> String {
        let only = slot.and_then(|slot| match slot.values.as_slice() {
            [only] => Some(if only.contains(char::is_whitespace) { format!("\"{only}\"") } else { only.clone() }),
            _ => None,
        });
        let finished = match self.finished {
            0 => "",
            finished => &self.text.plain[..self.text.tokens[finished - 1].end as usize],
        };
        let mut parts: Vec<String> = vec![finished.to_owned()];
        let mut from = next;
        match start.tail {
            Tail::Word => from = start.said,
            Tail::Fresh | Tail::Named => {}
            Tail::Value | Tail::Rest => {
                let Some(only) = only.clone().filter(|_| start.tail == Tail::Value) else {
                    let blank = if self.partial.is_none() { " " } else { "" };
                    return format!("{}{blank}", self.text.plain);
                };
                parts.push(only);
                from = next + 1;
            }
        }
        let mut waits = false;
        for (at, item) in items.iter().enumerate().skip(from) {
            match item {
                Item::Word(written) => parts.push((*written).to_owned()),
                Item::Slot(_) => {
                    if at == next
                        && let Some(only) = &only
                    {
                        parts.push(only.clone());
                        continue;
                    }
                    parts.push(String::new());
                    waits = true;
                    break;
                }
                Item::Named(parameter) => {
                    let name = &command.parameters[*parameter].name;
                    let typed = self.named(start).filter(|_| at == next && start.tail == Tail::Named);
                    let value = match (&only, typed.and_then(|(_, value)| value)) {
                        (Some(only), _) if at == next => only,
                        (_, Some(value)) => value,
                        _ => "",
                    };
                    parts.push(format!("{name}={value}"));
                    waits = true;
                    break;
                }
            }
        }
        if !waits && self.partial.is_none() && from >= items.len() {
            parts.push(String::new());
        }
        if parts[0].is_empty() {
            parts.remove(0);
        }
        parts.join(" ")
    }
}

/// One part of a completion.
enum Item<'i> {
    Word(&'i str),
    Slot(&'i Slot),
    /// A parameter that is given as `name=value`.
    Named(usize),
}
