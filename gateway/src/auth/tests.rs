//! API keys, guesses, and what is told of refusals.

use std::sync::LazyLock;

use claw_crds::gateway_config::{
    ApiKeyConfig, AuthConfig, ClientCertificatesConfig, GrantConfig, IdentitiesConfig,
    OutboundConfig,
};
use http::header::AUTHORIZATION;

use super::client_certificate::tests::{Authority, authority, client, issued};
use super::policy::InvalidPolicy;
use super::*;

/// One for all, since clients take their time to be made.
static OUTBOUND: LazyLock<Outbound> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Outbound::new(OutboundConfig::default()).expect("clients")
});

fn key(name: &str, key: &str) -> ApiKeyConfig {
    ApiKeyConfig {
        name: name.into(),
        sha256: hash_key(key),
        grant: GrantConfig::default(),
    }
}

fn admitting(keys: Vec<ApiKeyConfig>) -> Result<AccessPolicy, InvalidPolicy> {
    AccessPolicy::new(&AuthConfig::ApiKeys(keys), &IdentitiesConfig::default())
}

fn policy() -> AccessPolicy {
    let keys = vec![key("team/a", "alpha"), key("team/b", "beta")];
    admitting(keys).expect("valid keys")
}

fn with_header(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("header"))])
}

async fn visited(
    policy: &AccessPolicy,
    attempts: &Attempts,
    headers: &HeaderMap,
) -> Result<Caller, Denied> {
    let visit = Visit {
        headers,
        path: "/v1/models",
        address: Some(IpAddr::from([192, 0, 2, 1])),
        certificate: None,
    };
    let means = Means {
        outbound: &OUTBOUND,
        tasks: &TaskTracker::new(),
    };
    identify(policy, attempts, &means, visit).await
}

#[tokio::test]
async fn a_known_key_is_called_by_its_name() {
    let caller = visited(&policy(), &Attempts::default(), &with_header("bearer beta")).await;
    assert_eq!(&*caller.expect("known").name, "team/b");
}

