//! The metrics of a gateway, beside those of its [`process`](super::process).

use super::{Metric, Unit};

/// Requests that are over.
pub const REQUESTS: Metric = Metric::counter(
    "claw_gateway_requests_total",
    &["handler", "model", "status"],
    "Requests by handler, answering model and status; 499 where the client left first",
);
/// What a client waits for.
pub const REQUEST_LATENCY: Metric = Metric::histogram(
    "claw_gateway_request_latency_seconds",
    &["handler"],
    "From a request's head to the head of its answer, which a stream sends with its first content",
)
.measured_in(Unit::Seconds);
/// To the last byte.
pub const REQUEST_DURATION: Metric = Metric::histogram(
    "claw_gateway_request_duration_seconds",
    &["handler"],
    "From a request's head to the last byte of its answer",
)
.measured_in(Unit::Seconds);
/// How fast models begin.
pub const TIME_TO_FIRST_TOKEN: Metric = Metric::histogram(
    "claw_gateway_time_to_first_token_seconds",
    &["model"],
    "From dispatch to the first content of a streamed answer, fallbacks included",
)
.measured_in(Unit::Seconds);
/// How fast models go on.
pub const TIME_PER_OUTPUT_TOKEN: Metric = Metric::histogram(
    "claw_gateway_time_per_output_token_seconds",
    &["model"],
    "Time per token after the first content of a complete streamed answer, at the pace of its reader; one value an answer",
)
.measured_in(Unit::Seconds);
/// How long local models keep requests waiting.
pub const QUEUE_WAIT: Metric = Metric::histogram(
    "claw_gateway_queue_wait_seconds",
    &["model"],
    "How long requests were in the queue of a local model until their turn came",
)
.measured_in(Unit::Seconds);
/// What local models are at.
pub const ENGINE_ACTIVE: Metric = Metric::gauge(
    "claw_gateway_engine_active_requests",
    &["model"],
    "Requests that a local model answers at this moment",
);
/// What local models have before them.
pub const ENGINE_WAITING: Metric = Metric::gauge(
    "claw_gateway_engine_waiting_requests",
    &["model"],
    "Requests in the queue of a local model",
);
/// What answers take.
pub const ENGINE_KV_BYTES: Metric = Metric::gauge(
    "claw_gateway_engine_kv_cache_bytes",
    &["model"],
    "Attention cache of the answers that a local model gives",
)
.measured_in(Unit::Bytes);
/// Answers that made room.
pub const ENGINE_RESTARTS: Metric = Metric::counter(
    "claw_gateway_engine_restarts_total",
    &["model"],
    "Answers of a local model that were computed again from the beginning, as others needed their memory",
);
/// Prompts that are compared with earlier ones.
pub const PREFIX_LOOKUPS: Metric = Metric::counter(
    "claw_gateway_prefix_cache_lookups_total",
    &["model"],
    "Prompts of a local model that were compared with those it keeps",
);
/// Prompts that begin as earlier ones.
pub const PREFIX_HITS: Metric = Metric::counter(
    "claw_gateway_prefix_cache_hits_total",
    &["model"],
    "Prompts of a local model whose beginning was kept",
);
/// What did not have to be computed.
pub const PREFIX_TOKENS: Metric = Metric::counter(
    "claw_gateway_prefix_cache_tokens_total",
    &["model"],
    "Tokens of prompts that did not have to be computed again",
);
/// What is kept.
pub const PREFIX_BYTES: Metric = Metric::gauge(
    "claw_gateway_prefix_cache_bytes",
    &["model"],
    "Attention cache of prompts that a local model keeps",
)
.measured_in(Unit::Bytes);
/// What is kept no longer.
pub const PREFIX_EVICTIONS: Metric = Metric::counter(
    "claw_gateway_prefix_cache_evictions_total",
    &["model"],
    "Blocks of kept prompts that made room for others",
);
/// What repetitions save.
pub const GUESSED_TOKENS: Metric = Metric::counter(
    "claw_gateway_guessed_tokens_total",
    &["model", "outcome"],
    "Tokens that a local model took for repetitions, by whether they were: accepted or refused",
);
/// What models read and wrote.
pub const TOKENS: Metric = Metric::counter(
    "claw_gateway_tokens_total",
    &["model", "kind"],
    "Tokens by model and kind, prompt or completion",
);
/// Models that were passed over.
pub const FALLBACKS: Metric = Metric::counter(
    "claw_gateway_fallbacks_total",
    &["model", "reason"],
    "Attempts that failed and were followed by another model",
);
/// Models that were asked again.
pub const RETRIES: Metric = Metric::counter(
    "claw_gateway_retries_total",
    &["model", "reason"],
    "Attempts that failed and were followed by another one with the same model, by what went wrong",
);
/// Models that were not asked again.
pub const RETRIES_REFUSED: Metric = Metric::counter(
    "claw_gateway_retries_refused_total",
    &["model", "cause"],
    "Attempts that the route would have repeated, and were not: for the budget, the time left, or a model at rest",
);
/// What rules do.
pub const ROUTED_REQUESTS: Metric = Metric::counter(
    "claw_gateway_routed_requests_total",
    &["route", "model"],
    "Requests that a rule decided on, by rule and answering model, which is empty where none answered",
);
/// Callers that were not let in.
pub const AUTH_REFUSALS: Metric = Metric::counter(
    "claw_gateway_auth_refusals_total",
    &["reason"],
    "Requests refused for who sent them or from where, by reason",
);
/// Messages of channels.
pub const CHANNEL_MESSAGES: Metric = Metric::counter(
    "claw_gateway_channel_messages_total",
    &["channel", "platform", "outcome"],
    "Messages of channels by what became of them",
);
/// Connections now.
pub const OPEN_CONNECTIONS: Metric = Metric::gauge(
    "claw_gateway_open_connections",
    &[],
    "Client connections open now",
);
/// Connections that wait.
pub const IDLE_CONNECTIONS: Metric = Metric::gauge(
    "claw_gateway_idle_connections",
    &[],
    "Open client connections that wait for their next request, and keep little memory until then",
);
/// Connections at most.
pub const MAX_CONNECTIONS: Metric = Metric::gauge(
    "claw_gateway_max_connections",
    &[],
    "Client connections that may be open at a time",
);
/// Changes of the configuration.
pub const CONFIG_RELOADS: Metric = Metric::counter(
    "claw_gateway_config_reloads_total",
    &["result"],
    "Changes of the configuration by result, ok or refused",
);
/// Whether the newest configuration is in force.
pub const CONFIG_REFUSED: Metric = Metric::gauge(
    "claw_gateway_config_refused",
    &[],
    "1 while the newest configuration is refused and an older one, or none, is in force",
);
/// What models are up to.
pub const MODEL_STATE: Metric = Metric::gauge(
    "claw_gateway_model_state",
    &["model", "state"],
    "1 for the state that a local or unavailable model is in, 0 for its other states",
);
/// Why models are not there.
pub const MODEL_FAILED: Metric = Metric::gauge(
    "claw_gateway_model_failed",
    &["model", "reason"],
    "1 for the reason for which a local model failed to load, 0 for the others",
);
/// Files on their way.
pub const MODEL_FETCHED: Metric = Metric::gauge(
    "claw_gateway_model_fetched_bytes",
    &["model"],
    "Bytes of a local model that are there, while its files are fetched",
)
.measured_in(Unit::Bytes);
/// What local models take.
pub const MODEL_POOL: Metric = Metric::gauge(
    "claw_gateway_model_pool_bytes",
    &["what"],
    "Bytes that local models take together: of memory those that are loaded, of disk those that are kept",
)
.measured_in(Unit::Bytes);
/// What local models may take.
pub const MODEL_POOL_BUDGET: Metric = Metric::gauge(
    "claw_gateway_model_pool_budget_bytes",
    &["what"],
    "Bytes that local models may take together, of memory and of disk, where there is a limit",
)
.measured_in(Unit::Bytes);
/// APIs that are left alone.
pub const MODEL_RESTING: Metric = Metric::gauge(
    "claw_gateway_model_resting",
    &["model"],
    "1 while a remote model is left alone, since its API keeps failing or asked for a pause",
);
/// Keys of APIs that are left alone.
pub const KEY_RESTING: Metric = Metric::gauge(
    "claw_gateway_key_resting",
    &["model", "key"],
    "1 while one of several keys of a remote model is left alone, since the API refuses or limits it",
);
/// The end of the serving certificate.
pub const CERTIFICATE_EXPIRY: Metric = Metric::gauge(
    "claw_gateway_certificate_expiry_timestamp_seconds",
    &[],
    "When the serving certificate ends; absent without TLS",
)
.measured_in(Unit::UnixSeconds);
/// Lines of the log that somebody should read.
pub const LOG_EVENTS: Metric = Metric::counter(
    "claw_gateway_log_events_total",
    &["level", "target"],
    "Log lines of level error and warn, by the crate that wrote them",
);
/// Whether state can be kept.
pub const STORE_WRITABLE: Metric = Metric::gauge(
    "claw_gateway_store_writable",
    &[],
    "1 while the state directory takes a written and synced file, 0 while it does not",
);
/// What the audit log holds.
pub const AUDIT_RECORDS: Metric = Metric::counter(
    "claw_gateway_audit_records_total",
    &[],
    "Audit records on disk",
);
/// How fast the audit log grows.
pub const AUDIT_BYTES: Metric = Metric::counter(
    "claw_gateway_audit_written_bytes_total",
    &[],
    "Bytes of audit records on disk",
)
.measured_in(Unit::Bytes);
/// What the audit log lacks.
pub const AUDIT_LOST: Metric = Metric::counter(
    "claw_gateway_audit_lost_total",
    &[],
    "Audit records that were never written, since audit.onFailure is Shed and the disk was away for too long",
);
/// Whether the audit log grows.
pub const AUDIT_FAILING: Metric = Metric::gauge(
    "claw_gateway_audit_failing",
    &[],
    "1 while audit records cannot be written",
);
/// Whether limits can be counted.
pub const STATE_AVAILABLE: Metric = Metric::gauge(
    "claw_gateway_state_available",
    &[],
    "1 while the database of limits and messages works, 0 while what needs it is refused; absent where nothing does",
);
/// Which keys are in use.
pub const STATE_ENCRYPTED: Metric = Metric::gauge(
    "claw_gateway_state_encrypted_values",
    &["key"],
    "Encrypted values in the database by their key: newest, older (encrypted anew in the background), unknown (not listed)",
);
/// What no key opens.
pub const STATE_UNREADABLE: Metric = Metric::counter(
    "claw_gateway_state_unreadable_values_total",
    &[],
    "Values in the database that were to be read and did not open; they were as good as absent",
);
/// Requests that a limit has refused.
pub const LIMITED: Metric = Metric::counter(
    "claw_gateway_limited_requests_total",
    &["scope", "limit"],
    "Requests refused for a limit of the gateway, the key or the model, by its field; unavailable where it could not be counted",
);
/// How far sinks are.
pub const AUDIT_SINK_BEHIND: Metric = Metric::gauge(
    "claw_gateway_audit_sink_behind",
    &["sink"],
    "Audit records that a sink has yet to get",
);
/// What sinks got.
pub const AUDIT_SINK_SENT: Metric = Metric::counter(
    "claw_gateway_audit_sink_sent_total",
    &["sink"],
    "Audit records handed to a sink, those handed over again included",
);
/// What sinks did not take.
pub const AUDIT_SINK_FAILURES: Metric = Metric::counter(
    "claw_gateway_audit_sink_failures_total",
    &["sink"],
    "Attempts to hand audit records to a sink that failed and are repeated",
);
/// What CPU use is measured against.
pub const CPU_CAPACITY: Metric = Metric::gauge(
    "claw_gateway_cpu_capacity_cores",
    &[],
    "Processors meant for this process: CLAWDBOT_CPU_CAPACITY, else the control group's quota, else all there are",
)
.measured_in(Unit::Cores);
/// What memory use is measured against.
pub const MEMORY_LIMIT: Metric = Metric::gauge(
    "claw_gateway_memory_limit_bytes",
    &[],
    "Memory that this process may use: the control group's limit, else all there is",
)
.measured_in(Unit::Bytes);
/// Which program this is.
pub const BUILD_INFO: Metric = Metric::gauge(
    "claw_gateway_build_info",
    &["version"],
    "1, with the version of the program",
);

