//! Files that are shared in Slack, and those that are uploaded there.
//!
//! An upload is seen by nobody until it is completed into a channel; one that was broken off leaves nothing there. Slack
//! posts completed files as a message of their own, next to ours, and knows them by their ids, which begin with `F`.

use serde_json::{Value, json};

use super::Slack;
use super::web_api::CallError;
use crate::chat::outside::{Enclosure, SharedFile};
use crate::fetch::Opened;
use crate::model::place::Place;
use crate::model::{Error, Kind, Result};
use crate::outbox::Refusal;

/// The largest file that is uploaded, in bytes; others stay links.
pub(super) const LARGEST: u64 = 100 * 1024 * 1024;

/// An uploaded file that nobody sees yet.
pub(super) struct Uploaded {
    pub(super) id: String,
    pub(super) name: String,
}

/// Whether a part of what a message is known by names a file.
pub(super) fn is_file(reference: &str) -> bool {
    reference.starts_with('F')
}

impl Slack {
    pub(super) async fn open_shared(&self, team: &str, file: &SharedFile) -> Result<Opened> {
        let url = match &file.url {
            Some(url) => url.clone(),
            None => {
                let asked = self.ask(team, "files.info", &[("file", &file.id)]).await;
                let told = asked.map_err(|error| match error {
                    CallError::Refused(code) => Error::invalid(format!("Slack answered {code}")),
                    error => Error::unavailable(error.to_string()),
                })?;
                let file = &told["file"];
                let url = file["url_private_download"].as_str().or(file["url_private"].as_str());
                url.ok_or_else(|| Error::invalid("Slack does not say where it is"))?.to_owned()
            }
        };
        let token = self.token(team).await.map_err(|error| Error::unavailable(error.to_string()))?;
        let opened = self.carrier.get(&url, Some(&token)).await.map_err(|error| match error.kind {
            // Slack sends whoever lacks the scope to its page for signing in.
            Kind::Invalid if error.code != "FILE_ELSEWHERE" => {
                Error::invalid(format!("{}; the app needs the scope files:read", error.message))
            }
            _ => error,
        })?;
        let is_page = opened.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let name = file.name.to_ascii_lowercase();
        if is_page && !name.ends_with(".html") && !name.ends_with(".htm") {
            return Err(Error::invalid("Slack answered a page instead of it; the app needs the scope files:read"));
        }
        Ok(opened)
    }

    /// Uploads a file, for nobody yet.
    pub(super) async fn upload(&self, team: &str, enclosure: &Enclosure) -> Result<Uploaded, Refusal> {
        let length = enclosure.bytes.len().to_string();
        let arguments = [("filename", enclosure.name.as_str()), ("length", &length)];
        let told = self.ask(team, "files.getUploadURLExternal", &arguments).await;
        let told = told.map_err(|error| match error {
            // Also for want of a scope: the words must not wait for that.
            CallError::Refused(_) => Refusal::Never { why: error.to_string() },
            error => not_arrived(error),
        })?;
        let (url, id) = (told["upload_url"].as_str(), told["file_id"].as_str());
        let (Some(url), Some(id)) = (url, id) else {
            return Err(Refusal::Never { why: "Slack named no place for a file".to_owned() });
        };
        match self.carrier.put(url, enclosure.bytes.clone()).await {
            Ok(()) => Ok(Uploaded { id: id.to_owned(), name: enclosure.name.clone() }),
            Err(error) if error.kind == Kind::Unavailable => Err(Refusal::Later { after: None, why: error.message }),
            Err(error) => Err(Refusal::Never { why: error.message }),
        }
    }

    /// Shows uploaded files where a message stands.
    pub(super) async fn complete(&self, place: &Place, channel: &str, files: &[Uploaded]) -> Result<(), CallError> {
        let files: Vec<Value> = files.iter().map(|file| json!({ "id": file.id, "title": file.name })).collect();
        let mut body = json!({ "files": files, "channel_id": channel });
        if let Some(thread) = &place.thread {
            body["thread_ts"] = json!(thread);
        }
        self.call(&place.team, "files.completeUploadExternal", &body).await.map(|_| ())
    }

    pub(super) async fn delete_file(&self, place: &Place, id: &str) -> Result<(), Refusal> {
        match self.call(&place.team, "files.delete", &json!({ "file": id })).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(code)) if matches!(code.as_str(), "file_not_found" | "file_deleted") => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// An upload that did not come to its end is nothing that could stand there twice.
fn not_arrived(error: CallError) -> Refusal {
    match Refusal::from(error) {
        Refusal::Unknown { why } => Refusal::Later { after: None, why },
        refusal => refusal,
    }
}

/// The files of one of our own messages: their ids and names.
pub(super) fn files_of(message: &Value) -> Vec<Uploaded> {
    let files = message["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let read = |file: &Value| {
        let text = |name: &str| file[name].as_str().map(str::to_owned);
        Some(Uploaded { id: text("id")?, name: text("title").or(text("name"))? })
    };
    files.iter().filter_map(read).collect()
}
