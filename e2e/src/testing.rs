//! What test programs share: cases with a namespace each, on one cluster that all of them use.

mod context;
mod objects;
mod shared;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Failed, Trial};

pub use context::{Case, Context, DEADLINE, Run};
pub use objects::{Kind, holds};
use shared::Shared;

use crate::cluster::Kind as ClusterKind;

/// Run the cases as a test program does. They need programs that nobody wants built by accident, and so are ignored
/// unless `cargo xtask test`, which sets the variable, or --include-ignored asks for them.
pub fn main(kind: ClusterKind, cases: Vec<Case>, variable: &str) -> ExitCode {
    let arguments = Arguments::from_args();
    let shared = Arc::new(Shared::new(kind).expect("a runtime for the tests"));
    let is_asked_for = std::env::var_os(variable).is_some();
    let trials = cases
        .into_iter()
        .map(|case| trial(case, Arc::clone(&shared)).with_ignored_flag(!is_asked_for))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The last owner: ends the cluster before the process ends.
    drop(shared);
    conclusion.exit_code()
}

fn trial(case: Case, shared: Arc<Shared>) -> Trial {
    let Case {
        name,
        run,
        is_alone,
    } = case;
    let test = move || shared.run(run, is_alone).map_err(Failed::from);
    Trial::test(name, test)
}

/// The functions named, as cases called `module::function`.
#[macro_export]
macro_rules! cases {
    ($($test:ident),+ $(,)?) => {
        vec![$($crate::testing::Case::of(module_path!(), stringify!($test), $test)),+]
    };
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