/// All of them.
pub const ALL: &[&Metric] = &[
    &REQUESTS,
    &REQUEST_LATENCY,
    &REQUEST_DURATION,
    &TIME_TO_FIRST_TOKEN,
    &TIME_PER_OUTPUT_TOKEN,
    &QUEUE_WAIT,
    &ENGINE_ACTIVE,
    &ENGINE_WAITING,
    &ENGINE_KV_BYTES,
    &ENGINE_RESTARTS,
    &PREFIX_LOOKUPS,
    &PREFIX_HITS,
    &PREFIX_TOKENS,
    &PREFIX_BYTES,
    &PREFIX_EVICTIONS,
    &GUESSED_TOKENS,
    &TOKENS,
    &FALLBACKS,
    &RETRIES,
    &RETRIES_REFUSED,
    &ROUTED_REQUESTS,
    &AUTH_REFUSALS,
    &CHANNEL_MESSAGES,
    &OPEN_CONNECTIONS,
    &IDLE_CONNECTIONS,
    &MAX_CONNECTIONS,
    &CONFIG_RELOADS,
    &CONFIG_REFUSED,
    &MODEL_STATE,
    &MODEL_FAILED,
    &MODEL_FETCHED,
    &MODEL_POOL,
    &MODEL_POOL_BUDGET,
    &MODEL_RESTING,
    &KEY_RESTING,
    &CERTIFICATE_EXPIRY,
    &LOG_EVENTS,
    &STORE_WRITABLE,
    &AUDIT_RECORDS,
    &AUDIT_BYTES,
    &AUDIT_LOST,
    &AUDIT_FAILING,
    &STATE_AVAILABLE,
    &STATE_ENCRYPTED,
    &STATE_UNREADABLE,
    &LIMITED,
    &AUDIT_SINK_BEHIND,
    &AUDIT_SINK_SENT,
    &AUDIT_SINK_FAILURES,
    &CPU_CAPACITY,
    &MEMORY_LIMIT,
    &BUILD_INFO,
];
