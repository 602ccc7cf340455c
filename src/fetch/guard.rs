//! Which addresses may be reached at all.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why nothing was sent: one sentence for whoever wrote the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Decides at the moment of connecting, on the address itself: a name may mean something else a moment later.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Arc<[IpNet]>,
}

/// Not the public internet: own and private networks, shared and link-local ones (where clouds keep their metadata),
/// documentation, benchmarks, multicast and what is reserved.
const CLOSED_V4: [([u8; 4], u8); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([168, 63, 129, 16], 32),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Inside the global unicast block 2000::/3, what is not global after all: protocol assignments with Teredo,
/// documentation, 6to4. Everything outside the block (loopback, local, NAT64, multicast) is closed as a whole.
const CLOSED_V6: [([u16; 3], u8); 4] =
    [([0x2001, 0, 0], 23), ([0x2001, 0xdb8, 0], 32), ([0x2002, 0, 0], 16), ([0x3fff, 0, 0], 20)];

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            !CLOSED_V4.iter().any(|(network, length)| {
                let mask = u32::MAX.checked_shl(32 - u32::from(*length)).unwrap_or(0);
                bits & mask == Ipv4Addr::from(*network).to_bits()
            })
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            bits >> 125 == 1
                && !CLOSED_V6.iter().any(|([a, b, c], length)| {
                    let network = Ipv6Addr::new(*a, *b, *c, 0, 0, 0, 0, 0).to_bits();
                    bits >> (128 - u32::from(*length)) == network >> (128 - u32::from(*length))
                })
        }
    }
}

impl Guard {
    /// The public internet, and these networks besides.
    pub fn new(allowed: &[IpNet]) -> Self {
        Self { allowed: allowed.into() }
    }

    /// Whether a connection to this address may be opened. An IPv4 address counts the same in any IPv6 dress that
    /// reaches it.
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.allowed.iter().any(|network| network.contains(&address))
    }

    /// Whether it is reached only because the installation allows it.
    pub fn is_private(&self, address: IpAddr) -> bool {
        !is_public(address.to_canonical())
    }

    /// Checks what can be known of an address before anybody is asked for it: http or https, no password in it, no
    /// literal address that may not be reached.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused(format!("{}: addresses are not reached, only http: and https:", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused("an address holds no user name or password; use a credential".to_owned()));
        }
        let literal = match url.host() {
            None => return Err(Refused("the address names no host".to_owned())),
            Some(Host::Domain(name)) => return self.check_name(name),
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
        };
        if self.admits(literal) { Ok(()) } else { Err(closed(&literal.to_string())) }
    }

    /// Names that always mean this machine are refused without asking.
    fn check_name(&self, name: &str) -> Result<(), Refused> {
        let name = name.trim_end_matches('.');
        let is_here = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
        if is_here && !self.admits(IpAddr::V4(Ipv4Addr::LOCALHOST)) && !self.admits(IpAddr::V6(Ipv6Addr::LOCALHOST)) {
            return Err(closed(name));
        }
        Ok(())
    }

    /// The addresses of a host that may be reached. `Ok(Err)` is a refusal, `Err` a name that could not be resolved.
    pub async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Result<Vec<SocketAddr>, Refused>> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let all: Vec<SocketAddr> = tokio::net::lookup_host((bare, port)).await?.collect();
        let admitted: Vec<SocketAddr> = all.into_iter().filter(|address| self.admits(address.ip())).collect();
        Ok(if admitted.is_empty() { Err(closed(host)) } else { Ok(admitted) })
    }
}

fn closed(host: &str) -> Refused {
    Refused(format!(
        "{host} is not on the public internet; the setting fetch.allow_private names networks that may be reached"
    ))
}

/// The guard as reqwest asks it, for each connection it opens.
pub(super) struct Guarded(pub(super) Guard);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let addresses = guard.resolve(name.as_str(), 0).await??;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_admitted() {
        let guard = Guard::default();
        for (address, admitted) in [
            ("8.8.8.8", true),
            ("1.1.1.1", true),
            ("172.15.255.255", true),
            ("172.32.0.1", true),
            ("100.63.255.255", true),
            ("100.128.0.1", true),
            ("198.20.0.1", true),
            ("223.255.255.255", true),
            ("2606:4700:4700::1111", true),
            ("2a00:1450:4001::1", true),
            ("::ffff:8.8.8.8", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("168.63.129.16", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.170", false),
            ("192.0.2.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.1", false),
            ("203.0.113.1", false),
            ("224.0.0.1", false),
            ("239.255.255.255", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::127.0.0.1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:0:127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::808:808", false),
            ("64:ff9b:1::1", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:10::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::1", false),
            ("3fff::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(guard.admits(address.parse().unwrap()), admitted, "{address}");
        }
        let opened = Guard::new(&["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for (address, admitted) in
            [("127.0.0.1", true), ("::ffff:127.0.0.1", true), ("fd00::1", true), ("10.0.0.1", false), ("::1", false)]
        {
            assert_eq!(opened.admits(address.parse().unwrap()), admitted, "{address}");
        }
    }

    /// Every way of writing an address that some parser reads as this machine.
    #[test]
    fn an_odd_spelling_is_no_way_round() {
        let guard = Guard::default();
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://127.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "http://0/",
            "http://[::1]/",
            "http://[::]/",
            "http://[0:0:0:0:0:0:0:1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[64:ff9b::127.0.0.1]/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://a.localhost/",
            "http://169.254.169.254/latest/meta-data/",
            "http://2852039166/",
            "http://１２７.０.０.１/",
            "http://①②⑦.⓪.⓪.①/",
            "http://127。0。0。1/",
            "http://127.0.0.1.:80/",
            "http://user@8.8.8.8/",
            "http://user:password@example.com/",
            "http://:password@example.com/",
            "http:127.0.0.1",
            "http:\\\\127.0.0.1\\",
            "http://example.com@127.0.0.1/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://example.com/",
            "data:text/plain,x",
            "javascript:alert(1)",
            "unix:/run/docker.sock",
        ] {
            // What the parser itself refuses reaches nothing either.
            let refused = Url::parse(url).map_or(true, |url| guard.check(&url).is_err());
            assert!(refused, "{url}");
        }
        for url in ["http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://exa mple.com/", "http://", "//x", "x"]
        {
            assert!(Url::parse(url).is_err(), "{url}");
        }
        for url in ["https://api.example.com/v1?q=1", "http://8.8.8.8:8080/", "https://[2606:4700:4700::1111]/"] {
            assert_eq!(guard.check(&Url::parse(url).unwrap()), Ok(()), "{url}");
        }
    }
}
