//! Inputs for the tests: of every kind that compresses differently, and the same on every run; and streams
//! written bit by bit.

use proptest::prelude::*;

/// One input of every kind, with its name.
pub(super) fn all(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("text", text(bytes, 11)),
        ("records", records(bytes, 12)),
        ("zeros", vec![0; bytes]),
        ("random", random(bytes, 13)),
        ("runs", runs(bytes, 14)),
        ("few symbols", few_symbols(bytes, 15)),
    ]
}

/// Any of the kinds, up to `bytes_max` long.
pub(super) fn any(bytes_max: usize) -> impl Strategy<Value = Vec<u8>> {
    (0..=bytes_max, 0u64..1 << 32, 0usize..6).prop_map(|(bytes, seed, kind)| match kind {
        0 => text(bytes, seed),
        1 => records(bytes, seed),
        2 => vec![0; bytes],
        3 => random(bytes, seed),
        4 => runs(bytes, seed),
        _ => few_symbols(bytes, seed),
    })
}

/// Words of a small vocabulary with the frequencies of a language.
pub(super) fn text(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let words: Vec<Vec<u8>> = (0..2000)
        .map(|_| (0..random.below(8) + 2).map(|_| b"etaoinshrdlucmfwypvbgkjqxz"[random.skewed(26)]).collect())
        .collect();
    fill(bytes, |out| {
        out.extend_from_slice(&words[random.skewed(2000)]);
        out.push(if random.below(12) == 0 { b'\n' } else { b' ' });
    })
}

/// Records of 24 bytes of which a few change.
fn records(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut index = 0u32;
    fill(bytes, |out| {
        index += 1;
        out.extend_from_slice(&index.to_le_bytes());
        out.extend_from_slice(&[0, 0x80, 0x3f, 1, 0, 0, 0, 0]);
        out.extend_from_slice(&random.next().to_le_bytes());
        out.extend_from_slice(&[0xff; 4]);
    })
}

/// Nothing to compress.
pub(super) fn random(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    fill(bytes, |out| out.extend_from_slice(&random.next().to_le_bytes()))
}

/// Runs of 1 to 2000 bytes.
fn runs(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    fill(bytes, |out| {
        let (byte, count) = (random.next().to_le_bytes()[0], random.skewed(2000) + 1);
        out.resize(out.len() + count, byte);
    })
}

/// Random bytes of four values: short matches everywhere.
fn few_symbols(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    fill(bytes, |out| out.push(b"acgt"[random.below(4)]))
}

/// Bits in stream order from groups of `(value, count)`, values with their low bit first.
pub(super) fn bits(groups: &[(u32, u32)]) -> Vec<u8> {
    let mut flat =
        groups.iter().flat_map(|&(value, count)| (0..count).map(move |bit| value >> bit & 1)).peekable();
    let mut bytes = Vec::new();
    while flat.peek().is_some() {
        bytes.push(flat.by_ref().take(8).zip(0..).fold(0, |byte, (bit, at)| byte | u8::from(bit == 1) << at));
    }
    bytes
}

/// A Huffman code, whose first bit is its highest.
pub(super) fn code(value: u32, count: u32) -> (u32, u32) {
    (value.reverse_bits() >> (32 - count), count)
}

fn fill(bytes: usize, mut more: impl FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 2000);
    while out.len() < bytes {
        more(&mut out);
    }
    out.truncate(bytes);
    out
}

/// A small generator, so that an input is its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// Small numbers far more often than large ones.
    fn skewed(&mut self, bound: usize) -> usize {
        let limit = self.below(bound) + 1;
        let limit = self.below(limit) + 1;
        self.below(limit)
    }
}
