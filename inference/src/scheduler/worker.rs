//! The thread of a model: lets jobs in, computes their prompts piece by piece, and between the pieces a token for each
//! answer.

use std::{
    collections::VecDeque,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use super::{
    Limits,
    batch::{Batch, Running, accept, advance, fail},
    batches::{Batches, Single},
    queue::Queue,
    run_length::RunLength,
    stats::Stats,
};
use crate::{
    decoder::{Decoder, Part, steps},
    event::GenerationError,
    fault::message,
    generation::{Generation, Job, Next, Vocabulary},
    kv_cache::BLOCK,
    prefix_cache::PrefixCache,
    session::SessionError,
};

/// Prompt tokens of one run while nothing else waits for the processor. The runtime's scratch memory grows with it, and a
/// client can leave only between runs.
pub(super) const LONG_CHUNK: usize = 512;
/// Prompt tokens of one run while others wait for their next token, which is so much later; more where time allows.
pub(super) const SHORT_CHUNK: usize = 64;
/// An answer begins with room for so many tokens, if it may become so long.
const FIRST_ROOM: usize = 128;

/// A prompt that is being computed.
struct Prompt<C> {
    generation: Generation,
    number: u64,
    single: Single<C>,
    /// Its tokens that are in the cache.
    past: usize,
}

impl<C> Prompt<C> {
    /// The tokens of the next run: never all but one of those that are left.
    fn piece(&self, longest: usize) -> Range<usize> {
        let left = self.generation.prompt().len() - self.past;
        let length = if left == longest + 1 {
            longest - 1
        } else {
            left.min(longest)
        };
        self.past..self.past + length
    }
}

/// An answer that made room for others, and begins again.
struct Paused {
    generation: Generation,
    number: u64,
}

pub(super) struct Worker<'a, D: Decoder> {
    decoder: D,
    vocabulary: &'a Vocabulary,
    queue: &'a Queue,
    stats: &'a Stats,
    limits: Limits,
    batches: Batches<D::Cache>,
    prompt: Option<Prompt<D::Cache>>,
    /// The one that came first is the first.
    paused: VecDeque<Paused>,
    /// Answers in progress when one of them made room: until one of these is over, nobody is let in.
    crowded: Option<usize>,
    prefixes: PrefixCache<D::Block>,
    run_length: RunLength,
    next_number: u64,
}

impl<'a, D: Decoder> Worker<'a, D> {
    pub(super) fn new(
        decoder: D,
        vocabulary: &'a Vocabulary,
        queue: &'a Queue,
        stats: &'a Stats,
        limits: Limits,
    ) -> Self {
        let block_bytes = decoder.shape().bytes(BLOCK);
        let prefixes = PrefixCache::new(limits.prefix_cache_bytes, block_bytes);
        Self {
            batches: Batches::new(decoder.shape(), limits.kv_bytes, decoder.can_join()),
            run_length: RunLength::new(limits.run_time, decoder.longest_piece()),
            decoder,
            vocabulary,
            queue,
            stats,
            limits,
            prompt: None,
            paused: VecDeque::new(),
            crowded: None,
            prefixes,
            next_number: 0,
        }
    }

    /// Works until the queue is finished or closed.
    pub(super) fn run(mut self) {
        loop {
            if self.queue.is_closed() {
                return self.close();
            }
            self.drop_cancelled();
            self.admit();
            if self.prompt.is_none() && self.batches.count() == 0 {
                if self.paused.is_empty() && self.queue.is_over() {
                    return self.publish();
                }
                continue;
            }
            if self.decoder.can_join() && self.parts() > 1 {
                self.grow();
                self.join();
            } else {
                self.compute_prompt();
                self.grow();
                self.step();
            }
            self.batches.tidy(&mut self.decoder, self.prompt.is_some());
            self.publish();
        }
    }

    fn active(&self) -> usize {
        self.batches.count() + usize::from(self.prompt.is_some())
    }

    /// Caches that the next tokens are computed over.
    fn parts(&self) -> usize {
        let batches = self.batches.list.iter();
        batches.filter(|batch| batch.count() > 0).count() + usize::from(self.prompt.is_some())
    }

    fn publish(&self) {
        let bytes = self.batches.bytes() + self.prompt_bytes();
        self.stats.working(self.active() + self.paused.len(), bytes);
    }

    fn prompt_bytes(&self) -> usize {
        let prompt = self.prompt.as_ref();
        prompt.map_or(0, |prompt| {
            self.decoder.shape().bytes(prompt.single.capacity)
        })
    }

    fn close(mut self) {
        let prompt = self.prompt.take().map(|prompt| prompt.generation);
        let paused = self.paused.drain(..).map(|paused| paused.generation);
        let running = self.batches.each().filter_map(Option::take);
        let running = running.map(|running| running.generation);
        for mut generation in running.chain(prompt).chain(paused) {
            fail(&mut generation, GenerationError::Closed);
        }
        self.publish();
    }

