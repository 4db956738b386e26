//! Data integrity fields: the runtime's words for them in the specification's bits, and back.

use idxd_spec::{
    Completion, Descriptor, DifFlags, DifStatus, DifTags, DstAddr, DstDifFlags, SrcAddr, SrcDifFlags,
};
use svala::{
    DIF_BYTES, DifBlock, DifChecks, DifDestination, DifFields, DifFormat, DifGuard, DifMismatch, DifSource,
    Job,
};

/// Bytes of a block of a job in its source and in its destination, where it works on blocks.
pub(super) const fn blocks(job: &Job) -> Option<(u64, u64)> {
    Some(match *job {
        Job::DifCheck { format, .. } => (format.block.bytes_with_field(), 0),
        Job::DifInsert { format, .. } => (format.block.bytes(), format.block.bytes_with_field()),
        Job::DifStrip { format, .. } => (format.block.bytes_with_field(), format.block.bytes()),
        Job::DifUpdate { format, .. } => (format.block.bytes_with_field(), format.block.bytes_with_field()),
        Job::DixGenerate { format, .. } => (format.block.bytes(), DIF_BYTES),
        _ => return None,
    })
}

/// The tags a job begins with, of source and destination.
pub(super) fn first_tags(job: &Job) -> (DifTags, DifTags) {
    let (of_source, of_destination) = match *job {
        Job::DifCheck { source, .. } | Job::DifStrip { source, .. } => (source.tags, source.tags),
        Job::DifInsert { destination, .. } | Job::DixGenerate { destination, .. } => {
            (destination.tags, destination.tags)
        }
        Job::DifUpdate { source, destination, .. } => (source.tags, destination.tags),
        _ => return (DifTags::default(), DifTags::default()),
    };
    (spec_tags(of_source), spec_tags(of_destination))
}

/// The tags that come after the blocks of a record. An operation with one pair of tags answers it twice.
pub(super) fn next_tags(job: &Job, done: &Completion) -> (DifTags, DifTags) {
    match job {
        Job::DifCheck { .. } | Job::DifStrip { .. } => (done.src_dif_tags(), done.src_dif_tags()),
        Job::DifUpdate { .. } => (done.src_dif_tags(), done.dst_dif_tags()),
        _ => (done.dst_dif_tags(), done.dst_dif_tags()),
    }
}

/// The descriptor for `size` bytes of a job on blocks, from the addresses on.
pub(super) fn descriptor(
    job: &Job,
    (src, dst): (SrcAddr, DstAddr),
    size: u32,
    (src_tags, dst_tags): (DifTags, DifTags),
) -> Option<Descriptor> {
    Some(match *job {
        Job::DifCheck { format, source, .. } => {
            Descriptor::dif_check(src, size, dif_flags(format), checks(source), src_tags)
        }
        Job::DifInsert { format, destination, .. } => {
            Descriptor::dif_insert(src, dst, size, dif_flags(format), made(destination), dst_tags)
        }
        Job::DifStrip { format, source, .. } => {
            Descriptor::dif_strip(src, dst, size, dif_flags(format), checks(source), src_tags)
        }
        Job::DifUpdate { format, source, destination, .. } => {
            let of_source = (checks(source), src_tags);
            let of_destination = (made(destination) | passed(destination), dst_tags);
            Descriptor::dif_update(src, dst, size, dif_flags(format), of_source, of_destination)
        }
        Job::DixGenerate { format, destination, .. } => {
            Descriptor::dix_generate(src, dst, size, dif_flags(format), made(destination), dst_tags)
        }
        _ => return None,
    })
}

/// What a DIF status means. None if it means nothing.
pub(super) fn mismatch(status: DifStatus) -> Option<DifMismatch> {
    let pairs = [
        (DifStatus::GUARD, DifMismatch::GUARD),
        (DifStatus::APP_TAG, DifMismatch::APP_TAG),
        (DifStatus::REF_TAG, DifMismatch::REF_TAG),
        (DifStatus::ALL_F, DifMismatch::ALL_F),
    ];
    let found = pairs.into_iter().filter(|(bit, _)| status.contains(*bit));
    let mismatch = found.fold(DifMismatch::empty(), |found, (_, bit)| found | bit);
    (!mismatch.is_empty() && DifStatus::all().contains(status)).then_some(mismatch)
}

pub(super) fn spec_tags(tags: svala::DifTags) -> DifTags {
    let svala::DifTags { ref_tag, app_tag, app_tag_mask } = tags;
    DifTags { ref_tag, app_tag_mask, app_tag }
}

pub(super) fn tags(tags: DifTags) -> svala::DifTags {
    let DifTags { ref_tag, app_tag_mask, app_tag } = tags;
    svala::DifTags { ref_tag, app_tag, app_tag_mask }
}

