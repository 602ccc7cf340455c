//! A message as Discord's embeds and components.
//!
//! Each rendered message holds `content`, `embeds`, `components` and an empty `allowed_mentions`, as both creating and
//! editing take them. Controls carry the opaque ids of actions: read what comes back with
//! [`action_id`](super::action_id), [`control`] and [`chosen`](super::chosen). What Discord has no control for takes
//! another step: a button that asks before it counts, and a day.

use serde_json::{Value, json};

use super::choice::{choice_key, paged_id, pages};
use super::discord_text::{block, escape, spans};
use super::fit::{cut, length, one_line, split};
use super::markup::{Block, Span, Style as Look, parse, parse_inline, text_of};
use super::plain;
use super::{FULL_OUTPUT, MOST_MESSAGES, Place, Rendering};
use crate::model::action::{Action, Form, FormState, Style};
use crate::model::message::{Message, Part, Tone};

pub use super::discord_form::{day_modal, modal, submitted, submitted_day};

/// All texts of the embeds of one message.
const BUDGET: usize = 6_000;
const READ: usize = MOST_MESSAGES * BUDGET;
const MOST_EMBEDS: usize = 10;
const CONTENT: usize = 2_000;
const TITLE: usize = 256;
const DESCRIPTION: usize = 4_096;
const MOST_FIELDS: usize = 25;
const NAME: usize = 256;
const VALUE: usize = 1_024;
const FOOTER: usize = 2_048;
const MOST_ROWS: usize = 5;
const ROW_BUTTONS: usize = 5;
const LABEL: usize = 80;
const PLACEHOLDER: usize = 150;
const MOST_OPTIONS: usize = 25;
const OPTION: usize = 100;
/// Controls that one long choice becomes at most.
const MOST_PAGES: usize = 10;
const ADDRESS: usize = 512;
/// What a notice that something was cut takes at most.
const NOTICE: usize = 300;

/// Marks a button that asks before it counts.
const ASK: &str = ".ask";
/// Marks a button that asks for a day.
const DAY: &str = ".day";
/// The control that does nothing but close a question.
pub const DISMISS: &str = "dismiss";

