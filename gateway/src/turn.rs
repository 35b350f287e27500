//! Whose turn it is to write.
//!
//! A write to a socket wakes whoever sleeps at its other end, which costs as much as all the rest of it. So whoever has
//! something to write lets those go first that have something to read: then all writes follow one another, and of a
//! burst of them few find anybody asleep.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket that is written to in turn.
#[derive(Debug)]
pub(crate) struct InTurn<S> {
    socket: S,
    /// Whether everything that could go on has gone on since somebody wanted to write.
    is_next: bool,
}

impl<S> InTurn<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self {
            socket,
            is_next: false,
        }
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.socket
    }

    /// The socket, ready to be written to once.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Pin<&mut S>>
    where
        S: Unpin,
    {
        if !std::mem::take(&mut self.is_next) {
            self.is_next = true;
            // Its first poll has us woken after all others; nothing more is wanted of it.
            let _ = pin!(tokio::task::yield_now()).poll(context);
            return Poll::Pending;
        }
        Poll::Ready(Pin::new(&mut self.socket))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for InTurn<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InTurn<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context)).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context)).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn writes_come_after_everything_that_is_ready() {
        let done = RefCell::new(Vec::new());
        let task = |name: &'static str| {
            let done = &done;
            async move {
                let mut socket = InTurn::new(Vec::new());
                done.borrow_mut().push("read");
                for _ in 0..2 {
                    socket.write_all(name.as_bytes()).await.expect("written");
                    done.borrow_mut().push(name);
                }
                socket.get_ref().clone()
            }
        };
        let written = futures::future::join(task("a"), task("b")).await;
        assert_eq!(*done.borrow(), ["read", "read", "a", "b", "a", "b"]);
        assert_eq!(written, (b"aa".to_vec(), b"bb".to_vec()));
    }
}
