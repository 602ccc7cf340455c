//! The web socket as an AsyncAPI document: the same frames as the JSON Schema, as operations of one channel.

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::ending::End;
use super::{PROTOCOL, schema};

/// The serialised document.
#[derive(Clone)]
pub(in crate::api) struct Document(Bytes);

impl Document {
    /// For the server at this address.
    pub(in crate::api) fn new(public_url: &str) -> Self {
        Self(Bytes::from(document(public_url).to_string()))
    }
}

/// The web socket as an AsyncAPI 3.0 document: its channel, its operations, and every frame with an example.
#[utoipa::path(get, path = "/ws/asyncapi.json", tag = "session", security(()), responses((status = 200, description = "AsyncAPI 3.0", content_type = "application/json")))]
pub(in crate::api) async fn serve(Extension(Document(bytes)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

/// What answers a client's frame, when it is not refused.
const ANSWERS: [(&str, &[&str]); 17] = [
    ("message", &["ack"]),
    ("command", &["ack"]),
    ("action", &["ack"]),
    ("edit", &["ack"]),
    ("delete", &["ack"]),
    ("read", &["ack"]),
    ("subscribe", &["subscribed", "caught_up"]),
    ("history", &["history"]),
    ("auth", &["authenticated"]),
    ("ping", &["pong"]),
    ("cancel", &["ack"]),
    ("register", &["registered"]),
    ("done", &["ack"]),
    ("nack", &["ack"]),
    ("extend", &["ack"]),
    ("chunk", &["ack"]),
    ("say", &["ack"]),
];

fn document(public_url: &str) -> Value {
    let mut frames = schema::document();
    let mut schemas = frames["components"]["schemas"].take();
    let mut definitions = frames["$defs"].take();
    let client = definitions["client"]["oneOf"].take();
    let server = schema::server_types(&definitions);
    let examples: Map<String, Value> = serde_json::from_str(include_str!("examples.json")).unwrap_or_default();
    let mut messages = Map::new();
    for mut payload in client.as_array().cloned().unwrap_or_default() {
        let kind = payload["properties"]["type"]["enum"][0].as_str().unwrap_or_default().to_owned();
        let summary = payload.as_object_mut().and_then(|payload| payload.remove("description"));
        let example = &examples["client"][&kind];
        messages.insert(format!("client.{kind}"), message(&kind, summary.as_ref(), &payload, example));
    }
    for kind in &server {
        let summary = definitions[kind].as_object_mut().and_then(|frame| frame.remove("description"));
        let payload = json!({ "$ref": format!("#/components/schemas/frame.{kind}") });
        messages.insert(format!("server.{kind}"), message(kind, summary.as_ref(), &payload, &examples["server"][kind]));
    }
    if let (Some(schemas), Value::Object(definitions)) = (schemas.as_object_mut(), definitions) {
        let kept = definitions.into_iter().filter(|(name, _)| name != "client" && name != "server");
        schemas.extend(kept.map(|(name, definition)| (format!("frame.{name}"), definition)));
    }
    let of_channel: Map<String, Value> =
        messages.keys().map(|name| (name.clone(), reference("components/messages", name))).collect();
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": { "title": "Parlour's web socket", "version": env!("CARGO_PKG_VERSION"), "description": description() },
        "defaultContentType": "application/json",
        "servers": { "this": server_object(public_url) },
        "channels": { "socket": {
            "address": "/ws",
            "description": format!("Offer the subprotocol {PROTOCOL}; each text frame is one JSON object."),
            "messages": of_channel,
            "bindings": { "ws": { "method": "GET", "bindingVersion": "0.1.0" } },
        } },
        "operations": operations(&messages),
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "An API key, or the token of a session." },
                "api_key": { "type": "httpApiKey", "in": "header", "name": "X-API-Key" },
                "cookie": { "type": "httpApiKey", "in": "cookie", "name": "parlour", "description": "With an Origin that may use it." },
                "ticket": {
                    "type": "httpApiKey", "in": "header", "name": "Sec-WebSocket-Protocol",
                    "description": "ticket. and a ticket of POST /api/ws/ticket, beside the subprotocol to speak.",
                },
            },
        },
    });
    move_references(&mut document);
    document
}

fn server_object(public_url: &str) -> Value {
    let (scheme, host) = public_url.split_once("://").unwrap_or(("http", public_url));
    let (host, path) = host.split_once('/').unwrap_or((host, ""));
    let security = ["bearer", "api_key", "cookie", "ticket"].map(|name| reference("components/securitySchemes", name));
    let mut server = json!({
        "host": host,
        "protocol": if scheme == "https" { "wss" } else { "ws" },
        "security": security,
    });
    if !path.is_empty() {
        server["pathname"] = json!(format!("/{path}"));
    }
    server
}

fn message(kind: &str, summary: Option<&Value>, payload: &Value, example: &Value) -> Value {
    json!({ "name": kind, "summary": summary, "payload": payload, "examples": [{ "payload": example }] })
}

fn reference(place: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{place}/{name}") })
}

