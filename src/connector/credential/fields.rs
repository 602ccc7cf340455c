//! What a credential holds, against what its connector asks for.

use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::wrong;
use crate::connector::Connectors;
use crate::manifest::connector::{Auth, Connector, FieldKind, Grant};
use crate::model::{Error, Result};
use crate::store::credential::Credential;
use crate::template::nearest;

/// The longest value, in bytes.
const LONGEST: usize = 16 * 1024;

/// A credential's data, taken apart.
pub(in crate::connector) struct Parts {
    /// Everything, secrets too.
    pub(super) all: Map<String, Value>,
    /// What may be shown.
    pub(super) public: Map<String, Value>,
    pub(super) hosts: Vec<String>,
    /// Whether somebody signs in for it.
    pub(super) needs_sign_in: bool,
}

impl Parts {
    pub(super) fn sealable(&self) -> Result<Zeroizing<Vec<u8>>> {
        let bytes = serde_json::to_vec(&self.all).map_err(|error| Error::internal("write a credential", error))?;
        Ok(Zeroizing::new(bytes))
    }
}

impl Connectors {
    /// Checks a credential's data against its connector.
    pub(super) fn parts(&self, credential: &Credential, data: Value) -> Result<Parts> {
        let known = self.catalogue.all();
        let connector = known.iter().find(|one| one.kind == credential.provider).ok_or_else(|| {
            let kinds: Vec<&str> = known.iter().map(|one| one.kind.as_str()).collect();
            let near = nearest(&credential.provider, kinds.iter().copied());
            let hint = near
                .map_or_else(|| format!("known are {}", kinds.join(", ")), |near| format!("did you mean \"{near}\"?"));
            wrong("provider", format!("there is no connector \"{}\", {hint}", credential.provider))
        })?;
        let Value::Object(mut data) = data else {
            return Err(wrong("data", "\"data\" is a map of the connector's fields"));
        };
        let auth = auth_of(connector, &credential.kind, &mut data)?;
        let mut parts = Parts { all: Map::new(), public: Map::new(), hosts: hosts(credential)?, needs_sign_in: false };
        // `custom` stands for one of several: which one is kept with the rest.
        if connector.auth(&credential.kind).is_none() {
            parts.all.insert("type".to_owned(), Value::String(auth.id.clone()));
        }
        let data_names_client = data.contains_key("client_id");
        for field in &auth.fields {
            let place = format!("data.{}", field.name);
            let value = match data.remove(&field.name) {
                None | Some(Value::Null) if is_signed_in_for(auth, &field.name) && data_names_client => continue,
                None | Some(Value::Null) if field.is_required => {
                    return Err(wrong(&place, format!("{} needs \"{}\"", connector.name, field.name)));
                }
                None | Some(Value::Null) => continue,
                Some(value) => typed(&place, value, field.kind)?,
            };
            if let Value::String(text) = &value {
                if text.is_empty() && field.is_required {
                    return Err(wrong(&place, format!("\"{}\" is empty", field.name)));
                }
                if text.is_empty() {
                    continue;
                }
                if text.len() > LONGEST {
                    return Err(wrong(&place, format!("\"{}\" is longer than {LONGEST} bytes", field.name)));
                }
                if field.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(text)) {
                    return Err(wrong(&place, format!("\"{}\" does not look like one: {}", field.name, looks(field))));
                }
                if field.is_host {
                    parts.hosts.push(host_of(&place, text)?);
                }
            }
            if !field.is_secret {
                parts.public.insert(field.name.clone(), value.clone());
            }
            parts.all.insert(field.name.clone(), value);
        }
        if let Some((unknown, _)) = data.iter().next() {
            let near = nearest(unknown, auth.fields.iter().map(|field| field.name.as_str()));
            let hint = near.map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
            return Err(wrong(
                &format!("data.{unknown}"),
                format!("{} knows no field \"{unknown}\"{hint}", connector.name),
            ));
        }
        parts.hosts.dedup();
        parts.needs_sign_in = auth.oauth2.as_ref().is_some_and(|oauth2| {
            let holds = |field: &String| parts.all.contains_key(field);
            oauth2.grant == Grant::AuthorizationCode && !oauth2.token_field.as_ref().is_some_and(holds)
        });
        Ok(parts)
    }
}

