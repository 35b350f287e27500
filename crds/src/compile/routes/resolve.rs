//! A rule as the gateway runs it.

use super::{Problem, ProblemReason, RulePlace, check_model};
use crate::{
    duration::DurationText,
    gateway_config::{
        BackendConfig, HeaderMatchConfig, ModelConfig, RetriesConfig, RouteConfig, TaskConfig,
        TimeoutsConfig, ValueMatchConfig,
    },
    model_route::{Backend, HeaderMatch, HeaderMatchType, Retries, Route, Timeouts},
};

/// The first pause before a model is asked again, where the rule names none.
const DEFAULT_BACKOFF_MS: u64 = 250;
/// The longest pause in first ones, where the rule names none.
const MAX_BACKOFF_FACTOR: u64 = 10;

pub(super) fn resolve(
    place: &RulePlace<'_>,
    rule: &Route,
    models: &[ModelConfig],
    problems: &mut Vec<Problem>,
) -> RouteConfig {
    let Route {
        pattern,
        alias,
        headers,
        model,
        backends,
        fallback,
        fallbacks,
        timeouts,
        retries,
    } = rule;
    // That of the first model there is.
    let mut task = None;
    let mut exists = |part: String, name: &str| {
        let found = check_model(place.rules.object, place.field(&part), name, models);
        let fits = found.and_then(|found| {
            let asked = *task.get_or_insert(found);
            check_task(place, &part, name, (found, asked))
        });
        fits.map_err(|problem| problems.push(problem)).is_ok()
    };
    let mut shares = Vec::new();
    for (index, Backend { model, weight }) in backends.iter().enumerate() {
        if exists(format!("backends[{index}].model"), model) {
            shares.push(BackendConfig {
                model: model.clone(),
                weight: weight.map_or(1, unsigned),
            });
        }
    }
    // Of those that exist, none may have a share.
    if shares.iter().all(|one| one.weight == 0) {
        shares.clear();
    }
    let named = (model.iter().map(|name| ("model".to_owned(), name)))
        .chain(fallback.iter().map(|name| ("fallback".to_owned(), name)))
        .chain(
            (fallbacks.iter().enumerate())
                .map(|(index, name)| (format!("fallbacks[{index}]"), name)),
        );
    let targets = named
        .filter(|(part, name)| exists(part.clone(), name))
        .map(|(_, name)| name.clone())
        .collect();
    let task = task.unwrap_or_default();
    RouteConfig {
        origin: format!(
            "{} {}[{}]",
            place.rules.origin, place.rules.field, place.index
        ),
        pattern: pattern.clone(),
        alias: alias.clone(),
        headers: headers.iter().map(header).collect(),
        backends: shares,
        targets,
        task,
        timeouts: timeouts.as_ref().map(limits).unwrap_or_default(),
        retries: retries.as_ref().map(repetitions),
    }
}

/// That the model can do what the rule's first one does.
fn check_task(
    place: &RulePlace<'_>,
    part: &str,
    name: &str,
    (found, asked): (TaskConfig, TaskConfig),
) -> Result<(), Problem> {
    if found.can(asked) {
        return Ok(());
    }
    let (found, asked) = (found.as_str(), asked.as_str());
    let problem = place.problem(
        part,
        format!("the task of the model is {found}, and that of the rule's first model is {asked}"),
        format!("name models of the task {asked}, or give them a rule of their own"),
    );
    Err(problem
        .with_value(name)
        .with_reason(ProblemReason::TaskMismatch))
}

fn header(header: &HeaderMatch) -> HeaderMatchConfig {
    let HeaderMatch {
        name,
        match_type,
        value,
    } = header;
    HeaderMatchConfig {
        name: name.to_ascii_lowercase(),
        value: match match_type.unwrap_or_default() {
            HeaderMatchType::Exact => ValueMatchConfig::Exact(value.clone()),
            HeaderMatchType::RegularExpression => {
                ValueMatchConfig::RegularExpression(value.clone())
            }
        },
    }
}

fn limits(timeouts: &Timeouts) -> TimeoutsConfig {
    let Timeouts {
        first_token,
        idle,
        answer,
        total,
    } = timeouts;
    TimeoutsConfig {
        first_token_ms: first_token.as_ref().and_then(millis),
        idle_ms: idle.as_ref().and_then(millis),
        answer_ms: answer.as_ref().and_then(millis),
        total_ms: total.as_ref().and_then(millis),
    }
}

fn repetitions(retries: &Retries) -> RetriesConfig {
    let Retries {
        attempts,
        backoff,
        max_backoff,
    } = retries;
    let backoff_ms = backoff
        .as_ref()
        .and_then(millis)
        .unwrap_or(DEFAULT_BACKOFF_MS);
    RetriesConfig {
        attempts: unsigned(*attempts),
        backoff_ms,
        max_backoff_ms: max_backoff
            .as_ref()
            .and_then(millis)
            .unwrap_or(backoff_ms * MAX_BACKOFF_FACTOR),
    }
}

fn millis(duration: &DurationText) -> Option<u64> {
    u64::try_from(duration.value()?.as_millis()).ok()
}

/// The schema admits no negative number.
fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
