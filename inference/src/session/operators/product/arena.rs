//! Memory for weights, in large pages.
//!
//! A step reads all weights of a model once. In pages of 4 KiB the processor waits for where the next page is as long as it
//! does for half of the weights themselves (`docs/adr/0013`).

use std::io;

use memmap2::{MmapMut, MmapOptions};

/// The size of a region, unless something larger needs one. What is not used of it takes no memory.
const REGION: usize = 64 << 20;
/// A line of the processor's caches.
const LINE: usize = 64;

/// Memory that is handed out once, and given back as a whole.
#[derive(Debug, Default)]
pub(super) struct Arena {
    regions: Vec<MmapMut>,
    /// Of the last region.
    used: usize,
}

/// A piece of an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    region: usize,
    start: usize,
    length: usize,
}

impl Arena {
    /// A piece of zeros that begins where a line of the processor's caches does.
    pub(super) fn reserve(&mut self, length: usize) -> io::Result<Place> {
        let start = self.used.next_multiple_of(LINE);
        let has_room = self
            .regions
            .last()
            .is_some_and(|region| region.len().saturating_sub(start) >= length);
        let start = if has_room {
            start
        } else {
            self.regions.push(region(length.max(REGION))?);
            0
        };
        self.used = start + length;
        Ok(Place {
            region: self.regions.len() - 1,
            start,
            length,
        })
    }

    pub(super) fn get(&self, place: Place) -> &[u8] {
        &self.regions[place.region][place.start..][..place.length]
    }

    pub(super) fn get_mut(&mut self, place: Place) -> &mut [u8] {
        &mut self.regions[place.region][place.start..][..place.length]
    }
}

fn region(length: usize) -> io::Result<MmapMut> {
    let region = MmapOptions::new().len(length).map_anon()?;
    // Where there are none, it works with small ones.
    #[cfg(target_os = "linux")]
    let _ = region.advise(memmap2::Advice::HugePage);
    Ok(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_meet_and_begin_at_lines() {
        let mut arena = Arena::default();
        let lengths = [1, 100, 64, REGION - 100, REGION + 5, 3];
        let places = lengths.map(|length| arena.reserve(length).expect("memory"));
        for (mark, place) in (1..).zip(places) {
            let piece = arena.get_mut(place);
            assert!(piece.iter().all(|byte| *byte == 0));
            assert_eq!(piece.as_ptr().align_offset(LINE), 0);
            piece.fill(mark);
        }
        for (mark, (place, length)) in (1..).zip(places.into_iter().zip(lengths)) {
            let piece = arena.get(place);
            assert_eq!(piece.len(), length);
            assert!(piece.iter().all(|byte| *byte == mark));
        }
    }
}
