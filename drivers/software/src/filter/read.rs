//! A column, block by block.

use super::parquet::Runs;
use super::unpack::unpack;
use super::{BLOCK, Column, FilterError, Packing, Second};

/// The elements of a column, each as a double word.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a> {
    source: Source<'a>,
    /// Elements read.
    read: u64,
}

#[derive(Clone, Debug)]
enum Source<'a> {
    Packed { bytes: &'a [u8], width: u8, big_endian: bool },
    Runs(Runs<'a>),
}

impl<'a> Elements<'a> {
    pub(super) fn new(column: &Column<'a>) -> Result<Self, FilterError> {
        let source = match column.packing {
            Packing::ParquetRle => Source::Runs(Runs::new(column.bytes)?),
            packing => Source::packed(column.bytes, column.width, packing == Packing::Big)?,
        };
        Ok(Self { source, read: 0 })
    }

    /// Of a second input.
    pub(super) fn second(second: &Second<'a>, width: u8) -> Result<Self, FilterError> {
        Ok(Self { source: Source::packed(second.bytes, width, second.big_endian)?, read: 0 })
    }

    /// Bits of an element.
    pub(super) const fn width(&self) -> u8 {
        match &self.source {
            Source::Packed { width, .. } => *width,
            Source::Runs(runs) => runs.width(),
        }
    }

    /// Elements read or skipped.
    pub(super) const fn position(&self) -> u64 {
        self.read
    }

    /// The next elements: as many as `out` has room for; fewer only at the end.
    pub(super) fn read(&mut self, out: &mut [u32]) -> Result<usize, FilterError> {
        let taken = match &mut self.source {
            Source::Packed { bytes, width, big_endian } => unpack(bytes, *width, *big_endian, self.read, out),
            Source::Runs(runs) => runs.read(out)?,
        };
        self.read += taken as u64;
        Ok(taken)
    }

    /// Skips `count` elements, as far as there are any.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), FilterError> {
        if let Source::Packed { .. } = self.source {
            self.read += count;
            return Ok(());
        }
        let mut spare = [0; BLOCK];
        let mut left = count;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            let taken = self.read(&mut spare[..wanted])?;
            if taken == 0 {
                break;
            }
            left -= taken as u64;
        }
        Ok(())
    }
}

impl<'a> Source<'a> {
    fn packed(bytes: &'a [u8], width: u8, big_endian: bool) -> Result<Self, FilterError> {
        match width {
            1..=32 => Ok(Self::Packed { bytes, width, big_endian }),
            width => Err(FilterError::Width { width }),
        }
    }
}
