//! A string with expressions in it.

use serde_json::Value;

use super::{Context, Expression, Failure, Fault};

/// A string, compiled: plain text and expressions in turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
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
        Self { pieces: vec![Piece::Plain(text.to_owned())] }
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
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut at = 0;
        while let Some(found) = source[at..].find(opening) {
            let begin = at + found;
            if opening.starts_with('$') && source[..begin].ends_with('$') && begin > at {
                plain.push_str(&source[at..begin - 1]);
                plain.push_str(opening);
                at = begin + opening.len();
                continue;
            }
            plain.push_str(&source[at..begin]);
            let inside = begin + opening.len();
            let fault = |message: String| Fault { offset: begin, message };
            let length =
                closing(&source[inside..]).ok_or_else(|| fault(format!("{opening} is never closed by }}}}")))?;
            let expression = Expression::compile(&source[inside..inside + length]);
            let expression = expression.map_err(|wrong| fault(wrong.message))?;
            if !plain.is_empty() {
                pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Expression(expression));
            at = inside + length + 2;
        }
        plain.push_str(&source[at..]);
        if !plain.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        Ok(Self { pieces })
    }

    /// The text when nothing in it is evaluated.
    pub fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Plain(text)] => Some(text),
            _ => None,
        }
    }

    /// The expression when there is nothing beside it.
    pub fn sole(&self) -> Option<&Expression> {
        match self.pieces.as_slice() {
            [Piece::Expression(expression)] => Some(expression),
            _ => None,
        }
    }

    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Expression(expression) => Some(expression),
            Piece::Plain(_) => None,
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
        for piece in &self.pieces {
            match piece {
                Piece::Plain(plain) => text.push_str(plain),
                Piece::Expression(expression) => text.push_str(&escape(in_words(&expression.evaluate(context)?))),
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
