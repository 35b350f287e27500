//! What a client's frames do to its connection.

use axum::extract::ws::Message;
use tokio::time::Instant;

use super::{Connection, Step};
use crate::channel::web_socket::farewell::Farewell;
use crate::channel::web_socket::protocol::{Ask, ClientFrame, Invalid, ServerFrame, client_error};
use crate::channel::web_socket::session::Refusal;
use crate::channel::{Outcome, record};
use crate::error::{ErrorBody, ErrorDetail};

impl Connection {
    pub(super) async fn on_frame(&mut self, frame: Option<Result<Message, axum::Error>>) -> Step {
        let Some(message) = frame else {
            return Err(Farewell::Gone);
        };
        let max_bytes = self.settings.max_message_bytes;
        let message = message.map_err(|error| Farewell::of_read_error(error, max_bytes))?;
        self.last_heard = Instant::now();
        match message {
            Message::Text(text) => self.on_text(&text).await,
            Message::Binary(_) => {
                let message =
                    "binary frames are not understood: send JSON in text frames".to_owned();
                self.complain(None, client_error("invalid_frame", None, message))
                    .await
            }
            // Pings are answered by the WebSocket layer.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(Farewell::Gone),
        }
    }

    async fn on_text(&mut self, text: &str) -> Step {
        match ClientFrame::parse(text) {
            Ok(ClientFrame::Message(ask)) => self.on_ask(ask).await,
            Ok(ClientFrame::Cancel { id }) => self.on_cancel(id).await,
            Ok(ClientFrame::Reset) => {
                self.session.reset();
                Ok(())
            }
            Ok(ClientFrame::Ping) => self.send(ServerFrame::Pong).await,
            Err(Invalid { id, error }) => {
                record(&self.app, &self.channel, Outcome::Invalid);
                self.complain(id, error).await
            }
        }
    }

    async fn on_cancel(&mut self, id: String) -> Step {
        if let Some(done) = self.session.cancel(&id) {
            record(&self.app, &self.channel, Outcome::Cancelled);
            return self.send(ServerFrame::Done(done)).await;
        }
        let message = "no message of that id waits or is being answered".to_owned();
        self.complain(Some(id), client_error("unknown_id", Some("id"), message))
            .await
    }

    async fn on_ask(&mut self, ask: Ask) -> Step {
        let id = ask.id.clone();
        if self.leaving.is_some() {
            return self.refuse_while_leaving(id).await;
        }
        // The connection is older than the fault; what comes over it is new.
        if let Err(error) = self.app.audit.admit() {
            record(&self.app, &self.channel, Outcome::Overflow);
            return self.complain(Some(id), ErrorBody::from(&error).error).await;
        }
        if let Err(error) = self.ticket.count(&self.app, &self.app.runtime()).await {
            record(&self.app, &self.channel, Outcome::Overflow);
            return self.complain(Some(id), ErrorBody::from(&error).error).await;
        }
        let (outcome, error) = match self.session.enqueue(ask) {
            Ok(()) => return Ok(()),
            Err(Refusal::DuplicateId) => {
                let message =
                    "a message of that id waits or is being answered: choose another".to_owned();
                (
                    Outcome::Invalid,
                    client_error("duplicate_id", Some("id"), message),
                )
            }
            Err(Refusal::Full) => {
                let message = format!(
                    "{} messages wait already: wait for an answer",
                    self.settings.max_waiting
                );
                let kind = "rate_limit_error".to_owned();
                (
                    Outcome::Overflow,
                    ErrorDetail {
                        kind,
                        ..client_error("too_many_requests", None, message)
                    },
                )
            }
        };
        record(&self.app, &self.channel, outcome);
        self.complain(Some(id), error).await
    }
}
