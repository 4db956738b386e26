//! An inflate job: which descriptor comes next, and what its record means.
//!
//! The device takes at most `transfer_bytes_max` of input and gives as much output in a descriptor, wherever in the
//! stream that ends, and leaves what it needs to go on in the AECS. It says how far a descriptor came only when the
//! output overflows; where the stream ended is taken from the AECS. What it cannot decode is somebody else's: a window
//! beyond 4 KiB and a broken stream look much the same from here.
//!
//! An encrypted stream is decrypted on the way: the start of that is in the AECS of the first descriptor, the message ends with
//! the last, and its hash is in that one's record. If the stream ends before, the rest of the message is left to the CPU,
//! which has a tag to check.
//!
//! A dictionary is output that has been: its last 4 KiB are put into the history of an AECS that the first descriptor reads.
//!
//! Miniblocks begin in the middle of a block: its header is decoded before, for the codes, into an AECS that is then given another
//! place in the input. How far the device came does not matter there, since the end is known, and the CRC.
//!
//! UNSAFETY: reads a dictionary, which a job has the address of.
#![expect(unsafe_code, reason = "jobs name a dictionary by its address")]

use idxd_spec::iaa::{Completion, Decompress, DecompressAecs, DecompressFlags, Descriptor, ErrorCode};
use idxd_spec::{DstAddr, Flags, SrcAddr, Status};
use svala::backend::Failure;
use svala::{Cipher, CipherMode, Miniblocks, Span};

use super::cipher::{authenticate, start_of};
use super::lent;
use super::workspace::Workspace;

/// Most bytes of input in one descriptor, whatever the queue takes: their bits are counted in 32 bits.
const PIECE_BYTES_MAX: u64 = 256 << 20;
/// Other places to cut the input at when the end of a piece is within a header too large for the AECS.
const CUTS_MAX: u32 = 8;
/// How much shorter a piece is at each of them. A header has less than 300 bytes.
const CUT_BYTES: u64 = 97;
/// What the input accumulator of the AECS holds at most, beside a byte that is begun.
const CARRIED_BITS_MAX: u64 = DecompressAecs::INPUT_BITS_MAX as u64 + 8;

/// How far an inflate job has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inflating {
    /// Input bytes the device has taken.
    taken: u64,
    /// Input bits it has decoded.
    decoded_bits: u64,
    /// Whether the AECS has said something about them that cannot be.
    lost_count: bool,
    /// Output bytes written.
    pub(super) written: u64,
    pub(super) crc: u32,
    /// Descriptors done.
    runs: u64,
    /// Times the piece at hand has been cut elsewhere.
    cuts: u32,
    /// Input bytes of the descriptor under way.
    piece: u64,
    /// No room is left for the caller: what still comes out shows that some was missing.
    spills: bool,
    /// The stream has ended, and output is left in the AECS.
    flushes: bool,
    /// Of the message so far.
    hash: [u8; 16],
    /// The codes of a block that is begun in the middle of are in the AECS.
    has_codes: bool,
}

/// What follows a descriptor.
pub(super) enum Next {
    /// Another one.
    Descriptor,
    /// The stream has ended, after this many bytes.
    End(u64),
    /// The job has failed.
    Failed(Failure),
}

/// A job's ranges.
#[derive(Clone, Copy)]
pub(super) struct Ranges<'c> {
    pub(super) src: Span,
    pub(super) dst: Span,
    pub(super) transfer_bytes_max: u64,
    /// What the stream may refer to.
    pub(super) dictionary: Option<Span>,
    /// How the stream is encrypted.
    pub(super) cipher: Option<&'c Cipher>,
    /// State in the second generation's format.
    pub(super) format_2: bool,
    /// The stream is not read from its start.
    pub(super) middle: Option<Middle>,
}

/// Miniblocks, and the header of the block they begin in, if that is not read with them.
#[derive(Clone, Copy)]
pub(super) struct Middle {
    pub(super) header: Option<Span>,
    pub(super) miniblocks: Miniblocks,
}

