//! A serving certificate, checked against its key.

use std::sync::Arc;

use claw_crds::gateway_config::TlsConfig;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate ready to serve.
#[derive(Debug)]
pub struct Certificate {
    /// Chain and signing key.
    pub key: Arc<CertifiedKey>,
    /// End of validity, in seconds since 1970.
    pub not_after: i64,
}

/// A certificate that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not PEM.
    #[error("failed to read the certificate chain (tls.crt): it must be PEM, leaf first")]
    Chain(#[source] rustls_pki_types::pem::Error),
    /// PEM without a certificate.
    #[error("the certificate chain (tls.crt) holds no certificate")]
    Empty,
    /// Not PEM, or not a key.
    #[error("failed to read the private key (tls.key): it must be an unencrypted PEM key")]
    Key(#[source] rustls_pki_types::pem::Error),
    /// A key that does not belong to the leaf, or of an unsupported kind.
    #[error(
        "the private key (tls.key) cannot be used with the certificate (tls.crt): give the key of its leaf"
    )]
    Mismatch(#[source] rustls::Error),
    /// Not X.509.
    #[error("the first certificate of the chain (tls.crt) is not X.509")]
    Leaf(#[source] x509_parser::nom::Err<x509_parser::error::X509Error>),
}

impl Certificate {
    /// Check a configured certificate.
    pub fn new(config: &TlsConfig) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(config.certificate_chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(CertificateError::Chain)?;
        let leaf = chain.first().ok_or(CertificateError::Empty)?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(leaf).map_err(CertificateError::Leaf)?;
        let not_after = parsed.validity().not_after.timestamp();
        let key = PrivateKeyDer::from_pem_slice(config.private_key.expose().as_bytes())
            .map_err(CertificateError::Key)?;
        let key = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
            .map_err(CertificateError::Mismatch)?;
        Ok(Self {
            key: Arc::new(key),
            not_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use claw_crds::gateway_config::Redacted;

    use super::*;
    use crate::config::fixture;

    #[test]
    fn a_pair_that_belongs_together_is_accepted() {
        let certificate = Certificate::new(&fixture::tls("red.test")).expect("a good pair");
        assert!(certificate.not_after > 0);
    }

    #[test]
    fn the_key_of_another_certificate_is_refused() {
        let mut config = fixture::tls("red.test");
        config.private_key = fixture::tls("green.test").private_key;
        assert!(matches!(
            Certificate::new(&config),
            Err(CertificateError::Mismatch(_))
        ));
    }

    #[test]
    fn text_that_is_no_certificate_or_key_is_refused_without_repeating_it() {
        let mut config = fixture::tls("red.test");
        config.private_key = Redacted::new("hunter2");
        let error = Certificate::new(&config).expect_err("no key");
        assert!(matches!(error, CertificateError::Key(_)));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        config.certificate_chain = "nothing".into();
        assert!(matches!(
            Certificate::new(&config),
            Err(CertificateError::Empty)
        ));
    }
}
