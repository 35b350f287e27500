//! Success, every kind of failure and every kind of refusal, one after the other.

use futures::{SinkExt as _, StreamExt as _};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::api::{FAILING, MURMURS, REPEATS};
use super::planted;
use super::setting::Setting;
use crate::binary::until;

const CHAT: &str = "/v1/chat/completions";

/// What callers were told of failures: bodies and heads of answers, and the ends of streams.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) told: Vec<String>,
    /// How many requests were answered well.
    pub(super) good: usize,
}

impl Answers {
    async fn good(&mut self, request: RequestBuilder) {
        let failure = self.take(request).await;
        assert_eq!(failure, None);
    }

    async fn bad(&mut self, request: RequestBuilder, what: &str) {
        assert!(self.take(request).await.is_some(), "{what} is answered");
    }

    /// What tells a caller what is wrong with its own words may quote them, to it alone.
    fn take_own(&mut self, own: Self) {
        let told = own.told.into_iter();
        self.told
            .extend(told.map(|told| told.replace(planted::PROMPT, "")));
    }

    /// How it failed.
    async fn take(&mut self, request: RequestBuilder) -> Option<String> {
        let response = request.send().await.expect("an answer");
        let (status, head) = (response.status(), format!("{:?}", response.headers()));
        let text = response.text().await.expect("a whole answer");
        self.told.push(head);
        let failure = if status.is_success() {
            // After the answer's words, which are the caller's.
            text.find("event: error").map(|at| text[at..].to_owned())
        } else {
            Some(format!("{status} {text}"))
        };
        self.good += usize::from(failure.is_none());
        self.told.extend(failure.clone());
        failure
    }
}

fn chat(model: &str, stream: bool) -> Value {
    json!({
        "model": model, "stream": stream, "max_tokens": 16, "temperature": 0.5,
        "messages": [{"role": "user", "content": planted::PROMPT}],
    })
}

/// All of it.
pub(super) async fn everything(setting: &Setting) -> Answers {
    let mut answers = Answers::default();
    models(setting, &mut answers).await;
    callers(setting, &mut answers).await;
    bodies(setting, &mut answers).await;
    talk(setting, "web", "\"type\":\"done\"").await;
    talk(setting, "web-repeats", "\"type\":\"error\"").await;
    bots(setting, &mut answers).await;
    answers
}

async fn models(setting: &Setting, answers: &mut Answers) {
    let gateway = &setting.gateway;
    let post = |path: &str, body: &Value| {
        let request = gateway.client.post(gateway.url(path));
        request
            .bearer_auth(planted::CALLER)
            .header("cookie", planted::COOKIE)
            .json(body)
    };
    for stream in [false, true] {
        for path in [CHAT, "/v1/messages"] {
            answers.good(post(path, &chat("ok", stream))).await;
        }
        let text = json!({"model": "ok", "prompt": planted::PROMPT, "stream": stream});
        answers.good(post("/v1/completions", &text)).await;
        let asked = json!({"model": "ok", "input": planted::PROMPT, "stream": stream});
        answers.good(post("/v1/responses", &asked)).await;
    }
    let vector = json!({"model": "ok", "input": planted::PROMPT});
    answers.good(post("/v1/embeddings", &vector)).await;

    let others = ["dead", "ring", "fetched"].map(str::to_owned);
    let dialects = ["anthropic", "gemini", "azureopenai"];
    let dialects = dialects.iter().flat_map(|provider| {
        ["400", "401", "429", "500"].map(|status| format!("{provider}-{status}"))
    });
    let failing = FAILING.iter().map(ToString::to_string);
    for name in failing.chain(others).chain(dialects) {
        if name == "stalls" {
            continue;
        }
        for stream in [false, true] {
            for path in [CHAT, "/v1/messages"] {
                answers.bad(post(path, &chat(&name, stream)), &name).await;
            }
        }
    }
    for name in FAILING {
        // Once before the first content and once after it; where another model answers, all is well.
        for stream in [false, true] {
            let mut body = chat(name, stream);
            body.as_object_mut().expect("an object").remove("model");
            let request = post(&format!("/instead/{name}"), &body);
            answers.take(request).await;
        }
    }
    // What the API says of the request itself is for its caller, to whom these words belong.
    let mut own = Answers::default();
    own.bad(post(CHAT, &chat(REPEATS, false)), REPEATS).await;
    own.bad(post(CHAT, &chat(MURMURS, true)), MURMURS).await;
    let mut again = chat("", false);
    again.as_object_mut().expect("an object").remove("model");
    own.bad(post("/again", &again), "/again").await;
    assert!(own.told.iter().any(|told| told.contains(planted::PROMPT)));
    answers.take_own(own);
}

