//! Channels: people reach models here, each platform in its own way, all at `/channels/{name}`.
//!
//! Which channels there are is looked up for every request, so a change of the configuration counts at once.

mod answer;
mod keyed_queue;
mod outcome;
pub mod telegram;
pub mod web_socket;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use claw_crds::gateway_config::{ChannelConfig, PlatformConfig};
use http::Method;

use crate::AppState;
use crate::error::GatewayError;
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

/// What the channels of a gateway share for its life.
struct Channels {
    web_socket: web_socket::Settings,
    bots: telegram::Roster,
}

/// The routes of all channels.
pub fn router() -> Router<AppState> {
    router_with(Settings::default())
}

/// The routes of all channels, tuned.
pub fn router_with(settings: Settings) -> Router<AppState> {
    let Settings {
        web_socket,
        telegram,
    } = settings;
    let channels = Arc::new(Channels {
        web_socket,
        bots: telegram::Roster::new(telegram),
    });
    let serve = move |State(app): State<AppState>, Path(name): Path<String>, request: Request| async move {
        channels
            .serve(&app, &name, request)
            .await
            .unwrap_or_else(IntoResponse::into_response)
    };
    Router::new().route("/channels/{name}", any(serve))
}

impl Channels {
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
