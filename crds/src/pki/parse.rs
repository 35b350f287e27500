//! Reading certificates back: life, hosts, issuer. A certificate that cannot be read gives `None`, which its
//! caller treats as one to replace.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use jiff::Timestamp;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    pem::{Pem, parse_x509_pem},
};

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    begins: Timestamp,
    ends: Timestamp,
}

impl Validity {
    /// From when.
    pub(super) fn begins(self) -> Timestamp {
        self.begins
    }

    /// When two thirds of the life are over.
    pub(super) fn two_thirds(self) -> Timestamp {
        self.begins + (self.ends.duration_since(self.begins) * 2) / 3
    }

    /// Valid now, and not yet to be renewed.
    pub(super) fn is_young(self, now: Timestamp) -> bool {
        self.begins <= now && now < self.two_thirds()
    }
}

/// When the first certificate of a PEM text ends.
pub fn not_after(pem: &str) -> Option<Timestamp> {
    validity(pem).map(|validity| validity.ends)
}

pub(super) fn validity(pem: &str) -> Option<Validity> {
    with_first(pem, |certificate| {
        let validity = certificate.validity();
        let begins = Timestamp::from_second(validity.not_before.timestamp()).ok()?;
        let ends = Timestamp::from_second(validity.not_after.timestamp()).ok()?;
        Some(Validity { begins, ends })
    })
}

pub(super) fn lives(pem: &str, now: Timestamp) -> bool {
    not_after(pem).is_some_and(|end| now < end)
}

/// The DNS names and IP addresses of the first certificate.
pub(super) fn hosts(pem: &str) -> Option<BTreeSet<String>> {
    with_first(pem, |certificate| {
        let names = certificate.subject_alternative_name().ok().flatten();
        names.map_or_else(
            || Some(BTreeSet::new()),
            |names| names.value.general_names.iter().map(host).collect(),
        )
    })
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|octets| Ipv4Addr::from(octets).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|octets| Ipv6Addr::from(octets).to_string()),
        },
        _ => None,
    }
}

/// Whether the authority's key names itself the leaf's issuer: by key identifier, since names may repeat.
pub(super) fn is_signed_by(leaf: &str, authority: &str) -> bool {
    let issuer = with_first(leaf, |certificate| {
        certificate
            .iter_extensions()
            .find_map(|extension| match extension.parsed_extension() {
                x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
                    id.key_identifier.as_ref().map(|id| id.0.to_vec())
                }
                _ => None,
            })
    });
    let own = with_first(authority, |certificate| {
        certificate
            .iter_extensions()
            .find_map(|extension| match extension.parsed_extension() {
                x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => {
                    Some(id.0.to_vec())
                }
                _ => None,
            })
    });
    issuer.is_some() && issuer == own
}

fn with_first<T>(pem: &str, read: impl FnOnce(&X509Certificate<'_>) -> Option<T>) -> Option<T> {
    let (_, pem): (_, Pem) = parse_x509_pem(pem.as_bytes()).ok()?;
    read(&pem.parse_x509().ok()?)
}
