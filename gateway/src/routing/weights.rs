//! Whose turn it is among models with weights.
//!
//! Turns follow a walk around a circle in steps of the golden ratio, whose arcs are as long as the weights. Its points lie
//! as evenly as points can, however many there are: after any number of requests each model is within a few of its exact
//! share, as with smooth weighted round robin, and unlike with random turns, which stray by the square root. One atomic
//! addition does it, without a lock. Each walk begins somewhere else, so that replicas, and configurations that follow
//! each other quickly, do not all begin with the same model.

use std::sync::atomic::{AtomicU64, Ordering};

use claw_crds::gateway_config::BackendConfig;

/// 2^64 divided by the golden ratio.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Models with their weights, and how far the walk is.
#[derive(Debug)]
pub(super) struct Weights {
    shares: Vec<BackendConfig>,
    position: AtomicU64,
}

impl Weights {
    /// The walk begins at `start`.
    pub(super) fn new(shares: Vec<BackendConfig>, start: u64) -> Self {
        Self {
            shares,
            position: AtomicU64::new(start),
        }
    }

    pub(super) fn shares(&self) -> &[BackendConfig] {
        &self.shares
    }

    /// The next request's models: first the one whose turn it is, then the others, drawn by their weights as well, so
    /// that what a broken one leaves is shared out in proportion. Those without a weight are not among them.
    pub(super) fn turn(&self) -> Vec<&str> {
        let mut point = self.position.fetch_add(STEP, Ordering::Relaxed);
        let mut left: Vec<&BackendConfig> =
            self.shares.iter().filter(|one| one.weight > 0).collect();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let next = left.remove(at(&left, point));
            order.push(next.model.as_str());
            point = scattered(point);
        }
        order
    }
}

/// On whose arc the point lies.
fn at(shares: &[&BackendConfig], point: u64) -> usize {
    let sum: u64 = shares.iter().map(|one| u64::from(one.weight)).sum();
    // Below the sum, which is below 2^32, whatever the point is.
    let place = u64::try_from((u128::from(point) * u128::from(sum)) >> 64).unwrap_or(0);
    let mut end = 0;
    let arc = shares.iter().position(|one| {
        end += u64::from(one.weight);
        place < end
    });
    arc.unwrap_or(0)
}

/// Another point that tells nothing of this one: the finalizer of SplitMix64.
fn scattered(point: u64) -> u64 {
    let mixed = (point ^ (point >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn weights(weights: &[u32], start: u64) -> Weights {
        let shares = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| BackendConfig {
                model: index.to_string(),
                weight: *weight,
            });
        Weights::new(shares.collect(), start)
    }

    /// How often each came at this place of the order.
    fn counts(weights: &Weights, turns: usize, place: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..turns {
            if let Some(name) = weights.turn().get(place) {
                *counts.entry((*name).to_owned()).or_default() += 1;
            }
        }
        counts
    }

    #[test]
    fn nine_to_one_is_nine_to_one_soon_and_later() {
        let weights = weights(&[90, 10], 7);
        for turns in [100, 1000, 10_000] {
            let tenth = counts(&weights, turns, 0)["1"];
            assert!(tenth.abs_diff(turns / 10) <= 3, "{tenth} of {turns}");
        }
    }

    #[test]
    fn a_model_without_weight_gets_nothing() {
        let weights = weights(&[0, 1, 0], 0);
        for _ in 0..1000 {
            assert_eq!(weights.turn(), ["1"]);
        }
    }

    #[test]
    fn what_a_broken_model_leaves_is_shared_in_proportion() {
        let weights = weights(&[50, 30, 10], 3);
        let mut second: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..10_000 {
            let turn = weights.turn();
            assert_eq!(turn.len(), 3);
            if turn[0] == "0" {
                *second.entry(turn[1].to_owned()).or_default() += 1;
            }
        }
        let (thirty, ten) = (second["1"], second["2"]);
        assert!(thirty > 2 * ten && thirty < 4 * ten, "{second:?}");
    }

    proptest! {
        #[test]
        fn every_share_is_exact_in_the_long_run(
            given in prop::collection::vec(0_u32..=1000, 1..=16),
            start in any::<u64>(),
        ) {
            let sum: u32 = given.iter().sum();
            prop_assume!(sum > 0);
            let turns = 20_000;
            let counts = counts(&weights(&given, start), turns, 0);
            for (index, weight) in given.iter().enumerate() {
                let count = counts.get(&index.to_string()).copied().unwrap_or(0);
                let exact = turns * (*weight as usize) / sum as usize;
                // Random turns would stray by some hundred.
                prop_assert!(count.abs_diff(exact) <= 12, "{index}: {count} instead of {exact}");
            }
        }
    }
}
