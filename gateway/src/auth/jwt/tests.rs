//! Tokens of every algorithm, made here, and the attacks that are known.

mod attacks;
mod fuzz;
mod issuer;
mod published;

use claw_crds::gateway_config::{ClaimRule, ClaimTest, JwtAlgorithm};
use rstest::rstest;
use serde_json::json;

use super::*;
use issuer::{AUDIENCE, ISSUER, Signer, config, now, standard};

fn recognise(config: &JwtConfig, token: &str) -> Recognised {
    let issuers = Issuers::new(std::slice::from_ref(config)).expect("keys");
    match issuers.issuer_of(token) {
        Ok((token, issuer)) => issuer.recognise(&token, Timestamp::now()),
        Err(fault) => Recognised::Fault(fault),
    }
}

fn fault(config: &JwtConfig, token: &str) -> TokenFault {
    match recognise(config, token) {
        Recognised::Fault(fault) => fault,
        other => panic!("no fault: {other:?}"),
    }
}

#[rstest]
#[case(JwtAlgorithm::RS256)]
#[case(JwtAlgorithm::RS384)]
#[case(JwtAlgorithm::RS512)]
#[case(JwtAlgorithm::PS256)]
#[case(JwtAlgorithm::PS384)]
#[case(JwtAlgorithm::PS512)]
#[case(JwtAlgorithm::ES256)]
#[case(JwtAlgorithm::ES384)]
#[case(JwtAlgorithm::EdDSA)]
fn a_good_token_of_every_algorithm_names_its_caller(#[case] algorithm: JwtAlgorithm) {
    let signer = Signer::new(algorithm, "one");
    let config = config(&[&signer]);
    let token = signer.sign(&standard());
    let Recognised::Caller(caller) = recognise(&config, &token) else {
        panic!("{algorithm:?} is refused: {:?}", recognise(&config, &token))
    };
    assert_eq!(&*caller.name, "jwt:corp/ada");
    // One bit of the signature, and one of the claims.
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let good = parts.clone();
    parts[2] = issuer::flipped(&parts[2]);
    assert_eq!(fault(&config, &parts.join(".")), TokenFault::Signature);
    let mut claims = standard();
    claims["sub"] = "eve".into();
    parts = good;
    parts[1] = issuer::encoded(&claims);
    assert_eq!(fault(&config, &parts.join(".")), TokenFault::Signature);
}

#[rstest]
#[case::expired(json!({"exp": now() - 61}), TokenFault::Expired)]
#[case::no_expiry(json!({"exp": null}), TokenFault::Claim("exp".into()))]
#[case::expiry_as_text(json!({"exp": "tomorrow"}), TokenFault::Claim("exp".into()))]
#[case::endless(json!({"exp": 1e300}), TokenFault::Claim("exp".into()))]
#[case::not_yet(json!({"nbf": now() + 120}), TokenFault::NotYet)]
#[case::issued_in_the_future(json!({"iat": now() + 120}), TokenFault::NotYet)]
#[case::another_audience(json!({"aud": "billing"}), TokenFault::Audience)]
#[case::no_audience(json!({"aud": []}), TokenFault::Audience)]
#[case::another_issuer(json!({"iss": "https://evil.example"}), TokenFault::Issuer)]
#[case::almost_the_issuer(json!({"iss": format!("{ISSUER}/")}), TokenFault::Issuer)]
#[case::no_subject(json!({"sub": ""}), TokenFault::Claim("sub".into()))]
#[case::a_subject_of_two_lines(json!({"sub": "ada\nroot"}), TokenFault::Claim("sub".into()))]
#[case::a_number_as_subject(json!({"sub": 7}), TokenFault::Claim("sub".into()))]
fn claims_that_do_not_fit_are_refused(#[case] change: Value, #[case] expected: TokenFault) {
    let signer = Signer::new(JwtAlgorithm::EdDSA, "one");
    let mut claims = standard();
    for (name, value) in change.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    assert_eq!(fault(&config(&[&signer]), &signer.sign(&claims)), expected);
}

#[rstest]
#[case::just_expired(json!({"exp": now() - 30}))]
#[case::about_to_be_valid(json!({"nbf": now() + 30}))]
#[case::several_audiences(json!({"aud": ["billing", AUDIENCE]}))]
#[case::a_fraction(json!({"exp": 4_102_444_800.5}))]
fn claims_within_reason_are_taken(#[case] change: Value) {
    let signer = Signer::new(JwtAlgorithm::EdDSA, "one");
    let mut claims = standard();
    for (name, value) in change.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let outcome = recognise(&config(&[&signer]), &signer.sign(&claims));
    assert!(matches!(outcome, Recognised::Caller(_)), "{outcome:?}");
}

#[test]
fn claims_say_who_a_caller_is_and_what_it_may_use() {
    let signer = Signer::new(JwtAlgorithm::EdDSA, "one");
    let mut config = config(&[&signer]);
    config.claims.name = Some("email".into());
    config.claims.models = Some("models".into());
    config.claims.required.push(ClaimRule {
        claim: "groups".into(),
        test: ClaimTest::Contains("chat".into()),
    });
    let mut claims = standard();
    claims["email"] = "ada@example.com".into();
    claims["models"] = "small big".into();
    assert_eq!(
        fault(&config, &signer.sign(&claims)),
        TokenFault::Claim("groups".into())
    );
    claims["groups"] = json!(["mail", "chat"]);
    let Recognised::Caller(caller) = recognise(&config, &signer.sign(&claims)) else {
        panic!("refused")
    };
    assert_eq!(&*caller.name, "jwt:corp/ada@example.com");
    assert!(caller.grant.allows_model("big") && !caller.grant.allows_model("huge"));
    claims["models"].take();
    let Recognised::Caller(caller) = recognise(&config, &signer.sign(&claims)) else {
        panic!("refused")
    };
    assert!(!caller.grant.allows_model("small"));
}

#[rstest]
#[case::at_the_end_of_the_skew("exp", -60, false)]
#[case::just_within("exp", -59, true)]
#[case::at_the_beginning_of_the_skew("nbf", 60, true)]
#[case::just_before("nbf", 61, false)]
fn the_skew_has_exact_edges(#[case] claim: &str, #[case] offset: i64, #[case] is_good: bool) {
    let signer = Signer::new(JwtAlgorithm::EdDSA, "one");
    let at = Timestamp::from_second(now()).expect("a time");
    let mut claims = standard();
    claims[claim] = (at.as_second() + offset).into();
    let issuers = Issuers::new(&[config(&[&signer])]).expect("keys");
    let text = signer.sign(&claims);
    let (token, issuer) = issuers.issuer_of(&text).expect("a token of the issuer");
    let outcome = issuer.recognise(&token, at);
    assert_eq!(
        matches!(outcome, Recognised::Caller(_)),
        is_good,
        "{outcome:?}"
    );
}
