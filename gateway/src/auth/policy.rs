//! Who is let in, and which way to be known is asked in which order.

use std::sync::Arc;

use claw_crds::gateway_config::{AuthConfig, IdentitiesConfig};
use jiff::Timestamp;

use super::api_keys::{ApiKeys, InvalidKey};
use super::client_certificate::{ClientCertificates, InvalidClientAuthorities, PeerCertificate};
use super::credential::{NoCredential, credential};
use super::introspection::Introspector;
use super::jwt::{self, InvalidIssuer, Issuers};
use super::token_fault::TokenFault;
use super::{Caller, Denied, Means, Visit};

/// Who is let in.
#[derive(Debug)]
pub enum AccessPolicy {
    /// Everyone.
    Anonymous,
    /// Holders of something that we know.
    Holders(Holders),
}

/// Everything that makes a caller known.
#[derive(Debug)]
pub struct Holders {
    keys: ApiKeys,
    issuers: Issuers,
    introspector: Option<Arc<Introspector>>,
    certificates: Option<Arc<ClientCertificates>>,
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPolicy {
    /// A key entry.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// An issuer of tokens.
    #[error(transparent)]
    Issuer(#[from] InvalidIssuer),
    /// Authorities of certificates.
    #[error(transparent)]
    Authorities(#[from] InvalidClientAuthorities),
}

/// What a caller shows of itself.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    Credential(&'a str),
    Certificate(&'a PeerCertificate),
}

impl Shown<'_> {
    /// What it is remembered by.
    pub(super) fn digest(self) -> [u8; 32] {
        use sha2::{Digest as _, Sha256};
        match self {
            Self::Credential(text) => Sha256::digest(text.as_bytes()).into(),
            Self::Certificate(certificate) => certificate.digest(),
        }
    }
}

impl AccessPolicy {
    /// Prepare a configured policy.
    pub fn new(config: &AuthConfig, identities: &IdentitiesConfig) -> Result<Self, InvalidPolicy> {
        let AuthConfig::ApiKeys(keys) = config else {
            return Ok(Self::Anonymous);
        };
        let IdentitiesConfig {
            jwt,
            introspection,
            client_certificates,
        } = identities;
        let certificates = client_certificates.as_ref().map(ClientCertificates::new);
        Ok(Self::Holders(Holders {
            keys: ApiKeys::new(keys)?,
            issuers: Issuers::new(jwt)?,
            introspector: introspection
                .as_ref()
                .map(|config| Arc::new(Introspector::new(config))),
            certificates: certificates.transpose()?.map(Arc::new),
        }))
    }

    /// Keep what the policy before has learned.
    pub fn adopt(&mut self, before: &Self) {
        if let (Self::Holders(holders), Self::Holders(before)) = (self, before) {
            holders.adopt(before);
        }
    }

    /// Whether what single callers use has to be remembered.
    pub fn needs_state(&self) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Holders(holders) => holders.keys.need_state(),
        }
    }

    /// Whose certificates are taken in handshakes.
    pub fn certificates(&self) -> Option<&Arc<ClientCertificates>> {
        match self {
            Self::Anonymous => None,
            Self::Holders(holders) => holders.certificates.as_ref(),
        }
    }
}

impl Holders {
    fn adopt(&mut self, before: &Self) {
        self.issuers.adopt(&before.issuers);
        if let (Some(introspector), Some(known)) = (&mut self.introspector, &before.introspector)
            && introspector.config() == known.config()
        {
            *introspector = Arc::clone(known);
        }
        if let (Some(certificates), Some(known)) = (&mut self.certificates, &before.certificates)
            && certificates.config() == known.config()
        {
            *certificates = Arc::clone(known);
        }
    }

    /// Where certificates are required, each caller's has to count now, whatever else the caller shows: its connection
    /// may be older than what is required, and than what was revoked.
    pub(super) fn second_proof(&self, visit: Visit<'_>) -> Result<(), Denied> {
        let required = self.certificates.as_ref();
        let Some(certificates) = required.filter(|accepted| accepted.config().required) else {
            return Ok(());
        };
        let certificate = visit.certificate.ok_or(Denied::NoCertificate)?;
        let holder = certificate
            .caller(certificates)
            .map_err(Denied::Certificate)?;
        holder
            .grant
            .admit(visit.path, visit.address, Timestamp::now())?;
        Ok(())
    }

    /// What counts of what a caller shows: the credential, and the certificate where there is none.
    pub(super) fn shown<'a>(&self, visit: Visit<'a>) -> Result<Shown<'a>, Denied> {
        let certificate = self.certificates.as_ref().and(visit.certificate);
        let takes_credentials =
            !self.keys.is_empty() || !self.issuers.is_empty() || self.introspector.is_some();
        match (credential(visit.headers), certificate) {
            (Ok(text), _) if takes_credentials => Ok(Shown::Credential(text)),
            (Err(NoCredential::Malformed), _) if takes_credentials => Err(Denied::Malformed),
            (_, Some(certificate)) => Ok(Shown::Certificate(certificate)),
            (_, None) if self.certificates.is_some() && !takes_credentials => {
                Err(Denied::NoCertificate)
            }
            (Ok(_), None) => Err(Denied::Unknown),
            (Err(absent), None) => Err(absent.into()),
        }
    }

    /// Who this is: by the API keys, then as a signed token, then by asking about it.
    pub(super) async fn recognise(
        &self,
        shown: Shown<'_>,
        digest: &[u8; 32],
        means: &Means<'_>,
    ) -> Result<Caller, Denied> {
        let text = match (shown, &self.certificates) {
            (Shown::Credential(text), _) => text,
            (Shown::Certificate(certificate), Some(certificates)) => {
                return certificate
                    .caller(certificates)
                    .map_err(Denied::Certificate);
            }
            (Shown::Certificate(_), None) => return Err(Denied::Missing),
        };
        if let Some(caller) = self.keys.holder(digest) {
            return Ok(caller.clone());
        }
        if !self.issuers.is_empty() && jwt::looks_like_one(text) {
            match (self.issuers.caller(text, means).await, &self.introspector) {
                // Not one of theirs; the server that can be asked may know it.
                (Err(Denied::Token(TokenFault::Malformed | TokenFault::Issuer)), Some(_)) => {}
                (outcome, _) => return outcome,
            }
        }
        match &self.introspector {
            // Apart, for it is larger than all else that a request needs.
            Some(introspector) => Box::pin(introspector.caller(text, *digest, means)).await,
            None => Err(Denied::Unknown),
        }
    }
}
