//! A model for tests: what comes next is a function of all tokens that its cache holds, so that a row that was mixed up,
//! moved wrongly or overwritten gives another text.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{Decoder, Part, Step, steps};
use crate::{
    generation::tests::EOS,
    kv_cache::{BLOCK, KvShape},
    session::{Move, SessionError},
};

const VOCABULARY: usize = 300;
pub(crate) const CONTEXT: usize = 3000;
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What a test sees and decides.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// Runs that may be made; without a limit when absent.
    permits: Mutex<Option<usize>>,
    changed: Condvar,
    runs: Mutex<Vec<String>>,
    /// Positions that caches have now, and had at most.
    held: AtomicUsize,
    most_held: AtomicUsize,
}

impl Control {
    /// From now on, so many runs and no more.
    pub(crate) fn permit(&self, runs: usize) {
        let mut permits = self.permits.lock().expect("not poisoned");
        *permits = Some(permits.unwrap_or(0) + runs);
        drop(permits);
        self.changed.notify_all();
    }

    pub(crate) fn permit_all(&self) {
        *self.permits.lock().expect("not poisoned") = None;
        self.changed.notify_all();
    }

    /// The runs so far: `prompt 3+64` is 64 tokens after 3, `step 5,9` a token after 5 tokens, and one after 9. In a run of
    /// several caches there is ` | ` between them.
    pub(crate) fn runs(&self) -> Vec<String> {
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn most_held(&self) -> usize {
        self.most_held.load(Relaxed)
    }

    fn run(&self, what: String) {
        let mut permits = self
            .changed
            .wait_timeout_while(
                self.permits.lock().expect("not poisoned"),
                PATIENCE,
                |permits| *permits == Some(0),
            )
            .expect("not poisoned")
            .0;
        if let Some(permits) = &mut *permits {
            *permits = permits.checked_sub(1).expect("no permission came");
        }
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }

    fn hold(&self, positions: usize) {
        let held = self.held.fetch_add(positions, Relaxed) + positions;
        self.most_held.fetch_max(held, Relaxed);
    }
}

/// How the text goes on.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    /// After the prompt, these tokens whatever it was; then the engine fails.
    Fixed(Vec<u32>),
    /// Of a few letters, with repetitions, and with an end now and then.
    Chance,
}

/// Whether several caches can take part in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    None,
    /// As with our own attention.
    All,
    /// As if there were no memory for such a run.
    Failing,
}

pub(crate) struct Fake {
    text: Text,
    control: Arc<Control>,
    joins: Joins,
    has_memory: bool,
    is_uniform: bool,
    logits: Vec<f32>,
}

pub(crate) struct FakeCache {
    values: Vec<f32>,
    rows: usize,
    capacity: usize,
    control: Arc<Control>,
}

impl Drop for FakeCache {
    fn drop(&mut self) {
        self.control
            .held
            .fetch_sub(self.rows * self.capacity, Relaxed);
    }
}

impl Fake {
    pub(crate) fn new(text: Text, control: &Arc<Control>) -> Self {
        Self {
            text,
            control: Arc::clone(control),
            joins: Joins::None,
            has_memory: true,
            is_uniform: true,
            logits: Vec::new(),
        }
    }

    pub(crate) fn with(self, joins: Joins) -> Self {
        Self { joins, ..self }
    }

    /// As on a GPU.
    pub(crate) fn with_sums_in_any_order(self) -> Self {
        Self {
            is_uniform: false,
            ..self
        }
    }

    /// As if there were a fault where nobody expects one.
    pub(crate) fn without_memory(self) -> Self {
        Self {
            has_memory: false,
            ..self
        }
    }

    fn next(&self, history: &[f32]) -> Result<u32, SessionError> {
        let tokens: Vec<u32> = history.iter().map(|value| value.to_bits()).collect();
        match &self.text {
            Text::Fixed(answer) => {
                // Prompts of these tests are made of small tokens.
                let given = tokens.iter().filter(|&&token| token >= 32).count();
                answer.get(given).copied().ok_or(SessionError::NotFinite)
            }
            Text::Chance => Ok(by_chance(&tokens)),
        }
    }
}

/// Mostly what the last two tokens say, which repeats itself; sometimes what all tokens say.
fn by_chance(tokens: &[u32]) -> u32 {
    let all = mix(tokens);
    let near = mix(&tokens[tokens.len().saturating_sub(2)..]);
    match all % 1024 {
        0 => EOS,
        1..100 => 97 + u32::try_from(all / 1024 % 20).expect("small"),
        _ => 97 + u32::try_from(near % 5).expect("small"),
    }
}

fn mix(tokens: &[u32]) -> u64 {
    let add = |hash: u64, &token: &u32| {
        (hash ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3) ^ (hash >> 29)
    };
    let hash = tokens.iter().fold(0xcbf2_9ce4_8422_2325, add);
    hash ^ (hash >> 32)
}

impl FakeCache {
    fn row(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.capacity..][..self.capacity]
    }
}

impl Fake {
    /// Takes a token, and says what comes next where that is wanted.
    fn take(
        &mut self,
        cache: &mut FakeCache,
        step: Step,
        is_wanted: bool,
    ) -> Result<(), SessionError> {
        let values = cache.row(step.row);
        values[step.past] = f32::from_bits(step.token);
        if is_wanted {
            let next = self.next(&values[..=step.past])?;
            self.say(next);
        }
        Ok(())
    }

