//! A stream by libdeflate, which is the fastest, but needs it whole: all input, and room for all output.
//!
//! It is believed only where the stream's own checksum agrees. libdeflate reads symbols that nobody defined as if they were
//! others (lengths 286 and 287, distances 30 and 31, the codeword that a code of a single one leaves over), where zlib
//! refuses the stream; and it does not say where a broken stream is broken, nor whether it is cut. So whatever else comes
//! out, zlib-rs goes over the stream again, and its answer is the one that counts.
//!
//! It cannot be interrupted either, so it is given [`BYTES_MAX`] at most. That memory changes meanwhile, because it
//! vanished, does not matter to it: it reads each byte of the input once, and what it reads of the output is bytes.
//!
//! UNSAFETY: calls a C library with slices: its safe wrapper does not say where in the input a stream ends.
#![expect(unsafe_code, reason = "calls a C library")]

use std::fmt;
use std::ptr::NonNull;

use libdeflate_sys as sys;

use crate::deflate::deflate_bound;
use crate::frame::CheckKind;

/// Most output, and input accordingly: some 15 ms.
pub(super) const BYTES_MAX: usize = 8 << 20;
/// Of the checksum that follows a stream.
const CHECK_BYTES: usize = 4;

/// What was expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// Bytes of the stream.
    pub(super) read: usize,
    /// Bytes of output.
    pub(super) written: usize,
    /// Their checksum.
    pub(super) check: u32,
}

/// A decompressor for whole streams. Allocates when made.
///
/// # Invariants
///
/// `state` is a decompressor of libdeflate's that nobody else has.
pub(super) struct Whole {
    state: NonNull<sys::libdeflate_decompressor>,
}

// SAFETY: by the invariant nobody else has the decompressor, and it belongs to no thread.
unsafe impl Send for Whole {}
// SAFETY: nothing can be done with a shared reference to it.
unsafe impl Sync for Whole {}

impl Whole {
    pub(super) fn new() -> Self {
        // SAFETY: takes nothing.
        let state = unsafe { sys::libdeflate_alloc_decompressor() };
        // INVARIANT: it is new.
        Self { state: NonNull::new(state).expect("memory for a decompressor") }
    }

    /// Expands the stream at the start of `src` into `dst`, if the checksum of `kind` that follows it is the output's.
    ///
    /// None: it is not, or is none, or the stream is too large, broken, cut or longer than `dst`.
    pub(super) fn inflate(&mut self, src: &[u8], dst: &mut [u8], kind: CheckKind) -> Option<Expanded> {
        if kind == CheckKind::None || dst.len() > BYTES_MAX {
            return None;
        }
        let input = &src[..src.len().min(deflate_bound(BYTES_MAX))];
        let (read, written) = self.expand(input, dst)?;
        let follows: [u8; CHECK_BYTES] = *src.get(read..)?.first_chunk()?;
        let check = kind.chain(kind.start(), dst.get(..written)?);
        let stored = match kind {
            CheckKind::Crc32 => u32::from_le_bytes(follows),
            CheckKind::Adler32 => u32::from_be_bytes(follows),
            CheckKind::None => return None,
        };
        (stored == check).then_some(Expanded { read, written, check })
    }

    /// Bytes read and written, if that is a stream, and fits.
    fn expand(&mut self, src: &[u8], dst: &mut [u8]) -> Option<(usize, usize)> {
        let (mut read, mut written) = (0, 0);
        // SAFETY: `state` is a decompressor, by the invariant; each pointer has as many bytes behind it as its length says,
        // those of `src` readable and those of `dst` writable, for as long as the call takes.
        let result = unsafe {
            sys::libdeflate_deflate_decompress_ex(
                self.state.as_ptr(),
                src.as_ptr().cast(),
                src.len(),
                dst.as_mut_ptr().cast(),
                dst.len(),
                &raw mut read,
                &raw mut written,
            )
        };
        (result == sys::libdeflate_result_LIBDEFLATE_SUCCESS).then_some((read, written))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // SAFETY: it is a decompressor that nobody else has, by the invariant, and this is its end.
        unsafe { sys::libdeflate_free_decompressor(self.state.as_ptr()) };
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole").finish_non_exhaustive()
    }
}
