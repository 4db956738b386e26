//! What an IAA checks in a descriptor before it runs it (IAA §4.1, §4.2, §6).
//!
//! As strict as [`check`](crate::check) is for DSA. Options of an operation that the model does not have are invalid
//! flags too: an honest error and not a wrong result.

use std::ops::Range;

use idxd_spec::iaa::{
    CipherFlags, Completion, CompressAecs, CompressFlags, CompressFlags2, CrcFlags, CryptoAecs,
    DecompressAecs, DecompressFlags, Descriptor, DictionaryStyle, FilterFlags,
};
use idxd_spec::{Flags, Opcode, Status};

use crate::check::ranges_overlap;
use crate::rules::Rules;

/// Bytes of an AECS at most (IAA §6.1.11).
const AECS_SIZE_MAX: u32 = 64 << 10;
const RESULT: Flags = Flags::COMPLETION_ADDR_VALID.union(Flags::REQUEST_COMPLETION);
const ANY: Flags = RESULT.union(Flags::COMPLETION_TC);
const SRC1: Flags = Flags::BLOCK_ON_FAULT.union(Flags::ADDR1_TC);
/// Bit 14 is destination readback here (IAA table 6-3).
const DST: Flags =
    Flags::ADDR2_TC.union(Flags::CACHE_CONTROL_1).union(Flags::STRICT_ORDER).union(Flags::CACHE_CONTROL_2);
const SRC2: Flags =
    Flags::ADDR3_TC.union(Flags::READ_SRC2_AECS).union(Flags::WRITE_SRC2_AECS).union(Flags::AECS_TOGGLE);

const USES_SRC2: Flags =
    Flags::READ_SRC2_AECS.union(Flags::WRITE_SRC2_AECS).union(Flags::WRITE_SRC2_ON_OVERFLOW);

/// Checks all of it; the error is the record to write.
pub(crate) fn check(descriptor: &Descriptor, rules: &Rules) -> Result<(), Completion> {
    let (allowed, required) = flags_of(descriptor)
        .filter(|_| rules.operations.contains(descriptor.opcode()))
        .ok_or(Completion::new(Status::BAD_OPCODE))?;
    let flags = descriptor.flags();
    let mut allowed = allowed | ANY;
    if !rules.block_on_fault {
        allowed -= Flags::BLOCK_ON_FAULT;
    }
    let raw = idxd_spec::Descriptor::from_bytes(*descriptor.as_bytes());
    if rules.allows_interrupts(&raw) {
        allowed |= Flags::REQUEST_INTERRUPT;
    }
    allowed -= rules.unsupported_flags(descriptor.opcode());
    if !flags.contains(Flags::COMPLETION_ADDR_VALID) {
        allowed -= Flags::REQUEST_COMPLETION | Flags::COMPLETION_TC;
    }
    let invalid = (flags - allowed) | (required - flags);
    if !invalid.is_empty() {
        return Err(Completion::new(Status::INVALID_FLAGS).with_invalid_flags(invalid.bits()));
    }
    operation_flags(descriptor, rules)?;
    let verdict = match has_reserved_bytes(descriptor) {
        true => Status::RESERVED_NOT_ZERO,
        false => fields(descriptor, rules),
    };
    if verdict == Status::NONE { Ok(()) } else { Err(Completion::new(verdict)) }
}

