//! The memory of operations: large pieces that are cut into page-aligned buffers.

use bytes::BytesMut;
use svala::PAGE_BYTES;

const PAGE: usize = 4096;
const _: () = assert!(PAGE as u64 == PAGE_BYTES);

/// The allocator hands out fresh pages of the kernel for what is as large as this, never memory that was used before:
/// the threshold of the C library's allocator ends here (`M_MMAP_THRESHOLD_MAX`).
const FRESH_BYTES: usize = 33 << 20;

/// Memory of which nobody has touched a byte, cut off piece by piece.
pub(super) struct Arena(BytesMut);

impl Arena {
    /// Room for `bytes`, each piece of which may take a page more than it is long.
    pub(super) fn new(bytes: usize) -> Self {
        let mut all = BytesMut::zeroed(bytes.max(FRESH_BYTES) + PAGE);
        let odd = all.as_ptr().addr() % PAGE;
        if odd != 0 {
            let _ = all.split_to(PAGE - odd);
        }
        Self(all)
    }

    /// A piece that begins at a page; none if there is no room.
    pub(super) fn cut(&mut self, bytes: usize) -> Option<BytesMut> {
        let taken = bytes.next_multiple_of(PAGE);
        if taken > self.0.len() {
            return None;
        }
        let mut piece = self.0.split_to(taken);
        piece.truncate(bytes);
        Some(piece)
    }
}

/// Something between text and noise, the same each time: what compression can do something with.
pub(super) fn fill(buffer: &mut [u8], seed: u64) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ seed;
    for chunk in buffer.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Half of the words are one of sixteen.
        let word = if state & 1 == 0 { state } else { (state >> 60).wrapping_mul(0x0101_0101_0101_0101) };
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}

/// Bytes that programs can still take, as the kernel estimates it.
pub(super) fn available_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_begin_at_pages_and_end() {
        let mut arena = Arena::new(0);
        let mut pieces = 0;
        while let Some(piece) = arena.cut(5000) {
            assert!(piece.as_ptr().addr().is_multiple_of(PAGE) && piece.len() == 5000);
            pieces += 1;
        }
        assert_eq!(pieces, FRESH_BYTES / (2 * PAGE));
    }
}
