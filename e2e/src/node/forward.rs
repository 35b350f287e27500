//! A loopback port of this machine that leads into the node's network.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

use super::namespaces::NetworkHandle;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A port that leads inside for as long as this lives, across reboots of the node.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    // Taken when dropped.
    end: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Forward {
    pub(super) fn start(network: &NetworkHandle, inside: SocketAddr) -> io::Result<Self> {
        let listener = StdListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let network = network.clone();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, network, inside) => {}
                    _ = ended => {}
                }
            });
            // A connection that is being made would be waited for otherwise.
            runtime.shutdown_background();
        });
        Ok(Self {
            address,
            end: Some((end, thread)),
        })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.end.take() {
            // An error means that it has ended already.
            let _ = end.send(());
            let _ = thread.join();
        }
    }
}

async fn accept(listener: StdListener, network: NetworkHandle, inside: SocketAddr) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error means no more file descriptors; the client sees its connection closed, or tries again.
                if let Ok((client, _)) = accepted {
                    connections.spawn(relay(client, network.clone(), inside));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Both directions until both are closed. A client whose target refuses sees its connection closed.
async fn relay(mut client: TcpStream, network: NetworkHandle, inside: SocketAddr) {
    let connected = tokio::task::spawn_blocking(move || connect(&network, inside)).await;
    let server = connected
        .map_err(io::Error::other)
        .flatten()
        .and_then(TcpStream::from_std);
    if let Ok(mut server) = server {
        let _ = client.set_nodelay(true);
        // An error is one side's: both are closed then, which is what they have to know.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}

/// A socket belongs to the network that it was made in, whichever thread uses it later.
fn connect(network: &NetworkHandle, inside: SocketAddr) -> io::Result<StdStream> {
    network.enter(move || {
        let stream = StdStream::connect_timeout(&inside, CONNECT_DEADLINE)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}
