//! Which updates came already. Telegram repeats an update until it is acknowledged.

use std::collections::{HashSet, VecDeque};

/// The last update ids, a bounded number of them.
#[derive(Debug)]
pub(crate) struct Seen {
    ids: HashSet<i64>,
    order: VecDeque<i64>,
    capacity: usize,
}

impl Seen {
    /// Remember this many.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            ids: HashSet::new(),
            order: VecDeque::new(),
            capacity,
        }
    }

    /// Whether the update came already.
    pub(crate) fn contains(&self, id: i64) -> bool {
        self.ids.contains(&id)
    }

    /// Remember an update, at the cost of the oldest one.
    pub(crate) fn insert(&mut self, id: i64) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut seen = Seen::new(2);
        for id in [1, 2, 2, 3] {
            seen.insert(id);
        }
        assert_eq!([1, 2, 3].map(|id| seen.contains(id)), [false, true, true]);
        assert_eq!((seen.ids.len(), seen.order.len()), (2, 2));
    }
}
