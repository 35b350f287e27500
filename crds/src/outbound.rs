//! Which addresses a gateway may call. Pure: addresses in, a permission or a refusal out; who resolves names, and
//! when, is the gateway's matter.
//!
//! Public addresses may be called. Everything else (the cluster, the node, the machine itself) only where somebody
//! has said so.

mod address;

use std::collections::BTreeSet;
use std::net::IpAddr;

pub use address::AddressKind;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// What may be called besides public addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OutboundConfig {
    /// Address ranges that may be called.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_cidrs: BTreeSet<IpNet>,
    /// Host names, in lower case, that may lead to private addresses.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_hosts: BTreeSet<String>,
}

/// An address that may not be called. `Display` says what to set where it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}{address} is {}, which this gateway may not call: {}",
    host.as_ref().map_or_else(String::new, |host| format!("{host} leads to {address}; ")),
    kind.described(),
    remedy(host.as_deref(), *address, *kind)
)]
pub struct Refusal {
    /// The name that led there; absent for an address that stood in the URL.
    pub host: Option<String>,
    /// The address.
    pub address: IpAddr,
    /// What it is.
    pub kind: AddressKind,
}

fn remedy(host: Option<&str>, address: IpAddr, kind: AddressKind) -> String {
    let range = IpNet::from(address);
    let flag = "(--allow-outbound on one machine)";
    match host {
        Some(host) if may_be_behind(host, kind) => format!(
            "if it should, add {host} to spec.outbound.allowedHosts or {range} to spec.outbound.allowedCIDRs {flag}"
        ),
        _ => format!("if it should, add {range} to spec.outbound.allowedCIDRs {flag}"),
    }
}

/// What a host that somebody allowed by name may lead to.
fn may_be_behind(host: &str, kind: AddressKind) -> bool {
    match kind {
        AddressKind::Public | AddressKind::Private | AddressKind::Shared => true,
        // A name somewhere in the DNS must not lead back into the pod.
        AddressKind::Loopback => host == "localhost" || host.ends_with(".localhost"),
        _ => false,
    }
}

impl OutboundConfig {
    /// Everything but metadata services may be called: for addresses that the person at the keyboard gives.
    pub fn unrestricted() -> Self {
        let everywhere = [
            IpNet::new_assert(IpAddr::from([0; 4]), 0),
            IpNet::new_assert(IpAddr::from([0_u16; 8]), 0),
        ];
        Self {
            allowed_cidrs: everywhere.into(),
            allowed_hosts: BTreeSet::new(),
        }
    }

    /// Whether nothing is allowed besides public addresses.
    pub fn is_default(&self) -> bool {
        self.allowed_cidrs.is_empty() && self.allowed_hosts.is_empty()
    }

    /// Add what another one allows.
    pub fn extend(&mut self, other: &Self) {
        self.allowed_cidrs.extend(&other.allowed_cidrs);
        self.allowed_hosts
            .extend(other.allowed_hosts.iter().cloned());
    }

    /// Whether this address may be called. `host` is the name that led to it, if one did.
    pub fn check(&self, host: Option<&str>, address: IpAddr) -> Result<(), Refusal> {
        let kind = AddressKind::of(address);
        let host = host.map(normal_host);
        let is_allowed = match kind {
            AddressKind::Public => true,
            // Whoever opens a wide range does not mean the credentials of the node.
            AddressKind::Metadata => [address, address::embedded(address)]
                .iter()
                .any(|address| self.allowed_cidrs.contains(&IpNet::from(*address))),
            kind => {
                [address, address::embedded(address)].iter().any(|address| {
                    self.allowed_cidrs
                        .iter()
                        .any(|range| range.contains(address))
                }) || host.as_ref().is_some_and(|host| {
                    self.allowed_hosts.contains(host) && may_be_behind(host, kind)
                })
            }
        };
        if is_allowed {
            return Ok(());
        }
        Err(Refusal {
            host,
            address: address::embedded(address),
            kind,
        })
    }

    /// Whether a URL may be called as far as it can be told without asking the DNS: names pass, since only what
    /// they lead to counts.
    pub fn check_url(&self, url: &Url) -> Result<(), Refusal> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(None, address.into()),
            Some(Host::Ipv6(address)) => self.check(None, address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }
}

