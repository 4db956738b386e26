//! Huffman codes made to measure: from the counts of a statistics pass to the codes and the block header of an AECS.
//!
//! What the first devices leave to software (IAA §3.4), and later ones do themselves (§3.4.5). Codes are as short as
//! Huffman's algorithm makes them, cut to the 15 and 7 bits that Deflate has room for (RFC 1951, §3.2.7).

use super::aecs::{Code, CompressAecs};
use crate::field::Field;

/// Longest code of a literal, a length or a distance, in bits.
const CODE_BITS_MAX: usize = 15;
/// Longest code of a code length, in bits.
const LENGTH_CODE_BITS_MAX: usize = 7;
/// Tokens of code lengths: 16 repeats, 17 and 18 are runs of zeros.
const LENGTH_TOKENS: usize = 19;
/// The order in which a header has them.
const LENGTH_ORDER: [usize; LENGTH_TOKENS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Code lengths of both alphabets at most.
const LENGTHS_MAX: usize = CompressAecs::LL_COUNT + CompressAecs::D_COUNT;
const END_OF_BLOCK: usize = 256;

/// How often each token appeared, as a statistics pass writes it: 318 32-bit words.
///
/// Source: IAA §3.4.1, table 3-4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Literals, end of block, lengths; bytes 0 to 1143.
    pub literal_length: [u32; CompressAecs::LL_COUNT],
    /// Distances; bytes 1152 to 1271.
    pub distance: [u32; CompressAecs::D_COUNT],
}

const _: () = assert!(Histogram::DISTANCES + 4 * CompressAecs::D_COUNT == Histogram::SIZE);
const _: () = assert!(4 * (CompressAecs::LL_COUNT + 2) == Histogram::DISTANCES);

impl Histogram {
    /// Bytes in memory.
    pub const SIZE: usize = 318 * 4;
    /// Counts have 19 bits and stay at the largest.
    pub const COUNT_MAX: u32 = (1 << 19) - 1;
    /// Where the distances begin.
    const DISTANCES: usize = 1152;

    /// Nothing counted.
    #[must_use]
    pub const fn new() -> Self {
        Self { literal_length: [0; CompressAecs::LL_COUNT], distance: [0; CompressAecs::D_COUNT] }
    }

    /// Takes the bytes as the device wrote them. Counts above [`COUNT_MAX`](Self::COUNT_MAX) are taken as that.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let count = |at: usize| Field::<u32>::at(at).read(bytes).min(Self::COUNT_MAX);
        Self {
            literal_length: core::array::from_fn(|token| count(4 * token)),
            distance: core::array::from_fn(|token| count(Self::DISTANCES + 4 * token)),
        }
    }

    /// The bytes as a device writes them.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        for (token, count) in self.literal_length.iter().enumerate() {
            Field::<u32>::at(4 * token).write(&mut bytes, *count);
        }
        for (token, count) in self.distance.iter().enumerate() {
            Field::<u32>::at(Self::DISTANCES + 4 * token).write(&mut bytes, *count);
        }
        bytes
    }

    /// The same with no token left at 0 that another input may need: those up to the last that is not 0, at least up to
    /// length token 272 and distance token 23, count 1 (IAA §3.4.5, Make Complete Tables).
    #[must_use]
    pub fn complete(mut self) -> Self {
        fill_up(&mut self.literal_length, 272);
        fill_up(&mut self.distance, 23);
        self
    }

    /// The same with every token counted: codes made of it take any input.
    #[must_use]
    pub fn all_tokens(mut self) -> Self {
        fill_up(&mut self.literal_length, CompressAecs::LL_COUNT - 1);
        fill_up(&mut self.distance, CompressAecs::D_COUNT - 1);
        self
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

fn fill_up(counts: &mut [u32], last_at_least: usize) {
    let last = counts.iter().rposition(|&count| count != 0).unwrap_or(0).max(last_at_least);
    counts[..=last].iter_mut().for_each(|count| *count = (*count).max(1));
}

/// The lengths of a block's codes in bits, 0 for tokens that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeLengths {
    /// Literals, end of block, lengths.
    pub literal_length: [u8; CompressAecs::LL_COUNT],
    /// Distances.
    pub distance: [u8; CompressAecs::D_COUNT],
}

