//! A WebSocket client for tests.

use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::gateway::{Gateway, KEY};

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) response: Response<Option<Vec<u8>>>,
}

impl Client {
    /// Connect to the channel `chat` with the right key, and read the greeting.
    pub(crate) async fn connect(gateway: &Gateway) -> Self {
        let mut client =
            Self::with_headers(gateway, &[("authorization", &format!("Bearer {KEY}"))])
                .await
                .expect("an upgrade");
        assert_eq!(
            client.next().await,
            json!({"type": "ready", "channel": "chat", "protocol": 1})
        );
        client
    }

    /// Connect with these headers only.
    pub(crate) async fn with_headers(
        gateway: &Gateway,
        headers: &[(&str, &str)],
    ) -> Result<Self, Error> {
        Self::request(&format!("ws://{}/channels/chat", gateway.address), headers).await
    }

    pub(crate) async fn request(url: &str, headers: &[(&str, &str)]) -> Result<Self, Error> {
        let mut request: Request<()> = url.into_client_request().expect("a request");
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("a name");
            request
                .headers_mut()
                .append(name, value.parse().expect("a value"));
        }
        let (socket, response) =
            Box::pin(crate::soon("the upgrade", connect_async(request))).await?;
        Ok(Self { socket, response })
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.expect("sent");
    }

    pub(crate) async fn ask(&mut self, id: &str, text: &str) {
        self.send(json!({"type": "message", "id": id, "text": text}))
            .await;
    }

    /// The next JSON frame.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match crate::soon("a frame", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => unreachable!("no text frame, but {other:?}"),
            }
        }
    }

    /// All frames up to the end of the answer to a message.
    pub(crate) async fn answer(&mut self, id: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            let is_last =
                frame["id"] == id && (frame["type"] == "done" || frame["type"] == "error");
            frames.push(frame);
            if is_last {
                return frames;
            }
        }
    }

    /// The code of the close frame that comes next, pings aside.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            match crate::soon("a close frame", self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => unreachable!("no close frame, but {other:?}"),
            }
        }
    }
}