fn flags_of(descriptor: &Descriptor) -> Option<(Flags, Flags)> {
    let flags = descriptor.flags();
    Some(match descriptor.opcode() {
        Opcode::NOOP => (Flags::empty(), Flags::empty()),
        Opcode::DRAIN if flags.contains(Flags::REQUEST_INTERRUPT) => (drain_flags(flags), Flags::empty()),
        Opcode::DRAIN => (drain_flags(flags), Flags::REQUEST_COMPLETION),
        Opcode::TRANSLATION_FETCH => (Flags::BLOCK_ON_FAULT | Flags::USE_STRIDE, Flags::empty()),
        Opcode::MEMMOVE => (SRC1 | DST, RESULT),
        Opcode::DECOMPRESS => (SRC1 | DST | stream_flags(flags) | Flags::CRC_RFC3720, RESULT),
        Opcode::COMPRESS => {
            let (allowed, required) = compress_src2(descriptor.compress_flags(), flags);
            (SRC1 | DST | allowed | Flags::CRC_RFC3720, RESULT | required)
        }
        Opcode::CRC64 => (SRC1, RESULT),
        Opcode::SCAN | Opcode::EXTRACT | Opcode::FIND_UNIQUE => {
            let reads = flags.contains(Flags::READ_SRC2_AECS);
            let aecs = if reads { Flags::ADDR3_TC | Flags::AECS_TOGGLE } else { Flags::empty() };
            (SRC1 | DST | Flags::READ_SRC2_AECS | aecs | Flags::CRC_RFC3720, RESULT)
        }
        Opcode::SELECT | Opcode::EXPAND | Opcode::SET_MEMBERSHIP | Opcode::RLE_BURST => (
            SRC1 | DST | Flags::ADDR3_TC | Flags::READ_SRC2_INPUT | Flags::CRC_RFC3720,
            RESULT | Flags::READ_SRC2_INPUT,
        ),
        Opcode::ENCRYPT | Opcode::DECRYPT => {
            (SRC1 | DST | SRC2 | Flags::CRC_RFC3720, RESULT | Flags::READ_SRC2_AECS)
        }
        opcode if is_zero(opcode) => (SRC1 | DST | Flags::CRC_RFC3720, RESULT),
        _ => return None,
    })
}

/// Those of source 2 that a compression may and must have (IAA §3.10.2, table 6-3).
fn compress_src2(flags: CompressFlags, operation: Flags) -> (Flags, Flags) {
    if flags.contains(CompressFlags::STATS_MODE) {
        let reads = if flags.dictionary() == 0 { Flags::empty() } else { Flags::READ_SRC2_AECS };
        let how =
            if operation.intersects(reads) { Flags::ADDR3_TC | Flags::AECS_TOGGLE } else { Flags::empty() };
        return (reads | how, reads);
    }
    let allowed =
        if operation.intersects(USES_SRC2) { SRC2 } else { SRC2 - Flags::ADDR3_TC - Flags::AECS_TOGGLE };
    let (reads, writes) = (Flags::READ_SRC2_AECS, Flags::WRITE_SRC2_AECS);
    let required = match flags.header_generation() {
        _ if flags.contains(CompressFlags::HEADER_STATS_INPUT) => reads | writes,
        0 => reads,
        1..=4 => Flags::empty(),
        _ => writes,
    };
    (allowed, required)
}

const fn is_filter(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::SCAN
            | Opcode::SET_MEMBERSHIP
            | Opcode::EXTRACT
            | Opcode::SELECT
            | Opcode::RLE_BURST
            | Opcode::FIND_UNIQUE
            | Opcode::EXPAND
    )
}

const fn is_zero(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::ZERO_DECOMPRESS_32
            | Opcode::ZERO_DECOMPRESS_16
            | Opcode::ZERO_DECOMPRESS_8
            | Opcode::ZERO_COMPRESS_32
            | Opcode::ZERO_COMPRESS_16
            | Opcode::ZERO_COMPRESS_8
    )
}

/// Those of source 2 that a decompression may have: not the second input of a filter, and not both ways to write the
/// AECS; and without source 2, nothing that says how to use it (IAA table 6-3).
fn stream_flags(flags: Flags) -> Flags {
    if !flags.intersects(USES_SRC2) {
        return Flags::empty();
    }
    let both = Flags::WRITE_SRC2_AECS | Flags::WRITE_SRC2_ON_OVERFLOW;
    if flags.contains(both) { SRC2 - both } else { SRC2 | Flags::WRITE_SRC2_ON_OVERFLOW }
}

fn drain_flags(flags: Flags) -> Flags {
    let mut allowed = Flags::READBACK_ADDR_1_VALID
        | Flags::READBACK_ADDR_2_VALID
        | Flags::SUPPRESS_READBACK_A
        | Flags::SUPPRESS_READBACK_B;
    if flags.contains(Flags::READBACK_ADDR_1_VALID) {
        allowed |= Flags::ADDR1_TC;
    }
    if flags.contains(Flags::READBACK_ADDR_2_VALID) {
        allowed |= Flags::ADDR2_TC;
    }
    allowed
}

