//! Which version of HTTP a client without TLS speaks: those who know that we speak HTTP/2 begin with its preface.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What an HTTP/2 connection begins with (<https://www.rfc-editor.org/rfc/rfc9113#section-3.4>).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Read as much as tells: whether it is HTTP/2, and what was read.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(bool, Bytes)> {
    let mut begin = [0; PREFACE.len()];
    let mut length = 0;
    while length < begin.len() && PREFACE.starts_with(&begin[..length]) {
        match stream.read(&mut begin[length..]).await? {
            0 => break,
            read => length += read,
        }
    }
    let begin = &begin[..length];
    Ok((begin == PREFACE, BytesMut::from(begin).freeze()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::http2(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "more"], true, 24)]
    #[case::http2_in_pieces(&["PRI", " * HTTP/2.0\r\n\r\n", "SM\r\n\r\n"], true, 24)]
    #[case::http1(&["POST / HTTP/1.1\r\n\r\n"], false, 19)]
    #[case::nearly(&["PRI * HTTP/1.1\r\n\r\n"], false, 18)]
    #[case::cut_off(&["PRI "], false, 4)]
    #[case::nothing(&[], false, 0)]
    #[tokio::test]
    async fn the_first_bytes_tell(
        #[case] pieces: &[&str],
        #[case] is_http2: bool,
        #[case] read: usize,
    ) {
        let mut stream: Box<dyn AsyncRead + Unpin> = Box::new(tokio::io::empty());
        for piece in pieces {
            stream = Box::new(stream.chain(piece.as_bytes()));
        }
        let (told, bytes) = super::read(&mut stream).await.expect("bytes");
        assert_eq!((told, bytes.len()), (is_http2, read));
        let all = pieces.concat();
        assert!(all.as_bytes().starts_with(&bytes));
    }
}