impl CodeLengths {
    /// The lengths of the fixed codes (RFC 1951, §3.2.6). The codes are those of [`CompressAecs::fixed_huffman`], in which
    /// two more tokens take code space.
    #[must_use]
    pub fn fixed() -> Self {
        Self {
            literal_length: core::array::from_fn(|token| match token {
                0..144 | 280.. => 8,
                144..256 => 9,
                _ => 7,
            }),
            distance: [5; CompressAecs::D_COUNT],
        }
    }

    /// Those that make the least bits of tokens that appear so often.
    ///
    /// End of block always has a code. An alphabet has two codes at least, since some decoders take no fewer.
    #[must_use]
    pub fn of(histogram: &Histogram) -> Self {
        let mut counts = histogram.literal_length;
        counts[END_OF_BLOCK] = counts[END_OF_BLOCK].max(1);
        let mut this =
            Self { literal_length: [0; CompressAecs::LL_COUNT], distance: [0; CompressAecs::D_COUNT] };
        assign_lengths(&counts, CODE_BITS_MAX, &mut this.literal_length);
        assign_lengths(&histogram.distance, CODE_BITS_MAX, &mut this.distance);
        this
    }

    /// Bits that such tokens take with these codes, extra bits and end of block included, the header not. `None` if one
    /// of them has no code.
    #[must_use]
    pub fn bits(&self, histogram: &Histogram) -> Option<u64> {
        let literal_length = self.literal_length.iter().zip(&histogram.literal_length).enumerate();
        let distance = self.distance.iter().zip(&histogram.distance).enumerate();
        let mut bits = 0;
        for (token, (&length, &count)) in literal_length {
            bits += cost(
                length,
                if token == END_OF_BLOCK { count.max(1) } else { count },
                extra_of_length(token),
            )?;
        }
        for (token, (&length, &count)) in distance {
            bits += cost(length, count, extra_of_distance(token))?;
        }
        Some(bits)
    }

    /// Bits of the header of a block with these codes.
    #[must_use]
    pub fn header_bits(&self) -> u64 {
        let mut bits = 0;
        // A sink that takes everything.
        let _ = Header::of(self).write(false, &mut |_, count| {
            bits += u64::from(count);
            true
        });
        bits
    }
}

fn cost(length: u8, count: u32, extra: u64) -> Option<u64> {
    (count == 0 || length != 0).then(|| u64::from(count) * (u64::from(length) + extra))
}

const fn extra_of_length(token: usize) -> u64 {
    match token {
        265..285 => (token as u64 - 261) / 4,
        _ => 0,
    }
}

const fn extra_of_distance(token: usize) -> u64 {
    match token {
        4.. => token as u64 / 2 - 1,
        _ => 0,
    }
}

impl CompressAecs {
    /// Sets the canonical codes of such lengths (RFC 1951, §3.2.2).
    pub fn set_codes(&mut self, lengths: &CodeLengths) {
        canonical(&lengths.literal_length, |token, code| self.set_ll_code(token, code));
        canonical(&lengths.distance, |token, code| self.set_d_code(token, code));
    }

    /// The lengths of the codes in here.
    #[must_use]
    pub fn code_lengths(&self) -> CodeLengths {
        CodeLengths {
            literal_length: core::array::from_fn(|token| self.ll_code(token).length()),
            distance: core::array::from_fn(|token| self.d_code(token).length()),
        }
    }

    /// Puts the header of a block with codes of these lengths behind the bits in the accumulator. Says whether it fits;
    /// if not, the accumulator is as it was. Codes that have little in common with each other make 2287 bits of header.
    pub fn push_dynamic_header(&mut self, lengths: &CodeLengths, is_final: bool) -> bool {
        let before = self.accumulator_bits();
        let fits = Header::of(lengths).write(is_final, &mut |bits, count| self.push_header_bits(bits, count));
        if !fits {
            self.set_accumulator_bits(before);
        }
        fits
    }

