//! Performance counters (DSA chapter 6): which events are counted, by whom, and what an overflow does.
//!
//! A device that nobody watches pays one load for each event.

use std::sync::atomic::{AtomicU32, Ordering};

use idxd_spec::Opcode;
use idxd_spec::register::perfmon::{
    CNTRCFG, CNTRDATA, Category, CntrCfg, EVNTCAP, FLTCFG, FLTCFG_STRIDE, Filter, OVFSTATUS, PERFCAP,
    PERFFRZ, PERFRST, PerfCap, PerfRst, event, size_range,
};
use parking_lot::Mutex;

use crate::index::{index, low_half};
use crate::{DeviceKind, Version};

/// Counters.
const COUNTERS: usize = 8;
/// Bits of a counter.
const WIDTH: u8 = 48;
/// The largest count.
const COUNT_MAX: u64 = (1 << WIDTH) - 1;

/// The events of each category that the model counts, all of them architectural (appendix D.1). The others are not
/// shown, and asking for them counts nothing (§6.1).
fn events(kind: DeviceKind, version: Version) -> [u32; Category::COUNT] {
    let second = version >= Version::V2;
    let submissions = 0x3f | if second { event::WQ_DISCARD } else { 0 };
    let engine = 0x2f | if kind == DeviceKind::Dsa { event::DESC_FROM_BATCH } else { 0 };
    let translation = event::PRS_SUCCESS | event::PRS_INVALID;
    let operations = |category| {
        let is_one = |code: &u8| operation(Opcode(*code), version).is_some_and(|(of, _)| of == category);
        let bits = (0..=u8::MAX).filter(is_one).filter_map(|code| operation(Opcode(code), version));
        if kind == DeviceKind::Dsa { bits.fold(0, |events, (_, bit)| events | bit) } else { 0 }
    };
    [
        submissions,
        engine,
        translation,
        operations(Category::Operations),
        0x3f,
        operations(Category::Operations2),
    ]
}

/// The event of an operation of a DSA.
fn operation(opcode: Opcode, version: Version) -> Option<(Category, u32)> {
    const FIRST: [Opcode; 17] = [
        Opcode::NOOP,
        Opcode::BATCH,
        Opcode::DRAIN,
        Opcode::MEMMOVE,
        Opcode::FILL,
        Opcode::COMPARE,
        Opcode::COMPARE_PATTERN,
        Opcode::CREATE_DELTA,
        Opcode::APPLY_DELTA,
        Opcode::DUALCAST,
        Opcode::CRC,
        Opcode::COPY_CRC,
        Opcode::DIF_CHECK,
        Opcode::DIF_INSERT,
        Opcode::DIF_STRIP,
        Opcode::DIF_UPDATE,
        Opcode::CACHE_FLUSH,
    ];
    if let Some(at) = FIRST.iter().position(|first| *first == opcode) {
        return Some((Category::Operations, 1 << at));
    }
    let (category, bit, since) = match opcode {
        Opcode::TRANSLATION_FETCH => (Category::Operations, 0x2_0000, Version::V2),
        Opcode::DIX_GENERATE => (Category::Operations, 0x4_0000, Version::V2),
        Opcode::INTER_DOMAIN_COPY => (Category::Operations2, 0x1, Version::V2),
        Opcode::INTER_DOMAIN_FILL => (Category::Operations2, 0x2, Version::V2),
        Opcode::INTER_DOMAIN_COMPARE => (Category::Operations2, 0x4, Version::V2),
        Opcode::INTER_DOMAIN_COMPARE_PATTERN => (Category::Operations2, 0x8, Version::V2),
        Opcode::UPDATE_WINDOW => (Category::Operations2, 0x400, Version::V2),
        Opcode::TYPE_CONVERSION => (Category::Operations2, 0x800, Version::V3),
        Opcode::REDUCE => (Category::Operations2, 0x1000, Version::V3),
        Opcode::REDUCE_DUALCAST => (Category::Operations2, 0x2000, Version::V3),
        Opcode::GATHER_REDUCE => (Category::Operations2, 0x4000, Version::V3),
        Opcode::GATHER_COPY => (Category::Operations2, 0x8000, Version::V3),
        Opcode::SCATTER_COPY => (Category::Operations2, 0x1_0000, Version::V3),
        Opcode::SCATTER_FILL => (Category::Operations2, 0x2_0000, Version::V3),
        _ => return None,
    };
    (version >= since).then_some((category, bit))
}

