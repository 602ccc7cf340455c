//! Connectors: outside services as data, `connector/v1`.
//!
//! A file is checked against the [schema](SCHEMA) that is also its documentation, then everything in it that can be wrong is
//! compiled here, once: expressions, patterns, schemas of inputs. What is left for the time of a call cannot be a fault
//! of the manifest's form.

mod action;
mod auth;
mod http;
pub mod import;
mod load;
mod read;

use std::time::Duration;

use serde_json::Value;

use crate::expression::{Expression, Shape, Text};
use crate::model::effect::Effect;
use crate::schema::Schema;

pub use load::{LoadedConnectors, built_in, load_connectors};
pub use read::read_connector;

/// The JSON Schema of a manifest, as it is served.
pub const SCHEMA: &str = include_str!("connector-v1.schema.json");

/// An outside service.
#[derive(Debug)]
pub struct Connector {
    /// What steps name it by, such as `slack`.
    pub kind: String,
    pub name: String,
    pub version: String,
    pub description: String,
    pub homepage: String,
    /// SHA-256 of the file, hex.
    pub hash: String,
    pub transport: Transport,
    pub auth: Vec<Auth>,
    pub http: Http,
    /// What an instance may set.
    pub config: Option<Schema>,
    /// In the order of the file.
    pub actions: Vec<Action>,
    /// As they are written.
    pub triggers: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Http,
    Smtp,
}

/// A way to sign in; its `id` is the type of a credential.
#[derive(Debug)]
pub struct Auth {
    pub id: String,
    pub kind: String,
    pub is_default: bool,
    pub description: String,
    pub fields: Vec<Field>,
    pub apply: Apply,
    pub oauth2: Option<OAuth2>,
    /// The action that shows whether a credential works.
    pub test: Option<String>,
}

/// One part of a credential.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub kind: FieldKind,
    pub is_secret: bool,
    pub is_required: bool,
    pub pattern: Option<regex::Regex>,
    pub default: Option<Value>,
    pub description: String,
    /// Whether it is an address whose host the credential is bound to.
    pub is_host: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    Integer,
    Flag,
}

/// Where a credential goes in a request; the only place that sees secrets.
#[derive(Debug, Default)]
pub struct Apply {
    pub headers: Vec<(Text, Text)>,
    pub query: Vec<(Text, Text)>,
    pub basic: Option<(Text, Text)>,
    /// The path and the fields of a form that is sent first.
    pub login: Option<(String, Vec<(String, Text)>)>,
}

/// How an access token is got.
#[derive(Debug)]
pub struct OAuth2 {
    pub grant: Grant,
    pub authorize_url: Option<Text>,
    pub token_url: Text,
    pub scopes: Vec<Text>,
    pub secret_in_body: bool,
    /// Whether a code is tied to who asked for it (PKCE).
    pub pkce: bool,
    /// The field that the access token stands in for; a credential that holds the field needs no token.
    pub token_field: Option<String>,
    /// Sent with every request for a token.
    pub parameters: Vec<(String, Text)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    ClientCredentials,
    AuthorizationCode,
}

/// What all requests of a connector have in common.
#[derive(Debug, Default)]
pub struct Http {
    pub base_url: Option<Text>,
    pub allowed_hosts: Vec<String>,
    pub headers: Vec<(String, Text)>,
    pub timeout: Option<Duration>,
    pub max_response: Option<usize>,
    pub encode: Encode,
    pub success: Option<Expression>,
    pub error_code: Option<Expression>,
    pub error_message: Option<Expression>,
    pub retryable: Option<Expression>,
    pub limits: Vec<Limit>,
    pub retry: Retry,
    /// The header that takes the idempotency key.
    pub idempotency: Option<String>,
    /// For how long cookies of the service are kept, per credential.
    pub session: Option<Duration>,
}

/// How a form is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encode {
    #[default]
    Json,
    Form,
    /// `a[b][0]=c`.
    FormNested,
}

/// How fast requests may follow each other.
#[derive(Debug)]
pub struct Limit {
    pub scope: Text,
    pub rate: LimitRate,
}

#[derive(Debug)]
pub enum LimitRate {
    Fixed {
        limit: u32,
        per: Duration,
    },
    /// What the service says in headers: how many are left, and for how many seconds they have to do.
    Told {
        remaining: String,
        reset_after: String,
    },
}

/// How often and after how long a call tries again by itself.
#[derive(Clone, Debug)]
pub struct Retry {
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub initial: Duration,
    pub max: Duration,
    pub is_jittered: bool,
    pub respects_retry_after: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    None,
    Constant,
    Exponential,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            backoff: Backoff::Exponential,
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            is_jittered: true,
            respects_retry_after: true,
        }
    }
}

/// Something that can be done.
#[derive(Debug)]
pub struct Action {
    pub name: String,
    pub description: String,
    /// `None`: it follows from the method of each request.
    pub effect: Option<Effect>,
    pub is_hidden: bool,
    pub auth: AuthNeed,
    pub session: Option<Session>,
    pub input: Schema,
    /// Inputs that come from the instance's config when they are not given: the input, and the config's key.
    pub from_config: Vec<(String, String)>,
    /// Inputs with a value of their own.
    pub defaults: Vec<(String, Value)>,
    pub output: Value,
    pub request: Request,
    pub success: Option<Expression>,
    pub result: Option<Shape>,
    /// Codes of failures that are none.
    pub treat_as_success: Vec<String>,
    pub timeout: Option<Duration>,
    pub poll: Option<Poll>,
    pub pagination: Option<Pagination>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthNeed {
    Required,
    Optional,
    None,
}

/// What an action does to the session with the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    Begin,
    End,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are requests, and each is kept as long as its connector")]
pub enum Request {
    Http {
        method: Text,
        target: Target,
        headers: Option<Shape>,
        query: Option<Shape>,
        body: Body,
    },
    /// The connector's own transport.
    Native,
}

#[derive(Debug)]
pub enum Target {
    /// Below `base_url`; every value in it is one segment.
    Path(Text),
    /// Anywhere the connector may go.
    Url(Text),
}

#[derive(Debug)]
pub enum Body {
    None,
    Json(Shape),
    Form(Shape),
    Text(Text),
    /// One file and fields beside it.
    Multipart {
        name: String,
        file: Shape,
        fields: Option<Shape>,
    },
}

/// Asking again until something holds.
#[derive(Debug)]
pub struct Poll {
    pub until: Expression,
    /// When this holds there is nothing to wait for any more.
    pub fail: Option<Expression>,
    pub every: Duration,
}

/// How a list goes on.
#[derive(Debug)]
pub struct Pagination {
    pub kind: PageKind,
    pub items: Expression,
    pub next: Option<Expression>,
    pub parameter: Option<String>,
    pub start: i64,
    pub max_pages: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    Cursor,
    Link,
    Page,
    Offset,
}

impl Connector {
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.name == name)
    }

    pub fn auth(&self, id: &str) -> Option<&Auth> {
        self.auth.iter().find(|auth| auth.id == id)
    }
}

#[cfg(test)]
mod tests;
