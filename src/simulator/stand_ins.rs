//! What answers in the place of everything outside: services behind connectors, processes that do commands.
//!
//! Each connector is replaced by one of the same type whose actions have the same names, inputs and effects, and are sent to
//! nobody; so the engine calls, repeats and judges as ever, and a test says what comes back.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::engine::Engine;
use crate::engine::remote::{Order, Outcome, Process, Service};
use crate::fetch::{Failure, Request, Response, StandIn, headers};
use crate::identity::Identity;
use crate::identity::keys::KeyWish;
use crate::manifest::bot_test::{Answer, Failing, has};
use crate::manifest::connector::{Action, Connector, built_in, load_connectors};
use crate::model::command::Body;
use crate::model::message::Message;
use crate::model::principal::Role;
use crate::store::delivery::Delivery;
use crate::tasks::Tasks;

/// Where requests go that go nowhere.
const NOWHERE: &str = "https://stand-in.invalid";

/// What calls of a remote command begin with.
const REMOTE: &str = "remote";

/// The address of a service that does not answer.
const TIMEOUT: &str = "timeout";

/// Something that was called.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// `connector.action`, or `remote.command`.
    pub name: String,
    pub input: Value,
    /// Whether any answer was for it.
    pub is_answered: bool,
}

/// Answers as it is told, and remembers what it was asked.
#[derive(Default)]
pub struct StandIns {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answers: Vec<Answer>,
    called: Vec<Called>,
}

/// What comes back of a call.
enum Outcomes {
    Result { result: Value, reply: Option<String> },
    Fails { code: Option<String>, message: String, retryable: bool },
    Unanswered,
}

impl StandIns {
    /// Puts answers before those that are there.
    pub fn answer_first(&self, answers: &[Answer]) {
        self.state().answers.splice(0..0, answers.iter().cloned());
    }

    /// What was called since the first `from` calls.
    pub fn called_since(&self, from: usize) -> Vec<Called> {
        self.state().called.get(from..).unwrap_or_default().to_vec()
    }

    pub fn count(&self) -> usize {
        self.state().called.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, name: String, input: Value) -> Outcomes {
        let mut state = self.state();
        let fits = |answer: &&mut Answer| answer.name == name && answer.times != Some(0) && has(&input, &answer.with);
        let answer = state.answers.iter_mut().find(fits).map(|answer| {
            answer.times = answer.times.map(|times| times - 1);
            answer.clone()
        });
        let is_answered = answer.is_some();
        state.called.push(Called { name, input, is_answered });
        match answer {
            None => Outcomes::Unanswered,
            Some(Answer { fails: None, result, reply, .. }) => Outcomes::Result { result, reply },
            Some(Answer { fails: Some(Failing::Message(message)), .. }) => {
                Outcomes::Fails { code: None, message, retryable: false }
            }
            Some(Answer { fails: Some(Failing::Told { code, message, retryable }), .. }) => {
                Outcomes::Fails { code, message, retryable }
            }
        }
    }

    /// Writes the connectors that lead here, in the place of those that are built in and those of `folders`.
    pub fn write_connectors(&self, folders: &[std::path::PathBuf], into: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(into)?;
        let mut connectors = built_in().connectors;
        connectors.extend(load_connectors(folders).connectors);
        for connector in connectors.values() {
            let file = into.join(format!("{}.yaml", connector.kind));
            std::fs::write(&file, manifest(connector).to_string())
                .with_context(|| format!("failed to write {}", file.display()))?;
        }
        let file = into.join(format!("{}.yaml", crate::browser::CONNECTOR));
        std::fs::write(&file, browser().to_string()).with_context(|| format!("failed to write {}", file.display()))
    }

    /// The way out that ends here.
    pub(super) fn fetched(self: &Arc<Self>) -> StandIn {
        let this = self.clone();
        StandIn::new(move |request| this.fetch(&request))
    }

    fn fetch(&self, request: &Request) -> Result<Response, Failure> {
        let name = request.url.path().trim_start_matches('/').replace('/', ".");
        let input = serde_json::from_slice(&request.body).unwrap_or_default();
        let (status, body) = match self.call(name, input) {
            Outcomes::Result { result, .. } => (200, json!({ "result": result })),
            Outcomes::Fails { message, .. } if message == TIMEOUT => {
                return Err(Failure::TimedOut { host: "it".to_owned() });
            }
            Outcomes::Fails { code, message, retryable } => {
                (422, json!({ "code": code, "message": message, "retryable": retryable }))
            }
            Outcomes::Unanswered => {
                (422, json!({ "code": "not_answered", "message": NOT_ANSWERED, "retryable": false }))
            }
        };
        let mut head = headers::HeaderMap::new();
        head.insert(headers::CONTENT_TYPE, headers::HeaderValue::from_static("application/json"));
        Ok(Response { status, headers: head, body: body.to_string().into() })
    }

