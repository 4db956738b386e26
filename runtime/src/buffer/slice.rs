//! A part of a buffer, lent in its place.
//!
//! UNSAFETY: a slice of a buffer keeps the buffer's promise.
#![expect(unsafe_code, reason = "a part of an IoBuf is as stable as the whole")]

use std::ops::Range;

use super::{IoBuf, IoBufMut};

/// Bytes `range` of a buffer. The whole buffer is lent and comes back.
#[derive(Debug)]
pub struct Slice<B> {
    buffer: B,
    /// # Invariants
    ///
    /// Lies within the buffer.
    range: Range<usize>,
}

impl<B: IoBuf> Slice<B> {
    /// Bytes `range` of `buffer`.
    ///
    /// # Errors
    ///
    /// The buffer, if the range does not lie within it.
    pub fn new(buffer: B, range: Range<usize>) -> Result<Self, B> {
        if range.start <= range.end && range.end as u64 <= buffer.span().len {
            // INVARIANT: checked just now, and a buffer does not change while it is lent.
            Ok(Self { buffer, range })
        } else {
            Err(buffer)
        }
    }

    /// The whole buffer.
    pub fn into_inner(self) -> B {
        self.buffer
    }
}

// SAFETY: the buffer's promise holds for each of its bytes.
unsafe impl<B: IoBuf> IoBuf for Slice<B> {
    fn bytes(&self) -> &[u8] {
        self.buffer.bytes().get(self.range.clone()).unwrap_or_default()
    }
}

// SAFETY: the buffer's promise holds for each of its bytes.
unsafe impl<B: IoBufMut> IoBufMut for Slice<B> {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.bytes_mut().get_mut(self.range.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_outside_its_buffer_gives_the_buffer_back() {
        assert_eq!(Slice::new(vec![1_u8; 4], 2..5).err(), Some(vec![1; 4]));
        let slice = Slice::new(vec![1_u8, 2, 3, 4], 1..3).ok().map(|slice| slice.bytes().to_vec());
        assert_eq!(slice, Some(vec![2, 3]));
    }
}
