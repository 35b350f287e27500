//! One answer, from its prompt to its last token.

use std::{ops::ControlFlow, time::Instant};

use crate::{
    chat_request::Cancellation,
    event::{Event, EventSink, FinishReason, GenerationError, Usage},
    sampler::{Sampler, Sampling},
    session::{DecoderSession, SessionError},
    stop_strings::{Passed, StopStrings},
    text_stream::TextStream,
    tokenizer::Tokenizer,
};

/// Prompt tokens of one run. The runtime's scratch memory grows with it, and a client can leave only between runs.
const PREFILL_CHUNK: usize = 512;

/// What a generation needs of a model.
pub(crate) trait Decoder {
    /// Forgets the conversation, and makes room for one of `positions` tokens.
    fn start(&mut self, positions: usize) -> Result<(), SessionError>;
    /// Adds tokens, and returns the logits of what follows them.
    fn forward(&mut self, tokens: &[u32]) -> Result<&[f32], SessionError>;
}

impl Decoder for DecoderSession {
    fn start(&mut self, positions: usize) -> Result<(), SessionError> {
        Self::start(self, positions)
    }

    fn forward(&mut self, tokens: &[u32]) -> Result<&[f32], SessionError> {
        Self::forward(self, tokens)
    }
}

/// A request that a model has accepted.
pub(crate) struct Job {
    pub(crate) prompt: Vec<u32>,
    /// At least 1, and no more than the context has room for after the prompt.
    pub(crate) max_tokens: usize,
    pub(crate) sampling: Sampling,
    pub(crate) stop: Vec<String>,
    pub(crate) cancellation: Cancellation,
    pub(crate) sink: EventSink,
    /// When it was put into the queue.
    pub(crate) queued: Instant,
}

/// What tokens mean to the model.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) tokenizer: std::sync::Arc<Tokenizer>,
    pub(crate) eos: Vec<u32>,
}

/// The client left before the answer was complete.
struct Left;

/// Why a generation stops early.
enum Interruption {
    Left,
    Failed(GenerationError),
}

impl From<Left> for Interruption {
    fn from(Left: Left) -> Self {
        Self::Left
    }
}

impl From<GenerationError> for Interruption {
    fn from(error: GenerationError) -> Self {
        Self::Failed(error)
    }
}

impl From<SessionError> for Interruption {
    fn from(error: SessionError) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs a job to its last event. `is_closed` tells between tokens whether the model is to stop.
pub(crate) fn run(
    decoder: &mut impl Decoder,
    vocabulary: &Vocabulary,
    job: &mut Job,
    is_closed: &dyn Fn() -> bool,
) {
    let mut decoder = Closable { decoder, is_closed };
    let last_event = match generate(&mut decoder, vocabulary, job) {
        Ok((reason, usage)) => Event::Finished { reason, usage },
        Err(Interruption::Failed(error)) => Event::Failed(error),
        Err(Interruption::Left) => return,
    };
    // Nothing follows, so it makes no difference whether the client wants more.
    let _ = (job.sink)(last_event);
}

/// A decoder that refuses to go on when its model is closed.
struct Closable<'a, D> {
    decoder: &'a mut D,
    is_closed: &'a dyn Fn() -> bool,
}

impl<D: Decoder> Closable<'_, D> {
    fn forward(&mut self, tokens: &[u32]) -> Result<&[f32], GenerationError> {
        if (self.is_closed)() {
            return Err(GenerationError::Closed);
        }
        Ok(self.decoder.forward(tokens)?)
    }
}

