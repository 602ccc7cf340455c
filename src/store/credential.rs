//! Credentials for services outside, and instances of connectors that use them. Their secrets are in `vault`.

use super::Store;
use super::audit::Deed;
use super::credential_token::TokenChange;
use super::query::{Failure, Query, Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use super::vault::Sealed;
use crate::model::conversation::Millis;
use crate::model::{Error, Kind, Result};

/// A credential without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// Unique among its owner's.
    pub name: String,
    pub description: String,
    /// Which of the connector's ways to sign in.
    pub kind: String,
    /// The connector's type.
    pub provider: String,
    /// What of it is no secret, a JSON object.
    pub fields: String,
    /// The hosts it goes to; empty: those of its connector.
    pub hosts: Vec<String>,
    /// JSON.
    pub metadata: String,
    /// Rises with each change.
    pub version: i64,
    pub created_at: Millis,
    pub updated_at: Millis,
    pub last_used_at: Option<Millis>,
    pub expires_at: Option<Millis>,
}

/// What is sealed of a credential is sealed for this owner.
pub fn sealed_owner(id: &str) -> String {
    format!("credential:{id}")
}

/// An instance of a connector: a name for a credential and what it sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub id: String,
    pub owner: String,
    /// Unique among its owner's.
    pub name: String,
    /// The connector's type.
    pub kind: String,
    /// The credential's id.
    pub credential: Option<String>,
    /// A JSON object.
    pub config: String,
    pub created_at: Millis,
    pub updated_at: Millis,
}

/// So many rows are read at once at most.
const MOST: i64 = 1000;

const COLUMNS: &str = "id, owner, name, description, type, provider, fields, hosts, metadata, version, created_at, \
                       updated_at, last_used_at, expires_at";

fn credential(row: &Row) -> Result<Credential, Failure> {
    let hosts: String = row.get(7)?;
    Ok(Credential {
        id: row.get(0)?,
        owner: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        kind: row.get(4)?,
        provider: row.get(5)?,
        fields: row.get(6)?,
        hosts: hosts.split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect(),
        metadata: row.get(8)?,
        version: row.get(9)?,
        created_at: row.get(10)?,
        updated_at: row.get(11)?,
        last_used_at: row.get(12)?,
        expires_at: row.get(13)?,
    })
}

const INSTANCE: &str = "id, owner, name, type, credential, config, created_at, updated_at";

fn instance(row: &Row) -> Result<Instance, Failure> {
    Ok(Instance {
        id: row.get(0)?,
        owner: row.get(1)?,
        name: row.get(2)?,
        kind: row.get(3)?,
        credential: row.get(4)?,
        config: row.get(5)?,
        created_at: row.get(6)?,
        updated_at: row.get(7)?,
    })
}

/// What somebody hears who gives a name that they have given already.
fn taken(what: &str, code: &'static str, name: &str) -> Error {
    Error::conflict(code, format!("there is a {what} '{name}' already"))
        .details(serde_json::json!({ "field": "name", "name": name }))
}

/// What somebody hears whose change was overtaken.
fn overtaken() -> Error {
    Error::conflict("CHANGED_MEANWHILE", "it was changed meanwhile; read it again")
}

impl Transaction<'_> {
    /// Refuses a name that another row of the same owner has.
    async fn refuse_taken(
        &mut self,
        find: &'static str,
        (owner, name, id): (&str, &str, &str),
        error: Error,
    ) -> Result<()> {
        match self.optional(query(find).bind(owner).bind(name).bind(id)).await? {
            Some(_) => Err(error),
            None => Ok(()),
        }
    }
}

struct PutCredential {
    credential: Credential,
    /// `None` for a new one.
    before: Option<i64>,
    sealed: Option<Sealed>,
    token: TokenChange,
    deed: Deed,
}

