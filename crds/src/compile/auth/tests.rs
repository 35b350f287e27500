//! Ways to be known besides API keys.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, SerialNumber,
};
use rstest::rstest;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::{
    GatewayConfig,
    compile::{
        Problem, ProblemReason,
        tests::{compiled, objects},
    },
    gateway_config::{AuthConfig, ClaimTest, JwksConfig},
};

const AUTH: &str = "auth: {apiKeys: {selector: {matchLabels: {use: keys}}}}";
const TLS: &str = "tls: {disabled: {}}";

fn compile(auth: &str, more: &[(&str, &str)]) -> (Option<GatewayConfig>, Vec<String>) {
    let auth = format!("auth: {auth}");
    let mut edits = vec![(AUTH, auth.as_str())];
    edits.extend(more);
    let compilation = compiled(&objects(&edits));
    let problems = compilation.problems.iter().map(ToString::to_string);
    (compilation.config, problems.collect())
}

fn issuer(more: &str) -> String {
    format!("{{jwt: [{{name: corp, issuer: https://login.example, audiences: [claw], {more}}}]}}")
}

#[test]
fn an_issuer_is_taken_over_with_its_defaults() {
    let auth = issuer(
        "jwks: {url: 'https://login.example/keys'}, claims: {required: [{claim: groups, contains: chat}]}",
    );
    let (config, problems) = compile(&auth, &[]);
    assert_eq!(problems, Vec::<String>::new());
    let config = config.expect("a configuration");
    assert_eq!(config.auth, AuthConfig::ApiKeys(Vec::new()));
    let [jwt] = &config.identities.jwt[..] else {
        panic!("{:?}", config.identities)
    };
    assert_eq!(jwt.clock_skew_seconds, 60);
    assert_eq!(
        jwt.jwks,
        JwksConfig::Url("https://login.example/keys".into())
    );
    let [rule] = &jwt.claims.required[..] else {
        panic!("{jwt:?}")
    };
    assert_eq!(rule.test, ClaimTest::Contains("chat".into()));
}

#[rstest]
#[case::plain_http("jwks: {url: 'http://login.example/keys'}", "can be forged on its way")]
#[case::private_address(
    "jwks: {url: 'https://10.1.2.3/keys'}",
    "which the gateway may not call"
)]
#[case::credentials(
    "jwks: {url: 'https://me:s3cret@login.example/keys'}",
    "carries credentials"
)]
#[case::no_json("jwks: {inline: 's3cret'}", "not a JSON Web Key Set")]
#[case::no_key("jwks: {inline: '{\"keys\": []}'}", "it has no key")]
#[case::private_key(
    "jwks: {inline: '{\"keys\": [{\"kty\": \"RSA\", \"d\": \"s3cret\"}]}'}",
    "private or symmetric key"
)]
#[case::shared_secret(
    "jwks: {inline: '{\"keys\": [{\"kty\": \"oct\", \"k\": \"s3cret\"}]}'}",
    "private or symmetric key"
)]
fn an_issuer_that_cannot_be_trusted_admits_nobody(#[case] jwks: &str, #[case] expected: &str) {
    let (config, problems) = compile(&issuer(jwks), &[]);
    assert!(config.expect("the rest serves").identities.jwt.is_empty());
    assert!(
        problems[0].contains("spec.auth.jwt[0].jwks"),
        "{problems:?}"
    );
    assert!(problems[0].contains(expected), "{problems:?}");
    assert!(!problems[0].contains("s3cret"), "{problems:?}");
}

#[test]
fn two_entries_for_one_issuer_are_a_conflict() {
    let entry = |name: &str| {
        format!(
            "{{name: {name}, issuer: https://login.example, audiences: [claw], jwks: {{url: 'https://login.example/k'}}}}"
        )
    };
    let auth = format!("{{jwt: [{}, {}]}}", entry("one"), entry("two"));
    let (config, problems) = compile(&auth, &[]);
    assert_eq!(config.expect("the first serves").identities.jwt.len(), 1);
    assert!(
        problems[0].contains("another entry has that name or issuer"),
        "{problems:?}"
    );
}

const SERVER: &str = "{introspection: {url: 'https://login.example/i', clientID: me, clientSecret: {secretKeyRef: {name: provider, key: token}}}}";

#[test]
fn an_introspecting_server_is_asked_with_the_secret() {
    let (config, problems) = compile(SERVER, &[]);
    assert_eq!(problems, Vec::<String>::new());
    let config = config.expect("a configuration");
    let introspection = config.identities.introspection.as_ref().expect("a server");
    assert_eq!(introspection.client_secret.expose(), "sk-provider");
    assert_eq!(introspection.cache_seconds, 60);
    assert!(!format!("{config:?}").contains("sk-provider"));
}

#[test]
fn a_server_without_its_secret_is_told_and_admits_nobody() {
    let (config, problems) = compile(&SERVER.replace("key: token", "key: nothing"), &[]);
    assert_eq!(
        config.expect("the rest serves").identities.introspection,
        None
    );
    let field = "spec.auth.introspection.clientSecret.secretKeyRef.key";
    assert!(problems[0].contains(field), "{problems:?}");
}

