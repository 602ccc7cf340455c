//! One command of a bot.

use std::collections::BTreeMap;
use std::path::Path;

use super::fault::Level;
use super::flow::Document;
use super::folder::Folder;
use super::reference::Reference;
use super::sheet::{NOTHING_LATER, Sheet};
use super::yaml::{Entry, Kind, Node, Place};
use super::{access, approval, parameter, remote, reply, sample, steps};
use crate::model::command::{Body, Command, Effect, Example, Reply};
use crate::model::name::{fold, is_name};
use crate::model::parameter::Parameter;
use crate::template::reply::Compiled;
use crate::template::{Names, nearest};

/// The keys of a command.
pub const KEYS: [&str; 20] = [
    "name",
    "description",
    "intent",
    "intents",
    "parameters",
    "mapped_parameters",
    "examples",
    "access",
    "effect",
    "confirm",
    "approve",
    "auto_submit",
    "priority",
    "reply",
    "remote",
    "data",
    "steps",
    "playbook",
    "secrets",
    "concurrency",
];

/// Keys that a later version will act on. Ignoring them would be worse than refusing them.
const LATER: [&str; 1] = ["script"];

/// The bodies a command can have, in any version.
const BODIES: [&str; 5] = ["reply", "steps", "playbook", "script", "remote"];

/// The names of the commands that every installation has.
const RESERVED: [&str; 8] = ["help", "list", "describe", "why", "history", "key", "keycreate", "keyrevoke"];

/// Where a template's `data` may come from.
pub const DATA_SOURCES: [&str; 12] = [
    "now.date",
    "now.time",
    "now.iso_week",
    "now.iso",
    "installation.version",
    "installation.uptime",
    "installation.started_at",
    "installation.status",
    "installation.bots",
    "installation.online",
    "installation.stats",
    "installation.recent",
];

/// Where a mapped parameter's value may come from.
pub const MAPPED_SOURCES: [&str; 8] =
    ["user.id", "user.name", "channel.id", "channel.name", "channel.type", "conversation.id", "team.id", "team.name"];

/// The names that clients of the automation API use for the same.
const MAPPED_ADDRESSES: [(&str, &str); 6] = [
    ("atomist://slack/channel", "channel.id"),
    ("atomist://slack/channel_name", "channel.name"),
    ("atomist://slack/channel_type", "channel.type"),
    ("atomist://slack/team", "team.id"),
    ("atomist://slack/user", "user.id"),
    ("atomist://slack/user_name", "user.name"),
];

/// A command as read, with what its bot needs.
pub(super) struct Read {
    pub(super) command: Command,
    pub(super) places: Places,
    pub(super) reply: Option<Compiled>,
    pub(super) document: Option<Document>,
}

/// Where the things stand that only the whole bot, or all bots together, can show to be wrong.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) name: Place,
    pub(super) intents: Vec<Place>,
    pub(super) examples: Vec<Place>,
    /// The commands that the reply's actions run.
    pub(super) references: Vec<Reference>,
}

/// What the reading of a command needs to know about its bot.
pub(super) struct Surroundings<'a> {
    pub(super) bot: &'a str,
    /// The bot's folder, relative to the directory of bots.
    pub(super) path: &'a Path,
    /// Whether replies are rendered once with sample values.
    pub(super) rehearse: bool,
}

