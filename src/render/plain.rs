//! A message as text: for terminals, for readers without markup, and for files that hold what was cut elsewhere.

use unicode_width::UnicodeWidthStr as _;

use super::Place;
use super::markup::{Block, Marks, Span, parse, parse_inline, text_of, write};
use crate::model::action::{Action, Form, FormState, Style};
use crate::model::message::{Field, Message, Part, ProgressState, Tone};

/// How the text may look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Whether the reader is a terminal that knows colours and bold.
    pub ansi: bool,
    /// How many things are numbered already, in messages before it.
    pub numbered: usize,
}

/// Text without marks. Control characters are left out, so that nothing steers a terminal.
struct Bare;
/// Text with the escape sequences of terminals.
struct Ansi;

impl Marks for Bare {
    fn text(&self, text: &str, _: bool) -> String {
        clean(text)
    }

    fn code(&self, text: &str) -> String {
        clean(text)
    }

    fn link(&self, label: &str, address: &str) -> String {
        if same_address(label, address) { label.to_owned() } else { format!("{label} ({address})") }
    }

    fn marks(&self) -> [(&'static str, &'static str); 3] {
        [("", ""); 3]
    }
}

impl Marks for Ansi {
    fn text(&self, text: &str, _: bool) -> String {
        clean(text)
    }

    fn code(&self, text: &str) -> String {
        format!("\x1b[36m{}\x1b[39m", clean(text))
    }

    fn link(&self, label: &str, address: &str) -> String {
        let shown = format!("\x1b[4m{label}\x1b[24m");
        if same_address(label, address) { shown } else { format!("{shown} ({address})") }
    }

    fn marks(&self) -> [(&'static str, &'static str); 3] {
        [("\x1b[1m", "\x1b[22m"), ("\x1b[3m", "\x1b[23m"), ("\x1b[9m", "\x1b[29m")]
    }
}

fn same_address(label: &str, address: &str) -> bool {
    let short = |text: &str| text.trim_end_matches('/').trim_start_matches("mailto:").to_owned();
    short(label) == short(address)
}

/// Without control characters and without marks that turn the direction of text around.
pub(super) fn clean(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|c| !steers(*c)).collect()
}

/// Blocks as text without marks, a block a line.
pub(super) fn blocks(blocks: &[Block], place: &Place<'_>) -> String {
    write_blocks(blocks, &Bare, place, "\n")
}

fn write_blocks(blocks: &[Block], marks: &dyn Marks, place: &Place<'_>, between: &str) -> String {
    blocks.iter().map(|block| write_block(block, marks, place)).collect::<Vec<_>>().join(between)
}

fn write_block(block: &Block, marks: &dyn Marks, place: &Place<'_>) -> String {
    match block {
        Block::Paragraph(spans) => write(spans, marks, place),
        Block::Heading(spans) => {
            let mut spans = spans.clone();
            spans.iter_mut().for_each(|span| span.style.bold = true);
            write(&spans, marks, place)
        }
        Block::Quote(inner) => indent(&write_blocks(inner, marks, place, "\n"), "> ", "> "),
        Block::List { start, items } => {
            let item = |(number, item): (usize, &Vec<Block>)| {
                let mark = start.map_or_else(|| "- ".to_owned(), |start| format!("{}. ", start + number as u64));
                indent(&write_blocks(item, marks, place, "\n"), &mark, &" ".repeat(mark.len()))
            };
            items.iter().enumerate().map(item).collect::<Vec<_>>().join("\n")
        }
        Block::Code { text, .. } => indent(&clean(text), "    ", "    "),
        Block::Table { head, rows } => {
            let cell = |spans: &Vec<Span>| clean(&text_of(spans));
            let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
            aligned(&head.iter().map(cell).collect::<Vec<_>>(), &rows)
        }
        Block::Rule => "----".to_owned(),
    }
}

