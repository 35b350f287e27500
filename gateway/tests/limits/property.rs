//! Whatever dies and whatever the clocks say: no more is granted than the limit, and hardly any of it is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use clawdbot::limits::{Denial, Ledger, Meter, Subject};
use clawdbot::store::{Place, Store};
use jiff::tz::TimeZone;
use proptest::prelude::{Strategy as _, any};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use rstest::rstest;
use tokio::runtime::{Builder, Runtime};

use crate::databases::{Database, Kind};
use crate::ledger::need;

const LIMIT: i64 = 20_000_000;
/// Of the limit that may be lost.
const UNUSABLE: i64 = LIMIT / 100;
/// Tokens of one request, at most.
const LARGEST: i64 = 900;
/// A request that was settled a moment before its process died counts with what was set aside for it. So that it is
/// known what counts, requests use everything that they hold for so long before a process dies.
const TOLD_WITHIN: Duration = Duration::from_secs(3);
/// Between two requests of one process.
const PAUSE: Duration = Duration::from_millis(1);
/// Processes that die in one run.
const DEATHS: usize = 6;

/// A process: a runtime of its own, which ends in the middle of whatever it does.
struct Process {
    runtime: Option<Runtime>,
    /// Whether requests use everything that they hold.
    is_thorough: Arc<AtomicBool>,
    client: JoinHandle<i64>,
}

/// How one life goes.
#[derive(Clone, Copy, Debug)]
struct Life {
    skew_ms: i64,
    lasts: Duration,
    seed: u64,
}

impl Process {
    fn start(place: Place, life: Life) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let ledger = {
            let _inside = runtime.enter();
            Ledger::start_skewed("shop/helpdesk", Store::new(place), life.skew_ms)
        };
        let is_thorough = Arc::new(AtomicBool::new(false));
        let client = {
            let is_thorough = Arc::clone(&is_thorough);
            std::thread::spawn(move || use_up(&ledger, &is_thorough, life.seed))
        };
        Self {
            runtime: Some(runtime),
            is_thorough,
            client,
        }
    }

    /// As kill -9: nothing is told any more. What was granted.
    async fn crash(mut self, life: Life) -> i64 {
        tokio::time::sleep(life.lasts).await;
        self.is_thorough.store(true, Ordering::Relaxed);
        tokio::time::sleep(TOLD_WITHIN).await;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        tokio::task::block_in_place(|| self.client.join().expect("no panic"))
    }
}

/// Ask for some, use a part of it, until the process dies; the sum of what was granted.
fn use_up(ledger: &Ledger, is_thorough: &AtomicBool, seed: u64) -> i64 {
    let zone = TimeZone::UTC;
    let mut granted = 0;
    let mut state = seed | 1;
    // xorshift: the same for the same seed.
    let mut random = move |most: i64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        i64::try_from(state % u64::try_from(most).expect("positive")).expect("small")
    };
    loop {
        let amount = 1 + random(LARGEST);
        let needs = [need(
            &Subject::Gateway,
            Meter::TokensPerMonth,
            LIMIT,
            amount,
        )];
        // Of a runtime that has ended nobody answers.
        let answer = futures::executor::block_on(ledger.reserve(&needs, &zone));
        std::thread::park_timeout(PAUSE);
        match answer {
            Ok(holds) => {
                let is_thorough = is_thorough.load(Ordering::Relaxed);
                let used = if is_thorough {
                    amount
                } else {
                    random(amount + 1)
                };
                ledger.settle(&holds[0], used);
                granted += used;
            }
            Err(Denial::Spent { .. }) => {}
            Err(_) => return granted,
        }
    }
}

/// Ask for single tokens until nothing is left.
async fn use_the_rest(ledger: &Ledger) -> i64 {
    let zone = TimeZone::UTC;
    let mut got = 0;
    for amount in [50_000, 1000, 100, 10, 1] {
        let needs = [need(
            &Subject::Gateway,
            Meter::TokensPerMonth,
            LIMIT,
            amount,
        )];
        loop {
            match ledger.reserve(&needs, &zone).await {
                Ok(_) => got += amount,
                Err(Denial::Spent { .. }) => break,
                Err(denial) => panic!("{denial:?}"),
            }
        }
    }
    got
}

#[rstest]
#[case::sqlite_one_process(Kind::Sqlite, 1)]
#[case::postgres_three_processes(Kind::Postgres, 3)]
#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_granted_than_the_limit_and_hardly_any_is_lost(
    #[case] kind: Kind,
    #[case] processes: usize,
) {
    let database = Database::start(kind).await;
    let lives = (any::<u64>(), 200_u64..1500, -3_600_000_i64..3_600_000);
    let mut runner = TestRunner::default();
    let mut draw = || {
        let (seed, lasts, skew_ms) = lives.new_tree(&mut runner).expect("a life").current();
        // One file has one machine's clock, which may be wrong, but is the same for all.
        let skew_ms = if processes == 1 { 0 } else { skew_ms };
        Life {
            skew_ms,
            lasts: Duration::from_millis(lasts),
            seed,
        }
    };
    let mut granted = 0;
    let mut running = std::collections::VecDeque::new();
    for _ in 0..DEATHS {
        while running.len() < processes {
            let life = draw();
            running.push_back((Process::start(database.place(), life), life));
        }
        let (process, life) = running.pop_front().expect("some run");
        granted += process.crash(life).await;
    }
    for (process, life) in running {
        granted += process.crash(life).await;
    }
    let survivors: Vec<_> = (0..processes)
        .map(|_| Ledger::start("shop/helpdesk", Store::new(database.place())))
        .collect();
    let mut rest = 0;
    for ledger in &survivors {
        rest += use_the_rest(ledger).await;
    }
    println!("granted {granted}, and then {rest}, of {LIMIT}");
    let granted = granted + rest;
    assert!(granted <= LIMIT, "granted {granted} of {LIMIT}");
    assert!(
        granted >= LIMIT - UNUSABLE,
        "{} of {LIMIT} cannot be used",
        LIMIT - granted
    );
}
