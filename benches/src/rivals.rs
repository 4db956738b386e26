//! What operations of the CPU engine are measured against where no crate and no function of the standard library does the
//! same: straight loops, around a crate where there is one for the core of it.
//!
//! They are in a crate of their own and not inlined, as the engine's operations are: written into the bench they were
//! compiled anew with whatever stood beside them, and a loop over 512-byte blocks then took between 256 and 400 ns for
//! 4 KiB.

use crc_fast::CrcAlgorithm::Crc16T10Dif;
use crc_fast::CrcParams;

/// Bytes of a block without its field.
pub const BLOCK_BYTES: usize = 512;
/// Bytes of the field behind a block.
pub const FIELD_BYTES: usize = 8;
/// Bytes of an entry of a delta record.
pub const ENTRY_BYTES: usize = 10;

/// Fills whole words of 8 bytes.
#[inline(never)]
pub fn fill_by_words(dst: &mut [u8], word: u64) {
    let (words, _) = dst.as_chunks_mut::<8>();
    words.fill(word.to_le_bytes());
}

/// Fills whole pairs of such words.
#[inline(never)]
pub fn fill_by_pairs(dst: &mut [u8], words: [u64; 2]) {
    let (pairs, _) = dst.as_chunks_mut::<16>();
    let pattern = (u128::from(words[1]) << 64 | u128::from(words[0])).to_le_bytes();
    pairs.fill(pattern);
}

/// Differences of 256 bytes are put together before they are looked at, so that the compiler can make vectors of it.
#[inline(never)]
pub fn is_repeated(data: &[u8], word: u64) -> bool {
    let (words, _) = data.as_chunks::<8>();
    words
        .chunks(32)
        .all(|words| words.iter().fold(0, |all, bytes| all | u64::from_le_bytes(*bytes) ^ word) == 0)
}

/// CRC-64/NVME by the crate for it.
#[inline(never)]
pub fn crc64(data: &[u8]) -> u64 {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(data);
    digest.sum64()
}

/// A CRC of 32 bits that is known by its polynomial only, by the crate that does those.
#[inline(never)]
pub fn crc_any(polynomial: u64, data: &[u8]) -> u64 {
    let ones = u32::MAX.into();
    crc_fast::checksum_with_params(CrcParams::new("any", 32, polynomial, ones, true, ones, 0), data)
}

fn guard(block: &[u8]) -> [u8; 2] {
    let bytes = crc_fast::checksum(Crc16T10Dif, block).to_be_bytes();
    [bytes[6], bytes[7]]
}

/// The field of a block with the reference tag counting from `first` and the application tag 0.
fn field(guard: [u8; 2], index: usize) -> [u8; FIELD_BYTES] {
    let [.., r3, r2, r1, r0] = index.to_be_bytes();
    [guard[0], guard[1], 0, 0, r3, r2, r1, r0]
}

/// Copies blocks and puts a field behind each.
#[inline(never)]
pub fn insert_by_loop(src: &[u8], dst: &mut [u8]) {
    let blocks = src.chunks_exact(BLOCK_BYTES).zip(dst.chunks_exact_mut(BLOCK_BYTES + FIELD_BYTES));
    for (index, (data, block)) in blocks.enumerate() {
        block[..BLOCK_BYTES].copy_from_slice(data);
        block[BLOCK_BYTES..].copy_from_slice(&field(guard(data), index));
    }
}

/// Whether every block has its field.
#[inline(never)]
pub fn check_by_loop(woven: &[u8]) -> bool {
    woven.chunks_exact(BLOCK_BYTES + FIELD_BYTES).enumerate().all(|(index, block)| {
        let (data, found) = block.split_at(BLOCK_BYTES);
        *found == field(guard(data), index)
    })
}

/// Checks the fields, and copies the blocks without them.
#[inline(never)]
pub fn strip_by_loop(woven: &[u8], dst: &mut [u8]) -> bool {
    let blocks = woven.chunks_exact(BLOCK_BYTES + FIELD_BYTES).zip(dst.chunks_exact_mut(BLOCK_BYTES));
    blocks.enumerate().all(|(index, (block, to))| {
        let (data, found) = block.split_at(BLOCK_BYTES);
        to.copy_from_slice(data);
        *found == field(guard(data), index)
    })
}

/// Checks the fields, and copies the blocks with fields whose reference tags count from `first`.
#[inline(never)]
pub fn update_by_loop(woven: &[u8], dst: &mut [u8], first: usize) -> bool {
    let unit = BLOCK_BYTES + FIELD_BYTES;
    woven.chunks_exact(unit).zip(dst.chunks_exact_mut(unit)).enumerate().all(|(index, (block, to))| {
        let (data, found) = block.split_at(BLOCK_BYTES);
        let guard = guard(data);
        to[..BLOCK_BYTES].copy_from_slice(data);
        to[BLOCK_BYTES..].copy_from_slice(&field(guard, first + index));
        *found == field(guard, index)
    })
}