impl Inflating {
    /// Input bytes taken.
    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    /// The next descriptor.
    pub(super) fn load(&mut self, ranges: Ranges<'_>, workspace: &Workspace) -> Result<Descriptor, Failure> {
        if let Some(text) = ranges.dictionary.filter(|_| self.runs == 0) {
            // SAFETY: the job is under way, and its dictionary is lent with the buffers.
            let text = unsafe { lent::bytes(text) };
            workspace.set_decompress_aecs(&start_behind(text, ranges.format_2));
        }
        if let Some(cipher) = ranges.cipher.filter(|_| self.runs == 0) {
            let (crypto, key) = start_of(cipher)?;
            workspace.set_decompress_aecs(&start_behind(&[], ranges.format_2));
            workspace.add_crypto(&crypto, key);
        }
        if let Some(middle) = ranges.middle.filter(|_| self.runs == 0 && !self.has_codes) {
            let mut aecs = start_behind(&[], ranges.format_2);
            if let Some(header) = middle.header {
                aecs.set_drop_initial_bits(bit_of(middle.miniblocks.header));
                workspace.set_decompress_aecs(&aecs);
                return header_only(header, middle.miniblocks, workspace);
            }
            begin_at(&mut aecs, middle.miniblocks);
            workspace.set_decompress_aecs(&aecs);
        }
        let Ranges { src, transfer_bytes_max, .. } = ranges;
        let bytes_max = transfer_bytes_max.min(PIECE_BYTES_MAX);
        let bytes_max = bytes_max.saturating_sub(CUT_BYTES * u64::from(self.cuts)).max(1);
        let piece = src.part(self.taken, if self.flushes { 0 } else { bytes_max });
        self.piece = piece.len;
        let room = self.room(ranges, workspace);
        if ranges.cipher.is_some() && self.is_last(ranges) {
            workspace.flush_decryption();
        }
        let flags = match (self.flushes, self.is_last(ranges)) {
            (true, _) => DecompressFlags::FLUSH_OUTPUT,
            (false, true) if let Some(Middle { miniblocks, .. }) = ranges.middle => {
                // Of nothing, nothing is ignored.
                let bits = if piece.len == 0 { 0 } else { bit_of(miniblocks.end.wrapping_neg()) };
                DecompressFlags::FLUSH_OUTPUT.with_ignore_end_bits(bits.into())
            }
            (false, true) => DecompressFlags::FLUSH_OUTPUT | DecompressFlags::CHECK_FOR_EOB,
            (false, false) => DecompressFlags::empty(),
        };
        let descriptor = Descriptor::decompress(Decompress {
            src: SrcAddr(piece.addr.get()),
            src_size: size(piece.len)?,
            dst: DstAddr(room.addr.get()),
            dst_size_max: size(room.len)?,
            flags: flags | DecompressFlags::STOP_ON_EOB | DecompressFlags::SELECT_BFINAL_EOB,
        });
        Ok(descriptor
            .with_src2(workspace.aecs().addr.get(), DecompressAecs::SIZE_U32)
            .with_flags(self.aecs_flags(ranges)))
    }

    /// Whether the descriptor under way has the rest of the input.
    const fn is_last(&self, ranges: Ranges<'_>) -> bool {
        self.taken + self.piece >= ranges.src.len
    }

    /// The first descriptor reads no AECS, unless it does not begin with the start of a stream that refers to nothing before and is
    /// not encrypted; all write it, to tell where they came to (IAA §3.10.1).
    const fn reads_aecs(&self, ranges: Ranges<'_>) -> bool {
        let starts = ranges.dictionary.is_none() && ranges.cipher.is_none() && ranges.middle.is_none();
        self.runs > 0 || !starts
    }

    fn aecs_flags(&self, ranges: Ranges<'_>) -> Flags {
        let reads = if self.reads_aecs(ranges) { Flags::READ_SRC2_AECS } else { Flags::empty() };
        let toggles = if self.runs % 2 == 1 { Flags::AECS_TOGGLE } else { Flags::empty() };
        Flags::WRITE_SRC2_AECS | reads | toggles
    }

