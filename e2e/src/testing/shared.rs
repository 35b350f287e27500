//! What all tests share: the runtime and the cluster.

use std::{
    io::Write as _,
    sync::{Arc, OnceLock},
};

use tokio::{runtime::Runtime, sync::RwLock};

use super::{Run, chain, context::in_temp_ns};
use crate::{Cluster, cluster::Kind};

/// The runtime and the cluster of a test program.
#[derive(Debug)]
pub(super) struct Shared {
    kind: Kind,
    runtime: Runtime,
    /// Started by the first test; its failure fails every test, and is tried once.
    cluster: OnceLock<Result<Arc<Cluster>, String>>,
    /// Held for writing by a test that runs alone, and for reading by the others.
    turn: RwLock<()>,
}

impl Shared {
    /// For tests on a cluster of this kind, which starts with the first of them.
    pub(super) fn new(kind: Kind) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            kind,
            runtime,
            cluster: OnceLock::new(),
            turn: RwLock::new(()),
        })
    }

    /// Run one test in a namespace of its own.
    pub(super) fn run(&self, test: Run, is_alone: bool) -> Result<(), String> {
        let mut is_first = false;
        let cluster = self.cluster.get_or_init(|| {
            is_first = true;
            self.start()
        });
        let cluster = match cluster {
            Ok(cluster) => Arc::clone(cluster),
            Err(error) if is_first => return Err(error.clone()),
            Err(_) => return Err("there is no cluster; the first failure says why".to_owned()),
        };
        self.runtime.block_on(async {
            // Tests may panic while they hold their turn; tokio's lock does not mind.
            let _alone = if is_alone {
                (Some(self.turn.write().await), None)
            } else {
                (None, Some(self.turn.read().await))
            };
            in_temp_ns(cluster, test).await
        })
    }

    fn start(&self) -> Result<Arc<Cluster>, String> {
        // Standard error, line by line: standard output belongs to the test results.
        let mut progress = |line: &str| {
            let _ = writeln!(std::io::stderr(), "{line}");
        };
        let started = self
            .runtime
            .block_on(Cluster::start(self.kind, &mut progress));
        started.map(Arc::new).map_err(|error| chain(&error))
    }
}
