//! Where audit records are sent: addresses checked, credentials resolved.
//!
//! What happens to a sink that is not usable follows what it is for. One that nobody waits for is left out, and the rest
//! serves; one that must not be missed (`onFailure: Block`) leaves no configuration, so that the last good one serves on
//! rather than one that sends nothing.

use std::collections::{BTreeMap, BTreeSet};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    Found, buckets, outbound,
    problem::{ObjectRef, Problem, ProblemReason},
    tls::certified_key,
    url::{check_base_url, check_url},
};
use crate::{
    claw_gateway::{
        AuditArchive, AuditFailure, AuditSink, DEFAULT_MAX_BEHIND, SinkAccess, SinkTls, SyslogSink,
    },
    gateway_config::{
        AuditArchiveConfig, AuditHttpConfig, AuditSinkConfig, AuditTargetConfig, ClientTlsConfig,
        Redacted, TlsConfig,
    },
    secret_ref::{SecretRef, SecretValue},
};

const NO_CREDENTIALS: &str = "put them into a Secret and refer to it by bearerToken or headers";

pub(super) fn sinks(
    gateway: &ObjectRef,
    sinks: &[AuditSink],
    found: Found<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<AuditSinkConfig> {
    let mut names = BTreeSet::new();
    let mut configs = Vec::new();
    for (index, sink) in sinks.iter().enumerate() {
        let at = At {
            gateway,
            field: format!("spec.audit.sinks[{index}]"),
            found,
        };
        let outcome = if sink.name == "archive" {
            let message = "metrics and status call spec.audit.archive so";
            let problem = at.invalid("name", message, "choose another name");
            Err(problem.with_value(&sink.name))
        } else if names.insert(&sink.name) {
            at.sink(sink)
        } else {
            let problem = at.invalid("name", "another sink has that name", "rename one of them");
            Err(problem
                .with_value(&sink.name)
                .with_reason(ProblemReason::Conflict))
        };
        match outcome {
            Ok(config) => configs.push(config),
            Err(problem) if blocks(sink) => problems.push(problem.fatal()),
            Err(problem) => problems.push(problem),
        }
    }
    configs
}

/// The archive. Whoever asked for one does not serve without: segments would go before they are there.
pub(super) fn archive(
    gateway: &ObjectRef,
    archive: &AuditArchive,
    found: Found<'_>,
) -> Result<AuditArchiveConfig, Problem> {
    let at = At {
        gateway,
        field: "spec.audit".to_owned(),
        found,
    };
    at.archive(archive).map_err(Problem::fatal)
}

fn blocks(sink: &AuditSink) -> bool {
    sink.on_failure == Some(AuditFailure::Block)
}

/// Where a sink stands, and what it is held against.
struct At<'a> {
    gateway: &'a ObjectRef,
    field: String,
    found: Found<'a>,
}