/// What a control wants before its action is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'c> {
    /// Nothing: it is taken.
    Take(&'c str),
    /// A second press, at [`question`].
    Ask(&'c str),
    /// A day, in [`day_modal`].
    Day(&'c str),
    Dismiss,
}

/// What the control of that `custom_id` is for.
pub fn control(custom_id: &str) -> Option<Control<'_>> {
    if custom_id == DISMISS {
        return Some(Control::Dismiss);
    }
    if let Some(id) = custom_id.strip_suffix(ASK) {
        return Some(Control::Ask(id));
    }
    if let Some(id) = custom_id.strip_suffix(DAY) {
        return Some(Control::Day(id));
    }
    super::action_id(custom_id).map(Control::Take)
}

/// What is asked before a button counts, for whoever pressed it; none for what is no such button.
pub fn question(action: &Action) -> Option<Value> {
    let Action::Button { id, label, style, confirm: Some(confirm), .. } = action else { return None };
    let style = if *style == Style::Danger { 4 } else { 1 };
    Some(json!({
        "content": cut(&escape(confirm, true), CONTENT),
        "components": [row(vec![
            json!({ "type": 2, "style": style, "label": label_of(label), "custom_id": id }),
            json!({ "type": 2, "style": 2, "label": "Cancel", "custom_id": DISMISS }),
        ])],
        "allowed_mentions": { "parse": [] },
    }))
}

/// A piece of what is shown, in the order in which one embed shows them.
enum Piece {
    Text(String),
    Field(Value),
    Image(String),
    Footer(String),
}

impl Piece {
    fn rank(&self) -> u8 {
        match self {
            Self::Text(_) => 1,
            Self::Field(_) => 2,
            Self::Image(_) => 3,
            Self::Footer(_) => 4,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Text(text) => length(text) + 2,
            Self::Field(field) => ["name", "value"].iter().filter_map(|key| field[*key].as_str()).map(length).sum(),
            Self::Image(_) => 0,
            Self::Footer(text) => length(text),
        }
    }
}

/// The message in one or several messages of Discord, within every limit.
pub fn message(message: &Message, place: &Place<'_>) -> Rendering {
    // Where there is nothing but text, it is content, as a person would write it.
    let is_simple = message.title.is_none() && message.tone.is_none() && message.parts.iter().all(is_text);
    let most = if is_simple { CONTENT } else { DESCRIPTION };
    let mut writer = Writer { place, most, pieces: Vec::new(), size: 0, is_cut: false };
    let title = message.title.as_deref().map(|title| writer.title(title)).filter(|title| !title.is_empty());
    writer.body(message);
    let rows = writer.rows(message);
    let Writer { pieces, mut is_cut, .. } = writer;
    let mut packed = Packed {
        limit: if is_simple { CONTENT } else { BUDGET },
        is_simple,
        title,
        colour: message.tone.map(colour),
        ..Packed::default()
    };
    let mut left = false;
    for piece in pieces {
        if packed.messages.len() + 1 >= MOST_MESSAGES && !packed.takes(&piece, NOTICE) {
            left = true;
            break;
        }
        packed.add(piece);
    }
    is_cut |= left;
    if is_cut {
        let link = place.full_url.map(str::to_owned);
        let notice = spans(&[Span { text: FULL_OUTPUT.to_owned(), style: Look::default(), link }], place);
        packed.add(Piece::Text(if length(&notice) <= NOTICE { notice } else { FULL_OUTPUT.to_owned() }));
    }
    let mut messages = packed.finish();
    for (at, rows) in rows.chunks(MOST_ROWS).enumerate() {
        match messages.last_mut().filter(|_| at == 0) {
            Some(last) => last["components"] = Value::from(rows),
            None => messages.push(json!({ "content": "⋯", "embeds": [], "components": rows })),
        }
    }
    for message in &mut messages {
        message["allowed_mentions"] = json!({ "parse": [] });
    }
    let attachment = (is_cut && place.full_url.is_none()).then(|| plain::text(message, place, plain::Look::default()));
    Rendering { messages, attachment, is_cut }
}

/// One embed while it is written.
#[derive(Default)]
struct Embed {
    rank: u8,
    title: Option<String>,
    description: String,
    fields: Vec<Value>,
    image: Option<String>,
    footer: Option<String>,
}

/// The embeds of several messages, or their content when there is nothing but text.
#[derive(Default)]
struct Packed {
    limit: usize,
    is_simple: bool,
    /// For the next embed.
    title: Option<String>,
    colour: Option<u32>,
    messages: Vec<Value>,
    embeds: Vec<Embed>,
    size: usize,
}

impl Packed {
    /// Whether the last embed goes on with that piece.
    fn continues(&self, piece: &Piece) -> bool {
        let Some(embed) = self.embeds.last() else { return false };
        let has_room = match piece {
            Piece::Text(_) => self.is_simple || length(&embed.description) + piece.size() <= DESCRIPTION,
            Piece::Field(_) => embed.fields.len() < MOST_FIELDS,
            Piece::Image(_) => embed.image.is_none(),
            Piece::Footer(_) => embed.footer.is_none(),
        };
        embed.rank <= piece.rank() && has_room
    }

    /// Whether the message takes the piece too, and `spare` characters after it.
    fn takes(&self, piece: &Piece, spare: usize) -> bool {
        // A notice may need an embed of its own.
        let more = usize::from(!self.continues(piece)) + usize::from(spare > 0);
        let title = self.title.as_deref().map_or(0, length);
        self.embeds.len() + more <= MOST_EMBEDS && self.size + title + piece.size() + spare <= self.limit
    }

    fn add(&mut self, piece: Piece) {
        if !self.takes(&piece, 0) && !self.embeds.is_empty() {
            self.end_message();
        }
        self.size += piece.size();
        if !self.continues(&piece) {
            let title = self.title.take();
            self.size += title.as_deref().map_or(0, length);
            self.embeds.push(Embed { title, ..Embed::default() });
        }
        let Some(embed) = self.embeds.last_mut() else { return };
        embed.rank = piece.rank();
        match piece {
            Piece::Text(text) => {
                if !embed.description.is_empty() {
                    embed.description.push_str("\n\n");
                }
                embed.description.push_str(&text);
            }
            Piece::Field(field) => embed.fields.push(field),
            Piece::Image(url) => embed.image = Some(url),
            Piece::Footer(text) => embed.footer = Some(text),
        }
    }

    fn end_message(&mut self) {
        self.size = 0;
        let embeds = std::mem::take(&mut self.embeds);
        if self.is_simple {
            let content = embeds.into_iter().map(|embed| embed.description).collect::<Vec<_>>().join("\n\n");
            let content = if content.trim().is_empty() { "⋯".to_owned() } else { content };
            self.messages.push(json!({ "content": content, "embeds": [], "components": [] }));
            return;
        }
        let embed = |embed: Embed| {
            let mut out = json!({});
            if let Some(title) = embed.title {
                out["title"] = json!(title);
            }
            if let Some(colour) = self.colour {
                out["color"] = json!(colour);
            }
            if !embed.description.is_empty() {
                out["description"] = json!(embed.description);
            }
            if !embed.fields.is_empty() {
                out["fields"] = Value::from(embed.fields);
            }
            if let Some(url) = embed.image {
                out["image"] = json!({ "url": url });
            }
            if let Some(text) = embed.footer {
                out["footer"] = json!({ "text": text });
            }
            out
        };
        let embeds: Vec<Value> = embeds.into_iter().map(embed).collect();
        self.messages.push(json!({ "content": "", "embeds": embeds, "components": [] }));
    }

    fn finish(mut self) -> Vec<Value> {
        if self.embeds.is_empty() && (self.title.is_some() || self.messages.is_empty()) {
            self.add(Piece::Text(if self.title.is_some() { String::new() } else { "⋯".to_owned() }));
        }
        if !self.embeds.is_empty() {
            self.end_message();
        }
        self.messages
    }
}

fn colour(tone: Tone) -> u32 {
    match tone {
        Tone::Info => 0x3b_82f6,
        Tone::Success => 0x22_a559,
        Tone::Warning => 0xe0_9f1f,
        Tone::Error => 0xd8_3c3e,
        Tone::Question => 0x8b_5cf6,
    }
}

fn row(components: impl Into<Value>) -> Value {
    json!({ "type": 1, "components": components.into() })
}

/// A label, which must not be empty.
fn label_of(label: &str) -> String {
    let label = cut(&one_line(&plain::clean(label)), LABEL);
    if label.is_empty() { "…".to_owned() } else { label }
}

struct Writer<'a> {
    place: &'a Place<'a>,
    /// What a piece of text takes.
    most: usize,
    pieces: Vec<Piece>,
    size: usize,
    is_cut: bool,
}

