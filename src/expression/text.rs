//! A string with expressions in it.

use std::ops::Range;

use serde_json::Value;

use super::{Context, Expression, Failure, Fault};

/// What opens an expression in a text; `}}` closes it.
const OPENING: &str = "${{";

/// A piece of a text as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(&'a str),
    /// The inside of `${{ }}`, and where it stands in the text, in bytes.
    Expression(&'a str, Range<usize>),
}

/// Takes a text apart; the error is the byte where an expression begins that does not end.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, usize> {
    apart(text, OPENING, false)
}

/// The expression that a text is as a whole.
pub fn whole(text: &str) -> Option<&str> {
    match pieces(text.trim()).ok()?.as_slice() {
        [Piece::Expression(expression, _)] => Some(expression),
        _ => None,
    }
}

/// Whether anything in a text is an expression.
pub fn is_template(text: &str) -> bool {
    text.contains(OPENING)
}

/// `escapes`: a `$` before it makes the opening a text like any other.
fn apart<'a>(text: &'a str, opening: &str, escapes: bool) -> Result<Vec<Piece<'a>>, usize> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(opening) {
        let begin = at + found;
        let inside = begin + opening.len();
        if escapes && begin > at && text[..begin].ends_with('$') {
            pieces.extend([Piece::Text(&text[at..begin - 1]), Piece::Text(&text[begin..inside])]);
            at = inside;
            continue;
        }
        if begin > at {
            pieces.push(Piece::Text(&text[at..begin]));
        }
        let length = closing(&text[inside..]).ok_or(begin)?;
        at = inside + length + 2;
        pieces.push(Piece::Expression(text[inside..inside + length].trim(), begin..at));
    }
    if at < text.len() || pieces.is_empty() {
        pieces.push(Piece::Text(&text[at..]));
    }
    Ok(pieces)
}

/// A string, compiled: plain text and expressions in turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Plain(String),
    Expression(Expression),
}

/// How text shows a value: text as it is, nothing for null, anything else as JSON.
pub fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl Text {
    /// A text without expressions, whatever is in it.
    pub fn plain(text: &str) -> Self {
        Self { parts: vec![Part::Plain(text.to_owned())] }
    }

    /// Compiles a string with `${{ … }}` in it; `$${{` stands for the braces themselves.
    pub fn compile(source: &str) -> Result<Self, Fault> {
        Self::compile_between(source, "${{")
    }

    /// Compiles a string with `{{ … }}` in it, as paths and headers of connectors are written.
    pub fn compile_braces(source: &str) -> Result<Self, Fault> {
        Self::compile_between(source, "{{")
    }

    fn compile_between(source: &str, opening: &str) -> Result<Self, Fault> {
        let unclosed = |offset| Fault { offset, message: format!("{opening} is never closed by }}}}") };
        let mut parts = Vec::new();
        let mut plain = String::new();
        for piece in apart(source, opening, opening == OPENING).map_err(unclosed)? {
            match piece {
                Piece::Text(text) => plain.push_str(text),
                Piece::Expression(inside, range) => {
                    let expression = Expression::compile(inside);
                    let expression = expression.map_err(|fault| Fault { offset: range.start, ..fault })?;
                    if !plain.is_empty() {
                        parts.push(Part::Plain(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Expression(expression));
                }
            }
        }
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Plain(plain));
        }
        Ok(Self { parts })
    }

    /// The text when nothing in it is evaluated.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Plain(text)] => Some(text),
            _ => None,
        }
    }

    /// The expression when there is nothing beside it.
    pub fn sole(&self) -> Option<&Expression> {
        match self.parts.as_slice() {
            [Part::Expression(expression)] => Some(expression),
            _ => None,
        }
    }

    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|piece| match piece {
            Part::Expression(expression) => Some(expression),
            Part::Plain(_) => None,
        })
    }

    /// The value: of a sole expression with its type, else text.
    pub fn evaluate(&self, context: &Context) -> Result<Value, Failure> {
        match self.sole() {
            Some(expression) => expression.evaluate(context),
            None => self.render(context, |text| text).map(Value::String),
        }
    }

    /// The text; every value that is put into it passes `escape` first.
    pub fn render(&self, context: &Context, escape: impl Fn(String) -> String) -> Result<String, Failure> {
        let mut text = String::new();
        for piece in &self.parts {
            match piece {
                Part::Plain(plain) => text.push_str(plain),
                Part::Expression(expression) => text.push_str(&escape(in_words(&expression.evaluate(context)?))),
            }
        }
        Ok(text)
    }
}

/// How far it is to the `}}` that closes an expression: not one in a string, not one that closes a map.
fn closing(source: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    let mut depth = 0usize;
    let bytes = source.as_bytes();
    for (at, byte) in bytes.iter().copied().enumerate() {
        match (quote, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (None, _) => {}
        }
    }
    None
}
