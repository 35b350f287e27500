//! Conversions held to files: each has what is `given` and what is `expected`.
//!
//! `CLAW_WRITE_GOLDEN=1` writes what comes out instead, to be read before it is committed.

use std::path::Path;

use serde_json::Value;

/// Check every file of a folder beside this one.
pub(super) fn check(folder: &str, convert: impl Fn(&Value) -> Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/conversion")
        .join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("a folder of golden files")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for path in files {
        let text = std::fs::read_to_string(&path).expect("readable");
        let mut golden: Value = serde_json::from_str(&text).expect("JSON");
        let found = convert(&golden["given"]);
        if std::env::var_os("CLAW_WRITE_GOLDEN").is_some() {
            golden["expected"] = found;
            let text = serde_json::to_string_pretty(&golden).expect("JSON") + "\n";
            std::fs::write(&path, text).expect("written");
        } else {
            assert_eq!(found, golden["expected"], "{}", path.display());
        }
    }
}

/// Ids and times that are new each time, replaced by their prefix.
pub(super) fn settle(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((prefix, rest)) = text.rsplit_once('_')
                && rest.len() == 32
                && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
            {
                *text = format!("{prefix}_…");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Object(fields) => {
            if let Some(at) = fields.get_mut("created_at") {
                *at = 0.into();
            }
            fields.values_mut().for_each(settle);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
