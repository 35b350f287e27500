//! Routes: patterns checked, targets resolved, one table in a stable order.

use super::{
    pattern,
    problem::{ObjectRef, Problem, ProblemReason},
};
use crate::{
    ModelRoute,
    gateway_config::{ModelConfig, RouteConfig},
    model_route::Route,
};

pub(super) fn compile(
    objects: &[ModelRoute],
    models: &[ModelConfig],
    problems: &mut Vec<Problem>,
) -> Vec<RouteConfig> {
    let mut objects: Vec<&ModelRoute> = objects.iter().collect();
    objects.sort_by_key(|route| route.metadata.name.clone());
    objects
        .into_iter()
        .flat_map(|route| compile_one(route, models, problems))
        .collect()
}

/// The rules of one ModelRoute. One bad pattern takes all of the object's rules out, since nobody can say which
/// requests the bad rule was to catch; a missing model leaves its rule in, without that target.
fn compile_one(
    route: &ModelRoute,
    models: &[ModelConfig],
    problems: &mut Vec<Problem>,
) -> Vec<RouteConfig> {
    let object = ObjectRef::of(route);
    let faults: Vec<Problem> = route
        .spec
        .routes
        .iter()
        .enumerate()
        .filter_map(|(index, rule)| check_pattern(&object, index, &rule.pattern).err())
        .collect();
    if !faults.is_empty() {
        problems.extend(faults);
        return Vec::new();
    }
    let rules = route.spec.routes.iter().enumerate();
    rules
        .map(|(index, rule)| resolve(&object, index, rule, models, problems))
        .collect()
}

fn check_pattern(object: &ObjectRef, index: usize, pattern: &str) -> Result<(), Problem> {
    pattern::judge(pattern).map(drop).map_err(|fault| {
        let problem = Problem::invalid(
            object,
            format!("spec.routes[{index}].pattern"),
            format!("not a valid regular expression: {fault}"),
            "use RE2 syntax; look-around and back-references do not exist, and . * + ? ( ) [ ] { } | \\ must be \
             escaped with \\ to stand for themselves",
        );
        problem.with_value(pattern)
    })
}

fn resolve(
    object: &ObjectRef,
    index: usize,
    rule: &Route,
    models: &[ModelConfig],
    problems: &mut Vec<Problem>,
) -> RouteConfig {
    let mut targets = Vec::new();
    for (part, name) in [
        ("model", Some(&rule.model)),
        ("fallback", rule.fallback.as_ref()),
    ] {
        let Some(name) = name else { continue };
        match check_model(object, format!("spec.routes[{index}].{part}"), name, models) {
            Ok(()) => targets.push(name.clone()),
            Err(problem) => problems.push(problem),
        }
    }
    RouteConfig {
        origin: format!("{object} spec.routes[{index}]"),
        pattern: rule.pattern.clone(),
        targets,
    }
}

/// That a model of the name exists.
pub(super) fn check_model(
    object: &ObjectRef,
    field: String,
    name: &str,
    models: &[ModelConfig],
) -> Result<(), Problem> {
    if models.iter().any(|model| model.name == name) {
        return Ok(());
    }
    let known = models
        .iter()
        .map(|model| model.name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let problem = Problem::invalid(
        object,
        field,
        "the gateway has no model of that name",
        format!("add it to the gateway's spec.models, or name one of: {known}"),
    );
    Err(problem
        .with_value(name)
        .with_reason(ProblemReason::ModelNotFound))
}
