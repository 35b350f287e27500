//! What claims say of callers. Pure.

use crate::{
    claw_gateway::{Claims, RequiredClaim},
    compile::problem::{ObjectRef, Problem},
    gateway_config::{ClaimRule, ClaimTest, ClaimsConfig},
};

/// A rule that cannot be followed is a problem of the whole: without it, more callers would be let in than was meant.
pub(super) fn compile(
    gateway: &ObjectRef,
    field: &str,
    claims: Option<&Claims>,
) -> Result<ClaimsConfig, Problem> {
    let Some(claims) = claims else {
        return Ok(ClaimsConfig::default());
    };
    let Claims {
        name,
        models,
        paths,
        required,
    } = claims;
    let rules = required.iter().flatten().enumerate();
    let rules = rules.map(|(index, rule)| {
        self::rule(rule).ok_or_else(|| {
            let field = format!("{field}.claims.required[{index}]");
            let message = "it must be clear what the claim has to say";
            let remedy = "set exactly one of equals, oneOf and contains";
            Problem::invalid(gateway, field, message, remedy).with_value(&rule.claim)
        })
    });
    Ok(ClaimsConfig {
        name: name.clone(),
        models: models.clone(),
        paths: paths.clone(),
        required: rules.collect::<Result<_, _>>()?,
    })
}

fn rule(rule: &RequiredClaim) -> Option<ClaimRule> {
    let test = match (&rule.equals, &rule.one_of, &rule.contains) {
        (Some(value), None, None) => ClaimTest::Equals(value.clone()),
        (None, Some(values), None) => ClaimTest::OneOf(values.iter().cloned().collect()),
        (None, None, Some(value)) => ClaimTest::Contains(value.clone()),
        _ => return None,
    };
    Some(ClaimRule {
        claim: rule.claim.clone(),
        test,
    })
}