    /// Where the output of the next descriptor goes.
    fn room(&mut self, ranges: Ranges<'_>, workspace: &Workspace) -> Span {
        let room = ranges.dst.part(self.written, ranges.transfer_bytes_max);
        self.spills |= room.len == 0;
        if self.spills { workspace.spill() } else { room }
    }

    /// Takes in the record of a descriptor that ended well or overflowed.
    pub(super) fn done(
        &mut self,
        record: &Completion,
        room: u64,
        ranges: Ranges<'_>,
        workspace: &Workspace,
    ) -> Next {
        let overflows = record.status().without_write() == Status::OUTPUT_OVERFLOW;
        if let Some(middle) = ranges.middle.filter(|middle| middle.header.is_some() && !self.has_codes) {
            // Nothing is written: there is nothing to overflow.
            let left = if overflows {
                None
            } else {
                behind_header(workspace.decompress_aecs(true), middle.miniblocks)
            };
            let Some(aecs) = left else { return Next::Failed(Failure::Stream) };
            workspace.set_decompress_aecs(&aecs);
            self.has_codes = true;
            return Next::Descriptor;
        }
        let (used, output) = (u64::from(record.bytes_completed()), u64::from(record.output_size()));
        if output > room || (overflows && used > self.piece) {
            let what = if output > room { "more output than room" } else { "more input used than there was" };
            return Next::Failed(Failure::Nonsense { what, record: record.status().0.into() });
        }
        // Of a message whose tag was not looked at, it is for the CPU to say: it looks first.
        let full = match ranges.cipher.map(Cipher::mode) {
            Some(CipherMode::Gcm) => Failure::Stream,
            _ => Failure::OutputFull { bytes_max: ranges.dst.len },
        };
        if self.spills && (overflows || output > 0) {
            return Next::Failed(full);
        }
        let was_last = self.is_last(ranges);
        self.spills |= overflows && used == 0 && output == 0;
        self.taken += if overflows { used } else { self.piece };
        self.written += output;
        self.crc = record.crc();
        self.hash = record.crypto_hash();
        self.cuts = 0;
        let aecs = workspace.decompress_aecs(self.runs.is_multiple_of(2));
        self.runs += 1;
        self.count(&aecs);
        let has_ended = aecs.is_terminated() || was_last;
        if overflows || !has_ended {
            return Next::Descriptor;
        }
        if !self.flushes && aecs.output_bits_valid() > 0 {
            self.flushes = true;
            return Next::Descriptor;
        }
        self.end(ranges)
    }

    /// How far the device says it has decoded, which cannot be more than it has been given.
    fn count(&mut self, aecs: &DecompressAecs) {
        let [a, b, c, d, ..] = self.decoded_bits.to_le_bytes();
        let news = u64::from(aecs.bit_offset().wrapping_sub(u32::from_le_bytes([a, b, c, d])));
        self.decoded_bits += news;
        self.lost_count |= news > 8 * self.piece + CARRIED_BITS_MAX || self.decoded_bits > 8 * self.taken;
    }

    fn end(&self, ranges: Ranges<'_>) -> Next {
        if ranges.middle.is_some() {
            return Next::End(self.taken);
        }
        let is_cut = ranges.cipher.is_some() && self.taken < ranges.src.len;
        if self.lost_count || self.decoded_bits == 0 || is_cut {
            // It is not known where the stream ended, and that is part of the answer.
            return Next::Failed(Failure::Stream);
        }
        if let Some(cipher) = ranges.cipher
            && let Err(failure) = authenticate(cipher, ranges.src.len, self.hash)
        {
            return Next::Failed(failure);
        }
        Next::End(self.decoded_bits.div_ceil(8))
    }

    /// What to do about an analytics error: cut the input elsewhere, or leave the stream to a decoder without limits,
    /// which also says what is wrong with it.
    pub(super) fn failed(&mut self, code: ErrorCode, ranges: Ranges<'_>) -> Next {
        let can_cut = code == ErrorCode::HEADER_TOO_LARGE && !self.is_last(ranges) && self.cuts < CUTS_MAX;
        if !can_cut {
            return Next::Failed(Failure::Stream);
        }
        self.cuts += 1;
        Next::Descriptor
    }
}

