//! Files that go along with what is said outside, in both directions.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};

use super::{Outside, Via, is_passing};
use crate::chat::Hub;
use crate::chat::files::{Announced, MOST_FILES};
use crate::config::is_confidential;
use crate::fetch::{Failure, Fetch, HttpMethod, Opened, Request};
use crate::model::conversation::Millis;
use crate::model::event::Stream as Log;
use crate::model::file::File;
use crate::model::message::{Message, Tone, escape_markdown};
use crate::model::principal::Principal;
use crate::model::secret::Secret;
use crate::model::{Error, Kind, Result};
use crate::store::inbox::Arrival;
use crate::store::outbox::Notice;

/// How long fetching or bringing one file may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how much longer, for each of its files, nobody else takes up a message: somewhat more than [`PATIENCE`].
const HELD: Millis = 70 * 1000;
/// A file that cannot be had now is tried for so often; then its message counts without it.
const TRIES: i64 = 3;

/// A file that somebody sent along outside, as their chat speaks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// The chat's own id for it.
    pub id: String,
    pub name: String,
    /// In bytes, as the chat says.
    pub size: u64,
    /// Where its bytes are; none when the chat must be asked.
    pub url: Option<String>,
}

/// What an adapter carries files with.
pub struct Carrier {
    fetch: Fetch,
    hub: Arc<Hub>,
    /// The hosts that the chat keeps files at.
    hosts: HashSet<String>,
}

/// A file on its way to a chat, whole.
#[derive(Clone, Debug)]
pub struct Enclosure {
    /// The file it is; none when it was made for the chat.
    pub file: Option<File>,
    pub name: String,
    pub media_type: String,
    pub bytes: Bytes,
}

impl Enclosure {
    /// What a message says in full, where a chat shows a part of it and there is no address for the rest.
    pub fn full_text(text: String) -> Self {
        let (name, media_type) = ("full-output.txt".to_owned(), "text/plain; charset=utf-8".to_owned());
        Self { file: None, name, media_type, bytes: text.into() }
    }
}

impl Carrier {
    pub fn new(fetch: Fetch, hub: Arc<Hub>, hosts: &[String]) -> Self {
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { fetch, hub, hosts }
    }

    /// An address at one of the chat's own hosts, which nobody on the way can listen to.
    fn own(&self, address: &str) -> Result<url::Url> {
        let wrong = |why: String| Error::new(Kind::Invalid, "FILE_ELSEWHERE", why);
        let url = url::Url::parse(address).map_err(|_| wrong("it has no address".to_owned()))?;
        let host = url.host_str().unwrap_or_default();
        if !self.hosts.contains(host) {
            return Err(wrong(format!("it is kept at {host}, which is not among the hosts in `file_hosts`")));
        }
        if !is_confidential(address) {
            return Err(wrong("its address is not https".to_owned()));
        }
        Ok(url)
    }

    /// Begins to fetch what is kept at an address of the chat's.
    pub async fn get(&self, address: &str, token: Option<&Secret>) -> Result<Opened> {
        let mut request = Request::new(HttpMethod::GET, self.own(address)?);
        if let Some(token) = token {
            let bearer = format!("Bearer {}", token.expose());
            request.header("authorization", &bearer).map_err(|refused| Error::invalid(refused.to_string()))?;
        }
        request.timeout = Some(PATIENCE);
        let opened = self.fetch.open(request, self.hub.file_limits().max_size).await.map_err(failed)?;
        match opened.status {
            200 => Ok(opened),
            429 | 500..=599 => Err(Error::unavailable(format!("its host answered {}", opened.status))),
            status => Err(Error::invalid(format!("its host answered {status} instead of the file"))),
        }
    }

    /// Brings bytes to an address of the chat's. Nothing is to be seen there by that alone.
    pub async fn put(&self, address: &str, bytes: Bytes) -> Result<()> {
        let mut request = Request::new(HttpMethod::POST, self.own(address)?);
        request
            .header("content-type", "application/octet-stream")
            .map_err(|refused| Error::invalid(refused.to_string()))?;
        request.body = bytes;
        request.timeout = Some(PATIENCE);
        let answer = self.fetch.send(request).await.map_err(failed)?;
        match answer.status {
            200..=299 => Ok(()),
            429 | 500..=599 => Err(Error::unavailable(format!("its host answered {}", answer.status))),
            status => Err(Error::invalid(format!("its host answered {status} and did not take the file"))),
        }
    }

