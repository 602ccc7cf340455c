//! A message as Slack's Block Kit.
//!
//! Each rendered message is `{"text", "blocks"}`, to be sent with `parse: "none"` and `link_names: false`. Controls carry
//! the opaque ids of actions: read what comes back with [`action_id`](super::action_id), [`chosen`](super::chosen) and,
//! for forms, [`submitted`].

use serde_json::{Value, json};

use super::choice::{choice_key, paged_id, pages};
use super::fit::{cut, length, one_line, split};
use super::markup::{Block, Span, Style as Look, parse, parse_inline, text_of};
use super::mrkdwn::{self, object, plain_text, text_size};
use super::plain;
use super::{FULL_OUTPUT, MOST_MESSAGES, Place, Rendering};
use crate::model::action::{Action, Form, FormState, Style};
use crate::model::message::{Message, Part, Tone};

pub use super::slack_form::{submitted, view};

/// What is read of one text: more cannot be shown anyway.
const READ: usize = MOST_MESSAGES * BUDGET;
/// Blocks of one message.
const MOST_BLOCKS: usize = 50;
/// All texts of one message: Slack refuses somewhat more than that without saying how much.
const BUDGET: usize = 12_000;
const SECTION: usize = 3_000;
const HEADER: usize = 150;
const FIELD: usize = 2_000;
const MOST_FIELDS: usize = 10;
const MOST_CONTEXTS: usize = 10;
const MOST_ELEMENTS: usize = 25;
const MOST_OPTIONS: usize = 100;
const LABEL: usize = 75;
const TABLE_ROWS: usize = 100;
const TABLE_COLUMNS: usize = 20;
const TABLE_TEXT: usize = 10_000;

/// A block and what it counts.
struct Piece {
    block: Value,
    size: usize,
}

impl Piece {
    fn new(block: Value) -> Self {
        let size = text_size(&block);
        Self { block, size }
    }

    fn is_table(&self) -> bool {
        self.block["type"] == "table"
    }
}

/// The message in one or several messages of Slack, within every limit.
pub fn message(message: &Message, place: &Place<'_>) -> Rendering {
    let mut writer = Writer { place, pieces: Vec::new(), size: 0, is_cut: false };
    writer.body(message);
    let body = std::mem::take(&mut writer.pieces);
    writer.form(message.form.as_ref());
    writer.actions(&message.actions);
    let Writer { pieces: tail, mut is_cut, .. } = writer;

    let mut packed = Packed::default();
    let mut body = body.into_iter();
    let mut left = false;
    for piece in body.by_ref() {
        if packed.messages.len() + 1 >= MOST_MESSAGES && !packed.takes(&piece, 1) {
            left = true;
            break;
        }
        packed.add(piece);
    }
    is_cut |= left;
    if is_cut {
        packed.add(Piece::new(notice(place)));
    }
    for piece in tail {
        packed.add(piece);
    }
    let fallback = fallback(message, place);
    let messages = packed.finish().into_iter().map(|blocks| json!({ "text": fallback, "blocks": blocks })).collect();
    let attachment = (is_cut && place.full_url.is_none()).then(|| plain::text(message, place, plain::Look::default()));
    Rendering { messages, attachment, is_cut }
}

/// The blocks of several messages.
#[derive(Default)]
struct Packed {
    messages: Vec<Vec<Value>>,
    blocks: Vec<Value>,
    size: usize,
    has_table: bool,
}

impl Packed {
    /// Whether the message takes this piece too, and `spare` small ones after it.
    fn takes(&self, piece: &Piece, spare: usize) -> bool {
        self.blocks.len() + 1 + spare <= MOST_BLOCKS
            && self.size + piece.size + spare * HEADER * 4 <= BUDGET
            && !(self.has_table && piece.is_table())
    }

    fn add(&mut self, piece: Piece) {
        if !self.blocks.is_empty() && !self.takes(&piece, 0) {
            self.messages.push(std::mem::take(&mut self.blocks));
            self.size = 0;
            self.has_table = false;
        }
        self.size += piece.size;
        self.has_table |= piece.is_table();
        self.blocks.push(piece.block);
    }

