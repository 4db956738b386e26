//! A stream taken apart (RFC 1951), from wherever the last call stopped: at any bit of the input, at any byte of the output.
//!
//! No byte of the input is taken before it is needed, so what follows a stream is never touched. The middle of blocks is
//! [`fast`]'s; here is the rest, and with it every decision on what is no stream. Those are zlib's.

#[cfg(feature = "queue")]
mod miniblock;

use super::fast::{self, Stop};
use super::table::{LENS, Tables};
use super::window::Window;

/// The order in which the lengths of the code of lengths come (RFC 1951, section 3.2.7).
const ORDER: [u8; LENS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Symbols that are defined, and that a block may describe.
const LITLENS_MAX: usize = 286;
const DISTANCES_MAX: usize = 30;
/// Of the literals and lengths: the end of a block.
const END: usize = 256;
/// Longest description of a length: a codeword and the repetitions behind it.
const LEN_BITS_MAX: u32 = 14;

/// The input is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaw;

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// More of the stream: all there was is taken in.
    Input,
    /// There is output that has no place.
    Room,
    /// The stream has ended.
    Nothing,
}

/// How far a call came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) read: usize,
    pub(super) written: usize,
    pub(super) wanted: Result<Wanted, Flaw>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The header of a block.
    Block,
    /// The size of a stored block.
    Size,
    /// So many bytes of a stored block.
    Stored(usize),
    /// How many codewords are described.
    Counts,
    /// The code in which that is.
    LensOfLens,
    /// Their lengths.
    Lens,
    Symbols,
    /// So many bytes of a repetition.
    Repeat {
        length: usize,
        distance: usize,
    },
    End,
    Broken,
    /// Broken by a repetition of what is before the output.
    TooFar,
}

/// Whether a call can go on. Some: what it lacks.
type Lacks = Option<Wanted>;

/// The two buffers of a call, and how far it is in them.
pub(super) struct Io<'a> {
    pub(super) src: &'a [u8],
    pub(super) at: usize,
    pub(super) dst: &'a mut [u8],
    pub(super) out: usize,
}

/// Bits that were taken from the input and are not used, the first one lowest; above them there are zeros.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bits {
    pub(super) word: u64,
    /// How many, fewer than 64.
    pub(super) left: u32,
}

impl Bits {
    /// The lowest `left` of `word`.
    pub(super) const fn new(word: u64, left: u32) -> Self {
        Self { word: word & !(u64::MAX << left), left }
    }

    /// Takes a number off, of 16 bits at most, which are there.
    fn take(&mut self, bits: u32) -> u16 {
        let [low, high, ..] = (self.word & !(u64::MAX << bits)).to_le_bytes();
        self.skip(bits);
        u16::from_le_bytes([low, high])
    }

    const fn skip(&mut self, bits: u32) {
        self.word >>= bits;
        self.left -= bits;
    }

    /// Makes it `bits` at least, a byte at a time: none is taken that is not needed. False: the input ends before.
    fn need(&mut self, bits: u32, io: &mut Io<'_>) -> bool {
        while self.left < bits {
            let Some(byte) = io.src.get(io.at) else { return false };
            self.word |= u64::from(*byte) << self.left;
            self.left += 8;
            io.at += 1;
        }
        true
    }

    /// Takes as many bytes as there is place for, if eight are there. What is not used has to be given back.
    fn fill(&mut self, io: &mut Io<'_>) {
        if let Some(bytes) = io.src.get(io.at..).and_then(|rest| rest.first_chunk()) {
            let word = self.word | u64::from_le_bytes(*bytes) << self.left;
            io.at += (63 - self.left) as usize / 8;
            *self = Self::new(word, self.left | 56);
        }
    }

    /// Gives whole bytes back to the input they came from.
    fn give_back(&mut self, io: &mut Io<'_>) {
        let bytes = (self.left / 8).min(u32::try_from(io.at).unwrap_or(u32::MAX));
        io.at -= bytes as usize;
        *self = Self::new(self.word, self.left - 8 * bytes);
    }
}

