//! Changes of the configuration while requests run.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::binary::{Binary, chat, until};
use crate::upstream::Upstream;

/// Replace the routing file as an editor does, by a rename.
fn route(folder: &Path, text: &str) {
    fs::write(folder.join("next.yaml"), text).expect("written");
    fs::rename(folder.join("next.yaml"), folder.join("routes.yaml")).expect("replaced");
}

async fn start(upstream: &Upstream) -> Binary {
    let folder = tempfile::tempdir().expect("a folder");
    route(folder.path(), "routes: [{pattern: ^/ask/0$, model: good}]");
    let mut arguments = upstream.models(&["good"]);
    arguments.extend([
        "--routes".to_owned(),
        folder.path().join("routes.yaml").display().to_string(),
    ]);
    Binary::start_in(folder, &arguments).await
}

#[tokio::test]
async fn a_new_route_serves_and_no_request_is_lost() {
    let upstream = Upstream::start().await;
    let gateway = Arc::new(start(&upstream).await);
    let (stop, served) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (gateway, stop, served) =
            (Arc::clone(&gateway), Arc::clone(&stop), Arc::clone(&served));
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let (status, answer) = gateway.ask("/v1/chat/completions", &chat("good")).await;
                assert_eq!(status, 200, "{answer}");
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for edit in 1..=10 {
        let path = format!("/ask/{edit}");
        route(
            gateway.folder.path(),
            &format!("routes: [{{pattern: ^{path}$, model: good}}]"),
        );
        until("the new route serves", async || {
            (gateway.ask(&path, &chat("good")).await.0 == 200).then_some(())
        })
        .await;
        assert_eq!(
            gateway
                .ask(&format!("/ask/{}", edit - 1), &chat("good"))
                .await
                .0,
            404,
            "the old route is gone"
        );
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = load.join_next().await {
        client.expect("no request failed");
    }
    assert!(served.load(Ordering::Relaxed) > 10);
}

#[tokio::test]
async fn a_bad_change_is_shown_and_the_last_good_one_serves_on() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    route(
        gateway.folder.path(),
        "routes: [{pattern: (, model: good}, {pattern: x, model: good, fallbck: y}]",
    );
    let problem = until("the refusal is shown", async || {
        gateway.status().await["refusedConfig"]["problems"][0]
            .as_str()
            .map(str::to_owned)
    })
    .await;
    assert!(problem.contains("fallbck"), "{problem}");
    assert_eq!(gateway.ask("/ask/0", &chat("good")).await.0, 200);
    assert_eq!(gateway.managed("/readyz").await.0, 200);
    let (_, metrics) = gateway.managed("/metrics").await;
    assert!(
        metrics.contains(r#"claw_gateway_config_reloads_total{result="refused"} 1"#),
        "{metrics}"
    );
    route(
        gateway.folder.path(),
        "routes: [{pattern: ^/mended$, model: good}]",
    );
    until("the mended route serves", async || {
        (gateway.ask("/mended", &chat("good")).await.0 == 200).then_some(())
    })
    .await;
    assert!(gateway.status().await["refusedConfig"].is_null());
}

#[tokio::test]
async fn a_folder_that_is_swapped_as_kubernetes_does_is_followed() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("manifests");
    let version = |name: &str, pattern: &str| {
        let data = manifests.join(name);
        fs::create_dir_all(&data).expect("a folder");
        let text = format!(
            "apiVersion: claw.dev/v1alpha1\nkind: ClawGateway\nmetadata: {{name: desk}}\nspec:\n  tls: {{disabled: {{}}}}\n  \
             models:\n  - name: good\n    remote:\n      provider: OpenAI\n      baseURL: http://{}/v1\n  \
             auth: {{apiKeys: {{selector: {{matchLabels: {{x: z}}}}}}}}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {{name: keys, labels: {{x: z}}}}\nstringData: {{k: \
             a-long-enough-key-for-everyone-0123456789}}\n---\n\
             apiVersion: claw.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: desk}}\nspec:\n  gatewayRef: {{name: desk}}\n  \
             routes: [{{pattern: \"{pattern}\", model: good}}]\n",
            upstream.address
        );
        fs::write(data.join("all.yaml"), text).expect("written");
        std::os::unix::fs::symlink(name, manifests.join("..next")).expect("a link");
        fs::rename(manifests.join("..next"), manifests.join("..data")).expect("swapped");
    };
    version("..v1", "^/one$");
    std::os::unix::fs::symlink("..data/all.yaml", manifests.join("all.yaml")).expect("a link");
    let gateway = Binary::start_in(
        folder,
        &["--manifests".to_owned(), manifests.display().to_string()],
    )
    .await;
    assert_eq!(gateway.ask("/one", &chat("good")).await.0, 200);
    version("..v2", "^/two$");
    until("the second version serves", async || {
        (gateway.ask("/two", &chat("good")).await.0 == 200).then_some(())
    })
    .await;
}
