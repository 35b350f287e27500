//! What a request holds: it may be answered, and its use is settled when it is over, however it ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claw_crds::gateway_config::{BudgetConfig, ModelBudgetConfig, PricesConfig};
use jiff::tz::TimeZone;

use super::book::{Hold, Need, Standing};
use super::estimate::{Estimate, used_cost, used_tokens};
use super::ledger::{Denial, Ledger};
use super::limiter::{Counting, needs};
use super::meter::{Subject, Unit};
use super::standing::RateHeaders;
use super::streams::{OpenStream, Streams};
use crate::error::GatewayError;
use crate::metrics::Metrics;
use crate::types::Usage;

/// When to try again after the database was lost.
const RETRY: Duration = Duration::from_secs(2);
/// When to try again while too many answers are under way: some end each second.
const STREAMS_RETRY: Duration = Duration::from_secs(1);
/// The name of the limit of answers under way.
const CONCURRENT_STREAMS: &str = "concurrentStreams";

/// Who pays for a request.
#[derive(Clone, Debug)]
pub struct Account {
    /// The key's name, or the address of a caller without one.
    pub name: Arc<str>,
    /// What this key may use, where that is less than every key may.
    pub limits: Option<BudgetConfig>,
}

pub(super) struct PermitParts {
    pub(super) client: Arc<str>,
    pub(super) counting: Arc<Counting>,
    pub(super) streams: Arc<Streams>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) zone: TimeZone,
    pub(super) estimate: Estimate,
    pub(super) models: BTreeMap<String, ModelBudgetConfig>,
}

/// A request may be answered. What it has not used when the last clone and the last charge are gone is given back.
#[derive(Clone)]
pub struct Permit {
    shared: Arc<Shared>,
}

struct Shared {
    parts: PermitParts,
    /// Of the gateway and the caller.
    holds: Mutex<Holds>,
}

/// What is held of some counts.
#[derive(Default)]
struct Holds {
    ledger: Option<Arc<Ledger>>,
    given: Vec<Hold>,
    needs: Vec<Need>,
    _streams: Vec<OpenStream>,
}

impl Holds {
    /// What was used is known. Requests stay counted, whatever came of them.
    fn settle(&mut self, tokens: i64, cost: i64) {
        let Some(ledger) = &self.ledger else { return };
        for hold in self.given.drain(..) {
            match hold.key.meter.unit() {
                Unit::Requests => {}
                Unit::Tokens => ledger.settle(&hold, tokens),
                Unit::Cost => ledger.settle(&hold, cost),
            }
        }
    }

    fn rate_headers(&self) -> RateHeaders {
        self.ledger
            .as_ref()
            .map_or_else(RateHeaders::default, |ledger| {
                rate_headers(ledger, &self.needs)
            })
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        self.settle(0, 0);
    }
}

