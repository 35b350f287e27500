//! What kind of address an address is.
//!
//! From the special-purpose registries of IANA
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry/>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry/>). For IPv6 the other way round: only 2000::/3 is
//! given out for the internet, so everything else is not public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// A host of the internet.
    Public,
    /// The machine itself.
    Loopback,
    /// A network of somebody's own: a cluster, say.
    Private,
    /// Behind a carrier's NAT; some clusters use it for pods.
    Shared,
    /// The same network segment.
    LinkLocal,
    /// Where a cloud hands out credentials of the node.
    Metadata,
    /// Many hosts at once.
    Multicast,
    /// No address, which systems take for themselves.
    Unspecified,
    /// For books.
    Documentation,
    /// For nobody, or a protocol of its own.
    Reserved,
}

/// Metadata services and what hands out credentials beside them: AWS, Google Cloud, Azure, OpenStack and most others
/// at 169.254.169.254; ECS tasks; EKS pods; Azure's host; Alibaba Cloud; Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS, EKS pods, Google Cloud.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

impl AddressKind {
    /// The kind of an address; one that only wraps an IPv4 address is of that one's kind.
    pub fn of(address: IpAddr) -> Self {
        match embedded(address) {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// For messages: "… is a private address".
    pub const fn described(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Shared => "an address of carrier-grade NAT",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud's metadata service",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "the unspecified address",
            Self::Documentation => "an address for documentation",
            Self::Reserved => "a reserved address",
        }
    }
}

/// The IPv4 address within an IPv6 address that leads to it, or the address itself.
pub(super) fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::from([a, b, c, d])
    };
    match segments {
        // ::1 and :: are addresses of their own; the rest of ::/96 is the old way to write IPv4.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        // IPv4-compatible; IPv4-mapped; IPv4-translated; NAT64.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // 6to4.
        | [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn of_v4(address: Ipv4Addr) -> AddressKind {
    if METADATA_V4.contains(&address) {
        return AddressKind::Metadata;
    }
    match address.octets() {
        [0, 0, 0, 0] => AddressKind::Unspecified,
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressKind::Private,
        [100, 64..=127, ..] => AddressKind::Shared,
        [169, 254, ..] => AddressKind::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressKind::Documentation,
        [224..=239, ..] => AddressKind::Multicast,
        // "This network", protocol assignments, relays of 6to4, benchmarks, future use and broadcast.
        [0 | 240..=255, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => {
            AddressKind::Reserved
        }
        _ => AddressKind::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressKind {
    if METADATA_V6.contains(&address) {
        return AddressKind::Metadata;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressKind::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        // Unique local, and the site-local addresses before them.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => AddressKind::Private,
        [0xfe80..=0xfebf, ..] => AddressKind::LinkLocal,
        [0xff00..=0xffff, ..] => AddressKind::Multicast,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => AddressKind::Documentation,
        // Protocol assignments, Teredo among them.
        [0x2001, 0..=0x1ff, ..] => AddressKind::Reserved,
        [0x2000..=0x3fff, ..] => AddressKind::Public,
        _ => AddressKind::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use AddressKind::{
        Documentation, LinkLocal, Loopback, Metadata, Multicast, Private, Public, Reserved, Shared,
        Unspecified,
    };

    use super::*;

    const TABLE: &[(&str, AddressKind)] = &[
        ("0.0.0.0", Unspecified),
        ("0.0.0.1", Reserved),
        ("0.255.255.255", Reserved),
        ("1.0.0.0", Public),
        ("9.255.255.255", Public),
        ("10.0.0.0", Private),
        ("10.255.255.255", Private),
        ("11.0.0.0", Public),
        ("100.63.255.255", Public),
        ("100.64.0.0", Shared),
        ("100.100.100.200", Metadata),
        ("100.127.255.255", Shared),
        ("100.128.0.0", Public),
        ("126.255.255.255", Public),
        ("127.0.0.0", Loopback),
        ("127.255.255.255", Loopback),
        ("128.0.0.0", Public),
        ("168.63.129.16", Metadata),
        ("169.253.255.255", Public),
        ("169.254.0.0", LinkLocal),
        ("169.254.169.254", Metadata),
        ("169.254.170.2", Metadata),
        ("169.254.170.23", Metadata),
        ("169.254.255.255", LinkLocal),
        ("172.15.255.255", Public),
        ("172.16.0.0", Private),
        ("172.31.255.255", Private),
        ("172.32.0.0", Public),
        ("192.0.0.0", Reserved),
        ("192.0.0.192", Metadata),
        ("192.0.1.0", Public),
        ("192.0.2.1", Documentation),
        ("192.88.99.1", Reserved),
        ("192.167.255.255", Public),
        ("192.168.0.0", Private),
        ("192.169.0.0", Public),
        ("198.17.255.255", Public),
        ("198.18.0.0", Reserved),
        ("198.19.255.255", Reserved),
        ("198.20.0.0", Public),
        ("198.51.100.9", Documentation),
        ("203.0.113.9", Documentation),
        ("223.255.255.255", Public),
        ("224.0.0.0", Multicast),
        ("239.255.255.255", Multicast),
        ("240.0.0.0", Reserved),
        ("255.255.255.255", Reserved),
        ("::", Unspecified),
        ("::1", Loopback),
        ("::7f00:1", Loopback),
        ("::ffff:127.0.0.1", Loopback),
        ("::ffff:10.0.0.1", Private),
        ("::ffff:8.8.8.8", Public),
        ("::ffff:0:10.0.0.1", Private),
        ("64:ff9b::8.8.8.8", Public),
        ("64:ff9b::10.0.0.1", Private),
        ("64:ff9b::169.254.169.254", Metadata),
        ("64:ff9b:1::8.8.8.8", Reserved),
        ("2002:7f00:1::", Loopback),
        ("2002:a9fe:a9fe::", Metadata),
        ("2002:808:808::", Public),
        ("100::1", Reserved),
        ("2001::1", Reserved),
        ("2001:1ff:ffff::", Reserved),
        ("2001:200::1", Public),
        ("2001:db8::1", Documentation),
        ("2606:4700:4700::1111", Public),
        ("3fff:fff::1", Documentation),
        ("3fff:1000::1", Public),
        ("4000::1", Reserved),
        ("fbff::1", Reserved),
        ("fc00::1", Private),
        ("fd00:ec2::254", Metadata),
        ("fd00:ec2::23", Metadata),
        ("fd20:ce::254", Metadata),
        ("fdff::1", Private),
        ("fe80::1", LinkLocal),
        ("febf::1", LinkLocal),
        ("fec0::1", Private),
        ("ff02::1", Multicast),
    ];

    #[test]
    fn every_range_has_its_kind_at_both_ends() {
        for (address, expected) in TABLE {
            let parsed = address.parse().expect(address);
            assert_eq!(AddressKind::of(parsed), *expected, "{address}");
        }
    }
}
