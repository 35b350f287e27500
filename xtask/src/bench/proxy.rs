//! The gateway as a proxy of a remote API, beside nginx, Envoy and LiteLLM: one process each on one processor, the same
//! API behind all of them, in turn. The clients and the API share another processor.
//!
//! The gateway does more than the others: it knows its callers, counts limits, matches routes, counts tokens.

mod load;
mod peers;
mod report;
mod server;
pub(crate) mod soak;
pub(crate) mod training;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;

use claw_e2e::tools::cache;

use crate::release;
use load::Ends;
use peers::Variant;
use report::Report;
use server::Server;

/// Options of `cargo xtask bench proxy`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often everything is measured, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,

    /// How long each measurement takes.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,

    /// Who is measured beside the gateway.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "nginx,envoy,envoy-duties,litellm,hyper"
    )]
    peers: Vec<peers::Peer>,

    /// How many idle connections the memory is measured with.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
}

/// What is asked for.
pub(super) struct Scenario<'a> {
    title: &'static str,
    /// Options of the load generator.
    options: &'a [&'a str],
    /// Whether the proxies speak TLS, which only the gateway is set up for.
    tls: bool,
}

const SCENARIOS: [Scenario<'static>; 5] = [
    Scenario {
        title: "whole answers of 600 bytes, 32 clients",
        options: &["--clients", "32"],
        tls: false,
    },
    Scenario {
        title: "streams of 64 chunks, 32 clients",
        options: &["--clients", "32", "--stream"],
        tls: false,
    },
    Scenario {
        title: "streams of one chunk per 20 ms, 200 clients",
        options: &["--clients", "200", "--paced"],
        tls: false,
    },
    Scenario {
        title: "whole answers at 1,000 a second, 32 clients",
        options: &["--clients", "32", "--rate", "1000"],
        tls: false,
    },
    Scenario {
        title: "whole answers over TLS 1.3, 32 clients",
        options: &["--clients", "32"],
        tls: true,
    },
];

/// Measure and print.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args {
        rounds,
        seconds,
        peers,
        idle,
    } = args;
    let (binaries, directory) = prepare()?;
    let ends = Ends::start(&directory)?;
    let mut servers = vec![Server::direct(ends.upstream)];
    for peer in peers {
        println!("  starting {peer}");
        servers.push(peer.start(&directory, ends.upstream)?);
    }
    println!("  starting the gateway: as it is, with an audit log, with TLS");
    for variant in [Variant::Plain, Variant::Audited, Variant::Tls] {
        servers.push(peers::gateway(
            &binaries,
            &directory,
            ends.upstream,
            variant,
        )?);
    }

    let mut report = Report::default();
    for round in 1..=*rounds {
        println!("  round {round} of {rounds}");
        for scenario in &SCENARIOS {
            for server in servers.iter().filter(|server| server.takes(scenario)) {
                let figures = ends.measure(server, scenario, Duration::from_secs_f64(*seconds))?;
                report.add(scenario.title, &server.name, figures);
            }
        }
    }
    print!("\n{rounds} rounds of {seconds} s, medians\n{report}");
    let gateway = servers
        .iter()
        .find(|server| server.name == peers::GATEWAY)
        .context("the gateway was started")?;
    let (before, during) = ends.idle(gateway, *idle)?;
    println!(
        "\nmemory of the gateway: {before:.1} MiB; with {idle} idle connections {during:.1} MiB"
    );
    Ok(())
}

/// Where the programs are, and an empty folder for what they write.
fn prepare() -> anyhow::Result<(PathBuf, PathBuf)> {
    Ok((release::gateway()?, empty_directory()?))
}

fn empty_directory() -> anyhow::Result<PathBuf> {
    let directory = cache::directory("bench")?.join("proxy");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)
            .with_context(|| format!("failed to empty {}", directory.display()))?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}
