//! A gateway's own certificate authority: issuing, renewing and trusting, without cert-manager.
//!
//! Pure but for randomness: the caller keeps the [`Store`] (in Secrets or files) and says what time it is. A leaf
//! is renewed at two thirds of its life, when its hosts change, or when it is damaged; the authority likewise, or when
//! asked to. Clients notice nothing: a replaced authority stays in the trust bundle until its last leaf has ended, and
//! signs its successor, whose leaves carry that signature, so that a client that knows only the old one trusts them.

mod parse;

use std::{collections::BTreeSet, net::IpAddr};

use jiff::{SignedDuration, Timestamp};
pub use parse::not_after;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

use crate::{
    compile::certified_key,
    gateway_config::{Redacted, TlsConfig},
};

/// Life of an authority: five years.
const CA_LIFE: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);
/// Life of a leaf: 90 days, as public authorities have it.
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// So many authorities are remembered. Common clients follow no longer chain.
const MOST_REMEMBERED: usize = 5;
/// Clocks differ: certificates begin this much in the past.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// An authority's certificate and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// PEM.
    pub certificate_pem: String,
    /// PEM, PKCS #8.
    pub private_key: Redacted,
    /// The authorities before this one, newest first, while a leaf of them may live.
    pub previous_certificate_pem: Option<String>,
    /// This authority, signed by the one before while that lives, and so on back: sent along with every leaf.
    pub bridge_pem: Option<String>,
}

