//! What this process may give to requests, and has given. Pure: what the database knows comes and goes as values.
//!
//! For each count the database knows a sum that this process has taken: what is spent plus what is free. Giving to a
//! request moves from free to spent, so the sum stays, and no request has to wait for the database as long as something
//! is free. Whoever makes the sum larger asks the database first; whoever makes it smaller tells it afterwards. Hence
//! what all processes have taken never exceeds the limit, whatever a clock says and whenever a process dies.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::meter::{BudgetKey, Window};

/// A refusal that is younger is not asked about again.
const FRESH: Duration = Duration::from_millis(250);
/// Above this many counts, those that are told and idle are forgotten.
const MOST_ENTRIES: usize = 20_000;

/// What a request wants of one count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which count.
    pub key: BudgetKey,
    /// How much it may reach.
    pub limit: i64,
    /// How much is wanted.
    pub amount: i64,
}

/// What a request was given of one count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which count.
    pub key: BudgetKey,
    /// Of which window.
    pub starts_at: i64,
    /// How much.
    pub amount: i64,
}

/// Where a count stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How much it may reach.
    pub limit: i64,
    /// How much is left, as far as is known here.
    pub remaining: i64,
    /// When it begins anew.
    pub ends_at: i64,
}

/// What came of an attempt without the database.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Given(Vec<Hold>),
    /// The database has to be asked.
    Ask,
    /// It was asked a moment ago: the need at this place does not fit.
    Refused(usize),
}

/// One line for the database: what this process has taken of one count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) key: BudgetKey,
    pub(super) window: Window,
    pub(super) limit: i64,
    pub(super) spent: i64,
    /// Free, and set aside for requests that wait.
    pub(super) held: i64,
    /// Whether `spent` counts from the beginning of the window, rather than from when this process forgot it.
    pub(super) is_known: bool,
    /// How much would be good to have free.
    pub(super) target: i64,
}

/// What the database said to a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Spent before, where that was not known.
    pub(super) before: i64,
    /// Given to requests that waited, beyond what was set aside for them.
    pub(super) granted: i64,
    /// More that is free from now on.
    pub(super) extra: i64,
    /// What nobody has.
    pub(super) available: i64,
}

#[derive(Debug)]
struct Entry {
    window: Window,
    limit: i64,
    spent: i64,
    free: i64,
    /// What the database knows to be free here. More never is, so that what a crash may lose is what it allowed.
    most_free: i64,
    available: i64,
    is_known: bool,
    /// Whether the database does not know yet.
    is_dirty: bool,
    looked_at: Option<Instant>,
    /// What was given since the last tick, and what would be good to have free.
    demand: i64,
    target: i64,
}

/// All counts of this process.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<BudgetKey, Entry>,
    /// Whether a count may have been spent from before it came here.
    has_evicted: bool,
}

impl Book {
    /// Give everything that is needed, or nothing.
    pub(super) fn give(&mut self, needs: &[Need], now: i64, zone: &TimeZone) -> Attempt {
        for (index, need) in needs.iter().enumerate() {
            let entry = self.entry(need, now, zone);
            if entry.free >= need.amount {
                continue;
            }
            let is_fresh = entry.looked_at.is_some_and(|at| at.elapsed() < FRESH);
            if is_fresh && need.amount > entry.free + entry.available {
                return Attempt::Refused(index);
            }
            return Attempt::Ask;
        }
        Attempt::Given(
            needs
                .iter()
                .map(|need| self.take(need, need.amount))
                .collect(),
        )
    }

    /// Whether so little is free that more should be fetched before a request has to wait for it.
    pub(super) fn is_low(&self, needs: &[Need]) -> bool {
        needs.iter().any(|need| {
            self.entries.get(&need.key).is_some_and(|entry| {
                let is_stale = entry.looked_at.is_none_or(|at| at.elapsed() >= FRESH);
                is_stale && entry.free < entry.target / 4
            })
        })
    }

    /// Set aside for a request that waits what is free of what it needs.
    pub(super) fn set_aside(&mut self, needs: &[Need], now: i64, zone: &TimeZone) -> Vec<Hold> {
        needs
            .iter()
            .map(|need| {
                let free = self.entry(need, now, zone).free.max(0);
                self.take(need, need.amount.min(free))
            })
            .collect()
    }

    fn take(&mut self, need: &Need, amount: i64) -> Hold {
        let mut starts_at = 0;
        if let Some(entry) = self.entries.get_mut(&need.key) {
            entry.free -= amount;
            entry.spent += amount;
            entry.demand += need.amount;
            entry.is_dirty = true;
            starts_at = entry.window.starts_at;
        }
        Hold {
            key: need.key.clone(),
            starts_at,
            amount,
        }
    }