/// Whether signing in gives a field, so that it may be left out.
fn is_signed_in_for(auth: &Auth, field: &str) -> bool {
    auth.oauth2.as_ref().and_then(|oauth2| oauth2.token_field.as_deref()) == Some(field)
}

fn looks(field: &crate::manifest::connector::Field) -> String {
    match (&field.pattern, field.description.as_str()) {
        (_, description) if !description.is_empty() => description.to_owned(),
        (Some(pattern), _) => pattern.as_str().to_owned(),
        (None, _) => String::new(),
    }
}

/// The way to sign in that a type names. `custom` is any that the data itself names in `type`, or that it fits.
fn auth_of<'c>(connector: &'c Connector, kind: &str, data: &mut Map<String, Value>) -> Result<&'c Auth> {
    if let Some(auth) = connector.auth(kind) {
        return Ok(auth);
    }
    let kinds: Vec<&str> = connector.auth.iter().map(|auth| auth.id.as_str()).collect();
    if kind == "custom" {
        if let Some(named) = data.remove("type") {
            let named = named.as_str().unwrap_or_default();
            let found = connector.auth(named);
            return found.ok_or_else(|| wrong("data.type", format!("this is one of {}", kinds.join(", "))));
        }
        let fits = |auth: &&Auth| {
            let required = auth.fields.iter().filter(|field| field.is_required);
            required.clone().all(|field| data.contains_key(&field.name))
                && data.keys().all(|key| auth.fields.iter().any(|field| field.name == *key))
        };
        let fitting: Vec<&Auth> = connector.auth.iter().filter(fits).collect();
        if let [one] = fitting.as_slice() {
            return Ok(one);
        }
        return Err(wrong("data.type", format!("name the way to sign in: {}", kinds.join(", "))));
    }
    if kinds.is_empty() {
        return Err(wrong("provider", format!("{} takes no credential", connector.name)));
    }
    Err(wrong("type", format!("a credential for {} has type {}", connector.name, kinds.join(" or "))))
}

/// The name under which the way to sign in is kept: what `custom` stands for is found again.
pub(super) fn auth_named<'c>(connector: &'c Connector, kind: &str, data: &Value) -> Option<&'c Auth> {
    connector.auth(kind).or_else(|| {
        let mut data = data.as_object().cloned().unwrap_or_default();
        auth_of(connector, kind, &mut data).ok()
    })
}

fn typed(place: &str, value: Value, kind: FieldKind) -> Result<Value> {
    match (kind, value) {
        (FieldKind::Text, value @ Value::String(_)) => Ok(value),
        (FieldKind::Text, Value::Number(number)) => Ok(Value::String(number.to_string())),
        (FieldKind::Text, _) => Err(wrong(place, "this is a text")),
        (FieldKind::Integer, value) => {
            let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
            number.map(Value::from).ok_or_else(|| wrong(place, "this is a whole number"))
        }
        (FieldKind::Flag, Value::Bool(flag)) => Ok(Value::Bool(flag)),
        (FieldKind::Flag, Value::String(text)) if text == "true" || text == "false" => Ok(Value::Bool(text == "true")),
        (FieldKind::Flag, _) => Err(wrong(place, "this is true or false")),
    }
}

fn host_of(place: &str, address: &str) -> Result<String> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    let host = url.as_ref().and_then(Url::host_str).map(str::to_ascii_lowercase);
    host.ok_or_else(|| wrong(place, "this is no address such as https://gateway.example.com:8043"))
}

/// The hosts that the metadata names.
fn hosts(credential: &Credential) -> Result<Vec<String>> {
    let metadata: Value = serde_json::from_str(&credential.metadata).unwrap_or_default();
    let Some(named) = metadata.get("hosts") else { return Ok(Vec::new()) };
    let is_host = |text: &str| {
        let bare = text.strip_prefix("*.").unwrap_or(text);
        let is_odd = bare.contains(['/', ',', '@', ' ', '*']) || (bare.contains(':') && !bare.starts_with('['));
        !bare.is_empty() && !is_odd && url::Host::parse(bare).is_ok()
    };
    let texts = named.as_array().map(|hosts| hosts.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    match texts.flatten() {
        Some(hosts) if hosts.iter().all(|host| is_host(host)) => {
            Ok(hosts.into_iter().map(str::to_ascii_lowercase).collect())
        }
        _ => Err(wrong("metadata.hosts", "hosts are a list of names such as api.example.com or *.example.com")),
    }
}
