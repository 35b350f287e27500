//! Which ModelRoutes the API server takes.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a table reads best with json! in place"
)]

use serde_json::{Value, json};

use crate::{
    admit::{Table, accepts, rejects},
    context::Case,
};

pub(crate) fn cases() -> Vec<Case> {
    table().into_cases(module_path!())
}

pub(crate) fn table() -> Table {
    let routes = |routes: Value| json!({"spec": {"routes": routes}});
    let route = |pattern: &str| json!({"pattern": pattern, "model": "small"});
    let many = |count: usize| routes(vec![route("^/a"); count].into());
    let falling_back =
        |to: &str| routes(json!([{"pattern": "^/a", "model": "small", "fallback": to}]));
    let gateway = |name: &str| json!({"spec": {"gatewayRef": {"name": name}}});
    let at = "spec.routes[0]";
    Table {
        kind: "ModelRoute",
        valid: json!({
            "apiVersion": "claw.dev/v1alpha1",
            "kind": "ModelRoute",
            "metadata": {"name": "support"},
            "spec": {"gatewayRef": {"name": "helpdesk"}, "routes": [route("^/api/v1/chat")]},
        }),
        rows: vec![
            accepts("one_route", json!({})),
            accepts("a_fallback", falling_back("big")),
            rejects(
                "a_fallback_to_itself",
                falling_back("small"),
                at,
                "fallback must be another model than model",
            ),
            rejects(
                "an_empty_fallback",
                falling_back(""),
                at,
                "at least 1 chars long",
            ),
            accepts("256_routes", many(256)),
            rejects(
                "257_routes",
                many(257),
                "spec.routes",
                "must have at most 256 items",
            ),
            rejects("no_routes", many(0), "spec.routes", "at least 1 items"),
            rejects(
                "an_empty_pattern",
                routes(json!([route("")])),
                "spec.routes[0].pattern",
                "at least 1 chars long",
            ),
            rejects(
                "a_pattern_of_1025_characters",
                routes(json!([route(&"a".repeat(1025))])),
                "spec.routes[0].pattern",
                "may not be more than 1024 bytes",
            ),
            rejects(
                "a_route_without_a_pattern",
                routes(json!([{"model": "small"}])),
                "spec.routes[0].pattern",
                "Required value",
            ),
            rejects(
                "a_route_without_a_model",
                routes(json!([{"pattern": "^/a"}])),
                "spec.routes[0].model",
                "Required value",
            ),
            rejects(
                "no_gateway",
                json!({"spec": {"gatewayRef": null}}),
                "spec.gatewayRef",
                "Required value",
            ),
            rejects(
                "an_empty_gateway_name",
                gateway(""),
                "spec.gatewayRef.name",
                "at least 1 chars long",
            ),
            rejects(
                "a_gateway_name_of_51_characters",
                gateway("a234567890a234567890a234567890a234567890a234567890a"),
                "spec.gatewayRef.name",
                "may not be more than 50 bytes",
            ),
        ],
    }
}
