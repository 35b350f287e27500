//! The loop of one connection: frames in, events of the answer out, heartbeat, and a good end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use claw_crds::gateway_config::ChannelConfig;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::Settings;
use super::admission::Ticket;
use super::farewell::Farewell;
use super::protocol::{Ask, ClientFrame, Invalid, ServerFrame, VERSION, client_error};
use super::session::{Event, Refusal, Session};
use crate::AppState;
use crate::channel::{Outcome, record};
use crate::config::{RuntimeConfig, chain};
use crate::error::{ErrorBody, ErrorDetail, GatewayError};

/// How long the client may take to confirm a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One client.
pub(super) struct Connection {
    socket: WebSocket,
    session: Session,
    app: AppState,
    ticket: Ticket,
    settings: Settings,
    /// The configuration that was looked at last.
    runtime: Arc<RuntimeConfig>,
    /// The channel as it was last; kept for the metrics of an answer that outlives it.
    channel: ChannelConfig,
    last_heard: Instant,
    leaving: Option<Leaving>,
}

/// The connection ends after the answer on its way, at the latest at `deadline`.
struct Leaving {
    farewell: Farewell,
    deadline: Instant,
}

type Step = Result<(), Farewell>;

impl Connection {
    /// A client that was admitted under this configuration.
    pub(super) fn new(
        socket: WebSocket,
        app: AppState,
        ticket: Ticket,
        (settings, runtime): (Settings, Arc<RuntimeConfig>),
    ) -> Option<Self> {
        let channel = ticket.channel(&runtime)?.clone();
        let session = Session::new(settings.history, settings.max_waiting);
        let (last_heard, leaving) = (Instant::now(), None);
        Some(Self {
            socket,
            session,
            app,
            ticket,
            settings,
            runtime,
            channel,
            last_heard,
            leaving,
        })
    }

    /// Serve the client until either side leaves. Dropping the session cancels what is being generated.
    pub(super) async fn run(mut self) {
        let Err(farewell) = self.converse().await else {
            return;
        };
        if !self.session.is_idle() {
            record(&self.app, &self.channel, Outcome::Cancelled);
        }
        drop(self.session);
        let Some(frame) = farewell.frame() else {
            return;
        };
        tracing::debug!(
            channel.name = self.channel.name,
            code = frame.code,
            "a WebSocket is closed"
        );
        let goodbye = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        drop(timeout(CLOSE_TIMEOUT, goodbye).await);
    }

    async fn converse(&mut self) -> Step {
        let channel = self.channel.name.clone();
        self.send(ServerFrame::Ready {
            channel,
            protocol: VERSION,
        })
        .await?;
        let mut ping = interval(self.settings.ping_every);
        let mut look = interval(self.settings.look_every);
        for ticker in [&mut ping, &mut look] {
            ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticker.reset();
        }
        loop {
            self.start_next().await?;
            let silent_at = self.last_heard + self.settings.max_silence;
            let (deadline, staying) = (self.deadline(), self.leaving.is_none());
            tokio::select! {
                frame = self.socket.recv() => self.on_frame(frame).await?,
                event = self.session.next() => self.on_event(event).await?,
                _ = ping.tick() => self.send_message(Message::Ping(bytes::Bytes::new())).await?,
                _ = look.tick() => self.look()?,
                () = self.app.shutdown.cancelled(), if staying => {
                    self.leave("the gateway is shutting down: connect again");
                }
                () = sleep_until(silent_at) => return Err(Farewell::policy("nothing was heard for too long")),
                () = sleep_until(deadline), if !staying => return self.depart(),
            }
        }
    }

    /// Ask the model the next question, with the settings that the channel has now; or leave, where it is time.
    async fn start_next(&mut self) -> Step {
        if self.leaving.is_some() {
            for Ask { id, .. } in self.session.dismiss().collect::<Vec<_>>() {
                self.refuse_while_leaving(id).await?;
            }
            return if self.session.is_idle() {
                self.depart()
            } else {
                Ok(())
            };
        }
        let Some(ask) = self.session.startable() else {
            return Ok(());
        };
        self.look()?;
        if self.leaving.is_some() {
            self.refuse_while_leaving(ask.id).await?;
            return self.depart();
        }
        self.send(ServerFrame::Started { id: ask.id.clone() })
            .await?;
        let ChannelConfig {
            model,
            system_prompt,
            ..
        } = &self.channel;
        self.session.start(
            ask,
            model,
            system_prompt.as_deref(),
            Arc::clone(&self.app.respond),
        );
        Ok(())
    }

    async fn on_frame(&mut self, frame: Option<Result<Message, axum::Error>>) -> Step {
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
        if let Err(error) = self.ticket.count(&self.app, &self.app.runtime()) {
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

    async fn on_event(&mut self, event: Event) -> Step {
        match event {
            Event::Delta { id, text } => self.send(ServerFrame::Delta { id, text }).await,
            Event::Done(done) => {
                record(&self.app, &self.channel, Outcome::Answered);
                self.send(ServerFrame::Done(done)).await
            }
            Event::Failed { id, error } => {
                record(&self.app, &self.channel, Outcome::Failed);
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

    /// Follow a change of the configuration: new settings, a removed channel, a key that is no longer good.
    fn look(&mut self) -> Step {
        let runtime = self.app.runtime();
        if Arc::ptr_eq(&runtime, &self.runtime) || self.leaving.is_some() {
            return Ok(());
        }
        match self.ticket.channel(&runtime) {
            None => self.leave("the channel was removed"),
            Some(channel) => {
                self.ticket
                    .admit(&self.app, &runtime)
                    .map_err(|error| match error {
                        GatewayError::Forbidden { .. } => {
                            Farewell::policy("the access rules changed")
                        }
                        _ => Farewell::policy("the API key is no longer valid"),
                    })?;
                self.channel = channel.clone();
            }
        }
        self.runtime = runtime;
        Ok(())
    }

    fn leave(&mut self, reason: &'static str) {
        let deadline = Instant::now() + self.settings.drain_limit;
        self.leaving = Some(Leaving {
            farewell: Farewell::away(reason),
            deadline,
        });
    }

    fn deadline(&self) -> Instant {
        self.leaving
            .as_ref()
            .map_or_else(Instant::now, |leaving| leaving.deadline)
    }

    fn depart(&mut self) -> Step {
        self.leaving
            .take()
            .map_or(Ok(()), |leaving| Err(leaving.farewell))
    }

    async fn refuse_while_leaving(&mut self, id: String) -> Step {
        let message = "this connection is about to be closed: connect again".to_owned();
        let error = ErrorDetail {
            kind: "server_error".to_owned(),
            ..client_error("going_away", None, message)
        };
        self.complain(Some(id), error).await
    }

    async fn complain(&mut self, id: Option<String>, error: ErrorDetail) -> Step {
        self.send(ServerFrame::Error { id, error }).await
    }

    async fn send(&mut self, frame: ServerFrame) -> Step {
        let text = serde_json::to_string(&frame).expect("frames have only string keys");
        self.send_message(Message::Text(text.into())).await
    }

    /// A client that does not read must not hold its answer's place for ever.
    async fn send_message(&mut self, message: Message) -> Step {
        match timeout(self.settings.send_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Farewell::Gone),
        }
    }
}
