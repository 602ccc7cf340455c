//! The helpers a template may use. The set is closed and reaches nothing outside the template's values.

use std::sync::LazyLock;

use handlebars::{
    BlockContext, BlockParams, Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext,
    RenderError, RenderErrorReason, Renderable, ScopedJson,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{Form, escape, limit};

/// One helper: its name, whether it stands as a block, and how many values it takes.
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) block: bool,
    pub(super) inline: bool,
    pub(super) least: usize,
    pub(super) most: usize,
}

const fn block(name: &'static str) -> Signature {
    Signature { name, block: true, inline: false, least: 1, most: 1 }
}

const fn test(name: &'static str, least: usize, most: usize) -> Signature {
    Signature { name, block: true, inline: true, least, most }
}

const fn value(name: &'static str, least: usize, most: usize) -> Signature {
    Signature { name, block: false, inline: true, least, most }
}

/// Every helper there is.
pub(super) const HELPERS: [Signature; 19] = [
    block("if"),
    block("unless"),
    block("each"),
    block("with"),
    test("eq", 2, 2),
    test("ne", 2, 2),
    test("gt", 2, 2),
    test("gte", 2, 2),
    test("lt", 2, 2),
    test("lte", 2, 2),
    test("and", 1, usize::MAX),
    test("or", 1, usize::MAX),
    test("not", 1, 1),
    value("len", 1, 1),
    value("lookup", 2, 2),
    value("json", 1, 1),
    value("upper", 1, 1),
    value("lower", 1, 1),
    value("default", 2, 2),
];

/// `date` is apart because its second value, the format, is checked when the template is compiled.
pub(super) const DATE: Signature = value("date", 1, 2);

pub(super) fn signature(name: &str) -> Option<&'static Signature> {
    HELPERS.iter().chain(std::iter::once(&DATE)).find(|helper| helper.name == name)
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    HELPERS.iter().chain(std::iter::once(&DATE)).map(|helper| helper.name)
}

/// The table of helpers for one form of output. Shared by every template, never changed.
pub(super) fn registry(form: Form) -> &'static Handlebars<'static> {
    static MARKDOWN: LazyLock<Handlebars<'static>> = LazyLock::new(|| build(Form::Markdown));
    static PLAIN: LazyLock<Handlebars<'static>> = LazyLock::new(|| build(Form::Plain));
    static JSON: LazyLock<Handlebars<'static>> = LazyLock::new(|| build(Form::Json));
    match form {
        Form::Markdown => &MARKDOWN,
        Form::Plain => &PLAIN,
        Form::Json => &JSON,
    }
}

fn build(form: Form) -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(match form {
        Form::Markdown => escape::markdown,
        Form::Plain => handlebars::no_escape,
        Form::Json => escape::json,
    });
    registry.unregister_helper("log");
    registry.unregister_helper("raw");
    registry.register_helper("each", Box::new(Each));
    registry.register_helper("json", Box::new(Json { whole: form == Form::Json }));
    registry.register_helper("upper", Box::new(Text(|text| text.to_uppercase())));
    registry.register_helper("lower", Box::new(Text(|text| text.to_lowercase())));
    registry.register_helper("default", Box::new(Default));
    registry.register_helper("date", Box::new(Date));
    registry
}

type Found<'rc> = Result<ScopedJson<'rc>, RenderError>;

fn other(message: impl Into<String>) -> RenderError {
    RenderErrorReason::Other(message.into()).into()
}

/// A value made by a helper, refused when it is longer than any output may be: nested helpers could otherwise double
/// it at every level.
fn made<'rc>(text: String) -> Found<'rc> {
    if text.len() > limit::OUTPUT_BYTES {
        return Err(other(format!("a value is longer than {} KiB", limit::OUTPUT_BYTES / 1024)));
    }
    Ok(ScopedJson::Derived(Value::String(text)))
}

