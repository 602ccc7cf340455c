//! `parlour vault`: changing keys, and a copy that a passphrase opens.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Settings, say};
use crate::app;
use crate::clock::Clock;
use crate::connector::CredentialWish;
use crate::model::secret::Secret;
use crate::store::audit::{Action, Deed, Doer};
use crate::tasks::Tasks;
use crate::vault::{open_export, seal_export};

#[derive(Subcommand)]
pub(super) enum VaultCommand {
    /// Change all keys and seal everything anew; servers go on meanwhile. It may be stopped at any time and begun again.
    Rotate(Settings),
    /// Write all credentials into a file that only a passphrase opens.
    Export {
        file: PathBuf,
        /// A file whose first line is the passphrase, at least 12 characters.
        #[arg(long)]
        passphrase_file: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
    /// Read credentials from such a file. One that is there already stays as it is.
    Import {
        file: PathBuf,
        /// A file whose first line is the passphrase.
        #[arg(long)]
        passphrase_file: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
}

fn doer() -> Doer {
    Doer { name: Some("command line".to_owned()), ..Doer::default() }
}

fn passphrase(file: &std::path::Path) -> anyhow::Result<Secret> {
    let text =
        Zeroizing::new(std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?);
    Ok(Secret::new(text.lines().next().unwrap_or_default().trim()))
}

pub(super) async fn run(command: VaultCommand) -> anyhow::Result<()> {
    let tasks = Tasks::new();
    let clock = Clock::system();
    let (settings, work) = match command {
        VaultCommand::Rotate(settings) => (settings, Work::Rotate),
        VaultCommand::Export { file, passphrase_file, settings } => {
            (settings, Work::Export(file, passphrase(&passphrase_file)?))
        }
        VaultCommand::Import { file, passphrase_file, settings } => {
            (settings, Work::Import(file, passphrase(&passphrase_file)?))
        }
    };
    let config = settings.load()?;
    let (store, identity) = app::open_store(&config, clock.clone(), &tasks).await?;
    let done = async {
        let deed = |action, details| Deed { at: clock.now(), action, doer: doer(), target: None, details };
        match work {
            Work::Rotate => {
                let done = app::open_vault(&config, &store, &clock).await?.rotate().await?;
                let details = json!({ "master": done.master, "keys": done.keys, "values": done.values });
                store.record(deed(Action::VaultRotate, details)).await?;
                Ok(format!("{} keys and {} values are sealed under master key {}", done.keys, done.values, done.master))
            }
            Work::Export(file, passphrase) => {
                let connectors =
                    app::Outbound::open(&config, &store, &clock, &tasks).await?.connectors(&config).await?;
                let all = connectors.export().await?;
                let plain = Zeroizing::new(serde_json::to_vec(&all)?);
                write_new(&file, &seal_export(passphrase.expose(), &plain)?)?;
                store.record(deed(Action::VaultExport, json!({ "credentials": all.len() }))).await?;
                Ok(format!("{} credentials are in {}", all.len(), file.display()))
            }
            Work::Import(file, passphrase) => {
                let text =
                    std::fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
                let plain = open_export(passphrase.expose(), &text)?;
                let all: Vec<Value> = serde_json::from_slice(&plain).context("the export cannot be used")?;
                let connectors =
                    app::Outbound::open(&config, &store, &clock, &tasks).await?.connectors(&config).await?;
                let (mut made, mut kept) = (0, 0);
                for one in all {
                    let wish = wish(&one)?;
                    let name = wish.name.clone().unwrap_or_default();
                    match connectors.create_credential(&identity.operator(), wish, doer()).await {
                        Ok(_) => made += 1,
                        Err(error) if error.code == "CREDENTIAL_EXISTS" => kept += 1,
                        Err(error) => return Err(anyhow::anyhow!("credential '{name}': {error}")),
                    }
                }
                store.record(deed(Action::VaultImport, json!({ "credentials": made }))).await?;
                Ok(format!("{made} credentials are new, {kept} were there already"))
            }
        }
    };
    let done: anyhow::Result<String> = done.await;
    store.close();
    tasks.stop(Duration::from_secs(10)).await;
    say(&done?);
    Ok(())
}

enum Work {
    Rotate,
    Export(PathBuf, Secret),
    Import(PathBuf, Secret),
}

/// A file of its owner's alone, which must not be there yet.
fn write_new(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.as_mut().map_err(|error| anyhow::anyhow!("failed to make {}: {error}", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

fn wish(one: &Value) -> anyhow::Result<CredentialWish> {
    let text = |key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
    anyhow::ensure!(text("name").is_some(), "the export cannot be used: a credential has no name");
    Ok(CredentialWish {
        name: text("name"),
        description: text("description"),
        kind: text("type"),
        provider: text("provider"),
        data: one.get("data").cloned(),
        metadata: one.get("metadata").cloned(),
        expires_at: Some(one.get("expires_at").and_then(Value::as_i64)),
    })
}
