//! Runs with our own attention: tokens of any conversations in one row, so that the weights are read once for all of them.

use std::mem;

use ort::{
    memory::Allocator,
    session::{IoBinding, Session},
    value::Tensor,
};

use super::{
    SessionError,
    graph::WANTED,
    operators::{Cache, Place, SharedRun, locked},
};
use crate::decoder::{Part, Step};

pub(super) struct Flat {
    run: SharedRun,
    binding: IoBinding,
    /// `[1, wanted, vocabulary]`
    logits: Tensor<f32>,
    wanted: usize,
    vocabulary_size: usize,
}

impl Flat {
    pub(super) fn new(
        session: &Session,
        run: SharedRun,
        vocabulary_size: usize,
    ) -> ort::Result<Self> {
        Ok(Self {
            run,
            binding: session.create_binding()?,
            logits: Tensor::new(&Allocator::default(), [1, 0, vocabulary_size])?,
            wanted: 0,
            vocabulary_size,
        })
    }

    /// Adds tokens to caches, and returns the logits that are wanted, part by part. `fewest` is the smallest size of a run;
    /// what is missing is computed twice.
    pub(super) fn run(
        &mut self,
        session: &mut Session,
        parts: &mut [Part<'_, Cache>],
        fewest: usize,
    ) -> Result<&[f32], SessionError> {
        let (mut tokens, mut places, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            for &Step { row, token, past } in part.steps {
                tokens.push(i64::from(token));
                places.push(Place {
                    cache: index,
                    row,
                    position: past,
                });
            }
            wanted.extend(tokens.len() - part.wanted..tokens.len());
        }
        let (Some(&token), Some(&place)) = (tokens.last(), places.last()) else {
            return Ok(&[]);
        };
        let count = wanted.len();
        let last = tokens.len() - 1;
        while tokens.len() < fewest {
            tokens.push(token);
            places.push(place);
        }
        while wanted.len() < fewest {
            wanted.push(last);
        }
        self.bind(tokens, &wanted)?;
        self.lend(parts, places);
        let outcome = session.run_binding(&self.binding).map(drop);
        self.take_back(parts);
        outcome?;
        Ok(&self.logits.extract_tensor().1[..count * self.vocabulary_size])
    }

    fn bind(&mut self, tokens: Vec<i64>, wanted: &[usize]) -> ort::Result<()> {
        let ids = Tensor::from_array(([1, tokens.len()], tokens))?;
        self.binding.bind_input("input_ids", &ids)?;
        let index = |place: &usize| i64::try_from(*place).unwrap_or(i64::MAX);
        let indices: Vec<i64> = wanted.iter().map(index).collect();
        let indices = Tensor::from_array(([1, indices.len()], indices))?;
        self.binding.bind_input(WANTED, &indices)?;
        if self.wanted != wanted.len() {
            let shape = [1, wanted.len(), self.vocabulary_size];
            self.logits = Tensor::new(&Allocator::default(), shape)?;
            self.binding.bind_output("logits", &mut self.logits)?;
            self.wanted = wanted.len();
        }
        Ok(())
    }

    fn lend(&self, parts: &mut [Part<'_, Cache>], places: Vec<Place>) {
        let mut run = locked(&self.run);
        run.places = places;
        run.caches = parts
            .iter_mut()
            .map(|part| mem::take(&mut *part.cache))
            .collect();
    }

    fn take_back(&self, parts: &mut [Part<'_, Cache>]) {
        let mut run = locked(&self.run);
        for (part, cache) in parts.iter_mut().zip(run.caches.drain(..)) {
            *part.cache = cache;
        }
    }
}
