//! A plain routing file: a `routes:` list, as it stands in a `ModelRoute`.

use std::path::Path;

use claw_crds::compile::{ObjectRef, Problem, RulesPlace, compile_rules};
use claw_crds::gateway_config::{ModelConfig, RouteConfig};
use claw_crds::manifest::parse_routing_file;

use crate::config::ConfigError;

/// The rules of a routing file, all of whose models must exist: a file beside a command has no status to show a
/// broken rule in.
pub(super) fn read(path: &Path, models: &[ModelConfig]) -> Result<Vec<RouteConfig>, ConfigError> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(&origin, format!("--routes: cannot be read: {error}")))?;
    let refused = |problems| ConfigError {
        origin: origin.clone(),
        problems,
    };
    let rules = parse_routing_file(&text).map_err(refused)?;
    let object = ObjectRef {
        kind: "file".to_owned(),
        name: origin.clone(),
    };
    let place = RulesPlace {
        object: &object,
        origin: &origin,
        field: "routes",
    };
    let mut problems = Vec::new();
    let routes = compile_rules(place, &rules, models, &mut problems);
    if problems.is_empty() {
        Ok(routes)
    } else {
        Err(refused(problems.iter().map(Problem::detail).collect()))
    }
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
            text.contains("modle") && text.contains("routes[0]"),
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
                "routes[0].model \"blue\": the gateway has no model of that name; add it to the gateway's models, or \
                 name one of: red, green",
                "routes[0].fallback \"grey\": the gateway has no model of that name; add it to the gateway's models, or \
                 name one of: red, green",
            ]
        );
    }
}