    fn finish(mut self) -> Vec<Vec<Value>> {
        if !self.blocks.is_empty() || self.messages.is_empty() {
            self.messages.push(self.blocks);
        }
        self.messages
    }
}

fn notice(place: &Place<'_>) -> Value {
    let link = Span { text: FULL_OUTPUT.to_owned(), style: Look::default(), link: place.full_url.map(str::to_owned) };
    json!({ "type": "context", "elements": [object(&[link], FIELD, place).0] })
}

/// What notifications show: the text without markup.
fn fallback(message: &Message, place: &Place<'_>) -> String {
    let read = &message.text[..message.text.floor_char_boundary(SECTION)];
    let title = message.title.as_deref().map(|title| format!("{}\n", one_line(title))).unwrap_or_default();
    let text = format!("{title}{}", plain::blocks(&parse(read), place));
    let text = mrkdwn::escape(&cut(&text, SECTION / 2));
    // A message must say something.
    if text.trim().is_empty() { "…".to_owned() } else { text }
}

fn tone_mark(tone: Tone) -> &'static str {
    match tone {
        Tone::Info => "ℹ️",
        Tone::Success => "✅",
        Tone::Warning => "⚠️",
        Tone::Error => "❌",
        Tone::Question => "❓",
    }
}

struct Writer<'a> {
    place: &'a Place<'a>,
    pieces: Vec<Piece>,
    /// Of all pieces.
    size: usize,
    is_cut: bool,
}

