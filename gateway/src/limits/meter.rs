//! What is counted, for whom, and from when to when. Pure.

use std::sync::Arc;

use claw_crds::gateway_config::BudgetConfig;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// What is counted within what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Meter {
    /// Requests of a minute.
    RequestsPerMinute,
    /// Tokens of a minute.
    TokensPerMinute,
    /// Tokens of a day.
    TokensPerDay,
    /// Tokens of a calendar month.
    TokensPerMonth,
    /// Cost of a day.
    CostPerDay,
    /// Cost of a calendar month.
    CostPerMonth,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Tokens.
    Tokens,
    /// Money, in millionths of a millionth.
    Cost,
}

impl Meter {
    /// The field of the configuration.
    pub const fn field(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requestsPerMinute",
            Self::TokensPerMinute => "tokensPerMinute",
            Self::TokensPerDay => "tokensPerDay",
            Self::TokensPerMonth => "tokensPerMonth",
            Self::CostPerDay => "costPerDay",
            Self::CostPerMonth => "costPerMonth",
        }
    }

    /// What is counted.
    pub const fn unit(self) -> Unit {
        match self {
            Self::RequestsPerMinute => Unit::Requests,
            Self::TokensPerMinute | Self::TokensPerDay | Self::TokensPerMonth => Unit::Tokens,
            Self::CostPerDay | Self::CostPerMonth => Unit::Cost,
        }
    }

    /// The minute, day or month that a time in milliseconds falls into.
    pub fn window(self, now: i64, zone: &TimeZone) -> Window {
        let day = || {
            let now = Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
            now.to_zoned(zone.clone()).date()
        };
        let at =
            |date: jiff::civil::Date| start(date.to_datetime(jiff::civil::Time::midnight()), zone);
        match self {
            Self::RequestsPerMinute | Self::TokensPerMinute => {
                let starts_at = now - now.rem_euclid(MINUTE_MS);
                Window {
                    starts_at,
                    ends_at: starts_at + MINUTE_MS,
                }
            }
            Self::TokensPerDay | Self::CostPerDay => {
                let day = day();
                Window {
                    starts_at: at(day),
                    ends_at: at(day.tomorrow().unwrap_or(day)),
                }
            }
            Self::TokensPerMonth | Self::CostPerMonth => {
                let day = day();
                let next = day.last_of_month().tomorrow().unwrap_or(day);
                Window {
                    starts_at: at(day.first_of_month()),
                    ends_at: at(next),
                }
            }
        }
    }
}

/// Where the clocks skip midnight, a day begins with what follows it.
fn start(midnight: DateTime, zone: &TimeZone) -> i64 {
    zone.to_ambiguous_zoned(midnight)
        .compatible()
        .map_or(0, |zoned| zoned.timestamp().as_millisecond())
}

/// From when to when something is counted, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first millisecond.
    pub starts_at: i64,
    /// The first millisecond after it.
    pub ends_at: i64,
}

/// Whose use is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// All callers together.
    Gateway,
    /// One caller.
    Caller(Arc<str>),
    /// All callers of one model.
    Model(Arc<str>),
}

impl Subject {
    /// One of few words, for metrics.
    pub const fn scope(&self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Caller(_) => "key",
            Self::Model(_) => "model",
        }
    }
}

/// One count.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetKey {
    /// Whose.
    pub subject: Subject,
    /// Of what.
    pub meter: Meter,
}

impl BudgetKey {
    /// The name in the database, where gateways share tables.
    pub fn text(&self, gateway: &str) -> String {
        let field = self.meter.field();
        match &self.subject {
            Subject::Gateway => format!("{gateway} {field}"),
            Subject::Caller(name) => format!("{gateway} {field} key {name}"),
            Subject::Model(name) => format!("{gateway} {field} model {name}"),
        }
    }
}

/// How much one count may reach; cost in millionths of a millionth.
pub(super) fn ceilings(budget: &BudgetConfig) -> impl Iterator<Item = (Meter, i64)> {
    let BudgetConfig {
        requests_per_minute,
        tokens_per_minute,
        tokens_per_day,
        tokens_per_month,
        cost_per_day,
        cost_per_month,
        concurrent_streams: _,
    } = *budget;
    [
        (Meter::RequestsPerMinute, requests_per_minute, 1),
        (Meter::TokensPerMinute, tokens_per_minute, 1),
        (Meter::TokensPerDay, tokens_per_day, 1),
        (Meter::TokensPerMonth, tokens_per_month, 1),
        (Meter::CostPerDay, cost_per_day, 1_000_000),
        (Meter::CostPerMonth, cost_per_month, 1_000_000),
    ]
    .into_iter()
    .filter_map(|(meter, limit, factor)| {
        let limit = limit?.saturating_mul(factor);
        // Far beyond what anybody counts, and sums of a few still fit.
        Some((meter, i64::try_from(limit).unwrap_or(i64::MAX).min(MOST)))
    })
}

/// The largest limit.
const MOST: i64 = i64::MAX / 8;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn milliseconds(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    #[rstest]
    #[case(
        Meter::TokensPerMinute,
        "UTC",
        "2026-03-29T01:30:59.999Z",
        "2026-03-29T01:30:00Z",
        "2026-03-29T01:31:00Z"
    )]
    #[case(
        Meter::TokensPerDay,
        "UTC",
        "2026-03-29T23:59:59.999Z",
        "2026-03-29T00:00:00Z",
        "2026-03-30T00:00:00Z"
    )]
    #[case::a_day_of_23_hours(
        Meter::TokensPerDay,
        "Europe/Berlin",
        "2026-03-29T12:00:00Z",
        "2026-03-28T23:00:00Z",
        "2026-03-29T22:00:00Z"
    )]
    #[case::a_day_of_25_hours(
        Meter::CostPerDay,
        "Europe/Berlin",
        "2026-10-25T12:00:00Z",
        "2026-10-24T22:00:00Z",
        "2026-10-25T23:00:00Z"
    )]
    #[case::a_midnight_that_is_skipped(
        Meter::TokensPerDay,
        "America/Santiago",
        "2026-09-06T12:00:00Z",
        "2026-09-06T04:00:00Z",
        "2026-09-07T03:00:00Z"
    )]
    #[case(
        Meter::TokensPerMonth,
        "Asia/Tokyo",
        "2026-01-31T15:00:00Z",
        "2026-01-31T15:00:00Z",
        "2026-02-28T15:00:00Z"
    )]
    #[case(
        Meter::CostPerMonth,
        "UTC",
        "2026-12-31T23:00:00Z",
        "2026-12-01T00:00:00Z",
        "2027-01-01T00:00:00Z"
    )]
    fn a_window_is_that_of_the_calendar(
        #[case] meter: Meter,
        #[case] zone: &str,
        #[case] now: &str,
        #[case] starts_at: &str,
        #[case] ends_at: &str,
    ) {
        let zone = TimeZone::get(zone).expect("a time zone");
        let window = meter.window(milliseconds(now), &zone);
        let text = |time| {
            Timestamp::from_millisecond(time)
                .expect("a time")
                .to_string()
        };
        assert_eq!(
            (
                text(window.starts_at).as_str(),
                text(window.ends_at).as_str()
            ),
            (starts_at, ends_at)
        );
    }
}
