//! Definitions, which never change, and the workflows that name them.

use super::Store;
use super::query::{Failure, Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use crate::model::conversation::Millis;
use crate::model::{Error, Result};

/// A document about to be kept.
#[derive(Clone, Debug)]
pub struct NewDefinition {
    pub hash: String,
    pub name: String,
    pub title: String,
    /// Canonical JSON.
    pub document: String,
}

/// A workflow as it counts now.
#[derive(Clone, Debug)]
pub struct Workflow {
    pub id: String,
    pub name: String,
    pub description: String,
    pub is_public: bool,
    pub definition: String,
    pub version: i64,
    /// Principal id of who made it.
    pub owner: String,
    pub created_at: Millis,
    pub updated_at: Millis,
    pub deleted_at: Option<Millis>,
}

/// One version of a workflow.
#[derive(Clone, Debug)]
pub struct Version {
    pub version: i64,
    pub definition: String,
    /// The definition as it was sent, JSON.
    pub source: String,
    pub created_by: String,
    pub created_at: Millis,
}

/// What anybody hears about a workflow that is not there or not for them.
pub fn unknown(id: &str) -> Error {
    Error::not_found(format!("there is no workflow '{id}'")).details(serde_json::json!({ "id": id }))
}

const COLUMNS: &str =
    "id, name, description, is_public, definition, version, owner, created_at, updated_at, deleted_at";

fn workflow(row: &Row) -> Result<Workflow, Failure> {
    Ok(Workflow {
        id: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        is_public: row.get::<i64>(3)? == 1,
        definition: row.get(4)?,
        version: row.get(5)?,
        owner: row.get(6)?,
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
        deleted_at: row.get(9)?,
    })
}

impl Transaction<'_> {
    pub(super) async fn keep_definition(&mut self, new: &NewDefinition, at: Millis) -> Result<()> {
        let insert = query(
            "INSERT INTO definitions (hash, name, title, document, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (hash) DO NOTHING",
        );
        let insert = insert.bind(&new.hash).bind(&new.name).bind(&new.title).bind(&new.document).bind(at);
        self.write(insert).await?;
        Ok(())
    }
}

/// A workflow with the definition that counts from now on.
struct Keep {
    workflow: Workflow,
    definition: NewDefinition,
    source: String,
    by: String,
    /// The version it was read with; none for a new one.
    before: Option<i64>,
}

impl Work for Keep {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let new = &self.workflow;
        transaction.keep_definition(&self.definition, new.updated_at).await?;
        let write = match self.before {
            None => query(
                "INSERT INTO workflows (id, name, description, is_public, definition, version, owner, created_at, \
                 updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(&new.id)
            .bind(&new.name)
            .bind(&new.description)
            .bind(i64::from(new.is_public))
            .bind(&new.definition)
            .bind(new.version)
            .bind(&new.owner)
            .bind(new.created_at)
            .bind(new.updated_at),
            Some(before) => query(
                "UPDATE workflows SET name = $2, description = $3, is_public = $4, definition = $5, version = $6, \
                 updated_at = $7 WHERE id = $1 AND version = $8 AND deleted_at IS NULL",
            )
            .bind(&new.id)
            .bind(&new.name)
            .bind(&new.description)
            .bind(i64::from(new.is_public))
            .bind(&new.definition)
            .bind(new.version)
            .bind(new.updated_at)
            .bind(before),
        };
        if transaction.write(write).await? == 0 {
            return Err(Error::conflict("WORKFLOW_CHANGED", "somebody else has changed this workflow; read it again"));
        }
        if self.before != Some(new.version) {
            let insert = query(
                "INSERT INTO workflow_versions (workflow, version, definition, source, created_by, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            );
            let insert = insert.bind(&new.id).bind(new.version).bind(&new.definition).bind(&self.source);
            transaction.write(insert.bind(&self.by).bind(new.updated_at)).await?;
        }
        Ok(())
    }
}

struct Delete {
    id: String,
    at: Millis,
}

impl Work for Delete {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let delete = query("UPDATE workflows SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL");
        Ok(transaction.write(delete.bind(&self.id).bind(self.at)).await? == 1)
    }
}

impl Store {
    /// The document of a definition, JSON.
    pub async fn definition(&self, hash: &str) -> Result<Option<String>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT document FROM definitions WHERE hash = $1").bind(hash);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| row.get(0).map_err(failed)).transpose()
    }

    /// Keeps a workflow; `before` is the version it was read with, none for a new one. A version that changed meanwhile is
    /// a conflict.
    pub async fn keep_workflow(
        &self,
        workflow: Workflow,
        definition: NewDefinition,
        source: String,
        by: &str,
        before: Option<i64>,
    ) -> Result<()> {
        self.write(Keep { workflow, definition, source, by: by.to_owned(), before }).await
    }

    /// Takes a workflow out of use; its runs stay. `false` when there is none.
    pub async fn delete_workflow(&self, id: &str, at: Millis) -> Result<bool> {
        self.write(Delete { id: id.to_owned(), at }).await
    }

    pub async fn workflow(&self, id: &str) -> Result<Option<Workflow>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("SELECT {COLUMNS} FROM workflows WHERE id = $1 AND deleted_at IS NULL")).bind(id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| workflow(&row).map_err(failed)).transpose()
    }

    /// The newest workflow of a name that this principal may use.
    pub async fn workflow_named(&self, name: &str, principal: &str) -> Result<Option<Workflow>> {
        let mut reader = self.reader().await?;
        let find = composed(format!(
            "SELECT {COLUMNS} FROM workflows WHERE name = $1 AND deleted_at IS NULL AND (owner = $2 OR is_public = 1) \
             ORDER BY created_at DESC, id DESC LIMIT 1"
        ));
        let row = find.bind(name).bind(principal).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| workflow(&row).map_err(failed)).transpose()
    }

    /// Workflows, newest first: those of a principal and the public ones, or everybody's; `before` is the time and id of
    /// the last one of the page before.
    pub async fn workflows(
        &self,
        principal: Option<&str>,
        before: Option<(Millis, String)>,
        limit: i64,
    ) -> Result<Vec<Workflow>> {
        let mut reader = self.reader().await?;
        let (at, id) = before.unwrap_or((Millis::MAX, String::new()));
        let list = composed(format!(
            "SELECT {COLUMNS} FROM workflows WHERE deleted_at IS NULL \
             AND (cast($1 AS text) IS NULL OR owner = $1 OR is_public = 1) \
             AND (created_at < $2 OR (created_at = $2 AND id < $3)) ORDER BY created_at DESC, id DESC LIMIT $4"
        ));
        let rows =
            list.bind(principal).bind(at).bind(id).bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(workflow).collect::<Result<_, Failure>>().map_err(failed)
    }

    /// The versions of a workflow, newest first, below `before`.
    pub async fn workflow_versions(&self, id: &str, before: i64, limit: i64) -> Result<Vec<Version>> {
        let mut reader = self.reader().await?;
        let list = query(
            "SELECT version, definition, source, created_by, created_at FROM workflow_versions \
             WHERE workflow = $1 AND version < $2 ORDER BY version DESC LIMIT $3",
        );
        let rows = list.bind(id).bind(before).bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        let version = |row: &Row| -> Result<Version, Failure> {
            Ok(Version {
                version: row.get(0)?,
                definition: row.get(1)?,
                source: row.get(2)?,
                created_by: row.get(3)?,
                created_at: row.get(4)?,
            })
        };
        rows.iter().map(version).collect::<Result<_, Failure>>().map_err(failed)
    }
}
