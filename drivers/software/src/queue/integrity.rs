//! Data integrity fields as a job has them, said in the words of [`dif`](crate::dif), and how far the tags are inside a
//! job: what a piece begins with.

use svala::backend::Failure;
use svala::{
    DifBlock, DifChecks, DifDestination, DifFields, DifFormat, DifGuard, DifMismatch, DifSource, DifTags,
    Value,
};

use super::memory::len_of;
use super::work::misshapen;
use crate::dif::{self, BlockSize, DestinationFields, Error, Format, Mismatch, SourceChecks, TagKind, Tags};

/// Checks fields, and says what the next block's tags are.
pub(super) fn check(format: DifFormat, source: DifSource, src: &[u8]) -> Result<Value, Failure> {
    let mut tags = arithmetic_tags(source.tags);
    let done = dif::check(format_of(format), checks_of(source.checks), &mut tags, src);
    done.map(|()| next(&tags, &tags)).map_err(failure_of)
}

/// Copies blocks and adds fields.
pub(super) fn insert(
    format: DifFormat,
    destination: DifDestination,
    src: &[u8],
    dst: &mut [u8],
) -> Result<Value, Failure> {
    let mut tags = arithmetic_tags(destination.tags);
    let done = dif::insert(format_of(format), fields_of(destination.fields), &mut tags, src, dst);
    done.map(|()| next(&tags, &tags)).map_err(failure_of)
}

/// Checks fields and copies the blocks without them.
pub(super) fn strip(
    format: DifFormat,
    source: DifSource,
    src: &[u8],
    dst: &mut [u8],
) -> Result<Value, Failure> {
    let mut tags = arithmetic_tags(source.tags);
    let done = dif::strip(format_of(format), checks_of(source.checks), &mut tags, src, dst);
    done.map(|()| next(&tags, &tags)).map_err(failure_of)
}

/// Checks fields and copies the blocks with new ones.
pub(super) fn update(
    format: DifFormat,
    source: DifSource,
    destination: DifDestination,
    src: &[u8],
    dst: &mut [u8],
) -> Result<Value, Failure> {
    let (mut src_tags, mut dst_tags) = (arithmetic_tags(source.tags), arithmetic_tags(destination.tags));
    let from = (checks_of(source.checks), &mut src_tags);
    let to = (fields_of(destination.fields), &mut dst_tags);
    let done = dif::update(format_of(format), from, to, src, dst);
    done.map(|()| next(&src_tags, &dst_tags)).map_err(failure_of)
}

/// Writes the fields alone.
pub(super) fn dix_generate(
    format: DifFormat,
    destination: DifDestination,
    src: &[u8],
    dst: &mut [u8],
) -> Result<Value, Failure> {
    let mut tags = arithmetic_tags(destination.tags);
    let done = dif::dix_generate(format_of(format), fields_of(destination.fields), &mut tags, src, dst);
    done.map(|()| next(&tags, &tags)).map_err(failure_of)
}

/// What is expected of a source from its block number `blocks` on.
pub(super) fn source_after(source: DifSource, blocks: u64) -> DifSource {
    let ref_tag = ref_tag_kind(source.checks.contains(DifChecks::REF_TAG_FIXED));
    let app_tag = app_tag_kind(source.checks.contains(DifChecks::APP_TAG_INCREMENTING));
    DifSource { tags: tags_after(source.tags, ref_tag, app_tag, blocks), ..source }
}

/// What a destination gets from its block number `blocks` on.
pub(super) fn destination_after(destination: DifDestination, blocks: u64) -> DifDestination {
    let ref_tag = ref_tag_kind(destination.fields.contains(DifFields::REF_TAG_FIXED));
    let app_tag = app_tag_kind(destination.fields.contains(DifFields::APP_TAG_INCREMENTING));
    DifDestination { tags: tags_after(destination.tags, ref_tag, app_tag, blocks), ..destination }
}

