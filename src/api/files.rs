//! Files: taken in before they are sent with a message, and given out again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json as Answer;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use multer::Multipart;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tower_http::services::ServeFile;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::ApiResult;
use super::extract::Query;
use super::session::idempotency_key;
use crate::chat::Announced;
use crate::identity::Caller;
use crate::identity::permission::Verb;
use crate::model::file::File;
use crate::model::{Error, Kind, Result};
use crate::store::file::Added;

/// An upload that stands still for this long has ended.
const STALL: Duration = Duration::from_secs(60);
/// Bytes of a form around the file: other fields, headers. More than one read from a connection.
const MOST_AROUND: usize = 1024 * 1024;
/// What a file that is looked at may do: nothing.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");
/// Types that a browser shows by itself, and that can do no harm there. Everything else is saved.
const SHOWN: [&str; 5] = ["image/png", "image/jpeg", "image/gif", "image/webp", "text/plain"];

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct UploadQuery {
    /// What the file is called, when the body is the file itself.
    #[serde(default)]
    name: String,
}

/// A file that was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Uploaded {
    file: File,
}

/// A form with a file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes the form")]
pub(super) struct UploadForm {
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    file: String,
}

/// A file as it is.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it only describes the body")]
pub(super) struct FileBytes(String);

/// Takes a file in, to be sent along with a message: a form with the field `file`, or the file itself as the body.
///
/// Its type is found out from its content. A file that is not sent within a day (a setting) is removed.
#[utoipa::path(post, path = "/api/files", tag = "files",
    params(UploadQuery, ("Idempotency-Key" = Option<String>, Header, description = "The same key, name and bytes again is the same file")),
    request_body(description = "Any other type than multipart/form-data is the file itself.",
        content((UploadForm = "multipart/form-data"), (FileBytes = "application/octet-stream"))),
    responses((status = 201, body = Uploaded), (status = 200, body = Uploaded, description = "Taken in before"), (status = 400), (status = 401), (status = 403), (status = 409),
        (status = 413, description = "FILE_TOO_LARGE, or QUOTA_EXCEEDED with how much is left"), (status = 429)))]
pub(super) async fn upload(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> ApiResult<(StatusCode, Answer<Uploaded>)> {
    let (parts, body) = request.into_parts();
    let client_id = idempotency_key(&parts.headers)?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length: u64 = length.unwrap_or_default();
    let pieces = pieces(body);
    let added = if kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
        let boundary = multer::parse_boundary(kind).map_err(unreadable)?;
        let at_least = length.saturating_sub(MOST_AROUND as u64);
        Form::new(pieces, &boundary)
            .receive(&api, &caller, Announced { name: String::new(), at_least, client_id })
            .await?
    } else {
        let announced = Announced { name: query.name, at_least: length, client_id };
        api.hub.receive(&caller.principal, announced, pieces).await?
    };
    let status = if added.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Answer(Uploaded { file: added.file })))
}

/// A body piece by piece. One that breaks off or stands still is an error.
fn pieces(body: Body) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let broken = |why: &str| Err(Error::new(Kind::Invalid, "UPLOAD_BROKEN", format!("the upload {why}")));
    stream::unfold(Some(body.into_data_stream()), move |rest: Option<BodyDataStream>| async move {
        let mut rest = rest?;
        match tokio::time::timeout(STALL, rest.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(rest))),
            Ok(Some(Err(error))) => Some((broken("broke off").map_err(|own| own.caused_by(error)), None)),
            Err(_) => Some((broken("stood still for too long"), None)),
        }
    })
}

/// A `multipart/form-data` body.
struct Form {
    fields: Multipart<'static>,
    /// Bytes that came outside the file.
    around: Arc<AtomicUsize>,
}

/// [`Form::around`] while the file itself comes.
const UNCOUNTED: usize = usize::MAX;

impl Form {
    /// What stands outside the file is kept in memory until it is understood, so it is bounded.
    fn new(pieces: impl Stream<Item = Result<Bytes>> + Send + 'static, boundary: &str) -> Self {
        let around = Arc::new(AtomicUsize::new(0));
        let count = around.clone();
        let counted = pieces.and_then(move |piece| {
            let before = count.load(Ordering::Relaxed);
            let sum = before.saturating_add(piece.len());
            if before != UNCOUNTED {
                count.store(sum, Ordering::Relaxed);
            }
            let is_too_much = before != UNCOUNTED && sum > MOST_AROUND;
            std::future::ready(if is_too_much { Err(too_much_around()) } else { Ok(piece) })
        });
        Self { fields: Multipart::new(counted, boundary), around }
    }

    async fn receive(mut self, api: &Api, caller: &Caller, announced: Announced) -> Result<Added> {
        while let Some(field) = self.fields.next_field().await.map_err(unreadable)? {
            if field.name() != Some("file") {
                continue;
            }
            let name = field.file_name().unwrap_or_default().to_owned();
            let announced = Announced { name, ..announced };
            self.around.store(UNCOUNTED, Ordering::Relaxed);
            let added = api.hub.receive(&caller.principal, announced, field.map_err(unreadable)).await?;
            self.around.store(0, Ordering::Relaxed);
            if let Err(error) = self.end().await {
                if !added.duplicate {
                    api.hub.discard(&caller.principal, &added.file.id).await?;
                }
                return Err(error);
            }
            return Ok(added);
        }
        Err(Error::invalid("the form has no field 'file'").details(serde_json::json!({ "field": "file" })))
    }