/// Names are equal whatever their case, and with or without the dot of the root.
pub fn normal_host(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn allowing(cidrs: &[&str], hosts: &[&str]) -> OutboundConfig {
        OutboundConfig {
            allowed_cidrs: cidrs.iter().map(|cidr| cidr.parse().expect(cidr)).collect(),
            allowed_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        }
    }

    #[rstest]
    #[case::public(&[], &[], None, "1.1.1.1", true)]
    #[case::private(&[], &[], None, "10.1.2.3", false)]
    #[case::in_a_range(&["10.0.0.0/8"], &[], None, "10.1.2.3", true)]
    #[case::beside_a_range(&["10.0.0.0/16"], &[], None, "10.1.2.3", false)]
    #[case::mapped(&["10.0.0.0/8"], &[], None, "::ffff:10.1.2.3", true)]
    #[case::by_name(&[], &["vllm"], Some("vllm"), "10.1.2.3", true)]
    #[case::by_name_with_dot(&[], &["vllm.shop.svc"], Some("VLLM.shop.svc."), "10.1.2.3", true)]
    #[case::by_another_name(&[], &["vllm"], Some("evil.example"), "10.1.2.3", false)]
    #[case::carrier_grade_nat(&[], &["vllm"], Some("vllm"), "100.64.0.9", true)]
    #[case::a_name_into_the_pod(&[], &["vllm"], Some("vllm"), "127.0.0.1", false)]
    #[case::localhost(&[], &["localhost"], Some("localhost"), "::1", true)]
    #[case::a_name_to_the_node(&[], &["vllm"], Some("vllm"), "169.254.1.1", false)]
    #[case::metadata_by_name(&[], &["vllm"], Some("vllm"), "169.254.169.254", false)]
    #[case::metadata_by_range(&["0.0.0.0/0", "169.254.0.0/16"], &[], None, "169.254.169.254", false)]
    #[case::metadata_exactly(&["169.254.169.254/32"], &[], None, "169.254.169.254", true)]
    #[case::metadata_v6_by_range(&["::/0", "fd00::/8"], &[], None, "fd00:ec2::254", false)]
    #[case::metadata_v6_exactly(&["fd00:ec2::254/128"], &[], None, "fd00:ec2::254", true)]
    #[case::metadata_mapped(&["::/0"], &[], None, "::ffff:169.254.169.254", false)]
    #[case::metadata_by_nat64(&["::/0"], &[], None, "64:ff9b::a9fe:a9fe", false)]
    fn what_is_allowed(
        #[case] cidrs: &[&str],
        #[case] hosts: &[&str],
        #[case] host: Option<&str>,
        #[case] address: &str,
        #[case] expected: bool,
    ) {
        let address = address.parse().expect(address);
        let outcome = allowing(cidrs, hosts).check(host, address);
        assert_eq!(outcome.is_ok(), expected, "{outcome:?}");
    }

    #[rstest]
    #[case("http://10.0.0.1/", false)]
    #[case("http://0x7f.1/", false)]
    #[case("http://2130706433/", false)]
    #[case("http://0177.0.0.1/", false)]
    #[case("http://[::1]:8080/", false)]
    #[case("http://[::ffff:7f00:1]/", false)]
    #[case("http://8.8.8.8/", true)]
    #[case("http://vllm/", true)]
    fn addresses_are_seen_in_whatever_form_urls_write_them(
        #[case] url: &str,
        #[case] expected: bool,
    ) {
        let parsed = Url::parse(url).expect(url);
        let outcome = OutboundConfig::default().check_url(&parsed);
        assert_eq!(outcome.is_ok(), expected, "{url}");
    }

    #[test]
    fn a_refusal_names_what_to_set() {
        let nothing = OutboundConfig::default();
        let address = IpAddr::from([10, 0, 0, 7]);
        let told = nothing.check(Some("vllm"), address).expect_err("private");
        assert_eq!(
            told.to_string(),
            "vllm leads to 10.0.0.7; 10.0.0.7 is a private address, which this gateway may not call: if it should, \
             add vllm to spec.outbound.allowedHosts or 10.0.0.7/32 to spec.outbound.allowedCIDRs \
             (--allow-outbound on one machine)"
        );
        let metadata = IpAddr::from([169, 254, 169, 254]);
        let told = nothing.check(Some("vllm"), metadata).expect_err("metadata");
        assert!(!told.to_string().contains("allowedHosts"), "{told}");
    }

    #[test]
    fn unrestricted_still_spares_metadata_services() {
        let policy = OutboundConfig::unrestricted();
        for address in ["127.0.0.1", "::1", "10.0.0.1", "fd12::1"] {
            let address = address.parse().expect(address);
            assert_eq!(policy.check(None, address), Ok(()));
        }
        let metadata = IpAddr::from([169, 254, 169, 254]);
        assert!(policy.check(None, metadata).is_err());
    }
}
