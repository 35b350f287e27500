//! A client that notes when each piece of its answer came.

use std::{
    error::Error,
    ops::ControlFlow,
    sync::mpsc,
    time::{Duration, Instant},
};

use claw_inference::{ChatModel, ChatRequest, Event, Usage};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// An answer that is awaited.
pub(crate) struct Asked {
    start: Instant,
    events: mpsc::Receiver<(Instant, Event)>,
}

/// When an answer came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) start: Instant,
    /// Of each token with text.
    pub(crate) times: Vec<Instant>,
    pub(crate) end: Instant,
    pub(crate) usage: Usage,
}

pub(crate) fn ask(model: &ChatModel, request: ChatRequest) -> Outcome<Asked> {
    let (sender, events) = mpsc::channel();
    let start = Instant::now();
    let send = move |event| match sender.send((Instant::now(), event)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    model.submit(request, Box::new(send))?;
    Ok(Asked { start, events })
}

impl Asked {
    pub(crate) fn wait(self) -> Outcome<Answer> {
        let mut times = Vec::new();
        for (time, event) in self.events {
            match event {
                Event::Started { .. } | Event::ToolCall(_) | Event::LogProbabilities(_) => {}
                Event::Text(_) => times.push(time),
                Event::Finished { usage, .. } => {
                    return Ok(Answer {
                        start: self.start,
                        times,
                        end: time,
                        usage,
                    });
                }
                Event::Failed(error) => return Err(error.into()),
            }
        }
        Err("an answer ended without its last event".into())
    }
}

impl Answer {
    pub(crate) fn first_token(&self) -> Duration {
        self.times
            .first()
            .unwrap_or(&self.end)
            .duration_since(self.start)
    }

    /// Tokens per second after the first one.
    pub(crate) fn pace(&self) -> f64 {
        let begin = self.times.first().unwrap_or(&self.end);
        let tokens = self.usage.completion_tokens.saturating_sub(1);
        to_float(tokens) / self.end.duration_since(*begin).as_secs_f64()
    }

    /// Seconds between pieces of text.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = f64> {
        let pairs = self.times.windows(2);
        pairs.map(|pair| pair[1].duration_since(pair[0]).as_secs_f64())
    }
}

/// The smallest value that so large a part of them does not exceed; no number where there are none.
pub(crate) fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a few thousand values"
    )]
    let index = (to_float(values.len()) * part) as usize;
    let last = values.len().saturating_sub(1);
    values.get(index.min(last)).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "some thousand tokens")]
pub(crate) fn to_float(count: usize) -> f64 {
    count as f64
}
