//! Certificates of authorities that are made here.

use claw_crds::compile::InvalidRevocationList;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber,
};
use rstest::rstest;
use time::{Duration, OffsetDateTime};

use super::*;

pub(in crate::auth) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(in crate::auth) fn authority() -> Authority {
    authority_named("callers")
}

fn authority_named(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

pub(in crate::auth) fn client(common_name: &str, alternatives: &[SanType]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.subject_alt_names = alternatives.to_vec();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

pub(in crate::auth) fn issued(by: &Authority, params: &CertificateParams) -> PeerCertificate {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, by).expect("a certificate");
    PeerCertificate::new(&[certificate.der().clone()]).expect("one")
}

fn config(by: &Authority) -> ClientCertificatesConfig {
    ClientCertificatesConfig {
        authorities: by.pem(),
        revocation_lists: Vec::new(),
        outdated_lists_count: false,
        required: false,
        names: None,
    }
}

fn accepted(by: &Authority, names: Option<&[&str]>) -> Arc<ClientCertificates> {
    let config = ClientCertificatesConfig {
        names: names.map(|names| names.iter().map(ToString::to_string).collect()),
        ..config(by)
    };
    Arc::new(ClientCertificates::new(&config).expect("authorities"))
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a name"))
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("a URI"))
}

fn email(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().expect("an address"))
}

#[rstest]
#[case("ada", &[], Some("cert:ada"))]
#[case("ada", &[email("ada@example.com")], Some("cert:ada@example.com"))]
#[case("ada", &[email("ada@example.com"), dns("web.shop.svc")], Some("cert:web.shop.svc"))]
#[case("ada", &[dns("web.shop.svc"), uri("spiffe://shop/web")], Some("cert:spiffe://shop/web"))]
#[case("two\nlines", &[], None)]
#[case("", &[], None)]
fn a_certificate_names_its_holder(
    #[case] common_name: &str,
    #[case] alternatives: &[SanType],
    #[case] expected: Option<&str>,
) {
    let authority = authority();
    let peer = issued(&authority, &client(common_name, alternatives));
    let outcome = peer.caller(&accepted(&authority, None));
    match expected {
        Some(name) => assert_eq!(&*outcome.expect("known").name, name),
        None => assert_eq!(outcome, Err(CertificateFault::Nameless)),
    }
}

#[test]
fn only_listed_names_are_admitted() {
    let authority = authority();
    let names: &[&str] = &["ada", "spiffe://shop/*"];
    let outcome = |peer: PeerCertificate| peer.caller(&accepted(&authority, Some(names)));
    outcome(issued(&authority, &client("ada", &[]))).expect("listed");
    outcome(issued(
        &authority,
        &client("x", &[uri("spiffe://shop/web")]),
    ))
    .expect("begins so");
    assert_eq!(
        outcome(issued(&authority, &client("eve", &[]))),
        Err(CertificateFault::Name("eve".into()))
    );
}

#[test]
fn others_authorities_purposes_and_times_do_not_count() {
    let (ours, theirs) = (authority(), authority());
    let now = OffsetDateTime::now_utc();
    let mut server = client("ada", &[]);
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut late = client("ada", &[]);
    late.not_after = now - Duration::hours(1);
    let mut early = client("ada", &[]);
    early.not_before = now + Duration::hours(1);
    let accepted = accepted(&ours, None);
    for peer in [
        issued(&theirs, &client("ada", &[])),
        issued(&ours, &server),
        issued(&ours, &late),
        issued(&ours, &early),
    ] {
        assert_eq!(peer.caller(&accepted), Err(CertificateFault::NotTrusted));
    }
}

#[test]
fn a_connection_is_judged_anew_when_the_authorities_change() {
    let (old, new) = (authority(), authority());
    let peer = issued(&old, &client("ada", &[]));
    let before = accepted(&old, None);
    for _ in 0..2 {
        peer.caller(&before).expect("known");
    }
    let after = accepted(&new, None);
    assert_eq!(peer.caller(&after), Err(CertificateFault::NotTrusted));
    peer.caller(&before).expect("known");
}

#[test]
fn a_certificate_is_good_to_the_end_of_its_life() {
    let authority = authority();
    let mut params = client("ada", &[]);
    let end = OffsetDateTime::now_utc() + Duration::hours(1);
    params.not_after = end;
    let caller = issued(&authority, &params).caller(&accepted(&authority, None));
    let caller = caller.expect("known");
    let at = |seconds: i64| Timestamp::from_second(end.unix_timestamp() + seconds).expect("a time");
    caller
        .grant
        .admit("/v1/models", None, at(-1))
        .expect("alive");
    caller
        .grant
        .admit("/v1/models", None, at(0))
        .expect_err("over");
}

#[test]
fn authorities_that_are_none_are_refused() {
    for authorities in [
        "",
        "nothing",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let config = ClientCertificatesConfig {
            authorities: authorities.into(),
            ..config(&authority())
        };
        ClientCertificates::new(&config).expect_err(authorities);
    }
}

/// A certificate with that number.
fn numbered(by: &Authority, number: u64) -> PeerCertificate {
    let mut params = client("ada", &[]);
    params.serial_number = Some(SerialNumber::from(number));
    issued(by, &params)
}

