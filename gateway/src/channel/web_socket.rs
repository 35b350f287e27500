//! The gateway's own WebSocket protocol: JSON messages in, streamed JSON messages out.
//!
//! A caller is known and admitted before the upgrade, and again whenever the configuration changes.

mod admission;
mod connection;
mod credentials;
mod farewell;
mod protocol;
mod session;

use std::time::Duration;

use axum::RequestPartsExt;
use axum::extract::Request;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use http::HeaderValue;

use crate::AppState;
use crate::conversation::HistoryLimits;
use crate::error::GatewayError;
use admission::Ticket;
use connection::Connection;

/// What can be tuned; the defaults are for production, and docs/channels.md names them.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often the client is pinged.
    pub ping_every: Duration,
    /// Closed when nothing came for this long.
    pub max_silence: Duration,
    /// How long a client may take to read what is sent.
    pub send_timeout: Duration,
    /// How often the connection looks whether the configuration changed.
    pub look_every: Duration,
    /// How long an answer may go on after the gateway began to drain or the channel was removed.
    pub drain_limit: Duration,
    /// The largest message taken.
    pub max_message_bytes: usize,
    /// How many messages may wait behind the one that is being answered.
    pub max_waiting: usize,
    /// What is remembered of the conversation.
    pub history: HistoryLimits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(20),
            max_silence: Duration::from_mins(1),
            send_timeout: Duration::from_secs(30),
            look_every: Duration::from_millis(500),
            drain_limit: Duration::from_secs(20),
            max_message_bytes: 64 * 1024,
            max_waiting: 4,
            history: HistoryLimits::default(),
        }
    }
}

/// Accept a connection, or say why not.
pub(super) async fn accept(
    app: &AppState,
    channel: &str,
    settings: &Settings,
    request: Request,
) -> Result<Response, GatewayError> {
    let runtime = app.runtime();
    let ticket = Ticket::new(channel, &request)?;
    let caller = ticket.admit(app, &runtime).await?;
    let knows_subprotocol = credentials::offers_subprotocol(request.headers());
    let (mut parts, _) = request.into_parts();
    let upgrade = parts
        .extract::<WebSocketUpgrade>()
        .await
        .map_err(|rejection| GatewayError::InvalidRequest {
            message: format!("this path speaks WebSocket: {rejection}"),
            param: None,
        })?;
    let mut upgrade = upgrade
        .max_message_size(settings.max_message_bytes)
        .max_frame_size(settings.max_message_bytes);
    if knows_subprotocol {
        upgrade.set_selected_protocol(HeaderValue::from_static(credentials::SUBPROTOCOL));
    }
    tracing::debug!(
        channel.name = channel,
        caller = &*caller.name,
        "a WebSocket client connected"
    );
    let (app, settings) = (app.clone(), *settings);
    // Taken before the upgrade, so that shutdown waits for a connection that is just coming up.
    let task = app.tasks.token();
    Ok(upgrade.on_upgrade(move |socket| async move {
        if let Some(connection) = Connection::new(socket, app, ticket, (settings, runtime)) {
            connection.run().await;
        }
        drop(task);
    }))
}
