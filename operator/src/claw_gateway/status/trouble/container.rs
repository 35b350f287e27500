//! Why a container does not run. Pure.
//!
//! A kubelet that tries again goes back and forth between states; what is told must not, or every turn would write a
//! status.

use claw_crds::condition::reason;
use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
};
use serde_json::Value;

use super::Trouble;
use crate::excerpt::excerpt;

pub(super) fn trouble(pod: &str, container: &ContainerStatus) -> Option<Trouble> {
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let kind = waiting.and_then(|waiting| waiting.reason.as_deref());
    match (waiting, kind) {
        (
            Some(waiting),
            Some(
                "ImagePullBackOff"
                | "ErrImagePull"
                | "InvalidImageName"
                | "ErrImageNeverPull"
                | "ImageInspectError"
                | "RegistryUnavailable",
            ),
        ) => Some(image(pod, &container.image, waiting)),
        (
            Some(waiting),
            Some("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError"),
        ) => Some(creation(pod, waiting)),
        _ => crash(pod, container),
    }
}

fn image(pod: &str, image: &str, waiting: &ContainerStateWaiting) -> Trouble {
    let said = waiting.message.as_deref().unwrap_or_default();
    // The wait repeats the failure behind this.
    let cause = said
        .split_once("ErrImagePull: ")
        .map_or(said, |(_, cause)| cause);
    Trouble {
        reason: reason::IMAGE_PULL_BACK_OFF,
        message: format!(
            "pod {pod} cannot pull image {image}: {}; check its name, and that the operator's \
             gateway.imagePullSecrets lie in this namespace",
            excerpt(cause)
        ),
        is_final: true,
    }
}

fn creation(pod: &str, waiting: &ContainerStateWaiting) -> Trouble {
    let said = waiting.message.as_deref().unwrap_or_default();
    Trouble {
        reason: reason::CREATE_CONTAINER_ERROR,
        message: format!(
            "the container of pod {pod} cannot be made: {}",
            excerpt(said)
        ),
        is_final: true,
    }
}

/// A container that ended with an error and is started again and again.
fn crash(pod: &str, container: &ContainerStatus) -> Option<Trouble> {
    let now = container.state.as_ref()?.terminated.as_ref();
    let before = || container.last_state.as_ref()?.terminated.as_ref();
    let ended = now.or_else(before).filter(|ended| ended.exit_code != 0)?;
    if container.ready || container.restart_count == 0 {
        return None;
    }
    let cause = match ended.reason.as_deref() {
        Some("OOMKilled") => "was killed for taking more than its memory limit; raise \
                              spec.resources.memory or spec.size"
            .to_owned(),
        _ => format!(
            "ended with exit code {}: {}",
            ended.exit_code,
            last_words(ended)
        ),
    };
    Some(Trouble {
        reason: reason::CRASH_LOOP_BACK_OFF,
        message: format!("the container of pod {pod} {cause}"),
        is_final: true,
    })
}

/// The last line of what the container left behind; of a log line in JSON, what it says.
fn last_words(ended: &ContainerStateTerminated) -> String {
    let text = ended.message.as_deref().unwrap_or_default();
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    let Some(line) = line else {
        return "it left no message; see kubectl logs --previous".to_owned();
    };
    let json: Option<Value> = serde_json::from_str(line).ok();
    let told = json.as_ref().and_then(|json| {
        let message = json["message"].as_str()?;
        Some(match json["error"].as_str() {
            Some(error) => format!("{message}: {error}"),
            None => message.to_owned(),
        })
    });
    excerpt(told.as_deref().unwrap_or(line))
}
