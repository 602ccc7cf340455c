//! A command that has steps: written out, or as a playbook in the bot's folder.

use super::command::Surroundings;
use super::fault::Level;
use super::flow::{self, About, Document};
use super::folder::{Folder, Unread};
use super::sheet::Sheet;
use super::yaml::Node;
use crate::model::command::{Body, Command, Steps};
use crate::model::name::fold;

/// Reads `steps` or `playbook` of a command; none when it has neither.
pub(super) fn read(
    sheet: &mut Sheet,
    folder: &mut Folder,
    node: &Node,
    around: &Surroundings<'_>,
    command: &mut Command,
) -> Option<Document> {
    let name = format!("{}/{}", around.bot, command.name.to_lowercase());
    let file = sheet.file.clone();
    let document = if let Some(steps) = node.get("steps") {
        let parameters = command.parameters.iter().map(|parameter| parameter.name.clone());
        let inputs: Vec<String> = parameters.chain(command.mapped_parameters.keys().cloned()).collect();
        let about = About { file: &file, name: &name, title: &command.name };
        flow::read_steps(sheet, steps, about, &inputs)
    } else {
        let written = node.get("playbook")?;
        read_playbook(sheet, folder, written, around, &name)
    };
    if let (Some(data), true) = (node.entry("data"), node.get("reply").is_none()) {
        sheet.error(data.key_at, "\"data\" is for the templates of a \"reply\"; steps get none");
    }
    let document = document?;
    if let Some(written) = node.get("playbook") {
        for input in document.flow.inputs.iter().filter(|input| input.required) {
            let given = command.parameters.iter().any(|parameter| fold(&parameter.name) == fold(&input.name));
            if !given && !command.mapped_parameters.keys().any(|name| *name == input.name) {
                let message =
                    format!("the playbook needs the input \"{}\", and the command has no such parameter", input.name);
                sheet.error(written.at, message);
            }
        }
    }
    command.body = Body::Flow(Steps { hash: document.hash.clone() });
    Some(document)
}

fn read_playbook(
    sheet: &mut Sheet,
    folder: &mut Folder,
    written: &Node,
    around: &Surroundings<'_>,
    name: &str,
) -> Option<Document> {
    let path = sheet.line(written, "\"playbook\"", 200)?.to_owned();
    let source = match folder.read(&path) {
        Ok(source) => source.to_owned(),
        Err(Unread::Missing) => {
            sheet.error(written.at, format!("there is no file \"{path}\" in the bot's folder"));
            return None;
        }
        Err(Unread::Refused(why)) => {
            sheet.error(written.at, why);
            return None;
        }
    };
    let file = around.path.join(&path);
    let title = name.rsplit('/').next().unwrap_or(name);
    let (document, faults) = match flow::read(&source, About { file: &file, name, title }) {
        Ok(document) => {
            let warnings = document.warnings.clone();
            (Some(document), warnings)
        }
        Err(faults) => (None, faults),
    };
    for fault in faults {
        let level = if fault.level == Level::Error { Level::Error } else { Level::Warning };
        sheet.report_in(&file, (fault.line, fault.column), level, fault.message, fault.suggestion);
    }
    document
}
