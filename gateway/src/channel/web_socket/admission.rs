//! Whether a caller may use a WebSocket channel; asked at the beginning and after every change of configuration.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use claw_crds::gateway_config::{ChannelConfig, DirectAccess, PlatformConfig};
use http::HeaderMap;

use super::credentials;
use crate::AppState;
use crate::auth::{self, ANONYMOUS, Caller, PeerCertificate, Visit};
use crate::channel::{Outcome, find, record};
use crate::client_address::ClientAddress;
use crate::config::RuntimeConfig;
use crate::error::GatewayError;

/// What a client came with: a channel's name and a credential.
pub(super) struct Ticket {
    channel: String,
    credentials: HeaderMap,
    path: String,
    /// Whose limits count where nobody needs a key.
    address: Option<IpAddr>,
    certificate: Option<Arc<PeerCertificate>>,
}

impl Ticket {
    pub(super) fn new(channel: &str, request: &Request) -> Result<Self, GatewayError> {
        let credentials = credentials::credentials(request.headers())?;
        Ok(Self {
            channel: channel.to_owned(),
            credentials,
            path: request.uri().path().to_owned(),
            address: ClientAddress::of(request),
            certificate: PeerCertificate::of(request).map(Arc::clone),
        })
    }

    /// Count a message against the limit of its sender, as a request to the API would be.
    pub(super) async fn count(
        &self,
        app: &AppState,
        runtime: &RuntimeConfig,
    ) -> Result<(), GatewayError> {
        let caller = self.caller(app, runtime).await?;
        let name = match self.address {
            Some(address) if &*caller.name == ANONYMOUS => address.to_string().into(),
            _ => caller.name,
        };
        app.rate_limits
            .check(runtime.limits.requests_per_second, &name)
    }

    async fn caller(
        &self,
        app: &AppState,
        runtime: &RuntimeConfig,
    ) -> Result<Caller, GatewayError> {
        let visit = Visit {
            headers: &self.credentials,
            path: &self.path,
            address: self.address,
            certificate: self.certificate.as_deref(),
        };
        Ok(auth::authenticate(app, runtime, visit).await?)
    }

    /// The channel, if it still is one of this kind.
    pub(super) fn channel<'a>(&self, runtime: &'a RuntimeConfig) -> Option<&'a ChannelConfig> {
        runtime
            .channel(&self.channel)
            .filter(|channel| matches!(channel.platform, PlatformConfig::WebSocket {}))
    }

    /// Who this is, if the configuration admits them.
    pub(super) async fn admit(
        &self,
        app: &AppState,
        runtime: &RuntimeConfig,
    ) -> Result<Caller, GatewayError> {
        let channel = find(&runtime.channels, &self.channel)?;
        let caller = self.caller(app, runtime).await?;
        if !caller.grant.allows_model(&channel.model) {
            record(app, channel, Outcome::Refused);
            return Err(GatewayError::Forbidden {
                message: format!("`{}` may not use the model of this channel", caller.name),
            });
        }
        let admitted = match channel.access.direct {
            DirectAccess::Open => true,
            DirectAccess::AllowList => channel.access.allow_from.contains(&*caller.name),
            DirectAccess::Disabled => false,
        };
        if admitted {
            return Ok(caller);
        }
        record(app, channel, Outcome::Refused);
        tracing::info!(
            channel.name,
            caller = &*caller.name,
            rule = ?channel.access.direct,
            "a WebSocket client was refused by the access rules",
        );
        Err(GatewayError::Forbidden {
            message: format!(
                "`{}` may not use this channel: its access rules (access.direct, access.allowFrom) do not admit it",
                caller.name
            ),
        })
    }
}
