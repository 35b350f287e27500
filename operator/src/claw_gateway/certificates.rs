//! The gateway's own authority and certificate: how they lie in Secrets, and when new ones are issued. Pure but
//! for the randomness of keys.

use claw_crds::{
    gateway_config::{Redacted, TlsConfig},
    pki,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

/// Certificate of the authority, in both Secrets.
pub const CA_CERTIFICATE: &str = "ca.crt";
/// Key of the authority.
pub const CA_KEY: &str = "ca.key";
/// The authority before this one, while it is still trusted.
pub const PREVIOUS_CA_CERTIFICATE: &str = "previous-ca.crt";
/// The authority, signed by the one before.
pub const BRIDGE_CERTIFICATE: &str = "bridge.crt";
/// Serving certificate.
pub const CERTIFICATE: &str = "tls.crt";
/// Its key.
pub const KEY: &str = "tls.key";

/// The annotation of a ClawGateway that asks for a new authority and certificate, each time that its value changes; and
/// of the authority's Secret, where it tells which wish was fulfilled last.
pub const ROTATE_ANNOTATION: &str = "claw.dev/rotate-certificates";

/// What there is, and which wish for new ones was fulfilled last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Authority and certificate.
    pub store: pki::Store,
    /// The annotation's value when they were issued.
    pub rotated_for: Option<String>,
}

/// What the two Secrets hold. An entry that is missing or no text counts as absent and is issued anew.
pub fn stored(ca: Option<&Secret>, tls: Option<&Secret>) -> Stored {
    let authority = ca.and_then(|secret| {
        Some(pki::Authority {
            certificate_pem: entry(secret, CA_CERTIFICATE)?,
            private_key: Redacted::new(entry(secret, CA_KEY)?),
            previous_certificate_pem: entry(secret, PREVIOUS_CA_CERTIFICATE),
            bridge_pem: entry(secret, BRIDGE_CERTIFICATE),
        })
    });
    let leaf = tls.and_then(|secret| {
        Some(TlsConfig {
            certificate_chain: entry(secret, CERTIFICATE)?,
            private_key: Redacted::new(entry(secret, KEY)?),
        })
    });
    Stored {
        store: pki::Store {
            ca: authority,
            leaf,
        },
        rotated_for: ca.and_then(rotation),
    }
}

/// What the annotation says.
pub fn rotation<K: ResourceExt>(object: &K) -> Option<String> {
    object.annotations().get(ROTATE_ANNOTATION).cloned()
}

fn entry(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}

/// What is to be in force at `now`, when the annotation says `wish`.
pub fn current(
    stored: &Stored,
    wish: Option<String>,
    hosts: &[String],
    now: Timestamp,
) -> Result<ValidatedCertificates, pki::Error> {
    let Stored { store, rotated_for } = stored;
    // Without an authority there is nothing to replace.
    let is_asked_for = store.ca.is_some() && wish.is_some() && wish != *rotated_for;
    let store = if is_asked_for {
        pki::rotate(store, hosts, now)?
    } else {
        pki::issue(store, hosts, now)?
    };
    let bundle = pki::trust_bundle(&store);
    let renew_at = pki::renew_at(&store);
    Ok(ValidatedCertificates {
        authority: store.ca.expect("what was issued has an authority"),
        leaf: store.leaf.expect("what was issued has a certificate"),
        bundle,
        renew_at,
        rotated_for: wish,
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
    /// The wish for new ones that was fulfilled last.
    pub rotated_for: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("in range")
    }

    fn at(stored: &Stored, wish: Option<&str>) -> (Stored, bool) {
        let hosts = ["desk.shop.svc".to_owned()];
        let issued = current(stored, wish.map(str::to_owned), &hosts, now()).expect("issues");
        let next = Stored {
            store: pki::Store {
                ca: Some(issued.authority),
                leaf: Some(issued.leaf),
            },
            rotated_for: issued.rotated_for,
        };
        let is_new = next.store != stored.store;
        (next, is_new)
    }

    #[test]
    fn each_new_wish_gives_new_certificates_once() {
        let (first, _) = at(&Stored::default(), None);
        let (second, is_new) = at(&first, Some("1"));
        assert!(is_new, "a wish");
        let (third, is_new) = at(&second, Some("1"));
        assert!(!is_new, "the same wish");
        let (fourth, is_new) = at(&third, Some("2"));
        assert!(is_new, "another wish");
        let (_, is_new) = at(&fourth, None);
        assert!(!is_new, "a wish that was taken back");
    }
}
