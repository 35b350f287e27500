//! Callers with certificates.

use std::sync::Arc;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::revocation_lists;
use crate::{
    claw_gateway::{ClientCertificateMode, ClientCertificates, OutdatedRevocationLists, Tls},
    compile::{
        Found,
        problem::{ObjectRef, Problem},
        public_values::Pem,
    },
    gateway_config::ClientCertificatesConfig,
};

const FIELD: &str = "spec.auth.clientCertificates";

pub(super) fn compile(
    gateway: &ObjectRef,
    certificates: &ClientCertificates,
    tls: &Tls,
    found: Found<'_>,
) -> Result<ClientCertificatesConfig, Problem> {
    let ClientCertificates {
        ca_certificate,
        revocation_lists,
        outdated_revocation_lists,
        mode,
        names,
    } = certificates;
    if tls.disabled.is_some() {
        let message = "they are shown in the TLS handshake, and this gateway speaks plain HTTP";
        return Err(Problem::invalid(
            gateway,
            FIELD,
            message,
            "leave out spec.tls.disabled",
        ));
    }
    let field = format!("{FIELD}.caCertificate");
    let authorities = Pem::read(gateway, &field, ca_certificate, found)?;
    let roots = client_roots(&authorities.text).map_err(|error| {
        let remedy = "store the authority's certificate as PEM text";
        authorities.invalid(gateway, error.to_string(), remedy)
    })?;
    let lists = revocation_lists.as_deref().unwrap_or_default();
    let revocation_lists = revocation_lists::compile(gateway, lists, &Arc::new(roots), found)
        // Without them, revoked certificates would be admitted; what was served before knows them.
        .map_err(Problem::fatal)?;
    Ok(ClientCertificatesConfig {
        authorities: authorities.text,
        revocation_lists,
        outdated_lists_count: *outdated_revocation_lists == Some(OutdatedRevocationLists::Accept),
        required: *mode == ClientCertificateMode::Required,
        names: names.as_ref().map(|names| names.iter().cloned().collect()),
    })
}

/// Authorities that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the authorities' certificates are not PEM, or there is none")]
pub struct InvalidAuthorities;

/// The authorities of a PEM text, ready to hold certificates against.
pub fn client_roots(pem: &str) -> Result<RootCertStore, InvalidAuthorities> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| InvalidAuthorities)?;
        roots.add(certificate).map_err(|_| InvalidAuthorities)?;
    }
    if roots.is_empty() {
        return Err(InvalidAuthorities);
    }
    Ok(roots)
}
