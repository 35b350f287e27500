//! Whether limits of single keys can be counted.

use super::SELECTOR;
use crate::{
    ClawGatewaySpec,
    compile::problem::{ObjectRef, Problem},
};

/// The spec has to name the place: which Secrets will ever be selected, nobody knows who looks at the spec alone.
pub(super) fn is_there(spec: &ClawGatewaySpec) -> bool {
    let Some(state) = &spec.state else {
        return false;
    };
    let has_several = spec.replicas_or_default() > 1
        || spec
            .autoscaling
            .as_ref()
            .is_some_and(|autoscaling| autoscaling.max_replicas > 1);
    state.postgres.is_some() || !has_several
}

/// The keys of a Secret that limits them by the minute, day or month.
pub(super) fn missing(gateway: &ObjectRef, secret: &str) -> Problem {
    let message = format!(
        "the keys of Secret {secret} admit nobody, since its annotations limit them by the minute, day or month, and \
         spec.state does not say where that is remembered"
    );
    let remedy = "set spec.state.postgres, or spec.state.sqlite for one replica";
    Problem::invalid(gateway, SELECTOR, message, remedy).with_value(secret)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::{
        compile::tests::{compiled, objects},
        gateway_config::AuthConfig,
    };

    const LABELS: &str = "labels: {use: keys}";
    const LIMITS: &str = "limits: {requestsPerSecond: 7}";

    #[rstest]
    #[case("tokens-per-day", "limits: {}", false)]
    #[case("tokens-per-day", "state: {sqlite: {}}", true)]
    #[case("tokens-per-day", "state: {sqlite: {}}\n  replicas: 2", false)]
    #[case(
        "tokens-per-day",
        "state: {sqlite: {}}\n  autoscaling: {minReplicas: 1, maxReplicas: 2}",
        false
    )]
    #[case(
        "tokens-per-day",
        "state: {postgres: {secretKeyRef: {name: db, key: url}}}\n  replicas: 2",
        true
    )]
    #[case("concurrent-streams", "replicas: 2", true)]
    fn keys_that_are_limited_need_a_place_to_count(
        #[case] annotation: &str,
        #[case] fields: &str,
        #[case] are_admitted: bool,
    ) {
        let annotated = format!("{LABELS}, annotations: {{keys.claw.dev/{annotation}: '9'}}");
        let compilation = compiled(&objects(&[(LABELS, &annotated), (LIMITS, fields)]));
        let told = compilation
            .problems
            .iter()
            .any(|problem| problem.detail().contains("spec.state does not say"));
        let Some(AuthConfig::ApiKeys(keys)) = compilation.config.map(|config| config.auth) else {
            panic!("{:?}", compilation.problems)
        };
        assert_eq!((keys.len() == 1, told), (are_admitted, !are_admitted));
    }
}
