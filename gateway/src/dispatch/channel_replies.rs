//! Answers for channels: the same dispatch, with text instead of OpenAI's pieces.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use serde_json::{Map, json};

use super::{ChunkStream, Dispatcher};
use crate::error::GatewayError;
use crate::limits::Estimate;
use crate::respond::{ChatMessage, Reply, ReplyStream, Respond};
use crate::routing;
use crate::types::{ChatChunk, ChatRequest, Usage};

impl Respond for Dispatcher {
    fn respond(
        &self,
        model: &str,
        messages: Vec<ChatMessage>,
    ) -> BoxFuture<'_, Result<ReplyStream, GatewayError>> {
        let model = model.to_owned();
        Box::pin(async move {
            let runtime = self.shared_runtime.load_full();
            let candidates = routing::candidates_by_model(&runtime, &model)?;
            let request = request(&messages)?;
            let estimate = Estimate::of(&request);
            let permit = self
                .limiter
                .admit(&runtime, None, estimate, &candidates.models)
                .await?;
            let answered = self.stream(&candidates, &request, &permit).await?;
            Ok(replies(answered.model, answered.answer))
        })
    }
}

/// People want steady answers: the API's own default of 1 makes small models ramble.
const TEMPERATURE: f64 = 0.2;
/// The least likely tenth of the words is left out, for the same reason.
const TOP_P: f64 = 0.9;
/// The longest answer in tokens: some pages of text, so that a model that finds no end is stopped.
const MAX_TOKENS: u32 = 1024;

fn request(messages: &[ChatMessage]) -> Result<ChatRequest, GatewayError> {
    let messages: Vec<_> = messages
        .iter()
        .map(|message| json!({"role": message.role.as_str(), "content": message.content}))
        .collect();
    ChatRequest::from_object(Map::from_iter([
        ("messages".to_owned(), json!(messages)),
        ("temperature".to_owned(), json!(TEMPERATURE)),
        ("top_p".to_owned(), json!(TOP_P)),
        ("max_tokens".to_owned(), json!(MAX_TOKENS)),
        ("stream".to_owned(), json!(true)),
        ("stream_options".to_owned(), json!({"include_usage": true})),
    ]))
}

fn replies(model: String, chunks: ChunkStream) -> ReplyStream {
    let mut finish_reason = "stop".to_owned();
    Box::pin(chunks.flat_map(move |item| {
        let replies = match item {
            Ok(chunk) => replies_of(&model, chunk, &mut finish_reason),
            Err(error) => vec![Err(error)],
        };
        futures::stream::iter(replies)
    }))
}

fn replies_of(
    model: &str,
    chunk: ChatChunk,
    finish_reason: &mut String,
) -> Vec<Result<Reply, GatewayError>> {
    let mut replies = Vec::new();
    for choice in chunk.choices {
        if let Some(text) = choice.delta.content.filter(|text| !text.is_empty()) {
            replies.push(Ok(Reply::Text(text)));
        }
        if let Some(reason) = choice.finish_reason {
            *finish_reason = reason;
        }
    }
    // Asked for above, so it is the last piece of every answer.
    if let Some(Usage {
        prompt_tokens,
        completion_tokens,
        ..
    }) = chunk.usage
    {
        let finish_reason = finish_reason.clone();
        replies.push(Ok(Reply::Done {
            model: model.to_owned(),
            prompt_tokens,
            completion_tokens,
            finish_reason,
        }));
    }
    replies
}
