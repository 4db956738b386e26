//! Memory of a flight that the device reads and writes beside the caller's.

use std::cell::Cell;

use idxd_spec::iaa::{
    CodeLengths, CompressAecs, CryptoAecs, CryptoFlags, DecompressAecs, DictionaryStyle, FilterAecs,
    Histogram,
};
use svala::{Span, VirtAddr};

const WORD: usize = 8;
/// Both halves of the AECS, one behind the other, which the toggle of a descriptor tells apart (IAA §3.2).
const AECS_WORDS: usize = 2 * DecompressAecs::SIZE / WORD;
const COMPRESS_AECS_WORDS: usize = 2 * CompressAecs::SIZE / WORD;
const DICTIONARY_AECS_WORDS: usize = DictionaryStyle::LongDeep.aecs_bytes() / WORD;
const HISTOGRAM_WORDS: usize = Histogram::SIZE / WORD;
/// A few words, so that output that has no room shows.
const SPILL_WORDS: usize = 8;
const CRYPTO_WORDS: usize = CryptoAecs::SIZE / WORD;
const KEY_WORD: usize = CryptoAecs::KEY_OFFSET / WORD;
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
    /// An AECS of compression and a dictionary behind it. It is only read.
    dictionary_aecs: [Cell<u64>; DICTIONARY_AECS_WORDS],
    histogram: [Cell<u64>; HISTOGRAM_WORDS],
    spill: [Cell<u64>; SPILL_WORDS],
    /// Codes that are used for more than one part of a job. The device does not see it.
    pub(super) code_lengths: Cell<CodeLengths>,
}

const _: () = assert!(CryptoAecs::SIZE.is_multiple_of(WORD) && CryptoAecs::KEY_OFFSET.is_multiple_of(WORD));
const _: () = assert!(CryptoAecs::OWN.start.is_multiple_of(WORD) && CryptoAecs::OWN.end.is_multiple_of(WORD));
const _: () = assert!((AECS_WORDS * WORD).is_multiple_of(CompressAecs::ALIGN));
const _: () = assert!(Histogram::SIZE.is_multiple_of(WORD) && CompressAecs::SIZE.is_multiple_of(WORD));
const _: () = assert!(std::mem::offset_of!(Workspace, dictionary_aecs).is_multiple_of(CompressAecs::ALIGN));
const _: () = assert!(std::mem::offset_of!(Workspace, filter).is_multiple_of(FilterAecs::ALIGN));
const _: () = assert!(std::mem::offset_of!(Workspace, compress_aecs).is_multiple_of(CompressAecs::ALIGN));

impl Workspace {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            aecs: [const { Cell::new(0) }; AECS_WORDS],
            filter: [const { Cell::new(0) }; FILTER_WORDS],
            compress_aecs: [const { Cell::new(0) }; COMPRESS_AECS_WORDS],
            dictionary_aecs: [const { Cell::new(0) }; DICTIONARY_AECS_WORDS],
            histogram: [const { Cell::new(0) }; HISTOGRAM_WORDS],
            spill: [const { Cell::new(0) }; SPILL_WORDS],
            code_lengths: Cell::new(CodeLengths::fixed()),
        })
    }

    /// Both halves of the AECS.
    pub(super) fn aecs(&self) -> Span {
        span(&self.aecs)
    }

    /// Both halves of the AECS of encryption, which are at the beginning of that of decompression.
    pub(super) fn crypto_area(&self) -> Span {
        span(&self.aecs[..2 * CRYPTO_WORDS])
    }

    /// Writes the state of a decryption, and the parameters of a filter behind it; says where they are.
    pub(super) fn set_crypto_filter(&self, aecs: &CryptoAecs, key: &[u8]) -> VirtAddr {
        self.set_crypto(aecs, key);
        VirtAddr::of(self.aecs.as_ptr())
    }

    /// The counter that a decryption without a toggle has written.
    pub(super) fn written_counter(&self) -> [u8; 16] {
        let mut bytes = [0; CryptoAecs::SIZE];
        load(&self.aecs[CRYPTO_WORDS..2 * CRYPTO_WORDS], &mut bytes);
        CryptoAecs::from_bytes(bytes).counter()
    }

    /// Puts `aecs`, with `key` in it, where an encryption without a toggle reads it. The key goes straight there.
    pub(super) fn set_crypto(&self, aecs: &CryptoAecs, key: &[u8]) {
        store(&self.aecs, aecs.as_bytes());
        store(&self.aecs[KEY_WORD..], key);
    }

    /// Puts the start of a decryption, with `key` in it, into the AECS of decompression that is read first.
    pub(super) fn add_crypto(&self, aecs: &CryptoAecs, key: &[u8]) {
        store(&self.aecs[CryptoAecs::OWN.start / WORD..], &aecs.as_bytes()[CryptoAecs::OWN]);
        store(&self.aecs[KEY_WORD..], key);
    }

    /// Has the descriptor that comes next end its message, whichever half of a decompression's AECS it reads.
    pub(super) fn flush_decryption(&self) {
        self.flush([0, AECS_WORDS / 2]);
    }

    /// Has the descriptor that comes next end its job, whichever half it reads.
    pub(super) fn flush_crypto(&self) {
        self.flush([0, CRYPTO_WORDS]);
    }

    fn flush(&self, halves: [usize; 2]) {
        for half in halves {
            let word = &self.aecs[half + CryptoAecs::FLAGS_OFFSET / WORD];
            let mut bytes = word.get().to_ne_bytes();
            bytes[CryptoAecs::FLAGS_OFFSET % WORD] |= CryptoFlags::FLUSH_ACCUMULATOR.bits();
            word.set(u64::from_ne_bytes(bytes));
        }
    }

    /// Forgets keys, and what was made with them: of a decompression, the end of its output.
    pub(super) fn wipe_crypto(&self) {
        self.aecs.iter().for_each(|word| word.set(0));
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

    /// Puts `aecs` where a compression without a toggle reads it: in front of the dictionary, if it is to have one.
    pub(super) fn set_compress_aecs(&self, aecs: &CompressAecs, has_dictionary: bool) {
        match has_dictionary {
            true => store(&self.dictionary_aecs, aecs.as_bytes()),
            false => store(&self.compress_aecs, aecs.as_bytes()),
        }
    }

    /// An AECS of compression with a dictionary behind it.
    pub(super) fn dictionary_area(&self, style: DictionaryStyle) -> Span {
        span(&self.dictionary_aecs[..style.aecs_bytes() / WORD])
    }

    /// Puts a dictionary, with its hash tables, behind that AECS.
    pub(super) fn set_dictionary(&self, style: DictionaryStyle, text: &[u8]) {
        let mut bytes = [0; DictionaryStyle::LongDeep.bytes()];
        style.write(text, &mut bytes[..style.bytes()]);
        store(&self.dictionary_aecs[CompressAecs::SIZE / WORD..], &bytes[..style.bytes()]);
    }

    /// Puts `aecs` where a decompression without a toggle reads it.
    pub(super) fn set_decompress_aecs(&self, aecs: &DecompressAecs) {
        store(&self.aecs, aecs.as_bytes());
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
        store(&self.filter, aecs.as_bytes());
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

fn store(words: &[Cell<u64>], bytes: &[u8]) {
    for (word, bytes) in words.iter().zip(bytes.as_chunks::<WORD>().0) {
        word.set(u64::from_ne_bytes(*bytes));
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