impl Writer<'_> {
    fn push(&mut self, block: Value) {
        let piece = Piece::new(block);
        self.size += piece.size;
        self.pieces.push(piece);
    }

    /// Whether there are more pieces than will be shown.
    fn is_full(&mut self) -> bool {
        let is_full = self.size > READ;
        self.is_cut |= is_full;
        is_full
    }

    fn read(&mut self, text: &str) -> Vec<Block> {
        if text.len() <= READ {
            return parse(text);
        }
        self.is_cut = true;
        parse(&text[..text.floor_char_boundary(READ)])
    }

    fn read_inline(&mut self, text: &str) -> Vec<Span> {
        let end = text.floor_char_boundary(READ);
        self.is_cut |= end < text.len();
        parse_inline(&text[..end])
    }

    fn short(&mut self, text: &str, max: usize) -> Value {
        let text = one_line(&plain::clean(text));
        let shown = cut(&text, max);
        self.is_cut |= shown != text;
        plain_text(&shown)
    }

    fn body(&mut self, message: &Message) {
        let mut text = self.read(&message.text);
        let mark = message.tone.map(tone_mark);
        match (&message.title, mark) {
            (Some(title), mark) => {
                let title = mark.map_or_else(|| title.clone(), |mark| format!("{mark} {title}"));
                let text = self.short(&title, HEADER);
                self.push(json!({ "type": "header", "text": text }));
            }
            (None, Some(mark)) => {
                let mark = Span { text: format!("{mark} "), ..Span::default() };
                match text.first_mut() {
                    Some(Block::Paragraph(spans)) => spans.insert(0, mark),
                    _ => text.insert(0, Block::Paragraph(vec![mark])),
                }
            }
            (None, None) => {}
        }
        self.markdown(text);
        for part in &message.parts {
            if self.is_full() {
                break;
            }
            self.part(part);
        }
        if !message.files.is_empty() {
            let file = |file: &crate::model::file::File| {
                let link = Some(format!("/api/files/{}", file.id));
                vec![
                    Span { text: "📎 ".to_owned(), ..Span::default() },
                    Span { text: one_line(&file.name), link, ..Span::default() },
                ]
            };
            self.context(&message.files.iter().map(file).collect::<Vec<_>>());
        }
        if !message.suggestions.is_empty() {
            let mut spans = vec![Span { text: "Try: ".to_owned(), ..Span::default() }];
            for (at, suggestion) in message.suggestions.iter().enumerate() {
                let text = if at == 0 { "" } else { " · " }.to_owned();
                spans.push(Span { text, ..Span::default() });
                let style = Look { code: true, ..Look::default() };
                spans.push(Span { text: one_line(suggestion), style, link: None });
            }
            spans.retain(|span| !span.text.is_empty());
            self.context(&[spans]);
        }
    }

    /// Text in as few sections as it fits in; rich text where mrkdwn would not be exact.
    fn markdown(&mut self, blocks: Vec<Block>) {
        enum Group {
            Mrkdwn(String),
            Rich(Vec<Value>, usize),
        }
        let place = self.place;
        let mut group: Option<Group> = None;
        for block in split(blocks, SECTION, &|block| mrkdwn::measure(block, place)) {
            if self.is_full() {
                return;
            }
            if block == Block::Rule {
                self.flush(group.take().map(|group| match group {
                    Group::Mrkdwn(text) => section(&text),
                    Group::Rich(elements, _) => rich_text(elements),
                }));
                self.push(json!({ "type": "divider" }));
                continue;
            }
            let next = match mrkdwn::block(&block, place).filter(|text| length(text) <= SECTION) {
                Some(text) if text.trim().is_empty() => continue,
                Some(text) => Group::Mrkdwn(text),
                None => Group::Rich(mrkdwn::rich(&block, place), mrkdwn::measure(&block, place)),
            };
            group = Some(match (group.take(), next) {
                (Some(Group::Mrkdwn(mut before)), Group::Mrkdwn(text))
                    if length(&before) + length(&text) + 2 <= SECTION =>
                {
                    before.push_str("\n\n");
                    before.push_str(&text);
                    Group::Mrkdwn(before)
                }
                (Some(Group::Rich(mut before, size)), Group::Rich(elements, more)) if size + more <= SECTION => {
                    part_from_next(&mut before);
                    before.extend(elements);
                    Group::Rich(before, size + more)
                }
                (before, next) => {
                    self.flush(before.map(|group| match group {
                        Group::Mrkdwn(text) => section(&text),
                        Group::Rich(elements, _) => rich_text(elements),
                    }));
                    next
                }
            });
        }
        self.flush(group.map(|group| match group {
            Group::Mrkdwn(text) => section(&text),
            Group::Rich(elements, _) => rich_text(elements),
        }));
    }

    fn flush(&mut self, block: Option<Value>) {
        let is_empty = |block: &Value| block["elements"].as_array().is_some_and(Vec::is_empty);
        if let Some(block) = block.filter(|block| !is_empty(block)) {
            self.push(block);
        }
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Markdown { text } => {
                let blocks = self.read(text);
                self.markdown(blocks);
            }
            Part::Fields { fields } => {
                let mut beside = Vec::new();
                for field in fields {
                    if self.is_full() {
                        break;
                    }
                    let mut spans = self.read_inline(&field.name);
                    spans.iter_mut().for_each(|span| span.style.bold = !span.style.code);
                    spans.push(Span { text: "\n".to_owned(), ..Span::default() });
                    spans.extend(self.read_inline(&field.value));
                    let (object, is_cut) = object(&spans, FIELD, self.place);
                    self.is_cut |= is_cut;
                    if !field.short || beside.len() == MOST_FIELDS {
                        self.fields(&mut beside);
                    }
                    if field.short {
                        beside.push(object);
                    } else {
                        self.push(json!({ "type": "section", "text": object }));
                    }
                }
                self.fields(&mut beside);
            }
            Part::Table { columns, rows } => self.table(columns, rows),
            Part::Code { lang, text } => {
                let text = &text[..text.floor_char_boundary(READ)];
                self.markdown(vec![Block::Code { lang: lang.clone(), text: plain::clean(text) }]);
            }
            Part::List { items } => {
                let mut read = 0;
                let items = items.iter().take_while(|item| {
                    read += item.len();
                    read <= READ || read == item.len()
                });
                let items: Vec<_> = items.map(|item| self.read(item)).collect();
                self.markdown(vec![Block::List { start: None, items }]);
            }
            Part::Quote { text } => {
                let blocks = self.read(text);
                self.markdown(vec![Block::Quote(blocks)]);
            }
            Part::Image { url, alt } => match self.place.picture(url) {
                Some(url) => {
                    let alt = if alt.is_empty() { "picture" } else { alt };
                    let alt = cut(&one_line(alt), FIELD);
                    self.push(json!({ "type": "image", "image_url": url, "alt_text": alt }));
                }
                None => {
                    let mark = Span { text: "🖼 ".to_owned(), ..Span::default() };
                    let text = if alt.is_empty() { "picture".to_owned() } else { one_line(alt) };
                    self.context(&[vec![mark, Span { text, link: Some(url.clone()), ..Span::default() }]]);
                }
            },
            Part::Context { texts } => {
                let texts: Vec<_> = texts.iter().map(|text| self.read_inline(text)).collect();
                self.context(&texts);
            }
            Part::Collapsible { title, text } => {
                let style = Look { bold: true, ..Look::default() };
                let title = Span { text: one_line(title), style, link: None };
                let mut blocks = vec![Block::Paragraph(vec![title])];
                blocks.extend(self.read(text));
                self.markdown(blocks);
            }
            Part::Progress { label, step, total, state } => {
                let line = plain::progress(&cut(label, FIELD / 2), *step, *total, *state);
                self.push(json!({ "type": "section", "text": plain_text(&line) }));
            }
            Part::Divider => self.push(json!({ "type": "divider" })),
        }
    }

    fn fields(&mut self, beside: &mut Vec<Value>) {
        if !beside.is_empty() {
            self.push(json!({ "type": "section", "fields": std::mem::take(beside) }));
        }
    }

    fn context(&mut self, texts: &[Vec<Span>]) {
        for group in texts.chunks(MOST_CONTEXTS) {
            let mut elements = Vec::new();
            for spans in group.iter().filter(|spans| !text_of(spans).trim().is_empty()) {
                let (object, is_cut) = object(spans, FIELD, self.place);
                self.is_cut |= is_cut;
                elements.push(object);
            }
            self.flush(Some(json!({ "type": "context", "elements": elements })));
        }
    }

    /// A table of Slack's own where it takes it, else one in columns of text.
    fn table(&mut self, columns: &[String], rows: &[Vec<String>]) {
        let mut read = 0;
        let count = rows.iter().position(|row| {
            read += row.iter().map(String::len).sum::<usize>();
            read > READ
        });
        self.is_cut |= count.is_some();
        let rows = &rows[..count.unwrap_or(rows.len())];
        let mut cells = |row: &[String]| row.iter().map(|cell| self.read_inline(cell)).collect::<Vec<_>>();
        let (head, rows) = (cells(columns), rows.iter().map(|row| cells(row)).collect::<Vec<_>>());
        let width = rows.iter().map(Vec::len).chain([head.len()]).max().unwrap_or(0);
        if width == 0 {
            return;
        }
        let cell = |spans: Option<&Vec<Span>>| {
            let spans = spans.map(Vec::as_slice).unwrap_or_default();
            let text = text_of(spans);
            if spans.iter().all(|span| span.style == Look::default() && span.link.is_none()) {
                return json!({ "type": "raw_text", "text": if text.is_empty() { " " } else { &text } });
            }
            let elements = mrkdwn::rich_spans(spans, self.place);
            json!({ "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": elements }] })
        };
        let row = |row: &Vec<Vec<Span>>| (0..width).map(|at| cell(row.get(at))).collect::<Value>();
        let has_room = self.pieces.iter().filter(|piece| piece.is_table()).count() < MOST_MESSAGES;
        if has_room && rows.len() < TABLE_ROWS && width <= TABLE_COLUMNS {
            let rows: Value = std::iter::once(&head).chain(&rows).map(row).collect();
            if text_size(&rows) <= TABLE_TEXT {
                return self.push(json!({ "type": "table", "rows": rows }));
            }
        }
        self.markdown(vec![Block::Table { head, rows }]);
    }

    /// What stands for a form in the conversation: a button that opens it, or what became of it.
    fn form(&mut self, form: Option<&Form>) {
        let Some(form) = form else { return };
        if form.state == FormState::Open {
            let (fill, cancel) = (plain_text("Fill in"), plain_text("Cancel"));
            self.push(json!({ "type": "actions", "elements": [
                { "type": "button", "action_id": form.id, "text": fill, "style": "primary" },
                { "type": "button", "action_id": form.cancel_id, "text": cancel },
            ] }));
        } else {
            self.push(json!({ "type": "context", "elements": [plain_text(plain::form_words(form))] }));
        }
    }

    fn actions(&mut self, actions: &[Action]) {
        let mut elements = Vec::new();
        let mut taken = Vec::new();
        let mut links = 0;
        for action in actions {
            if let Some(used) = action.life().and_then(|life| life.used.as_ref()) {
                if used.chosen {
                    let text = cut(&format!("✓ {} · {}", one_line(action.label()), one_line(&used.by)), FIELD);
                    taken.push(plain_text(&text));
                }
                continue;
            }
            match action {
                Action::Button { id, label, style, confirm, .. } => {
                    let text = self.short(label, LABEL);
                    let mut button = json!({ "type": "button", "action_id": id, "text": text });
                    match style {
                        Style::Primary => button["style"] = json!("primary"),
                        Style::Danger => button["style"] = json!("danger"),
                        Style::Plain => {}
                    }
                    if let Some(question) = confirm {
                        button["confirm"] = self.confirm(question, label, *style);
                    }
                    elements.push(button);
                }
                Action::Select { id, label, options, .. } => {
                    let pages = pages(options, MOST_OPTIONS, BUDGET / 2);
                    for (page, group) in pages.iter().enumerate() {
                        let label = if pages.len() == 1 {
                            label.clone()
                        } else {
                            format!("{} ({}/{})", cut(label, LABEL), page + 1, pages.len())
                        };
                        elements.push(json!({
                            "type": "static_select",
                            "action_id": paged_id(id, page),
                            "placeholder": self.short(&label, HEADER),
                            "options": group.iter().map(|option| json!({
                                "text": self.short(&option.label, LABEL),
                                "value": choice_key(&option.value),
                            })).collect::<Value>(),
                        }));
                    }
                }
                Action::Date { id, label, .. } => {
                    let label = self.short(label, HEADER);
                    elements.push(json!({ "type": "datepicker", "action_id": id, "placeholder": label }));
                }
                Action::Link { label, url } => {
                    if let Some(url) = self.place.web_address(url) {
                        let text = self.short(label, LABEL);
                        let id = paged_id("link", links);
                        elements.push(json!({ "type": "button", "action_id": id, "text": text, "url": url }));
                        links += 1;
                    }
                }
            }
        }
        let mut group: Vec<Value> = Vec::new();
        for element in elements {
            let size = group.iter().map(text_size).sum::<usize>() + text_size(&element);
            if group.len() == MOST_ELEMENTS || (!group.is_empty() && size > BUDGET) {
                self.push(json!({ "type": "actions", "elements": std::mem::take(&mut group) }));
            }
            group.push(element);
        }
        self.flush(Some(json!({ "type": "actions", "elements": group })));
        for taken in taken.chunks(MOST_CONTEXTS) {
            self.push(json!({ "type": "context", "elements": taken }));
        }
    }

    fn confirm(&mut self, question: &str, label: &str, style: Style) -> Value {
        let mut confirm = json!({
            "title": plain_text("Are you sure?"),
            "text": self.short(question, 300),
            "confirm": plain_text(&cut(&one_line(label), 30)),
            "deny": plain_text("Cancel"),
        });
        if style == Style::Danger {
            confirm["style"] = json!("danger");
        }
        confirm
    }
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
}

fn rich_text(elements: impl Into<Value>) -> Value {
    json!({ "type": "rich_text", "elements": elements.into() })
}

/// Leaves a blank line after what is last, when that is a paragraph.
fn part_from_next(elements: &mut [Value]) {
    if let Some(last) = elements.last_mut().filter(|last| last["type"] == "rich_text_section")
        && let Some(inner) = last["elements"].as_array_mut()
    {
        inner.push(json!({ "type": "text", "text": "\n" }));
    }
}
