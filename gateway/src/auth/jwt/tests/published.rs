//! Keys that an issuer publishes by HTTP, rotates, and sometimes does not.

use std::time::Duration;

use claw_crds::gateway_config::OutboundConfig;
use tokio_util::task::TaskTracker;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::key_source::KeySource;
use super::issuer::jwks;
use super::*;
use crate::outbound::Outbound;

/// Beyond the pause between two questions.
const LATER: Duration = Duration::from_secs(11);

struct Published {
    server: MockServer,
    issuers: Issuers,
    outbound: Outbound,
    tasks: TaskTracker,
}

impl Published {
    async fn start(answer: ResponseTemplate) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = MockServer::start().await;
        let mut config = config(&[]);
        config.jwks = JwksConfig::Url(format!("{}/keys", server.uri()));
        let published = Self {
            server,
            issuers: Issuers::new(&[config]).expect("an issuer"),
            outbound: Outbound::new(OutboundConfig::unrestricted()).expect("clients"),
            tasks: TaskTracker::new(),
        };
        published.answer(answer).await;
        published
    }

    /// What the issuer says from now on.
    async fn answer(&self, answer: ResponseTemplate) {
        self.server.reset().await;
        let keys = Mock::given(method("GET")).and(path("/keys"));
        keys.respond_with(answer).mount(&self.server).await;
    }

    fn source(&self) -> &Arc<KeySource> {
        match &self.issuers.0[0].keys {
            Keys::Published(source) => source,
            Keys::Inline(_) => panic!("published"),
        }
    }

    fn means(&self) -> Means<'_> {
        Means {
            outbound: &self.outbound,
            tasks: &self.tasks,
        }
    }

    async fn caller(&self, token: &str) -> Result<Caller, Denied> {
        self.issuers.caller(token, &self.means()).await
    }

    async fn asked(&self) -> usize {
        self.server
            .received_requests()
            .await
            .expect("recorded")
            .len()
    }
}

fn keys(signers: &[&Signer]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(jwks(signers))
}

/// Only what `tokio` waits for is skipped, and nothing is waited for but these pauses.
async fn later() {
    tokio::time::pause();
    tokio::time::advance(LATER).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_rotated_key_is_found_when_a_token_names_it() {
    let (old, new) = (
        Signer::new(JwtAlgorithm::ES256, "old"),
        Signer::new(JwtAlgorithm::ES256, "new"),
    );
    let published = Published::start(keys(&[&old])).await;
    let first = published.caller(&old.sign(&standard())).await;
    first.expect("known");
    published.answer(keys(&[&new])).await;
    later().await;
    let second = published.caller(&new.sign(&standard())).await;
    second.expect("known");
    let withdrawn = published.caller(&old.sign(&standard())).await;
    assert_eq!(withdrawn, Err(Denied::Token(TokenFault::UnknownKey)));
}

#[tokio::test]
async fn invented_ids_do_not_make_us_ask_again_and_again() {
    let signer = Signer::new(JwtAlgorithm::ES256, "one");
    let published = Published::start(keys(&[&signer])).await;
    for number in 0..50 {
        let header = json!({"alg": "ES256", "kid": format!("invented-{number}")});
        let outcome = published
            .caller(&signer.sign_with(&header, &standard()))
            .await;
        assert_eq!(outcome, Err(Denied::Token(TokenFault::UnknownKey)));
    }
    assert_eq!(published.asked().await, 1);
}

#[rstest]
#[case::failing(ResponseTemplate::new(500))]
#[case::moved(ResponseTemplate::new(302).insert_header("location", "/elsewhere"))]
#[case::garbage(ResponseTemplate::new(200).set_body_string("<html>"))]
#[case::empty(ResponseTemplate::new(200).set_body_string(r#"{"keys": []}"#))]
#[case::huge(ResponseTemplate::new(200).set_body_string(" ".repeat(300 << 10)))]
#[tokio::test]
async fn known_keys_serve_on_while_the_issuer_is_away(#[case] answer: ResponseTemplate) {
    let signer = Signer::new(JwtAlgorithm::ES256, "one");
    let published = Published::start(keys(&[&signer])).await;
    let token = signer.sign(&standard());
    published.caller(&token).await.expect("known");
    published.answer(answer).await;
    later().await;
    published.source().refresh(&published.means()).await;
    assert_eq!(published.asked().await, 1, "the issuer was asked");
    published.caller(&token).await.expect("known");
    // Not for ever: it may have withdrawn them.
    tokio::time::pause();
    tokio::time::advance(Duration::from_hours(24)).await;
    assert!(published.source().keys().is_none());
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_leaves_no_keys() {
    let published = Published::start(ResponseTemplate::new(503)).await;
    let signer = Signer::new(JwtAlgorithm::ES256, "one");
    let denied = published.caller(&signer.sign(&standard())).await;
    assert_eq!(denied, Err(Denied::Unavailable(Unavailable::IssuerKeys)));
}

#[tokio::test]
async fn keys_stay_known_over_a_change_of_the_configuration() {
    let signer = Signer::new(JwtAlgorithm::ES256, "one");
    let published = Published::start(keys(&[&signer])).await;
    let token = signer.sign(&standard());
    published.caller(&token).await.expect("known");
    let mut changed = published.issuers.0[0].config.clone();
    changed.clock_skew_seconds = 0;
    let mut next = Issuers::new(&[changed]).expect("an issuer");
    next.adopt(&published.issuers);
    let outcome = next.caller(&token, &published.means()).await;
    outcome.expect("known");
    assert_eq!(published.asked().await, 1);
}