    /// A request is over, or was not granted: it has used `used` of what it held.
    pub(super) fn settle(&mut self, hold: &Hold, used: i64) {
        let Some(entry) = self.entries.get_mut(&hold.key) else {
            return;
        };
        // What began anew does not remember.
        if entry.window.starts_at != hold.starts_at {
            return;
        }
        let back = hold.amount - used;
        entry.spent -= back;
        // A request that used more than it held takes what is free; the rest is told to the database as it is.
        let free = entry.free + back;
        entry.free = free.clamp(0, entry.most_free);
        // The rest is nobody's, or was taken from what is.
        entry.available += free - entry.free;
        entry.is_dirty = true;
    }

    /// The count of a need, in the window that it is time for. A window never gives way to an earlier one: what this
    /// process has spent in a later one must stay known.
    fn entry(&mut self, need: &Need, now: i64, zone: &TimeZone) -> &mut Entry {
        let is_known = !self.has_evicted;
        let fresh = || Entry::new(need.key.meter.window(now, zone), need.limit, is_known);
        let entry = self.entries.entry(need.key.clone()).or_insert_with(fresh);
        if now >= entry.window.ends_at {
            *entry = fresh();
        }
        if entry.limit != need.limit {
            entry.limit = need.limit;
            // May be more than the new limit allows; what is free is asked for again.
            entry.free = 0;
            entry.most_free = 0;
            entry.looked_at = None;
            entry.is_dirty = true;
        }
        entry
    }

    /// A line for every count that the database should hear of, and for those of `keys`.
    pub(super) fn lines(&mut self, keys: &[BudgetKey], only_keys: bool) -> Vec<Line> {
        let mut lines: Vec<Line> = self
            .entries
            .iter_mut()
            .filter(|(key, entry)| keys.contains(key) || (entry.is_dirty && !only_keys))
            .map(|(key, entry)| {
                entry.is_dirty = false;
                Line {
                    key: key.clone(),
                    window: entry.window,
                    limit: entry.limit,
                    spent: entry.spent,
                    held: entry.free,
                    is_known: entry.is_known,
                    target: entry.target,
                }
            })
            .collect();
        // Every process locks the rows in one order.
        lines.sort_by(|a, b| a.key.cmp(&b.key));
        lines
    }

    /// The database has taken a line over.
    pub(super) fn apply(&mut self, line: &Line, verdict: &Verdict) {
        let Some(entry) = self.entries.get_mut(&line.key) else {
            return;
        };
        if entry.window != line.window {
            return;
        }
        entry.spent += verdict.before + verdict.granted;
        entry.is_known = true;
        entry.available = verdict.available;
        entry.looked_at = Some(Instant::now());
        if entry.limit == line.limit {
            entry.free += verdict.extra;
            entry.most_free = line.held + verdict.extra;
        } else {
            entry.is_dirty = true;
        }
    }

    /// The database has not taken a line over, as far as is known.
    pub(super) fn failed(&mut self, line: &Line) {
        if let Some(entry) = self.entries.get_mut(&line.key) {
            entry.is_dirty = true;
        }
    }

    /// What is free beyond need goes back; counts of the past are forgotten.
    pub(super) fn tick(&mut self, now: i64) {
        self.entries.retain(|_, entry| now < entry.window.ends_at);
        for entry in self.entries.values_mut() {
            // Twice what was needed, so that hardly a request waits; half of it less each time nothing was.
            entry.target = (entry.demand * 2).max(entry.target / 2);
            entry.demand = 0;
            let beyond = entry.free - entry.target;
            if beyond > 0 {
                entry.free -= beyond;
                entry.available += beyond;
                entry.is_dirty = true;
            } else if entry.free < entry.target / 2 {
                entry.is_dirty = true;
            }
        }
        if self.entries.len() > MOST_ENTRIES {
            self.has_evicted = true;
            self.entries
                .retain(|_, entry| entry.is_dirty || entry.free > 0);
        }
    }

    /// The database has taken this process for dead, and all that it held for spent.
    pub(super) fn forgotten(&mut self) {
        for entry in self.entries.values_mut() {
            entry.spent = 0;
            entry.free = 0;
            entry.most_free = 0;
            entry.is_known = true;
            entry.is_dirty = true;
            entry.looked_at = None;
        }
        self.has_evicted = false;
    }

    /// Everything that is free goes back.
    pub(super) fn close(&mut self) {
        for entry in self.entries.values_mut() {
            entry.free = 0;
            entry.most_free = 0;
            entry.target = 0;
            entry.is_dirty = true;
        }
    }

    /// Where a count stands.
    pub(super) fn standing(&self, key: &BudgetKey) -> Option<Standing> {
        let entry = self.entries.get(key)?;
        Some(Standing {
            limit: entry.limit,
            remaining: (entry.available + entry.free).clamp(0, entry.limit),
            ends_at: entry.window.ends_at,
        })
    }
}

impl Entry {
    fn new(window: Window, limit: i64, is_known: bool) -> Self {
        Self {
            window,
            limit,
            spent: 0,
            free: 0,
            most_free: 0,
            available: 0,
            is_known,
            is_dirty: false,
            looked_at: None,
            demand: 0,
            target: 0,
        }
    }
}

#[cfg(test)]
mod tests;
