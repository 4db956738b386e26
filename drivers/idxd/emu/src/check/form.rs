//! Flags that an operation allows and requires, and bytes that it reserves.

use std::ops::Range;

use idxd_spec::{Descriptor, Flags, Opcode};

pub(super) const CACHE_CONTROL: Flags =
    Flags::CACHE_CONTROL_1.union(Flags::CACHE_CONTROL_2).union(Flags::CACHE_CONTROL_3);
/// Allowed for every operation; fence and interrupt are looked at apart.
const ANY: Flags = RECORD.union(Flags::COMPLETION_TC);
/// What an operation with a result requires.
const RECORD: Flags = Flags::COMPLETION_ADDR_VALID.union(Flags::REQUEST_COMPLETION);
/// Of operations that write to the second address.
const WRITES: Flags = CACHE_CONTROL.union(Flags::STRICT_ORDER).union(Flags::ADDR2_TC);
/// Of operations that read from the first address.
const READS: Flags = Flags::BLOCK_ON_FAULT.union(Flags::ADDR1_TC);
const COPIES: Flags = READS.union(WRITES);
const CRC: Flags = READS
    .union(Flags::ADDR3_TC)
    .union(Flags::READ_CRC_SEED)
    .union(Flags::BYPASS_CRC_INVERSION)
    .union(Flags::BYPASS_DATA_REFLECTION)
    .union(Flags::CRC64);
const NONE: Flags = Flags::empty();
/// Everything behind the fields of a copy.
const TAIL: &[Range<usize>] = std::slice::from_ref(&(38..64));

/// A row of table 5-3, with the flags of the operation itself and those of table 5-5.
pub(super) struct Form {
    pub(super) allowed: Flags,
    pub(super) required: Flags,
    /// Bytes that have no meaning. 36 to 38, the interrupt handle, are looked at apart.
    reserved: &'static [Range<usize>],
}

impl Form {
    /// [`None`] for an operation the model knows nothing of.
    pub(super) fn of(opcode: Opcode) -> Option<Self> {
        let (allowed, required, reserved) = Self::control(opcode)
            .or_else(|| Self::memory(opcode))
            .or_else(|| Self::checksum(opcode))
            .or_else(|| Self::integrity(opcode))
            .or_else(|| Self::numeric(opcode))
            .or_else(|| Self::inter_domain(opcode))?;
        Some(Self { allowed: allowed | ANY, required, reserved })
    }

    fn control(opcode: Opcode) -> Option<Row> {
        let readbacks = Flags::READBACK_ADDR_1_VALID | Flags::READBACK_ADDR_2_VALID;
        let suppress = Flags::SUPPRESS_READBACK_A | Flags::SUPPRESS_READBACK_B;
        let classes = Flags::ADDR1_TC | Flags::ADDR2_TC;
        let fetch = Flags::BLOCK_ON_FAULT | Flags::USE_STRIDE;
        let row: Row = match opcode {
            Opcode::NOOP => (NONE, NONE, &[16..36, 38..64]),
            Opcode::BATCH => (Flags::ADDR1_TC | Flags::BATCH_ERROR, NONE, &[24..32, 38..64]),
            Opcode::DRAIN => (readbacks | suppress | classes, Flags::REQUEST_COMPLETION, &[32..36, 38..64]),
            Opcode::TRANSLATION_FETCH => (fetch, NONE, &[24..32, 38..48, 52..64]),
            // Table 5-3 allows strict order, table 8-3 reserves it where nothing is written; the stricter is followed.
            Opcode::CACHE_FLUSH => {
                (Flags::BLOCK_ON_FAULT | CACHE_CONTROL | Flags::ADDR2_TC, NONE, &[16..24, 38..64])
            }
            _ => return None,
        };
        Some(row)
    }

