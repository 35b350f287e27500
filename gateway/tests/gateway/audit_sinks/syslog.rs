//! A syslog server that speaks TLS, wants to see certificates, and can be killed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

type Messages = Arc<Mutex<Vec<(String, Value)>>>;

pub(super) struct SyslogReceiver {
    address: SocketAddr,
    acceptor: TlsAcceptor,
    pem: (String, String, String),
    messages: Messages,
    server: JoinSet<()>,
}

impl SyslogReceiver {
    pub(super) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let leaf = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
            let certificate = params.signed_by(&key, &authority).expect("signed");
            (certificate, key)
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("a root");
        let verifier = WebPkiClientVerifier::builder(roots.into()).build();
        let (certificate, key) = leaf("localhost");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = rustls::ServerConfig::builder()
            .with_client_cert_verifier(verifier.expect("a verifier"))
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a pair");
        let (certificate, key) = leaf("desk");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut receiver = Self {
            address: listener.local_addr().expect("bound"),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            pem: (authority.pem(), certificate.pem(), key.serialize_pem()),
            messages: Messages::default(),
            server: JoinSet::new(),
        };
        receiver.serve(listener);
        receiver
    }

    fn serve(&mut self, listener: TcpListener) {
        let (acceptor, messages) = (self.acceptor.clone(), Arc::clone(&self.messages));
        self.server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let connection = read(acceptor.clone(), stream, Arc::clone(&messages));
                connections.spawn(connection);
            }
        });
    }

    /// Cut every connection, and take no more.
    pub(super) async fn kill(&mut self) {
        self.server.shutdown().await;
    }

    /// Forget what came after this record, as one does that is killed.
    pub(super) fn forget_after(&self, sequence: u64) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.retain(|(_, record)| record["event.sequence"].as_u64() <= Some(sequence));
    }

    pub(super) async fn revive(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port");
        self.serve(listener);
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The authority, and a certificate with key to show.
    pub(super) fn pem(&self) -> (&str, &str, &str) {
        let (authority, certificate, key) = &self.pem;
        (authority, certificate, key)
    }

    pub(super) fn records(&self) -> Vec<Value> {
        self.map(|(_, record)| record.clone())
    }

    /// What comes before each record.
    pub(super) fn headers(&self) -> Vec<String> {
        self.map(|(header, _)| header.clone())
    }

    fn map<T>(&self, part: impl Fn(&(String, Value)) -> T) -> Vec<T> {
        let messages = self.messages.lock();
        let messages = messages.unwrap_or_else(PoisonError::into_inner);
        messages.iter().map(part).collect()
    }
}

/// Counted frames, to the end of the connection.
async fn read(acceptor: TlsAcceptor, stream: TcpStream, messages: Messages) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = Vec::new();
        let read = stream.read_until(b' ', &mut length).await;
        if length.pop() != Some(b' ') || read.is_err() {
            return;
        }
        let length = std::str::from_utf8(&length).expect("digits");
        let mut message = vec![0; length.parse().expect("a length")];
        if stream.read_exact(&mut message).await.is_err() {
            return;
        }
        let message = String::from_utf8(message).expect("UTF-8");
        let start = message.find('{').expect("a record");
        let record = serde_json::from_str(&message[start..]).expect("JSON");
        let mut messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push((message[..start].to_owned(), record));
    }
}
