//! Why a connection ends, and what the client is told. Pure.

use std::borrow::Cow;

use axum::extract::ws::{CloseCode, CloseFrame, close_code};
use tungstenite::Error as WsError;

/// How a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// The client is gone; nothing is left to say.
    Gone,
    /// A close frame is sent.
    Close(CloseCode, Cow<'static, str>),
}

impl Farewell {
    /// The gateway stops, or the channel is no more.
    pub(super) fn away(reason: &'static str) -> Self {
        Self::Close(close_code::AWAY, reason.into())
    }

    /// The client may not go on.
    pub(super) fn policy(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Close(close_code::POLICY, reason.into())
    }

    /// What to say when reading failed.
    pub(super) fn of_read_error(error: axum::Error, max_message_bytes: usize) -> Self {
        match error.into_inner().downcast_ref::<WsError>() {
            Some(WsError::Capacity(_)) => Self::Close(
                close_code::SIZE,
                format!("messages may have at most {max_message_bytes} bytes").into(),
            ),
            Some(WsError::Utf8(_)) => {
                Self::Close(close_code::INVALID, "text frames must be UTF-8".into())
            }
            Some(WsError::Protocol(_)) => {
                Self::Close(close_code::PROTOCOL, "not a WebSocket frame".into())
            }
            _ => Self::Gone,
        }
    }

    /// The close frame, if there is one to send.
    pub(super) fn frame(self) -> Option<CloseFrame> {
        match self {
            Self::Gone => None,
            Self::Close(code, reason) => Some(CloseFrame {
                code,
                reason: reason.into_owned().into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tungstenite::error::{CapacityError, ProtocolError};

    use super::*;

    #[rstest]
    #[case(WsError::Capacity(CapacityError::MessageTooLong { size: 9, max_size: 8 }), Some(1009))]
    #[case(WsError::Utf8("bad".into()), Some(1007))]
    #[case(WsError::Protocol(ProtocolError::UnmaskedFrameFromClient), Some(1002))]
    #[case(WsError::ConnectionClosed, None)]
    fn read_errors_have_their_codes(#[case] error: WsError, #[case] code: Option<u16>) {
        let frame = Farewell::of_read_error(axum::Error::new(error), 8).frame();
        assert_eq!(frame.map(|frame| frame.code), code);
    }
}
