//! The limits of the configuration in force, over the database that it names.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use claw_crds::gateway_config::{BudgetConfig, GatewayIdentity, StateConfig};
use tokio_util::task::TaskTracker;

use super::book::Need;
use super::estimate::Estimate;
use super::ledger::Ledger;
use super::meter::{BudgetKey, Subject, Unit, ceilings};
use super::permit::{Account, Permit, PermitParts};
use super::streams::Streams;
use crate::config::{ModelEntry, RuntimeConfig};
use crate::error::GatewayError;
use crate::metrics::Metrics;
use crate::store::{Place, Store};

/// What all chat platforms are together where clients take turns.
const CHANNELS: &str = "channels";

/// Where is counted.
#[derive(Clone)]
pub(super) enum Counting {
    /// Nothing has to be remembered.
    Nowhere,
    /// In a database.
    Ledger(Arc<Ledger>),
    /// In one that is not to be had, for this reason.
    Unavailable(Arc<str>),
}

/// What a ledger was started for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wish {
    gateway: Option<GatewayIdentity>,
    state: StateConfig,
}

/// Limits requests.
pub struct Limiter {
    state_dir: PathBuf,
    metrics: Arc<Metrics>,
    streams: Arc<Streams>,
    counting: ArcSwap<Counting>,
    wish: ArcSwapOption<Wish>,
    /// Ledgers that a new configuration has put out of use.
    closing: TaskTracker,
}

impl Limiter {
    /// One that remembers in `state_dir`, unless the configuration names another place.
    pub fn new(state_dir: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self {
            state_dir,
            metrics,
            streams: Arc::default(),
            counting: ArcSwap::from_pointee(Counting::Nowhere),
            wish: ArcSwapOption::empty(),
            closing: TaskTracker::new(),
        }
    }

    /// Count as the configuration says; what was counted stays where it was. Needs a runtime.
    pub fn follow(&self, runtime: &RuntimeConfig) {
        let is_asked_for = matches!(runtime.state, StateConfig::Postgres(_));
        let wish = Wish {
            gateway: (runtime.limits.budgets.needs_state()
                || runtime.access.needs_state()
                || is_asked_for)
                .then(|| runtime.gateway.clone()),
            state: runtime.state.clone(),
        };
        if self.wish.load().as_deref() == Some(&wish) {
            return;
        }
        let counting = match (&wish.gateway, &wish.state) {
            (None, _) => Counting::Nowhere,
            (Some(_), StateConfig::Unavailable { reason }) => {
                Counting::Unavailable(reason.as_str().into())
            }
            (Some(gateway), state) => {
                let place = match state {
                    StateConfig::Postgres(url) => Place::Postgres(url.clone()),
                    StateConfig::Sqlite | StateConfig::Unavailable { .. } => {
                        Place::in_directory(&self.state_dir)
                    }
                };
                let name = format!("{}/{}", gateway.namespace, gateway.name);
                Counting::Ledger(Ledger::start(name, Store::new(place)))
            }
        };
        self.wish.store(Some(Arc::new(wish)));
        let before = self.counting.swap(Arc::new(counting));
        if let Counting::Ledger(ledger) = &*before {
            let ledger = Arc::clone(ledger);
            self.closing.spawn(async move { ledger.close().await });
        }
    }

    /// What keeps limits from being counted.
    pub fn fault(&self) -> Option<String> {
        match &**self.counting.load() {
            Counting::Nowhere => None,
            Counting::Ledger(ledger) => ledger.fault().map(|fault| {
                format!("limits cannot be counted: {fault}; they are counted again once it works")
            }),
            Counting::Unavailable(reason) => Some(format!("limits cannot be counted: {reason}")),
        }
    }

    /// Where is counted, and whether that works; nothing when nothing has to be remembered.
    pub fn place(&self) -> Option<(String, bool)> {
        match &**self.counting.load() {
            Counting::Nowhere => None,
            Counting::Ledger(ledger) => {
                Some((ledger.store().place().to_string(), ledger.fault().is_none()))
            }
            Counting::Unavailable(_) => {
                Some(("a database that is not to be had".to_owned(), false))
            }
        }
    }

    /// Set aside what a request of `account`, or of a chat platform, may use with the dearest of `candidates`.
    pub async fn admit(
        &self,
        runtime: &RuntimeConfig,
        account: Option<&Account>,
        estimate: Estimate,
        candidates: &[&ModelEntry],
    ) -> Result<Permit, GatewayError> {
        let budgets = &runtime.limits.budgets;
        let client = account.map_or_else(|| CHANNELS.into(), |account| Arc::clone(&account.name));
        let permit = Permit::new(PermitParts {
            client,
            counting: self.counting.load_full(),
            streams: Arc::clone(&self.streams),
            metrics: Arc::clone(&self.metrics),
            zone: runtime.time_zone.clone(),
            estimate,
            models: budgets.models.clone(),
        });
        let cost = candidates
            .iter()
            .filter_map(|entry| budgets.models.get(&entry.name)?.prices)
            .map(|prices| estimate.cost(prices))
            .max()
            .unwrap_or_default();
        let caller = account.map(|account| {
            let own = account.limits.unwrap_or_default();
            let caller = Subject::Caller(Arc::clone(&account.name));
            (caller, tighter(budgets.per_key, own))
        });
        let limits = [Some((Subject::Gateway, budgets.gateway)), caller];
        let limits: Vec<_> = limits
            .into_iter()
            .flatten()
            .filter(|(_, budget)| *budget != BudgetConfig::default())
            .collect();
        permit.take(&limits, cost).await?;
        Ok(permit)
    }

    /// Give back what this process holds.
    pub async fn close(&self) {
        let counting = self.counting.swap(Arc::new(Counting::Nowhere));
        if let Counting::Ledger(ledger) = &*counting {
            ledger.close().await;
        }
        self.closing.close();
        self.closing.wait().await;
    }
}

/// A key's own limit counts where it is the smaller one.
fn tighter(a: BudgetConfig, b: BudgetConfig) -> BudgetConfig {
    fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
    BudgetConfig {
        requests_per_minute: least(a.requests_per_minute, b.requests_per_minute),
        tokens_per_minute: least(a.tokens_per_minute, b.tokens_per_minute),
        tokens_per_day: least(a.tokens_per_day, b.tokens_per_day),
        tokens_per_month: least(a.tokens_per_month, b.tokens_per_month),
        cost_per_day: least(a.cost_per_day, b.cost_per_day),
        cost_per_month: least(a.cost_per_month, b.cost_per_month),
        concurrent_streams: least(a.concurrent_streams, b.concurrent_streams),
    }
}

/// What a request wants of each count.
pub(super) fn needs(
    limits: &[(Subject, BudgetConfig)],
    estimate: Estimate,
    cost: i64,
) -> Vec<Need> {
    limits
        .iter()
        .flat_map(|(subject, budget)| {
            ceilings(budget).map(move |(meter, limit)| Need {
                key: BudgetKey {
                    subject: subject.clone(),
                    meter,
                },
                limit,
                amount: match meter.unit() {
                    Unit::Requests => 1,
                    Unit::Tokens => estimate.tokens(),
                    Unit::Cost => cost,
                },
            })
        })
        .collect()
}