/// What PERFCAP says. The fifth category came with version 2, and so did the filter for PASIDs.
pub(crate) fn perf_cap(_kind: DeviceKind, version: Version) -> PerfCap {
    let second = version >= Version::V2;
    let filters = [Filter::WorkQueue, Filter::TransferSize, Filter::Engine];
    let filters = filters.iter().fold(0, |bits, filter| bits | 1 << *filter as u8);
    PerfCap(0)
        .with_counters(COUNTERS.to_le_bytes()[0])
        .with_counter_width(WIDTH)
        .with_categories(if second { 6 } else { 5 })
        .with_global_categories(if second { 0x3f } else { 0x1f })
        .with_filters(if second { filters | 1 << Filter::Pasid as u8 } else { filters })
        .with_writeable_while_enabled(true)
        .with_freeze(true)
        .with_overflow_interrupt(true)
}

/// What an event was about. A filter for something that is not known here lets the event pass (§6.5).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) queue: Option<usize>,
    pub(crate) bytes: Option<u64>,
    pub(crate) engine: Option<usize>,
    /// The PASID, or that there was none.
    pub(crate) pasid: Option<Option<u32>>,
}

#[derive(Clone, Copy)]
struct Counter {
    config: CntrCfg,
    count: u64,
    filters: [u32; Filter::COUNT],
}

const FILTERS: [Filter; Filter::COUNT] = [
    Filter::WorkQueue,
    Filter::TrafficClass,
    Filter::PageSize,
    Filter::TransferSize,
    Filter::Engine,
    Filter::Pasid,
];

impl Default for Counter {
    fn default() -> Self {
        Self { config: CntrCfg(0), count: 0, filters: FILTERS.map(Filter::open) }
    }
}

impl Counter {
    fn passes(&self, sample: &Sample) -> bool {
        let bit = |filter: Filter, at: Option<usize>| {
            at.is_none_or(|at| at < 32 && self.filters[filter as usize] >> at & 1 != 0)
        };
        let size = sample
            .bytes
            .is_none_or(|bytes| self.filters[Filter::TransferSize as usize] & size_range(bytes) != 0);
        let pasid = self.filters[Filter::Pasid as usize];
        let pasid = sample.pasid.is_none_or(|known| match pasid >> 20 {
            0 => known == Some(pasid & 0xf_ffff),
            1 => known.is_some(),
            2 => known.is_none(),
            _ => true,
        });
        bit(Filter::WorkQueue, sample.queue) && bit(Filter::Engine, sample.engine) && size && pasid
    }
}

#[derive(Default)]
struct State {
    counters: [Counter; COUNTERS],
    overflowed: u32,
    frozen: u32,
}

pub(crate) struct Perfmon {
    cap: PerfCap,
    version: Version,
    events: [u32; Category::COUNT],
    /// A bit for each category that some counter counts now.
    watched: AtomicU32,
    state: Mutex<State>,
}

impl Perfmon {
    pub(crate) fn new(kind: DeviceKind, version: Version) -> Self {
        Self {
            cap: perf_cap(kind, version),
            version,
            events: events(kind, version),
            watched: AtomicU32::new(0),
            state: Mutex::new(State::default()),
        }
    }

    /// Whether anybody counts events of `category`.
    pub(crate) fn watches(&self, category: Category) -> bool {
        self.watched.load(Ordering::Relaxed) >> category as u32 & 1 != 0
    }

    /// Counts the operation of a descriptor.
    pub(crate) fn count_operation(&self, opcode: Opcode, sample: &Sample) -> bool {
        match operation(opcode, self.version) {
            Some((category, event)) => self.count(category, event, 1, sample),
            None => false,
        }
    }

