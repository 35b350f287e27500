//! What is said to whom on Telegram.

use claw_crds::gateway_config::{AccessConfig, DirectAccess, GroupAccess};
use clawdbot::channel::Settings;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bot_api::FakeBotApi;
use crate::gateway::{Gateway, SECRET, config, telegram};

/// A gateway with one bot, and the Telegram that it talks to.
pub(crate) struct Bot {
    pub(crate) gateway: Gateway,
    pub(crate) api: FakeBotApi,
}

impl Bot {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default(), |_| {}).await
    }

    pub(crate) async fn with(settings: Settings, access: impl FnOnce(&mut AccessConfig)) -> Self {
        let api = FakeBotApi::start().await;
        let mut channel = telegram("desk", &api.url);
        access(&mut channel.access);
        Self {
            gateway: Gateway::start(config(vec![channel]), settings).await,
            api,
        }
    }

    /// Deliver an update with the right secret.
    pub(crate) async fn deliver(&self, update: &Value) -> StatusCode {
        self.post(update.to_string(), Some(SECRET)).await.status()
    }

    pub(crate) async fn post(&self, body: String, secret: Option<&str>) -> reqwest::Response {
        let url = format!("http://{}/channels/desk", self.gateway.address);
        let mut request = self.gateway.client.post(url).body(body);
        if let Some(secret) = secret {
            request = request.header("X-Telegram-Bot-Api-Secret-Token", secret);
        }
        request.send().await.expect("an answer")
    }

    /// Deliver updates, wait until all are dealt with, and return what was sent.
    pub(crate) async fn talk(&self, updates: &[Value]) -> Vec<Value> {
        for update in updates {
            assert_eq!(self.deliver(update).await, StatusCode::OK);
        }
        self.gateway.settle().await;
        self.api.calls("sendMessage")
    }
}

/// A direct message of user 42.
pub(crate) fn direct(update: i64, text: &str) -> Value {
    from_chat(update, 42, text)
}

/// A direct message of any user.
pub(crate) fn from_chat(update: i64, chat: i64, text: &str) -> Value {
    json!({"update_id": update, "message": {
        "message_id": update, "from": {"id": chat, "is_bot": false, "username": "ada"},
        "chat": {"id": chat, "type": "private"}, "text": text,
        "entities": if text.starts_with('/') { json!([{"type": "bot_command", "offset": 0, "length": text.len()}]) } else { json!([]) },
    }})
}

fn in_group(update: i64, text: &str) -> Value {
    let mut group = from_chat(update, 42, text);
    group["message"]["chat"] = json!({"id": -7, "type": "supergroup", "title": "Engines"});
    if let Some(at) = text.find("@helpdesk_bot") {
        let offset = text[..at].encode_utf16().count();
        group["message"]["entities"] = json!([{"type": "mention", "offset": offset, "length": 13}]);
    }
    group
}

fn texts(sent: &[Value]) -> Vec<&str> {
    sent.iter()
        .map(|message| message["text"].as_str().expect("a text"))
        .collect()
}

#[tokio::test]
async fn a_direct_message_is_answered_with_the_system_prompt_and_the_history() {
    let bot = Bot::start().await;
    let sent = bot.talk(&[direct(1, "hello"), direct(2, "again")]).await;
    assert_eq!(texts(&sent), ["echo: hello", "echo: again"]);
    assert_eq!(
        sent[0],
        json!({"chat_id": 42, "text": "echo: hello", "link_preview_options": {"is_disabled": true}})
    );
    let calls = bot.gateway.model.calls(2).await;
    assert_eq!(calls[1].model, "tiny");
    assert_eq!(
        calls[1].messages,
        [
            "system: Be kind.",
            "user: hello",
            "assistant: echo: hello",
            "user: again"
        ]
    );
    assert_eq!(
        bot.api.calls("getMe").len(),
        1,
        "the bot asks only once who it is"
    );
    assert_eq!(bot.gateway.count("answered"), 2);
}

#[tokio::test]
async fn a_mention_in_a_group_is_answered_as_a_reply() {
    let bot = Bot::start().await;
    let sent = bot
        .talk(&[
            in_group(1, "just chatting"),
            in_group(2, "😀 @helpdesk_bot help me"),
        ])
        .await;
    assert_eq!(texts(&sent), ["echo: 😀 help me"]);
    assert_eq!(sent[0]["chat_id"], -7);
    assert_eq!(
        sent[0]["reply_parameters"],
        json!({"message_id": 2, "allow_sending_without_reply": true})
    );
    assert_eq!(
        (bot.gateway.count("answered"), bot.gateway.count("ignored")),
        (1, 1)
    );
}

