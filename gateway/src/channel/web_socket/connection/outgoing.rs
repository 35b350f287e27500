//! What is told to a client.

use axum::extract::ws::Message;
use claw_crds::gateway_config::ChannelConfig;
use tokio::time::timeout;

use super::{Connection, Step};
use crate::audit::Content;
use crate::channel::web_socket::farewell::Farewell;
use crate::channel::web_socket::protocol::{ServerFrame, client_error};
use crate::channel::web_socket::session::Event;
use crate::channel::{Outcome, record_with};
use crate::config::chain;
use crate::error::{ErrorBody, ErrorDetail};

impl Connection {
    pub(super) async fn on_event(&mut self, event: Event) -> Step {
        match event {
            Event::Delta { id, text } => self.send(ServerFrame::Delta { id, text }).await,
            Event::Done { done, asked } => {
                self.record(Outcome::Answered, &asked, &done.text);
                self.send(ServerFrame::Done(done)).await
            }
            Event::Failed {
                id,
                error,
                asked,
                said,
            } => {
                self.record(Outcome::Failed, &asked, &said);
                let ChannelConfig { name, model, .. } = &self.channel;
                tracing::warn!(
                    channel.name = name,
                    model.name = model,
                    error = chain(&error),
                    "no answer"
                );
                self.complain(Some(id), ErrorBody::from(&error).error).await
            }
        }
    }

    fn record(&self, outcome: Outcome, asked: &str, said: &str) {
        let content = self.app.audit.wants_content().then(|| {
            let mut content = Content::default();
            content.ask([("user", asked)].into_iter());
            content.answer(0, said);
            content
        });
        record_with(&self.app, &self.channel, outcome, content);
    }

    pub(super) async fn refuse_while_leaving(&mut self, id: String) -> Step {
        let message = "this connection is about to be closed: connect again".to_owned();
        let error = ErrorDetail {
            kind: "server_error".to_owned(),
            ..client_error("going_away", None, message)
        };
        self.complain(Some(id), error).await
    }

    pub(super) async fn complain(&mut self, id: Option<String>, error: ErrorDetail) -> Step {
        self.send(ServerFrame::Error { id, error }).await
    }

    pub(super) async fn send(&mut self, frame: ServerFrame) -> Step {
        let text = serde_json::to_string(&frame).expect("frames have only string keys");
        self.send_message(Message::Text(text.into())).await
    }

    /// A client that does not read must not hold its answer's place for ever.
    pub(super) async fn send_message(&mut self, message: Message) -> Step {
        match timeout(self.settings.send_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Farewell::Gone),
        }
    }
}