    /// Reads what follows the file: there is no second one.
    async fn end(&mut self) -> Result<()> {
        while let Some(field) = self.fields.next_field().await.map_err(unreadable)? {
            if field.name() == Some("file") {
                let error = Error::invalid("one file is taken in at a time; send the others in requests of their own");
                return Err(error.details(serde_json::json!({ "field": "file" })));
            }
        }
        Ok(())
    }
}

fn too_much_around() -> Error {
    let message = format!("the form has more than {MOST_AROUND} bytes beside the file");
    Error::new(Kind::TooLarge, "BODY_TOO_LARGE", message)
}

/// Why a form cannot be read: what ended the body itself, or what is wrong with it.
fn unreadable(error: multer::Error) -> Error {
    let message = format!("the form cannot be read: {error}");
    match error {
        multer::Error::StreamReadFailed(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => Error::invalid(message).caused_by(other),
        },
        _ => Error::invalid(message).details(serde_json::json!({ "field": "file" })),
    }
}

/// How much of the caller's room is taken. All in bytes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FileUsage {
    used: u64,
    quota: u64,
    /// Of one file.
    max_size: u64,
}

/// How much the caller keeps here, and may.
#[utoipa::path(get, path = "/api/files", tag = "files", responses((status = 200, body = FileUsage), (status = 401)))]
pub(super) async fn usage(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<FileUsage>> {
    let usage = api.hub.file_usage(&caller.principal).await?;
    Ok(Answer(FileUsage { used: usage.used, quota: usage.limits.quota, max_size: usage.limits.max_size }))
}

/// The bytes of a file, for who uploaded it and for who may read a session in which it was sent. Ranges are answered.
#[utoipa::path(get, path = "/api/files/{id}", tag = "files", params(("id" = String, Path)),
    responses((status = 200, description = "The file", content_type = "application/octet-stream"), (status = 206, description = "A range of it"), (status = 304), (status = 401), (status = 404), (status = 416)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let stored = api.hub.file(&caller.principal, &id, Verb::View).await?;
    let path = api.hub.file_path(&stored);
    Ok(bytes_of(&stored.file, &stored.sha256, &path, method, &headers).await?)
}

/// The bytes of something that is kept, or the range that is asked for, as a browser may take them without harm.
pub(super) async fn bytes_of(
    file: &File,
    sha256: &str,
    path: &std::path::Path,
    method: Method,
    headers: &HeaderMap,
) -> Result<Response> {
    let tag = format!("\"{sha256}\"");
    let mut response = if none_match(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        read(path, method, headers, &tag).await?
    };
    let headers = response.headers_mut();
    let text = file.media_type.starts_with("text/");
    let kind = format!("{}{}", file.media_type, if text { "; charset=utf-8" } else { "" });
    // The bytes never change, but they may be taken back: whoever kept them asks again.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    headers.remove(header::LAST_MODIFIED);
    for (name, value) in
        [(header::CONTENT_TYPE, kind), (header::ETAG, tag), (header::CONTENT_DISPOSITION, disposition(file))]
    {
        let value = HeaderValue::try_from(value).map_err(|error| Error::internal("describe a file", error))?;
        headers.insert(name, value);
    }
    Ok(response)
}

/// Reads the bytes, or the range that is asked for.
async fn read(path: &std::path::Path, method: Method, headers: &HeaderMap, tag: &str) -> Result<Response> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    let is_still_it = headers.get(header::IF_RANGE).is_none_or(|known| known.as_bytes() == tag.as_bytes());
    if let Some(range) = headers.get(header::RANGE).filter(|_| is_still_it) {
        request.headers_mut().insert(header::RANGE, range.clone());
    }
    let answer = ServeFile::new(path).ignore_multi_range_requests(true).try_call(request).await;
    // A row without its bytes: taken back in this moment, or the folder is not where it should be.
    let answer = answer.map_err(|error| Error::unavailable("the file's bytes cannot be read").caused_by(error))?;
    Ok(answer.into_response())
}

fn none_match(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    known.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// Whether the browser shows the file, and what it is called when it is saved.
fn disposition(file: &File) -> String {
    /// What stands as it is in an extended value.
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let way = if SHOWN.contains(&file.media_type.as_str()) { "inline" } else { "attachment" };
    let plain = |c: char| if c.is_ascii_alphanumeric() || " -._~()".contains(c) { c } else { '_' };
    let ascii: String = file.name.chars().map(plain).collect();
    format!("{way}; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(&file.name, PLAIN))
}

/// Removes a file of one's own that was not sent. One that was goes when its message is taken back.
#[utoipa::path(delete, path = "/api/files/{id}", tag = "files", params(("id" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    api.hub.discard(&caller.principal, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_header() {
        let file = |name: &str, media_type: &str| File {
            id: "f".into(),
            name: name.into(),
            media_type: media_type.into(),
            size: 1,
        };
        assert_eq!(
            disposition(&file("a \"b\"; ä%.txt", "text/plain")),
            "inline; filename=\"a _b__ __.txt\"; filename*=UTF-8''a%20%22b%22%3B%20%C3%A4%25.txt"
        );
        for saved in ["text/html", "image/svg+xml", "application/pdf", "application/octet-stream"] {
            assert!(disposition(&file("x", saved)).starts_with("attachment;"), "{saved}");
        }
    }
}
