//! Names to addresses that may be called.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use claw_crds::outbound::OutboundConfig;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Looks up names.
pub trait Lookup: Send + Sync {
    /// All addresses of a host.
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// Asks the system.
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Hands out only addresses that the rules allow; the client connects to these and asks nobody else.
pub(super) struct GuardedResolver {
    pub(super) rules: Arc<OutboundConfig>,
    pub(super) lookup: Arc<dyn Lookup>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, lookup) = (Arc::clone(&self.rules), Arc::clone(&self.lookup));
        Box::pin(async move {
            let found = allowed(&rules, &*lookup, name.as_str()).await?;
            // The port is put in by the client.
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        })
    }
}

/// Why a name leads nowhere.
pub(super) type LookupError = Box<dyn std::error::Error + Send + Sync>;

/// What a name leads to and may be called; a refusal where that is nothing.
pub(super) async fn allowed(
    rules: &OutboundConfig,
    lookup: &dyn Lookup,
    host: &str,
) -> Result<Vec<IpAddr>, LookupError> {
    let mut refused = None;
    let mut allowed = Vec::new();
    for address in lookup.lookup(host.to_owned()).await? {
        match rules.check(Some(host), address) {
            Ok(()) => allowed.push(address),
            Err(refusal) => refused = Some(refusal),
        }
    }
    match refused {
        Some(refusal) if allowed.is_empty() => {
            tracing::warn!(host, %refusal, "a connection was refused");
            Err(refusal.into())
        }
        _ => Ok(allowed),
    }
}
