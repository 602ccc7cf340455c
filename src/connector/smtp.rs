//! Mail: the transport `native:smtp`.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MessageBuilder, MultiPart, SinglePart};
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncTransport as _, Message, Tokio1Executor};
use serde_json::{Value, json};

use super::Failure;
use super::binding::Opened;
use super::request::wrong;
use crate::clock::rfc3339;
use crate::fetch::Guard;
use crate::model::conversation::Millis;

/// The largest message with its attachments, in bytes.
const LARGEST: usize = 25 * 1024 * 1024;

/// A mail that is about to leave.
pub(super) struct Mail<'a> {
    pub(super) input: &'a Value,
    pub(super) credential: &'a Opened,
    pub(super) idempotency_key: &'a str,
    pub(super) now: Millis,
    pub(super) timeout: Duration,
}

impl Mail<'_> {
    /// Sends it; the answer names the message and to whom it went.
    pub(super) async fn send(&self, guard: &Guard) -> Result<Value, Failure> {
        let host = self.text("host").unwrap_or_default().to_owned();
        let port = self.credential.fields.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let port =
            port.filter(|port| *port > 0).ok_or_else(|| wrong("the credential's port is a number up to 65535"))?;
        let (message, id) = self.message(&host)?;
        let accepted: Vec<String> = message.envelope().to().iter().map(ToString::to_string).collect();
        let address = resolve(guard, &host, port).await?;
        let transport = self.transport(&host, address, guard)?;
        let sending = tokio::time::timeout(self.timeout, transport.send(message)).await;
        match sending {
            Ok(Ok(_)) => Ok(json!({ "message_id": id, "accepted": accepted })),
            Ok(Err(error)) => Err(failure(&host, &error)),
            Err(_) => Err(Failure {
                code: "timeout".to_owned(),
                message: format!("{host} did not answer in time"),
                retryable: true,
                retry_after: None,
                uncertain: true,
            }),
        }
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.credential.fields.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// To the address that was looked at, under the name that the server has to prove.
    fn transport(
        &self,
        host: &str,
        address: SocketAddr,
        guard: &Guard,
    ) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
        let parameters = TlsParameters::new(host.to_owned());
        let parameters = parameters.map_err(|_| wrong(format!("{host} cannot be the name of a mail server")))?;
        let from_the_start =
            self.credential.fields.get("secure").and_then(Value::as_bool).unwrap_or(address.port() == 465);
        // A password never crosses the internet in the clear; inside a network that was opened on purpose it may.
        let tls = if from_the_start {
            Tls::Wrapper(parameters)
        } else if guard.is_private(address.ip()) {
            Tls::Opportunistic(parameters)
        } else {
            Tls::Required(parameters)
        };
        let credentials = self.text("user").zip(self.text("password"));
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
            .port(address.port())
            .tls(tls)
            .timeout(Some(self.timeout));
        if let Some((user, password)) = credentials {
            builder = builder.credentials(Credentials::new(user.to_owned(), password.to_owned()));
        }
        Ok(builder.build())
    }

    fn message(&self, host: &str) -> Result<(Message, String), Failure> {
        let input = |key: &str| self.input.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let from = input("from").or_else(|| self.text("from")).or_else(|| self.text("user")).unwrap_or_default();
        let from = mailbox("from", from)?;
        let domain = from.email.domain().to_owned();
        // The same for each attempt, so that a receiver can tell that it is the same mail.
        let id =
            format!("<{}@{domain}>", crate::model::id::sha256_hex(self.idempotency_key.as_bytes())[..32].to_owned());
        let mut builder = Message::builder().from(from).message_id(Some(id.clone())).date(date(self.now)?);
        for (key, add) in [
            ("to", MessageBuilder::to as fn(MessageBuilder, Mailbox) -> MessageBuilder),
            ("cc", MessageBuilder::cc),
            ("bcc", MessageBuilder::bcc),
        ] {
            for address in addresses(self.input.get(key)) {
                builder = add(builder, mailbox(key, address)?);
            }
        }
        if let Some(address) = input("reply_to") {
            builder = builder.reply_to(mailbox("reply_to", address)?);
        }
        let subject = input("subject").unwrap_or_default();
        if subject.chars().any(|c| c.is_control()) {
            return Err(wrong("subject: this is one line"));
        }
        builder = builder.subject(subject);
        let content = match (input("text"), input("html")) {
            (Some(text), Some(html)) => MultiPart::alternative_plain_html(text.to_owned(), html.to_owned()),
            (Some(text), None) => MultiPart::mixed().singlepart(SinglePart::plain(text.to_owned())),
            (None, Some(html)) => MultiPart::mixed().singlepart(SinglePart::html(html.to_owned())),
            (None, None) => return Err(wrong("the mail has neither text nor html")),
        };
        let attachments = self.input.get("attachments").and_then(Value::as_array);
        let message = match attachments.filter(|attachments| !attachments.is_empty()) {
            None => match (input("text"), input("html")) {
                (Some(text), None) => builder.singlepart(SinglePart::plain(text.to_owned())),
                (None, Some(html)) => builder.singlepart(SinglePart::html(html.to_owned())),
                _ => builder.multipart(content),
            },
            Some(attachments) => {
                let mut whole = MultiPart::mixed().multipart(content);
                let mut room = LARGEST;
                for (at, attachment) in attachments.iter().enumerate() {
                    whole = whole.singlepart(attached(at, attachment, &mut room)?);
                }
                builder.multipart(whole)
            }
        };
        message
            .map(|message| (message, id))
            .map_err(|error| wrong(format!("this mail for {host} cannot be written: {error}")))
    }
}