/// Seen from the server, as AsyncAPI wants it: what clients send is received.
fn operations(messages: &Map<String, Value>) -> Map<String, Value> {
    let channel = reference("channels", "socket");
    let in_channel = |name: &str| reference("channels/socket/messages", name);
    let operation = |name: &String| {
        let (side, kind) = name.split_once('.')?;
        if side == "server" {
            return None;
        }
        let mut operation = json!({
            "action": "receive", "channel": channel, "summary": messages[name]["summary"], "messages": [in_channel(name)],
        });
        if let Some((_, answers)) = ANSWERS.iter().find(|(known, _)| *known == kind) {
            let answers = answers.iter().chain(&["error"]).map(|answer| in_channel(&format!("server.{answer}")));
            operation["reply"] = json!({ "channel": channel, "messages": answers.collect::<Vec<_>>() });
        }
        Some((format!("receive.{kind}"), operation))
    };
    let mut operations: Map<String, Value> = messages.keys().filter_map(operation).collect();
    let sent = messages.keys().filter(|name| name.starts_with("server.")).map(|name| in_channel(name));
    operations.insert(
        "send".to_owned(),
        json!({
            "action": "send", "channel": channel, "messages": sent.collect::<Vec<_>>(),
            "summary": "Everything the server sends: answers, the events of what was subscribed to, and what passes by.",
        }),
    );
    operations
}

fn description() -> String {
    let ends: String = End::TOLD
        .iter()
        .filter_map(|end| end.notice())
        .map(|n| format!("| {} | {} | {} |\n", n.code, n.reason, if n.reconnect { "yes" } else { "no" }))
        .collect();
    format!(
        "Conversations live. `seq` numbers the events of a stream without gaps; subscribe with the last one that was seen, and nothing is \
         missed. What has no `seq` passes by. The frames alone, as JSON Schema: `/ws/schema`.\n\n\
         Before the server closes a socket it says `bye` with the code of the close frame:\n\n\
         | code | reason | come back |\n|---|---|---|\n{ends}"
    )
}

/// The schema's own definitions have another place here.
fn move_references(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(target)) = object.get_mut("$ref")
                && let Some(name) = target.strip_prefix("#/$defs/")
            {
                *target = format!("#/components/schemas/frame.{name}");
            }
            object.values_mut().for_each(move_references);
        }
        Value::Array(array) => array.iter_mut().for_each(move_references),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame;
    use super::*;

    fn all<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                if let Some(target) = object.get("$ref") {
                    found.push(target.as_str().unwrap());
                }
                object.values().for_each(|value| all(value, found));
            }
            Value::Array(array) => array.iter().for_each(|value| all(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document("https://parlour.example.com/chat");
        let mut references = Vec::new();
        all(&document, &mut references);
        assert!(references.len() > 100);
        for reference in references {
            assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
        }
        let server = &document["servers"]["this"];
        assert_eq!((&server["host"], &server["protocol"]), (&json!("parlour.example.com"), &json!("wss")));
        assert_eq!(server["pathname"], "/chat");
        assert_eq!(document.to_string().matches("$defs").count(), 0);
    }

    #[test]
    fn every_frame_is_a_message_with_an_example_that_is_one() {
        let document = document("http://127.0.0.1:1");
        let messages = document["components"]["messages"].as_object().unwrap();
        let mut types: Vec<&str> = messages.keys().filter_map(|name| name.strip_prefix("client.")).collect();
        types.sort_unstable();
        let mut known = frame::TYPES.to_vec();
        known.sort_unstable();
        assert_eq!(types, known);
        let schema = schema::document();
        let side = |side: &str| {
            let mut schema = schema.clone();
            schema.as_object_mut().unwrap().remove("oneOf");
            schema["$ref"] = json!(format!("#/$defs/{side}"));
            jsonschema::validator_for(&schema).unwrap()
        };
        let (client, server) = (side("client"), side("server"));
        let file: Map<String, Value> = serde_json::from_str(include_str!("examples.json")).unwrap();
        let written = file.values().map(|side| side.as_object().unwrap().len()).sum::<usize>();
        assert_eq!(written, messages.len(), "examples of frames that are gone");
        for (name, message) in messages {
            let (side, kind) = name.split_once('.').unwrap();
            assert!(message["summary"].is_string(), "{name} is described");
            let example = &message["examples"][0]["payload"];
            assert_eq!(example["type"], kind, "examples.json has an example of {name}");
            let validator = if side == "client" { &client } else { &server };
            if let Err(error) = validator.validate(example) {
                panic!("{name}: {error}");
            }
            if side == "client" {
                assert!(frame::parse(&example.to_string()).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn what_answers_a_frame_exists() {
        let document = document("http://127.0.0.1:1");
        for (kind, _) in ANSWERS {
            let reply = &document["operations"][format!("receive.{kind}")]["reply"]["messages"];
            assert!(reply.as_array().unwrap().len() > 1, "{kind}");
        }
        let sent = document["operations"]["send"]["messages"].as_array().unwrap().len();
        let server = schema::server_types(&schema::document()["$defs"]);
        assert!(sent == server.len() && server.iter().any(|kind| kind == "session_update"), "{server:?}");
        for end in ["| 4408 | nothing was taken for too long | yes |", "| 4410 | signed out | no |"] {
            assert!(document["info"]["description"].as_str().unwrap().contains(end));
        }
    }
}
