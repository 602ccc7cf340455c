//! From the reply as written to templates.

use serde_json::{Map, Value};

use super::action::Reference;
use super::words::{POST_MODES, Reading, STATES, TONES, Words, address, count, duration, picture_address};
use super::{FieldTexts, KEYS, KeyText, MessageText, PARTS, PartText, ReplyFault, RowTexts, Slot, Step, Texts, Word};
use crate::template::{Fault, Form, Names, Partials, Template, nearest};

pub(super) struct Compiler<'a> {
    names: &'a Names,
    partials: &'a Partials,
    pub(super) path: Vec<Step>,
    pub(super) faults: Vec<ReplyFault>,
    pub(super) references: Vec<Reference>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(names: &'a Names, partials: &'a Partials) -> Self {
        Self { names, partials, path: Vec::new(), faults: Vec::new(), references: Vec::new() }
    }

    pub(super) fn reply(&mut self, message: &Value) -> Option<MessageText> {
        let Value::Object(message) = message else {
            self.shape("a reply is a text or a message with a \"text\"");
            return None;
        };
        let (mut text, mut title, mut tone, mut parts, mut actions) = (None, None, None, Vec::new(), Vec::new());
        let (mut suggestions, mut to) = (Texts::Each(Vec::new()), Texts::Each(Vec::new()));
        for (key, value) in message {
            self.within(key, |this| match key.as_str() {
                "text" => text = this.slot(value, Form::Markdown),
                "title" => title = this.slot(value, Form::Plain),
                "tone" => tone = this.word(value, &TONES),
                "suggestions" => suggestions = this.texts(value, Form::Plain),
                "to" => to = this.addresses(value),
                "parts" => this.parts(value, &mut parts),
                "actions" => actions = this.actions(value),
                "id" | "ttl" | "post" | "ephemeral" => {}
                part if PARTS.contains(&part) => parts.extend(this.part(part, value)),
                unknown => this.unknown_key(unknown, &[&KEYS[..], &PARTS[..]].concat()),
            });
        }
        let key = self.key(message);
        let ephemeral = self.flag(message, "ephemeral");
        if ephemeral && message.contains_key("to") {
            let why = "an ephemeral reply is for whoever asked and goes nowhere else".to_owned();
            self.within("to", |this| this.shape_fault(why, None, true));
        }
        if !message.contains_key("text") {
            self.shape("a reply needs a \"text\": it is what is read where nothing else can be shown");
        }
        Some(MessageText { text: text?, title, tone, parts, suggestions, actions, key, to, ephemeral })
    }

    /// Where the message goes.
    fn addresses(&mut self, value: &Value) -> Texts {
        let to = self.texts(value, Form::Plain);
        if let Texts::Each(slots) = &to {
            for slot in slots {
                self.read_fixed(slot, address);
            }
        }
        to
    }

    /// What makes the message the same as an earlier one.
    fn key(&mut self, message: &Map<String, Value>) -> Option<KeyText> {
        let ttl = message.get("ttl").and_then(|ttl| self.within("ttl", |this| this.read_slot(ttl, duration)));
        let post = message.get("post").and_then(|post| self.within("post", |this| this.word(post, &POST_MODES)));
        let Some(id) = message.get("id") else {
            for key in ["ttl", "post"].into_iter().filter(|key| message.contains_key(*key)) {
                let why = format!("\"{key}\" says what becomes of an earlier message of the same \"id\": give it one");
                self.within(key, |this| this.shape_fault(why, None, true));
            }
            return None;
        };
        let id = self.within("id", |this| this.slot(id, Form::Plain))?;
        Some(KeyText { id, ttl, post })
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
            "collapsible" => self.collapsible(value)?,
            "progress" => self.progress(value)?,
            _ => self.image(value)?,
        })
    }

    fn collapsible(&mut self, value: &Value) -> Option<PartText> {
        let map = self.map(value, &["title", "text"])?;
        let title = self.required(map, "title", Form::Plain);
        let text = self.required(map, "text", Form::Markdown);
        Some(PartText::Collapsible { title: title?, text: text? })
    }

    fn progress(&mut self, value: &Value) -> Option<PartText> {
        let map = self.map(value, &["label", "step", "total", "state"])?;
        let label = self.required(map, "label", Form::Plain);
        let [step, total] = ["step", "total"].map(|key| {
            let slot = self.required(map, key, Form::Plain)?;
            self.read_fixed(&slot, count);
            Some(slot)
        });
        let state = map.get("state").and_then(|state| self.within("state", |this| this.word(state, &STATES)));
        Some(PartText::Progress { label: label?, step: step?, total: total?, state })
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
            return Some(PartText::Image { url: self.read_slot(value, picture_address)?, alt: None });
        }
        let map = self.map(value, &["url", "alt"])?;
        let alt = map.get("alt").and_then(|alt| self.within("alt", |this| this.slot(alt, Form::Plain)));
        let url = self.required(map, "url", Form::Plain)?;
        self.read_fixed(&url, picture_address);
        Some(PartText::Image { url, alt })
    }

    /// One of a few words; a written one is understood right away.
    pub(super) fn word<T: Copy>(&mut self, value: &Value, words: &Words<T>) -> Option<Word<T>> {
        let slot = self.slot(value, Form::Plain)?;
        let Some(word) = slot.template.fixed() else { return Some(Word::Chosen(slot)) };
        let found = words.find(word);
        if found.is_none() {
            let suggestion = nearest(word, words.names()).map(str::to_owned);
            self.shape_fault(format!("unknown {} \"{word}\"", words.what), suggestion, false);
        }
        found.map(Word::Fixed)
    }

    /// A plain text that means something else; a written one is tried right away.
    pub(super) fn read_slot<T>(&mut self, value: &Value, reading: Reading<T>) -> Option<Slot> {
        let slot = self.slot(value, Form::Plain)?;
        self.read_fixed(&slot, reading);
        Some(slot)
    }

    pub(super) fn read_fixed<T>(&mut self, slot: &Slot, reading: Reading<T>) {
        if let Some(Err(message)) = slot.template.fixed().map(reading) {
            self.fault_at(slot.path.clone(), message, false);
        }
    }

    pub(super) fn texts(&mut self, value: &Value, form: Form) -> Texts {
        match value {
            Value::String(_) => match self.slot(value, Form::Json) {
                Some(slot) => Texts::Json(slot),
                None => Texts::Each(Vec::new()),
            },
            _ => Texts::Each(self.slots(value, form)),
        }
    }

    pub(super) fn slots(&mut self, value: &Value, form: Form) -> Vec<Slot> {
        let mut slots = Vec::new();
        for (index, item) in self.list(value).iter().enumerate() {
            self.step(Step::Index(index), |this| slots.extend(this.slot(item, form)));
        }
        slots
    }

    pub(super) fn slot(&mut self, value: &Value, form: Form) -> Option<Slot> {
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

    pub(super) fn required(&mut self, map: &Map<String, Value>, key: &str, form: Form) -> Option<Slot> {
        match map.get(key) {
            Some(value) => self.within(key, |this| this.slot(value, form)),
            None => {
                self.shape(&format!("\"{key}\" is missing"));
                None
            }
        }
    }

    pub(super) fn flag(&mut self, map: &Map<String, Value>, key: &str) -> bool {
        match map.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => self.within(key, |this| {
                this.shape(&format!("\"{key}\" is true or false"));
                false
            }),
        }
    }

    pub(super) fn list<'v>(&mut self, value: &'v Value) -> &'v [Value] {
        match value {
            Value::Array(items) => items,
            _ => {
                self.shape("a list is expected here");
                &[]
            }
        }
    }

    pub(super) fn map<'v>(&mut self, value: &'v Value, keys: &[&str]) -> Option<&'v Map<String, Value>> {
        let Value::Object(map) = value else {
            self.shape(&format!("this holds {}", keys.join(", ")));
            return None;
        };
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.within(key, |this| this.unknown_key(key, keys));
        }
        Some(map)
    }

    pub(super) fn within<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.step(Step::Key(key.to_owned()), read)
    }

    pub(super) fn step<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let result = read(self);
        self.path.pop();
        result
    }

    pub(super) fn unknown_key(&mut self, key: &str, known: &[&str]) {
        const LATER: [&str; 1] = ["files"];
        if LATER.contains(&key) {
            self.shape_fault(format!("\"{key}\" is not supported by this version"), None, true);
        } else {
            let suggestion = nearest(key, known.iter().copied()).map(str::to_owned);
            self.shape_fault(format!("unknown key \"{key}\""), suggestion, true);
        }
    }

    pub(super) fn shape(&mut self, message: &str) {
        self.shape_fault(message.to_owned(), None, false);
    }

    pub(super) fn shape_fault(&mut self, message: String, suggestion: Option<String>, key: bool) {
        let fault = Fault { partial: None, line: 0, column: 0, message, suggestion };
        self.faults.push(ReplyFault { path: self.path.clone(), key, fault });
    }

    /// A fault elsewhere than where the compiler is.
    pub(super) fn fault_at(&mut self, path: Vec<Step>, message: String, key: bool) {
        let fault = Fault { partial: None, line: 0, column: 0, message, suggestion: None };
        self.faults.push(ReplyFault { path, key, fault });
    }
}
