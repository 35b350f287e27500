//! Which ModelRoutes the API server takes.

use serde_json::{Value, json};

use crate::{
    admit::{Row, Table, accepts, rejects},
    context::Case,
};

pub(crate) fn cases() -> Vec<Case> {
    table().into_cases(module_path!())
}

pub(crate) fn table() -> Table {
    Table {
        kind: "ModelRoute",
        valid: json!({
            "apiVersion": "claw.dev/v1alpha1",
            "kind": "ModelRoute",
            "metadata": {"name": "support"},
            "spec": {"gatewayRef": {"name": "helpdesk"}, "routes": [route("^/api/v1/chat")]},
        }),
        rows: [
            rules(),
            targets(),
            aliases_and_headers(),
            backends(),
            fallbacks(),
            times(),
            retries(),
            gateways(),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

fn route(pattern: &str) -> Value {
    json!({"pattern": pattern, "model": "small"})
}

fn routes(routes: &[Value]) -> Value {
    json!({"spec": {"routes": routes}})
}

fn rules() -> Vec<Row> {
    let many = |count: usize| routes(&vec![route("^/a"); count]);
    let pattern = |pattern: &str| routes(&[route(pattern)]);
    let at = "spec.routes[0].pattern";
    let nothing = json!({"model": "small"});
    vec![
        accepts("one_route", json!({})),
        accepts("256_routes", many(256)),
        rejects(
            "257_routes",
            many(257),
            "spec.routes",
            "must have at most 256 items",
        ),
        rejects("no_routes", many(0), "spec.routes", "at least 1 items"),
        rejects("an_empty_pattern", pattern(""), at, "at least 1 chars long"),
        rejects(
            "a_pattern_of_1025_characters",
            pattern(&"a".repeat(1025)),
            at,
            "may not be more than 1024 bytes",
        ),
        rejects(
            "a_route_without_a_pattern_or_an_alias",
            routes(&[nothing]),
            "spec.routes[0]",
            "set pattern, alias or both",
        ),
    ]
}

fn targets() -> Vec<Row> {
    let falling_back =
        |to: &str| routes(&[json!({"pattern": "^/a", "model": "small", "fallback": to})]);
    let at = "spec.routes[0]";
    let itself = "fallback must be another model than model";
    let nowhere = json!({"pattern": "^/a"});
    vec![
        accepts("a_fallback", falling_back("big")),
        rejects("a_fallback_to_itself", falling_back("small"), at, itself),
        rejects(
            "an_empty_fallback",
            falling_back(""),
            at,
            "at least 1 chars long",
        ),
        rejects(
            "a_route_without_a_model",
            routes(&[nowhere]),
            at,
            "set exactly one of model and backends",
        ),
    ]
}

/// The rule `{alias: fast, model: small}` with these fields; null takes one out.
fn fast(fields: &Value) -> Value {
    let mut rule = json!({"alias": "fast", "model": "small"});
    for (name, value) in fields.as_object().into_iter().flatten() {
        rule[name] = value.clone();
    }
    if let Some(fields) = rule.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    routes(&[rule])
}

fn aliases_and_headers() -> Vec<Row> {
    let at = "spec.routes[0]";
    let header = |name: &str, value: &str| json!({"name": name, "value": value});
    let headers = |headers: &[Value]| fast(&json!({"headers": headers}));
    let many = |count: usize| headers(&vec![header("x-tier", "gold"); count]);
    let of_type = |name: &str| headers(&[json!({"name": "x", "value": "y", "type": name})]);
    vec![
        accepts("an_alias", fast(&json!({}))),
        accepts(
            "an_alias_with_a_pattern",
            fast(&json!({"pattern": "^/v1/"})),
        ),
        rejects(
            "an_alias_that_ends_in_a_slash",
            fast(&json!({"alias": "fast/"})),
            "spec.routes[0].alias",
            "should match",
        ),
        rejects(
            "an_alias_of_129_characters",
            fast(&json!({"alias": "a".repeat(129)})),
            "spec.routes[0].alias",
            "may not be more than 128 bytes",
        ),
        accepts("16_headers", many(16)),
        rejects(
            "17_headers",
            many(17),
            "spec.routes[0].headers",
            "at most 16 items",
        ),
        rejects(
            "no_headers",
            many(0),
            "spec.routes[0].headers",
            "at least 1 items",
        ),
        rejects(
            "headers_alone",
            fast(&json!({"alias": null, "headers": [header("x", "y")]})),
            at,
            "set pattern, alias or both",
        ),
        rejects(
            "a_header_name_with_a_space",
            headers(&[header("x tier", "gold")]),
            "spec.routes[0].headers[0].name",
            "should match",
        ),
        accepts("a_regular_expression", of_type("RegularExpression")),
        rejects(
            "another_type",
            of_type("Prefix"),
            "headers[0].type",
            "supported values",
        ),
    ]
}

/// What its validation costs is bounded, too.
fn dear_rule() -> Value {
    let name = |number: usize| format!("{number:0128}");
    let backends: Vec<Value> = (0..16)
        .map(|number| json!({"model": name(number)}))
        .collect();
    let fallbacks: Vec<String> = (16..24).map(name).collect();
    let every = "99999h59999m59999s59999ms";
    json!({
        "alias": name(24), "backends": backends, "fallbacks": fallbacks,
        "timeouts": {"firstToken": every, "idle": every, "answer": every, "total": every},
        "retries": {"attempts": 10, "backoff": every, "maxBackoff": every},
    })
}

fn backends() -> Vec<Row> {
    let at = "spec.routes[0]";
    let of = |backends: &[Value]| fast(&json!({"model": null, "backends": backends}));
    let share = |model: &str, weight: i32| json!({"model": model, "weight": weight});
    let many = |count: i32| -> Vec<Value> {
        let shares = (0..count).map(|number| share(&format!("m{number}"), 1));
        shares.collect()
    };
    vec![
        accepts(
            "weights",
            of(&[share("small", 90), share("big", 10), share("spare", 0)]),
        ),
        accepts(
            "a_backend_without_a_weight",
            of(&[json!({"model": "small"})]),
        ),
        accepts("16_backends", of(&many(16))),
        accepts("all_that_rules_may_cost", routes(&vec![dear_rule(); 256])),
        rejects(
            "17_backends",
            of(&many(17)),
            "spec.routes[0].backends",
            "at most 16 items",
        ),
        rejects(
            "no_backends",
            of(&[]),
            "spec.routes[0].backends",
            "at least 1 items",
        ),
        rejects(
            "a_weight_of_1001",
            of(&[share("small", 1001)]),
            "backends[0].weight",
            "less than or equal to 1000",
        ),
        rejects(
            "a_negative_weight",
            of(&[share("small", -1)]),
            "backends[0].weight",
            "greater than or equal to 0",
        ),
        rejects(
            "weights_of_0_only",
            of(&[share("small", 0), share("big", 0)]),
            at,
            "at least one of backends needs a weight above 0",
        ),
        rejects(
            "a_backend_twice",
            of(&[share("small", 1), share("small", 2)]),
            at,
            "backends must not name a model twice",
        ),
        rejects(
            "a_model_and_backends",
            fast(&json!({"backends": [share("big", 1)]})),
            at,
            "set exactly one of model and backends",
        ),
    ]
}

fn fallbacks() -> Vec<Row> {
    let at = "spec.routes[0]";
    let to = |names: &[String]| fast(&json!({"fallbacks": names}));
    let many = |count: usize| -> Vec<String> { (0..count).map(|n| format!("m{n}")).collect() };
    vec![
        accepts("8_fallbacks", to(&many(8))),
        rejects(
            "9_fallbacks",
            to(&many(9)),
            "spec.routes[0].fallbacks",
            "at most 8 items",
        ),
        rejects(
            "a_fallback_twice",
            to(&["big".to_owned(), "big".to_owned()]),
            at,
            "fallbacks must not name a model twice",
        ),
        rejects(
            "fallbacks_to_itself",
            to(&["big".to_owned(), "small".to_owned()]),
            at,
            "fallbacks must be other models than model",
        ),
        rejects(
            "a_fallback_and_fallbacks",
            fast(&json!({"fallback": "big", "fallbacks": ["spare"]})),
            at,
            "set fallback or fallbacks, not both",
        ),
    ]
}

fn times() -> Vec<Row> {
    let timeouts = |timeouts: Value| fast(&json!({"timeouts": timeouts}));
    let at_times = "spec.routes[0].timeouts";
    vec![
        accepts(
            "every_timeout",
            timeouts(json!({"firstToken": "5s", "idle": "10s", "answer": "1m", "total": "1h30m"})),
        ),
        rejects(
            "a_timeout_in_days",
            timeouts(json!({"total": "1d"})),
            "timeouts.total",
            "should match",
        ),
        rejects(
            "no_time_to_the_first_token",
            timeouts(json!({"firstToken": "0s"})),
            at_times,
            "firstToken must be longer than 0",
        ),
        rejects(
            "no_time_between_tokens",
            timeouts(json!({"idle": "0s"})),
            at_times,
            "idle must be longer than 0",
        ),
        rejects(
            "no_time_to_answer",
            timeouts(json!({"answer": "0s"})),
            at_times,
            "answer must be longer than 0",
        ),
        rejects(
            "no_time_at_all",
            timeouts(json!({"total": "0s"})),
            at_times,
            "total must be longer than 0",
        ),
        rejects(
            "a_first_token_after_the_end",
            timeouts(json!({"firstToken": "61s", "total": "1m"})),
            at_times,
            "firstToken must not be longer than total",
        ),
        rejects(
            "an_answer_after_the_end",
            timeouts(json!({"answer": "61s", "total": "1m"})),
            at_times,
            "answer must not be longer than total",
        ),
    ]
}

fn retries() -> Vec<Row> {
    let retries = |retries: Value| fast(&json!({"retries": retries}));
    let at_retries = "spec.routes[0].retries";
    vec![
        accepts(
            "retries",
            retries(json!({"attempts": 2, "backoff": "100ms", "maxBackoff": "1s"})),
        ),
        rejects(
            "no_retries",
            retries(json!({"attempts": 0})),
            "retries.attempts",
            "greater than or equal to 1",
        ),
        rejects(
            "11_retries",
            retries(json!({"attempts": 11})),
            "retries.attempts",
            "less than or equal to 10",
        ),
        rejects(
            "retries_without_a_number",
            retries(json!({"backoff": "1s"})),
            "retries.attempts",
            "Required value",
        ),
        rejects(
            "a_backoff_above_the_longest",
            retries(json!({"attempts": 1, "maxBackoff": "249ms"})),
            at_retries,
            "maxBackoff must not be shorter than backoff",
        ),
        rejects(
            "a_backoff_of_nothing",
            retries(json!({"attempts": 1, "backoff": "0s"})),
            at_retries,
            "backoff must be longer than 0",
        ),
    ]
}

fn gateways() -> Vec<Row> {
    let gateway = |name: &str| json!({"spec": {"gatewayRef": {"name": name}}});
    let at = "spec.gatewayRef.name";
    vec![
        rejects(
            "no_gateway",
            json!({"spec": {"gatewayRef": null}}),
            "spec.gatewayRef",
            "Required value",
        ),
        rejects(
            "an_empty_gateway_name",
            gateway(""),
            at,
            "at least 1 chars long",
        ),
        rejects(
            "a_gateway_name_of_51_characters",
            gateway(&"a".repeat(51)),
            at,
            "may not be more than 50 bytes",
        ),
    ]
}
