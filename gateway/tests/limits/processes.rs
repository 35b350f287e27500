//! Real processes that are killed in the middle of their requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use claw_crds::gateway_config::{BudgetConfig, BudgetsConfig};
use rstest::rstest;
use tokio::task::JoinSet;

use crate::databases::{Database, Kind};
use crate::gateway::{Gateway, TOKENS, config, upstream};

const LIMIT: u64 = 200_000;
/// Requests at a time of each process.
const CLIENTS: usize = 4;
/// Processes that are killed.
const DEATHS: usize = 6;

/// Answers and requests of which nobody knows what came.
#[derive(Default)]
struct Count {
    answered: AtomicU64,
    unknown: AtomicU64,
}

#[rstest]
#[case::sqlite_one_process(Kind::Sqlite, 1)]
#[case::postgres_three_processes(Kind::Postgres, 3)]
#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_grant_no_more_than_the_limit_and_lose_hardly_any(
    #[case] kind: Kind,
    #[case] processes: usize,
) {
    let database = Database::start(kind).await;
    let folder = tempfile::tempdir().expect("a folder");
    let budgets = BudgetsConfig {
        gateway: BudgetConfig {
            tokens_per_day: Some(LIMIT),
            ..BudgetConfig::default()
        },
        ..BudgetsConfig::default()
    };
    let config = config(upstream(), budgets, &database.place());
    let count = Arc::new(Count::default());
    let mut running = VecDeque::new();
    for death in 0..=DEATHS {
        while running.len() < processes {
            let gateway = Gateway::start(&config, folder.path(), &[]).await;
            gateway.until_ready(true).await;
            running.push_back(Load::start(gateway, &count));
        }
        if death < DEATHS {
            tokio::time::sleep(Duration::from_millis(300)).await;
            running.pop_front().expect("some run").kill().await;
        }
    }
    for load in running {
        load.until_used_up().await;
    }
    let answered = count.answered.load(Ordering::Relaxed) * TOKENS;
    let unknown = count.unknown.load(Ordering::Relaxed) * TOKENS;
    println!("answered {answered} of {LIMIT}, unknown {unknown}");
    assert!(answered <= LIMIT, "{answered} of {LIMIT}");
    let usable = LIMIT - LIMIT / 100 - TOKENS;
    assert!(
        answered + unknown >= usable,
        "{answered} and at most {unknown} of {LIMIT}"
    );
}

/// A process and its clients.
struct Load {
    gateway: Arc<Gateway>,
    clients: JoinSet<()>,
    is_dead: Arc<AtomicBool>,
}

impl Load {
    fn start(gateway: Gateway, count: &Arc<Count>) -> Self {
        let gateway = Arc::new(gateway);
        let is_dead = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (gateway, count) = (Arc::clone(&gateway), Arc::clone(count));
            let is_dead = Arc::clone(&is_dead);
            clients.spawn(async move {
                loop {
                    match gateway
                        .ask()
                        .await
                        .map(|response| response.status().as_u16())
                    {
                        Ok(200) => count.answered.fetch_add(1, Ordering::Relaxed),
                        Ok(429) => return,
                        Ok(status) => panic!("status {status}"),
                        Err(error) => {
                            assert!(is_dead.load(Ordering::Relaxed), "{error}");
                            // It may have been granted.
                            count.unknown.fetch_add(1, Ordering::Relaxed);
                            return;
                        }
                    };
                }
            });
        }
        Self {
            gateway,
            clients,
            is_dead,
        }
    }

    async fn kill(self) {
        self.is_dead.store(true, Ordering::Relaxed);
        let id = i32::try_from(self.gateway.id()).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("killed");
        self.clients.join_all().await;
    }

    async fn until_used_up(self) {
        self.clients.join_all().await;
    }
}
