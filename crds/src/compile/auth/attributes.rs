//! What the annotations of a Secret say of the API keys in it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::{compile::ranges, gateway_config::GrantConfig};

/// Every annotation that begins with it is about the keys.
const PREFIX: &str = "keys.claw.dev/";
/// More of one thing is a mistake.
const MOST_ENTRIES: usize = 64;

const MOST_LIMIT: u64 = 1_000_000_000_000;
const MOST_STREAMS: u32 = 1_000_000;

/// An annotation that cannot be followed. Its keys admit nobody: without it they could do more than was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InvalidAttribute {
    pub(super) annotation: String,
    pub(super) value: String,
    pub(super) message: String,
    pub(super) remedy: &'static str,
}

/// What the keys of a Secret with these annotations may do.
pub(super) fn parse(
    annotations: &BTreeMap<String, String>,
) -> Result<GrantConfig, InvalidAttribute> {
    let mut grant = GrantConfig::default();
    for (annotation, value) in annotations {
        let Some(name) = annotation.strip_prefix(PREFIX) else {
            continue;
        };
        let invalid = |(message, remedy): (String, &'static str)| InvalidAttribute {
            annotation: annotation.clone(),
            value: value.clone(),
            message,
            remedy,
        };
        match name {
            "owner" => grant.owner = Some(owner(value).map_err(invalid)?),
            "expires" => grant.expires = Some(expires(value).map_err(invalid)?),
            "allowed-models" => grant.models = Some(entries(value).map_err(invalid)?),
            "allowed-paths" => grant.paths = Some(paths(value).map_err(invalid)?),
            "allowed-cidrs" => grant.cidrs = Some(cidrs(value).map_err(invalid)?),
            "requests-per-minute" => {
                grant.limits.requests_per_minute = Some(limit(value).map_err(invalid)?);
            }
            "tokens-per-minute" => {
                grant.limits.tokens_per_minute = Some(limit(value).map_err(invalid)?);
            }
            "tokens-per-day" => grant.limits.tokens_per_day = Some(limit(value).map_err(invalid)?),
            "tokens-per-month" => {
                grant.limits.tokens_per_month = Some(limit(value).map_err(invalid)?);
            }
            "concurrent-streams" => {
                grant.limits.concurrent_streams = Some(streams(value).map_err(invalid)?);
            }
            _ => {
                let message = "there is no such attribute of a key".to_owned();
                return Err(invalid((
                    message,
                    "use owner, expires, allowed-models, allowed-paths, allowed-cidrs, requests-per-minute, \
                     tokens-per-minute, tokens-per-day, tokens-per-month or concurrent-streams",
                )));
            }
        }
    }
    Ok(grant)
}

