//! A run begins: its document is found, its inputs are checked, and its first steps are planned before it is stored.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::bring::{About, Products};
use super::inputs;
use crate::engine::Engine;
use crate::engine::invoke::{Invoked, Place, Prepared};
use crate::engine::plan::{Child, Journal, Wish};
use crate::engine::runner::{approved, new_execution, record_run};
use crate::expression::{Evaluator, in_words};
use crate::flow::{Conflict, Flow};
use crate::identity::acting::Kept;
use crate::identity::permission::{Object, Verb, authorize};
use crate::manifest::flow::Document;
use crate::model::command::Body;
use crate::model::conversation::Millis;
use crate::model::execution::ExecutionStatus;
use crate::model::grant::ResourceKind;
use crate::model::id::new_id;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::delivery::{AnswerPlace, execution_update};
use crate::store::execution::{Invocation, NewExecution};
use crate::store::run::{NewRun, Slot};
use crate::store::workflow::NewDefinition;

/// How deep runs may start runs.
const DEEPEST: i64 = 8;

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file in the folder of playbooks.
    Playbook(String),
    /// A workflow by its id.
    Workflow(String),
}

/// A wish to run a document.
#[derive(Clone, Debug)]
pub struct Launch {
    pub source: Source,
    pub inputs: Map<String, Value>,
    /// What whoever starts it writes on it.
    pub metadata: Value,
    /// What expressions see as `trigger`.
    pub trigger: Value,
    /// Pauses after each step.
    pub debug: bool,
    pub idempotency_key: Option<String>,
    pub body_hash: Option<String>,
}

/// A run that was started.
#[derive(Clone, Debug)]
pub struct Launched {
    pub execution: String,
    pub title: String,
}

/// A document with what is to be kept of it.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) flow: Arc<Flow>,
    pub(super) definition: NewDefinition,
    pub(super) kind: &'static str,
    pub(super) source: String,
}

/// A run that has not been stored.
pub(super) struct Beginning<'a> {
    pub(super) execution: String,
    pub(super) principal: &'a Principal,
    pub(super) flow: Arc<Flow>,
    pub(super) definition: NewDefinition,
    pub(super) kind: &'static str,
    pub(super) source: String,
    pub(super) inputs: Value,
    pub(super) metadata: Value,
    pub(super) trigger: Value,
    pub(super) debug: bool,
    pub(super) place: Option<AnswerPlace>,
    pub(super) parent: Option<(String, String)>,
    pub(super) depth: i64,
    pub(super) bot: String,
    pub(super) command: String,
}

impl Beginning<'_> {
    pub(super) fn about(&self) -> About<'_> {
        About {
            execution: &self.execution,
            title: &self.flow.title,
            bot: &self.bot,
            command: &self.command,
            principal: &self.principal.id,
            place: self.place.as_ref(),
            parent: self.parent.as_ref().map(|(parent, path)| (parent.as_str(), path.as_str())),
            depth: self.depth,
            actor: Some(self.principal),
            is_new: true,
        }
    }

    pub(super) fn journal(&self, at: Millis) -> Journal {
        let waits = self.flow.concurrency.as_ref().is_some_and(|limit| limit.on_conflict != Conflict::Reject);
        Journal {
            execution: self.execution.clone(),
            inputs: self.inputs.clone(),
            user: json!({ "id": self.principal.id, "name": self.principal.name }),
            trigger: self.trigger.clone(),
            metadata: self.metadata.clone(),
            started_at: at,
            // Where only so many may run, it begins when it is let in.
            wish: if waits { Wish::Queue } else { Wish::Run },
            debug: self.debug,
            ..Journal::default()
        }
    }

    pub(super) fn deadline(&self, at: Millis) -> Option<Millis> {
        self.flow.timeout.map(|timeout| at.saturating_add(timeout))
    }

    fn slot(&self, at: Millis) -> Result<Option<Slot>> {
        let Some(concurrency) = &self.flow.concurrency else { return Ok(None) };
        let mut key = format!("{}:{}", self.kind, self.source);
        if let Some(expression) = &concurrency.key {
            let scope = json!({ "inputs": self.inputs, "user": { "id": self.principal.id, "name": self.principal.name }, "trigger": self.trigger });
            let scope = scope.as_object().cloned().unwrap_or_default();
            let value = Evaluator::new(at)
                .value(expression, &scope)
                .map_err(|why| Error::new(Kind::Invalid, "VALIDATION_ERROR", format!("concurrency.key: {why}")))?;
            key.push(':');
            key.push_str(&in_words(&value));
        }
        let reject = concurrency.on_conflict == Conflict::Reject;
        Ok(Some(Slot { key, limit: concurrency.limit, reject }))
    }

    fn into_run(
        self,
        products: Products,
        at: Millis,
    ) -> Result<(Box<NewRun>, ExecutionStatus, Option<String>, String)> {
        let concurrency = self.slot(at)?;
        let user = json!({ "id": self.principal.id, "name": self.principal.name });
        let cause = json!({ "user": user, "trigger": self.trigger, "principal": Kept::of(self.principal) });
        let responses =
            serde_json::to_string(&products.messages).map_err(|error| Error::internal("write the answer", error))?;
        let run = NewRun {
            definition: self.definition,
            kind: self.kind,
            source: self.source,
            title: self.flow.title.clone(),
            inputs: self.inputs.to_string(),
            metadata: self.metadata.to_string(),
            cause: cause.to_string(),
            debug: self.debug,
            place: self.place,
            parent: self.parent,
            depth: self.depth,
            concurrency,
            state: products.state,
            rows: products.rows.into_iter().map(|(row, _)| row).collect(),
            children: products.children,
            events: products.events,
            signals: products.signals,
        };
        Ok((Box::new(run), products.status, products.error, responses))
    }
}