const CERTIFICATES: &str = "{clientCertificates: {caCertificate: {secretKeyRef: {name: provider, key: token}}, mode: MODE}}";

#[rstest]
#[case("Optional", true)]
#[case("Required", false)]
fn authorities_that_are_none_close_this_way_or_all(#[case] mode: &str, #[case] serves: bool) {
    let authority = (TLS, "tls: {selfSigned: {}}");
    let (config, problems) = compile(&CERTIFICATES.replace("MODE", mode), &[authority]);
    let told = problems
        .iter()
        .find(|problem| problem.contains("caCertificate"));
    assert!(
        told.is_some_and(|told| told.contains("not PEM")),
        "{problems:?}"
    );
    // The certificate of the gateway itself is missing here, too.
    let is_fatal = compiled_is_fatal(mode, authority);
    assert_eq!((config, is_fatal), (None, !serves));
}

const MAP: &str =
    "auth: {clientCertificates: {caCertificate: {configMapKeyRef: {name: callers, key: KEY}}}}";

/// What is told of the authorities in that entry of a ConfigMap.
fn told_of_map(key: &str, authority: &str) -> Option<Problem> {
    let auth = MAP.replace("KEY", key);
    let mut selection = objects(&[(AUTH, &auth), (TLS, "tls: {selfSigned: {}}")]);
    let map = json!({
        "metadata": {"name": "callers"},
        "data": {"ca.crt": authority, "junk": "junk"},
        "binaryData": {"bytes": "/w=="},
    });
    let map = serde_json::from_value(map).expect("a ConfigMap");
    selection.config_maps.insert(&map);
    let mut problems = compiled(&selection).problems.into_iter();
    problems.find(|problem| problem.field.contains("caCertificate"))
}

#[test]
fn authorities_may_be_in_a_config_map() {
    assert_eq!(told_of_map("ca.crt", &authority().pem()), None);
}

#[rstest]
#[case(
    "gone",
    ProblemReason::ConfigMapNotFound,
    "name one of: bytes, ca.crt, junk"
)]
#[case("junk", ProblemReason::InvalidConfigMap, "not PEM")]
#[case("bytes", ProblemReason::InvalidConfigMap, "not PEM text")]
fn a_config_map_that_does_not_fit_is_told(
    #[case] key: &str,
    #[case] reason: ProblemReason,
    #[case] expected: &str,
) {
    let told = told_of_map(key, &authority().pem()).expect("told");
    let reference = "spec.auth.clientCertificates.caCertificate.configMapKeyRef.key";
    assert_eq!((told.field.as_str(), told.reason), (reference, reason));
    assert!(told.to_string().contains(expected), "{told}");
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn compiled_is_fatal(mode: &str, authority: (&str, &str)) -> bool {
    let auth = format!("auth: {}", CERTIFICATES.replace("MODE", mode));
    let compilation = compiled(&objects(&[(AUTH, &auth), authority]));
    let mut problems = compilation.problems.iter();
    problems.any(|problem| problem.field.contains("caCertificate") && problem.is_fatal())
}

/// What is told of a revocation list with that text.
fn told_of_list(list: &str, mode: &str) -> Option<Problem> {
    let auth = format!(
        "auth: {{clientCertificates: {{caCertificate: {{configMapKeyRef: {{name: callers, key: ca.crt}}}}, mode: {mode}, \
         revocationLists: [{{configMapKeyRef: {{name: callers, key: ca.crl}}}}]}}}}"
    );
    let mut selection = objects(&[(AUTH, &auth), (TLS, "tls: {selfSigned: {}}")]);
    let map = json!({
        "metadata": {"name": "callers"},
        "data": {"ca.crt": authority().pem(), "ca.crl": list},
    });
    let map = serde_json::from_value(map).expect("a ConfigMap");
    selection.config_maps.insert(&map);
    let mut problems = compiled(&selection).problems.into_iter();
    problems.find(|problem| problem.field.contains("revocationLists"))
}

fn revocation_list() -> String {
    let now = OffsetDateTime::now_utc();
    let list = CertificateRevocationListParams {
        this_update: now,
        next_update: now + Duration::hours(1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&authority()).expect("a list");
    list.pem().expect("PEM")
}

#[test]
fn a_revocation_list_is_taken_over() {
    assert_eq!(told_of_list(&revocation_list(), "Optional"), None);
}

#[rstest]
#[case::no_pem("junk".to_owned(), "not PEM")]
#[case::no_list("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".to_owned(), "damaged")]
#[case::too_many(revocation_list().repeat(1500), "400000 fit")]
fn a_broken_revocation_list_keeps_what_was_served_before(
    #[case] list: String,
    #[case] expected: &str,
    #[values("Optional", "Required")] mode: &str,
) {
    let told = told_of_list(&list, mode).expect("told");
    let reference = "spec.auth.clientCertificates.revocationLists[0].configMapKeyRef.key";
    let expectation = (reference, ProblemReason::InvalidConfigMap, true);
    assert_eq!(
        (told.field.as_str(), told.reason, told.is_fatal()),
        expectation
    );
    assert!(told.to_string().contains(expected), "{told}");
}