    /// The files of a message that a chat takes, and those that stay links: too large, or not there any more.
    pub async fn enclose(&self, files: &[File], largest: u64) -> (Vec<Enclosure>, Vec<File>) {
        let (mut enclosed, mut linked) = (Vec::new(), Vec::new());
        for file in files {
            let bytes = match file.size <= largest {
                true => self.hub.file_bytes(&file.id).await,
                false => None,
            };
            match bytes {
                Some(bytes) => enclosed.push(Enclosure {
                    file: Some(file.clone()),
                    name: file.name.clone(),
                    media_type: file.media_type.clone(),
                    bytes: bytes.into(),
                }),
                None => linked.push(file.clone()),
            }
        }
        (enclosed, linked)
    }
}

fn failed(failure: Failure) -> Error {
    match failure {
        Failure::Refused(refused) => Error::invalid(refused.to_string()),
        Failure::TooLarge { limit, .. } => too_large(limit),
        failure => Error::unavailable(failure.to_string()),
    }
}

fn too_large(limit: u64) -> Error {
    Error::new(Kind::TooLarge, "FILE_TOO_LARGE", format!("a file has at most {limit} bytes"))
}

/// The bytes of a file as they come.
fn pieces(opened: Opened) -> impl Stream<Item = Result<Bytes>> + Send {
    stream::try_unfold(opened, |mut opened| async move {
        Ok(opened.piece().await.map_err(failed)?.map(|piece| (piece, opened)))
    })
}

impl Outside {
    /// Whether an arrival was said already, by a try that did not come to its end.
    pub(super) async fn was_said(&self, arrival: &Arrival, conversation: &str, who: &str, id: &str) -> Result<bool> {
        if arrival.attempt <= 1 {
            return Ok(false);
        }
        match self.store.recall(Log::conversation(conversation), who, id, "").await {
            Ok(known) => Ok(known.is_some()),
            // Said, with files or words that do not hash to nothing.
            Err(error) if error.kind == Kind::Conflict => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Takes in the files of a message; answers their ids. Of what cannot be had the sender is told.
    pub(super) async fn take_in(
        &self,
        arrival: &Arrival,
        principal: &Principal,
        via: &Via,
        files: &[SharedFile],
    ) -> Result<Vec<String>> {
        let (mut taken, mut left_out) = (Vec::new(), Vec::new());
        if !files.is_empty() {
            let count = Millis::try_from(files.len().min(MOST_FILES)).unwrap_or_default();
            self.store.hold_arrival(arrival, self.clock.now() + HELD * (count + 1)).await?;
        }
        for (number, file) in files.iter().enumerate() {
            if number >= MOST_FILES {
                left_out.push(reason(file, &format!("a message has at most {MOST_FILES} files")));
                continue;
            }
            let announced = Announced {
                name: file.name.clone(),
                at_least: file.size,
                client_id: Some(format!("{}-{}-{number}", arrival.adapter, arrival.id)),
            };
            let adapter = self.adapter(&via.place.platform)?;
            // Opened when the first piece is asked for: what is too large is refused before.
            let opening = stream::once(adapter.open_file(&via.place.team, file)).map_ok(pieces).try_flatten();
            match self.hub.receive(principal, announced, opening).await {
                Ok(added) => taken.push(added.file.id),
                Err(error) if is_passing(&error) && arrival.attempt < TRIES => return Err(error),
                Err(error) => left_out.push(reason(file, &error.message)),
            }
        }
        if !left_out.is_empty() {
            let text = format!("I could not take\n\n{}", left_out.join("\n"));
            let message = Box::new(Message::text(text).tone(Tone::Warning));
            let notice = Notice::Private { account: via.account.clone(), message };
            self.notify(&format!("{}-files", arrival.id), via, notice).await?;
        }
        Ok(taken)
    }
}

fn reason(file: &SharedFile, why: &str) -> String {
    format!("- **{}**: {}", escape_markdown(&file.name), escape_markdown(why))
}
