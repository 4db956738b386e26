//! Deflate of miniblocks: blocks in which no repetition refers to another miniblock, and whose miniblocks are of one size.
//!
//! The compressors of whole buffers begin blocks where they like, and look for repetitions everywhere. So this is a small one of
//! our own, safe and not the fastest: repetitions by hash chains within a miniblock, and codes made of a block's counts. No
//! repetition is of more than 4 KiB before, which is what an IAA keeps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Level, OutputFull, Segment};

/// Most bytes of a block, which are whole miniblocks of any size.
const BLOCK_BYTES_MAX: usize = 256 << 10;
/// Most bytes of a miniblock.
const MINIBLOCK_BYTES_MAX: usize = 32 << 10;
/// Most bytes of a stored block.
const STORED_BYTES_MAX: usize = 65_535;
/// What an IAA keeps.
const DISTANCE_MAX: usize = 4096;
const LENGTH_MIN: usize = 3;
const LENGTH_MAX: usize = 258;

const LITLENS: usize = 286;
const DISTANCES: usize = 30;
const END: usize = 256;
const CODE_BITS_MAX: u8 = 15;
const LEN_BITS_MAX: u8 = 7;
/// The order in which the lengths of the code of lengths come (RFC 1951, section 3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// No place.
const NONE: u16 = u16::MAX;
const _: () =
    assert!(MINIBLOCK_BYTES_MAX <= NONE as usize && BLOCK_BYTES_MAX.is_multiple_of(MINIBLOCK_BYTES_MAX));

/// A literal, or a repetition.
#[derive(Clone, Copy, Debug)]
enum Token {
    Literal(u8),
    Match { length: u16, distance: u16 },
}

/// A symbol and what follows its codeword.
#[derive(Clone, Copy)]
struct Symbol {
    symbol: usize,
    extra: usize,
    extra_bits: u32,
}

/// A compressor of miniblocks. Allocates when it is first used, and little after.
#[derive(Debug, Default)]
pub(crate) struct MiniblockDeflater {
    tokens: Vec<Token>,
    /// The last place of a hash.
    head: Vec<u16>,
    /// The place before each that had its hash.
    before: Vec<u16>,
}

/// The codewords of an alphabet, their first bit lowest.
struct Codes {
    lengths: Vec<u8>,
    words: Vec<u16>,
}

/// A block's codes, and their description.
struct Coding {
    litlens: Codes,
    distances: Codes,
    /// Bits of the block's header.
    header: Vec<(u64, u32)>,
}

/// Bits on their way to a buffer.
struct Writer<'d> {
    dst: &'d mut [u8],
    at: usize,
    word: u64,
    /// How many there are in the word, fewer than eight between calls.
    bits: u32,
}

impl MiniblockDeflater {
    /// Compresses all of `src` into `dst` as one segment, in miniblocks of `size` bytes, a power of two of 512 to 32768. Says how
    /// many bytes that makes.
    ///
    /// # Errors
    ///
    /// [`OutputFull`].
    pub(crate) fn deflate(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        size: usize,
        level: Level,
        segment: Segment,
    ) -> Result<usize, OutputFull> {
        let room = dst.len();
        let mut writer = Writer { dst, at: 0, word: 0, bits: 0 };
        let mut read = 0;
        let ends = segment == Segment::Last;
        for block in src.chunks(BLOCK_BYTES_MAX) {
            read += block.len();
            self.block(block, size, level, ends && read == src.len(), &mut writer);
            if writer.at > room {
                return Err(OutputFull { room, read, len: src.len() });
            }
        }
        match (ends, src) {
            // A last block of the fixed codes, with its end alone.
            (true, []) => writer.put(0b011, 10),
            (true, _) => {}
            (false, _) => writer.stored(&[], false),
        }
        let written = writer.finish();
        if written > room { Err(OutputFull { room, read, len: src.len() }) } else { Ok(written) }
    }

