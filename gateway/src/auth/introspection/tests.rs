//! A server that knows some tokens, and sometimes is not there.

use claw_crds::gateway_config::{ClaimsConfig, OutboundConfig, Redacted};
use rstest::rstest;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;
use wiremock::matchers::{body_string, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::outbound::Outbound;

struct Asked {
    server: MockServer,
    introspector: Introspector,
    outbound: Outbound,
    tasks: TaskTracker,
}

impl Asked {
    async fn start(change: impl FnOnce(&mut IntrospectionConfig)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = MockServer::start().await;
        let mut config = IntrospectionConfig {
            url: format!("{}/introspect", server.uri()),
            client_id: "gate:way".into(),
            client_secret: Redacted::new("s3cret"),
            issuer: None,
            audiences: [].into(),
            cache_seconds: 60,
            claims: ClaimsConfig::default(),
        };
        change(&mut config);
        Self {
            server,
            introspector: Introspector::new(&config),
            outbound: Outbound::new(OutboundConfig::unrestricted()).expect("clients"),
            tasks: TaskTracker::new(),
        }
    }

    /// What the server says of every token from now on.
    async fn says(&self, answer: ResponseTemplate) {
        self.server.reset().await;
        Mock::given(method("POST"))
            .and(path("/introspect"))
            .respond_with(answer)
            .mount(&self.server)
            .await;
    }

    async fn caller(&self, token: &str) -> Result<Caller, Denied> {
        let means = Means {
            outbound: &self.outbound,
            tasks: &self.tasks,
        };
        let digest = Sha256::digest(token.as_bytes()).into();
        self.introspector.caller(token, digest, &means).await
    }

    async fn questions(&self) -> usize {
        let requests = self.server.received_requests().await;
        requests.expect("recorded").len()
    }
}

fn active(more: &Value) -> ResponseTemplate {
    let mut body = json!({"active": true, "sub": "ada", "exp": now() + 300});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    ResponseTemplate::new(200).set_body_json(body)
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

#[tokio::test]
async fn the_server_is_asked_as_the_client_and_once_for_a_while() {
    let asked = Asked::start(|_| ()).await;
    let credentials = format!(
        "Basic {}",
        base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            "gate%3Away:s3cret"
        )
    );
    Mock::given(method("POST"))
        .and(header("authorization", credentials.as_str()))
        .and(body_string("token=a%2Bb&token_type_hint=access_token"))
        .respond_with(active(&json!({})))
        .mount(&asked.server)
        .await;
    for _ in 0..3 {
        let caller = asked.caller("a+b").await.expect("active");
        assert_eq!(&*caller.name, "oauth:ada");
    }
    assert_eq!(asked.questions().await, 1);
}

#[tokio::test]
async fn many_at_once_with_one_token_ask_once() {
    let asked = Asked::start(|_| ()).await;
    asked
        .says(active(&json!({})).set_delay(Duration::from_millis(50)))
        .await;
    let outcomes = futures::future::join_all((0..20).map(|_| asked.caller("token"))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(asked.questions().await, 1);
}

#[rstest]
#[case::inactive(json!({"active": false}), TokenFault::Inactive)]
#[case::activity_as_text(json!({"active": "true"}), TokenFault::Inactive)]
#[case::expired(json!({"exp": now() - 1}), TokenFault::Expired)]
#[case::expiry_as_text(json!({"exp": "soon"}), TokenFault::Claim("exp".into()))]
#[case::not_yet(json!({"nbf": now() + 60}), TokenFault::NotYet)]
#[case::another_issuer(json!({"iss": "https://evil.example"}), TokenFault::Issuer)]
#[case::another_audience(json!({"aud": "billing"}), TokenFault::Audience)]
#[case::nobody(json!({"sub": 7}), TokenFault::Claim("sub".into()))]
#[tokio::test]
async fn answers_that_do_not_fit_are_refused(#[case] change: Value, #[case] expected: TokenFault) {
    let asked = Asked::start(|config| {
        config.issuer = Some("https://login.example.com".into());
        config.audiences = ["claw".to_owned()].into();
    })
    .await;
    let good = json!({"iss": "https://login.example.com", "aud": ["claw"]});
    asked.says(active(&good)).await;
    asked.caller("good").await.expect("active");
    let mut body = good;
    for (name, value) in change.as_object().expect("an object") {
        body[name] = value.clone();
    }
    asked.says(active(&body)).await;
    assert_eq!(asked.caller("bad").await, Err(Denied::Token(expected)));
}

#[rstest]
#[case::failing(ResponseTemplate::new(500))]
#[case::refusing_us(ResponseTemplate::new(401))]
#[case::moved(ResponseTemplate::new(302).insert_header("location", "/elsewhere"))]
#[case::garbage(ResponseTemplate::new(200).set_body_string("<html>"))]
#[case::a_list(ResponseTemplate::new(200).set_body_string("[]"))]
#[case::huge(ResponseTemplate::new(200).set_body_string(" ".repeat(70 << 10)))]
#[tokio::test]
async fn while_the_server_is_away_only_known_tokens_are_good(#[case] answer: ResponseTemplate) {
    let asked = Asked::start(|_| ()).await;
    asked.says(active(&json!({}))).await;
    asked.caller("known").await.expect("active");
    asked.says(answer).await;
    let denied = asked.caller("new").await;
    assert_eq!(denied, Err(Denied::Unavailable(Unavailable::Introspection)));
    asked.caller("known").await.expect("remembered");
    asked.says(active(&json!({}))).await;
    asked.caller("new").await.expect("asked again");
}

#[tokio::test]
async fn an_answer_holds_no_longer_than_its_token() {
    let asked = Asked::start(|_| ()).await;
    let (now, later) = (Timestamp::now(), 7);
    let claims = |value: Value| value.as_object().expect("an object").clone();
    let said = claims(json!({"active": true, "sub": "ada", "exp": now.as_second() + later}));
    let answer = asked.introspector.answer(&said, now);
    assert!(answer.holds <= Duration::from_secs(7), "{:?}", answer.holds);
    let said = claims(json!({"active": true, "sub": "ada"}));
    let answer = asked.introspector.answer(&said, now);
    assert_eq!(answer.holds, Duration::from_mins(1));
    let answer = asked
        .introspector
        .answer(&claims(json!({"active": false})), now);
    assert_eq!(answer.holds, REMEMBER_INACTIVE);
}

#[tokio::test]
async fn nothing_is_remembered_where_no_time_is_given() {
    let asked = Asked::start(|config| config.cache_seconds = 0).await;
    asked.says(active(&json!({}))).await;
    asked.caller("token").await.expect("active");
    asked
        .says(ResponseTemplate::new(200).set_body_json(json!({"active": false})))
        .await;
    let denied = asked.caller("token").await;
    assert_eq!(denied, Err(Denied::Token(TokenFault::Inactive)));
}

#[tokio::test]
async fn neither_token_nor_secret_is_shown() {
    let asked = Asked::start(|_| ()).await;
    let shown = format!("{:?}", asked.introspector);
    assert!(!shown.contains("s3cret"), "{shown}");
}
