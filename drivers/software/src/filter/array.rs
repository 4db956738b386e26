//! Output that is an array.

use super::unpack::low_half;
use super::{Aggregates, FilterError, Filtered};

/// Takes elements and writes them packed.
#[derive(Debug)]
pub(super) struct Array<'a> {
    /// None: elements are only summed.
    room: Option<&'a mut [u8]>,
    width: u8,
    big_endian: bool,
    /// Bits that do not fill a byte yet: the low ones, or the high ones of a big-endian array.
    begun: u64,
    begun_bits: u32,
    at: usize,
    elements: u64,
    aggregates: Aggregates,
}

impl<'a> Array<'a> {
    pub(super) const fn new(room: Option<&'a mut [u8]>, width: u8, big_endian: bool) -> Self {
        let aggregates = Aggregates::EMPTY;
        Self { room, width, big_endian, begun: 0, begun_bits: 0, at: 0, elements: 0, aggregates }
    }

    /// Takes elements, which are no wider than the array's.
    pub(super) fn push(&mut self, elements: &[u32]) -> Result<(), FilterError> {
        let (mut min, mut max, mut sum) = (self.aggregates.min, self.aggregates.max, self.aggregates.sum);
        for element in elements {
            (min, max, sum) = (min.min(*element), max.max(*element), sum.wrapping_add(*element));
        }
        self.aggregates = Aggregates { min, max, sum };
        if self.room.is_none() {
            self.count(elements.len() as u64);
            return Ok(());
        }
        self.elements += elements.len() as u64;
        self.write(elements)
    }

    /// Takes note of elements that are not written.
    fn count(&mut self, elements: u64) {
        self.elements += elements;
        let bits = self.elements * u64::from(self.width);
        self.at = usize::try_from(bits / 8).unwrap_or(usize::MAX);
        self.begun_bits = u32::try_from(bits % 8).unwrap_or(0);
    }

    /// `count` times the same element.
    pub(super) fn push_run(&mut self, element: u32, mut count: u64) -> Result<(), FilterError> {
        const RUN: usize = 256;
        if self.room.is_none() && count > 0 {
            let sum = self.aggregates.sum.wrapping_add(element.wrapping_mul(low_half(count)));
            let (min, max) = (self.aggregates.min.min(element), self.aggregates.max.max(element));
            self.aggregates = Aggregates { min, max, sum };
            self.count(count);
            return Ok(());
        }
        let run = [element; RUN];
        while count > 0 {
            let part = usize::try_from(count).unwrap_or(RUN).min(RUN);
            self.push(&run[..part])?;
            count -= part as u64;
        }
        Ok(())
    }

    /// Takes the places of the ones of `word`, from `base` on.
    pub(super) fn push_indices(&mut self, mut word: u64, base: u64) -> Result<(), FilterError> {
        let mut indices = [0; 64];
        let mut count = 0;
        let index_max = u64::MAX >> (64 - u32::from(self.width));
        while word != 0 {
            let index = base + u64::from(word.trailing_zeros());
            let fits = u32::try_from(index).unwrap_or(u32::MAX);
            if index > index_max {
                return Err(FilterError::ElementTooWide { element: fits, width: self.width });
            }
            indices[count] = fits;
            count += 1;
            word &= word - 1;
        }
        self.push(&indices[..count])
    }

    fn write(&mut self, elements: &[u32]) -> Result<(), FilterError> {
        match self.width {
            8 => self.write_whole(elements, |element| [element.to_le_bytes()[0]]),
            16 if self.big_endian => self.write_whole(elements, |element| {
                let [low, high, ..] = element.to_le_bytes();
                [high, low]
            }),
            16 => self.write_whole(elements, |element| {
                let [low, high, ..] = element.to_le_bytes();
                [low, high]
            }),
            32 if self.big_endian => self.write_whole(elements, u32::to_be_bytes),
            32 => self.write_whole(elements, u32::to_le_bytes),
            _ => elements.iter().try_for_each(|element| self.write_bits(*element)),
        }
    }

    fn write_whole<const BYTES: usize>(
        &mut self,
        elements: &[u32],
        to_bytes: impl Fn(u32) -> [u8; BYTES],
    ) -> Result<(), FilterError> {
        let len = elements.len() * BYTES;
        let part = self.room_for(len)?;
        for (bytes, element) in part.as_chunks_mut::<BYTES>().0.iter_mut().zip(elements) {
            *bytes = to_bytes(*element);
        }
        self.at += len;
        Ok(())
    }

    fn room_for(&mut self, len: usize) -> Result<&mut [u8], FilterError> {
        let room = self.room.as_deref_mut().unwrap_or_default();
        let bytes_max = room.len();
        room.get_mut(self.at..self.at.saturating_add(len)).ok_or(FilterError::OutputFull { bytes_max })
    }

    /// Not a whole number of bytes.
    fn write_bits(&mut self, element: u32) -> Result<(), FilterError> {
        let width = u32::from(self.width);
        let element = u64::from(element);
        if self.big_endian {
            self.begun |= element << (64 - width - self.begun_bits);
        } else {
            self.begun |= element << self.begun_bits;
        }
        self.begun_bits += width;
        while self.begun_bits >= 8 {
            self.write_byte()?;
        }
        Ok(())
    }

    fn write_byte(&mut self) -> Result<(), FilterError> {
        let byte = if self.big_endian { self.begun.to_be_bytes()[0] } else { self.begun.to_le_bytes()[0] };
        self.room_for(1)?.copy_from_slice(&[byte]);
        self.begun = if self.big_endian { self.begun << 8 } else { self.begun >> 8 };
        self.begun_bits = self.begun_bits.saturating_sub(8);
        self.at += 1;
        Ok(())
    }

    /// Writes what does not fill a byte.
    pub(super) fn finish(mut self) -> Result<Filtered, FilterError> {
        let [bits, ..] = self.begun_bits.to_le_bytes();
        if self.begun_bits > 0 {
            match self.room {
                Some(_) => self.write_byte()?,
                None => self.at += 1,
            }
        }
        Ok(Filtered { bytes: self.at, bits, elements: self.elements, aggregates: self.aggregates })
    }
}
