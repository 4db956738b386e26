//! What a stream may refer back to and is no longer, or never was, in the caller's buffer.

use std::fmt;

/// The format's history.
pub(super) const BYTES: usize = 32 << 10;
/// Bytes behind the ring that nothing is in: [`Window::at_once`] has them behind what it gives.
pub(super) const PADDING: usize = 48;

/// The last bytes of a stream, in a ring.
#[derive(Clone)]
pub(super) struct Window {
    bytes: Box<[u8]>,
    /// Where the next byte goes.
    next: usize,
    /// How many there are.
    len: usize,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; BYTES + PADDING].into_boxed_slice(), next: 0, len: 0 }
    }

    pub(super) const fn clear(&mut self) {
        (self.next, self.len) = (0, 0);
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Adds `bytes`, the last of which remain.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(BYTES)..];
        let (first, second) = last.split_at(last.len().min(BYTES - self.next));
        self.bytes[self.next..self.next + first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        self.next = (self.next + last.len()) % BYTES;
        self.len = BYTES.min(self.len + last.len());
    }

    /// The `length` bytes from `back` bytes before the end on, with [`PADDING`] behind them. None: they are not in one piece
    /// here. `back` is [`len`](Self::len) at most.
    #[inline(always)]
    pub(super) fn at_once(&self, back: usize, length: usize) -> Option<&[u8]> {
        let from = (self.next + BYTES - back) % BYTES;
        if length > back || from + length > BYTES {
            return None;
        }
        self.bytes.get(from..from + length + PADDING)
    }

    /// Writes `length` bytes to `dst[out..]` as they are `distance` bytes before; what is before `dst` is here, and there is as
    /// much of it.
    #[cold]
    #[inline(never)]
    pub(super) fn repeat(&self, dst: &mut [u8], out: usize, distance: usize, length: usize) {
        let (mut out, end) = (out, out + length);
        while out < end && distance > out {
            let back = distance - out;
            let from = (self.next + BYTES - back) % BYTES;
            let bytes = back.min(end - out).min(BYTES - from);
            dst[out..out + bytes].copy_from_slice(&self.bytes[from..from + bytes]);
            out += bytes;
        }
        // What was just written may be what is repeated.
        while out < end {
            let bytes = distance.min(end - out);
            dst.copy_within(out - distance..out - distance + bytes, out);
            out += bytes;
        }
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("len", &self.len).finish_non_exhaustive()
    }
}
