//! The gateway under load for a long time: whether its memory stays flat, and whether anything fails. Then many chats at
//! once with a model that runs in it.

use std::time::{Duration, Instant};

use anyhow::Context;
use claw_e2e::wait::until;

use super::{
    Scenario,
    load::{Ends, Figures},
    peers::{self, Variant},
    server::Server,
};
use crate::{
    bench::{processor_time::resident_mebibytes, samples::median},
    demo,
};

/// Options of `cargo xtask bench soak`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For how long.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,

    /// How many clients chat with the model in the gateway at once; 0 leaves that out.
    #[arg(long, default_value_t = 200)]
    chats: u32,

    /// For how many minutes they do.
    #[arg(long, default_value_t = 1.0)]
    chat_minutes: f64,
}

/// What is asked for, in turn: as fast as one processor answers, and as users read.
const LOADS: [Scenario<'static>; 3] = [
    Scenario {
        title: "whole answers",
        options: &["--clients", "64"],
        tls: false,
    },
    Scenario {
        title: "streams",
        options: &["--clients", "64", "--stream"],
        tls: false,
    },
    Scenario {
        title: "streams as users read",
        options: &["--clients", "200", "--paced"],
        tls: false,
    },
];
/// For loading a model beside whatever else the machine does.
const LOADING: Duration = Duration::from_mins(2);
/// Of each load, before the next.
const TURN: Duration = Duration::from_secs(5);

/// Load it, and tell what it took.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args {
        minutes,
        chats,
        chat_minutes,
    } = args;
    let (binaries, directory) = super::prepare()?;
    let ends = Ends::start(&directory)?;
    let start = |variant| peers::gateway(&binaries, &directory, ends.upstream, variant);
    let audited = start(Variant::Audited)?;
    soak(&ends, &audited, *minutes, &LOADS)?;
    drop(audited);
    if *chats > 0 {
        demo::imported_models()?;
        let local = start(Variant::Local)?;
        until_loaded(&ends, &local)?;
        let clients = chats.to_string();
        let scenario = Scenario {
            title: "chats with a model in the gateway",
            options: &["--local", "--stream", "--clients", &clients],
            tls: false,
        };
        let figures = soak(&ends, &local, *chat_minutes, &[scenario])?;
        println!(
            "{chats} chats at once with SmolLM2 on one processor, the last of them: {:.1} answers/s, {:.1} tokens/s, \
             p50 {:.1} s, p99 {:.1} s",
            figures.requests_per_second,
            figures.chunks_per_second,
            figures.p50_ms / 1e3,
            figures.p99_ms / 1e3,
        );
    }
    Ok(())
}

/// Until the model of a gateway answers.
fn until_loaded(ends: &Ends, gateway: &Server) -> anyhow::Result<()> {
    let one = Scenario {
        title: "one chat",
        options: &["--local", "--clients", "1"],
        tls: false,
    };
    let chat = || ends.measure(gateway, &one, Duration::from_secs(1)).ok();
    let answered = demo::block_on(async { Ok(until(LOADING, async || chat()).await) })?;
    answered.map(drop).context("the model does not answer")
}

/// The loads in turn for so many minutes; what the last one measured.
fn soak(
    ends: &Ends,
    gateway: &Server,
    minutes: f64,
    loads: &[Scenario<'_>],
) -> anyhow::Result<Figures> {
    let duration = Duration::from_secs_f64(minutes * 60.0);
    let process = gateway.process.as_ref().context("a process")?.id();
    println!("  minute   requests so far   memory MiB");
    let (started, mut requests, mut memory) = (Instant::now(), 0.0, Vec::new());
    let mut last = None;
    while last.is_none() || started.elapsed() < duration {
        for load in loads {
            let figures = ends.measure(gateway, load, TURN)?;
            requests += figures.requests;
            memory.push(resident_mebibytes(process)?);
            last = Some(figures);
        }
        println!(
            "  {:>6.1} {requests:>17.0} {:>12.1}",
            started.elapsed().as_secs_f64() / 60.0,
            memory.last().copied().unwrap_or_default(),
        );
    }
    let third = memory.len().div_ceil(3);
    let of = |part: usize| median(memory.iter().copied().skip(part * third).take(third));
    println!(
        "{requests:.0} requests in {:.1} minutes, none failed; memory by thirds: {:.1}, {:.1} and {:.1} MiB",
        started.elapsed().as_secs_f64() / 60.0,
        of(0),
        of(1),
        of(2),
    );
    last.context("no load")
}
