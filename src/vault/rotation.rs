//! Changing all keys while everything goes on.
//!
//! Each step leaves a state in which everything opens, and the whole can be begun again from any of them: the new master
//! key is added to the file before it seals anything, data keys are moved over one by one, values are sealed anew one by
//! one, each only if it is still as it was read, and an old key goes when nothing needs it any more.

use super::master::Source;
use super::{Vault, cipher};
use crate::crash_point::reached;
use crate::store::vault::DataKey;

/// Values that are sealed anew at once.
const STRIDE: i64 = 100;

/// What a rotation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// The id of the master key that counts now.
    pub master: String,
    /// Data keys that were sealed with it.
    pub keys: u64,
    /// Values that were sealed under a new data key.
    pub values: u64,
}

impl Vault {
    /// Changes the master key (where it is in a file), then the data key, then every seal.
    pub async fn rotate(&self) -> anyhow::Result<Rotation> {
        let _lock = self.lock()?;
        let mut masters = self.read_masters()?;
        if masters.is_empty() {
            masters = self.source.create()?;
        }
        let is_file = matches!(self.source, Source::File(_));
        // A file with two keys is what a rotation left that did not come to its end: go on with its new one.
        if is_file && masters.len() == 1 {
            masters.insert(0, super::Master::random()?);
            self.source.replace(&masters)?;
            masters = self.read_masters()?;
        }
        reached("vault.master_added");
        let Some(current) = masters.first().cloned() else { anyhow::bail!("the vault has no master key") };
        let mut done = Rotation { master: current.id.clone(), ..Rotation::default() };
        for key in self.store.data_keys().await? {
            done.keys += u64::from(self.rewrap(&key, &current).await?);
            reached("vault.key_rewrapped");
        }
        let is_resumed = self.store.data_keys().await?.iter().any(|key| !key.is_active);
        if !is_resumed && self.store.active_data_key().await?.is_some() {
            self.store.succeed_data_key(self.wrapped(&current)?).await?;
        }
        reached("vault.key_succeeded");
        done.values = self.reseal_all().await?;
        self.store.drop_retired_data_keys().await?;
        reached("vault.retired_dropped");
        if is_file {
            self.source.replace(std::slice::from_ref(&current))?;
            self.read_masters()?;
        }
        reached("vault.rotated");
        Ok(done)
    }

    async fn rewrap(&self, key: &DataKey, current: &super::Master) -> anyhow::Result<bool> {
        if key.master == current.id {
            return Ok(false);
        }
        let opened = self.unwrap(key)?;
        let wrapped = cipher::seal(&current.key, &super::place_of_key(&key.id), &**opened)?;
        let after = DataKey { master: current.id.clone(), wrapped, ..key.clone() };
        Ok(self.store.rewrap_data_key(key.clone(), after).await?)
    }

    async fn reseal_all(&self) -> anyhow::Result<u64> {
        let mut count = 0;
        loop {
            let some = self.store.sealed_by_retired(STRIDE).await?;
            if some.is_empty() {
                return Ok(count);
            }
            for sealed in some {
                // It was changed or removed since: the next look sees what is left of it.
                let Some(plain) = self.open_sealed(&sealed).await? else { continue };
                let anew = self.seal(&sealed.owner, &sealed.field, &plain).await?;
                count += u64::from(self.store.reseal(sealed, anew).await?);
                reached("vault.value_resealed");
            }
        }
    }
}
