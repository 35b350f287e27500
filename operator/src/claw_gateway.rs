//! `ClawGateway`: dereference, validate, build, apply, status, in this order.

pub mod apply;
pub mod build;
pub mod certificates;
pub mod dereference;
pub mod live;
mod pod_life;
pub mod pod_reports;
pub mod resources;
pub mod status;
pub mod validate;
pub mod verdict;

use std::{sync::Arc, time::Duration};

use claw_crds::ClawGateway;
use dereference::Dereferenced;
use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};

use crate::{context::Context, error::Label, world::Guarded};

/// A pod that waits for something, or loads a model, is asked again after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Why a reconcile did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading what the gateway refers to.
    #[error("failed to read what the gateway refers to")]
    Dereference(#[source] dereference::Error),
    /// Writing the children.
    #[error("failed to bring the gateway's objects up to date")]
    Apply(#[source] apply::Error),
    /// Writing a status.
    #[error("failed to report the gateway's state")]
    Status(#[source] crate::report::Error),
}

impl Label for Error {
    fn label(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "Dereference",
            Self::Apply(_) => "Apply",
            Self::Status(_) => "Status",
        }
    }
}

/// Bring one gateway up to date.
pub async fn reconcile(
    gateway: Arc<Guarded<ClawGateway>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    if !context.world.wait_until_ready().await {
        return Ok(Action::await_change());
    }
    let namespace = gateway.namespace().unwrap_or_default();
    // The watch may lag behind our own last write.
    let cached = context.world.gateways.get(&namespace, &gateway.name_any());
    let gateway = match &cached.unwrap_or(gateway).0 {
        Ok(gateway) if gateway.metadata.deletion_timestamp.is_none() => gateway.clone(),
        // Garbage collection takes the children by their owner references.
        Ok(_) => return Ok(Action::await_change()),
        Err(unreadable) => {
            let written = status::write_unreadable(&context, unreadable).await;
            return written
                .map(|()| Action::await_change())
                .map_err(Error::Status);
        }
    };
    let now = Timestamp::now();

    let dereferenced = dereference::dereference(gateway, &context)
        .await
        .map_err(Error::Dereference)?;
    let validated = validate::validate(&dereferenced, &context.environment, now);
    let requested = match validated.owner.as_ref() {
        Some(owner) => {
            apply::request_certificate(owner, validated.issuance.as_ref(), &context).await
        }
        None => Ok(()),
    };
    let applied = match &validated.gateway {
        Some(gateway) => {
            let resources = build::build(gateway);
            // On the heap: the children of a gateway are many.
            Some(Box::pin(apply::apply(resources, gateway, &context)).await)
        }
        None => None,
    };
    let reports = reports_of(&dereferenced, &context).await;
    let is_changing = reports.is_changing;
    let written = status::Written {
        request: requested.as_ref(),
        children: applied.as_ref(),
    };
    let outcome = status::Outcome::new(&dereferenced, &validated, written, reports);
    status::write(&context, &outcome, now)
        .await
        .map_err(Error::Status)?;

    requested.map_err(Error::Apply)?;
    if let Some(Err(error)) = applied {
        return Err(Error::Apply(error));
    }
    Ok(next(validated.renew_at, is_changing, now))
}

async fn reports_of(read: &Dereferenced, context: &Context) -> pod_reports::Summary {
    let models = read.gateway.spec.models.iter();
    let local: Vec<&str> = models
        .filter(|model| model.local.is_some())
        .map(|model| model.name.as_str())
        .collect();
    let (namespace, name) = (&read.namespace, read.gateway.name_any());
    let reports = &context.pod_reports;
    reports.of(namespace, &name, &read.pods, &local).await
}

/// Certificates, and what pods say of themselves, change without an event.
fn next(renew_at: Option<Timestamp>, is_changing: bool, now: Timestamp) -> Action {
    let renewal = renew_at.map(|renew_at| {
        let wait = Duration::try_from(renew_at - now.min(renew_at)).unwrap_or_default();
        wait.max(Duration::from_secs(1))
    });
    let look = is_changing.then_some(LOOK_AGAIN);
    let next = renewal.into_iter().chain(look).min();
    next.map_or_else(Action::await_change, Action::requeue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_gateway_is_looked_at_again_when_its_certificate_is_due() {
        let minute = Action::requeue(Duration::from_mins(1));
        assert_eq!(next(Some(at(160)), false, at(100)), minute);
        assert_eq!(next(None, false, at(100)), Action::await_change());
    }

    #[test]
    fn a_certificate_that_is_overdue_makes_no_busy_loop() {
        let second = Action::requeue(Duration::from_secs(1));
        assert_eq!(next(Some(at(10)), false, at(100)), second);
    }

    #[test]
    fn a_gateway_whose_pods_wait_is_looked_at_again_soon() {
        let soon = Action::requeue(LOOK_AGAIN);
        assert_eq!(next(None, true, at(100)), soon);
        assert_eq!(next(Some(at(100_000)), true, at(100)), soon);
    }
}
