//! An answer's events with its calls told apart from its text.

use std::ops::ControlFlow;

use super::{CallParser, call_parser::Said};
use crate::event::{Event, EventSink, FinishReason};

/// A sink that takes a generation's events, and gives this one those of text and calls.
pub(crate) fn with_calls(mut parser: CallParser, mut sink: EventSink) -> EventSink {
    Box::new(move |event| {
        let event = match event {
            Event::Text(text) => return give(parser.push(&text), &mut sink),
            Event::Finished { reason, usage } => {
                give(parser.finish(), &mut sink)?;
                let has_called = parser.has_called() && reason == FinishReason::Stop;
                let reason = if has_called {
                    FinishReason::ToolCalls
                } else {
                    reason
                };
                Event::Finished { reason, usage }
            }
            other => other,
        };
        sink(event)
    })
}

fn give(said: Vec<Said>, sink: &mut EventSink) -> ControlFlow<()> {
    said.into_iter().try_for_each(|said| {
        sink(match said {
            Said::Text(text) => Event::Text(text),
            Said::Call(piece) => Event::ToolCall(piece),
        })
    })
}
