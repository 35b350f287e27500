//! What the claims of a token say of its caller, and what they must say. Pure.

use std::collections::BTreeSet;

use claw_crds::gateway_config::{ClaimRule, ClaimTest, ClaimsConfig, GrantConfig};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::token_fault::TokenFault;

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// A longer name is none.
const LONGEST_NAME: usize = 256;
/// Times from then on are no times (year 9999).
const LATEST: f64 = 253_402_300_799.0;

/// The caller's name and what it may do, of claims that are believed. `usual` are the claims with the name where the
/// configuration says nothing; the first that is there counts.
pub(super) fn check(
    config: &ClaimsConfig,
    claims: &Claims,
    usual: &[&str],
) -> Result<(String, GrantConfig), TokenFault> {
    if let Some(rule) = config.required.iter().find(|rule| !holds(rule, claims)) {
        return Err(TokenFault::Claim(rule.claim.as_str().into()));
    }
    let configured = config.name.as_deref();
    let names = configured.as_ref().map_or(usual, std::slice::from_ref);
    let missing = || TokenFault::Claim(names.first().copied().unwrap_or_default().into());
    let name = names
        .iter()
        .find_map(|claim| find(claims, claim))
        .and_then(Value::as_str)
        .filter(|name| is_name(name))
        .ok_or_else(missing)?;
    let listed = |claim: &Option<String>| {
        let words = claim.as_ref().map(|claim| words(find(claims, claim)))?;
        Some(
            words
                .into_iter()
                .map(str::to_owned)
                .collect::<BTreeSet<_>>(),
        )
    };
    let grant = GrantConfig {
        models: listed(&config.models),
        paths: listed(&config.paths),
        ..GrantConfig::default()
    };
    Ok((name.to_owned(), grant))
}

/// Whether `aud` names one of these.
pub(super) fn is_for(claims: &Claims, audiences: &BTreeSet<String>) -> bool {
    let named = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    named.iter().any(|audience| audiences.contains(*audience))
}

/// Absent is fine, anything but a time is not. In seconds of Unix time.
pub(super) fn time(claims: &Claims, name: &'static str) -> Result<Option<f64>, TokenFault> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|time| (0.0..LATEST).contains(time))
            .map(Some)
            .ok_or_else(|| TokenFault::Claim(name.into())),
    }
}

/// From seconds of Unix time.
pub(super) fn timestamp(seconds: f64) -> Option<Timestamp> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fraction does not matter, and what is out of range is no time"
    )]
    Timestamp::from_second(seconds as i64).ok()
}

fn holds(rule: &ClaimRule, claims: &Claims) -> bool {
    let Some(value) = find(claims, &rule.claim) else {
        return false;
    };
    match &rule.test {
        ClaimTest::Equals(wanted) => text(value).as_ref() == Some(wanted),
        ClaimTest::OneOf(wanted) => text(value).is_some_and(|text| wanted.contains(&text)),
        ClaimTest::Contains(wanted) => match value {
            Value::Array(values) => values
                .iter()
                .any(|value| text(value).as_ref() == Some(wanted)),
            Value::String(text) => text.split_whitespace().any(|word| word == wanted),
            _ => false,
        },
    }
}

/// By name, or by a JSON pointer; names of claims are often URLs, but none begins with a slash.
fn find<'a>(claims: &'a Claims, claim: &str) -> Option<&'a Value> {
    let Some(pointer) = claim.strip_prefix('/') else {
        return claims.get(claim);
    };
    let (first, rest) = pointer
        .split_once('/')
        .map_or((pointer, None), |(first, rest)| (first, Some(rest)));
    let value = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
    rest.map_or(Some(value), |rest| value.pointer(&format!("/{rest}")))
}

