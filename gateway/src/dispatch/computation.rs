//! What a processor has to do for one request, beside the threads that serve all of them.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

use crate::error::GatewayError;

/// So many on a machine with fewer processors: a short computation does not wait behind a few long ones.
const FEWEST: usize = 8;

static PROCESS: LazyLock<Threads> = LazyLock::new(|| {
    let processors = available_parallelism().map_or(1, usize::from);
    Threads::new(processors.max(FEWEST))
});

/// Computes something that takes longer than others may wait: tokens of a conversation, a form, many vectors.
///
/// Only so many are computed at once, in the order in which they came. With a thread for each, some hundred requests
/// would be done no sooner, and memory would grow: each thread keeps some 4 MiB that it allocated before.
pub(super) async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, GatewayError> {
    PROCESS.compute(work).await
}

struct Threads {
    /// Used for its blocking threads alone: a fixed number, which end when they are idle.
    runtime: Option<Runtime>,
}

impl Threads {
    fn new(count: usize) -> Self {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(count)
            .thread_name("computation")
            .build();
        // It opens nothing, so nothing is known to fail.
        let runtime = runtime
            .inspect_err(|error| tracing::error!(%error, "failed to prepare threads"))
            .ok();
        Self { runtime }
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, GatewayError> {
        let runtime = self.runtime.as_ref().ok_or(GatewayError::Internal)?;
        // What nobody waits for any more is not begun.
        let computed = AbortOnDropHandle::new(runtime.spawn_blocking(work));
        computed.await.map_err(|_| GatewayError::Internal)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use futures::executor::block_on;
    use futures::poll;

    use super::*;

    #[test]
    fn no_more_than_there_are_threads_are_computed_at_once() {
        let threads = Threads::new(2);
        let (begun, beginnings) = channel();
        let work = |number, until: Receiver<()>| {
            let begun = begun.clone();
            Box::pin(threads.compute(move || {
                begun.send(number).expect("the test listens");
                let _ = until.recv();
                number
            }))
        };
        let [(end_first, first), (end_second, second), (end_third, third)] =
            [channel(), channel(), channel()];
        let [mut first, mut second, mut third] = [work(1, first), work(2, second), work(3, third)];
        block_on(async {
            for work in [&mut first, &mut second, &mut third] {
                assert!(poll!(work).is_pending());
            }
            let mut running = [0; 2].map(|_| beginnings.recv().expect("begun"));
            running.sort_unstable();
            assert_eq!(running, [1, 2], "in their order");
            drop(end_third);
            assert!(beginnings.try_recv().is_err(), "the third waits");
            drop(end_first);
            assert!(matches!(first.await, Ok(1)));
            assert!(matches!(third.await, Ok(3)));
            drop(end_second);
            assert!(matches!(second.await, Ok(2)));
        });
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun_and_a_panic_costs_no_thread() {
        let threads = Threads::new(1);
        let (begun, beginnings) = channel();
        let (finish, until) = channel::<()>();
        block_on(async {
            let long = {
                let begun = begun.clone();
                threads.compute(move || {
                    begun.send(1).expect("the test listens");
                    until.recv()
                })
            };
            let mut long = Box::pin(long);
            assert!(poll!(&mut long).is_pending());
            assert_eq!(beginnings.recv(), Ok(1));
            let mut gone = Box::pin(threads.compute(move || begun.send(2)));
            assert!(poll!(&mut gone).is_pending());
            drop(gone);
            let panicked = threads.compute(|| panic!("deliberate"));
            let mut panicked = Box::pin(panicked);
            assert!(poll!(&mut panicked).is_pending());
            drop(finish);
            assert!(matches!(panicked.await, Err(GatewayError::Internal)));
            assert!(beginnings.try_recv().is_err(), "nobody waited for it");
            assert!(matches!(threads.compute(|| 3).await, Ok(3)));
        });
    }
}
