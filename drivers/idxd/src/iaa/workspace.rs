//! Memory of a flight that the device reads and writes beside the caller's.

use std::cell::Cell;

use idxd_spec::iaa::DecompressAecs;
use svala::{Span, VirtAddr};

const WORD: usize = 8;
/// Both halves of the AECS, one behind the other, which the toggle of a descriptor tells apart (IAA §3.2).
const AECS_WORDS: usize = 2 * DecompressAecs::SIZE / WORD;
/// A few words, so that output that has no room shows.
const SPILL_WORDS: usize = 8;

/// State of a job between its descriptors. Only read and written by the driver while no descriptor is under way.
///
/// In cells, as the device writes there: nothing refers to what is in them.
#[repr(C, align(64))]
pub(super) struct Workspace {
    aecs: [Cell<u64>; AECS_WORDS],
    spill: [Cell<u64>; SPILL_WORDS],
}

impl Workspace {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            aecs: [const { Cell::new(0) }; AECS_WORDS],
            spill: [const { Cell::new(0) }; SPILL_WORDS],
        })
    }

    /// Both halves of the AECS.
    pub(super) fn aecs(&self) -> Span {
        span(&self.aecs)
    }

    /// Room for output that the caller has no room for.
    pub(super) fn spill(&self) -> Span {
        span(&self.spill)
    }

    /// The AECS of decompression in the first half or the second.
    pub(super) fn decompress_aecs(&self, second: bool) -> DecompressAecs {
        let words = if second { &self.aecs[AECS_WORDS / 2..] } else { &self.aecs[..AECS_WORDS / 2] };
        let mut aecs = DecompressAecs::new();
        for (bytes, word) in aecs.as_bytes_mut().chunks_exact_mut(WORD).zip(words) {
            bytes.copy_from_slice(&word.get().to_ne_bytes());
        }
        aecs
    }
}

fn span(words: &[Cell<u64>]) -> Span {
    Span::new(VirtAddr::of(words.as_ptr()), (words.len() * WORD) as u64)
}
