//! What the driver itself reads of what a job has been lent.
//!
//! UNSAFETY: makes a slice of an address in a job.
#![expect(unsafe_code, reason = "jobs name what they are lent by addresses")]

use svala::Span;

/// The bytes of a span that is the runtime's own memory, not a caller's map.
///
/// # Safety
///
/// They are there, and nobody writes them, for as long as the slice lives.
pub(super) unsafe fn bytes<'b>(span: Span) -> &'b [u8] {
    let (Ok(addr), Ok(len)) = (usize::try_from(span.addr.get()), usize::try_from(span.len)) else {
        return &[];
    };
    if len == 0 {
        return &[];
    }
    // SAFETY: the caller's contract; the address was exposed when it was taken.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(addr), len) }
}