/// What is kept between calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// The authority, once there is one.
    pub ca: Option<Authority>,
    /// The serving certificate and key, once issued.
    pub leaf: Option<TlsConfig>,
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot carry these names.
    #[error("failed to issue a certificate for {hosts:?}")]
    Hosts {
        /// All of them.
        hosts: Vec<String>,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// The authority itself could not be made.
    #[error("failed to make a certificate authority")]
    Authority(#[source] rcgen::Error),
}

/// Everything that `hosts` need at `now`: the given store where it still serves, renewed parts where not.
///
/// `hosts` are DNS names and IP addresses; a name that no certificate can carry is an [`Error`].
pub fn issue(current: &Store, hosts: &[String], now: Timestamp) -> Result<Store, Error> {
    let ca = match current.ca.as_ref().filter(|ca| ca_serves(ca, now)) {
        Some(ca) => forget_ended(ca, now),
        None => new_authority(current.ca.as_ref(), now).map_err(Error::Authority)?,
    };
    with_leaf(ca, current, hosts, now)
}

/// The same with a new authority and a new leaf, whatever there is.
pub fn rotate(current: &Store, hosts: &[String], now: Timestamp) -> Result<Store, Error> {
    let ca = new_authority(current.ca.as_ref(), now).map_err(Error::Authority)?;
    with_leaf(ca, current, hosts, now)
}

fn with_leaf(
    ca: Authority,
    current: &Store,
    hosts: &[String],
    now: Timestamp,
) -> Result<Store, Error> {
    let leaf = match current
        .leaf
        .as_ref()
        .filter(|leaf| leaf_serves(leaf, &ca, hosts, now))
    {
        Some(leaf) => leaf.clone(),
        None => new_leaf(&ca, hosts, now).map_err(|source| Error::Hosts {
            hosts: hosts.to_vec(),
            source,
        })?,
    };
    Ok(Store {
        ca: Some(ca),
        leaf: Some(leaf),
    })
}

/// What clients are to trust: the authority and, while a leaf of it may live, the one before.
pub fn trust_bundle(store: &Store) -> String {
    let Some(ca) = &store.ca else {
        return String::new();
    };
    [
        Some(&ca.certificate_pem),
        ca.previous_certificate_pem.as_ref(),
    ]
    .into_iter()
    .flatten()
    .cloned()
    .collect()
}

/// When [`issue`] has to be called again, at the latest.
pub fn renew_at(store: &Store) -> Option<Timestamp> {
    let ca = parse::validity(&store.ca.as_ref()?.certificate_pem)?;
    let leaf = parse::validity(&store.leaf.as_ref()?.certificate_chain)?;
    Some(ca.two_thirds().min(leaf.two_thirds()))
}

fn ca_serves(ca: &Authority, now: Timestamp) -> bool {
    let young = parse::validity(&ca.certificate_pem).is_some_and(|validity| validity.is_young(now));
    let pair = TlsConfig {
        certificate_chain: ca.certificate_pem.clone(),
        private_key: ca.private_key.clone(),
    };
    // A key may fit and still be in a form that signs nothing.
    young && certified_key(&pair).is_ok() && issuer(ca).is_ok()
}

fn leaf_serves(leaf: &TlsConfig, ca: &Authority, hosts: &[String], now: Timestamp) -> bool {
    let wanted: BTreeSet<String> = hosts.iter().map(|host| canonical(host)).collect();
    parse::validity(&leaf.certificate_chain).is_some_and(|validity| validity.is_young(now))
        && parse::hosts(&leaf.certificate_chain).is_some_and(|hosts| hosts == wanted)
        && parse::is_signed_by(&leaf.certificate_chain, &ca.certificate_pem)
        && certified_key(leaf).is_ok()
}

/// The one way to write a host: an address has many, and a certificate stores it as a number.
fn canonical(host: &str) -> String {
    host.parse::<IpAddr>()
        .map_or_else(|_| host.to_owned(), |address| address.to_string())
}

fn forget_ended(ca: &Authority, now: Timestamp) -> Authority {
    let began = parse::validity(&ca.certificate_pem).map(parse::Validity::begins);
    let may_have_leaves = began.is_some_and(|began| now < began + LEAF_LIFE);
    let previous = ca.previous_certificate_pem.clone();
    let bridge = ca.bridge_pem.clone();
    Authority {
        previous_certificate_pem: previous.filter(|pem| may_have_leaves && parse::lives(pem, now)),
        bridge_pem: bridge.filter(|pem| parse::lives(pem, now)),
        ..ca.clone()
    }
}

fn new_authority(replaced: Option<&Authority>, now: Timestamp) -> Result<Authority, rcgen::Error> {
    // Names differ, so that nobody takes one authority for the other.
    let name = format!("clawdbot gateway CA {}", now.as_second());
    let mut params = params(&[], &name, now, CA_LIFE)?;
    // It signs its successor, and that the next one.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let replaced = replaced.filter(|ca| parse::lives(&ca.certificate_pem, now));
    Ok(Authority {
        certificate_pem: params.self_signed(&key)?.pem(),
        private_key: Redacted::new(key.serialize_pem()),
        previous_certificate_pem: replaced
            .map(|ca| newest(&ca.certificate_pem, ca.previous_certificate_pem.as_deref())),
        // A damaged one signs nothing more; clients then need the new bundle.
        bridge_pem: replaced.and_then(|ca| {
            let bridge = bridge(ca, &key, params).ok()?;
            Some(newest(&bridge, ca.bridge_pem.as_deref()))
        }),
    })
}

/// A certificate before others, as many as are remembered.
fn newest(first: &str, others: Option<&str>) -> String {
    const END: &str = "-----END CERTIFICATE-----\n";
    [first, others.unwrap_or_default()]
        .concat()
        .split_inclusive(END)
        .take(MOST_REMEMBERED)
        .collect()
}

/// The certificate for `key`, signed by the authority before, and no longer valid than that.
fn bridge(
    before: &Authority,
    key: &KeyPair,
    mut params: CertificateParams,
) -> Result<String, rcgen::Error> {
    let issuer = issuer(before)?;
    params.use_authority_key_identifier_extension = true;
    if let Some(end) = parse::not_after(&before.certificate_pem) {
        params.not_after = date(end);
    }
    Ok(params.signed_by(key, &issuer)?.pem())
}

fn issuer(ca: &Authority) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
    Issuer::from_ca_cert_pem(
        &ca.certificate_pem,
        KeyPair::from_pem(ca.private_key.expose())?,
    )
}

