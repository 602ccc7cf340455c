//! Files: taken in before they are sent, sent with a message, cleared away when nobody wants them.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde_json::json;

use super::{Hub, Said};
use crate::files::{Folder, clean_name, new_file_id};
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::conversation::Millis;
use crate::model::file::File;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::file::{Added, NewFile, StoredFile, over_quota, unknown};

/// Files of one message.
pub(super) const MOST_FILES: usize = 10;
/// Files of one principal that may come at the same time: what is not counted by the quota yet is bounded by this.
const MOST_AT_ONCE: usize = 8;
/// Bytes without a row are left alone for this long: they may be of a file whose row is being written.
const GRACE: Millis = 60 * 60 * 1000;
/// Rows that are looked at together while clearing away.
const BATCH: usize = 200;

/// How much may be kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct FileLimits {
    /// Of one file, in bytes.
    pub max_size: u64,
    /// Of one principal, in bytes.
    pub quota: u64,
    /// How long a file that is not sent is kept.
    pub unused_for: Millis,
}

/// Where files are kept.
pub struct Files {
    folder: Arc<Folder>,
    limits: FileLimits,
    /// How many files of each principal are coming.
    coming: Mutex<HashMap<String, usize>>,
}

impl Files {
    pub fn new(folder: Arc<Folder>, limits: FileLimits) -> Self {
        Self { folder, limits, coming: Mutex::default() }
    }

    fn expect(&self, principal: &str) -> Result<Coming<'_>> {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        let count = coming.entry(principal.to_owned()).or_default();
        if *count == MOST_AT_ONCE {
            let message = format!("at most {MOST_AT_ONCE} files are taken in from you at the same time");
            return Err(Error::new(Kind::RateLimited, "TOO_MANY_UPLOADS", message).details(json!({ "field": "file" })));
        }
        *count += 1;
        Ok(Coming { files: self, principal: principal.to_owned() })
    }
}

/// Counts one file that is coming, as long as it lives.
struct Coming<'a> {
    files: &'a Files,
    principal: String,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut coming = self.files.coming.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = coming.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                coming.remove(&self.principal);
            }
        }
    }
}

/// A file as its sender announces it.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    /// What the sender calls it; folders in it are dropped.
    pub name: String,
    /// How many bytes it has at least, as far as its sender said.
    pub at_least: u64,
    /// The sender's own id for it: sent again with the same id, name and bytes it is the same file.
    pub client_id: Option<String>,
}

/// How much a principal keeps, and may.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub used: u64,
    pub limits: FileLimits,
}

/// What was cleared away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Files that were never sent.
    pub unsent: usize,
    /// Bytes that no row spoke of.
    pub orphans: usize,
}

impl Hub {
    /// Takes a file in while it comes. It is answered when its bytes and its row are on disk.
    pub async fn receive<S>(&self, principal: &Principal, announced: Announced, bytes: S) -> Result<Added>
    where
        S: Stream<Item = Result<Bytes>> + Send,
    {
        let id = new_file_id()?;
        authorize(principal, Verb::Chat, Object::File { id: &id, owner: &principal.id, conversation: None })?;
        let _coming = self.files.expect(&principal.id)?;
        let bound = self.bound(principal, announced.client_id.as_deref()).await?;
        bound.check(announced.at_least)?;
        let mut incoming = self.files.folder.begin().await?;
        let mut bytes = pin!(bytes);
        while let Some(piece) = bytes.next().await {
            let piece = piece?;
            bound.check(incoming.size() + piece.len() as u64)?;
            incoming.write(&piece).await?;
        }
        if incoming.size() == 0 {
            let error = Error::new(Kind::Invalid, "EMPTY_FILE", "the file is empty");
            return Err(error.details(json!({ "field": "file" })));
        }
        let created_at = self.engine.clock().now();
        let kept = self.files.folder.keep(incoming, &id, created_at).await?;
        let file = File {
            id: id.clone(),
            name: clean_name(&announced.name),
            media_type: kept.media_type.to_owned(),
            size: kept.size,
        };
        let new = NewFile {
            file,
            owner: principal.id.clone(),
            sha256: kept.sha256,
            client_id: announced.client_id,
            created_at,
            quota: self.files.limits.quota,
        };
        let outcome = self.store().add_file(new).await;
        match &outcome {
            Ok(Added { duplicate: false, .. }) => {}
            // Whether the row was written is not known: if it was not, these bytes are cleared away later.
            Err(error) if error.kind == Kind::Unavailable => {}
            _ => self.files.folder.remove(&id).await?,
        }
        outcome
    }

    /// How much may come now.
    async fn bound(&self, principal: &Principal, client_id: Option<&str>) -> Result<Bound> {
        let FileLimits { max_size, quota, .. } = self.files.limits;
        let used = self.store().file_usage(&principal.id).await?;
        let known = match client_id {
            Some(client_id) => self.store().has_file_of(&principal.id, client_id).await?,
            None => false,
        };
        // What came before is in the quota already.
        Ok(Bound { max_size, quota, used: if known { 0 } else { used } })
    }

