//! A decompression between two descriptors of its job: what the AECS holds of it.
//!
//! Everything the tables of the specification give a place to is in that place, in format 1: checksums, output that
//! does not fill a word, input that is not a whole token or header, the state, the history. The codes of the block at
//! hand are kept by their lengths, half a byte each, where tables 6-16 to 6-18 have comparators and mapping tables, and
//! what is left of a match that did not fit lies in a reserved field: an AECS of software's own making (canned codes) is
//! therefore not understood, and refused where it makes no sense.

use idxd_spec::iaa::{DecompressAecs, ErrorCode};

use crate::iaa::{CodeLengths, Inflater, InputBits, Position, Saved};

/// Literal/length symbols whose lengths are kept; distances follow.
const LITERAL_LENGTHS: usize = 288;
const DISTANCES: usize = 32;

/// What a position has 15 bits for: the largest miniblock (IAA table 6-18, History Buffer Write Pointer).
pub(super) const POSITIONS: usize = 1 << 15;

/// A job's state.
pub(super) struct Stream {
    pub(super) inflater: Inflater,
    /// Input taken but not decoded: the last bytes of it, and how many bits of the first are decoded already.
    pub(super) input: Vec<u8>,
    pub(super) input_start: usize,
    /// Output that does not fill a word, at most 7 bytes.
    pub(super) output: Vec<u8>,
    pub(super) crc: u32,
    pub(super) xor_csum: u16,
    /// Bytes of output so far, modulo [`POSITIONS`].
    pub(super) position: usize,
    /// Bits of input decoded so far.
    pub(super) bit_offset: u32,
}

impl Stream {
    /// The start of a job.
    pub(super) fn start() -> Self {
        Self {
            inflater: Inflater::new(),
            input: Vec::new(),
            input_start: 0,
            output: Vec::new(),
            crc: 0,
            xor_csum: 0,
            position: 0,
            bit_offset: 0,
        }
    }

    /// Takes a job up from what [`save`](Self::save) wrote, of which only the first `size` bytes have been read. `drops`: the
    /// device can leave out bits of the input.
    ///
    /// Source of the checks: IAA table 4-5.
    pub(super) fn load(aecs: &DecompressAecs, size: usize, drops: bool) -> Result<Self, ErrorCode> {
        let bits = aecs.output_bits();
        if bits & 1 != 0
            || aecs.format() & 7 != 0
            || !bits.is_multiple_of(8)
            || bits > 56
            || (aecs.drop_initial_bits() != 0 && !(drops && aecs.input_bits() == 0))
        {
            return Err(ErrorCode::AECS);
        }
        let history = history(aecs, size)?;
        let (input, input_start) = input(aecs)?;
        let pointer = usize::from(aecs.history_pointer());
        Ok(Self {
            inflater: Inflater::restore(saved(aecs, history)?)?,
            input,
            // Nothing waits if something is dropped.
            input_start: input_start + usize::from(aecs.drop_initial_bits()),
            output: aecs.output().to_le_bytes()[..usize::from(bits / 8)].to_vec(),
            crc: aecs.crc(),
            xor_csum: aecs.xor_csum(),
            position: pointer % POSITIONS,
            bit_offset: aecs.bit_offset(),
        })
    }

    /// What the next descriptor is to find, with `rest` taken but not decoded.
    pub(super) fn save(&self, rest: InputBits<'_>, terminated: bool) -> Result<DecompressAecs, ErrorCode> {
        let mut aecs = DecompressAecs::new();
        aecs.set_crc(self.crc);
        aecs.set_xor_csum(self.xor_csum);
        let mut word = [0; 8];
        word[..self.output.len()].copy_from_slice(&self.output);
        aecs.set_output(u64::from_le_bytes(word));
        aecs.set_output_bits((8 * self.output.len()).to_le_bytes()[0]);
        aecs.set_bit_offset(self.bit_offset);
        let bits = u16::try_from(rest.bits()).ok().filter(|bits| *bits <= DecompressAecs::INPUT_BITS_MAX);
        aecs.set_input_bits(bits.ok_or(ErrorCode::HEADER_TOO_LARGE)?);
        for (index, (word, bits)) in rest.words().enumerate() {
            aecs.set_input(index, word, bits);
        }
        self.save_inflater(&mut aecs, terminated);
        Ok(aecs)
    }

