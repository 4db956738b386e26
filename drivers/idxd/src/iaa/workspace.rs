//! Memory of a flight that the device reads and writes beside the caller's.

use std::cell::Cell;

use idxd_spec::iaa::{CodeLengths, CompressAecs, DecompressAecs, FilterAecs, Histogram};
use svala::{Span, VirtAddr};

const WORD: usize = 8;
/// Both halves of the AECS, one behind the other, which the toggle of a descriptor tells apart (IAA §3.2).
const AECS_WORDS: usize = 2 * DecompressAecs::SIZE / WORD;
const COMPRESS_AECS_WORDS: usize = 2 * CompressAecs::SIZE / WORD;
const HISTOGRAM_WORDS: usize = Histogram::SIZE / WORD;
/// A few words, so that output that has no room shows.
const SPILL_WORDS: usize = 8;
/// The parameters of a filter.
const FILTER_WORDS: usize = FilterAecs::SIZE / WORD;

/// State of a job between its descriptors. Only read and written by the driver while no descriptor is under way.
///
/// In cells, as the device writes there: nothing refers to what is in them.
#[repr(C, align(64))]
pub(super) struct Workspace {
    aecs: [Cell<u64>; AECS_WORDS],
    filter: [Cell<u64>; FILTER_WORDS],
    compress_aecs: [Cell<u64>; COMPRESS_AECS_WORDS],
    histogram: [Cell<u64>; HISTOGRAM_WORDS],
    spill: [Cell<u64>; SPILL_WORDS],
    /// Codes that are used for more than one part of a job. The device does not see it.
    pub(super) code_lengths: Cell<CodeLengths>,
}

const _: () = assert!((AECS_WORDS * WORD).is_multiple_of(CompressAecs::ALIGN));
const _: () = assert!(Histogram::SIZE.is_multiple_of(WORD) && CompressAecs::SIZE.is_multiple_of(WORD));
const _: () = assert!(std::mem::offset_of!(Workspace, filter).is_multiple_of(FilterAecs::ALIGN));
const _: () = assert!(std::mem::offset_of!(Workspace, compress_aecs).is_multiple_of(CompressAecs::ALIGN));

impl Workspace {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            aecs: [const { Cell::new(0) }; AECS_WORDS],
            filter: [const { Cell::new(0) }; FILTER_WORDS],
            compress_aecs: [const { Cell::new(0) }; COMPRESS_AECS_WORDS],
            histogram: [const { Cell::new(0) }; HISTOGRAM_WORDS],
            spill: [const { Cell::new(0) }; SPILL_WORDS],
            code_lengths: Cell::new(CodeLengths::fixed()),
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

    /// Both halves of the AECS of compression.
    pub(super) fn compress_area(&self) -> Span {
        span(&self.compress_aecs)
    }

    /// Room for the counts of a statistics pass.
    pub(super) fn histogram(&self) -> Span {
        span(&self.histogram)
    }

    /// The counts a statistics pass has written.
    pub(super) fn counts(&self) -> Histogram {
        let mut bytes = [0; Histogram::SIZE];
        load(&self.histogram, &mut bytes);
        Histogram::from_bytes(&bytes)
    }

    /// Puts `aecs` where a compression without a toggle reads it.
    pub(super) fn set_compress_aecs(&self, aecs: &CompressAecs) {
        for (word, bytes) in self.compress_aecs.iter().zip(aecs.as_bytes().as_chunks::<WORD>().0) {
            word.set(u64::from_ne_bytes(*bytes));
        }
    }

    /// The AECS of compression in the first half or the second.
    pub(super) fn compress_aecs(&self, second: bool) -> CompressAecs {
        let mut bytes = [0; CompressAecs::SIZE];
        let half = COMPRESS_AECS_WORDS / 2;
        load(if second { &self.compress_aecs[half..] } else { &self.compress_aecs[..half] }, &mut bytes);
        CompressAecs::from_bytes(bytes)
    }

    /// Writes the parameters of a filter; says where they are.
    pub(super) fn set_filter_aecs(&self, aecs: &FilterAecs) -> VirtAddr {
        for (word, bytes) in self.filter.iter().zip(aecs.as_bytes().as_chunks::<WORD>().0) {
            word.set(u64::from_ne_bytes(*bytes));
        }
        VirtAddr::of(self.filter.as_ptr())
    }

    /// The AECS of decompression in the first half or the second.
    pub(super) fn decompress_aecs(&self, second: bool) -> DecompressAecs {
        let words = if second { &self.aecs[AECS_WORDS / 2..] } else { &self.aecs[..AECS_WORDS / 2] };
        let mut aecs = DecompressAecs::new();
        load(words, aecs.as_bytes_mut());
        aecs
    }
}

fn load(words: &[Cell<u64>], bytes: &mut [u8]) {
    for (bytes, word) in bytes.chunks_exact_mut(WORD).zip(words) {
        bytes.copy_from_slice(&word.get().to_ne_bytes());
    }
}

fn span(words: &[Cell<u64>]) -> Span {
    Span::new(VirtAddr::of(words.as_ptr()), (words.len() * WORD) as u64)
}
