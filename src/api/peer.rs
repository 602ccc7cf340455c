//! Whose address a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use ipnet::IpNet;

/// The address a request comes from: the connection's, or what proxies that are trusted say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer(pub(super) IpAddr);

impl Peer {
    pub(super) fn of(request: &Request, trusted: &[IpNet]) -> Self {
        let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let connection = connection.map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip());
        Self(client(connection, request.headers(), trusted))
    }
}

pub(super) fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Each proxy adds whom it heard; read from the end, the first one that is not trusted is the client. What stands before
/// that, anybody may have written.
fn client(connection: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut address = connection.to_canonical();
    let lists: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for written in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        if !is_in(trusted, address) {
            break;
        }
        let Some(next) = parse(written.trim()) else { break };
        address = next;
    }
    address
}

/// An address, some write it with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap()).to_vec();
        for (connection, lists, expected) in [
            ("192.0.2.1", &["198.51.100.7"] as &[&str], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1", "[2001:db8::1]:80, fd00::1"], "2001:db8::1"),
            ("10.0.0.1", &["198.51.100.7, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ] {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append("x-forwarded-for", list.parse().unwrap());
            }
            let address = client(connection.parse().unwrap(), &headers, &trusted);
            assert_eq!(address.to_string(), expected, "{connection} {lists:?}");
        }
    }
}
