//! What is told of the gateway, and to whom.

use std::collections::BTreeMap;

use claw_crds::{
    ClawGatewaySpec,
    claw_gateway::{Dashboard, LogFormat, Monitoring, Observability, Tracing},
};
use url::Url;

use crate::{
    claw_gateway::verdict::Fault,
    kinds::{KindSet, OptionalKind},
};

type Labels = BTreeMap<String, String>;

/// What is told of the gateway. Where labels are given, the object is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedObservability {
    /// As the gateway's flag has it.
    pub log_format: &'static str,
    /// Further labels of the PodMonitor.
    pub pod_monitor: Option<Labels>,
    /// Further labels of the PrometheusRule.
    pub alerts: Option<Labels>,
    /// Where the alerts' runbooks are.
    pub runbook_base: String,
    /// Further labels of the dashboard.
    pub dashboard: Option<Labels>,
    /// Where spans are sent.
    pub tracing: Option<ValidatedTracing>,
}

/// Where spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedTracing {
    /// Base URL of the collector.
    pub endpoint: String,
    /// How many in a hundred; none where all are.
    pub sampling_percent: Option<u8>,
}

pub(super) fn validate(
    spec: &ClawGatewaySpec,
    kinds: KindSet,
    runbook_base: &str,
) -> Result<ValidatedObservability, Fault> {
    let Observability {
        // In the configuration, which running pods take up.
        log_level: _,
        log_format,
        pod_monitor,
        alerts,
        dashboard: Dashboard { enabled, labels },
        tracing,
    } = spec.observability.clone();
    let made = |monitoring: Monitoring, kind| {
        let is_made = monitoring.enabled && kinds.has(kind);
        is_made.then(|| monitoring.labels.unwrap_or_default())
    };
    Ok(ValidatedObservability {
        log_format: match log_format {
            LogFormat::Json => "json",
            LogFormat::Text => "text",
        },
        pod_monitor: made(pod_monitor, OptionalKind::PodMonitor),
        alerts: made(alerts, OptionalKind::PrometheusRule),
        runbook_base: runbook_base.to_owned(),
        dashboard: enabled.then(|| labels.unwrap_or_default()),
        tracing: tracing.map(validate_tracing).transpose()?,
    })
}

fn validate_tracing(tracing: Tracing) -> Result<ValidatedTracing, Fault> {
    let Tracing {
        otlp_endpoint,
        sampling_percent,
    } = tracing;
    let url = Url::parse(&otlp_endpoint).ok().filter(|url| {
        let is_plain = url.query().is_none() && url.fragment().is_none();
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        url.has_host() && is_plain && is_anonymous && matches!(url.scheme(), "http" | "https")
    });
    if url.is_none() {
        // The value is not repeated: somebody may have put a password into it.
        return Err(Fault::invalid(
            "spec.observability.tracing.otlpEndpoint: it is not the base URL of a collector; give one without \
             credentials, query and fragment, such as http://otel-collector.monitoring.svc:4318",
        ));
    }
    Ok(ValidatedTracing {
        endpoint: otlp_endpoint.trim_end_matches('/').to_owned(),
        sampling_percent: sampling_percent
            .and_then(|percent| u8::try_from(percent).ok())
            .filter(|percent| *percent < 100),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn tracing(otlp_endpoint: &str, sampling_percent: Option<i32>) -> Tracing {
        Tracing {
            otlp_endpoint: otlp_endpoint.to_owned(),
            sampling_percent,
        }
    }

    #[rstest]
    #[case::all(None, None)]
    #[case::all_said(Some(100), None)]
    #[case::some(Some(7), Some(7))]
    #[case::none(Some(0), Some(0))]
    fn accepts_a_collector(#[case] percent: Option<i32>, #[case] expected: Option<u8>) {
        let validated = validate_tracing(tracing("http://collector.ops.svc:4318/", percent));
        let expected = ValidatedTracing {
            endpoint: "http://collector.ops.svc:4318".to_owned(),
            sampling_percent: expected,
        };
        assert_eq!(validated, Ok(expected));
    }

    #[rstest]
    #[case::credentials("https://me:s3cret@collector.example.com")]
    #[case::query("https://collector.example.com?key=s3cret")]
    #[case::no_host("http://")]
    #[case::scheme("ftp://s3cret.example.com")]
    fn rejects_what_no_spans_are_sent_to(#[case] endpoint: &str) {
        let fault = validate_tracing(tracing(endpoint, None)).expect_err("refused");
        assert!(
            fault
                .detail
                .starts_with("spec.observability.tracing.otlpEndpoint")
        );
        assert!(!fault.detail.contains("s3cret"), "{}", fault.detail);
    }
}
