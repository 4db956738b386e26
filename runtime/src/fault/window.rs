//! How far ahead of a fault to populate: like readahead, per operation.
//!
//! A transfer touches its range from one end to the other, so the page after a fault is about to be needed: the
//! window doubles with every fault that continues where the last window ended. Faults with present memory
//! between them say that the range is sparse, and a large window would mostly walk pages that are there: the
//! window shrinks. It never leaves the transfer, whose length bounds what is populated.

/// Smallest and largest window, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowBounds {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// The window of one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Bytes of the last window, 0 before the first.
    bytes: u64,
    /// Offset into the transfer at which it ended.
    end: u64,
}

impl Window {
    pub(crate) const fn new() -> Self {
        Self { bytes: 0, end: 0 }
    }

    /// Bytes to populate from `offset` on, for a fault at `offset` of a transfer.
    pub(crate) fn next(&mut self, offset: u64, bounds: WindowBounds) -> u64 {
        let sequential = offset.abs_diff(self.end) <= self.bytes;
        self.bytes = if self.bytes == 0 {
            bounds.min
        } else if sequential {
            self.bytes.saturating_mul(2).min(bounds.max)
        } else {
            (self.bytes / 4).max(bounds.min)
        };
        self.end = offset.saturating_add(self.bytes);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: WindowBounds = WindowBounds { min: 64 << 10, max: 8 << 20 };

    #[test]
    fn sequential_faults_double_the_window_up_to_its_bound() {
        let mut window = Window::new();
        let mut offset = 0;
        let mut rounds = 0;
        while offset < 1 << 30 {
            offset += window.next(offset, BOUNDS);
            rounds += 1;
        }
        // 64 KiB doubled seven times reaches 8 MiB; the rest of 1 GiB goes at 8 MiB a round.
        assert_eq!(rounds, 7 + ((1 << 30) - 127 * (64 << 10) as u64).div_ceil(8 << 20));
    }

    #[test]
    fn a_gap_of_present_pages_shrinks_the_window() {
        let mut window = Window::new();
        let mut offset = 0;
        for _ in 0..5 {
            offset += window.next(offset, BOUNDS);
        }
        let large = window.bytes;
        assert_eq!(window.next(offset + 64 * large, BOUNDS), large / 4);
        assert_eq!(window.next(1 << 40, BOUNDS), BOUNDS.min.max(large / 16));
    }
}
