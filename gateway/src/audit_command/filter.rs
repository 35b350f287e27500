//! Which records are wanted. Pure.

use jiff::Timestamp;
use serde::Deserialize;

use crate::args::FilterArgs;

/// The wishes of a command line.
pub(super) struct Filter<'a>(pub(super) &'a FilterArgs);

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "@timestamp")]
    at: Timestamp,
    #[serde(rename = "event.action")]
    action: String,
    #[serde(rename = "user.name")]
    user: Option<String>,
    #[serde(rename = "claw.model")]
    model: Option<String>,
}

impl Filter<'_> {
    /// Whether a record is wanted. What is no record is wanted only by those who want everything.
    pub(super) fn admits(&self, line: &[u8]) -> bool {
        let FilterArgs {
            since,
            until,
            user,
            model,
            action,
        } = self.0;
        let is_open = since.is_none() && until.is_none();
        if is_open && user.is_none() && model.is_none() && action.is_none() {
            return true;
        }
        let Ok(fields) = serde_json::from_slice::<Fields>(line) else {
            return false;
        };
        let is = |wanted: &Option<String>, found: Option<&String>| {
            wanted.is_none() || wanted.as_ref() == found
        };
        since.is_none_or(|since| fields.at >= since)
            && until.is_none_or(|until| fields.at < until)
            && is(user, fields.user.as_ref())
            && is(model, fields.model.as_ref())
            && is(action, Some(&fields.action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = br#"{"@timestamp":"2026-02-03T04:05:06Z","event.action":"request","user.name":"team/a","claw.model":"tiny"}"#;

    fn admits(edit: impl FnOnce(&mut FilterArgs)) -> bool {
        let mut args = FilterArgs::default();
        edit(&mut args);
        Filter(&args).admits(LINE)
    }

    #[test]
    fn each_wish_counts() {
        let time = |text: &str| Some(text.parse().expect("a time"));
        assert!(admits(|_| ()));
        assert!(admits(|args| args.since = time("2026-02-03T04:05:06Z")));
        assert!(!admits(|args| args.since = time("2026-02-03T04:05:07Z")));
        assert!(!admits(|args| args.until = time("2026-02-03T04:05:06Z")));
        assert!(admits(|args| args.user = Some("team/a".into())));
        assert!(!admits(|args| args.user = Some("team/b".into())));
        assert!(!admits(|args| args.model = Some("large".into())));
        assert!(!admits(|args| args.action = Some("gateway-started".into())));
    }
}
