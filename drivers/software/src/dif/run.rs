//! The five operations, block after block.

use super::field::{Field, Guard};
use super::{BlockSize, DestinationFields, Error, FIELD_BYTES, Format, Mismatch, SourceChecks, Tags};

/// Checks the field behind each block of `src`.
///
/// # Errors
///
/// The first block whose field is wrong; or `src` is not a number of whole blocks.
pub fn check(format: Format, checks: SourceChecks, tags: &mut Tags, src: &[u8]) -> Result<(), Error> {
    let unit = format.block_size.bytes_with_field();
    whole_blocks(src, unit)?;
    let mut guard = Guard::new(format);
    for (index, block) in src.chunks_exact(unit).enumerate() {
        let (data, field) = split(block, format.block_size);
        accept(index, checks.verify(field, tags, || guard.of(data)))?;
        tags.advance(checks.ref_tag_kind, checks.app_tag_kind);
    }
    Ok(())
}

/// Copies the blocks of `src` to `dst`, each with a field behind it.
///
/// # Errors
///
/// `src` is not a number of whole blocks, or `dst` has not the bytes for them and their fields.
pub fn insert(
    format: Format,
    fields: DestinationFields,
    tags: &mut Tags,
    src: &[u8],
    dst: &mut [u8],
) -> Result<(), Error> {
    match format.block_size {
        BlockSize::B512 => insert_into::<512>(format, fields, tags, src, dst),
        BlockSize::B520 => insert_into::<520>(format, fields, tags, src, dst),
        BlockSize::B4096 => insert_into::<4096>(format, fields, tags, src, dst),
        BlockSize::B4104 => insert_into::<4104>(format, fields, tags, src, dst),
    }
}

/// [`insert`] for blocks of `UNIT` bytes. By a size that is not known before, four divisions take the time of half a block.
fn insert_into<const UNIT: usize>(
    format: Format,
    fields: DestinationFields,
    tags: &mut Tags,
    src: &[u8],
    dst: &mut [u8],
) -> Result<(), Error> {
    let dst_unit = UNIT + FIELD_BYTES;
    same_blocks(src, UNIT, dst, dst_unit)?;
    let mut guard = Guard::new(format);
    // In registers, and the copy before the CRC, whose end is what the field waits for.
    let mut next = *tags;
    for (data, block) in src.as_chunks::<UNIT>().0.iter().zip(dst.chunks_exact_mut(dst_unit)) {
        let (copied, field) = block.split_at_mut(UNIT);
        copied.copy_from_slice(data);
        field.copy_from_slice(&DestinationFields::field(&next, guard.of(data)).to_bytes());
        next.advance(fields.ref_tag_kind, fields.app_tag_kind);
    }
    *tags = next;
    Ok(())
}

/// Checks the field behind each block of `src`, and copies the blocks without their fields to `dst`.
///
/// # Errors
///
/// As [`check`], and everything before the block that is wrong has been copied; or `dst` has not the bytes for the
/// blocks.
pub fn strip(
    format: Format,
    checks: SourceChecks,
    tags: &mut Tags,
    src: &[u8],
    dst: &mut [u8],
) -> Result<(), Error> {
    let (unit, dst_unit) = (format.block_size.bytes_with_field(), format.block_size.bytes());
    same_blocks(src, unit, dst, dst_unit)?;
    let mut guard = Guard::new(format);
    for (index, (block, copied)) in src.chunks_exact(unit).zip(dst.chunks_exact_mut(dst_unit)).enumerate() {
        let (data, field) = split(block, format.block_size);
        accept(index, checks.verify(field, tags, || guard.of(data)))?;
        copied.copy_from_slice(data);
        tags.advance(checks.ref_tag_kind, checks.app_tag_kind);
    }
    Ok(())
}

/// Checks the field behind each block of `src`, and copies the blocks to `dst` with new fields.
///
/// The tags of the destination go on for a tag that is passed through too, though they are not used.
///
/// # Errors
///
/// As [`strip`]; `dst` has the length of `src`.
pub fn update(
    format: Format,
    (checks, src_tags): (SourceChecks, &mut Tags),
    (fields, dst_tags): (DestinationFields, &mut Tags),
    src: &[u8],
    dst: &mut [u8],
) -> Result<(), Error> {
    let unit = format.block_size.bytes_with_field();
    same_blocks(src, unit, dst, unit)?;
    let mut guard = Guard::new(format);
    for (index, (block, updated)) in src.chunks_exact(unit).zip(dst.chunks_exact_mut(unit)).enumerate() {
        let (data, field) = split(block, format.block_size);
        let mut computed = None;
        let mut guard_of_data = || *computed.get_or_insert_with(|| guard.of(data));
        accept(index, checks.verify(field, src_tags, &mut guard_of_data))?;
        let (copied, replaced) = updated.split_at_mut(data.len());
        replaced.copy_from_slice(&fields.replaced(field, dst_tags, guard_of_data).to_bytes());
        copied.copy_from_slice(data);
        src_tags.advance(checks.ref_tag_kind, checks.app_tag_kind);
        dst_tags.advance(fields.ref_tag_kind, fields.app_tag_kind);
    }
    Ok(())
}

/// Writes the fields of the blocks of `src` to `dst`, one behind the other.
///
/// # Errors
///
/// `src` is not a number of whole blocks, or `dst` has not 8 bytes for each.
pub fn dix_generate(
    format: Format,
    fields: DestinationFields,
    tags: &mut Tags,
    src: &[u8],
    dst: &mut [u8],
) -> Result<(), Error> {
    let unit = format.block_size.bytes();
    same_blocks(src, unit, dst, FIELD_BYTES)?;
    let mut guard = Guard::new(format);
    for (data, field) in src.chunks_exact(unit).zip(dst.chunks_exact_mut(FIELD_BYTES)) {
        field.copy_from_slice(&DestinationFields::field(tags, guard.of(data)).to_bytes());
        tags.advance(fields.ref_tag_kind, fields.app_tag_kind);
    }
    Ok(())
}

/// The data of a block and its field.
#[inline]
fn split(block: &[u8], block_size: BlockSize) -> (&[u8], Field) {
    let (data, field) = block.split_at(block_size.bytes());
    let mut bytes = [0; FIELD_BYTES];
    bytes.copy_from_slice(field);
    (data, Field::from_bytes(&bytes))
}

#[inline]
fn accept(block: usize, mismatch: Mismatch) -> Result<(), Error> {
    if mismatch == Mismatch::default() { Ok(()) } else { Err(Error::Mismatch { block, mismatch }) }
}

#[inline(always)]
fn whole_blocks(src: &[u8], unit: usize) -> Result<usize, Error> {
    let bytes = src.len();
    if bytes.is_multiple_of(unit) { Ok(bytes / unit) } else { Err(Error::Source { bytes, unit }) }
}

#[inline(always)]
fn same_blocks(src: &[u8], unit: usize, dst: &[u8], dst_unit: usize) -> Result<(), Error> {
    let needed = whole_blocks(src, unit)? * dst_unit;
    let bytes = dst.len();
    if bytes == needed { Ok(()) } else { Err(Error::Destination { bytes, needed }) }
}
