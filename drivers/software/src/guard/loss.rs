//! What was replaced lately, by any thread.
//!
//! Only the thread that touches a vanished page first gets a signal: the next one to read it finds zeros and would
//! think nothing of it. So each replacement is entered here before the pages change, and a guard looks at the end
//! whether any entry made since its start touches its ranges.
//!
//! Writers are signal handlers, so this is a ring without locks. A guard that was overtaken by more entries than the
//! ring holds cannot know what the lost ones said, and reports a loss rather than miss one.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use super::page;

/// Entries kept. A truncated map makes two dozen.
const ENTRIES: usize = 512;

/// The number of the next entry.
static NEXT: AtomicUsize = AtomicUsize::new(0);
static RING: [Entry; ENTRIES] = [const { Entry::new() }; ENTRIES];

/// One replacement, guarded by its stamp as a sequence lock: odd while entry n is written, `2 * n + 2` after.
struct Entry {
    stamp: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
}

impl Entry {
    const fn new() -> Self {
        Self { stamp: AtomicUsize::new(0), start: AtomicUsize::new(0), end: AtomicUsize::new(0) }
    }

    /// Entry `number`, if this still or already is it.
    fn read(&self, number: usize) -> Read {
        let complete = 2 * number + 2;
        let stamp = self.stamp.load(Ordering::Acquire);
        if stamp < complete {
            return Read::Unwritten;
        }
        let pages = self.start.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if self.stamp.load(Ordering::Relaxed) == complete { Read::Lost(pages) } else { Read::Overwritten }
    }
}

/// What became of an entry.
enum Read {
    /// Its writer is about to write it, and to replace the pages after that: nobody has read a zero there yet.
    Unwritten,
    Lost(Range<usize>),
    Overwritten,
}

/// The moment to hand to [`since`].
pub(super) fn now() -> usize {
    NEXT.load(Ordering::SeqCst)
}

/// Enters `pages`, which are about to be replaced. For signal handlers.
pub(super) fn record(pages: &Range<usize>) {
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let entry = &RING[number % ENTRIES];
    entry.stamp.store(2 * number + 1, Ordering::Relaxed);
    fence(Ordering::Release);
    entry.start.store(pages.start, Ordering::Relaxed);
    entry.end.store(pages.end, Ordering::Relaxed);
    entry.stamp.store(2 * number + 2, Ordering::SeqCst);
}

/// The first address of `ranges` that was replaced since `moment`.
pub(super) fn since(moment: usize, ranges: &[Range<usize>]) -> Option<usize> {
    let now = now();
    if now - moment > ENTRIES {
        return ranges.first().map(|range| range.start);
    }
    (moment..now).find_map(|number| match RING[number % ENTRIES].read(number) {
        Read::Unwritten => None,
        Read::Lost(pages) => ranges.iter().find_map(|range| overlap(range, &pages)),
        Read::Overwritten => ranges.first().map(|range| range.start),
    })
}

/// The first address of `range` that is in `pages`. The pages of a range count whole, as they vanish whole.
fn overlap(range: &Range<usize>, pages: &Range<usize>) -> Option<usize> {
    let cover = page::cover(range);
    let overlaps = cover.start < pages.end && pages.start < cover.end;
    overlaps.then(|| range.start.max(pages.start))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::single_range_in_vec_init, reason = "a list of ranges may have one")]

    use super::*;

    // Addresses no map has, so that guards in other tests do not mind.
    const PAGE: usize = 1 << 40;

    #[test]
    fn entry_since_the_moment_is_found_by_its_page() {
        let moment = now();
        record(&(PAGE * 7..PAGE * 7 + 4096));
        assert_eq!(since(moment, &[PAGE * 7 + 100..PAGE * 7 + 200]), Some(PAGE * 7 + 100));
        assert_eq!(since(moment, &[PAGE * 6..PAGE * 6 + 1, PAGE * 7 - 10..PAGE * 8]), Some(PAGE * 7));
        assert_eq!(since(moment, &[PAGE * 7 + 8192..PAGE * 7 + 9000]), None);
        assert_eq!(since(now(), &[PAGE * 7..PAGE * 7 + 200]), None);
    }

    #[test]
    fn entry_read_for_a_later_number_is_unwritten_and_for_an_earlier_one_overwritten() {
        let entry = Entry::new();
        assert!(matches!(entry.read(0), Read::Unwritten));
        entry.stamp.store(2 * ENTRIES + 2, Ordering::Relaxed);
        assert!(matches!(entry.read(ENTRIES), Read::Lost(_)));
        assert!(matches!(entry.read(0), Read::Overwritten));
        assert!(matches!(entry.read(2 * ENTRIES), Read::Unwritten));
    }
}
