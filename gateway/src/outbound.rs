//! Outgoing HTTP to addresses that users give.
//!
//! A name is looked up once for each connection, everything it leads to is held against
//! [`OutboundConfig`], and the connection goes to what was checked: whoever
//! controls a name cannot show one address and be called at another. No proxy is taken from the environment, since
//! it would look names up for itself.

mod answer_body;
mod client_tls;
mod direct;
mod own_client;
mod refused;
mod resolver;
mod send_error;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use claw_crds::outbound::{OutboundConfig, Refusal};
use http::{HeaderMap, Method, Response};
use reqwest::redirect::{Attempt, Policy};
use tokio::net::TcpStream;

pub use answer_body::AnswerBody;
pub use client_tls::{ClientTlsError, client_tls};
use direct::Direct;
pub use direct::DirectBody;
pub use own_client::{OwnClient, OwnClientError};
pub use refused::refusal_in;
use resolver::GuardedResolver;
pub use resolver::{Lookup, SystemLookup};
pub use send_error::SendError;

/// Model hubs redirect to their storage, some of them more than once.
const MOST_REDIRECTS: usize = 10;
/// A download from a server that is silent for longer has gone.
const DOWNLOAD_READ_TIMEOUT: Duration = Duration::from_mins(1);
/// An API that is there answers sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const USER_AGENT: &str = concat!("clawdbot/", env!("CARGO_PKG_VERSION"));

/// The way out; cheap to clone, and all clones follow the same rules.
#[derive(Clone)]
pub struct Outbound {
    clients: Arc<ArcSwap<Clients>>,
    lookup: Arc<dyn Lookup>,
}

/// Clients for one set of rules. They go with it, and so do their idle connections.
struct Clients {
    rules: Arc<OutboundConfig>,
    direct: Arc<Direct>,
    api: reqwest::Client,
    downloads: reqwest::Client,
}

impl Outbound {
    /// A way out under these rules.
    pub fn new(rules: OutboundConfig) -> reqwest::Result<Self> {
        Self::with_lookup(rules, Arc::new(SystemLookup))
    }

    /// The same with another way to look up names.
    pub fn with_lookup(rules: OutboundConfig, lookup: Arc<dyn Lookup>) -> reqwest::Result<Self> {
        let clients = Clients::new(rules, &lookup)?;
        Ok(Self {
            clients: Arc::new(ArcSwap::from_pointee(clients)),
            lookup,
        })
    }

    /// Follow these rules from now on. Requests under way go on.
    pub fn follow(&self, rules: &OutboundConfig) -> reqwest::Result<()> {
        if *self.clients.load().rules != *rules {
            let clients = Clients::new(rules.clone(), &self.lookup)?;
            self.clients.store(Arc::new(clients));
        }
        Ok(())
    }

    /// A request to an API. Redirects are not followed: they would carry a credential or a request to where nobody
    /// sent it.
    pub fn request(&self, method: Method, url: &str) -> Result<reqwest::RequestBuilder, Refusal> {
        let clients = self.clients.load();
        check(&clients.rules, url)?;
        Ok(clients.api.request(method, url))
    }

    /// A POST to an API.
    pub fn post(&self, url: &str) -> Result<reqwest::RequestBuilder, Refusal> {
        self.request(Method::POST, url)
    }

    /// POST to an API, up to the head of its answer, whatever its status.
    pub async fn send(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<AnswerBody>, SendError> {
        let direct = Arc::clone(&self.clients.load().direct);
        if let Some(site) = direct.site(url)? {
            let response = direct::post(&site, headers, body).await?;
            return Ok(response.map(AnswerBody::Direct));
        }
        let request = self.post(url)?.headers(headers).body(body);
        let response = request.send().await;
        // The URL may hold a password.
        let response = response.map_err(|error| SendError::Client(error.without_url()))?;
        Ok(Response::from(response).map(AnswerBody::Client))
    }

    /// A connection without HTTP, to one of the addresses that a host leads to and that may be called.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => {
                self.rules()
                    .check(None, address)
                    .map_err(io::Error::other)?;
                vec![SocketAddr::new(address, port)]
            }
            Err(_) => self
                .resolver()
                .allowed(host)
                .await
                .map_err(io::Error::other)?
                .into_iter()
                .map(|address| SocketAddr::new(address, port))
                .collect(),
        };
        TcpStream::connect(&addresses[..]).await
    }

    /// What is in force.
    fn rules(&self) -> Arc<OutboundConfig> {
        Arc::clone(&self.clients.load().rules)
    }

    /// A client under the rules in force.
    fn builder(&self) -> reqwest::ClientBuilder {
        builder(&Arc::new(self.resolver()))
    }

    fn resolver(&self) -> GuardedResolver {
        GuardedResolver {
            rules: self.rules(),
            lookup: Arc::clone(&self.lookup),
        }
    }

    /// A request for a file, without any credential. Redirects are followed, and each is checked.
    pub fn download(&self, url: &str) -> Result<reqwest::RequestBuilder, Refusal> {
        let clients = self.clients.load();
        check(&clients.rules, url)?;
        Ok(clients.downloads.get(url))
    }
}

/// An address in the URL itself is never looked up, so it is checked here; what is no URL fails when it is sent.
fn check(rules: &OutboundConfig, url: &str) -> Result<(), Refusal> {
    url::Url::parse(url).map_or(Ok(()), |url| rules.check_url(&url))
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("rules", &self.clients.load().rules)
            .finish_non_exhaustive()
    }
}

impl Clients {
    fn new(rules: OutboundConfig, lookup: &Arc<dyn Lookup>) -> reqwest::Result<Self> {
        let rules = Arc::new(rules);
        let resolver = Arc::new(GuardedResolver {
            rules: Arc::clone(&rules),
            lookup: Arc::clone(lookup),
        });
        let builder = || builder(&resolver);
        let api = builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            .build()?;
        let followed = Arc::clone(&rules);
        let downloads = builder()
            .redirect(Policy::custom(move |attempt| redirect(&followed, attempt)))
            .referer(false)
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(DOWNLOAD_READ_TIMEOUT)
            .build()?;
        Ok(Self {
            rules,
            direct: Arc::new(Direct::new(resolver)),
            api,
            downloads,
        })
    }
}

fn builder(resolver: &Arc<GuardedResolver>) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .dns_resolver(Arc::clone(resolver))
        .user_agent(concat!("clawdbot/", env!("CARGO_PKG_VERSION")))
}

/// Why a redirect is not followed.
#[derive(Debug, thiserror::Error)]
enum RedirectError {
    #[error("there were more than {MOST_REDIRECTS} redirects")]
    TooMany,
    #[error("it redirects from https to http")]
    Downgrade,
}

fn redirect(rules: &OutboundConfig, attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error(RedirectError::TooMany);
    }
    let was_secure = attempt
        .previous()
        .last()
        .is_some_and(|url| url.scheme() == "https");
    if was_secure && attempt.url().scheme() != "https" {
        return attempt.error(RedirectError::Downgrade);
    }
    match rules.check_url(attempt.url()) {
        Ok(()) => attempt.follow(),
        Err(refusal) => attempt.error(refusal),
    }
}

#[cfg(test)]
mod tests;
