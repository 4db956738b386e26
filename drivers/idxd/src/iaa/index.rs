//! The index of a block's miniblocks: which descriptor comes next, and what its record means.
//!
//! A decompression of which the output is suppressed writes an entry for each miniblock. It stops at the end of the block, which
//! the caller has to know the structure of (IAA §3.4.3), and says in the AECS how far that is.
//!
//! Entries of one descriptor have to fit a transfer, and are more than that where the input is little of much: then it is
//! given less input.

use idxd_spec::iaa::{Completion, Decompress, DecompressAecs, DecompressFlags, Descriptor, ErrorCode};
use idxd_spec::{DstAddr, Flags, SrcAddr};
use svala::backend::Failure;
use svala::{BlockStart, Done, MINIBLOCK_ENTRY_BYTES, MiniblockFault, MiniblockSize, Span, Value};

use super::Next;
use super::inflate::{bit_of, size, start_behind};
use super::workspace::Workspace;

/// Most bytes of input in one descriptor: their bits are counted in 32 bits.
const PIECE_BYTES_MAX: u64 = 256 << 20;
/// Other places to cut the input at when the end of a piece is within a header too large for the AECS.
const CUTS_MAX: u32 = 8;
/// How much shorter a piece is at each of them. A header has less than 300 bytes.
const CUT_BYTES: u64 = 97;
/// How often a piece is halved, at most.
const HALVES_MAX: u32 = 28;

/// What the caller asks for.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) src: Span,
    pub(super) dst: Span,
    pub(super) size: MiniblockSize,
    pub(super) start: BlockStart,
    pub(super) transfer_bytes_max: u64,
    /// State in the second generation's format.
    pub(super) format_2: bool,
}

/// How far an index has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Indexing {
    /// Input bytes the device has taken.
    taken: u64,
    /// Input bytes of the descriptor under way.
    piece: u64,
    /// Bytes of entries.
    written: u64,
    /// Bits the device has decoded.
    bits: u64,
    /// Descriptors done.
    runs: u64,
    /// Times the input of a descriptor was halved.
    halves: u32,
    /// Times the piece at hand has been cut elsewhere.
    cuts: u32,
}

impl Indexing {
    /// Input bytes taken.
    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    /// The next descriptor.
    pub(super) fn load(&mut self, order: Order, workspace: &Workspace) -> Result<Descriptor, Failure> {
        if self.runs == 0 {
            let mut aecs = start_behind(&[], order.format_2);
            aecs.set_drop_initial_bits(bit_of(order.start.bit));
            aecs.set_bit_offset(order.start.bit);
            aecs.set_crc(order.start.crc);
            workspace.set_decompress_aecs(&aecs);
        }
        let bytes_max = order.transfer_bytes_max.min(PIECE_BYTES_MAX) >> self.halves;
        let bytes_max = bytes_max.saturating_sub(CUT_BYTES * u64::from(self.cuts)).max(1);
        let piece = order.src.part(self.taken, bytes_max);
        self.piece = piece.len;
        let room = match self.room(order) {
            room if room.len == 0 => workspace.spill(),
            room => room,
        };
        let ends = DecompressFlags::SUPPRESS_OUTPUT | DecompressFlags::STOP_ON_EOB;
        let descriptor = Descriptor::decompress(Decompress {
            src: SrcAddr(piece.addr.get()),
            src_size: size(piece.len)?,
            dst: DstAddr(room.addr.get()),
            dst_size_max: size(room.len)?,
            flags: ends.with_indexing(order.size.indexing()),
        });
        let toggles = if self.runs % 2 == 1 { Flags::AECS_TOGGLE } else { Flags::empty() };
        Ok(descriptor
            .with_src2(workspace.aecs().addr.get(), DecompressAecs::SIZE_U32)
            .with_flags(Flags::READ_SRC2_AECS | Flags::WRITE_SRC2_AECS | toggles))
    }

    /// Where entries go on: whole ones. Of no length: there is no room left.
    fn room(&self, order: Order) -> Span {
        let room = order.dst.part(self.written, order.transfer_bytes_max);
        room.part(0, room.len - room.len % MINIBLOCK_ENTRY_BYTES)
    }

