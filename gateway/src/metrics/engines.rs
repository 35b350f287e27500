//! What the engines of local models tell of their work, read at every scrape.

use claw_crds::metric_catalog::gateway as catalog;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::add;
use super::labels::{GuessLabels, ModelLabels};
use crate::models::ModelStats;

type Gauges = Family<ModelLabels, Gauge>;
type Counters = Family<ModelLabels, Counter>;

/// The work of each model.
#[derive(Default)]
pub(super) struct Engines {
    active: Gauges,
    waiting: Gauges,
    kv_bytes: Gauges,
    restarts: Counters,
    prefix_lookups: Counters,
    prefix_hits: Counters,
    prefix_tokens: Counters,
    prefix_bytes: Gauges,
    prefix_evictions: Counters,
    guessed: Family<GuessLabels, Counter>,
}

impl Engines {
    pub(super) fn register(&self, registry: &mut Registry) {
        let gauges = [
            (&catalog::ENGINE_ACTIVE, &self.active),
            (&catalog::ENGINE_WAITING, &self.waiting),
            (&catalog::ENGINE_KV_BYTES, &self.kv_bytes),
            (&catalog::PREFIX_BYTES, &self.prefix_bytes),
        ];
        for (metric, family) in gauges {
            add(registry, metric, family.clone());
        }
        let counters = [
            (&catalog::ENGINE_RESTARTS, &self.restarts),
            (&catalog::PREFIX_LOOKUPS, &self.prefix_lookups),
            (&catalog::PREFIX_HITS, &self.prefix_hits),
            (&catalog::PREFIX_TOKENS, &self.prefix_tokens),
            (&catalog::PREFIX_EVICTIONS, &self.prefix_evictions),
        ];
        for (metric, family) in counters {
            add(registry, metric, family.clone());
        }
        add(registry, &catalog::GUESSED_TOKENS, self.guessed.clone());
    }

    /// Forgets the models: those that are still there are told anew.
    pub(super) fn clear(&self) {
        for family in [
            &self.active,
            &self.waiting,
            &self.kv_bytes,
            &self.prefix_bytes,
        ] {
            family.clear();
        }
        for family in [
            &self.restarts,
            &self.prefix_lookups,
            &self.prefix_hits,
            &self.prefix_tokens,
            &self.prefix_evictions,
        ] {
            family.clear();
        }
        self.guessed.clear();
    }

    /// What a model did since it was loaded.
    pub(super) fn observe(&self, model: &str, stats: ModelStats) {
        let ModelStats {
            waiting,
            active,
            kv_bytes,
            restarts,
            prefix_lookups,
            prefix_hits,
            prefix_tokens,
            prefix_bytes,
            prefix_evictions,
            guessed_tokens,
            accepted_tokens,
        } = stats;
        let labels = ModelLabels {
            model: model.to_owned(),
        };
        for (family, value) in [
            (&self.active, active),
            (&self.waiting, waiting),
            (&self.kv_bytes, kv_bytes),
            (&self.prefix_bytes, prefix_bytes),
        ] {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            family.get_or_create(&labels).set(value);
        }
        for (family, value) in [
            (&self.restarts, restarts),
            (&self.prefix_lookups, prefix_lookups),
            (&self.prefix_hits, prefix_hits),
            (&self.prefix_tokens, prefix_tokens),
            (&self.prefix_evictions, prefix_evictions),
        ] {
            // It was cleared before.
            family.get_or_create(&labels).inc_by(value);
        }
        let refused_tokens = guessed_tokens.saturating_sub(accepted_tokens);
        for (outcome, tokens) in [("accepted", accepted_tokens), ("refused", refused_tokens)] {
            let labels = GuessLabels {
                model: model.to_owned(),
                outcome,
            };
            self.guessed.get_or_create(&labels).inc_by(tokens);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_told_as_the_engine_has_them() {
        let (engines, mut registry) = (Engines::default(), Registry::default());
        engines.register(&mut registry);
        for guessed_tokens in [4, 9] {
            engines.clear();
            let stats = ModelStats {
                active: 3,
                prefix_tokens: 64,
                guessed_tokens,
                accepted_tokens: 4,
                ..ModelStats::default()
            };
            engines.observe("tiny", stats);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encodes");
        for line in [
            r#"claw_gateway_engine_active_requests{model="tiny"} 3"#,
            r#"claw_gateway_prefix_cache_tokens_total{model="tiny"} 64"#,
            r#"claw_gateway_guessed_tokens_total{model="tiny",outcome="accepted"} 4"#,
            r#"claw_gateway_guessed_tokens_total{model="tiny",outcome="refused"} 5"#,
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}
