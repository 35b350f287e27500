//! TLS as a client, with authorities and a certificate of the user's choice.

use std::sync::Arc;

use claw_crds::compile::{CertificateError, certified_key};
use claw_crds::gateway_config::ClientTlsConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::ring;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// Of the authorities.
    #[error("the authorities to trust are not usable")]
    Authorities(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Of the certificate to show.
    #[error("the certificate to show is not usable")]
    Certificate(#[from] CertificateError),
    /// Of the system's authorities, or of the versions of the protocol.
    #[error("TLS is not usable")]
    Tls(#[from] rustls::Error),
    /// Of HTTP.
    #[error("the HTTP client is not usable")]
    Client(#[from] reqwest::Error),
}

/// TLS that trusts and shows what is said, and otherwise trusts whom the system trusts.
pub fn client_tls(config: &ClientTlsConfig) -> Result<ClientConfig, ClientTlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match &config.authorities {
        None => Arc::new(rustls_platform_verifier::Verifier::new(Arc::clone(
            &provider,
        ))?),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
                let certificate =
                    certificate.map_err(|error| ClientTlsError::Authorities(error.into()))?;
                roots
                    .add(certificate)
                    .map_err(|error| ClientTlsError::Authorities(error.into()))?;
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| ClientTlsError::Authorities(error.into()))?
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match &config.certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let key = SingleCertAndKey::from(certified_key(certificate)?);
            let resolver: Arc<dyn ResolvesClientCert> = Arc::new(key);
            builder.with_client_cert_resolver(resolver)
        }
    })
}
