//! A manifest's request with its values put in.

use serde_json::{Value, json};
use url::Url;

use super::binding::{Opened, is_host};
use super::scrub::Secrets;
use super::{Failure, form};
use crate::expression::{Context, Shape, Text, in_words, percent_encoded};
use crate::fetch::{HttpMethod, Request};
use crate::manifest::connector::{Action, Apply, Body, Connector, Encode, Request as Written, Target};
use crate::model::id::random_hex;

/// What a request is made from.
pub(super) struct Making<'a> {
    pub(super) connector: &'a Connector,
    pub(super) action: &'a Action,
    /// `input`, `config` and `step`.
    pub(super) context: &'a Context,
    /// The connector's address, as far as it has one.
    pub(super) base: Option<&'a Url>,
    /// Whether the installation itself named that address.
    pub(super) is_base_fixed: bool,
    pub(super) credential: Option<&'a Opened>,
    pub(super) idempotency_key: &'a str,
}

pub(super) fn unusable(failure: &crate::expression::Failure) -> Failure {
    Failure::refused("invalid_request", failure.to_string())
}

pub(super) fn wrong(message: impl Into<String>) -> Failure {
    Failure::refused("invalid_request", message)
}

/// The connector's address: the installation's, else what the manifest says with the credential's and the input's values.
pub(super) fn base(
    connector: &Connector,
    fixed: Option<&str>,
    context: &Context,
    credential: Option<&Opened>,
) -> Result<Option<Url>, Failure> {
    let address = match (fixed, &connector.http.base_url) {
        (Some(fixed), _) => fixed.to_owned(),
        (None, None) => return Ok(None),
        (None, Some(text)) => {
            let fields = credential.map_or_else(|| json!({}), |credential| credential.fields.clone());
            let context = context.clone().with("secret", &fields);
            let address = text.render(&context, |text| text).map_err(|failure| match text.literal() {
                Some(_) => unusable(&failure),
                None => {
                    wrong("it is not known where to send this: neither the input nor the credential names an address")
                }
            })?;
            address.trim_end_matches('/').to_owned()
        }
    };
    let unknown = "it is not known where to send this: name an address in the input, the config or the credential";
    if address.is_empty() {
        return Err(wrong(unknown));
    }
    Url::parse(&address).map(Some).map_err(|_| wrong(format!("{} has no usable address", connector.name)))
}

impl Making<'_> {
    /// The request with everything but the credential.
    pub(super) fn make(&self) -> Result<Request, Failure> {
        let Written::Http { method, target, headers, query, body } = &self.action.request else {
            return Err(wrong("this action is no request"));
        };
        let method = method.render(self.context, |text| text).map_err(|failure| unusable(&failure))?;
        let method = HttpMethod::from_bytes(method.as_bytes()).map_err(|_| wrong("this is no HTTP method"))?;
        let mut url = self.url(target)?;
        self.check_host(&url)?;
        if let Some(query) = query {
            add_query(&mut url, &self.value(query)?);
        }
        let mut request = Request::new(method, url);
        request.max_response = self.connector.http.max_response;
        for (name, text) in &self.connector.http.headers {
            let value = text.render(self.context, |text| text).map_err(|failure| unusable(&failure))?;
            request.header(name, &value).map_err(|refused| wrong(refused.0))?;
        }
        self.fill(&mut request, body)?;
        if let Some(headers) = headers {
            for (name, value) in form::pairs(&self.value(headers)?, false) {
                request.header(&name, &value).map_err(|refused| wrong(refused.0))?;
            }
        }
        if let Some(header) = &self.connector.http.idempotency
            && request.method != HttpMethod::GET
        {
            request.header(header, self.idempotency_key).map_err(|refused| wrong(refused.0))?;
        }
        Ok(request)
    }

    fn value(&self, shape: &Shape) -> Result<Value, Failure> {
        shape.evaluate(self.context).map_err(|failure| unusable(&failure))
    }

    fn url(&self, target: &Target) -> Result<Url, Failure> {
        match target {
            Target::Url(text) => {
                let address = text.render(self.context, |text| text).map_err(|failure| unusable(&failure))?;
                Url::parse(address.trim()).map_err(|_| wrong("this is no address such as https://example.com/path"))
            }
            Target::Path(text) => {
                let base = self.base.ok_or_else(|| wrong("the connector has no address"))?;
                join(base, &path(text, self.context)?)
            }
        }
    }

    /// Only where the manifest or the installation sends requests, whatever was put into the address.
    fn check_host(&self, url: &Url) -> Result<(), Failure> {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let is_base = self.base.is_some_and(|base| base.origin() == url.origin());
        let allowed = &self.connector.http.allowed_hosts;
        if is_base || allowed.iter().any(|pattern| pattern == "*" || is_host(pattern, &host)) {
            return Ok(());
        }
        Err(Failure::refused("host_not_allowed", format!("connector {} does not send to {host}", self.connector.kind)))
    }

    fn fill(&self, request: &mut Request, body: &Body) -> Result<(), Failure> {
        let (kind, bytes) = match body {
            Body::None => return Ok(()),
            Body::Json(shape) => match self.value(shape)? {
                Value::Null => return Ok(()),
                Value::String(text) => ("text/plain; charset=utf-8".to_owned(), text.into_bytes()),
                value => ("application/json; charset=utf-8".to_owned(), value.to_string().into_bytes()),
            },
            Body::Form(shape) => {
                let nested = self.connector.http.encode == Encode::FormNested;
                let pairs = form::pairs(&self.value(shape)?, nested);
                ("application/x-www-form-urlencoded".to_owned(), form::encode(&pairs).into_bytes())
            }
            Body::Text(text) => {
                let text = text.render(self.context, |text| text).map_err(|failure| unusable(&failure))?;
                ("text/plain; charset=utf-8".to_owned(), text.into_bytes())
            }
            Body::Multipart { name, file, fields } => {
                let fields = fields.as_ref().map(|fields| self.value(fields)).transpose()?.unwrap_or_default();
                multipart(name, &self.value(file)?, &fields)?
            }
        };
        request.header("content-type", &kind).map_err(|refused| wrong(refused.0))?;
        request.body = bytes.into();
        Ok(())
    }

    /// Adds the credential, once it is known that it may go there. What was opened is remembered in `secrets`.
    pub(super) fn sign(
        &self,
        request: &mut Request,
        token: Option<&str>,
        secrets: &mut Secrets,
    ) -> Result<(), Failure> {
        let Some((credential, auth)) = self.credential.and_then(|opened| Some((opened, opened.auth(self.connector)?)))
        else {
            return Ok(());
        };
        let base = self.base.filter(|_| self.is_base_fixed);
        credential.may_go_to(self.connector, base, &request.url)?;
        for field in auth.fields.iter().filter(|field| field.is_secret) {
            if let Some(Value::String(text)) = credential.fields.get(&field.name) {
                secrets.add(text);
            }
        }
        let mut context = Context::new().with("secret", &credential.fields);
        if let Some(token) = token {
            secrets.add(token);
            context.set("token", &json!({ "access_token": token }));
            if let Some(field) = auth.oauth2.as_ref().and_then(|oauth2| oauth2.token_field.as_ref()) {
                let mut fields = credential.fields.clone();
                fields[field] = Value::String(token.to_owned());
                context.set("secret", &fields);
            }
        }
        apply(&auth.apply, &context, request)
    }
}

