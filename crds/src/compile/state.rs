//! Limits by the minute, day and month, and the database that remembers them.

use std::collections::BTreeMap;

use jiff::tz::TimeZoneDatabase;
use url::Url;

use super::{
    problem::{ObjectRef, Problem, ProblemReason},
    secrets::Secrets,
};
use crate::{
    ClawGatewaySpec,
    claw_gateway::{Budget, Limits, Model, Prices},
    gateway_config::{
        BudgetConfig, BudgetsConfig, ModelBudgetConfig, PricesConfig, Redacted, StateConfig,
    },
};

const POSTGRES: &str = "spec.state.postgres";

pub(super) fn budgets(
    gateway: &ObjectRef,
    spec: &ClawGatewaySpec,
    problems: &mut Vec<Problem>,
) -> BudgetsConfig {
    let Limits {
        budget,
        per_key,
        time_zone,
        ..
    } = &spec.limits;
    BudgetsConfig {
        time_zone: time_zone
            .clone()
            .filter(|zone| is_time_zone(gateway, zone, problems)),
        gateway: self::budget(budget),
        per_key: per_key.as_ref().map(self::budget).unwrap_or_default(),
        models: models(&spec.models),
    }
}

/// From the list that comes with the program, so that every machine knows the same names.
fn is_time_zone(gateway: &ObjectRef, zone: &str, problems: &mut Vec<Problem>) -> bool {
    let is_known = TimeZoneDatabase::bundled().get(zone).is_ok();
    if !is_known {
        let problem = Problem::invalid(
            gateway,
            "spec.limits.timeZone",
            "no time zone of that name is known, so days and months begin in UTC",
            "use a name of the IANA list, such as Europe/Berlin",
        );
        problems.push(problem.with_value(zone));
    }
    is_known
}

fn models(models: &[Model]) -> BTreeMap<String, ModelBudgetConfig> {
    models
        .iter()
        .filter(|model| model.limits.is_some() || model.prices.is_some())
        .map(|model| {
            let config = ModelBudgetConfig {
                prices: model.prices.as_ref().map(prices),
                budget: model.limits.as_ref().map(budget).unwrap_or_default(),
            };
            (model.name.clone(), config)
        })
        .collect()
}

/// The schema admits nothing that is lost here.
fn budget(budget: &Budget) -> BudgetConfig {
    let Budget {
        requests_per_minute,
        tokens_per_minute,
        tokens_per_day,
        tokens_per_month,
        cost_per_day,
        cost_per_month,
        concurrent_streams,
    } = budget;
    let number = |limit: &Option<i64>| limit.and_then(|limit| u64::try_from(limit).ok());
    BudgetConfig {
        requests_per_minute: number(requests_per_minute),
        tokens_per_minute: number(tokens_per_minute),
        tokens_per_day: number(tokens_per_day),
        tokens_per_month: number(tokens_per_month),
        cost_per_day: cost_per_day
            .as_ref()
            .and_then(crate::money::Money::millionths),
        cost_per_month: cost_per_month
            .as_ref()
            .and_then(crate::money::Money::millionths),
        concurrent_streams: concurrent_streams.and_then(|limit| u32::try_from(limit).ok()),
    }
}

fn prices(prices: &Prices) -> PricesConfig {
    PricesConfig {
        input: prices.input_per_million.millionths().unwrap_or_default(),
        output: prices.output_per_million.millionths().unwrap_or_default(),
    }
}

/// Where is remembered what was used. Without the Secret, what needs it is refused and the rest serves.
pub(super) fn state(
    gateway: &ObjectRef,
    spec: &ClawGatewaySpec,
    secrets: &Secrets,
    problems: &mut Vec<Problem>,
) -> StateConfig {
    let postgres = spec
        .state
        .as_ref()
        .and_then(|state| state.postgres.as_ref());
    let Some(postgres) = postgres else {
        return StateConfig::Sqlite;
    };
    let url = secrets
        .text(gateway, POSTGRES, &postgres.secret_key_ref)
        .and_then(|url| check(gateway, url));
    match url {
        Ok(url) => StateConfig::Postgres(url),
        Err(problem) => {
            let reason = format!("{} is not usable; see the gateway's status", problem.field);
            problems.push(problem);
            StateConfig::Unavailable { reason }
        }
    }
}

