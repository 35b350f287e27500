//! Where the project's own programs lie.

use std::path::PathBuf;

/// Set by `cargo xtask test`, which builds the programs first.
pub(crate) const DIRECTORY_VARIABLE: &str = "CLAW_BIN_DIR";

/// The path of a program: from the variable's directory, else where cargo puts programs beside these tests.
pub(crate) fn path(name: &str) -> PathBuf {
    let given = std::env::var_os(DIRECTORY_VARIABLE).map(PathBuf::from);
    let directory = given.unwrap_or_else(|| {
        // target/debug/deps/e2e-0123456789abcdef
        let own = std::env::current_exe().expect("a test knows where it is");
        let parents = own
            .ancestors()
            .nth(2)
            .expect("tests lie in target/debug/deps");
        parents.to_owned()
    });
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "{} does not exist: run `cargo build --bins`, or set {DIRECTORY_VARIABLE}",
        path.display()
    );
    path
}
