//! Calls of Slack's Web API. Answers are read as plain JSON: a member that is missing must not break what does not need
//! it.

use std::time::Duration;

use serde_json::Value;
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::{
    SlackClientHttpApiUri, SlackClientHttpConnector as _, SlackClientHyperConnector, SlackClientHyperHttpsConnector,
};
use slack_morphism::{SlackApiToken, SlackApiTokenValue, SlackClient, SlackClientId, SlackClientSecret};

use crate::model::conversation::Millis;
use crate::model::secret::Secret;

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(8);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Slack refused it, with that code.
    #[error("Slack answered {0}")]
    Refused(String),
    /// Too many calls; after that time, in milliseconds.
    #[error("Slack takes no more calls for a while")]
    Limited(Option<Millis>),
    /// There is no token to call with.
    #[error("{0}")]
    NoToken(String),
    /// It did not arrive.
    #[error("Slack could not be reached: {0}")]
    Unsent(String),
    /// Nobody knows whether it arrived.
    #[error("the answer of Slack got lost: {0}")]
    Lost(String),
}

/// The Web API at one address.
pub(super) struct WebApi {
    client: SlackClient<SlackClientHyperHttpsConnector>,
}

impl WebApi {
    /// `api_url` is what methods are appended to; the settings admit `http` only for this machine.
    pub(super) fn new(api_url: &str) -> anyhow::Result<Self> {
        let builder = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots()?;
        let connector = builder.https_or_http().enable_http1().enable_http2().build();
        let connector = SlackClientHyperConnector::with_connector(connector);
        Ok(Self { client: SlackClient::new(connector.with_slack_api_url(api_url.trim_end_matches('/'))) })
    }

    pub(super) async fn call(&self, token: &Secret, method: &str, body: &Value) -> Result<Value, CallError> {
        let token = SlackApiToken::new(SlackApiTokenValue(token.expose().to_owned()));
        let session = self.client.open_session(&token);
        in_time(session.http_session_api.http_post::<Value, Value>(method, body, None)).await
    }

    /// The same for methods that take their arguments in the address and no JSON.
    pub(super) async fn ask(
        &self,
        token: &Secret,
        method: &str,
        arguments: &[(&str, &str)],
    ) -> Result<Value, CallError> {
        let token = SlackApiToken::new(SlackApiTokenValue(token.expose().to_owned()));
        let session = self.client.open_session(&token);
        let arguments: Vec<(&str, Option<&str>)> =
            arguments.iter().map(|(name, value)| (*name, Some(*value))).collect();
        in_time(session.http_session_api.http_get::<Value, _, _>(method, &arguments, None)).await
    }

    /// Exchanges the code of an installation for what Slack grants.
    pub(super) async fn exchange(
        &self,
        (id, secret): (&str, &Secret),
        code: &str,
        redirect_url: &str,
    ) -> Result<Value, CallError> {
        let connector = &self.client.http_api.connector;
        let arguments = vec![("code", Some(code)), ("redirect_uri", Some(redirect_url))];
        let url = connector
            .create_method_uri_path("oauth.v2.access")
            .and_then(|url| SlackClientHttpApiUri::create_url_with_params(url, &arguments))
            .map_err(read_error)?;
        let (id, secret) = (SlackClientId(id.to_owned()), SlackClientSecret(secret.expose().to_owned()));
        in_time(connector.http_get_with_client_secret::<Value>(url, &id, &secret)).await
    }
}

async fn in_time(call: impl Future<Output = Result<Value, SlackClientError>>) -> Result<Value, CallError> {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(answer) => answer.map_err(read_error),
        Err(_) => Err(CallError::Lost(format!("no answer within {} seconds", LIMIT.as_secs()))),
    }
}

/// Only what says something; bodies of answers may hold secrets and stay out of messages.
fn read_error(error: SlackClientError) -> CallError {
    match error {
        SlackClientError::ApiError(error) => match error.code.as_str() {
            "ratelimited" | "rate_limited" => CallError::Limited(None),
            // Slack's own trouble, in which anything may have happened.
            "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => CallError::Lost(error.code),
            _ => CallError::Refused(error.code),
        },
        SlackClientError::RateLimitError(error) => {
            CallError::Limited(error.retry_after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX)))
        }
        SlackClientError::HttpError(error) if error.status_code.is_server_error() => {
            CallError::Lost(format!("status {}", error.status_code))
        }
        SlackClientError::HttpError(error) => CallError::Refused(format!("status {}", error.status_code)),
        SlackClientError::HttpProtocolError(error) => {
            let is_connect =
                error.cause.as_deref().and_then(|cause| cause.downcast_ref::<hyper_util::client::legacy::Error>());
            match is_connect {
                Some(error) if error.is_connect() => CallError::Unsent("no connection".to_owned()),
                _ => CallError::Lost("the connection broke".to_owned()),
            }
        }
        SlackClientError::ProtocolError(_) => CallError::Lost("the answer cannot be read".to_owned()),
        SlackClientError::EndOfStream(_) => CallError::Lost("the answer was cut short".to_owned()),
        SlackClientError::SystemError(_) | SlackClientError::SocketModeProtocolError(_) => {
            CallError::Lost("the call broke off".to_owned())
        }
    }
}
