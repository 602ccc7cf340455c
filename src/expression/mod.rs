//! Floor 1: expressions over JSON, pure and bounded.
//!
//! `${{ steps.ask.output.count + 1 }}` is a typed expression: alone in a string its result keeps its JSON type, beside
//! other text it becomes text. The grammar is Jinja's for expressions, without statements; a name that is not there is an
//! error. An expression is at most [`LONGEST`] bytes long and has [`FUEL`] to burn, which bounds its time and its memory.
//!
//! [`Expression`] is one expression, [`Text`] a string with any number of them, [`Shape`] a whole JSON value of such
//! strings. Each is compiled once, where a fault can name its place, and evaluated with a [`Context`] of named values.
//! [`Evaluator`] evaluates what documents keep as they were written, at one moment: there `now()` has a value.

mod evaluator;
mod shape;
mod text;
mod time;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

pub use evaluator::{Evaluator, FUNCTIONS, Scope};
pub use shape::{Shape, ShapeFault};
pub use text::{Piece, Text, in_words, is_template, pieces, whole};

/// The longest source of one expression, in bytes.
pub const LONGEST: usize = 4096;

/// What one evaluation may burn: a unit for each step, and one for each 64 bytes it makes or looks through.
pub const FUEL: u64 = 50_000;

/// The largest result: its texts in bytes, and 32 for each value.
const ROOM: usize = 8 * 1024 * 1024;

/// How deep a result may be nested.
const DEEPEST: usize = 100;

/// What is wrong with a source, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The byte in the text at which the faulty expression begins.
    pub offset: usize,
    pub message: String,
}

/// Why an expression has no value: what it was, and one sentence. Neither holds values of the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub expression: String,
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in ${{{{ {} }}}}", self.message, self.expression)
    }
}

impl std::error::Error for Failure {}

/// The values that an expression can name.
#[derive(Clone, Debug, Default)]
pub struct Context {
    names: BTreeMap<String, minijinja::Value>,
}

impl Context {
    pub fn new() -> Self {
        Self::default()
    }

    /// The members of a JSON object; anything else is no name at all.
    pub fn of(object: &Value) -> Self {
        let mut context = Self::new();
        for (name, value) in object.as_object().into_iter().flatten() {
            context.set(name, value);
        }
        context
    }

    pub fn set(&mut self, name: &str, value: &Value) {
        self.names.insert(name.to_owned(), minijinja::Value::from(Serde(value)));
    }

    pub fn with(mut self, name: &str, value: &Value) -> Self {
        self.set(name, value);
        self
    }
}

/// No templates, no loader: only what makes values from values.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    // They print what is around them, or mark text for a markup that is not written here.
    for name in ["safe", "escape", "e", "pprint"] {
        environment.remove_filter(name);
    }
    for name in ["debug", "namespace"] {
        environment.remove_global(name);
    }
    environment.add_filter("fromjson", from_json);
    environment.add_filter("base64", |text: &str| base64_of(text));
    environment.add_filter("urlencode", |text: &str| percent_encoded(text));
    environment
}