/// Bytes 39:38 (status 0x30) and 59:56 (status 0x31).
fn operation_flags(descriptor: &Descriptor, rules: &Rules) -> Result<(), Completion> {
    let refuse = |status, invalid: u32| match invalid {
        0 => Ok(()),
        invalid => Err(Completion::new(status).with_invalid_flags(invalid)),
    };
    match descriptor.opcode() {
        Opcode::DECOMPRESS => {
            let flags = descriptor.decompress_flags();
            let supported = DecompressFlags::ENABLE
                | DecompressFlags::FLUSH_OUTPUT
                | DecompressFlags::STOP_ON_EOB
                | DecompressFlags::CHECK_FOR_EOB
                | DecompressFlags::SELECT_BFINAL_EOB
                | DecompressFlags::SUPPRESS_OUTPUT
                | index_flags(flags, rules)
                | input_end(flags);
            let unflushed = match flags.indexing() {
                1.. if descriptor.flags().contains(Flags::WRITE_SRC2_AECS) => DecompressFlags::FLUSH_OUTPUT,
                _ => DecompressFlags::empty(),
            };
            let invalid = (flags - (supported - unflushed)) | (DecompressFlags::ENABLE - flags);
            refuse(Status::INVALID_COMPRESSION_FLAGS, invalid.bits().into())
        }
        Opcode::COMPRESS => {
            let flags = descriptor.compress_flags();
            let invalid = flags - compress_flags(flags, rules);
            refuse(Status::INVALID_COMPRESSION_FLAGS, invalid.bits().into())?;
            let flags_2 = descriptor.compress_flags_2();
            let (allowed, required) = compress_flags_2(flags, flags_2, rules);
            refuse(Status::INVALID_FILTER_FLAGS, ((flags_2 - allowed) | (required - flags_2)).bits())
        }
        Opcode::CRC64 => {
            let invalid = descriptor.crc_flags() - (CrcFlags::INVERT | CrcFlags::REFLECT);
            refuse(Status::INVALID_COMPRESSION_FLAGS, invalid.bits().into())
        }
        Opcode::ENCRYPT | Opcode::DECRYPT => {
            let invalid =
                descriptor.cipher_flags() - (CipherFlags::FLUSH_OUTPUT | CipherFlags::SUPPRESS_OUTPUT);
            refuse(Status::INVALID_COMPRESSION_FLAGS, invalid.bits().into())
        }
        opcode if is_filter(opcode) => {
            let flags = descriptor.decompress_flags();
            let invalid = flags - filter_decompress_flags(flags);
            refuse(Status::INVALID_COMPRESSION_FLAGS, invalid.bits().into())?;
            filter_flags(descriptor)
        }
        _ => Ok(()),
    }
}

/// The flags a compression may have beside those it has (IAA table 6-11). The order of bits within words stays as it is.
fn compress_flags(flags: CompressFlags, rules: &Rules) -> CompressFlags {
    let generation = match flags.header_generation() {
        1..=3 | 5..=7 if rules.iaa_cap.header_generation() => flags.header_generation(),
        _ => 0,
    };
    let generates = CompressFlags::empty().with_header_generation(generation);
    if flags.contains(CompressFlags::HEADER_STATS_INPUT) && generation >= 5 {
        return generates | CompressFlags::HEADER_STATS_INPUT;
    }
    // Not with one pass, nor with miniblocks.
    let loads = rules.iaa_cap.dictionary() && (generation == 0 || generation >= 5) && flags.indexing() == 0;
    let dictionary = CompressFlags::empty().with_dictionary(if loads { 3 } else { 0 });
    let stats = if generation == 0 { CompressFlags::STATS_MODE } else { CompressFlags::empty() };
    CompressFlags::FLUSH_OUTPUT
        | CompressFlags::GENERATE_ALL_LITERALS
        | CompressFlags::empty().with_end_processing(3)
        | CompressFlags::empty().with_indexing(7)
        | generates
        | dictionary
        | stats
}

