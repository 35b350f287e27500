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
        rows: [rules(), targets(), gateways()]
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
            "a_route_without_a_pattern",
            routes(&[nothing]),
            at,
            "Required value",
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
            "spec.routes[0].model",
            "Required value",
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
