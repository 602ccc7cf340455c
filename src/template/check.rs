//! The check of a parsed template against the names it may use.
//!
//! What stands at the top of the values is known when a bot is loaded, so a wrong name is a fault then and not in the
//! middle of a conversation. What stands inside a value is known only when it is there.

use std::collections::BTreeSet;

use handlebars::template::{BlockParam, DecoratorTemplate, HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, PathSeg, Template};
use jiff::Timestamp;
use serde_json::Value;

use super::fault::{Fault, offset};
use super::helpers::{self, Signature};
use super::nearest;
use super::partials::{Parsed, Partials};
use crate::model::command::Command;

/// What stands at the top of the values of every template.
pub const ROOTS: [&str; 8] = ["parameters", "mapped", "user", "channel", "conversation", "command", "matches", "data"];

/// The names that one command's templates may use besides the [`ROOTS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub parameters: BTreeSet<String>,
    pub mapped: BTreeSet<String>,
    pub data: BTreeSet<String>,
}

impl Names {
    pub fn of(command: &Command) -> Self {
        Self {
            parameters: command.parameters.iter().map(|parameter| parameter.name.clone()).collect(),
            mapped: command.mapped_parameters.keys().cloned().collect(),
            data: command.data.keys().cloned().collect(),
        }
    }

    /// Whether `name` may name an entry of a command's data: it can then be reached by its name alone.
    pub fn is_free(name: &str) -> bool {
        !ROOTS.contains(&name) && helpers::signature(name).is_none() && !name.starts_with("else") && name != "this"
    }
}

/// Every fault in the names and helpers of `parsed`, its partials included.
pub(super) fn check(parsed: &Parsed, names: &Names, partials: &Partials) -> Vec<Fault> {
    let mut check =
        Check { parsed, within: None, names, partials, scope: Scope::default(), tag: 0, faults: Vec::new() };
    check.template(&parsed.template);
    let mut faults = check.faults;
    let mut seen = Vec::new();
    faults.retain(|fault| {
        let new = !seen.contains(fault);
        if new {
            seen.push(fault.clone());
        }
        new
    });
    faults
}

/// Which names can be told at a place in the template.
#[derive(Clone, Default)]
struct Scope<'a> {
    /// For every enclosing change of context, whether the names in it are unknown; empty at the top.
    unknown: Vec<bool>,
    /// Names given by `as |item|` or by an include.
    given: Vec<&'a str>,
    /// How many `{{#each}}` stand around.
    loops: usize,
}

struct Check<'a> {
    parsed: &'a Parsed,
    within: Option<&'a str>,
    names: &'a Names,
    partials: &'a Partials,
    scope: Scope<'a>,
    /// The offset of the tag that is looked at.
    tag: usize,
    faults: Vec<Fault>,
}

impl<'a> Check<'a> {
    fn template(&mut self, template: &'a Template) {
        let outer = self.tag;
        for (index, element) in template.elements.iter().enumerate() {
            if let Some(place) = template.mapping.get(index) {
                self.tag = offset(&self.parsed.source, place.0, place.1);
            }
            match element {
                TemplateElement::Expression(call) if is_name_only(call) => self.name_only(&call.name),
                TemplateElement::Expression(call) => self.call(call, false),
                TemplateElement::HelperBlock(call) => self.block(call),
                TemplateElement::PartialExpression(include) => self.include(include),
                _ => {}
            }
        }
        self.tag = outer;
    }

    fn name_only(&mut self, name: &'a Parameter) {
        match name {
            Parameter::Path(path) => match helpers::signature(raw(path)) {
                Some(helper) => self.arity(helper, 0, false),
                None => self.path(path),
            },
            Parameter::Name(name) => match helpers::signature(name) {
                Some(helper) => self.arity(helper, 0, false),
                None => self.unknown_helper(name),
            },
            other => self.value(other),
        }
    }

    fn call(&mut self, call: &'a HelperTemplate, block: bool) {
        let name = call.name.as_name().unwrap_or_default();
        match helpers::signature(name) {
            Some(helper) => self.arity(helper, call.params.len(), block),
            None => self.unknown_helper(name),
        }
        for parameter in call.params.iter().chain(call.hash.values()) {
            self.value(parameter);
        }
        for key in call.hash.keys() {
            if !(matches!(name, "if" | "unless") && key == "includeZero") {
                self.fault(key, format!("\"{name}\" takes no value named \"{key}\""), None);
            }
        }
        if name == "date"
            && let Some(Parameter::Literal(Value::String(format))) = call.params.get(1)
            && let Err(message) = helpers::format_date(format, Timestamp::UNIX_EPOCH)
        {
            self.fault(format, message, None);
        }
    }

    fn block(&mut self, call: &'a HelperTemplate) {
        self.call(call, true);
        let outer = self.scope.clone();
        let name = call.name.as_name().unwrap_or_default();
        if matches!(name, "each" | "with") {
            self.scope.unknown.push(true);
            self.scope.loops += usize::from(name == "each");
            match &call.block_param {
                Some(BlockParam::Single(one)) => self.scope.given.extend(one.as_name()),
                Some(BlockParam::Pair((one, two))) => {
                    self.scope.given.extend(one.as_name());
                    self.scope.given.extend(two.as_name());
                }
                _ => {}
            }
        }
        if let Some(body) = &call.template {
            self.template(body);
        }
        self.scope = outer;
        if let Some(inverse) = &call.inverse {
            self.template(inverse);
        }
    }

