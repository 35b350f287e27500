//! Lists of certificates that their authorities have revoked.

use std::sync::Arc;

use rustls::{
    RootCertStore,
    pki_types::{CertificateRevocationListDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::{
    compile::{
        Found,
        problem::{ObjectRef, Problem},
        public_values::Pem,
    },
    public_value::PublicValue,
};

const FIELD: &str = "spec.auth.clientCertificates.revocationLists";
/// Of the bytes of a configuration, what lists may take: some ten thousand revoked certificates.
const LIST_BYTES: usize = 400_000;

/// The text of each.
pub(super) fn compile(
    gateway: &ObjectRef,
    lists: &[PublicValue],
    roots: &Arc<RootCertStore>,
    found: Found<'_>,
) -> Result<Vec<String>, Problem> {
    let mut bytes = 0;
    let mut texts = Vec::new();
    for (index, list) in lists.iter().enumerate() {
        let pem = Pem::read(gateway, &format!("{FIELD}[{index}]"), list, found)?;
        revocation_lists(&pem.text, roots).map_err(|error| {
            let remedy =
                "store the authority's current list as PEM text (openssl crl -outform PEM)";
            pem.invalid(gateway, error.to_string(), remedy)
        })?;
        bytes += pem.text.len();
        if bytes > LIST_BYTES {
            let message =
                format!("up to this one, the lists have {bytes} bytes, and {LIST_BYTES} fit");
            let remedy = "let certificates live shorter, so that fewer have to be on lists";
            return Err(pem.invalid(gateway, message, remedy));
        }
        texts.push(pem.text);
    }
    Ok(texts)
}

/// Lists that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRevocationList {
    /// Not in the form of a list.
    #[error("the revocation lists are not PEM (X509 CRL), or there is none")]
    NotPem,
    /// No list that certificates can be held against.
    #[error("a revocation list is damaged, or of a kind that is not looked at: {0}")]
    Unusable(String),
    /// It does not say how long it counts.
    #[error("a revocation list does not say when the next one is due")]
    Undated,
}

/// The lists of a PEM text, ready to hold certificates of these authorities against.
pub fn revocation_lists(
    pem: &str,
    roots: &Arc<RootCertStore>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, InvalidRevocationList> {
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| InvalidRevocationList::NotPem)?;
    if lists.is_empty() {
        return Err(InvalidRevocationList::NotPem);
    }
    // Nothing else of rustls reads them.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider)
        .with_crls(lists.iter().cloned())
        .build()
        .map_err(|error| InvalidRevocationList::Unusable(error.to_string()))?;
    Ok(lists)
}
