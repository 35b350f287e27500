//! An API that speaks TCP: it sends what a script says, byte for byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::all_points;
use super::script::{Place, Point, Step};

pub(super) struct RawUpstream {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl RawUpstream {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                connections.spawn(async move { serve(stream, &counter).await });
            }
        });
        Self {
            address,
            requests,
            _server: server,
        }
    }

    /// Where the API is that fails at this point.
    pub(super) fn url(&self, point: &Point) -> String {
        let Self { address, .. } = self;
        match point.place {
            Place::Here => format!("http://{address}/{}/v1", point.name),
            Place::HereByTls => format!("https://{address}/{}/v1", point.name),
            Place::Elsewhere(url) => url.to_owned(),
        }
    }

    /// Requests that were read so far.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One request a connection.
async fn serve(mut stream: TcpStream, requests: &AtomicUsize) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    requests.fetch_add(1, Ordering::SeqCst);
    let point = all_points().find(|point| request.contains(&format!("POST /{}/v1/", point.name)));
    let point = point.expect("a request for one of the points");
    let marks = [r#""stream":true"#, ":streamGenerateContent?alt=sse "];
    let is_streamed = marks.iter().any(|mark| request.contains(mark));
    for step in (point.script)(is_streamed) {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // Until the gateway has enough of it.
            Step::Silence => {
                let _ = stream.read(&mut [0; 1]).await;
                return;
            }
            Step::Reset => {
                // Unsent or unread bytes with no time to linger: the kernel sends RST instead of FIN.
                let _ = stream.set_zero_linger();
                return;
            }
        }
    }
    // All is on its way before the end of it is.
    let _ = stream.shutdown().await;
}

/// Head and body as text; nothing where there is no request.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream
            .read(&mut piece)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes);
        // The first words of TLS: nobody understands them here.
        if !text.starts_with("POST ") {
            return None;
        }
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let length = lines.find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
    }
}