    /// What makes a compression of literals alone, without end of block, one stored block of `len` bytes: every byte has
    /// itself for its code, and the header is that of a stored block. The device has no other way to make one.
    #[must_use]
    pub fn stored(len: u16, is_final: bool) -> Self {
        let mut this = Self::new();
        for byte in 0..=u8::MAX {
            // Codes go out first bit highest, stored bytes lowest.
            this.set_ll_code(byte.into(), Code::new(byte.reverse_bits().into(), 8));
        }
        this.push_header_bits(is_final.into(), 8);
        this.push_header_bits(u32::from(len) | u32::from(!len) << 16, 32);
        this
    }
}

fn canonical(lengths: &[u8], mut set: impl FnMut(usize, Code)) {
    let mut next = 0_u16;
    for (token, _) in lengths.iter().enumerate().filter(|(_, length)| **length == 0) {
        set(token, Code::default());
    }
    for length in 1..=15 {
        next <<= 1;
        for (token, _) in lengths.iter().enumerate().filter(|(_, of)| **of == length) {
            set(token, Code::new(next, length));
            next = next.wrapping_add(1);
        }
    }
}

/// The code lengths of a block in the form in which its header has them.
struct Header {
    /// Code length tokens, and the value of the extra bits of 16, 17 and 18.
    tokens: [(u8, u8); LENGTHS_MAX],
    count: usize,
    ll_count: usize,
    d_count: usize,
}

impl Header {
    fn of(lengths: &CodeLengths) -> Self {
        let used = |lengths: &[u8], least: usize| {
            lengths.iter().rposition(|&length| length != 0).map_or(least, |last| (last + 1).max(least))
        };
        let (ll_count, d_count) = (used(&lengths.literal_length, 257), used(&lengths.distance, 1));
        let mut this = Self { tokens: [(0, 0); LENGTHS_MAX], count: 0, ll_count, d_count };
        // No run goes from the one alphabet into the other: a device would not read it (IAA table 4-8, 0x04 and 0x06).
        for alphabet in [&lengths.literal_length[..ll_count], &lengths.distance[..d_count]] {
            for run in alphabet.chunk_by(|length, next| length == next) {
                this.push_run(run[0], run.len());
            }
        }
        this
    }

    fn push(&mut self, token: u8, extra: usize) {
        self.tokens[self.count] = (token, extra.to_le_bytes()[0]);
        self.count += 1;
    }

    fn push_run(&mut self, length: u8, mut run: usize) {
        if length != 0 {
            self.push(length, 0);
            run -= 1;
        }
        while run >= 3 {
            let (token, least, most) = match length {
                0 if run > 10 => (18, 11, 138),
                0 => (17, 3, 10),
                _ => (16, 3, 6),
            };
            let part = run.min(most);
            self.push(token, part - least);
            run -= part;
        }
        (0..run).for_each(|_| self.push(length, 0));
    }

    /// Gives the bits of the header to `put`, lowest first, as long as that takes them. Says whether it took all.
    fn write(&self, is_final: bool, put: &mut dyn FnMut(u32, u16) -> bool) -> bool {
        let tokens = &self.tokens[..self.count];
        let mut counts = [0; LENGTH_TOKENS];
        tokens.iter().for_each(|&(token, _)| counts[usize::from(token)] += 1);
        let mut lengths = [0; LENGTH_TOKENS];
        assign_lengths(&counts, LENGTH_CODE_BITS_MAX, &mut lengths);
        let sent =
            LENGTH_ORDER.iter().rposition(|&token| lengths[token] != 0).map_or(4, |last| (last + 1).max(4));
        let mut codes = [Code::default(); LENGTH_TOKENS];
        canonical(&lengths, |token, code| codes[token] = code);
        let field = |count: usize, least: usize| u32::try_from(count - least).unwrap_or(u32::MAX);
        // BFINAL, BTYPE = 10, HLIT, HDIST, HCLEN.
        let counts = field(self.ll_count, 257) | field(self.d_count, 1) << 5 | field(sent, 4) << 10;
        put(u32::from(is_final) | 0b100 | counts << 3, 17)
            && LENGTH_ORDER[..sent].iter().all(|&token| put(lengths[token].into(), 3))
            && tokens.iter().all(|&(token, extra)| {
                let code = codes[usize::from(token)];
                let reversed =
                    u32::from(code.code()).reverse_bits() >> (32 - u32::from(code.length()).max(1));
                let extra_bits = match token {
                    16 => 2,
                    17 => 3,
                    18 => 7,
                    _ => 0,
                };
                put(reversed | u32::from(extra) << code.length(), u16::from(code.length()) + extra_bits)
            })
    }
}

