//! Against zlib-rs, which it has to agree with on every stream, whole and cut anywhere.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::*;

const ROOM: usize = 1 << 16;

/// What became of a stream: bytes of it, and the output; none where it is refused.
type Answer = Option<(usize, Vec<u8>)>;

fn by_zlib(stream: &[u8]) -> Answer {
    let mut state = Decompress::new(false);
    let mut out = vec![0; ROOM];
    let status = state.decompress(stream, &mut out, FlushDecompress::Finish);
    out.truncate(usize::try_from(state.total_out()).unwrap());
    matches!(status, Ok(Status::StreamEnd)).then(|| (usize::try_from(state.total_in()).unwrap(), out))
}

/// In pieces of `input` and `room` bytes, each to a buffer of its own or behind the others.
fn in_pieces(stream: &[u8], input: usize, room: usize, is_behind: bool) -> Answer {
    let mut decoder = Decoder::new();
    let (mut read, mut out) = (0, Vec::new());
    let mut end = input.min(stream.len());
    loop {
        let (mut piece, written) = (vec![0x5a; room], out.len());
        let step = if is_behind {
            out.resize(written + room, 0x5a);
            decoder.run(&stream[read..end], &mut out, written)
        } else {
            decoder.run(&stream[read..end], &mut piece, 0)
        };
        read += step.read;
        out.truncate(written + if is_behind { step.written } else { 0 });
        if !is_behind {
            decoder.remember(&piece[..step.written]);
            out.extend(&piece[..step.written]);
        }
        match step.wanted.ok()? {
            Wanted::Nothing => return Some((read, out)),
            Wanted::Room => {
                assert_eq!(step.written, room, "it asks for room only when there is none");
                if out.len() >= ROOM {
                    return None;
                }
            }
            Wanted::Input => {
                assert_eq!(read, end, "it asks for input only when there is none");
                if end == stream.len() {
                    return None;
                }
                end = stream.len().min(end + input);
            }
        }
    }
}

#[track_caller]
fn assert_same(stream: &[u8]) {
    let wanted = by_zlib(stream);
    for (input, room) in [(ROOM, ROOM), (ROOM, 1), (1, ROOM), (1, 7), (17, 300), (400, 33), (5000, 5000)] {
        for is_behind in [false, true] {
            let answer = in_pieces(stream, input, room, is_behind);
            assert!(
                answer == wanted,
                "{input} bytes in, {room} out, {is_behind}: {:02x?}",
                &stream[..stream.len().min(400)]
            );
        }
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    /// Bytes of a few kinds: drawn from few or many values, with repetitions near and far.
    fn data(&mut self, len: usize) -> Vec<u8> {
        let values = 1 + self.below(256);
        let mut data: Vec<u8> = Vec::new();
        while data.len() < len {
            if self.below(4) == 0 && !data.is_empty() {
                let back = 1 + usize::try_from(self.below(data.len().min(32_768) as u64)).unwrap();
                for _ in 0..3 + self.below(300) {
                    data.push(data[data.len() - back]);
                }
            } else {
                data.push(u8::try_from(self.below(values)).unwrap());
            }
        }
        data.truncate(len);
        data
    }
}

fn deflated(data: &[u8], level: u32) -> Vec<u8> {
    let mut stream = Vec::with_capacity(data.len() + data.len() / 8 + 100);
    Compress::new(Compression::new(level), false)
        .compress_vec(data, &mut stream, FlushCompress::Finish)
        .unwrap();
    stream
}

#[test]
fn streams_are_expanded_wherever_they_are_cut() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for len in [0, 1, 2, 3, 100, 257, 258, 259, 1000, 20_000, 50_000] {
        for level in [0, 1, 4, 6, 9] {
            let data = random.data(len);
            let stream = [deflated(&data, level), b"what follows".to_vec()].concat();
            assert_eq!(by_zlib(&stream), Some((stream.len() - 12, data)));
            assert_same(&stream);
        }
    }
}

