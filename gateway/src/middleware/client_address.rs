//! Where a request comes from, and whether anybody from there is let in.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};

use crate::AppState;
use crate::client_address::ClientAddress;
use crate::error::GatewayError;

/// Tell whoever comes later where a request comes from; refuse those from outside of the list.
pub fn locate(state: &AppState, request: &mut Request) -> Result<(), GatewayError> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| peer.ip());
    let runtime = state.peek();
    let callers = &runtime.callers;
    let client =
        peer.map(|peer| ClientAddress::resolve(peer, request.headers(), &callers.trusted_proxies));
    // Whoever asks finds the peer by itself.
    if let Some(client) = client.filter(|ClientAddress(client)| peer != Some(*client)) {
        request.extensions_mut().insert(client);
    }
    let is_admitted = callers.ip_allow_list.as_ref().is_none_or(|ranges| {
        client
            .is_some_and(|ClientAddress(client)| ranges.iter().any(|range| range.contains(&client)))
    });
    if is_admitted {
        return Ok(());
    }
    state.metrics.auth_refused("ip_allow_list");
    let message = "this gateway does not serve your address (spec.ipAllowList)".to_owned();
    Err(GatewayError::Forbidden { message })
}
