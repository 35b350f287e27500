//! Many clients for a while.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

use crate::client::{Connection, Question, Seen};

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    /// Where the proxy listens.
    address: SocketAddr,

    /// Clients at once.
    #[arg(long, default_value_t = 32)]
    clients: u32,

    /// How long they ask.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,

    /// Ask for streamed answers.
    #[arg(long)]
    stream: bool,

    /// Ask for answers that come a piece every 20 ms.
    #[arg(long)]
    paced: bool,

    /// Ask the model that runs in the gateway, once each.
    #[arg(long)]
    local: bool,

    /// Requests per second of all clients together; as fast as can be without.
    #[arg(long)]
    rate: Option<f64>,

    /// Speak TLS, and trust this certificate authority (PEM).
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// Ask, and tell what was seen.
pub(crate) async fn run(args: Args) -> std::io::Result<Value> {
    let tls = args.ca.as_ref().map(|ca| {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    });
    // Once alone: whoever cannot be reached is told of once.
    Connection::open(args.address, tls.as_ref()).await?;
    let remote = Question::chat(args.stream || args.paced, args.paced);
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(args.seconds);
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..args.clients {
        let (tls, args) = (tls.clone(), args.clone());
        let question = if args.local {
            Question::local(index)
        } else {
            remote.clone()
        };
        clients.spawn(async move {
            let mut connection = Connection::open(args.address, tls.as_ref()).await.unwrap();
            let pause = args
                .rate
                .map(|rate| Duration::from_secs_f64(f64::from(args.clients) / rate));
            // Evenly spread, so that the rate is no series of bursts.
            let mut next = Instant::now() + pause.unwrap_or_default() * index / args.clients.max(1);
            let mut seen = Vec::new();
            while Instant::now() < until && (seen.is_empty() || !args.local) {
                if let Some(pause) = pause {
                    tokio::time::sleep_until(next.into()).await;
                    next += pause;
                }
                seen.push(connection.ask(question.clone()).await.unwrap());
            }
            seen
        });
    }
    let seen: Vec<Seen> = clients.join_all().await.into_iter().flatten().collect();
    Ok(report(&seen, started.elapsed()))
}

fn report(seen: &[Seen], took: Duration) -> Value {
    let percentile = |of: fn(&Seen) -> Duration, share: usize| {
        let mut times: Vec<Duration> = seen.iter().map(of).collect();
        times.sort_unstable();
        let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times.get(index).map(|time| time.as_secs_f64() * 1e3)
    };
    json!({
        "seconds": took.as_secs_f64(),
        "requests": seen.len(),
        "chunks": seen.iter().map(|seen| seen.chunks).sum::<usize>(),
        "p50_ms": percentile(|seen| seen.whole, 50),
        "p99_ms": percentile(|seen| seen.whole, 99),
        "first_byte_p50_ms": percentile(|seen| seen.first_byte, 50),
        "first_byte_p99_ms": percentile(|seen| seen.first_byte, 99),
    })
}
