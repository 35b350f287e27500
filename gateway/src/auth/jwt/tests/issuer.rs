//! An identity provider for tests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claw_crds::gateway_config::{ClaimsConfig, JwksConfig, JwtAlgorithm, JwtConfig};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

pub(super) const ISSUER: &str = "https://login.example.com";
pub(super) const AUDIENCE: &str = "claw";

/// A private key, its public half and how it is used.
pub(super) struct Signer {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) id: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    pub(super) fn new(algorithm: JwtAlgorithm, id: &str) -> Self {
        let random = SystemRandom::new();
        let pair = match algorithm {
            JwtAlgorithm::ES256 | JwtAlgorithm::ES384 => {
                let kind = if algorithm == JwtAlgorithm::ES256 {
                    &ECDSA_P256_SHA256_FIXED_SIGNING
                } else {
                    &ECDSA_P384_SHA384_FIXED_SIGNING
                };
                let der = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
                let pair = EcdsaKeyPair::from_pkcs8(kind, der.as_ref(), &random);
                Pair::Ec(pair.expect("a key"))
            }
            JwtAlgorithm::EdDSA => {
                let der = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
                Pair::Ed(Ed25519KeyPair::from_pkcs8(der.as_ref()).expect("a key"))
            }
            // ring makes no RSA keys, so this one lies beside; it opens nothing.
            _ => {
                let pem = include_bytes!("../test-rsa.pem");
                let der = PrivatePkcs8KeyDer::from_pem_slice(pem).expect("a key");
                let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("a key");
                Pair::Rsa(Box::new(pair))
            }
        };
        Self {
            algorithm,
            id: id.to_owned(),
            pair,
        }
    }

    /// The public half, as it is published.
    pub(super) fn jwk(&self) -> Value {
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": base64(&public.n), "e": base64(&public.e)})
            }
            Pair::Ec(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": base64(x), "y": base64(y)})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref())})
            }
        };
        jwk["kid"] = self.id.clone().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// A token with these claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        let algorithm = format!("{:?}", self.algorithm);
        self.sign_with(
            &json!({"alg": algorithm, "typ": "JWT", "kid": self.id}),
            claims,
        )
    }

    /// The same with another header.
    pub(super) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair
                .sign(&random, message)
                .expect("signs")
                .as_ref()
                .to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let encoding: &dyn RsaEncoding = match self.algorithm {
                    JwtAlgorithm::RS384 => &RSA_PKCS1_SHA384,
                    JwtAlgorithm::RS512 => &RSA_PKCS1_SHA512,
                    JwtAlgorithm::PS256 => &RSA_PSS_SHA256,
                    JwtAlgorithm::PS384 => &RSA_PSS_SHA384,
                    JwtAlgorithm::PS512 => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                let signed = pair.sign(encoding, &random, message, &mut signature);
                signed.expect("signs");
                signature
            }
        }
    }
}

/// An issuer with these keys, known without asking anybody.
pub(super) fn config(signers: &[&Signer]) -> JwtConfig {
    JwtConfig {
        name: "corp".into(),
        issuer: ISSUER.into(),
        audiences: [AUDIENCE.to_owned()].into(),
        jwks: JwksConfig::Inline(jwks(signers).to_string()),
        algorithms: [].into(),
        clock_skew_seconds: 60,
        claims: ClaimsConfig::default(),
    }
}

pub(super) fn jwks(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()})
}

/// Claims of a good token.
pub(super) fn standard() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now() + 300, "iat": now(), "nbf": now()})
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

pub(super) fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// The same with another bit in the middle.
pub(super) fn flipped(part: &str) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(part).expect("base64");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    URL_SAFE_NO_PAD.encode(bytes)
}