impl At<'_> {
    fn invalid(&self, part: &str, message: &str, remedy: &str) -> Problem {
        Problem::invalid(
            self.gateway,
            format!("{}.{part}", self.field),
            message,
            remedy,
        )
    }

    fn sink(&self, sink: &AuditSink) -> Result<AuditSinkConfig, Problem> {
        let target = match (&sink.http, &sink.syslog, &sink.otlp) {
            (Some(http), None, None) => {
                let field = format!("{}.http.url", self.field);
                let url = check_url(self.gateway, &field, &http.url, NO_CREDENTIALS)?;
                outbound::check(self.gateway, &field, &url, self.found.outbound)?;
                AuditTargetConfig::Http(self.http("http", url.as_str(), &http.access)?)
            }
            (None, Some(syslog), None) => self.syslog(syslog)?,
            (None, None, Some(otlp)) => {
                let field = format!("{}.otlp.endpoint", self.field);
                let url = check_base_url(self.gateway, &field, &otlp.endpoint, NO_CREDENTIALS)?;
                outbound::check(self.gateway, &field, &url, self.found.outbound)?;
                let url = format!("{}/v1/logs", url.as_str().trim_end_matches('/'));
                AuditTargetConfig::Otlp(self.http("otlp", &url, &otlp.access)?)
            }
            _ => {
                let problem = Problem::invalid(
                    self.gateway,
                    &self.field,
                    "a sink is one of http, syslog and otlp",
                    "set exactly one of them",
                );
                return Err(problem.with_value(&sink.name));
            }
        };
        let max_behind = blocks(sink).then(|| {
            sink.max_behind
                .and_then(|records| u32::try_from(records).ok())
                .unwrap_or(DEFAULT_MAX_BEHIND)
        });
        Ok(AuditSinkConfig {
            name: sink.name.clone(),
            max_behind,
            target,
        })
    }

    fn archive(&self, archive: &AuditArchive) -> Result<AuditArchiveConfig, Problem> {
        let (field, place) = (format!("{}.archive", self.field), archive.place());
        let bucket = (archive.bucket.as_str(), place);
        let endpoint = buckets::endpoint(self.gateway, &field, bucket, self.found.outbound)?;
        let key = |part: &str, value: &SecretValue| {
            let text = self.text(&format!("archive.{part}"), value);
            text.map(Redacted::new)
        };
        Ok(AuditArchiveConfig {
            bucket: archive.bucket.clone(),
            prefix: archive.prefix.clone().unwrap_or_default(),
            region: place.region().to_owned(),
            endpoint: endpoint.to_string(),
            path_style: place.has_path_style(),
            access_key_id: key("accessKeyId", &archive.access_key_id)?,
            secret_access_key: key("secretAccessKey", &archive.secret_access_key)?,
            tls: self.tls("archive.tls", archive.tls.as_ref())?,
        })
    }

    fn syslog(&self, syslog: &SyslogSink) -> Result<AuditTargetConfig, Problem> {
        let field = format!("{}.syslog.host", self.field);
        let url = check_base_url(self.gateway, &field, &syslog.url(), NO_CREDENTIALS)?;
        outbound::check(self.gateway, &field, &url, self.found.outbound)?;
        Ok(AuditTargetConfig::Syslog {
            host: syslog.host.clone(),
            port: syslog.port_or_default(),
            tls: self.tls("syslog.tls", syslog.tls.as_ref())?,
        })
    }

    fn http(&self, part: &str, url: &str, access: &SinkAccess) -> Result<AuditHttpConfig, Problem> {
        let SinkAccess {
            bearer_token,
            headers,
            tls,
        } = access;
        let mut sent = BTreeMap::new();
        for (index, header) in headers.iter().flatten().enumerate() {
            let field = format!("{part}.headers[{index}]");
            let value = self.text(&format!("{field}.valueFrom"), &header.value_from)?;
            let name = header.name.to_ascii_lowercase();
            if sent.insert(name, Redacted::new(value)).is_some() {
                let message = "another header has that name";
                let problem = self.invalid(&format!("{field}.name"), message, "leave one out");
                return Err(problem.with_value(&header.name));
            }
        }
        if let Some(token) = bearer_token {
            let token = self.text(&format!("{part}.bearerToken"), token)?;
            let value = Redacted::new(format!("Bearer {token}"));
            if sent.insert("authorization".to_owned(), value).is_some() {
                let message = "the header Authorization is set by headers as well";
                let remedy = "leave one of them out";
                return Err(self.invalid(&format!("{part}.bearerToken"), message, remedy));
            }
        }
        Ok(AuditHttpConfig {
            url: url.to_owned(),
            headers: sent,
            tls: self.tls(&format!("{part}.tls"), tls.as_ref())?,
        })
    }

    fn text(&self, part: &str, value: &SecretValue) -> Result<String, Problem> {
        let field = format!("{}.{part}", self.field);
        self.found
            .secrets
            .text(self.gateway, &field, &value.secret_key_ref)
    }

    fn tls(&self, part: &str, tls: Option<&SinkTls>) -> Result<ClientTlsConfig, Problem> {
        let Some(SinkTls {
            ca_certificate,
            client_certificate,
        }) = tls
        else {
            return Ok(ClientTlsConfig::default());
        };
        let authorities = ca_certificate.as_ref().map(|value| {
            let at = &value.secret_key_ref;
            let part = format!("{part}.caCertificate.secretKeyRef");
            let pem = self.pem(&part, &at.name, &at.key)?;
            if CertificateDer::pem_slice_iter(pem.as_bytes()).any(|found| found.is_err())
                || CertificateDer::from_pem_slice(pem.as_bytes()).is_err()
            {
                let message = "the entry holds no certificate";
                let problem = self.invalid(&format!("{part}.key"), message, "store PEM text");
                let problem = problem.with_reason(ProblemReason::InvalidSecret);
                return Err(problem.with_value(&at.key));
            }
            Ok(pem)
        });
        let certificate = client_certificate
            .as_ref()
            .map(|secret| self.certificate(&format!("{part}.clientCertificate"), secret));
        Ok(ClientTlsConfig {
            authorities: authorities.transpose()?,
            certificate: certificate.transpose()?,
        })
    }

    fn certificate(&self, part: &str, secret: &SecretRef) -> Result<TlsConfig, Problem> {
        let config = TlsConfig {
            certificate_chain: self.pem(part, &secret.name, "tls.crt")?,
            private_key: Redacted::new(self.pem(part, &secret.name, "tls.key")?),
        };
        certified_key(&config).map_err(|error| {
            let remedy = "store a certificate and the key that belongs to it";
            self.invalid(&format!("{part}.name"), &error.to_string(), remedy)
                .with_value(&secret.name)
                .with_reason(ProblemReason::InvalidSecret)
        })?;
        Ok(config)
    }

    /// Text of several lines.
    fn pem(&self, part: &str, name: &str, key: &str) -> Result<String, Problem> {
        let problem = |reason, message: &str, remedy: &str| {
            self.invalid(&format!("{part}.name"), message, remedy)
                .with_value(name)
                .with_reason(reason)
        };
        let missing = ProblemReason::SecretNotFound;
        let secret = self.found.secrets.get(name).ok_or_else(|| {
            let message = "no Secret of that name in this namespace";
            problem(missing, message, &format!("create it with the entry {key}"))
        })?;
        let bytes = secret.data.get(key).ok_or_else(|| {
            let message = format!("the Secret has no entry {key}");
            problem(missing, &message, "add it, as PEM text")
        })?;
        String::from_utf8(bytes.clone()).map_err(|_| {
            let message = format!("the entry {key} is not PEM");
            problem(ProblemReason::InvalidSecret, &message, "store PEM text")
        })
    }
}

#[cfg(test)]
mod tests;
