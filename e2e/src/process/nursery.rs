//! The thread that starts all children.
//!
//! The kernel sends a parent-death signal when the *thread* that forked ends. Tests and async tasks run on threads
//! that come and go, so one thread that lives as long as the process does all the forking.

use std::{
    io,
    process::{Child, Command},
    sync::{
        OnceLock,
        mpsc::{Sender, channel},
    },
};

struct Request {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

static NURSERY: OnceLock<Sender<Request>> = OnceLock::new();

/// Start a command from the long-lived thread.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    let (answer, answered) = channel();
    let nursery = NURSERY.get_or_init(start);
    let gone = || io::Error::other("the thread that starts children has ended");
    nursery
        .send(Request { command, answer })
        .map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

fn start() -> Sender<Request> {
    let (sender, requests) = channel::<Request>();
    std::thread::spawn(move || {
        for Request {
            mut command,
            answer,
        } in requests
        {
            // When nobody waits for the answer any more, the child is dropped unwatched; the asker has panicked.
            let _ = answer.send(command.spawn());
        }
    });
    sender
}