#[test]
fn broken_streams_are_refused_as_zlib_does() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for turn in 0..600 {
        let len = usize::try_from(random.below(3000)).unwrap();
        let data = random.data(len);
        let mut stream = deflated(&data, u32::try_from(turn % 10).unwrap());
        for _ in 0..=random.below(3) {
            let at = usize::try_from(random.below(stream.len() as u64)).unwrap();
            match random.below(3) {
                0 => stream[at] ^= 1 << random.below(8),
                // Headers are where most of what can be wrong is.
                1 => {
                    let at = at.min(usize::try_from(random.below(80)).unwrap());
                    stream[at] = u8::try_from(random.below(256)).unwrap();
                }
                _ => stream.truncate(at + 1),
            }
        }
        assert_same(&stream);
    }
}

#[test]
fn noise_is_refused_as_zlib_does() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..4000 {
        let len = 1 + usize::try_from(random.below(120)).unwrap();
        let mut noise: Vec<u8> =
            std::iter::repeat_with(|| random.next().to_le_bytes()[3]).take(len).collect();
        // A last block with codes of its own or fixed ones: others are soon over.
        noise[0] = noise[0] & 0xf8 | if random.below(2) == 0 { 5 } else { 3 };
        assert_same(&noise);
    }
}

/// Numbers with their widths, the first one lowest, in bytes.
fn bits(parts: &[(u32, u32)]) -> Vec<u8> {
    let all: Vec<u32> = parts
        .iter()
        .flat_map(|(value, width)| (0..*width).map(move |bit| value.checked_shr(bit).unwrap_or(0) & 1))
        .collect();
    all.chunks(8)
        .map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | u8::try_from(*bit).unwrap()))
        .collect()
}

/// The description of codes with these lengths, each one said for itself, in a last block.
fn described(litlens: &[u8], distances: &[u8], symbols: &[(u32, u32)]) -> Vec<u8> {
    // Sixteen lengths of four bits, so that a length is its own codeword.
    let mut parts = vec![(1, 1), (2, 2)];
    parts.push((u32::try_from(litlens.len() - 257).unwrap(), 5));
    parts.push((u32::try_from(distances.len() - 1).unwrap(), 5));
    parts.push((15, 4));
    parts.extend(ORDER.map(|symbol| (if symbol < 16 { 4 } else { 0 }, 3)));
    parts.extend(litlens.iter().chain(distances).map(|len| (u32::from(*len).reverse_bits() >> 28, 4)));
    parts.extend(symbols);
    bits(&parts)
}

