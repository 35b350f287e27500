//! The public port over TLS.

use std::fs;
use std::path::Path;

use crate::binary::{Binary, chat, client_builder, until};
use crate::upstream::Upstream;

/// A fresh pair at `tls.crt` and `tls.key`, replaced as a whole; its certificate.
fn issue(folder: &Path) -> reqwest::Certificate {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(folder.join("new.key"), pair.signing_key.serialize_pem()).expect("written");
    fs::write(folder.join("new.crt"), pair.cert.pem()).expect("written");
    fs::rename(folder.join("new.key"), folder.join("tls.key")).expect("replaced");
    fs::rename(folder.join("new.crt"), folder.join("tls.crt")).expect("replaced");
    reqwest::Certificate::from_pem(pair.cert.pem().as_bytes()).expect("PEM")
}

fn trusting(certificate: &reqwest::Certificate) -> reqwest::ClientBuilder {
    client_builder().tls_certs_only([certificate.clone()])
}

pub(crate) async fn start(upstream: &Upstream) -> (Binary, reqwest::Certificate) {
    start_on(&upstream.models(&["good"])).await
}

/// A gateway with these arguments, whose certificate lies in its folder as `tls.crt`.
pub(crate) async fn start_on(arguments: &[String]) -> (Binary, reqwest::Certificate) {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = issue(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut arguments = arguments.to_vec();
    arguments.extend([
        "--tls-cert".to_owned(),
        path("tls.crt"),
        "--tls-key".to_owned(),
        path("tls.key"),
    ]);
    let client = trusting(&certificate).build().expect("a client");
    (
        Binary::start_with(folder, &arguments, ("https", client)).await,
        certificate,
    )
}

#[tokio::test]
async fn only_tls_1_3_is_spoken() {
    let upstream = Upstream::start().await;
    let (gateway, certificate) = start(&upstream).await;
    let response = gateway
        .chat("/v1/chat/completions", &chat("good"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, http::Version::HTTP_2)
    );
    let old = trusting(&certificate)
        .tls_version_max(reqwest::tls::Version::TLS_1_2)
        .build()
        .expect("a client");
    old.get(gateway.url("/v1/models"))
        .send()
        .await
        .expect_err("TLS 1.2 is refused");
    let plain = client_builder().build().expect("a client");
    plain
        .get(gateway.url("/v1/models").replace("https", "http"))
        .send()
        .await
        .expect_err("plain HTTP is refused");
    let http1 = trusting(&certificate)
        .http1_only()
        .build()
        .expect("a client");
    let response = http1
        .get(gateway.url("/v1/models"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (401, http::Version::HTTP_11)
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let upstream = Upstream::start().await;
    let (gateway, _) = start(&upstream).await;
    let renewed = issue(gateway.folder.path());
    let client = trusting(&renewed)
        .pool_max_idle_per_host(0)
        .build()
        .expect("a client");
    until("the new certificate is served", async || {
        client.get(gateway.url("/v1/models")).send().await.ok()
    })
    .await;
    let (_, metrics) = gateway.managed("/metrics").await;
    assert!(
        metrics.contains("claw_gateway_certificate_expiry_timestamp_seconds"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_certificate_that_lost_its_key_is_refused_and_the_old_one_serves_on() {
    let upstream = Upstream::start().await;
    let (gateway, _) = start(&upstream).await;
    let stranger =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(
        gateway.path("tls.key"),
        stranger.signing_key.serialize_pem(),
    )
    .expect("written");
    let refused = until("the refusal is shown", async || {
        let status = gateway.status().await;
        status["refusedConfig"]["problems"][0]
            .as_str()
            .map(str::to_owned)
    })
    .await;
    assert!(refused.contains("private key"), "{refused}");
    assert_eq!(
        gateway.ask("/v1/chat/completions", &chat("good")).await.0,
        200
    );
}
