//! The bots' commands as slash commands: `/bot command option: …`.
//!
//! One top command for each bot, one sub-command for each of its commands, options from parameters. A bot that does not
//! fit, and anything that is not offered, is reached by `/bot run text:`, which completes what is typed.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Discord, PLATFORM};
use crate::chat::outside::Outside;
use crate::engine::registry::Snapshot;
use crate::model::Result;
use crate::model::bot::Bot;
use crate::model::command::Command;
use crate::model::id::sha256_hex;
use crate::model::parameter::{Parameter, ParameterType};
use crate::model::principal::{Principal, PrincipalKind, Rights, Role};
use crate::render::plain_line;

/// The sub-command that takes any text.
pub(super) const GENERIC: &str = "run";

const MOST_BOTS: usize = 100;
const MOST_COMMANDS: usize = 25;
const MOST_OPTIONS: usize = 25;
const MOST_CHOICES: usize = 25;
const DESCRIPTION: usize = 100;
const CHOICE: usize = 100;
/// All names, descriptions and values of one top command, in characters.
const BUDGET: usize = 8_000;

/// What was offered last, in the store.
const OFFERED: &str = "commands";

/// Whether Discord takes it as a name.
fn is_name(name: &str) -> bool {
    let is_mark = |c: char| matches!(c, '-' | '_' | '\'') || (c.is_alphanumeric() && !c.is_uppercase());
    (1..=32).contains(&name.chars().count()) && name.chars().all(is_mark)
}

fn description(text: &str, instead: &str) -> String {
    let line = plain_line(text, DESCRIPTION);
    if line.is_empty() { plain_line(instead, DESCRIPTION) } else { line }
}

/// All texts that Discord counts.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum(),
        _ => 0,
    }
}

fn option(parameter: &Parameter) -> Option<Value> {
    if !is_name(&parameter.name) {
        return None;
    }
    let kind = match &parameter.kind {
        ParameterType::Integer => 4,
        ParameterType::Boolean => 5,
        ParameterType::Number => 10,
        _ => 3,
    };
    let mut option = json!({
        "type": kind,
        "name": parameter.name,
        "description": description(&parameter.description, parameter.prompt.as_deref().unwrap_or(&parameter.name)),
        "required": parameter.required && parameter.default.is_none(),
    });
    if let ParameterType::Choice { choices } = &parameter.kind {
        let fits = choices.len() <= MOST_CHOICES
            && choices.iter().all(|choice| (1..=CHOICE).contains(&choice.chars().count()));
        if fits {
            option["choices"] = choices.iter().map(|choice| json!({ "name": choice, "value": choice })).collect();
        } else {
            option["autocomplete"] = json!(true);
        }
    } else if kind == 3 {
        if let Some(least) = parameter.min_length.filter(|least| *least <= 6000) {
            option["min_length"] = json!(least);
        }
        if let Some(most) = parameter.max_length.filter(|most| (1..=6000).contains(most)) {
            option["max_length"] = json!(most);
        }
    }
    Some(option)
}

/// A command as a sub-command; none when Discord could not show it.
fn sub_command(command: &Command) -> Option<Value> {
    // A hidden value would stand in the channel's history of commands.
    let is_open = command.parameters.iter().all(|parameter| !parameter.hidden);
    if !is_name(&command.name) || command.name == GENERIC || !is_open || command.parameters.len() > MOST_OPTIONS {
        return None;
    }
    let mut options = command.parameters.iter().map(option).collect::<Option<Vec<_>>>()?;
    // Required ones stand first.
    options.sort_by_key(|option| option["required"] != true);
    Some(json!({
        "type": 1,
        "name": command.name,
        "description": description(&command.description, &command.name),
        "options": options,
    }))
}

/// A bot as a top command; none when Discord does not take its name.
fn top_command(bot: &Bot, commands: &[Arc<Command>]) -> Option<Value> {
    if !is_name(&bot.name) {
        return None;
    }
    let generic = json!({
        "type": 1,
        "name": GENERIC,
        "description": format!("Say anything to {}", plain_line(&bot.name, 60)),
        "options": [{
            "type": 3, "name": "text", "description": "What you would type", "required": true, "autocomplete": true,
            "max_length": 2000,
        }],
    });
    let of = |options: Vec<Value>| {
        let description = description(&bot.description, &bot.name);
        json!({ "type": 1, "name": bot.name, "description": description, "contexts": [0, 1], "options": options })
    };
    let mut options: Vec<Value> = commands.iter().filter_map(|command| sub_command(command)).collect();
    if options.len() < MOST_COMMANDS {
        options.push(generic.clone());
        let whole = of(options);
        if size(&whole) <= BUDGET {
            return Some(whole);
        }
    }
    Some(of(vec![generic]))
}

