//! From faults to the conditions Accepted and ResolvedRefs. Pure.

use claw_crds::{
    Problem,
    condition::{ACCEPTED, Finding, RESOLVED_REFS, reason},
};

/// So many faults are told in one condition; more would hide the first.
const MOST_TOLD: usize = 5;

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The condition that it turns False.
    pub condition: &'static str,
    /// Its reason.
    pub reason: &'static str,
    /// Field, value, fault and remedy.
    pub detail: String,
}

impl Fault {
    /// A field whose value cannot work.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self {
            condition: ACCEPTED,
            reason: reason::INVALID,
            detail: detail.into(),
        }
    }
}

impl From<&Problem> for Fault {
    fn from(problem: &Problem) -> Self {
        Self {
            condition: problem.reason.condition(),
            reason: problem.reason.as_str(),
            detail: problem.detail(),
        }
    }
}

/// Whether an object's spec is right, and whether what it refers to is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The condition Accepted.
    pub accepted: Finding,
    /// The condition ResolvedRefs.
    pub resolved: Finding,
}

impl Verdict {
    /// Judge an object by what is wrong with it.
    pub fn of(faults: &[Fault]) -> Self {
        let finding = |condition, good_reason, good| {
            let mut told = faults.iter().filter(|fault| fault.condition == condition);
            match told.clone().next() {
                None => Finding::is_true(condition, good_reason, good),
                Some(first) => Finding::is_false(condition, first.reason, tell(&mut told)),
            }
        };
        Self {
            accepted: finding(ACCEPTED, reason::ACCEPTED, "the spec is valid"),
            resolved: finding(
                RESOLVED_REFS,
                reason::RESOLVED,
                "everything that the spec refers to was found",
            ),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.accepted.status == "True" && self.resolved.status == "True"
    }

    /// The first condition that is not as wished.
    pub fn first_bad(&self) -> Option<&Finding> {
        [&self.accepted, &self.resolved]
            .into_iter()
            .find(|finding| finding.status != "True")
    }
}

fn tell<'a>(faults: &mut impl Iterator<Item = &'a Fault>) -> String {
    let told: Vec<&str> = faults
        .by_ref()
        .take(MOST_TOLD)
        .map(|fault| fault.detail.as_str())
        .collect();
    let more = faults.count();
    match more {
        0 => told.join(". "),
        more => format!("{}. And {more} more", told.join(". ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(detail: &str) -> Fault {
        Fault {
            condition: RESOLVED_REFS,
            reason: reason::SECRET_NOT_FOUND,
            detail: detail.to_owned(),
        }
    }

    #[test]
    fn without_faults_both_conditions_are_true() {
        let verdict = Verdict::of(&[]);
        assert!(verdict.is_good());
        assert_eq!(verdict.first_bad(), None);
    }

    #[test]
    fn a_fault_turns_its_own_condition_only() {
        let verdict = Verdict::of(&[missing("spec.x: no Secret")]);
        assert_eq!(verdict.accepted.status, "True");
        assert_eq!(verdict.resolved.reason, reason::SECRET_NOT_FOUND);
        assert_eq!(verdict.resolved.message, "spec.x: no Secret");
        assert_eq!(verdict.first_bad(), Some(&verdict.resolved));
    }

    #[test]
    fn many_faults_are_counted() {
        let faults: Vec<Fault> = (0..7).map(|n| missing(&format!("fault {n}"))).collect();
        let message = Verdict::of(&faults).resolved.message;
        assert!(message.starts_with("fault 0. fault 1."), "{message}");
        assert!(message.ends_with("fault 4. And 2 more"), "{message}");
    }
}
