//! How far ahead of a fault to populate: like readahead, per stream.
//!
//! A transfer touches its range from one end to the other, so the page after a fault is about to be needed: the
//! window starts at a few pages and doubles with every fault that continues where the last window ended. A fault
//! somewhere else says that the pattern is not what it seemed, and the window starts again. It never leaves the
//! transfer, so nothing is populated that was not asked for.
//!
//! A program that works through memory in many transfers faults once or twice in each, and a window of its own would
//! start small in every one; and a driver may work on several parts of one transfer at once. So a fault where a window
//! ended goes on with that window, whichever part or transfer it was given to: [`Streams`] remembers such ends.

use crate::address::{Access, VirtAddr};

/// Smallest and largest window, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowBounds {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// What the kernel maps around a fault by itself, of files that are in memory (its fault-around). A fault so far behind a
/// window goes on with it: a window that is smaller would never grow.
const NEIGHBOURS_BYTES: u64 = 64 << 10;

/// A huge page.
const HUGE_BYTES: u64 = 2 << 20;

/// The window of one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Bytes of the last window, 0 before the first.
    bytes: u64,
    /// Offset into the transfer at which it ended.
    end: u64,
    /// No window is larger: pages went away before the device came to them.
    cap: u64,
}

impl Window {
    pub(crate) const fn new() -> Self {
        Self { bytes: 0, end: 0, cap: u64::MAX }
    }

    /// Goes on with a window that ended here, for a fault at `offset`.
    pub(crate) const fn inherit(&mut self, bytes: u64, offset: u64) {
        self.bytes = bytes;
        self.end = offset;
    }

    /// Bytes to populate from `offset` on, for a fault at `offset` of a transfer, which is at `addr`.
    pub(crate) fn next(&mut self, offset: u64, addr: VirtAddr, bounds: WindowBounds) -> u64 {
        let sequential = offset.abs_diff(self.end) <= self.bytes.max(NEIGHBOURS_BYTES);
        self.bytes = if self.bytes != 0 && sequential { self.bytes.saturating_mul(2) } else { bounds.min };
        self.bytes = self.bytes.min(bounds.max).min(self.cap).max(bounds.min.min(self.cap));
        let bytes = self.until_a_huge_page(addr);
        self.end = offset.saturating_add(bytes);
        bytes
    }

    /// A large window ends where a huge page does: half of one now is half of a fault for all of it later, and with
    /// transparent huge pages the kernel makes the whole of it present anyway.
    fn until_a_huge_page(&self, addr: VirtAddr) -> u64 {
        let over = addr.get().wrapping_add(self.bytes) % HUGE_BYTES;
        if self.bytes >= HUGE_BYTES && over < self.bytes { self.bytes - over } else { self.bytes }
    }

    /// What was populated went away before the device came to it: look less far ahead from now on.
    pub(crate) fn shrink(&mut self, bounds: WindowBounds) {
        self.cap = (self.bytes.min(self.cap) / 4).max(crate::address::PAGE_BYTES).min(bounds.max);
        self.bytes = self.bytes.min(self.cap);
    }

    /// Another transfer begins. What was learned about memory that goes away stays.
    pub(crate) const fn forget(&mut self) {
        (self.bytes, self.end) = (0, 0);
    }

    /// What another transfer may go on with.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Streams remembered at once.
const STREAMS: usize = 64;

/// Where windows ended of late, most recent first.
#[derive(Debug)]
pub(crate) struct Streams {
    ends: [Option<End>; STREAMS],
}

#[derive(Clone, Copy, Debug)]
struct End {
    addr: VirtAddr,
    access: Access,
    bytes: u64,
}

impl Streams {
    pub(crate) const fn new() -> Self {
        Self { ends: [None; STREAMS] }
    }

    /// The window of the stream that a fault at `addr` continues, if it continues one.
    pub(crate) fn continued(&self, addr: VirtAddr, access: Access) -> Option<u64> {
        self.ends.iter().flatten().find(|end| end.is_continued(addr, access)).map(|end| end.bytes)
    }

