//! What a service answered, and what that means.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Failure;
use crate::expression::{Context, Expression, in_words};
use crate::fetch::{self, Response};
use crate::manifest::connector::{Action, Connector};

/// The longest part of an answer that is told when it is no JSON.
const EXCERPT: usize = 300;

/// The answer as expressions see it: `status`, `headers` with small names, `body`.
pub(super) fn as_json(response: &Response) -> Value {
    let mut headers = Map::new();
    for (name, value) in &response.headers {
        // Cookies are kept by the session, or not at all.
        if name != fetch::headers::SET_COOKIE {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers.insert(name.as_str().to_owned(), Value::String(value));
        }
    }
    json!({ "status": response.status, "headers": headers, "body": body(response) })
}

fn body(response: &Response) -> Value {
    if response.body.is_empty() {
        return Value::Null;
    }
    let kind =
        response.headers.get(fetch::headers::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.to_ascii_lowercase().contains("json");
    if (is_json || kind.is_empty())
        && let Ok(value) = serde_json::from_slice(&response.body)
    {
        return value;
    }
    match std::str::from_utf8(&response.body) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => {
            use base64::Engine as _;
            json!({ "base64": base64::engine::general_purpose::STANDARD.encode(&response.body) })
        }
    }
}

/// Judges an answer: `None` when it is what was wanted.
pub(super) fn judge(connector: &Connector, action: &Action, context: &Context, response: &Response) -> Option<Failure> {
    let rule = action.success.as_ref().or(connector.http.success.as_ref());
    let is_good = match rule {
        Some(rule) => rule.holds(context).unwrap_or(false),
        None => (200..300).contains(&response.status),
    };
    if is_good {
        return None;
    }
    let http = &connector.http;
    let told = |expression: &Option<Expression>| {
        let value = expression.as_ref()?.evaluate_if_there(context).ok().flatten()?;
        Some(in_words(&value)).filter(|text| !text.is_empty())
    };
    let code = told(&http.error_code).unwrap_or_else(|| format!("http_{}", response.status));
    if action.treat_as_success.contains(&code) {
        return None;
    }
    let retryable = http.retryable.as_ref().and_then(|rule| rule.holds(context).ok());
    let retryable = retryable.unwrap_or(false) || matches!(response.status, 408 | 425 | 429 | 500 | 502 | 503 | 504);
    let said = told(&http.error_message).or_else(|| excerpt(response));
    let answered = match said {
        Some(said) => format!("{} answered {}: {said}", connector.name, response.status),
        None if code.starts_with("http_") => format!("{} answered {}", connector.name, response.status),
        None => format!("{} answered {code}", connector.name),
    };
    // A proxy that gave up says nothing about whom it asked.
    let uncertain = matches!(response.status, 408 | 502 | 504);
    Some(Failure { code, message: answered, retryable, retry_after: retry_after(response), uncertain })
}

fn excerpt(response: &Response) -> Option<String> {
    let value: Value = serde_json::from_slice(&response.body).ok()?;
    let candidates = ["/error/message", "/error_description", "/message", "/detail", "/error"];
    let found = candidates.iter().find_map(|pointer| value.pointer(pointer).and_then(Value::as_str))?;
    Some(found.chars().take(EXCERPT).collect())
}

/// `Retry-After` in seconds; one that is a date is left out, since clocks differ.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers.get(fetch::headers::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse::<f64>().ok().filter(|seconds| (0.0..86_400.0).contains(seconds)).map(Duration::from_secs_f64)
}

/// Why nothing came back, as a call's failure.
pub(super) fn unanswered(failure: &fetch::Failure) -> Failure {
    let (code, retryable) = match failure {
        fetch::Failure::Refused(_) => ("address_refused", false),
        fetch::Failure::Unreachable { .. } => ("unreachable", true),
        fetch::Failure::TimedOut { .. } => ("timeout", true),
        fetch::Failure::Broken { .. } => ("connection_broken", true),
        fetch::Failure::TooLarge { .. } => ("answer_too_large", false),
    };
    Failure {
        code: code.to_owned(),
        message: failure.to_string(),
        retryable,
        retry_after: None,
        uncertain: failure.may_have_arrived(),
    }
}
