use std::fmt::Write as _;

use rcgen::KeyPair;
use rstest::rstest;

use super::*;
use crate::{
    gateway_config::{AuthConfig, ModelBackend, PlatformConfig, TaskConfig},
    manifest::{ManifestFile, Selection, parse},
};

const OBJECTS: &str = r#"
apiVersion: claw.dev/v1alpha1
kind: ClawGateway
metadata: {name: helpdesk, namespace: shop}
spec:
  size: Medium
  models:
  - name: tiny
    local: {source: {path: /models/tiny}}
  - name: big
    remote:
      provider: OpenAI
      baseURL: https://api.example.com/v1/
      credentials: {secretKeyRef: {name: provider, key: token}}
  auth: {apiKeys: {selector: {matchLabels: {use: keys}}}}
  tls: {disabled: {}}
  limits: {requestsPerSecond: 7}
---
apiVersion: claw.dev/v1alpha1
kind: ModelRoute
metadata: {name: main, namespace: shop}
spec:
  gatewayRef: {name: helpdesk}
  routes:
  - {pattern: ^/api/v1/chat, model: big, fallback: tiny}
---
apiVersion: claw.dev/v1alpha1
kind: Channel
metadata: {name: bot, namespace: shop}
spec:
  gatewayRef: {name: helpdesk}
  model: tiny
  telegram:
    botToken: {secretKeyRef: {name: telegram, key: token}}
    webhookSecret: {secretKeyRef: {name: telegram, key: secret}}
  access: {direct: AllowList, allowFrom: ["42"]}
---
{apiVersion: v1, kind: Secret, metadata: {name: provider, namespace: shop}, stringData: {token: "sk-provider\n"}}
---
{apiVersion: v1, kind: Secret, metadata: {name: telegram, namespace: shop}, stringData: {token: "1:bot-token", secret: hook}}
---
{apiVersion: v1, kind: Secret, metadata: {name: desk-keys, namespace: shop, labels: {use: keys}}, stringData: {alice: key-of-alice-0123456789}}
"#;

pub(super) fn objects(edits: &[(&str, &str)]) -> Selection {
    let mut text = OBJECTS.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "the fixture has no {from:?}");
        text = text.replace(from, to);
    }
    let (manifests, faults) = parse(&[ManifestFile {
        name: "objects".into(),
        text,
    }]);
    assert_eq!(faults, []);
    manifests.select(None).expect("one gateway")
}

pub(super) fn compiled(selection: &Selection) -> Compilation {
    let Selection {
        gateway,
        routes,
        channels,
        secrets,
        config_maps,
        ..
    } = selection;
    compile(&Inputs {
        gateway,
        routes,
        channels,
        secrets,
        config_maps,
        self_signed: None,
        also_allowed: None,
    })
}

fn config(edits: &[(&str, &str)]) -> GatewayConfig {
    let compilation = compiled(&objects(edits));
    compilation
        .config
        .unwrap_or_else(|| panic!("no configuration: {:?}", compilation.problems))
}

fn report(edits: &[(&str, &str)]) -> String {
    compiled(&objects(edits))
        .problems
        .iter()
        .fold(String::new(), |mut text, problem| {
            let _ = writeln!(text, "{problem}");
            text
        })
}

#[test]
fn whole_objects_become_a_whole_configuration() {
    insta::assert_yaml_snapshot!(config(&[]), {
        ".auth.apiKeys[].sha256" => "[hash]",
    });
    assert_eq!(report(&[]), "");
}

#[test]
fn compiling_twice_gives_the_same_bytes() {
    assert_eq!(config(&[]).to_json(), config(&[]).to_json());
}

#[test]
fn an_api_key_is_stored_as_its_hash_only() {
    let config = config(&[]);
    let AuthConfig::ApiKeys(keys) = &config.auth else {
        panic!("{:?}", config.auth)
    };
    // printf key-of-alice-0123456789 | sha256sum
    assert_eq!(
        keys[0].sha256,
        "9ec3eef0b495a120a4570ac95fe666846257ed7b7e4beb6ed43910add8c9b04a"
    );
    assert!(!config.to_json().contains("key-of-alice"));
}