    /// One block, or stored ones.
    fn block(&mut self, block: &[u8], size: usize, level: Level, is_last: bool, writer: &mut Writer<'_>) {
        self.tokens.clear();
        for miniblock in block.chunks(size) {
            self.find(miniblock, level);
        }
        let (mut litlens, mut distances) = ([0_u32; LITLENS], [0_u32; DISTANCES]);
        litlens[END] = 1;
        for token in &self.tokens {
            match *token {
                Token::Literal(byte) => litlens[usize::from(byte)] += 1,
                Token::Match { length, distance } => {
                    litlens[of_length(length).symbol] += 1;
                    distances[of_distance(distance).symbol] += 1;
                }
            }
        }
        let (fixed, made) = (Coding::fixed(), Coding::made(&litlens, &distances));
        let bits = |coding: &Coding| coding.bits(&litlens, &distances);
        let coding = if bits(&made) < bits(&fixed) { &made } else { &fixed };
        let piece = STORED_BYTES_MAX - STORED_BYTES_MAX % size;
        if bits(coding) >= 8 * (block.len() as u64 + 5 * block.len().div_ceil(piece) as u64) {
            let count = block.len().div_ceil(piece);
            for (nth, stored) in block.chunks(piece).enumerate() {
                writer.stored(stored, is_last && nth + 1 == count);
            }
            return;
        }
        coding.write(&self.tokens, is_last, writer);
    }

    /// Takes a miniblock apart.
    fn find(&mut self, bytes: &[u8], level: Level) {
        let buckets = bytes.len().next_power_of_two().max(64);
        self.head.clear();
        self.head.resize(buckets, NONE);
        self.before.resize(MINIBLOCK_BYTES_MAX, NONE);
        let depth = match level.value() {
            ..=1 => 4,
            2..=5 => 16,
            6..=8 => 64,
            _ => 512,
        };
        let mut at = 0;
        while at < bytes.len() {
            let found = self.longest(bytes, at, depth);
            self.note(bytes, at);
            // A longer one that begins with the next byte is worth a literal.
            let next = match found {
                Some((length, _)) if level.value() > 3 && length < 32 => self.longest(bytes, at + 1, depth),
                _ => None,
            };
            let (length, distance) = found.unwrap_or((0, 0));
            if length < LENGTH_MIN || next.is_some_and(|(next, _)| next > length) {
                self.tokens.push(Token::Literal(bytes[at]));
                at += 1;
                continue;
            }
            let number = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
            self.tokens.push(Token::Match { length: number(length), distance: number(distance) });
            for place in at + 1..at + length {
                self.note(bytes, place);
            }
            at += length;
        }
    }

    /// The longest repetition at `at`: its length and distance.
    fn longest(&self, bytes: &[u8], at: usize, depth: usize) -> Option<(usize, usize)> {
        let bucket = self.bucket(bytes, at)?;
        let rest = &bytes[at..];
        let (mut best, mut place) = ((0, 0), self.head[bucket]);
        for _ in 0..depth {
            let from = usize::from(place);
            if place == NONE || from >= at || at - from > DISTANCE_MAX {
                break;
            }
            let pairs = bytes[from..].iter().zip(rest).take(LENGTH_MAX);
            let length = pairs.take_while(|(a, b)| a == b).count();
            if length > best.0 {
                best = (length, at - from);
            }
            place = self.before[from];
        }
        (best.0 >= LENGTH_MIN).then_some(best)
    }

    /// Has the place be found from now on.
    fn note(&mut self, bytes: &[u8], at: usize) {
        if let (Some(bucket), Ok(place)) = (self.bucket(bytes, at), u16::try_from(at)) {
            self.before[at] = std::mem::replace(&mut self.head[bucket], place);
        }
    }

    fn bucket(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let [a, b, c] = *bytes.get(at..)?.first_chunk()?;
        let hash = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1) >> 16;
        Some(hash as usize % self.head.len())
    }
}

impl Codes {
    fn of(lengths: Vec<u8>) -> Self {
        let mut next = 0_u16;
        let mut words = vec![0; lengths.len()];
        for bits in 1..=CODE_BITS_MAX {
            next <<= 1;
            for (word, _) in words.iter_mut().zip(&lengths).filter(|(_, length)| **length == bits) {
                *word = next.reverse_bits() >> (16 - bits);
                next += 1;
            }
        }
        Self { lengths, words }
    }