/// What a value is compared as.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_true) => Some(is_true.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Of a text, or of all texts of a list.
fn words(value: Option<&Value>) -> Vec<&str> {
    let texts = match value {
        Some(Value::String(text)) => vec![text.as_str()],
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    texts.into_iter().flat_map(str::split_whitespace).collect()
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn claims(value: &Value) -> Claims {
        value.as_object().expect("an object").clone()
    }

    fn equals(value: &str) -> ClaimTest {
        ClaimTest::Equals(value.into())
    }

    fn contains(value: &str) -> ClaimTest {
        ClaimTest::Contains(value.into())
    }

    fn one_of(values: &[&str]) -> ClaimTest {
        ClaimTest::OneOf(values.iter().map(ToString::to_string).collect())
    }

    #[rstest]
    #[case("tenant", equals("shop"), json!({"tenant": "shop"}), true)]
    #[case("tenant", equals("shop"), json!({"tenant": "Shop"}), false)]
    #[case("tenant", equals("shop"), json!({"tenant": ["shop"]}), false)]
    #[case("tenant", equals("shop"), json!({"tenant": null}), false)]
    #[case("tenant", equals("shop"), json!({}), false)]
    #[case("verified", equals("true"), json!({"verified": true}), true)]
    #[case("level", equals("3"), json!({"level": 3}), true)]
    #[case("role", one_of(&["a", "b"]), json!({"role": "b"}), true)]
    #[case("role", one_of(&["a", "b"]), json!({"role": "c"}), false)]
    #[case("role", one_of(&["a", "b"]), json!({"role": ["a"]}), false)]
    #[case("groups", contains("chat"), json!({"groups": ["mail", "chat"]}), true)]
    #[case("groups", contains("chat"), json!({"groups": ["chatter"]}), false)]
    #[case("scope", contains("chat"), json!({"scope": "openid chat"}), true)]
    #[case("scope", contains("chat"), json!({"scope": "openid chats"}), false)]
    #[case("/realm_access/roles", contains("chat"), json!({"realm_access": {"roles": ["chat"]}}), true)]
    #[case("/realm_access/roles", contains("chat"), json!({"/realm_access/roles": "chat"}), false)]
    #[case("/a~1b/~0c", equals("x"), json!({"a/b": {"~c": "x"}}), true)]
    #[case("https://corp.example/role", equals("chat"), json!({"https://corp.example/role": "chat"}), true)]
    fn rules_are_held_against_what_a_token_says(
        #[case] claim: &str,
        #[case] test: ClaimTest,
        #[case] says: Value,
        #[case] expected: bool,
    ) {
        let config = ClaimsConfig {
            required: vec![ClaimRule {
                claim: claim.into(),
                test,
            }],
            ..ClaimsConfig::default()
        };
        let mut says = claims(&says);
        says.insert("sub".into(), "ada".into());
        let outcome = check(&config, &says, &["sub"]);
        let fault = TokenFault::Claim(claim.into());
        assert_eq!(
            outcome.map(|(name, _)| name),
            expected.then(|| "ada".to_owned()).ok_or(fault)
        );
    }

    #[rstest]
    #[case(None, json!({"sub": "ada", "client_id": "app"}), Some("ada"))]
    #[case(None, json!({"client_id": "app"}), Some("app"))]
    #[case(None, json!({"sub": "", "client_id": "app"}), None)]
    #[case(None, json!({"sub": 7}), None)]
    #[case(None, json!({"sub": "ada\nroot"}), None)]
    #[case(Some("email"), json!({"sub": "ada", "email": "ada@example.com"}), Some("ada@example.com"))]
    #[case(Some("email"), json!({"sub": "ada"}), None)]
    fn a_caller_has_a_name(
        #[case] claim: Option<&str>,
        #[case] says: Value,
        #[case] expected: Option<&str>,
    ) {
        let config = ClaimsConfig {
            name: claim.map(str::to_owned),
            ..ClaimsConfig::default()
        };
        let found = check(&config, &claims(&says), &["sub", "client_id"]).ok();
        assert_eq!(found.map(|(name, _)| name).as_deref(), expected);
    }

    #[rstest]
    #[case(json!({"m": "small big"}), &["big", "small"])]
    #[case(json!({"m": ["small", "big"]}), &["big", "small"])]
    #[case(json!({"m": 7}), &[])]
    #[case(json!({}), &[])]
    fn what_a_caller_may_use_is_listed_and_nothing_else(
        #[case] says: Value,
        #[case] expected: &[&str],
    ) {
        let config = ClaimsConfig {
            models: Some("m".into()),
            paths: Some("m".into()),
            ..ClaimsConfig::default()
        };
        let mut says = claims(&says);
        says.insert("sub".into(), "ada".into());
        let (_, grant) = check(&config, &says, &["sub"]).expect("a caller");
        for listed in [grant.models, grant.paths] {
            let listed: Vec<_> = listed.expect("a list").into_iter().collect();
            assert_eq!(listed, expected);
        }
    }
}
