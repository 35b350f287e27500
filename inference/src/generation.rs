//! One answer, from its first token to its last: takes logits, and says what comes next.
//!
//! Where the logits come from, alone or together with others, makes no difference here.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    answer_text::AnswerText,
    chat_request::Cancellation,
    event::{
        Event, EventSink, FinishReason, GenerationError, TokenLogProbabilities,
        TokenLogProbability, Usage,
    },
    sampler::{LogProbabilities, Sampler},
    stop_strings::Passed,
    tokenizer::Tokenizer,
};

/// A request that a model has accepted.
pub(crate) struct Job {
    pub(crate) prompt: Vec<u32>,
    /// At least 1, and no more than the context has room for after the prompt.
    pub(crate) max_tokens: usize,
    /// Chooses every token of the answer, in order.
    pub(crate) sampler: Sampler,
    pub(crate) stop: Vec<String>,
    pub(crate) cancellation: Cancellation,
    pub(crate) sink: EventSink,
    /// When it was put into the queue.
    pub(crate) queued: Instant,
    /// Who asks: those who ask take turns.
    pub(crate) client: String,
    /// Whether several tokens may be computed at once where the text repeats itself.
    pub(crate) may_speculate: bool,
    /// Whether the answer must be the same whatever else the model is doing.
    pub(crate) is_seeded: bool,
}

/// What tokens mean to the model.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) eos: Vec<u32>,
}

impl Vocabulary {
    fn describe(&self, token: u32, probabilities: LogProbabilities) -> TokenLogProbabilities {
        let LogProbabilities { chosen, top } = probabilities;
        let one = |(token, log_probability)| TokenLogProbability {
            token,
            bytes: self.told_bytes(token),
            log_probability,
        };
        TokenLogProbabilities {
            chosen: one((token, chosen)),
            top: top.into_iter().map(one).collect(),
        }
    }

    /// What a token is called; markup is called by its name.
    fn told_bytes(&self, token: u32) -> Vec<u8> {
        let bytes = self.tokenizer.token_bytes(token);
        if bytes.is_empty() {
            let markup = self.tokenizer.markup_text(token).unwrap_or_default();
            return markup.into_bytes();
        }
        bytes.to_vec()
    }
}

/// What a generation wants after some logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The logits that follow this token.
    Token(u32),
    /// Nothing: the last event was given, or the client left.
    Ended,
}

/// An answer that is being computed.
pub(crate) struct Generation {
    /// The prompt's tokens, and those of the answer.
    tokens: Vec<u32>,
    prompt_tokens: usize,
    cached_tokens: usize,
    max_tokens: usize,
    sampler: Sampler,
    text: AnswerText,
    cancellation: Cancellation,
    sink: EventSink,
    may_speculate: bool,
    is_seeded: bool,
}

