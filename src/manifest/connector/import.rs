//! A manifest made from the description of an API: OpenAPI 3.
//!
//! What is read is only that description: no reference in it is followed to another file or address. Each operation becomes
//! an action whose input has the parameters and the fields of the JSON body side by side.

mod operation;
mod resolve;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::manifest::document::Document;
use crate::model::id::sha256_hex;

/// So many operations become actions at most.
const MOST: usize = 2000;

/// What came of an import.
#[derive(Debug)]
pub struct Imported {
    pub yaml: String,
    pub actions: usize,
    /// What could not be carried over, one sentence each.
    pub notes: Vec<String>,
}

/// Makes a manifest; the error is one sentence.
pub fn openapi(source: &str, kind: Option<&str>) -> Result<Imported, String> {
    let document = read(source)?;
    match document.get("openapi").and_then(Value::as_str) {
        Some(version) if version.starts_with("3.") => {}
        Some(version) => return Err(format!("this is OpenAPI {version}; version 3 is read")),
        None if document.get("swagger").is_some() => {
            return Err("this is Swagger 2; convert it to OpenAPI 3 first".to_owned());
        }
        None => return Err("this is no OpenAPI document: it has no \"openapi\"".to_owned()),
    }
    let mut notes = Vec::new();
    let title = document.pointer("/info/title").and_then(Value::as_str).unwrap_or("API").trim().to_owned();
    let kind = kind.map_or_else(|| identifier(&title), str::to_owned);
    let (base_url, host) = server(&document, &mut notes)?;
    let auth = auth(&document, &mut notes);
    let mut taken = BTreeSet::new();
    let mut actions = Map::new();
    let mut is_limited = false;
    for (path, item) in document.get("paths").and_then(Value::as_object).into_iter().flatten() {
        for method in ["get", "head", "post", "put", "patch", "delete", "options"] {
            let Some(operation) = item.get(method) else { continue };
            if actions.len() == MOST {
                return Err(format!("it describes more than {MOST} operations"));
            }
            is_limited |= operation.pointer("/responses/429").is_some();
            let made = operation::Operation { document: &document, path, method, item, operation };
            let name = unique(&made.name(), &mut taken);
            actions.insert(name, made.action(!auth.is_empty(), &mut notes));
        }
    }
    if actions.is_empty() {
        return Err("it describes no operations".to_owned());
    }
    let mut http = json!({ "base_url": base_url, "allowed_hosts": [host] });
    if is_limited {
        http["retry"] = json!({ "max_attempts": 4, "backoff": "exponential", "initial": "1s", "max": "30s" });
    }
    let description: String =
        document.pointer("/info/description").and_then(Value::as_str).unwrap_or_default().chars().take(500).collect();
    let version = document.pointer("/info/version").and_then(Value::as_str).unwrap_or("1");
    let count = actions.len();
    let manifest = json!({
        "apiVersion": "connector/v1",
        "kind": "Connector",
        "metadata": {
            "type": kind,
            "name": title.chars().take(80).collect::<String>(),
            "version": version.chars().take(40).collect::<String>(),
            "description": description,
            "source": { "format": "openapi", "title": title, "hash": sha256_hex(source.as_bytes()) },
        },
        "auth": auth,
        "http": http,
        "actions": actions,
    });
    notes.sort();
    notes.dedup();
    let yaml =
        serde_saphyr::to_string(&manifest).map_err(|error| format!("the manifest cannot be written: {error}"))?;
    Ok(Imported { yaml, actions: count, notes })
}

/// What another import of the same API would change: `+` new, `-` gone, `~` changed actions.
pub fn difference(before: &str, after: &str) -> Vec<String> {
    let actions = |source: &str| {
        let document = Document::parse(Path::new(""), source.to_owned()).ok();
        document
            .and_then(|document| document.value.get("actions").and_then(Value::as_object).cloned())
            .unwrap_or_default()
    };
    let (before, after) = (actions(before), actions(after));
    let mut lines = Vec::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        lines.push(format!("- {name}"));
    }
    for (name, action) in &after {
        match before.get(name) {
            None => lines.push(format!("+ {name}")),
            Some(old) if old == action => {}
            Some(old) => {
                let parts = ["input", "output", "request", "effect", "auth", "description", "pagination"];
                let changed: Vec<&str> = parts.into_iter().filter(|part| old.get(part) != action.get(part)).collect();
                lines.push(format!(
                    "~ {name}: {}",
                    if changed.is_empty() { "provenance".to_owned() } else { changed.join(", ") }
                ));
            }
        }
    }
    lines
}

