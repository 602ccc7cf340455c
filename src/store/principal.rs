//! Users by their id, as far as they may come in.

use super::Store;
use super::query::{Row, query};
use super::session::{names, roles};
use super::transaction::failed;
use crate::model::Result;
use crate::model::principal::{Principal, PrincipalKind, Rights};

impl Store {
    pub async fn user(&self, id: &str) -> Result<Option<Principal>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT id, name, roles, groups FROM users WHERE id = $1 AND disabled_at IS NULL");
        let row = find.bind(id).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| self.read_user(&row)).transpose()
    }

    /// Every user who may come in.
    pub async fn users(&self) -> Result<Vec<Principal>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT id, name, roles, groups FROM users WHERE disabled_at IS NULL ORDER BY id");
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| self.read_user(row)).collect()
    }

    fn read_user(&self, row: &Row) -> Result<Principal> {
        Ok(Principal {
            id: row.get(0).map_err(failed)?,
            kind: PrincipalKind::User,
            name: row.get(1).map_err(failed)?,
            roles: roles(&row.get::<String>(2).map_err(failed)?),
            groups: names(&row.get::<String>(3).map_err(failed)?),
            serves: Vec::new(),
            rights: Rights { grants: self.grants().clone(), ..Rights::default() },
        })
    }
}
