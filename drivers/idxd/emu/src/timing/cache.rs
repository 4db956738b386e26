//! The address translation cache: which pages a device need not ask about.

use std::collections::{BTreeMap, HashMap};

use crate::PAGE_BYTES;

/// Pages whose translation a device keeps; the one that was unused longest goes first.
///
/// It does not see invalidations: a page that was given back and came again is found, where silicon would ask anew.
#[derive(Clone, Debug)]
pub struct TranslationCache {
    entries: usize,
    now: u64,
    /// By page, when it was last used.
    used: HashMap<u64, u64>,
    /// The same by time.
    order: BTreeMap<u64, u64>,
}

impl TranslationCache {
    /// Room for this many translations, at least one.
    pub fn new(entries: usize) -> Self {
        Self { entries: entries.max(1), now: 0, used: HashMap::new(), order: BTreeMap::new() }
    }

    /// Whether the translation of the page of `addr` is kept. Afterwards it is.
    pub fn look_up(&mut self, addr: u64) -> bool {
        let page = addr / PAGE_BYTES;
        self.now += 1;
        self.order.insert(self.now, page);
        let before = self.used.insert(page, self.now);
        if let Some(before) = before {
            self.order.remove(&before);
        } else if self.used.len() > self.entries
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.used.remove(&oldest);
        }
        before.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_unused_longest_goes_first() {
        let mut cache = TranslationCache::new(2);
        let mut look_up = |page: u64| cache.look_up(page * PAGE_BYTES + 17);
        assert_eq!([look_up(1), look_up(2), look_up(1)], [false, false, true]);
        // Page 2 is the older one now.
        assert_eq!([look_up(3), look_up(1), look_up(2)], [false, true, false]);
    }
}