fn generate<D: Decoder>(
    decoder: &mut Closable<'_, D>,
    vocabulary: &Vocabulary,
    job: &mut Job,
) -> Result<(FinishReason, Usage), Interruption> {
    let prompt_tokens = job.prompt.len();
    let waited = job.queued.elapsed();
    job.emit(Event::Started {
        prompt_tokens,
        waited,
    })?;
    decoder.decoder.start(prompt_tokens + job.max_tokens)?;
    let mut sampler = Sampler::new(job.sampling);
    let mut text = TextStream::default();
    let mut stops = StopStrings::new(std::mem::take(&mut job.stop));
    let mut token = prefill(decoder, job, &mut sampler)?;
    let mut completion_tokens = 1;
    let reason = loop {
        if vocabulary.eos.contains(&token) {
            break FinishReason::Stop;
        }
        match stops.push(&text.push(vocabulary.tokenizer.token_bytes(token))) {
            Passed::Text(piece) => job.emit_text(piece)?,
            Passed::Stopped(piece) => {
                job.emit_text(piece)?;
                return Ok((
                    FinishReason::Stop,
                    Usage {
                        prompt_tokens,
                        completion_tokens,
                    },
                ));
            }
        }
        if completion_tokens == job.max_tokens {
            break FinishReason::Length;
        }
        token = sampler
            .choose(decoder.forward(&[token])?)
            .ok_or(GenerationError::NoToken)?;
        completion_tokens += 1;
        job.check_client()?;
    };
    let usage = Usage {
        prompt_tokens,
        completion_tokens,
    };
    match stops.push(&text.finish()) {
        Passed::Stopped(piece) => {
            job.emit_text(piece)?;
            Ok((FinishReason::Stop, usage))
        }
        Passed::Text(piece) => {
            job.emit_text(piece + &stops.finish())?;
            Ok((reason, usage))
        }
    }
}

/// Runs the prompt, and chooses the first token of the answer.
fn prefill<D: Decoder>(
    decoder: &mut Closable<'_, D>,
    job: &Job,
    sampler: &mut Sampler,
) -> Result<u32, Interruption> {
    let mut logits: &[f32] = &[];
    for chunk in job.prompt.chunks(PREFILL_CHUNK) {
        job.check_client()?;
        logits = decoder.forward(chunk)?;
    }
    Ok(sampler.choose(logits).ok_or(GenerationError::NoToken)?)
}

impl Job {
    fn check_client(&self) -> Result<(), Left> {
        if self.cancellation.is_cancelled() {
            Err(Left)
        } else {
            Ok(())
        }
    }

