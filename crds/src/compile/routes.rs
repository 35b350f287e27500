//! Routes: rules checked, targets resolved, one table in a stable order.

mod check;
mod resolve;

use std::fmt;

use super::problem::{ObjectRef, Problem, ProblemReason};
use crate::{
    ModelRoute,
    gateway_config::{ModelConfig, RouteConfig, TaskConfig},
    model_route::Route,
};

/// Where a list of rules is written.
#[derive(Clone, Copy, Debug)]
pub struct RulesPlace<'a> {
    /// For problems.
    pub object: &'a ObjectRef,
    /// For logs and statuses of the gateway.
    pub origin: &'a str,
    /// The list, e.g. `spec.routes`.
    pub field: &'a str,
}

/// One rule's field.
struct RulePlace<'a> {
    rules: RulesPlace<'a>,
    index: usize,
}

impl RulePlace<'_> {
    fn field(&self, part: impl fmt::Display) -> String {
        format!("{}[{}].{part}", self.rules.field, self.index)
    }

    fn problem(
        &self,
        part: impl fmt::Display,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        Problem::invalid(self.rules.object, self.field(part), message, remedy)
    }
}

pub(super) fn compile(
    objects: &[ModelRoute],
    models: &[ModelConfig],
    problems: &mut Vec<Problem>,
) -> Vec<RouteConfig> {
    let mut objects: Vec<&ModelRoute> = objects.iter().collect();
    objects.sort_by_key(|route| route.metadata.name.clone());
    objects
        .into_iter()
        .flat_map(|route| {
            let object = ObjectRef::of(route);
            let place = RulesPlace {
                object: &object,
                origin: &object.to_string(),
                field: "spec.routes",
            };
            compile_rules(place, &route.spec.routes, models, problems)
        })
        .collect()
}

/// The rules of one list. One rule that cannot work takes all of the list out, since nobody can say which requests it
/// was to catch; a missing model leaves its rule in, without that target.
pub fn compile_rules(
    place: RulesPlace<'_>,
    rules: &[Route],
    models: &[ModelConfig],
    problems: &mut Vec<Problem>,
) -> Vec<RouteConfig> {
    let rules = || {
        rules.iter().enumerate().map(|(index, rule)| {
            let place = RulePlace {
                rules: place,
                index,
            };
            (place, rule)
        })
    };
    let faults: Vec<Problem> = rules()
        .flat_map(|(place, rule)| check::faults(&place, rule))
        .collect();
    if !faults.is_empty() {
        problems.extend(faults);
        return Vec::new();
    }
    rules()
        .map(|(place, rule)| resolve::resolve(&place, rule, models, problems))
        .collect()
}

/// The task of the model of that name, if it exists.
pub(super) fn check_model(
    object: &ObjectRef,
    field: String,
    name: &str,
    models: &[ModelConfig],
) -> Result<TaskConfig, Problem> {
    if let Some(model) = models.iter().find(|model| model.name == name) {
        return Ok(model.task);
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
        format!("add it to the gateway's models, or name one of: {known}"),
    );
    Err(problem
        .with_value(name)
        .with_reason(ProblemReason::ModelNotFound))
}

#[cfg(test)]
mod tests;