#[tokio::test]
async fn refusals_never_repeat_the_key() {
    let attempts = Attempts::default();
    for value in [
        "Bearer gamma-secret",
        "Basic gamma-secret",
        "gamma-secret",
        "Bearer ",
    ] {
        let denied = visited(&policy(), &attempts, &with_header(value))
            .await
            .expect_err(value);
        let error = GatewayError::from(denied);
        assert_eq!(error.status(), 401, "{value}");
        assert!(!error.to_string().contains("gamma"), "{error}");
    }
    assert!(
        visited(&policy(), &attempts, &HeaderMap::new())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_empty_list_of_keys_admits_nobody() {
    let policy = admitting(Vec::new()).expect("valid");
    assert!(
        visited(&policy, &Attempts::default(), &with_header("Bearer alpha"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_expired_key_is_told_since_when() {
    let mut expired = key("team/a", "alpha");
    expired.grant.expires = "2026-01-31T00:00:00Z".parse().ok();
    let policy = admitting(vec![expired]).expect("valid");
    let denied = visited(&policy, &Attempts::default(), &with_header("Bearer alpha")).await;
    let error = GatewayError::from(denied.expect_err("expired"));
    assert_eq!(error.status(), 401);
    assert!(
        error.to_string().contains("2026-01-31T00:00:00Z"),
        "{error}"
    );
}

#[tokio::test]
async fn guesses_are_slowed_and_the_right_key_goes_on() {
    let (policy, attempts) = (policy(), Attempts::default());
    visited(&policy, &attempts, &with_header("Bearer alpha"))
        .await
        .expect("known");
    let mut outcomes = Vec::new();
    for guess in 0..20 {
        let headers = with_header(&format!("Bearer guess-{guess}"));
        outcomes.push(
            visited(&policy, &attempts, &headers)
                .await
                .expect_err("a guess"),
        );
    }
    assert!(
        outcomes[..11]
            .iter()
            .all(|denied| *denied == Denied::Unknown)
    );
    assert!(
        outcomes[11..]
            .iter()
            .all(|denied| denied.reason() == "throttled")
    );
    visited(&policy, &attempts, &with_header("Bearer alpha"))
        .await
        .expect("known from here");
    let new = visited(&policy, &attempts, &with_header("Bearer beta"))
        .await
        .expect_err("new here");
    assert_eq!(GatewayError::from(new).status(), 429);
}

#[test]
fn a_malformed_hash_is_named() {
    let mut key = key("team/a", "alpha");
    key.sha256 = "beef".into();
    let error = admitting(vec![key]).expect_err("too short");
    assert!(error.to_string().contains("team/a"), "{error}");
}

/// Takes every certificate of this authority.
fn accepting(authority: &Authority) -> ClientCertificatesConfig {
    ClientCertificatesConfig {
        authorities: authority.pem(),
        revocation_lists: Vec::new(),
        outdated_lists_count: false,
        required: false,
        names: None,
    }
}

/// The outcome for a caller with this certificate, and perhaps a header.
async fn shown(
    keys: Vec<ApiKeyConfig>,
    certificate: Option<(&Authority, &PeerCertificate)>,
    header: Option<&str>,
) -> Result<Caller, Denied> {
    let accepted = certificate.map(|(authority, _)| accepting(authority));
    shown_to(accepted, keys, certificate.map(|(_, peer)| peer), header).await
}

/// The same where these certificates are accepted.
async fn shown_to(
    client_certificates: Option<ClientCertificatesConfig>,
    keys: Vec<ApiKeyConfig>,
    certificate: Option<&PeerCertificate>,
    header: Option<&str>,
) -> Result<Caller, Denied> {
    let identities = IdentitiesConfig {
        client_certificates,
        ..IdentitiesConfig::default()
    };
    let policy = AccessPolicy::new(&AuthConfig::ApiKeys(keys), &identities).expect("valid");
    let headers = header.map(with_header).unwrap_or_default();
    let visit = Visit {
        headers: &headers,
        path: "/v1/models",
        address: None,
        certificate,
    };
    let means = Means {
        outbound: &OUTBOUND,
        tasks: &TaskTracker::new(),
    };
    identify(&policy, &Attempts::default(), &means, visit).await
}

#[tokio::test]
async fn a_required_certificate_counts_beside_a_credential() {
    let (ours, theirs) = (authority(), authority());
    let required = || ClientCertificatesConfig {
        required: true,
        names: Some(["ada".to_owned()].into()),
        ..accepting(&ours)
    };
    let with_key = async |certificate: Option<&PeerCertificate>| {
        let keys = vec![key("team/a", "alpha")];
        let outcome = shown_to(Some(required()), keys, certificate, Some("Bearer alpha")).await;
        outcome.map(|caller| caller.name.to_string())
    };
    let ada = issued(&ours, &client("ada", &[]));
    assert_eq!(with_key(Some(&ada)).await, Ok("team/a".to_owned()));
    // Its connection may be from before they were required.
    assert_eq!(with_key(None).await, Err(Denied::NoCertificate));
    let eve = issued(&ours, &client("eve", &[]));
    let stranger = issued(&theirs, &client("ada", &[]));
    for refused in [&eve, &stranger] {
        let outcome = with_key(Some(refused)).await;
        assert!(
            matches!(outcome, Err(Denied::Certificate(_))),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_credential_decides_alone_where_credentials_are_taken() {
    let authority = authority();
    let peer = issued(&authority, &client("ada", &[]));
    let certificate = Some((&authority, &peer));
    let keys = || vec![key("team/a", "alpha")];
    let name = |outcome: Result<Caller, Denied>| outcome.map(|caller| caller.name.to_string());
    let ada = Ok("cert:ada".to_owned());
    assert_eq!(name(shown(keys(), certificate, None).await), ada);
    let with_key = shown(keys(), certificate, Some("Bearer alpha")).await;
    assert_eq!(name(with_key), Ok("team/a".to_owned()));
    for (header, expected) in [
        ("Bearer beta", Denied::Unknown),
        ("alpha", Denied::Malformed),
    ] {
        assert_eq!(
            shown(keys(), certificate, Some(header)).await,
            Err(expected)
        );
    }
    assert_eq!(
        name(shown(Vec::new(), certificate, Some("Bearer any")).await),
        ada
    );
    assert_eq!(shown(keys(), None, None).await, Err(Denied::Missing));
}
