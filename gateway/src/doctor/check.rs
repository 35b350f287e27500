//! What was looked at, and what was found.

use std::fmt;

use serde::Serialize;

/// Everything that was looked at, in the order in which one thing needs the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Whether all that is needed is there.
    pub(super) usable: bool,
    pub(super) checks: Vec<Check>,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Check {
    /// What was looked at.
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    /// What was found, or what is missing.
    pub(super) found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    /// As it should be.
    Good,
    /// Not as it should be, and nothing depends on it.
    Unsure,
    /// Not there, and needed.
    Missing,
}

impl Check {
    pub(super) fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Good,
            found: found.into(),
            remedy: None,
        }
    }

    pub(super) fn unsure(
        name: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name,
            outcome: Outcome::Unsure,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    pub(super) fn missing(
        name: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            outcome: Outcome::Missing,
            ..Self::unsure(name, found, remedy)
        }
    }
}

impl Report {
    pub(super) fn new(checks: Vec<Check>) -> Self {
        Self {
            usable: checks.iter().all(|check| check.outcome != Outcome::Missing),
            checks,
        }
    }

    /// One object, with a line end.
    pub(super) fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("a report has only string keys") + "\n"
    }

    /// The first thing that is missing, which the others may follow from.
    pub(super) fn fault(&self) -> Option<String> {
        let missing = self
            .checks
            .iter()
            .find(|check| check.outcome == Outcome::Missing)?;
        Some(format!("{}: {}", missing.name, missing.found))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let Check {
                name,
                outcome,
                found,
                remedy,
            } = check;
            let mark = match outcome {
                Outcome::Good => "ok",
                Outcome::Unsure => "?",
                Outcome::Missing => "missing",
            };
            writeln!(f, "{mark:<8} {name}: {found}")?;
            if let Some(remedy) = remedy {
                writeln!(f, "{:<8} {remedy}", "")?;
            }
        }
        let verdict = if self.usable {
            "local models run on the GPU (accelerator.type Auto or Nvidia)"
        } else {
            "local models run on the CPU (accelerator.type Auto), or do not load (Nvidia)"
        };
        writeln!(f, "{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_missing_thing_is_the_fault() {
        let report = Report::new(vec![
            Check::good("driver", "560.1"),
            Check::unsure("memory", "unknown", "look"),
            Check::missing("library", "none", "install it"),
            Check::missing("more", "none", "install it, too"),
        ]);
        assert!(!report.usable);
        assert_eq!(report.fault().as_deref(), Some("library: none"));
        let text = report.to_string();
        assert!(
            text.starts_with("ok       driver: 560.1\n?        memory: unknown\n"),
            "{text}"
        );
        assert!(text.ends_with("or do not load (Nvidia)\n"), "{text}");
    }
}
