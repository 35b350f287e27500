//! The public port: accepts connections, secures them, and serves the router on each.
//!
//! Our own loop rather than `axum::serve`, for what a port in the open needs: a live certificate, timeouts for each
//! phase, a limit on connections, and a drain that lets streams end.

mod activity;
mod client_stream;
mod connection;
mod connection_limit;
mod http1;
mod http2;
mod preface;
mod tls;
mod watch;

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::AppState;
use crate::router::App;
use connection::Connections;

/// Pause after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serve until `state.shutdown` is cancelled; connections still open are tracked by `state.tasks` and end by
/// themselves, or at once when `closing` is cancelled.
pub async fn serve(
    listener: TcpListener,
    app: App,
    state: AppState,
    closing: CancellationToken,
) -> io::Result<()> {
    let connections = Connections::new(app, &state, closing)?;
    loop {
        let accepted = tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connections = connections.clone();
                state
                    .tasks
                    .spawn(async move { connections.serve(stream, peer).await });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
