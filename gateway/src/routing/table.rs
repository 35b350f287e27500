//! The compiled routing table.

use std::collections::HashMap;

use claw_crds::gateway_config::RouteConfig;
use regex::{RegexSet, RegexSetBuilder};

use super::headers::InvalidHeader;
use super::{Asked, Rule};

/// A pattern may compile to at most this many bytes: patterns come from many hands.
pub(super) const PATTERN_SIZE_LIMIT: usize = 1 << 20;
/// The whole table may.
const TABLE_SIZE_LIMIT: usize = 64 << 20;

/// The rules in order, all patterns matched at once.
#[derive(Debug)]
pub struct RouteTable {
    patterns: RegexSet,
    /// Which rule each pattern is of, in order.
    patterned: Vec<usize>,
    /// The rules without a pattern by their alias, in order.
    by_alias: HashMap<String, Vec<usize>>,
    /// Of all rules, each once.
    aliases: Vec<String>,
    rules: Vec<Rule>,
}

/// A rule that cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoute {
    /// Its pattern is at fault.
    #[error("{origin}: pattern {pattern:?} is no regular expression this gateway can use")]
    Pattern {
        /// Where the rule was written.
        origin: String,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: regex::Error,
    },
    /// A header is at fault.
    #[error("{origin}: header {name:?} cannot be looked for")]
    Header {
        /// Where the rule was written.
        origin: String,
        /// The header.
        name: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It would take everything.
    #[error("{origin}: the rule has neither a pattern nor an alias; give it one of them")]
    Unconditional {
        /// Where the rule was written.
        origin: String,
    },
}

impl RouteTable {
    /// Compile the rules; every bad one is reported.
    pub fn compile(routes: &[RouteConfig]) -> Result<Self, Vec<InvalidRoute>> {
        let mut invalid = Vec::new();
        let mut rules = Vec::with_capacity(routes.len());
        for route in routes {
            match rule(route) {
                Ok(rule) => rules.push(rule),
                Err(error) => invalid.push(error),
            }
        }
        if !invalid.is_empty() {
            return Err(invalid);
        }
        let (mut patterned, mut patterns) = (Vec::new(), Vec::new());
        let mut by_alias: HashMap<String, Vec<usize>> = HashMap::new();
        let mut aliases: Vec<String> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            match (&rule.pattern, &rule.alias) {
                (Some(pattern), _) => {
                    patterned.push(index);
                    patterns.push(pattern.as_str());
                }
                (None, Some(alias)) => by_alias.entry(alias.clone()).or_default().push(index),
                (None, None) => {}
            }
            aliases.extend(rule.alias.clone().filter(|alias| !aliases.contains(alias)));
        }
        let patterns = RegexSetBuilder::new(&patterns)
            .size_limit(TABLE_SIZE_LIMIT)
            .build()
            .map_err(|source| {
                let origin = format!("the table of {} routes", routes.len());
                vec![InvalidRoute::Pattern {
                    origin,
                    pattern: "(all)".into(),
                    source,
                }]
            })?;
        Ok(Self {
            patterns,
            patterned,
            by_alias,
            aliases,
            rules,
        })
    }

    /// The first rule that takes the request.
    pub fn find(&self, asked: Asked<'_>) -> Option<&Rule> {
        let takes = |index: &usize| self.rules[*index].takes(asked.model, asked.headers);
        let matched = self.patterns.matches(asked.path);
        let by_path = matched
            .iter()
            .map(|pattern| self.patterned[pattern])
            .find(takes);
        let named = asked.model.and_then(|model| self.by_alias.get(model));
        let by_alias = named.and_then(|rules| rules.iter().copied().find(takes));
        let first = by_path.into_iter().chain(by_alias).min()?;
        Some(&self.rules[first])
    }

    /// Whether any rule has a pattern that is found in the path.
    pub fn serves(&self, path: &str) -> bool {
        self.patterns.is_match(path)
    }

    /// The first rule that asks for this alias and nothing else.
    pub(super) fn by_alias_alone(&self, alias: &str) -> Option<&Rule> {
        let rules = self.by_alias.get(alias)?.iter();
        rules
            .map(|index| &self.rules[*index])
            .find(|rule| rule.has_alias_alone())
    }

    /// The aliases of all rules, each once, in order.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// All rules in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

fn rule(route: &RouteConfig) -> Result<Rule, InvalidRoute> {
    let origin = || route.origin.clone();
    if route.pattern.is_none() && route.alias.is_none() {
        return Err(InvalidRoute::Unconditional { origin: origin() });
    }
    if let Some(pattern) = &route.pattern {
        check(pattern).map_err(|source| InvalidRoute::Pattern {
            origin: origin(),
            pattern: pattern.clone(),
            source,
        })?;
    }
    Rule::compile(route).map_err(
        |(name, source): (String, InvalidHeader)| InvalidRoute::Header {
            origin: origin(),
            name,
            source: Box::new(source),
        },
    )
}

