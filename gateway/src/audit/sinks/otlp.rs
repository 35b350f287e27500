//! Records as logs of OpenTelemetry. Pure.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::reader::{Batch, Head};

/// A request of the protocol in protobuf.
pub(super) fn encode(batch: &Batch) -> Vec<u8> {
    let log_records = batch
        .records()
        .map(|(head, line)| log_record(head, line))
        .collect();
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![text("service.name", "clawdbot")],
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope {
                    name: "claw.audit".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..InstrumentationScope::default()
                }),
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
    .encode_to_vec()
}

/// The body is the line as it is, so that its hash can be checked.
fn log_record(head: &Head, line: &[u8]) -> LogRecord {
    let severity = if head.outcome == "failure" {
        SeverityNumber::Warn
    } else {
        SeverityNumber::Info
    };
    let nanoseconds = u64::try_from(head.timestamp.as_nanosecond()).unwrap_or_default();
    let trace = head
        .trace
        .as_deref()
        .and_then(|trace| hex::decode(trace).ok());
    LogRecord {
        time_unix_nano: nanoseconds,
        observed_time_unix_nano: nanoseconds,
        severity_number: severity.into(),
        body: Some(string(&String::from_utf8_lossy(line))),
        attributes: vec![
            text("event.action", &head.action),
            text("event.outcome", &head.outcome),
            attribute(
                "event.sequence",
                any_value::Value::IntValue(i64::try_from(head.sequence).unwrap_or(i64::MAX)),
            ),
        ],
        trace_id: trace.filter(|trace| trace.len() == 16).unwrap_or_default(),
        event_name: format!("claw.audit.{}", head.action),
        ..LogRecord::default()
    }
}

fn string(text: &str) -> AnyValue {
    AnyValue {
        value: Some(any_value::Value::StringValue(text.to_owned())),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// A collector may take a request and turn down some of its logs for good; asking again is forbidden.
pub(super) fn check(answer: &Bytes) {
    let Ok(ExportLogsServiceResponse {
        partial_success: Some(partial),
    }) = ExportLogsServiceResponse::decode(answer.clone())
    else {
        return;
    };
    if partial.rejected_log_records > 0 {
        tracing::error!(
            records = partial.rejected_log_records,
            reason = partial.error_message,
            "the collector turned down audit records for good"
        );
    }
}
