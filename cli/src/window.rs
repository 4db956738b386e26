//! How much of a file is mapped at a time.
//!
//! Pages of a map count as the process's memory once they were touched, so the bound of the whole is: windows in
//! flight, times files, times their size. A copy has 2 x 2 x 32 MiB = 128 MiB mapped at most.

use std::ops::Range;

/// Bytes of a window: a multiple of any page and of a fill's pattern.
pub(crate) const WINDOW_BYTES: u64 = 32 << 20;

/// Windows in flight, so that one is worked on while another is mapped or given back.
pub(crate) const WINDOWS_IN_FLIGHT: usize = 2;

/// Cuts `len` bytes into pieces of `piece_bytes`; the last may be shorter.
pub(crate) fn windows(len: u64, piece_bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == len {
            return None;
        }
        let end = len.min(start.saturating_add(piece_bytes));
        let window = start..end;
        start = end;
        Some(window)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn windows_cover_each_byte_once(len in 0_u64..10_000, piece_bytes in 1_u64..5000) {
            let mut at = 0;
            for window in windows(len, piece_bytes) {
                prop_assert_eq!(window.start, at);
                prop_assert!(window.end > at && window.end - at <= piece_bytes);
                at = window.end;
            }
            prop_assert_eq!(at, len);
        }
    }

    #[test]
    fn the_largest_file_ends() {
        let last = windows(u64::MAX, 1 << 62).last();
        assert_eq!(last, Some((3 << 62)..u64::MAX));
    }
}
