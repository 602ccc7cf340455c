//! Slack's own markup, and Slack's blocks of rich text where that markup cannot say it exactly.
//!
//! mrkdwn has no escapes for its marks: a `*` that is meant as one cannot be written so that Slack is sure to leave it.
//! So a text is written as mrkdwn only where that is exact, and as rich text, which Slack never reads for marks,
//! everywhere else.

use serde_json::{Value, json};

use super::Place;
use super::fit::length;
use super::markup::{Block, Marks, Span, Style, text_of, write};

/// The characters that Slack reads outside code and inside it alike.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

struct Mrkdwn;

impl Marks for Mrkdwn {
    fn text(&self, text: &str, _: bool) -> String {
        escape(text)
    }

    fn code(&self, text: &str) -> String {
        format!("`{}`", escape(text))
    }

    fn link(&self, label: &str, address: &str) -> String {
        let address = address.replace('|', "%7C").replace('<', "%3C").replace('>', "%3E");
        format!("<{}|{label}>", escape(&address))
    }

    fn marks(&self) -> [(&'static str, &'static str); 3] {
        [("*", "*"), ("_", "_"), ("~", "~")]
    }
}

/// Spans as mrkdwn, when that says exactly what they say.
pub(super) fn spans(spans: &[Span], place: &Place<'_>) -> Option<String> {
    let mut before: Option<&Span> = None;
    let mut starts_line = true;
    for span in spans {
        if !is_exact(span, starts_line) || !joins(before, span) {
            return None;
        }
        starts_line = span.text.ends_with('\n');
        before = Some(span);
    }
    joins(before, &Span::default()).then(|| write(spans, &Mrkdwn, place))
}

/// Whether nothing in the text of a span would be read as a mark.
fn is_exact(span: &Span, starts_line: bool) -> bool {
    let text = &span.text;
    if span.style != Style::default() || span.link.is_some() {
        let is_edged = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
        if text.contains('\n') || text.is_empty() || (is_edged && span.link.is_none()) {
            return false;
        }
    }
    if span.link.is_some() && span.style != Style::default() {
        return false;
    }
    if span.style.code {
        return !text.contains('`');
    }
    if text.contains(['*', '~', '`']) {
        return false;
    }
    // An underscore within a word is left alone.
    let characters: Vec<char> = text.chars().collect();
    let is_word = |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|c| c.is_alphanumeric());
    let is_mark = |at: usize| characters[at] == '_' && !(is_word(at.checked_sub(1)) && is_word(Some(at + 1)));
    if (0..characters.len()).any(is_mark) {
        return false;
    }
    let quotes = |line: &str| line.trim_start().starts_with('>');
    !text.split('\n').enumerate().any(|(at, line)| (at > 0 || starts_line) && quotes(line))
}

/// Whether Slack sees the marks between two spans: an opening one needs no word before it, a closing one none after it.
fn joins(before: Option<&Span>, span: &Span) -> bool {
    let Some(before) = before else { return true };
    let set = |style: Style| [style.bold, style.italic, style.strike, style.code];
    let (old, new) = (set(before.style), set(span.style));
    let opens = (0..4).any(|at| new[at] && !old[at]);
    let closes = (0..4).any(|at| old[at] && !new[at]);
    let word_before = before.text.chars().next_back().is_some_and(char::is_alphanumeric);
    let word_after = span.text.chars().next().is_some_and(char::is_alphanumeric);
    // Marks that meet, as in `*a*_b_`, are not told apart either.
    !(opens && word_before || closes && word_after || opens && closes)
}

/// A block as mrkdwn, when that is exact.
pub(super) fn block(block: &Block, place: &Place<'_>) -> Option<String> {
    match block {
        Block::Paragraph(inner) => spans(inner, place),
        Block::Heading(inner) => spans(&bold(inner), place),
        Block::Quote(blocks) => {
            let inner = blocks.iter().map(|inner| self::block(inner, place)).collect::<Option<Vec<_>>>()?.join("\n");
            // Quotes do not stand in quotes, and a fence would swallow the marks.
            let is_simple = !inner.contains("```") && !inner.lines().any(|line| line.starts_with('>'));
            is_simple.then(|| inner.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n"))
        }
        Block::List { start, items } => list(*start, items, place),
        Block::Code { text, .. } => (!text.contains("```")).then(|| format!("```\n{}\n```", escape(text))),
        Block::Table { .. } | Block::Rule => None,
    }
}

fn list(start: Option<u64>, items: &[Vec<Block>], place: &Place<'_>) -> Option<String> {
    let mut lines = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let mark = start.map_or_else(|| "•".to_owned(), |start| format!("{}.", start + number as u64));
        let inner = item.iter().map(|inner| block(inner, place)).collect::<Option<Vec<_>>>()?.join("\n");
        if inner.contains("```") || inner.lines().any(|line| line.starts_with('>')) {
            return None;
        }
        for (at, line) in inner.lines().enumerate() {
            lines.push(if at == 0 { format!("{mark} {line}") } else { format!("    {line}") });
        }
    }
    Some(lines.join("\n"))
}

fn bold(spans: &[Span]) -> Vec<Span> {
    let bold = |span: &Span| Span { style: Style { bold: !span.style.code, ..span.style }, ..span.clone() };
    spans.iter().map(bold).collect()
}

