//! Syslog (RFC 5424) in octet-counted frames over TLS (RFC 5425).
//!
//! The protocol has no acknowledgements, so what a batch has come to is told by its connection: the kernel cuts one whose
//! bytes are not acknowledged within [`UNACKNOWLEDGED`], and a batch counts as arrived when its connection has lived for
//! longer than that. Whatever had not arrived when a connection ended is sent again.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use claw_crds::gateway_config::ClientTlsConfig;
use futures::FutureExt as _;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::reader::{Batch, Head};
use super::target::SendError;
use crate::config::chain;
use crate::outbound::{ClientTlsError, Outbound, client_tls};

/// Facility "log audit", severities "warning" and "notice".
const AUDIT: u8 = 13 << 3;
const WARNING: u8 = AUDIT | 4;
const NOTICE: u8 = AUDIT | 5;
/// The largest `sequenceId`, after which it begins anew.
const LARGEST_SEQUENCE: u64 = 2_147_483_647;
/// How long bytes may be on their way before their connection counts as dead.
const UNACKNOWLEDGED: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the other side may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// A syslog server.
pub(super) struct SyslogTarget {
    address: (String, u16),
    name: String,
    tls: TlsConnector,
    outbound: Outbound,
    connection: Option<TlsStream<TcpStream>>,
}

impl SyslogTarget {
    pub(super) const SETTLES_AFTER: Duration = Duration::from_secs(5);

    pub(super) fn new(
        address: (String, u16),
        tls: &ClientTlsConfig,
        outbound: &Outbound,
    ) -> Result<Self, ClientTlsError> {
        Ok(Self {
            address,
            name: host_name(),
            tls: TlsConnector::from(Arc::new(client_tls(tls)?)),
            outbound: outbound.clone(),
            connection: None,
        })
    }

    pub(super) async fn send(&mut self, batch: &Batch) -> Result<(), SendError> {
        let mut frames = Vec::with_capacity(batch.lines.len() * 5 / 4);
        for (head, line) in batch.records() {
            frame(&mut frames, &self.name, head, line);
        }
        // Taken out, so that a connection with half a frame on it is never used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let written = async {
            connection.write_all(&frames).await?;
            connection.flush().await
        };
        in_time(WRITE_TIMEOUT, written).await?;
        self.connection = Some(connection);
        Ok(())
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, SendError> {
        let (host, port) = &self.address;
        let connected = async {
            let stream = self.outbound.connect(host, *port).await?;
            stream.set_nodelay(true)?;
            let milliseconds = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
            rustix::net::sockopt::set_tcp_user_timeout(&stream, milliseconds)?;
            let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
            self.tls.connect(name, stream).await
        };
        in_time(CONNECT_TIMEOUT, connected).await
    }

    /// Look, without waiting.
    pub(super) fn check(&mut self) -> Result<(), SendError> {
        self.broken().now_or_never().map_or(Ok(()), Err)
    }

    /// Servers say nothing, so reading ends with the connection.
    pub(super) async fn broken(&mut self) -> SendError {
        let Some(connection) = &mut self.connection else {
            return std::future::pending().await;
        };
        let mut ignored = [0; 256];
        let told = loop {
            match connection.read(&mut ignored).await {
                Ok(0) => break "the receiver closed the connection".to_owned(),
                Ok(_) => {}
                Err(error) => break format!("the connection broke: {error}"),
            }
        };
        self.connection = None;
        SendError::Unreachable(told)
    }

    /// Close, and wait until the other side has read everything and closes, too.
    pub(super) async fn finish(&mut self) -> Result<(), SendError> {
        let Some(mut connection) = self.connection.take() else {
            return Ok(());
        };
        let closed = async {
            connection.shutdown().await?;
            let mut ignored = [0; 256];
            while connection.read(&mut ignored).await? > 0 {}
            Ok(())
        };
        in_time(FAREWELL, closed).await
    }
}

async fn in_time<T>(
    limit: Duration,
    action: impl Future<Output = std::io::Result<T>>,
) -> Result<T, SendError> {
    match tokio::time::timeout(limit, action).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(SendError::Unreachable(chain(&error))),
        Err(_) => Err(SendError::Unreachable(format!(
            "the receiver did not answer within {} s",
            limit.as_secs()
        ))),
    }
}

/// The pod's name in a cluster.
fn host_name() -> String {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy();
    let name: String = name
        .chars()
        .filter(char::is_ascii_graphic)
        .take(255)
        .collect();
    if name.is_empty() {
        "-".to_owned()
    } else {
        name
    }
}

/// `LENGTH SP <PRI>1 TIMESTAMP HOST APP PROCID MSGID [meta sequenceId] MSG`.
fn frame(buffer: &mut Vec<u8>, host: &str, head: &Head, line: &[u8]) {
    let Head {
        timestamp,
        sequence,
        action,
        outcome,
        trace: _,
    } = head;
    let priority = if outcome == "failure" {
        WARNING
    } else {
        NOTICE
    };
    let action = &action[..action.len().min(32)];
    let sequence = (sequence.saturating_sub(1)) % LARGEST_SEQUENCE + 1;
    let mut message = String::new();
    write!(
        message,
        "<{priority}>1 {timestamp:.6} {host} clawdbot {} {action} [meta sequenceId=\"{sequence}\"] ",
        std::process::id()
    )
    .expect("a string takes every character");
    buffer.extend((message.len() + line.len()).to_string().as_bytes());
    buffer.push(b' ');
    buffer.extend(message.as_bytes());
    buffer.extend(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_and_carry_the_record_as_it_is() {
        let head = Head {
            timestamp: "2026-02-03T04:05:06.789012Z".parse().expect("a time"),
            sequence: LARGEST_SEQUENCE + 2,
            action: "request".into(),
            outcome: "failure".into(),
            trace: None,
        };
        let mut buffer = Vec::new();
        frame(&mut buffer, "desk-0", &head, br#"{"a":1}"#);
        let text = String::from_utf8(buffer).expect("text");
        let (length, message) = text.split_once(' ').expect("counted");
        assert_eq!(length.parse(), Ok(message.len()));
        let id = std::process::id();
        assert_eq!(
            message,
            format!(
                "<108>1 2026-02-03T04:05:06.789012Z desk-0 clawdbot {id} request [meta sequenceId=\"2\"] {{\"a\":1}}"
            )
        );
    }
}