impl Permit {
    pub(super) fn new(parts: PermitParts) -> Self {
        let shared = Shared {
            parts,
            holds: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(super) async fn take(
        &self,
        limits: &[(Subject, BudgetConfig)],
        cost: i64,
    ) -> Result<(), GatewayError> {
        let holds = self.hold(limits, cost).await?;
        *self.holds() = holds;
        Ok(())
    }

    /// Who asks: a caller's name, or that of all chat platforms.
    pub fn client(&self) -> &Arc<str> {
        &self.shared.parts.client
    }

    /// A model is about to be asked: set aside what it may use of its own limits.
    pub async fn charge(&self, model: &str) -> Result<Charge, GatewayError> {
        let parts = &self.shared.parts;
        let (prices, holds) = match parts.models.get(model) {
            None => Default::default(),
            Some(config) => {
                let prices = config.prices.unwrap_or_default();
                let limits = [(Subject::Model(model.into()), config.budget)];
                let holds = self.hold(&limits, parts.estimate.cost(prices)).await?;
                (prices, holds)
            }
        };
        Ok(Charge {
            permit: self.clone(),
            prices,
            holds,
        })
    }

    async fn hold(
        &self,
        limits: &[(Subject, BudgetConfig)],
        cost: i64,
    ) -> Result<Holds, GatewayError> {
        let parts = &self.shared.parts;
        let streams = self.open_streams(limits)?;
        let needs = needs(limits, parts.estimate, cost);
        if needs.is_empty() {
            return Ok(Holds {
                ledger: None,
                given: Vec::new(),
                needs,
                _streams: streams,
            });
        }
        let ledger = match &*parts.counting {
            Counting::Ledger(ledger) => Arc::clone(ledger),
            Counting::Nowhere | Counting::Unavailable(_) => return Err(self.unavailable(&needs)),
        };
        match ledger.reserve(&needs, &parts.zone).await {
            Ok(given) => Ok(Holds {
                ledger: Some(ledger),
                given,
                needs,
                _streams: streams,
            }),
            Err(denial) => Err(self.denied(&ledger, &needs, denial)),
        }
    }

    fn open_streams(
        &self,
        limits: &[(Subject, BudgetConfig)],
    ) -> Result<Vec<OpenStream>, GatewayError> {
        let parts = &self.shared.parts;
        let mut streams = Vec::new();
        for (subject, budget) in limits {
            let Some(most) = budget.concurrent_streams else {
                continue;
            };
            let Some(stream) = parts.streams.open(subject, most) else {
                parts.metrics.limited(subject.scope(), CONCURRENT_STREAMS);
                return Err(GatewayError::LimitReached {
                    limit: format!("{}.{CONCURRENT_STREAMS}", field(subject)),
                    allowed: most.to_string(),
                    retry_after: STREAMS_RETRY,
                    is_of_model: matches!(subject, Subject::Model(_)),
                    headers: Box::default(),
                });
            };
            streams.push(stream);
        }
        Ok(streams)
    }

    fn unavailable(&self, needs: &[Need]) -> GatewayError {
        if let Some(need) = needs.first() {
            let subject = need.key.subject.scope();
            self.shared.parts.metrics.limited(subject, "unavailable");
        }
        GatewayError::LimitsUnavailable { retry_after: RETRY }
    }

    fn denied(&self, ledger: &Ledger, needs: &[Need], denial: Denial) -> GatewayError {
        let (need, wait) = match denial {
            Denial::Unavailable => return self.unavailable(needs),
            Denial::Spent { need, wait } => (need, Some(wait)),
            Denial::TooLarge { need } => (need, None),
        };
        let Need { key, limit, amount } = needs[need].clone();
        let (subject, meter) = (&key.subject, key.meter);
        self.shared
            .parts
            .metrics
            .limited(subject.scope(), meter.field());
        let name = format!("{}.{}", field(subject), meter.field());
        let is_of_model = matches!(subject, Subject::Model(_));
        let Some(retry_after) = wait else {
            return GatewayError::LimitTooSmall {
                limit: name,
                allowed: shown(limit, meter.unit()),
                wanted: shown(amount, meter.unit()),
                is_of_model,
            };
        };
        GatewayError::LimitReached {
            limit: name,
            allowed: shown(limit, meter.unit()),
            retry_after,
            is_of_model,
            headers: Box::new(rate_headers(ledger, needs)),
        }
    }

    /// What is left of the limits of the gateway and the caller.
    pub fn rate_headers(&self) -> RateHeaders {
        self.holds().rate_headers()
    }

    fn holds(&self) -> std::sync::MutexGuard<'_, Holds> {
        // No panic leaves them half changed.
        self.shared
            .holds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A model that is being asked. Unless its use is settled, nothing was used.
pub struct Charge {
    permit: Permit,
    prices: PricesConfig,
    holds: Holds,
}

impl Charge {
    /// The answer is over, or has been cut off: so much was used.
    pub fn settle(&mut self, usage: &Usage) {
        let (tokens, cost) = (used_tokens(usage), used_cost(usage, self.prices));
        self.holds.settle(tokens, cost);
        self.permit.holds().settle(tokens, cost);
    }
}

/// Of each unit the standing of which least is left.
fn rate_headers(ledger: &Ledger, needs: &[Need]) -> RateHeaders {
    let least = |unit| -> Option<Standing> {
        needs
            .iter()
            .filter(|need| need.key.meter.unit() == unit)
            .filter_map(|need| ledger.standing(&need.key))
            .min_by_key(|standing| standing.remaining)
    };
    RateHeaders {
        requests: least(Unit::Requests),
        tokens: least(Unit::Tokens),
        now: ledger.now().unwrap_or_default(),
    }
}

/// As in a manifest.
fn field(subject: &Subject) -> String {
    match subject {
        Subject::Gateway => "limits".to_owned(),
        Subject::Caller(_) => "limits.perKey".to_owned(),
        Subject::Model(name) => format!("models[{name}].limits"),
    }
}

fn shown(amount: i64, unit: Unit) -> String {
    match unit {
        Unit::Requests => format!("{amount} requests"),
        Unit::Tokens => format!("{amount} tokens"),
        Unit::Cost => {
            let millionths = amount / 1_000_000;
            let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
            format!("cost {}", text.trim_end_matches('0').trim_end_matches('.'))
        }
    }
}

#[cfg(test)]
impl Charge {
    /// Of a model that costs nothing and has no limit.
    pub(crate) fn nothing() -> Self {
        let parts = PermitParts {
            client: Arc::default(),
            counting: Arc::new(Counting::Nowhere),
            streams: Arc::default(),
            metrics: Arc::default(),
            zone: TimeZone::UTC,
            estimate: Estimate {
                prompt: 0,
                answer: 0,
            },
            models: BTreeMap::new(),
        };
        Self {
            permit: Permit::new(parts),
            prices: PricesConfig::default(),
            holds: Holds::default(),
        }
    }
}