    fn memory(opcode: Opcode) -> Option<Row> {
        let fill = Flags::BLOCK_ON_FAULT | WRITES | Flags::PATTERN_16;
        let compares = READS | Flags::CHECK_RESULT;
        let creates = COPIES | Flags::CHECK_RESULT | Flags::ADDR3_TC;
        let row: Row = match opcode {
            Opcode::MEMMOVE => (COPIES, NONE, TAIL),
            Opcode::FILL => (fill, NONE, &[38..40, 48..64]),
            Opcode::COMPARE => (compares | Flags::ADDR2_TC, RECORD, &[38..40, 41..64]),
            Opcode::COMPARE_PATTERN => (compares, RECORD, &[38..40, 41..64]),
            Opcode::CREATE_DELTA => (creates, RECORD, &[38..40, 52..56, 57..64]),
            Opcode::APPLY_DELTA => (COPIES, NONE, &[38..40, 44..64]),
            Opcode::DUALCAST => (COPIES | Flags::ADDR3_TC, NONE, &[38..40, 48..64]),
            _ => return None,
        };
        Some(row)
    }

    fn checksum(opcode: Opcode) -> Option<Row> {
        let row: Row = match opcode {
            Opcode::CRC => (CRC, RECORD, &[24..32, 38..40, 56..64]),
            Opcode::COPY_CRC => (CRC | WRITES, RECORD, &[38..40, 56..64]),
            _ => return None,
        };
        Some(row)
    }

    /// Table 5-5 lists DIF check alone; §8.3.18 requires a record of DIX generate too.
    fn integrity(opcode: Opcode) -> Option<Row> {
        let row: Row = match opcode {
            Opcode::DIF_CHECK => (READS, RECORD, &[24..32, 38..40, 41..42, 43..48, 56..64]),
            Opcode::DIF_INSERT => (COPIES, NONE, &[38..41, 43..56]),
            Opcode::DIF_STRIP => (COPIES, NONE, &[38..40, 41..42, 43..48, 56..64]),
            Opcode::DIF_UPDATE => (COPIES, NONE, &[38..40, 43..48]),
            Opcode::DIX_GENERATE => (COPIES, RECORD, &[38..41, 43..56]),
            _ => return None,
        };
        Some(row)
    }

    /// Reserved bytes are those of [`Descriptor::reserved_nonzero`]. Table 5-5 requires a record of none of them, §8.1.4
    /// of every operation that has a result.
    fn numeric(opcode: Opcode) -> Option<Row> {
        let sides = Flags::ALTERNATE_SRC_PASID | Flags::ALTERNATE_DST_PASID;
        let computes = COPIES | Flags::CHECK_RESULT | Flags::ADDR3_TC;
        let fill = Flags::BLOCK_ON_FAULT | WRITES | Flags::ADDR3_TC | Flags::ALTERNATE_DST_PASID;
        let row: Row = match opcode {
            Opcode::TYPE_CONVERSION => (COPIES | Flags::CHECK_RESULT | sides, RECORD, &[]),
            Opcode::REDUCE => (computes | Flags::INTER_DOMAIN_SELECTOR, RECORD, &[]),
            Opcode::REDUCE_DUALCAST => {
                (computes | Flags::INTER_DOMAIN_SELECTOR | Flags::DST2_TC, RECORD, &[])
            }
            Opcode::GATHER_REDUCE => (computes, RECORD, &[]),
            Opcode::GATHER_COPY | Opcode::SCATTER_COPY => (COPIES | Flags::ADDR3_TC | sides, NONE, &[]),
            Opcode::SCATTER_FILL => (fill, NONE, &[]),
            _ => return None,
        };
        Some(row)
    }

    /// Of copy and compare one side is required, which [`required_side`] looks at.
    fn inter_domain(opcode: Opcode) -> Option<Row> {
        let sides = Flags::ALTERNATE_SRC_PASID | Flags::ALTERNATE_DST_PASID;
        let (src, dst) = (Flags::ALTERNATE_SRC_PASID, Flags::ALTERNATE_DST_PASID);
        let fill = Flags::BLOCK_ON_FAULT | WRITES | Flags::PATTERN_16 | dst;
        let compares = READS | Flags::CHECK_RESULT;
        let row: Row = match opcode {
            Opcode::UPDATE_WINDOW => (Flags::SUPPRESS_DRAIN, NONE, &[]),
            Opcode::INTER_DOMAIN_COPY => (COPIES | sides, NONE, &[]),
            Opcode::INTER_DOMAIN_FILL => (fill, dst, &[]),
            Opcode::INTER_DOMAIN_COMPARE => (compares | Flags::ADDR2_TC | sides, RECORD, &[]),
            Opcode::INTER_DOMAIN_COMPARE_PATTERN => (compares | src, RECORD | src, &[]),
            _ => return None,
        };
        Some(row)
    }
}