    fn word(&self, symbol: usize) -> (u64, u32) {
        (self.words[symbol].into(), self.lengths[symbol].into())
    }
}

impl Coding {
    fn fixed() -> Self {
        let litlen = |symbol| match symbol {
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        };
        let (litlens, distances) = ((0..288).map(litlen).collect(), vec![5; DISTANCES]);
        Self { litlens: Codes::of(litlens), distances: Codes::of(distances), header: vec![(1, 2)] }
    }

    fn made(litlens: &[u32], distances: &[u32]) -> Self {
        let (litlens, distances) = (lengths(litlens, CODE_BITS_MAX), lengths(distances, CODE_BITS_MAX));
        let header = header(&litlens, &distances);
        Self { litlens: Codes::of(litlens), distances: Codes::of(distances), header }
    }

    /// Bits of a block whose symbols have been counted.
    fn bits(&self, litlens: &[u32], distances: &[u32]) -> u64 {
        let header: u64 = self.header.iter().map(|(_, bits)| u64::from(*bits)).sum();
        let of = |counts: &[u32], codes: &Codes, extra: fn(usize) -> u32| -> u64 {
            let symbols = counts.iter().zip(&codes.lengths).enumerate();
            symbols
                .map(|(symbol, (count, bits))| {
                    u64::from(*count) * u64::from(u32::from(*bits) + extra(symbol))
                })
                .sum()
        };
        1 + header + of(litlens, &self.litlens, length_bits) + of(distances, &self.distances, distance_bits)
    }

    fn write(&self, tokens: &[Token], is_last: bool, writer: &mut Writer<'_>) {
        writer.put(is_last.into(), 1);
        self.header.iter().for_each(|(value, bits)| writer.put(*value, *bits));
        for token in tokens {
            match *token {
                Token::Literal(byte) => writer.put_pair(self.litlens.word(byte.into())),
                Token::Match { length, distance } => {
                    let (length, distance) = (of_length(length), of_distance(distance));
                    writer.put_pair(self.litlens.word(length.symbol));
                    writer.put(length.extra as u64, length.extra_bits);
                    writer.put_pair(self.distances.word(distance.symbol));
                    writer.put(distance.extra as u64, distance.extra_bits);
                }
            }
        }
        writer.put_pair(self.litlens.word(END));
    }
}

/// The symbol of a length, of 3 to 258.
fn of_length(length: u16) -> Symbol {
    if usize::from(length) == LENGTH_MAX {
        return Symbol { symbol: LITLENS - 1, extra: 0, extra_bits: 0 };
    }
    let over = usize::from(length) - LENGTH_MIN;
    let extra_bits = over.max(4).ilog2() - 2;
    let symbol = 257 + 4 * extra_bits as usize + (over >> extra_bits);
    Symbol { symbol, extra: over & ((1 << extra_bits) - 1), extra_bits }
}

/// The symbol of a distance, of 1 to 32768.
fn of_distance(distance: u16) -> Symbol {
    let over = usize::from(distance) - 1;
    let extra_bits = over.max(2).ilog2() - 1;
    let symbol = 2 * extra_bits as usize + (over >> extra_bits);
    Symbol { symbol, extra: over & ((1 << extra_bits) - 1), extra_bits }
}

/// Extra bits of a symbol among literals and lengths.
fn length_bits(symbol: usize) -> u32 {
    match symbol {
        265..285 => u32::try_from((symbol - 261) / 4).unwrap_or(0),
        _ => 0,
    }
}

fn distance_bits(symbol: usize) -> u32 {
    u32::try_from((symbol / 2).saturating_sub(1)).unwrap_or(0)
}

/// Lengths of codewords for symbols that occur so often: those of Huffman, for counts that are made more even as long as one is
/// too long. At least two symbols have one, since some readers want a code to be complete.
fn lengths(counts: &[u32], bits_max: u8) -> Vec<u8> {
    let mut counts = counts.to_vec();
    while counts.iter().filter(|count| **count > 0).count() < 2 {
        if let Some(unused) = counts.iter_mut().find(|count| **count == 0) {
            *unused = 1;
        }
    }
    loop {
        let lengths = huffman(&counts);
        if lengths.iter().all(|length| *length <= bits_max) {
            return lengths;
        }
        counts.iter_mut().for_each(|count| *count = count.div_ceil(2));
    }
}

