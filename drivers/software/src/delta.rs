//! Delta records: what differs between two ranges of memory, and where.
//!
//! A record is a list of entries in ascending order. An entry has 10 bytes: an offset in units of 8 bytes, 16 bits,
//! little-endian, and the 8 bytes of the second range that differ from the first. So a range has at most 512 KiB.
//!
//! Most of what is compared is equal. Blocks are compared by `memcmp`, and only in a block that differs its lines of 64
//! bytes, see `line`.
//!
//! Source: DSA §8.3.8, §8.3.9.

mod line;

use std::fmt;

use crate::compare::{are_equal, first_difference, first_difference_by_blocks, put_aside};

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 10;
/// Bytes of the longest range that 16-bit offsets in units of 8 reach.
pub const RANGE_BYTES_MAX: usize = 512 << 10;

/// Bytes of a word: what an entry replaces.
const WORD_BYTES: usize = 8;
/// Bytes compared at once where everything is equal.
const BLOCK_BYTES: usize = 4 << 10;
/// Bytes compared at once in a block that differs.
const LINE_BYTES: usize = 64;

/// What [`create`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The ranges are equal, the record is empty.
    Equal,
    /// The record has all differences.
    Complete,
    /// The record is full, and the word behind what was compared differs too.
    Overflow,
}

/// A record that was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// Whether the record has all differences.
    pub outcome: Outcome,
    /// Bytes of the record, a multiple of [`ENTRY_BYTES`].
    pub record_bytes: usize,
    /// Bytes of the ranges whose differences are in the record: all of them, unless the record was too small.
    pub compared_bytes: usize,
}

/// Ranges that no record can describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// The ranges differ in length.
    #[error("ranges of {first} and {second} bytes")]
    Lengths {
        /// Bytes of the first.
        first: usize,
        /// Bytes of the second.
        second: usize,
    },
    /// A length is no multiple of 8.
    #[error("range of {bytes} bytes is no multiple of 8")]
    Granularity {
        /// Bytes of the range.
        bytes: usize,
    },
    /// An offset would not fit in 16 bits.
    #[error("range of {bytes} bytes at {start} ends behind {RANGE_BYTES_MAX}")]
    TooLong {
        /// Where the range begins, see [`create_at`].
        start: usize,
        /// Bytes of the range.
        bytes: usize,
    },
}

/// A record that cannot be applied, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("delta record byte {at}: {cause}")]
pub struct RecordError {
    /// Bytes of the record that were applied before.
    pub at: usize,
    /// What is wrong with the next entry.
    pub cause: RecordCause,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordCause {
    /// The offset is not above the one before (status 0x07).
    Order {
        /// Offset in bytes of the entry before.
        before: usize,
        /// Offset in bytes of this entry.
        offset: usize,
    },
    /// The word it replaces is not inside the range (status 0x08).
    Range {
        /// Offset in bytes of the entry.
        offset: usize,
        /// Bytes of the range.
        range_bytes: usize,
    },
    /// The record ends inside an entry.
    Cut,
}

impl fmt::Display for RecordCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { before, offset } => write!(f, "offset {offset} behind offset {before}"),
            Self::Range { offset, range_bytes } => write!(f, "offset {offset} in {range_bytes} bytes"),
            Self::Cut => f.write_str("no whole entry"),
        }
    }
}

/// Writes to `record` what makes `first` equal to `second`.
///
/// Of a record that is too small as many entries are written as fit, and [`Created::compared_bytes`] is the offset of
/// the first word that is not in it. Bytes of `record` behind [`Created::record_bytes`] are unspecified.
///
/// # Errors
///
/// The lengths differ, are no multiple of 8, or are above [`RANGE_BYTES_MAX`].
#[inline]
pub fn create(first: &[u8], second: &[u8], record: &mut [u8]) -> Result<Created, RangeError> {
    create_at(0, first, second, record)
}

