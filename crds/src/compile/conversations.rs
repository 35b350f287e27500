//! Where conversations are kept, and the keys that encrypt them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    problem::{ObjectRef, Problem, ProblemReason},
    secrets::Secrets,
};
use crate::{
    ClawGatewaySpec,
    gateway_config::{ConversationsConfig, Redacted, StateConfig},
    secret_ref::SecretValue,
};

const KEYS: &str = "spec.state.encryption.keys";
/// Of AES-256.
const KEY_BYTES: usize = 32;

/// Without the first key nothing is encrypted, lest an older key, which may be known to others, is used for what is new.
/// Without another one, what it has encrypted stays unread and the rest serves.
pub(super) fn compile(
    gateway: &ObjectRef,
    spec: &ClawGatewaySpec,
    state: &StateConfig,
    secrets: &Secrets,
    problems: &mut Vec<Problem>,
) -> ConversationsConfig {
    let Some(asked) = &spec.state else {
        return ConversationsConfig::Memory;
    };
    if let StateConfig::Unavailable { reason } = state
        && asked.encryption.is_some()
    {
        return ConversationsConfig::Unavailable {
            reason: reason.clone(),
        };
    }
    let Some(encryption) = &asked.encryption else {
        return if asked.sqlite.is_some() {
            ConversationsConfig::Stored { keys: Vec::new() }
        } else {
            ConversationsConfig::Memory
        };
    };
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for (place, value) in encryption.keys.iter().enumerate() {
        let field = format!("{KEYS}[{place}]");
        let key = key(gateway, &field, value, secrets);
        match key.and_then(|key| unique(gateway, &field, key, &mut seen)) {
            Ok(key) => keys.push(key),
            Err(problem) => {
                problems.push(problem);
                if place == 0 {
                    let reason = format!("{field} is not usable; see the gateway's status");
                    return ConversationsConfig::Unavailable { reason };
                }
            }
        }
    }
    ConversationsConfig::Stored { keys }
}

/// No message repeats the value.
fn key(
    gateway: &ObjectRef,
    field: &str,
    value: &SecretValue,
    secrets: &Secrets,
) -> Result<String, Problem> {
    let text = secrets.text(gateway, field, &value.secret_key_ref)?;
    let is_key = STANDARD
        .decode(&text)
        .is_ok_and(|bytes| bytes.len() == KEY_BYTES);
    if is_key {
        return Ok(text);
    }
    Err(invalid(
        gateway,
        field,
        "the entry is not 32 bytes in base64",
        "store what `openssl rand -base64 32` prints",
    ))
}

fn unique(
    gateway: &ObjectRef,
    field: &str,
    key: String,
    seen: &mut BTreeSet<String>,
) -> Result<Redacted, Problem> {
    if seen.insert(key.clone()) {
        return Ok(Redacted::new(key));
    }
    Err(invalid(
        gateway,
        field,
        "the entry holds the same key as one before it",
        "make a new key by `openssl rand -base64 32`, or remove this one",
    ))
}

fn invalid(gateway: &ObjectRef, field: &str, message: &str, remedy: &str) -> Problem {
    Problem::invalid(
        gateway,
        format!("{field}.secretKeyRef.key"),
        message,
        remedy,
    )
    .with_reason(ProblemReason::InvalidSecret)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{compiled, objects};
    use super::*;

    const LIMITS: &str = "limits: {requestsPerSecond: 7}";
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn compile(state: &str, token: &str) -> (ConversationsConfig, Vec<String>) {
        let objects = objects(&[(LIMITS, state), ("sk-provider\\n", token)]);
        let compilation = compiled(&objects);
        let problems = compilation.problems.iter().map(ToString::to_string);
        let problems = problems.collect();
        let config = compilation.config.expect("a configuration");
        (config.conversations, problems)
    }

    fn keys(names: &[&str]) -> String {
        let keys: Vec<_> = names
            .iter()
            .map(|name| format!("{{secretKeyRef: {{name: {name}, key: token}}}}"))
            .collect();
        format!(
            "state: {{sqlite: {{}}, encryption: {{keys: [{}]}}}}",
            keys.join(", ")
        )
    }

    #[test]
    fn without_state_and_without_a_shared_key_conversations_stay_in_memory() {
        assert_eq!(compile(LIMITS, "x").0, ConversationsConfig::Memory);
        let url = "postgres://me@db/claw";
        let postgres = "state: {postgres: {secretKeyRef: {name: provider, key: token}}}";
        assert_eq!(compile(postgres, url).0, ConversationsConfig::Memory);
    }

    #[test]
    fn a_file_has_its_own_key() {
        let stored = ConversationsConfig::Stored { keys: Vec::new() };
        assert_eq!(compile("state: {sqlite: {}}", "x"), (stored, Vec::new()));
    }

    #[test]
    fn keys_are_taken_and_never_shown() {
        let (conversations, problems) = compile(&keys(&["provider"]), KEY);
        assert_eq!(problems, Vec::<String>::new());
        assert!(!format!("{conversations:?}").contains(KEY));
        let keys = vec![Redacted::new(KEY)];
        assert_eq!(conversations, ConversationsConfig::Stored { keys });
    }

    #[test]
    fn a_first_key_that_is_none_is_told_without_its_value() {
        for text in ["c2hvcnQ=", "not-base64", &KEY[1..]] {
            let (conversations, problems) = compile(&keys(&["provider"]), text);
            let field = "spec.state.encryption.keys[0].secretKeyRef.key";
            assert!(problems[0].contains(field), "{problems:?}");
            assert!(!problems[0].contains(text), "{problems:?}");
            let ConversationsConfig::Unavailable { reason } = conversations else {
                panic!("{conversations:?}")
            };
            assert!(reason.contains("spec.state.encryption.keys[0]"), "{reason}");
        }
    }

    #[test]
    fn a_missing_older_key_leaves_the_rest_serving() {
        let (conversations, problems) = compile(&keys(&["provider", "nowhere"]), KEY);
        assert!(
            problems[0].contains("\"nowhere\": no Secret of that name"),
            "{problems:?}"
        );
        let keys = vec![Redacted::new(KEY)];
        assert_eq!(conversations, ConversationsConfig::Stored { keys });
    }

    #[test]
    fn one_key_in_two_entries_is_told() {
        let gateway = ObjectRef {
            kind: "ClawGateway".into(),
            name: "helpdesk".into(),
        };
        let mut seen = BTreeSet::new();
        let mut take = |field| unique(&gateway, field, KEY.into(), &mut seen);
        assert!(take("first").is_ok());
        let problem = take("second").expect_err("the same key").to_string();
        assert!(problem.contains("second"), "{problem}");
        assert!(!problem.contains(KEY), "{problem}");
    }
}