/// Flags of which one is required and none is set (table 5-5).
pub(super) fn required_side(opcode: Opcode, flags: Flags) -> Flags {
    let sides = Flags::ALTERNATE_SRC_PASID | Flags::ALTERNATE_DST_PASID;
    let needs_one = matches!(opcode, Opcode::INTER_DOMAIN_COPY | Opcode::INTER_DOMAIN_COMPARE);
    if needs_one && !flags.intersects(sides) { sides } else { NONE }
}

/// Allowed flags, required flags, reserved bytes.
type Row = (Flags, Flags, &'static [Range<usize>]);

/// Flags that are reserved because another one is off (table 5-4).
pub(super) fn off_by_flags(opcode: Opcode, flags: Flags) -> Flags {
    let without = |flag: Flags, off: Flags| if flags.contains(flag) { NONE } else { off };
    let record = without(Flags::COMPLETION_ADDR_VALID, Flags::REQUEST_COMPLETION | Flags::COMPLETION_TC);
    let by_operation = match opcode {
        Opcode::DRAIN => {
            without(Flags::READBACK_ADDR_1_VALID, Flags::ADDR1_TC)
                | without(Flags::READBACK_ADDR_2_VALID, Flags::ADDR2_TC)
        }
        Opcode::CRC | Opcode::COPY_CRC => without(Flags::READ_CRC_SEED, Flags::ADDR3_TC),
        _ => NONE,
    };
    record | by_operation
}

/// Whether a byte or a bit is set that has no meaning.
pub(super) fn has_reserved_bytes(descriptor: &Descriptor, form: &Form) -> bool {
    let flags = descriptor.flags();
    let is_set = |range: Range<usize>| descriptor.as_bytes()[range].iter().any(|byte| *byte != 0);
    let unless = |flag: Flags, range: Range<usize>| !flags.contains(flag) && is_set(range);
    if form.reserved.iter().cloned().any(is_set)
        || unless(Flags::COMPLETION_ADDR_VALID, 8..16)
        || unless(Flags::REQUEST_INTERRUPT, 36..38)
    {
        return true;
    }
    match descriptor.opcode() {
        Opcode::DRAIN => {
            unless(Flags::READBACK_ADDR_1_VALID, 16..24) || unless(Flags::READBACK_ADDR_2_VALID, 24..32)
        }
        Opcode::FILL => unless(Flags::PATTERN_16, 40..48),
        Opcode::TRANSLATION_FETCH => unless(Flags::USE_STRIDE, 48..52),
        Opcode::CRC | Opcode::COPY_CRC => {
            unless(Flags::READ_CRC_SEED, 48..56)
                || unless(Flags::CRC64, 44..48)
                || (flags.contains(Flags::READ_CRC_SEED) && is_set(40..48))
        }
        Opcode::DIF_CHECK
        | Opcode::DIF_INSERT
        | Opcode::DIF_STRIP
        | Opcode::DIF_UPDATE
        | Opcode::DIX_GENERATE => has_reserved_dif_bits(descriptor.as_bytes()),
        opcode if is_of_later_versions(opcode) => descriptor.reserved_nonzero().is_some(),
        _ => false,
    }
}

/// Bits 7:4 of the DIF flags, 2:0 of the destination DIF flags (§8.3.17.1, §8.3.17.3). Byte 41 is 0 where there is no
/// destination.
fn has_reserved_dif_bits(bytes: &[u8; Descriptor::SIZE]) -> bool {
    bytes[42] & 0xf0 != 0 || bytes[41] & 0x07 != 0
}

/// Numeric, scatter-gather and inter-domain operations.
fn is_of_later_versions(opcode: Opcode) -> bool {
    let numeric = Opcode::TYPE_CONVERSION..=Opcode::SCATTER_FILL;
    numeric.contains(&opcode)
        || (Opcode::UPDATE_WINDOW..=Opcode::INTER_DOMAIN_COMPARE_PATTERN).contains(&opcode)
}
