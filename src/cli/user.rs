//! `parlour user`: who is known here, and signing somebody out.

use clap::Subcommand;

use super::{Settings, print, with_identity};
use crate::clock::rfc3339;
use crate::model::person::PeopleFilter;

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Print everybody who ever signed in or was pushed here.
    List {
        /// A part of an id, a name, a username or an address.
        #[arg(default_value = "")]
        search: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// End every login session of a user; their sockets are closed within a second. Keys go on counting.
    SignOut {
        /// Their id, as `user list` prints it.
        id: String,
        #[command(flatten)]
        settings: Settings,
    },
}

/// How many are read at once.
const PAGE: i64 = 200;

pub(super) async fn run(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::List { search, settings } => {
            let everybody = async |identity: std::sync::Arc<crate::identity::Identity>, _| {
                let mut filter = PeopleFilter { search, before: None, limit: PAGE };
                let mut users = Vec::new();
                loop {
                    let page = identity.known_people(&filter).await?;
                    filter.before = page.last().map(|user| user.id.clone());
                    let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
                    users.extend(page);
                    if is_last {
                        return Ok(users);
                    }
                }
            };
            for user in with_identity(&settings.load()?, everybody).await? {
                let roles: Vec<&str> = user.roles.iter().map(|role| role.as_str()).collect();
                print(&format!(
                    "{}  {}  {}  seen {}{}  {}\n",
                    user.id,
                    if roles.is_empty() { "-".to_owned() } else { roles.join(",") },
                    user.email.or(user.username).as_deref().unwrap_or("-"),
                    user.last_seen_at.map_or_else(|| "never".to_owned(), rfc3339),
                    user.disabled_at.map_or_else(String::new, |at| format!("  away since {}", rfc3339(at))),
                    user.name,
                ))?;
            }
        }
        UserCommand::SignOut { id, settings } => {
            let work = async |identity: std::sync::Arc<crate::identity::Identity>, doer| {
                identity.sign_out_everywhere(&id, doer).await
            };
            let ended = with_identity(&settings.load()?, work).await?.len();
            print(&format!("{ended} {} of {id} ended\n", if ended == 1 { "session" } else { "sessions" }))?;
        }
    }
    Ok(())
}
