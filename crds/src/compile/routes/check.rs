//! What about a rule cannot work, whatever models there are.

use super::{super::pattern, Problem, RulePlace};
use crate::{
    duration::DurationText,
    model_route::{HeaderMatch, HeaderMatchType, Retries, Route, Timeouts},
};

/// Headers with credentials: a rule, and with it a status that everybody reads, would hold one.
const CREDENTIALS: [&str; 6] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
];

pub(super) fn faults(place: &RulePlace<'_>, rule: &Route) -> Vec<Problem> {
    let mut faults = Vec::new();
    if rule.pattern.is_none() && rule.alias.is_none() {
        faults.push(place.problem(
            "pattern",
            "the rule would take every request",
            "set pattern, alias or both",
        ));
    }
    if let Some(pattern) = &rule.pattern {
        faults.extend(expression_fault(place, "pattern", pattern));
    }
    for (index, header) in rule.headers.iter().enumerate() {
        faults.extend(header_fault(place, index, header));
    }
    if !rule.backends.is_empty() && rule.backends.iter().all(|one| one.weight == Some(0)) {
        faults.push(place.problem(
            "backends",
            "nobody would answer, since each weight is 0",
            "give at least one of them a weight above 0",
        ));
    }
    faults.extend(duration_faults(place, rule));
    faults
}

fn expression_fault(place: &RulePlace<'_>, part: &str, expression: &str) -> Option<Problem> {
    let fault = pattern::judge(expression).err()?;
    let problem = place.problem(
        part,
        format!("not a valid regular expression: {fault}"),
        "use RE2 syntax; look-around and back-references do not exist, and . * + ? ( ) [ ] { } | \\ must be escaped with \
         \\ to stand for themselves",
    );
    Some(problem.with_value(expression))
}

fn header_fault(place: &RulePlace<'_>, index: usize, header: &HeaderMatch) -> Option<Problem> {
    let name = header.name.to_ascii_lowercase();
    if CREDENTIALS.contains(&name.as_str()) {
        let problem = place.problem(
            format_args!("headers[{index}].name"),
            "it carries a credential, which is not for rules",
            "let clients tell what they want in another header, or by the model that they name",
        );
        return Some(problem.with_value(&header.name));
    }
    match header.match_type.unwrap_or_default() {
        HeaderMatchType::Exact => None,
        HeaderMatchType::RegularExpression => {
            expression_fault(place, &format!("headers[{index}].value"), &header.value)
        }
    }
}

fn duration_faults(place: &RulePlace<'_>, rule: &Route) -> Vec<Problem> {
    let Timeouts {
        first_token,
        idle,
        answer,
        total,
    } = rule.timeouts.clone().unwrap_or_default();
    let (backoff, max_backoff) = match rule.retries.clone() {
        Some(Retries {
            attempts: _,
            backoff,
            max_backoff,
        }) => (backoff, max_backoff),
        None => (None, None),
    };
    let durations = [
        ("timeouts.firstToken", first_token),
        ("timeouts.idle", idle),
        ("timeouts.answer", answer),
        ("timeouts.total", total),
        ("retries.backoff", backoff),
        ("retries.maxBackoff", max_backoff),
    ];
    durations
        .into_iter()
        .filter_map(|(part, duration)| duration_fault(place, part, &duration?))
        .collect()
}

fn duration_fault(place: &RulePlace<'_>, part: &str, duration: &DurationText) -> Option<Problem> {
    if duration.value().is_some_and(|value| !value.is_zero()) {
        return None;
    }
    let problem = place.problem(
        part,
        "not a length of time above 0",
        "write it as 500ms, 10s or 1h30m",
    );
    Some(problem.with_value(duration.as_str()))
}
