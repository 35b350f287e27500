use std::{collections::BTreeSet, path::Path};

use claw_crds::metric_catalog::{self as catalog, Metric};

use super::*;

const DESK: GatewayRef<'_> = GatewayRef {
    namespace: "shop",
    name: "desk",
};

fn rules(groups: &Value) -> Vec<Value> {
    let groups = groups.as_array().expect("groups").iter();
    groups
        .flat_map(|group| group["rules"].as_array().expect("rules"))
        .cloned()
        .collect()
}

fn all_rules() -> Vec<Value> {
    let mut all = rules(&alert_groups(&DESK, RUNBOOK_BASE));
    all.extend(rules(&operator_alert_groups(RUNBOOK_BASE)));
    all
}

/// Every text that stands under one of `keys`, at any depth.
fn texts<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if keys.contains(&key.as_str()) => found.push(text),
                    _ => texts(value, keys, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, keys, found)),
        _ => {}
    }
}

/// The words of an expression that look like metrics.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != ':')
        .filter(|word| word.starts_with("claw_") || word.starts_with("process_"))
}

fn exported() -> BTreeSet<String> {
    let all = [
        catalog::gateway::ALL,
        catalog::process::ALL,
        catalog::operator::ALL,
    ];
    all.into_iter()
        .flatten()
        .flat_map(|metric| metric.series())
        .collect()
}

#[test]
fn every_metric_in_rules_and_dashboards_is_in_the_catalog() {
    let exported = exported();
    let documents = [
        alert_groups(&DESK, RUNBOOK_BASE),
        operator_alert_groups(RUNBOOK_BASE),
        dashboard(&DESK),
        operator_dashboard(),
    ];
    for document in &documents {
        let mut expressions = Vec::new();
        texts(document, &["expr", "definition", "query"], &mut expressions);
        let used: Vec<&str> = expressions
            .iter()
            .flat_map(|expression| metrics(expression))
            .collect();
        assert!(!used.is_empty());
        for metric in used {
            assert!(exported.contains(metric), "{metric} is not exported");
        }
    }
}

#[test]
fn every_metric_of_a_gateway_is_on_its_dashboard() {
    let text = dashboard(&DESK).to_string();
    let of_gateways = [catalog::gateway::ALL, catalog::process::ALL];
    for metric in of_gateways.into_iter().flatten() {
        let Metric { name, .. } = metric;
        assert!(text.contains(name), "{name} is not shown");
    }
    let text = operator_dashboard().to_string();
    for Metric { name, .. } in catalog::operator::ALL {
        assert!(text.contains(name), "{name} is not shown");
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks");
    let pages: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("a folder of runbooks")
        .map(|page| page.expect("readable").file_name())
        .map(|page| page.into_string().expect("text"))
        .filter(|page| page != "README.md")
        .collect();
    let alerts: BTreeSet<String> = all_rules()
        .iter()
        .map(|rule| format!("{}.md", rule["alert"].as_str().expect("a name")))
        .collect();
    assert_eq!(pages, alerts);
}

#[test]
fn every_rule_of_a_gateway_is_about_that_gateway_alone() {
    for rule in rules(&alert_groups(&DESK, RUNBOOK_BASE)) {
        let expression = rule["expr"].as_str().expect("an expression");
        let selectors = expression.matches('{').count();
        assert_eq!(
            expression
                .matches(r#"{namespace="shop",gateway="desk""#)
                .count(),
            selectors,
            "{expression}"
        );
        assert_eq!(metrics(expression).count(), selectors, "{expression}");
    }
}

#[test]
fn every_rule_says_how_bad_it_is_what_happened_and_what_to_read() {
    let base = "https://runbooks.example.com/claw/";
    for rule in rules(&alert_groups(&DESK, base)) {
        let name = rule["alert"].as_str().expect("a name");
        assert!(
            ["warning", "critical"].contains(&rule["labels"]["severity"].as_str().expect(name))
        );
        let notes = &rule["annotations"];
        assert!(notes["summary"].is_string(), "{name}");
        assert!(
            notes["description"].as_str().expect(name).contains("{{ $"),
            "{name}"
        );
        assert_eq!(notes["runbook_url"], format!("{base}{name}.md"));
    }
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    for dashboard in [dashboard(&DESK), operator_dashboard()] {
        let panels = dashboard["panels"].as_array().expect("panels");
        let ids: BTreeSet<u64> = panels
            .iter()
            .filter_map(|panel| panel["id"].as_u64())
            .collect();
        assert_eq!(ids.len(), panels.len());
        let mut taken = BTreeSet::new();
        for panel in panels {
            let at = |field: &str| panel["gridPos"][field].as_u64().expect("a number");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(x < 24 && taken.insert((x, y)), "{}", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn the_dashboard_opens_with_its_gateway_and_keeps_its_address() {
    let first = dashboard(&DESK);
    let names: Vec<&Value> = first["templating"]["list"]
        .as_array()
        .expect("variables")
        .iter()
        .map(|variable| &variable["name"])
        .collect();
    assert_eq!(names, ["datasource", "namespace", "gateway"]);
    assert_eq!(first["templating"]["list"][2]["current"]["value"], "desk");
    assert_eq!(first["uid"], "claw-4ff8ca71cb75cceb");
    let other = GatewayRef {
        name: "till",
        ..DESK
    };
    assert_ne!(first["uid"], dashboard(&other)["uid"]);
}
