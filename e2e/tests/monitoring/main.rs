//! The alerting rules and the dashboards' queries, in the hands of Prometheus' own tool. Needs no cluster.
//!
//! `cargo xtask test` runs them. Plain `cargo test` lists them as ignored, since the first run builds the tool.

mod promtool;

use std::process::ExitCode;

use claw_operator::monitoring::{
    GatewayRef, alert_groups, dashboard, operator_alert_groups, operator_dashboard,
};
use libtest_mimic::{Arguments, Failed, Trial};
use promtool::Promtool;
use serde_json::{Value, json};

/// The gateway of the rules under test; the scenarios have another one beside it.
const DESK: GatewayRef<'_> = GatewayRef {
    namespace: "shop",
    name: "desk",
};

/// Set by `cargo xtask test`, which gets the tools first.
const DIRECTORY_VARIABLE: &str = "CLAW_BIN_DIR";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let is_asked_for = std::env::var_os(DIRECTORY_VARIABLE).is_some();
    let trials = [
        (
            "alerts_of_a_gateway_fire_when_and_only_when_they_should",
            gateway_alerts as fn() -> Result<(), Failed>,
        ),
        (
            "alerts_of_the_operator_fire_when_and_only_when_they_should",
            operator_alerts,
        ),
        ("every_rule_has_scenarios", every_rule_has_scenarios),
        ("every_query_of_the_dashboards_is_valid", dashboard_queries),
    ]
    .map(|(name, run)| Trial::test(name, run).with_ignored_flag(!is_asked_for))
    .into();
    libtest_mimic::run(&arguments, trials).exit_code()
}

const GATEWAY_SCENARIOS: &str = include_str!("gateway.yaml");
const OPERATOR_SCENARIOS: &str = include_str!("operator.yaml");

fn gateway_alerts() -> Result<(), Failed> {
    let rules = json!({"groups": alert_groups(&DESK, "https://runbooks.example.com")});
    Promtool::find()?.test_rules(&rules, GATEWAY_SCENARIOS)
}

fn operator_alerts() -> Result<(), Failed> {
    let rules = json!({"groups": operator_alert_groups("https://runbooks.example.com")});
    Promtool::find()?.test_rules(&rules, OPERATOR_SCENARIOS)
}

/// One in which it fires and one in which it does not, since a scenario that names no alerts proves silence.
fn every_rule_has_scenarios() -> Result<(), Failed> {
    for (groups, scenarios) in [
        (alert_groups(&DESK, "base"), GATEWAY_SCENARIOS),
        (operator_alert_groups("base"), OPERATOR_SCENARIOS),
    ] {
        let scenarios: Value = serde_yaml::from_str(scenarios)?;
        let tests: Vec<&Value> = scenarios["tests"]
            .as_array()
            .ok_or("no tests")?
            .iter()
            .flat_map(|scenario| scenario["alert_rule_test"].as_array().into_iter().flatten())
            .collect();
        for rule in groups[0]["rules"].as_array().ok_or("no rules")? {
            let fires = |expected: bool| {
                tests.iter().any(|test| {
                    let alerts = test["exp_alerts"].as_array();
                    test["alertname"] == rule["alert"]
                        && alerts.is_some_and(|alerts| !alerts.is_empty()) == expected
                })
            };
            if !fires(true) || !fires(false) {
                return Err(format!("{} lacks a scenario", rule["alert"]).into());
            }
        }
    }
    Ok(())
}

/// As recording rules, with values for what Grafana fills in.
fn dashboard_queries() -> Result<(), Failed> {
    let mut rules = Vec::new();
    for dashboard in [dashboard(&DESK), operator_dashboard()] {
        let panels = dashboard["panels"].as_array().ok_or("no panels")?.iter();
        for target in panels
            .filter_map(|panel| panel["targets"].as_array())
            .flatten()
        {
            let query = target["expr"].as_str().ok_or("a target without a query")?;
            let query = query
                .replace("$namespace", "shop")
                .replace("$gateway", "desk")
                .replace("$__rate_interval", "5m");
            rules.push(json!({"record": format!("panel:{}", rules.len()), "expr": query}));
        }
    }
    let rules = json!({"groups": [{"name": "dashboards", "rules": rules}]});
    Promtool::find()?.check_rules(&rules)
}