    fn emit(&mut self, event: Event) -> Result<(), Left> {
        self.check_client()?;
        match (self.sink)(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Left),
        }
    }

    fn emit_text(&mut self, text: String) -> Result<(), Left> {
        if text.is_empty() {
            Ok(())
        } else {
            self.emit(Event::Text(text))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;
    use crate::tokenizer::tests::bytes_tokenizer;

    pub(crate) const EOS: u32 = 257;

    /// Answers with a fixed list of tokens, whatever it is asked.
    pub(crate) struct Script {
        pub(crate) answer: Vec<u32>,
        pub(crate) given: usize,
        pub(crate) runs: Vec<usize>,
        logits: Vec<f32>,
    }

    impl Script {
        pub(crate) fn new(answer: &[u32]) -> Self {
            Self {
                answer: answer.to_vec(),
                given: 0,
                runs: Vec::new(),
                logits: vec![0.0; 300],
            }
        }
    }

    impl Decoder for Script {
        fn start(&mut self, _positions: usize) -> Result<(), SessionError> {
            self.given = 0;
            Ok(())
        }

        fn forward(&mut self, tokens: &[u32]) -> Result<&[f32], SessionError> {
            self.runs.push(tokens.len());
            self.logits.fill(0.0);
            let is_prompt = tokens.len() > 1;
            let index = if is_prompt { 0 } else { self.given };
            let next = *self.answer.get(index).ok_or(SessionError::NotFinite)?;
            self.logits[next as usize] = 1.0;
            self.given = index + 1;
            Ok(&self.logits)
        }
    }

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

    /// A greedy job that writes down its events.
    pub(crate) fn job(max_tokens: usize) -> (Job, Seen) {
        let events = Seen::default();
        let written = Arc::clone(&events);
        let job = Job {
            prompt: vec![1, 2, 3],
            max_tokens,
            sampling: Sampling {
                temperature: 0.0,
                top_p: 1.0,
                top_k: 0,
                seed: 0,
            },
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
        };
        (job, events)
    }

    fn describe(event: &Event) -> String {
        match event {
            Event::Started { prompt_tokens, .. } => format!("started {prompt_tokens}"),
            Event::Text(text) => format!("text {text}"),
            Event::Finished { reason, usage } => format!("{reason:?} {}", usage.completion_tokens),
            Event::Failed(error) => format!("failed {error}"),
        }
    }

    fn tokens(text: &str) -> Vec<u32> {
        let mut tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        tokens.push(EOS);
        tokens
    }

    #[test]
    fn an_answer_ends_with_its_end_token() {
        let (mut job, events) = job(10);
        run(
            &mut Script::new(&tokens("ok")),
            &vocabulary(),
            &mut job,
            &|| false,
        );
        assert_eq!(seen(&events), ["started 3", "text o", "text k", "Stop 3"]);
    }

    #[test]
    fn an_answer_ends_at_its_limit() {
        let (mut job, events) = job(2);
        run(
            &mut Script::new(&tokens("long")),
            &vocabulary(),
            &mut job,
            &|| false,
        );
        assert_eq!(seen(&events), ["started 3", "text l", "text o", "Length 2"]);
    }

    #[test]
    fn a_character_is_never_split_even_by_the_limit() {
        let (mut first, events) = job(9);
        run(
            &mut Script::new(&tokens("é🙂")),
            &vocabulary(),
            &mut first,
            &|| false,
        );
        assert_eq!(seen(&events), ["started 3", "text é", "text 🙂", "Stop 7"]);
        let (mut cut, events) = job(3);
        run(
            &mut Script::new(&tokens("é🙂")),
            &vocabulary(),
            &mut cut,
            &|| false,
        );
        assert_eq!(
            seen(&events),
            ["started 3", "text é", "text \u{fffd}", "Length 3"]
        );
    }

    #[test]
    fn a_stop_string_across_tokens_ends_the_answer_before_it() {
        let (mut job, events) = job(10);
        job.stop = vec!["EN".to_owned()];
        run(
            &mut Script::new(&tokens("aEbEND")),
            &vocabulary(),
            &mut job,
            &|| false,
        );
        assert_eq!(seen(&events), ["started 3", "text a", "text Eb", "Stop 5"]);
    }

    #[test]
    fn held_back_text_comes_when_the_answer_ends() {
        let (mut job, events) = job(10);
        job.stop = vec!["END".to_owned()];
        run(
            &mut Script::new(&tokens("aEN")),
            &vocabulary(),
            &mut job,
            &|| false,
        );
        assert_eq!(seen(&events), ["started 3", "text a", "text EN", "Stop 4"]);
    }

    #[test]
    fn a_client_that_leaves_ends_the_computing_at_once() {
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
        let mut script = Script::new(&tokens("abcdef"));
        run(&mut script, &vocabulary(), &mut job, &|| false);
        assert_eq!(seen(&events), ["started 3", "text a", "text b"]);
        assert_eq!(script.runs, [3, 1]);
    }

    #[test]
    fn a_cancelled_generation_computes_nothing_and_says_nothing() {
        let (mut job, events) = job(10);
        job.cancellation.cancel();
        let mut script = Script::new(&tokens("abc"));
        run(&mut script, &vocabulary(), &mut job, &|| false);
        assert!(seen(&events).is_empty());
        assert!(script.runs.is_empty());
    }

    #[test]
    fn a_long_prompt_runs_in_pieces() {
        let (mut job, events) = job(1);
        job.prompt = vec![7; PREFILL_CHUNK * 2 + 5];
        let mut script = Script::new(&tokens("x"));
        run(&mut script, &vocabulary(), &mut job, &|| false);
        assert_eq!(script.runs, [PREFILL_CHUNK, PREFILL_CHUNK, 5]);
        assert_eq!(seen(&events).last().map(String::as_str), Some("Length 1"));
    }

    #[test]
    fn a_failure_of_the_engine_is_the_last_event() {
        let (mut job, events) = job(10);
        run(&mut Script::new(&[97]), &vocabulary(), &mut job, &|| false);
        assert_eq!(
            seen(&events),
            ["started 3", "text a", "failed failed to run the model"]
        );
    }
}
