//! One test: its name, its namespace, and what is shown when it fails.

use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::LocalBoxFuture};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{DeleteParams, ObjectMeta, PostParams},
};

use super::chain;
use crate::{Cluster, Kubectl, Node, wait::until};

/// How long anything that must happen may take on a busy machine, where the time itself proves nothing.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A test's body.
pub type Run = Box<dyn Fn(Context) -> LocalBoxFuture<'static, ()> + Send + Sync>;

/// A test by name.
pub struct Case {
    /// What is shown.
    pub name: String,
    /// The body.
    pub run: Run,
    /// Whether no other test may run beside it, since it measures.
    pub is_alone: bool,
}

impl Case {
    /// A test by name.
    pub fn new<F>(
        name: impl Into<String>,
        run: impl Fn(Context) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        Self {
            name: name.into(),
            run: Box::new(move |context| run(context).boxed_local()),
            is_alone: false,
        }
    }

    /// A test called `module::function`; the program's own name is left out.
    pub fn of<F>(
        module: &str,
        function: &str,
        run: impl Fn(Context) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let module = module.split_once("::").map_or(module, |(_, module)| module);
        Self::new(format!("{module}::{function}"), run)
    }

    /// The same, with no other test beside it.
    #[must_use]
    pub fn alone(self) -> Self {
        Self {
            is_alone: true,
            ..self
        }
    }
}

/// What a test works with.
#[derive(Clone)]
pub struct Context {
    /// Shared by all tests.
    pub cluster: Arc<Cluster>,
    /// The administrator.
    pub client: Client,
    /// The test's own.
    pub namespace: String,
}

impl Context {
    /// The node, for tests that only run on one.
    pub fn node(&self) -> &Node {
        self.cluster.node().expect("this test runs on a node")
    }

    /// The administrator's kubectl in the test's namespace.
    pub fn kubectl(&self) -> Kubectl {
        self.cluster.kubectl().in_namespace(&self.namespace)
    }

    /// Run it, successfully; gives what it printed.
    pub async fn run<const N: usize>(&self, arguments: [&str; N]) -> String {
        let output = self.kubectl().run(arguments).await;
        output.expect("kubectl succeeds").stdout
    }

    /// A directory for the test's files.
    pub fn directory(&self) -> PathBuf {
        let path = self.cluster.directory().join(&self.namespace);
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        path
    }

    /// Wait until `look` gives something, for so long.
    pub async fn within<T>(
        &self,
        deadline: Duration,
        what: &str,
        look: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        let found = until(deadline, look).await;
        found.unwrap_or_else(|| unreachable!("not within {deadline:?}: {what}"))
    }

    /// Wait until `look` gives something.
    pub async fn eventually<T>(&self, what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
        self.within(DEADLINE, what, look).await
    }
}

static COUNTER: AtomicU32 = AtomicU32::new(1);

/// Run a test in a namespace of its own, which is deleted after it in any case; on failure say what was there.
pub(super) async fn in_temp_ns(cluster: Arc<Cluster>, test: Run) -> Result<(), String> {
    let client = cluster.client().await.map_err(|error| chain(&error))?;
    let namespaces = Api::<Namespace>::all(client.clone());
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!("claw-e2e-{}-{number}", std::process::id());
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let created = namespaces.create(&PostParams::default(), &namespace).await;
    created.map_err(|error| chain(&error))?;
    let context = Context {
        cluster,
        client,
        namespace: name.clone(),
    };
    let outcome = AssertUnwindSafe(test(context.clone())).catch_unwind().await;
    let result = match outcome {
        Ok(()) => Ok(()),
        Err(panic) => Err(format!(
            "{}\n{}",
            panic_text(panic.as_ref()),
            state_of(&context).await
        )),
    };
    // Emptied in the background; nothing waits for it, since names are never used twice.
    let deleted = namespaces.delete(&name, &DeleteParams::default()).await;
    deleted.map_err(|error| chain(&error))?;
    result
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("the test panicked")
}

/// The namespace's objects and events. Secrets are listed by name alone.
async fn state_of(context: &Context) -> String {
    let kinds = "claw,deployments,replicasets,pods,services,secrets,events";
    let objects = shown(context, ["get", kinds]).await;
    let described = shown(context, ["describe", "claw"]).await;
    format!("--- objects ---\n{objects}\n--- resources ---\n{described}")
}

async fn shown(context: &Context, arguments: [&str; 2]) -> String {
    let output = context.kubectl().run(arguments).await;
    output.map_or_else(|error| chain(&error), |output| output.stdout)
}
