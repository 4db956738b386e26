//! Which parts of the arena are free: first fit, in pages, neighbours joined.

use std::collections::BTreeMap;

/// Smallest unit, in bytes.
pub(super) const UNIT: u64 = 4096;

/// Free ranges: offset to length.
#[derive(Debug)]
pub(super) struct Free(BTreeMap<u64, u64>);

impl Free {
    pub(super) fn new(bytes: u64) -> Self {
        Self(BTreeMap::from([(0, bytes)]))
    }

    /// Takes `bytes`, a multiple of the unit, at a multiple of `align`.
    pub(super) fn take(&mut self, bytes: u64, align: u64) -> Option<u64> {
        let (start, len, at) = self.0.iter().find_map(|(&start, &len)| {
            let at = start.next_multiple_of(align);
            (at + bytes <= start + len).then_some((start, len, at))
        })?;
        self.0.remove(&start);
        if at > start {
            self.0.insert(start, at - start);
        }
        if at + bytes < start + len {
            self.0.insert(at + bytes, start + len - at - bytes);
        }
        Some(at)
    }

    /// Gives back what was taken.
    pub(super) fn give(&mut self, at: u64, bytes: u64) {
        let (mut start, mut end) = (at, at + bytes);
        if let Some((&before, &len)) = self.0.range(..at).next_back()
            && before + len == at
        {
            self.0.remove(&before);
            start = before;
        }
        if let Some(len) = self.0.remove(&end) {
            end += len;
        }
        self.0.insert(start, end - start);
    }

    /// Bytes that are free.
    pub(super) fn bytes(&self) -> u64 {
        self.0.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_joins_its_neighbours() {
        let mut free = Free::new(16 * UNIT);
        let parts: Vec<_> = (0..4).map(|_| free.take(4 * UNIT, UNIT).expect("room")).collect();
        assert_eq!(free.take(UNIT, UNIT), None);
        for at in [parts[1], parts[3], parts[2], parts[0]] {
            free.give(at, 4 * UNIT);
        }
        assert_eq!(free.bytes(), 16 * UNIT);
        assert_eq!(free.take(16 * UNIT, UNIT), Some(0), "one piece again");
    }

    #[test]
    fn alignment_leaves_the_gap_free() {
        let mut free = Free::new(16 * UNIT);
        assert_eq!(free.take(UNIT, UNIT), Some(0));
        assert_eq!(free.take(4 * UNIT, 4 * UNIT), Some(4 * UNIT));
        assert_eq!(free.take(3 * UNIT, UNIT), Some(UNIT));
        assert_eq!(free.bytes(), 8 * UNIT);
    }
}
