//! Tests that need a real API server, on one control plane that starts with the first of them and ends with the last.
//!
//! `cargo xtask test` runs them. Plain `cargo test` lists them as ignored, since the first run builds Kubernetes.

mod admit;
mod admit_channel;
mod admit_claw_gateway;
mod admit_definitions;
mod admit_model_route;
mod charts_apply;
mod charts_life;
mod charts_notes;
mod charts_render;
mod charts_values;
mod context;
mod fixtures;
mod gateway;
mod gitops_files;
mod gitops_health;
mod gitops_restore;
mod helm;
mod hostile;
mod hostile_names;
mod hostile_owners;
mod hostile_routes;
mod loop_chat;
mod loop_edits;
mod loop_model;
mod objects;
mod operator;
mod operator_certificates;
mod operator_changes;
mod operator_children;
mod operator_describe;
mod operator_kinds;
mod operator_leader;
mod operator_references;
mod operator_rollout;
mod operator_storage;
mod operator_writes;
mod permissions;
mod programs;
mod rbac_gateway;
mod rbac_operator;
mod rbac_usage;
mod upstream;

use std::process::ExitCode;

use claw_e2e::{cluster::Kind, testing};
use context::Case;

fn main() -> ExitCode {
    testing::main(Kind::ControlPlane, cases(), programs::DIRECTORY_VARIABLE)
}

fn cases() -> Vec<Case> {
    [
        admit_definitions::cases(),
        admit_claw_gateway::cases(),
        admit_model_route::cases(),
        admit_channel::cases(),
        operator_children::cases(),
        operator_changes::cases(),
        operator_references::cases(),
        operator_describe::cases(),
        operator_writes::cases(),
        operator_rollout::cases(),
        operator_storage::cases(),
        operator_certificates::cases(),
        operator_kinds::cases(),
        operator_leader::cases(),
        loop_chat::cases(),
        loop_edits::cases(),
        loop_model::cases(),
        charts_render::cases(),
        charts_notes::cases(),
        charts_apply::cases(),
        charts_life::cases(),
        rbac_operator::cases(),
        rbac_gateway::cases(),
        gitops_files::cases(),
        gitops_health::cases(),
        gitops_restore::cases(),
        hostile_names::cases(),
        hostile_owners::cases(),
        hostile_routes::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