    fn drop_cancelled(&mut self) {
        self.queue.drop_cancelled();
        self.paused
            .retain(|paused| !paused.generation.is_cancelled());
        for row in self.batches.each() {
            row.take_if(|running| running.generation.is_cancelled());
        }
        let left = self
            .prompt
            .take_if(|prompt| prompt.generation.is_cancelled());
        if let Some(prompt) = left {
            self.batches.give_back(prompt.single);
        }
    }

    /// Lets the next answer in, if there is a place and memory for it. Waits for one where nothing else is to do.
    fn admit(&mut self) {
        let active = self.active();
        if active >= self.limits.active || self.prompt.is_some() {
            return;
        }
        if self.crowded.is_some_and(|crowd| active >= crowd) && active > 0 {
            return;
        }
        self.crowded = None;
        if let Some(paused) = self.paused.pop_front() {
            return self.resume(paused);
        }
        let job = if active == 0 {
            self.queue.next()
        } else {
            let (batches, decoder) = (&self.batches, &self.decoder);
            self.queue
                .next_if(|job| batches.fits(capacity(decoder, job.prompt.len(), job.max_tokens)))
        };
        let Some(generation) = job.and_then(start) else {
            return;
        };
        let number = self.next_number;
        self.next_number += 1;
        self.resume(Paused { generation, number });
    }

    /// Begins to compute an answer's prompt.
    fn resume(&mut self, paused: Paused) {
        let Paused {
            mut generation,
            number,
        } = paused;
        let tokens = generation.tokens().len();
        let capacity = capacity(&self.decoder, tokens, generation.remaining());
        match self.batches.single(&mut self.decoder, capacity) {
            Ok(Some(single)) => {
                let prompt = Prompt {
                    generation,
                    number,
                    single,
                    past: 0,
                };
                self.begin(prompt);
            }
            Ok(None) => {
                self.crowded = Some(self.active());
                self.paused.push_front(Paused { generation, number });
            }
            Err(error) => fail(&mut generation, error.into()),
        }
    }

    /// Takes what is known of a prompt already.
    fn begin(&mut self, mut prompt: Prompt<D::Cache>) {
        let (decoder, single) = (&mut self.decoder, &mut prompt.single);
        let tokens = prompt.generation.prompt();
        // A run of a single token takes another path through the processor, whose sums round otherwise.
        let most = tokens.len().saturating_sub(2);
        // Where the sums of a run depend on its length, a seeded answer is the same again only if all of it is computed again.
        let may_differ = !decoder.is_uniform() && prompt.generation.is_seeded();
        let most = if may_differ { 0 } else { most };
        let known = self.prefixes.find(tokens, most);
        if let Err(error) = decoder.write(&mut single.cache, &known) {
            return fail(&mut prompt.generation, error.into());
        }
        prompt.past = known.len() * BLOCK;
        prompt.generation.found_cached(prompt.past);
        self.stats.prefixes(&self.prefixes);
        self.prompt = Some(prompt);
    }

    /// Computes the next piece of the prompt in progress.
    fn compute_prompt(&mut self) {
        let Some(mut prompt) = self.prompt.take() else {
            return;
        };
        let is_alone = self.batches.count() == 0;
        let piece = prompt.piece(if is_alone {
            LONG_CHUNK
        } else {
            self.run_length.piece(0).max(SHORT_CHUNK)
        });
        let Prompt {
            generation, single, ..
        } = &mut prompt;
        let tokens = &generation.prompt()[piece.clone()];
        let (decoder, cache, start) = (&mut self.decoder, &mut single.cache, piece.start);
        let begin = Instant::now();
        let logits = match guard(move || decoder.extend(cache, start, tokens, 1)) {
            Ok(logits) => logits,
            Err(error) => return fail(generation, error),
        };
        if !is_alone {
            self.run_length.took(piece.len(), begin.elapsed());
        }
        let is_last = piece.end == generation.prompt().len();
        let next = is_last.then(|| first_token(generation, logits, self.vocabulary));
        self.go_on(prompt, piece.end, next);
    }

    /// Computes the next piece of the prompt in progress and the next token of every answer in one run.
    fn join(&mut self) {
        let begin = Instant::now();
        let mut prompt = self.prompt.take();
        let vocabulary = self.vocabulary;
        let running = self.batches.count();
        let piece = prompt
            .as_ref()
            .map_or(0..0, |prompt| prompt.piece(self.run_length.piece(running)));
        let is_last = prompt
            .as_ref()
            .is_some_and(|prompt| piece.end == prompt.generation.prompt().len());
        let mut beginning = Vec::new();
        let mut parts = Vec::new();
        if let Some(prompt) = &mut prompt {
            let tokens = &prompt.generation.prompt()[piece.clone()];
            beginning.extend(steps(piece.start, tokens));
            let cache = &mut prompt.single.cache;
            parts.push(Part::new(cache, &beginning, usize::from(is_last)));
        }
        let batches = self.batches.list.iter_mut();
        let batches = batches.filter(|batch| batch.count() > 0).map(Batch::part);
        let (more, rows): (Vec<_>, Vec<_>) = batches.unzip();
        parts.extend(more);
        let size = self.decoder.vocabulary_size();
        let decoder = &mut self.decoder;
        let Ok(logits) = guard(|| decoder.join(&mut parts)) else {
            // One by one, only who does not come through fails.
            self.prompt = prompt;
            self.compute_prompt();
            return self.step();
        };
        let mut logits = logits.chunks_exact(size);
        let first = if is_last { logits.next() } else { None };
        for rows in rows {
            advance(rows, &mut logits, vocabulary);
        }
        let Some(mut prompt) = prompt else { return };
        self.run_length.took(running + piece.len(), begin.elapsed());
        let next = first.map(|logits| first_token(&mut prompt.generation, logits, vocabulary));
        self.go_on(prompt, piece.end, next);
    }