    /// Counts `amount` events. Says whether an interrupt is to be raised.
    pub(crate) fn count(&self, category: Category, event: u32, amount: u64, sample: &Sample) -> bool {
        if !self.watches(category) || self.events[category as usize] & event == 0 {
            return false;
        }
        let mut state = self.state.lock();
        let mut interrupts = false;
        for at in 0..COUNTERS {
            let State { counters, frozen, overflowed } = &mut *state;
            let counter = &mut counters[at];
            let config = counter.config;
            let counts =
                config.enable() && config.category() == category as u8 && config.events() & event != 0;
            if !counts || *frozen >> at & 1 != 0 || !counter.passes(sample) {
                continue;
            }
            let sum = counter.count.wrapping_add(amount);
            counter.count = sum & COUNT_MAX;
            if sum <= COUNT_MAX {
                continue;
            }
            *overflowed |= 1 << at;
            interrupts |= config.overflow_interrupt();
            if config.global_freeze() {
                *frozen = (1 << COUNTERS) - 1;
            }
        }
        self.note(&state);
        interrupts
    }

    /// The 8 bytes at `offset` of the table, a multiple of 8.
    pub(crate) fn word(&self, offset: u64) -> u64 {
        let state = self.state.lock();
        match offset {
            PERFCAP => self.cap.0,
            PERFFRZ => state.frozen.into(),
            OVFSTATUS => state.overflowed.into(),
            EVNTCAP.. if offset < CNTRCFG => {
                let category = index((offset - EVNTCAP) / 8);
                let shown = category < usize::from(self.cap.categories());
                if shown { self.events[category].into() } else { 0 }
            }
            CNTRCFG.. if offset < CNTRDATA => counter(&state, CNTRCFG, offset, 8).map_or(0, |at| at.config.0),
            CNTRDATA.. if offset < FLTCFG => counter(&state, CNTRDATA, offset, 8).map_or(0, |at| at.count),
            FLTCFG.. => counter(&state, FLTCFG, offset, FLTCFG_STRIDE).map_or(0, |at| {
                let first = index((offset - FLTCFG) % FLTCFG_STRIDE / 4);
                let filter = |at: &Counter, which| at.filters.get(which).copied().unwrap_or(0);
                u64::from(filter(at, first)) | u64::from(filter(at, first + 1)) << 32
            }),
            _ => 0,
        }
    }

    /// Writes the bits of `mask` of the 8 bytes at `offset`.
    pub(crate) fn set_word(&self, offset: u64, value: u64, mask: u64) {
        let mut state = self.state.lock();
        let merge = |old: u64, allowed: u64| old & !(mask & allowed) | value & mask & allowed;
        let all = (1 << COUNTERS) - 1;
        match offset {
            PERFRST => reset(&mut state, PerfRst(low_half(value & mask))),
            PERFFRZ => {
                let enabled = (0..COUNTERS)
                    .filter(|at| state.counters[*at].config.enable())
                    .fold(0, |bits, at| bits | 1_u64 << at);
                state.frozen = low_half(merge(state.frozen.into(), all) & enabled);
            }
            OVFSTATUS => state.overflowed &= !low_half(value & mask),
            CNTRCFG.. if offset < CNTRDATA => {
                let Some(at) = place(CNTRCFG, offset, 8) else { return };
                let config = &mut state.counters[at].config;
                let allowed = if config.enable() { 1 } else { CntrCfg::MASK };
                config.0 = merge(config.0, allowed);
                if !config.enable() {
                    state.frozen &= !(1 << at);
                }
            }
            CNTRDATA.. if offset < FLTCFG => {
                let Some(at) = place(CNTRDATA, offset, 8) else { return };
                state.counters[at].count = merge(state.counters[at].count, COUNT_MAX);
            }
            FLTCFG.. => {
                let Some(at) = place(FLTCFG, offset, FLTCFG_STRIDE) else { return };
                set_filters(&mut state.counters[at], offset, (value, mask), self.cap);
            }
            _ => {}
        }
        self.note(&state);
    }

