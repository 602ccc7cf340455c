//! A bot's Markdown as a tree: the subset of CommonMark that every chat can show.
//!
//! Emphasis is kept flat, as runs of text with a style, so that a text can be split anywhere. What looks like HTML is
//! the text it is.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A run of text in one style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// With `\n` where a line ends.
    pub text: String,
    pub style: Style,
    /// Where it leads, as written.
    pub link: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    pub bold: bool,
    pub italic: bool,
    pub strike: bool,
    pub code: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    Paragraph(Vec<Span>),
    Heading(Vec<Span>),
    List {
        /// The first number; none for a list with bullets.
        start: Option<u64>,
        items: Vec<Vec<Block>>,
    },
    Quote(Vec<Block>),
    Code {
        lang: String,
        text: String,
    },
    Table {
        head: Vec<Vec<Span>>,
        rows: Vec<Vec<Vec<Span>>>,
    },
    Rule,
}

/// Lists and quotes within each other; what is deeper stands at this depth.
const DEEPEST: usize = 8;

/// Reads Markdown. Every text is Markdown, so nothing fails.
pub fn parse(text: &str) -> Vec<Block> {
    let mut builder = Builder { frames: vec![Frame::Blocks(Vec::new())], ..Builder::default() };
    for event in Parser::new_ext(text, Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES) {
        builder.take(event);
    }
    builder.flush();
    match builder.frames.into_iter().next() {
        Some(Frame::Blocks(blocks)) => blocks,
        _ => Vec::new(),
    }
}

/// Reads Markdown that stands in one place, such as a cell: its text without paragraphs.
pub fn parse_inline(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    for block in parse(text) {
        if !spans.is_empty() {
            push(&mut spans, Span { text: "\n".to_owned(), ..Span::default() });
        }
        match block {
            Block::Paragraph(inner) | Block::Heading(inner) => spans.extend(inner),
            other => spans.extend(plain_spans(&[other])),
        }
    }
    spans
}

/// The text alone, as spans without style.
fn plain_spans(blocks: &[Block]) -> Vec<Span> {
    vec![Span { text: super::plain::blocks(blocks, &super::Place::default()), ..Span::default() }]
}

/// The text of spans, without style.
pub(super) fn text_of(spans: &[Span]) -> String {
    spans.iter().map(|span| span.text.as_str()).collect()
}

enum Frame {
    Blocks(Vec<Block>),
    Quote(Vec<Block>),
    List { start: Option<u64>, items: Vec<Vec<Block>> },
    Item(Vec<Block>),
}

/// The cells of one row of a table.
type Row = Vec<Vec<Span>>;

#[derive(Default)]
struct Builder {
    frames: Vec<Frame>,
    /// For each open container, whether it got a frame of its own.
    open: Vec<bool>,
    spans: Vec<Span>,
    bold: usize,
    italic: usize,
    strike: usize,
    links: Vec<String>,
    code: Option<(String, String)>,
    table: Option<(Row, Vec<Row>)>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => match &mut self.code {
                Some((_, code)) => code.push_str(&text),
                None => self.text(&text, false),
            },
            Event::Code(text) => self.text(&text, true),
            Event::SoftBreak | Event::HardBreak => self.text("\n", false),
            Event::Rule => self.block(Block::Rule),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text, false);
            }
            Event::TaskListMarker(done) => self.text(if done { "[x] " } else { "[ ] " }, false),
        }
    }

    fn text(&mut self, text: &str, code: bool) {
        let style = Style { bold: self.bold > 0, italic: self.italic > 0, strike: self.strike > 0, code };
        push(&mut self.spans, Span { text: text.to_owned(), style, link: self.links.last().cloned() });
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Emphasis => self.italic += 1,
            Tag::Strong => self.bold += 1,
            Tag::Strikethrough => self.strike += 1,
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.links.push(dest_url.into_string()),
            Tag::CodeBlock(kind) => {
                self.flush();
                let lang = match kind {
                    CodeBlockKind::Fenced(info) => info.split_whitespace().next().unwrap_or_default().to_owned(),
                    CodeBlockKind::Indented => String::new(),
                };
                self.code = Some((lang, String::new()));
            }
            Tag::BlockQuote(_) => self.open(Frame::Quote(Vec::new())),
            Tag::List(start) => self.open(Frame::List { start, items: Vec::new() }),
            // An item belongs to its list: where that got no frame, the item gets none.
            Tag::Item => match self.open.last() {
                Some(true) => self.open(Frame::Item(Vec::new())),
                _ => self.skip(),
            },
            Tag::Table(_) => {
                self.flush();
                self.table = Some((Vec::new(), Vec::new()));
            }
            Tag::TableRow => {
                if let Some((_, rows)) = &mut self.table {
                    rows.push(Vec::new());
                }
            }
            Tag::Paragraph | Tag::Heading { .. } | Tag::HtmlBlock => self.flush(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Emphasis => self.italic -= 1,
            TagEnd::Strong => self.bold -= 1,
            TagEnd::Strikethrough => self.strike -= 1,
            TagEnd::Link | TagEnd::Image => {
                let address = self.links.pop().unwrap_or_default();
                // A picture without a description still leads somewhere.
                if tag == TagEnd::Image && self.spans.last().is_none_or(|span| span.link.as_ref() != Some(&address)) {
                    push(&mut self.spans, Span { text: address.clone(), link: Some(address), ..Span::default() });
                }
            }
            TagEnd::CodeBlock => {
                if let Some((lang, mut text)) = self.code.take() {
                    text.truncate(text.trim_end_matches('\n').len());
                    self.block(Block::Code { lang, text });
                }
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => self.close(),
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.spans);
                if let Some((head, rows)) = &mut self.table {
                    rows.last_mut().unwrap_or(head).push(cell);
                }
            }
            TagEnd::Table => {
                if let Some((head, rows)) = self.table.take() {
                    self.block(Block::Table { head, rows });
                }
            }
            TagEnd::Heading(_) => {
                let spans = trimmed(std::mem::take(&mut self.spans));
                self.block(Block::Heading(spans));
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.flush(),
            _ => {}
        }
    }

    fn open(&mut self, frame: Frame) {
        self.flush();
        if self.frames.len() > DEEPEST * 2 {
            return self.skip();
        }
        self.frames.push(frame);
        self.open.push(true);
    }

    fn skip(&mut self) {
        self.flush();
        self.open.push(false);
    }

    fn close(&mut self) {
        self.flush();
        if self.open.pop() != Some(true) {
            return;
        }
        match self.frames.pop() {
            Some(Frame::Quote(blocks)) => self.block(Block::Quote(blocks)),
            Some(Frame::List { start, items }) => self.block(Block::List { start, items }),
            Some(Frame::Item(blocks)) => {
                if let Some(Frame::List { items, .. }) = self.frames.last_mut() {
                    items.push(blocks);
                }
            }
            Some(Frame::Blocks(_)) | None => {}
        }
    }

    /// Ends the paragraph that is being read.
    fn flush(&mut self) {
        let spans = trimmed(std::mem::take(&mut self.spans));
        if !spans.is_empty() {
            self.block(Block::Paragraph(spans));
        }
    }

    fn block(&mut self, block: Block) {
        match self.frames.last_mut() {
            Some(Frame::Blocks(blocks) | Frame::Quote(blocks) | Frame::Item(blocks)) => blocks.push(block),
            // Only items stand in a list.
            Some(Frame::List { items, .. }) => items.push(vec![block]),
            None => {}
        }
    }
}