/// The value holds a password, so no message repeats it.
fn check(gateway: &ObjectRef, text: String) -> Result<Redacted, Problem> {
    let is_postgres = Url::parse(&text).is_ok_and(|url| {
        matches!(url.scheme(), "postgres" | "postgresql") && url.host_str().is_some()
    });
    if is_postgres {
        return Ok(Redacted::new(text));
    }
    let problem = Problem::invalid(
        gateway,
        format!("{POSTGRES}.secretKeyRef.key"),
        "the entry is no URL of a PostgreSQL database",
        "store postgres://user:password@host:5432/database, special characters of the password percent-encoded",
    );
    Err(problem.with_reason(ProblemReason::InvalidSecret))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{compiled, objects};
    use super::*;
    use crate::GatewayConfig;

    const LIMITS: &str = "limits: {requestsPerSecond: 7}";
    const STATE: &str = "state: {postgres: {secretKeyRef: {name: provider, key: token}}}";

    fn compile(edits: &[(&str, &str)]) -> (GatewayConfig, Vec<String>) {
        let compilation = compiled(&objects(edits));
        let problems = compilation.problems.iter().map(ToString::to_string);
        let problems = problems.collect();
        (compilation.config.expect("a configuration"), problems)
    }

    #[test]
    fn limits_and_prices_become_whole_numbers() {
        let limits =
            "limits: {costPerDay: '1.5', timeZone: Europe/Berlin, perKey: {tokensPerMonth: 9}}";
        let (config, problems) = compile(&[
            (LIMITS, limits),
            (
                "    local: {source: {path: /models/tiny}}",
                "    local: {source: {path: /models/tiny}}\n    limits: {requestsPerMinute: 3}",
            ),
            (
                "  - name: big",
                "  - name: big\n    prices: {inputPerMillion: '0.0375', outputPerMillion: 2}",
            ),
        ]);
        assert_eq!(problems, Vec::<String>::new());
        let budgets = config.limits.budgets;
        assert_eq!(budgets.time_zone.as_deref(), Some("Europe/Berlin"));
        assert_eq!(budgets.gateway.cost_per_day, Some(1_500_000));
        assert_eq!(budgets.per_key.tokens_per_month, Some(9));
        assert_eq!(budgets.models["tiny"].budget.requests_per_minute, Some(3));
        let prices = budgets.models["big"].prices.expect("prices");
        assert_eq!((prices.input, prices.output), (37_500, 2_000_000));
        assert_eq!(config.state, StateConfig::Sqlite);
    }

    #[test]
    fn a_time_zone_that_nobody_knows_is_named() {
        let (config, problems) = compile(&[(
            LIMITS,
            "limits: {tokensPerDay: 7, timeZone: Europe/Atlantis}",
        )]);
        assert!(
            problems[0].contains("spec.limits.timeZone \"Europe/Atlantis\""),
            "{problems:?}"
        );
        assert_eq!(config.limits.budgets.time_zone, None);
        assert_eq!(config.limits.budgets.gateway.tokens_per_day, Some(7));
    }

    #[test]
    fn the_url_of_a_database_is_taken_and_never_shown() {
        let url = "postgres://me:s3cret@db/claw";
        let (config, problems) = compile(&[(LIMITS, STATE), ("sk-provider\\n", url)]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(config.state, StateConfig::Postgres(Redacted::new(url)));
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_url_that_is_none_is_told_without_its_value() {
        for url in [
            "mysql://me:s3cret@db/claw",
            "me:s3cret@db",
            "postgres:///s3cret",
        ] {
            let (config, problems) = compile(&[(LIMITS, STATE), ("sk-provider\\n", url)]);
            assert!(matches!(config.state, StateConfig::Unavailable { .. }));
            assert!(
                problems[0].contains("spec.state.postgres.secretKeyRef.key"),
                "{problems:?}"
            );
            assert!(!problems[0].contains("s3cret"), "{problems:?}");
        }
    }

    #[test]
    fn a_missing_secret_leaves_the_rest_serving() {
        let state = STATE.replace("name: provider", "name: nowhere");
        let (config, problems) = compile(&[(LIMITS, &state)]);
        assert!(
            problems[0].contains("\"nowhere\": no Secret of that name"),
            "{problems:?}"
        );
        let StateConfig::Unavailable { reason } = config.state else {
            panic!("{:?}", config.state)
        };
        assert!(reason.contains("spec.state.postgres"), "{reason}");
    }
}