fn indent(text: &str, first: &str, others: &str) -> String {
    let line = |(at, line): (usize, &str)| format!("{}{line}", if at == 0 { first } else { others });
    // A text without lines still has its mark.
    if text.is_empty() {
        return first.trim_end().to_owned();
    }
    text.lines().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

/// A table in columns as wide as what stands in them.
pub(super) fn aligned(columns: &[String], rows: &[Vec<String>]) -> String {
    let flat = |text: &String| super::fit::one_line(text);
    let table: Vec<Vec<String>> = std::iter::once(columns)
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| row.iter().map(flat).collect())
        .collect();
    let count = table.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| table.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            line.push_str(cell);
            line.push_str(&" ".repeat(widths[at] - cell.width() + 2));
        }
        line.truncate(line.trim_end().len());
        line
    };
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  ");
    let mut lines: Vec<String> = table.iter().map(line).collect();
    lines.insert(1.min(lines.len()), rule);
    lines.join("\n")
}

/// How far something has come, in one line.
pub(super) fn progress(label: &str, step: u32, total: u32, state: ProgressState) -> String {
    const CELLS: u64 = 12;
    let filled = (u64::from(step.min(total)) * CELLS).checked_div(u64::from(total)).unwrap_or(0) as usize;
    let bar = format!("{}{}", "█".repeat(filled), "░".repeat(CELLS as usize - filled));
    let mark = match state {
        ProgressState::Running => "",
        ProgressState::Done => " ✓",
        ProgressState::Failed => " ✗",
    };
    let label = super::fit::one_line(label);
    let space = if label.is_empty() { "" } else { " " };
    format!("{label}{space}{bar} {step}/{total}{mark}")
}

/// What stands for a tone where there is no colour.
fn tone(tone: Tone, look: Look) -> String {
    let (word, colour) = match tone {
        Tone::Info => ("[INFO]", 34),
        Tone::Success => ("[OK]", 32),
        Tone::Warning => ("[WARNING]", 33),
        Tone::Error => ("[ERROR]", 31),
        Tone::Question => ("[?]", 35),
    };
    if look.ansi { format!("\x1b[{colour}m{word}\x1b[39m ") } else { format!("{word} ") }
}