impl Generation {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            prompt_tokens: job.prompt.len(),
            tokens: job.prompt,
            cached_tokens: 0,
            max_tokens: job.max_tokens,
            sampler: job.sampler,
            text: AnswerText::new(job.stop),
            cancellation: job.cancellation,
            sink: job.sink,
            may_speculate: job.may_speculate,
            is_seeded: job.is_seeded,
        }
    }

    /// Tells the client that its turn has come.
    pub(crate) fn start(&mut self, waited: Duration) -> ControlFlow<()> {
        self.emit(Event::Started {
            prompt_tokens: self.prompt_tokens,
            waited,
        })
    }

    /// The prompt and the answer so far.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(crate) fn prompt(&self) -> &[u32] {
        &self.tokens[..self.prompt_tokens]
    }

    /// The tokens that are still to come at most.
    pub(crate) fn remaining(&self) -> usize {
        (self.prompt_tokens + self.max_tokens).saturating_sub(self.tokens.len())
    }

    pub(crate) fn may_speculate(&self) -> bool {
        self.may_speculate
    }

    pub(crate) fn is_seeded(&self) -> bool {
        self.is_seeded
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// So many of the prompt's tokens were at hand.
    pub(crate) fn found_cached(&mut self, tokens: usize) {
        self.cached_tokens = tokens;
    }

    /// Chooses the token that follows the last one, and tells the client.
    pub(crate) fn accept(&mut self, logits: &[f32], vocabulary: &Vocabulary) -> Next {
        let chosen = match self.sampler.choose(logits) {
            Ok(chosen) => chosen,
            Err(error) => return self.fail(error),
        };
        let token = chosen.token;
        self.tokens.push(token);
        if vocabulary.eos.contains(&token) {
            return self.finish(FinishReason::Stop);
        }
        if let Some(probabilities) = chosen.log_probabilities {
            let told = vocabulary.describe(token, probabilities);
            if self.emit(Event::LogProbabilities(told)).is_break() {
                return Next::Ended;
            }
        }
        let flow = match self.text.push(vocabulary.tokenizer.token_bytes(token)) {
            Passed::Text(piece) => self.emit_text(piece),
            Passed::Stopped(piece) => return self.end(piece, FinishReason::Stop),
        };
        if flow.is_break() {
            Next::Ended
        } else if self.remaining() == 0 {
            self.finish(FinishReason::Length)
        } else {
            Next::Token(token)
        }
    }

    /// Tells the client that its answer cannot be completed.
    pub(crate) fn fail(&mut self, error: GenerationError) -> Next {
        if !self.is_cancelled() {
            // Nothing follows, so it makes no difference whether the client wants more.
            let _ = (self.sink)(Event::Failed(error));
        }
        Next::Ended
    }

    fn finish(&mut self, reason: FinishReason) -> Next {
        match self.text.finish() {
            Passed::Text(piece) => self.end(piece, reason),
            Passed::Stopped(piece) => self.end(piece, FinishReason::Stop),
        }
    }

    fn end(&mut self, piece: String, reason: FinishReason) -> Next {
        if self.emit_text(piece).is_continue() {
            let usage = Usage {
                prompt_tokens: self.prompt_tokens,
                cached_tokens: self.cached_tokens,
                completion_tokens: self.tokens.len() - self.prompt_tokens,
            };
            let _ = self.emit(Event::Finished { reason, usage });
        }
        Next::Ended
    }

    fn emit_text(&mut self, text: String) -> ControlFlow<()> {
        if text.is_empty() {
            ControlFlow::Continue(())
        } else {
            self.emit(Event::Text(text))
        }
    }

    fn emit(&mut self, event: Event) -> ControlFlow<()> {
        if self.is_cancelled() {
            return ControlFlow::Break(());
        }
        (self.sink)(event)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::{sampler::Sampling, tokenizer::tests::bytes_tokenizer};

    pub(crate) const EOS: u32 = 257;

    pub(crate) fn vocabulary() -> Vocabulary {
        Vocabulary {
            tokenizer: Arc::new(bytes_tokenizer()),
            eos: vec![EOS],
        }
    }

    pub(crate) type Seen = Arc<Mutex<Vec<String>>>;

    pub(crate) fn seen(events: &Seen) -> Vec<String> {
        events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn greedy() -> Sampling {
        Sampling {
            temperature: 0.0,
            ..Sampling::default()
        }
    }

    /// A greedy job that writes down its events.
    pub(crate) fn job(max_tokens: usize) -> (Job, Seen) {
        let events = Seen::default();
        let written = Arc::clone(&events);
        let job = Job {
            prompt: vec![1, 2, 3],
            max_tokens,
            sampler: Sampler::new(greedy(), &[], None),
            stop: Vec::new(),
            cancellation: Cancellation::default(),
            sink: Box::new(move |event| {
                written
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(describe(&event));
                ControlFlow::Continue(())
            }),
            queued: Instant::now(),
            client: String::new(),
            may_speculate: true,
            is_seeded: false,
        };
        (job, events)
    }

    pub(crate) fn describe(event: &Event) -> String {
        match event {
            Event::Started { prompt_tokens, .. } => format!("started {prompt_tokens}"),
            Event::Text(text) => format!("text {text}"),
            Event::ToolCall(piece) => format!("call {}", piece.arguments),
            Event::LogProbabilities(told) => format!(
                "{} of {}",
                String::from_utf8_lossy(&told.chosen.bytes),
                told.top.len()
            ),
            Event::Finished { reason, usage } => format!("{reason:?} {}", usage.completion_tokens),
            Event::Failed(error) => format!("failed {error}"),
        }
    }

    /// Gives a generation the logits of one token after another, until it has enough; returns how many it took.
    fn run(job: Job, tokens: &[u32]) -> usize {
        let mut generation = Generation::new(job);
        let vocabulary = vocabulary();
        if generation.start(Duration::ZERO).is_break() {
            return 0;
        }
        let logits = |token: u32| {
            let mut logits = vec![0.0; 300];
            logits[token as usize] = 1.0;
            logits
        };
        let ends = |&token: &u32| generation.accept(&logits(token), &vocabulary) == Next::Ended;
        tokens
            .iter()
            .position(ends)
            .map_or(tokens.len(), |last| last + 1)
    }

    fn tokens(text: &str) -> Vec<u32> {
        let mut tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        tokens.push(EOS);
        tokens
    }

    #[test]
    fn an_answer_ends_with_its_end_token() {
        let (job, events) = job(10);
        run(job, &tokens("ok"));
        assert_eq!(seen(&events), ["started 3", "text o", "text k", "Stop 3"]);
    }

    #[test]
    fn how_likely_tokens_were_is_told_before_their_text() {
        let (mut job, events) = job(10);
        let sampling = Sampling {
            log_probabilities: Some(2),
            ..greedy()
        };
        job.sampler = Sampler::new(sampling, &[], None);
        run(job, &tokens("é"));
        let part = "\u{fffd} of 2";
        assert_eq!(seen(&events), ["started 3", part, part, "text é", "Stop 3"]);
    }

    #[test]
    fn an_answer_ends_at_its_limit() {
        let (job, events) = job(2);
        assert_eq!(run(job, &tokens("long")), 2);
        assert_eq!(seen(&events), ["started 3", "text l", "text o", "Length 2"]);
    }

    #[test]
    fn a_character_is_never_split_even_by_the_limit() {
        let (first, events) = job(9);
        run(first, &tokens("é🙂"));
        assert_eq!(seen(&events), ["started 3", "text é", "text 🙂", "Stop 7"]);
        let (cut, events) = job(3);
        run(cut, &tokens("é🙂"));
        assert_eq!(
            seen(&events),
            ["started 3", "text é", "text \u{fffd}", "Length 3"]
        );
    }

    #[test]
    fn a_stop_string_across_tokens_ends_the_answer_before_it() {
        let (mut job, events) = job(10);
        job.stop = vec!["EN".to_owned()];
        run(job, &tokens("aEbEND"));
        assert_eq!(seen(&events), ["started 3", "text a", "text Eb", "Stop 5"]);
    }

    #[test]
    fn held_back_text_comes_when_the_answer_ends() {
        let (mut job, events) = job(10);
        job.stop = vec!["END".to_owned()];
        run(job, &tokens("aEN"));
        assert_eq!(seen(&events), ["started 3", "text a", "text EN", "Stop 4"]);
    }

    #[test]
    fn a_client_that_leaves_ends_the_answer_at_once() {
        let (mut job, events) = job(10);
        let written = Arc::clone(&events);
        job.sink = Box::new(move |event| {
            let mut events = written.lock().expect("not poisoned");
            events.push(describe(&event));
            if events.len() < 3 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        assert_eq!(run(job, &tokens("abcdef")), 2);
        assert_eq!(seen(&events), ["started 3", "text a", "text b"]);
    }

    #[test]
    fn a_cancelled_generation_says_nothing() {
        let (job, events) = job(10);
        job.cancellation.cancel();
        assert_eq!(run(job, &tokens("abc")), 0);
        assert!(seen(&events).is_empty());
    }

    #[test]
    fn logits_without_a_number_are_the_last_event() {
        let (job, events) = job(10);
        let mut generation = Generation::new(job);
        assert_eq!(generation.accept(&[f32::NAN], &vocabulary()), Next::Ended);
        assert_eq!(
            seen(&events),
            ["failed the model computed no token that can be chosen; its weights are damaged"]
        );
    }
}