/// Everything that is offered, of what any user may run: names of the rest are nobody's to read.
pub(super) fn tree(snapshot: &Snapshot) -> Value {
    let anybody = Principal {
        id: "user:anybody".to_owned(),
        kind: PrincipalKind::User,
        name: "anybody".to_owned(),
        roles: vec![Role::User],
        groups: Vec::new(),
        serves: Vec::new(),
        rights: Rights::default(),
    };
    let bots = snapshot.visible_bots(&anybody).into_iter().filter_map(|(loaded, _)| {
        let commands = snapshot.visible_commands(&anybody, Some(&loaded.bot.name));
        top_command(&loaded.bot, &commands.into_iter().map(|(_, command)| command).collect::<Vec<_>>())
    });
    bots.take(MOST_BOTS).collect()
}

impl Discord {
    /// Offers the commands there are now, unless they are what was offered last. Answers whether they were sent.
    pub(super) async fn offer_commands(&self, outside: &Outside, application: &str) -> Result<bool> {
        let tree = tree(&outside.hub().snapshot());
        let digest = format!("{application}:{}", sha256_hex(tree.to_string().as_bytes()));
        if outside.store().remembered(PLATFORM, OFFERED).await?.is_some_and(|last| last == digest) {
            return Ok(false);
        }
        let path = format!("/applications/{application}/commands");
        self.rest.put(&path, &tree).await.map_err(|error| super::unavailable(&error))?;
        outside.store().remember(PLATFORM, OFFERED, digest, outside.clock().now()).await?;
        tracing::info!("offered the commands to Discord");
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::approval::Confirm;
    use crate::model::bot::Access;
    use crate::model::command::{Body, Effect, Reply};

    fn command(name: &str, parameters: Vec<Parameter>) -> Arc<Command> {
        Arc::new(Command {
            bot: "ops".into(),
            name: name.into(),
            description: "Does it".into(),
            intents: Vec::new(),
            parameters,
            mapped_parameters: BTreeMap::new(),
            examples: Vec::new(),
            access: Access::default(),
            effect: Effect::Read,
            confirm: Confirm::Never,
            approve: None,
            auto_submit: true,
            priority: 0,
            body: Body::Reply(Reply::default()),
            data: BTreeMap::new(),
        })
    }

    fn parameter(name: &str, kind: ParameterType, required: bool) -> Parameter {
        Parameter { name: name.into(), kind, required, ..Parameter::default() }
    }

    fn bot() -> Bot {
        Bot {
            name: "ops".into(),
            display_name: String::new(),
            description: String::new(),
            avatar: String::new(),
            access: Access::default(),
            commands: Vec::new(),
            version: String::new(),
        }
    }

    fn names(tree: &Value) -> Vec<&str> {
        tree["options"].as_array().unwrap().iter().map(|option| option["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn commands_become_sub_commands_and_parameters_options() {
        let few = ParameterType::Choice { choices: vec!["staging".into(), "prod".into()] };
        let many = ParameterType::Choice { choices: (0..26).map(|at| at.to_string()).collect() };
        let deploy = command(
            "deploy",
            vec![
                parameter("note", ParameterType::Text, false),
                parameter("where", few, true),
                parameter("host", many, true),
                parameter("count", ParameterType::Integer, true),
            ],
        );
        let tree = top_command(&bot(), &[deploy, command("Status", vec![]), command("run", vec![])]).unwrap();
        assert_eq!(names(&tree), ["deploy", "run"], "what Discord takes no name for is said instead");
        let options = tree["options"][0]["options"].as_array().unwrap();
        assert_eq!(names(&tree["options"][0]), ["where", "host", "count", "note"], "required ones first");
        assert_eq!(options[0]["choices"][1]["value"], "prod");
        assert_eq!(options[1]["autocomplete"], true, "more choices than can be listed are completed");
        assert_eq!(options[2]["type"], 4);
        assert_eq!(tree["description"], "ops", "a description is never empty");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let many: Vec<_> = (0..25).map(|at| command(&format!("c{at}"), vec![])).collect();
        assert_eq!(names(&top_command(&bot(), &many).unwrap()), [GENERIC]);
        assert_eq!(names(&top_command(&bot(), &many[..24]).unwrap()).len(), 25);
        let wide = |at: usize| {
            let options =
                (0..20).map(|at| parameter(&format!("a-rather-long-name-{at}"), ParameterType::String, false));
            command(&format!("c{at}"), options.collect())
        };
        let wide: Vec<_> = (0..12).map(wide).collect();
        assert_eq!(names(&top_command(&bot(), &wide).unwrap()), [GENERIC], "more than 8,000 characters");
        let secret = Parameter { hidden: true, ..parameter("token", ParameterType::String, true) };
        assert_eq!(names(&top_command(&bot(), &[command("login", vec![secret])]).unwrap()), [GENERIC]);
        assert!(top_command(&Bot { name: "No Name".into(), ..bot() }, &[]).is_none());
    }
}
