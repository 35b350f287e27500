//! The loads by which a released gateway is laid out (`crate::release`): what is measured, for a while each.

use std::{path::Path, time::Duration};

use super::{
    SCENARIOS, empty_directory,
    load::Ends,
    peers::{self, Variant},
};
use crate::demo;

/// Of each load. Counts are proportions: more would say nothing else.
const TURN: Duration = Duration::from_secs(3);
/// For requests that are not over.
const END_DEADLINE: Duration = Duration::from_mins(1);

/// Load gateways that count what they do, and end them, which has them write it down.
pub(crate) fn run(binaries: &Path) -> anyhow::Result<()> {
    let directory = empty_directory()?;
    let ends = Ends::start(&directory)?;
    for variant in [Variant::Audited, Variant::Plain, Variant::Tls] {
        let mut gateway = peers::gateway(binaries, &directory, ends.upstream, variant)?;
        for load in SCENARIOS.iter().filter(|load| gateway.takes(load)) {
            println!("  {}: {}", gateway.name, load.title);
            ends.measure(&gateway, load, TURN)?;
        }
        if let Some(mut process) = gateway.process.take() {
            demo::block_on(async { Ok(process.terminate(END_DEADLINE).await?) })?;
        }
    }
    Ok(())
}