/// The second word of flags: what is allowed and what is required (IAA table 6-12).
fn compress_flags_2(
    flags: CompressFlags,
    flags_2: CompressFlags2,
    rules: &Rules,
) -> (CompressFlags2, CompressFlags2) {
    let (none, tables) = (CompressFlags2::empty(), CompressFlags2::WRITE_HUFFMAN_TABLES);
    let generation = flags.header_generation();
    let generates = if generation == 0 { none } else { tables | CompressFlags2::MAKE_COMPLETE_TABLES };
    let may_abort = rules.iaa_cap.early_abort() && !flags.contains(CompressFlags::HEADER_STATS_INPUT);
    let abort = match flags_2.early_abort_eighths() {
        1.. if may_abort => none.with_early_abort_eighths(7).with_early_abort_size(3),
        _ => none,
    };
    (generates | abort, if generation >= 5 { tables } else { none })
}

/// Bytes 39:38 that a filter may have: without decompression, none of it (IAA table 6-8).
fn filter_decompress_flags(flags: DecompressFlags) -> DecompressFlags {
    let always = DecompressFlags::ENABLE | DecompressFlags::FLUSH_OUTPUT | DecompressFlags::SUPPRESS_OUTPUT;
    if !flags.contains(DecompressFlags::ENABLE) {
        return always;
    }
    always
        | DecompressFlags::STOP_ON_EOB
        | DecompressFlags::CHECK_FOR_EOB
        | DecompressFlags::SELECT_BFINAL_EOB
        | input_end(flags)
}

/// An index, where the device makes one: in the place of output (IAA table 6-8).
fn index_flags(flags: DecompressFlags, rules: &Rules) -> DecompressFlags {
    match rules.gen_cap.indexing() && flags.contains(DecompressFlags::SUPPRESS_OUTPUT) {
        true => DecompressFlags::empty().with_indexing(7),
        false => DecompressFlags::empty(),
    }
}

/// What says how the input's bits lie: more of them than a byte has are ignored only where words are read.
fn input_end(flags: DecompressFlags) -> DecompressFlags {
    let in_bytes = DecompressFlags::BIT_ORDER_BE | DecompressFlags::empty().with_ignore_end_bits(7);
    match flags.contains(DecompressFlags::BIT_ORDER_BE) {
        true => in_bytes | DecompressFlags::IGNORE_END_BITS_EXTENSION,
        false => in_bytes,
    }
}

/// Whether source 1 is read in words of 16 bits.
fn reads_words(descriptor: &Descriptor) -> bool {
    let opcode = descriptor.opcode();
    (opcode == Opcode::DECOMPRESS || is_filter(opcode))
        && descriptor.decompress_flags().contains(DecompressFlags::BIT_ORDER_BE)
}

/// Bytes 59:56 of a filter (IAA table 6-9).
fn filter_flags(descriptor: &Descriptor) -> Result<(), Completion> {
    let (opcode, flags) = (descriptor.opcode(), descriptor.filter_flags());
    let parses = flags.src1_parser() == 2;
    let mut allowed = FilterFlags::OUTPUT_BE | FilterFlags::INVERT_OUTPUT;
    allowed |= FilterFlags::empty().with_output_width(3);
    allowed |= match flags.src1_parser() {
        0 | 1 => FilterFlags::empty().with_src1_parser(1).with_src1_width(0x1f),
        // The width is in the stream.
        2 => FilterFlags::empty().with_src1_parser(2),
        _ => FilterFlags::empty(),
    };
    if descriptor.flags().contains(Flags::READ_SRC2_INPUT) {
        allowed |= FilterFlags::SRC2_BE;
    }
    if opcode == Opcode::RLE_BURST {
        allowed |= FilterFlags::empty().with_src2_width(0x1f);
    }
    if matches!(opcode, Opcode::SET_MEMBERSHIP | Opcode::FIND_UNIQUE) {
        allowed |= FilterFlags::empty().with_drop_low_bits(0x1f).with_drop_high_bits(0x1f);
    }
    if flags.output_width() != 0 {
        allowed |= FilterFlags::FORCE_ARRAY_OUTPUT;
    }
    let invalid = flags - allowed;
    if !invalid.is_empty() {
        return Err(Completion::new(Status::INVALID_FILTER_FLAGS).with_invalid_flags(invalid.bits()));
    }
    let is_array = match opcode {
        Opcode::SCAN | Opcode::SET_MEMBERSHIP | Opcode::FIND_UNIQUE => false,
        Opcode::RLE_BURST => flags.src2_width() > 0,
        // Of Parquet's encoding the width is known when it is read.
        _ => !parses && flags.src1_width() > 0,
    };
    if is_array && flags.contains(FilterFlags::INVERT_OUTPUT) {
        return Err(Completion::new(Status::INVERT_OUTPUT));
    }
    let counts = [7, 15, 31].contains(&flags.src1_width());
    if opcode == Opcode::RLE_BURST && !parses && !counts {
        return Err(Completion::new(Status::SRC1_WIDTH));
    }
    if descriptor.input_count() == 0 {
        return Err(Completion::new(Status::ELEMENT_COUNT));
    }
    Ok(())
}

