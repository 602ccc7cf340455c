//! Floor 1: the bytes of files, in a folder.
//!
//! A file is written under a passing name while it comes, and stands under its id only when it is whole and on disk.
//! Who may read it, and where it was sent, is for others to know: here is no more than bytes, and what they are.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::model::conversation::Millis;
use crate::model::id::{hex, random_hex};
use crate::model::{Error, Result};

mod name;
mod sniff;

pub use name::clean_name;
use sniff::Sniffer;

/// Where files lie while they come.
const INCOMING: &str = "incoming";
/// Holds the name of the database whose rows speak of this folder.
const DATABASE: &str = "database";

/// The id of a file that comes in now: `f_` and 32 hex digits.
pub fn new_file_id() -> Result<String> {
    let digits = random_hex::<16>().map_err(|error| Error::internal("make an id", error))?;
    Ok(format!("f_{digits}"))
}

fn is_file_id(text: &str) -> bool {
    let digits = text.strip_prefix("f_").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The folder of one installation. With several servers it is one folder for all of them.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    is_foreign: bool,
}

impl Folder {
    /// Opens the folder, making it when it is not there. `database` names the lineage of the database: a folder that
    /// was begun with another one is used, but nothing is ever cleared away in it.
    pub fn open(root: PathBuf, database: &str) -> io::Result<Self> {
        std::fs::create_dir_all(root.join(INCOMING))?;
        sync(&root)?;
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
        let mark = root.join(DATABASE);
        let known = match std::fs::read_to_string(&mark) {
            Ok(known) => known,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Written aside, so that a crash leaves no half a mark.
                let passing = root.join(INCOMING).join(random_hex::<16>().map_err(io::Error::other)?);
                std::fs::write(&passing, database)?;
                std::fs::File::open(&passing)?.sync_all()?;
                std::fs::rename(&passing, &mark)?;
                sync(&root)?;
                database.to_owned()
            }
            Err(error) => return Err(error),
        };
        Ok(Self { root, is_foreign: known.trim() != database })
    }

    /// Whether the folder was begun with another database: then files that this database does not know may be known to
    /// that one.
    pub fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// The mark that makes the folder foreign.
    pub fn mark(&self) -> PathBuf {
        self.root.join(DATABASE)
    }

    /// Where the bytes of a file are.
    pub fn path(&self, id: &str) -> PathBuf {
        self.shelf(id).join(id)
    }

    /// Files stand on 256 shelves, so that no folder grows too long to be read.
    fn shelf(&self, id: &str) -> PathBuf {
        // Ids come from our own rows; one that does not look like ours finds nothing, wherever it came from.
        self.root.join(if is_file_id(id) { &id[2..4] } else { INCOMING })
    }

    /// Begins a file.
    pub async fn begin(&self) -> Result<Incoming> {
        let name = random_hex::<16>().map_err(|error| Error::internal("make an id", error))?;
        let path = self.root.join(INCOMING).join(name);
        let file = tokio::fs::OpenOptions::new().write(true).create_new(true).open(&path).await.map_err(failed)?;
        Ok(Incoming { file, passing: Passing(path), digest: Sha256::new(), sniffer: Sniffer::default(), size: 0 })
    }

    /// Puts a file that has come to its end under its id. When this returns it is on disk, and so is its name.
    pub async fn keep(&self, incoming: Incoming, id: &str, at: Millis) -> Result<Kept> {
        let Incoming { mut file, passing, digest, sniffer, size } = incoming;
        file.flush().await.map_err(failed)?;
        let file = file.into_std().await;
        let (root, shelf, path) = (self.root.clone(), self.shelf(id), self.path(id));
        blocking(move || {
            file.set_modified(system_time(at))?;
            file.sync_all()?;
            std::fs::create_dir_all(&shelf)?;
            // Also for a shelf that was there: whoever made it may not have come this far yet.
            sync(&root)?;
            std::fs::rename(&passing.0, path)?;
            sync(&shelf)
        })
        .await?;
        Ok(Kept { size, sha256: hex(&digest.finalize()), media_type: sniffer.media_type() })
    }

    /// Removes the bytes of a file; those that are gone already stay so.
    pub async fn remove(&self, id: &str) -> Result<()> {
        gone(tokio::fs::remove_file(self.path(id)).await).map_err(failed)
    }

    /// Ids of the files on one shelf that were put there before `before`.
    pub async fn settled(&self, shelf: u8, before: Millis) -> Result<Vec<String>> {
        let names = old_names(self.root.join(format!("{shelf:02x}")), before).await?;
        Ok(names.into_iter().filter(|name| is_file_id(name)).collect())
    }

    /// Removes what began to come and was not written to since `before`; answers how many.
    pub async fn clear_incoming(&self, before: Millis) -> Result<usize> {
        let folder = self.root.join(INCOMING);
        let names = old_names(folder.clone(), before).await?;
        for name in &names {
            gone(tokio::fs::remove_file(folder.join(name)).await).map_err(failed)?;
        }
        Ok(names.len())
    }
}

