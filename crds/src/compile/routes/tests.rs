use std::fmt::Write as _;

use rstest::rstest;

use super::*;
use crate::gateway_config::{BackendConfig, ModelBackend};

/// What one rule becomes beside `near`, `far` and models of other tasks, and what is wrong with it.
fn compiled(rule: &str) -> (Vec<RouteConfig>, String) {
    let models = [
        ("near", TaskConfig::Chat),
        ("far", TaskConfig::Chat),
        ("brief", TaskConfig::Summarize),
        ("vector", TaskConfig::Embed),
        ("rank", TaskConfig::Rerank),
    ]
    .map(|(name, task)| ModelConfig {
        name: name.into(),
        task,
        backend: ModelBackend::Unavailable {
            reason: "a test".into(),
        },
    });
    let rule: Route = serde_yaml::from_str(rule).expect("a rule");
    let object = ObjectRef {
        kind: "ModelRoute".into(),
        name: "desk".into(),
    };
    let place = RulesPlace {
        object: &object,
        origin: "ModelRoute/desk",
        field: "spec.routes",
    };
    let mut problems = Vec::new();
    let rules = compile_rules(place, &[rule], &models, &mut problems);
    let report = problems.iter().fold(String::new(), |mut text, problem| {
        let _ = writeln!(text, "{problem}");
        text
    });
    (rules, report)
}

fn rule(text: &str) -> RouteConfig {
    let (mut rules, report) = compiled(text);
    assert_eq!(report, "");
    rules.remove(0)
}

#[test]
fn a_whole_rule_is_taken_over() {
    let rule = rule(
        "{pattern: ^/v1/, alias: fast, headers: [{name: X-Tier, value: gold}, {name: X-Team, type: RegularExpression, \
         value: ^a}], backends: [{model: near, weight: 90}, {model: far}], fallbacks: [far], \
         timeouts: {firstToken: 5s, idle: 10s, answer: 1m, total: 2m}, retries: {attempts: 2}}",
    );
    insta::assert_yaml_snapshot!(rule, @r#"
    origin: "ModelRoute/desk spec.routes[0]"
    pattern: ^/v1/
    alias: fast
    headers:
      - name: x-tier
        value:
          exact: gold
      - name: x-team
        value:
          regularExpression: ^a
    backends:
      - model: near
        weight: 90
      - model: far
        weight: 1
    targets:
      - far
    timeouts:
      firstTokenMs: 5000
      idleMs: 10000
      answerMs: 60000
      totalMs: 120000
    retries:
      attempts: 2
      backoffMs: 250
      maxBackoffMs: 2500
    "#);
}

#[rstest]
#[case::every_request(
    "{model: near}",
    "spec.routes[0].pattern: the rule would take every request"
)]
#[case::header(
    "{alias: a, headers: [{name: x, type: RegularExpression, value: (}], model: near}",
    "spec.routes[0].headers[0].value \"(\": not a valid regular expression"
)]
#[case::credential(
    "{alias: a, headers: [{name: Authorization, value: x}], model: near}",
    "spec.routes[0].headers[0].name \"Authorization\": it carries a credential"
)]
#[case::weights(
    "{alias: a, backends: [{model: near, weight: 0}]}",
    "spec.routes[0].backends: nobody would answer"
)]
#[case::no_time(
    "{alias: a, model: near, timeouts: {total: 0s}}",
    "spec.routes[0].timeouts.total \"0s\": not a length of time above 0"
)]
#[case::no_pause(
    "{alias: a, model: near, retries: {attempts: 1, backoff: soon}}",
    "spec.routes[0].retries.backoff \"soon\""
)]
fn a_rule_that_cannot_work_is_left_out(#[case] text: &str, #[case] expected: &str) {
    let (rules, report) = compiled(text);
    assert_eq!(rules, []);
    assert!(report.contains(expected), "{report}");
}

#[test]
fn missing_models_leave_the_others_their_share() {
    let text = "{alias: fast, backends: [{model: gone}, {model: near, weight: 3}], fallbacks: [lost, far]}";
    let (rules, report) = compiled(text);
    let near = BackendConfig {
        model: "near".into(),
        weight: 3,
    };
    assert_eq!(rules[0].backends, [near]);
    assert_eq!(rules[0].targets, ["far"]);
    for part in [
        "spec.routes[0].backends[0].model \"gone\"",
        "spec.routes[0].fallbacks[0] \"lost\"",
    ] {
        assert!(report.contains(part), "{report}");
    }
}

#[test]
fn what_is_left_of_the_backends_may_have_no_share() {
    let text = "{alias: fast, backends: [{model: gone}, {model: near, weight: 0}], fallback: far}";
    let (rules, _) = compiled(text);
    assert_eq!(rules[0].backends, []);
    assert_eq!(rules[0].targets, ["far"]);
}

#[rstest]
#[case::chat("{pattern: ^/x, model: near, fallback: far}", TaskConfig::Chat)]
#[case::a_chat_for_a_summary("{pattern: ^/x, model: brief, fallback: near}", TaskConfig::Summarize)]
#[case::by_weight("{pattern: ^/x, backends: [{model: vector}]}", TaskConfig::Embed)]
#[case::rank("{alias: x, model: rank}", TaskConfig::Rerank)]
fn the_first_model_says_what_a_rule_is_for(#[case] text: &str, #[case] expected: TaskConfig) {
    assert_eq!(rule(text).task, expected);
}

#[rstest]
#[case("{pattern: ^/x, model: vector, fallback: near}", "fallback \"near\"")]
#[case(
    "{pattern: ^/x, model: near, fallbacks: [rank]}",
    "fallbacks[0] \"rank\""
)]
#[case(
    "{pattern: ^/x, backends: [{model: rank}, {model: vector}]}",
    "backends[1].model \"vector\""
)]
fn a_model_of_another_task_is_left_out(#[case] text: &str, #[case] field: &str) {
    let (rules, report) = compiled(text);
    assert_eq!(rules[0].backends.len() + rules[0].targets.len(), 1);
    let expected = format!("spec.routes[0].{field}: the task of the model is");
    assert!(report.contains(&expected), "{report}");
}
