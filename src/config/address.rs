//! Addresses as settings name them: whether what goes there can be read on the way, and where pages come from.

/// Whether nobody on the way can read what goes to this address: https, or this machine itself.
pub fn is_confidential(address: &str) -> bool {
    let Ok(url) = url::Url::parse(address) else { return false };
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

/// The same for the address of a socket: wss, or ws to this machine itself.
pub fn is_confidential_socket(address: &str) -> bool {
    match address.split_once("://") {
        Some(("wss", rest)) => is_confidential(&format!("https://{rest}")),
        Some(("ws", rest)) => is_confidential(&format!("http://{rest}")),
        _ => false,
    }
}

/// The origin of an address as browsers write it: in lower case, without the scheme's own port. `None` for what has none.
pub fn origin(address: &str) -> Option<String> {
    let origin = url::Url::parse(address).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

pub(super) fn validate_origins(section: &str, origins: &[String]) -> anyhow::Result<()> {
    for written in origins {
        let origin = origin(written);
        anyhow::ensure!(
            origin.as_deref() == Some(written),
            "{section}.allowed_origins: {written:?} is no origin; write it as browsers do, such as {:?}",
            origin.as_deref().unwrap_or("https://chat.example.com")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for (address, expected) in [
            ("https://Parlour.Example.com:443/chat/", Some("https://parlour.example.com")),
            ("http://[::1]:7710", Some("http://[::1]:7710")),
            ("file:///tmp", None),
        ] {
            assert_eq!(origin(address).as_deref(), expected);
        }
    }
}
