//! A plain routing file: a `routes:` list, as it stands in a `ModelRoute`.

use std::path::Path;

use claw_crds::gateway_config::{ModelConfig, RouteConfig};
use serde::Deserialize;

use crate::config::{ConfigError, chain};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoutesFile {
    routes: Vec<PlainRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainRoute {
    pattern: String,
    model: String,
    fallback: Option<String>,
}

/// The rules of a routing file, all of whose models must exist: a file beside a command has no status to show a
/// broken rule in.
pub(super) fn read(path: &Path, models: &[ModelConfig]) -> Result<Vec<RouteConfig>, ConfigError> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(&origin, format!("--routes: cannot be read: {error}")))?;
    let file: RoutesFile =
        serde_yaml::from_str(&text).map_err(|error| ConfigError::new(&origin, chain(&error)))?;
    let mut problems = Vec::new();
    let routes = file
        .routes
        .into_iter()
        .enumerate()
        .map(|(index, route)| {
            let at = format!("routes[{index}]");
            problems.extend(unknown(&at, "model", &route.model, models));
            problems.extend(
                route
                    .fallback
                    .iter()
                    .filter_map(|name| unknown(&at, "fallback", name, models)),
            );
            RouteConfig {
                origin: format!("{origin} {at}"),
                pattern: route.pattern,
                targets: std::iter::once(route.model).chain(route.fallback).collect(),
            }
        })
        .collect();
    if problems.is_empty() {
        Ok(routes)
    } else {
        Err(ConfigError { origin, problems })
    }
}

fn unknown(at: &str, field: &str, name: &str, models: &[ModelConfig]) -> Option<String> {
    if models.iter().any(|model| model.name == name) {
        return None;
    }
    let known: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
    Some(format!(
        "{at}.{field}: no model is called {name:?}; known are {}",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture;

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    fn parse(text: &str) -> Result<Vec<RouteConfig>, ConfigError> {
        read(
            written(text).path(),
            &fixture::config(&["red", "green"]).models,
        )
    }

    #[test]
    fn rules_keep_their_order_and_fallbacks() {
        let routes = parse(
            "routes:\n- {pattern: ^/a, model: red, fallback: green}\n- {pattern: ^/b, model: green}\n",
        );
        let targets: Vec<_> = routes
            .expect("valid")
            .into_iter()
            .map(|route| route.targets)
            .collect();
        assert_eq!(targets, [vec!["red", "green"], vec!["green"]]);
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place() {
        let error = parse("routes:\n- {pattern: ^/a, modle: red}\n").expect_err("a typo");
        let text = error.to_string();
        assert!(
            text.contains("modle") && text.contains("line 2") && text.contains("routes[0]"),
            "{text}"
        );
    }

    #[test]
    fn every_unknown_model_is_named_with_the_known_ones() {
        let error = parse("routes:\n- {pattern: ^/a, model: blue, fallback: grey}\n")
            .expect_err("two unknown models");
        assert_eq!(
            error.problems,
            [
                "routes[0].model: no model is called \"blue\"; known are red, green",
                "routes[0].fallback: no model is called \"grey\"; known are red, green",
            ]
        );
    }
}