    fn say(&mut self, token: u32) {
        // Some spread, so that chance has a choice; the likeliest is `token`.
        let start = self.logits.len();
        self.logits.resize(start + VOCABULARY, f32::NEG_INFINITY);
        let logits = &mut self.logits[start..];
        logits[token as usize] = 2.0;
        logits[98] = logits[98].max(1.0);
        logits[99] = logits[99].max(0.5);
    }
}

fn pasts(steps: &[Step]) -> String {
    let pasts: Vec<String> = steps.iter().map(|step| step.past.to_string()).collect();
    pasts.join(",")
}

impl Decoder for Fake {
    type Cache = FakeCache;
    type Block = Box<[f32]>;

    fn shape(&self) -> KvShape {
        KvShape {
            layers: 1,
            heads: 1,
            head_size: 1,
            context_length: CONTEXT,
            number_bytes: 4,
        }
    }

    fn vocabulary_size(&self) -> usize {
        VOCABULARY
    }

    fn longest_piece(&self) -> usize {
        64
    }

    fn can_join(&self) -> bool {
        self.joins != Joins::None
    }

    fn is_uniform(&self) -> bool {
        self.is_uniform
    }

    fn allocate(&mut self, rows: usize, capacity: usize) -> Result<FakeCache, SessionError> {
        assert!(self.has_memory, "asked to");
        self.control.hold(rows * capacity);
        Ok(FakeCache {
            values: vec![f32::NAN; rows * capacity],
            rows,
            capacity,
            control: Arc::clone(&self.control),
        })
    }

    fn resize(
        &mut self,
        cache: &mut FakeCache,
        rows: usize,
        capacity: usize,
        moves: &[Move],
    ) -> Result<(), SessionError> {
        let mut values = vec![f32::NAN; rows * capacity];
        for step in moves {
            let source = &cache.values[step.from * cache.capacity..][..step.positions];
            values[step.to * capacity..][..step.positions].copy_from_slice(source);
        }
        // One tensor after another: nothing is there twice.
        self.control
            .held
            .fetch_sub(cache.rows * cache.capacity, Relaxed);
        self.control.hold(rows * capacity);
        (cache.values, cache.rows, cache.capacity) = (values, rows, capacity);
        Ok(())
    }

    fn copy(
        &mut self,
        (source, from): (&FakeCache, usize),
        (target, to): (&mut FakeCache, usize),
        positions: usize,
    ) -> Result<(), SessionError> {
        let source = &source.values[from * source.capacity..][..positions];
        target.row(to)[..positions].copy_from_slice(source);
        Ok(())
    }

    fn read(
        &mut self,
        cache: &FakeCache,
        start: usize,
        blocks: usize,
    ) -> Result<Vec<Box<[f32]>>, SessionError> {
        let values = cache.values[start..].chunks_exact(BLOCK).take(blocks);
        Ok(values.map(Into::into).collect())
    }

    fn write(&mut self, cache: &mut FakeCache, blocks: &[&Box<[f32]>]) -> Result<(), SessionError> {
        for (row, block) in cache.row(0).chunks_exact_mut(BLOCK).zip(blocks) {
            row.copy_from_slice(block);
        }
        Ok(())
    }

    fn extend<'a>(
        &'a mut self,
        cache: &'a mut FakeCache,
        past: usize,
        tokens: &[u32],
        wanted: usize,
    ) -> Result<&'a [f32], SessionError> {
        assert_eq!(cache.rows, 1);
        self.control.run(if wanted == 1 {
            format!("prompt {past}+{}", tokens.len())
        } else {
            format!("guess {past}+{}", tokens.len())
        });
        self.logits.clear();
        for (index, step) in steps(past, tokens).enumerate() {
            self.take(cache, step, index + wanted >= tokens.len())?;
        }
        Ok(&self.logits)
    }

    fn step<'a>(
        &'a mut self,
        cache: &'a mut FakeCache,
        steps: &[Step],
    ) -> Result<&'a [f32], SessionError> {
        self.control.run(format!("step {}", pasts(steps)));
        self.logits.clear();
        for step in steps {
            self.take(cache, *step, true)?;
        }
        Ok(&self.logits)
    }

    fn join<'a>(
        &'a mut self,
        parts: &mut [Part<'_, FakeCache>],
    ) -> Result<&'a [f32], SessionError> {
        match self.joins {
            Joins::None => panic!("nobody asks for what cannot be"),
            Joins::All => {}
            Joins::Failing => return Err(SessionError::NotFinite),
        }
        let describe = |part: &Part<'_, FakeCache>| match part.steps {
            [first, _, ..] if part.steps.iter().all(|step| step.row == 0) => {
                format!("prompt {}+{}", first.past, part.steps.len())
            }
            steps => format!("step {}", pasts(steps)),
        };
        let all: Vec<String> = parts.iter().map(describe).collect();
        self.control.run(all.join(" | "));
        self.logits.clear();
        for part in parts {
            for (index, step) in part.steps.iter().enumerate() {
                let is_wanted = index + part.wanted >= part.steps.len();
                self.take(part.cache, *step, is_wanted)?;
            }
        }
        Ok(&self.logits)
    }
}
