//! From the reply as written to templates.

use serde_json::{Map, Value};

use super::{FieldTexts, KEYS, PARTS, PartText, ReplyFault, RowTexts, Slot, Step, TONES, Texts, ToneText, tone};
use crate::template::{Fault, Form, Names, Partials, Template, nearest};

/// The templates of a reply, before they are put together.
pub(super) struct Parsed {
    pub(super) text: Template,
    pub(super) title: Option<Template>,
    pub(super) tone: Option<ToneText>,
    pub(super) parts: Vec<PartText>,
    pub(super) suggestions: Texts,
}

pub(super) struct Compiler<'a> {
    names: &'a Names,
    partials: &'a Partials,
    path: Vec<Step>,
    pub(super) faults: Vec<ReplyFault>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(names: &'a Names, partials: &'a Partials) -> Self {
        Self { names, partials, path: Vec::new(), faults: Vec::new() }
    }

    pub(super) fn reply(&mut self, message: &Value) -> Option<Parsed> {
        let Value::Object(message) = message else {
            self.shape("a reply is a text or a message with a \"text\"");
            return None;
        };
        let (mut text, mut title, mut tone, mut parts) = (None, None, None, Vec::new());
        let mut suggestions = Texts::Each(Vec::new());
        for (key, value) in message {
            self.within(key, |this| match key.as_str() {
                "text" => text = this.slot(value, Form::Markdown),
                "title" => title = this.slot(value, Form::Plain),
                "tone" => tone = this.tone(value),
                "suggestions" => suggestions = this.texts(value, Form::Plain),
                "parts" => this.parts(value, &mut parts),
                part if PARTS.contains(&part) => parts.extend(this.part(part, value)),
                unknown => this.unknown_key(unknown, &[&KEYS[..], &PARTS[..]].concat()),
            });
        }
        if !message.contains_key("text") {
            self.shape("a reply needs a \"text\": it is what is read where nothing else can be shown");
        }
        Some(Parsed { text: text?.template, title: title.map(|slot| slot.template), tone, parts, suggestions })
    }

    fn parts(&mut self, value: &Value, parts: &mut Vec<PartText>) {
        for (index, part) in self.list(value).iter().enumerate() {
            self.step(Step::Index(index), |this| match part {
                Value::Object(map) if map.len() == 1 => {
                    for (key, value) in map {
                        this.within(key, |this| match key.as_str() {
                            known if PARTS.contains(&known) => parts.extend(this.part(known, value)),
                            unknown => this.unknown_key(unknown, &PARTS),
                        });
                    }
                }
                Value::String(_) => parts.extend(this.part("markdown", part)),
                _ => this.shape("a part is one key and what it holds, as in \"quote: …\""),
            });
        }
    }

    fn part(&mut self, kind: &str, value: &Value) -> Option<PartText> {
        Some(match kind {
            "markdown" => PartText::Markdown(self.slot(value, Form::Markdown)?),
            "quote" => PartText::Quote(self.slot(value, Form::Markdown)?),
            "list" => PartText::List(self.texts(value, Form::Markdown)),
            "context" if value.is_array() => PartText::Context(self.texts(value, Form::Markdown)),
            "context" => PartText::Context(Texts::Each(vec![self.slot(value, Form::Markdown)?])),
            "divider" => PartText::Divider,
            "fields" => PartText::Fields(self.fields(value)?),
            "table" => self.table(value)?,
            "code" => self.code(value)?,
            _ => self.image(value)?,
        })
    }

    fn fields(&mut self, value: &Value) -> Option<FieldTexts> {
        if value.is_string() {
            return Some(FieldTexts::Json(self.slot(value, Form::Json)?));
        }
        let mut fields = Vec::new();
        for (index, field) in self.list(value).iter().enumerate() {
            self.step(Step::Index(index), |this| {
                let Some(map) = this.map(field, &["name", "value", "short"]) else { return };
                let name = this.required(map, "name", Form::Markdown);
                let value = this.required(map, "value", Form::Markdown);
                let short = this.flag(map, "short");
                if let (Some(name), Some(value)) = (name, value) {
                    fields.push((name, value, short));
                }
            });
        }
        Some(FieldTexts::Each(fields))
    }

    fn table(&mut self, value: &Value) -> Option<PartText> {
        let map = self.map(value, &["columns", "rows"])?;
        let columns = match map.get("columns") {
            Some(columns) => self.within("columns", |this| this.slots(columns, Form::Markdown)),
            None => Vec::new(),
        };
        if columns.is_empty() {
            self.shape("a table needs \"columns\"");
        }
        let Some(rows) = map.get("rows") else {
            self.shape("a table needs \"rows\"");
            return None;
        };
        let rows = self.within("rows", |this| match rows {
            Value::String(_) => this.slot(rows, Form::Json).map(RowTexts::Json),
            rows => {
                let mut read = Vec::new();
                for (index, row) in this.list(rows).iter().enumerate() {
                    this.step(Step::Index(index), |this| {
                        let cells = this.slots(row, Form::Markdown);
                        if !cells.is_empty() && cells.len() != columns.len() {
                            this.shape(&format!("the row has {} cells for {} columns", cells.len(), columns.len()));
                        }
                        read.push(cells);
                    });
                }
                Some(RowTexts::Each(read))
            }
        })?;
        Some(PartText::Table { columns, rows })
    }

    fn code(&mut self, value: &Value) -> Option<PartText> {
        if value.is_string() {
            return Some(PartText::Code { lang: String::new(), text: self.slot(value, Form::Plain)? });
        }
        let map = self.map(value, &["lang", "text"])?;
        let lang = match map.get("lang") {
            None => "",
            Some(Value::String(lang)) if lang.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-#_.".contains(&b)) => {
                lang
            }
            Some(_) => {
                self.within("lang", |this| this.shape("\"lang\" is the name of a language, such as \"rust\""));
                ""
            }
        };
        Some(PartText::Code { lang: lang.to_owned(), text: self.required(map, "text", Form::Plain)? })
    }

    fn image(&mut self, value: &Value) -> Option<PartText> {
        if value.is_string() {
            return Some(PartText::Image { url: self.slot(value, Form::Plain)?, alt: None });
        }
        let map = self.map(value, &["url", "alt"])?;
        let alt = map.get("alt").and_then(|alt| self.within("alt", |this| this.slot(alt, Form::Plain)));
        Some(PartText::Image { url: self.required(map, "url", Form::Plain)?, alt })
    }

    fn tone(&mut self, value: &Value) -> Option<ToneText> {
        let slot = self.slot(value, Form::Plain)?;
        match slot.template.fixed() {
            None => Some(ToneText::Chosen(slot.template)),
            Some(word) => match tone(word) {
                Some(tone) => Some(ToneText::Fixed(tone)),
                None => {
                    let message = format!("unknown tone \"{word}\"");
                    let suggestion = nearest(word, TONES).map(str::to_owned);
                    self.shape_fault(message, suggestion, false);
                    None
                }
            },
        }
    }

    fn texts(&mut self, value: &Value, form: Form) -> Texts {
        match value {
            Value::String(_) => match self.slot(value, Form::Json) {
                Some(slot) => Texts::Json(slot),
                None => Texts::Each(Vec::new()),
            },
            _ => Texts::Each(self.slots(value, form)),
        }
    }

    fn slots(&mut self, value: &Value, form: Form) -> Vec<Slot> {
        let mut slots = Vec::new();
        for (index, item) in self.list(value).iter().enumerate() {
            self.step(Step::Index(index), |this| slots.extend(this.slot(item, form)));
        }
        slots
    }

    fn slot(&mut self, value: &Value, form: Form) -> Option<Slot> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => {
                self.shape("a text is expected here");
                return None;
            }
        };
        match Template::compile(&text, form, self.partials, self.names) {
            Ok(template) => Some(Slot { path: self.path.clone(), template }),
            Err(faults) => {
                let path = &self.path;
                self.faults.extend(faults.into_iter().map(|fault| ReplyFault {
                    path: path.clone(),
                    key: false,
                    fault,
                }));
                None
            }
        }
    }

    fn required(&mut self, map: &Map<String, Value>, key: &str, form: Form) -> Option<Slot> {
        match map.get(key) {
            Some(value) => self.within(key, |this| this.slot(value, form)),
            None => {
                self.shape(&format!("\"{key}\" is missing"));
                None
            }
        }
    }

    fn flag(&mut self, map: &Map<String, Value>, key: &str) -> bool {
        match map.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => self.within(key, |this| {
                this.shape(&format!("\"{key}\" is true or false"));
                false
            }),
        }
    }

    fn list<'v>(&mut self, value: &'v Value) -> &'v [Value] {
        match value {
            Value::Array(items) => items,
            _ => {
                self.shape("a list is expected here");
                &[]
            }
        }
    }

    fn map<'v>(&mut self, value: &'v Value, keys: &[&str]) -> Option<&'v Map<String, Value>> {
        let Value::Object(map) = value else {
            self.shape(&format!("this holds {}", keys.join(", ")));
            return None;
        };
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.within(key, |this| this.unknown_key(key, keys));
        }
        Some(map)
    }

    fn within<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.step(Step::Key(key.to_owned()), read)
    }

    fn step<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let result = read(self);
        self.path.pop();
        result
    }

    fn unknown_key(&mut self, key: &str, known: &[&str]) {
        const LATER: [&str; 4] = ["actions", "id", "ttl", "files"];
        if LATER.contains(&key) {
            self.shape_fault(format!("\"{key}\" is not supported by this version"), None, true);
        } else {
            let suggestion = nearest(key, known.iter().copied()).map(str::to_owned);
            self.shape_fault(format!("unknown key \"{key}\""), suggestion, true);
        }
    }

    fn shape(&mut self, message: &str) {
        self.shape_fault(message.to_owned(), None, false);
    }

    fn shape_fault(&mut self, message: String, suggestion: Option<String>, key: bool) {
        let fault = Fault { partial: None, line: 0, column: 0, message, suggestion };
        self.faults.push(ReplyFault { path: self.path.clone(), key, fault });
    }
}
