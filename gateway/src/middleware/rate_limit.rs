//! Each caller has a number of requests per second, counted in this process.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::extract::Request;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::AppState;
use crate::auth::{ANONYMOUS, Caller};
use crate::client_address::ClientAddress;
use crate::error::GatewayError;
use crate::limits::Account;

/// Above this many callers, those who were quiet are forgotten.
const MOST_CALLERS: usize = 10_000;
/// They are counted with one of so many requests, since that looks at every part of the table.
const COUNTED_WITH: usize = 1024;

/// What callers have used of their limits. Survives a change of the configuration, unless the limit itself changes.
#[derive(Default)]
pub struct RateLimits {
    current: ArcSwapOption<Limit>,
}

struct Limit {
    per_second: NonZeroU32,
    used: DefaultKeyedRateLimiter<Arc<str>>,
    requests: AtomicUsize,
}

impl RateLimits {
    /// Count a request; the error says when the next one is let in.
    pub fn check(&self, per_second: Option<u32>, caller: &Arc<str>) -> Result<(), GatewayError> {
        let Some(per_second) = per_second.and_then(NonZeroU32::new) else {
            return Ok(());
        };
        let limit = self.limit(per_second);
        let number = limit.requests.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(COUNTED_WITH) && limit.used.len() > MOST_CALLERS {
            limit.used.retain_recent();
        }
        limit
            .used
            .check_key(caller)
            .map_err(|denied| GatewayError::RateLimited {
                limit: per_second.get(),
                retry_after: denied
                    .wait_time_from(DefaultClock::default().now())
                    .max(Duration::from_millis(1)),
            })
    }

    fn limit(&self, per_second: NonZeroU32) -> Arc<Limit> {
        if let Some(limit) = self.current.load_full()
            && limit.per_second == per_second
        {
            return limit;
        }
        let limit = Arc::new(Limit {
            per_second,
            used: RateLimiter::keyed(Quota::per_second(per_second)),
            requests: AtomicUsize::default(),
        });
        self.current.store(Some(Arc::clone(&limit)));
        limit
    }
}

/// Hold callers to their limit: a key by its name, an anonymous caller by its address.
pub fn limit_rate(state: &AppState, request: &mut Request) -> Result<(), GatewayError> {
    let per_second = state.peek().limits.requests_per_second;
    let name = identity(request);
    state.rate_limits.check(per_second, &name)?;
    let limits = request.extensions().get::<Caller>();
    let limits = limits.and_then(|caller| caller.grant.limits().copied());
    // Its other limits are counted where it is known what is asked.
    request.extensions_mut().insert(Account { name, limits });
    Ok(())
}

fn identity(request: &Request) -> Arc<str> {
    match request.extensions().get::<Caller>() {
        Some(caller) if &*caller.name != ANONYMOUS => Arc::clone(&caller.name),
        _ => ClientAddress::of(request)
            .map_or_else(|| ANONYMOUS.into(), |address| address.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_its_own_count() {
        let limits = RateLimits::default();
        for _ in 0..3 {
            limits
                .check(Some(3), &"a".into())
                .expect("within the limit");
        }
        let error = limits.check(Some(3), &"a".into()).expect_err("used up");
        assert_eq!(error.status(), 429);
        assert!(
            error
                .retry_after()
                .is_some_and(|wait| wait <= Duration::from_millis(334)),
            "{error:?}"
        );
        limits.check(Some(3), &"b".into()).expect("another caller");
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let limits = RateLimits::default();
        assert!((0..1000).all(|_| limits.check(None, &"a".into()).is_ok()));
    }

    #[test]
    fn a_new_limit_counts_from_the_start() {
        let limits = RateLimits::default();
        limits.check(Some(1), &"a".into()).expect("first");
        limits.check(Some(1), &"a".into()).expect_err("second");
        limits
            .check(Some(2), &"a".into())
            .expect("the limit was raised");
    }
}
