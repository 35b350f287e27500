//! Tests that need containers: on one node that starts with the first of them and ends with the last.
//!
//! `cargo xtask test node` runs them, as root. Plain `cargo test` lists them as ignored.

mod autoscaling;
mod certificates;
mod edits;
mod examples;
mod faults_control_plane;
mod faults_gateway;
mod faults_operator;
mod faults_storage;
mod gateway;
mod gitops;
mod gpu;
mod image_contents;
mod images;
mod load;
mod permissions;
mod platform;
mod processes;
mod provider;
mod rollout;
mod security;
mod shop;
mod streams;
mod upgrade;
mod volume;

use std::process::ExitCode;

use claw_e2e::{cluster::Kind, testing};

fn main() -> ExitCode {
    let cases = [
        examples::cases(),
        security::cases(),
        image_contents::cases(),
        edits::cases(),
        certificates::cases(),
        gpu::cases(),
        gitops::cases(),
        autoscaling::cases(),
        faults_gateway::cases(),
        faults_operator::cases(),
        faults_storage::cases(),
        rollout::cases(),
        upgrade::cases(),
        faults_control_plane::cases(),
        permissions::cases(),
    ];
    let cases = cases.into_iter().flatten().collect();
    testing::main(Kind::Node, cases, images::OPERATOR_VARIABLE)
}
