//! What a device with a timing model writes down while it works.
//!
//! An engine runs a descriptor on one thread from its beginning to its end, so what a descriptor meets is gathered with
//! that thread; only the cache and the finished entries are shared.

use std::cell::Cell;
use std::collections::VecDeque;

use idxd_spec::{Descriptor, Opcode, iaa};
use parking_lot::Mutex;

use super::cost::Met;
use super::{Served, Timing, TranslationCache};
use crate::{DeviceKind, PAGE_BYTES};

/// Entries kept at most; older ones go.
const ENTRIES_MAX: usize = 1 << 20;

thread_local! {
    static OPEN: Cell<Open> = const { Cell::new(Open::NOTHING) };
}

/// The descriptor this thread's engine is running.
#[derive(Clone, Copy)]
struct Open {
    met: Met,
    /// Members of the batch it is, so far.
    members: Option<Served>,
}

impl Open {
    const NOTHING: Self = Self {
        met: Met { bytes: 0, hits: 0, misses: 0, page_requests: 0, is_stopped: false },
        members: None,
    };
}

/// The book of one device.
pub(crate) struct Book {
    timing: Timing,
    cache: Mutex<TranslationCache>,
    entries: Mutex<VecDeque<Served>>,
}

fn meet(change: impl FnOnce(&mut Met)) {
    let mut open = OPEN.get();
    change(&mut open.met);
    OPEN.set(open);
}

impl Book {
    pub(crate) fn new(timing: Timing) -> Self {
        let cache = Mutex::new(TranslationCache::new(timing.translations));
        Self { timing, cache, entries: Mutex::default() }
    }

    /// The translations of a range were needed.
    pub(crate) fn translate(&self, addr: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut cache = self.cache.lock();
        let (mut hits, mut misses) = (0, 0);
        let last = addr.saturating_add(bytes - 1) / PAGE_BYTES;
        for page in addr / PAGE_BYTES..=last {
            if cache.look_up(page * PAGE_BYTES) { hits += 1 } else { misses += 1 }
        }
        drop(cache);
        meet(|met| {
            met.hits += hits;
            met.misses += misses;
        });
    }

    /// Data was worked on.
    pub(crate) fn moved(&self, bytes: u64) {
        meet(|met| met.bytes += bytes);
    }

    /// A page was asked for.
    pub(crate) fn requested(&self) {
        meet(|met| met.page_requests += 1);
    }

    /// The descriptor ended at an absent page.
    pub(crate) fn stopped(&self) {
        meet(|met| met.is_stopped = true);
    }

    /// A member of a batch has ended.
    pub(crate) fn end_member(&self) {
        let Open { met, members } = OPEN.replace(Open::NOTHING);
        let member = Served::operation(&self.timing, met.bytes).with(&self.timing, &met);
        let so_far = members.unwrap_or_default();
        OPEN.set(Open { members: Some(so_far.followed_by(&member)), ..Open::NOTHING });
    }

    /// The descriptor from the work queue has ended.
    pub(crate) fn end(&self, kind: DeviceKind, descriptor: &Descriptor) {
        let Open { met, members } = OPEN.replace(Open::NOTHING);
        let timing = &self.timing;
        let served = match (kind, descriptor.opcode(), members) {
            (DeviceKind::Dsa, Opcode::BATCH, members) => {
                Served::of_members(timing, &members.unwrap_or_default())
            }
            (DeviceKind::Iaa, Opcode::COMPRESS, _) => {
                let input = iaa::Descriptor::from_bytes(*descriptor.as_bytes()).src1_size();
                // One that ended at an absent page has done nothing else.
                Served::compression(timing, if met.is_stopped { 0 } else { input.into() })
            }
            (DeviceKind::Iaa, Opcode::DECOMPRESS, _) => Served::decompression(timing, met.bytes),
            _ => Served::operation(timing, met.bytes),
        };
        let mut entries = self.entries.lock();
        if entries.len() == ENTRIES_MAX {
            entries.pop_front();
        }
        entries.push_back(served.with(timing, &met));
    }

    /// Everything since the last time.
    pub(crate) fn take(&self) -> Vec<Served> {
        std::mem::take(&mut *self.entries.lock()).into()
    }
}
