//! Both ends of `cargo xtask bench proxy`: an API that answers at once, and clients that ask without pause. And the least
//! that could stand between them.
//!
//! Bare sockets and prepared bytes on one thread, so that what is between them is what is measured.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring tool: it reports on its standard output, and stops where something is wrong"
)]

mod answers;
mod bare;
mod client;
mod load;
mod upstream;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    end: End,
}

#[derive(Subcommand)]
enum End {
    /// Answer chats on a port of its own, which is printed.
    Upstream,
    /// Pass on what comes, and nothing else.
    Bare {
        /// Where to listen.
        address: std::net::SocketAddr,
        /// Where the API is.
        upstream: std::net::SocketAddr,
    },
    /// Ask, and print what was seen as JSON.
    Load(load::Args),
    /// Open connections, print a line, and hold them until the standard input ends.
    Idle {
        /// Where the proxy listens.
        address: std::net::SocketAddr,
        /// How many.
        connections: usize,
    },
}

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    match Args::parse().end {
        End::Upstream => upstream::serve().await,
        End::Bare { address, upstream } => bare::serve(address, upstream).await?,
        End::Load(args) => println!("{}", load::run(args).await?),
        End::Idle {
            address,
            connections,
        } => idle(address, connections).await,
    }
    Ok(())
}

async fn idle(address: std::net::SocketAddr, connections: usize) {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut connection = client::Connection::open(address, None).await.unwrap();
        // A connection that has worked: what an idle one costs includes what its first request left behind.
        connection.ask(client::Question::models()).await.unwrap();
        open.push(connection);
    }
    println!("{}", open.len());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}