/// A file that is coming. Dropped, it is gone.
#[derive(Debug)]
pub struct Incoming {
    file: tokio::fs::File,
    passing: Passing,
    digest: Sha256,
    sniffer: Sniffer,
    size: u64,
}

impl Incoming {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.digest.update(bytes);
        self.sniffer.push(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).await.map_err(failed)
    }

    /// In bytes, so far.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// A name that is taken away with the value, unless the file has been renamed by then.
#[derive(Debug)]
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        if let Err(error) = gone(std::fs::remove_file(&self.0)) {
            tracing::warn!(%error, "failed to remove a file that did not come to its end");
        }
    }
}

/// What was found out about a file while it came.
#[derive(Debug)]
pub struct Kept {
    /// In bytes.
    pub size: u64,
    /// Of its bytes, hex.
    pub sha256: String,
    /// By its content alone.
    pub media_type: &'static str,
}

/// Names in a folder that were last touched before `before`.
async fn old_names(folder: PathBuf, before: Millis) -> Result<Vec<String>> {
    blocking(move || {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let touched = match entry.metadata().and_then(|about| about.modified()) {
                Ok(touched) => touched,
                // Another server took it away in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if touched < system_time(before) {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(failed),
        Err(error) => Err(Error::internal("work on a file", error)),
    }
}

/// Brings the names in a folder to disk.
fn sync(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn system_time(at: Millis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.max(0).unsigned_abs())
}

fn failed(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::unavailable("there is no room left for files").caused_by(error)
        }
        _ => Error::internal("work on a file", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_stands_under_its_id_only_when_it_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path().join("files"), "e1").unwrap();
        let incoming = || std::fs::read_dir(root.path().join("files/incoming")).unwrap().count();
        let id = new_file_id().unwrap();
        let mut broken = folder.begin().await.unwrap();
        broken.write(b"half").await.unwrap();
        assert_eq!((incoming(), folder.path(&id).exists()), (1, false));
        drop(broken);
        assert_eq!(incoming(), 0, "what did not come to its end is gone");

        let mut whole = folder.begin().await.unwrap();
        whole.write(b"a,b\n").await.unwrap();
        whole.write("1,ä\n".as_bytes()).await.unwrap();
        let kept = folder.keep(whole, &id, 5_000).await.unwrap();
        assert_eq!((kept.size, kept.media_type), (9, "text/plain"));
        assert_eq!(kept.sha256, crate::model::id::sha256_hex("a,b\n1,ä\n".as_bytes()));
        assert_eq!((incoming(), std::fs::read(folder.path(&id)).unwrap().len()), (0, 9));

        let shelf = u8::from_str_radix(&id[2..4], 16).unwrap();
        assert!(folder.settled(shelf, 5_000).await.unwrap().is_empty(), "not before it was put there");
        assert_eq!(folder.settled(shelf, 5_001).await.unwrap(), std::slice::from_ref(&id));
        folder.remove(&id).await.unwrap();
        folder.remove(&id).await.unwrap();
        assert!(!folder.path(&id).exists());
    }

    #[test]
    fn no_id_leads_out_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path().to_owned(), "e1").unwrap();
        assert!(is_file_id(&new_file_id().unwrap()));
        for id in
            ["../../etc/passwd", "/etc/passwd", "f_", "f_../../x", "f_ÄÄ", "database", &format!("f_{}", "A".repeat(32))]
        {
            assert!(!is_file_id(id), "{id}");
            assert_eq!(folder.shelf(id), root.path().join(INCOMING), "{id}");
        }
    }

    #[test]
    fn a_folder_begun_with_another_database_is_foreign() {
        let root = tempfile::tempdir().unwrap();
        let open = |database| Folder::open(root.path().to_owned(), database).unwrap();
        assert!(!open("e1").is_foreign());
        assert!(!open("e1").is_foreign(), "at the next start as well");
        let foreign = open("e2");
        assert!(foreign.is_foreign());
        std::fs::remove_file(foreign.mark()).unwrap();
        assert!(!open("e2").is_foreign(), "handed over");
    }
}