/// The fields of blocks alone.
#[inline(never)]
pub fn generate_by_loop(src: &[u8], dst: &mut [u8]) {
    let fields = dst.chunks_exact_mut(FIELD_BYTES);
    for (index, (data, to)) in src.chunks_exact(BLOCK_BYTES).zip(fields).enumerate() {
        to.copy_from_slice(&field(guard(data), index));
    }
}

/// Entries for the words of 8 bytes that differ, as many as there is room for; bytes written.
#[inline(never)]
pub fn create_delta_by_loop(first: &[u8], second: &[u8], record: &mut [u8]) -> usize {
    let (first, _) = first.as_chunks::<8>();
    let (second, _) = second.as_chunks::<8>();
    let mut used = 0;
    for (offset, (first, second)) in (0_u16..=u16::MAX).zip(first.iter().zip(second)) {
        if first != second {
            let Some(entry) = record[used..].first_chunk_mut::<ENTRY_BYTES>() else { break };
            entry[..2].copy_from_slice(&offset.to_le_bytes());
            entry[2..].copy_from_slice(second);
            used += ENTRY_BYTES;
        }
    }
    used
}

/// Puts the words of a record where they belong; false behind the first that is out of order or of range.
#[inline(never)]
pub fn apply_delta_by_loop(record: &[u8], range: &mut [u8]) -> bool {
    let (entries, _) = record.as_chunks::<ENTRY_BYTES>();
    let mut least = 0;
    for [low, high, word @ ..] in entries {
        let at = usize::from(u16::from_le_bytes([*low, *high]));
        let Some(place) = range.get_mut(at * 8..at * 8 + 8) else { return false };
        if at < least {
            return false;
        }
        place.copy_from_slice(word);
        least = at + 1;
    }
    true
}

/// Blocks from everywhere side by side.
#[inline(never)]
pub fn gather_by_loop(src: &[u8], offsets: &[usize], block: usize, dst: &mut [u8]) {
    for (offset, to) in offsets.iter().zip(dst.chunks_exact_mut(block)) {
        to.copy_from_slice(&src[*offset..*offset + block]);
    }
}

/// And back.
#[inline(never)]
pub fn scatter_by_loop(src: &[u8], offsets: &[usize], block: usize, dst: &mut [u8]) {
    for (offset, from) in offsets.iter().zip(src.chunks_exact(block)) {
        dst[*offset..*offset + block].copy_from_slice(from);
    }
}

/// Sums of integers of 32 bits, and whether one overflowed.
#[inline(never)]
pub fn add_integers(a: &[u8], b: &[u8], dst: &mut [u8]) -> bool {
    let (operands, (dst, _)) =
        (a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0), dst.as_chunks_mut::<4>());
    operands.zip(dst).fold(false, |overflows, ((a, b), dst)| {
        let (sum, overflow) = i32::from_le_bytes(*a).overflowing_add(i32::from_le_bytes(*b));
        *dst = sum.to_le_bytes();
        overflows | overflow
    })
}

/// Sums of single-precision numbers, and whether there was a NaN, a denormal operand, an overflow, a denormal sum, as bits.
#[inline(never)]
pub fn add_floats(a: &[u8], b: &[u8], dst: &mut [u8]) -> u8 {
    let (operands, (dst, _)) =
        (a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0), dst.as_chunks_mut::<4>());
    operands.zip(dst).fold(0, |seen, ((a, b), dst)| {
        let (a, b) = (f32::from_le_bytes(*a), f32::from_le_bytes(*b));
        let sum = a + b;
        *dst = sum.to_le_bytes();
        let overflows = sum.is_infinite() & a.is_finite() & b.is_finite();
        seen | u8::from(sum.is_nan())
            | u8::from(a.is_subnormal() | b.is_subnormal()) << 1
            | u8::from(overflows) << 2
            | u8::from(sum.is_subnormal()) << 3
    })
}

/// Single precision to bfloat16, by the crate for it.
#[inline(never)]
pub fn to_bf16(src: &[u8], dst: &mut [u8]) {
    let (src, (dst, _)) = (src.as_chunks::<4>().0, dst.as_chunks_mut::<2>());
    for (from, to) in src.iter().zip(dst) {
        *to = half::bf16::from_f32(f32::from_le_bytes(*from)).to_le_bytes();
    }
}