fn has_reserved_bytes(descriptor: &Descriptor) -> bool {
    let flags = descriptor.flags();
    let is_set = |range: Range<usize>| descriptor.as_bytes()[range].iter().any(|byte| *byte != 0);
    let unless = |flag: Flags, range: Range<usize>| !flags.contains(flag) && is_set(range);
    if unless(Flags::COMPLETION_ADDR_VALID, 8..16) || unless(Flags::REQUEST_INTERRUPT, 36..38) {
        return true;
    }
    match descriptor.opcode() {
        Opcode::NOOP => is_set(16..36) || is_set(38..64),
        Opcode::DRAIN => {
            is_set(32..36)
                || is_set(38..64)
                || unless(Flags::READBACK_ADDR_1_VALID, 16..24)
                || unless(Flags::READBACK_ADDR_2_VALID, 24..32)
        }
        Opcode::TRANSLATION_FETCH => {
            is_set(24..32) || is_set(38..48) || unless(Flags::USE_STRIDE, 48..52) || is_set(52..64)
        }
        Opcode::MEMMOVE => is_set(38..48) || is_set(52..64),
        Opcode::DECOMPRESS if flags.intersects(USES_SRC2) => is_set(56..64),
        Opcode::DECOMPRESS => is_set(40..48) || is_set(52..64),
        Opcode::COMPRESS => {
            let no_src2 = !flags.intersects(USES_SRC2);
            (no_src2 && (is_set(40..48) || is_set(52..56))) || is_set(60..64)
        }
        Opcode::CRC64 => is_set(24..32) || is_set(40..56),
        opcode if is_filter(opcode) => {
            let reads = flags.intersects(Flags::READ_SRC2_AECS | Flags::READ_SRC2_INPUT);
            !reads && (is_set(40..48) || is_set(52..56))
        }
        Opcode::ENCRYPT | Opcode::DECRYPT => is_set(56..64),
        opcode if is_zero(opcode) => is_set(38..48) || is_set(52..64),
        _ => false,
    }
}

/// Sizes, alignments, overlaps. [`Status::NONE`] if they are fine.
fn fields(descriptor: &Descriptor, rules: &Rules) -> Status {
    let opcode = descriptor.opcode();
    if matches!(opcode, Opcode::NOOP | Opcode::DRAIN) {
        return Status::NONE;
    }
    let (src1, src1_size) = (descriptor.src1_addr(), descriptor.src1_size());
    if opcode == Opcode::TRANSLATION_FETCH {
        return region_fields(descriptor);
    }
    let dst = descriptor.dst_addr();
    let dst_size = if opcode == Opcode::MEMMOVE { src1_size } else { descriptor.dst_size_max() };
    let needs_input = matches!(opcode, Opcode::MEMMOVE | Opcode::CRC64)
        || (is_filter(opcode) && opcode != Opcode::EXPAND)
        || is_zero(opcode);
    let sizes = [src1_size, dst_size, descriptor.src2_size()];
    let is_too_big = sizes.iter().any(|size| *size > rules.transfer_bytes_max);
    // Later generations count source 2 as well (IAA §6.1.7).
    let counts_src2 = rules.iaa_cap.header_generation() && descriptor.src2_size() != 0;
    let has_nothing = src1_size == 0 && dst_size == 0 && !counts_src2;
    if is_too_big || (needs_input && src1_size == 0) || has_nothing {
        return Status::TRANSFER_SIZE;
    }
    if reads_words(descriptor) && !src1_size.is_multiple_of(2) {
        return Status::INPUT_SIZE;
    }
    if opcode == Opcode::MEMMOVE && ![0, src1_size].contains(&descriptor.dst_size_max()) {
        return Status::TRANSFER_SIZE;
    }
    if opcode != Opcode::CRC64 && ranges_overlap(src1, src1_size, dst, dst_size) {
        return Status::OVERLAPPING_BUFFERS;
    }
    match opcode {
        Opcode::COMPRESS | Opcode::DECOMPRESS | Opcode::ENCRYPT | Opcode::DECRYPT => aecs_fields(descriptor),
        opcode if is_filter(opcode) && descriptor.flags().contains(Flags::READ_SRC2_INPUT) => {
            second_input_fields(descriptor)
        }
        opcode if is_filter(opcode) => aecs_fields(descriptor),
        _ => Status::NONE,
    }
}

