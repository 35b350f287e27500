//! What all tests stand on: the images in the node, and both charts installed by Helm.

use claw_e2e::{node::Image, testing::Context, tools::Tool};
use tokio::sync::OnceCell;

use crate::images::{CLIENT_VARIABLE, GATEWAY_VARIABLE, OPERATOR_VARIABLE, image};

/// Where the operator runs.
pub(crate) const NAMESPACE: &str = "claw-system";
/// The release's name, and so the operator's.
pub(crate) const RELEASE: &str = "claw-operator";

static PLATFORM: OnceCell<()> = OnceCell::const_new();

/// Load the images and install the charts, once.
pub(crate) async fn install(context: &Context) {
    PLATFORM
        .get_or_init(async || {
            for variable in [OPERATOR_VARIABLE, GATEWAY_VARIABLE, CLIENT_VARIABLE] {
                let loaded = context.node().load(&image(variable).archive).await;
                loaded.expect("the image is loaded");
            }
            let definitions = chart("claw-crds");
            let install = ["install", "claw-crds", &definitions, "--create-namespace"];
            helm(context, &install).await;
            upgrade(context, &image(GATEWAY_VARIABLE).name).await;
        })
        .await;
}

/// Install the operator, or upgrade it to this image of gateways, and wait until it runs.
pub(crate) async fn upgrade(context: &Context, gateway: &str) {
    let operator = image(OPERATOR_VARIABLE).name;
    let mut arguments = vec![
        "upgrade".to_owned(),
        "--install".to_owned(),
        RELEASE.to_owned(),
    ];
    arguments.extend([chart("claw-operator"), "--wait".to_owned()]);
    let images = [("image", operator.as_str()), ("gateway.image", gateway)];
    for (value, name) in images {
        let (registry, rest) = name.split_once('/').expect("registry/repository:tag");
        let (repository, tag) = rest.split_once(':').expect("registry/repository:tag");
        for (part, text) in [
            ("registry", registry),
            ("repository", repository),
            ("tag", tag),
        ] {
            arguments.extend(["--set".to_owned(), format!("{value}.{part}={text}")]);
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    helm(context, &arguments).await;
}

/// Run Helm for the operator's namespace, successfully.
pub(crate) async fn helm(context: &Context, arguments: &[&str]) -> String {
    let program = Tool::Helm.find_or_build(&mut |_| ()).expect("helm");
    let files = context.node().directory().join("helm");
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .args(["--namespace", NAMESPACE, "--kubeconfig"])
        .arg(context.cluster.kubeconfig())
        // Nothing of the user's own Helm, and nothing left behind in it.
        .env("HELM_CACHE_HOME", files.join("cache"))
        .env("HELM_CONFIG_HOME", files.join("config"))
        .env("HELM_DATA_HOME", files.join("data"))
        .kill_on_drop(true)
        .output()
        .await
        .expect("helm starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "helm {arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// An image that the node does not have and cannot get.
pub(crate) fn unknown_image() -> Image {
    Image {
        name: "localhost/clawdbot:nowhere".to_owned(),
        archive: std::path::PathBuf::new(),
    }
}

/// Where a chart lies.
pub(crate) fn chart(name: &str) -> String {
    format!("{}/../charts/{name}", env!("CARGO_MANIFEST_DIR"))
}