/// The first value, which must exist.
fn first<'a>(h: &'a Helper<'_>) -> Result<&'a Value, RenderError> {
    match h.param(0) {
        Some(value) if !value.is_value_missing() => Ok(value.value()),
        Some(value) => Err(RenderError::strict_error(value.relative_path())),
        None => Err(other(format!("\"{}\" needs a value", h.name()))),
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `{{#each}}` as handlebars has it, with a look at the clock in every round: a body that writes nothing must not be a
/// way to run forever.
struct Each;

impl HelperDef for Each {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        r: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let list = h.param(0).ok_or_else(|| other("\"each\" needs a list"))?;
        let Some(body) = h.template() else { return Ok(()) };
        if list.is_value_missing() {
            return Err(RenderError::strict_error(list.relative_path()));
        }
        let rounds: Vec<(Value, &Value)> = match list.value() {
            Value::Array(items) => items.iter().enumerate().map(|(index, item)| (Value::from(index), item)).collect(),
            Value::Object(map) => map.iter().map(|(key, item)| (Value::from(key.as_str()), item)).collect(),
            Value::Null => Vec::new(),
            _ => {
                return Err(other(format!(
                    "\"{}\" is not a list",
                    list.relative_path().map_or("each", String::as_str)
                )));
            }
        };
        if rounds.is_empty() {
            return h.inverse().map_or(Ok(()), |inverse| inverse.render(r, ctx, rc, out));
        }
        let named = list.value().is_object();
        let last = rounds.len() - 1;
        rc.push_block(BlockContext::new());
        for (index, (key, item)) in rounds.into_iter().enumerate() {
            out.write("")?;
            let path = list.context_path().map(|path| {
                let mut path = path.clone();
                path.push(as_text(&key));
                path
            });
            let mut block = BlockContext::new();
            block.set_local_var("first", Value::from(index == 0));
            block.set_local_var("last", Value::from(index == last));
            block.set_local_var("index", Value::from(index));
            if named {
                block.set_local_var("key", key.clone());
            }
            let mut params = BlockParams::new();
            let item_name = h.block_param().or(h.block_param_pair().map(|(item, _)| item));
            if let Some((_, key_name)) = h.block_param_pair() {
                params.add_value(key_name, key)?;
            }
            match path {
                Some(path) => {
                    if let Some(name) = item_name {
                        params.add_path(name, Vec::new())?;
                    }
                    *block.base_path_mut() = path;
                }
                None => {
                    if let Some(name) = item_name {
                        params.add_value(name, item.clone())?;
                    }
                    block.set_base_value(item.clone());
                }
            }
            block.set_block_params(params);
            rc.pop_block();
            rc.push_block(block);
            body.render(r, ctx, rc, out)?;
        }
        rc.pop_block();
        Ok(())
    }
}

/// `{{json x}}`: the value as JSON. In a text that is JSON it stands as a value, elsewhere it is text like any other.
struct Json {
    whole: bool,
}

impl HelperDef for Json {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        r: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let text = as_text(self.call_inner(h, r, ctx, rc)?.as_json());
        let written = if self.whole { text } else { r.get_escape_fn()(&text) };
        Ok(out.write(&written)?)
    }

    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Found<'rc> {
        made(first(h)?.to_string())
    }
}

/// A helper that makes another text of a text.
struct Text(fn(&str) -> String);

impl HelperDef for Text {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Found<'rc> {
        made(self.0(&as_text(first(h)?)))
    }
}

/// `{{default x "none"}}`: the second value where the first is absent or empty.
struct Default;

impl HelperDef for Default {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Found<'rc> {
        let given = h.param(0).map(|value| value.value()).filter(|value| !value.is_null() && *value != "");
        let value = given.or_else(|| h.param(1).map(|value| value.value()));
        value.map(|value| ScopedJson::Derived(value.clone())).ok_or_else(|| other("\"default\" needs two values"))
    }
}

/// `{{date t}}` and `{{date t "%d %b %Y"}}`: a moment given in milliseconds or as RFC 3339, or a day such as 2026-11-23,
/// written in UTC.
struct Date;

impl HelperDef for Date {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Found<'rc> {
        let given = first(h)?;
        let moment = match given {
            Value::Number(number) => number.as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            Value::String(text) => text.parse().ok().or_else(|| midnight(text)),
            _ => None,
        };
        let moment = moment.ok_or_else(|| other(format!("{given} is not a moment in time")))?;
        let is_day = given.as_str().is_some_and(|text| midnight(text).is_some());
        let usual = if is_day { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M UTC" };
        let format = h.param(1).and_then(|format| format.value().as_str()).unwrap_or(usual);
        let text = format_date(format, moment).map_err(other)?;
        made(text)
    }
}

/// When a day begins in UTC; only for a text that is a day and nothing more.
fn midnight(text: &str) -> Option<Timestamp> {
    const LENGTH: usize = "2026-11-23".len();
    let day: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == LENGTH)?;
    day.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|begin| begin.timestamp())
}

/// Writes a moment, or says what is wrong with the format.
pub(super) fn format_date(format: &str, moment: Timestamp) -> Result<String, String> {
    const LONGEST: usize = 64;
    if format.len() > LONGEST {
        return Err(format!("a date format is at most {LONGEST} bytes"));
    }
    jiff::fmt::strtime::format(format, moment)
        .map_err(|error| format!("the date format \"{format}\" is not valid: {error}"))
}
