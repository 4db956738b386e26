//! Deflate read bit by bit, by the letter of RFC 1951, to say where blocks and miniblocks are. For the tests of several crates.

use std::collections::BTreeMap;

/// A block that has data.
pub(crate) struct Block {
    /// First bit of its header, and the bit behind its end.
    pub(crate) header: u32,
    pub(crate) end: u32,
    /// Its data, in that of the stream.
    pub(crate) data: std::ops::Range<usize>,
    /// Of each miniblock, where it ends, and the CRC-32 of the data up to there.
    pub(crate) entries: Vec<(u32, u32)>,
}

impl Block {
    /// The entries as they are written.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.entries
            .iter()
            .flat_map(|(end, crc)| (u64::from(*crc) << 32 | u64::from(*end)).to_le_bytes())
            .collect()
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> usize {
        (0..count).fold(0, |value, place| {
            let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
            self.at += 1;
            value | usize::from(bit) << place
        })
    }

    /// A codeword, its first bit highest.
    fn symbol(&mut self, code: &BTreeMap<(u32, usize), usize>) -> usize {
        let mut word = 0;
        for bits in 1..16 {
            word = word << 1 | self.take(1);
            if let Some(symbol) = code.get(&(bits, word)) {
                return *symbol;
            }
        }
        panic!("no codeword at bit {}", self.at);
    }
}

/// The codewords of lengths (section 3.2.2), by their length and value.
fn code(lengths: &[u32]) -> BTreeMap<(u32, usize), usize> {
    let (mut words, mut next) = (BTreeMap::new(), 0);
    for bits in 1..16 {
        next <<= 1;
        for (symbol, _) in lengths.iter().enumerate().filter(|(_, length)| **length == bits) {
            words.insert((bits, next), symbol);
            next += 1;
        }
    }
    words
}

/// What a code for a length or distance begins with, and its extra bits: codes without any, then `each` for each number of them.
fn ranged(code: usize, first: usize, each: usize) -> (usize, u32) {
    if code < 2 * each {
        return (first + code, 0);
    }
    let extra = code / each - 1;
    (first + ((each + code % each) << extra), u32::try_from(extra).expect("few"))
}

fn read_lengths(bits: &mut Bits<'_>) -> (Vec<u32>, Vec<u32>) {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (litlens, distances, count) = (257 + bits.take(5), 1 + bits.take(5), 4 + bits.take(4));
    let mut of_lengths = [0; 19];
    for place in ORDER.into_iter().take(count) {
        of_lengths[place] = u32::try_from(bits.take(3)).expect("three bits");
    }
    let of_lengths = code(&of_lengths);
    let mut lengths: Vec<u32> = Vec::new();
    while lengths.len() < litlens + distances {
        let (length, times) = match bits.symbol(&of_lengths) {
            16 => (*lengths.last().expect("one before"), 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            length => (u32::try_from(length).expect("small"), 1),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    let distances = lengths.split_off(litlens);
    (lengths, distances)
}

/// Reads one block. Says after which bits there was how much data, and whether it is the last.
fn read_block(bits: &mut Bits<'_>, data: &mut Vec<u8>) -> (Vec<(usize, usize)>, bool) {
    let (is_last, kind) = (bits.take(1) == 1, bits.take(2));
    let mut ends = Vec::new();
    if kind == 0 {
        bits.at = bits.at.next_multiple_of(8);
        let (len, inverse) = (bits.take(16), bits.take(16));
        assert_eq!(len, !inverse & 0xffff, "a stored block");
        for _ in 0..len {
            data.push(u8::try_from(bits.take(8)).expect("eight bits"));
            ends.push((data.len(), bits.at));
        }
        return (ends, is_last);
    }
    let fixed = |symbol: usize| [8, 9, 7, 8][[144, 256, 280].iter().filter(|from| symbol >= **from).count()];
    let (litlens, distances) = match kind {
        1 => ((0..288).map(fixed).collect(), vec![5; 30]),
        2 => read_lengths(bits),
        _ => panic!("block of kind {kind}"),
    };
    let (litlens, distances) = (code(&litlens), code(&distances));
    loop {
        match bits.symbol(&litlens) {
            literal @ 0..256 => data.push(u8::try_from(literal).expect("a byte")),
            256 => {
                ends.push((data.len(), bits.at));
                return (ends, is_last);
            }
            symbol => {
                let (least, extra) = if symbol == 285 { (258, 0) } else { ranged(symbol - 257, 3, 4) };
                let length = least + bits.take(extra);
                let (least, extra) = ranged(bits.symbol(&distances), 1, 2);
                let distance = least + bits.take(extra);
                for _ in 0..length {
                    data.push(data[data.len() - distance]);
                }
            }
        }
        ends.push((data.len(), bits.at));
    }
}

/// The blocks of a stream that have data, and all of that. Panics if the stream has no miniblocks of this size.
pub(crate) fn blocks(stream: &[u8], size: usize) -> (Vec<Block>, Vec<u8>) {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let (mut digest, mut summed) = (crc.digest(), 0);
    let (mut bits, mut data, mut blocks) = (Bits { bytes: stream, at: 0 }, Vec::new(), Vec::new());
    loop {
        let (header, from) = (bits.at, data.len());
        let (ends, is_last) = read_block(&mut bits, &mut data);
        // What is written last for a number of bytes is the end of the block, if that follows.
        let ends: BTreeMap<usize, usize> = ends.into_iter().collect();
        let number = |bit: usize| u32::try_from(bit).expect("a short stream");
        let boundaries = (from..data.len()).step_by(size).map(|at| data.len().min(at + size));
        let entries = boundaries.map(|boundary| {
            digest.update(&data[summed..boundary]);
            summed = boundary;
            (number(ends[&boundary]), digest.clone().finalize())
        });
        let entries: Vec<_> = entries.collect();
        if !entries.is_empty() {
            blocks.push(Block {
                header: number(header),
                end: number(bits.at),
                data: from..data.len(),
                entries,
            });
        }
        if is_last {
            return (blocks, data);
        }
    }
}
