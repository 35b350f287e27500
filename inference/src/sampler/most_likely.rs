//! The token with the largest logit, with the processor's widest registers: every token of an answer looks through the whole
//! vocabulary.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the processor's registers"
)]

use pulp::{Arch, Simd, WithSimd};

/// Maxima side by side.
const LANES: usize = 64;
/// Logits that are looked through before the largest is searched among them.
const BLOCK: usize = 512;

/// The token with the largest logit, the first of equals; none where no logit is a number.
pub fn most_likely(logits: &[f32]) -> Option<u32> {
    let index = Arch::new().dispatch(Search(logits))?;
    u32::try_from(index).ok()
}

struct Search<'a>(&'a [f32]);

impl WithSimd for Search<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    #[expect(clippy::float_cmp, reason = "the largest is one of them, unchanged")]
    fn with_simd<S: Simd>(self, _: S) -> Option<usize> {
        let Self(logits) = self;
        let mut largest = [f32::NEG_INFINITY; LANES];
        let (chunks, rest) = logits.as_chunks::<LANES>();
        for chunk in chunks.iter().map(<[f32; LANES]>::as_slice).chain([rest]) {
            for (lane, &logit) in largest.iter_mut().zip(chunk) {
                // What is no number is not larger.
                *lane = if logit > *lane { logit } else { *lane };
            }
        }
        let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let mut blocks = logits.chunks(BLOCK);
        // All of a block, which takes less time than to stop where it is found.
        let any_is = |any: u32, &logit: &f32| any | u32::from(logit == largest);
        let block = blocks.position(|block| block.iter().fold(0, any_is) > 0)?;
        let start = block * BLOCK;
        let within = logits[start..].iter().position(|&logit| logit == largest)?;
        Some(start + within)
    }
}
