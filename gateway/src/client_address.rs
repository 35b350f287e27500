//! Where a request comes from. Pure.
//!
//! The peer of the connection, unless that is a proxy which the configuration trusts: then what it says in
//! `X-Forwarded-For`, from the right, up to the first address that is no such proxy. Whatever stands to the left of it,
//! the client may have written, and nobody believes it. Without trusted proxies the header is nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of the client, as an extension of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The address that the request was found to come from, or that of its connection.
    pub fn of(request: &Request) -> Option<IpAddr> {
        let extensions = request.extensions();
        extensions
            .get::<Self>()
            .map(|Self(address)| *address)
            .or_else(|| {
                let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
                Some(peer.ip().to_canonical())
            })
    }

    /// The address of a client whose connection comes from `peer`.
    pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &BTreeSet<IpNet>) -> Self {
        let is_trusted =
            |address: &IpAddr| trusted_proxies.iter().any(|range| range.contains(address));
        let mut client = peer.to_canonical();
        let hops = headers.get_all(FORWARDED_FOR).into_iter().rev();
        let hops = hops.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            if !is_trusted(&client) {
                break;
            }
            // A proxy that we trust has said something that is no address: nothing left of it can be believed.
            let Some(address) = std::str::from_utf8(hop).ok().and_then(parse) else {
                break;
            };
            client = address;
        }
        Self(client)
    }
}

/// An address, as some proxies write it with its port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().ok().or_else(|| {
        let bracketed = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        bracketed.and_then(|text| text.parse().ok())
    });
    address
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::no_proxy("198.51.100.9", &["1.1.1.1"], "198.51.100.9")]
    #[case::one_proxy("10.0.0.1", &["198.51.100.9"], "198.51.100.9")]
    #[case::forged_before_it("10.0.0.1", &["127.0.0.1, 10.9.9.9, 198.51.100.9"], "198.51.100.9")]
    #[case::two_proxies("10.0.0.1", &["198.51.100.9, 10.0.0.2"], "198.51.100.9")]
    #[case::in_two_headers("10.0.0.1", &["198.51.100.9", "10.0.0.2"], "198.51.100.9")]
    #[case::forged_in_another_header("10.0.0.1", &["1.1.1.1", "198.51.100.9"], "198.51.100.9")]
    #[case::only_proxies("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3")]
    #[case::said_nothing("10.0.0.1", &[], "10.0.0.1")]
    #[case::said_nonsense("10.0.0.1", &["198.51.100.9, unknown"], "10.0.0.1")]
    #[case::nonsense_in_between("10.0.0.1", &["1.1.1.1, , 10.0.0.2"], "10.0.0.2")]
    #[case::with_ports("10.0.0.1", &["198.51.100.9:4711"], "198.51.100.9")]
    #[case::with_brackets("10.0.0.1", &["[2001:db8::9]:4711"], "2001:db8::9")]
    #[case::mapped("::ffff:10.0.0.1", &["::ffff:198.51.100.9"], "198.51.100.9")]
    fn the_rightmost_that_is_no_proxy(
        #[case] peer: &str,
        #[case] headers: &[&str],
        #[case] expected: &str,
    ) {
        let trusted = BTreeSet::from(["10.0.0.0/8".parse().expect("a range")]);
        let headers: HeaderMap = headers
            .iter()
            .map(|value| {
                let name = http::HeaderName::from_static(FORWARDED_FOR);
                (name, value.parse().expect("a value"))
            })
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            });
        let peer = peer.parse().expect("an address");
        let found = ClientAddress::resolve(peer, &headers, &trusted);
        assert_eq!(found, ClientAddress(expected.parse().expect("an address")));
    }
}
