//! Floor between manifests and the engine: outside services, called by their manifests.
//!
//! [`Connectors::call`] is the one way to call an action: it checks the input, opens the credential as late as it can,
//! sends the request through [`Fetch`], and says of every failure whether it may have had its effect. [`catalogue`] holds
//! the manifests that count now.

mod answer;
mod binding;
mod call;
mod catalogue;
mod credential;
mod form;
mod instance;
mod rate;
mod request;
mod scrub;
mod session;
mod smtp;
mod token;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Clock;
use crate::fetch::{Fetch, HttpMethod};
use crate::manifest::connector::{Action, Connector, Request};
use crate::model::effect::Effect;
use crate::model::principal::Principal;
use crate::store::Store;
use crate::store::credential::Credential;
use crate::tasks::Tasks;
use crate::vault::Vault;

pub use catalogue::Catalogue;
pub use credential::CredentialWish;
pub use instance::InstanceWish;
pub use token::{SignInBegun, SignInReturned};

/// One call of an action.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The connector's type, such as `slack`.
    pub connector: &'a str,
    pub action: &'a str,
    /// A JSON object.
    pub input: Value,
    /// The id or the name of an instance of the connector, or else of a credential.
    pub credential: Option<&'a str>,
    /// For whom it is called; they must be allowed to use the credential now.
    pub principal: &'a Principal,
    /// The same for every attempt at the same thing.
    pub idempotency_key: &'a str,
    /// For the whole call, with everything it repeats by itself.
    pub timeout: Duration,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A stable word: `invalid_input`, `http_404`, `timeout`, or the service's own code.
    pub code: String,
    /// One sentence, without secrets.
    pub message: String,
    /// Whether it makes sense to try again.
    pub retryable: bool,
    pub retry_after: Option<Duration>,
    /// Whether the request may have reached the service, so that it may have had its effect.
    pub uncertain: bool,
}

impl Failure {
    /// Nothing was sent, and trying again would change nothing.
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        let code = code.to_owned();
        Self { code, message: message.into(), retryable: false, retry_after: None, uncertain: false }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// All connectors of this installation.
pub struct Connectors {
    catalogue: Catalogue,
    fetch: Fetch,
    /// By type, without a trailing slash.
    base_urls: BTreeMap<String, String>,
    limits: rate::Limits,
    sessions: session::Sessions,
    clients: token::Clients,
    tokens: Arc<token::Tokens>,
    store: Arc<Store>,
    vault: Arc<Vault>,
    clock: Clock,
}

/// Which connectors there are, and what the installation changes about them.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub folders: Vec<PathBuf>,
    /// Addresses instead of the manifests', by type, without a trailing slash.
    pub base_urls: BTreeMap<String, String>,
}

impl Connectors {
    /// Reads the folders; what is wrong in them is logged, and the rest serves.
    pub fn open(
        settings: Settings,
        fetch: Fetch,
        store: Arc<Store>,
        vault: Arc<Vault>,
        (clock, tasks): (Clock, Tasks),
    ) -> Arc<Self> {
        let (limits, sessions, clients) = <(rate::Limits, session::Sessions, token::Clients)>::default();
        let tokens = Arc::new(token::Tokens {
            store: store.clone(),
            vault: vault.clone(),
            fetch: fetch.clone(),
            clock: clock.clone(),
            tasks,
            public_url: std::sync::OnceLock::new(),
        });
        let catalogue = Catalogue::open(settings.folders);
        let base_urls = settings.base_urls;
        Arc::new(Self { catalogue, fetch, base_urls, limits, sessions, clients, tokens, store, vault, clock })
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Every connector, by its type.
    pub fn describe(&self) -> Vec<Arc<Connector>> {
        self.catalogue.all()
    }

    /// What running an action again would do; `None` when there is no such action.
    pub fn effect(&self, connector: &str, action: &str, input: &Value) -> Option<Effect> {
        let connector = self.catalogue.get(connector)?;
        connector.action(action).map(|action| effect_of(action, input))
    }
}

impl Connectors {
    /// Tries a credential with the action that its connector names for that.
    pub async fn try_credential(
        &self,
        principal: &Principal,
        credential: &Credential,
    ) -> crate::model::Result<Result<Value, Failure>> {
        let connector = self.catalogue.get(&credential.provider);
        let auth = connector.as_ref().and_then(|connector| {
            let named = connector.auth(&credential.kind);
            named.or_else(|| connector.auth.iter().find(|auth| auth.test.is_some()))
        });
        let Some(action) = auth.and_then(|auth| auth.test.clone()) else {
            let message = format!("connector {} names no action to try a credential with", credential.provider);
            return Err(crate::model::Error::invalid(message));
        };
        let call = Call {
            connector: &credential.provider,
            action: &action,
            input: Value::Null,
            credential: Some(&credential.id),
            principal,
            idempotency_key: &crate::model::id::new_id(),
            timeout: TRY,
        };
        Ok(Box::pin(self.call(call)).await)
    }
}

/// How long a try of a credential may take.
const TRY: Duration = Duration::from_secs(20);

/// What an action does with this input: where the manifest leaves it to the method, as HTTP says.
fn effect_of(action: &Action, input: &Value) -> Effect {
    if let Some(effect) = action.effect {
        return effect;
    }
    let method = match &action.request {
        Request::Http { method, .. } => method.literal().map(str::to_owned).or_else(|| {
            let given = input.get("method").and_then(Value::as_str).map(str::to_owned);
            given.or_else(|| {
                let default = action.defaults.iter().find(|(name, _)| name == "method");
                default.and_then(|(_, value)| value.as_str().map(str::to_owned))
            })
        }),
        Request::Native => None,
    };
    match method.as_deref().and_then(|method| HttpMethod::from_bytes(method.as_bytes()).ok()) {
        Some(HttpMethod::GET | HttpMethod::HEAD | HttpMethod::OPTIONS) => Effect::Pure,
        Some(HttpMethod::PUT | HttpMethod::DELETE) => Effect::Idempotent,
        _ => Effect::Once,
    }
}