/// As [`create`], for ranges that begin `start` bytes into what the record describes: its offsets count from there. So
/// records of neighbouring ranges, one behind the other, are one record.
///
/// # Errors
///
/// As [`create`]; and `start` is no multiple of 8, or the ranges end behind [`RANGE_BYTES_MAX`].
#[inline]
pub fn create_at(
    start: usize,
    first: &[u8],
    second: &[u8],
    record: &mut [u8],
) -> Result<Created, RangeError> {
    let bytes = first.len();
    if bytes != second.len() {
        return Err(RangeError::Lengths { first: bytes, second: second.len() });
    }
    if !(start | bytes).is_multiple_of(WORD_BYTES) {
        let bytes = if start.is_multiple_of(WORD_BYTES) { bytes } else { start };
        return Err(RangeError::Granularity { bytes });
    }
    if start > RANGE_BYTES_MAX || bytes > RANGE_BYTES_MAX - start {
        return Err(RangeError::TooLong { start, bytes });
    }
    let mut kept = Kept { start, first, second, record };
    put_aside(&mut kept);
    // What most ranges are.
    if bytes <= AT_ONCE_BYTES && are_equal(first, second) {
        return Ok(Created { outcome: Outcome::Equal, record_bytes: 0, compared_bytes: bytes });
    }
    Ok(kept.create())
}

/// Bytes of ranges that are compared at once, before their first difference is looked for: as many as that looks at.
const AT_ONCE_BYTES: usize = 64 << 10;

/// What [`create_at`] was asked, in order.
struct Kept<'a> {
    start: usize,
    first: &'a [u8],
    second: &'a [u8],
    record: &'a mut [u8],
}

impl Kept<'_> {
    /// [`create_at`] for ranges that may differ.
    #[cold]
    fn create(&mut self) -> Created {
        let Self { start, first, second, record } = self;
        let bytes = first.len();
        let Some(difference) = first_difference_by_blocks(first, second) else {
            return Created { outcome: Outcome::Equal, record_bytes: 0, compared_bytes: bytes };
        };
        let mut writer = Writer { record, used: 0, start: *start };
        let compared_bytes = writer.blocks(first, second, difference).map_or_else(|full| full, |()| bytes);
        let outcome = match writer.used {
            _ if compared_bytes < bytes => Outcome::Overflow,
            0 => Outcome::Equal,
            _ => Outcome::Complete,
        };
        Created { outcome, record_bytes: writer.used, compared_bytes }
    }
}

/// A record being written. The error of each method is the offset of the word there was no room for.
struct Writer<'a> {
    record: &'a mut [u8],
    used: usize,
    start: usize,
}

impl Writer<'_> {
    /// What is before byte `equal` is equal.
    fn blocks(&mut self, first: &[u8], second: &[u8], equal: usize) -> Result<(), usize> {
        let mut at = equal / LINE_BYTES * LINE_BYTES;
        while at < first.len() {
            let end = first.len().min(at + BLOCK_BYTES);
            if are_equal(&first[at..end], &second[at..end]) {
                // Where one block is equal, more may be: `memcmp` over longer stretches.
                let equal = first_difference(&first[end..], &second[end..]);
                let Some(equal) = equal else { return Ok(()) };
                at = end + equal / LINE_BYTES * LINE_BYTES;
                continue;
            }
            self.lines(at, &first[at..end], &second[at..end])?;
            at = end;
        }
        Ok(())
    }

    fn lines(&mut self, at: usize, first: &[u8], second: &[u8]) -> Result<(), usize> {
        let (mut first_lines, first_tail) = first.as_chunks();
        let (mut second_lines, second_tail) = second.as_chunks();
        let mut at = at;
        loop {
            let done =
                line::append(self.start + at, first_lines, second_lines, &mut self.record[self.used..]);
            self.used += done.record_bytes;
            at += done.lines * LINE_BYTES;
            (first_lines, second_lines) = (&first_lines[done.lines..], &second_lines[done.lines..]);
            // The record may end in the words of the next line.
            let (Some((first, firsts)), Some((second, seconds))) =
                (first_lines.split_first(), second_lines.split_first())
            else {
                return self.words(at, first_tail, second_tail);
            };
            self.words(at, first, second)?;
            at += LINE_BYTES;
            (first_lines, second_lines) = (firsts, seconds);
        }
    }

    /// Word by word, where the record may end.
    fn words(&mut self, at: usize, first: &[u8], second: &[u8]) -> Result<(), usize> {
        let (first, _) = first.as_chunks::<WORD_BYTES>();
        let (second, _) = second.as_chunks::<WORD_BYTES>();
        for (index, (first, second)) in first.iter().zip(second).enumerate() {
            if first == second {
                continue;
            }
            let at = at + index * WORD_BYTES;
            let room = self.record[self.used..].first_chunk_mut::<ENTRY_BYTES>().ok_or(at)?;
            entry(self.start + at, second, room);
            self.used += ENTRY_BYTES;
        }
        Ok(())
    }
}

