//! Callers with certificates, shown in the TLS handshake.
//!
//! A connection outlives configurations: its certificate is held anew against every change of what is accepted.

mod revocation;

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use claw_crds::compile::{InvalidAuthorities, client_roots};
use claw_crds::gateway_config::{ClientCertificatesConfig, GrantConfig};
use jiff::Timestamp;
use revocation::{InvalidList, RevocationLists};
use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::{Caller, Grant};

/// A longer name is none.
const LONGEST_NAME: usize = 256;

/// Authorities, or lists of theirs, that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidClientAuthorities {
    /// They are no certificates.
    #[error("identities.clientCertificates.authorities: give PEM certificates")]
    Certificates(#[from] InvalidAuthorities),
    /// A list of what they have revoked cannot be used.
    #[error(transparent)]
    RevocationList(#[from] InvalidList),
    /// They cannot be held against anything.
    #[error("identities.clientCertificates.authorities: they cannot be used")]
    Verifier(#[from] VerifierBuilderError),
}

/// Why a certificate admits nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// None of the authorities has signed it, or not for a client, or not for now.
    NotTrusted,
    /// Its authority, or one above, has revoked it.
    Revoked,
    /// There is no list that could say whether it was revoked, or only one that is outdated.
    RevocationUnknown,
    /// It names nobody.
    Nameless,
    /// This name is not among those that are admitted.
    Name(Arc<str>),
}

impl From<rustls::Error> for CertificateFault {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Revoked) => Self::Revoked,
            rustls::Error::InvalidCertRevocationList(_)
            | rustls::Error::InvalidCertificate(
                CertificateError::UnknownRevocationStatus
                | CertificateError::ExpiredRevocationList
                | CertificateError::ExpiredRevocationListContext { .. },
            ) => Self::RevocationUnknown,
            _ => Self::NotTrusted,
        }
    }
}

/// Whose certificates are taken.
#[derive(Debug)]
pub struct ClientCertificates {
    config: ClientCertificatesConfig,
    verifier: Arc<dyn ClientCertVerifier>,
    /// When lists become outdated, where that counts.
    list_ends: Vec<Timestamp>,
}

impl ClientCertificates {
    pub(super) fn new(config: &ClientCertificatesConfig) -> Result<Self, InvalidClientAuthorities> {
        let roots = Arc::new(client_roots(&config.authorities)?);
        let RevocationLists { lists, ends } =
            RevocationLists::read(&config.revocation_lists, &roots)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // Every certificate of a chain needs a list of its issuer: what no list knows is refused.
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider).with_crls(lists);
        let (builder, list_ends) = if config.outdated_lists_count {
            (builder, Vec::new())
        } else {
            (builder.enforce_revocation_expiration(), ends)
        };
        tell_outdated(&list_ends);
        let builder = if config.required {
            builder
        } else {
            builder.allow_unauthenticated()
        };
        Ok(Self {
            config: config.clone(),
            verifier: builder.build()?,
            list_ends,
        })
    }

    pub(super) fn config(&self) -> &ClientCertificatesConfig {
        &self.config
    }

    /// What handshakes are held against.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Whether a list became outdated between these times.
    fn has_lost_a_list(&self, since: Timestamp, now: Timestamp) -> bool {
        let mut ends = self.list_ends.iter();
        ends.any(|end| since < *end && *end <= now)
    }

    fn caller(&self, chain: &[CertificateDer<'static>]) -> Result<Caller, CertificateFault> {
        let (leaf, others) = chain.split_first().ok_or(CertificateFault::NotTrusted)?;
        self.verifier
            .verify_client_cert(leaf, others, UnixTime::now())
            .map_err(CertificateFault::from)?;
        let (_, parsed) =
            X509Certificate::from_der(leaf).map_err(|_| CertificateFault::NotTrusted)?;
        let name = name(&parsed).ok_or(CertificateFault::Nameless)?;
        if let Some(names) = &self.config.names
            && !names.iter().any(|admitted| matches(admitted, name))
        {
            return Err(CertificateFault::Name(name.into()));
        }
        let ends = parsed.validity().not_after.timestamp();
        let grant = GrantConfig {
            expires: Timestamp::from_second(ends).ok(),
            ..GrantConfig::default()
        };
        Ok(Caller {
            name: format!("cert:{name}").into(),
            grant: Arc::new(Grant::new(grant)),
        })
    }
}

fn tell_outdated(list_ends: &[Timestamp]) {
    let now = Timestamp::now();
    for end in list_ends.iter().filter(|end| **end <= now) {
        tracing::warn!(
            "a revocation list for client certificates was to be renewed by {end}: certificates of its issuer are refused"
        );
    }
}

fn matches(admitted: &str, name: &str) -> bool {
    admitted
        .strip_suffix('*')
        .map_or(admitted == name, |start| name.starts_with(start))
}

/// The first URI, DNS name or e-mail address, else the common name.
fn name<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = || {
        let names = alternatives.iter();
        names.flat_map(|extension| &extension.value.general_names)
    };
    let uri = names().find_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let dns = || {
        names().find_map(|name| match name {
            GeneralName::DNSName(dns) => Some(*dns),
            _ => None,
        })
    };
    let email = || {
        names().find_map(|name| match name {
            GeneralName::RFC822Name(email) => Some(*email),
            _ => None,
        })
    };
    let common = || {
        certificate
            .subject()
            .iter_common_name()
            .next()?
            .as_str()
            .ok()
    };
    uri.or_else(dns)
        .or_else(email)
        .or_else(common)
        .filter(|name| {
            (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
        })
}

/// The certificate that a client has shown on its connection.
#[derive(Debug)]
pub struct PeerCertificate {
    chain: Vec<CertificateDer<'static>>,
    digest: [u8; 32],
    /// Who it is, by what was accepted when it was looked at last.
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    by: Arc<ClientCertificates>,
    at: Timestamp,
    outcome: Result<Caller, CertificateFault>,
}

impl PeerCertificate {
    /// The certificate, and those between it and its authority.
    pub fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let leaf = chain.first()?;
        Some(Self {
            digest: Sha256::digest(leaf).into(),
            chain: chain.iter().map(|part| part.clone().into_owned()).collect(),
            known: Mutex::default(),
        })
    }

    /// The one of a request's connection.
    pub fn of(request: &Request) -> Option<&Arc<Self>> {
        request.extensions().get()
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Who this is, by what is accepted now. That its life is not over, its grant says.
    pub(super) fn caller(
        &self,
        accepted: &Arc<ClientCertificates>,
    ) -> Result<Caller, CertificateFault> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        if let Some(Known { by, at, outcome }) = &*known
            && Arc::ptr_eq(by, accepted)
            && !accepted.has_lost_a_list(*at, now)
        {
            return outcome.clone();
        }
        let outcome = accepted.caller(&self.chain);
        *known = Some(Known {
            by: Arc::clone(accepted),
            at: now,
            outcome: outcome.clone(),
        });
        outcome
    }
}

#[cfg(test)]
pub(super) mod tests;
