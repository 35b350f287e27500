//! What a URL asks of the network. Pure.

use std::net::IpAddr;

use url::{Host as UrlHost, Url};

/// Where PostgreSQL listens.
const POSTGRES_PORT: u16 = 5432;

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

/// The host of a URL, as far as its name tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An address, be it public or private.
    Address(IpAddr),
    /// A Service in this namespace.
    Service(String),
    /// A host of the internet, or `service.namespace`: a name of two parts may be either. The second part is kept.
    Either(String),
    /// A host of the internet.
    Internet,
}

impl Destination {
    /// Where `url` leads, seen from `namespace`. A URL that cannot be read leads nowhere; the compiler names it.
    pub(super) fn of(url: &str, namespace: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let port = url.port_or_known_default()?;
        let host = match url.host()? {
            UrlHost::Ipv4(address) => Host::Address(address.into()),
            UrlHost::Ipv6(address) => Host::Address(address.into()),
            UrlHost::Domain(name) => named(name, namespace),
        };
        Some(Self { host, port })
    }

    /// Where the URL of a PostgreSQL database leads.
    pub(super) fn of_database(url: &str, namespace: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let host = match url.host()? {
            UrlHost::Ipv4(address) => Host::Address(address.into()),
            UrlHost::Ipv6(address) => Host::Address(address.into()),
            UrlHost::Domain(name) => address_or_name(name, namespace),
        };
        Some(Self {
            host,
            port: url.port().unwrap_or(POSTGRES_PORT),
        })
    }
}

/// Schemes that are not of the web leave addresses as they are written.
fn address_or_name(host: &str, namespace: &str) -> Host {
    host.parse()
        .map_or_else(|_| named(host, namespace), Host::Address)
}

fn named(name: &str, namespace: &str) -> Host {
    let parts: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    match parts.as_slice() {
        [_] => Host::Service(namespace.to_owned()),
        [_, second] => Host::Either((*second).to_owned()),
        [.., namespace, "svc"] | [.., namespace, "svc", "cluster", "local"] => {
            Host::Service((*namespace).to_owned())
        }
        _ => Host::Internet,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn service(namespace: &str) -> Host {
        Host::Service(namespace.to_owned())
    }

    #[rstest]
    #[case::public_name("https://api.example.com/v1", Host::Internet, 443)]
    #[case::other_port("http://api.example.com:8080/v1", Host::Internet, 8080)]
    #[case::address("http://10.1.2.3:11434", Host::Address("10.1.2.3".parse().expect("one")), 11434)]
    #[case::address_six("http://[fd00::7]/v1", Host::Address("fd00::7".parse().expect("one")), 80)]
    #[case::beside("http://ollama:11434/v1", service("shop"), 11434)]
    #[case::service("http://vllm.models.svc/v1", service("models"), 80)]
    #[case::whole("http://vllm.models.svc.cluster.local:8000", service("models"), 8000)]
    #[case::two_parts("https://example.com", Host::Either("com".to_owned()), 443)]
    fn the_host_tells_where_it_is(#[case] url: &str, #[case] host: Host, #[case] port: u16) {
        assert_eq!(
            Destination::of(url, "shop"),
            Some(Destination { host, port })
        );
    }

    #[rstest]
    #[case::beside("postgres://me:pass@db/claw", service("shop"), 5432)]
    #[case::service("postgresql://db.data.svc:6432/claw", service("data"), 6432)]
    #[case::address("postgres://me@10.1.2.3/claw", Host::Address("10.1.2.3".parse().expect("one")), 5432)]
    #[case::address_six("postgres://[fd00::7]/claw", Host::Address("fd00::7".parse().expect("one")), 5432)]
    #[case::public_name("postgres://db.example.com:5433/claw", Host::Internet, 5433)]
    fn a_database_is_a_destination(#[case] url: &str, #[case] host: Host, #[case] port: u16) {
        assert_eq!(
            Destination::of_database(url, "shop"),
            Some(Destination { host, port })
        );
    }

    #[test]
    fn what_is_no_url_leads_nowhere() {
        assert_eq!(Destination::of("nonsense", "shop"), None);
    }
}
