//! Floor between the store and everything that has secrets: they are sealed here, and opened here.
//!
//! A master key, in a file or in the settings, seals data keys; a data key seals values. Both are named by ids, so that
//! changing either is a matter of moving on from one id to the next while everything keeps working ([`rotation`]). What is
//! sealed belongs to its place: an owner and a field, which are part of what AES-GCM protects.

mod cipher;
mod export;
mod master;
mod rotation;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config;
use crate::model::id::new_id;
use crate::model::{Error, Kind, Result};
use crate::store::Store;
use crate::store::vault::{DataKey, Sealed};
use cipher::Key;
use master::{Master, Source};

pub use export::{open_export, seal_export};
pub use rotation::Rotation;

/// How often something is read anew that a rotation moved on while it was looked at.
const TRIES: usize = 5;

/// The vault of one installation.
pub struct Vault {
    store: Arc<Store>,
    clock: Clock,
    source: Source,
    /// Held while keys are changed, so that two programs on one machine do not change them at once.
    lock: PathBuf,
    masters: Mutex<Vec<Master>>,
    data_keys: Mutex<HashMap<String, Arc<Key>>>,
}

/// What a data key is sealed for.
fn place_of_key(id: &str) -> String {
    format!("data key {id}")
}

fn place(owner: &str, field: &str) -> String {
    // A length before each keeps two places from being written the same.
    format!("{}:{owner}{}:{field}", owner.len(), field.len())
}

fn broken(what: &str, failure: cipher::Failure) -> Error {
    Error::new(Kind::Internal, "SEALED", format!("{what} cannot be opened: {failure}")).caused_by(failure)
}

impl Vault {
    /// Opens the vault. When anything was sealed, every key is opened now: a wrong master key is told before anything is
    /// written, with the id of the right one.
    pub async fn open(settings: &config::Vault, data: &Path, store: Arc<Store>, clock: Clock) -> anyhow::Result<Self> {
        let source = Source::new(settings, data);
        let vault = Self {
            masters: Mutex::new(source.read()?),
            source,
            lock: data.join("vault.lock"),
            store,
            clock,
            data_keys: Mutex::default(),
        };
        for key in vault.store.data_keys().await? {
            vault.unwrap(&key).map_err(|_| {
                let place = vault.source.place();
                anyhow::anyhow!(
                    "credentials are sealed under master key {}, which is not in {place}; \
                     put the right key there, or set vault.key or vault.former_keys",
                    key.master
                )
            })?;
        }
        Ok(vault)
    }

    fn masters(&self) -> Vec<Master> {
        self.masters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the master keys again: another program may have changed them.
    fn read_masters(&self) -> anyhow::Result<Vec<Master>> {
        let masters = self.source.read()?;
        self.masters.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&masters);
        Ok(masters)
    }