impl Work for PutCredential {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let it = &self.credential;
        let error = taken("credential", "CREDENTIAL_EXISTS", &it.name);
        let find = "SELECT 1 FROM credentials WHERE owner = $1 AND name = $2 AND id <> $3";
        transaction.refuse_taken(find, (&it.owner, &it.name, &it.id), error).await?;
        let text = match self.before {
            None => {
                "INSERT INTO credentials (name, description, type, provider, fields, hosts, metadata, version, updated_at, \
                 expires_at, id, owner, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
            }
            Some(_) => {
                "UPDATE credentials SET name = $1, description = $2, type = $3, provider = $4, fields = $5, hosts = $6, \
                 metadata = $7, version = $8, updated_at = $9, expires_at = $10 \
                 WHERE id = $11 AND owner = $12 AND created_at = $13 AND version = $14"
            }
        };
        let mut put = query(text)
            .bind(&it.name)
            .bind(&it.description)
            .bind(&it.kind)
            .bind(&it.provider)
            .bind(&it.fields)
            .bind(it.hosts.join(","))
            .bind(&it.metadata)
            .bind(it.version)
            .bind(it.updated_at)
            .bind(it.expires_at)
            .bind(&it.id)
            .bind(&it.owner)
            .bind(it.created_at);
        if let Some(version) = self.before {
            put = put.bind(version);
        }
        if transaction.write(put).await? == 0 {
            return Err(overtaken());
        }
        transaction.change_token(&it.id, self.token).await?;
        if let Some(sealed) = &self.sealed {
            transaction.put_sealed(sealed).await?;
        }
        transaction.record(&self.deed).await
    }
}

struct DeleteCredential {
    id: String,
    deed: Deed,
}

impl Work for DeleteCredential {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let used = query("SELECT name FROM connector_instances WHERE credential = $1");
        if let Some(row) = transaction.optional(used.bind(&self.id)).await? {
            let name: String = row.get(0).map_err(failed)?;
            let message = format!("connector '{name}' uses this credential");
            return Err(Error::conflict("CREDENTIAL_IN_USE", message).details(serde_json::json!({ "connector": name })));
        }
        let is_there = transaction.write(query("DELETE FROM credentials WHERE id = $1").bind(&self.id)).await? == 1;
        if is_there {
            transaction.remove_token(&self.id).await?;
            transaction.remove_sealed(&sealed_owner(&self.id)).await?;
            transaction.record(&self.deed).await?;
        }
        Ok(is_there)
    }
}

struct UseCredential {
    id: String,
    deed: Deed,
}

impl Work for UseCredential {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let touch = query("UPDATE credentials SET last_used_at = $1 WHERE id = $2");
        transaction.write(touch.bind(self.deed.at).bind(&self.id)).await?;
        transaction.record(&self.deed).await
    }
}

struct PutInstance {
    instance: Instance,
    is_new: bool,
    deed: Deed,
}

impl Work for PutInstance {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let it = &self.instance;
        let error = taken("connector", "CONNECTOR_EXISTS", &it.name);
        let find = "SELECT 1 FROM connector_instances WHERE owner = $1 AND name = $2 AND id <> $3";
        transaction.refuse_taken(find, (&it.owner, &it.name, &it.id), error).await?;
        if let Some(credential) = &it.credential {
            let find = query("SELECT 1 FROM credentials WHERE id = $1").bind(credential);
            if transaction.optional(find).await?.is_none() {
                return Err(Error::new(Kind::NotFound, "CREDENTIAL_NOT_FOUND", "the credential was deleted meanwhile"));
            }
        }
        let text = if self.is_new {
            "INSERT INTO connector_instances (name, credential, config, updated_at, id, owner, type, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        } else {
            "UPDATE connector_instances SET name = $1, credential = $2, config = $3, updated_at = $4 \
             WHERE id = $5 AND owner = $6 AND type = $7 AND created_at = $8"
        };
        let put = query(text)
            .bind(&it.name)
            .bind(&it.credential)
            .bind(&it.config)
            .bind(it.updated_at)
            .bind(&it.id)
            .bind(&it.owner)
            .bind(&it.kind)
            .bind(it.created_at);
        if transaction.write(put).await? == 0 {
            return Err(overtaken());
        }
        transaction.record(&self.deed).await
    }
}

struct DeleteInstance {
    id: String,
    deed: Deed,
}

