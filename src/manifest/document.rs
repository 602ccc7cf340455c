//! A manifest as JSON, with the place of everything in it: for manifests that a JSON Schema describes.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::fault::{Fault, Level};
use super::yaml::{Kind, Node, Place, Plain, parse};
use crate::schema::Schema;

/// One YAML or JSON file.
#[derive(Debug)]
pub struct Document {
    pub value: Value,
    file: std::path::PathBuf,
    source: String,
    /// By JSON pointer: where the value stands, and where its key does.
    places: BTreeMap<String, (Place, Place)>,
    root: Node,
}

impl Document {
    /// Reads a text; `file` is what faults name.
    pub fn parse(file: &Path, source: String) -> Result<Self, Fault> {
        match parse(&source) {
            Ok(root) => {
                let mut places = BTreeMap::new();
                let value = json(&root, root.at, &mut String::new(), &mut places);
                Ok(Self { value, file: file.to_owned(), source, places, root })
            }
            Err(fault) => Err(Fault {
                file: file.to_owned(),
                line: fault.at.0,
                column: fault.at.1,
                level: Level::Error,
                message: fault.message,
                suggestion: None,
            }),
        }
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Every fault that the schema finds.
    pub fn check(&self, schema: &Schema) -> Vec<Fault> {
        let told = schema.faults(&self.value).into_iter().map(|fault| {
            let at_key = fault.message.starts_with("unknown key");
            let mut told = self.fault(&fault.pointer, fault.message);
            if at_key && let Some((_, key)) = self.places.get(&fault.pointer) {
                (told.line, told.column) = *key;
            }
            told.suggestion = fault.suggestion;
            told
        });
        told.collect()
    }

    /// A fault of the value at a JSON pointer, or of what is nearest around it.
    pub fn fault(&self, pointer: &str, message: impl Into<String>) -> Fault {
        let mut pointer = pointer;
        let at = loop {
            if let Some((value, _)) = self.places.get(pointer) {
                break *value;
            }
            match pointer.rsplit_once('/') {
                Some((around, _)) => pointer = around,
                None => break self.root.at,
            }
        };
        self.fault_at(at, message.into())
    }

    /// A fault inside the string at a JSON pointer, `offset` bytes into it.
    pub fn fault_in(&self, pointer: &str, offset: usize, message: impl Into<String>) -> Fault {
        match self.node(pointer) {
            Some(node) => self.fault_at(node.locate(&self.source, offset), message.into()),
            None => self.fault(pointer, message),
        }
    }

    fn fault_at(&self, (line, column): Place, message: String) -> Fault {
        Fault { file: self.file.clone(), line, column, level: Level::Error, message, suggestion: None }
    }

    fn node(&self, pointer: &str) -> Option<&Node> {
        let mut node = &self.root;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            node = match &node.kind {
                Kind::List(items) => items.get(part.parse::<usize>().ok()?)?,
                _ => node.get(&part)?,
            };
        }
        Some(node)
    }
}

fn json(node: &Node, key_at: Place, pointer: &mut String, places: &mut BTreeMap<String, (Place, Place)>) -> Value {
    places.insert(pointer.clone(), (node.at, key_at));
    let length = pointer.len();
    match &node.kind {
        Kind::Empty => Value::Null,
        Kind::Scalar { text, plain } => scalar(text, *plain),
        Kind::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{at}"));
                list.push(json(item, item.at, pointer, places));
                pointer.truncate(length);
            }
            Value::Array(list)
        }
        Kind::Map(entries) => {
            let mut map = Map::with_capacity(entries.len());
            for entry in entries {
                pointer.push('/');
                pointer.push_str(&entry.key.replace('~', "~0").replace('/', "~1"));
                map.insert(entry.key.clone(), json(&entry.value, entry.key_at, pointer, places));
                pointer.truncate(length);
            }
            Value::Object(map)
        }
    }
}

/// A number that JSON cannot write as it stands, such as `012` or `1_000`, stays text.
fn scalar(text: &str, plain: Plain) -> Value {
    match plain {
        Plain::Flag(flag) => Value::Bool(flag),
        Plain::Number => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(text.to_owned()),
        },
        Plain::Text => Value::String(text.to_owned()),
    }
}
