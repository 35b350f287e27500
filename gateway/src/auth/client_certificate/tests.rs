//! Certificates of authorities that are made here.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rstest::rstest;
use time::{Duration, OffsetDateTime};

use super::*;

pub(in crate::auth) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(in crate::auth) fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "callers");
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

fn accepted(by: &Authority, names: Option<&[&str]>) -> Arc<ClientCertificates> {
    let config = ClientCertificatesConfig {
        authorities: by.pem(),
        required: false,
        names: names.map(|names| names.iter().map(ToString::to_string).collect()),
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
            required: true,
            names: None,
        };
        ClientCertificates::new(&config).expect_err(authorities);
    }
}