#[rstest]
#[case::unknown_model(
    "model: big, fallback",
    "model: bigg, fallback",
    "ModelRoute/main spec.routes[0].model \"bigg\""
)]
#[case::unknown_fallback(
    "fallback: tiny",
    "fallback: tinny",
    "ModelRoute/main spec.routes[0].fallback \"tinny\""
)]
#[case::bad_pattern(
    "^/api/v1/chat",
    "'^/(api'",
    "ModelRoute/main spec.routes[0].pattern \"^/(api\""
)]
#[case::look_around("^/api/v1/chat", "'^(?!x)'", "look-around")]
#[case::missing_secret(
    "name: provider, key: token",
    "name: gone, key: token",
    "ClawGateway/helpdesk spec.models[1].remote.credentials.secretKeyRef.name \"gone\""
)]
#[case::missing_key(
    "name: provider, key: token",
    "name: provider, key: other",
    "name one of: token"
)]
#[case::empty_secret("sk-provider\\n", " ", "empty")]
#[case::url_with_credentials(
    "https://api.example.com/v1/",
    "https://me:hunter2@api.example.com/v1/",
    "carries credentials"
)]
#[case::channel_model(
    "model: tiny\n  telegram",
    "model: tinny\n  telegram",
    "Channel/bot spec.model \"tinny\""
)]
#[case::channel_secret(
    "{name: telegram, key: secret}",
    "{name: telegram, key: hook}",
    "Channel/bot spec.telegram.webhookSecret.secretKeyRef.key \"hook\""
)]
#[case::weak_key("key-of-alice-0123456789", "short", "\"desk-keys/alice\"")]
fn a_broken_part_is_named_and_the_rest_serves(
    #[case] from: &str,
    #[case] to: &str,
    #[case] expected: &str,
) {
    let report = report(&[(from, to)]);
    assert_eq!(report.lines().count(), 1, "{report}");
    assert!(report.contains(expected), "{report}");
    assert!(
        !report.contains("hunter2") && !report.contains("sk-provider"),
        "{report}"
    );
    assert_eq!(config(&[(from, to)]).models.len(), 2);
}

#[test]
fn a_route_with_a_missing_model_keeps_its_fallback() {
    let config = config(&[("model: big, fallback", "model: bigg, fallback")]);
    assert_eq!(config.routes[0].targets, ["tiny"]);
}

#[test]
fn a_model_keeps_its_task_without_its_secret_and_gets_what_fits_it_alone() {
    let edits = [
        (
            "provider: OpenAI",
            "provider: OpenAI
      task: Embed",
        ),
        ("name: provider, key", "name: gone, key"),
        (
            "model: tiny
  telegram",
            "model: big
  telegram",
        ),
    ];
    let config = config(&edits);
    assert_eq!(config.models[1].task, TaskConfig::Embed);
    assert_eq!(config.routes[0].task, TaskConfig::Embed);
    assert_eq!(config.routes[0].targets, ["big"]);
    assert_eq!(config.channels, []);
    let report = report(&edits);
    for expected in [
        "ModelRoute/main spec.routes[0].fallback \"tiny\": the task of the model is Chat",
        "Channel/bot spec.model \"big\": the task of the model is Embed, and channels chat",
    ] {
        assert!(report.contains(expected), "{report}");
    }
}

#[test]
fn a_route_object_with_a_bad_pattern_leaves_the_others_serving() {
    let good = "
---
apiVersion: claw.dev/v1alpha1
kind: ModelRoute
metadata: {name: also, namespace: shop}
spec:
  gatewayRef: {name: helpdesk}
  routes: [{pattern: ^/good, model: tiny}]
---
apiVersion: claw.dev/v1alpha1
kind: Channel";
    let config = config(&[
        ("^/api/v1/chat", "'['"),
        ("\n---\napiVersion: claw.dev/v1alpha1\nkind: Channel", good),
    ]);
    assert_eq!(
        config
            .routes
            .iter()
            .map(|route| route.pattern.as_deref())
            .collect::<Vec<_>>(),
        [Some("^/good")]
    );
}

#[test]
fn a_model_without_its_credential_is_kept_as_unavailable() {
    let config = config(&[("name: provider, key: token", "name: gone, key: token")]);
    let ModelBackend::Unavailable { reason } = &config.models[1].backend else {
        panic!("{config:?}")
    };
    // Clients read it: it names no Secret.
    assert_eq!(
        reason,
        "spec.models[1].remote.credentials.secretKeyRef.name is not usable; see the gateway's status"
    );
}

