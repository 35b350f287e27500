//! All answers that are being computed, and the memory they have: never more than the budget.
//!
//! Where one run takes any caches, each answer is a batch of its own. Elsewhere a batch is a run, so answers of about the same
//! length share one, which has one capacity. An answer that outgrows it takes the batch along while memory is plenty, and
//! moves on alone otherwise.

use super::batch::{Batch, Running, fail};
use crate::{decoder::Decoder, event::GenerationError, kv_cache::KvShape, session::SessionError};

/// Steps with gaps that cost about as much as closing them.
const TOLERATED_STEPS: usize = 16;
/// Short answers wait for others in a batch of at most this many times the capacity they need.
const WIDEST_STRETCH: usize = 4;

/// A cache with one row, for the next prompt.
pub(super) struct Single<C> {
    pub(super) cache: C,
    pub(super) capacity: usize,
}

pub(super) struct Batches<C> {
    pub(super) list: Vec<Batch<C>>,
    /// What a prompt left when its answer moved to a batch, so that the next one finds memory that is in use already.
    spare: Option<Single<C>>,
    shape: KvShape,
    budget: usize,
    /// Whether each answer keeps the cache of its prompt: batches of any sizes are one run.
    is_apart: bool,
}

impl<C> Batches<C> {
    pub(super) fn new(shape: KvShape, budget: usize, is_apart: bool) -> Self {
        Self {
            list: Vec::new(),
            spare: None,
            shape,
            budget,
            is_apart,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.list.iter().map(Batch::count).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        let batches = self.list.iter().map(|batch| batch.bytes(self.shape));
        batches.sum::<usize>() + self.spare_bytes()
    }

    fn spare_bytes(&self) -> usize {
        let spare = self.spare.as_ref();
        spare.map_or(0, |spare| self.shape.bytes(spare.capacity))
    }

    /// Whether a prompt of that capacity has room, once gaps are closed.
    pub(super) fn fits(&self, capacity: usize) -> bool {
        let rows = |batch: &Batch<C>| batch.count() * self.shape.bytes(batch.capacity);
        let used: usize = self.list.iter().map(rows).sum();
        used + self.shape.bytes(capacity) <= self.budget
    }

    pub(super) fn each(&mut self) -> impl Iterator<Item = &mut Option<Running>> {
        self.list.iter_mut().flat_map(|batch| &mut batch.rows)
    }

    /// A cache with one row for a prompt; none where there is no memory for it.
    pub(super) fn single<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        capacity: usize,
    ) -> Result<Option<Single<C>>, SessionError> {
        if let Some(spare) = self.spare.take_if(|spare| spare.capacity == capacity) {
            return Ok(Some(spare));
        }
        if !self.make_room(decoder, self.shape.bytes(capacity)) {
            return Ok(None);
        }
        let cache = decoder.allocate(1, capacity)?;
        Ok(Some(Single { cache, capacity }))
    }

    /// Takes back a cache that nobody uses any more.
    pub(super) fn give_back(&mut self, single: Single<C>) {
        let bytes = self.shape.bytes(single.capacity);
        let smaller = self
            .spare
            .as_ref()
            .is_none_or(|spare| single.capacity < spare.capacity);
        if smaller && self.bytes() - self.spare_bytes() + bytes <= self.budget {
            self.spare = Some(single);
        }
    }