fn apply(apply: &Apply, context: &Context, request: &mut Request) -> Result<(), Failure> {
    // What a credential lacks is told without what it holds.
    let text = |text: &Text| {
        let lacking =
            |_| Failure::refused("credential_incomplete", "the credential lacks what this connector signs in with");
        text.render(context, |text| text).map_err(lacking)
    };
    for (name, value) in &apply.headers {
        request.header(&text(name)?, &text(value)?).map_err(|refused| wrong(refused.0))?;
    }
    for (name, value) in &apply.query {
        let (name, value) = (text(name)?, text(value)?);
        request.url.query_pairs_mut().append_pair(&name, &value);
    }
    if let Some((username, password)) = &apply.basic {
        use base64::Engine as _;
        let pair = format!("{}:{}", text(username)?, text(password)?);
        let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        request.header("authorization", &value).map_err(|refused| wrong(refused.0))?;
    }
    Ok(())
}

/// A path with each value as one segment: nothing in it leads up or aside.
fn path(text: &Text, context: &Context) -> Result<String, Failure> {
    for expression in text.expressions() {
        let value = expression.evaluate(context).map_err(|failure| unusable(&failure))?;
        let value = in_words(&value);
        if value.is_empty() || value == "." || value == ".." {
            return Err(wrong(format!("the value of {} cannot stand in an address", expression.source())));
        }
    }
    text.render(context, |text| percent_encoded(&text)).map_err(|failure| unusable(&failure))
}

/// A path below an address.
pub(super) fn join(base: &Url, path: &str) -> Result<Url, Failure> {
    let address = format!("{}{path}", base.as_str().trim_end_matches('/'));
    Url::parse(&address).map_err(|_| wrong("the address cannot be put together"))
}

pub(super) fn add_query(url: &mut Url, query: &Value) {
    let pairs = form::pairs(query, false);
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
}

/// One file and fields beside it, as `multipart/form-data`.
fn multipart(name: &str, file: &Value, fields: &Value) -> Result<(String, Vec<u8>), Failure> {
    use base64::Engine as _;
    let text = |key: &str| file.get(key).and_then(Value::as_str);
    let filename = text("filename").ok_or_else(|| wrong("the file has no filename"))?;
    let bytes = match (text("content_base64"), text("content")) {
        (Some(encoded), _) => base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .map_err(|_| wrong("content_base64 of the file is no base64"))?,
        (None, Some(text)) => text.as_bytes().to_vec(),
        (None, None) => return Err(wrong("the file has no content")),
    };
    let boundary = random_hex::<16>().map_err(|_| wrong("no boundary could be made"))?;
    // Quotes and line ends would begin another header.
    let quoted = |text: &str| text.replace('"', "%22").replace(['\r', '\n'], " ");
    let mut body = Vec::new();
    for (field, value) in form::pairs(fields, false) {
        let part =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{value}\r\n", quoted(&field));
        body.extend_from_slice(part.as_bytes());
    }
    let kind = text("content_type").filter(|kind| kind.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: {}\r\n\r\n",
        quoted(name),
        quoted(filename),
        kind.unwrap_or("application/octet-stream"),
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(&bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary={boundary}"), body))
}
