//! The serving certificate: found, parsed, and matched to its key.

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{
    Inputs,
    problem::{ObjectRef, Problem, ProblemReason},
};
use crate::{
    claw_gateway::{IssuerRef, issued_secret},
    gateway_config::{Redacted, TlsConfig},
};

/// What the gateway is to do about TLS.
pub(super) enum Tls {
    Off,
    On(TlsConfig),
}

impl Tls {
    pub(super) fn into_config(self) -> Option<TlsConfig> {
        match self {
            Self::Off => None,
            Self::On(config) => Some(config),
        }
    }
}

pub(super) fn compile(
    gateway: &ObjectRef,
    inputs: &Inputs<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Tls> {
    let tls = &inputs.gateway.spec.tls;
    let outcome = match (
        &tls.self_signed,
        &tls.issuer_ref,
        &tls.secret_ref,
        &tls.disabled,
    ) {
        (None, None, None, Some(_)) => Ok(Tls::Off),
        (Some(_), None, None, None) => self_signed(gateway, inputs.self_signed),
        (None, Some(issuer), None, None) => issued(gateway, inputs, issuer),
        (None, None, Some(secret), None) => {
            let remedy = "create it: kubectl create secret tls NAME --cert FILE --key FILE";
            from_secret(
                gateway,
                inputs,
                ("spec.tls.secretRef.name", &secret.name),
                remedy,
            )
        }
        _ => {
            let message = "it must be clear where the certificate comes from";
            let remedy = "set exactly one of selfSigned, issuerRef, secretRef and disabled";
            Err(fatal(
                gateway,
                "spec.tls",
                None,
                ProblemReason::Invalid,
                (message.to_owned(), remedy),
            ))
        }
    };
    outcome.map_err(|problem| problems.push(problem)).ok()
}

fn self_signed(gateway: &ObjectRef, issued: Option<&TlsConfig>) -> Result<Tls, Problem> {
    issued.cloned().map(Tls::On).ok_or_else(|| {
        let message = "the certificate has not been issued yet".to_owned();
        fatal(
            gateway,
            "spec.tls.selfSigned",
            None,
            ProblemReason::SecretNotFound,
            (message, "wait a moment"),
        )
    })
}

fn issued(gateway: &ObjectRef, inputs: &Inputs<'_>, issuer: &IssuerRef) -> Result<Tls, Problem> {
    let secret = issued_secret(&gateway.name);
    if inputs.secrets.get(&secret).is_none() {
        let message = format!("the issuer has not filled the Secret {secret} yet");
        let remedy = "see what it waits for: kubectl describe certificate,certificaterequest";
        return Err(fatal(
            gateway,
            "spec.tls.issuerRef.name",
            Some(issuer.name.clone()),
            ProblemReason::SecretNotFound,
            (message, remedy),
        ));
    }
    let remedy = "delete the Secret, and it is issued anew";
    from_secret(gateway, inputs, ("spec.tls.issuerRef", &secret), remedy)
}

fn from_secret(
    gateway: &ObjectRef,
    inputs: &Inputs<'_>,
    (field, name): (&str, &str),
    remedy_if_missing: &str,
) -> Result<Tls, Problem> {
    let problem = |reason, message: String, remedy| {
        fatal(
            gateway,
            field,
            Some(name.to_owned()),
            reason,
            (message, remedy),
        )
    };
    let secret = inputs.secrets.get(name).ok_or_else(|| {
        let message = "no Secret of that name in this namespace".to_owned();
        problem(ProblemReason::SecretNotFound, message, remedy_if_missing)
    })?;
    let entry = |key: &str| {
        let bytes = secret.data.get(key).ok_or_else(|| {
            let message = format!("the Secret has no entry {key}");
            problem(
                ProblemReason::SecretNotFound,
                message,
                "store certificate and key as tls.crt and tls.key",
            )
        })?;
        String::from_utf8(bytes.clone()).map_err(|_| {
            let message = format!("the entry {key} is not PEM");
            problem(
                ProblemReason::InvalidSecret,
                message,
                "store certificate and key as PEM text",
            )
        })
    };
    let config = TlsConfig {
        certificate_chain: entry("tls.crt")?,
        private_key: Redacted::new(entry("tls.key")?),
    };
    certified_key(&config).map_err(|error| {
        problem(
            ProblemReason::InvalidSecret,
            error.to_string(),
            "store a certificate and the key that belongs to it",
        )
    })?;
    Ok(Tls::On(config))
}

fn fatal(
    gateway: &ObjectRef,
    field: &str,
    value: Option<String>,
    reason: ProblemReason,
    (message, remedy): (String, &str),
) -> Problem {
    let problem = Problem::invalid(gateway, field, message, remedy).with_reason(reason);
    let problem = problem.fatal();
    Problem { value, ..problem }
}

/// Why certificate and key cannot serve.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No certificate in the PEM text, or a broken one.
    #[error("the certificate chain is not PEM or holds no certificate")]
    Certificate,
    /// No private key in the PEM text, or a broken or unsupported one.
    #[error(
        "the private key is not PEM or of an unsupported kind (RSA, ECDSA P-256/P-384 or Ed25519)"
    )]
    PrivateKey,
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

/// Parse certificate chain and key, and check that they belong together.
pub fn certified_key(config: &TlsConfig) -> Result<CertifiedKey, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(config.certificate_chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| CertificateError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(config.private_key.expose().as_bytes())
        .map_err(|_| CertificateError::PrivateKey)?;
    let key = ring::sign::any_supported_type(&key).map_err(|_| CertificateError::PrivateKey)?;
    if chain.is_empty() {
        return Err(CertificateError::Certificate);
    }
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // `Unknown`: this kind of key cannot be compared; the handshake will tell.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::Mismatch),
        Err(_) => Err(CertificateError::Certificate),
    }
}
