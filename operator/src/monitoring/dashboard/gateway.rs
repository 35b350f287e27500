//! What is worth seeing of a gateway.

use claw_crds::metric_catalog::{Metric, gateway as metrics, process};

use super::grafana::{Panel, Row};

/// The namespaces with gateways.
pub(super) const NAMESPACES: &str = "label_values(claw_gateway_build_info, namespace)";
/// The gateways of the chosen namespace.
pub(super) const GATEWAYS: &str =
    r#"label_values(claw_gateway_build_info{namespace="$namespace"}, gateway)"#;
/// The chosen gateway's series.
const OF: &str = r#"namespace="$namespace",gateway="$gateway""#;

pub(super) fn rows() -> Vec<Row> {
    let row = |title, panels| Row { title, panels };
    vec![
        row("Traffic", traffic()),
        row("Latency", latency()),
        row("Errors", errors()),
        row("Models", models()),
        row("Local models", local_models()),
        row("Limits", limits()),
        row("Resources", resources()),
        row("Audit", audit()),
        row("Certificates", certificates()),
        row("Configuration", configuration()),
    ]
}

fn traffic() -> Vec<Panel> {
    vec![
        Panel::new("Requests", "reqps").line(rate(&metrics::REQUESTS, "handler"), "{{handler}}"),
        Panel::new("Tokens", "short").line(rate(&metrics::TOKENS, "kind"), "{{kind}} a second"),
        Panel::new("Messages of channels", "short").line(
            rate(&metrics::CHANNEL_MESSAGES, "channel, outcome"),
            "{{channel}} {{outcome}} a second",
        ),
    ]
}

fn latency() -> Vec<Panel> {
    let waiting = &metrics::REQUEST_LATENCY;
    let first = &metrics::TIME_TO_FIRST_TOKEN;
    let further = &metrics::TIME_PER_OUTPUT_TOKEN;
    let queued = &metrics::QUEUE_WAIT;
    let whole = &metrics::REQUEST_DURATION;
    vec![
        Panel::new("Until an answer begins", "s")
            .line(quantile("0.99", waiting, ""), "p99")
            .line(quantile("0.5", waiting, ""), "p50")
            .limit(0.5),
        Panel::new("Until the first token, p95", "s")
            .line(quantile("0.95", first, "model, "), "{{model}}"),
        Panel::new("A further token, p95", "s")
            .line(quantile("0.95", further, "model, "), "{{model}}"),
        Panel::new("In the queue of a local model, p95", "s")
            .line(quantile("0.95", queued, "model, "), "{{model}}"),
        Panel::new("Whole answers, p95", "s")
            .line(quantile("0.95", whole, "handler, "), "{{handler}}"),
    ]
}

