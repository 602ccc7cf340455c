//! `{{ … }}` of other forms as expressions of this one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::yaml::{Entry, Kind, Node, Plain};

/// How a form refers to values.
pub(super) trait Dialect {
    /// The expression that a reference means; none leaves it as text.
    fn expression(&self, reference: &str) -> Option<String>;
}

/// A playbook's: `parameter.x`, `variable.x`, `credential.name.username`, `step.id.key`, and `x` for a parameter. Every
/// value becomes a text, as authors of playbooks count on.
pub(super) struct Playbook;

impl Dialect for Playbook {
    fn expression(&self, reference: &str) -> Option<String> {
        let parts: Vec<&str> = reference.trim().split('.').collect();
        let word = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        if parts.len() > 3 || !parts.iter().all(word) {
            return None;
        }
        Some(match parts.as_slice() {
            [name] => format!("inputs.{name} | string"),
            ["parameter", rest @ ..] => format!("inputs.{} | string", rest.join(".")),
            ["variable", rest @ ..] => format!("vars.{} | string", rest.join(".")),
            // No value of a credential is ever part of a run: it is what a call is made with.
            ["credential", ..] => return None,
            ["step", id, rest @ ..] => {
                let path: String = rest.iter().map(|part| format!(".{part}")).collect();
                format!("steps.{id}.output{path} | string")
            }
            _ => return None,
        })
    }
}

/// A workflow's: `input.x`, `variables.step.output`, `metadata.x`, and `step.x` for what a step gave. Values keep their type.
pub(super) struct Workflow<'a> {
    /// The id of each step, by the name it was written with.
    pub(super) ids: &'a BTreeMap<String, String>,
}

impl Workflow<'_> {
    fn path(&self, path: &str) -> Option<String> {
        let path = path.trim();
        let allowed = |c: char| c.is_alphanumeric() || "_.-[]'\"$ ".contains(c);
        if path.is_empty() || !path.chars().all(allowed) {
            return None;
        }
        let first = path.split(['.', '[']).next().unwrap_or_default();
        let rest = &path[first.len()..];
        Some(match first {
            "input" => format!("inputs{rest}"),
            "variables" => {
                let after = rest.strip_prefix('.')?;
                let name = after.split(['.', '[']).next().unwrap_or_default();
                let inner = &after[name.len()..];
                match self.ids.get(name) {
                    Some(id) if inner.starts_with(".output") => format!("steps.{id}{inner}"),
                    Some(id) => format!("steps.{id}.output{inner}"),
                    None => format!("vars.{name}{inner}"),
                }
            }
            "metadata" => format!("execution{rest}"),
            "item" | "index" | "error" => match first {
                "index" => "loop.index0".to_owned(),
                _ => format!("{first}{rest}"),
            },
            name => {
                let id = self.ids.get(name)?;
                if rest.starts_with(".output") {
                    format!("steps.{id}{rest}")
                } else {
                    format!("steps.{id}.output{rest}")
                }
            }
        })
    }

    /// A condition in the words of JavaScript as an expression.
    pub(super) fn condition(&self, text: &str) -> String {
        let mut inside = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            let Some(end) = rest[at..].find("}}") else { break };
            let reference = &rest[at + 2..at + end];
            inside.push_str(&rest[..at]);
            inside.push_str(&self.path(reference).unwrap_or_else(|| reference.trim().to_owned()));
            rest = &rest[at + end + 2..];
        }
        inside.push_str(rest);
        operators(&inside, |word| self.path(word))
    }
}

impl Dialect for Workflow<'_> {
    fn expression(&self, reference: &str) -> Option<String> {
        self.path(reference)
    }
}