fn huffman(counts: &[u32]) -> Vec<u8> {
    let used = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let mut heap: BinaryHeap<_> = used.map(|(symbol, count)| Reverse((*count, symbol))).collect();
    // Symbols, and behind them what they were put together to.
    let mut parents = vec![0; counts.len()];
    while let (Some(Reverse((one, a))), Some(Reverse((other, b)))) = (heap.pop(), heap.pop()) {
        let parent = parents.len();
        parents.push(0);
        (parents[a], parents[b]) = (parent, parent);
        heap.push(Reverse((one + other, parent)));
        if heap.len() == 1 {
            break;
        }
    }
    let root = parents.len() - 1;
    let mut depths = vec![0_u8; parents.len()];
    for node in (0..root).rev().filter(|node| parents[*node] > 0) {
        depths[node] = depths[parents[node]].saturating_add(1);
    }
    depths.truncate(counts.len());
    depths
}

/// The description of two codes, behind the bit that says whether the block is the last.
fn header(litlens: &[u8], distances: &[u8]) -> Vec<(u64, u32)> {
    let used = |lengths: &[u8], least: usize| {
        lengths.iter().rposition(|length| *length > 0).map_or(least, |last| last + 1).max(least)
    };
    let (litlens, distances) = (&litlens[..used(litlens, 257)], &distances[..used(distances, 1)]);
    // Each by itself: an IAA takes no run from one into the other.
    let runs: Vec<Symbol> = [litlens, distances].into_iter().flat_map(runs).collect();
    let mut counts = [0; ORDER.len()];
    runs.iter().for_each(|run| counts[run.symbol] += 1);
    let of_lengths = lengths(&counts, LEN_BITS_MAX);
    let count = used(&ORDER.map(|symbol| of_lengths[symbol]), 4);
    let mut bits =
        vec![(2, 2), (litlens.len() as u64 - 257, 5), (distances.len() as u64 - 1, 5), (count as u64 - 4, 4)];
    bits.extend(ORDER[..count].iter().map(|symbol| (u64::from(of_lengths[*symbol]), 3)));
    let codes = Codes::of(of_lengths);
    bits.extend(runs.iter().flat_map(|run| [codes.word(run.symbol), (run.extra as u64, run.extra_bits)]));
    bits
}

/// Lengths as they are described: one by one, or repeated.
fn runs(lengths: &[u8]) -> Vec<Symbol> {
    let mut runs = Vec::new();
    for run in lengths.chunk_by(|a, b| a == b) {
        let (length, mut left) = (usize::from(run[0]), run.len());
        let one = Symbol { symbol: length, extra: 0, extra_bits: 0 };
        if length > 0 {
            runs.push(one);
            left -= 1;
        }
        while left > 0 {
            let (symbol, least, most, extra_bits) = match (length, left) {
                (_, ..3) => (length, 1, 1, 0),
                (0, ..11) => (17, 3, 10, 3),
                (0, _) => (18, 11, 138, 7),
                _ => (16, 3, 6, 2),
            };
            let taken = left.min(most);
            runs.push(Symbol { symbol, extra: taken - least, extra_bits });
            left -= taken;
        }
    }
    runs
}

