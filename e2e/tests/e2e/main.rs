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
mod charts_render;
mod charts_values;
mod context;
mod fixtures;
mod gateway;
mod helm;
mod loop_chat;
mod loop_edits;
mod loop_model;
mod objects;
mod operator;
mod operator_changes;
mod operator_children;
mod operator_leader;
mod operator_references;
mod operator_writes;
mod permissions;
mod programs;
mod shared;
mod upstream;

use std::{process::ExitCode, sync::Arc};

use context::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use shared::Shared;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let shared = Arc::new(Shared::new().expect("a runtime for the tests"));
    let trials = cases()
        .into_iter()
        .map(|case| trial(case, Arc::clone(&shared)))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The last owner: ends the control plane before the process ends.
    drop(shared);
    conclusion.exit_code()
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
        operator_writes::cases(),
        operator_leader::cases(),
        loop_chat::cases(),
        loop_edits::cases(),
        loop_model::cases(),
        charts_render::cases(),
        charts_apply::cases(),
        charts_life::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn trial(case: Case, shared: Arc<Shared>) -> Trial {
    let Case {
        name,
        run,
        is_alone,
    } = case;
    let test = move || shared.run(run, is_alone).map_err(Failed::from);
    // Needs the programs of a control plane and of the project, which nobody wants built by accident: runs where
    // `cargo xtask test` says so, or with --include-ignored.
    let is_asked_for = std::env::var_os(programs::DIRECTORY_VARIABLE).is_some();
    Trial::test(name, test).with_ignored_flag(!is_asked_for)
}
