//! What expressions and texts may name, and where it is said when they name something else.

use std::collections::BTreeSet;

use super::super::fault::Level;
use super::super::sheet::Sheet;
use super::super::yaml::{Kind, Node, Plain};
use crate::expression::{Evaluator, FUNCTIONS, Piece, is_template, pieces, whole};
use crate::flow::text;
use crate::template::{Form, nearest};

/// What stands at the top of the values of every expression.
pub(super) const ROOTS: [&str; 6] = ["inputs", "vars", "steps", "execution", "user", "trigger"];

/// The names that can be used at a place.
pub(super) struct Names {
    evaluator: Evaluator,
    /// Names of loops and the like around the place.
    pub(super) local: Vec<String>,
    /// The declared inputs; none when a document takes any.
    pub(super) inputs: Option<BTreeSet<String>>,
    /// Every id of the document.
    pub(super) ids: BTreeSet<String>,
    pub(super) vars: BTreeSet<String>,
    /// How many steps stand around the place.
    pub(super) depth: usize,
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            evaluator: Evaluator::new(0),
            local: Vec::new(),
            inputs: None,
            ids: BTreeSet::new(),
            vars: BTreeSet::new(),
            depth: 0,
        }
    }

    fn tops(&self) -> impl Iterator<Item = &str> {
        ROOTS.into_iter().chain(self.local.iter().map(String::as_str))
    }

    /// Reads an expression, with or without `${{ }}` around it; answers what is inside.
    pub(super) fn expression(&self, sheet: &mut Sheet, node: &Node, what: &str) -> Option<String> {
        let text = sheet.text(node, what)?.to_owned();
        let Some(inside) = whole(&text) else {
            sheet.error(node.at, format!("{what} is one expression, as in \"${{{{ inputs.name }}}}\""));
            return None;
        };
        let offset = text.find(inside).unwrap_or_default();
        self.check(sheet, node, inside, offset);
        Some(inside.to_owned())
    }

    fn check(&self, sheet: &mut Sheet, node: &Node, expression: &str, offset: usize) {
        let at = node.locate(&sheet.source, offset);
        let paths = match self.evaluator.check(expression) {
            Ok(paths) => paths,
            Err(why) => return sheet.error(at, format!("in \"${{{{ {expression} }}}}\": {why}")),
        };
        for path in paths {
            let mut parts = path.split('.');
            let top = parts.next().unwrap_or_default();
            if FUNCTIONS.contains(&top) {
                continue;
            }
            if !self.tops().any(|known| known == top) {
                let near = nearest(top, self.tops().chain(FUNCTIONS));
                sheet.error_near(at, format!("there is no \"{top}\" in \"${{{{ {expression} }}}}\""), near);
                continue;
            }
            let Some(name) = parts.next() else { continue };
            let known: Option<&BTreeSet<String>> = match top {
                _ if self.local.iter().any(|local| local == top) => None,
                "inputs" => self.inputs.as_ref(),
                "steps" => Some(&self.ids),
                "vars" => Some(&self.vars),
                _ => None,
            };
            if let Some(known) = known.filter(|known| !known.contains(name)) {
                let what = match top {
                    "inputs" => "input",
                    "steps" => "step",
                    _ => "variable",
                };
                let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
                // A variable may be set by what a document of another form does.
                let level = if top == "vars" { Level::Warning } else { Level::Error };
                sheet.report(at, level, format!("there is no {what} \"{name}\""), near);
            }
        }
    }

    /// Checks every expression in a value that is filled in when it is used.
    pub(super) fn template(&self, sheet: &mut Sheet, node: &Node) {
        match &node.kind {
            Kind::Scalar { text, plain: Plain::Text } => {
                if is_template(text) {
                    self.pieces(sheet, node, text);
                } else if text::is_handlebars(text) {
                    let message = "\"{{ }}\" is text like any other here: an expression is written \"${{ }}\"";
                    sheet.report(node.at, Level::Warning, message.to_owned(), None);
                }
            }
            Kind::Scalar { .. } | Kind::Empty => {}
            Kind::List(items) => items.iter().for_each(|item| self.template(sheet, item)),
            Kind::Map(entries) => entries.iter().for_each(|entry| self.template(sheet, &entry.value)),
        }
    }

    fn pieces(&self, sheet: &mut Sheet, node: &Node, text: &str) {
        match pieces(text) {
            Ok(pieces) => {
                for piece in pieces {
                    if let Piece::Expression(expression, range) = piece {
                        let inside = text[range.start..].find(expression).unwrap_or_default();
                        self.check(sheet, node, expression, range.start + inside);
                    }
                }
            }
            Err(offset) => sheet.error(node.locate(&sheet.source, offset), "this expression does not end with \"}}\""),
        }
    }

    /// Reads a text that people will read: with handlebars, or with expressions.
    pub(super) fn text(&self, sheet: &mut Sheet, node: &Node, what: &str, form: Form) -> Option<String> {
        let text = sheet.text(node, what)?.to_owned();
        match (is_template(&text), text::is_handlebars(&text)) {
            (true, true) => sheet
                .error(node.at, format!("{what} is written with \"{{{{ }}}}\" or with \"${{{{ }}}}\", not with both")),
            (true, false) => self.pieces(sheet, node, &text),
            (false, true) => {
                if let Err(faults) = text::check(&text, form, self.tops()) {
                    for fault in faults {
                        let at = node.locate(&sheet.source, fault.offset);
                        sheet.report(at, Level::Error, fault.message, fault.suggestion);
                    }
                }
            }
            (false, false) => {}
        }
        Some(text)
    }

    pub(super) fn deeper<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        self.depth += 1;
        let outcome = work(self);
        self.depth -= 1;
        outcome
    }

    /// Does something where further names can be used.
    pub(super) fn within<R>(&mut self, names: &[&str], work: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.local.len();
        self.local.extend(names.iter().map(|name| (*name).to_owned()));
        let outcome = work(self);
        self.local.truncate(before);
        outcome
    }
}