type Parsed<T> = Result<T, (String, &'static str)>;

fn owner(value: &str) -> Parsed<String> {
    let owner = value.trim();
    if (1..=128).contains(&owner.len()) && !owner.chars().any(char::is_control) {
        Ok(owner.to_owned())
    } else {
        let message = "it is empty, too long or holds control characters".to_owned();
        Err((message, "name a person or a team in at most 128 bytes"))
    }
}

fn expires(value: &str) -> Parsed<jiff::Timestamp> {
    value.trim().parse().map_err(|_| {
        let message = "it is not a time with its zone".to_owned();
        (
            message,
            "write it as in RFC 3339, e.g. 2027-01-31T00:00:00Z",
        )
    })
}

/// Separated by commas or white space.
fn entries(value: &str) -> Parsed<BTreeSet<String>> {
    let entries: BTreeSet<String> = value
        .split(|separator: char| separator == ',' || separator.is_whitespace())
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect();
    if entries.is_empty() || entries.len() > MOST_ENTRIES {
        let message = format!("it has {} entries", entries.len());
        return Err((message, "give 1 to 64, separated by commas"));
    }
    Ok(entries)
}

fn paths(value: &str) -> Parsed<BTreeSet<String>> {
    let paths = entries(value)?;
    match paths.iter().find(|path| !is_path(path)) {
        None => Ok(paths),
        Some(path) => {
            let message = format!("{path:?} is not a path");
            Err((
                message,
                "begin each with /, and use * at the end only, e.g. /v1/*",
            ))
        }
    }
}

fn is_path(path: &str) -> bool {
    let fixed = path.strip_suffix('*').unwrap_or(path);
    fixed.starts_with('/') && !fixed.contains('*')
}

fn cidrs(value: &str) -> Parsed<BTreeSet<IpNet>> {
    entries(value)?
        .iter()
        .map(|entry| {
            ranges::parse(entry).map_err(|message| {
                (
                    format!("{entry:?}: {message}"),
                    "give ranges such as 10.0.0.0/8",
                )
            })
        })
        .collect()
}

/// As the schema has it for the limits of everybody.
fn limit(value: &str) -> Parsed<u64> {
    match value.trim().parse() {
        Ok(limit) if (1..=MOST_LIMIT).contains(&limit) => Ok(limit),
        _ => Err((
            "it is not a whole number from 1 to a million millions".to_owned(),
            "write it in digits, e.g. 100000",
        )),
    }
}

fn streams(value: &str) -> Parsed<u32> {
    match value.trim().parse() {
        Ok(limit) if (1..=MOST_STREAMS).contains(&limit) => Ok(limit),
        _ => Err((
            "it is not a whole number from 1 to a million".to_owned(),
            "write it in digits, e.g. 8",
        )),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::gateway_config::BudgetConfig;

    fn annotated(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn every_attribute_is_read_and_foreign_annotations_are_not() {
        let grant = parse(&annotated(&[
            ("keys.claw.dev/owner", " team web "),
            ("keys.claw.dev/expires", "2027-01-31T00:00:00+01:00"),
            ("keys.claw.dev/allowed-models", "small, gpt-4o\nbig"),
            ("keys.claw.dev/allowed-paths", "/v1/*,/ask"),
            ("keys.claw.dev/allowed-cidrs", "10.0.0.0/8 fd00::/8"),
            ("keys.claw.dev/requests-per-minute", "60"),
            ("keys.claw.dev/tokens-per-minute", " 70 "),
            ("keys.claw.dev/tokens-per-day", "80"),
            ("keys.claw.dev/tokens-per-month", "1000000000000"),
            ("keys.claw.dev/concurrent-streams", "4"),
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
        ]))
        .expect("valid");
        assert_eq!(grant.owner.as_deref(), Some("team web"));
        assert_eq!(grant.expires, "2027-01-30T23:00:00Z".parse().ok());
        assert_eq!(grant.models.map(|models| models.len()), Some(3));
        assert_eq!(grant.paths.map(|paths| paths.len()), Some(2));
        assert_eq!(grant.cidrs.map(|cidrs| cidrs.len()), Some(2));
        let limits = BudgetConfig {
            requests_per_minute: Some(60),
            tokens_per_minute: Some(70),
            tokens_per_day: Some(80),
            tokens_per_month: Some(1_000_000_000_000),
            concurrent_streams: Some(4),
            ..BudgetConfig::default()
        };
        assert_eq!(grant.limits, limits);
        assert!(parse(&annotated(&[])).expect("valid").is_default());
    }

    #[rstest]
    #[case("owner", "")]
    #[case("expires", "2027-01-31")]
    #[case("expires", "tomorrow")]
    #[case("allowed-models", " , ")]
    #[case("allowed-paths", "v1/models")]
    #[case("allowed-paths", "/v1/*/x")]
    #[case("allowed-cidrs", "10.0.0.1")]
    #[case("allowed-cidrs", "10.0.0.1/8")]
    #[case("allowed-model", "small")]
    #[case("tokens-per-day", "0")]
    #[case("tokens-per-day", "many")]
    #[case("tokens-per-month", "1000000000001")]
    #[case("requests-per-minute", "-1")]
    #[case("concurrent-streams", "1.5")]
    #[case("Expires", "2027-01-31T00:00:00Z")]
    fn what_cannot_be_followed_is_refused_by_name(#[case] name: &str, #[case] value: &str) {
        let annotation = format!("{PREFIX}{name}");
        let invalid = parse(&annotated(&[(&annotation, value)])).expect_err(name);
        assert_eq!(
            (invalid.annotation, invalid.value),
            (annotation, value.to_owned())
        );
    }
}
