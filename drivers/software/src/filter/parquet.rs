//! Parquet's hybrid of runs and packed groups.
//!
//! A stream may end anywhere behind the last element that is wanted: only what is missing of those is an error.

use super::FilterError;
use super::unpack::{low_half, unpack};

/// Bytes a count may take: 32 bits, seven in each.
const HEADER_BYTES_MAX: usize = 5;

/// A stream, and where it is being read.
#[derive(Clone, Debug)]
pub(super) struct Runs<'a> {
    bytes: &'a [u8],
    width: u8,
    /// Byte behind what has been read.
    at: usize,
    run: Run,
}

/// The run that is being read.
#[derive(Clone, Copy, Debug)]
enum Run {
    Repeated {
        value: u32,
        left: u64,
    },
    /// Elements from number `next` on of those packed at `start`.
    Packed {
        start: usize,
        next: u64,
        left: u64,
    },
}

impl<'a> Runs<'a> {
    /// Reads the width.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, FilterError> {
        let width = bytes.first().copied().unwrap_or(0);
        if !(1..=32).contains(&width) {
            return Err(FilterError::ParquetWidth { width });
        }
        Ok(Self { bytes, width, at: 1, run: Run::Repeated { value: 0, left: 0 } })
    }

    /// Bits of an element.
    pub(super) const fn width(&self) -> u8 {
        self.width
    }

    /// The next elements, as many as `out` has room for; fewer only at the end of the stream.
    pub(super) fn read(&mut self, out: &mut [u32]) -> Result<usize, FilterError> {
        let mut done = 0;
        while done < out.len() {
            let room = (out.len() - done) as u64;
            match &mut self.run {
                Run::Repeated { left: 0, .. } | Run::Packed { left: 0, .. } => {
                    if self.at >= self.bytes.len() {
                        break;
                    }
                    self.next_run()?;
                }
                Run::Repeated { value, left } => {
                    let taken = room.min(*left);
                    let end = done + usize::try_from(taken).unwrap_or(0);
                    out[done..end].fill(*value);
                    *left -= taken;
                    done = end;
                }
                Run::Packed { start, next, left } => {
                    let wanted = usize::try_from(room.min(*left)).unwrap_or(0);
                    let packed = self.bytes.get(*start..).unwrap_or_default();
                    let taken = unpack(packed, self.width, false, *next, &mut out[done..done + wanted]);
                    if taken == 0 {
                        return Err(FilterError::Parquet { offset: self.bytes.len() });
                    }
                    *next += taken as u64;
                    *left -= taken as u64;
                    done += taken;
                }
            }
        }
        Ok(done)
    }

    fn next_run(&mut self) -> Result<(), FilterError> {
        let wrong = FilterError::Parquet { offset: self.at };
        let header = self.header().ok_or(wrong)?;
        let count = header >> 1;
        if count == 0 {
            return Err(wrong);
        }
        if header & 1 == 1 {
            self.run = Run::Packed { start: self.at, next: 0, left: 8 * count };
            let len = usize::try_from(count * u64::from(self.width)).unwrap_or(usize::MAX);
            self.at = self.at.saturating_add(len);
            return Ok(());
        }
        let len = usize::from(self.width.div_ceil(8));
        let value = self.bytes.get(self.at..self.at + len).ok_or(wrong)?;
        let mut word = [0; 8];
        word[..len].copy_from_slice(value);
        // What is above the width is not of the value.
        let value = low_half(u64::from_le_bytes(word) & ((1 << self.width) - 1));
        self.at += len;
        self.run = Run::Repeated { value, left: count };
        Ok(())
    }

    /// A number in bytes of seven bits, lowest first.
    fn header(&mut self) -> Option<u64> {
        let mut number = 0;
        for index in 0..HEADER_BYTES_MAX {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return u32::try_from(number).ok().map(u64::from);
            }
        }
        None
    }
}