fn read(source: &str) -> Result<Value, String> {
    if source.trim_start().starts_with('{') {
        return serde_json::from_str(source).map_err(|error| format!("this is no JSON: {error}"));
    }
    let document = Document::parse(Path::new("openapi"), source.to_owned());
    document.map(|document| document.value).map_err(|fault| format!("line {}: {}", fault.line, fault.text()))
}

/// A small name of letters, digits and underscores.
fn identifier(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name: String = name.trim_matches('_').chars().take(40).collect();
    if name.starts_with(|c: char| c.is_ascii_lowercase()) { name } else { format!("api_{name}") }
}

fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}_{number}");
        number += 1;
    }
    candidate
}

/// The first server, its variables at their defaults.
fn server(document: &Value, notes: &mut Vec<String>) -> Result<(String, String), String> {
    let server = document.pointer("/servers/0");
    let mut address =
        server.and_then(|server| server.get("url")).and_then(Value::as_str).unwrap_or_default().to_owned();
    for (name, variable) in
        server.and_then(|server| server.get("variables")).and_then(Value::as_object).into_iter().flatten()
    {
        let default = variable.get("default").and_then(Value::as_str).unwrap_or_default();
        address = address.replace(&format!("{{{name}}}"), default);
    }
    let url = url::Url::parse(&address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match url.as_ref().and_then(url::Url::host_str) {
        Some(host) => Ok((address.trim_end_matches('/').to_owned(), host.to_owned())),
        None => {
            notes.push(
                "it names no server: set http.base_url, or connectors.<type>.base_url in the settings".to_owned(),
            );
            Ok(("https://api.invalid".to_owned(), "api.invalid".to_owned()))
        }
    }
}

/// Security schemes as ways to sign in.
fn auth(document: &Value, notes: &mut Vec<String>) -> Vec<Value> {
    let schemes = document.pointer("/components/securitySchemes").and_then(Value::as_object);
    let mut taken = BTreeSet::new();
    let mut auth = Vec::new();
    for (name, scheme) in schemes.into_iter().flatten() {
        let scheme = resolve::follow(document, scheme);
        let text = |key: &str| scheme.get(key).and_then(Value::as_str).unwrap_or_default();
        let id = unique(&identifier(name), &mut taken);
        let way = match (text("type"), text("scheme").to_ascii_lowercase().as_str(), text("in")) {
            ("http", "bearer", _) => json!({
                "id": id, "kind": "bearer", "fields": { "token": { "secret": true, "required": true } },
                "apply": { "header": { "Authorization": "Bearer {{ secret.token }}" } },
            }),
            ("http", "basic", _) => json!({
                "id": id, "kind": "basic",
                "fields": { "username": { "required": true }, "password": { "secret": true, "required": true } },
                "apply": { "basic": { "username": "{{ secret.username }}", "password": "{{ secret.password }}" } },
            }),
            ("apiKey", _, place @ ("header" | "query")) => {
                let mut apply = json!({});
                apply[place][text("name")] = json!("{{ secret.api_key }}");
                json!({
                    "id": id, "kind": "api_key", "fields": { "api_key": { "secret": true, "required": true } }, "apply": apply,
                })
            }
            ("oauth2", ..) => match scheme.pointer("/flows/clientCredentials/tokenUrl").and_then(Value::as_str) {
                Some(token_url) => json!({
                    "id": id, "kind": "oauth2",
                    "fields": {
                        "client_id": { "required": true }, "client_secret": { "secret": true, "required": true },
                        "scope": { "default": "" },
                    },
                    "oauth2": { "grant": "client_credentials", "token_url": token_url, "scopes": ["{{ secret.scope }}"] },
                    "apply": { "header": { "Authorization": "Bearer {{ token.access_token }}" } },
                }),
                // Whoever has a token from elsewhere can use that.
                None => json!({
                    "id": id, "kind": "bearer", "fields": { "token": { "secret": true, "required": true } },
                    "apply": { "header": { "Authorization": "Bearer {{ secret.token }}" } },
                }),
            },
            (kind, ..) => {
                notes.push(format!("security scheme {name} of type {kind} is left out"));
                continue;
            }
        };
        auth.push(way);
    }
    auth
}

#[cfg(test)]
mod tests;
