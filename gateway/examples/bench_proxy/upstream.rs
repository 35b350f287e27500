//! The API: reads a request, sends prepared bytes.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::answers;
use crate::client::{content_length, find};

/// Between two pieces of a paced answer: what a model of 50 tokens a second does.
const PACE: Duration = Duration::from_millis(20);

struct Answers {
    whole: Vec<u8>,
    stream: Vec<Vec<u8>>,
}

pub(crate) async fn serve() {
    let answers = Arc::new(Answers {
        whole: answers::whole(),
        stream: answers::stream(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let answers = Arc::clone(&answers);
        // A proxy that hangs up ends its connection, not the others.
        connections.spawn(async move { answer(stream, &answers).await });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(8 << 10);
    loop {
        let Some(request) = read_request(&mut stream, &mut buffer).await? else {
            return Ok(());
        };
        if find(&request, b"\"stream\":true").is_none() {
            stream.write_all(&answers.whole).await?;
            continue;
        }
        let is_paced = find(&request, b"at leisure").is_some();
        for piece in &answers.stream {
            stream.write_all(piece).await?;
            if is_paced {
                tokio::time::sleep(PACE).await;
            } else {
                // Others get their turn, as they would from an API of many models.
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(head) = find(buffer, b"\r\n\r\n") {
            let length = head + 4 + content_length(&buffer[..head]).unwrap_or(0);
            if buffer.len() >= length {
                let rest = buffer.split_off(length);
                return Ok(Some(std::mem::replace(buffer, rest)));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
