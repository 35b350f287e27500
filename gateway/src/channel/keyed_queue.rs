//! A bounded queue of work with lanes: in order within a lane, side by side across lanes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Jobs that wait or run.
    pub jobs: usize,
    /// Jobs that run at a time.
    pub parallel: usize,
}

/// No room is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

type Job = BoxFuture<'static, ()>;

/// The queue.
pub(crate) struct KeyedQueue<K> {
    lanes: Mutex<Lanes<K>>,
    permits: Semaphore,
    capacity: usize,
    tasks: TaskTracker,
}

/// A lane exists while a task works on it.
struct Lanes<K> {
    waiting: HashMap<K, VecDeque<Job>>,
    jobs: usize,
}

impl<K: Hash + Eq + Clone + Send + 'static> KeyedQueue<K> {
    /// An empty queue, whose tasks shutdown waits for.
    pub(crate) fn new(limits: QueueLimits, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self {
            lanes: Mutex::new(Lanes {
                waiting: HashMap::new(),
                jobs: 0,
            }),
            permits: Semaphore::new(limits.parallel),
            capacity: limits.jobs,
            tasks,
        })
    }

    /// How many more jobs it takes now.
    pub(crate) fn room(&self) -> usize {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        self.capacity.saturating_sub(lanes.jobs)
    }

    /// Append a job to a lane. Jobs that were taken are run to their end, also when the gateway drains.
    pub(crate) fn push(
        self: &Arc<Self>,
        key: K,
        job: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Full> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.jobs >= self.capacity {
            return Err(Full);
        }
        lanes.jobs += 1;
        if let Some(lane) = lanes.waiting.get_mut(&key) {
            lane.push_back(job.boxed());
            return Ok(());
        }
        lanes
            .waiting
            .insert(key.clone(), VecDeque::from([job.boxed()]));
        drop(lanes);
        let queue = Arc::clone(self);
        self.tasks.spawn(async move { queue.work(key).await });
        Ok(())
    }

    async fn work(&self, key: K) {
        while let Some(job) = self.next(&key) {
            let permit = self
                .permits
                .acquire()
                .await
                .expect("the semaphore is never closed");
            // A job that panics must not take its lane along.
            if AssertUnwindSafe(job).catch_unwind().await.is_err() {
                tracing::error!("a message was lost: its processing panicked");
            }
            drop(permit);
            self.lanes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .jobs -= 1;
        }
    }

    /// The next job of a lane; an empty lane is removed under the same lock, so that no job is left behind.
    fn next(&self, key: &K) -> Option<Job> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let job = lanes.waiting.get_mut(key)?.pop_front();
        if job.is_none() {
            lanes.waiting.remove(key);
        }
        job
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    fn queue(jobs: usize, parallel: usize) -> Arc<KeyedQueue<u8>> {
        KeyedQueue::new(QueueLimits { jobs, parallel }, TaskTracker::new())
    }

    async fn finish(queue: &KeyedQueue<u8>) {
        queue.tasks.close();
        queue.tasks.wait().await;
    }

    #[tokio::test]
    async fn jobs_of_a_lane_run_in_order_while_another_lane_passes() {
        let queue = queue(10, 2);
        let (done, mut order) = mpsc::unbounded_channel();
        let (open, gate) = oneshot::channel::<()>();
        let report = |name: &'static str| {
            let done = done.clone();
            async move { done.send(name).expect("received") }
        };
        let (first, second, third) = (report("slow"), report("after slow"), report("other"));
        queue
            .push(1, async move {
                drop(gate.await);
                first.await;
            })
            .expect("room");
        queue.push(1, second).expect("room");
        queue.push(2, third).expect("room");
        assert_eq!(order.recv().await, Some("other"));
        open.send(()).expect("waiting");
        assert_eq!(order.recv().await, Some("slow"));
        assert_eq!(order.recv().await, Some("after slow"));
        finish(&queue).await;
        assert!(queue.lanes.lock().expect("not poisoned").waiting.is_empty());
    }

    #[tokio::test]
    async fn no_more_than_the_bound_run_at_a_time() {
        let queue = queue(10, 1);
        let (open, gate) = oneshot::channel::<()>();
        let (done, mut order) = mpsc::unbounded_channel();
        let late = done.clone();
        queue
            .push(1, async move {
                drop(gate.await);
                done.send(1).expect("received");
            })
            .expect("room");
        queue
            .push(2, async move { late.send(2).expect("received") })
            .expect("room");
        tokio::task::yield_now().await;
        assert!(order.try_recv().is_err());
        open.send(()).expect("waiting");
        assert_eq!((order.recv().await, order.recv().await), (Some(1), Some(2)));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_until_a_job_is_done() {
        let queue = queue(1, 1);
        let (open, gate) = oneshot::channel::<()>();
        queue
            .push(1, async move { drop(gate.await) })
            .expect("room");
        assert_eq!(queue.push(2, async {}), Err(Full));
        open.send(()).expect("waiting");
        finish(&queue).await;
        assert_eq!(queue.push(2, async {}), Ok(()));
    }

    #[tokio::test]
    async fn a_panic_costs_one_job() {
        let queue = queue(10, 1);
        let (done, after) = oneshot::channel();
        queue.push(1, async { panic!("on purpose") }).expect("room");
        queue
            .push(1, async move { done.send(()).expect("received") })
            .expect("room");
        after.await.expect("the lane goes on");
        finish(&queue).await;
        assert_eq!(queue.lanes.lock().expect("not poisoned").jobs, 0);
    }
}