/// A stream under way.
#[derive(Clone)]
pub(super) struct Decoder {
    tables: Box<Tables>,
    window: Window,
    bits: Bits,
    stage: Stage,
    /// The block at hand is the last.
    is_last: bool,
    /// There are no others: it is read on its own, and what follows it is not looked at.
    is_only: bool,
    /// Lengths of codewords, of which there are going to be [`litlens`](Self::litlens) and [`distances`](Self::distances).
    lens: [u8; LITLENS_MAX + DISTANCES_MAX],
    /// How many of what is being read are read.
    have: usize,
    litlens: usize,
    distances: usize,
    lens_of_lens: usize,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            tables: Box::new(Tables::new()),
            window: Window::new(),
            bits: Bits::default(),
            stage: Stage::Block,
            is_last: false,
            is_only: false,
            lens: [0; LITLENS_MAX + DISTANCES_MAX],
            have: 0,
            litlens: 0,
            distances: 0,
            lens_of_lens: 0,
        }
    }

    /// Forgets the stream.
    pub(super) const fn reset(&mut self) {
        self.window.clear();
        self.bits = Bits { word: 0, left: 0 };
        self.stage = Stage::Block;
        self.is_only = false;
    }

    /// Takes in what the stream may refer to and is not going to be before it in the next call's `dst`.
    pub(super) fn remember(&mut self, bytes: &[u8]) {
        self.window.push(bytes);
    }

    /// Expands on, from the start of `src` to byte `start` of `dst`, before which there is what was written last.
    ///
    /// After a flaw, which is in the byte that was read last or before it, there is nothing but that.
    pub(super) fn run(&mut self, src: &[u8], dst: &mut [u8], start: usize) -> Step {
        let mut io = Io { src, at: 0, dst, out: start };
        let wanted = loop {
            match self.advance(&mut io) {
                Ok(None) => {}
                Ok(Some(wanted)) => break Ok(wanted),
                Err(flaw) => {
                    if self.stage != Stage::TooFar {
                        self.stage = Stage::Broken;
                    }
                    break Err(flaw);
                }
            }
        };
        Step { read: io.at, written: io.out - start, wanted }
    }

    fn advance(&mut self, io: &mut Io<'_>) -> Result<Lacks, Flaw> {
        match self.stage {
            Stage::Symbols => self.symbols(io),
            Stage::Repeat { length, distance } => Ok(self.repeat(io, length, distance)),
            Stage::Stored(left) => Ok(self.stored(io, left)),
            Stage::Block => self.block(io),
            Stage::Size => self.size(io),
            Stage::Counts => self.counts(io),
            Stage::LensOfLens => self.lens_of_lens(io),
            Stage::Lens => self.lens(io),
            Stage::End => Ok(Some(Wanted::Nothing)),
            Stage::Broken | Stage::TooFar => Err(Flaw),
        }
    }

    fn block(&mut self, io: &mut Io<'_>) -> Result<Lacks, Flaw> {
        if !self.bits.need(3, io) {
            return Ok(Some(Wanted::Input));
        }
        self.is_last = self.bits.take(1) == 1;
        self.stage = match self.bits.take(2) {
            0 => {
                self.bits.skip(self.bits.left % 8);
                Stage::Size
            }
            1 => {
                self.tables.set_fixed().ok_or(Flaw)?;
                Stage::Symbols
            }
            2 => Stage::Counts,
            _ => return Err(Flaw),
        };
        Ok(None)
    }

    fn size(&mut self, io: &mut Io<'_>) -> Result<Lacks, Flaw> {
        if !self.bits.need(32, io) {
            return Ok(Some(Wanted::Input));
        }
        let (bytes, inverse) = (self.bits.take(16), self.bits.take(16));
        self.stage = Stage::Stored(bytes.into());
        if bytes == !inverse { Ok(None) } else { Err(Flaw) }
    }

    fn stored(&mut self, io: &mut Io<'_>, left: usize) -> Lacks {
        let (input, room) = (&io.src[io.at..], &mut io.dst[io.out..]);
        let bytes = left.min(input.len()).min(room.len());
        room[..bytes].copy_from_slice(&input[..bytes]);
        self.stage = Stage::Stored(left - bytes);
        let lacks = match left - bytes {
            0 => {
                self.end_block();
                None
            }
            _ if bytes == input.len() => Some(Wanted::Input),
            _ => Some(Wanted::Room),
        };
        (io.at, io.out) = (io.at + bytes, io.out + bytes);
        lacks
    }

    const fn end_block(&mut self) {
        self.stage = if self.is_last || self.is_only { Stage::End } else { Stage::Block };
    }

    fn counts(&mut self, io: &mut Io<'_>) -> Result<Lacks, Flaw> {
        if !self.bits.need(14, io) {
            return Ok(Some(Wanted::Input));
        }
        self.litlens = 257 + usize::from(self.bits.take(5));
        self.distances = 1 + usize::from(self.bits.take(5));
        self.lens_of_lens = 4 + usize::from(self.bits.take(4));
        if self.litlens > LITLENS_MAX || self.distances > DISTANCES_MAX {
            return Err(Flaw);
        }
        self.lens[..LENS].fill(0);
        self.have = 0;
        self.stage = Stage::LensOfLens;
        Ok(None)
    }

    fn lens_of_lens(&mut self, io: &mut Io<'_>) -> Result<Lacks, Flaw> {
        while self.have < self.lens_of_lens {
            if !self.bits.need(3, io) {
                return Ok(Some(Wanted::Input));
            }
            let [len, _] = self.bits.take(3).to_le_bytes();
            self.lens[usize::from(ORDER[self.have])] = len;
            self.have += 1;
        }
        self.tables.set_lens(&self.lens[..LENS]).ok_or(Flaw)?;
        self.have = 0;
        self.stage = Stage::Lens;
        Ok(None)
    }

    fn lens(&mut self, io: &mut Io<'_>) -> Result<Lacks, Flaw> {
        let all = self.litlens + self.distances;
        while self.have < all {
            // What is there of a description, if only a part is, is used up before anything is given back.
            if self.bits.left < LEN_BITS_MAX {
                self.bits.fill(io);
            }
            let entry = self.tables.len(self.bits.word);
            let (least, more_bits) = match entry.value() {
                0..16 => (1, 0),
                16 => (3, 2),
                17 => (3, 3),
                _ => (11, 7),
            };
            if self.bits.left < entry.bits() + more_bits {
                if !self.bits.need(self.bits.left + 1, io) {
                    return Ok(Some(Wanted::Input));
                }
                continue;
            }
            self.bits.skip(entry.bits());
            let count = least + usize::from(self.bits.take(more_bits));
            let len = match entry.value() {
                16 => *self.lens[..self.have].last().ok_or(Flaw)?,
                17 | 18 => 0,
                len => u8::try_from(len).map_err(|_| Flaw)?,
            };
            self.lens[..all].get_mut(self.have..self.have + count).ok_or(Flaw)?.fill(len);
            self.have += count;
        }
        self.bits.give_back(io);
        let (litlens, distances) = self.lens[..all].split_at(self.litlens);
        if litlens[END] == 0 {
            return Err(Flaw);
        }
        self.tables.set(litlens, distances).ok_or(Flaw)?;
        self.stage = Stage::Symbols;
        Ok(None)
    }

    fn symbols(&mut self, io: &mut Io<'_>) -> Result<Lacks, Flaw> {
        if !fast::fits(io) {
            return self.symbol(io);
        }
        let stop = fast::run(&self.tables, &self.window, &mut self.bits, io);
        self.bits.give_back(io);
        match stop {
            Stop::Margin => self.symbol(io),
            Stop::EndOfBlock => {
                self.end_block();
                Ok(None)
            }
            Stop::Flaw => Err(Flaw),
            Stop::TooFar => {
                self.stage = Stage::TooFar;
                Err(Flaw)
            }
        }
    }

    /// A symbol, and with a length the distance: both or none of them are taken off, so that a part of them is bits in the word.
    fn symbol(&mut self, io: &mut Io<'_>) -> Result<Lacks, Flaw> {
        loop {
            let Bits { word, left } = self.bits;
            // Where bits are missing there are zeros. What takes off more than there are may be anything, and does want more.
            let (entry, bits) = self.tables.litlen_at(word);
            let is_range = !entry.is_literal() && !entry.is_other();
            let (far, far_bits) = if is_range { self.tables.distance_at(word >> bits) } else { (entry, 0) };
            if bits + far_bits > left {
                if !self.bits.need(left + 1, io) {
                    return Ok(Some(Wanted::Input));
                }
                continue;
            }
            if is_range {
                let (length, distance) = (in_range(entry, word, bits), in_range(far, word >> bits, far_bits));
                if far.is_other() {
                    return Err(Flaw);
                }
                if distance > io.out + self.window.len() {
                    self.stage = Stage::TooFar;
                    return Err(Flaw);
                }
                // Where miniblocks are told apart, it belongs to the next one.
                if self.is_only && io.out == io.dst.len() {
                    return Ok(Some(Wanted::Room));
                }
                self.stage = Stage::Repeat { length, distance };
            } else if entry.is_literal() {
                let Some(place) = io.dst.get_mut(io.out) else { return Ok(Some(Wanted::Room)) };
                *place = entry.byte();
                io.out += 1;
            } else if entry.is_end() {
                self.end_block();
            } else {
                return Err(Flaw);
            }
            self.bits.skip(bits + far_bits);
            return Ok(None);
        }
    }

    fn repeat(&mut self, io: &mut Io<'_>, length: usize, distance: usize) -> Lacks {
        let bytes = length.min(io.dst.len() - io.out);
        self.window.repeat(io.dst, io.out, distance, bytes);
        io.out += bytes;
        if bytes < length {
            self.stage = Stage::Repeat { length: length - bytes, distance };
            return Some(Wanted::Room);
        }
        self.stage = Stage::Symbols;
        None
    }
}

/// The length or distance of which `bits` are the first of `word`, those of the first table among them.
fn in_range(entry: super::table::Entry, word: u64, bits: u32) -> usize {
    entry.ranged(word >> (bits - entry.bits()))
}

#[cfg(test)]
mod tests;
