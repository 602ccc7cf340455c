//! What is sealed, and the keys that seal it, themselves sealed. Nothing here can be opened here.

use super::Store;
use super::query::{Failure, Row, query};
use super::transaction::{Transaction, Work, failed};
use crate::model::conversation::Millis;
use crate::model::{Error, Kind, Result};

/// A key that seals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKey {
    pub id: String,
    /// The id of the master key that opens it.
    pub master: String,
    pub wrapped: String,
    /// Whether new things are sealed under it.
    pub is_active: bool,
    pub created_at: Millis,
}

/// Something sealed, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Such as `credential:…`.
    pub owner: String,
    pub field: String,
    pub data_key: String,
    pub text: String,
}

/// The code of a write whose key is no longer the one to seal with: seal anew and write again.
pub const KEY_RETIRED: &str = "KEY_RETIRED";

const KEY: &str = "SELECT id, master, wrapped, state, created_at FROM data_keys";

fn data_key(row: &Row) -> Result<DataKey, Failure> {
    let state: String = row.get(3)?;
    Ok(DataKey {
        id: row.get(0)?,
        master: row.get(1)?,
        wrapped: row.get(2)?,
        is_active: state == "active",
        created_at: row.get(4)?,
    })
}

fn sealed(row: &Row) -> Result<Sealed, Failure> {
    Ok(Sealed { owner: row.get(0)?, field: row.get(1)?, data_key: row.get(2)?, text: row.get(3)? })
}

impl Transaction<'_> {
    /// Keeps something sealed in the transaction of what it belongs to.
    pub(super) async fn put_sealed(&mut self, sealed: &Sealed) -> Result<()> {
        // Takes the key's row: a rotation that retires it comes before this, and it fails, or after it, and finds it.
        let take = query("UPDATE data_keys SET uses = uses + 1 WHERE id = $1 AND state = 'active'");
        if self.write(take.bind(&sealed.data_key)).await? == 0 {
            return Err(Error::new(Kind::Conflict, KEY_RETIRED, "the key was changed meanwhile; try again"));
        }
        let put = query(
            "INSERT INTO sealed (owner, field, data_key, text) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (owner, field) DO UPDATE SET data_key = excluded.data_key, text = excluded.text",
        );
        let put = put.bind(&sealed.owner).bind(&sealed.field).bind(&sealed.data_key).bind(&sealed.text);
        self.write(put).await?;
        Ok(())
    }

    /// Removes everything that was sealed for an owner.
    pub(super) async fn remove_sealed(&mut self, owner: &str) -> Result<()> {
        self.write(query("DELETE FROM sealed WHERE owner = $1").bind(owner)).await?;
        Ok(())
    }
}

struct FirstKey(DataKey);

impl Work for FirstKey {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        // Another server may be first: then its key is the one.
        if transaction.optional(query("SELECT 1 FROM data_keys WHERE state = 'active'")).await?.is_none() {
            insert(transaction, &self.0).await?;
        }
        Ok(())
    }
}

async fn insert(transaction: &mut Transaction<'_>, key: &DataKey) -> Result<()> {
    let insert = query(
        "INSERT INTO data_keys (id, master, wrapped, state, uses, created_at) VALUES ($1, $2, $3, 'active', 0, $4)",
    );
    let insert = insert.bind(&key.id).bind(&key.master).bind(&key.wrapped).bind(key.created_at);
    transaction.write(insert).await?;
    Ok(())
}

struct Succeed(DataKey);

impl Work for Succeed {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        transaction.write(query("UPDATE data_keys SET state = 'retiring' WHERE state = 'active'")).await?;
        insert(transaction, &self.0).await
    }
}

struct Rewrap {
    before: DataKey,
    after: DataKey,
}

impl Work for Rewrap {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let rewrap = query("UPDATE data_keys SET master = $1, wrapped = $2 WHERE id = $3 AND wrapped = $4");
        let rewrap =
            rewrap.bind(&self.after.master).bind(&self.after.wrapped).bind(&self.before.id).bind(&self.before.wrapped);
        Ok(transaction.write(rewrap).await? == 1)
    }
}

struct Reseal {
    before: Sealed,
    after: Sealed,
}

impl Work for Reseal {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let reseal = query(
            "UPDATE sealed SET data_key = $1, text = $2 WHERE owner = $3 AND field = $4 AND data_key = $5 AND text = $6",
        );
        let reseal = reseal
            .bind(&self.after.data_key)
            .bind(&self.after.text)
            .bind(&self.before.owner)
            .bind(&self.before.field)
            .bind(&self.before.data_key)
            .bind(&self.before.text);
        Ok(transaction.write(reseal).await? == 1)
    }
}

struct DropRetired;

impl Work for DropRetired {
    type Output = u64;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<u64> {
        let drop = query(
            "DELETE FROM data_keys WHERE state = 'retiring' \
             AND NOT EXISTS (SELECT 1 FROM sealed WHERE sealed.data_key = data_keys.id)",
        );
        transaction.write(drop).await
    }
}

impl Store {
    /// All keys that seal or once did, oldest first.
    pub async fn data_keys(&self) -> Result<Vec<DataKey>> {
        let mut reader = self.reader().await?;
        let find = super::query::composed(format!("{KEY} ORDER BY created_at, id"));
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| data_key(row).map_err(failed)).collect()
    }

    pub async fn data_key(&self, id: &str) -> Result<Option<DataKey>> {
        let mut reader = self.reader().await?;
        let find = super::query::composed(format!("{KEY} WHERE id = $1")).bind(id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| data_key(&row).map_err(failed)).transpose()
    }

    /// The key to seal with.
    pub async fn active_data_key(&self) -> Result<Option<DataKey>> {
        let mut reader = self.reader().await?;
        let find = super::query::composed(format!("{KEY} WHERE state = 'active'"));
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| data_key(&row).map_err(failed)).transpose()
    }

    /// Keeps the first key, unless there is one by now.
    pub async fn insert_first_data_key(&self, key: DataKey) -> Result<()> {
        self.write(FirstKey(key)).await
    }

    /// From now on this key seals; the one before only opens.
    pub async fn succeed_data_key(&self, key: DataKey) -> Result<()> {
        self.write(Succeed(key)).await
    }

    /// Seals a key with another master key; `false` when it was changed meanwhile.
    pub async fn rewrap_data_key(&self, before: DataKey, after: DataKey) -> Result<bool> {
        self.write(Rewrap { before, after }).await
    }

    pub async fn sealed(&self, owner: &str, field: &str) -> Result<Option<Sealed>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT owner, field, data_key, text FROM sealed WHERE owner = $1 AND field = $2");
        let row = find.bind(owner).bind(field).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| sealed(&row).map_err(failed)).transpose()
    }

    /// Some of what is sealed under other keys than the active one.
    pub async fn sealed_by_retired(&self, limit: i64) -> Result<Vec<Sealed>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT s.owner, s.field, s.data_key, s.text FROM sealed s JOIN data_keys k ON k.id = s.data_key \
             WHERE k.state = 'retiring' ORDER BY s.owner, s.field LIMIT $1",
        );
        let rows = find.bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| sealed(row).map_err(failed)).collect()
    }

    /// Replaces a seal by another of the same thing; `false` when it was changed meanwhile.
    pub async fn reseal(&self, before: Sealed, after: Sealed) -> Result<bool> {
        self.write(Reseal { before, after }).await
    }

    /// Forgets keys that nothing is sealed under any more; says how many.
    pub async fn drop_retired_data_keys(&self) -> Result<u64> {
        self.write(DropRetired).await
    }
}
