//! The engine inside Argo CD syncs `examples/` from a git repository, and comes to rest beside the operator.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use claw_crds::{Channel, ClawGateway, ModelRoute};
use claw_e2e::{
    cases,
    control_plane::AuditedRequest,
    process::{ChildProcess, Program},
    testing::{Case, Context},
    tools::Tool,
};

use crate::{
    gateway::wait_until_ready,
    platform::{self, NAMESPACE},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![the_examples_are_installed_changed_and_pruned_by_commits_and_then_all_rest];
    cases.into_iter().map(Case::alone).collect()
}

/// The engine compares and applies this often, so a loop would show many times in the time that nothing may happen.
const RESYNC_SECONDS: &str = "3";
/// How many seconds that is; a minute when absent.
const QUIET_VARIABLE: &str = "CLAW_GITOPS_QUIET_SECONDS";
/// Where the manifests lie in the repository.
const FOLDER: &str = "shop";
const FILES: [&str; 4] = ["gateway.yaml", "route.yaml", "channel.yaml", "secrets.yaml"];

fn quiet() -> Duration {
    let seconds = std::env::var(QUIET_VARIABLE);
    let seconds = seconds.map_or(60, |text| text.parse().expect("a whole number of seconds"));
    Duration::from_secs(seconds)
}

/// A git repository that nobody else knows.
struct Repository(PathBuf);

impl Repository {
    fn of_examples(context: &Context) -> Self {
        let repository = Self(context.directory().join("repository"));
        let folder = repository.0.join(FOLDER);
        std::fs::create_dir_all(&folder).expect("writable");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        for file in FILES {
            std::fs::copy(examples.join(file), folder.join(file)).expect("copied");
        }
        repository.git(&["init", "--quiet"]);
        repository.commit("Open the shop");
        repository
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(FOLDER).join(name)
    }

    /// Everything as it lies there.
    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    fn git(&self, arguments: &[&str]) {
        let output = Command::new("git")
            .current_dir(&self.0)
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
            .args(["-c", "commit.gpgSign=false"])
            .args(arguments)
            // Nothing of the user's own git.
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {errors}");
    }
}

fn start_engine(context: &Context, repository: &Repository) -> ChildProcess {
    let program = Tool::GitopsAgent.find_or_build(&mut |_| ());
    let engine = Program::new("gitops-agent", program.expect("gitops-agent"))
        .args([repository.0.as_os_str()])
        .args(["--path", FOLDER, "--resync-seconds", RESYNC_SECONDS])
        // Any free one.
        .args(["--port", "0", "--default-namespace", &context.namespace])
        .args([
            "--kubeconfig".as_ref(),
            context.cluster.kubeconfig().as_os_str(),
        ])
        .start(&context.directory());
    engine.expect("the engine starts")
}

/// What has been written into the test's namespace by the operator, and by anybody who is none of the cluster's own
/// programs: that is the engine alone while the test only reads.
fn writes(context: &Context) -> Vec<AuditedRequest> {
    let operator = format!("system:serviceaccount:{NAMESPACE}:");
    let mut writes = context.node().audit().writes();
    writes.retain(|write| {
        let is_ours = write.user.starts_with(&operator) || !write.user.starts_with("system:");
        write.namespace == context.namespace && is_ours
    });
    writes
}

/// Every object that either of them makes, with the version that each real write raises.
async fn versions(context: &Context) -> String {
    let kinds = "clawgateways,modelroutes,channels,secrets,configmaps,services,serviceaccounts,deployments,\
                 networkpolicies,roles,rolebindings,poddisruptionbudgets";
    let columns =
        "--output=custom-columns=KIND:.kind,NAME:.metadata.name,VERSION:.metadata.resourceVersion";
    context.run(["get", kinds, columns]).await
}

/// What the engine has done so far.
fn syncs(engine: &ChildProcess) -> usize {
    engine.log().matches("triggered by timer").count()
}

async fn the_examples_are_installed_changed_and_pruned_by_commits_and_then_all_rest(
    context: Context,
) {
    platform::install(&context).await;
    let repository = Repository::of_examples(&context);
    let engine = start_engine(&context, &repository);
    context
        .eventually("the first commit is applied", async || {
            context.find::<ClawGateway>("support").await
        })
        .await;
    wait_until_ready(&context, "support").await;
    let programmed = ("Programmed", "True", "Programmed");
    context.reports::<ModelRoute>("support", programmed).await;
    context.reports::<Channel>("web", programmed).await;

    let path = repository.file("gateway.yaml");
    let text = std::fs::read_to_string(&path).expect("readable");
    let changed = text.replace("requestsPerSecond: 20", "requestsPerSecond: 25");
    assert_ne!(changed, text);
    std::fs::write(&path, changed).expect("written");
    repository.commit("Let more in");
    context
        .eventually("the change is applied", async || {
            let gateway = context.find::<ClawGateway>("support").await?;
            (gateway.spec.limits.requests_per_second == Some(25)).then_some(())
        })
        .await;
    wait_until_ready(&context, "support").await;

    std::fs::remove_file(repository.file("channel.yaml")).expect("removed");
    repository.commit("Close the chat box");
    context.vanishes::<Channel>("web").await;
    context
        .eventually("the operator rests", async || {
            let before = writes(&context).len();
            tokio::time::sleep(Duration::from_secs(4)).await;
            let operators = writes(&context).split_off(before);
            let has_rested = operators
                .iter()
                .all(|write| !write.user.starts_with("system:"));
            has_rested.then_some(())
        })
        .await;

    let (versions_before, writes_before) = (versions(&context).await, writes(&context).len());
    let syncs_before = syncs(&engine);
    tokio::time::sleep(quiet()).await;
    assert!(syncs(&engine) > syncs_before + 5, "the engine works on");
    assert_eq!(versions(&context).await, versions_before, "objects change");
    let writes = writes(&context).split_off(writes_before);
    // kubectl, which is in the engine, sends Secrets with stringData each time; that changes nothing, as seen above.
    let loops: Vec<_> = writes
        .iter()
        .filter(|write| write.user.starts_with("system:") || write.resource != "secrets")
        .collect();
    assert!(loops.is_empty(), "{} writes: {loops:#?}", loops.len());
}
