//! Memory lent to a device.
//!
//! An operation takes its buffers by value and gives them back. Between submission and completion they belong
//! to the slot, so that a dropped or leaked future frees nothing a device still writes.
//!
//! UNSAFETY: the two traits are promises about addresses that the compiler cannot check.
#![expect(unsafe_code, reason = "IoBuf and IoBufMut promise that an address outlives a move")]

mod map;
mod slice;

pub use map::{FileMap, FileMapMut};
pub use slice::Slice;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::address::{Span, VirtAddr};

/// Memory a device may read.
///
/// # Safety
///
/// The bytes [`IoBuf::bytes`] shows stay where they are, readable and unchanged, for as long as the value lives,
/// also when the value is moved.
pub unsafe trait IoBuf: Send + 'static {
    /// The bytes.
    fn bytes(&self) -> &[u8];

    /// Where the bytes are.
    fn span(&self) -> Span {
        let bytes = self.bytes();
        Span::new(VirtAddr::of(bytes.as_ptr()), bytes.len() as u64)
    }
}

/// Memory a device may write. Its length is what the operation uses: a `Vec` is written up to `len`, never into
/// spare capacity.
///
/// # Safety
///
/// As [`IoBuf`], and the bytes are writable and nobody else looks at them while the value is lent.
pub unsafe trait IoBufMut: IoBuf {
    /// The bytes, writable.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Where the bytes are, for writing.
    fn span_mut(&mut self) -> Span {
        let bytes = self.bytes_mut();
        Span::new(VirtAddr::of(bytes.as_mut_ptr().cast_const()), bytes.len() as u64)
    }
}

/// Implements [`IoBuf`] for a type whose bytes live on the heap, behind a pointer that a move copies.
macro_rules! heap_buffer {
    ($type:ty, $bytes:expr, $why:literal) => {
        // SAFETY: the bytes are on the heap and owned (or counted) by the value, so they neither move nor go
        // while it lives; no safe code can change them while the value is lent, because it is lent by value.
        unsafe impl IoBuf for $type {
            fn bytes(&self) -> &[u8] {
                let bytes: fn(&$type) -> &[u8] = $bytes;
                bytes(self)
            }
        }
        const _: &str = $why;
    };
}

heap_buffer!(Vec<u8>, |buffer| buffer, "owned allocation");
heap_buffer!(Box<[u8]>, |buffer| buffer, "owned allocation");
heap_buffer!(Arc<[u8]>, |buffer| buffer, "counted, immutable");
heap_buffer!(Bytes, |buffer| buffer, "counted, immutable");
heap_buffer!(BytesMut, |buffer| buffer, "unique view of a counted allocation");

// SAFETY: static memory neither moves nor goes, and a shared borrow of it for ever forbids changing it.
unsafe impl IoBuf for &'static [u8] {
    fn bytes(&self) -> &[u8] {
        self
    }
}

// SAFETY: the allocation is owned by the value alone.
unsafe impl IoBufMut for Vec<u8> {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: the allocation is owned by the value alone.
unsafe impl IoBufMut for Box<[u8]> {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: `BytesMut` is the only view of its bytes.
unsafe impl IoBufMut for BytesMut {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_keeps_the_address() {
        let vec = vec![7_u8; 100];
        let before = vec.span();
        let boxed = Box::new(vec);
        assert_eq!(boxed.span(), before);
        assert_eq!(before.len, 100);
    }

    #[test]
    fn a_vector_is_lent_up_to_its_length() {
        let mut vec = Vec::with_capacity(64);
        vec.push(1_u8);
        assert_eq!(vec.span_mut().len, 1);
    }
}
