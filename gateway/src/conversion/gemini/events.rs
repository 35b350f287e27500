//! A streamed answer of Gemini, event by event, as pieces of a chat completion.

use std::collections::HashMap;

use serde_json::Value;

use super::candidate::{Candidate, Generated};
use super::failure;
use super::usage::Counted;
use crate::conversion::{Fault, Piece};
use crate::types::{ChatChunk, ChunkChoice, Delta, completion_id};

/// What is known of an answer so far.
#[derive(Debug, Default)]
pub struct Events {
    id: String,
    /// Calls of tools by candidate.
    calls: HashMap<u32, usize>,
}

impl Events {
    /// Take the data of the next event.
    pub fn take(&mut self, event: &[u8]) -> Result<Piece, Fault> {
        let event: Value = serde_json::from_slice(event)
            .map_err(|_| Fault::Malformed("no piece of generated content"))?;
        if let Some(fault) = failure::reported(&event) {
            return Err(fault);
        }
        let generated: Generated = serde_json::from_value(event)
            .map_err(|_| Fault::Malformed("no piece of generated content"))?;
        if self.id.is_empty() {
            self.id = match generated.response_id.as_str() {
                "" => completion_id(),
                id => id.to_owned(),
            };
        }
        let usage = generated.usage_metadata.map(Counted::usage);
        let mut chunk = ChatChunk::of_usage(&self.id, &generated.model_version, usage);
        match generated.refusal() {
            Some(refusal) => chunk.choices.push(refused(&refusal)),
            None => {
                for candidate in generated.candidates {
                    let choice = self.choice(candidate)?;
                    chunk.choices.push(choice);
                }
            }
        }
        if chunk.choices.is_empty() && chunk.usage.is_none() {
            return Ok(Piece::Nothing);
        }
        Ok(Piece::Chunk(Box::new(chunk)))
    }

    fn choice(&mut self, candidate: Candidate) -> Result<ChunkChoice, Fault> {
        let index = candidate.index;
        let before = self.calls.entry(index).or_default();
        let mut said = candidate.said(&self.id, *before)?;
        for (call, number) in said.calls.iter_mut().zip(*before..) {
            call["index"] = number.into();
        }
        *before += said.calls.len();
        let mut choice = ChunkChoice {
            index,
            finish_reason: said.finish_reason,
            ..ChunkChoice::default()
        };
        if !said.text.is_empty() {
            choice.delta.content = Some(said.text);
        }
        let extra = &mut choice.delta.extra;
        if !said.thoughts.is_empty() {
            extra.insert("reasoning_content".into(), said.thoughts.into());
        }
        if !said.calls.is_empty() {
            extra.insert("tool_calls".into(), said.calls.into());
        }
        choice.extra.extend(
            said.log_probabilities
                .map(|tokens| ("logprobs".to_owned(), tokens)),
        );
        Ok(choice)
    }
}

fn refused(refusal: &str) -> ChunkChoice {
    let mut delta = Delta::default();
    delta.extra.insert("refusal".into(), refusal.into());
    ChunkChoice {
        delta,
        finish_reason: Some("content_filter".to_owned()),
        ..ChunkChoice::default()
    }
}
