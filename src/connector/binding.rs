//! What a call is bound to: an instance's config, and a credential that was opened for it.

use serde_json::Value;
use url::Url;

use super::Failure;
use crate::manifest::connector::{Auth, Connector};

/// For one call, and gone with it.
#[derive(Default)]
pub(super) struct Binding {
    /// Of the instance; an empty object without one.
    pub(super) config: Value,
    pub(super) credential: Option<Opened>,
}

/// A credential with its secrets in the open.
pub(super) struct Opened {
    pub(super) id: String,
    pub(super) name: String,
    /// Rises with each change, so that what was got with an older one is not used.
    pub(super) version: i64,
    /// Which way to sign in it is.
    pub(super) auth: String,
    /// All fields, secrets among them.
    pub(super) fields: Value,
    /// The only hosts it goes to; empty: those of the connector.
    pub(super) hosts: Vec<String>,
    /// Whether it belongs to whom the call is for.
    pub(super) is_own: bool,
}

impl Drop for Opened {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        if let Value::Object(fields) = &mut self.fields {
            for (_, value) in fields.iter_mut() {
                if let Value::String(text) = value {
                    text.zeroize();
                }
            }
        }
    }
}

impl Opened {
    pub(super) fn auth<'c>(&self, connector: &'c Connector) -> Option<&'c Auth> {
        connector.auth(&self.auth)
    }

    /// Whether the credential may be sent there. A foreign credential never goes to an address that only the caller
    /// named: whoever runs that address would get it.
    pub(super) fn may_go_to(&self, connector: &Connector, base: Option<&Url>, url: &Url) -> Result<(), Failure> {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        if !self.hosts.is_empty() {
            return match self.hosts.iter().any(|bound| is_host(bound, &host)) {
                true => Ok(()),
                false => Err(Failure::refused(
                    "credential_not_for_host",
                    format!("this credential is bound to {} and does not go to {host}", self.hosts.join(", ")),
                )),
            };
        }
        let is_connectors = base
            .is_some_and(|base| base.host_str().is_some_and(|known| known.eq_ignore_ascii_case(&host)))
            || connector.http.allowed_hosts.iter().any(|known| known != "*" && is_host(known, &host));
        if is_connectors || self.is_own {
            return Ok(());
        }
        Err(Failure::refused(
            "credential_not_for_host",
            format!("this credential names no hosts, so only its owner may send it to {host}"),
        ))
    }
}

/// Whether a host is this one, or below `*.` of it.
pub(super) fn is_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_itself_or_below() {
        for (pattern, host, expected) in [
            ("api.example.com", "api.example.com", true),
            ("api.example.com", "evil-api.example.com", false),
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "evilexample.com", false),
        ] {
            assert_eq!(is_host(pattern, host), expected, "{pattern} {host}");
        }
    }
}
