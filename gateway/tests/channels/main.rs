//! Channels from the outside: a real server, real sockets, a model and a Telegram that are played by the test.

mod bot_api;
mod gateway;
mod model;
mod telegram;
mod telegram_audit;
mod telegram_delivery;
mod web_socket;
mod web_socket_admission;
mod web_socket_client;
mod web_socket_end;

use std::time::Duration;

/// Fail instead of hanging. Generous, since it says nothing about how long things should take.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let within = tokio::time::timeout(Duration::from_secs(20), future);
    within
        .await
        .unwrap_or_else(|_| unreachable!("waited too long for {what}"))
}
