//! Guessing keys is slowed: an address that fails again and again has to wait, longer each time.
//!
//! Many people may share an address. A credential that was right from there within the last hour is never held up;
//! one that comes anew waits with the guesser, at most [`LONGEST_WAIT`]. To let it through at once would tell the
//! guesser which key is right as fast as it can ask.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

/// So many failures cost nothing: people mistype, and programs start with an old key.
const FREE: u32 = 10;
/// The wait after the first failure beyond these; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// An address that was quiet for so long begins anew.
const FORGET_AFTER: Duration = Duration::from_mins(15);
/// How long a right credential is remembered.
const REMEMBER_RIGHT: Duration = Duration::from_hours(1);
/// Above so many addresses, those that failed longest ago are forgotten.
const MOST_ADDRESSES: u64 = 10_000;
/// The same for right credentials.
const MOST_RIGHT: u64 = 50_000;

/// Half of a credential's SHA-256; enough to know it again.
pub(super) type Fingerprint = [u8; 16];

/// Failed attempts to call, by address.
pub struct Attempts {
    failures: Cache<IpAddr, Arc<Mutex<Failures>>>,
    right: Cache<(IpAddr, Fingerprint), ()>,
}

/// What is known of a credential from somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// It was right before.
    Right,
    /// Nothing.
    New,
}

#[derive(Default)]
struct Failures {
    count: u32,
    wait_until: Option<Instant>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            failures: Cache::builder()
                .max_capacity(MOST_ADDRESSES)
                .time_to_idle(FORGET_AFTER)
                .build(),
            right: Cache::builder()
                .max_capacity(MOST_RIGHT)
                .time_to_live(REMEMBER_RIGHT)
                .build(),
        }
    }
}

impl Attempts {
    /// Whether a credential from there is looked at now; the error says how long not.
    pub(super) fn admit(
        &self,
        address: IpAddr,
        fingerprint: Fingerprint,
        now: Instant,
    ) -> Result<Record, Duration> {
        let network = network(address);
        // First, since that is nearly everybody.
        if self.right.contains_key(&(network, fingerprint)) {
            return Ok(Record::Right);
        }
        let Some(failures) = self.failures.get(&network) else {
            return Ok(Record::New);
        };
        let wait_until = lock(&failures).wait_until;
        let wait = wait_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        if wait.is_zero() {
            Ok(Record::New)
        } else {
            Err(wait)
        }
    }

    /// The credential was wrong.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) {
        let failures = self.failures.get_with(network(address), Arc::default);
        let mut failures = lock(&failures);
        failures.count = failures.count.saturating_add(1);
        if let Some(beyond) = failures.count.checked_sub(FREE + 1) {
            let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(beyond));
            failures.wait_until = Some(now + wait.min(LONGEST_WAIT));
        }
    }

    /// The credential was right.
    pub(super) fn succeeded(&self, address: IpAddr, fingerprint: Fingerprint) {
        self.right.insert((network(address), fingerprint), ());
    }
}

fn lock(failures: &Mutex<Failures>) -> std::sync::MutexGuard<'_, Failures> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever has one IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: Fingerprint = [0; 16];
    const RIGHT: Fingerprint = [1; 16];
    const NEW: Fingerprint = [2; 16];

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_failure_beyond_the_free_ones_doubles_the_wait() {
        let (attempts, here) = (Attempts::default(), address("192.0.2.1"));
        let mut now = Instant::now();
        for _ in 0..FREE {
            assert_eq!(attempts.admit(here, WRONG, now), Ok(Record::New));
            attempts.failed(here, now);
        }
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(attempts.admit(here, WRONG, now), Ok(Record::New));
            attempts.failed(here, now);
            let wait = Duration::from_secs(expected);
            assert_eq!(attempts.admit(here, WRONG, now), Err(wait));
            now += wait;
        }
        let elsewhere = address("192.0.2.2");
        assert_eq!(attempts.admit(elsewhere, WRONG, now), Ok(Record::New));
    }

    #[test]
    fn who_was_right_from_there_is_not_held_up() {
        let (attempts, here, now) = (Attempts::default(), address("192.0.2.1"), Instant::now());
        attempts.succeeded(here, RIGHT);
        for _ in 0..100 {
            attempts.failed(here, now);
        }
        assert_eq!(attempts.admit(here, RIGHT, now), Ok(Record::Right));
        assert_eq!(attempts.admit(here, NEW, now), Err(LONGEST_WAIT));
        let later = now + LONGEST_WAIT;
        assert_eq!(attempts.admit(here, NEW, later), Ok(Record::New));
    }

    #[test]
    fn a_whole_ipv6_network_waits_together() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for host in 0..=FREE {
            attempts.failed(address(&format!("2001:db8:1:2::{host:x}")), now);
        }
        assert!(
            attempts
                .admit(address("2001:db8:1:2:ffff::1"), NEW, now)
                .is_err()
        );
        assert!(attempts.admit(address("2001:db8:1:3::1"), NEW, now).is_ok());
    }

    #[test]
    fn memory_stays_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..3 * u32::try_from(MOST_ADDRESSES).expect("small") {
            attempts.failed(IpAddr::from(number.to_be_bytes()), now);
        }
        attempts.failures.run_pending_tasks();
        assert!(attempts.failures.entry_count() <= MOST_ADDRESSES);
    }
}
