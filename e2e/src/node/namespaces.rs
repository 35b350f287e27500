//! The namespaces, and the process that holds them.
//!
//! `unshare` makes them and starts their first process, which only collects orphans. When it ends, the kernel ends
//! every process in the pid namespace, and mounts and links go with the last of them.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{DEADLINE, Error};
use crate::{
    process::{ChildProcess, Program},
    wait::until,
};

/// Collects orphans for as long as the node is on; its argument is the file that says it runs.
const FIRST_PROCESS: &str = "touch \"$1\"; while :; do sleep 3600 & wait; done";
const END_DEADLINE: Duration = Duration::from_secs(30);

/// Network, mount and pid namespaces. Dropping it ends every process in them.
#[derive(Debug)]
pub(super) struct Namespaces {
    unshare: ChildProcess,
    first: Pid,
}

impl Namespaces {
    /// Make them; logs go to `directory`.
    pub(super) async fn create(directory: &Path) -> Result<Self, Error> {
        let is_up = directory.join("namespaces-are-up");
        // A reboot: the file is there from last time.
        let _ = std::fs::remove_file(&is_up);
        let mut unshare = Program::new("namespaces", "unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["--mount-proc", "--", "sh", "-c", FIRST_PROCESS, "sh"])
            .args([&is_up])
            .start(directory)
            .map_err(Error::Start)?;
        let found = until(DEADLINE, async || {
            if unshare.ended().is_some() {
                return Some(None);
            }
            is_up.is_file().then(|| child_of(unshare.id()))
        });
        let first = found.await.flatten().ok_or_else(|| Error::NotReady {
            what: "namespaces by `unshare`".to_owned(),
            log: unshare.log_tail(5),
        })?;
        Ok(Self { unshare, first })
    }

    /// A handle on the network alone.
    pub(super) fn network(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.first))
    }

    /// What runs a program inside all of them. The program ends with the one that is waited for.
    pub(super) fn wrapper(&self) -> Vec<OsString> {
        let first = self.first.to_string();
        let words = ["nsenter", "--target", &first, "--net", "--mount", "--pid"];
        let inner = ["--", "setpriv", "--pdeathsig", "KILL", "--"];
        words.into_iter().chain(inner).map(Into::into).collect()
    }

    /// What runs a program in the network alone: it keeps its process id, and sees this machine's files.
    pub(super) fn network_wrapper(&self) -> Vec<OsString> {
        let first = self.first.to_string();
        let words = ["nsenter", "--target", &first, "--net", "--"];
        words.map(Into::into).into()
    }

    /// A short command inside.
    pub(super) fn command(&self) -> std::process::Command {
        let wrapper = self.wrapper();
        let mut command = std::process::Command::new(&wrapper[0]);
        command.args(&wrapper[1..]);
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // `unshare` ends after its child, and that after all the others.
        let _ = kill_process(self.first, Signal::KILL);
        let start = std::time::Instant::now();
        while self.unshare.ended().is_none() && start.elapsed() < END_DEADLINE {
            std::thread::yield_now();
        }
    }
}

fn child_of(parent: u32) -> Option<Pid> {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(children).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

/// The network of the node as it is now: another one after a reboot.
#[derive(Clone, Debug, Default)]
pub(super) struct NetworkHandle(Arc<RwLock<Option<PathBuf>>>);

impl NetworkHandle {
    pub(super) fn set(&self, network: Option<PathBuf>) {
        // A panic while it is held would be one of this line's.
        if let Ok(mut path) = self.0.write() {
            *path = network;
        }
    }

    /// Do something in the network, on a thread of its own: a thread's network cannot be changed for one call.
    pub(super) fn enter<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let path = self.0.read().ok().and_then(|path| path.clone());
        let path = path.ok_or_else(|| io::Error::other("the node is off"))?;
        let thread = std::thread::spawn(move || {
            let network = File::open(path)?;
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            act()
        });
        thread
            .join()
            .map_err(|_| io::Error::other("the thread in the node's network panicked"))?
    }
}
