//! Files: whose they are, what they are, and the message they were sent with. The bytes are elsewhere.

use std::collections::HashSet;

use serde_json::json;

use super::Store;
use super::query::{Query, Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use crate::model::conversation::Millis;
use crate::model::file::File;
use crate::model::{Error, Kind, Result};

/// A file as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    pub file: File,
    /// Principal id of who uploaded it.
    pub owner: String,
    /// Of its bytes, hex.
    pub sha256: String,
    /// The conversation it was sent in.
    pub conversation: Option<String>,
}

/// A file whose bytes are on disk.
#[derive(Clone, Debug)]
pub struct NewFile {
    pub file: File,
    pub owner: String,
    pub sha256: String,
    /// The client's own id for it, unique for its owner.
    pub client_id: Option<String>,
    pub created_at: Millis,
    /// How many bytes the owner may keep.
    pub quota: u64,
}

/// What became of a new file.
#[derive(Clone, Debug)]
pub struct Added {
    /// The file that counts: an earlier one when it is a duplicate.
    pub file: File,
    /// The same client id with the same name and bytes had come before; nothing was written.
    pub duplicate: bool,
}

const COLUMNS: &str = "id, name, media_type, size, owner, sha256, conversation";

fn stored(row: &Row) -> Result<StoredFile> {
    let size: i64 = row.get(3).map_err(failed)?;
    let file = File {
        id: row.get(0).map_err(failed)?,
        name: row.get(1).map_err(failed)?,
        media_type: row.get(2).map_err(failed)?,
        size: size.unsigned_abs(),
    };
    Ok(StoredFile {
        file,
        owner: row.get(4).map_err(failed)?,
        sha256: row.get(5).map_err(failed)?,
        conversation: row.get(6).map_err(failed)?,
    })
}