async fn resolve(guard: &Guard, host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let resolved = guard.resolve(host, port).await;
    let unreachable = |reason: String| Failure {
        retryable: true,
        ..Failure::refused("unreachable", format!("{host} cannot be reached: {reason}"))
    };
    let addresses = resolved.map_err(|error| unreachable(error.to_string()))?;
    let addresses = addresses.map_err(|refused| Failure::refused("address_refused", refused.0))?;
    addresses.into_iter().next().ok_or_else(|| unreachable("it has no address".to_owned()))
}

fn addresses(value: Option<&Value>) -> Vec<&str> {
    match value {
        // Several in one text, as people write them. A name in quotes may hold a comma itself.
        Some(Value::String(text)) if !text.contains('"') => {
            text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect()
        }
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn mailbox(field: &str, address: &str) -> Result<Mailbox, Failure> {
    address.parse().map_err(|_| wrong(format!("{field}: this is no mail address such as Ada <ada@example.com>")))
}

fn date(now: Millis) -> Result<std::time::SystemTime, Failure> {
    let since = Duration::from_millis(now.try_into().map_err(|_| wrong(format!("{} cannot be a date", rfc3339(now))))?);
    Ok(std::time::UNIX_EPOCH + since)
}

fn attached(at: usize, attachment: &Value, room: &mut usize) -> Result<SinglePart, Failure> {
    let text = |key: &str| attachment.get(key).and_then(Value::as_str);
    let bytes = match (text("content_base64"), text("content")) {
        (Some(encoded), None) => base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .map_err(|_| wrong(format!("attachments[{at}].content_base64: this is no base64")))?,
        (None, Some(text)) => text.as_bytes().to_vec(),
        _ => return Err(wrong(format!("attachments[{at}]: this has content or content_base64"))),
    };
    *room = room.checked_sub(bytes.len()).ok_or_else(|| wrong("the attachments are larger than 25 MiB"))?;
    let kind = text("content_type").unwrap_or("application/octet-stream");
    let kind =
        ContentType::parse(kind).map_err(|_| wrong(format!("attachments[{at}].content_type: this is no type")))?;
    let name: String = text("filename").unwrap_or("file").chars().filter(|c| !c.is_control() && *c != '"').collect();
    Ok(Attachment::new(name).body(bytes, kind))
}

fn failure(host: &str, error: &lettre::transport::smtp::Error) -> Failure {
    let (code, retryable, uncertain) = if error.is_permanent() || error.is_transient() {
        let status = error.status().map_or_else(String::new, |status| format!("smtp_{status}"));
        (status, error.is_transient(), false)
    } else if error.is_client() || error.is_tls() {
        ("mail_not_sent".to_owned(), false, false)
    } else if error.is_timeout() {
        ("timeout".to_owned(), true, true)
    } else {
        // The connection: it may have broken behind the last word of the mail.
        let is_connecting = error.to_string().starts_with("Connection error");
        ("connection_broken".to_owned(), true, !is_connecting)
    };
    Failure { code, message: format!("{host} did not take the mail: {error}"), retryable, retry_after: None, uncertain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Opened {
        Opened {
            name: String::new(),
            id: "c".to_owned(),
            version: 1,
            auth: "custom".to_owned(),
            fields: json!({"host": "mail.example.com", "port": 587, "user": "robot@example.com", "password": "secret"}),
            hosts: Vec::new(),
            is_own: true,
        }
    }

    fn written(input: &Value) -> Result<String, String> {
        let credential = opened();
        let mail =
            Mail { input, credential: &credential, idempotency_key: "k", now: 0, timeout: Duration::from_secs(1) };
        let message = mail.message("mail.example.com").map_err(|failure| failure.message)?;
        Ok(String::from_utf8(message.0.formatted()).unwrap())
    }

    #[test]
    fn a_mail_is_written_and_nobody_slips_a_header_in() {
        let text = written(&json!({
            "to": "Ada <ada@example.com>, bob@example.com", "cc": ["c@example.com"], "bcc": "secret@example.com",
            "subject": "Grüße", "text": "hello", "html": "<b>hello</b>",
            "attachments": [{"filename": "a\r\nX-Evil: 1.txt", "content": "x"}],
        }))
        .unwrap();
        for part in
            ["From: robot@example.com", "bob@example.com", "Cc: c@example.com", "multipart/alternative", "<b>hello</b>"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("secret@example.com") && !text.contains("\r\nX-Evil"));
        assert_eq!(text.matches("Message-ID: <").count(), 1);
        for (field, input) in [
            ("to", json!({"to": "nobody", "subject": "s", "text": "t"})),
            ("to", json!({"to": "a@example.com\r\nBcc: b@example.com", "subject": "s", "text": "t"})),
            ("subject", json!({"to": "a@example.com", "subject": "s\r\nBcc: b@example.com", "text": "t"})),
            ("from", json!({"to": "a@example.com", "from": "x", "subject": "s", "text": "t"})),
            (
                "attachments[0]",
                json!({"to": "a@example.com", "subject": "s", "text": "t", "attachments": [{"filename": "f"}]}),
            ),
        ] {
            assert!(written(&input).unwrap_err().contains(field), "{field}");
        }
    }
}
