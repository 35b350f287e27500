//! Where audit records are sent besides the log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Redacted, TlsConfig};

/// A receiver of audit records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuditSinkConfig {
    /// Unique; the name of its cursor.
    pub name: String,
    /// Requests are refused while it is more records behind; absent means that nobody waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_behind: Option<u32>,
    /// Where it is, and what it speaks.
    pub target: AuditTargetConfig,
}

/// What a receiver speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum AuditTargetConfig {
    /// JSON lines by POST.
    Http(AuditHttpConfig),
    /// Logs of OpenTelemetry by POST, to the whole URL.
    Otlp(AuditHttpConfig),
    /// Syslog over TLS.
    Syslog {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// Whom to trust, and what to show.
        #[serde(default, skip_serializing_if = "ClientTlsConfig::is_default")]
        tls: ClientTlsConfig,
    },
}

/// A receiver over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuditHttpConfig {
    /// The whole URL.
    pub url: String,
    /// Sent with each request, names in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Redacted>,
    /// Whom to trust, and what to show.
    #[serde(default, skip_serializing_if = "ClientTlsConfig::is_default")]
    pub tls: ClientTlsConfig,
}

/// A bucket for closed segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuditArchiveConfig {
    /// Its name.
    pub bucket: String,
    /// Before the names of objects; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// For signatures.
    pub region: String,
    /// URL of the storage.
    pub endpoint: String,
    /// Whether the bucket is the first part of paths, rather than of the host.
    pub path_style: bool,
    /// Who puts.
    pub access_key_id: Redacted,
    /// The key that goes with it.
    pub secret_access_key: Redacted,
    /// Whom to trust, and what to show.
    #[serde(default, skip_serializing_if = "ClientTlsConfig::is_default")]
    pub tls: ClientTlsConfig,
}

/// TLS as a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientTlsConfig {
    /// PEM of the authorities to trust; absent means those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
    /// What to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<TlsConfig>,
}

impl ClientTlsConfig {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
