//! Where audit records are sent besides the log.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AuditFailure;
use crate::secret_ref::{SecretRef, SecretValue};

/// The port of syslog over TLS.
pub const SYSLOG_TLS_PORT: i32 = 6514;
/// How many records a sink that blocks may be behind, when nothing is said.
pub const DEFAULT_MAX_BEHIND: u32 = 100_000;

/// A receiver of audit records. It gets every record of the log at least once, in their order; where it was away, from
/// where it was. Exactly one of http, syslog and otlp says how.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.http), has(self.syslog), has(self.otlp)].filter(x, x).size() == 1")
        .message("set exactly one of http, syslog and otlp"),
    validation = Rule::new("!has(self.maxBehind) || (has(self.onFailure) && self.onFailure == 'Block')")
        .message("maxBehind is for onFailure: Block only"),
    validation = Rule::new("self.name != 'archive'")
        .message("archive is what metrics and status call spec.audit.archive: choose another name")
)]
pub struct AuditSink {
    /// Unique within the gateway. It stands for how far the receiver is: under another name it gets everything again
    /// that is kept.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,

    /// What happens while the receiver is away for so long that it is more than maxBehind records behind: Block refuses
    /// requests with 503 until it has caught up; Shed, the default, goes on. Records wait in the log in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<AuditFailure>,

    /// With onFailure Block, how many records the receiver may be behind; 100,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 100_000_000))]
    pub max_behind: Option<i32>,

    /// Batches of JSON lines by POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSink>,

    /// Syslog (RFC 5424) over TLS (RFC 5425).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syslog: Option<SyslogSink>,

    /// Logs of OpenTelemetry, by OTLP over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpSink>,
}

/// A receiver of JSON lines (application/x-ndjson) by POST. Any status of 200 to 299 says that it has them.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpSink {
    /// Where they are sent, e.g. `https://siem.example.com/ingest`.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub url: String,

    /// What is sent with them.
    #[serde(flatten)]
    pub access: SinkAccess,
}

/// A collector of OpenTelemetry. The body of each log is the record as it stands in the audit log.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OtlpSink {
    /// Base URL of a collector that takes OTLP over HTTP, e.g. `https://collector.ops.svc:4318`. Logs are sent to
    /// /v1/logs below it.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub endpoint: String,

    /// What is sent with them.
    #[serde(flatten)]
    pub access: SinkAccess,
}

/// A syslog server that speaks TLS.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyslogSink {
    /// Its name or address; its certificate has to be for it.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?$")
    )]
    pub host: String,

    /// Its port; 6514 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,

    /// Whom to trust, and what to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SinkTls>,
}

/// What a receiver over HTTP is shown.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkAccess {
    /// Sent as `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<SecretValue>,

    /// Further headers, e.g. an API key under the name that the receiver wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub headers: Option<Vec<SinkHeader>>,

    /// Whom to trust, and what to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SinkTls>,
}

/// A header of a request.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkHeader {
    /// Its name.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9-]+$"))]
    pub name: String,

    /// Where its value is.
    pub value_from: SecretValue,
}

/// TLS towards a receiver.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkTls {
    /// The authorities to trust, as PEM, instead of those that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<SecretValue>,

    /// A Secret of type kubernetes.io/tls with the certificate to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<SecretRef>,
}

impl AuditSink {
    /// The names of all Secrets that it refers to.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let accesses = [
            self.http.as_ref().map(|http| &http.access),
            self.otlp.as_ref().map(|otlp| &otlp.access),
        ];
        let accesses = accesses.into_iter().flatten();
        let values = accesses.clone().flat_map(|access| {
            let headers = access.headers.iter().flatten();
            let headers = headers.map(|header| &header.value_from);
            access.bearer_token.iter().chain(headers)
        });
        let syslog = self.syslog.iter().filter_map(|syslog| syslog.tls.as_ref());
        let tls = accesses.filter_map(|access| access.tls.as_ref());
        values
            .map(|value| value.secret_key_ref.name.as_str())
            .chain(tls.chain(syslog).flat_map(SinkTls::secret_names))
    }

    /// Where it leads, as a URL, also where it is none of HTTP's.
    pub fn url(&self) -> Option<String> {
        let syslog = self.syslog.as_ref().map(SyslogSink::url);
        let http = self.http.as_ref().map(|http| http.url.clone());
        let otlp = self.otlp.as_ref().map(|otlp| otlp.endpoint.clone());
        http.or(otlp).or(syslog)
    }
}

impl SinkTls {
    /// The names of all Secrets that it refers to.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let authorities = self.ca_certificate.iter();
        let authorities = authorities.map(|value| value.secret_key_ref.name.as_str());
        let certificate = self.client_certificate.iter();
        authorities.chain(certificate.map(|secret| secret.name.as_str()))
    }
}

impl SyslogSink {
    /// The port, when nothing is said that of the protocol.
    pub fn port_or_default(&self) -> u16 {
        let port = self.port.unwrap_or(SYSLOG_TLS_PORT);
        u16::try_from(port).unwrap_or_default()
    }

    /// Host and port, for rules that look at URLs.
    pub fn url(&self) -> String {
        let port = self.port_or_default();
        // Of a scheme whose hosts are checked as such.
        if self.host.contains(':') {
            format!("https://[{}]:{port}", self.host)
        } else {
            format!("https://{}:{port}", self.host)
        }
    }
}
