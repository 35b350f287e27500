//! The public keys of an issuer (RFC 7517), and what each of them can verify.
//!
//! The type of a key decides which algorithms it serves. What a token's header says only picks among these, so no
//! header can make a public key pass for a shared secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claw_crds::gateway_config::JwtAlgorithm;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;

/// More keys are none of an issuer's.
const MOST_KEYS: usize = 100;

/// A key set that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidKeySet {
    #[error("it is not a JSON Web Key Set")]
    Json(#[source] serde_json::Error),
    #[error("it has no public key for signatures: RSA from 2048 bits, P-256, P-384 or Ed25519")]
    Empty,
}

/// The keys of an issuer.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The one algorithm that the issuer uses it for, if it says so.
    only: Option<JwtAlgorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// What became of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Bad,
    /// No key of the set could have made it.
    NoKey,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Those keys of a set that can verify signatures; sets hold others, too.
    pub(super) fn parse(json: &[u8]) -> Result<Self, InvalidKeySet> {
        let Jwks { keys } = serde_json::from_slice(json).map_err(InvalidKeySet::Json)?;
        let keys: Vec<_> = keys
            .into_iter()
            .take(MOST_KEYS)
            .filter_map(|key| Key::new(&serde_json::from_value(key).ok()?))
            .collect();
        if keys.is_empty() {
            return Err(InvalidKeySet::Empty);
        }
        Ok(Self(keys))
    }

    /// Whether one of the keys made this signature. A key without an id is tried for every token, and all keys are
    /// for a token without one.
    pub(super) fn verify(
        &self,
        algorithm: JwtAlgorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Verdict {
        let mut candidates = self
            .0
            .iter()
            .filter(|key| id.is_none() || key.id.is_none() || key.id.as_deref() == id)
            .filter(|key| key.only.is_none_or(|only| only == algorithm))
            .filter_map(|key| Some((key, key.material.verifier(algorithm)?)))
            .peekable();
        if candidates.peek().is_none() {
            return Verdict::NoKey;
        }
        if candidates.any(|(key, verifier)| key.material.verify(&verifier, message, signature)) {
            Verdict::Good
        } else {
            Verdict::Bad
        }
    }
}

impl Key {
    fn new(jwk: &Jwk) -> Option<Self> {
        let is_for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk
                .key_ops
                .as_ref()
                .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        if !is_for_signatures {
            return None;
        }
        let only = match &jwk.alg {
            None => None,
            // A key for an algorithm that is none of ours is none of ours.
            Some(name) => Some(algorithm(name)?),
        };
        Some(Self {
            id: jwk.kid.clone(),
            only,
            material: Material::new(jwk)?,
        })
    }
}

impl Material {
    fn new(jwk: &Jwk) -> Option<Self> {
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        let point = |length: usize| {
            let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
            (x.len() == length && y.len() == length).then(|| [&[4], &x[..], &y[..]].concat())
        };
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let trimmed = |number: Vec<u8>| {
                    let start = number.iter().position(|byte| *byte != 0)?;
                    Some(number[start..].to_vec())
                };
                let (n, e) = (trimmed(bytes(&jwk.n)?)?, trimmed(bytes(&jwk.e)?)?);
                (256..=1024)
                    .contains(&n.len())
                    .then_some(Self::Rsa { n, e })
            }
            ("EC", Some("P-256")) => point(32).map(Self::P256),
            ("EC", Some("P-384")) => point(48).map(Self::P384),
            ("OKP", Some("Ed25519")) => bytes(&jwk.x).filter(|x| x.len() == 32).map(Self::Ed25519),
            _ => None,
        }
    }

    /// How this key verifies such a signature, if it can.
    fn verifier(&self, algorithm: JwtAlgorithm) -> Option<Verifier> {
        use JwtAlgorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        Some(match (self, algorithm) {
            (Self::Rsa { .. }, RS256) => Verifier::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            (Self::Rsa { .. }, RS384) => Verifier::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            (Self::Rsa { .. }, RS512) => Verifier::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            (Self::Rsa { .. }, PS256) => Verifier::Rsa(&RSA_PSS_2048_8192_SHA256),
            (Self::Rsa { .. }, PS384) => Verifier::Rsa(&RSA_PSS_2048_8192_SHA384),
            (Self::Rsa { .. }, PS512) => Verifier::Rsa(&RSA_PSS_2048_8192_SHA512),
            (Self::P256(_), ES256) => Verifier::Point(&ECDSA_P256_SHA256_FIXED),
            (Self::P384(_), ES384) => Verifier::Point(&ECDSA_P384_SHA384_FIXED),
            (Self::Ed25519(_), EdDSA) => Verifier::Point(&ED25519),
            _ => return None,
        })
    }

    fn verify(&self, verifier: &Verifier, message: &[u8], signature: &[u8]) -> bool {
        let outcome = match (self, verifier) {
            (Self::Rsa { n, e }, Verifier::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Self::P256(key) | Self::P384(key) | Self::Ed25519(key), Verifier::Point(kind)) => {
                UnparsedPublicKey::new(*kind, key).verify(message, signature)
            }
            _ => Err(ring::error::Unspecified),
        };
        outcome.is_ok()
    }
}

enum Verifier {
    Rsa(&'static RsaParameters),
    Point(&'static dyn VerificationAlgorithm),
}

/// The algorithm of that name; names have one case (RFC 7518).
pub(super) fn algorithm(name: &str) -> Option<JwtAlgorithm> {
    Some(match name {
        "RS256" => JwtAlgorithm::RS256,
        "RS384" => JwtAlgorithm::RS384,
        "RS512" => JwtAlgorithm::RS512,
        "PS256" => JwtAlgorithm::PS256,
        "PS384" => JwtAlgorithm::PS384,
        "PS512" => JwtAlgorithm::PS512,
        "ES256" => JwtAlgorithm::ES256,
        "ES384" => JwtAlgorithm::ES384,
        "EdDSA" => JwtAlgorithm::EdDSA,
        _ => return None,
    })
}
