//! `parlour bot`: a bot to begin with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;

use super::{check, print};
use crate::manifest::bot_test::FOLDER;
use crate::manifest::check::Format;
use crate::model::conversation::HOUSE_BOT;
use crate::model::name::is_bot_name;

#[derive(Subcommand)]
pub(super) enum BotCommand {
    /// Make a folder with a bot that works: one command and its test.
    New {
        /// Small letters, digits and -; the name of the folder and of the bot.
        name: String,
        /// The folder of bots it goes to.
        #[arg(long, default_value = "bots")]
        dir: PathBuf,
    },
}

pub(super) fn run(command: BotCommand) -> anyhow::Result<ExitCode> {
    let BotCommand::New { name, dir } = command;
    ensure!(is_bot_name(&name), "\"{name}\" cannot name a bot: a small letter, then small letters, digits or -");
    ensure!(name != HOUSE_BOT, "\"{name}\" is the name of the bot that every installation has");
    let folder = dir.join(&name);
    make(&folder, &name)?;
    print(&format!(
        "{} is made. Try it:\n  parlour check {}\n  parlour chat --bots {} --bot {name}\n",
        folder.display(),
        dir.display(),
        dir.display()
    ))?;
    // Beside the bots that are there already, since two may claim the same words.
    let report = check::read(&[dir], &[]);
    if report.is_ok() {
        return Ok(ExitCode::SUCCESS);
    }
    print(&report.write(Format::Text))?;
    Ok(ExitCode::FAILURE)
}

/// Writes the files; what is there already stays as it is.
fn make(folder: &Path, name: &str) -> anyhow::Result<()> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("failed to make {}", parent.display()))?;
    match fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} is there already; nothing was changed", folder.display())
        }
        Err(error) => return Err(error).with_context(|| format!("failed to make {}", folder.display())),
    }
    let tests = folder.join(FOLDER);
    fs::create_dir(&tests).with_context(|| format!("failed to make {}", tests.display()))?;
    let mut display_name = name.replace('-', " ");
    if let Some(first) = display_name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let filled = |template: &str| template.replace("NAME", name).replace("TITLE", &display_name);
    for (file, template) in [(folder.join("bot.yaml"), BOT), (tests.join("greet.yaml"), TEST)] {
        fs::write(&file, filled(template)).with_context(|| format!("failed to write {}", file.display()))?;
    }
    Ok(())
}

const BOT: &str = r#"apiVersion: bot/v1
name: NAME
display_name: TITLE
description: Greets people
avatar: "👋"

commands:
  - name: greet
    description: Greets somebody
    intent: NAME greet {who}
    parameters:
      who: {type: string, max_length: 60, prompt: "Who shall be greeted?"}
    examples:
      - {say: NAME greet Ann, expect: {who: Ann}}
    reply:
      text: "Hello **{{parameters.who}}**, this is TITLE."
      suggestions: ["NAME greet everybody"]
"#;

const TEST: &str = r#"# Said to the bot, and what it must answer; `parlour check` runs it.
- say: NAME greet Ann
  expect: {command: greet, parameters: {who: Ann}, reply: "Hello **Ann**, this is TITLE."}

- say: NAME greet
  expect: {asks: who}
- fill: {who: Bob}
  expect: {reply: "Hello **Bob**, *", not: "*Ann*"}
"#;