fn from_json(text: &str) -> Result<minijinja::Value, minijinja::Error> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, format!("this is no JSON: {error}")))?;
    Ok(minijinja::Value::from(Serde(value)))
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Everything but letters, digits and `-_.~`: one segment of a path, one value of a query.
pub fn percent_encoded(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// One expression, compiled.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    compiled: Arc<minijinja::Expression<'static, 'static>>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.source)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Expression {
    /// Compiles what stands between the braces, or an expression that was written without any.
    pub fn compile(source: &str) -> Result<Self, Fault> {
        let source = source.trim();
        let has_size = !source.is_empty() && source.len() <= LONGEST;
        Self::parse(source).map_err(|why| {
            let message = if has_size { format!("this is no expression: {why}") } else { why };
            Fault { offset: 0, message }
        })
    }

    fn parse(source: &str) -> Result<Self, String> {
        if source.is_empty() {
            return Err("the expression is empty".to_owned());
        }
        if source.len() > LONGEST {
            return Err(format!("an expression has at most {LONGEST} bytes"));
        }
        match ENVIRONMENT.compile_expression_owned(source.to_owned()) {
            Ok(compiled) => Ok(Self { source: source.into(), compiled: Arc::new(compiled) }),
            Err(error) => Err(words(&error)),
        }
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names it takes from the context, dotted as far as they are written plainly, such as `steps.ask.output`.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.compiled.undeclared_variables(true).into_iter().collect();
        names.sort();
        names
    }

    /// The value, with its JSON type.
    pub fn evaluate(&self, context: &Context) -> Result<Value, Failure> {
        self.evaluate_if_there(context)?.ok_or_else(|| self.failure("this is not there".to_owned()))
    }

    /// The value, or `None` when it names something that is not there.
    pub fn evaluate_if_there(&self, context: &Context) -> Result<Option<Value>, Failure> {
        match self.value(minijinja::Value::from_pairs(context.names.clone())) {
            Ok(value) => Ok(Some(value)),
            Err(Without::Undefined(_)) => Ok(None),
            Err(Without::Failed(message)) => Err(self.failure(message)),
        }
    }

    fn value(&self, context: minijinja::Value) -> Result<Value, Without> {
        match self.compiled.eval(context) {
            Ok(value) if value.is_undefined() => Err(Without::Undefined(None)),
            Ok(value) => json(&value, &mut { ROOM }, 0).map_err(Without::Failed),
            Err(error) if error.kind() == ErrorKind::UndefinedError => {
                let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
                Err(Without::Undefined(Some(what)))
            }
            Err(error) => Err(Without::Failed(words(&error))),
        }
    }

    /// Whether it holds. Only true and false decide: a text is no condition.
    pub fn holds(&self, context: &Context) -> Result<bool, Failure> {
        match self.evaluate(context)? {
            Value::Bool(holds) => Ok(holds),
            _ => Err(self.failure("a condition is true or false".to_owned())),
        }
    }

    fn failure(&self, message: String) -> Failure {
        Failure { expression: self.source.to_string(), message }
    }
}

/// Why there is no value.
enum Without {
    /// It names something that is not there; in the library's words when that is inside of it.
    Undefined(Option<String>),
    Failed(String),
}

/// A value as JSON. What an operator or a filter leaves may be a list that is only made while it is read, longer than any
/// fuel would pay for.
fn json(value: &minijinja::Value, room: &mut usize, depth: usize) -> Result<Value, String> {
    let mut take = |size: usize| match room.checked_sub(size) {
        Some(rest) => {
            *room = rest;
            Ok(())
        }
        None => Err("the result is larger than it may be".to_owned()),
    };
    if depth > DEEPEST {
        return Err("the result is nested deeper than it may be".to_owned());
    }
    take(32 + value.as_str().map_or(0, str::len))?;
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Value::Null),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|error| words(&error))?;
            items.map(|item| json(&item, room, depth + 1)).collect()
        }
        ValueKind::Map => {
            let mut map = serde_json::Map::new();
            for key in value.try_iter().map_err(|error| words(&error))? {
                let member = value.get_item(&key).map_err(|error| words(&error))?;
                let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                map.insert(name, json(&member, room, depth + 1)?);
            }
            Ok(Value::Object(map))
        }
        ValueKind::Bool | ValueKind::Number | ValueKind::String => {
            serde_json::to_value(value).map_err(|_| NO_JSON.to_owned())
        }
        _ => Err(NO_JSON.to_owned()),
    }
}

const NO_JSON: &str = "the result is no JSON";

/// The library's error in our words, without values of the context.
fn words(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.kind() {
        ErrorKind::OutOfFuel => "the expression takes too long".to_owned(),
        ErrorKind::UndefinedError => "this is not there".to_owned(),
        _ => detail,
    }
}

#[cfg(test)]
mod tests;
