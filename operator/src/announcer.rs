//! Kubernetes Events, without keeping every one of them in memory.

use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, Recorder, Reporter},
};

/// So many Events are remembered, at most: one that comes again among them is counted instead of written anew. The
/// recorder itself would keep those of the last minutes, however many thousands they are.
const REMEMBERED: usize = 256;

/// Writes Events.
pub struct Announcer {
    client: Client,
    reporter: Reporter,
    current: Mutex<Remembering>,
}

struct Remembering {
    recorder: Recorder,
    published: usize,
}

impl Announcer {
    /// In the name of `reporter`.
    pub fn new(client: Client, reporter: Reporter) -> Self {
        let recorder = Recorder::new(client.clone(), reporter.clone());
        Self {
            client,
            reporter,
            current: Mutex::new(Remembering {
                recorder,
                published: 0,
            }),
        }
    }

    /// Write an Event about an object.
    pub async fn publish(&self, event: &Event, about: &ObjectReference) -> kube::Result<()> {
        self.recorder().publish(event, about).await
    }

    fn recorder(&self) -> Recorder {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.published == REMEMBERED {
            current.recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            current.published = 0;
        }
        current.published += 1;
        current.recorder.clone()
    }
}