    /// A fault at `addr` was given a window of `bytes`, which ended at `end`.
    pub(crate) fn note(&mut self, addr: VirtAddr, end: VirtAddr, access: Access, bytes: u64) {
        let is_it = |end: &Option<End>| end.is_some_and(|end| end.is_continued(addr, access));
        let at = self.ends.iter().position(is_it).unwrap_or(STREAMS - 1);
        self.ends[..=at].rotate_right(1);
        self.ends[0] = Some(End { addr: end, access, bytes });
    }
}

impl End {
    /// Whether a fault goes on here. Not quite at the end is good enough: pages in between may have been there.
    fn is_continued(&self, addr: VirtAddr, access: Access) -> bool {
        let gap = addr.get().wrapping_sub(self.addr.page().get());
        self.access == access && gap <= self.bytes.max(NEIGHBOURS_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: WindowBounds = WindowBounds { min: 16 << 10, max: 8 << 20 };
    const BASE: VirtAddr = VirtAddr::new(0x7f00_0000_0000);

    fn next(window: &mut Window, offset: u64) -> u64 {
        window.next(offset, BASE.add(offset), BOUNDS)
    }

    #[test]
    fn sequential_faults_double_the_window_up_to_its_bound() {
        let mut window = Window::new();
        let mut offset = 0;
        let mut rounds = 0;
        while offset < 1 << 30 {
            offset += next(&mut window, offset);
            rounds += 1;
        }
        // 16 KiB doubled nine times reaches 8 MiB; the rest of 1 GiB goes at 8 MiB a round, but for what huge pages
        // take off.
        let least = 9 + ((1 << 30) - 511 * (16 << 10) as u64).div_ceil(8 << 20);
        assert!((least..least + 3).contains(&rounds), "{rounds} rounds");
    }

    /// As for a file in memory, of which the kernel maps 64 KiB around each fault.
    #[test]
    fn windows_grow_past_what_the_kernel_brings_by_itself() {
        let mut window = Window::new();
        let (mut offset, mut rounds) = (0_u64, 0);
        while offset < 32 << 20 {
            let end = offset + next(&mut window, offset);
            offset = end.next_multiple_of(NEIGHBOURS_BYTES);
            rounds += 1;
        }
        assert!(rounds < 16, "{rounds} rounds");
    }

    #[test]
    fn a_fault_elsewhere_starts_again() {
        let mut window = Window::new();
        let mut offset = 0;
        for _ in 0..5 {
            offset += next(&mut window, offset);
        }
        assert_eq!(next(&mut window, offset + (64 << 20)), BOUNDS.min);
        assert_eq!(next(&mut window, 1 << 40), BOUNDS.min);
    }

    #[test]
    fn large_windows_end_with_a_huge_page() {
        let mut window = Window::new();
        let mut offset = 0;
        for round in 0..40 {
            let bytes = window.next(offset, BASE.add(0x5000 + offset), BOUNDS);
            assert!(bytes <= BOUNDS.max && bytes != 0);
            offset += bytes;
            if round > 12 {
                assert_eq!((BASE.get() + 0x5000 + offset) % HUGE_BYTES, 0, "round {round}");
            }
        }
    }

    #[test]
    fn pages_that_go_away_shrink_the_window_for_good() {
        let mut window = Window::new();
        let mut offset = 0;
        for _ in 0..8 {
            offset += next(&mut window, offset);
        }
        let large = window.bytes();
        window.shrink(BOUNDS);
        for _ in 0..4 {
            let bytes = next(&mut window, offset);
            assert!(bytes <= large / 4, "{bytes}");
            offset += bytes;
        }
        for _ in 0..20 {
            window.shrink(BOUNDS);
        }
        assert_eq!(next(&mut window, offset), 4096);
    }

    #[test]
    fn a_transfer_goes_on_with_the_window_of_the_one_before() {
        let mut streams = Streams::new();
        let end = BASE.add(1 << 20);
        streams.note(BASE, end, Access::Write, 512 << 10);
        assert_eq!(streams.continued(end, Access::Write), Some(512 << 10));
        assert_eq!(streams.continued(end, Access::Read), None);
        assert_eq!(streams.continued(end.add(1 << 30), Access::Write), None);
        assert_eq!(streams.continued(BASE, Access::Write), None, "backwards is another stream");
    }

    /// A stream is one entry however long it is, and many others push it out only when it is quiet.
    #[test]
    fn streams_are_bounded() {
        let mut streams = Streams::new();
        let (mut at, far) = (BASE, |n: u64| VirtAddr::new(n << 40));
        for n in 0..100 {
            streams.note(at, at.add(4096), Access::Read, 4096);
            at = at.add(4096);
            for other in 0..STREAMS as u64 - 1 {
                streams.note(far(n * 100 + other), far(n * 100 + other).add(1), Access::Read, 4096);
            }
            assert!(streams.continued(at, Access::Read).is_some(), "round {n}");
        }
    }
}
