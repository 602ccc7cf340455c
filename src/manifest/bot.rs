//! A bot's folder as a bot.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::access;
use super::command::{self, Places, Read, Surroundings};
use super::fault::{Fault, Level};
use super::folder::{Folder, Unread};
use super::load::LoadedBot;
use super::sheet::Sheet;
use super::yaml::{self, Node};
use crate::intent;
use crate::model::bot::Bot;
use crate::model::name::{fold, is_bot_name};

/// The keys of a bot.
pub const KEYS: [&str; 7] = ["apiVersion", "name", "display_name", "description", "avatar", "access", "commands"];

const LATER: [&str; 1] = ["listen"];

/// The file that makes a folder a bot.
pub const FILE: &str = "bot.yaml";

/// The form of manifest that this version reads.
pub const API_VERSION: &str = "bot/v1";

/// Reads the bot in `dir/name`. There is a bot only when nothing is at fault.
pub(super) fn read(dir: &Path, name: &str, rehearse: bool) -> (Option<LoadedBot>, Vec<Fault>) {
    let mut sheet = Sheet { file: Path::new(name).join(FILE), source: String::new(), faults: Vec::new() };
    let bot = read_folder(&mut sheet, &dir.join(name), name, rehearse);
    let bot = if sheet.has_errors() { None } else { bot };
    sheet.faults.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    (bot, sheet.faults)
}

fn read_folder(sheet: &mut Sheet, path: &Path, name: &str, rehearse: bool) -> Option<LoadedBot> {
    let source = match Folder::open(path).map(|mut folder| folder.read(FILE).map(str::to_owned).map(|s| (folder, s))) {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(Unread::Missing)) => Err(format!("there is no {FILE} in this folder")),
        Ok(Err(Unread::Refused(why))) => Err(why),
        Err(error) => Err(format!("the folder cannot be read: {error}")),
    };
    let mut folder = match source {
        Ok((folder, source)) => {
            sheet.source = source;
            folder
        }
        Err(why) => {
            sheet.error((1, 1), why);
            return None;
        }
    };
    match yaml::parse(&sheet.source) {
        Ok(root) => read_bot(sheet, &mut folder, &root, name, rehearse),
        Err(fault) => {
            sheet.error(fault.at, fault.message);
            None
        }
    }
}

fn read_bot(sheet: &mut Sheet, folder: &mut Folder, root: &Node, name: &str, rehearse: bool) -> Option<LoadedBot> {
    const LONGEST: usize = 100;
    sheet.entries(root, "a manifest", &KEYS, &LATER)?;
    check_version(sheet, root);
    check_name(sheet, root, name);
    let line = |sheet: &mut Sheet, key: &str, longest| {
        root.get(key).and_then(|node| sheet.line(node, &format!("\"{key}\""), longest)).unwrap_or_default().to_owned()
    };
    let display_name = match line(sheet, "display_name", LONGEST) {
        none if none.is_empty() => name.to_owned(),
        given => given,
    };
    let description = root.get("description").and_then(|node| sheet.text(node, "\"description\"")).unwrap_or_default();
    let avatar = line(sheet, "avatar", 16);
    if avatar.contains('.')
        && let Some(node) = root.get("avatar")
    {
        sheet.error(node.at, "a file as \"avatar\" is not supported by this version: write an emoji");
    }
    let access = root.get("access").map(|node| access::read(sheet, node, None)).unwrap_or_default();
    let commands = read_commands(sheet, folder, root, &Surroundings { bot: name, path: Path::new(name), rehearse });
    let mut bot = Bot {
        name: name.to_owned(),
        display_name,
        description: description.trim().to_owned(),
        avatar,
        access,
        commands: Vec::with_capacity(commands.len()),
        version: folder.version(),
    };
    let (mut replies, mut documents) = (BTreeMap::new(), BTreeMap::new());
    let mut places = Vec::with_capacity(commands.len());
    for read in commands {
        if let Some(reply) = read.reply {
            replies.insert(fold(&read.command.name), Arc::new(reply));
        }
        if let Some(document) = read.document {
            documents.insert(fold(&read.command.name), Arc::new(document));
        }
        bot.commands.push(Arc::new(read.command));
        places.push(read.places);
    }
    for reference in places.iter().flat_map(|places: &Places| &places.references) {
        if reference.is_to(&bot.name) {
            reference.check(&bot, |at, message, suggestion| sheet.report(at, Level::Error, message, suggestion));
        }
    }
    let lints = if sheet.has_errors() { Vec::new() } else { intent::lint_bot(&bot) };
    let loaded = LoadedBot { bot: Arc::new(bot), replies, documents, places: places.into() };
    for lint in lints {
        let (at, level) = loaded.place(&lint);
        sheet.report(at, level, lint.message, None);
    }
    Some(loaded)
}

fn check_version(sheet: &mut Sheet, root: &Node) {
    match root.get("apiVersion") {
        None => sheet.error(root.at, format!("\"apiVersion\" is missing: write apiVersion: {API_VERSION}")),
        Some(node) => {
            if let Some(version) = sheet.text(node, "\"apiVersion\"")
                && version != API_VERSION
            {
                let message = format!("this version reads apiVersion {API_VERSION}, not \"{version}\"");
                sheet.error(node.at, message);
            }
        }
    }
}

fn check_name(sheet: &mut Sheet, root: &Node, folder: &str) {
    let Some(node) = root.get("name") else {
        sheet.error(root.at, "the bot has no \"name\"");
        return;
    };
    let Some(name) = sheet.text(node, "\"name\"") else { return };
    if !is_bot_name(name) {
        sheet.error(node.at, format!("\"{name}\" cannot name a bot: a small letter, then small letters, digits or -"));
    } else if name != folder {
        sheet.error(node.at, format!("the bot is named \"{name}\" and its folder \"{folder}\""));
    }
}

fn read_commands(sheet: &mut Sheet, folder: &mut Folder, root: &Node, around: &Surroundings<'_>) -> Vec<Read> {
    let Some(node) = root.get("commands") else {
        sheet.error(root.at, "the bot has no \"commands\"");
        return Vec::new();
    };
    let mut commands = Vec::new();
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    for item in sheet.list(node, "\"commands\"") {
        let Some(read) = command::read(sheet, folder, item, around) else { continue };
        let name = &read.command.name;
        if !name.is_empty()
            && let Some(line) = names.insert(fold(name), read.places.name.0)
        {
            sheet.error(read.places.name, format!("command \"{name}\" is there already, in line {line}"));
        }
        commands.push(read);
    }
    if commands.is_empty() && !sheet.has_errors() {
        sheet.error(node.at, "the bot has no commands");
    }
    commands
}