impl Work for DeleteInstance {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let delete = query("DELETE FROM connector_instances WHERE id = $1").bind(&self.id);
        let is_there = transaction.write(delete).await? == 1;
        if is_there {
            transaction.record(&self.deed).await?;
        }
        Ok(is_there)
    }
}

impl Store {
    /// Keeps a new credential with its sealed secrets.
    pub async fn insert_credential(
        &self,
        credential: Credential,
        sealed: Sealed,
        token: TokenChange,
        deed: Deed,
    ) -> Result<()> {
        Box::pin(self.write(PutCredential { credential, before: None, sealed: Some(sealed), token, deed })).await
    }

    /// Changes a credential that still has version `before`, and its secrets when there are new ones; `token` says what that
    /// means for what was got with the old.
    pub async fn update_credential(
        &self,
        credential: Credential,
        before: i64,
        sealed: Option<Sealed>,
        token: TokenChange,
        deed: Deed,
    ) -> Result<()> {
        Box::pin(self.write(PutCredential { credential, before: Some(before), sealed, token, deed })).await
    }

    /// Removes a credential that no connector uses; `false` when it is not there.
    pub async fn delete_credential(&self, id: &str, deed: Deed) -> Result<bool> {
        self.write(DeleteCredential { id: id.to_owned(), deed }).await
    }

    /// Notes that a credential is opened now, and by whom.
    pub async fn use_credential(&self, id: &str, deed: Deed) -> Result<()> {
        self.write(UseCredential { id: id.to_owned(), deed }).await
    }

    /// All credentials, or those of one owner, by name.
    pub async fn credentials(&self, owner: Option<&str>) -> Result<Vec<Credential>> {
        let find = composed(format!(
            "SELECT {COLUMNS} FROM credentials WHERE (cast($1 AS TEXT) IS NULL OR owner = $1) ORDER BY name, id LIMIT {MOST}"
        ));
        self.find_all(find.bind(owner), credential).await
    }

    pub async fn credential(&self, id: &str) -> Result<Option<Credential>> {
        let find = composed(format!("SELECT {COLUMNS} FROM credentials WHERE id = $1"));
        Ok(self.find_all(find.bind(id), credential).await?.pop())
    }

    /// Everybody's credentials of this name, oldest first.
    pub async fn credentials_named(&self, name: &str) -> Result<Vec<Credential>> {
        let find = composed(format!("SELECT {COLUMNS} FROM credentials WHERE name = $1 ORDER BY id LIMIT {MOST}"));
        self.find_all(find.bind(name), credential).await
    }

    pub async fn insert_instance(&self, instance: Instance, deed: Deed) -> Result<()> {
        self.write(PutInstance { instance, is_new: true, deed }).await
    }

    pub async fn update_instance(&self, instance: Instance, deed: Deed) -> Result<()> {
        self.write(PutInstance { instance, is_new: false, deed }).await
    }

    pub async fn delete_instance(&self, id: &str, deed: Deed) -> Result<bool> {
        self.write(DeleteInstance { id: id.to_owned(), deed }).await
    }

    /// All instances, by name.
    pub async fn instances(&self) -> Result<Vec<Instance>> {
        let find = composed(format!("SELECT {INSTANCE} FROM connector_instances ORDER BY name, id LIMIT {MOST}"));
        self.find_all(find, instance).await
    }

    pub async fn instance(&self, id: &str) -> Result<Option<Instance>> {
        let find = composed(format!("SELECT {INSTANCE} FROM connector_instances WHERE id = $1"));
        Ok(self.find_all(find.bind(id), instance).await?.pop())
    }

    /// Everybody's instances of this name, oldest first.
    pub async fn instances_named(&self, name: &str) -> Result<Vec<Instance>> {
        let find =
            composed(format!("SELECT {INSTANCE} FROM connector_instances WHERE name = $1 ORDER BY id LIMIT {MOST}"));
        self.find_all(find.bind(name), instance).await
    }

    async fn find_all<T>(&self, find: Query<'_>, read: fn(&Row) -> Result<T, Failure>) -> Result<Vec<T>> {
        let mut reader = self.reader().await?;
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| read(row).map_err(failed)).collect()
    }
}
