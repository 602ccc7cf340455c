//! Requests to the directory: bounded in time and size, never redirected, never in the clear.

use std::time::Duration;

use openidconnect::http::header::{ACCEPT, AUTHORIZATION};
use openidconnect::{HttpRequest, HttpResponse, http};
use serde::de::DeserializeOwned;

use crate::config;

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// Why the directory could not be asked. It never holds what was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Network(#[from] reqwest::Error),
    #[error("{0}")]
    Request(#[from] http::Error),
    #[error("the directory answered {0}")]
    Status(u16),
    #[error("the directory's answer is larger than {MAX_ANSWER} bytes")]
    TooLarge,
    #[error("the directory's answer cannot be used: {0}")]
    Unusable(String),
}

/// Speaks HTTP with the directory.
#[derive(Clone)]
pub(super) struct Exchange {
    client: reqwest::Client,
}

impl Exchange {
    /// For a directory with this issuer; one on this machine is asked without a proxy.
    pub(super) fn new(issuer: &str) -> Result<Self, reqwest::Error> {
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(LIMIT);
        let builder = if issuer.starts_with("http://") { builder.no_proxy() } else { builder };
        Ok(Self { client: builder.build()? })
    }

    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let address = request.uri().to_string();
        if !config::is_confidential(&address) {
            return Err(Failure::Unusable("it names an address without https".to_owned()));
        }
        let bare = reqwest::Error::without_url;
        let mut answer = self.client.execute(request.try_into().map_err(bare)?).await.map_err(bare)?;
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(bare)? {
            if bytes.len() + piece.len() > MAX_ANSWER {
                return Err(Failure::TooLarge);
            }
            bytes.extend_from_slice(&piece);
        }
        let mut response = http::Response::builder().status(answer.status()).body(bytes)?;
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }

    /// Asks for a JSON document, with an access token where one is needed.
    pub(super) async fn get<T: DeserializeOwned>(&self, address: &str, token: Option<&str>) -> Result<T, Failure> {
        let request = http::Request::get(address).header(ACCEPT, "application/json");
        let request = match token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        let answer = self.send(request.body(Vec::new())?).await?;
        if !answer.status().is_success() {
            return Err(Failure::Status(answer.status().as_u16()));
        }
        // The place of a fault is told, not the text: it may be somebody's claims.
        serde_json::from_slice(answer.body())
            .map_err(|error| Failure::Unusable(format!("line {}, column {}", error.line(), error.column())))
    }
}
