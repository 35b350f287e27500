//! Callers with certificates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::public_value::PublicValue;

/// Callers show a certificate in the TLS handshake with the gateway. Whatever ends TLS in front of the gateway cannot
/// pass it on: no header names a caller.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificates {
    /// The certificates, PEM, of the authorities that sign callers' certificates. Take an authority that signs nothing
    /// else, or say in names who is meant.
    pub ca_certificate: PublicValue,

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
        [&self.ca_certificate].into_iter()
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
