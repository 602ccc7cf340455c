//! `parlour credential`: which credentials there are, and where somebody signs in for them.

use std::time::Duration;

use clap::Subcommand;

use super::{Settings, print, reached_at};
use crate::app;
use crate::clock::Clock;
use crate::tasks::Tasks;

#[derive(Subcommand)]
pub(super) enum CredentialCommand {
    /// Print all credentials, without what is secret in them; for those that somebody signs in for, how they stand and the
    /// page to do that at.
    List(Settings),
}

pub(super) async fn run(CredentialCommand::List(settings): CredentialCommand) -> anyhow::Result<()> {
    let config = settings.load()?;
    let (tasks, clock) = (Tasks::new(), Clock::system());
    let (store, identity) = app::open_store(&config, clock.clone(), &tasks).await?;
    let lines = async {
        let connectors = app::Outbound::open(&config, &store, &clock, &tasks).await?.connectors(&config).await?;
        connectors.reached_at(&reached_at(&config));
        let mut states = connectors.token_states().await?;
        let mut lines = String::new();
        for credential in connectors.credentials(&identity.operator()).await? {
            let standing = match states.remove(&credential.id) {
                None => String::new(),
                Some(state) => {
                    let reason = state.reason.map(|reason| format!("  needs sign-in: {reason}"));
                    let by = || format!("  signed in by {}", state.signed_in_by.as_deref().unwrap_or("-"));
                    format!("{}  {}", reason.unwrap_or_else(by), connectors.sign_in_page(&credential.id))
                }
            };
            let (id, provider, kind, name) = (&credential.id, &credential.provider, &credential.kind, &credential.name);
            lines.push_str(&format!("{id}  {provider}  {kind}  {name}{standing}\n"));
        }
        anyhow::Ok(lines)
    };
    let lines = lines.await;
    store.close();
    tasks.stop(Duration::from_secs(10)).await;
    print(&lines?)
}
