//! `promtool`, run on rules in a folder of their own.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use claw_e2e::tools::Tool;
use libtest_mimic::Failed;
use serde_json::Value;

/// The program.
pub(crate) struct Promtool(PathBuf);

impl Promtool {
    pub(crate) fn find() -> Result<Self, Failed> {
        Ok(Self(Tool::Promtool.find_or_build(&mut |_| {})?))
    }

    /// Run scenarios, which name the rules `rules.yaml`.
    pub(crate) fn test_rules(&self, rules: &Value, scenarios: &str) -> Result<(), Failed> {
        self.run(rules, scenarios, &["test", "rules", "scenarios.yaml"])
    }

    /// Check syntax and style.
    pub(crate) fn check_rules(&self, rules: &Value) -> Result<(), Failed> {
        self.run(rules, "", &["check", "rules", "--lint=all", "rules.yaml"])
    }

    fn run(&self, rules: &Value, scenarios: &str, arguments: &[&str]) -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        // JSON is YAML.
        std::fs::write(folder.path().join("rules.yaml"), rules.to_string())?;
        std::fs::write(folder.path().join("scenarios.yaml"), scenarios)?;
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(&self.0)
            .args(arguments)
            .current_dir(folder.path())
            .output()?;
        if status.success() {
            return Ok(());
        }
        let said = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        Err(format!("promtool {arguments:?}: {status}\n{}", said.join("\n")).into())
    }
}