impl Engine {
    /// Who a run acts for, with the rights they have now.
    pub(super) async fn actor(&self, cause: &str) -> Result<Principal> {
        #[derive(serde::Deserialize)]
        struct Cause {
            principal: Kept,
        }
        let cause: Cause = serde_json::from_str(cause).map_err(|error| Error::internal("read a run", error))?;
        cause.principal.now(self.store(), self.clock().now()).await
    }

    /// Finds what is to be run, when the caller may run it.
    pub(super) async fn find_document(&self, principal: &Principal, source: &Source) -> Result<Found> {
        match source {
            Source::Playbook(path) => {
                let document = self.playbook(path).await?;
                let object = Object::Resource { kind: ResourceKind::Playbook, name: path, owner: None };
                authorize(principal, Verb::Invoke, object)?;
                Ok(found(document, "playbook", path.clone()))
            }
            Source::Workflow(id) => {
                let workflow = self.store().workflow(id).await?.ok_or_else(|| crate::store::workflow::unknown(id))?;
                let owner = (!workflow.is_public).then_some(workflow.owner.as_str());
                let object = Object::Resource { kind: ResourceKind::Workflow, name: &workflow.id, owner };
                if owner != Some(principal.id.as_str()) {
                    authorize(principal, Verb::Invoke, object)?;
                }
                let flow = self.pinned(&workflow.definition).await?;
                let document = self.store().definition(&workflow.definition).await?.unwrap_or_default();
                let definition = NewDefinition {
                    hash: workflow.definition.clone(),
                    name: flow.name.clone(),
                    title: workflow.name.clone(),
                    document,
                };
                let flow = Arc::new(Flow { title: workflow.name.clone(), ..Flow::clone(&flow) });
                Ok(Found { flow, definition, kind: "workflow", source: workflow.id })
            }
        }
    }

    /// Whether the caller may run that, and whether the inputs are right; answers its title.
    pub(in crate::engine) async fn check_launch(
        &self,
        principal: &Principal,
        source: &Source,
        inputs: &Map<String, Value>,
    ) -> Result<String> {
        let found = self.find_document(principal, source).await?;
        inputs::check(&found.flow, inputs)?;
        Ok(found.flow.title.clone())
    }

    /// A playbook as it stands in its file.
    pub async fn playbook(&self, path: &str) -> Result<Document> {
        // A file is read on a thread where that may take a while.
        let (path, folders) = (path.to_owned(), self.flows.library().clone());
        tokio::task::spawn_blocking(move || folders.document(&path))
            .await
            .map_err(|error| Error::internal("read a playbook", error))?
    }

    /// Starts a run of a document; who started it polls it or follows its stream.
    pub(in crate::engine) async fn begin_launch(&self, principal: &Principal, launch: Launch) -> Result<Launched> {
        let found = self.find_document(principal, &launch.source).await?;
        let inputs = inputs::check(&found.flow, &launch.inputs)?;
        let at = self.clock().now();
        let title = found.flow.title.clone();
        let beginning = Beginning {
            execution: new_id(),
            principal,
            flow: found.flow,
            definition: found.definition,
            kind: found.kind,
            bot: found.kind.to_owned(),
            command: title.clone(),
            source: found.source,
            inputs: Value::Object(inputs),
            metadata: launch.metadata,
            trigger: launch.trigger,
            debug: launch.debug,
            place: None,
            parent: None,
            depth: 0,
        };
        let execution = self.execution_of(beginning, at).await?;
        let execution =
            NewExecution { idempotency_key: launch.idempotency_key, body_hash: launch.body_hash, ..execution };
        let key = execution.run.as_ref().and_then(|run| run.concurrency.clone()).filter(|slot| !slot.reject);
        let is_plain = is_plain(&execution, at);
        let Invocation { id, .. } = self.store().start_execution(execution, Vec::new()).await?;
        if let Some(slot) = key {
            self.make_room(&slot, &id).await?;
        }
        self.flows.stir(is_plain);
        Ok(Launched { execution: id, title })
    }