#[test]
fn a_broken_channel_is_left_out() {
    assert_eq!(
        config(&[(
            "{name: telegram, key: secret}",
            "{name: telegram, key: hook}"
        )])
        .channels,
        []
    );
    assert!(matches!(
        config(&[]).channels[0].platform,
        PlatformConfig::Telegram { .. }
    ));
}

#[test]
fn duplicate_model_names_leave_no_configuration() {
    let compilation = compiled(&objects(&[("name: big", "name: tiny")]));
    assert_eq!(compilation.config, None);
    let report = compilation.problems[0].to_string();
    assert!(
        report.contains("spec.models[1].name \"tiny\": another model has that name"),
        "{report}"
    );
}

#[rstest]
#[case::a_model(
    "baseURL: https://api.example.com/v1/",
    "baseURL: http://10.0.0.7/v1",
    "spec.models[1].remote.baseURL"
)]
#[case::a_download(
    "source: {path: /models/tiny}",
    "source: {http: {url: 'http://10.0.0.7/x', sha256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}",
    "spec.models[0].local.source.http.url"
)]
#[case::a_bot(
    "  telegram:\n",
    "  telegram:\n    apiBaseURL: http://10.0.0.7\n",
    "spec.telegram.apiBaseURL"
)]
fn a_private_address_needs_leave(#[case] from: &str, #[case] to: &str, #[case] field: &str) {
    let told = report(&[(from, to)]);
    assert!(
        told.contains(field) && told.contains("add 10.0.0.7/32 to spec.outbound.allowedCIDRs"),
        "{told}"
    );
    let leave = (
        "  tls: {disabled: {}}",
        "  tls: {disabled: {}}\n  outbound: {allowedCIDRs: [10.0.0.0/24], allowedHosts: [VLLM]}",
    );
    assert_eq!(report(&[(from, to), leave]), "");
    let outbound = config(&[(from, to), leave]).outbound;
    assert!(outbound.allowed_hosts.contains("vllm"));
}

#[test]
fn a_range_that_is_none_allows_nothing_and_is_told() {
    let edit = (
        "  tls: {disabled: {}}",
        "  tls: {disabled: {}}\n  outbound: {allowedCIDRs: [10.0.0.1/8, 10.0.0.0/24]}",
    );
    let told = report(&[edit]);
    assert!(
        told.contains("spec.outbound.allowedCIDRs[0] \"10.0.0.1/8\"")
            && told.contains("10.0.0.0/8"),
        "{told}"
    );
    assert_eq!(config(&[edit]).outbound.allowed_cidrs.len(), 1);
}

#[test]
fn annotations_of_a_secret_restrict_its_keys() {
    let label = "labels: {use: keys}";
    let annotated = "labels: {use: keys}, annotations: {keys.claw.dev/allowed-models: tiny}";
    let AuthConfig::ApiKeys(keys) = config(&[(label, annotated)]).auth else {
        panic!("anonymous")
    };
    assert_eq!(keys[0].grant.models, Some(["tiny".to_owned()].into()));
}

#[test]
fn keys_whose_annotations_cannot_be_followed_admit_nobody() {
    let edit = (
        "labels: {use: keys}",
        "labels: {use: keys}, annotations: {keys.claw.dev/expires: soon}",
    );
    assert_eq!(config(&[edit]).auth, AuthConfig::ApiKeys(Vec::new()));
    let told = report(&[edit]);
    assert!(
        told.contains("Secret desk-keys") && told.contains("keys.claw.dev/expires: \"soon\""),
        "{told}"
    );
    assert!(!told.contains("key-of-alice"), "{told}");
}

#[test]
fn a_list_of_addresses_without_a_valid_one_admits_nobody() {
    let edit = (
        "  tls: {disabled: {}}",
        "  tls: {disabled: {}}\n  ipAllowList: [10.0.0.1/8]\n  trustedProxies: [10.0.0.0/8]",
    );
    let told = report(&[edit]);
    assert!(
        told.contains("spec.ipAllowList[0] \"10.0.0.1/8\""),
        "{told}"
    );
    let callers = config(&[edit]).callers;
    assert_eq!(callers.ip_allow_list, Some([].into()));
    assert_eq!(callers.trusted_proxies.len(), 1);
}

