//! What steps call: connectors and browsers, in the words of the engine.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::artifacts::{Artifacts, address};
use crate::browser::{self, Browsers, Order};
use crate::connector::{Call, Connectors};
use crate::engine::plan::Fault;
use crate::flow::Effect;
use crate::model::Error;
use crate::model::principal::Principal;
use crate::store::Store;
use crate::store::step::Claim;

/// The connectors of this installation, and its browsers.
pub struct Actions {
    connectors: Arc<Connectors>,
    /// None where a connector stands in for them, as in tests of bots.
    browsers: Option<Arc<Browsers>>,
    artifacts: Artifacts,
}

impl Actions {
    pub fn new(connectors: Arc<Connectors>, browsers: Option<Arc<Browsers>>, artifacts: Artifacts) -> Self {
        Self { connectors, browsers, artifacts }
    }

    pub(super) fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    pub(super) fn browsers(&self) -> Option<&Arc<Browsers>> {
        self.browsers.as_ref()
    }

    /// What calling an action again would do; none when there is no such action.
    pub(super) fn effect(&self, connector: &str, action: &str, input: &Value) -> Option<Effect> {
        match connector {
            browser::CONNECTOR if self.browsers.is_some() => Browsers::effect(action),
            _ => self.connectors.effect(connector, action, input),
        }
    }

    /// The browsers that do a call, where they do.
    pub(super) fn browsers_for(&self, connector: &str) -> Option<&Arc<Browsers>> {
        self.browsers.as_ref().filter(|_| connector == browser::CONNECTOR)
    }

    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value, Fault> {
        self.connectors.call(call).await.map_err(|failure| Fault {
            retryable: failure.retryable,
            retry_after: failure.retry_after.and_then(|pause| i64::try_from(pause.as_millis()).ok()),
            uncertain: failure.uncertain,
            ..Fault::new(failure.code, failure.message)
        })
    }

    /// Does a step in the browser of its run, and keeps what it leaves. It keeps to its time by itself.
    pub(super) async fn browse(
        &self,
        browsers: &Browsers,
        store: &Store,
        step: &Claim,
        call: &Call<'_>,
    ) -> Result<Value, Fault> {
        let files = match call.action {
            "file_upload" => self.files(store, call.principal, &step.execution, &call.input).await?,
            _ => Vec::new(),
        };
        let (run, action, input, timeout) = (step.execution.as_str(), call.action, &call.input, call.timeout);
        let done = browsers.call(Order { run, action, input, files, timeout }).await;
        let mut kept = Vec::with_capacity(done.pictures.len());
        for picture in &done.pictures {
            match self.artifacts.keep(run, &step.path, &picture.name, &picture.bytes).await {
                Ok(artifact) => kept.push(artifact),
                // The step has failed in any case; a picture that was asked for is the step itself.
                Err(error) if done.result.is_err() => {
                    tracing::warn!(%error, execution = run, step = step.path, "the page of a failed step was not kept");
                }
                Err(error) => return Err(fault(error)),
            }
        }
        match done.result {
            Ok(mut output) => {
                if let (Some(artifact), Some(output)) = (kept.first(), output.as_object_mut()) {
                    let about = json!({
                        "artifact": artifact.file.id, "name": artifact.file.name, "size": artifact.file.size,
                        "media_type": artifact.file.media_type, "url": address(artifact),
                    });
                    output.extend(about.as_object().cloned().unwrap_or_default());
                }
                Ok(output)
            }
            Err(failure) => {
                let mut fault = Fault {
                    retryable: failure.retryable,
                    uncertain: failure.uncertain,
                    ..Fault::new(failure.code, failure.message)
                };
                if !kept.is_empty() {
                    let ids: Vec<&str> = kept.iter().map(|artifact| artifact.file.id.as_str()).collect();
                    fault.details = json!({ "artifacts": ids });
                }
                Err(fault)
            }
        }
    }

    /// The files that a step names: artifacts of its run, and files of who runs it. Never a path of this machine.
    async fn files(
        &self,
        store: &Store,
        principal: &Principal,
        execution: &str,
        input: &Value,
    ) -> Result<Vec<(String, PathBuf)>, Fault> {
        let wrong = |why: String| Fault::new("invalid_parameters", format!("browser.file_upload: {why}"));
        // Playbooks of the toolbox call it `file_path`.
        let given = ["files", "file", "file_path"].iter().map(|key| &input[*key]).find(|given| !given.is_null());
        let ids: Option<Vec<&str>> = match given {
            Some(Value::String(id)) => Some(vec![id]),
            Some(Value::Array(ids)) => ids.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let Some(ids) = ids.filter(|ids| !ids.is_empty()) else {
            return Err(wrong("\"file\" names artifacts of this run, or uploaded files, by their ids".to_owned()));
        };
        let mut files = Vec::with_capacity(ids.len());
        for id in ids {
            let artifact = store.artifact(execution, id).await.map_err(fault)?;
            let file = match artifact {
                Some(artifact) => artifact.file,
                None => {
                    let stored = store.file(id).await.map_err(fault)?;
                    let own = stored.filter(|stored| stored.owner == principal.id);
                    let missing = || {
                        wrong(format!(
                            "there is no artifact of this run and no file of {} with the id {id:?}; a path of the server \
                             is not read",
                            principal.name
                        ))
                    };
                    own.ok_or_else(missing)?.file
                }
            };
            files.push((file.name, self.artifacts.path(&file.id)));
        }
        Ok(files)
    }

    /// Gives back what a run held that is over.
    pub(super) fn end(&self, run: &str) {
        if let Some(browsers) = &self.browsers {
            browsers.end(run);
        }
    }
}

fn fault(error: Error) -> Fault {
    Fault::new(error.code.to_lowercase(), error.message)
}