    /// Opens a data key.
    fn unwrap(&self, key: &DataKey) -> Result<Arc<Key>> {
        let known = |masters: &[Master]| masters.iter().find(|master| master.id == key.master).cloned();
        let master = known(&self.masters()).or_else(|| self.read_masters().ok().and_then(|masters| known(&masters)));
        let master = master.ok_or_else(|| {
            let message = format!("the vault needs master key {}, which is not here", key.master);
            Error::new(Kind::Unavailable, "VAULT_KEY_MISSING", message)
        })?;
        let opened = cipher::open(&master.key, &place_of_key(&key.id), &key.wrapped);
        let opened = opened.map_err(|failure| broken("a key of the vault", failure))?;
        let bytes: [u8; 32] =
            opened.as_slice().try_into().map_err(|_| broken("a key of the vault", cipher::Failure::NotOurs))?;
        let opened = Arc::new(Zeroizing::new(bytes));
        self.data_keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.id.clone(), opened.clone());
        Ok(opened)
    }

    fn known(&self, id: &str) -> Option<Arc<Key>> {
        self.data_keys.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// A new data key under a master key, for the store.
    fn wrapped(&self, master: &Master) -> anyhow::Result<DataKey> {
        let id = new_id();
        let key = cipher::new_key()?;
        let wrapped = cipher::seal(&master.key, &place_of_key(&id), &*key)?;
        Ok(DataKey { id, master: master.id.clone(), wrapped, is_active: true, created_at: self.clock.now() })
    }

    /// The key to seal with; the first time it is made, and the master key too when there is none.
    async fn active(&self) -> Result<(String, Arc<Key>)> {
        let mut found = self.store.active_data_key().await?;
        if found.is_none() {
            self.begin().await?;
            found = self.store.active_data_key().await?;
        }
        let active = found.ok_or_else(|| Error::unavailable("the vault has no key; try again"))?;
        let key = self.data_key(&active.id).await?;
        let key = key.ok_or_else(|| Error::unavailable("the vault is being changed; try again"))?;
        Ok((active.id, key))
    }

    async fn begin(&self) -> Result<()> {
        let failed = |error: anyhow::Error| Error::new(Kind::Unavailable, "VAULT_UNAVAILABLE", error.to_string());
        // Read anew and under the lock: a rotation may be about to replace the key that was known.
        let _lock = self.lock().map_err(failed)?;
        let masters = self.read_masters().map_err(failed)?;
        let masters = if masters.is_empty() { self.source.create().map_err(failed)? } else { masters };
        self.masters.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&masters);
        let master = masters.first().ok_or_else(|| Error::unavailable("the vault has no master key"))?;
        let first = self.wrapped(master).map_err(failed)?;
        self.store.insert_first_data_key(first).await
    }

    /// Seals a value for its place. The store refuses it with [`KEY_RETIRED`](crate::store::vault::KEY_RETIRED) when the key
    /// has changed before it is kept: seal again.
    pub async fn seal(&self, owner: &str, field: &str, plain: &[u8]) -> Result<Sealed> {
        let (data_key, key) = self.active().await?;
        let text = cipher::seal(&key, &place(owner, field), plain);
        let text = text.map_err(|failure| broken("a value", failure))?;
        Ok(Sealed { owner: owner.to_owned(), field: field.to_owned(), data_key, text })
    }

    /// Opens what is kept in a place; `None` when there is nothing.
    pub async fn open_value(&self, owner: &str, field: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        for _ in 0..TRIES {
            let Some(sealed) = self.store.sealed(owner, field).await? else { return Ok(None) };
            if let Some(opened) = self.open_sealed(&sealed).await? {
                return Ok(Some(opened));
            }
        }
        Err(Error::unavailable("the vault is being changed; try again"))
    }

    /// Opens a seal; `None` when its key is gone, because a rotation has sealed the value anew since it was read.
    async fn open_sealed(&self, sealed: &Sealed) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(key) = self.data_key(&sealed.data_key).await? else { return Ok(None) };
        let opened = cipher::open(&key, &place(&sealed.owner, &sealed.field), &sealed.text);
        opened.map(Some).map_err(|failure| broken(&sealed.owner, failure))
    }

    /// A data key, opened; `None` when it is gone.
    async fn data_key(&self, id: &str) -> Result<Option<Arc<Key>>> {
        let mut outcome = Ok(None);
        for _ in 0..TRIES {
            if let Some(key) = self.known(id) {
                return Ok(Some(key));
            }
            let Some(key) = self.store.data_key(id).await? else { return Ok(None) };
            // Between the reading of the row and that of the file a rotation may have changed both.
            outcome = self.unwrap(&key).map(Some);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Taken by whoever changes keys, for as long as the file lives.
    fn lock(&self) -> anyhow::Result<File> {
        let file = File::options().create(true).append(true).open(&self.lock)?;
        file.try_lock().map_err(|_| anyhow::anyhow!("somebody else is changing the keys of the vault right now"))?;
        Ok(file)
    }
}