    /// Takes in the record of a descriptor that ended well.
    pub(super) fn done(
        &mut self,
        record: &Completion,
        room: u64,
        order: Order,
        workspace: &Workspace,
    ) -> Result<Next, Failure> {
        let output = u64::from(record.output_size());
        let what = match () {
            () if output > room => Some("more output than room"),
            () if !output.is_multiple_of(MINIBLOCK_ENTRY_BYTES) => Some("a part of an entry"),
            () => None,
        };
        if let Some(what) = what {
            return Err(Failure::Nonsense { what, record: record.status().0.into() });
        }
        if output > 0 && self.room(order).len == 0 {
            return Err(Failure::OutputFull { bytes_max: order.dst.len });
        }
        self.taken += self.piece;
        self.written += output;
        self.cuts = 0;
        let aecs = workspace.decompress_aecs(self.runs.is_multiple_of(2));
        self.runs += 1;
        let [a, b, c, d, ..] = (u64::from(order.start.bit) + self.bits).to_le_bytes();
        self.bits += u64::from(aecs.bit_offset().wrapping_sub(u32::from_le_bytes([a, b, c, d])));
        if aecs.is_terminated() {
            return self.end(&aecs, record.crc(), order);
        }
        // Where the input ends is for the CPU to say.
        if self.taken >= order.src.len { Err(Failure::Stream) } else { Ok(Next::Descriptor) }
    }

    fn end(&self, aecs: &DecompressAecs, crc: u32, order: Order) -> Result<Next, Failure> {
        let begun = u64::from(order.start.bit % 8);
        if self.bits == 0 || begun + self.bits > 8 * self.taken {
            // It is not known where the block ended, and that is part of the answer.
            return Err(Failure::Stream);
        }
        let (size, entries) = (order.size.bytes(), self.written / MINIBLOCK_ENTRY_BYTES);
        // What a short miniblock has is where the output would go on.
        let output = u64::from(aecs.history_pointer() & !DecompressAecs::HISTORY_FULL);
        let data = match output % size {
            0 => entries * size,
            short => entries.saturating_sub(1) * size + short,
        };
        let value = Value::Index { bits: self.bits, written: self.written, data, crc };
        Ok(Next::End(Done { bytes: (begun + self.bits).div_ceil(8), value }))
    }

    /// What to do about an analytics error: give the device less, say what is wrong, or leave the stream to the CPU.
    pub(super) fn failed(&mut self, code: ErrorCode, room: u64, order: Order) -> Result<Next, Failure> {
        let data_at = self.written / MINIBLOCK_ENTRY_BYTES * order.size.bytes();
        let fault = |fault| Err(Failure::Miniblock { fault, data_at });
        let is_last = self.taken + self.piece >= order.src.len;
        let is_cut_by_transfer = room < self.room_left(order);
        match code {
            ErrorCode::OUTPUT_OVERFLOW if is_cut_by_transfer && self.halves < HALVES_MAX => self.halves += 1,
            ErrorCode::OUTPUT_OVERFLOW => return Err(Failure::OutputFull { bytes_max: order.dst.len }),
            ErrorCode::HEADER_TOO_LARGE if !is_last && self.cuts < CUTS_MAX => self.cuts += 1,
            ErrorCode::LENGTH_SPANS_MINIBLOCKS => return fault(MiniblockFault::Length),
            ErrorCode::DISTANCE_SPANS_MINIBLOCKS => return fault(MiniblockFault::Distance),
            ErrorCode::BLOCK_SIZE => return fault(MiniblockFault::Block),
            // What is before the stream is in no miniblock.
            ErrorCode::DISTANCE_BEFORE_START if data_at > 0 || order.start.bit > 0 => {
                return fault(MiniblockFault::Distance);
            }
            _ => return Err(Failure::Stream),
        }
        Ok(Next::Descriptor)
    }

    /// Bytes that whole entries still have room in.
    const fn room_left(&self, order: Order) -> u64 {
        let left = order.dst.len - self.written;
        left - left % MINIBLOCK_ENTRY_BYTES
    }
}
