//! How fast models begin and go on, and how long they keep requests waiting.

use std::time::Duration;

use claw_crds::metric_catalog::gateway as catalog;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labels::ModelLabels;
use super::{DURATIONS, add};

/// Seconds of one token; those of OpenTelemetry's `gen_ai.server.time_per_output_token`, and some below for small models.
const PACES: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];

/// The pace of each model.
pub(super) struct Pace {
    first_tokens: Family<ModelLabels, Histogram>,
    further_tokens: Family<ModelLabels, Histogram>,
    queue_waits: Family<ModelLabels, Histogram>,
}

impl Pace {
    pub(super) fn new() -> Self {
        let seconds = || Histogram::new(DURATIONS);
        Self {
            first_tokens: Family::new_with_constructor(seconds),
            further_tokens: Family::new_with_constructor(|| Histogram::new(PACES)),
            queue_waits: Family::new_with_constructor(seconds),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let families = [
            (&catalog::TIME_TO_FIRST_TOKEN, &self.first_tokens),
            (&catalog::TIME_PER_OUTPUT_TOKEN, &self.further_tokens),
            (&catalog::QUEUE_WAIT, &self.queue_waits),
        ];
        for (metric, family) in families {
            add(registry, metric, family.clone());
        }
    }

    pub(super) fn first(&self, model: &str, after: Duration) {
        self.first_tokens
            .get_or_create(&labels(model))
            .observe(after.as_secs_f64());
    }

    /// So many tokens, which began to come this long ago.
    pub(super) fn whole(&self, model: String, lasted: Duration, tokens: u64) {
        // The first one has a time of its own.
        let Some(later) = tokens.checked_sub(1).filter(|later| *later > 0) else {
            return;
        };
        let later = u32::try_from(later).unwrap_or(u32::MAX);
        self.further_tokens
            .get_or_create(&ModelLabels { model })
            .observe(lasted.as_secs_f64() / f64::from(later));
    }

    pub(super) fn queue_waits(&self, model: &str) -> Histogram {
        self.queue_waits.get_or_create(&labels(model)).clone()
    }
}

fn labels(model: &str) -> ModelLabels {
    ModelLabels {
        model: model.to_owned(),
    }
}
