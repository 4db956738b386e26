//! Miniblocks of a block: their index, and some of them by themselves.
//!
//! A reader with the codes of a block can begin at any bit between two symbols, if nothing that follows refers to what is before.
//! Which bits these are, for pieces of one size, is the index.

use super::Inflater;
use super::decoder::{Flaw, Wanted};
use crate::frame::CheckKind;

/// Output that is summed up while it is near.
const NEAR_BYTES: usize = 128 << 10;
/// Bytes of an entry of an index.
const ENTRY_BYTES: usize = 8;

/// A block whose index was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Indexed {
    /// Bits of the block.
    pub(crate) bits: u64,
    /// Bytes of entries.
    pub(crate) written: usize,
    /// Bytes of data.
    pub(crate) data: u64,
    pub(crate) crc: u32,
}

/// Where miniblocks are, in bits from the start of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) header: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Why there is no index, or no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MiniblockError {
    /// No stream, at this byte of it or just before.
    Corrupt { offset: u64 },
    /// The input ends before the block, or the miniblocks, do.
    Truncated,
    /// There is no room for entries, or data.
    OutputFull,
    /// A repetition of another miniblock, behind so much of the block's data.
    Distance { data_at: u64 },
    /// A repetition that goes on in the next miniblock.
    Length { data_at: u64 },
}

impl Inflater {
    /// Writes the index of the block that begins at bit `bit` of a stream, of which `src` are the bytes from that bit's on, to
    /// `entries`. Each miniblock is expanded into `miniblock`, which has its size. `crc` is that of the data before.
    pub(crate) fn index_block(
        &mut self,
        src: &[u8],
        (bit, crc): (u32, u32),
        miniblock: &mut [u8],
        entries: &mut [u8],
    ) -> Result<Indexed, MiniblockError> {
        self.decoder.begin_block();
        let mut read = self.begin(src, bit);
        let mut made = Indexed { bits: 0, written: 0, data: 0, crc };
        let mut out = 0;
        loop {
            let step = self.decoder.run(src.get(read..).unwrap_or_default(), miniblock, out);
            read += step.read;
            made.crc = CheckKind::Crc32.chain(made.crc, &miniblock[out..out + step.written]);
            out += step.written;
            let data_at = made.data;
            made.bits = self.bits_behind(read, bit);
            let ended = match step.wanted {
                Ok(Wanted::Input) => return Err(MiniblockError::Truncated),
                Ok(wanted) => wanted == Wanted::Nothing,
                // What is before the stream is in no miniblock.
                Err(Flaw) if self.decoder.is_too_far() && (data_at > 0 || bit > 0) => {
                    return Err(MiniblockError::Distance { data_at });
                }
                Err(Flaw) => {
                    return Err(MiniblockError::Corrupt { offset: u64::from(bit / 8) + read as u64 });
                }
            };
            if self.decoder.is_within_match() {
                return Err(MiniblockError::Length { data_at });
            }
            if out > 0 {
                let place = entries.get_mut(made.written..made.written + ENTRY_BYTES);
                let [a, b, c, d, ..] = (u64::from(bit) + made.bits).to_le_bytes();
                let end = u64::from(u32::from_le_bytes([a, b, c, d]));
                let entry = u64::from(made.crc) << 32 | end;
                place.ok_or(MiniblockError::OutputFull)?.copy_from_slice(&entry.to_le_bytes());
                made.written += ENTRY_BYTES;
                made.data += out as u64;
            }
            if ended {
                return Ok(made);
            }
            out = 0;
            self.decoder.forget();
        }
    }

    /// Expands the miniblocks at `places` of a stream into `dst`: `body` are the bytes they are in, `header` those that begin
    /// with the one that has the first bit of their block's header. Says how many bytes that makes, and their CRC, which goes on
    /// from `crc`.
    pub(crate) fn inflate_miniblocks(
        &mut self,
        (header, body): (&[u8], &[u8]),
        places: Places,
        crc: u32,
        dst: &mut [u8],
    ) -> Result<(usize, u32), MiniblockError> {
        let Places { start, end, .. } = places;
        self.reset();
        if places.header != start {
            self.seek(header, places)?;
        }
        let is_one = start / 8 == end.saturating_sub(1) / 8;
        // The last byte, if not all of it is theirs.
        let tail = if end.is_multiple_of(8) || is_one { None } else { body.last() };
        let whole = &body[..body.len() - usize::from(tail.is_some())];
        let mut read = match (is_one, body.first()) {
            (true, Some(byte)) => {
                self.decoder.take_in(*byte, start % 8, start % 8 + end.saturating_sub(start));
                1
            }
            _ => self.begin(whole, start),
        };
        let (mut written, mut crc, mut tail) = (0, crc, tail);
        loop {
            let room = dst.len().min(written + NEAR_BYTES);
            let step = self.decoder.run(whole.get(read..).unwrap_or_default(), &mut dst[..room], written);
            crc = CheckKind::Crc32.chain(crc, &dst[written..written + step.written]);
            read += step.read;
            written += step.written;
            let offset = u64::from(start / 8) + read as u64;
            match (step.wanted.map_err(|Flaw| MiniblockError::Corrupt { offset })?, tail.take()) {
                (Wanted::Input, Some(last)) => self.decoder.take_in(*last, 0, end % 8),
                (Wanted::Input | Wanted::Nothing, _) => return Ok((written, crc)),
                (Wanted::Room, _) if room == dst.len() => return Err(MiniblockError::OutputFull),
                (Wanted::Room, last) => tail = last,
            }
        }
    }

    /// Reads the header of a block, and goes to where miniblocks of it begin.
    fn seek(&mut self, src: &[u8], places: Places) -> Result<(), MiniblockError> {
        let corrupt =
            |read: usize| MiniblockError::Corrupt { offset: u64::from(places.header / 8) + read as u64 };
        let begun = self.begin(src, places.header);
        let step = self.decoder.run_header(src.get(begun..).unwrap_or_default());
        let read = begun + step.read;
        let wanted = step.wanted.map_err(|Flaw| corrupt(read))?;
        let behind = u64::from(places.header) + self.bits_behind(read, places.header);
        let bits = u64::from(places.start).checked_sub(behind);
        match bits {
            Some(bits) if wanted == Wanted::Room && self.decoder.seek(bits) => Ok(()),
            // There is more of the header than is before the miniblocks, or of the block less.
            _ => Err(corrupt(read)),
        }
    }

    /// Takes in what is of a byte that begins before `bit`; says how many bytes that makes.
    fn begin(&mut self, src: &[u8], bit: u32) -> usize {
        match src.first() {
            Some(byte) if !bit.is_multiple_of(8) => {
                self.decoder.take_in(*byte, bit % 8, 8);
                1
            }
            _ => 0,
        }
    }

    /// How many bits from `bit` on have been used of `read` bytes that begin with the one it is in.
    fn bits_behind(&self, read: usize, bit: u32) -> u64 {
        (8 * read as u64).saturating_sub(u64::from(self.decoder.unused_bits()) + u64::from(bit % 8))
    }
}
