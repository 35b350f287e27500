//! A streamed chat over HTTP, printed as it comes.

use std::io::Write;

use anyhow::{Context, bail};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{API_KEY, Gateway, tls};

/// Ask the routed path and print the answer.
pub(super) async fn ask(gateway: &Gateway, question: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(gateway.ca_certificate())?)
        .resolve(gateway.host(), gateway.address())
        .build()?;
    println!("  > {question}");
    let response = client
        .post(format!("{}/api/v1/chat", gateway.url()))
        .bearer_auth(API_KEY)
        .json(&json!({
            "messages": [
                {"role": "system", "content": "Answer in English, in one short sentence."},
                {"role": "user", "content": question},
            ],
            "stream": true, "temperature": 0, "max_tokens": 64,
        }))
        .send()
        .await
        .context("the gateway does not answer")?;
    if !response.status().is_success() {
        bail!(
            "the gateway answers {}: {}",
            response.status(),
            response.text().await?
        );
    }
    let model = response
        .headers()
        .get("x-claw-model")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("?")
        .to_owned();
    print!("  < ");
    let answer = print_stream(response).await?;
    println!("\n    (answered by {model})");
    if answer.is_empty() {
        bail!("the answer is empty");
    }
    Ok(())
}

async fn print_stream(response: reqwest::Response) -> anyhow::Result<String> {
    let mut body = response.bytes_stream();
    let mut pending = Vec::new();
    let mut answer = String::new();
    while let Some(bytes) = body.next().await {
        pending.extend_from_slice(&bytes?);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = String::from_utf8(line)?;
            let Some(data) = line
                .trim()
                .strip_prefix("data: ")
                .filter(|data| *data != "[DONE]")
            else {
                continue;
            };
            let chunk: Value = serde_json::from_str(data)?;
            if let Some(error) = chunk.get("error") {
                bail!("the stream ended with an error: {error}");
            }
            let text = chunk["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap_or_default();
            print!("{text}");
            std::io::stdout().flush()?;
            answer.push_str(text);
        }
    }
    Ok(answer)
}
