//! The tables of values in the charts' READMEs, generated from `values.yaml`: its comments are the explanations.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde_json::Value;

const CHARTS: [&str; 2] = ["claw-crds", "claw-operator"];
const BEGIN: &str =
    "<!-- values: generated from values.yaml by `cargo xtask crds`, do not edit -->\n";
const END: &str = "<!-- /values -->\n";

/// Paths and contents of the READMEs.
pub(crate) fn files(root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let readme = |chart: &str| {
        let directory = root.join("charts").join(chart);
        let path = directory.join("README.md");
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("failed to read {}", path.display()))
        };
        let table = table(&read(&directory.join("values.yaml"))?)?;
        let text = with_table(&read(&path)?, &table)
            .with_context(|| format!("{} lacks the marks of its table", path.display()))?;
        Ok((path, text))
    };
    CHARTS.into_iter().map(readme).collect()
}

/// The text with the table between its marks.
fn with_table(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

fn table(values: &str) -> anyhow::Result<String> {
    let defaults: Value = serde_yaml::from_str(values).context("values.yaml is not YAML")?;
    let mut table = String::from("| value | default | what it does |\n|---|---|---|\n");
    for Explained { path, text } in explained(values)? {
        let pointer = format!("/{}", path.replace('.', "/"));
        let default = defaults
            .pointer(&pointer)
            .with_context(|| format!("values.yaml has no {path}"))?;
        writeln!(table, "| `{path}` | `{default}` | {text} |")?;
    }
    Ok(table)
}

/// A value and its comment.
#[derive(Debug, PartialEq)]
struct Explained {
    path: String,
    text: String,
}

/// A key under a comment is a value, with all that is below it as its default; a key without one groups others.
fn explained(values: &str) -> anyhow::Result<Vec<Explained>> {
    let mut found = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut parents: Vec<&str> = Vec::new();
    let mut within_value = None;
    for line in values.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if within_value.is_some_and(|value_indent| indent > value_indent) {
            continue;
        }
        if text.is_empty() {
            comment.clear();
        } else if let Some(text) = text.strip_prefix('#') {
            comment.push(text.trim());
        } else {
            within_value = None;
            let (key, default) = text
                .split_once(':')
                .with_context(|| format!("values.yaml: `{line}` is no `key: value`"))?;
            parents.truncate(indent / 2);
            parents.push(key);
            let path = parents.join(".");
            if !comment.is_empty() {
                let text = comment.join(" ");
                found.push(Explained { path, text });
                within_value = Some(indent);
            } else if !default.is_empty() {
                bail!("values.yaml: {path} has no comment");
            }
            comment.clear();
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "# About the file.\n\n# How many.\n# At least one.\nreplicas: 2\ngroup:\n  # Inner.\n  \
                          inner: {}\n  deeper:\n    # Deepest.\n    deepest: x\n# Whole.\nwhole:\n  a: 1\n  b: {c: 2}\n";

    #[test]
    fn values_are_found_by_their_comments() {
        let found = explained(VALUES).expect("good");
        let shown: Vec<_> = found
            .iter()
            .map(|Explained { path, text }| (path.as_str(), text.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("replicas", "How many. At least one."),
                ("group.inner", "Inner."),
                ("group.deeper.deepest", "Deepest."),
                ("whole", "Whole."),
            ]
        );
        let table = table(VALUES).expect("good");
        assert!(table.ends_with("| `whole` | `{\"a\":1,\"b\":{\"c\":2}}` | Whole. |\n"));
    }

    #[test]
    fn a_value_without_a_comment_is_refused() {
        let error = explained("# Fine.\na: 1\ngroup:\n  b: 2\n").expect_err("refused");
        assert!(error.to_string().contains("group.b"), "{error}");
    }

    #[test]
    fn only_the_table_is_replaced() {
        let text = format!("# Title\n{BEGIN}old\n{END}tail\n");
        let new = with_table(&text, "new\n").expect("marked");
        assert_eq!(new, format!("# Title\n{BEGIN}\nnew\n\n{END}tail\n"));
        assert_eq!(with_table("unmarked", "new\n"), None);
    }

    /// Below a value's path, the schema says what is allowed; above it, keys and properties are the same.
    #[test]
    fn every_value_is_in_the_schema_and_nothing_else_is() {
        let root = crate::repository::root();
        for chart in CHARTS {
            let read = |name: &str| {
                let path = root.join("charts").join(chart).join(name);
                std::fs::read_to_string(path).expect("the chart has it")
            };
            let schema: Value = serde_json::from_str(&read("values.schema.json")).expect("JSON");
            let mut expected: Vec<String> = explained(&read("values.yaml"))
                .expect("good")
                .into_iter()
                .map(|value| value.path)
                .chain(["global".to_owned()])
                .collect();
            expected.sort();
            let mut known = Vec::new();
            leaves(&schema, &schema, "", &expected, &mut known);
            known.sort();
            assert_eq!(known, expected, "{chart}");
        }
    }

    fn leaves(root: &Value, node: &Value, path: &str, values: &[String], into: &mut Vec<String>) {
        if let Some(reference) = node["$ref"].as_str() {
            let target = reference
                .strip_prefix('#')
                .and_then(|path| root.pointer(path));
            return leaves(root, target.expect("resolves"), path, values, into);
        }
        let properties = node["properties"].as_object();
        match properties {
            Some(properties) if !values.iter().any(|value| value == path) => {
                assert_eq!(node["additionalProperties"], false, "{path}");
                for (name, child) in properties {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    leaves(root, child, &path, values, into);
                }
            }
            _ => into.push(path.to_owned()),
        }
    }
}
