//! `helm`, as a user runs it, with files of its own, and the project's charts.

use std::path::{Path, PathBuf};

use claw_e2e::tools::Tool;
use serde_json::Value;
use tokio::process::Command;

use crate::context::Context;

/// `helm` with the administrator's kubeconfig, in the test's namespace.
pub(crate) struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
    directory: PathBuf,
}

impl Helm {
    pub(crate) fn of(context: &Context) -> Self {
        let program = Tool::Helm.find_or_build(&mut |_| ()).expect("helm");
        Self {
            program,
            kubeconfig: context.cluster.kubeconfig().to_owned(),
            namespace: context.namespace.clone(),
            directory: context.directory(),
        }
    }

    /// Run a command with values; gives standard output, or standard error where it failed.
    pub(crate) async fn run<const N: usize>(
        &self,
        arguments: [&str; N],
        values: &Value,
    ) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new_in(&self.directory).expect("writable");
        std::fs::write(file.path(), values.to_string()).expect("writable");
        let mut command = Command::new(&self.program);
        command.args(arguments);
        if arguments[0] != "uninstall" && arguments[0] != "rollback" {
            command.arg("--values").arg(file.path());
        }
        let output = command
            .args(["--namespace", &self.namespace])
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            // Nothing of the user's own Helm, and nothing left behind in it.
            .env("HELM_CACHE_HOME", self.directory.join("helm-cache"))
            .env("HELM_CONFIG_HOME", self.directory.join("helm-config"))
            .env("HELM_DATA_HOME", self.directory.join("helm-data"))
            .kill_on_drop(true)
            .output()
            .await
            .expect("helm starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// The objects of the operator's chart.
    pub(crate) async fn render(&self, release: &str, values: &Value) -> Result<String, String> {
        self.run(["template", release, &chart("claw-operator")], values)
            .await
    }
}

/// The path of a chart.
pub(crate) fn chart(name: &str) -> String {
    let path = repository().join("charts").join(name);
    path.to_str().expect("UTF-8").to_owned()
}

/// The repository's root.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the repository")
}

/// The documents of a YAML stream that are objects.
pub(crate) fn objects(yaml: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(yaml)
        .map(|document| <Value as serde::Deserialize>::deserialize(document).expect("YAML"))
        .filter(Value::is_object)
        .collect()
}

/// The first object of a kind.
pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found.unwrap_or_else(|| unreachable!("there is no {kind}"))
}