#[test]
fn no_selected_key_admits_nobody() {
    let config = config(&[("labels: {use: keys}", "labels: {use: nothing}")]);
    assert_eq!(config.auth, AuthConfig::ApiKeys(Vec::new()));
}

#[test]
fn what_the_operator_made_is_nobodys_api_key() {
    let config = config(&[(
        "labels: {use: keys}",
        "labels: {use: keys, app.kubernetes.io/managed-by: claw-operator}",
    )]);
    assert_eq!(config.auth, AuthConfig::ApiKeys(Vec::new()));
}

#[test]
fn secrets_that_were_not_read_are_told_and_the_others_serve() {
    let mut selection = objects(&[]);
    selection.secrets.cut();
    let compilation = compiled(&selection);
    let report = compilation.problems[0].to_string();
    assert!(
        report.contains("spec.auth.apiKeys.selector: it selects more Secrets than are read"),
        "{report}"
    );
    let auth = compilation.config.expect("serves").auth;
    assert!(matches!(auth, AuthConfig::ApiKeys(keys) if keys.len() == 1));
}

fn tls_secret(certificate: &str, key: &str) -> Compilation {
    let mut selection = objects(&[("tls: {disabled: {}}", "tls: {secretRef: {name: front}}")]);
    let data = [("tls.crt", certificate), ("tls.key", key)];
    let data = data
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        .collect();
    selection.secrets.insert(
        "front",
        Secret {
            data,
            ..Secret::default()
        },
    );
    compiled(&selection)
}

fn certificate() -> (String, String) {
    let issued =
        rcgen::generate_simple_self_signed(vec!["desk.example.com".to_owned()]).expect("issues");
    (issued.cert.pem(), issued.signing_key.serialize_pem())
}

#[test]
fn a_certificate_with_its_key_is_served() {
    let (certificate, key) = certificate();
    let config = tls_secret(&certificate, &key)
        .config
        .expect("a configuration");
    assert_eq!(config.tls.expect("tls").certificate_chain, certificate);
}

#[test]
fn a_certificate_that_does_not_match_its_key_is_refused() {
    let (certificate, _) = certificate();
    let other = KeyPair::generate().expect("a key").serialize_pem();
    let compilation = tls_secret(&certificate, &other);
    assert_eq!(compilation.config, None);
    let report = compilation.problems[0].to_string();
    assert!(
        report.contains("spec.tls.secretRef.name \"front\": the private key does not belong"),
        "{report}"
    );
    assert!(!report.contains("PRIVATE KEY"), "{report}");
}

#[rstest]
#[case::no_certificate("", "x")]
#[case::garbage("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "")]
fn a_broken_certificate_is_refused(#[case] certificate: &str, #[case] key: &str) {
    assert_eq!(tls_secret(certificate, key).config, None);
}

#[test]
fn a_missing_tls_secret_is_fatal_and_named() {
    let compilation = compiled(&objects(&[(
        "tls: {disabled: {}}",
        "tls: {secretRef: {name: front}}",
    )]));
    assert_eq!(compilation.config, None);
    assert!(
        compilation.problems[0]
            .to_string()
            .contains("\"front\": no Secret of that name")
    );
}

#[test]
fn an_audit_log_is_kept_as_asked_for_and_never_for_less_than_180_days() {
    use crate::claw_gateway::Audit;
    use crate::gateway_config::AuditFailureConfig;

    let audit = |spec: &str| {
        let edit = format!("  audit: {spec}\n  limits: {{");
        let kept = config(&[("  limits: {", &edit)]).audit.expect("on");
        (kept.retention_days, kept.on_failure)
    };
    assert_eq!(config(&[]).audit, None);
    assert_eq!(audit("{}"), (180, AuditFailureConfig::Block));
    assert_eq!(
        audit("{retentionDays: 365, onFailure: Shed}"),
        (365, AuditFailureConfig::Shed)
    );
    let short = Audit {
        retention_days: 7,
        ..Audit::default()
    };
    let gateway = ObjectRef {
        kind: "ClawGateway".to_owned(),
        name: "desk".to_owned(),
    };
    let found = super::Found {
        secrets: &Secrets::default(),
        config_maps: &ConfigMaps::default(),
        outbound: &OutboundConfig::default(),
    };
    let kept = super::audit::compile(&gateway, &short, found, &mut Vec::new());
    assert_eq!(kept.retention_days, 180, "whoever got around the schema");
}
