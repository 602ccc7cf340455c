//! Discord's own Markdown.

use super::Place;
use super::markup::{Block, Marks, Span, text_of, write};
use super::plain;

/// Parts what Discord would otherwise read together; it has no width.
const GAP: &str = "\u{200b}";

struct Markdown;

impl Marks for Markdown {
    fn text(&self, text: &str, at_line_start: bool) -> String {
        escape(text, at_line_start)
    }

    fn code(&self, text: &str) -> String {
        let text = plain::clean(text);
        // Two marks with nothing between them would open code.
        if text.is_empty() {
            return text;
        }
        if !text.contains('`') {
            return format!("`{text}`");
        }
        format!("`` {} ``", parted(&text))
    }

    fn link(&self, label: &str, address: &str) -> String {
        let address = address.replace('<', "%3C").replace('>', "%3E").replace('(', "%28").replace(')', "%29");
        format!("[{label}](<{address}>)")
    }

    fn between(&self) -> &'static str {
        GAP
    }

    fn marks(&self) -> [(&'static str, &'static str); 3] {
        [("**", "**"), ("*", "*"), ("~~", "~~")]
    }
}

/// Backticks that do not end code: no two stand together.
fn parted(text: &str) -> String {
    text.replace('`', &format!("`{GAP}"))
}

/// Text that Discord shows as it is: nothing in it is markup, an address or a mention.
pub(super) fn escape(text: &str, at_line_start: bool) -> String {
    let text = plain::clean(text);
    let mut out = String::with_capacity(text.len() + 8);
    let mut starts_line = at_line_start;
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match c {
            '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']' => out.extend(['\\', c]),
            // An address is one only with its colon.
            ':' if after.starts_with("//") => out.push_str("\\:"),
            '#' | '-' | '+' if starts_line => out.extend(['\\', c]),
            '.' | ')' if starts_line && ends_with_number(&out) => out.extend(['\\', c]),
            '@' if after.starts_with("everyone") || after.starts_with("here") => {
                out.push(c);
                out.push_str(GAP);
            }
            _ => out.push(c),
        }
        // Blanks and numbers leave a line at its start.
        starts_line = c == '\n' || (starts_line && (c.is_whitespace() || c.is_ascii_digit()));
        rest = after;
    }
    out
}

fn ends_with_number(out: &str) -> bool {
    out.bytes().next_back().is_some_and(|b| b.is_ascii_digit())
}

pub(super) fn spans(spans: &[Span], place: &Place<'_>) -> String {
    write(spans, &Markdown, place)
}

pub(super) fn block(block: &Block, place: &Place<'_>) -> String {
    match block {
        Block::Paragraph(inner) => spans(inner, place),
        Block::Heading(inner) => format!("### {}", spans(inner, place).replace('\n', " ")),
        Block::Quote(blocks) => {
            let inner = joined(blocks, place, "\n");
            inner.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n")
        }
        Block::List { start, items } => {
            let item = |(number, item): (usize, &Vec<Block>)| {
                let mark = start.map_or_else(|| "- ".to_owned(), |start| format!("{}. ", start + number as u64));
                let inner = joined(item, place, "\n");
                let indent = " ".repeat(mark.len());
                let line = |(at, line): (usize, &str)| format!("{}{line}", if at == 0 { &mark } else { &indent });
                if inner.is_empty() {
                    mark.clone()
                } else {
                    inner.lines().enumerate().map(line).collect::<Vec<_>>().join("\n")
                }
            };
            items.iter().enumerate().map(item).collect::<Vec<_>>().join("\n")
        }
        Block::Code { lang, text } => fence(lang, text),
        Block::Table { head, rows } => {
            let cell = |spans: &Vec<Span>| text_of(spans);
            let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
            fence("", &plain::aligned(&head.iter().map(cell).collect::<Vec<_>>(), &rows))
        }
        Block::Rule => "─".repeat(16),
    }
}

pub(super) fn joined(blocks: &[Block], place: &Place<'_>, between: &str) -> String {
    blocks.iter().map(|inner| block(inner, place)).collect::<Vec<_>>().join(between)
}

fn fence(lang: &str, text: &str) -> String {
    let is_word = !lang.is_empty() && lang.len() <= 20 && lang.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
    let text = plain::clean(text);
    let text = if text.contains("```") { parted(&text) } else { text };
    format!("```{}\n{text}\n```", if is_word { lang } else { "" })
}