/// Who is not let in, or not to this.
async fn callers(setting: &Setting, answers: &mut Answers) {
    let (gateway, signer) = (&setting.gateway, &setting.signer);
    let claim = json!({"note": planted::IN_CLAIM});
    let good = signer.token("ada", &claim);
    let expired = signer.token("ada", &json!({"exp": 1, "note": planted::IN_CLAIM}));
    let post = || {
        gateway
            .client
            .post(gateway.url(CHAT))
            .json(&chat("ok", false))
    };
    answers.good(post().bearer_auth(&good)).await;
    let forged = format!("{}A", &good[..good.len() - 4]);
    for token in [
        planted::STRANGER,
        planted::OPAQUE,
        &expired,
        &forged,
        "a.b.planted-c",
        planted::NARROW,
    ] {
        answers.bad(post().bearer_auth(token), token).await;
    }
    answers.good(post().bearer_auth(planted::LIMITED)).await;
    // The first one may have been in another minute.
    let mut is_limited = false;
    for _ in 0..2 {
        is_limited |= answers
            .take(post().bearer_auth(planted::LIMITED))
            .await
            .is_some();
    }
    assert!(is_limited);
    answers.bad(post(), "a refusal").await;
    answers
        .bad(
            post().basic_auth("ada", Some(planted::PASSWORD)),
            "a refusal",
        )
        .await;
    answers
        .bad(post().header("x-api-key", planted::STRANGER), "a refusal")
        .await;
    answers
        .bad(
            post().header("authorization", planted::STRANGER),
            "a refusal",
        )
        .await;
    let url = format!(
        "{}?api_key={}",
        gateway.url("/v1/models"),
        planted::IN_QUERY
    );
    answers.bad(gateway.client.get(&url), "a refusal").await;
    let known = gateway.client.get(&url).bearer_auth(planted::CALLER);
    answers.good(known).await;
}

/// What no model is asked for.
async fn bodies(setting: &Setting, answers: &mut Answers) {
    let gateway = &setting.gateway;
    let post = |path: &str, body: String| {
        let request = gateway.client.post(gateway.url(path));
        request.bearer_auth(planted::CALLER).body(body)
    };
    let said = planted::PROMPT;
    let mut own = Answers::default();
    let message = json!([{"role": "user", "content": said}]);
    for body in [
        format!("{{\"messages\": [{{\"content\": \"{said}\""),
        said.to_owned(),
        json!(said).to_string(),
        json!({"messages": said}).to_string(),
        json!({"messages": {"content": said}}).to_string(),
        json!({"messages": [said]}).to_string(),
        json!({"messages": [{"role": "user", "content": {"text": said}}]}).to_string(),
        json!({"messages": [{"role": "user", "content": [{"text": said}]}]}).to_string(),
        json!({"model": "ok", "messages": message, "temperature": said}).to_string(),
        json!({"model": "ok", "messages": message, "stream": said}).to_string(),
        json!({"model": "ok", "messages": message, "max_tokens": [said]}).to_string(),
        json!({"model": "ok", "messages": message, "stop": {"a": said}}).to_string(),
        json!({"model": "nothing", "messages": message}).to_string(),
        json!({"model": "ok", "messages": [{"role": "user", "content": said.repeat(500)}]})
            .to_string(),
    ] {
        for path in [CHAT, "/v1/messages", "/v1/responses"] {
            own.take(post(path, body.clone())).await;
        }
    }
    answers.take_own(own);
    let packed = post(CHAT, said.to_owned()).header("content-encoding", "br");
    answers.bad(packed, "a refusal").await;
    let put = gateway.client.put(gateway.url(CHAT)).body(said);
    answers
        .bad(put.bearer_auth(planted::CALLER), "a refusal")
        .await;
}

/// One question over a WebSocket, up to this frame.
async fn talk(setting: &Setting, channel: &str, last: &str) {
    let url = format!(
        "ws://{}/channels/{channel}?key={}",
        setting.gateway.address,
        planted::IN_QUERY
    );
    let mut request = url.into_client_request().expect("a request");
    let key = format!("Bearer {}", planted::CALLER);
    request
        .headers_mut()
        .insert("authorization", key.parse().expect("a value"));
    let connect = Box::pin(tokio_tungstenite::connect_async(request));
    let (mut socket, _) = connect.await.expect("an upgrade");
    let ask = json!({"type": "message", "id": "1", "text": planted::PROMPT}).to_string();
    socket.send(Message::text(ask)).await.expect("sent");
    loop {
        let frame = socket.next().await.expect("a frame").expect("a frame");
        if frame.into_text().expect("text").contains(last) {
            break;
        }
    }
    socket.close(None).await.expect("closed");
}

async fn bots(setting: &Setting, answers: &mut Answers) {
    let gateway = &setting.gateway;
    for (number, name) in ["bot", "bot-repeats", "bot-alone"].into_iter().enumerate() {
        let url = gateway.url(&format!("/channels/{name}"));
        let update = json!({"update_id": number, "message": {
            "message_id": 7, "date": 1, "text": planted::PROMPT,
            "from": {"id": 42, "is_bot": false, "first_name": "Ada"},
            "chat": {"id": 42, "type": "private", "first_name": "Ada"},
        }});
        let post = |secret: &str| {
            let request = gateway.client.post(&url).json(&update);
            request.header("x-telegram-bot-api-secret-token", secret)
        };
        answers.bad(post(planted::STRANGER), name).await;
        answers.good(post(planted::WEBHOOK)).await;
    }
    until("two bots gave up", async || {
        let log = gateway.log();
        let given_up = "a Telegram message could not be answered";
        (log.matches(given_up).count() >= 2 && log.contains("no answer")).then_some(())
    })
    .await;
}
