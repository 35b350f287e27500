use claw_crds::gateway_config::{BackendConfig, RouteConfig};

use super::*;
use crate::config::fixture;

fn route(pattern: &str, targets: &[&str]) -> RouteConfig {
    RouteConfig {
        origin: format!("test route {pattern}"),
        pattern: Some(pattern.into()),
        targets: targets.iter().map(ToString::to_string).collect(),
        ..RouteConfig::default()
    }
}

fn alias(alias: &str, targets: &[&str]) -> RouteConfig {
    RouteConfig {
        origin: format!("test alias {alias}"),
        pattern: None,
        alias: Some(alias.into()),
        ..route("", targets)
    }
}

fn runtime(routes: Vec<RouteConfig>) -> RuntimeConfig {
    let mut config = fixture::config(&["red", "green", "blue"]);
    config.routes = routes;
    fixture::runtime(config)
}

fn ask<'a>(
    runtime: &'a RuntimeConfig,
    path: &str,
    model: Option<&str>,
) -> Result<Candidates<'a>, GatewayError> {
    let asked = Asked {
        path,
        model,
        headers: &HeaderMap::new(),
    };
    candidates(runtime, asked)
}

fn names(found: &Candidates<'_>) -> Vec<String> {
    found
        .models
        .iter()
        .map(|model| model.name.clone())
        .collect()
}

#[test]
fn the_first_matching_rule_wins_even_over_the_model_in_the_body() {
    let runtime = runtime(vec![
        route("^/v1/", &["green", "red"]),
        route("chat", &["red"]),
    ]);
    let found = ask(&runtime, CHAT_COMPLETIONS, Some("red")).expect("routed");
    assert_eq!(names(&found), ["green", "red"]);
    assert_eq!(found.rule.expect("a rule").origin, "test route ^/v1/");
}

#[test]
fn without_a_rule_the_body_decides_on_the_chat_endpoint_only() {
    let runtime = runtime(Vec::new());
    let found = ask(&runtime, CHAT_COMPLETIONS, Some("red")).expect("by name");
    assert_eq!(names(&found), ["red"]);
    assert!(found.rule.is_none());
    let error = ask(&runtime, "/elsewhere", Some("red")).expect_err("no rule");
    assert_eq!(error.status(), 404);
    let error = ask(&runtime, CHAT_COMPLETIONS, None).expect_err("no model");
    assert!(error.to_string().contains("`red`, `green`"), "{error}");
}

#[test]
fn an_alias_is_a_model_name_and_stands_before_a_model_of_that_name() {
    let runtime = runtime(vec![
        alias("fast", &["green"]),
        alias("red", &["blue", "red"]),
    ]);
    let found = |model| names(&ask(&runtime, CHAT_COMPLETIONS, Some(model)).expect("known"));
    assert_eq!(found("fast"), ["green"]);
    assert_eq!(found("red"), ["blue", "red"]);
    assert_eq!(found("green"), ["green"]);
    assert_eq!(aliases(&runtime).collect::<Vec<_>>(), ["fast"]);
    let error = ask(&runtime, CHAT_COMPLETIONS, Some("grey")).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "the model `grey` does not exist: known models are `red`, `green`, `blue`, `fast`"
    );
}

#[test]
fn a_request_that_no_rule_of_its_path_takes_is_told_why() {
    let both = RouteConfig {
        alias: Some("fast".into()),
        ..route("^/ask$", &["red"])
    };
    let runtime = runtime(vec![both]);
    assert_eq!(
        names(&ask(&runtime, "/ask", Some("fast")).expect("both")),
        ["red"]
    );
    let error = ask(&runtime, "/ask", Some("red")).expect_err("another model");
    assert_eq!(error.status(), 404);
    assert!(error.to_string().contains("another `model`"), "{error}");
}

#[test]
fn weighted_models_come_before_fallbacks_and_each_once() {
    let share = |model: &str, weight| BackendConfig {
        model: model.into(),
        weight,
    };
    let rule = RouteConfig {
        backends: vec![share("red", 1), share("green", 1)],
        ..alias("fast", &["red", "blue"])
    };
    let runtime = runtime(vec![rule]);
    let mut first = Vec::new();
    for _ in 0..10 {
        let found = ask(&runtime, CHAT_COMPLETIONS, Some("fast")).expect("known");
        let order = names(&found);
        assert_eq!((order.len(), order[2].as_str()), (3, "blue"), "{order:?}");
        first.push(order[0].clone());
    }
    for name in ["red", "green"] {
        assert!(first.iter().any(|first| first == name), "{first:?}");
    }
}

#[test]
fn an_unknown_model_is_answered_with_the_known_ones() {
    let error = ask(&runtime(Vec::new()), CHAT_COMPLETIONS, Some("grey")).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "the model `grey` does not exist: known models are `red`, `green`, `blue`"
    );
}

#[test]
fn a_rule_whose_models_are_all_gone_names_itself() {
    let error = ask(&runtime(vec![route("^/x$", &[])]), "/x", None).expect_err("no target");
    assert!(error.to_string().contains("test route ^/x$"), "{error}");
    assert_eq!(error.status(), 503);
}

#[test]
fn a_channel_inherits_the_fallbacks_of_its_model() {
    let runtime = runtime(vec![route("^/x$", &["red", "green"])]);
    let found = |model| names(&candidates_by_model(&runtime, model).expect("known"));
    assert_eq!(found("red"), ["red", "green"]);
    assert_eq!(found("green"), ["green"]);
}

#[test]
fn a_channel_follows_the_alias_that_stands_before_its_model() {
    let runtime = runtime(vec![
        route("^/x$", &["red", "green"]),
        alias("red", &["blue"]),
    ]);
    let found = candidates_by_model(&runtime, "red").expect("known");
    assert_eq!(names(&found), ["blue"]);
}
