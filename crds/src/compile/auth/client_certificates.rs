//! Callers with certificates.

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    claw_gateway::{ClientCertificateMode, ClientCertificates, Tls},
    compile::{
        problem::{ObjectRef, Problem, ProblemReason},
        secrets::Secrets,
    },
    gateway_config::ClientCertificatesConfig,
};

const FIELD: &str = "spec.auth.clientCertificates";

pub(super) fn compile(
    gateway: &ObjectRef,
    certificates: &ClientCertificates,
    tls: &Tls,
    secrets: &Secrets,
) -> Result<ClientCertificatesConfig, Problem> {
    let ClientCertificates {
        ca_certificate,
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
    let authorities = secrets.pem(gateway, &field, &ca_certificate.secret_key_ref)?;
    if let Err(error) = client_roots(&authorities) {
        let field = format!("{field}.secretKeyRef.key");
        let remedy = "store the authority's certificate as PEM text";
        let problem = Problem::invalid(gateway, field, error.to_string(), remedy);
        let problem = problem.with_value(&ca_certificate.secret_key_ref.key);
        return Err(problem.with_reason(ProblemReason::InvalidSecret));
    }
    Ok(ClientCertificatesConfig {
        authorities,
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
