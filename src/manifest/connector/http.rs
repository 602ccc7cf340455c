//! What all requests of a connector have in common.

use std::time::Duration;

use super::read::Sheet;
use super::{Backoff, Encode, Http, Limit, LimitRate, Retry};

pub(super) fn read(sheet: &mut Sheet<'_>) -> Http {
    let base_url = sheet.template("/http/base_url");
    if let Some(literal) = base_url.as_ref().and_then(|text| text.literal())
        && !url::Url::parse(literal).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    {
        sheet.error("/http/base_url", "this is no address such as https://api.example.com/v1");
    }
    if let Some(text) = &base_url {
        named_of(sheet, "/http/base_url", text, &["secret", "config", "input"]);
    }
    let headers = sheet.templates("/http/headers");
    for (name, text) in &headers {
        let at = format!("/http/headers/{}", name.replace('~', "~0").replace('/', "~1"));
        named_of(sheet, &at, text, &["config", "input", "step"]);
    }
    let allowed_hosts =
        sheet.get("/http/allowed_hosts").and_then(|hosts| hosts.as_array()).cloned().unwrap_or_default();
    let limits = (0..sheet.length("/http/rate_limit")).filter_map(|at| limit(sheet, &format!("/http/rate_limit/{at}")));
    let limits = limits.collect();
    Http {
        base_url,
        allowed_hosts: allowed_hosts.iter().filter_map(|host| host.as_str()).map(str::to_ascii_lowercase).collect(),
        headers,
        timeout: sheet.duration("/http/timeout"),
        max_response: sheet.get("/http/max_response").and_then(size),
        encode: match sheet.text("/http/encode") {
            Some("form") => Encode::Form,
            Some("form_nested") => Encode::FormNested,
            _ => Encode::Json,
        },
        success: sheet.expression("/http/success"),
        error_code: sheet.expression("/http/error/code"),
        error_message: sheet.expression("/http/error/message"),
        retryable: sheet.expression("/http/error/retryable"),
        limits,
        retry: retry(sheet),
        idempotency: sheet.text("/http/idempotency/header").map(str::to_owned),
        session: sheet.duration("/http/session/keep"),
    }
}

/// Secrets stand in `auth.apply` and, for where the credential itself leads, in `base_url`; nowhere else.
pub(super) fn named_of(sheet: &mut Sheet<'_>, at: &str, text: &crate::expression::Text, roots: &[&str]) {
    for name in text.expressions().flat_map(|expression| expression.names()) {
        let root = name.split('.').next().unwrap_or_default();
        if !roots.contains(&root) {
            sheet.error(at, format!("\"{name}\" cannot be named here: only {}", roots.join(", ")));
        }
    }
}

fn limit(sheet: &mut Sheet<'_>, at: &str) -> Option<Limit> {
    let scope = sheet.template(&format!("{at}/scope"))?;
    let number = |sheet: &Sheet<'_>, key: &str| sheet.get(&format!("{at}/{key}")).and_then(serde_json::Value::as_u64);
    let fixed = number(sheet, "limit").zip(sheet.duration(&format!("{at}/per")));
    let told = sheet.text(&format!("{at}/dynamic/remaining")).zip(sheet.text(&format!("{at}/dynamic/reset_after")));
    let rate = match (fixed, told) {
        (Some((limit, per)), None) if !per.is_zero() => {
            LimitRate::Fixed { limit: u32::try_from(limit).unwrap_or(u32::MAX), per }
        }
        (None, Some((remaining, reset_after))) => {
            LimitRate::Told { remaining: remaining.to_owned(), reset_after: reset_after.to_owned() }
        }
        _ => {
            sheet.error(at, "a limit has \"limit\" and \"per\", or \"dynamic\"");
            return None;
        }
    };
    Some(Limit { scope, rate })
}

fn retry(sheet: &Sheet<'_>) -> Retry {
    let usual = Retry::default();
    if sheet.get("/http/retry").is_none() {
        return usual;
    }
    let attempts = sheet.get("/http/retry/max_attempts").and_then(serde_json::Value::as_u64);
    let time = |key: &str, usual: Duration| sheet.duration(&format!("/http/retry/{key}")).unwrap_or(usual);
    Retry {
        max_attempts: attempts.and_then(|number| u32::try_from(number).ok()).unwrap_or(3),
        backoff: match sheet.text("/http/retry/backoff") {
            Some("none") => Backoff::None,
            Some("constant") => Backoff::Constant,
            _ => Backoff::Exponential,
        },
        initial: time("initial", usual.initial),
        max: time("max", usual.max),
        is_jittered: sheet.text("/http/retry/jitter") != Some("none"),
        respects_retry_after: sheet.flag("/http/retry/respect_retry_after").unwrap_or(true),
    }
}

/// Bytes: a number, or a text such as `10MB`.
fn size(value: &serde_json::Value) -> Option<usize> {
    if let Some(number) = value.as_u64() {
        return usize::try_from(number).ok();
    }
    let text = value.as_str()?;
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: usize = text[..at].parse().ok()?;
    let unit = match text[at..].trim() {
        "B" => 1,
        "KB" => 1000,
        "MB" => 1_000_000,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(unit)
}