impl Writer<'_> {
    /// Adds a number of so many bits, 48 at most. What has no room is counted.
    fn put(&mut self, value: u64, bits: u32) {
        self.word |= value << self.bits;
        self.bits += bits;
        while self.bits >= 8 {
            self.byte(self.word.to_le_bytes()[0]);
            self.word >>= 8;
            self.bits -= 8;
        }
    }

    fn put_pair(&mut self, (value, bits): (u64, u32)) {
        self.put(value, bits);
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.dst.get_mut(self.at) {
            *place = byte;
        }
        self.at += 1;
    }

    /// A stored block, of 65535 bytes at most.
    fn stored(&mut self, bytes: &[u8], is_last: bool) {
        self.put(is_last.into(), 3);
        self.put(0, self.bits.wrapping_neg() % 8);
        let len = bytes.len() as u64;
        self.put(len | (!len & 0xffff) << 16, 32);
        let end = self.at.saturating_add(bytes.len());
        if let Some(place) = self.dst.get_mut(self.at..end) {
            place.copy_from_slice(bytes);
        }
        self.at = end;
    }

    /// Fills the last byte up; says how many there are, with those that had no room.
    fn finish(mut self) -> usize {
        self.put(0, self.bits.wrapping_neg() % 8);
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflate::inflate;

    #[test]
    fn symbols_are_those_of_the_tables() {
        // RFC 1951, section 3.2.5: code, extra bits, first.
        let lengths = [
            (257, 0, 3),
            (264, 0, 10),
            (265, 1, 11),
            (268, 1, 17),
            (269, 2, 19),
            (284, 5, 227),
            (285, 0, 258),
        ];
        for (symbol, extra_bits, first) in lengths {
            let of = of_length(first);
            assert_eq!((of.symbol, of.extra_bits, of.extra), (symbol, extra_bits, 0), "{first}");
            assert_eq!(length_bits(symbol), extra_bits);
        }
        assert_eq!((of_length(257).symbol, of_length(257).extra), (284, 30));
        let distances =
            [(0, 0, 1), (3, 0, 4), (4, 1, 5), (5, 1, 7), (6, 2, 9), (23, 10, 3073), (22, 10, 2049)];
        for (symbol, extra_bits, first) in distances {
            let of = of_distance(first);
            assert_eq!((of.symbol, of.extra_bits, of.extra), (symbol, extra_bits, 0), "{first}");
            assert_eq!(distance_bits(symbol), extra_bits);
        }
        assert_eq!((of_distance(4096).symbol, of_distance(4096).extra), (23, 1023));
    }

    #[test]
    fn lengths_make_complete_codes_of_any_counts() {
        let fibonacci = |len: usize| {
            let pairs = std::iter::successors(Some((1_u32, 1_u32)), |(a, b)| Some((*b, a + b)));
            pairs.map(|(a, _)| a).take(len).collect::<Vec<_>>()
        };
        for counts in [vec![0; 30], vec![0, 0, 7], vec![1; 286], fibonacci(30), vec![1, 1 << 20, 1]] {
            for bits_max in [9, CODE_BITS_MAX] {
                let lengths = lengths(&counts, bits_max);
                let sum: u32 =
                    lengths.iter().filter(|length| **length > 0).map(|length| 1 << (15 - length)).sum();
                assert_eq!(sum, 1 << 15, "{counts:?}");
                assert!(lengths.iter().all(|length| *length <= bits_max));
                assert!(counts.iter().zip(&lengths).all(|(count, length)| *count == 0 || *length > 0));
            }
        }
    }

    #[test]
    fn a_room_is_too_small_or_just_enough() {
        let mut deflater = MiniblockDeflater::default();
        let text = b"swallow, swallow, swallows".repeat(60);
        for src in [&text[..], &[], &[9; 70_000], b"x"] {
            for segment in [Segment::Last, Segment::NotLast] {
                let mut dst = vec![0; src.len() + 100];
                let written = deflater.deflate(src, &mut dst, 512, Level::DEFAULT, segment).unwrap();
                let stream = dst[..written].to_vec();
                let mut exact = vec![0; written];
                assert_eq!(deflater.deflate(src, &mut exact, 512, Level::DEFAULT, segment), Ok(written));
                assert_eq!(exact, stream);
                for room in [0, written / 2, written - 1] {
                    let made = deflater.deflate(src, &mut dst[..room], 512, Level::DEFAULT, segment);
                    assert!(made.is_err_and(|full| full.room == room && full.len == src.len()));
                }
                if segment == Segment::Last {
                    let mut back = vec![0; src.len()];
                    assert_eq!(inflate(&stream, &mut back).map(|made| made.written), Ok(src.len()));
                    assert!(back == src);
                }
            }
        }
    }
}
