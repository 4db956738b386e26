//! Looking at, and writing into, lent buffers on this thread: headers and trailers.
//!
//! A buffer may be a map of a file that somebody truncates, so even these few bytes go through the CPU engine's
//! `SIGBUS` guard.
//!
//! UNSAFETY: the guard replaces pages of a map that has vanished.
#![expect(unsafe_code, reason = "guarded() may replace pages of the buffer's mapping")]

use std::ops::Range;

use svala::{Error, IoBuf, IoBufMut, Operation, Span, VirtAddr};
use svala_software::{Vanished, guarded};

/// The addresses of bytes `range` of a buffer.
fn addresses(span: Span, range: &Range<usize>) -> Range<usize> {
    let part = span.part(range.start as u64, range.len() as u64);
    let start = part.addr.as_ptr::<u8>().addr();
    let end = part.end().as_ptr::<u8>().addr();
    start..end
}

fn vanished(operation: Operation, Vanished { addr }: Vanished) -> Error {
    Error::Vanished { operation, addr: VirtAddr::new(addr as u64) }
}

/// Runs `look` on bytes `range` of the buffer.
pub(crate) fn read<S: IoBuf, T>(
    src: &S,
    range: Range<usize>,
    operation: Operation,
    look: impl FnOnce(&[u8]) -> T,
) -> Result<T, Error> {
    let guard = [addresses(src.span(), &range)];
    // SAFETY: a buffer lies in one mapping; after `Vanished` the operation fails and nothing of it is used.
    let looked = unsafe { guarded(&guard, || look(src.bytes().get(range).unwrap_or_default())) };
    looked.map_err(|gone| vanished(operation, gone))
}

/// Writes `bytes` at `offset`. The caller has made sure that they fit.
pub(crate) fn write<D: IoBufMut>(
    dst: &mut D,
    offset: usize,
    bytes: &[u8],
    operation: Operation,
) -> Result<(), Error> {
    let range = offset..offset + bytes.len();
    let guard = [addresses(dst.span_mut(), &range)];
    let work = || {
        if let Some(place) = dst.bytes_mut().get_mut(range) {
            place.copy_from_slice(bytes);
        }
    };
    // SAFETY: as in `read`.
    unsafe { guarded(&guard, work) }.map_err(|gone| vanished(operation, gone))
}