/// JavaScript's operators in Jinja's words; what stands in quotes stays. `name` resolves a name that stands alone.
fn operators(text: &str, name: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '\'' || c == '"' {
            let end = rest[1..].find(c).map_or(rest.len(), |at| at + 2);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let operator = [
            ("===", "=="),
            ("!==", "!="),
            ("!=", "!="),
            ("==", "=="),
            ("&&", "and"),
            ("||", "or"),
            (">=", ">="),
            ("<=", "<="),
            ("!", "not "),
        ];
        if let Some((written, meant)) = operator.iter().find(|(written, _)| rest.starts_with(written)) {
            out.push_str(meant);
            rest = &rest[written.len()..];
            continue;
        }
        if c.is_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || "_.[]".contains(c))).unwrap_or(rest.len());
            let word = &rest[..end];
            out.push_str(&match word {
                "null" | "undefined" => "none".to_owned(),
                "true" | "false" | "and" | "or" | "not" | "in" | "is" | "defined" | "none" => word.to_owned(),
                word if word.starts_with("inputs") || word.starts_with("steps.") || word.starts_with("vars.") => {
                    word.to_owned()
                }
                word => name(word).unwrap_or_else(|| word.to_owned()),
            });
            rest = &rest[end..];
            continue;
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// A text with its references in place.
pub(super) fn text(text: &str, dialect: &dyn Dialect) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let Some(end) = rest[at..].find("}}") else { break };
        let reference = &rest[at + 2..at + end];
        out.push_str(&rest[..at]);
        match dialect.expression(reference) {
            Some(expression) => out.push_str(&format!("${{{{ {expression} }}}}")),
            None => out.push_str(&rest[at..at + end + 2]),
        }
        rest = &rest[at + end + 2..];
    }
    out.push_str(rest);
    out
}

/// The credential that a text of a playbook stands for as a whole.
pub(super) fn credential(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    inside.strip_prefix("credential.")?.split('.').next()
}

/// A tree with its references in place.
pub(super) fn tree(node: &Node, dialect: &dyn Dialect) -> Node {
    let mut made = node.clone();
    match &mut made.kind {
        Kind::Scalar { text: written, plain: Plain::Text } if written.contains("{{") => {
            let changed = text(written, dialect);
            made = Node::text(changed, node.at);
        }
        Kind::Scalar { .. } | Kind::Empty => {}
        Kind::List(items) => items.iter_mut().for_each(|item| *item = tree(item, dialect)),
        Kind::Map(entries) => {
            entries.iter_mut().for_each(|entry: &mut Entry| entry.value = tree(&entry.value, dialect))
        }
    }
    made
}

/// A scalar as JSON.
pub(super) fn plain(node: &Node) -> Value {
    node.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_expressions() {
        for (written, meant) in [
            ("{{ parameter.gateway_url }}/x", "${{ inputs.gateway_url | string }}/x"),
            ("{{gateway_url}}", "${{ inputs.gateway_url | string }}"),
            ("{{ credential.admin.password }}", "{{ credential.admin.password }}"),
            (
                "{{ step.login.token }} {{variable.n}}",
                "${{ steps.login.output.token | string }} ${{ vars.n | string }}",
            ),
            ("{{ a b }} {{", "{{ a b }} {{"),
        ] {
            assert_eq!(text(written, &Playbook), meant);
        }
        let ids =
            BTreeMap::from([("fetch-data".to_owned(), "fetch_data".to_owned()), ("f".to_owned(), "f".to_owned())]);
        let workflow = Workflow { ids: &ids };
        for (written, meant) in [
            ("{{input.items[0].id}}", "${{ inputs.items[0].id }}"),
            ("{{fetch-data.data.email}}", "${{ steps.fetch_data.output.data.email }}"),
            ("{{variables.f.output.n}}{{variables.x}}", "${{ steps.f.output.n }}${{ vars.x }}"),
            ("{{unknown.x}}", "{{unknown.x}}"),
        ] {
            assert_eq!(text(written, &workflow), meant);
        }
        for (written, meant) in [
            ("{{input.n}} > 3 && {{f.ok}} === true", "inputs.n > 3 and steps.f.output.ok == true"),
            ("input.a !== 'a && b' || !input.c", "inputs.a != 'a && b' or not inputs.c"),
            ("{{input.x}} == null", "inputs.x == none"),
        ] {
            assert_eq!(workflow.condition(written), meant);
        }
    }
}
