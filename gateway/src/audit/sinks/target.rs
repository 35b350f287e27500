//! A receiver, whatever it speaks.

use std::time::Duration;

use claw_crds::gateway_config::{AuditSinkConfig, AuditTargetConfig};

use super::http::HttpTarget;
use super::otlp;
use super::reader::Batch;
use super::syslog::SyslogTarget;
use crate::outbound::{ClientTlsError, Outbound};

/// Why a receiver cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// Of TLS.
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    /// The value is not shown.
    #[error("the header {0:?} cannot be sent; check its name and value")]
    Header(String),
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// No connection, or none any more.
    #[error("{0}")]
    Unreachable(String),
    /// It said no.
    #[error("the receiver answered {status}{}", remedy(*status))]
    Refused {
        /// Of HTTP.
        status: u16,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// It takes less at a time.
    #[error("the receiver answered 413 to a single record: let it take bodies of 1 MiB")]
    TooLarge,
}

const fn remedy(status: u16) -> &'static str {
    match status {
        401 | 403 => "; check the credentials of the sink",
        404 | 405 => "; check the URL of the sink",
        300..=399 => "; redirects are not followed: give the URL that it leads to",
        _ => "",
    }
}

/// A receiver.
pub(super) enum Target {
    Http(HttpTarget),
    Otlp(HttpTarget),
    Syslog(Box<SyslogTarget>),
}

impl Target {
    pub(super) fn new(config: &AuditSinkConfig, outbound: &Outbound) -> Result<Self, TargetError> {
        Ok(match &config.target {
            AuditTargetConfig::Http(http) => Self::Http(HttpTarget::new(http, outbound)?),
            AuditTargetConfig::Otlp(http) => Self::Otlp(HttpTarget::new(http, outbound)?),
            AuditTargetConfig::Syslog { host, port, tls } => Self::Syslog(Box::new(
                SyslogTarget::new((host.clone(), *port), tls, outbound)?,
            )),
        })
    }

    /// Hand over a batch. Dropped halfway, it may have arrived or not.
    pub(super) async fn send(&mut self, batch: &Batch) -> Result<(), SendError> {
        match self {
            Self::Http(http) => http
                .post("application/x-ndjson", batch.lines.clone())
                .await
                .map(drop),
            Self::Otlp(http) => {
                let answer = http
                    .post("application/x-protobuf", otlp::encode(batch))
                    .await?;
                otlp::check(&answer);
                Ok(())
            }
            Self::Syslog(syslog) => syslog.send(batch).await,
        }
    }

    /// How long after a batch was handed over it counts as arrived, should nothing go wrong by then.
    pub(super) const fn settles_after(&self) -> Duration {
        match self {
            Self::Http(_) | Self::Otlp(_) => Duration::ZERO,
            Self::Syslog(_) => SyslogTarget::SETTLES_AFTER,
        }
    }

    /// Whether nothing has gone wrong so far.
    pub(super) fn check(&mut self) -> Result<(), SendError> {
        match self {
            Self::Http(_) | Self::Otlp(_) => Ok(()),
            Self::Syslog(syslog) => syslog.check(),
        }
    }

    /// Ends when something goes wrong while nothing is sent.
    pub(super) async fn broken(&mut self) -> SendError {
        match self {
            Self::Http(_) | Self::Otlp(_) => std::future::pending().await,
            Self::Syslog(syslog) => syslog.broken().await,
        }
    }

    /// Say goodbye: afterwards, everything that was handed over has arrived.
    pub(super) async fn finish(&mut self) -> Result<(), SendError> {
        match self {
            Self::Http(_) | Self::Otlp(_) => Ok(()),
            Self::Syslog(syslog) => syslog.finish().await,
        }
    }
}