    fn save_inflater(&self, aecs: &mut DecompressAecs, terminated: bool) {
        let saved = self.inflater.save();
        let last = if saved.final_block { DecompressAecs::IN_FINAL } else { 0 };
        aecs.set_state(match saved.position {
            _ if terminated => DecompressAecs::TERMINATED | last,
            Position::End => DecompressAecs::TERMINATED | last,
            // Bit 1 is free there: whether a block came before.
            Position::Header { after_block } => DecompressAecs::AT_HEADER | u16::from(after_block) << 1,
            Position::Stored { .. } => DecompressAecs::IN_STORED | last,
            Position::Codes => last,
        });
        if let Position::Stored { left } = saved.position {
            aecs.set_stored_left(u16::try_from(left).unwrap_or(u16::MAX));
        }
        if let Some((length, distance)) = saved.pending {
            aecs.set_reserved(u32::try_from(length << 16 | distance).unwrap_or(u32::MAX));
        }
        let mut history = saved.history;
        // What was forgotten is zeros, which nothing may refer to either.
        let forgotten = self.position.min(DecompressAecs::HISTORY_SIZE).saturating_sub(history.len());
        history.splice(..0, std::iter::repeat_n(0, forgotten));
        let lengths = saved.lengths.literal_length.iter().chain(&saved.lengths.distance);
        for (at, length) in lengths.enumerate() {
            aecs.codes_mut()[at / 2] |= length << (4 * (at % 2));
        }
        let full = history.len() == DecompressAecs::HISTORY_SIZE;
        let start = if full { self.position } else { 0 };
        for (at, byte) in history.iter().enumerate() {
            aecs.history_mut()[(start + at) % DecompressAecs::HISTORY_SIZE] = *byte;
        }
        let pointer = u16::try_from(self.position).unwrap_or(0);
        aecs.set_history_pointer(if full { pointer | DecompressAecs::HISTORY_FULL } else { pointer });
    }
}

/// The history, oldest byte first.
fn history(aecs: &DecompressAecs, size: usize) -> Result<Vec<u8>, ErrorCode> {
    let pointer = aecs.history_pointer();
    let full = pointer & DecompressAecs::HISTORY_FULL != 0;
    let at = usize::from(pointer & !DecompressAecs::HISTORY_FULL);
    let used = if full { DecompressAecs::HISTORY_SIZE } else { at };
    let is_read = used == 0 || size >= DecompressAecs::HISTORY_OFFSET + used;
    // Table 4-5: once round, it has been round.
    if (at >= DecompressAecs::HISTORY_SIZE && !full) || !is_read {
        return Err(ErrorCode::AECS);
    }
    let (history, at) = (aecs.history(), at % DecompressAecs::HISTORY_SIZE);
    Ok(if full { [&history[at..], &history[..at]].concat() } else { history[..at].to_vec() })
}

/// The input accumulator as bytes that end at the end of one, as the input that follows begins, and how many bits of the
/// first byte are not of it.
fn input(aecs: &DecompressAecs) -> Result<(Vec<u8>, usize), ErrorCode> {
    let sizes: Vec<usize> = aecs.input().map(|(_, bits)| usize::from(bits)).collect();
    let first_empty = sizes.iter().position(|bits| *bits == 0).unwrap_or(sizes.len());
    let total: usize = sizes.iter().sum();
    let is_sound = sizes.iter().all(|bits| *bits <= 64)
        && sizes[first_empty..].iter().all(|bits| *bits == 0)
        && (sizes[31] == 0 || total >= 193)
        && (sizes[30] == 0 || total - sizes[31] >= 129)
        && total == usize::from(aecs.input_bits());
    if !is_sound {
        return Err(ErrorCode::AECS);
    }
    let start = total.wrapping_neg() % 8;
    let mut bytes = vec![0; (start + total) / 8];
    let mut at = start;
    for (word, bits) in aecs.input() {
        for bit in 0..bits {
            bytes[at / 8] |= u8::from(word >> bit & 1 == 1) << (at % 8);
            at += 1;
        }
    }
    Ok((bytes, start))
}

fn saved(aecs: &DecompressAecs, history: Vec<u8>) -> Result<Saved, ErrorCode> {
    let (state, left) = (aecs.state(), usize::from(aecs.stored_left()));
    let position = match state & 0xf {
        state if state & DecompressAecs::TERMINATED != 0 => Position::End,
        state if state & DecompressAecs::AT_HEADER != 0 => {
            Position::Header { after_block: state & 0b0010 != 0 }
        }
        state if state & DecompressAecs::IN_STORED != 0 => Position::Stored { left },
        _ => Position::Codes,
    };
    if state > 0xf || (left != 0) != matches!(position, Position::Stored { .. }) {
        return Err(ErrorCode::AECS);
    }
    let length = |at: usize| aecs.codes()[at / 2] >> (4 * (at % 2)) & 0xf;
    let lengths = CodeLengths {
        literal_length: std::array::from_fn(length),
        distance: std::array::from_fn(|at| length(LITERAL_LENGTHS + at)),
    };
    const { assert!((LITERAL_LENGTHS + DISTANCES) / 2 <= 0x434 - 0x328) };
    let pending = aecs.reserved();
    let pending = (pending != 0).then_some(((pending >> 16) as usize, (pending & 0xffff) as usize));
    let final_block = state & DecompressAecs::IN_FINAL != 0;
    Ok(Saved { position, final_block, pending, lengths, history })
}
