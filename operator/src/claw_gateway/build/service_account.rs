//! Who the pods are.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::object_meta;
use crate::claw_gateway::validate::ValidatedGateway;

pub(super) fn build(gateway: &ValidatedGateway) -> ServiceAccount {
    ServiceAccount {
        metadata: object_meta(gateway, gateway.name.service_account()),
        ..ServiceAccount::default()
    }
}