fn errors() -> Vec<Panel> {
    let requests = metrics::REQUESTS.name;
    let logs = metrics::LOG_EVENTS.name;
    let logged = |level| {
        format!(r#"sum by (target) (rate({logs}{{{OF},level="{level}"}}[$__rate_interval])) * 60"#)
    };
    vec![
        Panel::new("Failed requests", "reqps").line(
            format!(
                r#"sum by (status) (rate({requests}{{{OF},status=~"[45].."}}[$__rate_interval]))"#
            ),
            "{{status}}",
        ),
        Panel::new("Fallbacks", "short").line(
            rate(&metrics::FALLBACKS, "model, reason"),
            "{{model}} {{reason}} a second",
        ),
        Panel::new("Retries", "short")
            .line(
                rate(&metrics::RETRIES, "model, reason"),
                "{{model}} {{reason}} a second",
            )
            .line(
                rate(&metrics::RETRIES_REFUSED, "model, cause"),
                "{{model}} not, for {{cause}}, a second",
            ),
        Panel::new("Refused callers", "reqps")
            .line(rate(&metrics::AUTH_REFUSALS, "reason"), "{{reason}}"),
        Panel::new("Log lines a minute", "short")
            .line(logged("error"), "error {{target}}")
            .line(logged("warn"), "warn {{target}}")
            .limit(10.0),
    ]
}

fn models() -> Vec<Panel> {
    let state = metrics::MODEL_STATE.name;
    let resting = metrics::MODEL_RESTING.name;
    let key_resting = metrics::KEY_RESTING.name;
    let failed = metrics::MODEL_FAILED.name;
    let fetched = metrics::MODEL_FETCHED.name;
    let pool = metrics::MODEL_POOL.name;
    let budget = metrics::MODEL_POOL_BUDGET.name;
    vec![
        Panel::new("Ready pods of each model", "short").line(
            format!(r#"sum by (model) ({state}{{{OF},state="ready"}})"#),
            "{{model}}",
        ),
        Panel::new("Models that are not ready", "short")
            .line(
                format!(r#"sum by (model, state) ({state}{{{OF},state!~"ready|standby"}}) > 0"#),
                "{{model}} {{state}}",
            )
            .line(
                format!("sum by (model) ({resting}{{{OF}}}) > 0"),
                "{{model}} resting",
            )
            .line(
                format!("sum by (model, key) ({key_resting}{{{OF}}}) > 0"),
                "{{model}} key {{key}} resting",
            ),
        Panel::new("Why models failed to load", "short").line(
            format!("sum by (model, reason) ({failed}{{{OF}}}) > 0"),
            "{{model}} {{reason}}",
        ),
        Panel::new("Models on their way", "bytes")
            .line(format!("max by (model) ({fetched}{{{OF}}})"), "{{model}}"),
        Panel::new("What models take, the largest pod", "bytes")
            .line(format!("max by (what) ({pool}{{{OF}}})"), "{{what}}")
            .line(
                format!("max by (what) ({budget}{{{OF}}})"),
                "{{what}}, at most",
            ),
        Panel::new("Answers of each model", "reqps")
            .line(rate(&metrics::REQUESTS, "model"), "{{model}}"),
        Panel::new("Answers of each route", "reqps").line(
            rate(&metrics::ROUTED_REQUESTS, "route, model"),
            "{{route}} {{model}}",
        ),
    ]
}

fn local_models() -> Vec<Panel> {
    let active = metrics::ENGINE_ACTIVE.name;
    let waiting = metrics::ENGINE_WAITING.name;
    let answers = metrics::ENGINE_KV_BYTES.name;
    let prompts = metrics::PREFIX_BYTES.name;
    let guessed = metrics::GUESSED_TOKENS.name;
    let hits = metrics::PREFIX_HITS.name;
    let lookups = metrics::PREFIX_LOOKUPS.name;
    vec![
        Panel::new("Requests to local models", "short")
            .line(
                format!("sum by (model) ({active}{{{OF}}})"),
                "{{model}} answered",
            )
            .line(
                format!("sum by (model) ({waiting}{{{OF}}})"),
                "{{model}} waiting",
            )
            .line(
                rate(&metrics::ENGINE_RESTARTS, "model"),
                "{{model}} computed again, a second",
            ),
        Panel::new("Attention cache", "bytes")
            .line(
                format!("sum by (pod, model) ({answers}{{{OF}}})"),
                "{{pod}} {{model}} answers",
            )
            .line(
                format!("sum by (pod, model) ({prompts}{{{OF}}})"),
                "{{pod}} {{model}} kept prompts",
            ),
        Panel::new("Prompts that begin as kept ones", "percentunit").line(
            format!(
                "sum by (model) (rate({hits}{{{OF}}}[$__rate_interval])) / sum by (model) (rate({lookups}{{{OF}}}[$__rate_interval]))"
            ),
            "{{model}}",
        ),
        Panel::new("Kept prompts", "short")
            .line(
                rate(&metrics::PREFIX_TOKENS, "model"),
                "{{model}} tokens saved a second",
            )
            .line(
                rate(&metrics::PREFIX_EVICTIONS, "model"),
                "{{model}} blocks dropped a second",
            ),
        Panel::new("Guessed tokens that came", "percentunit").line(
            format!(
                r#"sum by (model) (rate({guessed}{{{OF},outcome="accepted"}}[$__rate_interval])) / sum by (model) (rate({guessed}{{{OF}}}[$__rate_interval]))"#
            ),
            "{{model}}",
        ),
    ]
}

fn limits() -> Vec<Panel> {
    let open = metrics::OPEN_CONNECTIONS.name;
    let idle = metrics::IDLE_CONNECTIONS.name;
    let most = metrics::MAX_CONNECTIONS.name;
    let requests = metrics::REQUESTS.name;
    let state = metrics::STATE_AVAILABLE.name;
    let encrypted = metrics::STATE_ENCRYPTED.name;
    let unreadable = metrics::STATE_UNREADABLE.name;
    vec![
        Panel::new("Connections", "short")
            .line(format!("{open}{{{OF}}}"), "{{pod}}")
            .line(format!("{idle}{{{OF}}}"), "{{pod}}, idle")
            .line(format!("max({most}{{{OF}}})"), "at most, each pod"),
        Panel::new("Requests over a limit (429)", "reqps").line(
            format!(
                r#"sum by (handler) (rate({requests}{{{OF},status="429"}}[$__rate_interval]))"#
            ),
            "{{handler}}",
        ),
        Panel::new("Refused for limits", "reqps").line(
            rate(&metrics::LIMITED, "scope, limit"),
            "{{scope}} {{limit}}",
        ),
        Panel::new("The database works", "bool_yes_no").line(format!("{state}{{{OF}}}"), "{{pod}}"),
        Panel::new("Encrypted values by key", "short")
            .line(format!("max by (key) ({encrypted}{{{OF}}})"), "{{key}}")
            .line(
                format!("sum(increase({unreadable}{{{OF}}}[$__rate_interval]))"),
                "could not be read",
            ),
    ]
}

fn resources() -> Vec<Panel> {
    let cpu = process::CPU_SECONDS.name;
    let capacity = metrics::CPU_CAPACITY.name;
    let memory = process::RESIDENT_MEMORY.name;
    let limit = metrics::MEMORY_LIMIT.name;
    let start = process::START_TIME.name;
    let writable = metrics::STORE_WRITABLE.name;
    vec![
        Panel::new("CPU, of what a pod may use", "percentunit")
            .line(
                format!("rate({cpu}{{{OF}}}[$__rate_interval]) / {capacity}{{{OF}}}"),
                "{{pod}}",
            )
            .limit(0.85),
        Panel::new("Memory, of the limit", "percentunit")
            .line(format!("{memory}{{{OF}}} / {limit}{{{OF}}}"), "{{pod}}")
            .limit(0.9),
        Panel::new("Age of the process", "s").line(format!("time() - {start}{{{OF}}}"), "{{pod}}"),
        Panel::new("State directory writable", "bool_yes_no")
            .line(format!("{writable}{{{OF}}}"), "{{pod}}"),
    ]
}

fn audit() -> Vec<Panel> {
    let records = metrics::AUDIT_RECORDS.name;
    let bytes = metrics::AUDIT_BYTES.name;
    let lost = metrics::AUDIT_LOST.name;
    let failing = metrics::AUDIT_FAILING.name;
    let behind = metrics::AUDIT_SINK_BEHIND.name;
    let sent = metrics::AUDIT_SINK_SENT.name;
    let failures = metrics::AUDIT_SINK_FAILURES.name;
    vec![
        Panel::new("Audit records", "cps").line(
            format!("rate({records}{{{OF}}}[$__rate_interval])"),
            "{{pod}}",
        ),
        Panel::new("Audit log", "Bps").line(
            format!("rate({bytes}{{{OF}}}[$__rate_interval])"),
            "{{pod}}",
        ),
        Panel::new("Audit records lost", "short").line(
            format!("increase({lost}{{{OF}}}[$__rate_interval])"),
            "{{pod}}",
        ),
        Panel::new("Audit log failing", "bool_yes_no")
            .line(format!("{failing}{{{OF}}}"), "{{pod}}"),
        Panel::new("Audit records that sinks wait for", "short")
            .line(format!("{behind}{{{OF}}}"), "{{pod}} {{sink}}"),
        Panel::new("Audit records sent", "cps").line(
            format!("rate({sent}{{{OF}}}[$__rate_interval])"),
            "{{pod}} {{sink}}",
        ),
        Panel::new("Failed attempts to send audit records", "short").line(
            format!("increase({failures}{{{OF}}}[$__rate_interval])"),
            "{{pod}} {{sink}}",
        ),
    ]
}

fn certificates() -> Vec<Panel> {
    let expiry = metrics::CERTIFICATE_EXPIRY.name;
    vec![
        Panel::new("Until the certificate ends", "s")
            .line(format!("{expiry}{{{OF}}} - time()"), "{{pod}}"),
    ]
}

fn configuration() -> Vec<Panel> {
    let refused = metrics::CONFIG_REFUSED.name;
    let version = metrics::BUILD_INFO.name;
    vec![
        Panel::new("Changes", "short").line(
            format!(
                "sum by (result) (increase({}{{{OF}}}[$__rate_interval]))",
                metrics::CONFIG_RELOADS.name
            ),
            "{{result}}",
        ),
        Panel::new("Newest configuration refused", "bool_yes_no")
            .line(format!("{refused}{{{OF}}}"), "{{pod}}"),
        Panel::new("Pods of each version", "short").line(
            format!("count by (version) ({version}{{{OF}}})"),
            "{{version}}",
        ),
    ]
}

fn rate(counter: &Metric, by: &str) -> String {
    format!(
        "sum by ({by}) (rate({}{{{OF}}}[$__rate_interval]))",
        counter.name
    )
}

/// `by` is empty or ends in a comma.
fn quantile(q: &str, histogram: &Metric, by: &str) -> String {
    format!(
        "histogram_quantile({q}, sum by ({by}le) (rate({}{{{OF}}}[$__rate_interval])))",
        histogram.buckets()
    )
}