/// Each alone first: the error of a set does not tell which pattern is at fault.
fn check(pattern: &str) -> Result<(), regex::Error> {
    RegexSetBuilder::new([pattern])
        .size_limit(PATTERN_SIZE_LIMIT)
        .build()
        .map(drop)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use rstest::rstest;

    use super::*;
    use claw_crds::gateway_config::{HeaderMatchConfig, ValueMatchConfig};

    fn route(pattern: &str) -> RouteConfig {
        RouteConfig {
            origin: format!("o {pattern}"),
            pattern: Some(pattern.into()),
            targets: vec![pattern.into()],
            ..RouteConfig::default()
        }
    }

    fn alias(alias: &str) -> RouteConfig {
        RouteConfig {
            origin: format!("a {alias}"),
            alias: Some(alias.into()),
            ..RouteConfig::default()
        }
    }

    fn with_header(value: &str, rule: RouteConfig) -> RouteConfig {
        let header = HeaderMatchConfig {
            name: "x-tier".into(),
            value: ValueMatchConfig::Exact(value.into()),
        };
        RouteConfig {
            origin: format!("{} {value}", rule.origin),
            headers: vec![header],
            ..rule
        }
    }

    fn found(
        table: &RouteTable,
        path: &str,
        model: Option<&str>,
        tier: Option<&'static str>,
    ) -> Option<String> {
        let headers: HeaderMap = tier
            .map(|tier| {
                (
                    HeaderName::from_static("x-tier"),
                    HeaderValue::from_static(tier),
                )
            })
            .into_iter()
            .collect();
        let asked = Asked {
            path,
            model,
            headers: &headers,
        };
        table.find(asked).map(|rule| rule.origin.clone())
    }

    #[test]
    fn the_order_of_the_rules_decides() {
        let table =
            RouteTable::compile(&[route("^/a"), route("/b$"), route("")]).expect("compiles");
        let found = |path| found(&table, path, None, None).expect("the last pattern matches all");
        assert_eq!(
            [found("/a/b"), found("/x/b"), found("/x")],
            ["o ^/a", "o /b$", "o "]
        );
    }

    #[rstest]
    #[case::alias_before_pattern("/v1/x", Some("fast"), None, Some("a fast"))]
    #[case::alias_with_header("/v1/x", Some("fast"), Some("gold"), Some("a fast gold"))]
    #[case::pattern_for_other_models("/v1/x", Some("slow"), None, Some("o ^/v1/"))]
    #[case::pattern_without_model("/v1/x", None, Some("gold"), Some("o ^/v1/"))]
    #[case::alias_on_other_path("/x", Some("fast"), None, Some("a fast"))]
    #[case::pattern_and_alias("/both", Some("both"), None, Some("o ^/both$"))]
    #[case::pattern_and_another_alias("/both", Some("slow"), None, None)]
    #[case::nothing("/x", Some("slow"), None, None)]
    fn the_first_rule_whose_conditions_all_hold_wins(
        #[case] path: &str,
        #[case] model: Option<&str>,
        #[case] tier: Option<&'static str>,
        #[case] expected: Option<&str>,
    ) {
        let both = RouteConfig {
            alias: Some("both".into()),
            ..route("^/both$")
        };
        let rules = [
            with_header("gold", alias("fast")),
            alias("fast"),
            route("^/v1/"),
            both,
        ];
        let table = RouteTable::compile(&rules).expect("compiles");
        assert_eq!(found(&table, path, model, tier).as_deref(), expected);
    }

    #[test]
    fn a_pattern_before_an_alias_wins() {
        let table = RouteTable::compile(&[route("^/v1/"), alias("fast")]).expect("compiles");
        let found = |path| found(&table, path, Some("fast"), None);
        assert_eq!(found("/v1/x").as_deref(), Some("o ^/v1/"));
        assert_eq!(found("/x").as_deref(), Some("a fast"));
        assert!(table.serves("/v1/x") && !table.serves("/x"));
        assert_eq!(table.aliases(), ["fast"]);
    }

    #[test]
    fn every_bad_rule_is_reported() {
        let nothing = RouteConfig {
            origin: "nothing".into(),
            ..RouteConfig::default()
        };
        let mut header = with_header("x", alias("fast"));
        header.headers[0].value = ValueMatchConfig::RegularExpression("(".into());
        let rules = [
            route("("),
            route("^/ok"),
            route("a{9999999}"),
            nothing,
            header,
        ];
        let invalid = RouteTable::compile(&rules).expect_err("four are bad");
        let told: Vec<_> = invalid.iter().map(ToString::to_string).collect();
        let expected = [
            "o (: pattern",
            "o a{9999999}: pattern",
            "nothing: ",
            "a fast x: header \"x-tier\"",
        ];
        assert_eq!(told.len(), expected.len());
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
    }

    #[test]
    fn an_empty_table_matches_nothing() {
        let table = RouteTable::compile(&[]).expect("compiles");
        assert_eq!(found(&table, "/", Some("fast"), None), None);
        assert!(!table.serves("/"));
    }
}