    /// Does the commands that are left to processes elsewhere, for every bot that has any.
    pub(super) async fn serve(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        identity: &Identity,
        tasks: &Tasks,
    ) -> crate::model::Result<()> {
        let snapshot = engine.registry().snapshot();
        let bots: Vec<String> = snapshot.statuses().map(|(name, _)| name.to_owned()).collect();
        for bot in bots {
            let Some(loaded) = snapshot.bot(&bot) else { continue };
            if !loaded.bot.commands.iter().any(|command| matches!(command.body, Body::Remote(_))) {
                continue;
            }
            let wish = KeyWish { serves: vec![bot.clone()], ..KeyWish::plain(format!("{bot} here"), Role::Executor) };
            let (token, _) = identity.make_key(wish).await?;
            let key = identity.authenticate(&token).await?.principal;
            let process = engine.serve(&key, Service { bot, commands: None, max_in_flight: 100 }, tasks)?;
            let (this, engine, stop) = (self.clone(), engine.clone(), tasks.stop_token().clone());
            tasks.spawn("stand-in", async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = this.work(&engine, process) => {}
                }
            });
        }
        Ok(())
    }

    async fn work(&self, engine: &Engine, mut process: Process) {
        loop {
            let Order::Deliver(delivery) = process.next().await else { continue };
            let (outcome, message, error) = self.done(&delivery);
            let id = (delivery.id.as_str(), Some(delivery.attempt));
            if let Err(error) = engine.finish_run(&process.seat, id, outcome, message, error).await {
                tracing::error!(%error, command = delivery.command, "a delivery could not be answered");
            }
        }
    }

    fn done(&self, delivery: &Delivery) -> (Outcome, Option<Message>, Option<String>) {
        let event: Value = serde_json::from_str(&delivery.event).unwrap_or_default();
        let input = event.get("parameters").cloned().unwrap_or_default();
        match self.call(format!("{REMOTE}.{}", delivery.command), input) {
            Outcomes::Result { reply, .. } => (Outcome::Completed, reply.map(Message::text), None),
            Outcomes::Fails { message, .. } => (Outcome::Failed, None, Some(message)),
            Outcomes::Unanswered => (Outcome::Failed, None, Some(NOT_ANSWERED.to_owned())),
        }
    }
}

/// What a run hears of a call for which its test has no answer.
const NOT_ANSWERED: &str = "the test has no answer for this";

/// A connector of the same type that leads nowhere, as a manifest.
fn manifest(connector: &Connector) -> Value {
    let actions: Map<String, Value> =
        connector.actions.iter().map(|action| (action.name.clone(), action_of(action))).collect();
    json!({
        "apiVersion": "connector/v1",
        "kind": "Connector",
        "metadata": { "type": connector.kind, "name": connector.name },
        "http": {
            "base_url": format!("{NOWHERE}/{}", connector.kind),
            "error": {
                "code": "${{ response.body.code }}",
                "message": "${{ response.body.message }}",
                "retryable": "${{ response.body.retryable }}",
            },
            "retry": { "max_attempts": 1 },
        },
        "actions": actions,
    })
}

fn action_of(action: &Action) -> Value {
    let mut input = action.input.source().clone();
    // What an instance of the connector would add is not known here.
    if let Some(required) = input.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !action.from_config.iter().any(|(from, _)| name.as_str() == Some(from)));
    }
    let method = if action.effect.is_some() { "POST" } else { "${{ input.method }}" };
    let mut written = json!({
        "auth": "none",
        "input": input,
        "request": { "method": method, "path": format!("/{}", action.name), "json": "${{ input }}" },
        "result": "${{ response.body.result }}",
    });
    match action.effect {
        Some(effect) => written["effect"] = json!(effect.as_str()),
        None => written["effect_from_method"] = json!(true),
    }
    written
}

/// What stands in for the browsers of runs: a connector with their actions.
fn browser() -> Value {
    let action = |(name, effect): (&str, crate::model::effect::Effect)| {
        let action = json!({
            "auth": "none", "effect": effect.as_str(), "input": { "type": "object" },
            "request": { "method": "POST", "path": format!("/{name}"), "json": "${{ input }}" },
            "result": "${{ response.body.result }}",
        });
        (name.to_owned(), action)
    };
    let actions: Map<String, Value> = crate::browser::Browsers::actions().map(action).collect();
    json!({
        "apiVersion": "connector/v1",
        "kind": "Connector",
        "metadata": { "type": crate::browser::CONNECTOR, "name": "Browser" },
        "http": {
            "base_url": format!("{NOWHERE}/{}", crate::browser::CONNECTOR),
            "error": {
                "code": "${{ response.body.code }}",
                "message": "${{ response.body.message }}",
                "retryable": "${{ response.body.retryable }}",
            },
            "retry": { "max_attempts": 1 },
        },
        "actions": actions,
    })
}
