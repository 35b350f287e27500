//! What is measured, each with clients as they are.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use claw_inference::{ChatModel, ChatRequest, Device};

use crate::{
    client::{Answer, Asked, Outcome, ask, quantile, to_float},
    text::{EXTRACTIVE, OPEN_ENDED, chat, request, words},
};

pub(crate) type Figures = BTreeMap<&'static str, f64>;

const CLIENTS: usize = 8;
const MANY_CLIENTS: usize = 32;
/// Requests of the staggered arrivals, and how many of them come in a second on average.
const ARRIVALS: usize = 32;
const ARRIVALS_PER_SECOND: f64 = 4.0;

pub(crate) fn run(model: &ChatModel, round: usize) -> Outcome<Figures> {
    let mut figures = Figures::new();
    let seed = 1000 * (round + 1);
    figures.insert("prefill_512_tokens_per_second", prefill(model, seed)?);
    figures.insert("decode_1_tokens_per_second", decode_alone(model, seed)?);
    let together = decode_together(model, seed, CLIENTS)?;
    figures.insert("decode_8_tokens_per_second", together);
    if model.info().device == Device::Cuda.to_string() {
        let together = decode_together(model, seed, MANY_CLIENTS)?;
        figures.insert("decode_32_tokens_per_second", together);
    }
    first_tokens(model, seed, &mut figures)?;
    guesses(model, &mut figures)?;
    arrivals(model, seed, &mut figures)?;
    Ok(figures)
}

fn prefill(model: &ChatModel, seed: usize) -> Outcome<f64> {
    let answer = ask(model, request(seed, 512, 1, 0.0))?.wait()?;
    Ok(
        to_float(answer.usage.prompt_tokens)
            / answer.end.duration_since(answer.start).as_secs_f64(),
    )
}

fn decode_alone(model: &ChatModel, seed: usize) -> Outcome<f64> {
    Ok(ask(model, request(seed + 1, 128, 128, 0.0))?.wait()?.pace())
}

/// The tokens of all while all of them get some.
fn decode_together(model: &ChatModel, seed: usize, clients: usize) -> Outcome<f64> {
    let asked: Vec<Asked> = (0..clients)
        .map(|client| ask(model, request(seed + 2 + client, 128, 320, 0.0)))
        .collect::<Outcome<_>>()?;
    let mut answers: Vec<Answer> = asked.into_iter().map(Asked::wait).collect::<Outcome<_>>()?;
    let firsts = answers.iter().filter_map(|answer| answer.times.first());
    let begin = &firsts.max().copied().ok_or("no answer")?;
    // An answer that ends by itself is not there any more.
    answers.retain(|answer| answer.end > *begin);
    let end = answers.iter().map(|answer| &answer.end).min();
    let end = end.ok_or("no answer")?;
    let tokens = answers.iter().map(|answer| {
        let times = answer.times.iter();
        let counted = times.filter(|time| (begin..end).contains(time)).count();
        // A token that is a part of a character has no text of its own.
        let tokens_of_text =
            to_float(answer.usage.completion_tokens) / to_float(answer.times.len());
        to_float(counted) * tokens_of_text
    });
    let tokens: f64 = tokens.sum();
    Ok(tokens / end.duration_since(*begin).as_secs_f64())
}

/// Until the first token, with a beginning of 1,000 tokens that is new, and that others had before.
fn first_tokens(model: &ChatModel, seed: usize, figures: &mut Figures) -> Outcome<()> {
    let beginning = words(seed + 20, 1000);
    let ask_about = |question: &str| -> Outcome<Answer> {
        let content = format!("{beginning}\n{question}");
        ask(model, chat(content, 4, 0.0))?.wait()
    };
    let cold = ask_about("How many words are these?")?;
    let questions = [
        "Which is the first?",
        "Are there names?",
        "Which word is the longest?",
    ];
    let mut cached = Vec::new();
    for question in questions {
        cached.push(ask_about(question)?.first_token().as_secs_f64());
    }
    let (cold, cached) = (cold.first_token().as_secs_f64(), quantile(cached, 0.5));
    figures.insert("first_token_cold_seconds", cold);
    figures.insert("first_token_cached_seconds", cached);
    figures.insert("first_token_cached_times_faster", cold / cached);
    Ok(())
}

