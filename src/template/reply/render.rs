//! From templates and values to a message.

use serde_json::Value;

use super::words::{POST_MODES, Reading, STATES, TONES, Words, address, count, duration, picture_address};
use super::{FieldTexts, KeyText, MessageText, PartText, ReplyFault, RowTexts, Slot, Step, Texts, Word};
use crate::model::message::{Field, Key, Message, Part};
use crate::model::name::fold;
use crate::template::{Budget, Context, Fault, Partials, escape};

/// The longest name of a message, in characters.
const LONGEST_ID: usize = 200;

/// Renders all texts of one message on one budget.
pub(super) struct Renderer<'a> {
    pub(super) context: &'a Context,
    pub(super) partials: &'a Partials,
    pub(super) budget: Budget,
}

pub(super) type Rendered<T> = Result<T, ReplyFault>;

impl Renderer<'_> {
    pub(super) fn message(mut self, reply: &MessageText) -> Rendered<Message> {
        let text = self.slot(&reply.text)?;
        let title = self.optional(reply.title.as_ref())?;
        let tone = self.word(reply.tone.as_ref(), &TONES)?;
        let mut parts = Vec::with_capacity(reply.parts.len());
        for part in &reply.parts {
            let part = self.part(part)?;
            if !is_empty(&part) {
                parts.push(part);
            }
        }
        let suggestions = self.items(&reply.suggestions, str::to_owned)?;
        let offers = self.offers(&reply.actions)?;
        let key = match &reply.key {
            Some(key) => self.key(key)?,
            None => None,
        };
        let to = self.addresses(&reply.to)?;
        let ephemeral = reply.ephemeral;
        Ok(Message { text, title, tone, parts, suggestions, offers, key, to, ephemeral, ..Message::default() })
    }

    fn addresses(&mut self, to: &Texts) -> Rendered<Vec<String>> {
        let path = match to {
            Texts::Each(slots) => slots.first().map(|slot| slot.path.clone()),
            Texts::Json(slot) => Some(slot.path.clone()),
        };
        let read = |text: String| address(&text).map_err(|why| fault(path.clone().unwrap_or_default(), why));
        self.items(to, str::to_owned)?.into_iter().map(read).collect()
    }

    /// The name of the message; one that comes out empty is none.
    fn key(&mut self, key: &KeyText) -> Rendered<Option<Key>> {
        let id = self.slot(&key.id)?.trim().to_owned();
        if id.is_empty() {
            return Ok(None);
        }
        if id.chars().count() > LONGEST_ID || id.contains(char::is_control) {
            let message = format!("an id is one line of at most {LONGEST_ID} characters");
            return Err(fault(key.id.path.clone(), message));
        }
        let ttl_ms = self.optional_as(key.ttl.as_ref(), duration)?;
        let post = self.word(key.post.as_ref(), &POST_MODES)?.unwrap_or_default();
        Ok(Some(Key { id, ttl_ms, post }))
    }

    /// The word that was meant; none where nothing came out.
    pub(super) fn word<T: Copy>(&mut self, word: Option<&Word<T>>, words: &Words<T>) -> Rendered<Option<T>> {
        let slot = match word {
            None => return Ok(None),
            Some(Word::Fixed(meaning)) => return Ok(Some(*meaning)),
            Some(Word::Chosen(slot)) => slot,
        };
        let text = self.slot(slot)?;
        let word = text.trim();
        if word.is_empty() {
            return Ok(None);
        }
        let names = || words.names().collect::<Vec<_>>().join(", ");
        let unknown = || fault(slot.path.clone(), format!("\"{word}\" is not a {} ({})", words.what, names()));
        words.find(word).map(Some).ok_or_else(unknown)
    }

    /// What a text means.
    pub(super) fn read<T>(&mut self, slot: &Slot, reading: Reading<T>) -> Rendered<T> {
        let text = self.slot(slot)?;
        reading(&text).map_err(|message| fault(slot.path.clone(), message))
    }

    /// What a text means that may be missing or come out empty.
    pub(super) fn optional_as<T>(&mut self, slot: Option<&Slot>, reading: Reading<T>) -> Rendered<Option<T>> {
        let Some(slot) = slot else { return Ok(None) };
        let text = self.slot(slot)?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        reading(&text).map(Some).map_err(|message| fault(slot.path.clone(), message))
    }

    pub(super) fn optional(&mut self, slot: Option<&Slot>) -> Rendered<Option<String>> {
        slot.map(|slot| self.slot(slot)).transpose()
    }

    fn part(&mut self, part: &PartText) -> Rendered<Part> {
        Ok(match part {
            PartText::Markdown(text) => Part::Markdown { text: self.slot(text)? },
            PartText::Quote(text) => Part::Quote { text: self.slot(text)? },
            PartText::Code { lang, text } => Part::Code { lang: lang.clone(), text: self.slot(text)? },
            PartText::List(items) => Part::List { items: self.items(items, escape::markdown)? },
            PartText::Context(texts) => Part::Context { texts: self.items(texts, escape::markdown)? },
            PartText::Divider => Part::Divider,
            PartText::Fields(fields) => Part::Fields { fields: self.fields(fields)? },
            PartText::Table { columns, rows } => {
                let columns = self.slots(columns)?;
                let rows = self.rows(rows, &columns)?;
                Part::Table { columns, rows }
            }
            PartText::Image { url, alt } => {
                let url = self.read(url, picture_address)?;
                Part::Image { url, alt: self.optional(alt.as_ref())?.unwrap_or_default() }
            }
            PartText::Collapsible { title, text } => {
                Part::Collapsible { title: self.slot(title)?, text: self.slot(text)? }
            }
            PartText::Progress { label, step, total, state } => {
                let (label, total) = (self.slot(label)?, self.read(total, count)?);
                let step = self.read(step, count)?.min(total);
                let state = self.word(state.as_ref(), &STATES)?.unwrap_or_default();
                Part::Progress { label, step, total, state }
            }
        })
    }

    fn fields(&mut self, fields: &FieldTexts) -> Rendered<Vec<Field>> {
        match fields {
            FieldTexts::Each(fields) => fields
                .iter()
                .map(|(name, value, short)| {
                    Ok(Field { name: self.slot(name)?, value: self.slot(value)?, short: *short })
                })
                .collect(),
            FieldTexts::Json(slot) => {
                let shape = || fault(slot.path.clone(), "fields are objects with a name and a value".to_owned());
                let field = |field: &Value| match (field.get("name"), field.get("value")) {
                    (Some(name), Some(value)) => Ok(Field {
                        name: cell(name),
                        value: cell(value),
                        short: field.get("short").and_then(Value::as_bool).unwrap_or(false),
                    }),
                    _ => Err(shape()),
                };
                self.json(slot)?.iter().map(field).collect()
            }
        }
    }

    fn rows(&mut self, rows: &RowTexts, columns: &[String]) -> Rendered<Vec<Vec<String>>> {
        let slot = match rows {
            RowTexts::Each(rows) => return rows.iter().map(|row| self.slots(row)).collect(),
            RowTexts::Json(slot) => slot,
        };
        let row = |row: &Value| match row {
            Value::Array(cells) if cells.len() == columns.len() => Ok(cells.iter().map(cell).collect()),
            Value::Array(cells) => {
                let message = format!("a row has {} cells for {} columns", cells.len(), columns.len());
                Err(fault(slot.path.clone(), message))
            }
            // A row that is an object gives the values that are named like the columns.
            Value::Object(cells) => Ok(columns
                .iter()
                .map(|column| {
                    let wanted = fold(&column.replace(' ', ""));
                    cells
                        .iter()
                        .find(|(name, _)| fold(name) == wanted)
                        .map(|(_, value)| cell(value))
                        .unwrap_or_default()
                })
                .collect()),
            _ => Err(fault(slot.path.clone(), "a row is a list or an object".to_owned())),
        };
        self.json(slot)?.iter().map(row).collect()
    }

    /// The strings of a list that say something; `escape` is for those that come as JSON, where rendering has not
    /// escaped them.
    fn items(&mut self, texts: &Texts, escape: fn(&str) -> String) -> Rendered<Vec<String>> {
        let mut items = match texts {
            Texts::Each(slots) => self.slots(slots)?,
            Texts::Json(slot) => self.json(slot)?.iter().map(|value| escape(&plain(value))).collect(),
        };
        items.retain(|item| !item.trim().is_empty());
        Ok(items)
    }

    /// Renders a template whose text is a JSON list.
    pub(super) fn json(&mut self, slot: &Slot) -> Rendered<Vec<Value>> {
        let text = self.slot(slot)?;
        match serde_json::from_str(&text) {
            Ok(Value::Array(items)) => Ok(items),
            Ok(_) => Err(fault(slot.path.clone(), "the text is JSON, but not a list".to_owned())),
            Err(error) => Err(fault(slot.path.clone(), format!("the text is not a JSON list: {error}"))),
        }
    }

    fn slots(&mut self, slots: &[Slot]) -> Rendered<Vec<String>> {
        slots.iter().map(|slot| self.slot(slot)).collect()
    }

    pub(super) fn slot(&mut self, slot: &Slot) -> Rendered<String> {
        let rendered = slot.template.render(self.context, self.partials, &mut self.budget);
        let mut text = rendered.map_err(|fault| ReplyFault { path: slot.path.clone(), key: false, fault })?;
        // A file ends with a line end, a message does not.
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
        Ok(text)
    }
}

/// Whether a part has nothing to show; it is then left out, so that a part can depend on values.
fn is_empty(part: &Part) -> bool {
    match part {
        Part::Markdown { text } | Part::Quote { text } | Part::Code { text, .. } => text.trim().is_empty(),
        Part::Fields { fields } => fields.is_empty(),
        Part::Table { rows, .. } => rows.is_empty(),
        Part::List { items } | Part::Context { texts: items } => items.is_empty(),
        Part::Collapsible { text, .. } => text.trim().is_empty(),
        // Of nothing, nothing is done.
        Part::Progress { total, .. } => *total == 0,
        Part::Image { .. } | Part::Divider => false,
    }
}

pub(super) fn fault(path: Vec<Step>, message: String) -> ReplyFault {
    ReplyFault { path, key: false, fault: Fault { partial: None, line: 0, column: 0, message, suggestion: None } }
}

pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn cell(value: &Value) -> String {
    escape::markdown(&plain(value))
}
