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
    let files = generated()?;
    let stale: Vec<&Path> = files
        .iter()
        .filter(|(path, content)| std::fs::read_to_string(path).ok().as_deref() != Some(content))
        .map(|(path, _)| path.as_path())
        .collect();
    if check && !stale.is_empty() {
        let names = stale
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        bail!("not what the Rust types say: {names}. Run `cargo xtask crds` and commit the result");
    }
    for (path, content) in files
        .iter()
        .filter(|(path, _)| stale.contains(&path.as_path()))
    {
        let parent = path
            .parent()
            .context("every generated file lies in a folder")?;
        std::fs::create_dir_all(parent)?;
        std::fs::write(path, content)
            .with_context(|| format!("failed to write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    println!("{} generated files are up to date", files.len());
    Ok(())
}

fn generated() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let root = crate::repository::root();
    let mut files = Vec::new();
    for (name, yaml) in claw_crds::crd_yaml::files() {
        files.push((
            root.join("charts/claw-crds/templates").join(&name),
            for_chart(&yaml)?,
        ));
        files.push((root.join("crds").join(name), yaml));
    }
    files.extend(crate::rbac::files(&root)?);
    Ok(files)
}

/// The chart's copy keeps the definition, and with it every object of its kind, when the chart is uninstalled.
fn for_chart(yaml: &str) -> anyhow::Result<String> {
    const BEFORE: &str = "metadata:\n";
    let (head, tail) = yaml
        .split_once(BEFORE)
        .context("a definition has metadata")?;
    Ok(format!(
        "{head}{BEFORE}  annotations:\n    helm.sh/resource-policy: keep\n{tail}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charts_copy_differs_by_the_keep_annotation_only() {
        for (_, yaml) in claw_crds::crd_yaml::files() {
            let copy: serde_json::Value =
                serde_yaml::from_str(&for_chart(&yaml).expect("made")).expect("YAML");
            let mut expected: serde_json::Value = serde_yaml::from_str(&yaml).expect("YAML");
            expected["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep".into();
            assert_eq!(copy, expected);
        }
    }
}
