//! The table: medians, and ratios to the first proxy.

use std::{collections::BTreeMap, fmt};

use super::load::Figures;
use crate::bench::samples::median;

/// Figures by scenario and server, in the order in which they came.
#[derive(Default)]
pub(super) struct Report {
    scenarios: Vec<(&'static str, Vec<String>)>,
    figures: BTreeMap<(&'static str, String), Vec<Figures>>,
}

impl Report {
    pub(super) fn add(&mut self, scenario: &'static str, server: &str, figures: Figures) {
        if self
            .scenarios
            .last()
            .is_none_or(|(title, _)| *title != scenario)
            && !self.scenarios.iter().any(|(title, _)| *title == scenario)
        {
            self.scenarios.push((scenario, Vec::new()));
        }
        if let Some((_, servers)) = self
            .scenarios
            .iter_mut()
            .find(|(title, _)| *title == scenario)
            && !servers.iter().any(|name| name == server)
        {
            servers.push(server.to_owned());
        }
        self.figures
            .entry((scenario, server.to_owned()))
            .or_default()
            .push(figures);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (scenario, servers) in &self.scenarios {
            let peer = servers
                .iter()
                .map(|server| (server, &self.figures[&(*scenario, server.clone())]))
                .find(|(_, rounds)| rounds.iter().any(|round| round.processor_seconds.is_some()));
            writeln!(
                formatter,
                "\n{scenario}\n{:<16} {:>10} {:>12} {:>16} {:>9} {:>9} {:>11}   of {} ",
                "",
                "requests/s",
                "chunks/s",
                "CPU-s per 1,000",
                "p50 ms",
                "p99 ms",
                "1st byte ms",
                peer.map_or("", |(name, _)| name),
            )?;
            for server in servers {
                let rounds = &self.figures[&(*scenario, server.clone())];
                let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure));
                let processor = rounds
                    .iter()
                    .map(|figures| figures.processor_seconds)
                    .collect::<Option<Vec<_>>>()
                    .map_or_else(String::new, |all| format!("{:.4}", median(all.into_iter())));
                let ratios = peer.map_or_else(String::new, |(_, peer)| ratios(rounds, peer));
                writeln!(
                    formatter,
                    "{server:<16} {:>10.0} {:>12.0} {processor:>16} {:>9.2} {:>9.2} {:>11.2}   {ratios}",
                    of(|figures| figures.requests_per_second),
                    of(|figures| figures.chunks_per_second),
                    of(|figures| figures.p50_ms),
                    of(|figures| figures.p99_ms),
                    of(|figures| figures.first_byte_p50_ms),
                )?;
            }
        }
        Ok(())
    }
}

/// Requests per second and processor time, each round beside the peer's in the same round.
fn ratios(rounds: &[Figures], peer: &[Figures]) -> String {
    let pairs = || rounds.iter().zip(peer);
    let speed =
        median(pairs().map(|(ours, theirs)| ours.requests_per_second / theirs.requests_per_second));
    let processor: Option<Vec<f64>> = pairs()
        .map(|(ours, theirs)| Some(ours.processor_seconds? / theirs.processor_seconds?))
        .collect();
    let processor = processor.map_or_else(String::new, |all| {
        format!(", {:.2} x its CPU", median(all.into_iter()))
    });
    format!("{speed:.2} x its requests/s{processor}")
}