pub(super) fn read(sheet: &mut Sheet, folder: &mut Folder, node: &Node, around: &Surroundings<'_>) -> Option<Read> {
    sheet.entries(node, "a command", &KEYS, &LATER)?;
    let (name, name_at) = read_name(sheet, node);
    let parameters = node.get("parameters").map(|node| parameter::read_all(sheet, node)).unwrap_or_default();
    let mapped_parameters =
        node.get("mapped_parameters").map(|node| read_mapped(sheet, node, &parameters)).unwrap_or_default();
    let data = node.get("data").map(|node| read_data(sheet, node)).unwrap_or_default();
    let (intents, intents_at) = read_intents(sheet, node, name_at, &parameters);
    let (examples, examples_at) = read_examples(sheet, node, name_at, &parameters);
    let access = node.get("access").map(|node| access::read(sheet, node, Some(&parameters))).unwrap_or_default();
    let description = node.get("description").and_then(|node| sheet.text(node, "\"description\"")).unwrap_or_default();
    let effect = read_effect(sheet, node);
    let (confirm, approve) = approval::read(sheet, node, effect);
    let mut command = Command {
        bot: around.bot.to_owned(),
        name,
        description: description.trim().to_owned(),
        intents,
        parameters,
        mapped_parameters,
        examples,
        access,
        effect,
        confirm,
        approve,
        auto_submit: node.get("auto_submit").and_then(|node| sheet.flag(node, "\"auto_submit\"")).unwrap_or(true),
        priority: node.get("priority").and_then(|node| sheet.number(node, "\"priority\"")).unwrap_or_default(),
        body: Body::Reply(Reply::default()),
        data,
    };
    let document = steps::read(sheet, folder, node, around, &mut command);
    let read = read_body(sheet, folder, node, name_at, around, &mut command);
    let (reply, references) = read.map_or((None, Vec::new()), |(reply, references)| (Some(reply), references));
    let places = Places { name: name_at, intents: intents_at, examples: examples_at, references };
    Some(Read { command, places, reply, document })
}

fn read_name(sheet: &mut Sheet, command: &Node) -> (String, Place) {
    let Some(node) = command.get("name") else {
        sheet.error(command.at, "the command has no \"name\"");
        return (String::new(), command.at);
    };
    let name = sheet.text(node, "\"name\"").unwrap_or_default();
    if !name.is_empty() && !is_name(name) {
        sheet.error(
            node.at,
            format!("\"{name}\" cannot name a command: a letter, then letters, digits, - _ or ., at most 64"),
        );
    } else if RESERVED.contains(&fold(name).as_str()) {
        sheet.error(node.at, format!("every installation has a command \"{name}\": choose another name"));
    }
    (name.to_owned(), node.at)
}

fn read_effect(sheet: &mut Sheet, command: &Node) -> Effect {
    let word = command.get("effect").and_then(|node| sheet.one_of(node, "effect", &["read", "change", "destroy"]));
    match word {
        Some("change") => Effect::Change,
        Some("destroy") => Effect::Destroy,
        _ => Effect::Read,
    }
}

fn read_mapped(sheet: &mut Sheet, node: &Node, parameters: &[Parameter]) -> BTreeMap<String, String> {
    let mut mapped = BTreeMap::new();
    for Entry { key, key_at, value } in sheet.map(node, "\"mapped_parameters\"").unwrap_or_default() {
        if !is_name(key) {
            sheet.error(*key_at, format!("\"{key}\" cannot name a parameter"));
        }
        if parameters.iter().any(|parameter| fold(&parameter.name) == fold(key)) {
            sheet.error(*key_at, format!("\"{key}\" is a parameter already"));
        }
        let Some(written) = sheet.text(value, "a mapped parameter") else { continue };
        let source =
            MAPPED_ADDRESSES.iter().find(|(address, _)| *address == written).map_or(written, |(_, source)| source);
        if MAPPED_SOURCES.contains(&source) {
            mapped.insert(key.clone(), source.to_owned());
        } else {
            let known = MAPPED_SOURCES.into_iter().chain(MAPPED_ADDRESSES.iter().map(|(address, _)| *address));
            sheet.error_near(
                value.at,
                format!("a parameter cannot be mapped to \"{written}\" ({})", MAPPED_SOURCES.join(", ")),
                nearest(written, known),
            );
        }
    }
    mapped
}

fn read_data(sheet: &mut Sheet, node: &Node) -> BTreeMap<String, String> {
    let mut data = BTreeMap::new();
    for Entry { key, key_at, value } in sheet.map(node, "\"data\"").unwrap_or_default() {
        if !is_name(key) || key.contains(['.', '-']) {
            sheet.error(*key_at, format!("\"{key}\" cannot name data: a letter, then letters, digits or _"));
        } else if !Names::is_free(key) {
            sheet.error(*key_at, format!("\"{key}\" means something else in a template: choose another name"));
        }
        let Some(source) = sheet.text(value, "data") else { continue };
        if DATA_SOURCES.contains(&source) {
            data.insert(key.clone(), source.to_owned());
        } else {
            let message = format!("there is no data \"{source}\"");
            sheet.error_near(value.at, message, nearest(source, DATA_SOURCES));
        }
    }
    data
}

