//! `parlour connector`: trying an action, and making a manifest from the description of an API.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::Value;

use super::{Settings, reached_at, say};
use crate::app;
use crate::clock::Clock;
use crate::connector::Call;
use crate::manifest::connector::{import, read_connector};
use crate::model::id::new_id;
use crate::tasks::Tasks;

#[derive(Subcommand)]
pub(super) enum ConnectorCommand {
    /// Call an action and print what it answers; exit code 1 when it fails.
    Test {
        /// The connector's type, such as slack.
        kind: String,
        action: String,
        /// A JSON object.
        #[arg(long, default_value = "{}")]
        input: String,
        /// Id or name of an instance or a credential.
        #[arg(long)]
        credential: Option<String>,
        /// Seconds for the whole call.
        #[arg(long, default_value_t = 60)]
        timeout: u64,
        #[command(flatten)]
        settings: Settings,
    },
    /// Make a manifest from the description of an API.
    #[command(subcommand)]
    Import(ImportCommand),
}

#[derive(Subcommand)]
pub(super) enum ImportCommand {
    /// From OpenAPI 3, in JSON or YAML.
    Openapi {
        file: PathBuf,
        /// What steps name it by; otherwise it follows from the title.
        #[arg(long = "type")]
        kind: Option<String>,
        /// Where to write it. When the file is there it is replaced, and what has changed is printed. Without it the
        /// manifest is printed.
        #[arg(long)]
        output: Option<PathBuf>,
    },
}

pub(super) async fn run(command: ConnectorCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConnectorCommand::Import(ImportCommand::Openapi { file, kind, output }) => {
            import_openapi(&file, kind.as_deref(), output.as_deref())
        }
        ConnectorCommand::Test { kind, action, input, credential, timeout, settings } => {
            let input: Value = serde_json::from_str(&input).context("--input is no JSON")?;
            let config = settings.load()?;
            let (tasks, clock) = (Tasks::new(), Clock::system());
            let (store, identity) = app::open_store(&config, clock.clone(), &tasks).await?;
            let outcome = async {
                let connectors =
                    app::Outbound::open(&config, &store, &clock, &tasks).await?.connectors(&config).await?;
                connectors.reached_at(&reached_at(&config));
                let call = Call {
                    connector: &kind,
                    action: &action,
                    input,
                    credential: credential.as_deref(),
                    principal: &identity.operator(),
                    idempotency_key: &new_id(),
                    timeout: Duration::from_secs(timeout),
                };
                anyhow::Ok(Box::pin(connectors.call(call)).await)
            };
            let outcome = outcome.await;
            store.close();
            tasks.stop(Duration::from_secs(10)).await;
            match outcome? {
                Ok(result) => {
                    say(&serde_json::to_string_pretty(&result)?);
                    Ok(ExitCode::SUCCESS)
                }
                Err(failure) => {
                    let sent = if failure.uncertain { "; it may have had its effect" } else { "" };
                    say(&format!("{}: {}{sent}", failure.code, failure.message));
                    Ok(ExitCode::FAILURE)
                }
            }
        }
    }
}

fn import_openapi(file: &Path, kind: Option<&str>, output: Option<&Path>) -> anyhow::Result<ExitCode> {
    let source = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let imported =
        import::openapi(&source, kind).map_err(|message| anyhow::anyhow!("{}: {message}", file.display()))?;
    for note in &imported.notes {
        say(&format!("# {note}"));
    }
    let Some(output) = output else {
        say(&imported.yaml);
        return Ok(ExitCode::SUCCESS);
    };
    if let Err(faults) = read_connector(output, &imported.yaml) {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::bail!("what was made cannot be read back:\n{}", told.join("\n"));
    }
    if output.exists() {
        let before = std::fs::read_to_string(output).with_context(|| format!("failed to read {}", output.display()))?;
        for line in import::difference(&before, &imported.yaml) {
            say(&line);
        }
    }
    std::fs::write(output, &imported.yaml).with_context(|| format!("failed to write {}", output.display()))?;
    say(&format!("{} actions are in {}", imported.actions, output.display()));
    Ok(ExitCode::SUCCESS)
}