    /// Where the newest run of a kind takes the place of the oldest, that one is cancelled.
    async fn make_room(&self, slot: &Slot, newest: &str) -> Result<()> {
        let Some(run) = self.store().run(newest).await? else { return Ok(()) };
        let flow = self.pinned(&run.definition).await?;
        if flow.concurrency.as_ref().is_none_or(|limit| limit.on_conflict != Conflict::CancelRunning) {
            return Ok(());
        }
        let under_way = self.store().oldest_of_key(&slot.key).await?;
        let room = usize::try_from(slot.limit).unwrap_or(usize::MAX).saturating_sub(1);
        let surplus = under_way.len().saturating_sub(room);
        for execution in under_way.into_iter().filter(|id| id != newest).take(surplus) {
            self.cancel_run(&execution, "a newer run took its place").await?;
        }
        Ok(())
    }

    /// A run as it is stored, its first steps planned.
    async fn execution_of(&self, beginning: Beginning<'_>, at: Millis) -> Result<NewExecution> {
        let (products, _) = self.planned_run(&beginning, at).await?;
        let (execution, principal) = (beginning.execution.clone(), beginning.principal.clone());
        let (bot, command) = (beginning.bot.clone(), beginning.command.clone());
        let (origin, hash) = (beginning.kind, beginning.definition.hash.clone());
        let inputs = beginning.inputs.clone();
        let (run, status, error, responses) = beginning.into_run(products, at)?;
        Ok(NewExecution {
            id: execution,
            request_id: new_id(),
            bot,
            bot_version: hash,
            command,
            status,
            principal: principal.id,
            principal_name: principal.name,
            origin,
            conversation: None,
            request: json!({ "parameters": inputs }).to_string(),
            responses,
            error,
            idempotency_key: None,
            body_hash: None,
            created_at: at,
            started_at: Some(at),
            finished_at: status.is_final().then_some(at),
            delivery: None,
            approval: None,
            elsewhere: None,
            run: Some(run),
        })
    }

    /// A run that a step of another one starts, in the name of who started that.
    pub(super) async fn begin_child(
        &self,
        about: &About<'_>,
        journal: &Journal,
        child: &Child,
        at: Millis,
    ) -> Result<NewExecution> {
        if about.depth + 1 > DEEPEST {
            let message = format!("runs start runs at most {DEEPEST} deep");
            return Err(Error::new(Kind::Invalid, "RUN_DEPTH", message));
        }
        let principal = match (about.actor, self.store().run(about.execution).await?) {
            (Some(principal), _) => principal.clone(),
            (None, Some(run)) => self.actor(&run.cause).await?,
            (None, None) => return Err(super::control::unknown(about.execution)),
        };
        let name = child.workflow.clone();
        let library = self.flows.library().clone();
        let path = tokio::task::spawn_blocking(move || library.find(&name))
            .await
            .map_err(|error| Error::internal("read a playbook", error))?;
        let source = match path {
            Some(path) => Source::Playbook(path),
            None => match self.store().workflow(&child.workflow).await? {
                Some(workflow) => Source::Workflow(workflow.id),
                None => {
                    let named = self.store().workflow_named(&child.workflow, &principal.id).await?;
                    Source::Workflow(named.ok_or_else(|| crate::store::workflow::unknown(&child.workflow))?.id)
                }
            },
        };
        let found = self.find_document(&principal, &source).await?;
        if let Some(wanted) = &child.version
            && !fits(wanted, &found.flow.version)
        {
            let message = format!("{} is of version {}, not {wanted}", child.workflow, found.flow.version);
            return Err(Error::conflict("WRONG_VERSION", message));
        }
        let inputs = inputs::check(&found.flow, &child.inputs)?;
        let row = journal.rows.get(&child.path);
        let id = row.and_then(|row| row.data["child"].as_str()).map_or_else(new_id, str::to_owned);
        let beginning = Beginning {
            execution: id,
            principal: &principal,
            command: found.flow.title.clone(),
            flow: found.flow,
            definition: found.definition,
            kind: found.kind,
            bot: found.kind.to_owned(),
            source: found.source,
            inputs: Value::Object(inputs),
            metadata: Value::Null,
            trigger: json!({ "type": "run", "execution": about.execution, "step": child.path }),
            debug: false,
            place: None,
            parent: child.waits.then(|| (about.execution.to_owned(), child.path.clone())),
            depth: about.depth + 1,
        };
        Box::pin(self.execution_of(beginning, at)).await
    }

