//! One kept-alive connection of one client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The key that the gateway under test knows.
pub(crate) const KEY: &str = "bench-key-0123456789";

/// A request, ready to be sent.
#[derive(Clone)]
pub(crate) struct Question {
    bytes: Arc<[u8]>,
}

/// What an answer took.
pub(crate) struct Seen {
    pub(crate) first_byte: Duration,
    pub(crate) whole: Duration,
    /// Events with JSON in them.
    pub(crate) chunks: usize,
}

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

pub(crate) struct Connection {
    socket: Box<dyn Socket>,
    buffer: Vec<u8>,
}

impl Question {
    pub(crate) fn models() -> Self {
        Self::of(format!(
            "GET /v1/models HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\n\r\n"
        ))
    }

    /// A chat of about 200 bytes at a path that a route matches.
    pub(crate) fn chat(is_stream: bool, is_paced: bool) -> Self {
        let manner = if is_paced { "at leisure" } else { "at once" };
        let text = format!("What is the capital of France? Answer {manner}.");
        Self::post(&serde_json::json!({
            "model": "far",
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": text},
            ],
            "stream": is_stream,
        }))
    }

    /// A streamed chat with a model that runs in the gateway.
    pub(crate) fn local(number: u32) -> Self {
        let text = format!("What is {number} plus one?");
        Self::post(&serde_json::json!({
            "model": "smollm2", "max_tokens": 16, "stream": true,
            "messages": [{"role": "user", "content": text}],
        }))
    }

    fn post(body: &serde_json::Value) -> Self {
        let body = body.to_string();
        Self::of(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn of(text: String) -> Self {
        Self {
            bytes: text.into_bytes().into(),
        }
    }
}

impl Connection {
    pub(crate) async fn open(
        address: SocketAddr,
        tls: Option<&TlsConnector>,
    ) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket: Box<dyn Socket> = match tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(tls.connect(name, stream).await?)
            }
        };
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(32 << 10),
        })
    }

    /// Ask and read the whole answer, which must be 200.
    pub(crate) async fn ask(&mut self, question: Question) -> std::io::Result<Seen> {
        let started = Instant::now();
        self.socket.write_all(&question.bytes).await?;
        self.buffer.clear();
        let mut first_byte = None;
        while !is_whole(&self.buffer) {
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            first_byte.get_or_insert_with(|| started.elapsed());
        }
        let whole = started.elapsed();
        if !self.buffer.starts_with(b"HTTP/1.1 200") {
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            return Err(std::io::Error::other(text));
        }
        Ok(Seen {
            first_byte: first_byte.unwrap_or(whole),
            whole,
            chunks: count(&self.buffer, b"data: {"),
        })
    }
}

fn is_whole(buffer: &[u8]) -> bool {
    let Some(head) = find(buffer, b"\r\n\r\n") else {
        return false;
    };
    match content_length(&buffer[..head]) {
        Some(length) => buffer.len() >= head + 4 + length,
        None => buffer.ends_with(b"\r\n0\r\n\r\n"),
    }
}

/// Where a text begins in another one.
pub(crate) fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, text)
}

fn count(bytes: &[u8], text: &[u8]) -> usize {
    memchr::memmem::find_iter(bytes, text).count()
}

/// `Content-Length` of a head, whatever its case.
pub(crate) fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        if !name.eq_ignore_ascii_case(NAME) {
            return None;
        }
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    })
}
