//! The same points through the official clients, over TLS and without another model: what their callers are told.
//!
//! `cargo xtask test clients` installs the clients and runs this; the environment says where they are.

use std::ffi::OsString;
use std::path::Path;

use http::StatusCode;
use rstest::rstest;
use serde::Deserialize;
use tokio::process::Command;

use super::patience;
use super::raw_upstream::RawUpstream;
use super::script::{AFTER_CONTENT, BEFORE_CONTENT, HARMLESS, Point};
use crate::binary::KEY;
use crate::tls;

/// What a client was told of one point.
#[derive(Debug, Deserialize, PartialEq)]
struct Told {
    point: String,
    is_streamed: bool,
    /// The text that came before the end.
    said: String,
    /// Of an answer that is no success.
    status: Option<u16>,
    /// How the error is called, if there was one.
    kind: Option<String>,
}

/// A client, the version of HTTP it speaks, and how it calls errors.
#[derive(Clone, Copy)]
enum Client {
    OpenAiPython(&'static str),
    AnthropicPython(&'static str),
    OpenAiNode,
}

impl Client {
    fn command(self, scripts: &Path) -> Command {
        let (program, script, arguments): (_, _, &[&str]) = match &self {
            Self::OpenAiPython(version) => ("PYTHON", "failures.py", &["openai", version]),
            Self::AnthropicPython(version) => ("PYTHON", "failures.py", &["anthropic", version]),
            Self::OpenAiNode => ("NODE", "failures.mjs", &[]),
        };
        let mut command = Command::new(given(&format!("CLAW_TEST_{program}")));
        command.arg(scripts.join(script)).args(arguments);
        command
    }

    fn calls(self, reason: &str) -> &str {
        match (self, status(reason)) {
            (Self::OpenAiPython(_) | Self::OpenAiNode, _) => reason,
            (Self::AnthropicPython(_), StatusCode::TOO_MANY_REQUESTS) => "rate_limit_error",
            (Self::AnthropicPython(_), StatusCode::GATEWAY_TIMEOUT) => "timeout_error",
            (Self::AnthropicPython(_), _) => "api_error",
        }
    }
}

fn given(name: &str) -> OsString {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test clients`"))
}

/// Of a refusal for this reason.
fn status(reason: &str) -> StatusCode {
    match reason {
        "upstream_timeout" => StatusCode::GATEWAY_TIMEOUT,
        "upstream_rate_limited" => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// What a client is to be told.
fn expected(client: Client, point: &Point, is_streamed: bool) -> Told {
    let is_in = |points: &[Point]| points.iter().any(|other| other.name == point.name);
    let [streamed, whole] = point.reasons;
    let reason = if is_streamed { streamed } else { whole };
    let told = Told {
        point: point.name.to_owned(),
        is_streamed,
        said: String::new(),
        status: None,
        kind: None,
    };
    if is_in(HARMLESS) {
        let said = "half".to_owned();
        return Told { said, ..told };
    }
    let kind = Some(client.calls(reason).to_owned());
    if is_streamed && is_in(AFTER_CONTENT) {
        let said = "half".to_owned();
        // Its status has gone before; Anthropic's client repeats it.
        let status = matches!(client, Client::AnthropicPython(_)).then_some(200);
        return Told {
            said,
            status,
            kind,
            ..told
        };
    }
    let status = Some(status(reason).as_u16());
    Told {
        status,
        kind,
        ..told
    }
}

#[rstest]
#[case::openai_for_python_over_http_1(Client::OpenAiPython("1.1"))]
#[case::openai_for_python_over_http_2(Client::OpenAiPython("2"))]
#[case::anthropic_for_python_over_http_1(Client::AnthropicPython("1.1"))]
#[case::anthropic_for_python_over_http_2(Client::AnthropicPython("2"))]
#[case::openai_for_node(Client::OpenAiNode)]
#[tokio::test]
#[ignore = "needs the official clients: cargo xtask test clients"]
async fn an_official_client_is_told(#[case] client: Client) {
    let bad = RawUpstream::start().await;
    let points: Vec<&Point> = [BEFORE_CONTENT, AFTER_CONTENT, HARMLESS]
        .into_iter()
        .flatten()
        .collect();
    let models = points.iter().flat_map(|point| {
        [
            "--model".to_owned(),
            format!("{}={}", point.name, bad.url(point)),
        ]
    });
    let (gateway, _) = tls::start_on(&models.chain(patience()).collect::<Vec<_>>()).await;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let output = client
        .command(&scripts)
        .args(points.iter().map(|point| point.name))
        .env("OPENAI_BASE_URL", gateway.url("/v1"))
        .env("ANTHROPIC_BASE_URL", gateway.url(""))
        .env("OPENAI_API_KEY", KEY)
        .env("ANTHROPIC_API_KEY", KEY)
        .env("SSL_CERT_FILE", gateway.path("tls.crt"))
        .env("NODE_EXTRA_CA_CERTS", gateway.path("tls.crt"))
        .kill_on_drop(true)
        .output()
        .await
        .expect("the script runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let told: Vec<Told> = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected: Vec<Told> = points
        .iter()
        .flat_map(|point| [false, true].map(|is_streamed| expected(client, point, is_streamed)))
        .collect();
    let differences: Vec<_> = told
        .iter()
        .zip(&expected)
        .filter(|(told, expected)| told != expected)
        .collect();
    assert!(differences.is_empty(), "told, expected: {differences:#?}");
    assert_eq!(told.len(), expected.len());
}
