//! One app in several workspaces: who runs this server installs it in each, and Slack hands out a token of its own for
//! each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::web_api::CallError;
use super::{PLATFORM, Slack};
use crate::clock::Clock;
use crate::model::place::ANY_TEAM;
use crate::model::secret::Secret;
use crate::model::{Error, Kind, Result};
use crate::store::Store;
use crate::store::audit::{Action, Deed, Doer};
use crate::store::slack_install::{SlackInstall, sealed_owner};
use crate::store::vault::KEY_RETIRED;
use crate::vault::Vault;

/// What the app asks a workspace for.
const SCOPES: &str = "app_mentions:read,channels:history,channels:read,chat:write,commands,files:read,files:write,\
                          groups:history,groups:read,im:history,im:write,users:read";

/// What Slack says of a token that counts no more.
const NO_MORE: [&str; 4] = ["account_inactive", "invalid_auth", "not_authed", "token_revoked"];

/// What is sealed of a workspace.
const BOT_TOKEN: &str = "bot_token";
/// A token is looked up again after that time: another server may have taken it away.
const LIFE: Duration = Duration::from_secs(60);
/// How often a token is sealed anew whose key was changed meanwhile.
const TRIES: usize = 3;

/// The workspaces, and the tokens as far as they were needed.
pub(super) struct Installs {
    store: Arc<Store>,
    vault: Arc<Vault>,
    clock: Clock,
    tokens: Mutex<HashMap<String, (Secret, Instant)>>,
}

impl Installs {
    pub(super) fn new(store: Arc<Store>, vault: Arc<Vault>, clock: Clock) -> Self {
        Self { store, vault, clock, tokens: Mutex::default() }
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Secret, Instant)>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token of a workspace that the app was installed in.
    async fn token(&self, team: &str) -> Result<Option<Secret>> {
        if let Some((token, _)) = self.tokens().get(team).filter(|(_, until)| *until > Instant::now()) {
            return Ok(Some(token.clone()));
        }
        let Some(plain) = self.vault.open_value(&sealed_owner(team), BOT_TOKEN).await? else { return Ok(None) };
        let text = std::str::from_utf8(&plain).map_err(|error| Error::internal("read a token", error))?;
        let token = Secret::new(text);
        self.tokens().insert(team.to_owned(), (token.clone(), Instant::now() + LIFE));
        Ok(Some(token))
    }
}

impl Slack {
    /// The token of the bot in a workspace: of its own, or the one in the settings.
    pub(super) async fn token(&self, team: &str) -> Result<Secret, CallError> {
        let unread = |error: Error| CallError::Unsent(error.to_string());
        let usual = Some(&self.settings.bot_token).filter(|token| !token.is_empty()).cloned();
        if team != ANY_TEAM {
            if let Some(token) = self.installs.token(team).await.map_err(unread)? {
                return Ok(token);
            }
            return usual.ok_or_else(|| CallError::NoToken(format!("the app is not installed in workspace {team}")));
        }
        if let Some(token) = usual {
            return Ok(token);
        }
        let installs = self.installs.store.slack_installs().await.map_err(unread)?;
        match installs.as_slice() {
            [only] => {
                let token = self.installs.token(&only.team).await.map_err(unread)?;
                token.ok_or_else(|| CallError::NoToken(format!("there is no token for workspace {}", only.team)))
            }
            [] => Err(CallError::NoToken("the app is installed in no workspace".to_owned())),
            _ => {
                let why = "the app is installed in several workspaces: name the team too, as in slack:T0123/C0123";
                Err(CallError::NoToken(why.to_owned()))
            }
        }
    }

    /// Where somebody is sent to install the app; `state` comes back with them.
    pub fn install_url(&self, state: &str) -> Result<String> {
        if self.settings.client_id.is_empty() {
            let message = "this app is in one workspace only (settings slack.client_id and slack.client_secret)";
            return Err(Error::new(Kind::NotFound, "NOT_INSTALLABLE", message));
        }
        let redirect = self.redirect_url();
        let arguments = [
            ("client_id", self.settings.client_id.as_str()),
            ("scope", SCOPES),
            ("redirect_uri", &redirect),
            ("state", state),
        ];
        let url = url::Url::parse_with_params(&self.settings.authorize_url, arguments);
        url.map(String::from).map_err(|error| Error::internal("read slack.authorize_url", error))
    }

    fn redirect_url(&self) -> String {
        format!("{}/slack/oauth", self.public_url)
    }