/// Sizes are bounded by the settings far below this.
fn integer(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// `$2, $3, $4`: placeholders for a list that follows `before` other values.
fn list(before: usize, count: usize) -> String {
    (before + 1..=before + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

impl Transaction<'_> {
    /// Marks files as sent with a message. Each must be the sender's own and not sent before.
    pub(super) async fn send_files(&mut self, files: &[File], owner: &str, message: &Sent<'_>) -> Result<()> {
        for file in files {
            let send = query(
                "UPDATE files SET conversation = $3, message_id = $4, sent_at = $5 \
                 WHERE id = $1 AND owner = $2 AND message_id IS NULL",
            );
            let send = send.bind(&file.id).bind(owner).bind(message.conversation).bind(message.message_id);
            if self.write(send.bind(message.at)).await? == 0 {
                return Err(sent_before(&file.id));
            }
        }
        Ok(())
    }

    /// Forgets the files of a message.
    pub(super) async fn forget_sent_files(&mut self, files: &[File], message_id: &str) -> Result<()> {
        for file in files {
            let forget = query("DELETE FROM files WHERE id = $1 AND message_id = $2 RETURNING owner, size");
            self.forget(forget.bind(&file.id).bind(message_id)).await?;
        }
        Ok(())
    }

    /// Runs a deletion that returns owners and sizes, and gives the owners their room back. Answers how many went.
    async fn forget(&mut self, deletion: Query<'_>) -> Result<usize> {
        let rows = self.write_returning(deletion).await?;
        for row in &rows {
            let (owner, size): (String, i64) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
            let shrink = query("UPDATE file_usage SET bytes = bytes - $2 WHERE owner = $1");
            self.write(shrink.bind(owner).bind(size)).await?;
        }
        Ok(rows.len())
    }
}

/// The message that files are sent with.
pub(super) struct Sent<'a> {
    pub(super) conversation: &'a str,
    pub(super) message_id: &'a str,
    pub(super) at: Millis,
}

impl Work for NewFile {
    type Output = Added;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Added> {
        if let Some(client_id) = &self.client_id {
            let earlier = composed(format!("SELECT {COLUMNS} FROM files WHERE owner = $1 AND client_id = $2"));
            if let Some(row) = transaction.optional(earlier.bind(&self.owner).bind(client_id)).await? {
                let earlier = stored(&row)?;
                if earlier.sha256 != self.sha256 || earlier.file.name != self.file.name {
                    let message = "this id was used before with another file";
                    return Err(Error::conflict("IDEMPOTENCY_CONFLICT", message).details(json!({ "id": client_id })));
                }
                return Ok(Added { file: earlier.file, duplicate: true });
            }
        }
        // The row of the owner is the lock that keeps two files at once within the quota.
        let grow = query(
            "INSERT INTO file_usage (owner, bytes) VALUES ($1, $2) ON CONFLICT (owner) DO UPDATE \
             SET bytes = file_usage.bytes + excluded.bytes WHERE file_usage.bytes + excluded.bytes <= $3",
        );
        let grow = grow.bind(&self.owner).bind(integer(self.file.size)).bind(integer(self.quota));
        if self.file.size > self.quota || transaction.write(grow).await? == 0 {
            let used = query("SELECT bytes FROM file_usage WHERE owner = $1").bind(&self.owner);
            let used = transaction.optional(used).await?.map_or(Ok(0), |row| row.get::<i64>(0).map_err(failed))?;
            return Err(over_quota(self.quota, used.unsigned_abs()));
        }
        let insert = query(
            "INSERT INTO files (id, owner, name, media_type, size, sha256, client_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&self.file.id)
        .bind(&self.owner)
        .bind(&self.file.name)
        .bind(&self.file.media_type)
        .bind(integer(self.file.size))
        .bind(&self.sha256)
        .bind(&self.client_id)
        .bind(self.created_at);
        transaction.write(insert).await?;
        Ok(Added { file: self.file.clone(), duplicate: false })
    }
}

/// Forgets a file that was not sent.
struct ForgetUnsent {
    id: String,
}

impl Work for ForgetUnsent {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let forget = query("DELETE FROM files WHERE id = $1 AND message_id IS NULL RETURNING owner, size");
        Ok(transaction.forget(forget.bind(&self.id)).await? == 1)
    }
}

impl Store {
    /// Takes a file in. Sent again with the same client id, name and bytes, it answers the first one.
    pub async fn add_file(&self, file: NewFile) -> Result<Added> {
        self.write(file).await
    }

    pub async fn file(&self, id: &str) -> Result<Option<StoredFile>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("SELECT {COLUMNS} FROM files WHERE id = $1")).bind(id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.as_ref().map(stored).transpose()
    }

    /// These files of an owner, sent or not, in this order. One that is not there, or not theirs, is an error.
    pub async fn files_of(&self, owner: &str, ids: &[String]) -> Result<Vec<File>> {
        let mut reader = self.reader().await?;
        let find = format!("SELECT {COLUMNS} FROM files WHERE owner = $1 AND id IN ({})", list(1, ids.len()));
        let find = ids.iter().fold(composed(find).bind(owner), |find, id| find.bind(id));
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        let known = rows.iter().map(stored).collect::<Result<Vec<_>>>()?;
        let one = |id: &String| known.iter().find(|known| known.file.id == *id).map(|known| known.file.clone());
        ids.iter().map(|id| one(id).ok_or_else(|| unknown(id))).collect()
    }

    /// Whether an owner sent a file with this id of their own before.
    pub async fn has_file_of(&self, owner: &str, client_id: &str) -> Result<bool> {
        let mut reader = self.reader().await?;
        let find = query("SELECT id FROM files WHERE owner = $1 AND client_id = $2").bind(owner).bind(client_id);
        Ok(find.optional(&mut reader.connection()).await.map_err(failed)?.is_some())
    }

    /// How many bytes an owner keeps.
    pub async fn file_usage(&self, owner: &str) -> Result<u64> {
        let mut reader = self.reader().await?;
        let used = query("SELECT bytes FROM file_usage WHERE owner = $1").bind(owner);
        let row = used.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map_or(Ok(0), |row| row.get::<i64>(0).map(i64::unsigned_abs).map_err(failed))
    }

    /// Forgets a file that was not sent; `false` when it is not there, or was sent by now.
    pub async fn forget_unsent_file(&self, id: &str) -> Result<bool> {
        self.write(ForgetUnsent { id: id.to_owned() }).await
    }

    /// Ids of files that came before `before` and were not sent, oldest first.
    pub async fn unsent_files(&self, before: Millis, limit: i64) -> Result<Vec<String>> {
        let mut reader = self.reader().await?;
        let find =
            query("SELECT id FROM files WHERE message_id IS NULL AND created_at < $1 ORDER BY created_at, id LIMIT $2");
        let rows = find.bind(before).bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| row.get(0).map_err(failed)).collect()
    }

    /// Which of these have a row, as a file or as an artifact.
    pub async fn known_files(&self, ids: &[String]) -> Result<HashSet<String>> {
        let mut reader = self.reader().await?;
        let these = list(0, ids.len());
        let find = format!(
            "SELECT id FROM files WHERE id IN ({these}) UNION ALL SELECT id FROM artifacts WHERE id IN ({these})"
        );
        let find = ids.iter().fold(composed(find), |find, id| find.bind(id));
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| row.get(0).map_err(failed)).collect()
    }
}

/// What anybody hears about a file that is not there, or not for them.
pub fn unknown(id: &str) -> Error {
    Error::not_found("there is no such file").details(json!({ "file_id": id }))
}

fn sent_before(id: &str) -> Error {
    let message = "this file is gone, or was sent before; upload it again";
    Error::conflict("FILE_NOT_FREE", message).details(json!({ "field": "attachments", "file_id": id }))
}

/// What is refused because its owner keeps too much already.
pub fn over_quota(quota: u64, used: u64) -> Error {
    let left = quota.saturating_sub(used);
    let message = format!("you may keep {quota} bytes of files, {left} are left; take back messages with files");
    let error = Error::new(Kind::TooLarge, "QUOTA_EXCEEDED", message);
    error.details(json!({ "field": "file", "quota": quota, "left": left }))
}