    /// How much the caller keeps, and may.
    pub async fn file_usage(&self, principal: &Principal) -> Result<Usage> {
        Ok(Usage { used: self.store().file_usage(&principal.id).await?, limits: self.files.limits })
    }

    /// A file, when the caller may do that to it.
    pub async fn file(&self, principal: &Principal, id: &str, verb: Verb) -> Result<StoredFile> {
        let stored = self.store().file(id).await?.ok_or_else(|| unknown(id))?;
        let conversation = match &stored.conversation {
            Some(conversation) => self.store().conversation(conversation).await?,
            None => None,
        };
        authorize(principal, verb, Object::File { id, owner: &stored.owner, conversation: conversation.as_ref() })?;
        Ok(stored)
    }

    /// How much may be kept.
    pub fn file_limits(&self) -> FileLimits {
        self.files.limits
    }

    /// The bytes of a file that goes along with a message; none when they are not there any more.
    pub(super) async fn file_bytes(&self, id: &str) -> Option<Vec<u8>> {
        let read = tokio::fs::read(self.files.folder.path(id)).await;
        read.inspect_err(|error| tracing::warn!(%error, file = id, "the bytes of a file cannot be read")).ok()
    }

    /// Where the bytes of a file are.
    pub fn file_path(&self, stored: &StoredFile) -> std::path::PathBuf {
        self.files.folder.path(&stored.file.id)
    }

    /// Removes a file that was not sent. One that was goes with its message.
    pub async fn discard(&self, principal: &Principal, id: &str) -> Result<()> {
        let stored = self.file(principal, id, Verb::Manage).await?;
        if stored.conversation.is_some() || !self.store().forget_unsent_file(id).await? {
            return Err(Error::conflict("FILE_SENT", "this file was sent; take its message back to remove it")
                .details(json!({ "file_id": id })));
        }
        self.files.folder.remove(id).await
    }

    /// The files that somebody sends along. Whether they are still free is seen when the message is committed.
    pub(super) async fn attached(&self, principal: &Principal, said: &Said) -> Result<Vec<File>> {
        let ids = &said.attachments;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let refuse = |code, message: String| {
            Err(Error::new(Kind::Invalid, code, message).details(json!({ "field": "attachments" })))
        };
        if ids.len() > MOST_FILES {
            return refuse("TOO_MANY_FILES", format!("a message has at most {MOST_FILES} files"));
        }
        if let Some(twice) = ids.iter().enumerate().find_map(|(at, id)| ids[..at].contains(id).then_some(id)) {
            return refuse("INVALID_REQUEST", format!("attachments names {twice} twice"));
        }
        self.store().files_of(&principal.id, ids).await
    }

    /// Removes the bytes of files whose message was taken back; their rows are gone already. What cannot be removed now
    /// is cleared away later.
    pub(super) async fn remove_bytes(&self, files: &[File]) {
        for file in files {
            if let Err(error) = self.files.folder.remove(&file.id).await {
                tracing::warn!(%error, file = file.id, "failed to remove a file that was taken back");
            }
        }
    }

    /// Clears away files that were not sent in time, and bytes that no row speaks of. `is_wanted` is asked between two
    /// batches whether to go on.
    pub async fn clear_files(&self, is_wanted: impl Fn() -> bool + Send + Sync) -> Result<Cleared> {
        let Files { folder, limits, .. } = &self.files;
        let now = self.engine.clock().now();
        let mut cleared = Cleared::default();
        while is_wanted() {
            let unsent = self.store().unsent_files(now - limits.unused_for, integer(BATCH)).await?;
            for id in &unsent {
                // Sent in this very moment, it stays.
                if self.store().forget_unsent_file(id).await? {
                    folder.remove(id).await?;
                    cleared.unsent += 1;
                }
            }
            if unsent.len() < BATCH {
                break;
            }
        }
        folder.clear_incoming(now - GRACE).await?;
        if folder.is_foreign() {
            return Ok(cleared);
        }
        for shelf in 0..=u8::MAX {
            for ids in folder.settled(shelf, now - GRACE).await?.chunks(BATCH) {
                if !is_wanted() {
                    return Ok(cleared);
                }
                let known = self.store().known_files(ids).await?;
                for id in ids.iter().filter(|id| !known.contains(*id)) {
                    folder.remove(id).await?;
                    cleared.orphans += 1;
                }
            }
        }
        Ok(cleared)
    }
}

fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How large a file may be that comes now.
struct Bound {
    max_size: u64,
    quota: u64,
    used: u64,
}

impl Bound {
    fn check(&self, size: u64) -> Result<()> {
        if size > self.max_size {
            let message = format!("a file has at most {} bytes", self.max_size);
            let error = Error::new(Kind::TooLarge, "FILE_TOO_LARGE", message);
            return Err(error.details(json!({ "field": "file", "max_size": self.max_size })));
        }
        if self.used + size > self.quota {
            return Err(over_quota(self.quota, self.used));
        }
        Ok(())
    }
}
