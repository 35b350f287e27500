//! The loop of one connection: frames in, events of the answer out, heartbeat, and a good end.

mod incoming;
mod outgoing;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use claw_crds::gateway_config::ChannelConfig;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::Settings;
use super::admission::Ticket;
use super::farewell::Farewell;
use super::protocol::{Ask, ServerFrame, VERSION};
use super::session::Session;
use crate::AppState;
use crate::channel::{Outcome, record};
use crate::config::RuntimeConfig;
use crate::error::GatewayError;

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
                _ = look.tick() => self.look().await?,
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
        self.look().await?;
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

    /// Follow a change of the configuration: new settings, a removed channel, a key that is no longer good.
    async fn look(&mut self) -> Step {
        let runtime = self.app.runtime();
        if Arc::ptr_eq(&runtime, &self.runtime) || self.leaving.is_some() {
            return Ok(());
        }
        match self.ticket.channel(&runtime) {
            None => self.leave("the channel was removed"),
            Some(channel) => {
                self.ticket
                    .admit(&self.app, &runtime)
                    .await
                    .map_err(|error| match error {
                        GatewayError::IdentityUnavailable { .. } => {
                            Farewell::away("the token cannot be checked now: connect again")
                        }
                        GatewayError::Forbidden { .. } => {
                            Farewell::policy("the access rules changed")
                        }
                        _ => Farewell::policy("the credential is no longer valid"),
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
}
