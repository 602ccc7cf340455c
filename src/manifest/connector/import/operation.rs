//! One operation of a description as an action.

use serde_json::{Map, Value, json};

use super::resolve::{Schemas, follow};
use crate::model::id::sha256_hex;

pub(super) struct Operation<'v> {
    pub(super) document: &'v Value,
    pub(super) path: &'v str,
    pub(super) method: &'v str,
    pub(super) item: &'v Value,
    pub(super) operation: &'v Value,
}

/// An input, and where it goes.
struct Input<'v> {
    name: String,
    written: &'v str,
    place: &'v str,
    schema: Value,
    is_required: bool,
}

impl<'v> Operation<'v> {
    /// `operationId` in small letters and underscores, or the method and the path.
    pub(super) fn name(&self) -> String {
        let given = self.operation.get("operationId").and_then(Value::as_str).map(snake);
        let given = given.filter(|name| !name.is_empty());
        let name = given.unwrap_or_else(|| snake(&format!("{} {}", self.method, self.path)));
        let name: String = name.chars().take(90).collect();
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("{}_{name}", self.method) }
    }

    pub(super) fn action(&self, has_auth: bool, notes: &mut Vec<String>) -> Value {
        let mut schemas = Schemas::new(self.document);
        let mut inputs = self.parameters(&mut schemas, notes);
        let body = self.body(&mut schemas, &mut inputs, notes);
        let mut properties = Map::new();
        for input in &inputs {
            properties.insert(input.name.clone(), input.schema.clone());
        }
        let required: Vec<&str> =
            inputs.iter().filter(|input| input.is_required).map(|input| input.name.as_str()).collect();
        let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        let mut request = json!({ "method": self.method.to_ascii_uppercase(), "path": self.template(&inputs) });
        for (place, key) in [("query", "query"), ("header", "headers")] {
            let values: Map<String, Value> = inputs.iter().filter(|input| input.place == place).map(sent).collect();
            if !values.is_empty() {
                request[key] = Value::Object(values);
            }
        }
        if let Some((key, body)) = body {
            request[key] = body;
        }
        let mut action = json!({
            "description": self.description(), "effect": self.effect(&inputs), "input": schema, "request": request,
            "provenance": {
                "operation": format!("{} {}", self.method.to_ascii_uppercase(), self.path),
                "hash": sha256_hex(self.operation.to_string().as_bytes()),
            },
        });
        let is_open = self.operation.get("security").and_then(Value::as_array).is_some_and(Vec::is_empty);
        if is_open || !has_auth {
            action["auth"] = json!("none");
        }
        if let Some(answer) = self.answer() {
            let output = schemas.inline(answer);
            if let Some(pagination) = pagination(&inputs, &output) {
                action["pagination"] = pagination;
            } else {
                action["output"] = output;
            }
        }
        action
    }

    fn description(&self) -> String {
        let text = |key: &str| self.operation.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let text = text("summary").or_else(|| text("description")).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(500).collect()
    }

    fn effect(&self, inputs: &[Input<'_>]) -> &'static str {
        match self.method {
            "get" | "head" | "options" => "pure",
            "put" | "delete" => "idempotent",
            _ if inputs.iter().any(|input| input.place == "key") => "keyed",
            _ => "once",
        }
    }

    fn parameters(&self, schemas: &mut Schemas<'v>, notes: &mut Vec<String>) -> Vec<Input<'v>> {
        let lists = [self.operation, self.item].map(|of| of.get("parameters").and_then(Value::as_array));
        let mut inputs: Vec<Input<'v>> = Vec::new();
        for parameter in lists.into_iter().flatten().flatten() {
            let parameter = follow(self.document, parameter);
            let text = |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default();
            let (written, place) = (text("name"), text("in"));
            // Those of the operation come first and count.
            if written.is_empty() || inputs.iter().any(|known| known.written == written && known.place == place) {
                continue;
            }
            let place = match place {
                "header" if written.eq_ignore_ascii_case("idempotency-key") => "key",
                "header" if is_own_header(written) => continue,
                "path" | "query" | "header" => place,
                _ => {
                    notes.push(format!("{} {}: parameter {written} in {place} is left out", self.method, self.path));
                    continue;
                }
            };
            let mut schema = parameter.get("schema").map_or_else(|| json!({}), |schema| schemas.inline(schema));
            describe(&mut schema, text("description"));
            let is_required =
                place == "path" || (parameter.get("required") == Some(&Value::Bool(true)) && place != "key");
            let name = free(written, place, &inputs);
            inputs.push(Input { name, written, place, schema, is_required });
        }
        inputs
    }

    /// The JSON body: its fields become inputs, or it is one as a whole.
    fn body(
        &self,
        schemas: &mut Schemas<'v>,
        inputs: &mut Vec<Input<'v>>,
        notes: &mut Vec<String>,
    ) -> Option<(&'static str, Value)> {
        let body = follow(self.document, self.operation.get("requestBody")?);
        let content = body.get("content")?.as_object()?;
        let is_json = |kind: &str| kind.starts_with("application/json") || kind.ends_with("+json");
        let json = content.iter().find(|(kind, _)| is_json(kind));
        let form = content.get_key_value("application/x-www-form-urlencoded");
        let Some((kind, media)) = json.or(form) else {
            let kinds: Vec<&str> = content.keys().map(String::as_str).collect();
            notes.push(format!("{} {}: a body of type {} is left out", self.method, self.path, kinds.join(", ")));
            return None;
        };
        let key = if is_json(kind) { "json" } else { "form" };
        let schema = schemas.inline(media.get("schema").unwrap_or(&Value::Null));
        let is_whole_required = body.get("required") == Some(&Value::Bool(true));
        let properties =
            schema.get("properties").and_then(Value::as_object).filter(|properties| !properties.is_empty());
        let Some(properties) =
            properties.filter(|_| ["allOf", "anyOf", "oneOf"].iter().all(|key| schema.get(key).is_none()))
        else {
            let name = free("body", "body", inputs);
            let value = if is_whole_required { json!(reference(&name)) } else { optional(&name) };
            inputs.push(Input { name, written: "body", place: "body", schema, is_required: is_whole_required });
            return Some((key, value));
        };
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut sent = Map::new();
        let mut fields = Vec::new();
        for (property, schema) in properties {
            let is_required = is_whole_required && required.contains(&property.as_str());
            let name = free(property, "body", inputs);
            sent.insert(format!("{property}?"), json!(reference(&name)));
            fields.push((name, schema.clone(), is_required));
        }
        for (name, schema, is_required) in fields {
            inputs.push(Input { name, written: "", place: "body", schema, is_required });
        }
        Some((key, Value::Object(sent)))
    }

    /// The path with its parameters as expressions.
    fn template(&self, inputs: &[Input<'_>]) -> String {
        let mut path = self.path.to_owned();
        for input in inputs.iter().filter(|input| input.place == "path") {
            let value = format!("{{{{ input['{}'] }}}}", quoted(&input.name));
            path = path.replace(&format!("{{{}}}", input.written), &value);
        }
        path
    }

    fn answer(&self) -> Option<&'v Value> {
        let responses = self.operation.get("responses")?.as_object()?;
        let (_, good) = responses.iter().find(|(status, _)| status.starts_with('2'))?;
        let content = follow(self.document, good).get("content")?.as_object()?;
        content.iter().find(|(kind, _)| kind.contains("json"))?.1.get("schema")
    }
}

fn sent(input: &Input<'_>) -> (String, Value) {
    (format!("{}?", input.written), json!(reference(&input.name)))
}

fn reference(name: &str) -> String {
    format!("${{{{ input['{}'] }}}}", quoted(name))
}

/// The same, null when it is not given.
fn optional(name: &str) -> Value {
    let name = quoted(name);
    json!(format!("${{{{ input['{name}'] if input['{name}'] is defined else none }}}}"))
}

fn quoted(name: &str) -> String {
    name.replace('\\', "\\\\").replace('\'', "\\'")
}

/// A name that no input has yet.
fn free(name: &str, place: &str, inputs: &[Input<'_>]) -> String {
    let is_taken = |name: &str| inputs.iter().any(|input| input.name == name);
    let mut free = if is_taken(name) { format!("{place}_{name}") } else { name.to_owned() };
    while is_taken(&free) {
        free.push('_');
    }
    free
}

/// What says how a message is carried, or who sends it, is not an input.
fn is_own_header(name: &str) -> bool {
    ["accept", "authorization", "content-type", "content-length", "host", "cookie", "connection", "user-agent"]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
}

fn describe(schema: &mut Value, description: &str) {
    let description: String = description.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
    if let Some(schema) = schema.as_object_mut()
        && !description.is_empty()
    {
        schema.entry("description").or_insert(json!(description));
    }
}

/// A list and, beside it, where it goes on: then it is read to its end.
fn pagination(inputs: &[Input<'_>], output: &Value) -> Option<Value> {
    const ASKED: [&str; 8] = [
        "cursor",
        "page_token",
        "pageToken",
        "iterator",
        "after",
        "next_cursor",
        "starting_after",
        "continuation_token",
    ];
    const TOLD: [&str; 7] =
        ["next_cursor", "nextCursor", "next_page_token", "nextPageToken", "iterator", "next", "continuation_token"];
    let properties = output.get("properties")?.as_object()?;
    let is_list = |schema: &Value| schema.get("type") == Some(&json!("array"));
    let mut lists = properties.iter().filter(|(_, schema)| is_list(schema));
    let (items, _) = lists.next().filter(|_| lists.next().is_none())?;
    let next = TOLD.into_iter().find(|name| properties.contains_key(*name))?;
    let asked = inputs.iter().find(|input| input.place == "query" && ASKED.contains(&input.written))?;
    Some(json!({
        "kind": "cursor", "items": format!("${{{{ response.body['{}'] }}}}", quoted(items)),
        "next": format!("${{{{ response.body['{next}'] }}}}"), "param": { "query": asked.written },
    }))
}

/// `listAllPets`, `List pets` and `list-pets` in small letters and underscores.
fn snake(text: &str) -> String {
    let mut name = String::new();
    let mut was_small = false;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && was_small {
                name.push('_');
            }
            was_small = c.is_ascii_lowercase() || c.is_ascii_digit();
            name.push(c.to_ascii_lowercase());
        } else {
            was_small = false;
            if !name.is_empty() && !name.ends_with('_') {
                name.push('_');
            }
        }
    }
    name.trim_matches('_').to_owned()
}