/// Decoding with and without guesses, in turn.
fn guesses(model: &ChatModel, figures: &mut Figures) -> Outcome<()> {
    for (names, prompts, temperature) in [
        (
            [
                "extractive_plain_tokens_per_second",
                "extractive_tokens_per_second",
                "extractive_times_faster",
            ],
            EXTRACTIVE,
            0.0,
        ),
        (
            [
                "open_ended_plain_tokens_per_second",
                "open_ended_tokens_per_second",
                "open_ended_times_faster",
            ],
            OPEN_ENDED,
            0.8,
        ),
    ] {
        let (mut plain, mut full) = (Pace::default(), Pace::default());
        for prompt in prompts {
            // The same weights in the same memory: another copy of them alone makes a tenth.
            for (without_guesses, pace) in [(true, &mut plain), (false, &mut full)] {
                let request = ChatRequest {
                    without_guesses,
                    ..chat(prompt.to_owned(), 128, temperature)
                };
                pace.add(&ask(model, request)?.wait()?);
            }
        }
        figures.insert(names[0], plain.per_second());
        figures.insert(names[1], full.per_second());
        figures.insert(names[2], full.per_second() / plain.per_second());
    }
    Ok(())
}

#[derive(Default)]
struct Pace {
    tokens: f64,
    seconds: f64,
}

impl Pace {
    fn add(&mut self, answer: &Answer) {
        let tokens = to_float(answer.usage.completion_tokens.saturating_sub(1));
        self.tokens += tokens;
        self.seconds += tokens / answer.pace();
    }

    fn per_second(&self) -> f64 {
        self.tokens / self.seconds
    }
}

/// Clients that come by chance, with prompts and answers of all lengths.
fn arrivals(model: &ChatModel, seed: usize, figures: &mut Figures) -> Outcome<()> {
    let start = Instant::now();
    let mut due = Duration::ZERO;
    let mut asked = Vec::new();
    for number in 0..ARRIVALS {
        let chance = |salt: usize| to_float((seed + number * 31 + salt) * 7919 % 1009 + 1) / 1010.0;
        due += Duration::from_secs_f64(-chance(1).ln() / ARRIVALS_PER_SECOND);
        while start.elapsed() < due {
            thread::park_timeout(due.saturating_sub(start.elapsed()));
        }
        let prompt = 16 + ((seed + number * 131) * 7919) % 400;
        let answer = 16 + u32::try_from((seed + number * 57) * 104_729 % 144)?;
        asked.push(ask(
            model,
            request(seed + 100 + number, prompt, answer, 1.0),
        )?);
    }
    let answers: Vec<Answer> = asked.into_iter().map(Asked::wait).collect::<Outcome<_>>()?;
    let end = answers
        .iter()
        .map(|answer| answer.end)
        .max()
        .unwrap_or(start);
    let tokens: usize = answers
        .iter()
        .map(|answer| answer.usage.completion_tokens)
        .sum();
    let gaps: Vec<f64> = answers.iter().flat_map(Answer::gaps).collect();
    let firsts = answers
        .iter()
        .map(|answer| answer.first_token().as_secs_f64())
        .collect();
    figures.insert(
        "arrivals_tokens_per_second",
        to_float(tokens) / end.duration_since(start).as_secs_f64(),
    );
    figures.insert("arrivals_gap_p50_seconds", quantile(gaps.clone(), 0.5));
    figures.insert("arrivals_gap_p99_seconds", quantile(gaps, 0.99));
    figures.insert("arrivals_first_token_p50_seconds", quantile(firsts, 0.5));
    Ok(())
}
