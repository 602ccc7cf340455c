//! A SQLite database belongs to one server at a time.

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::Target;

/// Nobody else serves the database while this value lives, and nobody else did when it was made. The system ends it with
/// the process, however that dies.
#[derive(Debug)]
pub struct Alone {
    _lock: File,
}

impl Target {
    /// Takes a SQLite database for one server; refused when another one has it. `None` on PostgreSQL, which any number of
    /// servers share. The lock is a file of its own: closing another handle of the database's own file would end SQLite's
    /// locks on it.
    pub fn take(&self) -> anyhow::Result<Option<Alone>> {
        let Self::Sqlite(path) = self else { return Ok(None) };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
        }
        let mut lock = path.clone().into_os_string();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let file = File::options().create(true).truncate(false).write(true).open(&lock);
        let file = file.with_context(|| format!("failed to open {}", lock.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Alone { _lock: file })),
            Err(TryLockError::WouldBlock) => bail!(
                "another server runs on the database {}; several servers can share a PostgreSQL database only",
                path.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("failed to lock {}", lock.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_taken_once_and_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::Sqlite(folder.path().join("new").join("parlour.db"));
        let alone = target.take().unwrap();
        assert!(alone.is_some());
        assert!(target.take().unwrap_err().to_string().contains("another server runs"));
        drop(alone);
        assert!(target.take().unwrap().is_some());
        assert!(Target::Postgres(String::new()).take().unwrap().is_none());
    }
}
