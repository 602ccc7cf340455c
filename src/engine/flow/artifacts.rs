//! What runs leave to be looked at: bytes in the folder of files, rows beside the run's own.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::clock::Clock;
use crate::engine::Engine;
use crate::files::{Folder, clean_name, new_file_id};
use crate::identity::permission::Verb;
use crate::model::conversation::Millis;
use crate::model::file::File;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::Store;
use crate::store::artifact::Artifact;

/// Rows that are looked at together while clearing away.
const BATCH: usize = 200;

/// How much of it is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct ArtifactLimits {
    /// Of one artifact, in bytes.
    pub max_size: u64,
    /// Of one run.
    pub most: i64,
    pub kept_for: Millis,
}

/// Where artifacts are kept.
pub struct Artifacts {
    store: Arc<Store>,
    clock: Clock,
    folder: Arc<Folder>,
    limits: ArtifactLimits,
}

/// The address of an artifact on this server.
pub fn address(artifact: &Artifact) -> String {
    format!("/api/executions/{}/artifacts/{}", artifact.execution, artifact.file.id)
}

impl Artifacts {
    pub fn new(store: Arc<Store>, clock: Clock, folder: Arc<Folder>, limits: ArtifactLimits) -> Self {
        Self { store, clock, folder, limits }
    }

    /// Keeps what a step of a run left. It is answered when its bytes and its row are on disk.
    pub async fn keep(&self, execution: &str, step: &str, name: &str, bytes: &[u8]) -> Result<Artifact> {
        let size = bytes.len() as u64;
        if size > self.limits.max_size {
            let message = format!(
                "{name} has {size} bytes, and an artifact {} at most (setting artifacts.max_size)",
                self.limits.max_size
            );
            return Err(Error::new(Kind::TooLarge, "ARTIFACT_TOO_LARGE", message));
        }
        let (id, created_at) = (new_file_id()?, self.clock.now());
        let mut incoming = self.folder.begin().await?;
        incoming.write(bytes).await?;
        let kept = self.folder.keep(incoming, &id, created_at).await?;
        let media_type = kept.media_type.to_owned();
        let file = File { id: id.clone(), name: clean_name(name), media_type, size: kept.size };
        let (execution, step, sha256) = (execution.to_owned(), step.to_owned(), kept.sha256);
        let artifact = Artifact { file, execution, step, sha256, created_at };
        match self.store.add_artifact(artifact.clone(), self.limits.most).await {
            Ok(()) => Ok(artifact),
            Err(error) => {
                // Whether the row was written is not known: if it was not, these bytes are cleared away later.
                if error.kind != Kind::Unavailable {
                    self.folder.remove(&id).await?;
                }
                Err(error)
            }
        }
    }

    /// Where the bytes under an id are.
    pub fn path(&self, id: &str) -> PathBuf {
        self.folder.path(id)
    }

    /// Removes the bytes of artifacts whose rows are gone. What cannot be removed now is cleared away later.
    async fn remove(&self, ids: &[String]) {
        for id in ids {
            if let Err(error) = self.folder.remove(id).await {
                tracing::warn!(%error, artifact = id, "failed to remove an artifact");
            }
        }
    }

    /// Clears away what has been kept for long enough; answers how many. `is_wanted` is asked in between whether to go on.
    async fn clear(&self, is_wanted: impl Fn() -> bool + Send + Sync) -> Result<usize> {
        let before = self.clock.now().saturating_sub(self.limits.kept_for);
        let mut cleared = 0;
        while is_wanted() {
            let old = self.store.artifacts_before(before, i64::try_from(BATCH).unwrap_or(i64::MAX)).await?;
            for id in &old {
                self.store.forget_artifact(id).await?;
            }
            self.remove(&old).await;
            cleared += old.len();
            if old.len() < BATCH {
                break;
            }
        }
        Ok(cleared)
    }
}

impl Engine {
    /// What a run left that the caller may see, oldest first.
    pub async fn artifacts(&self, principal: &Principal, execution: &str) -> Result<Vec<Artifact>> {
        self.run_for(principal, Verb::View, execution).await?;
        self.store().artifacts(execution).await
    }

    /// One of them, and where its bytes are.
    pub async fn artifact(&self, principal: &Principal, execution: &str, id: &str) -> Result<(Artifact, PathBuf)> {
        self.run_for(principal, Verb::View, execution).await?;
        let artifact = self.store().artifact(execution, id).await?.ok_or_else(|| {
            Error::not_found("there is no such artifact; they are kept for a time only")
                .details(json!({ "execution_id": execution, "artifact_id": id }))
        })?;
        let path = self.flows.actions.artifacts().path(id);
        Ok((artifact, path))
    }

    /// Clears away artifacts that have been kept for long enough.
    pub async fn clear_artifacts(&self, is_wanted: impl Fn() -> bool + Send + Sync) -> Result<usize> {
        self.flows.actions.artifacts().clear(is_wanted).await
    }

    /// Removes the bytes of what a run left that is gone.
    pub(super) async fn remove_artifacts(&self, ids: &[String]) {
        self.flows.actions.artifacts().remove(ids).await;
    }
}