fn dif_flags(format: DifFormat) -> DifFlags {
    let block = match format.block {
        DifBlock::B512 => DifFlags::BLOCK_512,
        DifBlock::B520 => DifFlags::BLOCK_520,
        DifBlock::B4096 => DifFlags::BLOCK_4096,
        DifBlock::B4104 => DifFlags::BLOCK_4104,
    };
    let guards = [
        (DifGuard::SEED_INVERTED, DifFlags::INVERT_CRC_SEED),
        (DifGuard::RESULT_INVERTED, DifFlags::INVERT_CRC_RESULT),
    ];
    let set = guards.into_iter().filter(|(guard, _)| format.guard.contains(*guard));
    set.fold(block, |flags, (_, flag)| flags | flag)
}

fn checks(source: DifSource) -> SrcDifFlags {
    let pairs = [
        (DifChecks::GUARD_IGNORED, SrcDifFlags::GUARD_CHECK_DISABLE),
        (DifChecks::REF_TAG_IGNORED, SrcDifFlags::REF_TAG_CHECK_DISABLE),
        (DifChecks::REF_TAG_FIXED, SrcDifFlags::REF_TAG_FIXED),
        (DifChecks::APP_TAG_INCREMENTING, SrcDifFlags::APP_TAG_INCREMENTS),
        (DifChecks::APP_TAG_F_SKIPS, SrcDifFlags::APP_TAG_F_DETECT),
        (DifChecks::APP_REF_TAG_F_SKIPS, SrcDifFlags::APP_REF_TAG_F_DETECT),
        (DifChecks::ALL_F_SKIPS, SrcDifFlags::ALL_F_DETECT),
        (DifChecks::ALL_F_FAILS, SrcDifFlags::ALL_F_ERROR),
    ];
    let set = pairs.into_iter().filter(|(check, _)| source.checks.contains(*check));
    set.fold(SrcDifFlags::empty(), |flags, (_, flag)| flags | flag)
}

/// How new fields are made.
fn made(destination: DifDestination) -> DstDifFlags {
    let pairs = [
        (DifFields::REF_TAG_FIXED, DstDifFlags::REF_TAG_FIXED),
        (DifFields::APP_TAG_INCREMENTING, DstDifFlags::APP_TAG_INCREMENTS),
    ];
    fold(destination, pairs)
}

/// What of the fields is the source's. Only an update has a source with fields to pass.
fn passed(destination: DifDestination) -> DstDifFlags {
    let pairs = [
        (DifFields::GUARD_PASSED, DstDifFlags::GUARD_PASS),
        (DifFields::REF_TAG_PASSED, DstDifFlags::REF_TAG_PASS),
        (DifFields::APP_TAG_PASSED, DstDifFlags::APP_TAG_PASS),
    ];
    fold(destination, pairs)
}

fn fold<const N: usize>(destination: DifDestination, pairs: [(DifFields, DstDifFlags); N]) -> DstDifFlags {
    let set = pairs.into_iter().filter(|(field, _)| destination.fields.contains(*field));
    set.fold(DstDifFlags::empty(), |flags, (_, flag)| flags | flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_nothing_or_of_unknown_bits_is_no_mismatch() {
        assert_eq!(mismatch(DifStatus::empty()), None);
        assert_eq!(mismatch(DifStatus::from_bits_retain(0x11)), None);
        assert_eq!(
            mismatch(DifStatus::GUARD | DifStatus::REF_TAG),
            Some(DifMismatch::GUARD | DifMismatch::REF_TAG)
        );
    }

    /// Byte 41 of a check must be zero (DSA table 5-3), and pass-through means nothing to an insert.
    #[test]
    fn flags_of_a_destination_go_where_there_is_one() {
        let destination = DifDestination { fields: DifFields::all(), ..DifDestination::default() };
        let format = DifFormat::default();
        let addrs = (SrcAddr(0), DstAddr(0x1000));
        let tags = (DifTags::default(), DifTags::default());
        let (src, dst) = (svala::VirtAddr::new(0), svala::VirtAddr::new(0x1000));
        let insert = Job::DifInsert { src, dst, len: 512, format, destination };
        let insert = descriptor(&insert, addrs, 512, tags).expect("a job on blocks");
        assert_eq!(insert.dst_dif_flags(), DstDifFlags::REF_TAG_FIXED | DstDifFlags::APP_TAG_INCREMENTS);
        let check = Job::DifCheck { src, len: 520, format, source: DifSource::default() };
        let check = descriptor(&check, addrs, 520, tags).expect("a job on blocks");
        assert_eq!(check.dst_dif_flags(), DstDifFlags::empty());
    }
}
