//! What is in the images that are shipped.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use serde_json::Value;

use crate::images::{GATEWAY_VARIABLE, OPERATOR_VARIABLE, image};

pub(crate) fn cases() -> Vec<Case> {
    cases![images_tell_their_version_and_contents_and_have_no_shell]
}

const LABELS: [&str; 2] = [
    "org.opencontainers.image.version",
    "org.opencontainers.image.revision",
];
const SHELLS: [&str; 4] = ["bin/sh", "bin/bash", "bin/dash", "bin/busybox"];

/// An image as `docker save` writes it, unpacked.
struct Archive(PathBuf);

impl Archive {
    fn unpack(archive: &Path, directory: PathBuf) -> Self {
        std::fs::create_dir_all(&directory).expect("writable");
        let mut unpack = Command::new("tar");
        unpack.arg("-xf").arg(archive).arg("-C").arg(&directory);
        output(&mut unpack);
        Self(directory)
    }

    fn json(&self, file: &str) -> Value {
        let text = std::fs::read(self.0.join(file)).expect("it is in the archive");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// Every file of every layer, without a leading slash or dot.
    fn files(&self, layers: &Value) -> Vec<String> {
        let layers = layers.as_array().expect("a list").iter();
        let list = |layer: &Value| {
            let layer = layer.as_str().expect("a file's name");
            output(Command::new("tar").arg("-tf").arg(self.0.join(layer)))
        };
        let lists: Vec<String> = layers.map(list).collect();
        let files = lists.iter().flat_map(|list| list.lines());
        let files = files.map(|file| file.trim_start_matches("./").trim_start_matches('/'));
        files.map(str::to_owned).collect()
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("tar starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn images_tell_their_version_and_contents_and_have_no_shell(context: Context) {
    for variable in [OPERATOR_VARIABLE, GATEWAY_VARIABLE] {
        let directory = context.directory().join(variable);
        let archive = Archive::unpack(&image(variable).archive, directory);
        let manifest = archive.json("manifest.json");
        let config = manifest[0]["Config"].as_str().expect("a file's name");
        let config = &archive.json(config)["config"];
        assert_eq!(config["User"], "65532:65532", "{variable}");
        for label in LABELS {
            let value = config["Labels"][label].as_str().unwrap_or_default();
            assert!(!["", "unknown"].contains(&value), "{variable}: {label}");
        }
        let files = archive.files(&manifest[0]["Layers"]);
        let has = |is_wanted: &dyn Fn(&str) -> bool| files.iter().any(|file| is_wanted(file));
        assert!(has(
            &|file| file.starts_with("sbom/") && file.ends_with(".cdx.json")
        ));
        assert!(has(
            &|file| file.starts_with("licenses/") && file.ends_with("LICENSE")
        ));
        for shell in SHELLS {
            assert!(!has(&|file| file.ends_with(shell)), "{variable}: {shell}");
        }
    }
}
