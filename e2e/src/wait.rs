//! Waiting on conditions with a deadline, never for a fixed time.

use std::time::{Duration, Instant};

/// Between two looks: short, since tests of "within a second" wait here too.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Look again and again until `look` gives something, or the deadline has passed.
pub async fn until<T>(deadline: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if start.elapsed() >= deadline {
            return None;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_looks_until_something_is_there() {
        let mut looks = 0;
        let found = until(Duration::from_secs(10), async || {
            looks += 1;
            (looks == 3).then_some("there")
        });
        assert_eq!(found.await, Some("there"));
    }

    #[tokio::test]
    async fn it_gives_up_at_the_deadline() {
        let found = until(Duration::ZERO, async || None::<()>);
        assert_eq!(found.await, None);
    }
}
