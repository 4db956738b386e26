//! One field: its bytes, its guard, its checks.

use crc_fast::CrcAlgorithm::Crc16T10Dif;

use super::{BlockSize, DestinationFields, FIELD_BYTES, Format, Mismatch, SourceChecks, Tags};

/// A field, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) guard: u16,
    pub(super) app_tag: u16,
    pub(super) ref_tag: u32,
}

impl Field {
    #[inline]
    pub(super) fn from_bytes(bytes: &[u8; FIELD_BYTES]) -> Self {
        let [g1, g0, a1, a0, r3, r2, r1, r0] = *bytes;
        Self {
            guard: u16::from_be_bytes([g1, g0]),
            app_tag: u16::from_be_bytes([a1, a0]),
            ref_tag: u32::from_be_bytes([r3, r2, r1, r0]),
        }
    }

    #[inline]
    pub(super) fn to_bytes(self) -> [u8; FIELD_BYTES] {
        let [g1, g0] = self.guard.to_be_bytes();
        let [a1, a0] = self.app_tag.to_be_bytes();
        let [r3, r2, r1, r0] = self.ref_tag.to_be_bytes();
        [g1, g0, a1, a0, r3, r2, r1, r0]
    }

    fn is_all_ones(self) -> bool {
        self.guard == u16::MAX && self.app_tag == u16::MAX && self.ref_tag == u32::MAX
    }
}

/// Computes guards of blocks of one size.
///
/// A CRC is linear: a seed other than 0 adds to the result what it leaves behind as many zeros as the block has bytes,
/// which is a constant of the block size. And zeros in front change nothing where the seed is 0: so a small block goes
/// through an aligned buffer, with zeros before it up to a whole number of the stretches the CRC is fastest on. Blocks
/// with fields behind them lie 8 bytes off every other time, which costs more than twice the time of the CRC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    inverted: u16,
    aligned: Option<Aligned>,
}

/// Bytes the CRC takes at once, and their alignment.
const STRETCH_BYTES: usize = 128;
/// The largest block that is copied for its CRC: beyond, the copy costs more than it saves.
const SMALL_BYTES: usize = 520;

/// Room for a small block; the zeros in front of it stay.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
struct Aligned([u8; SMALL_BYTES.next_multiple_of(STRETCH_BYTES)]);

impl Guard {
    pub(super) fn new(format: Format) -> Self {
        let seed = if format.invert_crc_seed { seed_behind(format.block_size) } else { 0 };
        let result = if format.invert_crc_result { u16::MAX } else { 0 };
        Self { inverted: seed ^ result, aligned: None }
    }

    /// `block` has the size of the format.
    #[inline(always)]
    pub(super) fn of(&mut self, block: &[u8]) -> u16 {
        let len = block.len();
        let is_direct = len > SMALL_BYTES
            || len.is_multiple_of(STRETCH_BYTES) && block.as_ptr().addr().is_multiple_of(16);
        let block = if is_direct { block } else { self.padded(block) };
        #[expect(clippy::cast_possible_truncation, reason = "a 16-bit CRC in 64 bits")]
        let crc = crc_fast::checksum(Crc16T10Dif, block) as u16;
        crc ^ self.inverted
    }

    /// Apart, so that the way past it stays short.
    #[inline(never)]
    fn padded(&mut self, block: &[u8]) -> &[u8] {
        let Aligned(room) = self.aligned.get_or_insert(Aligned([0; _]));
        let padded = &mut room[..block.len().next_multiple_of(STRETCH_BYTES)];
        let zeros = padded.len() - block.len();
        padded[zeros..].copy_from_slice(block);
        padded
    }
}

/// What a seed of 0xffff leaves behind a block of zeros.
const fn seed_behind(block_size: BlockSize) -> u16 {
    const REMAINDERS: [u16; 4] =
        [remainder_of_ones(512), remainder_of_ones(520), remainder_of_ones(4096), remainder_of_ones(4104)];
    match block_size {
        BlockSize::B512 => REMAINDERS[0],
        BlockSize::B520 => REMAINDERS[1],
        BlockSize::B4096 => REMAINDERS[2],
        BlockSize::B4104 => REMAINDERS[3],
    }
}

/// Divides 0xffff, followed by `zeros` bytes of zeros, by the polynomial 0x18bb7.
const fn remainder_of_ones(zeros: usize) -> u16 {
    let mut remainder = u16::MAX;
    let mut bit = 0;
    while bit < 8 * zeros {
        let carry = remainder >> 15 != 0;
        remainder <<= 1;
        if carry {
            remainder ^= 0x8bb7;
        }
        bit += 1;
    }
    remainder
}

impl SourceChecks {
    /// Whether this field is one that is not looked at (DSA §8.3.17.4, "F Detect condition").
    fn excepts(&self, field: Field) -> bool {
        let is_app_f = field.app_tag == u16::MAX;
        let is_app_ref_f = is_app_f && field.ref_tag == u32::MAX;
        self.app_tag_f_detect && is_app_f
            || self.app_ref_tag_f_detect && is_app_ref_f
            || self.all_f_detect && field.is_all_ones()
    }

    /// What is wrong with a field. `guard` is asked for only if it matters.
    #[inline]
    pub(super) fn verify(&self, field: Field, tags: &Tags, guard: impl FnOnce() -> u16) -> Mismatch {
        // Every exception needs an application tag of ones.
        if field.app_tag == u16::MAX && self.excepts(field) {
            let all_f = self.all_f_detect && self.all_f_error && field.is_all_ones();
            return Mismatch { all_f, ..Mismatch::default() };
        }
        Mismatch {
            guard: self.guard && field.guard != guard(),
            app_tag: (field.app_tag ^ tags.app_tag) & !tags.app_tag_mask != 0,
            ref_tag: self.ref_tag && field.ref_tag != tags.ref_tag,
            all_f: false,
        }
    }
}

impl DestinationFields {
    /// The field of a block that has none yet.
    #[inline]
    pub(super) fn field(tags: &Tags, guard: u16) -> Field {
        Field { guard, app_tag: tags.app_tag & !tags.app_tag_mask, ref_tag: tags.ref_tag }
    }

    /// The field that takes the place of `source`.
    #[inline]
    pub(super) fn replaced(&self, source: Field, tags: &Tags, guard: impl FnOnce() -> u16) -> Field {
        let guard = if self.pass_guard { source.guard } else { guard() };
        let made = Self::field(tags, guard);
        Field {
            guard,
            app_tag: if self.pass_app_tag { source.app_tag } else { made.app_tag },
            ref_tag: if self.pass_ref_tag { source.ref_tag } else { made.ref_tag },
        }
    }
}