fn read_intents(
    sheet: &mut Sheet,
    command: &Node,
    name_at: Place,
    parameters: &[Parameter],
) -> (Vec<String>, Vec<Place>) {
    let (mut intents, mut places) = (Vec::new(), Vec::new());
    for node in ["intent", "intents"].into_iter().filter_map(|key| command.get(key)) {
        for item in sheet.one_or_many(node) {
            let Some(intent) = sheet.text(item, "an intent") else { continue };
            if let Err(fault) = crate::intent::Pattern::parse(intent, parameters) {
                let at = item.locate(&sheet.source, fault.at.start);
                sheet.report(at, Level::Error, fault.message, fault.suggestion);
            }
            intents.push(intent.to_owned());
            places.push(item.at);
        }
    }
    if intents.is_empty() && !sheet.has_errors() {
        sheet.error(name_at, "the command has no \"intent\": what people say to run it");
    }
    (intents, places)
}

fn read_examples(
    sheet: &mut Sheet,
    command: &Node,
    name_at: Place,
    parameters: &[Parameter],
) -> (Vec<Example>, Vec<Place>) {
    let (mut examples, mut places) = (Vec::new(), Vec::new());
    let Some(node) = command.get("examples") else {
        sheet.error(name_at, "the command has no \"examples\": write at least one thing people say");
        return (examples, places);
    };
    for item in sheet.one_or_many(node) {
        let example = match &item.kind {
            Kind::Map(_) => read_example(sheet, item, parameters),
            _ => sheet.text(item, "an example").map(|say| Example { say: say.to_owned(), expect: BTreeMap::new() }),
        };
        if let Some(example) = example {
            examples.push(example);
            places.push(item.at);
        }
    }
    if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
        sheet.error(node.at, "\"examples\" is empty: write at least one thing people say");
    }
    (examples, places)
}

fn read_example(sheet: &mut Sheet, item: &Node, parameters: &[Parameter]) -> Option<Example> {
    sheet.entries(item, "an example", &["say", "expect"], NOTHING_LATER)?;
    let Some(say) = item.get("say") else {
        sheet.error(item.at, "the example has no \"say\"");
        return None;
    };
    let say = sheet.text(say, "\"say\"")?.to_owned();
    let mut expect = BTreeMap::new();
    if let Some(node) = item.get("expect") {
        for Entry { key, key_at, value } in sheet.map(node, "\"expect\"").unwrap_or_default() {
            if !parameters.iter().any(|parameter| parameter.name == *key) {
                let known = parameters.iter().map(|parameter| parameter.name.as_str());
                sheet.error_near(*key_at, format!("there is no parameter \"{key}\""), nearest(key, known));
            }
            if let Some(text) = sheet.text(value, "what is expected") {
                expect.insert(key.clone(), text.to_owned());
            }
        }
    }
    Some(Example { say, expect })
}

fn read_body(
    sheet: &mut Sheet,
    folder: &mut Folder,
    node: &Node,
    name_at: Place,
    around: &Surroundings<'_>,
    command: &mut Command,
) -> Option<(Compiled, Vec<Reference>)> {
    let bodies: Vec<&str> = BODIES.into_iter().filter(|key| node.get(key).is_some()).collect();
    match bodies.as_slice() {
        [] => sheet
            .error(name_at, "the command does nothing: write a \"reply\", \"steps\", a \"playbook\" or a \"remote\""),
        [_] => {}
        several => {
            let message = format!("a command does one thing, not several ({})", several.join(", "));
            sheet.error(name_at, message);
        }
    }
    if let Some(remote) = node.get("remote") {
        if let Some(data) = node.entry("data") {
            sheet.error(data.key_at, "\"data\" is for the templates of a \"reply\"; a process elsewhere gets none");
        }
        command.body = Body::Remote(remote::read(sheet, remote));
        return None;
    }
    let written = reply::read(sheet, folder, node.get("reply")?);
    command.body = Body::Reply(written.reply.clone());
    let compiled = written.compile(sheet, around.path, Names::of(command))?;
    if around.rehearse {
        for values in sample::values(command) {
            if let Err(fault) = compiled.render(&values) {
                written.report(sheet, around.path, &fault);
                break;
            }
        }
    }
    let references = written.references(&compiled);
    Some((compiled, references))
}
