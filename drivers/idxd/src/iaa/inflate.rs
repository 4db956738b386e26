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
//! UNSAFETY: reads a dictionary, which a job has the address of.
#![expect(unsafe_code, reason = "jobs name a dictionary by its address")]

use idxd_spec::iaa::{Completion, Decompress, DecompressAecs, DecompressFlags, Descriptor, ErrorCode};
use idxd_spec::{DstAddr, Flags, SrcAddr, Status};
use svala::backend::Failure;
use svala::{Cipher, Span};

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
        let size = |bytes: u64| u32::try_from(bytes).map_err(|_| Failure::Unsupported);
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

    /// The first descriptor reads no AECS, unless there is a dictionary or a cipher; all write it, to tell where they came to (IAA
    /// §3.10.1).
    const fn reads_aecs(&self, ranges: Ranges<'_>) -> bool {
        self.runs > 0 || ranges.dictionary.is_some() || ranges.cipher.is_some()
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
        let (used, output) = (u64::from(record.bytes_completed()), u64::from(record.output_size()));
        if output > room || (overflows && used > self.piece) {
            let what = if output > room { "more output than room" } else { "more input used than there was" };
            return Next::Failed(Failure::Nonsense { what, record: record.status().0.into() });
        }
        let full = Failure::OutputFull { bytes_max: ranges.dst.len };
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

/// The start of a stream that may refer to what comes before it (IAA tables 6-14, 6-18 and 6-19).
fn start_behind(text: &[u8], format_2: bool) -> DecompressAecs {
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