/// Size and place of a second input (IAA §4.1, §6.1.11).
fn second_input_fields(descriptor: &Descriptor) -> Status {
    let (second, size) = (descriptor.src2_addr(), descriptor.src2_size());
    if size == 0 {
        return Status::TRANSFER_SIZE;
    }
    let src1 = (descriptor.src1_addr(), descriptor.src1_size());
    let dst = (descriptor.dst_addr(), descriptor.dst_size_max());
    let overlaps = [src1, dst].into_iter().any(|(addr, len)| ranges_overlap(second, size, addr, len));
    if overlaps { Status::OVERLAPPING_BUFFERS } else { Status::NONE }
}

/// Sizes and place of the AECS (IAA §6.1.11, table 4-7) and of the two halves of source 2 it lies in (§3.2).
fn aecs_fields(descriptor: &Descriptor) -> Status {
    let flags = descriptor.flags();
    if !flags.intersects(USES_SRC2) {
        return Status::NONE;
    }
    let (aecs, size) = (descriptor.src2_addr(), descriptor.src2_size());
    let is_whole = match descriptor.opcode() {
        Opcode::COMPRESS => {
            let style = DictionaryStyle::from_bits(descriptor.compress_flags().dictionary());
            size as usize == style.map_or(CompressAecs::SIZE, DictionaryStyle::aecs_bytes)
        }
        Opcode::ENCRYPT | Opcode::DECRYPT => size as usize == CryptoAecs::SIZE,
        _ => true,
    };
    if size == 0 || size > AECS_SIZE_MAX || !is_whole {
        return Status::TRANSFER_SIZE;
    }
    let align = DecompressAecs::ALIGN as u64;
    if !aecs.is_multiple_of(align) || !u64::from(size).is_multiple_of(align) {
        return Status::ALIGNMENT;
    }
    let src1 = (descriptor.src1_addr(), descriptor.src1_size());
    let dst = (descriptor.dst_addr(), descriptor.dst_size_max());
    let reads_second = flags.contains(Flags::AECS_TOGGLE);
    let writes = flags.intersects(Flags::WRITE_SRC2_AECS | Flags::WRITE_SRC2_ON_OVERFLOW);
    let reads = flags.contains(Flags::READ_SRC2_AECS);
    let halves = [(reads, reads_second), (writes, !reads_second)];
    let overlaps = halves.into_iter().filter(|(used, _)| *used).any(|(_, second)| {
        let half = if second { aecs.wrapping_add(size.into()) } else { aecs };
        [src1, dst].into_iter().any(|(addr, len)| ranges_overlap(half, size, addr, len))
    });
    if overlaps { Status::OVERLAPPING_BUFFERS } else { Status::NONE }
}

fn region_fields(descriptor: &Descriptor) -> Status {
    let size = u64::from(descriptor.src1_size());
    let stride = descriptor.stride();
    if size == 0 || descriptor.src1_addr().checked_add(size - 1).is_none() {
        Status::TRANSFER_SIZE
    } else if descriptor.flags().contains(Flags::USE_STRIDE) && (stride < 4096 || !stride.is_power_of_two()) {
        Status::ALIGNMENT
    } else {
        Status::NONE
    }
}
