//! Asking the model, with as much of the conversation as it can take.

use crate::conversation::History;
use crate::error::GatewayError;
use crate::respond::{ReplyStream, Respond};

/// What is asked of which model.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The model's name.
    pub(crate) model: String,
    /// The channel's system prompt.
    pub(crate) system: Option<String>,
    /// What the person wrote.
    pub(crate) text: String,
}

/// Ask; where the conversation is longer than the model's context, forget the older half of it and ask again.
pub(crate) async fn ask(
    respond: &dyn Respond,
    question: &Question,
    history: &mut History,
) -> Result<ReplyStream, GatewayError> {
    loop {
        let messages = history.prompt(question.system.as_deref(), &question.text);
        match respond.respond(&question.model, messages).await {
            Err(error) if is_too_long(&error) && !history.is_empty() => history.forget_older_half(),
            result => return result,
        }
    }
}

fn is_too_long(error: &GatewayError) -> bool {
    match error {
        GatewayError::PromptTooLong { .. } => true,
        GatewayError::UpstreamRejected { detail, .. } => {
            detail.code.as_deref() == Some("context_length_exceeded")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::future::BoxFuture;
    use futures::{FutureExt, StreamExt, stream};

    use super::*;
    use crate::conversation::HistoryLimits;
    use crate::respond::ChatMessage;

    /// A model with room for this many messages.
    struct Narrow {
        room: usize,
        asked: Mutex<Vec<usize>>,
    }

    impl Respond for Narrow {
        fn respond(
            &self,
            _: &str,
            messages: Vec<ChatMessage>,
        ) -> BoxFuture<'_, Result<ReplyStream, GatewayError>> {
            self.asked
                .lock()
                .expect("not poisoned")
                .push(messages.len());
            let fits = messages.len() <= self.room;
            async move {
                if fits {
                    return Ok(stream::empty().boxed());
                }
                Err(GatewayError::PromptTooLong {
                    model: "narrow".into(),
                    tokens: 9,
                    limit: 5,
                })
            }
            .boxed()
        }
    }

    async fn ask_with(room: usize, exchanges: usize) -> (bool, Vec<usize>) {
        let narrow = Narrow {
            room,
            asked: Mutex::default(),
        };
        let mut history = History::new(HistoryLimits::default());
        for _ in 0..exchanges {
            history.record("q".into(), "a".into());
        }
        let question = Question {
            model: "narrow".into(),
            system: Some("be kind".into()),
            text: "why?".into(),
        };
        let answered = ask(&narrow, &question, &mut history).await.is_ok();
        (answered, narrow.asked.into_inner().expect("not poisoned"))
    }

    #[tokio::test]
    async fn a_conversation_that_is_too_long_is_halved_until_it_fits() {
        assert_eq!(ask_with(4, 8).await, (true, vec![18, 10, 6, 4]));
    }

    #[tokio::test]
    async fn a_question_that_is_too_long_alone_is_refused() {
        assert_eq!(ask_with(1, 1).await, (false, vec![4, 2]));
    }
}
