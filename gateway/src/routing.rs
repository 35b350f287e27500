//! Which models a request may be answered by, in order. Pure.
//!
//! The first rule whose pattern matches the path wins; on the fixed endpoints without such a rule, the body names
//! the model. Whether a model is up is for the dispatcher.

mod table;

pub use table::{InvalidRoute, RouteTable, Rule};

use crate::config::{ModelEntry, RuntimeConfig};
use crate::error::GatewayError;

/// The path where the model is chosen by the body.
pub const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
/// The same in Anthropic's dialect.
pub const MESSAGES: &str = "/v1/messages";
/// The same as OpenAI's responses.
pub const RESPONSES: &str = "/v1/responses";
/// Paths where the model is chosen by the body, unless a rule matches.
const CHOSEN_BY_BODY: [&str; 3] = [CHAT_COMPLETIONS, MESSAGES, RESPONSES];

/// The models to try for a request, never empty.
pub fn candidates<'a>(
    runtime: &'a RuntimeConfig,
    path: &str,
    requested: Option<&str>,
) -> Result<Vec<&'a ModelEntry>, GatewayError> {
    if let Some(rule) = runtime.routes.find(path) {
        return targets(runtime, rule);
    }
    if !CHOSEN_BY_BODY.contains(&path) {
        return Err(unknown_path(path));
    }
    match requested {
        None => Err(GatewayError::invalid(
            "model",
            format!("`model` is missing: name one of {}", known_models(runtime)),
        )),
        Some(name) => Ok(vec![by_name(runtime, name)?]),
    }
}

/// The model of that name and, after it, the fallbacks of the rules that begin with it: what a channel bound to
/// the model may be answered by.
pub fn candidates_by_model<'a>(
    runtime: &'a RuntimeConfig,
    name: &str,
) -> Result<Vec<&'a ModelEntry>, GatewayError> {
    let mut found = vec![by_name(runtime, name)?];
    if let Some(rule) = runtime
        .routes
        .rules()
        .iter()
        .find(|rule| rule.targets.first().is_some_and(|first| first == name))
    {
        found.extend(
            rule.targets
                .iter()
                .skip(1)
                .filter_map(|target| runtime.model(target)),
        );
    }
    Ok(found)
}

/// A helpful 404.
pub fn unknown_path(path: &str) -> GatewayError {
    GatewayError::NotFound {
        message: format!(
            "nothing is served at {path}: use POST {CHAT_COMPLETIONS}, {MESSAGES} or {RESPONSES}, GET /v1/models, or a \
             path that a route of this gateway matches"
        ),
    }
}

/// The model of that name.
pub fn by_name<'a>(runtime: &'a RuntimeConfig, name: &str) -> Result<&'a ModelEntry, GatewayError> {
    runtime
        .model(name)
        .ok_or_else(|| GatewayError::ModelNotFound {
            model: name.to_owned(),
            known: known_models(runtime),
        })
}

fn targets<'a>(
    runtime: &'a RuntimeConfig,
    rule: &Rule,
) -> Result<Vec<&'a ModelEntry>, GatewayError> {
    let found: Vec<_> = rule
        .targets
        .iter()
        .filter_map(|name| runtime.model(name))
        .collect();
    if found.is_empty() {
        return Err(GatewayError::RouteWithoutModel {
            origin: rule.origin.clone(),
        });
    }
    Ok(found)
}

fn known_models(runtime: &RuntimeConfig) -> String {
    let names: Vec<_> = runtime
        .models
        .iter()
        .map(|model| format!("`{}`", model.name))
        .collect();
    if names.is_empty() {
        "none, since this gateway has no models".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use claw_crds::gateway_config::RouteConfig;

    use super::*;
    use crate::config::fixture;

    fn route(pattern: &str, targets: &[&str]) -> RouteConfig {
        RouteConfig {
            origin: format!("test route {pattern}"),
            pattern: pattern.into(),
            targets: targets.iter().map(ToString::to_string).collect(),
        }
    }

    fn runtime(routes: Vec<RouteConfig>) -> RuntimeConfig {
        let mut config = fixture::config(&["red", "green"]);
        config.routes = routes;
        fixture::runtime(config)
    }

    fn names(found: &[&ModelEntry]) -> Vec<String> {
        found.iter().map(|model| model.name.clone()).collect()
    }

    #[test]
    fn the_first_matching_rule_wins_even_over_the_model_in_the_body() {
        let runtime = runtime(vec![
            route("^/v1/", &["green", "red"]),
            route("chat", &["red"]),
        ]);
        let found = candidates(&runtime, CHAT_COMPLETIONS, Some("red")).expect("routed");
        assert_eq!(names(&found), ["green", "red"]);
    }

    #[test]
    fn without_a_rule_the_body_decides_on_the_chat_endpoint_only() {
        let runtime = runtime(Vec::new());
        assert_eq!(
            names(&candidates(&runtime, CHAT_COMPLETIONS, Some("red")).expect("by name")),
            ["red"]
        );
        let error = candidates(&runtime, "/elsewhere", Some("red")).expect_err("no rule");
        assert_eq!(error.status(), 404);
        let error = candidates(&runtime, CHAT_COMPLETIONS, None).expect_err("no model");
        assert!(error.to_string().contains("`red`, `green`"), "{error}");
    }

    #[test]
    fn an_unknown_model_is_answered_with_the_known_ones() {
        let error =
            candidates(&runtime(Vec::new()), CHAT_COMPLETIONS, Some("blue")).expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "the model `blue` does not exist: known models are `red`, `green`"
        );
    }

    #[test]
    fn a_rule_whose_models_are_all_gone_names_itself() {
        let error =
            candidates(&runtime(vec![route("^/x$", &[])]), "/x", None).expect_err("no target");
        assert!(error.to_string().contains("test route ^/x$"), "{error}");
        assert_eq!(error.status(), 503);
    }

    #[test]
    fn a_channel_inherits_the_fallbacks_of_its_model() {
        let runtime = runtime(vec![route("^/x$", &["red", "green"])]);
        assert_eq!(
            names(&candidates_by_model(&runtime, "red").expect("known")),
            ["red", "green"]
        );
        assert_eq!(
            names(&candidates_by_model(&runtime, "green").expect("known")),
            ["green"]
        );
    }
}