#[tokio::test]
async fn a_topic_of_a_forum_is_answered_in_the_topic_and_has_its_own_history() {
    let bot = Bot::start().await;
    let topic = |update, thread: i64| {
        let mut update = in_group(update, "@helpdesk_bot hi");
        update["message"]["message_thread_id"] = json!(thread);
        update["message"]["is_topic_message"] = json!(true);
        update
    };
    let sent = bot.talk(&[topic(1, 5), topic(2, 6)]).await;
    assert_eq!(
        [&sent[0]["message_thread_id"], &sent[1]["message_thread_id"]],
        [5, 6]
    );
    assert_eq!(bot.gateway.model.calls(2).await[1].messages.len(), 2);
}

#[tokio::test]
async fn every_message_of_a_group_is_answered_where_the_rules_say_so() {
    let bot = Bot::with(Settings::default(), |access| {
        access.groups = GroupAccess::All;
    })
    .await;
    assert_eq!(
        texts(&bot.talk(&[in_group(1, "just chatting")]).await),
        ["echo: just chatting"]
    );
}

#[tokio::test]
async fn strangers_bots_and_posts_of_chats_get_no_answer() {
    let bot = Bot::with(Settings::default(), |access| {
        access.direct = DirectAccess::AllowList;
        access.allow_from = ["42".to_owned()].into();
        access.groups = GroupAccess::All;
    })
    .await;
    let mut of_a_bot = direct(1, "I am a bot");
    of_a_bot["message"]["from"]["is_bot"] = json!(true);
    let mut of_a_chat = in_group(2, "I am the group");
    of_a_chat["message"]["sender_chat"] = json!({"id": -7, "type": "supergroup"});
    let of_a_stranger = from_chat(3, 43, "let me in");
    let sent = bot
        .talk(&[of_a_bot, of_a_chat, of_a_stranger, direct(4, "it is me")])
        .await;
    assert_eq!(texts(&sent), ["echo: it is me"]);
    assert_eq!(
        (bot.gateway.count("refused"), bot.gateway.count("ignored")),
        (1, 2)
    );
}

#[tokio::test]
async fn commands_are_answered_without_the_model() {
    let bot = Bot::start().await;
    let sent = bot
        .talk(&[
            direct(1, "hello"),
            direct(2, "/help"),
            direct(3, "/new"),
            direct(4, "again"),
        ])
        .await;
    assert_eq!(sent.len(), 4);
    assert!(texts(&sent)[1].contains("/reset"), "{:?}", sent[1]);
    let calls = bot.gateway.model.calls(2).await;
    assert_eq!(calls.len(), 2);
    assert_eq!(
        calls[1].messages,
        ["system: Be kind.", "user: again"],
        "forgotten by /new"
    );
}

#[tokio::test]
async fn a_picture_without_words_is_answered_politely() {
    let bot = Bot::start().await;
    let mut picture = direct(1, "");
    picture["message"]["photo"] = json!([{"file_id": "x"}]);
    picture["message"]
        .as_object_mut()
        .expect("an object")
        .remove("text");
    assert_eq!(
        texts(&bot.talk(&[picture]).await),
        ["I can only read text."]
    );
}

#[tokio::test]
async fn a_long_answer_is_sent_in_pieces() {
    let bot = Bot::start().await;
    let sent = bot.talk(&[direct(1, "long")]).await;
    assert_eq!(
        texts(&sent)
            .iter()
            .map(|text| text.len())
            .collect::<Vec<_>>(),
        [4096, 904]
    );
}

#[tokio::test]
async fn a_failing_model_gives_a_polite_answer_without_details() {
    let bot = Bot::start().await;
    let sent = bot
        .talk(&[direct(1, "fail"), direct(2, "break"), direct(3, "hello")])
        .await;
    for text in &texts(&sent)[..2] {
        assert!(
            text.starts_with("Sorry") && !text.contains("purpose") && !text.contains("tiny"),
            "{text}"
        );
    }
    assert_eq!(
        bot.gateway.model.calls(3).await[2].messages.len(),
        2,
        "failures are not remembered"
    );
    assert_eq!(
        (bot.gateway.count("failed"), bot.gateway.count("answered")),
        (2, 1)
    );
}

#[tokio::test]
async fn a_changed_channel_uses_its_new_settings_for_the_next_message() {
    let bot = Bot::start().await;
    bot.talk(&[direct(1, "hello")]).await;
    let mut channel = telegram("desk", &bot.api.url);
    channel.model = "other".into();
    channel.system_prompt = None;
    bot.gateway.reconfigure(config(vec![channel]));
    bot.talk(&[direct(2, "again")]).await;
    let calls = bot.gateway.model.calls(2).await;
    assert_eq!(
        (calls[1].model.as_str(), calls[1].messages.len()),
        ("other", 3)
    );
    bot.gateway.reconfigure(config(Vec::new()));
    assert_eq!(
        bot.deliver(&direct(3, "anybody?")).await,
        StatusCode::NOT_FOUND
    );
}