    /// Everything back to its first values.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        *state = State::default();
        self.note(&state);
    }

    fn note(&self, state: &State) {
        let counting = state.counters.iter().enumerate().filter(|(at, counter)| {
            counter.config.enable() && state.frozen >> at & 1 == 0 && counter.config.category() < 6
        });
        let watched = counting.fold(0, |bits, (_, counter)| bits | 1 << counter.config.category());
        self.watched.store(watched, Ordering::Relaxed);
    }
}

/// Which counter `offset` belongs to.
fn place(table: u64, offset: u64, stride: u64) -> Option<usize> {
    Some(index((offset - table) / stride)).filter(|at| *at < COUNTERS)
}

fn counter(state: &State, table: u64, offset: u64, stride: u64) -> Option<&Counter> {
    place(table, offset, stride).map(|at| &state.counters[at])
}

fn set_filters(counter: &mut Counter, offset: u64, (value, mask): (u64, u64), cap: PerfCap) {
    if counter.config.enable() {
        return;
    }
    let first = index((offset - FLTCFG) % FLTCFG_STRIDE / 4);
    for (which, shift) in [(first, 0), (first + 1, 32)] {
        let Some(filter) = FILTERS.get(which).filter(|_| cap.filters() >> which & 1 != 0) else { continue };
        let mask = low_half(mask >> shift) & filter.open();
        counter.filters[which] = counter.filters[which] & !mask | low_half(value >> shift) & mask;
    }
}

