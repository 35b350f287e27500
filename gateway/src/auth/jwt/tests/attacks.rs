//! What has broken other verifiers.

use super::issuer::jwks;
use super::*;

#[test]
fn an_unsigned_token_is_refused_however_it_spells_none() {
    let signer = Signer::new(JwtAlgorithm::RS256, "one");
    let config = config(&[&signer]);
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": none, "kid": "one"});
        let message = format!(
            "{}.{}",
            issuer::encoded(&header),
            issuer::encoded(&standard())
        );
        assert_eq!(
            fault(&config, &format!("{message}.")),
            TokenFault::Signature,
            "{none}"
        );
        let token = signer.sign_with(&header, &standard());
        assert_eq!(fault(&config, &token), TokenFault::Signature, "{none}");
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let signer = Signer::new(JwtAlgorithm::RS256, "one");
    let config = config(&[&signer]);
    let header = json!({"alg": "HS256", "kid": "one"});
    let message = format!(
        "{}.{}",
        issuer::encoded(&header),
        issuer::encoded(&standard())
    );
    // What the attacker signs with: the key as everybody knows it.
    let secrets = [
        signer.jwk().to_string().into_bytes(),
        signer.jwk()["n"].as_str().expect("n").as_bytes().to_vec(),
    ];
    for secret in secrets {
        use base64::Engine as _;
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
        let tag = ring::hmac::sign(&key, message.as_bytes());
        let tag = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag);
        assert_eq!(
            fault(&config, &format!("{message}.{tag}")),
            TokenFault::Signature
        );
    }
}

#[test]
fn an_algorithm_that_does_not_fit_the_key_is_refused() {
    let (rsa, ed) = (
        Signer::new(JwtAlgorithm::RS256, "rsa"),
        Signer::new(JwtAlgorithm::EdDSA, "ed"),
    );
    let config = config(&[&rsa, &ed]);
    for (signer, algorithm, id) in [
        (&ed, "RS256", "rsa"),
        (&rsa, "EdDSA", "rsa"),
        (&rsa, "ES256", "ed"),
    ] {
        let token = signer.sign_with(&json!({"alg": algorithm, "kid": id}), &standard());
        assert_eq!(
            fault(&config, &token),
            TokenFault::Signature,
            "{algorithm} {id}"
        );
    }
}

#[test]
fn a_key_that_comes_with_the_token_is_not_looked_at() {
    let (ours, theirs) = (
        Signer::new(JwtAlgorithm::ES256, "one"),
        Signer::new(JwtAlgorithm::ES256, "one"),
    );
    let config = config(&[&ours]);
    for (member, value) in [
        ("jwk", theirs.jwk()),
        ("jku", json!("http://127.0.0.1:9/keys")),
        ("x5u", json!("http://127.0.0.1:9/chain")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "one"});
        header[member] = value;
        assert_eq!(
            fault(&config, &theirs.sign_with(&header, &standard())),
            TokenFault::Signature
        );
        let genuine = recognise(&config, &ours.sign_with(&header, &standard()));
        assert!(
            matches!(genuine, Recognised::Caller(_)),
            "{member}: {genuine:?}"
        );
    }
}

#[test]
fn an_id_that_is_a_path_or_a_query_names_no_key() {
    let signer = Signer::new(JwtAlgorithm::ES256, "one");
    let config = config(&[&signer]);
    for id in [
        "../../../../dev/null",
        "/dev/null",
        "one' OR '1'='1",
        "http://evil.example/key",
        "",
    ] {
        let token = signer.sign_with(&json!({"alg": "ES256", "kid": id}), &standard());
        assert_eq!(fault(&config, &token), TokenFault::Signature, "{id}");
    }
}

#[test]
fn an_extension_that_must_be_understood_is_not() {
    let signer = Signer::new(JwtAlgorithm::ES256, "one");
    let header = json!({"alg": "ES256", "kid": "one", "crit": ["b64"], "b64": false});
    let token = signer.sign_with(&header, &standard());
    assert_eq!(fault(&config(&[&signer]), &token), TokenFault::Malformed);
}

#[test]
fn a_signature_of_zeros_is_none() {
    let signer = Signer::new(JwtAlgorithm::ES256, "one");
    let token = signer.sign(&standard());
    let (message, _) = token.rsplit_once('.').expect("a token");
    let zeros = "A".repeat(86);
    assert_eq!(
        fault(&config(&[&signer]), &format!("{message}.{zeros}")),
        TokenFault::Signature
    );
}

#[rstest]
#[case("")]
#[case(".")]
#[case("..")]
#[case("a.b.c")]
#[case("eyJhbGciOiJFUzI1NiJ9..")]
#[case("e30.e30.e30")]
#[case("eyJhbGciOiJFUzI1NiJ9.W10.AA")]
#[case("eyJhbGciOiJFUzI1NiJ9=.e30.AA")]
fn what_is_no_token_is_refused(#[case] text: &str) {
    let config = config(&[&Signer::new(JwtAlgorithm::ES256, "one")]);
    assert_eq!(fault(&config, text), TokenFault::Malformed);
}

#[test]
fn algorithms_can_be_narrowed_by_the_configuration_and_by_the_key() {
    let signer = Signer::new(JwtAlgorithm::PS256, "one");
    let mut config = config(&[&signer]);
    config.algorithms = [JwtAlgorithm::RS256].into();
    assert_eq!(
        fault(&config, &signer.sign(&standard())),
        TokenFault::Signature
    );
    config.algorithms.insert(JwtAlgorithm::PS256);
    assert!(matches!(
        recognise(&config, &signer.sign(&standard())),
        Recognised::Caller(_)
    ));
    let mut keys = jwks(&[&signer]);
    keys["keys"][0]["alg"] = "RS256".into();
    config.jwks = JwksConfig::Inline(keys.to_string());
    assert_eq!(
        fault(&config, &signer.sign(&standard())),
        TokenFault::Signature
    );
}

#[test]
fn keys_for_other_purposes_verify_nothing() {
    let signer = Signer::new(JwtAlgorithm::ES256, "one");
    let useless = [
        json!({"use": "enc"}),
        json!({"key_ops": ["encrypt"]}),
        json!({"alg": "HS256"}),
        json!({"crv": "P-521"}),
        json!({"x": "AAAA"}),
    ];
    for change in useless {
        let mut keys = jwks(&[&signer]);
        for (name, value) in change.as_object().expect("an object") {
            keys["keys"][0][name] = value.clone();
        }
        let mut config = config(&[&signer]);
        config.jwks = JwksConfig::Inline(keys.to_string());
        assert!(Issuers::new(&[config]).is_err(), "{change}");
    }
    let secret = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "one"}]}).to_string();
    let mut config = config(&[&signer]);
    config.jwks = JwksConfig::Inline(secret);
    let error = Issuers::new(&[config]).expect_err("a secret");
    assert!(!crate::config::chain(&error).contains("c2VjcmV0"));
}
