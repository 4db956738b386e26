//! Translations the device keeps: what ATS is for.
//!
//! Entries carry the PASID and the privilege they were asked for with. They go when the IOMMU says so, when the device is
//! reset, and, the oldest first, when there are too many. Only what may be read is kept, and a page that was asked for
//! to be read says nothing about writing: the first write asks again.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use idxd_emu::Access;

use crate::machine::{Request, Translation};

/// Sizes of pages there can be, as shifts.
const SHIFTS: [u8; 3] = [12, 21, 30];

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    pasid: u32,
    privileged: bool,
    shift: u8,
    page: u64,
}

impl Key {
    fn new(request: &Request, shift: u8) -> Self {
        Self { pasid: request.pasid, privileged: request.privileged, shift, page: request.addr >> shift }
    }

    /// Whether a byte of the page is in the range.
    fn meets(&self, first: u64, last: u64) -> bool {
        let begin = self.page << self.shift;
        begin <= last && first <= begin | ((1 << self.shift) - 1)
    }
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Translation>,
    /// The keys of the entries, the oldest first.
    order: VecDeque<Key>,
}

pub(crate) struct DeviceTlb {
    entries_max: usize,
    state: Mutex<State>,
}

impl DeviceTlb {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries_max: entries_max.max(1), state: Mutex::new(State::default()) }
    }

    /// A translation that allows what is asked for.
    pub(crate) fn get(&self, request: &Request) -> Option<Translation> {
        let state = self.state.lock();
        let find = |shift: &u8| state.entries.get(&Key::new(request, *shift)).copied();
        SHIFTS.iter().find_map(find).filter(|found| found.writable || request.access == Access::Read)
    }

    /// Keeps a translation, in place of the one for the same page.
    pub(crate) fn insert(&self, request: &Request, translation: Translation) {
        if !SHIFTS.contains(&translation.shift) {
            return;
        }
        let key = Key::new(request, translation.shift);
        let mut state = self.state.lock();
        if state.entries.insert(key, translation).is_none() {
            state.order.push_back(key);
        }
        while state.order.len() > self.entries_max {
            let Some(oldest) = state.order.pop_front() else { return };
            state.entries.remove(&oldest);
        }
    }

    /// Forgets what covers any byte from `first` to `last`, of one PASID or of all.
    pub(crate) fn invalidate(&self, pasid: Option<u32>, first: u64, last: u64) {
        self.retain(|key| pasid.is_some_and(|pasid| pasid != key.pasid) || !key.meets(first, last));
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.retain(|_| false);
    }

    fn retain(&self, keeps: impl Fn(&Key) -> bool) {
        let mut state = self.state.lock();
        state.entries.retain(|key, _| keeps(key));
        state.order.retain(keeps);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.state.lock().entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pasid: u32, addr: u64) -> Request {
        Request { pasid, privileged: false, addr, access: Access::Read }
    }

    fn page(addr: u64, shift: u8, writable: bool) -> Translation {
        Translation { addr, shift, writable, target: 0 }
    }

    #[test]
    fn entry_is_for_its_page_its_pasid_and_its_privilege() {
        let tlb = DeviceTlb::new(8);
        tlb.insert(&read(5, 0x1234), page(0x9000, 12, true));
        assert_eq!(tlb.get(&read(5, 0x1fff)), Some(page(0x9000, 12, true)));
        assert_eq!([read(5, 0x2000), read(6, 0x1234)].map(|other| tlb.get(&other)), [None, None]);
        assert_eq!(tlb.get(&Request { privileged: true, ..read(5, 0x1234) }), None);
    }

    #[test]
    fn read_only_entry_does_not_answer_a_write_until_it_is_replaced() {
        let tlb = DeviceTlb::new(8);
        let write = Request { access: Access::Write, ..read(5, 0x1000) };
        tlb.insert(&read(5, 0x1000), page(0x9000, 12, false));
        assert_eq!(tlb.get(&write), None);
        tlb.insert(&write, page(0x9000, 12, true));
        assert_eq!((tlb.get(&write).is_some(), tlb.len()), (true, 1));
    }

    #[test]
    fn oldest_entry_makes_room() {
        let tlb = DeviceTlb::new(2);
        for addr in [0x1000, 0x2000, 0x3000] {
            tlb.insert(&read(1, addr), page(addr, 12, false));
        }
        let kept = [0x1000, 0x2000, 0x3000].map(|addr| tlb.get(&read(1, addr)).is_some());
        assert_eq!((kept, tlb.len()), ([false, true, true], 2));
    }

    #[test]
    fn invalidation_takes_what_meets_the_range_of_that_pasid() {
        let tlb = DeviceTlb::new(8);
        tlb.insert(&read(1, 0x1000), page(0x1000, 12, false));
        tlb.insert(&read(2, 0x1000), page(0x1000, 12, false));
        tlb.insert(&read(1, 0x20_0000), page(0x20_0000, 21, false));
        tlb.invalidate(Some(1), 0x3f_f000, 0x3f_ffff);
        assert_eq!((tlb.get(&read(1, 0x20_0000)), tlb.len()), (None, 2));
        tlb.invalidate(Some(1), 0x2000, 0x2fff);
        assert_eq!(tlb.len(), 2);
        tlb.invalidate(None, 0, u64::MAX);
        assert_eq!(tlb.len(), 0);
    }
}
