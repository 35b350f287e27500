//! Callers with certificates.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::public_value::PublicValue;

/// Callers show a certificate in the TLS handshake with the gateway. Whatever ends TLS in front of the gateway cannot
/// pass it on: no header names a caller.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.revocationLists) || !has(self.outdatedRevocationLists)")
    .message("outdatedRevocationLists says what revocationLists count for: set those, too"))]
pub struct ClientCertificates {
    /// The certificates, PEM, of the authorities that sign callers' certificates. Take an authority that signs nothing
    /// else, or say in names who is meant.
    pub ca_certificate: PublicValue,

    /// The lists, PEM (X509 CRL), of certificates that the authorities have revoked. With any, each certificate needs
    /// the list of its issuer, and so do those between it and the authority: what no list knows is refused. Of several
    /// lists of one issuer the newest counts. All of them may have 400,000 bytes. Absent means that nothing is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub revocation_lists: Option<Vec<PublicValue>>,

    /// What a list counts for once its next update is overdue: Refuse when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdated_revocation_lists: Option<OutdatedRevocationLists>,

    /// Whether there are connections without a certificate.
    #[serde(default)]
    pub mode: ClientCertificateMode,

    /// The names that are admitted; `*` at the end of one stands for anything. Absent means every certificate of the
    /// authorities. A certificate's name is its first URI, DNS name or e-mail address (subjectAltName), in this order,
    /// else its common name; callers are known as `cert:<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 1024)))]
    pub names: Option<Vec<String>>,
}

impl ClientCertificates {
    /// Where its parts are.
    pub fn sources(&self) -> impl Iterator<Item = &PublicValue> {
        let lists = self.revocation_lists.iter().flatten();
        [&self.ca_certificate].into_iter().chain(lists)
    }
}

/// Whether there are connections without a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientCertificateMode {
    /// There are: their callers need another credential.
    #[default]
    Optional,
    /// There are none, webhooks of chat platforms included.
    Required,
}

/// What a revocation list counts for once its next update is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OutdatedRevocationLists {
    /// Nothing: the certificates of its issuer are refused until there is a newer one.
    Refuse,
    /// As much as before: what was revoked since is admitted.
    Accept,
}
