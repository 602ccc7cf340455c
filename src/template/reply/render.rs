//! From templates and values to a message.

use serde_json::Value;

use super::{Compiled, FieldTexts, PartText, ReplyFault, RowTexts, Slot, Step, TONES, Texts, ToneText, tone};
use crate::model::message::{Field, Message, Part, Tone};
use crate::model::name::fold;
use crate::template::{Budget, Context, Fault, Partials, Template, escape};

/// Renders all texts of one message on one budget.
pub(super) struct Renderer<'a> {
    pub(super) context: &'a Context,
    pub(super) partials: &'a Partials,
    pub(super) budget: Budget,
}

type Rendered<T> = Result<T, ReplyFault>;

impl Renderer<'_> {
    pub(super) fn message(mut self, reply: &Compiled) -> Rendered<Message> {
        let text = self.text(&reply.text, || key("text"))?;
        let title = match &reply.title {
            Some(title) => Some(self.text(title, || key("title"))?),
            None => None,
        };
        let tone = match &reply.tone {
            None => None,
            Some(ToneText::Fixed(tone)) => Some(*tone),
            Some(ToneText::Chosen(template)) => self.tone(template)?,
        };
        let mut parts = Vec::with_capacity(reply.parts.len());
        for part in &reply.parts {
            let part = self.part(part)?;
            if !is_empty(&part) {
                parts.push(part);
            }
        }
        let suggestions = self.items(&reply.suggestions, str::to_owned)?;
        Ok(Message { text, title, tone, parts, suggestions, ..Message::default() })
    }

    fn tone(&mut self, template: &Template) -> Rendered<Option<Tone>> {
        let word = self.text(template, || key("tone"))?;
        match word.trim() {
            "" => Ok(None),
            word => match tone(word) {
                Some(tone) => Ok(Some(tone)),
                None => Err(fault(key("tone"), format!("\"{word}\" is not a tone ({})", TONES.join(", ")))),
            },
        }
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
                let address = self.slot(url)?;
                if !(address.starts_with("https://") || address.starts_with("http://")) {
                    return Err(fault(url.path.clone(), format!("\"{address}\" is not a web address")));
                }
                let alt = match alt {
                    Some(alt) => self.slot(alt)?,
                    None => String::new(),
                };
                Part::Image { url: address, alt }
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
    fn json(&mut self, slot: &Slot) -> Rendered<Vec<Value>> {
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

    fn slot(&mut self, slot: &Slot) -> Rendered<String> {
        self.text(&slot.template, || slot.path.clone())
    }

    fn text(&mut self, template: &Template, path: impl FnOnce() -> Vec<Step>) -> Rendered<String> {
        let mut text = template.render(self.context, self.partials, &mut self.budget).map_err(|fault| ReplyFault {
            path: path(),
            key: false,
            fault,
        })?;
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
        Part::Image { .. } | Part::Progress { .. } | Part::Divider => false,
    }
}

fn key(name: &str) -> Vec<Step> {
    vec![Step::Key(name.to_owned())]
}

fn fault(path: Vec<Step>, message: String) -> ReplyFault {
    ReplyFault { path, key: false, fault: Fault { partial: None, line: 0, column: 0, message, suggestion: None } }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn cell(value: &Value) -> String {
    escape::markdown(&plain(value))
}