/// What zlib and libdeflate do not agree on, and so nobody can be asked but zlib: codes that lack codewords, codes with more
/// symbols than are defined, and symbols that are not.
#[test]
fn codes_that_lack_something_are_taken_and_refused_as_zlib_does() {
    let litlens = |given: &[(usize, u8)], len| {
        let mut lens = vec![0; len];
        given.iter().for_each(|(symbol, bits)| lens[*symbol] = *bits);
        lens
    };
    let only_end = litlens(&[(256, 1)], 257);
    let pair = litlens(&[(97, 1), (256, 1)], 257);
    let with_length = litlens(&[(97, 2), (98, 2), (256, 2), (257, 2)], 258);
    let (a, end, length) = ((0, 2), (1, 2), (3, 2));
    let cases = [
        ("only the end", described(&only_end, &[0], &[(0, 1)]), true),
        ("what that leaves over", described(&only_end, &[0], &[(1, 1)]), false),
        ("no distances, none used", described(&pair, &[0], &[(0, 1), (1, 1)]), true),
        ("no distances, one used", described(&with_length, &[0], &[a, length, (0, 1), end]), false),
        ("one distance", described(&with_length, &[1], &[a, length, (0, 1), end]), true),
        ("what that leaves over", described(&with_length, &[1], &[a, length, (1, 1), end]), false),
        ("one distance of two bits", described(&with_length, &[2], &[a, length, (0, 2), end]), false),
        ("three quarters of the distances", described(&with_length, &[2, 2, 2], &[a, end]), false),
        (
            "three quarters of the literals",
            described(&litlens(&[(97, 2), (98, 2), (256, 2)], 257), &[0], &[a, (2, 2)]),
            false,
        ),
        ("too many literals", described(&litlens(&[(97, 1), (98, 1), (256, 1)], 257), &[0], &[]), false),
        ("too many distances", described(&with_length, &[1, 1, 1], &[a, end]), false),
        ("no end", described(&litlens(&[(97, 1), (98, 1)], 257), &[0], &[(0, 1)]), false),
        (
            "286 literals and lengths",
            described(&litlens(&[(97, 1), (256, 1)], 286), &[0], &[(0, 1), (1, 1)]),
            true,
        ),
        ("287 of them", described(&litlens(&[(97, 1), (256, 1)], 287), &[0], &[(0, 1), (1, 1)]), false),
        ("30 distances", described(&pair, &[&[1][..], &[0; 29]].concat(), &[(0, 1), (1, 1)]), true),
        ("31 of them", described(&pair, &[&[1][..], &[0; 30]].concat(), &[(0, 1), (1, 1)]), false),
        ("fixed codes, length 286", bits(&[(1, 1), (1, 2), (0x89, 8), (0x63, 8), (0, 5), (0, 7)]), false),
        ("fixed codes, distance 30", bits(&[(1, 1), (1, 2), (0x89, 8), (0x40, 7), (0xf, 5), (0, 7)]), false),
        (
            "fixed codes, before the start",
            bits(&[(1, 1), (1, 2), (0x89, 8), (0x40, 7), (0x10, 5), (0, 7)]),
            false,
        ),
        ("fixed codes", bits(&[(1, 1), (1, 2), (0x89, 8), (0x40, 7), (0, 5), (0, 7)]), true),
        ("a stored block", bits(&[(1, 1), (0, 7), (1, 16), (0xfffe, 16), (97, 8)]), true),
        ("another inverse of its size", bits(&[(1, 1), (0, 7), (1, 16), (0xffff, 16), (97, 8)]), false),
        ("a block of the fourth kind", bits(&[(1, 1), (3, 2), (0, 30)]), false),
        ("an incomplete code of lengths", bits(&[(1, 1), (2, 2), (0, 14), (1, 3), (0, 9), (0, 400)]), false),
        ("no code of lengths", bits(&[(1, 1), (2, 2), (0, 14), (0, 12), (0, 400)]), false),
        // The first length is said to be that before it.
        (
            "a repetition of nothing",
            bits(&[(1, 1), (2, 2), (0, 14), (1, 3), (0, 6), (1, 3), (0, 400)]),
            false,
        ),
    ];
    for (what, stream, is_good) in cases {
        assert_eq!(by_zlib(&stream).is_some(), is_good, "{what}");
        assert_same(&stream);
    }
}

/// Codewords of every length, up to 15 bits, in both codes.
#[test]
fn the_longest_codewords_are_found_behind_the_first_table() {
    // Lengths 1, 2, 3, ... 15, 15: complete, and as uneven as it gets.
    let uneven = |symbols: &[usize], len: usize| {
        let mut lens = vec![0_u8; len];
        for (nth, symbol) in symbols.iter().enumerate() {
            lens[*symbol] = u8::try_from(nth + 1).unwrap().min(15);
        }
        lens
    };
    let symbols: Vec<usize> = (0..14).chain([256, 285]).collect();
    let (litlens, distances) = (uneven(&symbols, 286), uneven(&(0..16).collect::<Vec<_>>(), 16));
    // The nth codeword has n ones and a zero, the last one none.
    let codeword = |nth: u32| ((1 << nth) - 1, (nth + 1).min(15));
    let mut parts: Vec<(u32, u32)> = (0..14).map(codeword).collect();
    // Sixteen bytes are there before: distances of up to as much, then of more.
    parts.extend((0..2).map(codeword));
    for nth in 0..16 {
        parts.push(codeword(15));
        parts.push(codeword(nth));
        parts.push((0, nth.saturating_sub(2) / 2));
    }
    parts.push((0x3fff, 15));
    let stream = described(&litlens, &distances, &parts);
    assert_eq!(by_zlib(&stream).expect("a stream").1.len(), 16 + 16 * 258);
    assert_same(&stream);
}
