//! Channels: people reach models here, each platform in its own way, all at `/channels/{name}`.
//!
//! Which channels there are is looked up for every request, so a change of the configuration counts at once.

mod answer;
mod keyed_queue;
mod outcome;
pub mod telegram;
pub mod web_socket;

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use claw_crds::gateway_config::{ChannelConfig, PlatformConfig};
use http::Method;

use crate::AppState;
use crate::error::GatewayError;
use crate::mailbox::Mail;
pub use keyed_queue::QueueLimits;
pub(crate) use outcome::{Outcome, record, record_with};

/// What can be tuned; the defaults are for production.
#[derive(Clone, Default)]
pub struct Settings {
    /// Of WebSocket channels.
    pub web_socket: web_socket::Settings,
    /// Of Telegram channels.
    pub telegram: telegram::Settings,
}

/// How often messages that other processes have left behind are looked for.
const TAKING_OVER: Duration = Duration::from_secs(5);

/// What the channels of a gateway share for its life.
pub struct Channels {
    web_socket: web_socket::Settings,
    bots: telegram::Roster,
}

impl Default for Channels {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

/// Above the names of channels.
const PATHS: &str = "/channels/";

/// Whether a path is a channel's: then the channel says who may use it.
pub fn serves(path: &str) -> bool {
    path.strip_prefix(PATHS)
        .is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// The routes of all channels.
pub fn router() -> Router<AppState> {
    let serve = |State(app): State<AppState>, Path(name): Path<String>, request: Request| async move {
        app.channels
            .serve(&app, &name, request)
            .await
            .unwrap_or_else(IntoResponse::into_response)
    };
    Router::new().route(&format!("{PATHS}{{name}}"), any(serve))
}

/// Go on with messages that other processes have left behind, until shutdown.
pub async fn take_over(app: AppState) {
    let mut rounds = tokio::time::interval(TAKING_OVER);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let shutdown = app.shutdown.clone();
    while shutdown.run_until_cancelled(rounds.tick()).await.is_some() {
        // Messages that were taken over are given a worker, so a round is not cut off.
        app.channels.take_over(&app).await;
    }
}

impl Channels {
    /// No bot is at work yet.
    pub fn new(settings: Settings) -> Self {
        let Settings {
            web_socket,
            telegram,
        } = settings;
        Self {
            web_socket,
            bots: telegram::Roster::new(telegram),
        }
    }

    async fn take_over(&self, app: &AppState) {
        let mail = app.mail.mail();
        let Mail::Stored(mailbox) = &*mail else {
            return;
        };
        let runtime = app.runtime();
        for channel in &runtime.channels {
            if let PlatformConfig::Telegram {
                bot_token,
                webhook_secret,
                api_base_url,
            } = &channel.platform
            {
                let credentials = telegram::Credentials {
                    bot_token,
                    webhook_secret,
                    api_base_url,
                };
                self.bots
                    .take_over(app, channel, credentials, mailbox)
                    .await;
            }
        }
    }

    async fn serve(
        &self,
        app: &AppState,
        name: &str,
        request: Request,
    ) -> Result<Response, GatewayError> {
        let runtime = app.runtime();
        let channel = find(&runtime.channels, name)?;
        match &channel.platform {
            PlatformConfig::WebSocket {} => {
                // Over HTTP/2 a WebSocket begins with CONNECT.
                allow(&request, &[Method::GET, Method::CONNECT], "GET")?;
                web_socket::accept(app, name, &self.web_socket, request).await
            }
            PlatformConfig::Telegram {
                bot_token,
                webhook_secret,
                api_base_url,
            } => {
                allow(&request, &[Method::POST], "POST")?;
                let credentials = telegram::Credentials {
                    bot_token,
                    webhook_secret,
                    api_base_url,
                };
                telegram::Webhook {
                    app,
                    channel,
                    credentials,
                    roster: &self.bots,
                }
                .receive(request)
                .await
            }
        }
    }
}

fn find<'a>(channels: &'a [ChannelConfig], name: &str) -> Result<&'a ChannelConfig, GatewayError> {
    channels
        .iter()
        .find(|channel| channel.name == name)
        .ok_or_else(|| GatewayError::NotFound {
            message: "there is no channel of that name on this gateway: see `kubectl get channels`"
                .to_owned(),
        })
}

fn allow(request: &Request, methods: &[Method], allow: &'static str) -> Result<(), GatewayError> {
    if methods.contains(request.method()) {
        return Ok(());
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    Err(GatewayError::MethodNotAllowed {
        method,
        path,
        allow,
    })
}
