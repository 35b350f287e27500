//! Who a caller is, and what they may do: a request in, a name with a grant or a refusal out.
//!
//! Denies by default. What a grant says of models, the handlers ask it; everything else is decided here.

mod api_keys;
mod attempts;
mod claims;
mod client_certificate;
mod credential;
mod denied;
mod fetch;
mod grant;
mod introspection;
mod jwt;
mod policy;
mod token_fault;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use http::HeaderMap;
use http::request::Parts;
use jiff::Timestamp;
use tokio_util::task::TaskTracker;

use crate::AppState;
use crate::client_address::ClientAddress;
use crate::config::RuntimeConfig;
use crate::error::GatewayError;
use crate::outbound::Outbound;
pub use api_keys::hash_key;
pub use attempts::Attempts;
use attempts::Record;
pub use client_certificate::{ClientCertificates, PeerCertificate};
pub use denied::{Denied, Unavailable};
pub use grant::Grant;
pub use policy::AccessPolicy;

/// The name of callers without a key, where the configuration lets them in.
pub const ANONYMOUS: &str = "anonymous";

/// A caller who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `<secret>/<key>` of the API key, `jwt:<issuer>/<name>` or `oauth:<name>` of the token, `cert:<name>` of the
    /// certificate, or [`ANONYMOUS`].
    pub name: Arc<str>,
    /// What they may do.
    pub grant: Arc<Grant>,
}

impl Caller {
    /// The caller of a request that was let in. Whatever was not answers nothing.
    pub fn of(parts: &Parts) -> Result<&Self, GatewayError> {
        parts.extensions.get().ok_or(GatewayError::Internal)
    }
}

/// What a request tells of its caller.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// With the credential.
    pub headers: &'a HeaderMap,
    /// What is asked for.
    pub path: &'a str,
    /// Where it comes from, if that is known.
    pub address: Option<IpAddr>,
    /// What its connection showed in the handshake.
    pub certificate: Option<&'a PeerCertificate>,
}

impl<'a> Visit<'a> {
    /// What this request tells.
    pub fn of(request: &'a Request) -> Self {
        Self {
            headers: request.headers(),
            path: request.uri().path(),
            address: ClientAddress::of(request),
            certificate: PeerCertificate::of(request).map(Arc::as_ref),
        }
    }
}

/// By what means a caller may become known.
struct Means<'a> {
    /// The way to those who issue tokens.
    outbound: &'a Outbound,
    /// What goes on without the request.
    tasks: &'a TaskTracker,
}

/// The caller of a request, counted where it is refused. May ask those who issued a token.
pub async fn authenticate(
    app: &AppState,
    runtime: &RuntimeConfig,
    visit: Visit<'_>,
) -> Result<Caller, Denied> {
    let means = Means {
        outbound: &app.outbound,
        tasks: &app.tasks,
    };
    let outcome = identify(&runtime.access, &app.attempts, &means, visit).await;
    if let Err(denied) = &outcome {
        app.metrics.auth_refused(denied.reason());
    }
    outcome
}

async fn identify(
    access: &AccessPolicy,
    attempts: &Attempts,
    means: &Means<'_>,
    visit: Visit<'_>,
) -> Result<Caller, Denied> {
    let AccessPolicy::Holders(holders) = access else {
        return Ok(Caller {
            name: ANONYMOUS.into(),
            grant: Arc::default(),
        });
    };
    holders.second_proof(visit)?;
    let shown = holders.shown(visit)?;
    let digest = shown.digest();
    let (fingerprint, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
    let record = match visit.address {
        Some(address) => attempts
            .admit(address, *fingerprint, Instant::now())
            .map_err(|retry_after| Denied::Throttled { retry_after })?,
        None => Record::New,
    };
    let outcome = holders.recognise(shown, &digest, means).await;
    match (&outcome, visit.address) {
        (Ok(_), Some(address)) if record == Record::New => {
            attempts.succeeded(address, *fingerprint);
        }
        (Err(denied), Some(address)) if denied.is_guess() => {
            attempts.failed(address, Instant::now());
        }
        _ => {}
    }
    let caller = outcome?;
    caller
        .grant
        .admit(visit.path, visit.address, Timestamp::now())?;
    Ok(caller)
}

#[cfg(test)]
mod tests;
