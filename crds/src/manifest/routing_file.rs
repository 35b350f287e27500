//! A plain routing file: a `routes:` list as it stands in a ModelRoute, held to the same rules.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{route_schema, schema};
use crate::{API_VERSION, model_route::Route};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoutingFile {
    routes: Vec<Value>,
}

/// The rules of a routing file, or everything that is wrong with it, each with its place.
pub fn parse_routing_file(text: &str) -> Result<Vec<Route>, Vec<String>> {
    let file: RoutingFile = serde_yaml::from_str(text).map_err(|error| {
        let line = error
            .location()
            .map_or_else(String::new, |at| format!(" at line {}", at.line()));
        vec![format!("not a routing file: {error}{line}")]
    })?;
    let mut rules = Vec::new();
    let mut faults = Vec::new();
    for (index, mut rule) in file.routes.into_iter().enumerate() {
        schema::drop_nulls(&mut rule);
        match read(&rule) {
            Ok(rule) => rules.push(rule),
            Err(found) => faults.extend(
                found
                    .into_iter()
                    .map(|(field, fault)| format!("routes[{index}]{field}: {fault}")),
            ),
        }
    }
    if faults.is_empty() {
        Ok(rules)
    } else {
        Err(faults)
    }
}

/// Each rule alone, so that a file may have more of them than one object.
fn read(rule: &Value) -> Result<Route, Vec<(String, String)>> {
    let object = json!({
        "apiVersion": API_VERSION,
        "kind": "ModelRoute",
        "metadata": {"name": "file"},
        "spec": {"gatewayRef": {"name": "any"}, "routes": [rule]},
    });
    let faults = route_schema().check(&object);
    if !faults.is_empty() {
        let faults = faults.into_iter().map(|(field, fault)| {
            let within = field.strip_prefix("spec.routes[0]").unwrap_or_default();
            (within.to_owned(), fault)
        });
        return Err(faults.collect());
    }
    serde_json::from_value(rule.clone()).map_err(|error| vec![(String::new(), error.to_string())])
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn plain_and_full_rules_are_read() {
        let text = "
routes:
- {pattern: ^/a, model: red, fallback: green}
- alias: fast
  headers: [{name: x-tier, value: gold}]
  backends: [{model: red, weight: 9}, {model: green}]
  fallbacks: [blue]
  timeouts: {firstToken: 5s, total: 2m}
  retries: {attempts: 2, backoff: 100ms}
";
        let rules = parse_routing_file(text).expect("valid");
        assert_eq!(rules[0].fallback.as_deref(), Some("green"));
        assert_eq!(rules[1].backends[0].weight, Some(9));
        assert!(parse_routing_file("routes: []").expect("valid").is_empty());
    }

    #[rstest]
    #[case::typo("{pattern: ^/a, modle: red}", "routes[1]: ", "modle")]
    #[case::nothing_to_match("{model: red}", "routes[1]: ", "set pattern, alias or both")]
    #[case::two_targets(
        "{alias: a, model: red, backends: [{model: green}]}",
        "routes[1]: ",
        "exactly one of model and backends"
    )]
    #[case::weight(
        "{alias: a, backends: [{model: green, weight: 1001}]}",
        "routes[1].backends[0].weight: ",
        "1000"
    )]
    #[case::order(
        "{alias: a, model: red, timeouts: {firstToken: 3m, total: 2m}}",
        "routes[1].timeouts: ",
        "firstToken must not be longer than total"
    )]
    #[case::duration(
        "{alias: a, model: red, timeouts: {total: 2 min}}",
        "routes[1].timeouts.total: ",
        "2 min"
    )]
    fn every_fault_has_its_place(#[case] rule: &str, #[case] place: &str, #[case] what: &str) {
        let text = format!("routes:\n- {{pattern: ^/b, model: red}}\n- {rule}\n");
        let faults = parse_routing_file(&text).expect_err("refused");
        assert!(
            faults
                .iter()
                .any(|fault| fault.starts_with(place) && fault.contains(what)),
            "{faults:?}"
        );
    }

    #[test]
    fn what_is_no_routing_file_says_where() {
        let faults = parse_routing_file("route:\n- {pattern: x, model: y}\n").expect_err("refused");
        assert!(
            faults[0].contains("route") && faults[0].contains("line 1"),
            "{faults:?}"
        );
    }
}