/// Appends a span, joining it to the last one when they look alike.
fn push(spans: &mut Vec<Span>, span: Span) {
    match spans.last_mut() {
        Some(last) if last.style == span.style && last.link == span.link => last.text.push_str(&span.text),
        _ if span.text.is_empty() => {}
        _ => spans.push(span),
    }
}

/// Without blanks at its ends.
fn trimmed(mut spans: Vec<Span>) -> Vec<Span> {
    while let Some(last) = spans.last_mut().filter(|span| !span.style.code) {
        last.text.truncate(last.text.trim_end().len());
        if !last.text.is_empty() {
            break;
        }
        spans.pop();
    }
    while let Some(first) = spans.first_mut().filter(|span| !span.style.code) {
        first.text = first.text.trim_start().to_owned();
        if !first.text.is_empty() {
            break;
        }
        spans.remove(0);
    }
    spans
}

/// How a chat opens and closes a style or a link.
pub(super) trait Marks {
    /// Text as it is written outside code.
    fn text(&self, text: &str, at_line_start: bool) -> String;
    /// Text as it is written inside code, with its marks.
    fn code(&self, text: &str) -> String;
    fn link(&self, label: &str, address: &str) -> String;
    /// What parts a mark that closes from one that opens right after it.
    fn between(&self) -> &'static str {
        ""
    }
    /// What opens and what closes bold, italic and struck text.
    fn marks(&self) -> [(&'static str, &'static str); 3];
}

/// Writes spans with the marks of a chat; `place` decides which links may be followed.
pub(super) fn write(spans: &[Span], marks: &dyn Marks, place: &super::Place<'_>) -> String {
    let mut out = String::new();
    let mut rest = spans;
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|span| span.link == first.link).count();
        let (run, after) = rest.split_at(count);
        rest = after;
        match first.link.as_deref().and_then(|url| place.address(url)) {
            Some(address) => {
                let label = write_styled(run, marks, false);
                out.push_str(&marks.link(&label, &address));
            }
            None => {
                let at_line_start = out.is_empty() || out.ends_with('\n');
                out.push_str(&write_styled(run, marks, at_line_start));
            }
        }
    }
    out
}

fn write_styled(spans: &[Span], marks: &dyn Marks, at_line_start: bool) -> String {
    let mut out = String::new();
    // The open marks, outermost first.
    let mut open: Vec<(usize, (&'static str, &'static str))> = Vec::new();
    for span in spans {
        let Style { bold, italic, strike, .. } = span.style;
        let wanted = |kind: usize| [bold, italic, strike][kind];
        let mut between = "";
        while open.iter().any(|(kind, _)| !wanted(*kind)) {
            if let Some((_, (_, mark))) = open.pop() {
                out.push_str(mark);
                between = marks.between();
            }
        }
        for (kind, pair) in marks.marks().into_iter().enumerate() {
            if wanted(kind) && open.iter().all(|(other, _)| *other != kind) {
                out.push_str(std::mem::take(&mut between));
                out.push_str(pair.0);
                open.push((kind, pair));
            }
        }
        if span.style.code {
            out.push_str(&marks.code(&span.text));
        } else {
            let starts_line = (out.is_empty() && at_line_start) || out.ends_with('\n');
            out.push_str(&marks.text(&span.text, starts_line));
        }
    }
    for (_, (_, mark)) in open.into_iter().rev() {
        out.push_str(mark);
    }
    out
}
