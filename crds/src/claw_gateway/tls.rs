//! The serving certificate.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::SecretRef;

/// The serving certificate: exactly one of selfSigned, issuerRef, secretRef and disabled. TLS is always version 1.3.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.selfSigned), has(self.issuerRef), has(self.secretRef), has(self.disabled)].filter(x, x).size() == 1")
    .message("set exactly one of selfSigned, issuerRef, secretRef and disabled"))]
pub struct Tls {
    /// A certificate from the gateway's own CA, renewed by itself. Clients trust `ca.crt` of the Secret
    /// `<gateway>-tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_signed: Option<SelfSignedTls>,

    /// A certificate from an issuer of cert-manager, kept in the Secret `<gateway>-issued-tls`. It is asked for while the
    /// cluster has the kind Certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,

    /// A Secret of type kubernetes.io/tls that you (or cert-manager) keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// Plain HTTP, for gateways behind something that ends TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<DisabledTls>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            self_signed: Some(SelfSignedTls::default()),
            issuer_ref: None,
            secret_ref: None,
            disabled: None,
        }
    }
}

/// A certificate from the gateway's own CA.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SelfSignedTls {
    /// Further host names and IP addresses that the certificate is for, besides the Service's names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    pub hosts: Vec<String>,
}

/// An issuer of cert-manager.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its kind: Issuer, ClusterIssuer, or that of another issuer than cert-manager's own.
    #[serde(default = "issuer_kind")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,

    /// Its API group.
    #[serde(default = "issuer_group")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,

    /// Host names and IP addresses that the certificate is for; the Service's names when absent. Public issuers sign
    /// none but public names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    pub hosts: Vec<String>,
}

fn issuer_kind() -> String {
    "Issuer".to_owned()
}

fn issuer_group() -> String {
    "cert-manager.io".to_owned()
}

/// The Secret that an issuer's certificate for a gateway lies in.
pub fn issued_secret(gateway: &str) -> String {
    format!("{gateway}-issued-tls")
}

/// Plain HTTP.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisabledTls {}