    /// Goes on with a prompt that is computed up to a position: with its next piece, or with the answer if that has begun.
    fn go_on(&mut self, mut prompt: Prompt<D::Cache>, past: usize, next: Option<Next>) {
        let before = std::mem::replace(&mut prompt.past, past);
        // Block by block: all of a long prompt at once would be a gap between the tokens of others.
        if past / BLOCK > before / BLOCK {
            self.keep(&prompt);
        }
        let Some(next) = next else {
            self.prompt = Some(prompt);
            return;
        };
        if next == Next::Ended {
            return self.batches.give_back(prompt.single);
        }
        let Prompt {
            generation,
            number,
            single,
            past,
        } = prompt;
        let running = Running::new(generation, past, number);
        self.batches.join(&mut self.decoder, running, single);
    }

    /// Keeps what is computed of a prompt for those that begin alike.
    fn keep(&mut self, prompt: &Prompt<D::Cache>) {
        let (decoder, cache) = (&mut self.decoder, &prompt.single.cache);
        let computed = &prompt.generation.prompt()[..prompt.past];
        let read = |start, blocks| decoder.read(cache, start, blocks);
        // What cannot be read is computed again.
        let _: Result<(), SessionError> = self.prefixes.keep(computed, read);
        self.stats.prefixes(&self.prefixes);
    }

    /// Gives every answer room for its next token. Where there is none, those that came last make room.
    fn grow(&mut self) {
        while let Some(full) = self.batches.full_row() {
            let beside = self.prompt_bytes();
            if self.batches.grow(&mut self.decoder, full, beside) {
                continue;
            }
            let paused = match self.prompt.take() {
                Some(Prompt {
                    generation, number, ..
                }) => Some(Paused { generation, number }),
                None => self.batches.pause_youngest().map(
                    |Running {
                         generation, number, ..
                     }| Paused { generation, number },
                ),
            };
            self.stats.restarted();
            self.paused.extend(paused);
            let by_age = self.paused.make_contiguous();
            by_age.sort_by_key(|paused| paused.number);
            self.crowded = Some(self.active());
        }
    }

    /// Computes the next token of every answer.
    fn step(&mut self) {
        let is_alone = self.prompt.is_none() && self.batches.count() == 1;
        let mut index = 0;
        while let Some(batch) = self.batches.list.get_mut(index) {
            if batch.count() == 0 {
                index += 1;
                continue;
            }
            let (decoder, vocabulary) = (&mut self.decoder, self.vocabulary);
            let speculated = &self.stats.speculated;
            let stepped = guard(|| {
                if is_alone {
                    batch.step_alone(decoder, vocabulary, speculated)
                } else {
                    batch.step(decoder, vocabulary)
                }
            });
            match stepped {
                Ok(()) => index += 1,
                Err(error) => self.batches.give_up(index, error),
            }
        }
    }
}

/// The positions to make room for at first.
fn capacity(decoder: &impl Decoder, tokens: usize, remaining: usize) -> usize {
    decoder
        .shape()
        .capacity_for(tokens + remaining.min(FIRST_ROOM))
}

/// Chooses the first token of an answer whose prompt is computed. Of one that is computed again, it is known.
fn first_token(generation: &mut Generation, logits: &[f32], vocabulary: &Vocabulary) -> Next {
    if generation.tokens().len() == generation.prompt().len() {
        accept(generation, logits, vocabulary)
    } else {
        Next::Token(0)
    }
}

/// Tells the client that its turn has come; none where it left.
fn start(job: Job) -> Option<Generation> {
    let waited = job.queued.elapsed();
    let mut generation = Generation::new(job);
    match catch_unwind(AssertUnwindSafe(|| generation.start(waited))) {
        Ok(flow) => flow.is_continue().then_some(generation),
        Err(panic) => {
            let message = message(&*panic);
            fail(&mut generation, GenerationError::Panicked { message });
            None
        }
    }
}

/// What a run ends with, be it a panic.
fn guard<T>(run: impl FnOnce() -> Result<T, SessionError>) -> Result<T, GenerationError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => Ok(outcome?),
        Err(panic) => Err(GenerationError::Panicked {
            message: message(&*panic),
        }),
    }
}