fn new_leaf(ca: &Authority, hosts: &[String], now: Timestamp) -> Result<TlsConfig, rcgen::Error> {
    let issuer = issuer(ca)?;
    let mut params = params(hosts, "clawdbot gateway", now, LEAF_LIFE)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(TlsConfig {
        certificate_chain: certificate.pem() + ca.bridge_pem.as_deref().unwrap_or_default(),
        private_key: Redacted::new(key.serialize_pem()),
    })
}

fn params(
    hosts: &[String],
    name: &str,
    now: Timestamp,
    life: SignedDuration,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(hosts.to_vec())?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.not_before = date(now - BACKDATE);
    params.not_after = date(now + life);
    Ok(params)
}

fn date(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_second())
        .expect("both types span the years 0 to 9999")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use rustls::{
        client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    };

    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn start() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("in range")
    }

    fn hosts() -> Vec<String> {
        vec!["desk.shop.svc".to_owned(), "10.0.0.7".to_owned()]
    }

    fn issued() -> Store {
        issue(&Store::default(), &hosts(), start()).expect("issues")
    }

    fn leaf(store: &Store) -> &str {
        &store.leaf.as_ref().expect("a leaf").certificate_chain
    }

    #[test]
    fn a_new_certificate_carries_the_hosts_and_is_signed_by_the_authority() {
        let store = issued();
        assert_eq!(
            parse::hosts(leaf(&store)).expect("hosts"),
            hosts().into_iter().collect()
        );
        assert!(parse::is_signed_by(
            leaf(&store),
            &store.ca.as_ref().expect("a ca").certificate_pem
        ));
        certified_key(store.leaf.as_ref().expect("a leaf")).expect("key and certificate match");
    }

    #[test]
    fn nothing_changes_before_two_thirds_of_the_life() {
        let store = issued();
        assert_eq!(
            issue(&store, &hosts(), start() + DAY * 59).expect("issues"),
            store
        );
    }

    #[test]
    fn the_leaf_is_renewed_at_two_thirds_and_the_authority_stays() {
        let store = issued();
        let at = renew_at(&store).expect("known");
        let renewed = issue(&store, &hosts(), at).expect("issues");
        assert_eq!(renewed.ca, store.ca);
        assert_ne!(renewed.leaf, store.leaf);
        assert!(renew_at(&renewed).expect("known") > at);
    }

    #[test]
    fn an_address_may_be_written_in_any_way() {
        let hosts = ["2001:DB8::0010".to_owned()];
        let store = issue(&Store::default(), &hosts, start()).expect("issues");
        let again = issue(&store, &hosts, start()).expect("issues");
        assert_eq!(again, store);
    }

    #[test]
    fn a_name_that_no_certificate_carries_is_told_as_such() {
        let error = issue(&Store::default(), &["zürich.example".to_owned()], start());
        assert!(matches!(error, Err(Error::Hosts { .. })), "{error:?}");
    }

    #[test]
    fn an_authority_that_can_sign_nothing_is_replaced() {
        let mut store = issued();
        // A key that fits the certificate, in a form (SEC 1) that cannot be used for signing here.
        let (certificate, key) = (
            include_str!("pki/sec1-ca.crt").to_owned(),
            include_str!("pki/sec1-ca.key"),
        );
        let authority = store.ca.as_mut().expect("a ca");
        authority.certificate_pem = certificate.clone();
        authority.private_key = Redacted::new(key);
        let pair = TlsConfig {
            certificate_chain: certificate.clone(),
            private_key: Redacted::new(key),
        };
        certified_key(&pair).expect("the key fits");
        let mended = issue(&store, &hosts(), start()).expect("issues");
        assert_ne!(mended.ca.expect("a ca").certificate_pem, certificate);
    }

    #[test]
    fn other_hosts_or_damage_give_a_new_leaf() {
        let store = issued();
        let wider = [hosts(), vec!["chat.example.com".to_owned()]].concat();
        assert_ne!(
            issue(&store, &wider, start()).expect("issues").leaf,
            store.leaf
        );
        let mut damaged = store.clone();
        damaged.leaf.as_mut().expect("a leaf").private_key = Redacted::new("not a key");
        let mended = issue(&damaged, &hosts(), start()).expect("issues");
        certified_key(mended.leaf.as_ref().expect("a leaf")).expect("mended");
    }

    #[test]
    fn a_replaced_authority_is_trusted_until_its_last_leaf_has_ended() {
        let store = issued();
        let late = start() + DAY * (365 * 4);
        let renewed = issue(&store, &hosts(), late).expect("issues");
        let old = &store.ca.as_ref().expect("a ca").certificate_pem;
        assert!(trust_bundle(&renewed).contains(old));
        assert!(parse::is_signed_by(
            leaf(&renewed),
            &renewed.ca.as_ref().expect("a ca").certificate_pem
        ));
        let soon = issue(&renewed, &hosts(), late + DAY * 89).expect("issues");
        assert!(trust_bundle(&soon).contains(old));
        let later = issue(&soon, &hosts(), late + DAY * 91).expect("issues");
        assert!(!trust_bundle(&later).contains(old));
    }

    /// Whether a client that trusts `bundle` takes what the store serves.
    fn is_trusted_by(bundle: &str, store: &Store, now: Timestamp) -> bool {
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(root.expect("PEM")).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .expect("a verifier");
        let served = store
            .leaf
            .as_ref()
            .expect("a leaf")
            .certificate_chain
            .as_bytes();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(served)
            .collect::<Result<_, _>>()
            .expect("PEM");
        let host = ServerName::try_from("desk.shop.svc").expect("a name");
        let seconds = u64::try_from(now.as_second()).expect("after 1970");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let checked = verifier.verify_server_cert(&chain[0], &chain[1..], &host, &[], now);
        checked.is_ok()
    }

    #[test]
    fn a_client_of_the_authority_before_trusts_what_follows() {
        let mut all = vec![issued()];
        for round in 1..=10 {
            let now = start() + DAY * round;
            let before = all.last().expect("one");
            let after = rotate(before, &hosts(), now).expect("rotates");
            assert_ne!(before.ca, after.ca);
            assert_ne!(before.leaf, after.leaf);
            for old in all.iter().rev().take(MOST_REMEMBERED) {
                // Old clients and new pods, and new clients and old pods.
                assert!(is_trusted_by(&trust_bundle(old), &after, now), "{round}");
                assert!(is_trusted_by(&trust_bundle(&after), old, now), "{round}");
            }
            let own = &after.ca.as_ref().expect("a ca").certificate_pem;
            assert!(is_trusted_by(own, &after, now));
            // It lasts: later calls keep it.
            assert_eq!(issue(&after, &hosts(), now).expect("issues"), after);
            all.push(after);
        }
        let last = all.last().expect("one");
        let chain = leaf(last).matches("BEGIN CERTIFICATE").count();
        assert_eq!(chain, 1 + MOST_REMEMBERED);
        assert!(!is_trusted_by(&trust_bundle(&issued()), last, start()));
    }

    #[test]
    fn a_renewed_leaf_carries_the_bridge_along() {
        let old = issued();
        let rotated = rotate(&old, &hosts(), start()).expect("rotates");
        let later = start() + DAY * 61;
        let renewed = issue(&rotated, &hosts(), later).expect("issues");
        assert_ne!(renewed.leaf, rotated.leaf);
        assert!(is_trusted_by(&trust_bundle(&old), &renewed, later));
    }

    #[test]
    fn a_host_that_no_certificate_can_carry_is_named() {
        let error = issue(&Store::default(), &["büro".to_owned()], start()).expect_err("not ASCII");
        assert!(error.to_string().contains("büro"), "{error}");
    }
}
