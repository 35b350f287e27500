//! The compiled routing table.

use claw_crds::gateway_config::RouteConfig;
use regex::{RegexSet, RegexSetBuilder};

/// A pattern may compile to at most this many bytes: patterns come from many hands.
const PATTERN_SIZE_LIMIT: usize = 1 << 20;
/// The whole table may.
const TABLE_SIZE_LIMIT: usize = 64 << 20;

/// The rules in order, all matched at once.
#[derive(Debug)]
pub struct RouteTable {
    patterns: RegexSet,
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it was written.
    pub origin: String,
    /// The regular expression.
    pub pattern: String,
    /// The models to try in order.
    pub targets: Vec<String>,
}

/// A rule that cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: pattern {pattern:?} is no regular expression this gateway can use")]
pub struct InvalidRoute {
    origin: String,
    pattern: String,
    source: regex::Error,
}

impl RouteTable {
    /// Compile the rules; every bad one is reported.
    pub fn compile(routes: &[RouteConfig]) -> Result<Self, Vec<InvalidRoute>> {
        let invalid: Vec<_> = routes
            .iter()
            .filter_map(|route| check(route).err())
            .collect();
        if !invalid.is_empty() {
            return Err(invalid);
        }
        let patterns = RegexSetBuilder::new(routes.iter().map(|route| &route.pattern))
            .size_limit(TABLE_SIZE_LIMIT)
            .build()
            .map_err(|source| {
                let origin = format!("the table of {} routes", routes.len());
                vec![InvalidRoute {
                    origin,
                    pattern: "(all)".into(),
                    source,
                }]
            })?;
        let rules = routes
            .iter()
            .map(|route| Rule {
                origin: route.origin.clone(),
                pattern: route.pattern.clone(),
                targets: route.targets.clone(),
            })
            .collect();
        Ok(Self { patterns, rules })
    }

    /// The first rule whose pattern is found in the path.
    pub fn find(&self, path: &str) -> Option<&Rule> {
        self.patterns
            .matches(path)
            .into_iter()
            .next()
            .map(|index| &self.rules[index])
    }

    /// All rules in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

/// Each alone first: the error of a set does not tell which pattern is at fault.
fn check(route: &RouteConfig) -> Result<(), InvalidRoute> {
    RegexSetBuilder::new([&route.pattern])
        .size_limit(PATTERN_SIZE_LIMIT)
        .build()
        .map(drop)
        .map_err(|source| InvalidRoute {
            origin: route.origin.clone(),
            pattern: route.pattern.clone(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(pattern: &str) -> RouteConfig {
        RouteConfig {
            origin: format!("o {pattern}"),
            pattern: pattern.into(),
            targets: vec![pattern.into()],
        }
    }

    #[test]
    fn the_order_of_the_rules_decides() {
        let table =
            RouteTable::compile(&[route("^/a"), route("/b$"), route("")]).expect("compiles");
        let found = |path| {
            table
                .find(path)
                .expect("the last pattern matches all")
                .pattern
                .clone()
        };
        assert_eq!(
            [found("/a/b"), found("/x/b"), found("/x")],
            ["^/a", "/b$", ""]
        );
    }

    #[test]
    fn every_bad_pattern_is_reported() {
        let invalid = RouteTable::compile(&[route("("), route("^/ok"), route("a{9999999}")])
            .expect_err("two are bad");
        let origins: Vec<_> = invalid.iter().map(|route| route.origin.as_str()).collect();
        assert_eq!(origins, ["o (", "o a{9999999}"]);
    }

    #[test]
    fn an_empty_table_matches_nothing() {
        assert!(
            RouteTable::compile(&[])
                .expect("compiles")
                .find("/")
                .is_none()
        );
    }
}