/// Decodes the header of a block, and what is at hand behind it, for its codes alone.
fn header_only(header: Span, miniblocks: Miniblocks, workspace: &Workspace) -> Result<Descriptor, Failure> {
    // Where miniblocks begin is behind it: what is of theirs is not decoded.
    let reaches = u64::from(miniblocks.start.div_ceil(8) - miniblocks.header / 8) == header.len;
    let ignored = if reaches { bit_of(miniblocks.start.wrapping_neg()) } else { 0 };
    let spill = workspace.spill();
    let descriptor = Descriptor::decompress(Decompress {
        src: SrcAddr(header.addr.get()),
        src_size: size(header.len)?,
        dst: DstAddr(spill.addr.get()),
        dst_size_max: size(spill.len)?,
        flags: DecompressFlags::SUPPRESS_OUTPUT
            .union(DecompressFlags::STOP_ON_EOB)
            .with_ignore_end_bits(ignored.into()),
    });
    Ok(descriptor
        .with_src2(workspace.aecs().addr.get(), DecompressAecs::SIZE_U32)
        .with_flags(Flags::READ_SRC2_AECS | Flags::WRITE_SRC2_AECS))
}

/// What [`header_only`] has left, with the input going on where the miniblocks begin. None: they are not in that block.
fn behind_header(mut aecs: DecompressAecs, miniblocks: Miniblocks) -> Option<DecompressAecs> {
    let state = aecs.state();
    if state & (DecompressAecs::TERMINATED | DecompressAecs::AT_HEADER) != 0 {
        return None;
    }
    if state & DecompressAecs::IN_STORED != 0 {
        // Each byte between is one of the block.
        let bits = miniblocks.start.checked_sub(miniblocks.header)?.checked_sub(aecs.bit_offset())?;
        let bytes = u16::try_from(bits / 8).ok().filter(|_| bits.is_multiple_of(8))?;
        aecs.set_stored_left(aecs.stored_left().checked_sub(bytes).filter(|left| *left > 0)?);
    }
    for index in 0..DecompressAecs::INPUT_WORDS {
        aecs.set_input(index, 0, 0);
    }
    aecs.set_input_bits(0);
    aecs.set_output(0);
    aecs.set_output_bits(aecs.output_bits() & 1);
    aecs.set_xor_csum(0);
    aecs.set_bit_offset(0);
    aecs.set_history_pointer(0);
    begin_at(&mut aecs, miniblocks);
    Some(aecs)
}

/// Has the input begin with the first bit of miniblocks, and the CRC with that before them.
fn begin_at(aecs: &mut DecompressAecs, miniblocks: Miniblocks) {
    aecs.set_drop_initial_bits(bit_of(miniblocks.start));
    aecs.set_crc(miniblocks.crc_before);
}

/// Which bit of its byte that is.
pub(super) const fn bit_of(bit: u32) -> u8 {
    bit.to_le_bytes()[0] % 8
}

pub(super) fn size(bytes: u64) -> Result<u32, Failure> {
    u32::try_from(bytes).map_err(|_| Failure::Unsupported)
}

/// The start of a stream that may refer to what comes before it (IAA tables 6-14, 6-18 and 6-19).
pub(super) fn start_behind(text: &[u8], format_2: bool) -> DecompressAecs {
    let text = &text[text.len().saturating_sub(DecompressAecs::HISTORY_SIZE)..];
    let mut aecs = DecompressAecs::new();
    aecs.set_state(DecompressAecs::AT_HEADER);
    aecs.set_output_bits(format_2.into());
    aecs.set_format(format_2.into());
    aecs.history_mut()[..text.len()].copy_from_slice(text);
    aecs.set_history_pointer(match u16::try_from(text.len()) {
        // Where the next byte goes, once round.
        Ok(len) if text.len() < DecompressAecs::HISTORY_SIZE => len,
        _ => DecompressAecs::HISTORY_FULL,
    });
    aecs
}
