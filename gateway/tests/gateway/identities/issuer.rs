//! An identity provider.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub(crate) const ISSUER: &str = "https://login.example.com";

/// A key of the provider.
pub(crate) struct Signer {
    id: &'static str,
    pair: Ed25519KeyPair,
}

impl Signer {
    pub(crate) fn new(id: &'static str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key");
        Self { id, pair }
    }

    pub(crate) fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.id, "x": x})
    }

    /// A token of `sub` for this gateway, with these claims over the usual ones.
    pub(crate) fn token(&self, sub: &str, more: &Value) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let mut claims =
            json!({"iss": ISSUER, "aud": "claw", "sub": sub, "exp": now.as_secs() + 600});
        for (name, value) in more.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = json!({"alg": "EdDSA", "kid": self.id});
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Its key set, or whatever else it answers, from now on.
pub(crate) async fn publish(server: &MockServer, answer: ResponseTemplate) {
    server.reset().await;
    let keys = Mock::given(method("GET")).and(path("/keys"));
    keys.respond_with(answer).mount(server).await;
}

pub(crate) fn keys(signers: &[&Signer]) -> ResponseTemplate {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    ResponseTemplate::new(200).set_body_json(json!({ "keys": keys }))
}
