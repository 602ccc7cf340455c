//! The first look at a template, before the parser sees it.
//!
//! The parser recurses, so whatever nests must be counted before it runs. The scan also refuses, with its exact place,
//! everything of handlebars that would let a value go round the escaping or pick its own template.

use super::fault::Fault;
use super::limit;

/// What the scan found out about one source.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Start and end offset of every tag, in order.
    pub(super) tags: Vec<(usize, usize)>,
    pub(super) includes: Vec<Include>,
    /// How deep its own blocks nest.
    pub(super) depth: usize,
}

/// A `{{> name}}`.
#[derive(Debug)]
pub(super) struct Include {
    pub(super) name: String,
    pub(super) offset: usize,
    /// How many blocks are open around it.
    pub(super) depth: usize,
}

struct OpenBlock<'a> {
    name: &'a str,
    offset: usize,
    /// 1, and one more for every `else if` in it, because those nest as well.
    weight: usize,
}

struct Scanner<'a> {
    source: &'a str,
    at: usize,
    open: Vec<OpenBlock<'a>>,
    depth: usize,
    scan: Scan,
    faults: Vec<Fault>,
}

/// Scans `source`; every fault is reported, not only the first.
pub(super) fn scan(source: &str) -> Result<Scan, Vec<Fault>> {
    if source.len() > limit::SOURCE_BYTES {
        return Err(vec![Fault::at(
            source,
            0,
            format!("the template is longer than {} KiB", limit::SOURCE_BYTES / 1024),
        )]);
    }
    let mut scanner = Scanner { source, at: 0, open: Vec::new(), depth: 0, scan: Scan::default(), faults: Vec::new() };
    while let Some(start) = scanner.next_tag() {
        if scanner.tag(start).is_none() {
            break;
        }
    }
    if scanner.faults.is_empty()
        && let Some(block) = scanner.open.last()
    {
        let message = format!("{{{{#{}}}}} is not closed", block.name);
        scanner.faults.push(Fault::at(source, block.offset, message));
    }
    if scanner.faults.is_empty() { Ok(scanner.scan) } else { Err(scanner.faults) }
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn fault(&mut self, offset: usize, message: impl Into<String>) {
        self.faults.push(Fault::at(self.source, offset, message));
    }

    /// Moves to the next `{{` that is not written as `\{{`.
    fn next_tag(&mut self) -> Option<usize> {
        loop {
            let start = self.at + self.rest().find("{{")?;
            let backslashes = self.source[self.at..start].bytes().rev().take_while(|b| *b == b'\\').count();
            if backslashes != 1 {
                self.at = start;
                return Some(start);
            }
            let escaped = if self.source[start..].starts_with("{{{{") { 4 } else { 2 };
            self.at = start + escaped;
        }
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Reads the tag at `start`; `None` when the end of it cannot be found.
    fn tag(&mut self, start: usize) -> Option<()> {
        if self.rest().starts_with("{{!") {
            return self.comment(start);
        }
        self.at += 2;
        if self.rest().starts_with('{') {
            self.fault(start, "text cannot be put in unescaped: write {{name}} with two braces");
            return None;
        }
        self.skip_blanks();
        if self.rest().starts_with('~') {
            self.at += 1;
            self.skip_blanks();
        }
        let sigil = self.rest().chars().next().filter(|c| matches!(c, '#' | '/' | '^' | '>' | '&' | '*' | '{'));
        if sigil.is_some() {
            self.at += 1;
            self.skip_blanks();
        }
        let decorated = sigil == Some('#') && self.rest().starts_with(['*', '>']);
        match sigil {
            Some('&' | '{') => {
                self.fault(start, "text cannot be put in unescaped: write {{name}} with two braces");
                return None;
            }
            _ if sigil == Some('*') || decorated => {
                self.fault(
                    start,
                    "a template cannot define or wrap other templates: put the part in replies/ and include it",
                );
                return None;
            }
            _ => {}
        }
        let head_at = self.at;
        let head = self.word();
        let has_more = self.content(start)?;
        self.scan.tags.push((start, self.at));
        match sigil {
            Some('#') => self.open_block(start, head),
            Some('/') => self.close_block(start, head),
            Some('>') => self.include(head_at, head),
            Some('^') => self.otherwise(start, !head.is_empty()),
            _ if head == "else" => self.otherwise(start, has_more),
            // The parser would read `elsewhere` as `else where`.
            _ if head.starts_with("else") => self.fault(head_at, "a name cannot begin with \"else\""),
            _ => {}
        }
        Some(())
    }

    fn comment(&mut self, start: usize) -> Option<()> {
        let body = &self.source[start + 3..];
        let long = body.strip_prefix("--").and_then(|rest| rest.find("--}}")).map(|at| 3 + 2 + at + 4);
        let Some(length) = long.or_else(|| body.find("}}").map(|at| 3 + at + 2)) else {
            self.fault(start, "the comment is not closed with }}");
            return None;
        };
        self.at = start + length;
        Some(())
    }

    /// The word at the current place: the helper, the name or the partial.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| {
                c.is_whitespace() || matches!(c, '}' | '{' | '~' | '(' | ')' | '"' | '\'' | '[' | '|' | '=')
            })
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Reads up to the end of the tag; says whether anything stood there.
    fn content(&mut self, start: usize) -> Option<bool> {
        let from = self.at;
        let mut parentheses = 0usize;
        while let Some(c) = self.rest().chars().next() {
            let here = self.at;
            if self.rest().starts_with("}}") {
                let more = !self.source[from..here].trim_matches(['~', ' ', '\t', '\n', '\r']).is_empty();
                self.at += 2;
                return Some(more);
            }
            self.at += c.len_utf8();
            match c {
                '"' | '\'' => {
                    let Some(length) = string_length(self.rest(), c) else {
                        self.fault(here, "the text in quotes is not closed");
                        return None;
                    };
                    self.at += length;
                }
                '[' => {
                    let plain = self
                        .rest()
                        .find([']', '[', '"', '\'', '{', '\n'])
                        .filter(|at| self.rest()[*at..].starts_with(']'));
                    let Some(length) = plain else {
                        self.fault(here, "a list cannot be written in a tag");
                        return None;
                    };
                    self.at += length + 1;
                }
                '(' => {
                    parentheses += 1;
                    if parentheses > limit::EXPRESSION_DEPTH {
                        self.fault(here, format!("parentheses nest deeper than {}", limit::EXPRESSION_DEPTH));
                        return None;
                    }
                }
                ')' => parentheses = parentheses.saturating_sub(1),
                '{' | '}' => {
                    self.fault(here, format!("\"{c}\" cannot stand in a tag"));
                    return None;
                }
                _ => {}
            }
        }
        self.fault(start, "the tag is not closed with }}");
        None
    }

    fn deeper(&mut self, offset: usize) {
        self.depth += 1;
        self.scan.depth = self.scan.depth.max(self.depth);
        if self.depth == limit::DEPTH + 1 {
            self.fault(offset, format!("blocks nest deeper than {}", limit::DEPTH));
        }
    }

    fn open_block(&mut self, offset: usize, name: &'a str) {
        self.deeper(offset);
        self.open.push(OpenBlock { name, offset, weight: 1 });
    }

    fn otherwise(&mut self, offset: usize, chained: bool) {
        if self.open.is_empty() {
            self.fault(offset, "{{else}} stands outside a block");
        } else if chained {
            self.deeper(offset);
            if let Some(block) = self.open.last_mut() {
                block.weight += 1;
            }
        }
    }

    fn close_block(&mut self, offset: usize, name: &str) {
        let Some(block) = self.open.pop() else {
            self.fault(offset, format!("{{{{/{name}}}}} closes nothing"));
            return;
        };
        self.depth -= block.weight;
        if block.name != name {
            let (line, column) = super::fault::position(self.source, block.offset);
            let message = format!("{{{{/{name}}}}} closes {{{{#{}}}}} of line {line}, column {column}", block.name);
            self.fault(offset, message);
        }
    }

    fn include(&mut self, offset: usize, name: &str) {
        let plain =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/'));
        if plain {
            self.scan.includes.push(Include { name: name.to_owned(), offset, depth: self.depth });
        } else {
            self.fault(offset, "a partial must be named as it is: {{> footer}}");
        }
    }
}

/// The length of a text in quotes, from behind its opening quote to behind its closing one.
fn string_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}