/// Sets the lengths of a Huffman code of at most `bits_max` bits for tokens that appear so often; two at least have one.
fn assign_lengths(counts: &[u32], bits_max: usize, lengths: &mut [u8]) {
    let mut sorted = [(0_u32, 0_u16); CompressAecs::LL_COUNT];
    let mut used = 0;
    let missing = 2_usize.saturating_sub(counts.iter().filter(|&&count| count != 0).count());
    let mut spare = counts.iter().enumerate().filter(|&(_, &count)| count == 0).map(|(token, _)| token);
    let spares: [Option<usize>; 2] =
        core::array::from_fn(|at| if at < missing { spare.next() } else { None });
    for (token, &count) in counts.iter().enumerate() {
        let count = if spares.contains(&Some(token)) { 1 } else { count };
        if count != 0 {
            sorted[used] = (count.min(Histogram::COUNT_MAX), u16::try_from(token).unwrap_or(0));
            used += 1;
        }
    }
    let sorted = &mut sorted[..used];
    sorted.sort_unstable();
    let mut of_length = huffman_lengths(sorted);
    limit(&mut of_length, bits_max);
    lengths.fill(0);
    // The most frequent token gets the shortest code.
    let mut tokens = sorted.iter().rev();
    for (length, &count) in (0..=15_u8).zip(&of_length) {
        for (_, token) in tokens.by_ref().take(count) {
            lengths[usize::from(*token)] = length;
        }
    }
}

/// How many codes of each length Huffman's algorithm makes of these counts, in rising order, at least two: by Moffat and
/// Katajainen, in place. No code is longer than the number of counts.
fn huffman_lengths(sorted: &[(u32, u16)]) -> [usize; CompressAecs::LL_COUNT] {
    let mut work = [0_usize; CompressAecs::LL_COUNT];
    let work = &mut work[..sorted.len()];
    work.iter_mut().zip(sorted).for_each(|(to, &(count, _))| *to = count as usize);
    let (count, mut of_length) = (work.len(), [0; CompressAecs::LL_COUNT]);
    if count < 2 {
        return of_length;
    }
    // Weights of inner nodes come where leaves were; then the index of the parent takes their place.
    let (mut root, mut leaf) = (0, 0);
    for next in 0..count - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            if leaf >= count || (root < next && work[root] < work[leaf]) {
                weight += work[root];
                work[root] = next;
                root += 1;
            } else {
                weight += work[leaf];
                leaf += 1;
            }
        }
        work[next] = weight;
    }
    work[count - 2] = 0;
    for next in (0..count - 2).rev() {
        work[next] = work[work[next]] + 1;
    }
    // Inner nodes at each depth leave the rest of its places to leaves.
    let (mut places, mut depth, mut inner) = (1, 0, count - 1);
    while places > 0 {
        let inner_here = work[..inner].iter().rev().take_while(|&&of| of == depth).count();
        inner -= inner_here;
        of_length[depth] = places - inner_here;
        places = 2 * inner_here;
        depth += 1;
    }
    of_length
}

/// Shortens the codes that are longer than `bits_max`, and lengthens as few others as that needs.
fn limit(of_length: &mut [usize; CompressAecs::LL_COUNT], bits_max: usize) {
    let long: usize = of_length[bits_max + 1..].iter().sum();
    of_length[bits_max + 1..].fill(0);
    of_length[bits_max] += long;
    let taken = |of_length: &[usize]| -> usize {
        (1..=bits_max).map(|length| of_length[length] << (bits_max - length)).sum()
    };
    // Each turn frees one place of the longest codes.
    for _ in 1 << bits_max..taken(of_length) {
        let Some(shorter) = (1..bits_max).rev().find(|&length| of_length[length] > 0) else { return };
        of_length[bits_max] -= 1;
        of_length[shorter] -= 1;
        of_length[shorter + 1] += 2;
    }
}

#[cfg(test)]
mod tests;
