//! The gateway's own authority and certificate: how they lie in Secrets, and when new ones are issued. Pure but
//! for the randomness of keys.

use claw_crds::{
    gateway_config::{Redacted, TlsConfig},
    pki,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

/// Certificate of the authority, in both Secrets.
pub const CA_CERTIFICATE: &str = "ca.crt";
/// Key of the authority.
pub const CA_KEY: &str = "ca.key";
/// The authority before this one, while it is still trusted.
pub const PREVIOUS_CA_CERTIFICATE: &str = "previous-ca.crt";
/// Serving certificate.
pub const CERTIFICATE: &str = "tls.crt";
/// Its key.
pub const KEY: &str = "tls.key";

/// What the two Secrets hold. An entry that is missing or no text counts as absent and is issued anew.
pub fn stored(ca: Option<&Secret>, tls: Option<&Secret>) -> pki::Store {
    let authority = ca.and_then(|secret| {
        Some(pki::Authority {
            certificate_pem: entry(secret, CA_CERTIFICATE)?,
            private_key: Redacted::new(entry(secret, CA_KEY)?),
            previous_certificate_pem: entry(secret, PREVIOUS_CA_CERTIFICATE),
        })
    });
    let leaf = tls.and_then(|secret| {
        Some(TlsConfig {
            certificate_chain: entry(secret, CERTIFICATE)?,
            private_key: Redacted::new(entry(secret, KEY)?),
        })
    });
    pki::Store {
        ca: authority,
        leaf,
    }
}

fn entry(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}

/// What is to be in force at `now`.
pub fn current(
    stored: &pki::Store,
    hosts: &[String],
    now: Timestamp,
) -> Result<ValidatedCertificates, pki::Error> {
    let store = pki::issue(stored, hosts, now)?;
    let bundle = pki::trust_bundle(&store);
    let renew_at = pki::renew_at(&store);
    Ok(ValidatedCertificates {
        authority: store.ca.expect("what was issued has an authority"),
        leaf: store.leaf.expect("what was issued has a certificate"),
        bundle,
        renew_at,
    })
}

/// An authority, a certificate from it, and what clients are to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedCertificates {
    /// The authority.
    pub authority: pki::Authority,
    /// Serving certificate and key.
    pub leaf: TlsConfig,
    /// PEM: the authority, and the one before while it lives.
    pub bundle: String,
    /// When new ones are due.
    pub renew_at: Option<Timestamp>,
}
