//! A client with TLS of its own, under the same rules as all others.

use std::sync::Arc;
use std::time::Duration;

use claw_crds::gateway_config::ClientTlsConfig;
use claw_crds::outbound::OutboundConfig;
use http::Method;
use reqwest::redirect::Policy;
use rustls::ClientConfig;

use super::{ClientTlsError, Outbound, check, client_tls};

/// For one receiver. Its connections belong to the runtime that sends by it.
pub struct OwnClient {
    outbound: Outbound,
    tls: ClientConfig,
    /// The rules it was made under go with it, as with all clients.
    client: Option<(Arc<OutboundConfig>, reqwest::Client)>,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub enum OwnClientError {
    /// The address may not be called.
    #[error(transparent)]
    Refused(#[from] claw_crds::outbound::Refusal),
    /// The client could not be made.
    #[error("failed to prepare outgoing HTTP")]
    Client(#[from] reqwest::Error),
}

impl OwnClient {
    /// A client that trusts and shows what `tls` says.
    pub fn new(outbound: &Outbound, tls: &ClientTlsConfig) -> Result<Self, ClientTlsError> {
        Ok(Self {
            outbound: outbound.clone(),
            tls: client_tls(tls)?,
            client: None,
        })
    }

    /// A request under the rules of now. Redirects are not followed.
    pub fn request(
        &mut self,
        method: Method,
        url: &str,
    ) -> Result<reqwest::RequestBuilder, OwnClientError> {
        let rules = self.outbound.rules();
        check(&rules, url)?;
        let client = match self.client.take() {
            Some((known, client)) if Arc::ptr_eq(&known, &rules) => client,
            _ => self
                .outbound
                .builder()
                .tls_backend_preconfigured(self.tls.clone())
                .redirect(Policy::none())
                .connect_timeout(Duration::from_secs(10))
                .tcp_nodelay(true)
                .build()?,
        };
        let request = client.request(method, url);
        self.client = Some((rules, client));
        Ok(request)
    }
}