/// `at` is below [`RANGE_BYTES_MAX`]: [`create_at`] has checked where the range ends.
#[inline]
fn entry(at: usize, word: &[u8; WORD_BYTES], room: &mut [u8; ENTRY_BYTES]) {
    let units = at / WORD_BYTES;
    #[expect(clippy::cast_possible_truncation, reason = "below 2^16, see above")]
    let offset = (units as u16).to_le_bytes();
    room[..2].copy_from_slice(&offset);
    room[2..].copy_from_slice(word);
}

/// Applies `record` to `range`, which then has what the second range had.
///
/// # Errors
///
/// An entry is not behind the one before it, or outside `range`, or cut. Everything before it has been applied,
/// [`RecordError::at`] bytes of the record.
pub fn apply(record: &[u8], range: &mut [u8]) -> Result<(), RecordError> {
    let range_bytes = range.len();
    let mut entries = Entries::new(record, range_bytes);
    for Entry { offset, word } in &mut entries {
        // In range: `Entries` gives no other.
        if let Some(place) = range[offset..].first_chunk_mut() {
            *place = word;
        }
    }
    entries.end()
}

/// One entry of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the word goes, in bytes, a multiple of 8.
    pub offset: usize,
    /// What goes there.
    pub word: [u8; 8],
}

/// The entries of a record up to the first that is wrong. It does not matter what memory they are applied to.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    record: &'a [u8],
    at: usize,
    /// The last offset, in units of 8 bytes, and one more; 0 before the first.
    next: usize,
    range_bytes: usize,
}

impl<'a> Entries<'a> {
    /// Those of `record`, for a range of `range_bytes` bytes.
    pub fn new(record: &'a [u8], range_bytes: usize) -> Self {
        Self { record, at: 0, next: 0, range_bytes }
    }

    /// As [`new`](Self::new), for the rest of a record whose last entry had the offset `before`, in bytes.
    #[must_use]
    pub fn after(self, before: usize) -> Self {
        Self { next: before / WORD_BYTES + 1, ..self }
    }

    /// How the iteration ended: at the end of the record, or at an entry that is wrong.
    ///
    /// # Errors
    ///
    /// The next entry is wrong.
    pub fn end(&self) -> Result<(), RecordError> {
        match self.parse() {
            Err(cause) => Err(RecordError { at: self.at, cause }),
            Ok(_) => Ok(()),
        }
    }

    /// The next entry, [`None`] behind the last.
    #[inline]
    fn parse(&self) -> Result<Option<Entry>, RecordCause> {
        let rest = &self.record[self.at..];
        let Some(entry) = rest.first_chunk::<ENTRY_BYTES>() else {
            return if rest.is_empty() { Ok(None) } else { Err(RecordCause::Cut) };
        };
        let [low, high, word @ ..] = *entry;
        let units = usize::from(u16::from_le_bytes([low, high]));
        let offset = units * WORD_BYTES;
        if units < self.next {
            return Err(RecordCause::Order { before: (self.next - 1) * WORD_BYTES, offset });
        }
        if offset + WORD_BYTES > self.range_bytes {
            return Err(RecordCause::Range { offset, range_bytes: self.range_bytes });
        }
        Ok(Some(Entry { offset, word }))
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    #[inline]
    fn next(&mut self) -> Option<Entry> {
        let entry = self.parse().ok()??;
        self.at += ENTRY_BYTES;
        self.next = entry.offset / WORD_BYTES + 1;
        Some(entry)
    }
}
