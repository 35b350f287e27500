//! Where models are kept.

use claw_crds::{
    ClawGatewaySpec,
    claw_gateway::{AccessMode, WhenDeleted},
    quantity::Quantity,
};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::pod::quantity;
use crate::{claw_gateway::verdict::Fault, quantity::nano};

/// Where models are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidatedStorage {
    /// On the node, as long as the pod is there; at most so much.
    Node(String),
    /// In a claim.
    Claim(ValidatedClaim),
}

/// The claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedClaim {
    /// How much.
    pub size: String,
    /// The StorageClass; the cluster's default when absent.
    pub storage_class: Option<String>,
    /// As Kubernetes spells it.
    pub access_mode: &'static str,
    /// It outlives the gateway.
    pub is_kept: bool,
    /// A database file lies in it, which no two nodes may open.
    pub holds_database: bool,
}

impl ValidatedStorage {
    /// Whether two pods may use it at a time.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Node(_) => true,
            Self::Claim(claim) => {
                claim.access_mode == AccessMode::ReadWriteMany.as_str() && !claim.holds_database
            }
        }
    }
}

pub(super) fn validate(
    spec: &ClawGatewaySpec,
    live: Option<&PersistentVolumeClaim>,
) -> Result<ValidatedStorage, Fault> {
    let storage = spec.storage.as_ref();
    let size = quantity(
        "spec.storage.size",
        storage.and_then(|storage| storage.size.as_ref()),
        spec.size.defaults().storage,
    )?;
    let Some(claim) = storage.and_then(|storage| storage.persistent_volume_claim.as_ref()) else {
        return Ok(ValidatedStorage::Node(size));
    };
    Ok(ValidatedStorage::Claim(ValidatedClaim {
        // Asking for less would be refused, and with it everything else that changed.
        size: live_size(live)
            .filter(|live| nano(live) > nano(&size))
            .unwrap_or(size),
        storage_class: claim.storage_class_name.clone(),
        access_mode: claim.access_mode.as_str(),
        is_kept: claim.when_deleted == WhenDeleted::Retain,
        holds_database: spec.remembers_in_a_file(),
    }))
}

/// What is to be told where the claim stays larger than the spec says: another size of the gateway can ask for that.
pub(super) fn shrunk(spec: &ClawGatewaySpec, storage: &ValidatedStorage) -> Option<Fault> {
    let ValidatedStorage::Claim(claim) = storage else {
        return None;
    };
    let wanted = spec
        .storage
        .as_ref()
        .and_then(|storage| storage.size.as_ref());
    let wanted = wanted.map_or_else(|| spec.size.defaults().storage, Quantity::as_str);
    (nano(wanted) < nano(&claim.size)).then(|| {
        Fault::invalid(format!(
            "spec.storage.size {wanted:?}: the claim has {} and cannot shrink, so it is kept as it is; set \
             spec.storage.size to {} or more",
            claim.size, claim.size
        ))
    })
}

fn live_size(live: Option<&PersistentVolumeClaim>) -> Option<String> {
    let requests = live?.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    Some(requests.get("storage")?.0.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(size: &str) -> ClawGatewaySpec {
        serde_json::from_value(json!({
            "models": [], "auth": {"anonymous": {}}, "storage": {"size": size, "persistentVolumeClaim": {}},
        }))
        .expect("a spec")
    }

    fn live(size: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({"spec": {"resources": {"requests": {"storage": size}}}}))
            .expect("a claim")
    }

    fn judged(wanted: &str, live_size: &str) -> (String, Option<Fault>) {
        let spec = spec(wanted);
        let storage = validate(&spec, Some(&live(live_size))).expect("valid");
        let fault = shrunk(&spec, &storage);
        let ValidatedStorage::Claim(claim) = storage else {
            unreachable!("a claim is wanted")
        };
        (claim.size, fault)
    }

    #[test]
    fn a_claim_grows() {
        assert_eq!(judged("2Gi", "1Gi"), ("2Gi".to_owned(), None));
        assert_eq!(judged("1024Mi", "1Gi"), ("1024Mi".to_owned(), None));
    }

    #[test]
    fn a_claim_that_would_shrink_stays_and_that_is_told() {
        let (size, fault) = judged("1Gi", "2Gi");
        assert_eq!(size, "2Gi");
        let fault = fault.expect("told").detail;
        assert!(fault.starts_with("spec.storage.size \"1Gi\""), "{fault}");
    }

    #[test]
    fn a_claim_that_no_two_pods_may_use_is_not_shared() {
        let storage = validate(&spec("1Gi"), None).expect("valid");
        assert!(!storage.is_shared());
        assert!(ValidatedStorage::Node("1Gi".into()).is_shared());
    }

    #[test]
    fn a_claim_with_a_database_in_it_is_not_shared() {
        let shared = |limits: serde_json::Value, state: serde_json::Value| {
            let mut spec = spec("1Gi");
            let claim = json!({"persistentVolumeClaim": {"accessMode": "ReadWriteMany"}});
            spec.storage = serde_json::from_value(claim).expect("storage");
            spec.limits = serde_json::from_value(limits).expect("limits");
            spec.state = serde_json::from_value(state).expect("state");
            validate(&spec, None).expect("valid").is_shared()
        };
        let limits = json!({"tokensPerDay": 1});
        assert!(shared(json!({"requestsPerSecond": 1}), json!(null)));
        assert!(!shared(limits.clone(), json!(null)));
        let postgres = json!({"postgres": {"secretKeyRef": {"name": "db", "key": "url"}}});
        assert!(shared(limits, postgres));
    }
}
