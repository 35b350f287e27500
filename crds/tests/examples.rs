//! Every file under examples/ is read by the rules of the API server and compiles without a problem.

use std::{fs, path::Path};

use claw_crds::{
    Inputs, compile,
    gateway_config::{Redacted, TlsConfig},
    manifest::{ManifestFile, Selection, parse, parse_routing_file},
};
use rstest::rstest;

fn examples() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"))
}

fn files(folder: &str) -> Vec<ManifestFile> {
    let mut paths: Vec<_> = fs::read_dir(examples().join(folder))
        .expect("the folder exists")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| ManifestFile {
            name: path.display().to_string(),
            text: fs::read_to_string(path).expect("readable"),
        })
        .collect()
}

#[rstest]
#[case::quick_start(&["."], "support", 2, 1)]
#[case::telegram(&[".", "telegram"], "support", 2, 2)]
#[case::routing(&[".", "routing"], "support", 5, 1)]
#[case::gpu(&["gpu"], "vision", 0, 0)]
#[case::storage(&["storage"], "library", 0, 0)]
#[case::autoscaling(&["autoscaling"], "frontdesk", 0, 0)]
#[case::limits(&["limits"], "metered", 1, 0)]
#[case::providers(&["providers"], "switchboard", 4, 0)]
#[case::identity(&["identity"], "reception", 0, 0)]
#[case::models(&["models"], "shelf", 0, 0)]
#[case::embeddings(&["embeddings"], "search", 2, 0)]
fn manifests_compile_without_a_problem(
    #[case] folders: &[&str],
    #[case] gateway: &str,
    #[case] routes: usize,
    #[case] channels: usize,
) {
    let files: Vec<_> = folders.iter().flat_map(|folder| files(folder)).collect();
    let (manifests, faults) = parse(&files);
    assert_eq!(faults, []);
    let selection = manifests
        .select(Some(gateway))
        .expect("the gateway is there");
    assert_eq!(selection.orphans, Vec::<String>::new());
    let Selection {
        gateway,
        routes: given,
        channels: chats,
        secrets,
        config_maps,
        ..
    } = selection;
    let issued = TlsConfig {
        certificate_chain: String::new(),
        private_key: Redacted::new(""),
    };
    let compilation = compile(&Inputs {
        gateway: &gateway,
        routes: &given,
        channels: &chats,
        secrets: &secrets,
        config_maps: &config_maps,
        self_signed: Some(&issued),
        also_allowed: None,
    });
    assert_eq!(compilation.problems, []);
    let config = compilation.config.expect("a configuration");
    assert_eq!(
        (config.routes.len(), config.channels.len()),
        (routes, channels)
    );
}

#[test]
fn the_plain_routing_file_is_read() {
    let text =
        fs::read_to_string(examples().join("standalone/model-routing.yaml")).expect("readable");
    let rules = parse_routing_file(&text).expect("a routing file");
    assert_eq!(rules.len(), 2);
}

#[test]
fn no_folder_of_examples_is_forgotten() {
    let mut folders: Vec<String> = fs::read_dir(examples())
        .expect("readable")
        .filter_map(|entry| {
            let entry = entry.expect("readable");
            entry
                .path()
                .is_dir()
                .then(|| entry.file_name().to_string_lossy().into_owned())
        })
        .collect();
    folders.sort();
    assert_eq!(
        folders,
        [
            "autoscaling",
            "embeddings",
            "gpu",
            "identity",
            "limits",
            "models",
            "providers",
            "routing",
            "standalone",
            "storage",
            "telegram"
        ]
    );
}
