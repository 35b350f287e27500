//! Requests to APIs that speak plain HTTP/1.1, as model servers within a cluster do.
//!
//! Most of what such a request costs in a client for everything is moving it between tasks: one for the request, one for
//! its connection, for each piece of the answer. Here a connection has no task of its own: whoever waits for an answer
//! drives it.

mod body;
mod line;
mod site;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use claw_crds::outbound::Refusal;
use http::{HeaderMap, Response};
use tokio::task::JoinSet;

use super::SendError;
use super::resolver::GuardedResolver;
pub use body::DirectBody;
use site::Site;

/// How long a connection is kept that nobody uses.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The places that were called, with their open connections.
pub(super) struct Direct {
    resolver: Arc<GuardedResolver>,
    sites: Mutex<Sites>,
}

#[derive(Default)]
struct Sites {
    /// By their URLs; nothing where a URL cannot be called from here.
    by_url: HashMap<String, Option<Arc<Site>>>,
    /// Ends with this.
    sweeper: JoinSet<()>,
}

impl Direct {
    pub(super) fn new(resolver: Arc<GuardedResolver>) -> Self {
        Self {
            resolver,
            sites: Mutex::default(),
        }
    }

    /// Where a URL leads, if that can be called from here.
    pub(super) fn site(self: &Arc<Self>, url: &str) -> Result<Option<Arc<Site>>, Refusal> {
        if let Some(site) = self.lock().by_url.get(url) {
            return Ok(site.clone());
        }
        let Ok(parsed) = url::Url::parse(url) else {
            return Ok(None);
        };
        self.resolver.rules.check_url(&parsed)?;
        let site = Site::new(&parsed, &self.resolver).map(Arc::new);
        let mut sites = self.lock();
        if sites.sweeper.is_empty() {
            sites.sweeper.spawn(sweep(Arc::downgrade(self)));
        }
        sites.by_url.insert(url.to_owned(), site.clone());
        Ok(site)
    }

    fn lock(&self) -> MutexGuard<'_, Sites> {
        // Every change is a single one, so a panic elsewhere left nothing half-done.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what nobody uses.
async fn sweep(direct: Weak<Direct>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let Some(direct) = direct.upgrade() else {
            return;
        };
        let sites = &mut direct.lock().by_url;
        sites.retain(|_, site| site.as_ref().is_some_and(|site| site.close_idle(site)));
    }
}

/// POST to a place, up to the head of the answer.
pub(super) async fn post(
    site: &Arc<Site>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<DirectBody>, SendError> {
    let mut request = site.request(headers, body);
    while let Some(mut line) = site.idle_line().await {
        match line.send(request).await {
            Ok(response) => return Ok(site.answer(response, line)),
            // Closed before any of it was sent: as if it had been closed earlier.
            Err(mut unsent) => match unsent.take_message() {
                Some(again) => request = again,
                None => return Err(SendError::Exchange(unsent.into_error())),
            },
        }
    }
    // Apart: most requests find a connection, and need no memory for this.
    let mut line = Box::pin(site.connect()).await?;
    match line.send(request).await {
        Ok(response) => Ok(site.answer(response, line)),
        Err(unsent) => Err(SendError::Exchange(unsent.into_error())),
    }
}