    /// Runs a command whose body is a document.
    pub(in crate::engine) async fn begin_command(
        &self,
        principal: &Principal,
        prepared: &Prepared,
        place: Place,
        document: &Document,
    ) -> Result<Invoked> {
        let at = self.clock().now();
        let execution = new_execution(principal, prepared, &place, at)?;
        let given = crate::engine::data::parameters(prepared);
        let mut given = given.as_object().cloned().unwrap_or_default();
        given.retain(|_, value| !value.is_null());
        for (name, value) in &prepared.mapped {
            if document.flow.inputs.is_empty() || document.flow.inputs.iter().any(|input| input.name == *name) {
                given.insert(name.clone(), json!(value));
            }
        }
        if let Body::Flow(steps) = &prepared.command.body {
            given.extend(steps.secrets.iter().map(|(name, credential)| (name.clone(), json!(credential))));
        }
        if document.flow.inputs.is_empty() {
            // Declared parameters without a value are there and null, so that steps may ask for them.
            for parameter in &prepared.command.parameters {
                given.entry(parameter.name.clone()).or_insert(Value::Null);
            }
        }
        let inputs = inputs::check(&document.flow, &given)?;
        let answer_place = match &place {
            Place::Poll { .. } | Place::Approved { .. } => None,
            Place::Conversation { turn, .. } => Some(AnswerPlace {
                conversation: turn.conversation.clone(),
                owner: turn.owner.clone(),
                reply_to: turn.answered().unwrap_or_default().to_owned(),
            }),
        };
        let found = found(document.clone(), "command", format!("{}/{}", execution.bot, execution.command));
        let beginning = Beginning {
            execution: execution.id.clone(),
            principal,
            flow: found.flow,
            definition: found.definition,
            kind: found.kind,
            source: found.source,
            inputs: Value::Object(inputs),
            metadata: Value::Null,
            trigger: json!({ "type": "command", "bot": execution.bot, "command": execution.command, "channel": prepared.source.channel }),
            debug: false,
            place: answer_place,
            parent: None,
            depth: 0,
            bot: execution.bot.clone(),
            command: execution.command.clone(),
        };
        let (products, _) = self.planned_run(&beginning, at).await?;
        let mut place = place;
        if let Place::Conversation { turn, .. } = &mut place {
            for message in &products.posts {
                self.post_of_run(turn, &beginning.about(), message.clone(), at)?;
            }
        }
        let (run, status, error, responses) = beginning.into_run(products, at)?;
        let slot = run.concurrency.clone().filter(|slot| !slot.reject);
        let id = execution.id.clone();
        let execution = NewExecution {
            status,
            responses,
            error,
            started_at: Some(at),
            finished_at: status.is_final().then_some(at),
            run: Some(run),
            ..execution
        };
        let is_plain = is_plain(&execution, at);
        let invoked = match place {
            Place::Poll { idempotency_key, body_hash } => {
                let execution = NewExecution { idempotency_key, body_hash, ..execution };
                self.store().start_execution(execution, Vec::new()).await.map(Invoked::Polled)?
            }
            Place::Approved { .. } => {
                let update = execution_update(&execution.id, status, None, at)?;
                approved(self, execution, update).await?
            }
            Place::Conversation { mut turn, waiting, .. } => {
                record_run(&mut turn, execution, waiting.is_some())?;
                self.store().commit_turn(*turn).await.map(Invoked::Said)?
            }
        };
        if let Some(slot) = slot {
            self.make_room(&slot, &id).await?;
        }
        self.flows.stir(is_plain);
        Ok(invoked)
    }
}

/// Whether nothing of a new run has to be looked for later.
fn is_plain(execution: &NewExecution, at: Millis) -> bool {
    execution.run.as_ref().is_none_or(|run| {
        let alone = run.children.is_empty() && run.signals.is_empty();
        alone && super::due::is_plain(&run.rows, &run.state, at)
    })
}

pub(super) fn found(document: Document, kind: &'static str, source: String) -> Found {
    let definition = NewDefinition {
        hash: document.hash,
        name: document.flow.name.clone(),
        title: document.flow.title.clone(),
        document: document.value.to_string(),
    };
    Found { flow: Arc::new(document.flow), definition, kind, source }
}

/// Whether a version is one that is wanted: `1.2` itself, or with `^` every one of the same first number.
fn fits(wanted: &str, version: &str) -> bool {
    match wanted.strip_prefix('^') {
        Some(major) => {
            let first = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
            first(major) == first(version)
        }
        None => wanted.trim_start_matches('=') == version,
    }
}
