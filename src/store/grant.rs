//! Grants: kept as rows, and held as the one handle that every principal carries.

use super::Store;
use super::audit::Deed;
use super::query::{Row, query};
use super::transaction::{Transaction, Work, failed};
use crate::model::grant::{Effect, Grant, Grants, Rules};
use crate::model::{Error, Result};

const COLUMNS: &str = "id, effect, subject, reach, note, created_by, created_at";

fn grant(row: &Row) -> Result<Grant> {
    let text = |index: usize| row.get::<String>(index).map_err(failed);
    let id = text(0)?;
    let unreadable = |what: String| Error::internal("read the grants", format!("grant {id}: {what}"));
    let effect = text(1)?;
    Ok(Grant {
        effect: Effect::parse(&effect).ok_or_else(|| unreadable(format!("{effect:?} is no effect")))?,
        subject: text(2)?.parse().map_err(unreadable)?,
        reach: text(3)?.parse().map_err(unreadable)?,
        note: text(4)?,
        created_by: text(5)?,
        created_at: row.get(6).map_err(failed)?,
        id: id.clone(),
    })
}

struct Insert {
    grant: Grant,
    deed: Deed,
}

impl Work for Insert {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let Grant { id, effect, subject, reach, note, created_by, created_at } = &self.grant;
        let insert = query(
            "INSERT INTO grants (id, effect, subject, reach, note, created_by, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id)
        .bind(effect.as_str())
        .bind(subject.to_string())
        .bind(reach.to_string())
        .bind(note)
        .bind(created_by)
        .bind(*created_at);
        transaction.write(insert).await?;
        transaction.record(&self.deed).await
    }
}

struct Delete {
    id: String,
    deed: Deed,
}

impl Work for Delete {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let was_there = transaction.write(query("DELETE FROM grants WHERE id = $1").bind(&self.id)).await? == 1;
        if was_there {
            transaction.record(&self.deed).await?;
        }
        Ok(was_there)
    }
}

impl Store {
    /// The grants that count now.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Keeps a grant, and that it was made; it counts when this returns.
    pub async fn insert_grant(&self, grant: Grant, deed: Deed) -> Result<()> {
        self.write(Insert { grant, deed }).await?;
        self.load_grants().await
    }

    /// Takes a grant away; it counts no more when this returns. `false` when there is none.
    pub async fn delete_grant(&self, id: &str, deed: Deed) -> Result<bool> {
        let was_there = self.write(Delete { id: id.to_owned(), deed }).await?;
        self.load_grants().await?;
        Ok(was_there)
    }

    /// Every grant, oldest first.
    pub async fn all_grants(&self) -> Result<Vec<Grant>> {
        let mut reader = self.reader().await?;
        // Ids rise with time.
        let find = super::query::composed(format!("SELECT {COLUMNS} FROM grants ORDER BY id"));
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(grant).collect()
    }

    /// Reads all grants; from here on they count.
    pub async fn load_grants(&self) -> Result<()> {
        // One after the other: an older reading must not replace a newer one.
        let _turn = self.loading.lock().await;
        self.grants.replace(Rules::new(self.all_grants().await?));
        Ok(())
    }
}
