//! Service principals: programs that another issuer vouches for, by their client id there.

use super::Store;
use super::audit::Deed;
use super::query::{Failure, Row, query};
use super::session::{join_names, join_roles, names, roles};
use super::transaction::{COLLISION, Transaction, Work, failed};
use crate::model::conversation::Millis;
use crate::model::grant::Reach;
use crate::model::principal::{Principal, PrincipalKind, Rights, Role};
use crate::model::{Error, Result};

/// A service principal.
#[derive(Clone, Debug)]
pub struct Service {
    pub id: String,
    pub name: String,
    /// Exactly as the issuer writes it.
    pub issuer: String,
    pub client_id: String,
    pub roles: Vec<Role>,
    pub groups: Vec<String>,
    /// What it is narrowed to; empty: whatever its role may.
    pub scopes: Vec<Reach>,
    pub created_at: Millis,
    pub last_used_at: Option<Millis>,
    pub revoked_at: Option<Millis>,
}

const COLUMNS: &str = "id, name, issuer, client_id, roles, groups, scopes, created_at, last_used_at, revoked_at";

fn service(row: &Row) -> Result<Service, Failure> {
    Ok(Service {
        id: row.get(0)?,
        name: row.get(1)?,
        issuer: row.get(2)?,
        client_id: row.get(3)?,
        roles: roles(&row.get::<String>(4)?),
        groups: names(&row.get::<String>(5)?),
        scopes: scopes(row.get(6)?)?,
        created_at: row.get(7)?,
        last_used_at: row.get(8)?,
        revoked_at: row.get(9)?,
    })
}

/// Scopes as they are kept. What cannot be read must not be taken for no scopes at all.
pub(super) fn scopes(text: Option<String>) -> Result<Vec<Reach>, Failure> {
    let unreadable = |what: String| Failure::Sqlx(sqlx::Error::Decode(format!("scopes: {what}").into()));
    let Some(text) = text else { return Ok(Vec::new()) };
    let written: Vec<String> = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    written.iter().map(|scope| scope.parse().map_err(unreadable)).collect()
}

/// What [`scopes`] reads.
pub(super) fn join_scopes(scopes: &[Reach]) -> Option<String> {
    let written: Vec<String> = scopes.iter().map(Reach::to_string).collect();
    (!written.is_empty()).then(|| join_names(&written))
}

struct Enrol {
    service: Service,
    deed: Deed,
}

impl Work for Enrol {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let new = &self.service;
        let known = query("SELECT id FROM services WHERE issuer = $1 AND client_id = $2 AND revoked_at IS NULL");
        if transaction.optional(known.bind(&new.issuer).bind(&new.client_id)).await?.is_some() {
            return Ok(false);
        }
        let insert = query(
            "INSERT INTO services (id, name, issuer, client_id, roles, groups, scopes, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&new.id)
        .bind(&new.name)
        .bind(&new.issuer)
        .bind(&new.client_id)
        .bind(join_roles(&new.roles))
        .bind(join_names(&new.groups))
        .bind(join_scopes(&new.scopes))
        .bind(new.created_at);
        transaction.write(insert).await?;
        transaction.record(&self.deed).await?;
        Ok(true)
    }
}

struct Revoke {
    id: String,
    deed: Deed,
}

impl Work for Revoke {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let revoke = query("UPDATE services SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL");
        let is_new = transaction.write(revoke.bind(&self.id).bind(self.deed.at)).await? == 1;
        if is_new {
            transaction.record(&self.deed).await?;
        }
        Ok(is_new)
    }
}

struct Touch {
    id: String,
    at: Millis,
}

impl Work for Touch {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let touch = query("UPDATE services SET last_used_at = $1 WHERE id = $2");
        transaction.write(touch.bind(self.at).bind(&self.id)).await?;
        Ok(())
    }
}

impl Store {
    /// Who a caller is that proved to be this service.
    pub fn service_principal(&self, service: &Service) -> Principal {
        Principal {
            id: service.id.clone(),
            kind: PrincipalKind::Service,
            name: service.name.clone(),
            roles: service.roles.clone(),
            groups: service.groups.clone(),
            serves: Vec::new(),
            rights: Rights { grants: self.grants().clone(), scopes: service.scopes.as_slice().into(), owner: None },
        }
    }

    /// Keeps a new service principal; `false` when that client of that issuer is enrolled already.
    pub async fn enrol_service(&self, service: Service, deed: Deed) -> Result<bool> {
        match self.write(Enrol { service, deed }).await {
            Err(error) if error.code == COLLISION => Ok(false),
            outcome => outcome,
        }
    }

    /// Ends a service principal for good; `false` when there is none that counts.
    pub async fn revoke_service(&self, id: &str, deed: Deed) -> Result<bool> {
        self.write(Revoke { id: id.to_owned(), deed }).await
    }

    pub async fn touch_service(&self, id: &str, at: Millis) -> Result<()> {
        self.write(Touch { id: id.to_owned(), at }).await
    }

    /// The service principal of this client, if one is enrolled that was not revoked.
    pub async fn service_of(&self, issuer: &str, client_id: &str) -> Result<Option<Service>> {
        let condition = "issuer = $1 AND client_id = $2 AND revoked_at IS NULL";
        let find = super::query::composed(format!("SELECT {COLUMNS} FROM services WHERE {condition}"));
        self.find_service(find.bind(issuer).bind(client_id)).await
    }

    pub async fn service(&self, id: &str) -> Result<Option<Service>> {
        let find = super::query::composed(format!("SELECT {COLUMNS} FROM services WHERE id = $1"));
        self.find_service(find.bind(id)).await
    }

    async fn find_service(&self, find: super::query::Query<'_>) -> Result<Option<Service>> {
        let mut reader = self.reader().await?;
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| service(&row).map_err(failed)).transpose()
    }

    /// Service principals that were not revoked, oldest first.
    pub async fn services(&self) -> Result<Vec<Service>> {
        let mut reader = self.reader().await?;
        let find =
            super::query::composed(format!("SELECT {COLUMNS} FROM services WHERE revoked_at IS NULL ORDER BY id"));
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| service(row).map_err(failed)).collect()
    }
}

/// What anybody hears about a service principal that is not there.
pub fn unknown(id: &str) -> Error {
    Error::not_found("there is no such service principal").details(serde_json::json!({ "service_id": id }))
}
