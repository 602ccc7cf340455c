//! One file to one connector.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use super::{Connector, Http, SCHEMA, Transport, action, auth, http};
use crate::expression::{Expression, Shape, Text};
use crate::manifest::document::Document;
use crate::manifest::fault::Fault;
use crate::model::id::sha256_hex;
use crate::schema::Schema;

static COMPILED: LazyLock<Schema> = LazyLock::new(|| {
    let source: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
    // That it compiles is tested; a schema that is not there would admit anything.
    Schema::compile(&source).unwrap_or_else(|error| panic!("the schema of connectors cannot be used: {error}"))
});

/// A document while it is compiled.
pub(super) struct Sheet<'d> {
    document: &'d Document,
    pub(super) faults: Vec<Fault>,
}

impl<'d> Sheet<'d> {
    pub(super) fn get(&self, pointer: &str) -> Option<&'d Value> {
        self.document.value.pointer(pointer)
    }

    pub(super) fn text(&self, pointer: &str) -> Option<&'d str> {
        self.get(pointer).and_then(Value::as_str)
    }

    pub(super) fn owned(&self, pointer: &str) -> String {
        self.text(pointer).unwrap_or_default().to_owned()
    }

    pub(super) fn flag(&self, pointer: &str) -> Option<bool> {
        self.get(pointer).and_then(Value::as_bool)
    }

    pub(super) fn keys(&self, pointer: &str) -> Vec<String> {
        let map = self.get(pointer).and_then(Value::as_object);
        map.map(|map| map.keys().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn length(&self, pointer: &str) -> usize {
        self.get(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }

    pub(super) fn error(&mut self, pointer: &str, message: impl Into<String>) {
        let fault = self.document.fault(pointer, message);
        self.faults.push(fault);
    }

    /// A condition or a value: one expression and nothing beside it.
    pub(super) fn expression(&mut self, pointer: &str) -> Option<Expression> {
        let source = self.text(pointer)?;
        match Text::compile(source) {
            Ok(text) => {
                let sole = text.sole().cloned();
                if sole.is_none() {
                    self.error(pointer, "this is one expression: ${{ … }}");
                }
                sole
            }
            Err(fault) => {
                let fault = self.document.fault_in(pointer, fault.offset, fault.message);
                self.faults.push(fault);
                None
            }
        }
    }

    /// A text with `{{ … }}` or `${{ … }}` in it.
    pub(super) fn template(&mut self, pointer: &str) -> Option<Text> {
        let source = self.text(pointer)?;
        let compiled = if source.contains("${{") { Text::compile(source) } else { Text::compile_braces(source) };
        compiled
            .map_err(|fault| {
                let fault = self.document.fault_in(pointer, fault.offset, fault.message);
                self.faults.push(fault);
            })
            .ok()
    }

    /// A value whose strings are expressions.
    pub(super) fn shape(&mut self, pointer: &str) -> Option<Shape> {
        let value = self.get(pointer)?;
        Shape::compile(value)
            .map_err(|fault| {
                let at = format!("{pointer}{}", fault.pointer);
                let fault = self.document.fault_in(&at, fault.offset, fault.message);
                self.faults.push(fault);
            })
            .ok()
    }

    /// A map of texts, each a template; keys as they are.
    pub(super) fn templates(&mut self, pointer: &str) -> Vec<(String, Text)> {
        let keys = self.keys(pointer);
        keys.into_iter()
            .filter_map(|key| {
                let at = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                self.template(&at).map(|text| (key, text))
            })
            .collect()
    }

    pub(super) fn duration(&self, pointer: &str) -> Option<Duration> {
        duration(self.text(pointer)?)
    }

    /// A schema that is written into the manifest.
    pub(super) fn schema(&mut self, pointer: &str) -> Option<Schema> {
        let value = self.get(pointer)?;
        Schema::compile(value).map_err(|message| self.error(pointer, message)).ok()
    }
}

/// `500ms`, `15s`, `5m`, `24h`, `7d`.
fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Reads a manifest; `file` is what faults name. Without a fault there is a connector.
pub fn read_connector(file: &Path, source: &str) -> Result<Connector, Vec<Fault>> {
    let document = Document::parse(file, source.to_owned()).map_err(|fault| vec![fault])?;
    let faults = document.check(&COMPILED);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut sheet = Sheet { document: &document, faults: Vec::new() };
    let connector = compile(&mut sheet, sha256_hex(source.as_bytes()));
    if sheet.faults.is_empty() { Ok(connector) } else { Err(sheet.faults) }
}

fn compile(sheet: &mut Sheet<'_>, hash: String) -> Connector {
    let transport = match sheet.text("/transport") {
        Some("native:smtp") => Transport::Smtp,
        _ => Transport::Http,
    };
    let auth: Vec<_> = (0..sheet.length("/auth")).map(|at| auth::read(sheet, &format!("/auth/{at}"))).collect();
    for (at, one) in auth.iter().enumerate() {
        if auth[..at].iter().any(|earlier| earlier.id == one.id) {
            sheet.error(&format!("/auth/{at}/id"), format!("\"{}\" is there already", one.id));
        }
    }
    let http = if transport == Transport::Http { http::read(sheet) } else { Http::default() };
    let names = sheet.keys("/actions");
    let actions: Vec<_> =
        names.iter().map(|name| action::read(sheet, name, transport, http.base_url.is_some())).collect();
    for (at, one) in auth.iter().enumerate() {
        if let Some(test) = &one.test
            && !names.contains(test)
        {
            sheet.error(&format!("/auth/{at}/test/action"), format!("there is no action \"{test}\""));
        }
    }
    Connector {
        kind: sheet.owned("/metadata/type"),
        name: sheet.owned("/metadata/name"),
        version: sheet.owned("/metadata/version"),
        description: sheet.owned("/metadata/description"),
        homepage: sheet.owned("/metadata/homepage"),
        hash,
        transport,
        auth,
        http,
        config: sheet.schema("/config"),
        actions,
        triggers: sheet.get("/triggers").cloned().unwrap_or_default(),
    }
}
