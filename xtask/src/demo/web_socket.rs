//! A streamed chat over the WebSocket channel, printed as it comes.

use std::{io::Write, sync::Arc};

use anyhow::{Context, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, client_async_tls_with_config,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::{API_KEY, Gateway, tls};

/// Ask the channel and print the answer.
pub(super) async fn ask(gateway: &Gateway, question: &str) -> anyhow::Result<()> {
    let url = format!("{}/channels/web", gateway.url().replacen("http", "ws", 1));
    let mut request = url.into_client_request()?;
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {API_KEY}").parse()?);
    let connector = Connector::Rustls(Arc::new(tls::client_config(gateway.ca_certificate())?));
    let stream = TcpStream::connect(gateway.address()).await?;
    let (mut socket, _) = client_async_tls_with_config(request, stream, None, Some(connector))
        .await
        .context("the channel does not answer")?;
    println!("  > {question}");
    let message = json!({"type": "message", "id": "1", "text": question});
    socket.send(Message::text(message.to_string())).await?;
    print!("  < ");
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else {
            continue;
        };
        let event: Value = serde_json::from_str(&text)?;
        match event["type"].as_str() {
            Some("delta") => print!("{}", event["text"].as_str().unwrap_or_default()),
            Some("done") => {
                println!(
                    "\n    (answered by {})",
                    event["model"].as_str().unwrap_or("?")
                );
                socket.close(None).await?;
                return Ok(());
            }
            Some("error") => bail!("the channel answers {}", event["error"]),
            _ => {}
        }
        std::io::stdout().flush()?;
    }
    bail!("the channel closed before the answer was complete")
}
