//! The frames as one JSON Schema: what a client sends is read from the code, what the server sends stands in
//! `frames.json`, and the integration tests hold every frame they receive against it.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::PROTOCOL;
use super::frame::ClientFrame;
use crate::model::message::Post;

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));

/// The frames of the web socket as a JSON Schema.
#[utoipa::path(get, path = "/ws/schema", tag = "session", security(()), responses((status = 200, description = "JSON Schema 2020-12; `#/$defs/client` and `#/$defs/server` are the two directions", content_type = "application/schema+json")))]
pub(in crate::api) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], DOCUMENT.clone()).into_response()
}

/// The two directions, and everything they are made of.
pub fn document() -> Value {
    let mut definitions: Map<String, Value> = serde_json::from_str(include_str!("frames.json")).unwrap_or_default();
    definitions.insert("client".to_owned(), json!(ClientFrame::schema()));
    let mut named: Vec<(String, RefOr<Schema>)> = vec![(Post::name().into_owned(), Post::schema())];
    Post::schemas(&mut named);
    ClientFrame::schemas(&mut named);
    let named: Map<String, Value> = named.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Frames of {PROTOCOL}"),
        "description": "Every text frame is one JSON object. Fields of a client's frame that are not named here are ignored.",
        "oneOf": [{ "$ref": "#/$defs/client" }, { "$ref": "#/$defs/server" }],
        "$defs": definitions,
        "components": { "schemas": named },
    })
}

/// The types of the server's frames, as the definitions list them.
pub(super) fn server_types(definitions: &Value) -> Vec<String> {
    let of = |name: &str| {
        let branches = definitions[name]["oneOf"].as_array().into_iter().flatten();
        branches.filter_map(|branch| branch["$ref"].as_str()?.strip_prefix("#/$defs/")).collect::<Vec<_>>()
    };
    let types = of("server").into_iter().flat_map(|name| if name == "event" { of("event") } else { vec![name] });
    types.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ws::frame;

    /// The smallest frame that a schema of the client's half admits.
    fn smallest(schema: &Value) -> Map<String, Value> {
        let required = schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let value = |name: &str| {
            let property = &schema["properties"][name];
            match property["type"].as_str() {
                _ if property["enum"].is_array() => property["enum"][0].clone(),
                Some("integer") => json!(1),
                Some("string") => json!("x"),
                other => panic!("{name} has the type {other:?}"),
            }
        };
        required.map(|name| (name.to_owned(), value(name))).collect()
    }

    #[test]
    fn what_the_schema_asks_of_a_client_is_what_is_read() {
        let document = document();
        let frames = document["$defs"]["client"]["oneOf"].as_array().unwrap();
        let mut types = Vec::new();
        for schema in frames {
            let whole = smallest(schema);
            types.push(whole["type"].as_str().unwrap().to_owned());
            assert!(frame::parse(&json!(whole).to_string()).is_ok(), "{whole:?}");
            for name in whole.keys() {
                let mut less = whole.clone();
                less.remove(name);
                assert!(frame::parse(&json!(less).to_string()).is_err(), "{name} is required in {whole:?}");
            }
            assert!(schema["description"].is_string(), "{whole:?} is described");
        }
        types.sort();
        let mut known = frame::TYPES.map(str::to_owned).to_vec();
        known.sort();
        assert_eq!(types, known);
    }
}
