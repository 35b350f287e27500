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

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Hands out only addresses that the rules allow; the client connects to these and asks nobody else.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    pub(super) rules: Arc<OutboundConfig>,
    pub(super) lookup: Arc<dyn Lookup>,
}

impl GuardedResolver {
    /// The addresses of a host that may be called; an error where none of those that it has may be.
    pub(super) async fn allowed(&self, host: &str) -> Result<Vec<IpAddr>, BoxError> {
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in self.lookup.lookup(host.to_owned()).await? {
            match self.rules.check(Some(host), address) {
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
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let allowed = resolver.allowed(name.as_str()).await?;
            // The port is put in by the client.
            let allowed = allowed
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(allowed) as Addrs)
        })
    }
}