/// Tags wrap, so of the number of blocks only the low bits count.
#[expect(clippy::cast_possible_truncation, reason = "modulo the width of the tag, which is what is meant")]
fn tags_after(tags: DifTags, ref_tag: TagKind, app_tag: TagKind, blocks: u64) -> DifTags {
    let more = |kind| if kind == TagKind::Incrementing { blocks } else { 0 };
    DifTags {
        ref_tag: tags.ref_tag.wrapping_add(more(ref_tag) as u32),
        app_tag: tags.app_tag.wrapping_add(more(app_tag) as u16),
        app_tag_mask: tags.app_tag_mask,
    }
}

fn next(source: &Tags, destination: &Tags) -> Value {
    Value::Tags { source: job_tags(source), destination: job_tags(destination) }
}

const fn arithmetic_tags(tags: DifTags) -> Tags {
    let DifTags { ref_tag, app_tag, app_tag_mask } = tags;
    Tags { ref_tag, app_tag, app_tag_mask }
}

const fn job_tags(tags: &Tags) -> DifTags {
    let Tags { ref_tag, app_tag, app_tag_mask } = *tags;
    DifTags { ref_tag, app_tag, app_tag_mask }
}

fn format_of(format: DifFormat) -> Format {
    Format {
        block_size: match format.block {
            DifBlock::B512 => BlockSize::B512,
            DifBlock::B520 => BlockSize::B520,
            DifBlock::B4096 => BlockSize::B4096,
            DifBlock::B4104 => BlockSize::B4104,
        },
        invert_crc_seed: format.guard.contains(DifGuard::SEED_INVERTED),
        invert_crc_result: format.guard.contains(DifGuard::RESULT_INVERTED),
    }
}

fn checks_of(checks: DifChecks) -> SourceChecks {
    SourceChecks {
        guard: !checks.contains(DifChecks::GUARD_IGNORED),
        ref_tag: !checks.contains(DifChecks::REF_TAG_IGNORED),
        ref_tag_kind: ref_tag_kind(checks.contains(DifChecks::REF_TAG_FIXED)),
        app_tag_kind: app_tag_kind(checks.contains(DifChecks::APP_TAG_INCREMENTING)),
        app_tag_f_detect: checks.contains(DifChecks::APP_TAG_F_SKIPS),
        app_ref_tag_f_detect: checks.contains(DifChecks::APP_REF_TAG_F_SKIPS),
        all_f_detect: checks.contains(DifChecks::ALL_F_SKIPS),
        all_f_error: checks.contains(DifChecks::ALL_F_FAILS),
    }
}

fn fields_of(fields: DifFields) -> DestinationFields {
    DestinationFields {
        ref_tag_kind: ref_tag_kind(fields.contains(DifFields::REF_TAG_FIXED)),
        app_tag_kind: app_tag_kind(fields.contains(DifFields::APP_TAG_INCREMENTING)),
        pass_guard: fields.contains(DifFields::GUARD_PASSED),
        pass_ref_tag: fields.contains(DifFields::REF_TAG_PASSED),
        pass_app_tag: fields.contains(DifFields::APP_TAG_PASSED),
    }
}

const fn ref_tag_kind(is_fixed: bool) -> TagKind {
    if is_fixed { TagKind::Fixed } else { TagKind::Incrementing }
}

const fn app_tag_kind(is_incrementing: bool) -> TagKind {
    if is_incrementing { TagKind::Incrementing } else { TagKind::Fixed }
}

fn failure_of(error: Error) -> Failure {
    match error {
        Error::Mismatch { block, mismatch } => {
            Failure::Dif { block: len_of(block), mismatch: mismatch_of(mismatch) }
        }
        Error::Source { .. } | Error::Destination { .. } => misshapen("not whole blocks"),
    }
}

fn mismatch_of(mismatch: Mismatch) -> DifMismatch {
    let parts = [
        (mismatch.guard, DifMismatch::GUARD),
        (mismatch.app_tag, DifMismatch::APP_TAG),
        (mismatch.ref_tag, DifMismatch::REF_TAG),
        (mismatch.all_f, DifMismatch::ALL_F),
    ];
    parts
        .into_iter()
        .filter(|(is_wrong, _)| *is_wrong)
        .fold(DifMismatch::empty(), |all, (_, part)| all | part)
}
