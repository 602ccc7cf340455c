//! Folders for profiles. Each server has one of its own, beside a lock that says whether it still runs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{Failure, unavailable};
use crate::model::id::new_id;

const LOCK: &str = "lock";

/// Where the browsers of this server keep what they need while they run.
pub(super) struct Profiles {
    root: PathBuf,
    own: OnceCell<Arc<Own>>,
}

/// The folder of this server. Dropped, it is gone.
struct Own {
    folder: PathBuf,
    lock: PathBuf,
    _held: File,
}

impl Drop for Own {
    fn drop(&mut self) {
        forget(&self.folder);
        let _ = std::fs::remove_file(&self.lock);
    }
}

impl Profiles {
    pub(super) fn new(root: PathBuf) -> Self {
        // Chromium runs in another folder than we do.
        let root = std::path::absolute(&root).unwrap_or(root);
        if let Err(error) = sweep(&root)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %root.display(), "profiles of former browsers could not be removed");
        }
        Self { root, own: OnceCell::new() }
    }

    /// An empty folder for a browser.
    pub(super) async fn new_one(&self) -> Result<PathBuf, Failure> {
        let broken = |error: io::Error| unavailable(format!("there is no place for a browser's profile: {error}"));
        let own = self.own.get_or_try_init(|| async { take(&self.root).map(Arc::new) }).await.map_err(broken)?;
        let profile = own.folder.join(new_id());
        std::fs::create_dir_all(&profile).map_err(broken)?;
        Ok(profile)
    }
}

fn take(root: &Path) -> io::Result<Own> {
    let folder = root.join(new_id());
    std::fs::create_dir_all(root)?;
    let lock = folder.with_extension(LOCK);
    let held = File::create_new(&lock)?;
    held.try_lock()?;
    std::fs::create_dir(&folder)?;
    Ok(Own { folder, lock, _held: held })
}

/// Removes what servers left that are gone: nobody holds their lock.
fn sweep(root: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let lock = entry?.path();
        if lock.extension().is_none_or(|extension| extension != LOCK) {
            continue;
        }
        let held = File::options().write(true).open(&lock)?;
        if held.try_lock().is_ok() {
            forget(&lock.with_extension(""));
            std::fs::remove_file(&lock)?;
        }
    }
    Ok(())
}

pub(super) fn forget(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "a browser's profile could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_server_left_behind_goes_and_what_another_one_has_stays() {
        let root = tempfile::tempdir().unwrap();
        let live = Profiles::new(root.path().to_owned());
        let profile = live.new_one().await.unwrap();
        let left = root.path().join("left");
        std::fs::create_dir_all(left.join("profile")).unwrap();
        std::fs::write(left.with_extension(LOCK), "").unwrap();

        let other = Profiles::new(root.path().to_owned());
        assert!(!left.exists(), "its server is gone");
        assert!(profile.exists(), "this one runs");
        drop((live, other));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
