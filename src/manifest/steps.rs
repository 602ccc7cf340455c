//! A command that has steps: written out, or as a playbook in the bot's folder.

use std::collections::BTreeMap;

use super::command::Surroundings;
use super::fault::Level;
use super::flow::{self, About, Document};
use super::folder::{Folder, Unread};
use super::sheet::Sheet;
use super::yaml::{Entry, Node};
use crate::model::command::{Body, Command, Steps};
use crate::model::name::{fold, is_name};
use crate::template::nearest;

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
    if node.get("steps").is_none() && node.get("playbook").is_none() {
        for entry in ["secrets", "concurrency"].into_iter().filter_map(|key| node.entry(key)) {
            let message = format!("\"{}\" is for a command with \"steps\" or a \"playbook\"", entry.key);
            sheet.error(entry.key_at, message);
        }
        return None;
    }
    let secrets = node.get("secrets").map(|node| read_secrets(sheet, node, command)).unwrap_or_default();
    let parameters = command.parameters.iter().map(|parameter| parameter.name.clone());
    let given = command.mapped_parameters.keys().chain(secrets.keys()).cloned();
    let inputs: Vec<String> = parameters.chain(given).collect();
    let document = if let Some(steps) = node.get("steps") {
        let about = About { file: &file, name: &name, title: &command.name };
        flow::read_steps(sheet, steps, about, &inputs)
    } else {
        let written = node.get("playbook")?;
        read_playbook(sheet, folder, written, around, &name)
    };
    if let (Some(data), true) = (node.entry("data"), node.get("reply").is_none()) {
        sheet.error(data.key_at, "\"data\" is for the templates of a \"reply\"; steps get none");
    }
    let mut document = document?;
    if let Some(written) = node.get("playbook") {
        for input in document.flow.inputs.iter().filter(|input| input.required) {
            let given = command.parameters.iter().any(|parameter| fold(&parameter.name) == fold(&input.name));
            let brought = command.mapped_parameters.contains_key(&input.name) || secrets.contains_key(&input.name);
            if !given && !brought {
                let message =
                    format!("the playbook needs the input \"{}\", and the command has no such parameter", input.name);
                sheet.error(written.at, message);
            }
        }
    }
    if let Some(written) = node.get("secrets").filter(|_| !document.flow.inputs.is_empty()) {
        let declared = || document.flow.inputs.iter().map(|input| input.name.as_str());
        for name in secrets.keys().filter(|name| !declared().any(|input| input == *name)) {
            let near = nearest(name, declared());
            sheet.error_near(written.at, format!("the playbook has no input \"{name}\""), near);
        }
    }
    if let Some(entry) = node.entry("concurrency") {
        if document.flow.concurrency.is_some() {
            sheet.error(entry.key_at, "the playbook says \"concurrency\" itself");
        }
        document = flow::limited(sheet, document, &entry.value, &inputs);
    }
    command.body = Body::Flow(Steps { hash: document.hash.clone(), secrets });
    Some(document)
}

/// Inputs that name a credential, written as `credential/NAME`.
fn read_secrets(sheet: &mut Sheet, node: &Node, command: &Command) -> BTreeMap<String, String> {
    let mut secrets = BTreeMap::new();
    for Entry { key, key_at, value } in sheet.map(node, "\"secrets\"").unwrap_or_default() {
        if !is_name(key) || key.contains(['.', '-']) {
            sheet.error(*key_at, format!("\"{key}\" cannot name a secret: a letter, then letters, digits or _"));
        }
        let is_taken = command.parameter(key).is_some() || command.mapped_parameters.contains_key(key);
        if is_taken {
            sheet.error(*key_at, format!("\"{key}\" is a parameter already"));
        }
        let Some(text) = sheet.line(value, "a secret", 200) else { continue };
        let name = text.strip_prefix("credential/").map(str::trim).unwrap_or_default();
        if name.is_empty() {
            let message = format!("a secret is the name of a credential, as in \"credential/{key}\", not \"{text}\"");
            sheet.error(value.at, message);
        }
        secrets.insert(key.clone(), name.to_owned());
    }
    secrets
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{load_one, told, with_command};
    use crate::model::command::Body;

    const STEPS: &str = "steps: [{id: a, use: x.y, connection: \"${{ inputs.token }}\"}]";

    #[test]
    fn secrets_and_concurrency_come_with_the_document() {
        let lines = format!(
            "parameters:\n  service: {{type: string}}\nmapped_parameters: {{who: user.name}}\n\
             secrets: {{token: credential/deploy bot}}\n\
             concurrency: {{key: \"{{{{parameters.service}}}}-{{{{mapped.who}}}}\", on_conflict: reject}}\n{STEPS}"
        );
        let loaded = load_one(&with_command(&lines), &[]);
        assert_eq!(told(&loaded), Vec::<String>::new());
        let Body::Flow(steps) = &loaded.bots[0].bot.commands[0].body else { panic!("steps") };
        assert_eq!(steps.secrets["token"], "deploy bot");
        let document = loaded.bots[0].document("c").unwrap();
        assert_eq!(
            document.value["concurrency"],
            json!({ "limit": 1, "on_conflict": "reject", "key": "${{ inputs[\"service\"] ~ \"-\" ~ inputs[\"who\"] }}" })
        );
        assert_eq!(steps.hash, document.hash);
        let other = load_one(&with_command(&lines.replace("reject", "queue")), &[]);
        assert_ne!(other.bots[0].document("c").unwrap().hash, document.hash, "a run is pinned to it");
    }

    #[test]
    fn what_is_wrong_with_them_is_said() {
        for (lines, expected) in [
            (
                "secrets: {token: credential/x}\nreply: x".to_owned(),
                "7:5 \"secrets\" is for a command with \"steps\" or a \"playbook\"",
            ),
            (
                "concurrency: {limit: 1}\nremote: {}".to_owned(),
                "7:5 \"concurrency\" is for a command with \"steps\" or a \"playbook\"",
            ),
            (
                format!("secrets: {{token: hunter2}}\n{STEPS}"),
                "7:22 a secret is the name of a credential, as in \"credential/token\", not \"hunter2\"",
            ),
            (
                format!("parameters: {{token: {{}}}}\nsecrets: {{token: credential/x}}\n{STEPS}"),
                "8:15 \"token\" is a parameter already",
            ),
            (
                format!("secrets: {{token: credential/x}}\nconcurrency: {{key: \"{{{{parameters.tokn}}}}\"}}\n{STEPS}"),
                "8:24 there is no parameter \"parameters.tokn\" for \"key\", did you mean \"token\"?",
            ),
            (
                format!("secrets: {{token: credential/x}}\nconcurrency: {{limit: 0}}\n{STEPS}"),
                "8:18 \"limit\" is at least 1",
            ),
        ] {
            assert_eq!(told(&load_one(&with_command(&lines), &[])), [format!("b/bot.yaml:{expected}")], "{lines}");
        }
    }
}