    /// Lets an answer step with others whose prompt was computed in a cache of its own.
    pub(super) fn join<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        mut running: Running,
        single: Single<C>,
    ) {
        let beside = self.shape.bytes(single.capacity);
        let Some((batch, row)) = self.place(decoder, single.capacity, beside) else {
            let batch = Batch::new(single.cache, single.capacity, running);
            return self.list.push(batch);
        };
        let batch = &mut self.list[batch];
        let copied = decoder.copy((&single.cache, 0), (&mut batch.cache, row), running.past);
        match copied {
            Ok(()) => batch.rows[row] = Some(running),
            Err(error) => fail(&mut running.generation, error.into()),
        }
        self.give_back(single);
    }

    /// A free row of at least that capacity, the smallest there is; `beside` bytes are in use elsewhere.
    fn place<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        capacity: usize,
        beside: usize,
    ) -> Option<(usize, usize)> {
        if self.is_apart {
            return None;
        }
        let (shape, budget) = (self.shape, self.budget);
        let wide_enough = capacity..=capacity * WIDEST_STRETCH;
        let mut candidates: Vec<usize> = (0..self.list.len())
            .filter(|&index| wide_enough.contains(&self.list[index].capacity))
            .collect();
        candidates.sort_by_key(|&index| self.list[index].capacity);
        if let Some((index, row)) = candidates
            .iter()
            .find_map(|&index| Some((index, self.list[index].gap()?)))
        {
            return Some((index, row));
        }
        let used = self.bytes() + beside;
        let roomy = |index: &usize| {
            let row = shape.bytes(self.list[*index].capacity);
            // Beyond what is needed only while memory is plenty.
            let limit = if self.list[*index].capacity == capacity {
                budget
            } else {
                budget / 2
            };
            used + row <= limit
        };
        let index = candidates.into_iter().find(roomy)?;
        let capacity = self.list[index].capacity;
        match self.list[index].resize(decoder, capacity, 1) {
            Ok(()) => Some((index, self.list[index].rows.len() - 1)),
            Err(error) => {
                self.give_up(index, error);
                None
            }
        }
    }

    /// An answer that has no room for its next token: its batch and row.
    pub(super) fn full_row(&self) -> Option<(usize, usize)> {
        let full = |batch: &Batch<C>| {
            let is_full =
                |row: &Option<Running>| row.as_ref().is_some_and(|row| row.past >= batch.capacity);
            batch.rows.iter().position(is_full)
        };
        let mut batches = self.list.iter().enumerate();
        batches.find_map(|(index, batch)| Some((index, full(batch)?)))
    }

    /// Gives an answer room for its next token; `beside` bytes are in use elsewhere. Whether there was memory for it.
    pub(super) fn grow<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        (batch, row): (usize, usize),
        beside: usize,
    ) -> bool {
        let capacity = self.shape.capacity_for(self.list[batch].capacity + 1);
        if let Some(place) = self.place(decoder, capacity, beside) {
            self.shift(decoder, (batch, row), place);
            return true;
        }
        if self.full_row() != Some((batch, row)) {
            return true;
        }
        let count = self.list[batch].count();
        let others = self.bytes() + beside - self.list[batch].bytes(self.shape);
        let limit = if count == 1 {
            self.budget
        } else {
            self.budget / 2
        };
        if others + count * self.shape.bytes(capacity) <= limit {
            if let Err(error) = self.list[batch].resize(decoder, capacity, 0) {
                self.give_up(batch, error);
            }
            return true;
        }
        // Closing gaps may move it, or make it the only one of its batch.
        let is_free = self.make_room(decoder, self.shape.bytes(capacity) + beside);
        if self.full_row() != Some((batch, row)) {
            return true;
        }
        if is_free {
            self.part(decoder, (batch, row), capacity);
        }
        is_free
    }

    /// Gives an answer a batch of its own.
    fn part<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        (batch, row): (usize, usize),
        capacity: usize,
    ) {
        let allocated = decoder.allocate(1, capacity);
        let Some(mut running) = self.list[batch].rows[row].take() else {
            return;
        };
        let copied = allocated.and_then(|mut cache| {
            let source = (&self.list[batch].cache, row);
            decoder.copy(source, (&mut cache, 0), running.past)?;
            Ok(cache)
        });
        match copied {
            Ok(cache) => self.list.push(Batch::new(cache, capacity, running)),
            Err(error) => fail(&mut running.generation, error.into()),
        }
    }

    fn shift<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        from: (usize, usize),
        to: (usize, usize),
    ) {
        let Ok([source, target]) = self.list.get_disjoint_mut([from.0, to.0]) else {
            return;
        };
        let Some(mut running) = source.rows[from.1].take() else {
            return;
        };
        let copied = decoder.copy(
            (&source.cache, from.1),
            (&mut target.cache, to.1),
            running.past,
        );
        match copied {
            Ok(()) => target.rows[to.1] = Some(running),
            Err(error) => fail(&mut running.generation, error.into()),
        }
    }

    /// Takes the answer that came last out of its row.
    pub(super) fn pause_youngest(&mut self) -> Option<Running> {
        let youngest = self
            .each()
            .max_by_key(|row| row.as_ref().map(|row| row.number))?;
        youngest.take()
    }

    /// Whether so many bytes are free, after gaps are closed where that is needed.
    fn make_room<D: Decoder<Cache = C>>(&mut self, decoder: &mut D, bytes: usize) -> bool {
        if self.bytes() + bytes > self.budget {
            self.spare = None;
        }
        if self.bytes() + bytes > self.budget {
            self.close_gaps(decoder, 0);
        }
        self.bytes() + bytes <= self.budget
    }

    /// Leaves out batches without rows, and rows that were gaps for long, unless somebody is about to take them.
    pub(super) fn tidy<D: Decoder<Cache = C>>(&mut self, decoder: &mut D, expecting: bool) {
        let tolerated = if expecting {
            usize::MAX
        } else {
            TOLERATED_STEPS
        };
        self.list.iter_mut().for_each(Batch::watch_gaps);
        self.close_gaps(decoder, tolerated);
    }

    fn close_gaps<D: Decoder<Cache = C>>(&mut self, decoder: &mut D, tolerated: usize) {
        let mut index = 0;
        while let Some(batch) = self.list.get_mut(index) {
            if batch.count() == 0 {
                let Batch {
                    cache,
                    capacity,
                    rows,
                    ..
                } = self.list.swap_remove(index);
                if rows.len() == 1 && tolerated > 0 {
                    self.give_back(Single { cache, capacity });
                }
                continue;
            }
            if batch.gap().is_some() && batch.wasteful_steps >= tolerated {
                let longest = batch.rows.iter().flatten().map(|row| row.past).max();
                let capacity = self
                    .shape
                    .capacity_for(longest.unwrap_or(0) + 1)
                    .min(batch.capacity);
                if let Err(error) = batch.resize(decoder, capacity, 0) {
                    self.give_up(index, error);
                    continue;
                }
            }
            index += 1;
        }
    }

    /// Ends all answers of a batch whose cache is not valid any more.
    pub(super) fn give_up(&mut self, batch: usize, error: impl Into<GenerationError>) {
        let error = error.into();
        let mut batch = self.list.swap_remove(batch);
        for running in batch.rows.iter_mut().flatten() {
            fail(&mut running.generation, error.clone());
        }
    }
}
