//! What compressor and decompressor both know before a stream begins.

use std::fmt;
use std::sync::Arc;

use crate::address::{Span, VirtAddr};

/// Bytes that a stream is taken to follow: it may refer to them, and they are not in it.
///
/// Of more than 32 KiB the last are kept: nothing of a stream reaches further back. Cheap to clone.
///
/// ```
/// # use svala::Dictionary;
/// let dictionary = Dictionary::new(*b"swallow, queue, descriptor");
/// assert_eq!(dictionary.as_bytes().len(), 26);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Dictionary {
    bytes: Arc<[u8]>,
}

impl Dictionary {
    /// Most bytes that are kept.
    pub const BYTES_MAX: usize = 32 << 10;
    /// Least bytes that an IAA compresses with.
    pub const DEVICE_BYTES_MIN: usize = 2048;

    /// A dictionary of these bytes; what is most likely to occur goes last.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        Self { bytes: bytes[bytes.len().saturating_sub(Self::BYTES_MAX)..].into() }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where they are, for a job: while it is under way, some clone of this has to live.
    pub fn span(&self) -> Span {
        Span::new(VirtAddr::of(self.bytes.as_ptr()), self.bytes.len() as u64)
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dictionary({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_32_kib_are_kept() {
        let bytes: Vec<u8> = (0..40_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        assert_eq!(Dictionary::new(&bytes).as_bytes(), &bytes[40_000 - 32_768..]);
        assert_eq!(Dictionary::new([]).span().len, 0);
    }
}
