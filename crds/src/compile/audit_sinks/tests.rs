use rcgen::generate_simple_self_signed;
use rstest::rstest;

use super::*;
use crate::{compile::ConfigMaps, compile::Secret, compile::Secrets, outbound::OutboundConfig};

fn secrets() -> Secrets {
    let pair = generate_simple_self_signed(["desk".to_owned()]).expect("a pair");
    let mut secrets = Secrets::default();
    for (name, key, value) in [
        ("siem", "token", "s3cret".to_owned()),
        ("authority", "ca.crt", pair.cert.pem()),
        ("client", "tls.crt", pair.cert.pem()),
    ] {
        let mut data = std::collections::BTreeMap::from([(key.to_owned(), value.into_bytes())]);
        if name == "client" {
            data.insert(
                "tls.key".to_owned(),
                pair.signing_key.serialize_pem().into_bytes(),
            );
        }
        let secret = Secret {
            data,
            ..Secret::default()
        };
        secrets.insert(name, secret);
    }
    secrets
}

fn compiled(yaml: &str) -> (Vec<AuditSinkConfig>, Vec<Problem>) {
    let given: Vec<AuditSink> = serde_yaml::from_str(yaml).expect("sinks");
    let gateway = ObjectRef {
        kind: "ClawGateway".to_owned(),
        name: "desk".to_owned(),
    };
    let mut problems = Vec::new();
    let found = Found {
        secrets: &secrets(),
        config_maps: &ConfigMaps::default(),
        outbound: &OutboundConfig::default(),
    };
    let configs = sinks(&gateway, &given, found, &mut problems);
    (configs, problems)
}

#[test]
fn credentials_and_certificates_are_resolved_and_never_shown() {
    let (configs, problems) = compiled(
        "[{name: a, http: {url: 'https://siem.example.com/in?tenant=1', bearerToken: {secretKeyRef: {name: siem, key: token}},
             headers: [{name: X-Key, valueFrom: {secretKeyRef: {name: siem, key: token}}}]}},
          {name: b, onFailure: Block, otlp: {endpoint: 'https://collector.example.com:4318/'}},
          {name: c, onFailure: Block, maxBehind: 500, syslog: {host: logs.example.com, tls: {
             caCertificate: {secretKeyRef: {name: authority, key: ca.crt}}, clientCertificate: {name: client}}}}]",
    );
    assert_eq!(problems, []);
    let AuditTargetConfig::Http(http) = &configs[0].target else {
        panic!("{configs:?}")
    };
    assert_eq!(http.headers["authorization"].expose(), "Bearer s3cret");
    assert_eq!(http.headers["x-key"].expose(), "s3cret");
    let AuditTargetConfig::Otlp(otlp) = &configs[1].target else {
        panic!("{configs:?}")
    };
    assert_eq!(otlp.url, "https://collector.example.com:4318/v1/logs");
    let AuditTargetConfig::Syslog { port, tls, .. } = &configs[2].target else {
        panic!("{configs:?}")
    };
    assert!(*port == 6514 && tls.authorities.is_some() && tls.certificate.is_some());
    let most: Vec<_> = configs.iter().map(|config| config.max_behind).collect();
    assert_eq!(most, [None, Some(DEFAULT_MAX_BEHIND), Some(500)]);
    let shown = format!("{configs:?}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("PRIVATE KEY"),
        "{shown}"
    );
}

#[rstest]
#[case::none("{name: a}", "spec.audit.sinks[0] \"a\": a sink is one of")]
#[case::two(
    "{name: a, syslog: {host: h}, otlp: {endpoint: 'http://h'}}",
    "set exactly one"
)]
#[case::credentials_in_the_url(
    "{name: a, http: {url: 'https://me:s3cret@host/'}}",
    "carries credentials"
)]
#[case::private(
    "{name: a, http: {url: 'http://10.0.0.7/'}}",
    "http.url \"http://10.0.0.7/\""
)]
#[case::private_syslog("{name: a, syslog: {host: 10.0.0.7}}", "syslog.host")]
#[case::no_secret(
    "{name: a, http: {url: 'http://h', bearerToken: {secretKeyRef: {name: gone, key: k}}}}",
    "spec.audit.sinks[0].http.bearerToken.secretKeyRef.name \"gone\""
)]
#[case::no_authority(
    "{name: a, syslog: {host: h, tls: {caCertificate: {secretKeyRef: {name: siem, key: token}}}}}",
    "holds no certificate"
)]
#[case::no_certificate(
    "{name: a, syslog: {host: h, tls: {clientCertificate: {name: siem}}}}",
    "no entry tls.crt"
)]
#[case::twice_authorized(
    "{name: a, http: {url: 'http://h', bearerToken: {secretKeyRef: {name: siem, key: token}},
      headers: [{name: Authorization, valueFrom: {secretKeyRef: {name: siem, key: token}}}]}}",
    "set by headers as well"
)]
fn what_cannot_work_is_told(#[case] yaml: &str, #[case] expected: &str) {
    let (configs, problems) = compiled(&format!("[{yaml}]"));
    assert_eq!(configs, []);
    let told = problems[0].to_string();
    assert!(
        told.contains(expected) && !told.contains("s3cret"),
        "{told}"
    );
    assert!(!problems[0].is_fatal());
    let must = yaml.replacen('{', "{onFailure: Block, ", 1);
    assert!(compiled(&format!("[{must}]")).1[0].is_fatal());
}

#[test]
fn a_name_is_used_once() {
    let (configs, problems) =
        compiled("[{name: a, syslog: {host: h}}, {name: a, syslog: {host: i}}]");
    assert_eq!((configs.len(), problems.len()), (1, 1));
    assert!(
        problems[0]
            .to_string()
            .contains("another sink has that name")
    );
}

#[test]
fn an_archive_has_an_address_and_keys_or_nothing_is_served() {
    let compiled = |more: &str| {
        let yaml = format!(
            "{{bucket: audit, accessKeyId: {{secretKeyRef: {{name: siem, key: token}}}},
              secretAccessKey: {{secretKeyRef: {{name: siem, key: token}}}}{more}}}"
        );
        let given: AuditArchive = serde_yaml::from_str(&yaml).expect("an archive");
        let gateway = ObjectRef {
            kind: "ClawGateway".to_owned(),
            name: "desk".to_owned(),
        };
        let found = Found {
            secrets: &secrets(),
            config_maps: &ConfigMaps::default(),
            outbound: &OutboundConfig::default(),
        };
        archive(&gateway, &given, found)
    };
    let amazon = compiled(", region: eu-central-1").expect("valid");
    assert_eq!(
        (amazon.endpoint.as_str(), amazon.path_style),
        ("https://s3.eu-central-1.amazonaws.com/", false)
    );
    assert!(!format!("{amazon:?}").contains("s3cret"));
    let own = compiled(", endpoint: 'https://minio.example.com:9000', prefix: a/b").expect("valid");
    assert!(own.path_style && own.region == "us-east-1" && own.prefix == "a/b");
    let refused = compiled(", endpoint: 'http://10.0.0.7'").expect_err("private");
    assert!(refused.is_fatal() && refused.field == "spec.audit.archive.endpoint");
    let named = ", endpoint: 'https://minio.example.com:9000', addressing: VirtualHost";
    assert!(!compiled(named).expect("valid").path_style);
    assert!(compiled(", addressing: Path").expect("valid").path_style);
    let refused = compiled(", endpoint: 'http://192.0.2.7', addressing: VirtualHost");
    let refused = refused.expect_err("no name");
    assert!(refused.is_fatal() && refused.field == "spec.audit.archive.addressing");
}