/// The whole message. What can be done is numbered in the order of [`numbered`].
pub fn text(message: &Message, place: &Place<'_>, look: Look) -> String {
    let marks: &dyn Marks = if look.ansi { &Ansi } else { &Bare };
    let markdown = |text: &str| write_blocks(&parse(text), marks, place, "\n\n");
    let inline = |text: &str| write(&parse_inline(text), marks, place);
    let strong = |text: &str| {
        let [(open, close), ..] = marks.marks();
        format!("{open}{}{close}", clean(&super::fit::one_line(text)))
    };
    let mut out: Vec<String> = Vec::new();
    let prefix = message.tone.map(|word| tone(word, look)).unwrap_or_default();
    match &message.title {
        Some(title) => out.extend([format!("{prefix}{}", strong(title)), markdown(&message.text)]),
        None => out.push(format!("{prefix}{}", markdown(&message.text))),
    }
    for part in &message.parts {
        out.push(match part {
            Part::Markdown { text } => markdown(text),
            Part::Fields { fields } => {
                let line = |field: &Field| format!("{}: {}", inline(&field.name), inline(&field.value));
                fields.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            Part::Table { columns, rows } => {
                let cell = |text: &String| clean(&text_of(&parse_inline(text)));
                let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
                aligned(&columns.iter().map(cell).collect::<Vec<_>>(), &rows)
            }
            Part::Code { text, .. } => indent(&clean(text), "    ", "    "),
            Part::List { items } => {
                let items = items.iter().map(|item| parse(item)).collect();
                write_block(&Block::List { start: None, items }, marks, place)
            }
            Part::Quote { text } => write_block(&Block::Quote(parse(text)), marks, place),
            Part::Image { url, alt } => match place.address(url) {
                Some(address) => format!("[{}] {address}", if alt.is_empty() { "picture".into() } else { clean(alt) }),
                None => format!("[{}]", clean(alt)),
            },
            Part::Context { texts } => texts.iter().map(|text| inline(text)).collect::<Vec<_>>().join(" · "),
            Part::Collapsible { title, text } => format!("{}\n{}", strong(title), markdown(text)),
            Part::Progress { label, step, total, state } => progress(&clean(label), *step, *total, *state),
            Part::Divider => "----".to_owned(),
        });
    }
    if !message.files.is_empty() {
        out.push(
            message.files.iter().map(|file| format!("[file] {}", clean(&file.name))).collect::<Vec<_>>().join("\n"),
        );
    }
    if !message.suggestions.is_empty() {
        let say = message.suggestions.iter().map(|text| clean(text)).collect::<Vec<_>>().join(" · ");
        out.push(format!("Try: {say}"));
    }
    if let Some(form) = &message.form {
        out.push(form_words(form).to_owned());
    }
    let actions = numbered(message).into_iter().enumerate().map(|(at, entry)| match entry {
        Numbered::Press { label, danger, .. } => {
            format!("{}. {}{}", look.numbered + at + 1, clean(label), if danger { " (!)" } else { "" })
        }
        Numbered::Choose { label, choice, .. } => {
            format!("{}. {}: {}", look.numbered + at + 1, clean(label), clean(choice))
        }
        Numbered::Day { label, .. } => {
            format!("{}. {} (a day, such as 2026-11-23)", look.numbered + at + 1, clean(label))
        }
        Numbered::Fill => format!("{}. Fill in", look.numbered + at + 1),
    });
    let mut actions: Vec<String> = actions.collect();
    for action in &message.actions {
        match action {
            Action::Link { label, url } => {
                if let Some(address) = place.address(url) {
                    actions.push(format!("{}: {address}", clean(label)));
                }
            }
            taken => {
                if let Some(used) = taken.life().and_then(|life| life.used.as_ref()).filter(|used| used.chosen) {
                    actions.push(format!("✓ {} · {}", clean(taken.label()), clean(&used.by)));
                }
            }
        }
    }
    out.push(actions.join("\n"));
    out.retain(|text| !text.is_empty());
    out.join("\n\n")
}

/// What a form says of itself where it cannot be shown.
pub(super) fn form_words(form: &Form) -> &'static str {
    match form.state {
        FormState::Open => "",
        FormState::Submitted => "✓ Sent",
        FormState::Cancelled => "Cancelled",
        FormState::Expired => "Expired",
    }
}

/// One thing to do that a reader chooses by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbered<'m> {
    /// Takes no value.
    Press { id: &'m str, label: &'m str, danger: bool, confirm: Option<&'m str> },
    /// Takes this value.
    Choose { id: &'m str, label: &'m str, choice: &'m str, value: &'m str },
    /// Takes a day.
    Day { id: &'m str, label: &'m str },
    /// The message's form.
    Fill,
}

/// What can be done at a message right now, in the order of its numbers.
pub fn numbered(message: &Message) -> Vec<Numbered<'_>> {
    let mut out = Vec::new();
    if let Some(form) = message.form.as_ref().filter(|form| form.state == FormState::Open) {
        out.push(Numbered::Fill);
        out.push(Numbered::Press { id: &form.cancel_id, label: "Cancel", danger: false, confirm: None });
    }
    for action in message.actions.iter().filter(|action| action.life().is_none_or(|life| life.used.is_none())) {
        match action {
            Action::Button { id, label, style, confirm, .. } => {
                let danger = *style == Style::Danger;
                out.push(Numbered::Press { id, label, danger, confirm: confirm.as_deref() });
            }
            Action::Select { id, label, options, .. } => {
                out.extend(options.iter().map(|option| Numbered::Choose {
                    id,
                    label,
                    choice: &option.label,
                    value: &option.value,
                }));
            }
            Action::Date { id, label, .. } => out.push(Numbered::Day { id, label }),
            Action::Link { .. } => {}
        }
    }
    out
}