    /// Takes the app into a workspace: the code that Slack sent somebody back with becomes its token.
    pub async fn install(&self, code: &str, doer: Doer) -> Result<SlackInstall> {
        let secrets = (self.settings.client_id.as_str(), &self.settings.client_secret);
        let told = self.api.exchange(secrets, code, &self.redirect_url()).await.map_err(|error| match error {
            CallError::Refused(code) => Error::new(
                Kind::Invalid,
                "NOT_INSTALLED",
                format!("Slack answered {code}; begin again at /slack/install"),
            ),
            error => Error::unavailable(error.to_string()),
        })?;
        let text = |pointer: &str| told.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (Some(token), Some(team)) = (text("/access_token"), text("/team/id")) else {
            let message = "Slack named no workspace; an app for a whole organisation cannot be installed here";
            return Err(Error::new(Kind::Invalid, "NOT_INSTALLED", message));
        };
        let Installs { store, vault, clock, .. } = &self.installs;
        let at = clock.now();
        let install = SlackInstall {
            name: text("/team/name").unwrap_or_else(|| team.clone()),
            bot_user: text("/bot_user_id").unwrap_or_default(),
            scopes: text("/scope").unwrap_or_default(),
            installed_by: doer.principal.clone().unwrap_or_default(),
            installed_at: at,
            team: team.clone(),
        };
        let details = json!({ "name": install.name, "scopes": install.scopes });
        let deed = Deed { at, action: Action::SlackInstall, doer, target: Some(format!("{PLATFORM}:{team}")), details };
        for _ in 0..TRIES {
            let sealed = vault.seal(&sealed_owner(&team), BOT_TOKEN, token.as_bytes()).await?;
            match store.put_slack_install(install.clone(), sealed, deed.clone()).await {
                Err(error) if error.code == KEY_RETIRED => {}
                outcome => {
                    self.installs.tokens().remove(&team);
                    return outcome.map(|()| install);
                }
            }
        }
        Err(Error::unavailable("the vault is being changed; try again"))
    }

    /// The workspaces that the app was installed in, by their ids.
    pub async fn workspaces(&self) -> Result<Vec<SlackInstall>> {
        self.installs.store.slack_installs().await
    }

    /// Takes the app out of a workspace: its token counts no more at Slack, and then it is forgotten here.
    pub async fn take_out(&self, team: &str, doer: Doer) -> Result<()> {
        let unknown = || {
            let message = format!("the app is not installed in workspace '{team}'");
            Error::new(Kind::NotFound, "WORKSPACE_NOT_FOUND", message).details(json!({ "team": team }))
        };
        let Installs { store, clock, .. } = &self.installs;
        if !store.slack_installs().await?.iter().any(|install| install.team == team) {
            return Err(unknown());
        }
        if let Some(token) = self.installs.token(team).await? {
            match self.api.ask(&token, "auth.revoke", &[]).await {
                Ok(_) => {}
                // One that counts no more is what was wanted.
                Err(CallError::Refused(code)) if NO_MORE.contains(&code.as_str()) => {}
                Err(error) => return Err(Error::unavailable(format!("the app was not taken out: {error}"))),
            }
        }
        let target = Some(format!("{PLATFORM}:{team}"));
        let deed = Deed { at: clock.now(), action: Action::SlackUninstall, doer, target, details: json!({}) };
        // Slack's own event may have been faster.
        store.remove_slack_install(team, i64::MAX, deed).await?;
        self.installs.tokens().remove(team);
        Ok(())
    }

    /// Takes a workspace's token away when an event says that the app is not there any more; `false` when it is another
    /// event. One from before the app was installed anew takes nothing.
    pub(super) async fn uninstalled(&self, body: &Value) -> Result<bool> {
        let event = &body["event"];
        let is_over = match event["type"].as_str() {
            Some("app_uninstalled") => true,
            Some("tokens_revoked") => event["tokens"]["bot"].as_array().is_some_and(|tokens| !tokens.is_empty()),
            _ => return Ok(false),
        };
        let Some(team) = body["team_id"].as_str().filter(|_| is_over) else { return Ok(true) };
        let Installs { store, clock, .. } = &self.installs;
        let at = clock.now();
        // In seconds, the last one of which may still be the same.
        let before = body["event_time"].as_i64().map_or(at, |seconds| seconds.saturating_add(1).saturating_mul(1000));
        let target = Some(format!("{PLATFORM}:{team}"));
        let deed = Deed { at, action: Action::SlackUninstall, doer: Doer::default(), target, details: json!({}) };
        if store.remove_slack_install(team, before, deed).await? {
            tracing::info!(team, "the Slack app was taken out of a workspace");
        }
        self.installs.tokens().remove(team);
        Ok(true)
    }
}
