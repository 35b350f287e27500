//! `cargo xtask crds`: the files that are generated from Rust, written or checked.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Options of `cargo xtask crds`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only compare, and fail where a file differs from what would be written.
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Compare only.
    pub(crate) const fn check() -> Self {
        Self { check: true }
    }
}

/// Write or check all generated files.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { check } = *args;
    let root = crate::repository::root();
    let mut count = settle(&generated(&root)?, check)?;
    // Rendered from charts that are up to date by now.
    count += settle(&crate::deploy::files(&root)?, check)?;
    println!("{count} generated files are up to date");
    Ok(())
}

/// Write the files that differ, or complain about them.
fn settle(files: &[(PathBuf, String)], check: bool) -> anyhow::Result<usize> {
    let stale: Vec<&(PathBuf, String)> = files
        .iter()
        .filter(|(path, content)| std::fs::read_to_string(path).ok().as_deref() != Some(content))
        .collect();
    if check && !stale.is_empty() {
        let names: Vec<String> = stale
            .iter()
            .map(|(path, _)| path.display().to_string())
            .collect();
        bail!(
            "not what they are made from: {}. Run `cargo xtask crds` and commit the result",
            names.join(", ")
        );
    }
    for (path, content) in stale {
        let parent = path
            .parent()
            .context("every generated file lies in a folder")?;
        std::fs::create_dir_all(parent)?;
        std::fs::write(path, content)
            .with_context(|| format!("failed to write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(files.len())
}

fn generated(root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for (name, yaml) in claw_crds::crd_yaml::files() {
        files.push((
            root.join("charts/claw-crds/templates").join(&name),
            for_chart(&yaml)?,
        ));
        files.push((root.join("crds").join(name), yaml));
    }
    files.extend(crate::rbac::files(root)?);
    files.extend(crate::monitoring::files(root)?);
    files.extend(crate::charts::files(root)?);
    files.push((root.join("docs/openapi.json"), openapi()?));
    Ok(files)
}

/// What the gateway serves at `/openapi.json`.
fn openapi() -> anyhow::Result<String> {
    let document = clawdbot::openapi::document();
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// The chart's copy keeps the definition, and with it every object of its kind, when the chart is uninstalled, and
/// takes more labels and annotations from its user.
fn for_chart(yaml: &str) -> anyhow::Result<String> {
    const BEFORE: &str = "metadata:\n";
    // What the definitions say to their readers is no template.
    let literal = yaml.replace("{{", r#"{{ "{{" }}"#);
    let (head, tail) = literal
        .split_once(BEFORE)
        .context("a definition has metadata")?;
    Ok(format!("{head}{BEFORE}{METADATA}{tail}"))
}

/// What the chart adds to a definition's metadata.
const METADATA: &str = r#"  annotations:
    helm.sh/resource-policy: keep
    {{- with .Values.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    app.kubernetes.io/name: claw-crds
    app.kubernetes.io/instance: {{ .Release.Name }}
    app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
    app.kubernetes.io/managed-by: {{ .Release.Service }}
    helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
    {{- with .Values.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charts_copy_differs_by_its_metadata_only() {
        for (_, yaml) in claw_crds::crd_yaml::files() {
            let copy = for_chart(&yaml).expect("made");
            assert_eq!(copy.replace(METADATA, ""), yaml);
            assert!(copy.contains("helm.sh/resource-policy: keep"));
        }
    }

    #[test]
    fn braces_in_a_description_are_no_template() {
        let copy = for_chart("metadata:\n  a: b\ndescription: use {{ this }}\n").expect("made");
        assert!(
            copy.ends_with("description: use {{ \"{{\" }} this }}\n"),
            "{copy}"
        );
    }
}
