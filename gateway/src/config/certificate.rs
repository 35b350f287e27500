//! A serving certificate, checked against its key.

use std::sync::Arc;

use claw_crds::compile::{self, CertificateError};
use claw_crds::gateway_config::TlsConfig;
use claw_crds::pki;
use rustls::sign::CertifiedKey;

/// A certificate ready to serve.
#[derive(Debug)]
pub struct Certificate {
    /// Chain and signing key.
    pub key: Arc<CertifiedKey>,
    /// End of validity, in seconds since 1970.
    pub not_after: i64,
}

impl Certificate {
    /// Check a configured certificate.
    pub fn new(config: &TlsConfig) -> Result<Self, CertificateError> {
        let key = compile::certified_key(config)?;
        let not_after =
            pki::not_after(&config.certificate_chain).ok_or(CertificateError::Certificate)?;
        Ok(Self {
            key: Arc::new(key),
            not_after: not_after.as_second(),
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
            Err(CertificateError::Mismatch)
        ));
    }

    #[test]
    fn text_that_is_no_certificate_or_key_is_refused_without_repeating_it() {
        let mut config = fixture::tls("red.test");
        config.private_key = Redacted::new("hunter2");
        let error = Certificate::new(&config).expect_err("no key");
        assert!(matches!(error, CertificateError::PrivateKey));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        config.certificate_chain = "nothing".into();
        assert!(Certificate::new(&config).is_err());
    }
}
