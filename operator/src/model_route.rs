//! `ModelRoute`: its status while no gateway speaks for it.

use claw_crds::{ModelRoute, ModelRouteStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    attachment::Attachment,
    cache::Cache,
    world::{Guarded, World},
};

impl Attachment for ModelRoute {
    fn cache(world: &World) -> &Cache<Guarded<Self>> {
        &world.routes
    }

    fn gateway(&self) -> &str {
        &self.spec.gateway_ref.name
    }

    fn detached_status(&self, conditions: Vec<Condition>) -> ModelRouteStatus {
        ModelRouteStatus {
            observed_generation: self.metadata.generation,
            conditions,
            routes: 0,
        }
    }
}
