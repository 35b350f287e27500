//! What is counted, under which bounded labels. `/metrics` shows it; nothing else reads it.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::config::{Backend, RuntimeConfig};
use crate::models::SlotState;
use crate::types::Usage;

/// Seconds; from a cached 404 to a long generation.
const DURATIONS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];

/// All metrics of a gateway.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<EndpointLabels, Histogram>,
    first_tokens: Family<ModelLabels, Histogram>,
    tokens: Family<TokenLabels, Counter>,
    fallbacks: Family<FallbackLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    channel_messages: Family<ChannelLabels, Counter>,
    model_states: Family<ModelStateLabels, Gauge>,
    certificate: Family<NoLabels, Gauge<f64, AtomicU64>>,
    /// Client connections open now.
    pub open_connections: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    model: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    model: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FallbackLabels {
    model: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelLabels {
    channel: String,
    platform: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelStateLabels {
    model: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("claw_gateway"),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            first_tokens: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            tokens: Family::default(),
            fallbacks: Family::default(),
            reloads: Family::default(),
            model_states: Family::default(),
            certificate: Family::default(),
            channel_messages: Family::default(),
            open_connections: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let Self {
            registry,
            requests,
            durations,
            first_tokens,
            tokens,
            fallbacks,
            reloads,
            model_states,
            certificate,
            channel_messages,
            open_connections,
        } = self;
        registry.register(
            "requests",
            "Requests by endpoint, answering model and status",
            requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the request's head to the last byte of its answer",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register_with_unit(
            "time_to_first_token",
            "From dispatch to the first content of a streamed answer, fallbacks included",
            Unit::Seconds,
            first_tokens.clone(),
        );
        registry.register(
            "tokens",
            "Tokens of prompts and completions",
            tokens.clone(),
        );
        registry.register(
            "fallbacks",
            "Attempts that failed and were followed by another model",
            fallbacks.clone(),
        );
        registry.register(
            "config_reloads",
            "Changes of the configuration, taken or refused",
            reloads.clone(),
        );
        registry.register(
            "model_state",
            "1 for the state that a local model is in",
            model_states.clone(),
        );
        registry.register_with_unit(
            "certificate_expiry",
            "Until the serving certificate expires; negative afterwards",
            Unit::Seconds,
            certificate.clone(),
        );
        registry.register(
            "channel_messages",
            "Messages of channels by what became of them",
            channel_messages.clone(),
        );
        registry.register(
            "open_connections",
            "Client connections open now",
            open_connections.clone(),
        );
    }

    /// A request is over.
    pub fn request(
        &self,
        endpoint: &'static str,
        model: Option<&str>,
        status: u16,
        duration: Duration,
    ) {
        let labels = RequestLabels {
            endpoint,
            model: model.unwrap_or_default().to_owned(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.durations
            .get_or_create(&EndpointLabels { endpoint })
            .observe(duration.as_secs_f64());
    }

    /// A streamed answer began.
    pub fn first_token(&self, model: &str, after: Duration) {
        self.first_tokens
            .get_or_create(&ModelLabels {
                model: model.to_owned(),
            })
            .observe(after.as_secs_f64());
    }

    /// An answer was counted.
    pub fn usage(&self, model: &str, usage: &Usage) {
        for (kind, tokens) in [
            ("prompt", usage.prompt_tokens),
            ("completion", usage.completion_tokens),
        ] {
            self.tokens
                .get_or_create(&TokenLabels {
                    model: model.to_owned(),
                    kind,
                })
                .inc_by(tokens);
        }
    }

    /// A model failed and the next one is tried.
    pub fn fallback(&self, from: &str, reason: &'static str) {
        self.fallbacks
            .get_or_create(&FallbackLabels {
                model: from.to_owned(),
                reason,
            })
            .inc();
    }

    /// A message of a channel was dealt with.
    pub fn channel_message(&self, channel: &str, platform: &'static str, outcome: &'static str) {
        let labels = ChannelLabels {
            channel: channel.to_owned(),
            platform,
            outcome,
        };
        self.channel_messages.get_or_create(&labels).inc();
    }

    /// The configuration changed, or did not.
    pub fn reload(&self, taken: bool) {
        let result = if taken { "ok" } else { "refused" };
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    /// Everything in OpenMetrics text; states are taken from the configuration in force, so nothing of a removed
    /// model lingers.
    pub fn encode(
        &self,
        runtime: Option<&RuntimeConfig>,
        now: i64,
    ) -> Result<String, std::fmt::Error> {
        self.model_states.clear();
        self.certificate.clear();
        if let Some(runtime) = runtime {
            self.observe(runtime, now);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn observe(&self, runtime: &RuntimeConfig, now: i64) {
        for model in &runtime.models {
            let Backend::Local(slot) = &model.backend else {
                continue;
            };
            let current = slot.state().label();
            for state in SlotState::LABELS {
                let labels = ModelStateLabels {
                    model: model.name.clone(),
                    state,
                };
                self.model_states
                    .get_or_create(&labels)
                    .set(i64::from(state == current));
            }
        }
        if let Some(certificate) = &runtime.tls {
            #[expect(
                clippy::cast_precision_loss,
                reason = "seconds of this century fit a double exactly"
            )]
            self.certificate
                .get_or_create(&NoLabels {})
                .set((certificate.not_after - now) as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture;

    #[test]
    fn the_text_names_what_happened() {
        let metrics = Metrics::default();
        metrics.request(
            "chat_completions",
            Some("tiny"),
            200,
            Duration::from_millis(3),
        );
        metrics.usage("tiny", &Usage::new(3, 4));
        metrics.fallback("far", "upstream_timeout");
        metrics.reload(false);
        metrics.channel_message("desk", "Telegram", "answered");
        let text = metrics.encode(None, 0).expect("encodes");
        for line in [
            r#"claw_gateway_requests_total{endpoint="chat_completions",model="tiny",status="200"} 1"#,
            r#"claw_gateway_tokens_total{model="tiny",kind="completion"} 4"#,
            r#"claw_gateway_fallbacks_total{model="far",reason="upstream_timeout"} 1"#,
            r#"claw_gateway_config_reloads_total{result="refused"} 1"#,
            r#"claw_gateway_channel_messages_total{channel="desk",platform="Telegram",outcome="answered"} 1"#,
            "claw_gateway_open_connections 0",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn the_certificate_counts_down() {
        let mut config = fixture::config(&[]);
        config.tls = Some(fixture::tls("red.test"));
        let runtime = fixture::runtime(config);
        let not_after = runtime.tls.as_ref().expect("tls").not_after;
        let text = Metrics::default()
            .encode(Some(&runtime), not_after - 90)
            .expect("encodes");
        assert!(
            text.contains("claw_gateway_certificate_expiry_seconds{} 90.0"),
            "{text}"
        );
    }
}