/// A block as elements of a `rich_text` block.
pub(super) fn rich(block: &Block, place: &Place<'_>) -> Vec<Value> {
    match block {
        Block::Paragraph(spans) => section(spans, place),
        Block::Heading(spans) => section(&bold(spans), place),
        Block::Quote(blocks) => {
            let elements = inline(blocks, place);
            if elements.is_empty() {
                Vec::new()
            } else {
                vec![json!({ "type": "rich_text_quote", "elements": elements })]
            }
        }
        Block::List { start, items } => {
            let mut out = Vec::new();
            rich_list(*start, items, 0, place, &mut out);
            out
        }
        Block::Code { text, .. } => preformatted(text),
        Block::Table { .. } => preformatted(&super::plain::blocks(std::slice::from_ref(block), place)),
        Block::Rule => Vec::new(),
    }
}

pub(super) fn preformatted(text: &str) -> Vec<Value> {
    let text = if text.is_empty() { " " } else { text };
    vec![json!({ "type": "rich_text_preformatted", "elements": [{ "type": "text", "text": text }] })]
}

fn section(spans: &[Span], place: &Place<'_>) -> Vec<Value> {
    let elements = rich_spans(spans, place);
    if elements.is_empty() { Vec::new() } else { vec![json!({ "type": "rich_text_section", "elements": elements })] }
}

/// Everything in blocks as one run of elements, one block a line.
fn inline(blocks: &[Block], place: &Place<'_>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for block in blocks {
        if !out.is_empty() {
            out.push(json!({ "type": "text", "text": "\n" }));
        }
        match block {
            Block::Paragraph(spans) => out.extend(rich_spans(spans, place)),
            Block::Heading(spans) => out.extend(rich_spans(&bold(spans), place)),
            other => {
                let text = super::plain::blocks(std::slice::from_ref(other), place);
                let style = Style { code: matches!(other, Block::Code { .. }), ..Style::default() };
                out.extend(rich_spans(&[Span { text, style, link: None }], place));
            }
        }
    }
    out
}

fn rich_list(start: Option<u64>, items: &[Vec<Block>], depth: usize, place: &Place<'_>, out: &mut Vec<Value>) {
    let mut number = 0;
    let mut elements: Vec<Value> = Vec::new();
    let give = |elements: &mut Vec<Value>, number: usize, out: &mut Vec<Value>| {
        if elements.is_empty() {
            return;
        }
        let mut list = json!({
            "type": "rich_text_list",
            "style": if start.is_some() { "ordered" } else { "bullet" },
            "indent": depth.min(8),
            "elements": std::mem::take(elements),
        });
        let first = start.unwrap_or(1) as usize + number;
        if start.is_some() && first > 1 {
            list["offset"] = json!(first - 1);
        }
        out.push(list);
    };
    let mut first = 0;
    for item in items {
        let (lists, texts): (Vec<&Block>, Vec<&Block>) =
            item.iter().partition(|block| matches!(block, Block::List { .. }));
        let texts: Vec<Block> = texts.into_iter().cloned().collect();
        let mut inner = inline(&texts, place);
        if inner.is_empty() {
            inner.push(json!({ "type": "text", "text": " " }));
        }
        elements.push(json!({ "type": "rich_text_section", "elements": inner }));
        number += 1;
        if !lists.is_empty() {
            give(&mut elements, first, out);
            first = number;
        }
        for nested in lists {
            if let Block::List { start, items } = nested {
                rich_list(*start, items, depth + 1, place, out);
            }
        }
    }
    give(&mut elements, first, out);
}

/// Spans as elements of rich text.
pub(super) fn rich_spans(spans: &[Span], place: &Place<'_>) -> Vec<Value> {
    let element = |span: &Span| {
        let mut element = match span.link.as_deref().and_then(|url| place.address(url)) {
            Some(url) => json!({ "type": "link", "url": url, "text": span.text }),
            None => json!({ "type": "text", "text": span.text }),
        };
        let Style { bold, italic, strike, code } = span.style;
        if span.style != Style::default() {
            let set = [("bold", bold), ("italic", italic), ("strike", strike), ("code", code)];
            let set = set.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name.to_owned(), Value::Bool(true)));
            element["style"] = set.collect();
        }
        element
    };
    spans.iter().filter(|span| !span.text.is_empty()).map(element).collect()
}

/// How long a block becomes, at most.
pub(super) fn measure(block: &Block, place: &Place<'_>) -> usize {
    match self::block(block, place) {
        Some(text) => length(&text),
        None => rich(block, place).iter().map(text_size).sum(),
    }
}

/// A text object for fields and small print: mrkdwn where it is exact, else plain text; whether it was cut.
pub(super) fn object(spans: &[Span], max: usize, place: &Place<'_>) -> (Value, bool) {
    if let Some(text) = self::spans(spans, place).filter(|text| length(text) <= max && !text.is_empty()) {
        return (json!({ "type": "mrkdwn", "text": text, "verbatim": true }), false);
    }
    let text = text_of(spans);
    let shown = super::fit::cut(&text, max);
    let is_cut = shown != text;
    (plain_text(&shown), is_cut)
}

/// Plain text, which must not be empty.
pub(super) fn plain_text(text: &str) -> Value {
    json!({ "type": "plain_text", "text": if text.is_empty() { " " } else { text } })
}

/// How much text a block holds, addresses and values included.
pub(super) fn text_size(value: &Value) -> usize {
    match value {
        Value::String(text) => length(text),
        Value::Array(items) => items.iter().map(text_size).sum(),
        Value::Object(map) => map.iter().filter(|(key, _)| *key != "type").map(|(_, value)| text_size(value)).sum(),
        _ => 0,
    }
}
