//! The reply of a command: its texts from the manifest or from `.hbs` files, compiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::fault::Level;
use super::folder::{Folder, Unread};
use super::reference::{Given, Reference};
use super::sheet::Sheet;
use super::yaml::{Kind, Node, Place, Plain};
use crate::model::command::Reply;
use crate::template::reply::{self, Compiled, ReplyFault, Step};
use crate::template::{Names, includes};

/// A reply and where its texts come from.
pub(super) struct Written<'n> {
    node: &'n Node,
    pub(super) reply: Reply,
    /// The texts that stand in files of their own: where the path is written, and the path.
    files: Vec<(Place, String)>,
}

/// Reads a reply; the faults in its files are reported, those in its templates are left to [`Written::compile`].
pub(super) fn read<'n>(sheet: &mut Sheet, folder: &mut Folder, node: &'n Node) -> Written<'n> {
    let mut written = Written { node, reply: Reply::default(), files: Vec::new() };
    let value = written.value(sheet, folder, node);
    written.reply.message = match value {
        text @ Value::String(_) => Value::Object(Map::from_iter([("text".to_owned(), text)])),
        other => other,
    };
    written.read_partials(sheet, folder);
    written
}

impl Written<'_> {
    fn value(&mut self, sheet: &mut Sheet, folder: &mut Folder, node: &Node) -> Value {
        match &node.kind {
            Kind::Empty => Value::Null,
            Kind::Scalar { plain: Plain::Flag(flag), .. } => Value::Bool(*flag),
            Kind::Scalar { text: path, .. } if is_file(path) => {
                let why = match folder.read(path) {
                    Ok(source) => {
                        self.files.push((node.at, path.clone()));
                        return Value::from(source);
                    }
                    Err(Unread::Missing) => format!("there is no file \"{path}\" in the bot's folder"),
                    Err(Unread::Refused(why)) => why,
                };
                sheet.error(node.at, why);
                Value::from("")
            }
            Kind::Scalar { text, .. } => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(|item| self.value(sheet, folder, item)).collect(),
            Kind::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), self.value(sheet, folder, &entry.value))).collect()
            }
        }
    }

    /// Reads the partials that the texts include, and those that these include.
    fn read_partials(&mut self, sheet: &mut Sheet, folder: &mut Folder) {
        let mut wanted = Vec::new();
        collect_includes(&self.reply.message, &mut wanted);
        let mut partials = BTreeMap::new();
        while let Some(name) = wanted.pop() {
            if partials.contains_key(&name) {
                continue;
            }
            match folder.read(&partial_file(&name)) {
                Ok(source) => {
                    wanted.extend(includes(source));
                    partials.insert(name, source.to_owned());
                }
                // The compiler says where the name stands that has no file.
                Err(Unread::Missing) => {}
                Err(Unread::Refused(why)) => sheet.error(self.node.at, why),
            }
        }
        self.reply.partials = partials;
    }

    /// Compiles the reply; faults in templates are reported where they are written.
    pub(super) fn compile(&self, sheet: &mut Sheet, bot: &Path, names: Names) -> Option<Compiled> {
        match Compiled::new(&self.reply, names) {
            Ok(compiled) => Some(compiled),
            Err(faults) => {
                for fault in &faults {
                    self.report(sheet, bot, fault);
                }
                None
            }
        }
    }

    /// The commands that the reply's actions run, with the places where they are named.
    pub(super) fn references(&self, compiled: &Compiled) -> Vec<Reference> {
        let at = |path: &[Step], key: bool| {
            let (node, key_at) = self.node_at(path);
            if key { key_at } else { node.at }
        };
        let given = |given: &reply::Given| Given {
            name: given.name.clone(),
            at: at(&given.path, given.key),
            values: given.values.iter().map(|(path, value)| (at(path, false), value.clone())).collect(),
            day: given.day,
        };
        let reference = |reference: &reply::Reference| Reference {
            at: at(&reference.path, false),
            bot: reference.bot.clone(),
            command: reference.command.clone(),
            given: reference.given.iter().map(given).collect(),
        };
        compiled.references().iter().map(reference).collect()
    }

    /// Reports a fault of the reply at its place in the manifest or in the file the text comes from.
    pub(super) fn report(&self, sheet: &mut Sheet, bot: &Path, found: &ReplyFault) {
        let fault = &found.fault;
        let (message, suggestion) = (fault.message.clone(), fault.suggestion.clone());
        let (node, key_at) = self.node_at(&found.path);
        let place = (fault.line.max(1), fault.column.max(1));
        if let Some(partial) = &fault.partial {
            let file = bot.join(partial_file(partial));
            sheet.report_in(&file, place, Level::Error, message, suggestion);
        } else if found.key {
            sheet.report(key_at, Level::Error, message, suggestion);
        } else if let Some(file) = self.file_of(node) {
            sheet.report_in(&bot.join(file), place, Level::Error, message, suggestion);
        } else {
            let at = match &node.kind {
                Kind::Scalar { text, .. } if fault.line > 0 => node.locate(&sheet.source, fault.offset_in(text)),
                _ => node.at,
            };
            sheet.report(at, Level::Error, message, suggestion);
        }
    }

    fn file_of(&self, node: &Node) -> Option<PathBuf> {
        self.files.iter().find(|(at, _)| *at == node.at).map(|(_, file)| PathBuf::from(file))
    }

    /// The node that a path in the reply leads to, as far as it goes, and the place of the last key on the way.
    fn node_at(&self, path: &[Step]) -> (&Node, Place) {
        let mut node = self.node;
        let mut key_at = node.at;
        for step in path {
            let next = match (step, &node.kind) {
                (Step::Key(key), Kind::Map(_)) => node.entry(key).map(|entry| {
                    key_at = entry.key_at;
                    &entry.value
                }),
                (Step::Index(index), Kind::List(items)) => items.get(*index),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        (node, key_at)
    }
}

/// Whether a text is the path of a template file and not a template itself.
fn is_file(text: &str) -> bool {
    text.ends_with(".hbs") && !text.contains(char::is_whitespace) && !text.contains('{')
}

fn partial_file(name: &str) -> String {
    format!("replies/{name}.hbs")
}

fn collect_includes(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.extend(includes(text)),
        Value::Array(items) => items.iter().for_each(|item| collect_includes(item, into)),
        Value::Object(map) => map.values().for_each(|item| collect_includes(item, into)),
        _ => {}
    }
}
