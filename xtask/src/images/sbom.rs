//! `cargo xtask sbom`: which crates a program is made of, as CycloneDX 1.5 JSON, from what cargo resolved.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::Context;
use serde_json::{Value, json};

use crate::command;

/// Options of `cargo xtask sbom`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The package of the program.
    package: String,

    /// Where to write it; standard output when absent.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Write the list.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { package, output } = args;
    let text = of(package)?;
    match output {
        None => println!("{text}"),
        Some(path) => {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, text)
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
    }
    Ok(())
}

/// The list for a program of the workspace.
pub(crate) fn of(package: &str) -> anyhow::Result<String> {
    let rustc = command::output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = rustc
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not say what it builds for")?;
    let metadata = command::output(command::cargo().args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        host,
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let list = list(&metadata, package)?;
    Ok(serde_json::to_string_pretty(&list)?)
}

fn list(metadata: &Value, package: &str) -> anyhow::Result<Value> {
    let all = |value: &'static str| metadata[value].as_array().into_iter().flatten();
    let packages: BTreeMap<&str, &Value> = all("packages")
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten();
    let needs: BTreeMap<&str, Vec<&str>> = nodes
        .filter_map(|node| Some((node["id"].as_str()?, linked(node))))
        .collect();
    let (root, described) = packages
        .iter()
        .find(|(_, candidate)| candidate["name"] == package)
        .with_context(|| format!("there is no package {package}"))?;
    let mut found = BTreeSet::from([*root]);
    let mut open = vec![*root];
    while let Some(id) = open.pop() {
        for need in needs.get(id).into_iter().flatten() {
            if found.insert(need) {
                open.push(need);
            }
        }
    }
    let components: Vec<Value> = found
        .iter()
        .filter(|id| *id != root)
        .filter_map(|id| {
            packages
                .get(id)
                .map(|package| component(package, "library"))
        })
        .collect();
    let reference = |id: &str| packages.get(id).map(|package| url(package));
    let dependencies: Vec<Value> = found
        .iter()
        .filter_map(|id| {
            let on = needs.get(id).into_iter().flatten();
            let on: Vec<String> = on.filter_map(|id| reference(id)).collect();
            Some(json!({"ref": reference(id)?, "dependsOn": on}))
        })
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(described, "application")},
        "components": components,
        "dependencies": dependencies,
    }))
}

/// Dependencies that end up in the program: neither those of its tests nor those of its build.
fn linked(node: &Value) -> Vec<&str> {
    let needs = node["deps"].as_array().into_iter().flatten();
    needs
        .filter(|need| {
            let kinds = need["dep_kinds"].as_array();
            kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
        })
        .filter_map(|need| need["pkg"].as_str())
        .collect()
}

fn component(package: &Value, kind: &str) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": url(package),
        "name": package["name"],
        "version": package["version"],
        "purl": url(package),
    });
    if let Some(license) = package["license"].as_str() {
        // Older packages write a slash where the standard says OR.
        let expression = license.replace('/', " OR ");
        let words: Vec<&str> = expression.split_whitespace().collect();
        component["licenses"] = json!([{"expression": words.join(" ")}]);
    }
    component
}

fn url(package: &Value) -> String {
    let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_nothing_else() {
        let package = |name: &str| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0"});
        let need = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package("app"), package("used"), package("deep"), package("tester")],
            "resolve": {"nodes": [
                {"id": "app", "deps": [need("used", Value::Null), need("tester", json!("dev"))]},
                {"id": "used", "deps": [need("deep", Value::Null)]},
                {"id": "deep", "deps": []},
                {"id": "tester", "deps": []},
            ]},
        });
        let list = list(&metadata, "app").expect("listed");
        let names: Vec<&Value> = list["components"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|component| &component["name"])
            .collect();
        assert_eq!(names, ["deep", "used"]);
        assert_eq!(list["metadata"]["component"]["name"], "app");
        assert_eq!(
            list["components"][0]["licenses"][0]["expression"],
            "MIT OR Apache-2.0"
        );
        assert_eq!(
            list["dependencies"][0]["dependsOn"],
            json!(["pkg:cargo/used@1.0.0"])
        );
    }
}
