//! Workspaces that our Slack app was installed in.

use super::Store;
use super::audit::Deed;
use super::query::{Failure, query};
use super::transaction::{Transaction, Work, failed};
use super::vault::Sealed;
use crate::model::Result;
use crate::model::conversation::Millis;

/// One workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackInstall {
    /// Slack's id of it.
    pub team: String,
    pub name: String,
    /// The bot's own user there.
    pub bot_user: String,
    /// Between commas, as Slack granted them.
    pub scopes: String,
    /// Principal id of who installed it.
    pub installed_by: String,
    pub installed_at: Millis,
}

/// What is sealed of a workspace is sealed for this owner.
pub fn sealed_owner(team: &str) -> String {
    format!("slack:{team}")
}

struct Put {
    install: SlackInstall,
    token: Sealed,
    deed: Deed,
}

impl Work for Put {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let SlackInstall { team, name, bot_user, scopes, installed_by, installed_at } = &self.install;
        let put = query(
            "INSERT INTO slack_installs (team, name, bot_user, scopes, installed_by, installed_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (team) DO UPDATE SET name = excluded.name, \
             bot_user = excluded.bot_user, scopes = excluded.scopes, installed_by = excluded.installed_by, \
             installed_at = excluded.installed_at",
        );
        let put = put.bind(team).bind(name).bind(bot_user).bind(scopes).bind(installed_by).bind(*installed_at);
        transaction.write(put).await?;
        transaction.put_sealed(&self.token).await?;
        transaction.record(&self.deed).await
    }
}

struct Remove {
    team: String,
    before: Millis,
    deed: Deed,
}

impl Work for Remove {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let remove = query("DELETE FROM slack_installs WHERE team = $1 AND installed_at < $2");
        if transaction.write(remove.bind(&self.team).bind(self.before)).await? == 0 {
            return Ok(false);
        }
        transaction.remove_sealed(&sealed_owner(&self.team)).await?;
        transaction.record(&self.deed).await?;
        Ok(true)
    }
}

impl Store {
    /// Keeps a workspace with its token; installed anew it has the new one.
    pub async fn put_slack_install(&self, install: SlackInstall, token: Sealed, deed: Deed) -> Result<()> {
        self.write(Put { install, token, deed }).await
    }

    /// Forgets a workspace and its token; `false` when it is not there, or was installed at that time or later.
    pub async fn remove_slack_install(&self, team: &str, before: Millis, deed: Deed) -> Result<bool> {
        self.write(Remove { team: team.to_owned(), before, deed }).await
    }

    /// All workspaces, by their ids.
    pub async fn slack_installs(&self) -> Result<Vec<SlackInstall>> {
        let mut reader = self.reader().await?;
        let find =
            query("SELECT team, name, bot_user, scopes, installed_by, installed_at FROM slack_installs ORDER BY team");
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(SlackInstall {
                    team: row.get(0)?,
                    name: row.get(1)?,
                    bot_user: row.get(2)?,
                    scopes: row.get(3)?,
                    installed_by: row.get(4)?,
                    installed_at: row.get(5)?,
                })
            })
            .collect::<Result<_, Failure>>()
            .map_err(failed)
    }
}
