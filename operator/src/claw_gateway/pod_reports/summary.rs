//! What several pods say, in one. Pure.

use std::collections::{BTreeMap, BTreeSet};

use claw_crds::claw_gateway::ModelDevice;

use super::{Answer, Model, Report};
use crate::excerpt::excerpt;

/// What the pods of a gateway say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Where its local models run.
    pub devices: Vec<ModelDevice>,
    /// What keeps the first pod that is not ready from it.
    pub unready: Option<String>,
    /// Whether they will say something else in a while.
    pub is_changing: bool,
}

pub(super) fn of(answers: &[Answer], local_models: &[&str]) -> Summary {
    let ready = answers.iter().filter(|answer| answer.pod.is_ready);
    let reports = ready.filter_map(|answer| answer.report.as_ref());
    let reports: Vec<&Report> = reports.collect();
    let unready = answers.iter().find_map(unready);
    let is_loading = reports
        .iter()
        .any(|report| !report.has_loaded(local_models));
    Summary {
        is_changing: unready.is_some() || is_loading,
        devices: devices(
            reports.iter().map(|report| report.models.as_slice()),
            local_models,
        ),
        unready,
    }
}

fn unready(answer: &Answer) -> Option<String> {
    // One that has got ready since it was looked at has nothing to say.
    let reason = answer.report.as_ref()?.reasons.first()?;
    let is_waiting = !answer.pod.is_ready;
    is_waiting.then(|| format!("pod {}: {}", answer.pod.name, excerpt(reason)))
}

/// One line a model of the gateway. Where pods differ, their devices stand side by side.
fn devices<'a>(
    answers: impl Iterator<Item = &'a [Model]>,
    local_models: &[&str],
) -> Vec<ModelDevice> {
    let mut models: BTreeMap<&str, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    // Remote models run elsewhere; others are not this gateway's, whatever a pod says.
    let told = answers
        .flatten()
        .filter(|model| local_models.contains(&model.name.as_str()));
    for model in told {
        let (devices, reasons) = models.entry(&model.name).or_default();
        devices.insert(excerpt(model.device.as_deref().unwrap_or("None")));
        reasons.extend(reason(model));
    }
    models
        .into_iter()
        .map(|(model, (devices, reasons))| ModelDevice {
            model: model.to_owned(),
            device: joined(devices, "; "),
            reason: Some(joined(reasons, "; ")).filter(|reason| !reason.is_empty()),
        })
        .collect()
}

/// Why it runs where it does; or what became of it so far.
fn reason(model: &Model) -> Option<String> {
    if model.device.is_some() {
        return model.reason.as_deref().map(excerpt);
    }
    let details = [model.progress.as_deref(), model.reason.as_deref()];
    let words = std::iter::once(model.state.as_str()).chain(details.into_iter().flatten());
    Some(excerpt(&joined(words, ", ")))
}

fn joined<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, separator: &str) -> String {
    let mut whole = String::new();
    for text in texts {
        if !whole.is_empty() {
            whole.push_str(separator);
        }
        whole.push_str(text.as_ref());
    }
    whole
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{super::Asked, *};

    fn model(name: &str, device: Option<&str>, reason: Option<&str>) -> Model {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Model {
            name: name.to_owned(),
            state: "ready".to_owned(),
            device: owned(device),
            reason: owned(reason),
            progress: None,
        }
    }

    fn answer(name: &str, is_ready: bool, reasons: &[&str]) -> Answer {
        Answer {
            pod: Asked {
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                is_ready,
                address: "10.0.0.1".parse().expect("an address"),
            },
            at: Instant::now(),
            report: Some(Report {
                reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
                models: vec![model("parrot", Some("Cpu"), None)],
            }),
        }
    }

    #[test]
    fn pods_that_agree_make_one_line_and_others_stand_side_by_side() {
        let first = [
            model("parrot", Some("Cpu"), Some("no GPU was found")),
            model("oracle", None, None),
        ];
        let second = [model("parrot", Some("Cuda"), None)];
        let parrot = ModelDevice {
            model: "parrot".into(),
            device: "Cpu".into(),
            reason: Some("no GPU was found".into()),
        };
        assert_eq!(
            devices([&first[..], &first[..]].into_iter(), &["parrot"]),
            [parrot]
        );
        let merged = devices([&first[..], &second[..]].into_iter(), &["parrot"]);
        assert_eq!(merged[0].device, "Cpu; Cuda");
    }

    #[test]
    fn a_model_that_does_not_load_tells_why() {
        let mut answer = answer("a", true, &[]);
        let parrot = std::slice::from_ref(&answer);
        assert!(!of(parrot, &["parrot"]).is_changing);
        assert!(of(parrot, &["parrot", "huge"]).is_changing, "not yet seen");
        let huge = Model {
            state: "failed".to_owned(),
            progress: Some("attempt 2 failed".to_owned()),
            ..model("huge", None, Some("no room"))
        };
        answer.report.as_mut().expect("made").models.push(huge);
        let summary = of(&[answer], &["parrot", "huge"]);
        let huge = &summary.devices[0];
        assert_eq!(
            (huge.model.as_str(), huge.device.as_str()),
            ("huge", "None")
        );
        assert_eq!(
            huge.reason.as_deref(),
            Some("failed, attempt 2 failed, no room")
        );
        assert!(summary.is_changing);
    }

    #[test]
    fn the_first_pod_that_waits_tells_why() {
        let mut silent = answer("b", false, &[]);
        silent.report = None;
        let answers = [
            answer("a", true, &["stale"]),
            silent,
            answer("c", false, &["model parrot is fetching", "another"]),
            answer("d", false, &["the same"]),
        ];
        let summary = of(&answers, &["parrot"]);
        assert_eq!(
            summary.unready.as_deref(),
            Some("pod c: model parrot is fetching")
        );
        assert_eq!(summary.devices.len(), 1, "of pods that serve");
        assert_eq!(of(&answers[..2], &["parrot"]).unready, None);
    }
}