/// The authority's list of `revoked`, of the hour before `end`.
fn list(by: &Authority, revoked: &[u64], end: OffsetDateTime) -> String {
    let begin = end - Duration::hours(1);
    let revoked = revoked.iter().map(|number| RevokedCertParams {
        serial_number: SerialNumber::from(*number),
        revocation_time: begin,
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: begin,
        next_update: end,
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(by).expect("a list").pem().expect("PEM")
}

fn minutes_from_now(minutes: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::minutes(minutes)
}

fn with_lists(by: &Authority, lists: &[String]) -> ClientCertificatesConfig {
    ClientCertificatesConfig {
        revocation_lists: lists.to_vec(),
        ..config(by)
    }
}

fn usable(config: &ClientCertificatesConfig) -> Arc<ClientCertificates> {
    Arc::new(ClientCertificates::new(config).expect("usable"))
}

fn outcome(
    peer: &PeerCertificate,
    config: &ClientCertificatesConfig,
) -> Result<Caller, CertificateFault> {
    peer.caller(&usable(config))
}

#[test]
fn what_is_on_a_list_is_refused_and_what_is_not_is_admitted() {
    let authority = authority();
    let config = with_lists(
        &authority,
        &[list(&authority, &[1, 3], minutes_from_now(30))],
    );
    for (number, is_revoked) in [(1, true), (2, false), (3, true)] {
        let outcome = outcome(&numbered(&authority, number), &config);
        assert_eq!(
            outcome.is_err_and(|why| why == CertificateFault::Revoked),
            is_revoked
        );
    }
}

#[test]
fn of_several_lists_of_one_authority_the_newest_counts() {
    let authority = authority();
    let old = list(&authority, &[1], minutes_from_now(30));
    let new = list(&authority, &[1, 2], minutes_from_now(40));
    // In one text or in several, in whatever order.
    for lists in [
        vec![old.clone(), new.clone()],
        vec![new.clone(), old.clone()],
        vec![format!("{old}{new}")],
    ] {
        let outcome = outcome(&numbered(&authority, 2), &with_lists(&authority, &lists));
        assert_eq!(outcome, Err(CertificateFault::Revoked));
    }
}

#[test]
fn without_the_list_of_its_authority_a_certificate_is_refused() {
    let (ours, theirs) = (authority(), authority_named("others"));
    let config = ClientCertificatesConfig {
        authorities: format!("{}{}", ours.pem(), theirs.pem()),
        ..with_lists(&ours, &[list(&ours, &[], minutes_from_now(30))])
    };
    outcome(&numbered(&ours, 1), &config).expect("its list does not have it");
    let unknown = outcome(&numbered(&theirs, 1), &config);
    assert_eq!(unknown, Err(CertificateFault::RevocationUnknown));
}

#[test]
fn a_list_that_somebody_else_signed_does_not_count() {
    let (ours, forger) = (authority(), authority());
    let config = with_lists(&ours, &[list(&forger, &[], minutes_from_now(30))]);
    let outcome = outcome(&numbered(&ours, 1), &config);
    assert_eq!(outcome, Err(CertificateFault::RevocationUnknown));
}

#[test]
fn an_outdated_list_refuses_all_unless_it_is_to_count() {
    let authority = authority();
    let mut config = with_lists(&authority, &[list(&authority, &[1], minutes_from_now(-1))]);
    let good = numbered(&authority, 2);
    let unknown = Err(CertificateFault::RevocationUnknown);
    assert_eq!(outcome(&good, &config), unknown);
    config.outdated_lists_count = true;
    outcome(&good, &config).expect("it is not on the list");
    let revoked = outcome(&numbered(&authority, 1), &config);
    assert_eq!(revoked, Err(CertificateFault::Revoked));
}

#[test]
fn connections_are_judged_anew_once_a_list_is_outdated() {
    let authority = authority();
    let end = minutes_from_now(30);
    let config = with_lists(&authority, &[list(&authority, &[], end)]);
    let accepted = usable(&config);
    let at = |minutes: i64| {
        Timestamp::from_second((end + Duration::minutes(minutes)).unix_timestamp()).expect("a time")
    };
    assert!(!accepted.has_lost_a_list(at(-2), at(-1)));
    assert!(accepted.has_lost_a_list(at(-1), at(0)));
    assert!(
        !accepted.has_lost_a_list(at(0), at(1)),
        "that was known then"
    );
    let accepted = usable(&ClientCertificatesConfig {
        outdated_lists_count: true,
        ..config
    });
    assert!(!accepted.has_lost_a_list(at(-1), at(0)));
}

#[test]
fn lists_that_are_none_are_named() {
    let authority = authority();
    let good = list(&authority, &[], minutes_from_now(30));
    for (bad, expected) in [
        ("nothing".to_owned(), InvalidRevocationList::NotPem),
        (authority.pem(), InvalidRevocationList::NotPem),
        (
            good.replace("X509 CRL", "X509 CRLS"),
            InvalidRevocationList::NotPem,
        ),
    ] {
        let config = with_lists(&authority, &[good.clone(), bad]);
        let error = ClientCertificates::new(&config).expect_err("refused");
        let text = error.to_string();
        assert!(
            text.contains("clientCertificates.revocationLists[1]"),
            "{text}"
        );
        let source = std::error::Error::source(&error).expect("a cause");
        assert_eq!(source.to_string(), expected.to_string());
    }
}