fn reset(state: &mut State, what: PerfRst) {
    for counter in &mut state.counters {
        let first = Counter::default();
        if what.configuration() {
            *counter = Counter { count: counter.count, ..first };
        }
        if what.counters() {
            counter.count = 0;
        }
    }
    if what.configuration() {
        (state.overflowed, state.frozen) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(config: CntrCfg) -> Perfmon {
        let perfmon = Perfmon::new(DeviceKind::Dsa, Version::V2);
        perfmon.set_word(CNTRCFG, config.with_enable(true).0, u64::MAX);
        perfmon
    }

    fn completions(perfmon: &Perfmon, count: u64) -> bool {
        perfmon.count(Category::Completions, event::CPL_SUCCESS, count, &Sample::default())
    }

    const SUCCESS: CntrCfg =
        CntrCfg(0).with_category(Category::Completions as u8).with_events(event::CPL_SUCCESS);

    #[test]
    fn counter_that_is_not_enabled_or_asks_for_something_else_stays() {
        let perfmon = counting(SUCCESS);
        perfmon.set_word(CNTRCFG + 8, SUCCESS.0, u64::MAX);
        perfmon.set_word(CNTRCFG + 16, SUCCESS.with_events(event::CPL_ERR).with_enable(true).0, u64::MAX);
        assert!(!completions(&perfmon, 3));
        assert_eq!([0, 8, 16].map(|at| perfmon.word(CNTRDATA + at)), [3, 0, 0]);
        perfmon.set_word(CNTRCFG, 0, u64::MAX);
        completions(&perfmon, 1);
        assert_eq!((perfmon.word(CNTRDATA), perfmon.watches(Category::Completions)), (3, true));
    }

    #[test]
    fn overflow_shows_raises_and_freezes() {
        let perfmon = counting(SUCCESS.with_overflow_interrupt(true).with_global_freeze(true));
        perfmon.set_word(CNTRDATA, u64::MAX, u64::MAX);
        assert_eq!(perfmon.word(CNTRDATA), COUNT_MAX);
        assert!(completions(&perfmon, 1));
        assert_eq!([CNTRDATA, OVFSTATUS, PERFFRZ].map(|at| perfmon.word(at)), [0, 1, 0xff]);
        assert!(!completions(&perfmon, 1));
        assert_eq!(perfmon.word(CNTRDATA), 0);
        perfmon.set_word(OVFSTATUS, 1, u64::MAX);
        perfmon.set_word(PERFFRZ, 0, u64::MAX);
        assert!(!completions(&perfmon, 1));
        assert_eq!([CNTRDATA, OVFSTATUS, PERFFRZ].map(|at| perfmon.word(at)), [1, 0, 0]);
    }

    #[test]
    fn filters_are_all_to_be_passed() {
        let config = CntrCfg(0).with_category(Category::Engine as u8).with_events(event::NUM_WRITE);
        let perfmon = Perfmon::new(DeviceKind::Dsa, Version::V2);
        // The second example of appendix D.3: 4 KiB and more, on engine 1 or 2.
        perfmon.set_word(FLTCFG + 8, 0xf8 << 32, 0xffff_ffff << 32);
        perfmon.set_word(FLTCFG + 16, 0x6, 0xffff_ffff);
        perfmon.set_word(CNTRCFG, config.with_enable(true).0, u64::MAX);
        for (bytes, engine) in [(4096, 1), (4095, 1), (4096, 0), (1 << 20, 2)] {
            let sample = Sample { bytes: Some(bytes), engine: Some(engine), ..Sample::default() };
            perfmon.count(Category::Engine, event::NUM_WRITE, 1, &sample);
        }
        assert_eq!(perfmon.word(CNTRDATA), 2);
        assert_eq!(perfmon.word(FLTCFG + 8), 0xf8_0000_ffff);
        perfmon.set_word(FLTCFG + 16, 0, u64::MAX);
        assert_eq!(perfmon.word(FLTCFG + 16), 0x3f_ffff_0000_0006, "locked while enabled");
    }

    #[test]
    fn pasid_filter_has_four_modes() {
        let counts = |filter: u64, pasid| {
            let perfmon = Perfmon::new(DeviceKind::Dsa, Version::V2);
            perfmon.set_word(FLTCFG + 16, filter << 32, u64::MAX << 32);
            perfmon.set_word(CNTRCFG, SUCCESS.with_enable(true).0, u64::MAX);
            let sample = Sample { pasid: Some(pasid), ..Sample::default() };
            perfmon.count(Category::Completions, event::CPL_SUCCESS, 1, &sample);
            perfmon.word(CNTRDATA)
        };
        assert_eq!([Some(5), Some(6), None].map(|pasid| counts(5, pasid)), [1, 0, 0]);
        assert_eq!([Some(5), None].map(|pasid| counts(1 << 20, pasid)), [1, 0]);
        assert_eq!([Some(5), None].map(|pasid| counts(2 << 20, pasid)), [0, 1]);
        assert_eq!([Some(5), None].map(|pasid| counts(3 << 20, pasid)), [1, 1]);
    }

    #[test]
    fn events_that_are_not_shown_count_nothing() {
        let perfmon = counting(SUCCESS.with_events(0xfff_ffff));
        perfmon.count(Category::Completions, 0x800_0000, 1, &Sample::default());
        assert_eq!(perfmon.word(CNTRDATA), 0);
        let first = Perfmon::new(DeviceKind::Dsa, Version::V1);
        assert_eq!((first.word(EVNTCAP), first.word(EVNTCAP + 5 * 8)), (0x3f, 0));
        assert_eq!((perfmon.word(EVNTCAP), perfmon.word(EVNTCAP + 3 * 8)), (0x7f, 0x7_ffff));
        assert_eq!(Perfmon::new(DeviceKind::Iaa, Version::V1).word(EVNTCAP + 3 * 8), 0);
    }

    #[test]
    fn reset_brings_back_the_halves_it_names() {
        let perfmon = counting(SUCCESS);
        completions(&perfmon, 7);
        perfmon.set_word(PERFRST, 1, u64::MAX);
        assert_eq!([CNTRCFG, CNTRDATA, PERFRST].map(|at| perfmon.word(at)), [0, 7, 0]);
        perfmon.set_word(PERFRST, 2, u64::MAX);
        assert_eq!(perfmon.word(CNTRDATA), 0);
    }
}
