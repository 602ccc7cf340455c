//! Artifacts: what runs leave to be looked at. The bytes are elsewhere, among those of files.

use super::Store;
use super::query::{Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use crate::model::conversation::Millis;
use crate::model::file::File;
use crate::model::{Error, Kind, Result};

/// Something that a step left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    pub file: File,
    pub execution: String,
    /// The path of the step.
    pub step: String,
    /// Of its bytes, hex.
    pub sha256: String,
    pub created_at: Millis,
}

const COLUMNS: &str = "id, name, media_type, size, execution, step, sha256, created_at";

fn artifact(row: &Row) -> Result<Artifact> {
    let size: i64 = row.get(3).map_err(failed)?;
    let file = File {
        id: row.get(0).map_err(failed)?,
        name: row.get(1).map_err(failed)?,
        media_type: row.get(2).map_err(failed)?,
        size: size.unsigned_abs(),
    };
    Ok(Artifact {
        file,
        execution: row.get(4).map_err(failed)?,
        step: row.get(5).map_err(failed)?,
        sha256: row.get(6).map_err(failed)?,
        created_at: row.get(7).map_err(failed)?,
    })
}

fn ids(rows: &[Row]) -> Result<Vec<String>> {
    rows.iter().map(|row| row.get(0).map_err(failed)).collect()
}

/// Keeps an artifact whose bytes are on disk, as long as its run is there and has no more than `most` of them.
struct Add {
    artifact: Artifact,
    most: i64,
}

impl Work for Add {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let Artifact { file, execution, step, sha256, created_at } = &self.artifact;
        let insert = query(
            "INSERT INTO artifacts (id, execution, step, name, media_type, size, sha256, created_at) \
             SELECT $1, r.execution, $3, $4, $5, $6, $7, $8 FROM runs r WHERE r.execution = $2 \
             AND (SELECT count(*) FROM artifacts a WHERE a.execution = $2) < $9",
        );
        let insert = insert.bind(&file.id).bind(execution).bind(step).bind(&file.name).bind(&file.media_type);
        let insert = insert.bind(i64::try_from(file.size).unwrap_or(i64::MAX)).bind(sha256).bind(*created_at);
        if transaction.write(insert.bind(self.most)).await? == 1 {
            return Ok(());
        }
        let message = format!("a run keeps {} artifacts at most (setting artifacts.most)", self.most);
        Err(Error::new(Kind::TooLarge, "TOO_MANY_ARTIFACTS", message))
    }
}

struct Forget {
    id: String,
}

impl Work for Forget {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        transaction.write(query("DELETE FROM artifacts WHERE id = $1").bind(&self.id)).await.map(|_| ())
    }
}

impl Transaction<'_> {
    /// Forgets what a run left; answers the ids, whose bytes are to go.
    pub(super) async fn forget_artifacts(&mut self, execution: &str) -> Result<Vec<String>> {
        let left = ids(&self.all(query("SELECT id FROM artifacts WHERE execution = $1").bind(execution)).await?)?;
        if !left.is_empty() {
            self.write(query("DELETE FROM artifacts WHERE execution = $1").bind(execution)).await?;
        }
        Ok(left)
    }
}

impl Store {
    pub async fn add_artifact(&self, artifact: Artifact, most: i64) -> Result<()> {
        self.write(Add { artifact, most }).await
    }

    /// What a run left, oldest first.
    pub async fn artifacts(&self, execution: &str) -> Result<Vec<Artifact>> {
        let mut reader = self.reader().await?;
        let list = composed(format!("SELECT {COLUMNS} FROM artifacts WHERE execution = $1 ORDER BY created_at, id"));
        let rows = list.bind(execution).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(artifact).collect()
    }

    pub async fn artifact(&self, execution: &str, id: &str) -> Result<Option<Artifact>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("SELECT {COLUMNS} FROM artifacts WHERE execution = $1 AND id = $2"));
        let row = find.bind(execution).bind(id).optional(&mut reader.connection()).await.map_err(failed)?;
        row.as_ref().map(artifact).transpose()
    }

    /// Ids of artifacts that were made before `before`, oldest first.
    pub async fn artifacts_before(&self, before: Millis, limit: i64) -> Result<Vec<String>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT id FROM artifacts WHERE created_at < $1 ORDER BY created_at, id LIMIT $2");
        ids(&find.bind(before).bind(limit).all(&mut reader.connection()).await.map_err(failed)?)
    }

    pub async fn forget_artifact(&self, id: &str) -> Result<()> {
        self.write(Forget { id: id.to_owned() }).await
    }
}
