//! TLS 1.3 with the certificate of the configuration in force, and with those of callers where it takes them.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::auth::ClientCertificates;
use crate::config::SharedRuntime;

/// The protocol that a client and we agree on for HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";

/// Acceptors for the life of the gateway: each handshake uses the newest certificate and the newest authorities.
pub(super) struct Acceptors {
    runtime: SharedRuntime,
    /// Asks for no certificate.
    plain: TlsAcceptor,
    /// Asks for those that were accepted last.
    asking: Mutex<Option<(Arc<ClientCertificates>, TlsAcceptor)>>,
}

impl Acceptors {
    pub(super) fn new(runtime: SharedRuntime) -> io::Result<Self> {
        let plain = acceptor(&runtime, None)?;
        Ok(Self {
            runtime,
            plain,
            asking: Mutex::default(),
        })
    }

    /// The one for the configuration in force.
    pub(super) fn current(&self) -> io::Result<TlsAcceptor> {
        let runtime = self.runtime.load();
        let Some(certificates) = runtime.access.certificates() else {
            return Ok(self.plain.clone());
        };
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, acceptor)) = &*asking
            && Arc::ptr_eq(known, certificates)
        {
            return Ok(acceptor.clone());
        }
        let acceptor = acceptor(&self.runtime, Some(certificates))?;
        *asking = Some((Arc::clone(certificates), acceptor.clone()));
        Ok(acceptor)
    }
}

fn acceptor(
    runtime: &SharedRuntime,
    certificates: Option<&Arc<ClientCertificates>>,
) -> io::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?;
    let builder = match certificates {
        None => builder.with_no_client_auth(),
        Some(certificates) => builder.with_client_cert_verifier(certificates.verifier()),
    };
    let live = Arc::new(LiveCertificate(Arc::clone(runtime)));
    let mut config = builder.with_cert_resolver(live);
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    if certificates.is_some() {
        // A resumed session would bring the caller of its first handshake, unchecked.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}

struct LiveCertificate(SharedRuntime);

impl fmt::Debug for LiveCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveCertificate")
    }
}

impl ResolvesServerCert for LiveCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0
            .load()
            .tls
            .as_ref()
            .map(|certificate| Arc::clone(&certificate.key))
    }
}