impl Writer<'_> {
    fn push(&mut self, piece: Piece) {
        self.size += piece.size();
        self.pieces.push(piece);
    }

    /// Whether there is more than will be shown.
    fn is_full(&mut self) -> bool {
        let is_full = self.size > READ;
        self.is_cut |= is_full;
        is_full
    }

    fn read<'t>(&mut self, text: &'t str) -> &'t str {
        let end = text.floor_char_boundary(READ);
        self.is_cut |= end < text.len();
        &text[..end]
    }

    fn title(&mut self, title: &str) -> String {
        let title = one_line(&plain::clean(title));
        let shown = escape(&title, true);
        if length(&shown) <= TITLE {
            return shown;
        }
        self.is_cut = true;
        cut(&escape(&cut(&title, TITLE / 2 - 1), true), TITLE)
    }

    fn body(&mut self, message: &Message) {
        let blocks = parse(self.read(&message.text));
        self.markdown(blocks);
        for part in &message.parts {
            if self.is_full() {
                break;
            }
            self.part(part);
        }
        for file in &message.files {
            let mark = Span { text: "📎 ".to_owned(), ..Span::default() };
            let link = Some(format!("/api/files/{}", file.id));
            let name = Span { text: one_line(&file.name), link, ..Span::default() };
            self.markdown(vec![Block::Paragraph(vec![mark, name])]);
        }
        for action in &message.actions {
            // An address that is too long for a button is still one to follow.
            if let Action::Link { label, url } = action
                && url.len() > ADDRESS
            {
                let link = Some(url.clone());
                let text = one_line(label);
                self.markdown(vec![Block::Paragraph(vec![Span { text, link, ..Span::default() }])]);
            }
        }
        if !message.suggestions.is_empty() {
            let code = |text: &String| {
                let style = Look { code: true, ..Look::default() };
                spans(&[Span { text: one_line(text), style, link: None }], self.place)
            };
            let text = message.suggestions.iter().filter(|text| !text.trim().is_empty()).map(code);
            let text = format!("-# Try: {}", text.collect::<Vec<_>>().join(" · "));
            if length(&text) <= VALUE {
                self.push(Piece::Text(text));
            } else {
                self.is_cut = true;
            }
        }
        if let Some(form) = message.form.as_ref().filter(|form| form.state != FormState::Open) {
            self.push(Piece::Text(format!("-# {}", plain::form_words(form))));
        }
    }

    /// Text, in as few pieces as it fits in.
    fn markdown(&mut self, blocks: Vec<Block>) {
        let place = self.place;
        // What Discord joins with blank lines is counted with them.
        let most = self.most - 2;
        let mut text = String::new();
        for inner in split(blocks, most, &|inner| length(&block(inner, place))) {
            if self.is_full() {
                return;
            }
            let mut next = block(&inner, place);
            if length(&next) > most {
                // A short text with a long address, which cannot be split.
                next = cut(&escape(&plain::blocks(std::slice::from_ref(&inner), &Place::default()), true), most);
            }
            if next.trim().is_empty() {
                continue;
            }
            if !text.is_empty() && length(&text) + length(&next) + 2 > most {
                self.push(Piece::Text(std::mem::take(&mut text)));
            }
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(&next);
        }
        if !text.is_empty() {
            self.push(Piece::Text(text));
        }
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Markdown { text } => {
                let blocks = parse(self.read(text));
                self.markdown(blocks);
            }
            Part::Fields { fields } => {
                for field in fields {
                    if self.is_full() {
                        return;
                    }
                    let name = self.fitted(&field.name, NAME);
                    let value = self.fitted(&field.value, VALUE);
                    self.push(Piece::Field(json!({ "name": name, "value": value, "inline": field.short })));
                }
            }
            Part::Table { columns, rows } => {
                let mut read = 0;
                let count = rows.iter().position(|row| {
                    read += row.iter().map(String::len).sum::<usize>();
                    read > READ
                });
                self.is_cut |= count.is_some();
                let cells = |row: &Vec<String>| row.iter().map(|cell| parse_inline(cell)).collect::<Vec<_>>();
                let rows = rows[..count.unwrap_or(rows.len())].iter().map(cells).collect();
                let head = columns.iter().map(|cell| parse_inline(cell)).collect();
                self.markdown(vec![Block::Table { head, rows }]);
            }
            Part::Code { lang, text } => {
                let text = plain::clean(self.read(text));
                self.markdown(vec![Block::Code { lang: lang.clone(), text }]);
            }
            Part::List { items } => {
                let mut read = 0;
                let mut shown = Vec::new();
                for item in items {
                    read += item.len();
                    if read > READ && !shown.is_empty() {
                        self.is_cut = true;
                        break;
                    }
                    shown.push(parse(self.read(item)));
                }
                self.markdown(vec![Block::List { start: None, items: shown }]);
            }
            Part::Quote { text } => {
                let blocks = parse(self.read(text));
                self.markdown(vec![Block::Quote(blocks)]);
            }
            Part::Image { url, alt } => match self.place.picture(url) {
                Some(url) => self.push(Piece::Image(url)),
                None => {
                    let mark = Span { text: "🖼 ".to_owned(), ..Span::default() };
                    let text = if alt.is_empty() { "picture".to_owned() } else { one_line(alt) };
                    let alt = Span { text, link: Some(url.clone()), ..Span::default() };
                    self.markdown(vec![Block::Paragraph(vec![mark, alt])]);
                }
            },
            Part::Context { texts } => self.context(texts),
            Part::Collapsible { title, text } => {
                let style = Look { bold: true, ..Look::default() };
                let mut blocks = vec![Block::Paragraph(vec![Span { text: one_line(title), style, link: None }])];
                blocks.retain(|_| !title.trim().is_empty());
                blocks.extend(parse(self.read(text)));
                self.markdown(blocks);
            }
            Part::Progress { label, step, total, state } => {
                let line = plain::progress(&cut(label, NAME), *step, *total, *state);
                self.markdown(vec![Block::Paragraph(vec![Span { text: line, ..Span::default() }])]);
            }
            Part::Divider => self.markdown(vec![Block::Rule]),
        }
    }

    /// Markdown in one place of at most `most`; a blank where it is empty, since Discord wants something.
    fn fitted(&mut self, text: &str, most: usize) -> String {
        let inline = parse_inline(self.read(text));
        let shown = spans(&inline, self.place);
        if shown.trim().is_empty() {
            return "\u{200b}".to_owned();
        }
        if length(&shown) <= most {
            return shown;
        }
        self.is_cut = true;
        // Without styles a text can be cut anywhere; escapes make it at most twice as long.
        cut(&escape(&cut(&text_of(&inline), most / 2 - 1), true), most)
    }

    /// Small print: a footer, or small lines where it is more than text.
    fn context(&mut self, texts: &[String]) {
        let texts: Vec<Vec<Span>> = texts.iter().map(|text| parse_inline(self.read(text))).collect();
        let is_plain = |span: &Span| span.style == Look::default() && span.link.is_none();
        if !texts.iter().flatten().all(is_plain) {
            for text in texts {
                let blocks =
                    split(vec![Block::Paragraph(text)], self.most / 2, &|inner| length(&block(inner, self.place)));
                for inner in &blocks {
                    let text = block(inner, self.place);
                    let text = text.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("-# {line}"));
                    let text = text.collect::<Vec<_>>().join("\n");
                    if length(&text) <= self.most - 2 && !text.is_empty() {
                        self.push(Piece::Text(text));
                    }
                }
            }
            return;
        }
        let text = texts.iter().map(|text| plain::clean(&text_of(text))).filter(|text| !text.trim().is_empty());
        let text = text.collect::<Vec<_>>().join(" · ");
        if !text.is_empty() {
            let shown = cut(&text, FOOTER);
            self.is_cut |= shown != text;
            self.push(Piece::Footer(shown));
        }
    }

    fn rows(&mut self, message: &Message) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut buttons: Vec<Value> = Vec::new();
        if let Some(form) = message.form.as_ref().filter(|form| form.state == FormState::Open) {
            buttons.extend(form_buttons(form));
        }
        let end = |buttons: &mut Vec<Value>, rows: &mut Vec<Value>| {
            for group in std::mem::take(buttons).chunks(ROW_BUTTONS) {
                rows.push(row(group.to_vec()));
            }
        };
        for action in &message.actions {
            let used = action.life().and_then(|life| life.used.as_ref());
            if used.is_some_and(|used| !used.chosen) {
                continue;
            }
            if let (Some(used), Some(id)) = (used, action.id()) {
                let label = format!("✓ {} · {}", one_line(action.label()), one_line(&used.by));
                let label = label_of(&label);
                buttons.push(json!({ "type": 2, "style": 2, "label": label, "custom_id": id, "disabled": true }));
                continue;
            }
            match action {
                Action::Button { id, label, style, confirm, .. } => {
                    let style = match style {
                        Style::Plain => 2,
                        Style::Primary => 1,
                        Style::Danger => 4,
                    };
                    let id = if confirm.is_some() { format!("{id}{ASK}") } else { id.clone() };
                    buttons.push(json!({ "type": 2, "style": style, "label": label_of(label), "custom_id": id }));
                }
                Action::Date { id, label, .. } => {
                    let (label, id) = (label_of(&format!("📅 {label}")), format!("{id}{DAY}"));
                    buttons.push(json!({ "type": 2, "style": 2, "label": label, "custom_id": id }));
                }
                Action::Link { label, url } => {
                    if let Some(url) = self.place.web_address(url).filter(|url| url.len() <= ADDRESS) {
                        buttons.push(json!({ "type": 2, "style": 5, "label": label_of(label), "url": url }));
                    }
                }
                Action::Select { id, label, options, .. } => {
                    end(&mut buttons, &mut rows);
                    let pages = pages(options, MOST_OPTIONS, usize::MAX);
                    self.is_cut |= pages.len() > MOST_PAGES;
                    for (page, group) in pages.iter().take(MOST_PAGES).enumerate() {
                        let count =
                            if pages.len() == 1 { String::new() } else { format!(" ({}/{})", page + 1, pages.len()) };
                        let label = format!("{}{count}", cut(&one_line(&plain::clean(label)), PLACEHOLDER - 20));
                        let option = |option: &&crate::model::action::Choice| {
                            let label = cut(&one_line(&plain::clean(&option.label)), OPTION);
                            let label = if label.is_empty() { "…".to_owned() } else { label };
                            json!({ "label": label, "value": choice_key(&option.value) })
                        };
                        rows.push(row(vec![json!({
                            "type": 3,
                            "custom_id": paged_id(id, page),
                            "placeholder": if label.trim().is_empty() { "…" } else { &label },
                            "options": group.iter().map(option).collect::<Value>(),
                        })]));
                    }
                }
            }
        }
        end(&mut buttons, &mut rows);
        rows
    }
}

fn is_text(part: &Part) -> bool {
    !matches!(part, Part::Fields { .. } | Part::Image { .. } | Part::Context { .. })
}

/// What stands for a form: a button that opens it where it fits in a modal, and one that gives it up.
fn form_buttons(form: &Form) -> Vec<Value> {
    let mut out = Vec::new();
    if modal(form, "").is_some() {
        out.push(json!({ "type": 2, "style": 1, "label": "Fill in", "custom_id": form.id }));
    }
    out.push(json!({ "type": 2, "style": 2, "label": "Cancel", "custom_id": form.cancel_id }));
    out
}