    fn include(&mut self, include: &'a DecoratorTemplate) {
        for parameter in include.params.iter().chain(include.hash.values()) {
            self.value(parameter);
        }
        let Some(name) = include.name.as_name() else { return };
        let Some(partial) = self.partials.get(name) else { return };
        let mut scope = self.scope.clone();
        let here_unknown = scope.unknown.last().copied().unwrap_or(false);
        scope.unknown.push(here_unknown || !include.params.is_empty());
        scope.given.extend(include.hash.keys().map(String::as_str));
        let mut inner = Check {
            parsed: partial,
            within: Some(name),
            names: self.names,
            partials: self.partials,
            scope,
            tag: 0,
            faults: Vec::new(),
        };
        inner.template(&partial.template);
        self.faults.append(&mut inner.faults);
    }

    fn value(&mut self, parameter: &'a Parameter) {
        match parameter {
            Parameter::Path(path) => self.path(path),
            Parameter::Subexpression(inner) => {
                if let TemplateElement::Expression(call) = inner.as_element() {
                    // `(name)` alone can only be a helper without values, and there is none.
                    self.call(call, false);
                }
            }
            _ => {}
        }
    }

    fn path(&mut self, path: &Path) {
        let raw = raw(path);
        let Path::Relative((segments, _)) = path else {
            let known = ["index", "key", "first", "last"];
            let name = raw.trim_start_matches('@').trim_start_matches("../");
            if self.scope.loops == 0 || !known.contains(&name) {
                self.fault(
                    raw,
                    format!("there is no \"{raw}\" here"),
                    nearest(name, known).filter(|near| *near != name),
                );
            }
            return;
        };
        let mut named = segments.iter().filter_map(|segment| match segment {
            PathSeg::Named(name) => Some(name.as_str()),
            _ => None,
        });
        let Some(first) = named.next() else { return };
        let rest: Vec<&str> = named.collect();
        if self.scope.given.contains(&first) {
            return;
        }
        let ups = raw.matches("../").count();
        let unknown = match self.scope.unknown.len().checked_sub(ups + 1) {
            _ if raw.starts_with("@root") => false,
            Some(level) => self.scope.unknown[level],
            None if ups > self.scope.unknown.len() => {
                self.fault(raw, format!("\"{raw}\" goes above the top"), None);
                return;
            }
            None => false,
        };
        if !unknown {
            self.known(raw, first, &rest);
        }
    }

    /// Checks a path from the top of the values.
    fn known(&mut self, raw: &str, first: &str, rest: &[&str]) {
        let names = self.names;
        let (what, declared) = match first {
            "parameters" => ("parameter", &names.parameters),
            "mapped" => ("mapped parameter", &names.mapped),
            "data" => ("entry of data", &names.data),
            _ if ROOTS.contains(&first) || names.data.contains(first) => return,
            _ => {
                let all = ROOTS.into_iter().chain(names.data.iter().map(String::as_str));
                let parameter =
                    names.parameters.iter().find(|name| *name == first).map(|name| format!("parameters.{name}"));
                let suggestion = parameter.or_else(|| nearest(first, all).map(str::to_owned));
                self.fault(raw, format!("unknown name \"{first}\""), suggestion.as_deref());
                return;
            }
        };
        let wanted = rest.join(".");
        let exists = |name: &String| {
            wanted == *name
                || wanted.strip_prefix(name.as_str()).is_some_and(|more| more.starts_with('.'))
                || name.strip_prefix(wanted.as_str()).is_some_and(|more| more.starts_with('.'))
        };
        if !rest.is_empty() && !declared.iter().any(exists) {
            let suggestion = nearest(&wanted, declared.iter().map(String::as_str));
            self.fault(raw, format!("there is no {what} \"{wanted}\""), suggestion);
        }
    }

    fn arity(&mut self, helper: &Signature, given: usize, block: bool) {
        let name = helper.name;
        let message = if block && !helper.block {
            format!("\"{name}\" is not a block")
        } else if !block && !helper.inline {
            format!("\"{name}\" is a block: {{{{#{name} …}}}} … {{{{/{name}}}}}")
        } else if given < helper.least || given > helper.most {
            let values = if helper.least == 1 { "value" } else { "values" };
            let many = match (helper.least, helper.most) {
                (least, most) if least == most => format!("{least} {values}"),
                (least, usize::MAX) => format!("at least {least} {values}"),
                (least, most) => format!("{least} to {most} values"),
            };
            format!("\"{name}\" takes {many}, not {given}")
        } else {
            return;
        };
        self.fault(name, message, None);
    }

    fn unknown_helper(&mut self, name: &str) {
        self.fault(name, format!("there is no helper \"{name}\""), nearest(name, helpers::names()));
    }

    /// A fault at `word`, which stands in the current tag or, for an `else if`, in one of the next.
    fn fault(&mut self, word: &str, message: String, suggestion: Option<&str>) {
        let source = &self.parsed.source;
        let tags = &self.parsed.scan.tags;
        let from = tags.partition_point(|(start, _)| *start < self.tag);
        let place =
            tags[from..].iter().find_map(|(start, end)| find_word(&source[*start..*end], word).map(|at| start + at));
        let mut fault = Fault::at(source, place.unwrap_or(self.tag), message).suggest(suggestion);
        if let Some(partial) = self.within {
            fault = fault.within(partial);
        }
        self.faults.push(fault);
    }
}

fn is_name_only(call: &HelperTemplate) -> bool {
    !call.block && call.params.is_empty() && call.hash.is_empty()
}

fn raw(path: &Path) -> &str {
    match path {
        Path::Relative((_, raw)) | Path::Local((_, _, raw)) => raw,
    }
}

/// Where `word` stands in `tag` as a word of its own.
fn find_word(tag: &str, word: &str) -> Option<usize> {
    let part_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '/');
    tag.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = tag[..*at].chars().next_back().is_some_and(part_of_word);
        let after = tag[at + word.len()..].chars().next().is_some_and(part_of_word);
        !before && !after
    })
}
